"""A synthetic electric guitar: volts at the jack, from a seed.

A string is the sum of its modes: stiff, so that partials stand sharp of the harmonics; lossy to the air and within
itself; in two planes of polarisation that beat and decay apart. A pickup hears the string's velocity where its coils
are, through a field that weakens with distance. Coil, pots, cable and amplifier input make the resonant low-pass that
is half of a guitar's sound. A player picks notes, chords, bends and mutes, never the same phrase twice.

Sources: N. H. Fletcher & T. D. Rossing, "The Physics of Musical Instruments" (stiff and plucked strings); A. Paté,
J.-L. Le Carrou & B. Fabre, JASA 135(5), 2014 (losses of strings on solid bodies).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numba
import numpy as np
from scipy import fft, signal

# Pitch, damping and touch change at this pace; it is 0.7 ms at 48 kHz.
BLOCK_FRAMES = 32
MODES = 140

_PICK_HEIGHT_METRES = 1.5e-3  # how far the strongest pluck pulls the string
_MAGNET_METRES = 3e-3  # from the string to the pole pieces
_AIR_VISCOSITY, _AIR_DENSITY = 1.8e-5, 1.2  # Pa s, kg / m^3
_INTERNAL_LOSS, _THERMAL_LOSS = 2.5e-4, 4e-11  # 1 / Q of the metal; 1 / Q a hertz
_SUPPORT_LOSS = 0.18  # 1/s, into neck and bridge
_UNPLAYED_DAMPING, _TOUCH_DAMPING = 60.0, 350.0  # 1/s: a resting hand, a pick that lands on the string
_VERTICAL_SENSE = 0.25  # how much of the other plane a coil hears
_SILENT_METRES = 1e-12

_POT_OHMS, _TONE_FARADS, _LOAD_OHMS = 500e3, 22e-9, 1e6
_CHORDS = ("022100", "022000", "x02220", "x02210", "xx0232", "xx0231", "320003", "x32010", "133211")
_MINOR_SCALE = (0, 3, 5, 7, 10, 12, 15, 17, 19, 22, 24)
_OPEN_SEMITONES = (0, 5, 10, 15, 19, 24)


@dataclass(frozen=True)
class String:
    """`inharmonicity`: B of the open string, in f_n = n f sqrt(1 + B n^2)."""

    open_hz: float
    inharmonicity: float
    diameter_metres: float
    kilograms_per_metre: float


# A set of 10-46 in standard tuning, the lowest first.
STRINGS = (
    String(82.41, 6.0e-5, 1.17e-3, 6.8e-3),
    String(110.0, 4.5e-5, 0.91e-3, 4.1e-3),
    String(146.83, 3.5e-5, 0.66e-3, 2.3e-3),
    String(196.0, 12e-5, 0.43e-3, 1.14e-3),
    String(246.94, 5.0e-5, 0.33e-3, 0.67e-3),
    String(329.63, 2.5e-5, 0.254e-3, 0.40e-3),
)


@dataclass(frozen=True)
class Pickup:
    """`coils`: their distances from the bridge, and `aperture` half a coil's width, both in units of the scale."""

    coils: tuple[float, ...]
    aperture: float
    henries: float
    ohms: float
    farads: float


PICKUPS = (
    Pickup((0.055, 0.083), 0.006, 4.3, 8.2e3, 120e-12),  # bridge humbucker
    Pickup((0.225, 0.253), 0.006, 4.0, 7.6e3, 140e-12),  # neck humbucker
    Pickup((0.062,), 0.005, 2.6, 6.2e3, 110e-12),  # bridge single coil
    Pickup((0.155,), 0.005, 2.4, 6.0e3, 110e-12),  # middle single coil
    Pickup((0.250,), 0.005, 2.4, 6.0e3, 110e-12),  # neck single coil
)


@dataclass(frozen=True)
class Guitar:
    """One guitar, as its knobs stand.

    `volume`, `tone`: 0..1. `cents`: how far each string is out of tune. `split`: how far, relatively, the second
    plane of each string vibrates above the first. `wear` [6, 16]: factors on the internal loss of a string's modes.
    """

    pickup: Pickup
    cable_farads: float = 500e-12
    volume: float = 1.0
    tone: float = 1.0
    cents: tuple[float, ...] = (0.0,) * 6
    split: tuple[float, ...] = (3e-4,) * 6
    wear: np.ndarray = field(default_factory=lambda: np.ones((6, 16)))

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Guitar":
        return cls(
            pickup=PICKUPS[rng.integers(len(PICKUPS))],
            cable_farads=rng.uniform(250e-12, 750e-12),
            volume=1.0 if rng.random() < 0.75 else rng.uniform(0.5, 1.0),
            tone=1.0 if rng.random() < 0.67 else rng.uniform(0.05, 1.0),
            cents=tuple(rng.normal(0.0, 2.5, 6)),
            split=tuple(rng.uniform(1e-4, 6e-4, 6)),
            wear=np.exp(rng.normal(0.0, 0.35, (6, 16))),
        )


@dataclass(frozen=True)
class Note:
    """One pluck. Times in seconds, pitches in semitones; `strength` 0..1 is linear in the height of the pull.

    `pick_point`: distance from the bridge in units of the scale. `softness_hz`: where the width of pick and finger
    begins to round the corner of the string. `angle`: of the pull, radians from the plane that the pickup hears best.
    `mute`: damping by the palm, 1/s. `vibrato`: peak depth. `slide`: frets travelled at the start, up if positive.
    """

    string: int
    start: float
    seconds: float
    fret: int
    strength: float
    pick_point: float = 0.13
    softness_hz: float = 8000.0
    angle: float = 0.45
    pull_seconds: float = 0.008
    mute: float = 0.0
    bend: float = 0.0
    bend_seconds: float = 0.2
    vibrato: float = 0.0
    vibrato_hz: float = 5.5
    slide: int = 0
    hammered: bool = False


def render_take(seed: int, seconds: float, sample_rate_hz: int = 48_000) -> np.ndarray:
    """A take of guitar playing: volts at the amplifier's input, float64 [seconds * sample_rate_hz].

    The peak is between 0.2 and 1 V, as a guitar's is; hum and hiss stand at -110 to -60 dBV. The same arguments give
    the same samples. Raises ValueError for less than one second.
    """
    if seconds < 1.0:
        raise ValueError("a take lasts at least one second")
    rng = np.random.default_rng(seed)
    guitar = Guitar.draw(rng)
    notes = sorted(_play(rng, seconds), key=lambda note: note.start)
    frames = round(seconds * sample_rate_hz)
    volts = render_notes(notes, guitar, seconds, sample_rate_hz) + _touch_noise(rng, notes, frames, sample_rate_hz)
    volts = _electronics(volts, guitar, sample_rate_hz)
    volts *= rng.uniform(0.5, 0.95) / np.abs(volts).max()
    return volts + _hum_and_hiss(rng, guitar, frames, sample_rate_hz)


def render_notes(notes: Sequence[Note], guitar: Guitar, seconds: float, sample_rate_hz: int = 48_000) -> np.ndarray:
    """What the coils of `guitar` induce while `notes`, in order of time, are played: float64 [frames].

    The unit is arbitrary, near one volt; the electronics are not in it, nor any noise. Deterministic.
    """
    frames = round(seconds * sample_rate_hz)
    induced = np.zeros(frames)
    for number, string in enumerate(STRINGS):
        played = [note for note in notes if note.string == number and note.start < seconds]
        if played:
            velocity, displacement = _string_motion(string, number, played, guitar, frames, sample_rate_hz)
            nearness = displacement / (_MAGNET_METRES * len(guitar.pickup.coils))
            steel = (string.diameter_metres / 1e-3) ** 1.2
            field = 1.0 - 0.5 * nearness + 0.25 * nearness**2
            induced += steel / len(guitar.pickup.coils) * velocity * field
    return induced


def _string_motion(
    string: String, number: int, notes: Sequence[Note], guitar: Guitar, frames: int, sample_rate_hz: int
) -> tuple[np.ndarray, np.ndarray]:
    """Velocity (m/s) and displacement (m) of one string, summed over the coils."""
    blocks = frames // BLOCK_FRAMES + 1
    per_second = sample_rate_hz / BLOCK_FRAMES
    pitch = np.full(blocks, guitar.cents[number] / 100.0)
    length = np.ones(blocks)
    damping = np.full(blocks, _UNPLAYED_DAMPING)
    mute = np.zeros(blocks)
    starts = [round(note.start * per_second) for note in notes]
    for note, start, following in zip(notes, starts, [*starts[1:], blocks], strict=True):
        stop = max(start, min(round((note.start + note.seconds) * per_second), following))
        semitones, frets = _pitch_curves(note, np.arange(stop - start) / per_second)
        pitch[start:stop] = guitar.cents[number] / 100.0 + semitones
        length[start:stop] = 2.0 ** (-frets / 12.0)
        pitch[stop:] = guitar.cents[number] / 100.0 + note.fret
        length[stop:] = 2.0 ** (-note.fret / 12.0)
        damping[start:stop] = 0.0 if note.fret == 0 else 0.4  # a fingertip takes a little
        damping[stop:] = _UNPLAYED_DAMPING
        mute[start:stop] = note.mute
        if not note.hammered:
            damping[max(start - round(note.pull_seconds * per_second), 0) : start] = _TOUCH_DAMPING
    plucks = np.array(
        [
            (
                start,
                note.strength * _PICK_HEIGHT_METRES * (0.35 if note.hammered else 1.0),
                note.pick_point,
                note.softness_hz,
                note.angle,
                0 if note.hammered else round(note.pull_seconds * sample_rate_hz),
            )
            for note, start in zip(notes, starts, strict=True)
        ]
    )
    velocity, displacement = _vibrate(
        string.open_hz * 2.0 ** (pitch / 12.0),
        length,
        damping,
        mute,
        plucks,
        np.array(guitar.pickup.coils),
        guitar.pickup.aperture,
        string.inharmonicity,
        string.diameter_metres,
        string.kilograms_per_metre,
        guitar.split[number],
        guitar.wear[number],
        sample_rate_hz,
    )
    return velocity[:frames], displacement[:frames]


def _pitch_curves(note: Note, seconds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Semitones above the open string and the fret that stops it, at `seconds` after the pluck."""
    frets = np.full(len(seconds), float(note.fret))
    if note.slide:
        travelled = np.clip(seconds / 0.08, 0.0, 1.0)
        frets = np.maximum(frets + np.round(-note.slide * (1.0 - travelled)), 0.0)
    bent = np.clip((seconds - 0.05) / note.bend_seconds, 0.0, 1.0)
    shaken = np.clip((seconds - 0.15) / 0.25, 0.0, 1.0) * 0.5 * (1.0 - np.cos(2.0 * np.pi * note.vibrato_hz * seconds))
    # A string pulled far is a tighter string: hard notes start sharp.
    tightened = 0.12 * note.strength**2 * np.exp(-6.0 * seconds)
    return frets + note.bend * bent**2 * (3.0 - 2.0 * bent) + note.vibrato * shaken + tightened, frets


@numba.njit(cache=True, fastmath=True)
def _vibrate(
    pitch_hz: np.ndarray,
    length: np.ndarray,
    damping: np.ndarray,
    mute: np.ndarray,
    plucks: np.ndarray,
    coils: np.ndarray,
    aperture: float,
    inharmonicity: float,
    diameter: float,
    density: float,
    split: float,
    wear: np.ndarray,
    sample_rate_hz: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Velocity and displacement of a string at the coils, float64 [blocks * BLOCK_FRAMES].

    `pitch_hz`, `length` (of the speaking string, in units of the scale), `damping`, `mute`: [blocks]. `plucks`: rows
    of block, height, point, softness, angle, frames of pulling. Each mode is a rotating phasor: its imaginary part is
    the displacement, its real part times the angular frequency the velocity. Modes 0..MODES-1 are the plane that the
    coils hear, the others the plane across; only those that ring are gathered and turned.
    """
    blocks = len(pitch_hz)
    velocity, displacement = np.zeros(blocks * BLOCK_FRAMES), np.zeros(blocks * BLOCK_FRAMES)
    real, imaginary = np.zeros(2 * MODES), np.zeros(2 * MODES)
    turned_real, turned_imaginary, modes = np.empty(2 * MODES), np.empty(2 * MODES), np.empty(2 * MODES, np.int64)
    cosine, sine = np.empty(2 * MODES), np.empty(2 * MODES)
    to_velocity, to_displacement = np.empty(2 * MODES), np.empty(2 * MODES)
    heard = np.empty(MODES)  # by all coils together, of one metre of each mode
    pluck = 0
    for block in range(blocks):
        speaking = length[block]
        audible = min(MODES, int(0.42 * sample_rate_hz / pitch_hz[block]))
        if block == 0 or speaking != length[block - 1]:
            for n in range(MODES):
                width = np.pi * (n + 1) * aperture / speaking
                heard[n] = 0.0
                for coil in coils:
                    heard[n] += np.sin(np.pi * (n + 1) * coil / speaking) * np.sin(width) / width
        while pluck < len(plucks) and int(plucks[pluck, 0]) == block:
            _, height, point, softness, angle, pull_frames = plucks[pluck]
            point = min(point / speaking, 0.5)
            held = 0.0
            for n in range(audible):
                m = n + 1.0
                # The Fourier series of a string pulled into a triangle, its corner rounded.
                metres = 2.0 * height * np.sin(np.pi * m * point) / (np.pi**2 * m**2 * point * (1.0 - point))
                metres /= 1.0 + (m * pitch_hz[block] / softness) ** 2
                imaginary[n] += np.cos(angle) * metres
                imaginary[MODES + n] += np.sin(angle) * metres
                held += (np.cos(angle) + _VERTICAL_SENSE * np.sin(angle)) * metres * heard[n]
            # The pull that went before is slow enough to be heard as a thump.
            release = block * BLOCK_FRAMES
            for t in range(max(release - int(pull_frames), 0), release):
                phase = np.pi * (1.0 - (release - t) / pull_frames)
                displacement[t] += held * 0.5 * (1.0 - np.cos(phase))
                velocity[t] += held * 0.5 * np.sin(phase) * np.pi / pull_frames * sample_rate_hz
            pluck += 1
        ringing = 0
        for mode in range(2 * MODES):
            n, across = mode % MODES, mode >= MODES
            m = n + 1.0
            stiffness = np.sqrt(1.0 + inharmonicity / speaking**2 * m * m)
            hertz = m * pitch_hz[block] * stiffness * (1.0 + split if across else 1.0)
            silent = real[mode] ** 2 + imaginary[mode] ** 2 < _SILENT_METRES**2
            if silent or n >= audible or hertz > 0.45 * sample_rate_hz:
                real[mode] = imaginary[mode] = 0.0
                continue
            air = _AIR_VISCOSITY + diameter * np.sqrt(np.pi * _AIR_VISCOSITY * _AIR_DENSITY * hertz)
            loss = air / (hertz * density) + _INTERNAL_LOSS * wear[n % len(wear)] + _THERMAL_LOSS * hertz**2
            decay = np.pi * hertz * loss + _SUPPORT_LOSS * (1.6 if across else 1.0) + damping[block]
            decay += mute[block] * (1.0 + hertz / 700.0 + (hertz / 2500.0) ** 2)
            shrink, turn = np.exp(-decay / sample_rate_hz), 2.0 * np.pi * hertz / sample_rate_hz
            cosine[ringing], sine[ringing] = shrink * np.cos(turn), shrink * np.sin(turn)
            to_displacement[ringing] = heard[n] * (_VERTICAL_SENSE if across else 1.0)
            to_velocity[ringing] = to_displacement[ringing] * 2.0 * np.pi * hertz
            turned_real[ringing], turned_imaginary[ringing], modes[ringing] = real[mode], imaginary[mode], mode
            ringing += 1
        for t in range(block * BLOCK_FRAMES, (block + 1) * BLOCK_FRAMES):
            speed, offset = 0.0, 0.0
            for k in range(ringing):
                re = cosine[k] * turned_real[k] - sine[k] * turned_imaginary[k]
                im = sine[k] * turned_real[k] + cosine[k] * turned_imaginary[k]
                turned_real[k], turned_imaginary[k] = re, im
                speed += to_velocity[k] * re
                offset += to_displacement[k] * im
            velocity[t] += speed
            displacement[t] += offset
        for k in range(ringing):
            real[modes[k]], imaginary[modes[k]] = turned_real[k], turned_imaginary[k]
    return velocity, displacement


def _electronics(induced: np.ndarray, guitar: Guitar, sample_rate_hz: int) -> np.ndarray:
    """From the coil through tone and volume pot and the cable into an amplifier, exactly, as a ladder of impedances."""
    pickup = guitar.pickup
    padded = fft.next_fast_len(len(induced) + sample_rate_hz // 4, real=True)
    s = 2j * np.pi * fft.rfftfreq(padded, 1.0 / sample_rate_hz)
    jack = s * guitar.cable_farads + 1.0 / max(_POT_OHMS * guitar.volume, 1.0) + 1.0 / _LOAD_OHMS
    to_jack = max(_POT_OHMS * (1.0 - guitar.volume), 1.0) + 1.0 / jack
    tone = s * _TONE_FARADS / (1.0 + s * _TONE_FARADS * max(_POT_OHMS * guitar.tone, 100.0))
    hot = s * pickup.farads + tone + 1.0 / to_jack
    response = 1.0 / (1.0 + hot * (pickup.ohms + s * pickup.henries)) / (jack * to_jack)
    return fft.irfft(fft.rfft(induced, padded) * response, padded)[: len(induced)]


def _touch_noise(rng: np.random.Generator, notes: Sequence[Note], frames: int, sample_rate_hz: int) -> np.ndarray:
    """The scrape of the pick before each note and of the finger along a slide, as the coils hear it."""
    scrape = np.zeros(frames)
    for note in notes:
        release = min(round(note.start * sample_rate_hz), frames)
        if not note.hammered:
            begin = max(release - round(0.5 * note.pull_seconds * sample_rate_hz), 0)
            count = release - begin
            scrape[begin:release] += 0.1 * note.strength * np.hanning(count) * rng.normal(size=count)
        if note.slide:
            end = min(release + round(0.08 * sample_rate_hz), frames)
            scrape[release:end] += 0.01 * note.strength * rng.normal(size=end - release)
    band = signal.butter(1, [800.0, 0.375 * sample_rate_hz], "bandpass", fs=sample_rate_hz, output="sos")
    return signal.sosfilt(band, scrape)


def _hum_and_hiss(rng: np.random.Generator, guitar: Guitar, frames: int, sample_rate_hz: int) -> np.ndarray:
    """Mains hum with its odd harmonics, which a humbucker hears 12 dB less, and white noise. Volts."""
    mains_hz = rng.choice([50.0, 60.0])
    hum_dbv = rng.uniform(-78.0, -60.0) - (12.0 if len(guitar.pickup.coils) == 2 else 0.0)
    hiss_dbv = rng.uniform(-98.0, -84.0)
    cycle = np.arange(4097) / 4096.0
    wave = np.zeros(len(cycle))
    for harmonic in range(1, 24):
        fall_db = (3.0 if harmonic % 2 else 12.0) * np.log2(harmonic)
        amplitude = rng.uniform(0.4, 1.0) * 10.0 ** (-fall_db / 20.0)
        wave += amplitude * np.sin(2.0 * np.pi * (harmonic * cycle + rng.random()))
    hum = np.interp(np.arange(frames) * (mains_hz / sample_rate_hz) % 1.0, cycle, wave)
    return 10.0 ** (hum_dbv / 20.0) * hum + 10.0 ** (hiss_dbv / 20.0) * rng.normal(size=frames)


@dataclass(frozen=True)
class _Phrase:
    """What a player has in mind for the next bars. `strength` 0..1; `fret`: the root on the lowest string."""

    start: float
    end: float
    beat: float
    strength: float
    fret: int
    pick_point: float
    softness_hz: float

    def note(
        self,
        rng: np.random.Generator,
        start: float,
        string: int,
        fret: int,
        seconds: float,
        accent: float = 1.0,
        **how: Any,
    ) -> Note:
        """A note in the manner of this phrase; no hand does the same twice."""
        strength = self.strength * accent * 10.0 ** (rng.normal(0.0, 1.5) / 20.0)
        return Note(
            string=string,
            start=start,
            seconds=seconds,
            fret=fret,
            strength=min(strength, 1.0),
            pick_point=float(np.clip(self.pick_point * rng.uniform(0.85, 1.15), 0.04, 0.45)),
            softness_hz=self.softness_hz * strength**0.2 * rng.uniform(0.8, 1.2),
            angle=rng.normal(0.45, 0.2),
            pull_seconds=rng.uniform(0.005, 0.016),
            **how,
        )


def _play(rng: np.random.Generator, seconds: float) -> Iterator[Note]:
    """The notes of a take: phrases of a few seconds, now and then with a gap between them."""
    styles = list(_STYLES)
    shares = np.array([_STYLES[style] for style in styles])
    start = 0.25
    while start < seconds - 0.5:
        phrase = _Phrase(
            start=start,
            end=min(start + rng.uniform(3.0, 7.0), seconds - 0.3),
            beat=60.0 / rng.uniform(70.0, 170.0),
            strength=10.0 ** (rng.uniform(-14.0, 0.0) / 20.0),
            fret=int(rng.integers(0, 8)),
            pick_point=rng.uniform(0.07, 0.22),
            softness_hz=rng.uniform(5000.0, 14000.0),
        )
        yield from styles[rng.choice(len(styles), p=shares)](rng, phrase)
        start = phrase.end + (rng.uniform(0.1, 1.5) if rng.random() < 0.4 else 0.0)


def _power_chord(
    rng: np.random.Generator, phrase: _Phrase, start: float, fret: int, seconds: float, muted: bool
) -> Iterator[Note]:
    how = {"accent": 0.8, "mute": rng.uniform(10.0, 30.0)} if muted else {}
    for string, above in ((0, 0), (1, 2), (2, 2)):
        yield phrase.note(rng, start + 0.004 * string, string, fret + above, 0.95 * seconds, **how)


def _riff(rng: np.random.Generator, phrase: _Phrase) -> Iterator[Note]:
    """Power chords: some ring, the others are palm-muted."""
    start = phrase.start
    while start < phrase.end:
        rings = rng.random() < 0.45
        seconds = phrase.beat / rng.choice([2, 4]) * (rng.uniform(1.0, 3.0) if rings else 1.0)
        yield from _power_chord(rng, phrase, start, phrase.fret + rng.choice([0, 0, 0, 3, 5, 6]), seconds, not rings)
        start += seconds


def _chug(rng: np.random.Generator, phrase: _Phrase) -> Iterator[Note]:
    """Palm-muted sixteenths, the first of each beat let ring."""
    step = phrase.beat / 4.0
    for number, start in enumerate(np.arange(phrase.start, phrase.end, step)):
        fret = phrase.fret + rng.choice([0, 0, 0, 0, 1, 3])
        yield from _power_chord(rng, phrase, start, fret, step, muted=number % 4 > 0)


def _chord(rng: np.random.Generator) -> list[tuple[int, int]]:
    """A chord in open position as pairs of string and fret, the lowest first."""
    return [(string, int(fret)) for string, fret in enumerate(rng.choice(_CHORDS)) if fret != "x"]


def _strum(rng: np.random.Generator, phrase: _Phrase) -> Iterator[Note]:
    """Eighths down and up, four beats a chord, some strokes left out."""
    step = phrase.beat / 2.0
    for number, start in enumerate(np.arange(phrase.start, phrase.end, step)):
        if number % 8 == 0:
            chord = _chord(rng)
        if rng.random() < 0.2:
            continue
        down = number % 2 == 0
        spread = rng.uniform(0.004, 0.016)
        seconds = step * (2.0 if rng.random() < 0.3 else 1.0)
        for order, (string, fret) in enumerate(chord if down else chord[:-5:-1]):
            accent = (1.0 if down else 0.7) * rng.uniform(0.8, 1.0)
            yield phrase.note(rng, start + order * spread, string, fret, seconds, accent=accent)


def _arpeggio(rng: np.random.Generator, phrase: _Phrase) -> Iterator[Note]:
    """A chord picked string by string, left to ring."""
    step = phrase.beat / 2.0
    for number, start in enumerate(np.arange(phrase.start, phrase.end, step)):
        if number % 8 == 0:
            chord = _chord(rng)
        string, fret = chord[(0, 2, 3, 1, -1, 2, 3, 1)[number % 8] % len(chord)]
        yield phrase.note(rng, start, string, fret, step * rng.uniform(3.0, 7.0), accent=0.8)


def _lead(rng: np.random.Generator, phrase: _Phrase) -> Iterator[Note]:
    """A line in the minor pentatonic with bends, vibrato, slides and hammered notes."""
    start = phrase.start
    while start < phrase.end:
        seconds = phrase.beat / rng.choice([1, 2, 3, 4], p=[0.15, 0.4, 0.2, 0.25])
        step = int(np.clip(rng.normal(5.0, 2.5), 0, len(_MINOR_SCALE) - 1))
        semitones = 10 + phrase.fret + _MINOR_SCALE[step]
        string = max(number for number in range(1, 6) if _OPEN_SEMITONES[number] + 3 <= semitones or number == 1)
        fret = semitones - _OPEN_SEMITONES[string]
        ornament, slow = rng.random(), seconds > 0.2
        if ornament < 0.2 and slow:
            how = {"bend": rng.choice([1.0, 2.0]), "bend_seconds": rng.uniform(0.12, 0.3)}
        elif ornament < 0.3:
            how = {"slide": int(rng.choice([-2, 2, 3]))}
        elif ornament < 0.4:
            how = {"hammered": True}
        elif ornament > 0.6 and slow:
            how = {"vibrato": rng.uniform(0.1, 0.5), "vibrato_hz": rng.uniform(4.8, 6.2)}
        else:
            how = {}
        yield phrase.note(rng, start, string, fret, 1.02 * seconds, **how)
        start += seconds


def _sustain(rng: np.random.Generator, phrase: _Phrase) -> Iterator[Note]:
    """One note or two, held to the end of the phrase."""
    string, seconds = int(rng.integers(0, 5)), phrase.end - phrase.start
    yield phrase.note(rng, phrase.start, string, phrase.fret + 3, seconds, vibrato=rng.uniform(0.0, 0.3))
    if rng.random() < 0.5:
        yield phrase.note(rng, phrase.start + 0.006, string + 1, phrase.fret + 5, seconds)


# How a player spends the time.
_STYLES: dict[Callable[[np.random.Generator, _Phrase], Iterator[Note]], float] = {
    _riff: 0.2,
    _strum: 0.2,
    _arpeggio: 0.16,
    _lead: 0.24,
    _chug: 0.12,
    _sustain: 0.08,
}
