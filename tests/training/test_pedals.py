"""The drive pedals against published voltages and calculations by hand, which share nothing with the simulator."""

import dataclasses
import itertools

import numpy as np
import pytest
from scipy import optimize

from training.circuits import load_circuit, process, process_many

RATE = 48_000
THERMAL_VOLTS = 1.380649e-23 * 300.15 / 1.602176634e-19
PEDALS = [
    "tube_screamer",
    "rat",
    "big_muff",
    "fuzz_face",
    "klon",
    "gated_fuzz",
    "treble_booster",
    "distortion_plus",
]
LOUDNESS = {  # the knob that sets it
    "tube_screamer": "level",
    "rat": "volume",
    "big_muff": "volume",
    "fuzz_face": "volume",
    "klon": "output",
    "gated_fuzz": "volume",
    "treble_booster": "boost",
    "distortion_plus": "output",
}


def at_node(pedal, node):
    """The pedal with its output taken from inside."""
    return dataclasses.replace(load_circuit(pedal), output_node=node)


def resting_volts(pedal, node, **knobs):
    return process(at_node(pedal, node), np.zeros(10), RATE, **knobs)[-1]


def sine(hertz, volts, seconds=0.4):
    return volts * np.sin(2.0 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)


def pluck(hertz, seconds=0.25):
    """A bright note of 1 V peak that dies away, its upper partials faster."""
    times = np.arange(round(seconds * RATE)) / RATE
    partials = np.arange(1, int(8000 / hertz))[:, None]
    note = np.sum(np.sin(2 * np.pi * hertz * partials * times) * np.exp(-partials * times) / partials, axis=0)
    return note / np.abs(note).max()


def amplitudes(samples, hertz):
    """Of the harmonics 1.. below 12 kHz, from the last 0.2 s; `hertz` a multiple of 5."""
    last = samples[-RATE // 5 :]
    spectrum = 2.0 * np.abs(np.fft.rfft(last)) / len(last)
    return spectrum[hertz // 5 : 2400 : hertz // 5]


def small_signal(circuit, hertz, **knobs):
    """The complex response at `hertz`, whole numbers."""
    takes = np.zeros((2, RATE))
    takes[0, 200] = 1e-6
    played, silence = process_many(circuit, takes, [knobs, knobs], RATE)
    return (np.fft.rfft(played - silence) / np.fft.rfft(takes[0]))[hertz]


def decibels(ratio):
    return 20.0 * np.log10(np.abs(ratio))


def tapered(position):
    return (31.0**position - 1.0) / 30.0


def parallel(*impedances):
    return 1.0 / sum(1.0 / each for each in impedances)


# Operating points: what the analyses that the files name measured or calculated.


@pytest.mark.parametrize(
    ("pedal", "node", "published", "tolerance"),
    [
        ("fuzz_face", "c1", -0.7, 0.15),  # Keen, ElectroSmash: -0.5 to -0.7 V
        ("fuzz_face", "c2", -4.5, 0.15),  # both: half the battery's
        ("treble_booster", "col", -6.8, 0.3),  # ElectroSmash: -6.8 to -7
    ],
)
def test_published_operating_points(pedal, node, published, tolerance):
    assert resting_volts(pedal, node) == pytest.approx(published, abs=tolerance)


def collector_feedback_volts(base_ohms, emitter_ohms, source_ohms=np.inf):
    """A Big Muff stage at rest: 470k from collector to base, 10k to 9 V; Kirchhoff's laws at its three nodes."""
    saturation, gain = 5.911e-15, 1122.0

    def solve(base_emitter):
        collector_amperes = saturation * np.expm1(base_emitter / THERMAL_VOLTS)
        base_amperes = collector_amperes / gain
        base = base_emitter + (collector_amperes + base_amperes) * emitter_ohms
        feedback = base_amperes + base / base_ohms
        collector = base + 470e3 * feedback
        return collector, (9.0 - collector) / 10e3 - collector_amperes - feedback

    return solve(optimize.brentq(lambda volts: solve(volts)[1], 0.3, 0.8, xtol=1e-14))[0]


@pytest.mark.parametrize(
    ("node", "base_ohms", "emitter_ohms"), [("c4", 47e3, 100.0), ("c3", 100e3, 150.0), ("c2", 100e3, 150.0)]
)
def test_big_muff_collectors_by_hand(node, base_ohms, emitter_ohms):
    by_hand = collector_feedback_volts(base_ohms, emitter_ohms)
    # The second clipping stage also feeds the tone stack, some 10 uA.
    assert resting_volts("big_muff", node) == pytest.approx(by_hand, abs=0.2 if node == "c2" else 1e-3)


def test_fuzz_face_collectors_by_hand():
    """Ebers and Moll's equations for two pnp transistors whose collector junctions are shut; volts below ground."""
    saturation, reverse = 1.5e-6, 10.0

    def solve(first):
        """From the first base-emitter voltage all others follow; what is left is the first collector's current."""
        forward = saturation * np.expm1(first / THERMAL_VOLTS)
        base_amperes = forward / 70.0 - saturation / reverse
        emitter2 = first + 100e3 * base_amperes
        emitter2_amperes = emitter2 / 1e3 + base_amperes
        # i_e = f (1 + 1 / bf) + is, from the transport equations
        forward2 = (emitter2_amperes - saturation) / (1.0 + 1.0 / 120.0)
        base2_amperes = forward2 / 120.0 - saturation / reverse
        collector1 = emitter2 + THERMAL_VOLTS * np.log1p(forward2 / saturation)
        collector2 = 9.0 - (emitter2_amperes - base2_amperes) * (470.0 + 4.1e3 + 0.6 * 8.2e3)
        left = (9.0 - collector1) / 33e3 - base2_amperes - (forward + saturation + saturation / reverse)
        return collector1, collector2, left

    first = optimize.brentq(lambda volts: solve(volts)[2], 0.05, 0.25, xtol=1e-15)
    collector1, collector2, _ = solve(first)
    assert resting_volts("fuzz_face", "c1") == pytest.approx(-collector1, abs=2e-3)
    assert resting_volts("fuzz_face", "c2") == pytest.approx(-collector2, abs=2e-2)


# Small signals.


def rat_response(s, distortion, light):
    """From jack to jack at full volume; `light`: the ohms of the filter's pot. The LM308: gain 3e5, one pole, 1 MHz."""
    to_bias = 1.0 / (1.0 + 1.0 / (s * 22e-9) * (1.0 / 1e6 + 1.0 / (1e3 + 1.0 / (s * 1e-9))))
    to_plus = to_bias / (1.0 + 1e3 * s * 1e-9)
    legs = parallel(47.0 + 1.0 / (s * 2.2e-6), 560.0 + 1.0 / (s * 4.7e-6))
    ideal = 1.0 + parallel(max(100e3 * distortion, 1.0), 1.0 / (s * 100e-12)) / legs
    amplifier = 1.0 / (1.0 / ideal + 1.0 / 3e5 + s / (2.0 * np.pi * 1e6))
    diodes = 1.752 * THERMAL_VOLTS / (2.0 * 2.52e-9)
    to_jfet = 1e6 / (1e6 + 1.0 / (s * 22e-9))
    gate = parallel(1.0 / (s * 3.3e-9), 1e6 + 1.0 / (s * 22e-9))
    filtered = light + 1.5e3 + gate
    clip = parallel(diodes, filtered) / (parallel(diodes, filtered) + 1e3 + 1.0 / (s * 4.7e-6))
    volume = parallel(100e3, 1e6)
    return to_plus * amplifier * clip * gate / filtered * to_jfet * volume / (volume + 1.0 / (s * 1e-6))


@pytest.mark.parametrize(("distortion", "filter_knob"), [(0.0, 0.0), (0.5, 0.4), (1.0, 1.0)])
def test_rat_small_signal_response(distortion, filter_knob):
    hertz = np.unique(np.geomspace(40, 12_000, 100).astype(int))
    expected = rat_response(2j * np.pi * hertz, tapered(distortion), max(100e3 * tapered(filter_knob), 1.0))
    measured = small_signal(load_circuit("rat"), hertz, distortion=distortion, filter=filter_knob, volume=1.0)
    assert np.abs(measured / expected - 1.0).max() < 0.015


def klon_clean_response(s, treble):
    """The Centaur with its gain at 0, where the amplifier's input is ground: three paths into the summing amplifier."""

    def c(farads):
        return 1.0 / (s * farads)

    buffered = 1e6 / (1e6 + 10e3 + c(100e-9))
    # Bass: the node before the gain stage carries 10k || 68n to ground beside the low-pass.
    low_pass = parallel(c(1e-6), 15e3)
    load = parallel(parallel(10e3, c(68e-9)) + 1.0, 1.5e3 + low_pass)
    bass = load / (load + c(100e-9)) * low_pass / (low_pass + 1.5e3) / 15e3
    # Mids: a bridge into 27k and 12k, and a small path through what leads to the diodes, at rest.
    diodes = 1.3 * THERMAL_VOLTS / (2.0 * 200e-9) + 7.0
    dirty = parallel(47e3, c(1e-6) + parallel(diodes, 1e3 + c(1e-6)))
    to_sum = parallel(27e3, 12e3 + c(27e-9))
    aside = 22e3 + c(2.2e-9) + dirty
    mix = parallel(to_sum, aside, 100e3)
    foot = parallel(1.5e3, 1e3 + c(390e-9), mix + 1.0)
    mids = foot / (foot + parallel(5.1e3, c(68e-9))) * mix / (mix + 1.0)
    current = bass + mids / to_sum + mids * dirty / aside / 47e3
    mixed = -current * parallel(392e3, c(820e-12))
    near, far = 1.8e3 + max(10e3 * (1.0 - treble), 1.0), 4.7e3 + max(10e3 * treble, 1.0)
    node = 1.0 / near + 1.0 / far + s * 3.9e-9  # siemens at the wiper
    through = s * 3.9e-9
    loop = (2e-5 + through - through**2 / node) * (1.0 / 2e5 + s / (2.0 * np.pi * 3e6))  # the TL072's gain is finite
    shelf = -(1e-5 + through / (near * node)) / (1e-5 + through / (far * node) + loop)
    output = parallel(10e3, 100e3)
    return buffered * mixed * shelf * output / (output + 560.0 + c(4.7e-6))


@pytest.mark.parametrize("treble", [0.0, 0.5, 1.0])
def test_klon_clean_path(treble):
    hertz = np.unique(np.geomspace(40, 12_000, 100).astype(int))
    expected = klon_clean_response(2j * np.pi * hertz, treble)
    measured = small_signal(load_circuit("klon"), hertz, gain=0.0, treble=treble, output=1.0)
    assert np.abs(measured / expected - 1.0).max() < 0.02


def test_distortion_plus_gain_and_bass():
    """1 + 1 meg / 4.7k = 46.6 dB between the bass that its 47 nF takes and the treble that an LM741 does not have."""
    hertz = np.array([100, 1200, 10_000])
    at_full = small_signal(at_node("distortion_plus", "amp"), hertz, distortion=1.0)
    s = 2j * np.pi * hertz
    plus = 1e6 / (1e6 + 10e3 + 1.0 / (s * 10e-9))
    ideal = 1.0 + 1e6 / (4.7e3 + 1.0 + 1.0 / (s * 47e-9))
    np.testing.assert_allclose(at_full, plus / (1.0 / ideal + 1.0 / 2e5 + s / (2.0 * np.pi * 1e6)), rtol=0.015)
    assert decibels(at_full[1]) == pytest.approx(46.0, abs=0.5)


def big_muff_tone(s, tone):
    """From the second clipping stage to the wiper: Kirchhoff's law at both ends of the pot and at its wiper."""
    emitter_amperes = (9.0 * 100e3 / 530e3 - 0.65) / 3.3e3
    base = parallel(430e3, 100e3, 1123.0 * (3.3e3 + THERMAL_VOLTS / emitter_amperes)) + 1.0 / (s * 100e-9)
    up, down = 1.0 / max(100e3 * (1.0 - tone), 1.0), 1.0 / max(100e3 * tone, 1.0)  # to the treble's end, to the bass's
    treble, bass = s * 4e-9, np.full_like(s, 1.0 / 39e3)
    to_treble, to_bass = treble + 1.0 / 22e3 + up, bass + s * 10e-9 + down
    left = up + down + 1.0 / base - up**2 / to_treble - down**2 / to_bass
    return (up * treble / to_treble + down * bass / to_bass) / left


def test_big_muff_tone_stack():
    """ElectroSmash: a low-pass at one end, a high-pass at the other, a scoop near 1 kHz with the knob in the middle."""
    hertz = np.arange(60, 12_000, 20)
    for tone in (0.0, 0.5, 1.0):
        before, after = (small_signal(at_node("big_muff", node), hertz, tone=tone) for node in ("c2", "mix"))
        np.testing.assert_allclose(after / before, big_muff_tone(2j * np.pi * hertz, tone), rtol=0.02)
        shape = decibels(after / before)
        low, middle, high = shape[0], shape[(hertz > 700) & (hertz < 1300)].min(), shape[-1]
        if tone == 0.5:
            assert middle == shape.min() and low - middle > 5.0 and high - middle > 3.0
        else:
            assert (low - high > 20.0) if tone == 0.0 else (high - low > 12.0)


def test_treble_booster_boosts_treble():
    """ElectroSmash: some 30 dB at the top, falling by 6 dB an octave below 2.6 kHz."""
    bass, middle, treble = decibels(small_signal(load_circuit("treble_booster"), np.array([100, 200, 2000]), boost=1.0))
    assert middle - bass == pytest.approx(6.0, abs=0.7)
    assert 24.0 < treble < 34.0
    assert treble - bass > 20.0


# Clipping.


def clipped_volts(saturation, slope, drive_volts, ohms, load_ohms=np.inf, own_ohms=0.0):
    """Where a diode to ground holds a source of `drive_volts` behind `ohms`."""

    def left(volts):
        amperes = (drive_volts - volts) / ohms - volts / load_ohms
        return saturation * np.expm1((volts - own_ohms * amperes) / slope) - amperes

    return optimize.brentq(left, 0.0, 1.0, xtol=1e-12)


def test_clip_levels_by_hand():
    """Driven to its rails, 3 V, an op-amp leaves what the diodes behind it hold."""
    silicon = clipped_volts(2.52e-9, 1.752 * THERMAL_VOLTS, 3.0, 1e3)
    rat = process(at_node("rat", "clip"), sine(250, 1.0), RATE, distortion=1.0)[RATE // 5 :]
    assert np.percentile(np.abs(rat), 80) == pytest.approx(silicon, rel=0.02)
    plus = process(at_node("distortion_plus", "clip"), sine(250, 1.0), RATE, distortion=1.0)[RATE // 5 :]
    germanium = clipped_volts(200e-9, 1.3 * THERMAL_VOLTS, 3.0, 10e3, 10e3, own_ohms=7.0)
    assert np.percentile(np.abs(plus), 80) == pytest.approx(germanium, rel=0.03)
    assert germanium < 0.5 * silicon


def test_rat_cannot_move_faster_than_its_op_amp():
    """0.3 V/us between rails of 3 V make a trapezoid of 10 kHz, whose fundamental is 4 / pi * 3 V * sinc(20 us / T)."""
    played = process(at_node("rat", "amp"), sine(10_000, 1.0), RATE, distortion=1.0)
    rise = 2.0 * 3.0 / 0.3e6 * 10_000
    assert amplitudes(played, 10_000)[0] == pytest.approx(4.0 / np.pi * 3.0 * np.sinc(rise), rel=0.05)


@pytest.mark.parametrize("pedal", ["tube_screamer", "rat", "distortion_plus"])
def test_equal_diodes_make_no_even_harmonics(pedal):
    tones = amplitudes(process(load_circuit(pedal), sine(200, 0.3), RATE), 200)
    assert decibels(tones[1] / tones[0]) < -70.0
    assert decibels(tones[2] / tones[0]) > -35.0


@pytest.mark.parametrize("pedal", ["fuzz_face", "treble_booster", "gated_fuzz"])
def test_transistors_make_even_harmonics(pedal):
    tones = amplitudes(process(load_circuit(pedal), sine(200, 0.2), RATE), 200)
    assert decibels(tones[1] / tones[0]) > -30.0


def test_klon_blends_clean_and_dirty():
    """At gain 0 it is a clean boost, at 1 it distorts; turning it up turns the clean mids down."""
    clean, dirty = (
        amplitudes(process(load_circuit("klon"), sine(400, 0.2), RATE, gain=gain), 400) for gain in (0.0, 1.0)
    )
    assert decibels(clean[2] / clean[0]) < -60.0
    assert decibels(dirty[2] / dirty[0]) > -30.0
    clean_mids = [amplitudes(process(at_node("klon", "mix"), sine(400, 0.2), RATE, gain=g), 400)[0] for g in (0.0, 1.0)]
    assert clean_mids[1] < 0.3 * clean_mids[0]


def test_big_muff_sustains():
    """Forty decibels less at the jack cost less than six at the output."""
    loud, quiet = (
        np.std(process(load_circuit("big_muff"), sine(200, volts), RATE, sustain=1.0)[RATE // 5 :])
        for volts in (0.3, 0.003)
    )
    assert decibels(loud / quiet) < 6.0


# The gate.


def test_gated_fuzz_is_silent_below_its_threshold():
    circuit = load_circuit("gated_fuzz")
    levels, gates = (0.02, 0.07, 0.2, 0.5), (0.0, 0.45, 0.6, 0.8)
    runs = list(itertools.product(gates, levels))
    played = process_many(
        circuit, np.array([sine(200, level) for _, level in runs]), [{"gate": gate} for gate, _ in runs], RATE
    )
    loudness = np.std(played[:, RATE // 5 :], axis=1).reshape(len(gates), len(levels))
    below = decibels(loudness / loudness[0, -1])
    for row, opens_at in zip(below, (0, 1, 2, 3), strict=True):  # each gate lets one level less through
        assert (row[opens_at:] > -15.0).all()
        assert (row[:opens_at] < -50.0).all()


def test_gated_fuzz_ends_a_note_that_the_fuzz_face_sustains():
    times = np.arange(2 * RATE) / RATE
    note = 0.5 * np.exp(-2.5 * times) * np.sin(2.0 * np.pi * 220.0 * times)

    def envelope_db(pedal):
        played = process(load_circuit(pedal), note, RATE)
        loudness = np.std(played.reshape(-1, RATE // 20), axis=1)
        return decibels(loudness / loudness[2])

    gated, open_fuzz = envelope_db("gated_fuzz"), envelope_db("fuzz_face")
    assert gated[10] > -10.0  # half a second: still there
    assert gated[-1] < -40.0 < -20.0 < open_fuzz[-1]
    # It falls within a tenth of a second by more than the note itself loses in one second.
    assert (gated[:-2] - gated[2:]).max() > 22.0


# What every pedal must do.


@pytest.mark.parametrize("pedal", PEDALS)
def test_full_scale_holds_the_loudest_and_the_default_is_alive(pedal):
    """No corner of the knobs exceeds the full scale with a guitar of 1 V, and the loudest comes near."""
    circuit = load_circuit(pedal)
    ends = itertools.product((0.0, 1.0), repeat=len(circuit.knobs))
    corners = [dict(zip(circuit.knobs, at, strict=True)) for at in ends]
    notes = [pluck(82.4), pluck(659.0)]
    runs = list(itertools.product(notes, [*corners, {}]))
    played = process_many(circuit, np.array([note for note, _ in runs]), [knobs for _, knobs in runs], RATE)
    assert np.isfinite(played).all()
    assert 0.5 * circuit.volts_per_full_scale < np.abs(played).max() < circuit.volts_per_full_scale
    assert np.abs(process(circuit, np.zeros(RATE // 10), RATE)).max() < 2e-5
    default = np.abs(process(circuit, 0.3 * notes[0], RATE)).max()
    assert 0.05 < default < 3.0


@pytest.mark.parametrize("pedal", PEDALS)
def test_the_loudness_knob_goes_from_silence_to_full(pedal):
    circuit, knob = load_circuit(pedal), LOUDNESS[pedal]
    positions = [0.0, 0.25, 0.5, 0.75, 1.0]
    played = process_many(
        circuit, np.tile(sine(300, 0.2, 0.2), (len(positions), 1)), [{knob: at} for at in positions], RATE
    )
    loudness = np.std(played, axis=1)
    assert loudness[0] < 2e-3 * loudness[-1]
    assert (np.diff(loudness) > 0.0).all()


def test_pedals_say_what_they_are():
    for pedal in PEDALS:
        circuit = load_circuit(pedal)
        assert "like" in circuit.device or pedal == "gated_fuzz"
        assert circuit.brand.startswith("after ")
        assert circuit.component_types
