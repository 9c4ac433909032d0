"""The simulator's elements against equations written out by hand, and what it promises of bits, lanes and machines."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy import optimize, signal

from training.circuits import bundled_circuits, kernel, load_circuit, process, process_many, simulate
from training.errors import InputError

RATE = 48_000
THERMAL_VOLTS = 1.380649e-23 * 300.15 / 1.602176634e-19
JACKS = ".input in\n.output out 2\n"


def circuit_of(folder, text, name="trial"):
    path = folder / f"{name}.cir"
    path.write_text(text)
    return load_circuit(path)


def at_rest(circuit, volts):
    """The output for each of `volts`, held for long enough that Newton's method has nothing left to do."""
    return process(circuit, np.repeat(volts, 8), RATE, 1)[7::8]


def trapezoidal_response(circuit, rate, frames=1 << 15, volts=1e-6):
    """The transfer function at the steps' own rate, and the s at which the trapezoidal rule evaluates it."""
    impulse = np.zeros(frames)
    impulse[0] = volts
    played = process(circuit, impulse, rate, 1) - process(circuit, np.zeros(frames), rate, 1)
    turns = np.arange(1, frames // 2) / frames
    return np.fft.rfft(played)[1 : frames // 2] / volts, 2j * rate * np.tan(np.pi * turns)


@pytest.mark.parametrize("coupling", [0.3, 0.98, 0.9999])
def test_transformer_is_its_impedances(tmp_path, coupling):
    text = f"R1 in a 100\nL1 a 0 0.2\nL2 out 0 3.2\nK1 L1 L2 {coupling}\nR2 out 0 2k\n"
    measured, s = trapezoidal_response(circuit_of(tmp_path, JACKS + text), RATE)
    first, second = 0.2, 3.2
    mutual = coupling * np.sqrt(first * second)
    # (100 + s L1) i1 + s M i2 = 1 and s M i1 + (2000 + s L2) i2 = 0; the output is -2000 i2.
    determinant = (100.0 + s * first) * (2000.0 + s * second) - (s * mutual) ** 2
    np.testing.assert_allclose(measured, 2000.0 * s * mutual / determinant, rtol=1e-5, atol=1e-6)


def test_three_windings_and_a_short_at_rest(tmp_path):
    """A push-pull transformer: its halves carry the same rest in opposite directions, and the load hears nothing."""
    text = (
        "V1 ht 0 300\nR1 ht a 1k\nR2 ht b 1k\nL1 a mid 5\nL2 mid b 5\nL3 out 0 50m\nK1 L1 L2 0.999\nK2 L1 L3 0.999\n"
        "K3 L2 L3 0.999\nR3 mid 0 10k\nR4 out 0 8\nR5 in a 1meg\n"
    )
    rest = process(circuit_of(tmp_path, JACKS + text), np.zeros(2000), RATE, 1)
    assert np.abs(rest).max() < 2e-4
    middle = process(circuit_of(tmp_path, ".input in\n.output mid 2\n" + text), np.zeros(2000), RATE, 1)
    np.testing.assert_allclose(middle, 2.0 * 0.3 / (2.0 * 1e-3 + 1e-6 + 1e-4), rtol=1e-5)


def test_inductor_starts_with_the_current_that_rests_in_it(tmp_path):
    text = JACKS + "V1 b 0 10\nR1 b out 100\nL1 out y 1\nR4 y 0 100\nR3 in out 1k\n"
    rest = process(circuit_of(tmp_path, text), np.zeros(500), RATE)
    np.testing.assert_allclose(rest, 10.0 / 100.0 / (2.0 / 100.0 + 1.0 / 1000.0), rtol=1e-4)


def test_op_amp_has_its_gain_and_bandwidth(tmp_path):
    text = ".model u opamp gain=2e4 gbw=300k high=9 low=-9\nA1 out in m u\nR1 out m 90k\nR2 m 0 10k\n"
    measured, s = trapezoidal_response(circuit_of(tmp_path, JACKS + text), RATE)
    open_loop = 2e4 / (1.0 + s * 2e4 / (2.0 * np.pi * 300e3))
    np.testing.assert_allclose(measured, open_loop / (1.0 + open_loop / 10.0), rtol=1e-6)


def test_op_amp_slews_and_stops_at_its_rails(tmp_path):
    rate = 40 * RATE
    text = ".model u opamp gain=1e5 gbw=1meg high=4 low=-3 slew=0.5meg\nA1 out in out u\nR1 out 0 10k\n"
    step = np.concatenate([np.full(rate // 10_000, 0.0), np.full(rate // 10_000, 30.0), np.full(rate // 5_000, -30.0)])
    played = process(circuit_of(tmp_path, JACKS + text), step, rate, 1)
    speed = np.diff(played) * rate
    assert 0.45e6 < speed.max() < 0.55e6 and -0.55e6 < speed.min() < -0.45e6
    assert abs(played.max() - 4.0) < 0.12 and abs(played.min() + 3.0) < 0.12


def npn(base, collector, emitter, saturation=6e-15, bf=300.0, br=4.0):
    """Currents into collector and base, from the model's docstring, with SPICE's leakage of 1 pS a junction."""
    forward = saturation * np.expm1((base - emitter) / THERMAL_VOLTS)
    reverse = saturation * np.expm1((base - collector) / THERMAL_VOLTS)
    leak, other = 1e-12 * (base - collector), 1e-12 * (base - emitter)
    return forward - reverse - reverse / br - leak, forward / bf + reverse / br + leak + other


@pytest.mark.parametrize("kind", ["npn", "pnp"])
def test_transistor_stage_from_cut_off_to_saturation(tmp_path, kind):
    sign = 1 if kind == "npn" else -1
    text = (
        f".model q {kind} is=6f bf=300 br=4\nV1 b 0 {9 * sign}\nR1 b out 10k\nR2 in base 47k\nR3 b base 1meg\n"
        "Q1 out base e q\nR4 e 0 470\n"
    )
    volts = np.linspace(-3.0, 6.0, 37)

    def left(x, drive):
        base, collector, emitter = x
        into_collector, into_base = npn(base, collector, emitter)
        return [
            1e3 * ((drive - base) / 47e3 + (9.0 - base) / 1e6 - into_base),
            1e3 * ((9.0 - collector) / 10e3 - into_collector),
            1e3 * (into_collector + into_base - emitter / 470.0),
        ]

    expected, guess = [], np.array([-3.0, 9.0, 0.0])
    for start in np.linspace(-3.0, volts[-1], 361):
        guess = optimize.fsolve(left, guess, args=(start,), xtol=1e-11)
        expected.append(guess[1])
    played = at_rest(circuit_of(tmp_path, JACKS + text), sign * volts)
    np.testing.assert_allclose(sign * played, np.array(expected)[::10], atol=1e-6)
    assert expected[0] > 8.9 and expected[-1] < 1.0


def soft(x):
    return np.logaddexp(0.0, x)


def grid_amperes(volts, gg=6.06e-4, cg=9.9, xi=1.31):
    return gg * (soft(cg * volts) / cg) ** xi


def triode_amperes(grid, plate, mu=100.0, ex=1.4, kg1=1060.0, kp=600.0, kvb=300.0):
    e = plate / kp * soft(kp * (1.0 / mu + grid / np.sqrt(kvb + plate**2)))
    return 2.0 / kg1 * max(e, 0.0) ** ex


def test_triode_stage_from_cut_off_to_grid_current(tmp_path):
    text = "V1 b 0 300\nR1 in g 68k\nT1 out g k 12AX7\nR2 b out 100k\nR3 k 0 1.5k\n"
    volts = np.linspace(-8.0, 40.0, 49)

    def left(x, drive):
        grid, plate, cathode = x
        amperes = triode_amperes(grid - cathode, plate - cathode)
        into_grid = grid_amperes(grid - cathode)
        return [
            1e3 * ((drive - grid) / 68e3 - into_grid),
            1e3 * ((300.0 - plate) / 100e3 - amperes),
            1e3 * (amperes + into_grid - cathode / 1.5e3),
        ]

    expected, guess = [], np.array([-8.0, 299.0, 0.1])
    for drive in volts:
        guess = optimize.fsolve(left, guess, args=(drive,), xtol=1e-11)
        expected.append(guess[1])
    np.testing.assert_allclose(at_rest(circuit_of(tmp_path, JACKS + text), volts), expected, atol=1e-5)
    assert expected[0] > 290.0 and min(expected) < 80.0


def test_pentode_stage_down_to_the_knee(tmp_path):
    text = (
        ".model p pentode mu=10.7 ex=1.31 kg1=1672 kg2=4500 kp=41.16 kvb=12.7\n"
        "V1 b 0 320\nV2 s 0 250\nR1 in g 10k\nR2 s sg 1k\nT1 out sg g 0 p\nR3 b out 5k\n"
    )
    volts = np.linspace(-45.0, 10.0, 56)

    def left(x, drive):
        grid, screen, plate = x
        e = screen / 41.16 * soft(41.16 * (1.0 / 10.7 + grid / screen))
        amperes = 2.0 / 1672.0 * e**1.31 * np.arctan(max(plate, 0.0) / 12.7)
        return [
            1e3 * ((drive - grid) / 10e3 - grid_amperes(grid)),
            1e3 * ((250.0 - screen) / 1e3 - e**1.31 / 4500.0),
            1e3 * ((320.0 - plate) / 5e3 - amperes),
        ]

    expected, guess = [], np.array([-45.0, 250.0, 320.0])
    for drive in volts:
        guess = optimize.fsolve(left, guess, args=(drive,), xtol=1e-11)
        expected.append(guess[2])
    np.testing.assert_allclose(at_rest(circuit_of(tmp_path, JACKS + text), volts), expected, atol=1e-5)
    assert expected[0] > 310.0 and expected[-1] < 40.0


def test_transconductance_and_a_floating_source(tmp_path):
    text = "G1 0 x in 0 2m\nR1 x 0 1k\nE1 out y x 0 3\nR2 y 0 1k\nR3 out 0 1k\nV1 z 0 1\nR4 z y 1meg\n"
    played = process(circuit_of(tmp_path, JACKS + text), np.array([0.0, 1.0, -1.0]), RATE, 1)
    # x = 2 in; between `out` and y stand 6 in, and their two resistors of 1k halve that but for the megohm.
    current = 1.0 / 1e6
    base = current / (2.0 / 1e3 + 1.0 / 1e6)
    np.testing.assert_allclose(played - played[0], [0.0, 3.0, -3.0], atol=2e-3)
    np.testing.assert_allclose(played[0], base, rtol=1e-6)


# Every kind of device, overdriven, so that runs need different numbers of iterations.
ZOO = (
    JACKS + ".knob gain 0.5\n.model q npn is=6f bf=300 br=4\n.model r pnp is=2u bf=90 br=10\n"
    ".model p pentode mu=10.7 ex=1.31 kg1=1672 kg2=4500 kp=41.16 kvb=12.7\n"
    ".model u opamp gain=1e5 gbw=1meg high=4 low=-4 slew=0.5meg\n"
    "V1 nine 0 9\nV2 ht 0 300\nP1 in w 0 100k gain log\nA1 a w m u\nR1 a m 100k\nR2 m c 1k\nC1 c 0 1u\nD1 a m 1N914\n"
    "D2 m a 1N914\nC2 a base 100n\nR3 nine base 470k\nR4 base 0 100k\nQ1 col base e q\nR5 nine col 10k\nR6 e 0 470\n"
    "Q2 0 col f r\nR7 nine f 4.7k\nC3 f g 22n\nR8 g 0 1meg\nT1 pl g k 12AX7\nR9 ht pl 100k\nR10 k 0 1.5k\nC4 pl h 22n\n"
    "R11 h 0 220k\nT2 plate ht h k2 p\nR12 k2 0 470\nL1 ht plate 8\nL2 out 0 8m\nK1 L1 L2 0.999\nR13 out 0 8\n"
)


def zoo_runs(count, frames=2400):
    rng = np.random.default_rng(7)
    volts = rng.normal(size=(count, frames)) * np.geomspace(1e-3, 5.0, count)[:, None]
    return volts, [{"gain": position} for position in np.linspace(0.0, 1.0, count)]


def test_a_run_is_the_same_in_any_company(tmp_path):
    circuit = circuit_of(tmp_path, ZOO)
    volts, settings = zoo_runs(7)
    together = process_many(circuit, volts, settings, RATE)
    assert together.shape == volts.shape and np.abs(together).max() > 1.0
    order = [6, 2, 3, 0, 5, 1, 4]
    shuffled = process_many(circuit, volts[order], [settings[k] for k in order], RATE)
    np.testing.assert_array_equal(shuffled, together[order])
    for k in (0, 4, 6):
        np.testing.assert_array_equal(process(circuit, volts[k], RATE, **settings[k]), together[k])


def test_a_run_is_the_same_on_a_machine_without_wide_registers(tmp_path, monkeypatch):
    circuit = circuit_of(tmp_path, ZOO)
    volts, settings = zoo_runs(4, 1200)
    here = process_many(circuit, volts, settings, RATE)
    plain = tuple("-march=x86-64" if flag == "-march=native" else flag for flag in kernel._FLAGS)
    assert plain != kernel._FLAGS
    monkeypatch.setattr(kernel, "_FLAGS", plain)
    kernel._loaded.cache_clear()
    np.testing.assert_array_equal(process_many(circuit, volts, settings, RATE), here)
    kernel._loaded.cache_clear()


def test_a_long_take_is_the_same_in_pieces(tmp_path, monkeypatch):
    circuit = circuit_of(tmp_path, JACKS + "R1 in out 2.2k\nC1 out 0 10n\nD1 out 0 1N914\nD2 0 out 1N914\n")
    volts = np.random.default_rng(1).normal(size=1000)
    whole = process(circuit, volts, RATE)
    for frames in (7, 44, 45, 999):
        monkeypatch.setattr(simulate, "_FRAMES_A_CALL", frames)
        np.testing.assert_array_equal(process(circuit, volts, RATE), whole)


def test_runs_and_settings_must_match(tmp_path):
    circuit = circuit_of(tmp_path, JACKS + "R1 in out 1k\nR2 out 0 1k\n")
    assert process_many(circuit, np.zeros((0, 10)), [], RATE).shape == (0, 10)
    assert process(circuit, np.zeros(0), RATE).shape == (0,)
    with pytest.raises(ValueError, match="2 runs need as many settings, not 1"):
        process_many(circuit, np.zeros((2, 10)), [{}], RATE)
    with pytest.raises(ValueError, match="finite"):
        process_many(circuit, np.zeros(10), [{}], RATE)
    with pytest.raises(InputError, match="no knob 'gain'"):
        process_many(circuit, np.zeros((2, 10)), [{}, {"gain": 0.5}], RATE)


@pytest.mark.parametrize("name", bundled_circuits())
def test_bundled_circuits_play_anything(name):
    """Knobs at their ends and between, from a whisper to 5 V, chords, noise and squares; cf. benchmarks/circuits.py."""
    circuit = load_circuit(name)
    rng = np.random.default_rng(11)
    times = np.arange(1200) / RATE
    tones = np.sin(2.0 * np.pi * rng.uniform(60.0, 4000.0, size=(8, 1)) * times)
    volts = np.concatenate([tones[:3], rng.normal(size=(3, 1200)) / 3.0, np.sign(tones[3:5])])
    volts *= 0.5 * 10.0 ** (rng.uniform(-40.0, 20.0, size=(8, 1)) / 20.0)
    settings = [{knob: rng.choice([0.0, 1.0, rng.uniform()]) for knob in circuit.knobs} for _ in volts]
    played = process_many(circuit, volts, settings, RATE)
    assert np.abs(played).max() < 1000.0


def test_the_filters_are_a_windowed_low_pass():
    expected = signal.firwin(44 * 8 + 1, (20.0 / 24.0 + 28.0 / 24.0) / 16.0, window=("kaiser", 11.3))
    np.testing.assert_allclose(simulate._filter_taps(8), expected, atol=1e-16)


def test_compiled_once_even_when_several_want_it(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    kernel._loaded.cache_clear()
    circuit = circuit_of(tmp_path, JACKS + "R1 in out 1k\nR2 out 0 1k\n")
    with ThreadPoolExecutor(3) as pool:
        played = list(pool.map(lambda _: process(circuit, np.ones(50), RATE, 1), range(3)))
    np.testing.assert_allclose(played, 0.5)
    folder = tmp_path / "cache" / "oddity" / "circuits"
    assert [path.suffix for path in folder.iterdir()] == [".so"]
    made = next(folder.iterdir()).stat().st_mtime_ns
    kernel._loaded.cache_clear()
    process(circuit, np.ones(50), RATE, 1)
    assert next(folder.iterdir()).stat().st_mtime_ns == made
    kernel._loaded.cache_clear()


def test_no_compiler_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(InputError, match=r"needs the C\+\+ compiler g\+\+") as caught:
        process(circuit_of(tmp_path, JACKS + "R1 in out 1k\nR2 out 0 1k\n"), np.zeros(9), RATE)
    assert "\n" not in caught.value.message
