"""The amplifiers' netlists against printed voltages, published gains and formulas that share no code with them."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy import optimize

from training.circuits import load_circuit, process
from training.circuits.netlist import GROUND, Amplifier, Inductor, Resistor
from training.circuits.simulate import process_many

RATE = 48_000
AMPS = ("fender", "vox", "plexi", "jcm800", "high_gain", "champ", "power_amp")


PROBED = {
    "fender": ("p1", "k1", "g2", "p2"),
    "vox": ("g1", "p1", "k1"),
    "plexi": ("p3",),
    "jcm800": ("g2", "p2"),
    "high_gain": ("p1", "g2", "p2", "g3", "k3", "p3", "c3", "g4", "p4"),
    "champ": ("k3",),
    "power_amp": ("ht", "p4"),
}


def probe(name, node, volts, **knobs):
    """The volts at a node instead of the output jack, at one step a sample.

    The new output is a sum of all probed nodes, of which all but one weigh nothing: so one program, compiled once,
    serves them all.
    """
    circuit = load_circuit(name)
    chain = (GROUND, *(f"probe_{number}" for number, _ in enumerate(PROBED[name])))
    probes = [
        Amplifier(f"E{above}", (above, below, each, GROUND), 0, float(each == node))
        for each, below, above in zip(PROBED[name], chain, chain[1:], strict=False)
    ]
    probed = replace(circuit, elements=(*circuit.elements, *probes), output_node=chain[-1])
    return process(probed, volts, RATE, 1, **knobs)


def sine(hertz, volts, seconds=0.3, rate=RATE):
    return volts * np.sin(2.0 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def fundamental(samples, hertz, seconds=0.1, rate=RATE):
    """The complex amplitude at `hertz` in the last `seconds`, which hold whole periods."""
    count = round(seconds * rate)
    turns = np.exp(-2j * np.pi * hertz * np.arange(count) / rate)
    return 2.0 * np.mean(samples[-count:] * turns)


def gain(name, grid, plate, hertz):
    """From one node to another, for a signal too small to bend anything."""
    small = sine(hertz, 1e-4)
    ends = [fundamental(probe(name, node, small), hertz) for node in (plate, grid)]
    return abs(ends[0] / ends[1])


def triode_amperes(plate, grid):
    """Koren's 12AX7, by hand."""
    inner = 600.0 * (1.0 / 100.0 + grid / np.sqrt(300.0 + plate**2))
    return 2.0 / 1060.0 * (plate / 600.0 * np.log1p(np.exp(inner))) ** 1.4


def resting_triode(supply, plate_ohms, cathode_ohms):
    """The volts of plate and cathode where load line and cathode resistor meet the tube."""

    def excess(amperes):
        cathode = amperes * cathode_ohms
        return triode_amperes(supply - amperes * plate_ohms - cathode, -cathode) - amperes

    amperes = optimize.brentq(excess, 1e-6, 0.99 * supply / (plate_ohms + cathode_ohms), xtol=1e-12)
    return supply - amperes * plate_ohms, amperes * cathode_ohms


def tube_constants(plate, grid):
    """mu and the plate resistance at a point, by differences."""
    by_plate = (triode_amperes(plate + 0.1, grid) - triode_amperes(plate - 0.1, grid)) / 0.2
    by_grid = (triode_amperes(plate, grid + 1e-3) - triode_amperes(plate, grid - 1e-3)) / 2e-3
    return by_grid / by_plate, 1.0 / by_plate


@pytest.mark.parametrize(
    ("name", "node", "volts", "within"),
    [
        ("fender", "p1", 270.0, 0.03),  # printed on Fender's AB763 schematic, as the next
        ("fender", "k1", 2.1, 0.05),
        ("fender", "p2", 270.0, 0.03),
        ("vox", "k1", 1.6, 0.12),  # R. Kuehnel, load lines on the data sheet's curves, as all below
        ("high_gain", "p1", 197.0, 0.02),
        ("high_gain", "p2", 240.0, 0.03),
        ("high_gain", "k3", 4.0, 0.05),
        ("champ", "k3", 19.0, 0.07),  # printed on Fender's 5F1 schematic
        ("power_amp", "ht", 460.0, 0.02),
    ],
)
def test_the_voltages_at_rest_are_those_on_the_schematics(name, node, volts, within):
    assert probe(name, node, np.zeros(1))[0] == pytest.approx(volts, rel=within)


@pytest.mark.parametrize(
    ("name", "supply", "plate_ohms", "cathode_ohms", "plate"),
    [
        ("fender", 410.0, 100e3, 1.5e3, "p2"),
        ("vox", 275.0, 220e3, 3e3, "p1"),
        ("plexi", 330.0, 100e3, 820.0, "p3"),
        ("jcm800", 290.0, 100e3, 10e3, "p2"),
        ("high_gain", 350.0, 100e3, 39e3, "p3"),
    ],
)
def test_a_stage_rests_where_its_load_line_meets_the_tube(name, supply, plate_ohms, cathode_ohms, plate):
    plate_volts, _ = resting_triode(supply, plate_ohms, cathode_ohms)
    # The grid of a cathode follower on the plate takes a microampere at these; the Vox's takes much more.
    assert probe(name, plate, np.zeros(1))[0] == pytest.approx(plate_volts, abs=0.5)


@pytest.mark.parametrize(
    ("name", "stage", "nodes", "load_ohms", "bypassed", "hertz"),
    [
        ("fender", (410.0, 100e3, 1.5e3), ("g2", "p2"), 440e3, True, 200),
        ("vox", (275.0, 220e3, 3e3), ("g1", "p1"), 500e3, True, 2000),
        ("jcm800", (290.0, 100e3, 10e3), ("g2", "p2"), 940e3, False, 200),
        ("high_gain", (350.0, 100e3, 39e3), ("g3", "p3"), 330e3 * 2.2e6 / (330e3 + 2.2e6), False, 200),
    ],
)
def test_a_stage_amplifies_by_the_textbook_formula(name, stage, nodes, load_ohms, bypassed, hertz):
    plate_volts, cathode_volts = resting_triode(*stage)
    mu, inner_ohms = tube_constants(plate_volts - cathode_volts, -cathode_volts)
    plate_ohms = 1.0 / (1.0 / stage[1] + 1.0 / load_ohms)
    degeneration = 0.0 if bypassed else (mu + 1.0) * stage[2]
    expected = mu * plate_ohms / (plate_ohms + inner_ohms + degeneration)
    assert gain(name, *nodes, hertz) == pytest.approx(expected, rel=0.03)


def test_the_gains_of_the_high_gain_stages_are_those_published():
    published = {("g2", "p2"): 60.0, ("p2", "g3"): 0.68, ("g3", "c3"): 1.8, ("g4", "p4"): 74.0}  # R. Kuehnel
    for nodes, expected in published.items():
        assert gain("high_gain", *nodes, 400) == pytest.approx(expected, rel=0.12)


def yeh_response(s, treble, mid, bass, ohms, farads):
    """The Fender and Marshall tone stack without load: D. T. Yeh & J. O. Smith, "Discretization of the '59 Fender
    Bassman tone stack", DAFx 2006. `ohms`: treble, bass, mid, slope; `farads`: treble, bass, mid."""
    r1, r2, r3, r4 = ohms
    c1, c2, c3 = farads
    t, m, low = treble, mid, bass
    b1 = t * c1 * r1 + m * c3 * r3 + low * (c1 * r2 + c2 * r2) + (c1 * r3 + c2 * r3)
    b2 = (
        t * (c1 * c2 * r1 * r4 + c1 * c3 * r1 * r4)
        - m**2 * (c1 * c3 * r3**2 + c2 * c3 * r3**2)
        + m * (c1 * c3 * r1 * r3 + c1 * c3 * r3**2 + c2 * c3 * r3**2)
        + low * (c1 * c2 * r1 * r2 + c1 * c2 * r2 * r4 + c1 * c3 * r2 * r4)
        + low * m * (c1 * c3 * r2 * r3 + c2 * c3 * r2 * r3)
        + (c1 * c2 * r1 * r3 + c1 * c2 * r3 * r4 + c1 * c3 * r3 * r4)
    )
    c = c1 * c2 * c3
    b3 = (
        low * m * c * (r1 * r2 * r3 + r2 * r3 * r4)
        - m**2 * c * (r1 * r3**2 + r3**2 * r4)
        + m * c * (r1 * r3**2 + r3**2 * r4)
        + t * c * r1 * r3 * r4
        - t * m * c * r1 * r3 * r4
        + t * low * c * r1 * r2 * r4
    )
    a1 = (c1 * r1 + c1 * r3 + c2 * r3 + c2 * r4 + c3 * r4) + m * c3 * r3 + low * (c1 * r2 + c2 * r2)
    a2 = (
        m * (c1 * c3 * r1 * r3 - c2 * c3 * r3 * r4 + c1 * c3 * r3**2 + c2 * c3 * r3**2)
        + low * m * (c1 * c3 * r2 * r3 + c2 * c3 * r2 * r3)
        - m**2 * (c1 * c3 * r3**2 + c2 * c3 * r3**2)
        + low * (c1 * c2 * r2 * r4 + c1 * c2 * r1 * r2 + c1 * c3 * r2 * r4 + c2 * c3 * r2 * r4)
        + (c1 * c2 * r1 * r4 + c1 * c3 * r1 * r4 + c1 * c2 * r3 * r4)
        + (c1 * c2 * r1 * r3 + c1 * c3 * r3 * r4 + c2 * c3 * r3 * r4)
    )
    a3 = (
        low * m * c * (r1 * r2 * r3 + r2 * r3 * r4)
        - m**2 * c * (r1 * r3**2 + r3**2 * r4)
        + m * c * (r3**2 * r4 + r1 * r3**2 - r1 * r3 * r4)
        + low * c * r1 * r2 * r4
        + c * r1 * r3 * r4
    )
    return (b1 * s + b2 * s**2 + b3 * s**3) / (1.0 + a1 * s + a2 * s**2 + a3 * s**3)


def audio_taper(x):
    return (31.0**x - 1.0) / 30.0


# The position of a mid pot that is a variable resistor scales the resistance instead, with the formula's m at 1; the
# knobs as (treble, mid, bass) of a setting are turned into the fractions of their tracks.
STACKS = {
    "fender": ("p1", "tone", lambda t, m, b: (audio_taper(t), 1.0, audio_taper(b), 10e3 * m)),
    "vox": ("k3", "tone", lambda t, m, b: (audio_taper(t), 1.0, audio_taper(b), 10e3)),
    "plexi": ("k4", "out", lambda t, m, b: (t, m, audio_taper(b), 25e3)),
    "jcm800": ("k4", "tone", lambda t, m, b: (t, m, audio_taper(b), 22e3)),
    "high_gain": ("k5", "tone", lambda t, m, b: (t, m, audio_taper(b), 25e3)),
}
STACK_VALUES = {  # treble and bass pot, slope; treble, bass and mid capacitor
    "fender": (250e3, 250e3, 100e3, 250e-12, 100e-9, 47e-9),
    "vox": (1e6, 1e6, 100e3, 50e-12, 22e-9, 22e-9),
    "plexi": (250e3, 1e6, 33e3, 470e-12, 22e-9, 22e-9),
    "jcm800": (220e3, 1e6, 33e3, 470e-12, 22e-9, 22e-9),
    "high_gain": (250e3, 1e6, 47e3, 470e-12, 20e-9, 20e-9),
}


@pytest.mark.parametrize("name", STACKS)
def test_the_tone_stack_is_the_published_one(tmp_path, name):
    driver, output, fractions = STACKS[name]
    section = load_circuit(name).path.read_text().split("* Tone stack")[1].split("\n\n")[0].split("\n", 1)[1]
    knobs = [knob for knob in ("treble", "mid", "bass") if f" {knob}" in section]
    text = f".input {driver}\n.output {output} 1\n" + "".join(f".knob {knob} 0.5\n" for knob in knobs)
    path = tmp_path / "stack.cir"
    path.write_text(text + section + f"\nRload {output} 0 1t\n")
    stack = load_circuit(path)

    # At one step a sample the trapezoidal rule is the bilinear transform, so that even the step leaves no error.
    rate, count = 192_000, 2**15
    hertz = np.fft.rfftfreq(count, 1.0 / rate)
    audible = (hertz > 50.0) & (hertz < 20_000.0)
    s = 2j * rate * np.tan(np.pi * hertz[audible] / rate)
    treble_ohms, bass_ohms, slope_ohms, *farads = STACK_VALUES[name]
    impulse = np.zeros(count)
    impulse[0] = 1.0
    for treble, mid, bass in ((0.5, 0.5, 0.5), (0.9, 0.2, 0.3), (0.2, 0.8, 0.9)):
        setting = {"treble": treble, "mid": mid, "bass": bass}
        heard = process(stack, impulse, rate, 1, **{knob: setting[knob] for knob in knobs})
        t, m, low, mid_ohms = fractions(treble, mid, bass)
        expected = yeh_response(s, t, m, low, (treble_ohms, bass_ohms, mid_ohms, slope_ohms), farads)
        assert np.abs(np.fft.rfft(heard)[audible] - expected).max() < 1e-3 * np.abs(expected).max()


def with_load(name, ohms):
    """The amplifier with a resistor in place of its loudspeaker."""
    circuit = load_circuit(name)
    amplifier = [e for e in circuit.elements if not {"coil", "cone"} & set(e.nodes)]
    return replace(circuit, elements=(*amplifier, Resistor("Rload", ("spk", "0"), 0, ohms)))


@pytest.mark.parametrize(
    ("name", "ohms", "volts", "watts"),
    [("power_amp", 8.0, 0.15, (45.0, 75.0)), ("champ", 4.0, 0.1, (4.0, 7.0))],
)
def test_where_it_begins_to_clip_an_amplifier_gives_the_power_of_its_class(name, ohms, volts, watts):
    loud = [process(with_load(name, ohms), sine(400, drive), RATE, volume=0.8)[-4800:] for drive in (volts, 3 * volts)]
    clean, clipped = (np.mean(samples**2) / ohms for samples in loud)
    assert watts[0] < clean < watts[1]
    assert clipped < 1.6 * clean  # three times the input would be nine times the power


def test_the_supply_sags_at_full_power_and_comes_back():
    burst = np.concatenate([sine(400, 0.2), np.zeros(RATE // 5)])
    supply = probe("power_amp", "ht", burst, volume=0.8)
    full_power = np.mean(supply[12_000:14_400])
    assert 0.05 < 1.0 - full_power / supply[0] < 0.15
    assert supply[-1] == pytest.approx(supply[0], rel=0.02)


def test_the_power_tubes_idle_at_the_current_of_the_schematics_bias():
    drop = probe("power_amp", "ht", np.zeros(1))[0] - probe("power_amp", "p4", np.zeros(1))[0]
    winding = next(e.ohms for e in load_circuit("power_amp").elements if e.nodes == ("p4", "l4"))
    assert drop / winding == pytest.approx(0.040, rel=0.1)  # 70 % of 25 W at 450 V


@pytest.mark.parametrize(
    ("name", "resistor", "decibels"),
    [
        ("power_amp", "R15", (6.0, 14.0)),
        # The Champ by hand: 24 in the second stage, 23 in the 6V6, 1 / 41.8, 1.5k / 23.5k: a loop of 0.84, 5.3 dB.
        ("champ", "R10", (4.0, 6.0)),
    ],
)
def test_the_loudspeakers_voltage_comes_back_as_negative_feedback(name, resistor, decibels):
    circuit = with_load(name, 8.0 if name == "power_amp" else 4.0)
    opened = replace(circuit, elements=tuple(e for e in circuit.elements if e.name != resistor))
    closed_volts, open_volts = (
        abs(fundamental(process(each, sine(400, 1e-3), RATE), 400)) for each in (circuit, opened)
    )
    assert decibels[0] < 20.0 * np.log10(open_volts / closed_volts) < decibels[1]


def test_the_output_transformer_matches_its_load():
    """3.4k from plate to plate for 8 ohm, 7k for 4 ohm: by the inductances, as the square of the turns."""
    for name, halves, ohms, expected in (("power_amp", ("L2", "L3"), 8.0, 3400.0), ("champ", ("L1",), 4.0, 7000.0)):
        henries = {e.name: e.henries for e in load_circuit(name).elements if isinstance(e, Inductor)}
        secondary = henries["L4" if name == "power_amp" else "L2"]
        primary = (sum(np.sqrt(henries[half]) for half in halves)) ** 2
        assert ohms * primary / secondary == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(
    ("tube", "volts", "plate_amperes", "within"),
    [  # plate, screen and grid volts; data sheets of RCA, GE, Philips and Philips
        ("6V6GT", (250.0, 250.0, -12.5), 0.045, 0.05),
        ("6L6GC", (250.0, 250.0, -14.0), 0.072, 0.15),
        ("EL34", (250.0, 265.0, -13.5), 0.100, 0.16),
        ("EL84", (250.0, 250.0, -7.3), 0.048, 0.02),
    ],
)
def test_the_power_tubes_draw_the_current_of_their_data_sheets(tmp_path, tube, volts, plate_amperes, within):
    plate, screen, grid = volts
    path = tmp_path / "tube.cir"
    path.write_text(
        f".input g\n.output p 1\nV1 hv 0 {plate}\nV2 s 0 {screen}\nR1 hv p 1\nR2 g 0 1meg\nT1 p s g 0 {tube}\n"
    )
    drop = plate - process(load_circuit(path), np.full(200, grid), RATE, 1)[-1]
    assert drop / 1.0 == pytest.approx(plate_amperes, rel=within)


def chord(seconds=0.12):
    """A loud open E from a guitar: six decaying strings of harmonics, 1 V at its peak."""
    time = np.arange(round(seconds * RATE)) / RATE
    strings = [
        np.sin(2.0 * np.pi * hertz * harmonic * time) / harmonic**1.2
        for hertz in (82.4, 123.5, 164.8, 207.7, 246.9, 329.6)
        for harmonic in range(1, 13)
    ]
    volts = np.sum(strings, axis=0) * np.exp(-4.0 * time)
    return volts / np.abs(volts).max()


@pytest.mark.parametrize("name", AMPS)
def test_every_corner_of_the_knobs_plays_and_the_loudest_comes_near_full_scale(name):
    circuit = load_circuit(name)
    corners = [
        dict(zip(circuit.knobs, where, strict=True))
        for where in itertools.product((0.0, 1.0), repeat=len(circuit.knobs))
    ]
    played = process_many(circuit, np.tile(chord(), (len(corners) + 1, 1)), [{}, *corners], RATE)
    assert np.isfinite(played).all()
    peaks = np.abs(played).max(axis=1)
    assert 0.25 * circuit.volts_per_full_scale < peaks.max() < circuit.volts_per_full_scale
    assert peaks[0] > 0.02 * circuit.volts_per_full_scale  # at the default knobs
