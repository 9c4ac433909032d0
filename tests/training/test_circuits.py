"""Circuits against references that share no code with them: hand-written impedances, an ODE solver, a root finder."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, optimize, signal

from training import audio
from training.capture_simulation import DI_VOLTS_PER_FULL_SCALE, simulate, simulate_capture
from training.circuits import SimulationError, load_circuit, process
from training.errors import InputError

RATE = 48_000
THERMAL_VOLTS = 1.380649e-23 * 300.15 / 1.602176634e-19
SATURATION, SLOPE_VOLTS = 2.52e-9, 1.752 * THERMAL_VOLTS

JACKS = ".input in\n.output out 2\n"
SILICON = ".model silicon diode is=2.52n n=1.752\n"
CLIPPER = JACKS + SILICON + "R1 in out 2.2k\nC1 out 0 10n\nD1 out 0 silicon\nD2 0 out silicon\n"


def circuit_of(folder, text):
    path = folder / "trial.cir"
    path.write_text(text)
    return load_circuit(path)


def ratio_db(error, reference):
    return 10.0 * np.log10(np.sum(np.abs(error) ** 2) / np.sum(np.abs(reference) ** 2))


def sine(hertz, volts, seconds=1.0, rate=RATE):
    return volts * np.sin(2.0 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def harmonics(samples, hertz):
    """Amplitudes of the harmonics 1.. below 20 kHz, and of all that is between them, for a whole number of hertz."""
    spectrum = 2.0 * np.abs(np.fft.rfft(samples))[:20_000] / len(samples)
    rest = spectrum.copy()
    rest[::hertz] = 0.0
    return spectrum[hertz::hertz], rest


def tube_screamer_response(s, drive, tone, level):
    """The TS-808's small-signal transfer function, stage by stage, with diodes at rest."""

    def audio_taper(x):
        return (31.0**x - 1.0) / 30.0

    to_buffer = 510e3 / (510e3 + 1e3 + 1.0 / (s * 20e-9))
    to_plus = 10e3 / (10e3 + 1.0 / (s * 1e-6))
    feedback = 1.0 / (51e3 + max(500e3 * audio_taper(drive), 1.0)) + s * 51e-12 + 2.0 * SATURATION / SLOPE_VOLTS
    ideal = 1.0 + 1.0 / (feedback * (4.7e3 + 1.0 / (s * 47e-9)))
    clipper = 1.0 / (1.0 / ideal + 1.0 / 1e5 + s / (2.0 * np.pi * 3e6))  # the JRC4558: gain 1e5, one pole, 3 MHz
    near, far = max(20e3 * (1.0 - tone), 1.0), max(20e3 * tone, 1.0)  # track from the feedback, from the input
    shelf = 1.0 / (220.0 + 1.0 / (s * 220e-9) + near * far / (near + far))  # conductance seen by both inputs at once
    to_tone = 1.0 / (1.0 + 1e3 * (1.0 / 10e3 + s * 220e-9 + shelf * near / (near + far)))
    tone_amplifier = 1.0 + 1e3 * shelf * far / (near + far)
    upper, lower = max(100e3 * (1.0 - audio_taper(level)), 1.0), max(100e3 * audio_taper(level), 1.0)
    wiper_load = 1.0 / (1.0 / lower + 1.0 / (510e3 + 1.0 / (s * 100e-9)))
    to_wiper = wiper_load / (wiper_load + upper + 1e3 + 1.0 / (s * 1e-6))
    to_output_buffer = 510e3 / (510e3 + 1.0 / (s * 100e-9))
    to_jack = 10e3 / (10e3 + 100.0 + 1.0 / (s * 10e-6))
    return to_buffer * to_plus * clipper * to_tone * tone_amplifier * to_wiper * to_output_buffer * to_jack


@pytest.mark.parametrize(
    ("drive", "tone", "level"), [(0.5, 0.5, 0.8), (0.0, 1.0, 1.0), (1.0, 0.0, 0.3), (0.7, 0.2, 0.5)]
)
def test_tube_screamer_small_signal_response(drive, tone, level):
    impulse = np.zeros(2 * RATE)
    impulse[200] = 1e-6
    response = np.fft.rfft(process(load_circuit("tube_screamer"), impulse, RATE, drive=drive, tone=tone, level=level))
    hertz = np.unique(np.geomspace(40, 24_000, 200).astype(int))
    hertz = hertz[hertz <= 12_000]
    measured = response[2 * hertz] / np.fft.rfft(impulse)[2 * hertz]
    expected = tube_screamer_response(2j * np.pi * hertz, drive, tone, level)
    # Magnitude and phase: a delay of a tenth of a sample would be 9 degrees at 12 kHz.
    assert np.abs(measured / expected - 1.0).max() < 0.015


def test_tube_screamer_has_its_mid_hump_and_clips_softly():
    circuit = load_circuit("tube_screamer")
    hump, low, high = (
        np.abs(tube_screamer_response(2j * np.pi * np.array(hertz), 0.5, 0.5, 0.8)) for hertz in (720.0, 80.0, 6000.0)
    )
    loudness = {hertz: np.std(process(circuit, sine(hertz, 1e-4, 0.5), RATE)[RATE // 4 :]) for hertz in (80, 720, 6000)}
    assert 20 * np.log10(loudness[720] / loudness[80]) > 10.0
    assert 20 * np.log10(loudness[720] / loudness[6000]) > 6.0
    np.testing.assert_allclose(
        [loudness[720] / loudness[80], loudness[720] / loudness[6000]], [hump / low, hump / high], rtol=0.01
    )
    quiet, loud = (process(circuit, sine(400, volts, 2.0), RATE, drive=0.8)[RATE:] for volts in (0.05, 0.5))
    assert 1.2 < np.std(loud) / np.std(quiet) < 3.0  # twenty decibels more in, less than ten more out
    tones, _ = harmonics(loud, 400)
    assert 20 * np.log10(tones[1] / tones[0]) < -80.0  # equal diodes: no even harmonics
    assert -40.0 < 20 * np.log10(tones[2] / tones[0]) < -6.0
    assert tones[2] > 2.0 * tones[4] > 4.0 * tones[12]  # soft: the harmonics fall fast


def exact_clipper(times, drive_volts):
    def slope(time, volts):
        leak = 2.0 * SATURATION * np.sinh(volts / SLOPE_VOLTS)
        return ((drive_volts(time) - volts) / 2.2e3 - leak) / 10e-9

    return integrate.solve_ivp(
        slope, (0.0, times[-1]), [0.0], method="LSODA", t_eval=times, rtol=1e-10, atol=1e-12, max_step=2e-5
    ).y[0]


def test_diode_clipper_against_an_ode_solver(tmp_path):
    def drive_volts(time):
        return 2.0 * np.sin(2.0 * np.pi * 500.0 * time) * (1.0 - np.exp(-1000.0 * time))

    circuit = circuit_of(tmp_path, CLIPPER)
    rate = 16 * RATE
    times = np.arange(round(0.01 * rate)) / rate
    expected = exact_clipper(times, drive_volts)
    assert ratio_db(process(circuit, drive_volts(times), rate, 1) - expected, expected) < -90.0
    played = process(circuit, drive_volts(times[::16]), RATE)
    inside = slice(48, -48)  # away from the cut ends, which no band-limited signal has
    assert ratio_db((played - expected[::16])[inside], expected[::16][inside]) < -65.0


def test_operating_point_against_a_root_finder(tmp_path):
    text = (
        JACKS
        + SILICON
        + "V1 supply 0 9\nR1 supply out 10k\nD1 out 0 silicon\nR2 in out 22k\nC1 out hold 1u\nR3 hold 0 1k\n"
    )
    rest = process(circuit_of(tmp_path, text), np.zeros(100), RATE)

    def current_left(volts):
        return (9.0 - volts) / 10e3 - volts / 22e3 - SATURATION * np.expm1(volts / SLOPE_VOLTS)

    np.testing.assert_allclose(rest, optimize.brentq(current_left, 0.0, 1.0, xtol=1e-14), rtol=1e-7)


def test_a_wire_neither_delays_nor_colours(tmp_path):
    circuit = circuit_of(tmp_path, JACKS + "R1 in out 1\nR2 out 0 1meg\n")
    taps = signal.firwin(255, 19_000, fs=RATE, window=("kaiser", 12.0))
    volts = np.convolve(np.random.default_rng(0).normal(size=4001), taps)
    assert ratio_db(process(circuit, volts, RATE) - volts, volts) < -95.0
    for frames in (1, 7):
        assert len(process(circuit, np.ones(frames), RATE)) == frames


def test_oversampling_keeps_aliases_down():
    circuit = load_circuit("tube_screamer")
    volts = sine(3001, 0.5, 2.0)

    def worst_alias_db(oversampling):
        tones, rest = harmonics(process(circuit, volts, RATE, oversampling, drive=1.0, tone=1.0)[RATE:], 3001)
        return 20.0 * np.log10(rest.max() / tones.max())

    assert worst_alias_db(8) < -75.0
    assert worst_alias_db(1) > -45.0  # so the bound above is the oversampling's doing


POSITION = st.floats(0.0, 1.0)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(drive=POSITION, tone=POSITION, level=POSITION, volts=st.sampled_from([1e-6, 0.1, 1.0, 10.0]))
def test_any_knobs_any_level(drive, tone, level, volts):
    noise = volts * np.random.default_rng(3).normal(size=480)
    played = process(load_circuit("tube_screamer"), noise, RATE, drive=drive, tone=tone, level=level)
    # The diodes hold the clipped part within a volt; the rest is the input itself, at most 21 dB up by the tone stage.
    assert np.abs(played).max() < 12.0 * (np.abs(noise).max() + 1.0)


def test_knobs_turn_what_they_say():
    circuit = load_circuit("tube_screamer")
    assert dict(circuit.knobs) == {"drive": 0.5, "tone": 0.5, "level": 0.8}
    noise = 0.05 * np.random.default_rng(4).normal(size=RATE // 2)

    def play(**knobs):
        return process(circuit, noise, RATE, **knobs)

    def highs(tone):
        return np.std(process(circuit, sine(5000, 1e-3, 0.1), RATE, tone=tone))

    assert np.std(play(drive=1.0)) > 1.2 * np.std(play(drive=0.0))
    assert highs(tone=1.0) > 5.0 * highs(tone=0.0)
    assert np.std(play(level=1.0)) > 6.0 * np.std(play(level=0.5))  # an audio taper gives 15 % at half a turn
    assert np.std(play(level=0.0)) < 1e-4 * np.std(play(level=1.0))
    np.testing.assert_array_equal(play(), play(drive=0.5, tone=0.5, level=0.8))
    for low, high in itertools.pairwise(np.linspace(0.0, 1.0, 5)):
        assert np.std(play(drive=low)) < np.std(play(drive=high))


@pytest.mark.parametrize(
    ("knobs", "complaint"), [({"gain": 0.5}, "no knob 'gain': it has drive"), ({"tone": 1.1}, "tone at 1.1")]
)
def test_wrong_knobs_are_refused(knobs, complaint):
    with pytest.raises(InputError, match=complaint):
        process(load_circuit("tube_screamer"), np.zeros(10), RATE, **knobs)


# A diode in reverse across a negative resistance: from some current on, no voltage satisfies both.
RUNAWAY = JACKS + SILICON + "R1 {source} out 1k\nE1 echo 0 out 0 2\nR2 out echo 900\nD1 out 0 silicon\n"


def test_no_solution_is_an_error_not_a_sound(tmp_path):
    battery = RUNAWAY.format(source="supply") + "V1 supply 0 -5\nR3 in out 1meg\n"
    with pytest.raises(SimulationError, match=r"trial.cir: Newton's method found no operating point"):
        process(circuit_of(tmp_path, battery), np.zeros(10), RATE)
    circuit = circuit_of(tmp_path, RUNAWAY.format(source="in"))
    volts = np.zeros(RATE)
    volts[RATE // 2 :] = -5.0
    with pytest.raises(SimulationError, match=r"trial.cir: Newton's method did not converge at 0\.(499|500)"):
        process(circuit, volts, RATE)


def test_what_is_not_finite_is_refused(tmp_path):
    with pytest.raises(ValueError, match="finite"):
        process(load_circuit("tube_screamer"), np.array([0.0, np.nan]), RATE)
    amplifier = circuit_of(tmp_path, JACKS + "R1 in 0 1k\nE1 out 0 in 0 1e300\nR2 out 0 1k\n")
    with pytest.raises(SimulationError, match="not finite"):
        process(amplifier, np.full(100, 1e20), RATE)


BROKEN = [
    ("X1 in out 5", 3, "unknown element X1"),
    (".param a 5", 3, "unknown directive .param"),
    ("R1 in out", 3, "R1 has 2 fields, not 3: R1 node node ohms"),
    ("R1 in out 4x7", 3, "'4x7' is not a value"),
    ("R1 in out -5", 3, "must be above zero"),
    ("D1 in out germanium", 3, "unknown model germanium"),
    (".model tube nuvistor mu=100", 3, "unknown kind of model 'nuvistor': there is diode, npn"),
    (".model d diode is=1n m=2", 3, "model d cannot have 'm=2': a diode has is= n=, each once"),
    (".model d diode is=1n", 3, "model d needs n=, as every diode"),
    (".model u opamp gain=1e5 gbw=1meg high=1 low=0", 3, "model u: high= must be at least 1.2 V above low="),
    ("T1 out in 0 1N914", 3, "T1 cannot be of model 1N914, a diode: it is a triode"),
    ("L1 in out 1\nK1 L1 L2 0.9", 4, "K1 couples L2, which is no inductor here"),
    ("L1 in out 1\nL2 out 0 1\nK1 L1 L2 1", 5, "K1 should couple two windings by less than 1"),
    (".device a\n.device b", 4, "there is a second .device"),
    ("R1 in out 1e400", 3, "the value 1e400 is too large"),
    ("R1 in out 1k\nR2 b out 1k\nV1 b 0 1\nV2 b 0 2", 6, "V2 closes a ring of voltage sources"),
    ("R1 in out 1k\nE1 in 0 out 0 2", 4, "E1 closes a ring of voltage sources"),
    ("L1 in out 1\nL2 out 0 1\nK1 L1 L2 .5\nK2 L2 L1 .4", 6, "K2 couples two windings that are coupled already"),
    ("L1 in out 1\nL2 out 0 1\nL3 out 0 1\nK1 L1 L2 .9\nK2 L1 L3 .9\nK3 L2 L3 .1", 8, "contradict each other"),
    (".knob tone 1.5", 3, "knob tone at 1.5 is outside 0..1"),
    (".knob tone 0.5", 3, "knob tone turns nothing"),
    (".knob 2tone 0.5", 3, "'2tone' is no name"),
    ("P1 in out 0 10k tone linear", 3, "unknown knob tone"),
    ("P1 in out 0 10k tone square", 3, "unknown taper 'square'"),
    ("R1 in out 1k\nR1 out 0 1k", 4, "there is a second R1"),
    (".input in", 3, "there is a second .input"),
    ("R1 in out 1k\nR2 out 0 1k\n\n* typo\nR3 out uot 1k", 7, "node uot is floating: nothing else"),
    ("C1 in out 1n\nC2 out 0 1n", 2, "node out is floating: it has no resistive path"),
    ("C1 in mid 1n\nC2 mid out 1n\nR1 out 0 1k", 3, "node mid is floating: it has no resistive path"),
    ("R1 in 0 1k", 2, "node out is floating: nothing else"),
    ("C1 in grid 1n\nT1 out grid 0 12AX7\nV1 b 0 9\nR1 b out 1k", 3, "node grid is floating: it has no resistive"),
    ("R1 in 0 1k\nR2 out 0 1k\nV1 b 0 9\nR3 b out 1k\nR4 b in 1k", 2, "the output hears nothing of the input"),
]


@pytest.mark.parametrize(("lines", "number", "complaint"), BROKEN)
def test_broken_netlists_name_file_and_line(tmp_path, lines, number, complaint):
    with pytest.raises(InputError) as caught:
        circuit_of(tmp_path, JACKS + lines + "\n")
    assert caught.value.message.startswith(f"{tmp_path / 'trial.cir'}:{number}: ")
    assert complaint in caught.value.message
    assert "\n" not in caught.value.message


def test_netlists_that_are_no_circuit(tmp_path):
    with pytest.raises(InputError, match=r"trial.cir:1: the netlist has no .output line"):
        circuit_of(tmp_path, ".input in")
    with pytest.raises(InputError, match=r"no circuit named 'tubescreamer': there is .*tube_screamer"):
        load_circuit("tubescreamer")
    with pytest.raises(InputError, match="cannot be read"):
        load_circuit(tmp_path / "absent.cir")
    with pytest.raises(InputError, match="no circuit named 'my/tube_screamer'"):
        load_circuit("my/tube_screamer")  # a folder that was meant, and the suffix forgotten
    # The transconductance takes from the node what the resistor brings, whatever its voltage.
    cancelled = "R1 in mid 1k\nG1 mid 0 mid 0 -1m\nE1 x 0 mid 0 1\nR2 x out 1k\nR3 out 0 1k\n"
    with pytest.raises(InputError, match="no unique solution"):
        process(circuit_of(tmp_path, JACKS + cancelled), np.zeros(9), RATE)


def test_values_and_comments(tmp_path):
    text = JACKS + "* a divider\n\nR1 in out 4.7K ; upper\nr2 out 0 .0047MEG\n"
    halved = process(circuit_of(tmp_path, text), sine(100, 1.0, 0.1), RATE, 1)
    np.testing.assert_allclose(halved, sine(100, 0.5, 0.1), atol=1e-12)


def test_simulated_capture_is_the_circuit_on_the_take(tmp_path):
    paths = simulate_capture(tmp_path / "capture", knobs={"drive": 0.9, "level": 1.0}, seconds=2.0, seed=5)
    assert [path.name for path in paths] == ["di.wav", "amp.wav"]
    di, amp = (audio.read(path) for path in paths)
    assert di.sample_rate_hz == amp.sample_rate_hz == RATE
    assert len(di.samples) == len(amp.samples) == 2 * RATE
    assert 0.2 / DI_VOLTS_PER_FULL_SCALE < np.abs(di.samples).max() < 1.0
    assert np.abs(amp.samples).max() < 1.0
    circuit = load_circuit("tube_screamer")
    expected = process(circuit, di.samples * DI_VOLTS_PER_FULL_SCALE, RATE, drive=0.9, level=1.0)
    assert ratio_db(amp.samples * circuit.volts_per_full_scale - expected, expected) < -80.0


def test_capture_that_would_clip_is_refused(tmp_path):
    netlist = tmp_path / "loud.cir"
    netlist.write_text(".input in\n.output out 1\nR1 in 0 1meg\nE1 out 0 in 0 10\nR2 out 0 1k\n")
    with pytest.raises(InputError, match=r"loud.cir: the output peaks at .* V, beyond the 1 V"):
        simulate_capture(tmp_path, str(netlist), seconds=1.0)
    assert not (tmp_path / "di.wav").exists()


def test_simulate_command(tmp_path):
    arguments = ["--knob", "drive=0.7", "--knob", "tone=0.4", "--seconds", "1", "--seed", "3", "--out", str(tmp_path)]
    result = CliRunner().invoke(simulate, arguments)
    assert result.exit_code == 0, result.output
    assert "amp.wav: 1 s, peak -" in result.output
    by_hand = simulate_capture(tmp_path / "again", knobs={"drive": 0.7, "tone": 0.4}, seconds=1.0, seed=3)
    assert [Path(tmp_path, path.name).read_bytes() for path in by_hand] == [path.read_bytes() for path in by_hand]
    again = CliRunner().invoke(simulate, arguments)  # di.wav may be somebody's own guitar
    assert again.exit_code == 2 and "di.wav exists; --force overwrites it" in again.output
    assert CliRunner().invoke(simulate, [*arguments, "--force"]).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--knob", "drive"], "--knob drive: write it as NAME=POSITION"),
        (["--guitar", "banjo"], "there is no guitar 'banjo': there is"),
        (["--knob", "drive=0.1", "--knob", "drive=0.2"], "--knob drive is given twice"),
        (["--knob", "drive=nan"], "knob drive at nan is outside 0..1"),
        (["--knob", "gain=0.5"], "no knob 'gain'"),
        (["--circuit", "fuzz"], "no circuit named 'fuzz'"),
        (["--seconds", "0.5"], "0.5 seconds are outside 1 to 600"),
        (["--seconds", "nan"], "nan seconds are outside"),
        (["--seed", "-1"], "the seed -1 is below 0"),
    ],
)
def test_simulate_command_complains_in_one_line(tmp_path, arguments, complaint):
    result = CliRunner().invoke(simulate, [*arguments, "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert complaint in result.output
    assert len(result.output.splitlines()) == 1


def test_odd_netlists_play(tmp_path):
    """The mark of Windows editors, a knob that is called self, parts with both ends on one node."""
    odd = ".knob self 0.5\nP1 in out 0 10k self linear\nD1 out out 1N914\nQ1 out out out 2N5088\nT1 out out out 12AX7\n"
    path = tmp_path / "odd.cir"
    path.write_text("\ufeff" + JACKS + odd, encoding="utf-8")
    np.testing.assert_allclose(process(load_circuit(path), np.ones(9), RATE, 1), 0.5, rtol=1e-6)


@pytest.mark.parametrize("name", ["tube_screamer", "champ"])
def test_lines_in_another_order_are_the_same_circuit_to_the_bit(tmp_path, name):
    bundled = load_circuit(name)
    directives, elements = [], []
    for line in bundled.path.read_text().splitlines():
        (directives if line.startswith(".") else elements).append(line)
    shuffled = circuit_of(tmp_path, "\n".join([*directives, *reversed(elements)]))
    assert shuffled.digest() == bundled.digest()
    volts = sine(220, 0.3, 0.02)
    np.testing.assert_array_equal(process(shuffled, volts, RATE), process(bundled, volts, RATE))
