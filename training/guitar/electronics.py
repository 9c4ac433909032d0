"""From a moving string to volts at the jack: pickup, pots, cable, and the noise that comes in on the way.

Sources: H. Lemme, "The Secrets of Electric Guitar Pickups" (inductances, resonance); M. Zollner, "Physik der
Elektrogitarre", chapter 5 (aperture, eddy currents).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numba
import numpy as np
from scipy import fft, special

from training.guitar.strings import FRETS, MODES

_LOAD_OHMS = 1e6
_TONE_FARADS = 22e-9
_FIELD_METRES = 2.2e-3  # from a pole piece up to the string: how far along the string the coil hears
_FORGET_HZ = 1.0
_SETTLED_SECONDS = 0.25
_LOOK_AHEAD_FRAMES = 64


@dataclass(frozen=True)
class Pickup:
    """`coils`: their distances from the bridge in units of the scale. `peak_volts`: of its hardest notes, from and to.

    `eddy_ohms`: the losses in the metal near the coil, as a resistor across its inductance; they make the fall beyond
    the resonance gentler. `hum_db`: of mains hum, against a single coil. `pot_ohms`: that makers pair it with.
    """

    name: str
    coils: tuple[float, ...]
    henries: float
    ohms: float
    farads: float
    eddy_ohms: float
    peak_volts: tuple[float, float]
    pot_ohms: float = 500e3
    hum_db: float = 0.0


def _humbucker(place: str, coils: tuple[float, float], henries: float, ohms: float) -> Pickup:
    return Pickup(f"{place} humbucker", coils, henries, ohms, 110e-12, 200e3, (0.4, 0.95), hum_db=-12.0)


def _single_coil(place: str, coil: float, henries: float, ohms: float) -> Pickup:
    return Pickup(f"{place} single coil", (coil,), henries, ohms, 100e-12, 600e3, (0.2, 0.5), 250e3)


PICKUPS = {
    pickup.name: pickup
    for pickup in (
        _humbucker("bridge", (0.055, 0.083), 4.1, 8.2e3),
        _humbucker("neck", (0.225, 0.253), 3.6, 7.6e3),
        _single_coil("bridge", 0.062, 2.6, 6.2e3),
        _single_coil("middle", 0.155, 2.3, 5.9e3),
        _single_coil("neck", 0.250, 2.3, 5.9e3),
        Pickup("hot bridge humbucker", (0.055, 0.083), 6.2, 13.5e3, 140e-12, 300e3, (0.6, 0.95), hum_db=-12.0),
        Pickup("neck P-90", (0.235,), 5.2, 8.0e3, 110e-12, 400e3, (0.35, 0.8)),
        Pickup("split bass", (0.175,), 5.8, 10.5e3, 150e-12, 300e3, (0.3, 0.9), 250e3, -12.0),
        Pickup("bridge bass single coil", (0.075,), 3.6, 7.5e3, 120e-12, 400e3, (0.2, 0.6), 250e3),
    )
}


def heard_modes(pickup: Pickup, scale_metres: float) -> np.ndarray:
    """What `pickup` hears of one metre of each mode when each fret stops the string: float64 [FRETS, MODES].

    A pole hears the string that passes over it with a weight of (1 + (x / h)^2)^(-3/2) at x along the string; of a wave
    of k radians a metre that leaves k h K_1(k h).
    """
    speaking = 2.0 ** (-np.arange(FRETS) / 12.0)[:, None]
    waves = np.pi * np.arange(1.0, MODES + 1.0) / speaking
    across_pole = waves / scale_metres * _FIELD_METRES
    places = np.array(pickup.coils)[:, None, None]
    return np.sin(places * waves).sum(axis=0) * across_pole * special.k1(across_pole)


@numba.njit(cache=True, error_model="numpy")
def bend_by_field(velocity: np.ndarray, reach_metres: float, sample_rate_hz: int, state: np.ndarray) -> None:
    """Make of how fast a string moves over the coils, m/s, what they induce, in place.

    A field weakens with distance, within about `reach_metres`: the flux is a bent function of where the string is, and
    what is induced is the change of flux, so that nothing that the string does leaves a direct voltage. Where the
    string is, is the sum of how it has moved, slowly forgotten lest errors pile up. `state` [2] is carried on.
    """
    forget = np.exp(-2.0 * np.pi * _FORGET_HZ / sample_rate_hz)
    displacement, before = state
    for t in range(len(velocity)):
        displacement = forget * displacement + velocity[t] / sample_rate_hz
        nearness = min(max(displacement / reach_metres, -1.0), 1.0)
        bent = reach_metres * nearness * nearness * (nearness / 12.0 - 0.25)
        velocity[t] += sample_rate_hz * (bent - before)
        before = bent
    state[0], state[1] = displacement, before


def impulse_response(
    pickup: Pickup, cable_farads: float, volume: float, tone: float, sample_rate_hz: int
) -> tuple[int, np.ndarray]:
    """What the jack carries after the coil has induced one volt for one frame; and how many frames ahead it begins.

    The ladder of impedances is exact up to 85 % of the Nyquist frequency, where a fade begins that keeps it short.
    """
    frames = fft.next_fast_len(round(_SETTLED_SECONDS * sample_rate_hz), real=True)
    hertz = fft.rfftfreq(frames, 1.0 / sample_rate_hz)
    fade = np.clip((hertz / (0.5 * sample_rate_hz) - 0.85) / 0.15, 0.0, 1.0)
    response = _ladder(pickup, cable_farads, volume, tone, hertz) * np.cos(0.5 * np.pi * fade) ** 2
    impulse = np.roll(fft.irfft(response, frames), _LOOK_AHEAD_FRAMES)
    impulse[:_LOOK_AHEAD_FRAMES] *= np.sin(np.linspace(0.0, np.pi / 2.0, _LOOK_AHEAD_FRAMES)) ** 2
    return _LOOK_AHEAD_FRAMES, impulse


def _ladder(pickup: Pickup, cable_farads: float, volume: float, tone: float, hertz: np.ndarray) -> np.ndarray:
    """From the coil through tone and volume pot and the cable into an amplifier, as complex factors."""
    s = 2j * np.pi * hertz
    jack = s * cable_farads + 1.0 / max(pickup.pot_ohms * volume, 1.0) + 1.0 / _LOAD_OHMS
    to_jack = max(pickup.pot_ohms * (1.0 - volume), 1.0) + 1.0 / jack
    rolled_off = s * _TONE_FARADS / (1.0 + s * _TONE_FARADS * max(pickup.pot_ohms * tone, 100.0))
    hot = s * pickup.farads + rolled_off + 1.0 / to_jack
    coil = pickup.ohms + s * pickup.henries / (1.0 + s * pickup.henries / pickup.eddy_ohms)
    return 1.0 / (1.0 + hot * coil) / (jack * to_jack)


def hum_and_hiss(
    rng: np.random.Generator, pickup: Pickup, frames: int, piece_frames: int, sample_rate_hz: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Mains hum with its odd harmonics, and white noise: volts, piece by piece with the frame where each begins."""
    mains_hz = rng.choice([50.0, 60.0])
    hum_volts = 10.0 ** ((rng.uniform(-78.0, -60.0) + pickup.hum_db) / 20.0)
    hiss_volts = 10.0 ** (rng.uniform(-98.0, -84.0) / 20.0)
    cycle = np.arange(4097) / 4096.0
    wave = np.zeros(len(cycle))
    for harmonic in range(1, 24):
        fall_db = (3.0 if harmonic % 2 else 12.0) * np.log2(harmonic)
        amplitude = rng.uniform(0.4, 1.0) * 10.0 ** (-fall_db / 20.0)
        wave += amplitude * np.sin(2.0 * np.pi * (harmonic * cycle + rng.random()))
    for start in range(0, frames, piece_frames):
        count = min(piece_frames, frames - start)
        hum = np.interp(np.arange(start, start + count) * (mains_hz / sample_rate_hz) % 1.0, cycle, wave)
        yield start, hum_volts * hum + hiss_volts * rng.normal(size=count)
