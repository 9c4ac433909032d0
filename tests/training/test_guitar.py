"""The synthetic guitar against the physics it claims and against figures of recorded guitars."""

import itertools

import numpy as np
import pytest
from scipy import signal

from training import guitar
from training.guitar import PICKUPS, STRINGS, Guitar, Note, render_notes, render_take

RATE = 48_000
PLAIN = Guitar(pickup=PICKUPS[2], split=(0.0,) * 6)
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


@pytest.mark.parametrize("seed", range(12))
def test_short_takes_have_a_guitar_in_them(seed):
    take = render_take(seed, 1.0)
    assert 0.2 < np.abs(take).max() < 1.0


# Shares of the power of 212 s of electric-guitar DI, in dB (ChowDSP's KlonCentaur training data, 44.1 kHz, mostly
# below 20 kHz); single recordings lie up to 10 dB around them.
BANDS_HZ = (20, 60, 120, 250, 500, 1000, 2000, 4000, 8000, 12_000, 20_000)
RECORDED_DB = (-22, -12, -5, -5, -8, -12, -18, -30, -47, -58)


def test_takes_have_the_dynamics_and_the_spectrum_of_a_guitar():
    shares = np.zeros(len(RECORDED_DB))
    for seed in range(8):
        take = render_take(seed, 10.0)
        peak, rms = np.abs(take).max(), np.sqrt(np.mean(take**2))
        assert 0.2 < peak < 1.0
        assert 12.0 < 20 * np.log10(peak / rms) < 26.0
        levels = 20 * np.log10(np.std(take.reshape(-1, RATE // 20), axis=1))
        assert np.percentile(levels, 95) - np.percentile(levels, 5) > 12.0
        assert -115.0 < levels.min() < -50.0  # before the first note there is hum and hiss, and only that
        hertz, power = signal.welch(take, RATE, nperseg=8192)
        bands = [power[(hertz >= low) & (hertz < high)].sum() for low, high in itertools.pairwise(BANDS_HZ)]
        shares += np.array(bands) / power.sum() / 8
    assert np.abs(10 * np.log10(shares) - RECORDED_DB).max() < 6.0


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
    fundamental = STRINGS[string].open_hz * 2 ** (fret / 12)
    stiffness = STRINGS[string].inharmonicity * 4 ** (fret / 12)  # B goes with 1 / length^2
    hertz, amplitude = spectrum(samples, 0.3, 3.0)
    numbers = np.array([n for n in range(1, 21) if n * fundamental < 4500])
    expected = numbers * fundamental * np.sqrt(1 + stiffness * numbers**2)
    found = np.array([partial(hertz, amplitude, near)[0] for near in expected])
    np.testing.assert_allclose(found, expected, atol=0.15)
    # The fit that a luthier would make: (f_n / n)^2 is a line over n^2 with slope f_1^2 B.
    slope, square = np.polyfit(numbers**2, (found / numbers) ** 2, 1)
    assert slope / square == pytest.approx(stiffness, rel=0.1)


def test_inharmonicity_is_that_of_steel():
    """B = pi^3 E d^4 / (64 T L^2) for the plain strings, with Young's modulus of steel and the tension of the pitch."""
    for string in STRINGS[4:]:
        tension = string.kilograms_per_metre * (2 * 0.648 * string.open_hz) ** 2
        steel = np.pi**3 * 2e11 * string.diameter_metres**4 / (64 * tension * 0.648**2)
        assert 0.4 < steel / string.inharmonicity < 2.5


def test_pick_and_coil_silence_the_partials_that_have_a_node_there():
    single = Guitar(pickup=guitar.Pickup((1 / 7,), 1e-4, 2.4, 6e3, 110e-12), split=(0.0,) * 6)
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
    assert pitch(play(of=Guitar(PICKUPS[2], cents=(30.0,) * 6))) == pytest.approx(5.3, abs=0.02)
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
    samples = render_notes([Note(0, 0.1, 3.0, 0, pull_seconds=0.01, mute=20.0, **SOFT)], PLAIN, 3.0)
    release = round(0.1 * RATE / guitar.BLOCK_FRAMES) * guitar.BLOCK_FRAMES
    pull = samples[:release].sum()
    assert pull > 0.0 and np.abs(samples.sum()) < 0.02 * pull
    assert not samples[: release - round(0.01 * RATE)].any()


def test_pickup_electronics_against_a_state_space_model():
    """Coil current, coil voltage, tone capacitor and cable as four differential equations, x' = A x + b u."""
    of = Guitar(pickup=PICKUPS[0], cable_farads=470e-12, volume=0.7, tone=0.3)
    coil, pot = of.pickup, 500e3
    upper, lower, tone = pot * 0.3, 1 / (1 / (pot * 0.7) + 1e-6), pot * 0.3
    matrix = np.array(
        [
            [-coil.ohms / coil.henries, -1 / coil.henries, 0, 0],
            [
                1 / coil.farads,
                -(1 / upper + 1 / tone) / coil.farads,
                1 / (tone * coil.farads),
                1 / (upper * coil.farads),
            ],
            [0, 1 / (tone * 22e-9), -1 / (tone * 22e-9), 0],
            [0, 1 / (upper * of.cable_farads), 0, -(1 / upper + 1 / lower) / of.cable_farads],
        ]
    )
    drive = np.array([1 / coil.henries, 0, 0, 0])
    hertz = np.arange(50, 15_000, 50)
    expected = [np.linalg.solve(2j * np.pi * f * np.eye(4) - matrix, drive)[3] for f in hertz]
    impulse = np.zeros(RATE)
    impulse[100] = 1.0
    measured = np.fft.rfft(guitar._electronics(impulse, of, RATE)) / np.fft.rfft(impulse)
    np.testing.assert_allclose(measured[hertz], expected, rtol=1e-3, atol=1e-3)
