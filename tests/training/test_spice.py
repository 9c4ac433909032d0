"""Our simulator against ngspice, which shares no code with it: every device, and every kind of element by itself."""

import os
import zlib
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import pytest
from scipy import signal

from training.circuits import SimulationError, bundled_circuits, load_circuit, spice
from training.circuits.simulate import process_many
from training.circuits.spice import deck, real_time_factor, spice_process, spice_run
from training.errors import InputError

RATE = 8 * 48_000
JACKS = ".input in\n.output out 5\n"


@pytest.fixture(scope="module")
def ngspice():
    try:
        spice.check_spice()
    except InputError as error:
        pytest.skip(error.message)


@pytest.fixture(scope="module")
def take(guitar):
    """A chord that dies away, peak 1 V, at 8 times the audio's rate [34560]: 10 ms of silence, then 80 ms."""
    notes = [guitar[frame:][:3840] for frame in (0, 400, 900)]
    chord = np.concatenate([np.zeros(480), np.sum(notes, axis=0) * np.linspace(1.0, 0.1, 3840)])
    chord[480:528] *= np.linspace(0.0, 1.0, 48)
    return signal.resample_poly(chord / np.abs(chord).max(), 8, 1, window=("kaiser", 12.0))


@pytest.fixture
def circuit_of(tmp_path):
    def build(text):
        path = tmp_path / "trial.cir"
        path.write_text(text)
        return load_circuit(path)

    return build


def esr_db(played, reference):
    return 10.0 * np.log10(np.sum((played - reference) ** 2) / np.sum(reference**2))


def settings_of(circuit):
    """Three: the knobs as they stand, all turned up, and a draw that is another one for each device."""
    rng = np.random.default_rng(zlib.crc32(circuit.name.encode()))
    return [{}, dict.fromkeys(circuit.knobs, 1.0), {knob: rng.uniform(0.1, 0.9) for knob in circuit.knobs}]


@pytest.mark.parametrize("name", bundled_circuits())
def test_device_against_ngspice(name, ngspice, take):
    circuit = load_circuit(name)
    settings = settings_of(circuit)
    quiet = 1e-4
    takes = np.stack([take, take, take, quiet * take])
    ours = process_many(circuit, takes, [*settings, settings[1]], RATE, 1)
    with ThreadPoolExecutor() as threads:
        judged = threads.map(lambda knobs: spice_process(circuit, take, RATE, **knobs), settings)
        for played, expected, knobs in zip(ours[:3], judged, settings, strict=True):
            assert esr_db(played, expected) < -90.0, knobs
    # So that the agreement is one about distortion.
    assert esr_db(ours[3] / quiet, ours[1]) > -20.0


TUBES = ".model EL84 pentode mu=19 ex=1.35 kg1=600 kg2=4500 kp=130 kvb=24\nV1 ht 0 320\n"
KINDS = {
    "npn": ".model q npn is=5.9e-15 bf=600 br=1.27\nV1 b 0 9\nC1 in base 100n\nR1 b base 430k\nR2 base 0 43k\n"
    "Q1 col base em q\nR3 b col 10k\nR4 em 0 390\nC2 col out 1u\nR5 out 0 100k\nC3 base col 470p\n",
    "germanium pnp": ".model q pnp is=1u bf=80 br=5\nV1 b 0 -9\nC1 in b1 2.2u\nQ1 c1 b1 0 q\nR1 b c1 33k\n"
    "Q2 c2 c1 e2 q\nR2 c2 b 8.2k\nR3 e2 0 1k\nC2 e2 0 20u\nR4 e2 b1 100k\nC3 c2 out 10n\nR5 out 0 500k\n",
    "diodes": ".model led diode is=1e-18 n=1.8\n.model ge diode is=300n n=1.2\nR1 in out 2.2k\nC1 out 0 10n\n"
    "D1 out 0 ge\nD2 0 mid 1N914\nD3 mid out led\n",
    "triodes": "V1 b 0 300\nR0 in grid 68k\nR1 grid 0 1meg\nT1 plate grid cath 12AX7\nR2 b plate 100k\nR3 cath 0 1.5k\n"
    "C1 cath 0 25u\nC2 plate g2 22n\nR4 g2 0 470k\nT2 plate2 g2 c2 12AX7\nR5 b plate2 100k\nR6 c2 0 820\n"
    "C3 plate2 out 22n\nR7 out 0 1meg\n",
    "pentode": TUBES + "E1 drv 0 in 0 20\nC1 drv g 22n\nR1 g 0 470k\nT1 p s g k EL84\nR2 k 0 130\nC2 k 0 50u\n"
    "R3 ht p 4.7k\nR4 ht s 1k\nC3 s 0 10u\nC4 p out 100n\nR5 out 0 100k\n",
    "transformer": TUBES + "E1 drv 0 in 0 20\nC1 drv g 22n\nR1 g 0 470k\nT1 p ht g k EL84\nR2 k 0 130\nC2 k 0 50u\n"
    "L1 ht p 8\nL2 0 out 20m\nK1 L1 L2 0.998\nR3 out 0 8\n",
    "inductor": "R1 in mid 1k\nL1 mid out 100m\nC1 out 0 100n\nR2 out 0 10k\nV1 b 0 9\nR3 b mid 1k\n",
    "op-amp with slew": ".model lm opamp gain=1e5 gbw=1meg high=4.3 low=-4.1 slew=300k\nR0 in 0 1meg\n"
    "A1 out in minus lm\nR1 minus 0 1k\nC1 minus out 20p\nR2 out minus 100k\nR3 out 0 10k\n",
    "transconductance": "R0 in 0 1meg\nG1 0 out in 0 2m\nR1 out 0 1k\nD1 out 0 1N914\nD2 0 out 1N914\n",
    "tubes on ground": TUBES
    + "R0 in g 68k\nT1 p1 g k 12AX7\nT2 p2 0 k 12AX7\nR1 ht p1 100k\nR2 ht p2 100k\nR3 k 0 820\n"
    "C1 p2 g3 22n\nR4 g3 0 470k\nT3 ht ht g3 out EL84\nR5 out 0 1k\n",
}
"""Netlists of little else than one kind of element."""


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_element_against_ngspice(kind, ngspice, take, circuit_of):
    circuit = circuit_of(JACKS + KINDS[kind])
    volts = 0.6 * take[:20_000]
    judged = spice_run(circuit, volts, RATE, {})
    assert judged.shortened == 0
    assert esr_db(process_many(circuit, volts[None], [{}], RATE, 1)[0], judged.volts) < -95.0


def test_a_resistor_that_is_off_by_a_thousandth_is_noticed(ngspice, take, circuit_of):
    right, wrong = (circuit_of(JACKS + KINDS["diodes"].replace("2.2k", ohms)) for ohms in ("2.2k", "2.2022k"))
    played = process_many(wrong, take[None, :20_000], [{}], RATE, 1)[0]
    assert esr_db(played, spice_process(right, take[:20_000], RATE)) > -85.0


def test_a_low_pass_by_hand(ngspice, circuit_of):
    """The judge judged: the trapezoidal rule of one capacitor, from rest, is one line."""
    volts = np.random.default_rng(0).normal(size=500)
    played = spice_process(circuit_of(JACKS + "R1 in out 1k\nC1 out 0 1n\n"), volts, RATE)
    ratio = 1e3 * 1e-9 * 2.0 * RATE
    expected = signal.lfilter([1.0, 1.0], [1.0 + ratio, 1.0 - ratio], volts)
    np.testing.assert_allclose(played, expected, atol=1e-9)


AWKWARD = """.input In-1
.output OUT 300
.knob turn 0.5
.device a device of odd names
.model clamp diode is=1p n=1
.model lm opamp gain=1e5 gbw=1meg high=4.3 low=-4.3
P1 In-1 In-1 gnd 10k turn linear
R1 gnd 0 1k
R2 gnd out 1k
r2 out OUT 1k
D1 OUT 0 clamp
A1 In_1 In-1 In_1 lm
R3 In_1 0 1k
"""


def test_names_that_spice_would_confuse(ngspice, circuit_of):
    circuit = circuit_of(AWKWARD)
    written = deck(circuit, {"turn": 0.25})
    assert written.startswith("* a device of odd names\nv_input n_in_1 0 dc 0 ac 1\nr_p1_bottom n_in_1 n_gnd 2500.0\n")
    for line in (
        "r1 n_gnd 0 1000.0",
        "r2 n_gnd n_out_2 1000.0",
        "r2_2 n_out_2 n_out 1000.0",
        ".model m_clamp d(is=1e-12 n=1.0)",
        "d1 n_out 0 m_clamp",
        ".model m_clamp_2 d(is=1e-14 n=1.0)",
        "d_a1_dhigh n_a1_pole n_a1_high m_clamp_2",
        "g_a1_gm 0 n_a1_pole n_in_1 n_in_1_2 0.001",
        "r3 n_in_1_2 0 1000.0",
    ):
        assert line in written.splitlines()
    names = [line.split()[0] for line in written.splitlines() if not line.startswith((".", "*"))]
    assert len(names) == len(set(names)) == 15
    assert np.isfinite(spice_process(circuit, np.ones(100), RATE)).all()


def test_germanium_has_its_reverse_current_only_when_exact(circuit_of):
    circuit = circuit_of(JACKS + KINDS["germanium pnp"])
    assert "b_q1_exact_be n_b1 0 i=" in deck(circuit, {})
    assert "b_q1" not in deck(circuit, {}, exact=False)


def test_ngspice_has_a_speed(ngspice, take):
    assert 1e-3 < real_time_factor(load_circuit("tube_screamer"), take[:10_000], RATE, drive=1.0) < 1e3


def test_without_the_library_there_is_one_line(monkeypatch, take):
    def missing():
        raise OSError("libngspice.so.0: cannot open shared object file")

    monkeypatch.setattr(spice, "_library", missing)
    with pytest.raises(InputError, match=r"^libngspice.so.0 is missing: please install libngspice0$"):
        spice_process(load_circuit("tube_screamer"), take, RATE)


def test_wrong_knobs_and_wrong_audio_are_refused(take):
    circuit = load_circuit("tube_screamer")
    with pytest.raises(InputError, match="no knob 'gain'"):
        spice_process(circuit, take, RATE, gain=0.5)
    for wrong in (np.array([0.0, np.nan]), np.zeros((2, 10))):
        with pytest.raises(ValueError, match="one channel of finite samples"):
            spice_process(circuit, wrong, RATE)


def test_when_ngspice_gives_up_it_says_why_and_lives_on(ngspice, take, circuit_of):
    # A diode in reverse across a negative resistance: from some current on, no voltage satisfies both.
    circuit = circuit_of(
        JACKS + "R1 in out 1k\nE1 echo 0 out 0 2\nR2 out echo 900\n.model d diode is=1n n=1\nD1 out 0 d\n"
    )
    volts = np.zeros(2000)
    volts[1000:] = -5.0
    with pytest.raises(SimulationError, match=r"trial.cir: ngspice: .*Timestep too small") as caught:
        spice_process(circuit, volts, RATE)
    assert "\n" not in caught.value.message
    assert spice_process(circuit, np.zeros(100), RATE).shape == (100,)


def test_a_process_that_ngspice_has_ended_is_replaced(ngspice, circuit_of):
    circuit = circuit_of(JACKS + "R1 in out 1k\nR2 out 0 1k\n")
    with pytest.raises(BrokenProcessPool):
        spice._children().submit(os._exit, 3).result()
    with pytest.raises(SimulationError, match="ngspice ended its process"):
        spice_process(circuit, np.ones(10), RATE)
    np.testing.assert_allclose(spice_process(circuit, np.ones(10), RATE), 0.5)
