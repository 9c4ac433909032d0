"""The synthetic guitar against the physics it claims and against figures of recorded guitars."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, signal

from training import audio
from training import guitar as guitarist
from training.guitar import (
    GUITARS,
    PICKUPS,
    STANDARD,
    Guitar,
    Note,
    electronics,
    playing,
    render_notes,
    render_take,
    strings,
    take_facts,
    touch,
)
from training.guitar.figures import OCTAVES_HZ, THIRDS_HZ, Figures, measure
from training.guitar.instruments import note_hz

RATE = 48_000
REPOSITORY = Path(__file__).parents[2]
RECORDED = json.loads((REPOSITORY / "benchmarks/recorded_guitars.json").read_text())["recordings"]
DATA = REPOSITORY.parent / "shared/data/audio"
PLAIN = Guitar(pickup=PICKUPS["bridge single coil"], split=(0.0,) * 6)
SOFT = {"strength": 0.02, "angle": 0.0, "softness_hz": 20_000.0}  # too soft to bend the pitch or the field


def spectrum(samples, start, seconds):
    """Hertz and amplitude of a stretch, finely enough to find a partial to a tenth of a hertz."""
    stretch = samples[round(start * RATE) : round((start + seconds) * RATE)]
    bins = 2**19
    return np.arange(bins // 2 + 1) * RATE / bins, np.abs(np.fft.rfft(stretch * np.hanning(len(stretch)), bins))


def partial(hertz, amplitude, near, width=3.0):
    """The frequency and the amplitude of the highest peak within `width` hertz of `near`."""
    window = np.abs(hertz - near) < width
    peak = np.argmax(np.where(window, amplitude, 0.0))
    return hertz[peak], amplitude[peak]


def test_a_take_is_its_seed_and_nothing_else():
    take = render_take(7, 3.0)
    np.testing.assert_array_equal(take, render_take(7, 3.0))
    assert take.dtype == np.float64 and take.shape == (3 * RATE,)
    other = render_take(8, 3.0)
    assert np.abs(np.corrcoef(take, other)[0, 1]) < 0.5
    assert render_take(7, 1.3, 44_100).shape == (57_330,)
    with pytest.raises(ValueError, match="one second"):
        render_take(7, 0.5)
    with pytest.raises(ValueError, match="no guitar is named 'banjo'"):
        render_take(7, 3.0, guitar="banjo")


def test_another_process_renders_the_same_samples():
    program = (
        "from training.guitar import render_take; import sys; sys.stdout.buffer.write(render_take(7, 2.0).tobytes())"
    )
    found = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, check=True, capture_output=True).stdout
    assert found == render_take(7, 2.0).tobytes()


def test_another_sound_is_another_version():
    """Files are named by it: when this fails, count VERSION up and write the new samples here."""
    take = render_take(0, 2.0, guitar="single-coil")
    expected = {
        "2": [-0.00058844, 0.00738425, -0.0061112, 0.01254295, -0.0119051, 0.0250817, -0.14831241, -0.03214829]
    }  # volts
    np.testing.assert_allclose(take[10_000:90_000:10_000], expected[guitarist.VERSION], atol=1e-7)


@pytest.mark.parametrize("seed", range(50))
def test_takes_are_sound(seed):
    """No NaN, no denormals, no jump that a coil's low-pass could not make, and a level that guitars have."""
    name = list(GUITARS)[seed % len(GUITARS)]
    take = render_take(seed, 2.0, guitar=name)
    peak = np.abs(take).max()
    assert 0.2 < peak < 1.0
    assert peak == pytest.approx(take_facts(seed, name)["peak_volts"], abs=0.004)  # hum and hiss come on top
    assert not np.any((take != 0.0) & (np.abs(take) < 1e-300))
    assert np.abs(np.diff(take)).max() < 0.5 * peak


def test_who_names_no_guitar_gets_any_but_a_bass():
    drawn = [take_facts(seed)["guitar"] for seed in range(300)]
    assert set(drawn) == {name for name, instrument in GUITARS.items() if not instrument.bass}
    in_standard = sum(take_facts(seed)["tuning"] == "E2 A2 D3 G3 B3 E4" for seed in range(300))
    assert 0.55 < in_standard / 300 < 0.75


def test_pickups_differ_in_level():
    peaks = {
        name: [take_facts(seed, name)["peak_volts"] for seed in range(40)] for name in ("single-coil", "humbucker")
    }
    assert np.median(peaks["humbucker"]) > 1.5 * np.median(peaks["single-coil"])
    assert all(max(of) > 1.8 * min(of) for of in peaks.values())


@pytest.mark.parametrize(
    "how", [{}, {"bend": 2.0, "vibrato": 0.5}, {"slide": 3}, {"mute": 30.0}], ids=["plain", "bent", "slid", "muted"]
)
def test_a_note_does_not_click_while_it_sounds(how):
    """Nothing above 16 kHz once the pluck is over, and little when the note is stopped."""
    samples = render_notes([Note(2, 0.1, 1.0, 7, 0.5, **how)], PLAIN, 1.5)
    high = signal.sosfilt(signal.butter(6, 16_000, "highpass", fs=RATE, output="sos"), samples)
    high = np.abs(high) / np.abs(samples).max()
    sounding, stopped = round(0.25 * RATE), round(1.05 * RATE)
    assert high[:sounding].max() > 1e-3  # the pluck
    assert high[sounding:stopped].max() < 2e-4
    assert high[stopped:].max() < 2e-3


def test_nobody_is_silent_for_long_and_no_direct_voltage_stays():
    take = render_take(1, 40.0, guitar="humbucker")
    levels = 20 * np.log10(np.std(take.reshape(-1, RATE // 4), axis=1))
    quiet = np.concatenate([[0], levels < levels.max() - 55.0, [0]])
    begins, ends = np.flatnonzero(np.diff(quiet) > 0), np.flatnonzero(np.diff(quiet) < 0)
    assert len(begins) == 0 or 0.25 * (ends - begins).max() <= 2.0
    assert np.abs(np.mean(take)) < 2e-4 * np.abs(take).max()


@pytest.mark.parametrize("name", GUITARS)
def test_guitars_are_in_their_tuning(name):
    guitar = Guitar.draw(np.random.default_rng(5), name)
    facts = take_facts(5, name)
    assert facts["guitar"] == name and facts["tuning"] == GUITARS[name].tuning
    assert facts["pickup"] in GUITARS[name].pickups
    for number, note in enumerate(GUITARS[name].tuning.split()):
        samples = render_notes([Note(number, 0.1, 2.0, 0, **SOFT)], guitar, 2.0)
        hertz, amplitude = spectrum(samples, 0.3, 1.6)
        found = partial(hertz, amplitude, note_hz(note))[0]
        assert found == pytest.approx(note_hz(note) * 2 ** (guitar.cents[number] / 1200), abs=0.1)


def test_notes_have_their_pitches():
    assert note_hz("A4") == 440.0
    assert note_hz("E2") == pytest.approx(82.41, abs=0.01)
    assert note_hz("D#2") == pytest.approx(77.78, abs=0.01)
    assert note_hz("B0") == pytest.approx(30.87, abs=0.01)
    assert take_facts(0, PLAIN)["tuning"] == "E2 A2 D3 G3 B3 E4"


def test_hands_reach_every_note():
    """On each guitar, for minutes: strings that are there, frets on the board, no pause of two seconds."""
    for name in GUITARS:
        guitar = Guitar.draw(np.random.default_rng(1), name)
        notes = list(playing.play(np.random.default_rng(2), guitar, 200.0))
        assert len(notes) > 200
        for note in notes:
            assert 0 <= note.string < len(guitar.strings) and 0 <= note.fret < strings.FRETS
            assert 0 <= note.fret - note.slide < strings.FRETS
            assert 0.0 < note.strength <= 1.0 and note.start > 0.0 and note.seconds > 0.0
        styles = {"bend", "vibrato", "slide", "mute", "hammered"} - ({"bend"} if guitar.bass else set())
        assert all(any(getattr(note, style) for note in notes) for style in styles)
        assert {note.string for note in notes} == set(range(len(guitar.strings)))
        heard = 0.0
        for note in sorted(notes, key=lambda note: note.start):
            assert note.start - heard < 2.0
            heard = max(heard, note.start + note.seconds)
        assert heard > 197.0


def test_a_take_in_pieces_is_the_take_in_one(monkeypatch):
    guitar = Guitar.draw(np.random.default_rng(3), "humbucker")
    notes = sorted(playing.play(np.random.default_rng(4), guitar, 5.0), key=lambda note: note.start)
    whole = render_notes(notes, guitar, 5.0)
    scraped = np.concatenate([x for _, x in touch.scrapes(np.random.default_rng(5), notes, guitar, len(whole), RATE)])
    monkeypatch.setattr(touch, "PIECE_BLOCKS", 512)
    monkeypatch.setattr(touch, "PIECE_FRAMES", 512 * strings.BLOCK_FRAMES)
    np.testing.assert_allclose(render_notes(notes, guitar, 5.0), whole, atol=1e-12)
    again = np.concatenate([x for _, x in touch.scrapes(np.random.default_rng(5), notes, guitar, len(whole), RATE)])
    np.testing.assert_allclose(again, scraped, atol=1e-12)


COMPARABLE = ("single-coil", "humbucker", "p90", "both")  # in standard tuning, as the recorded guitars are


@pytest.fixture(scope="module")
def synthetic():
    """Of each guitar the figures of two takes of 20 s."""
    return [
        [measure(render_take(2 * number + n, 20.0, guitar=name), RATE) for n in range(2)]
        for number, name in enumerate(COMPARABLE)
    ]


def recorded(ordinary):
    """The figures of recorded guitars; `ordinary`: of those with one pickup for all strings (benchmarks/guitar.py)."""
    rows = [row for row in RECORDED if not ordinary or not row["name"].startswith("cycfi")]
    return [Figures(**row["figures"]) for row in rows]


def test_the_spectrum_is_that_of_recorded_guitars(synthetic):
    """Octaves from 88 Hz to 11.3 kHz, and the thump below 50 Hz, within 6 dB; benchmarks/guitar.py draws it."""
    for bands, centres, low, high in (("octaves_db", OCTAVES_HZ, 100, 9000), ("thirds_db", THIRDS_HZ, 24, 50)):
        levels = np.array([[getattr(take, bands) for take in takes] for takes in synthetic])
        made = np.mean(10 * np.log10(np.mean(10 ** (levels / 10), axis=1)), axis=0)
        real = np.mean([getattr(of, bands) for of in recorded(ordinary=True)], axis=0)
        compared = (np.array(centres) > low) & (np.array(centres) < high)
        assert compared.sum() >= 3
        assert np.abs(made - real)[compared].max() < 6.0


def test_peaks_and_decays_are_in_the_range_of_recorded_guitars(synthetic):
    takes = [take for of_guitar in synthetic for take in of_guitar]
    real = recorded(ordinary=False)
    crests = [of.crest_db for of in real]
    assert all(min(crests) < take.crest_db < max(crests) for take in takes)
    made = np.nanmedian(np.array([take.fall_db_s for take in takes], float), axis=0)
    falls = np.array([of.fall_db_s for of in real], float)
    assert np.all((made > np.nanmin(falls, axis=0)) & (made < np.nanmax(falls, axis=0)))


@pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is not here")
@pytest.mark.parametrize("row", RECORDED, ids=lambda row: row["name"])
def test_the_committed_figures_are_those_of_the_recordings(row):
    recording = audio.read(DATA / f"{row['name']}.wav")
    figures = measure(recording.samples, recording.sample_rate_hz)
    for name, expected in row["figures"].items():
        np.testing.assert_allclose(
            np.array(getattr(figures, name), float), np.array(expected, float), atol=0.011, rtol=2e-3
        )


def test_figures_of_a_sound_that_is_known():
    """Decaying sines: the octaves that they are in, the crest of a sine, the decay that they were given."""
    seconds = np.arange(4 * RATE) / RATE
    hertz, fall = 500.0, 40.0
    note = np.sin(2 * np.pi * hertz * seconds) * 10 ** (-fall * (seconds % 0.5) / 20)
    figures = measure(note + 1e-6 * np.random.default_rng(0).normal(size=len(note)), RATE)
    octave = OCTAVES_HZ.index(hertz)
    assert figures.octaves_db[octave] == pytest.approx(0.0, abs=0.1)
    assert max(figures.octaves_db[:1] + figures.octaves_db[4:]) < -30.0
    assert figures.fall_db_s[octave] == pytest.approx(fall, rel=0.05)
    assert figures.t60_seconds[octave] == pytest.approx(1.5, rel=0.05)
    sine = measure(np.sin(2 * np.pi * 440 * seconds), RATE)
    assert sine.crest_db == pytest.approx(3.01, abs=0.02)
    for quiet in (np.zeros(RATE * 2), note[: RATE // 2]):
        with pytest.raises(ValueError, match="less than a second of sound"):
            measure(quiet, RATE)


def test_phrases_do_not_repeat():
    take = render_take(2, 30.0)
    length = 2 * RATE
    running = np.concatenate([[0.0], np.cumsum(take**2)])
    energies = running[length:] - running[:-length]
    for start in range(RATE, 28 * RATE, 6 * RATE):
        products = signal.correlate(take, take[start : start + length], "valid", "fft")
        likeness = np.abs(products) / np.sqrt(np.maximum(energies, 1e-6 * energies.max()) * energies[start])
        likeness[max(start - 8 * RATE, 0) : start + 8 * RATE] = 0.0  # the same phrase: a held note is like itself
        assert likeness.max() < 0.7


@pytest.mark.parametrize(("string", "fret"), [(0, 0), (1, 5), (3, 0), (5, 7)])
def test_partials_of_a_stiff_string(string, fret):
    samples = render_notes([Note(string, 0.1, 4.0, fret, **SOFT)], PLAIN, 4.0)
    fundamental = STANDARD[string].open_hz * 2 ** (fret / 12)
    stiffness = STANDARD[string].inharmonicity * 4 ** (fret / 12)  # B goes with 1 / length^2
    hertz, amplitude = spectrum(samples, 0.3, 3.0)
    numbers = np.array([n for n in range(1, 21) if n * fundamental < 4500])
    expected = numbers * fundamental * np.sqrt(1 + stiffness * numbers**2)
    found = np.array([partial(hertz, amplitude, near)[0] for near in expected])
    np.testing.assert_allclose(found, expected, atol=0.15)
    # The fit that a luthier would make: (f_n / n)^2 is a line over n^2 with slope f_1^2 B.
    slope, square = np.polyfit(numbers**2, (found / numbers) ** 2, 1)
    assert slope / square == pytest.approx(stiffness, rel=0.1)


def test_tensions_are_those_of_the_makers_chart():
    """D'Addario EXL110, 25.5 inches: pounds from the low E to the high."""
    pounds = [string.newtons / 4.44822 for string in STANDARD]
    np.testing.assert_allclose(pounds, [17.5, 19.5, 18.4, 16.6, 15.4, 16.2], rtol=0.06)
    basses = GUITARS["bass"].strings()
    assert all(30 < string.newtons / 4.44822 < 60 for string in basses)


def test_inharmonicity_is_that_of_steel():
    """Of the plain strings B = pi^3 E d^4 / (64 T L^2); wound ones lie where they are measured, at 3e-5 to 1.5e-4."""
    for string in STANDARD[3:]:
        tension = string.kilograms_per_metre * (2 * 0.648 * string.open_hz) ** 2
        steel = np.pi**3 * 2e11 * string.diameter_metres**4 / (64 * tension * 0.648**2)
        assert string.inharmonicity == pytest.approx(steel, rel=1e-9)
    assert all(3e-5 < string.inharmonicity < 1.5e-4 for string in STANDARD[:3])


@pytest.mark.parametrize("partial_number", [2, 12, 30])
def test_partials_lose_what_air_and_metal_take(partial_number):
    """1/Q = air + thermoelastic + 4 pi^2 mu E I delta f^2 / T^2, after Valette, and 0.18 a second into the supports."""
    string = STANDARD[1]
    samples = render_notes([Note(1, 0.05, 4.0, 0, **SOFT)], PLAIN, 3.0)
    near = 110.0 * partial_number * np.sqrt(1 + string.inharmonicity * partial_number**2)
    early, late = (partial(*spectrum(samples, start, 0.5), near)[1] for start in (0.1, 1.1))
    core = 0.27e-3 + 0.1 * string.diameter_metres
    bending = 2e11 * np.pi * core**4 / 64
    air = 2 * np.pi * 1.8e-5 + 2 * np.pi * string.diameter_metres * np.sqrt(np.pi * 1.8e-5 * 1.2 * near)
    loss = air / (2 * np.pi * string.kilograms_per_metre * near) + 2.03e-4
    loss += 4 * np.pi**2 * string.kilograms_per_metre * bending * 4.5e-3 * near**2 / string.newtons**2
    assert np.log(early / late) == pytest.approx(np.pi * near * loss + 0.18, rel=0.02)


def test_pick_and_coil_silence_the_partials_that_have_a_node_there():
    single = Guitar(pickup=replace(PICKUPS["neck single coil"], coils=(1 / 7,)), split=(0.0,) * 6)
    samples = render_notes([Note(1, 0.1, 4.0, 0, pick_point=0.2, **SOFT)], single, 4.0)
    hertz, amplitude = spectrum(samples, 0.3, 3.0)
    levels = [20 * np.log10(partial(hertz, amplitude, 110.0 * n)[1]) for n in range(1, 12)]
    assert levels[4] < levels[3] - 40 and levels[4] < levels[5] - 40
    assert levels[6] < levels[5] - 40 and levels[6] < levels[7] - 40
    assert min(levels[n - 1] for n in (1, 2, 3, 4, 6, 8, 9)) > max(levels) - 30


def test_strings_ring_for_seconds_and_high_partials_die_first():
    samples = render_notes([Note(1, 0.1, 8.0, 0, **SOFT)], PLAIN, 8.0)
    early, late = spectrum(samples, 0.5, 1.0), spectrum(samples, 4.5, 1.0)
    falls = [20 * np.log10(partial(*early, 110.0 * n)[1] / partial(*late, 110.0 * n)[1]) / 4 for n in (1, 4, 16)]
    assert 1.0 < falls[0] < falls[1] < falls[2] < 40.0  # decibels a second


def test_mute_bend_vibrato_slide_and_tuning():
    def play(seconds=2.0, of=PLAIN, **how):
        return render_notes(
            [Note(**{"string": 3, "start": 0.1, "seconds": 2.0, "fret": 5, **SOFT, **how})], of, seconds
        )

    def pitch(samples, start=1.0, seconds=0.5):
        hertz, amplitude = spectrum(samples, start, seconds)
        return 12 * np.log2(partial(hertz, amplitude, 262.0, 60.0)[0] / 196.0)

    open_energy, muted_energy = (np.sum(play(mute=mute)[RATE:] ** 2) for mute in (0.0, 20.0))
    assert muted_energy < 1e-6 * open_energy
    assert pitch(play()) == pytest.approx(5.0, abs=0.02)
    assert pitch(play(bend=2.0)) == pytest.approx(7.0, abs=0.02)
    assert pitch(play(bend=2.0), 0.1, 0.1) < 6.5
    assert pitch(play(slide=2)) == pytest.approx(5.0, abs=0.02)
    assert pitch(play(of=Guitar(PICKUPS["bridge single coil"], cents=(30.0,) * 6))) == pytest.approx(5.3, abs=0.02)
    shaken = [pitch(play(vibrato=0.5, vibrato_hz=5.0), start, 0.06) for start in np.arange(0.8, 1.2, 0.02)]
    assert 0.3 < max(shaken) - min(shaken) < 0.6 and min(shaken) > 4.9


def test_a_hard_pluck_is_louder_and_starts_sharp():
    soft, hard = (render_notes([Note(0, 0.1, 2.0, 0, strength, angle=0.0)], PLAIN, 2.0) for strength in (0.05, 1.0))
    assert np.abs(hard).max() > 20 * 0.9 * np.abs(soft).max()
    early = partial(*spectrum(hard, 0.12, 0.3), 82.4)[0]
    assert early > partial(*spectrum(hard, 1.5, 0.3), 82.4)[0] + 0.15


def test_the_field_of_the_magnet_bends_loud_notes():
    """A string plucked in its middle has no even partials; a field that weakens with distance makes them."""
    second_db = []
    for strength in (0.02, 1.0):
        note = Note(1, 0.1, 2.0, 0, strength, pick_point=0.5, angle=0.0, softness_hz=20_000.0)
        hertz, amplitude = spectrum(render_notes([note], PLAIN, 2.0), 0.5, 1.0)
        second_db.append(20 * np.log10(partial(hertz, amplitude, 220.0)[1] / partial(hertz, amplitude, 110.0)[1]))
    assert second_db[0] < -50.0 and second_db[1] > second_db[0] + 20.0


def test_the_string_ends_where_it_was_before_the_pull():
    """What the coil induces sums up to zero: the pull takes the string away slowly, the decay brings it back."""
    samples = render_notes([Note(0, 0.1, 2.0, 0, pull_seconds=0.01, press=0.0, mute=20.0, **SOFT)], PLAIN, 3.0)
    release = round(0.1 * RATE / strings.BLOCK_FRAMES) * strings.BLOCK_FRAMES
    pull = samples[:release].sum()
    assert pull > 0.0 and np.abs(samples.sum()) < 0.02 * pull
    assert not samples[: release - round(0.01 * RATE)].any()


def test_palm_and_finger_push_the_string_over_the_coil():
    """The palm that stops a note presses the string by as much as its displacement over the coil sums up to."""
    coil = PICKUPS["neck single coil"].coils[0]
    of = Guitar(pickup=PICKUPS["neck single coil"], split=(0.0,) * 6)
    samples = render_notes([Note(2, 0.1, 0.5, 0, press=1.0, mute=0.0, **SOFT)], of, 2.0)
    steel = (STANDARD[2].diameter_metres / 1e-3) ** 1.2
    pressed = 1.2e-3 * (0.3 + SOFT["strength"]) * (1 - coil) / (1 - 0.06)
    assert samples[RATE // 2 :].sum() / RATE == pytest.approx(steel * pressed, rel=0.1)
    fretted = render_notes([Note(2, 0.1, 1.0, 12, press=0.0, **SOFT)], of, 0.8)
    # At the twelfth fret the string goes down 1.8 mm; over the coil by as much less as it is nearer to the bridge.
    down = steel * 1.8e-3 * coil / 0.5
    assert fretted.sum() / RATE == pytest.approx(down, rel=0.15)


def test_a_pole_hears_a_stretch_of_the_string():
    """The closed form against the integral of the field of a pole over the modes of a string."""
    pickup = PICKUPS["middle single coil"]
    heard = electronics.heard_modes(pickup, 0.648)
    for fret, mode in ((0, 0), (0, 40), (7, 90)):
        wave = np.pi * (mode + 1) / (0.648 * 2 ** (-fret / 12))

        def weighted(x, wave=wave):
            return np.sin(wave * (pickup.coils[0] * 0.648 + x)) * (1 + (x / 2.2e-3) ** 2) ** -1.5

        expected = integrate.quad(weighted, -0.5, 0.5, limit=2000, points=[0.0])[0] / (2 * 2.2e-3)
        assert heard[fret, mode] == pytest.approx(expected, abs=2e-4)


def test_pickup_electronics_against_a_state_space_model():
    """Coil flux, coil voltage, tone capacitor and cable as four differential equations, x' = A x + b u."""
    coil, volume, tone_knob, cable = PICKUPS["bridge humbucker"], 0.7, 0.3, 470e-12
    upper, lower, tone = coil.pot_ohms * 0.3, 1 / (1 / (coil.pot_ohms * 0.7) + 1e-6), coil.pot_ohms * 0.3
    # The current i through the winding is that of the inductance and that of the eddy currents beside it:
    # i = j + v / eddy, where v = u - ohms i - hot, so v = (u - ohms j - hot) / (1 + ohms / eddy).
    share = 1 / (1 + coil.ohms / coil.eddy_ohms)
    flux = np.array([-coil.ohms, -1, 0, 0]) * share
    current = np.array([1, 0, 0, 0]) + flux / coil.eddy_ohms
    matrix = np.array(
        [
            flux / coil.henries,
            current / coil.farads + np.array([0, -(1 / upper + 1 / tone), 1 / tone, 1 / upper]) / coil.farads,
            [0, 1 / (tone * 22e-9), -1 / (tone * 22e-9), 0],
            [0, 1 / (upper * cable), 0, -(1 / upper + 1 / lower) / cable],
        ]
    )
    drive = np.array([share / coil.henries, share / coil.eddy_ohms / coil.farads, 0, 0])
    hertz = np.arange(50, 15_000, 50)
    expected = np.array([np.linalg.solve(2j * np.pi * f * np.eye(4) - matrix, drive)[3] for f in hertz])
    ahead, impulse = electronics.impulse_response(coil, cable, volume, tone_knob, RATE)
    padded = np.zeros(RATE)
    padded[: len(impulse)] = impulse
    measured = np.fft.rfft(np.roll(padded, -ahead))[hertz]
    np.testing.assert_allclose(measured, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("seed", "seconds"), [(252, 1.0), (414, 1.2)])
def test_however_short_a_take_somebody_plays(seed, seconds):
    """With these seeds the first idea of a second has no note in it."""
    volts = render_take(seed, seconds)
    assert 0.1 < np.abs(volts).max() < 1.0


def test_a_guitar_of_two_strings_is_played_to_the_end():
    two = Guitar(pickup=PICKUPS["neck single coil"], strings=STANDARD[:2])
    assert np.isfinite(render_take(3, 6.0, guitar=two)).all()
