"""What hands do to strings: from notes to the motion of a string at the coils.

A take is rendered in pieces, so that its length costs time alone. Each string carries its modes, and what sticks out
of a piece, on into the next.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import signal

from training.guitar.electronics import bend_by_field, heard_modes
from training.guitar.instruments import Guitar
from training.guitar.strings import ACROSS_SENSE, BLOCK_FRAMES, FRETS, MODES, THERMOELASTIC_LOSS, pulled, vibrate

PIECE_BLOCKS = 8192
PIECE_FRAMES = PIECE_BLOCKS * BLOCK_FRAMES

_PICK_HEIGHT_METRES = 1.5e-3  # how far the strongest pluck pulls the string
_HAMMER_HEIGHT = 0.35  # of it, what a hammered finger does
_UNPLAYED_DAMPING, _TOUCH_DAMPING, _FINGERTIP_DAMPING = 60.0, 350.0, 0.4  # 1/s
_SLIDE_SECONDS = 0.08
_PITCH_STEP = 5e-4  # semitones: finer is inaudible, and lets blocks share their coefficients
_MAGNET_METRES = 3e-3  # from the string to the pole pieces
_LONGEST_SECONDS = 0.25  # of what is heard around one touch
_PALM_METRES, _PALM_PLACE = 1.2e-3, 0.06  # how far, and where, the palm presses the strings
_LANDING_SECONDS = 0.010  # of a finger or a palm
_REST_SECONDS = 0.03  # a shorter gap between notes is none: the hand does not come down


@dataclass(frozen=True)
class Note:
    """One pluck. Times in seconds, pitches in semitones; `strength` 0..1 is linear in the height of the pull.

    `pick_point`: distance from the bridge in units of the scale. `softness_hz`: where the width of pick and finger
    begins to round the corner of the string. `angle`: of the pull, radians from the plane that the pickup hears best.
    `mute`: damping by the palm, 1/s. `vibrato`: peak depth. `slide`: frets travelled at the start, up if positive.
    `scrape`: how loudly the pick rubs along the string, `press`: how hard the palm comes down on it to mute or stop it;
    1 for a usual one.
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
    scrape: float = 1.0
    press: float = 1.0


def pieces(frames: int) -> Iterator[tuple[int, int]]:
    """First frame and number of frames of each piece."""
    for start in range(0, frames, PIECE_FRAMES):
        yield start, min(PIECE_FRAMES, frames - start)


class Touches:
    """Short sounds, each with the frame where it begins, that are added up piece by piece.

    `begins` need not rise. A sound may last `_LONGEST_SECONDS`; what is before the first frame is left out.
    """

    def __init__(self, begins: Sequence[int], sample_rate_hz: int) -> None:
        self.order = sorted(range(len(begins)), key=lambda index: begins[index])
        self.begins = begins
        self.next = 0
        self.buffer = np.zeros(PIECE_FRAMES + round(_LONGEST_SECONDS * sample_rate_hz))

    def due(self, end: int) -> Iterator[int]:
        """The indices of the sounds that begin before frame `end`, each once."""
        while self.next < len(self.order) and self.begins[self.order[self.next]] < end:
            yield self.order[self.next]
            self.next += 1

    def add(self, index: int, start: int, samples: np.ndarray) -> None:
        at = self.begins[index] - start
        samples = samples[max(-at, 0) :]
        at = max(at, 0)
        self.buffer[at : at + len(samples)] += samples

    def piece(self, frames: int) -> np.ndarray:
        """The sum of the next `frames`, float64; what sticks out is kept for the piece after them."""
        done = self.buffer[:frames].copy()
        self.buffer[: len(self.buffer) - frames] = self.buffer[frames:]
        self.buffer[len(self.buffer) - frames :] = 0.0
        return done


class SoundingString:
    """One string of a guitar while a take is played on it."""

    def __init__(self, guitar: Guitar, number: int, notes: Sequence[Note], sample_rate_hz: int) -> None:
        """`notes`: those of this string, in order of time."""
        self.string, self.guitar, self.number, self.notes = guitar.strings[number], guitar, number, notes
        self.rate = sample_rate_hz
        self.per_second = sample_rate_hz / BLOCK_FRAMES
        self.starts = [round(note.start * self.per_second) for note in notes]
        self.heard = heard_modes(guitar.pickup, self.string.scale_metres)
        m = np.arange(1.0, MODES + 1.0)
        speaking = 2.0 ** (-np.arange(FRETS) / 12.0)
        self.stiffness = self.string.inharmonicity * (m / speaking[:, None]) ** 2
        self.real, self.imaginary = np.zeros(2 * MODES), np.zeros(2 * MODES)
        self.slow_begins, self.slow = self._slow_moves()
        self.touches = Touches(self.slow_begins, sample_rate_hz)
        self.first = 0  # the last note that has begun before the piece
        self.flux = np.zeros(2)

    def play(self, start: int, frames: int) -> np.ndarray:
        """What the coils induce in the piece of `frames` from `start`; the unit is arbitrary, near one volt."""
        velocity = self._vibrate(start // BLOCK_FRAMES, -(-frames // BLOCK_FRAMES))[:frames]
        for index in self.touches.due(start + frames):
            count, metres = self.slow[index]
            shape = np.sin(np.pi * (np.arange(count) + 0.5) / count)
            self.touches.add(index, start, metres * self.rate / shape.sum() * shape)
        velocity += self.touches.piece(frames)
        coils = len(self.guitar.pickup.coils)
        bend_by_field(velocity, _MAGNET_METRES * coils, self.rate, self.flux)
        # The thicker the string, the more of it is steel.
        return (self.string.diameter_metres / 1e-3) ** 1.2 / coils * velocity

    def _vibrate(self, first_block: int, blocks: int) -> np.ndarray:
        while self.first + 1 < len(self.notes) and self.starts[self.first + 1] <= first_block:
            self.first += 1
        pitch, fret, damping, mute = self._curves(first_block, blocks)
        plucked = [i for i in range(self.first, len(self.notes)) if 0 <= self.starts[i] - first_block < blocks]
        return vibrate(
            self.string.open_hz * 2.0 ** (pitch / 12.0),
            fret,
            damping,
            mute,
            np.array([self.starts[i] - first_block for i in plucked], np.int64),
            np.array([self._pluck(self.notes[i]) for i in plucked]).reshape(-1, 2 * MODES),
            self.heard,
            self.stiffness,
            *self.string.air_losses,
            THERMOELASTIC_LOSS * self.guitar.wear[self.number],
            self.string.loss_per_square_hertz,
            self.guitar.split[self.number],
            self.rate,
            self.real,
            self.imaginary,
        )

    def _curves(self, first_block: int, blocks: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Semitones above the open string, fret, damping and mute of each block of a piece."""
        cents = self.guitar.cents[self.number] / 100.0
        pitch, fret = np.full(blocks, cents), np.zeros(blocks, np.int64)
        damping, mute = np.full(blocks, _UNPLAYED_DAMPING), np.zeros(blocks)
        lead = round(_LONGEST_SECONDS * self.per_second)
        for index in range(self.first, len(self.notes)):
            note, start = self.notes[index], self.starts[index] - first_block
            if start - lead >= blocks:
                break
            following = self.starts[index + 1] - first_block if index + 1 < len(self.notes) else blocks
            stop = max(start, min(round((note.start + note.seconds) * self.per_second) - first_block, following))
            a, b = (min(max(block, 0), blocks) for block in (start, stop))
            if b > a:
                semitones, stopped = _pitch_curves(note, (np.arange(a, b) - start) / self.per_second)
                pitch[a:b] = cents + np.round(semitones / _PITCH_STEP) * _PITCH_STEP
                fret[a:b] = stopped
                damping[a:b] = 0.0 if note.fret == 0 else _FINGERTIP_DAMPING
                mute[a:b] = note.mute
            if start < blocks:
                pitch[b:], fret[b:], damping[b:], mute[b:] = cents + note.fret, note.fret, _UNPLAYED_DAMPING, 0.0
            if not note.hammered:
                touched = start - max(round(note.pull_seconds * self.per_second), 1)
                damping[min(max(touched, 0), blocks) : a] = _TOUCH_DAMPING
        return pitch, fret, damping, mute

    def _pluck(self, note: Note) -> np.ndarray:
        """The displacement that a pluck leaves in the modes of both planes, metres [2 * MODES]."""
        speaking = 2.0 ** (-max(note.fret - note.slide, 0) / 12.0)
        height = note.strength * _PICK_HEIGHT_METRES * (_HAMMER_HEIGHT if note.hammered else 1.0)
        metres = pulled(height, min(note.pick_point / speaking, 0.5), note.softness_hz * speaking / self.string.open_hz)
        return np.concatenate([np.cos(note.angle) * metres, np.sin(note.angle) * metres])

    def _slow_moves(self) -> tuple[list[int], list[tuple[int, float]]]:
        """How the string is moved at the coils before it is let go: first frames; frames and metres of each move.

        A pick pulls; a finger presses the string down to its fret and lets it up again; a palm presses it.
        """
        begins: list[int] = []
        moves: list[tuple[int, float]] = []
        lowered, free, press = 0.0, 0.0, 0.0  # metres, summed over the coils; when the note ended; how its hand rests

        def move(until: float, seconds: float, to: float, by: float) -> None:
            frames = min(max(round(seconds * self.rate), BLOCK_FRAMES), round(_LONGEST_SECONDS * self.rate))
            begins.append(round(until * self.rate) - frames)
            moves.append((frames, to - by))

        for note, start in zip(self.notes, self.starts, strict=True):
            release = start / self.per_second
            if free and note.start > free + _REST_SECONDS:
                move(free + 0.5 * _REST_SECONDS, _LANDING_SECONDS, press, lowered)
                lowered = press
            rests = self._fretted(note) + (self._palm(note) if note.mute else 0.0)
            if rests != lowered:
                move(max(release - note.pull_seconds, free), _LANDING_SECONDS, rests, lowered)
                lowered = rests
            if not note.hammered:
                fret = max(note.fret - note.slide, 0)
                audible = self.string.open_hz * 2.0 ** (fret / 12.0) * np.arange(1, MODES + 1) < 0.45 * self.rate
                first, second = np.split(self._pluck(note), 2)
                held = np.sum((self.heard[fret] * (first + ACROSS_SENSE * second))[audible])
                move(release, note.pull_seconds, float(held), 0.0)
            free, press = note.start + note.seconds, self._palm(note)
        if free:
            move(free + 0.5 * _REST_SECONDS, _LANDING_SECONDS, press, lowered)
        return begins, moves

    def _fretted(self, note: Note) -> float:
        """How far the finger on its fret lowers the string at the coils: metres, summed over the coils."""
        octave = 1.0 - 2.0 ** (-note.fret / 12.0)
        action = 0.5e-3 + 2.6e-3 * octave if note.fret else 0.0  # 1.8 mm above the twelfth fret
        return action * sum(self.guitar.pickup.coils) / (1.0 - octave)

    def _palm(self, note: Note) -> float:
        """The same of the palm that mutes or stops a note."""
        apart = sum(1.0 - place for place in self.guitar.pickup.coils)
        return _PALM_METRES * note.press * (0.3 + note.strength) * apart / (1.0 - _PALM_PLACE)


def _pitch_curves(note: Note, seconds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Semitones above the open string and the fret that stops it, at `seconds` after the pluck."""
    frets = np.full(len(seconds), note.fret)
    if note.slide:
        travelled = np.clip(seconds / _SLIDE_SECONDS, 0.0, 1.0)
        frets = np.maximum(frets + np.round(-note.slide * (1.0 - travelled)).astype(np.int64), 0)
    bent = np.clip((seconds - 0.05) / note.bend_seconds, 0.0, 1.0)
    shaken = np.clip((seconds - 0.15) / 0.25, 0.0, 1.0) * 0.5 * (1.0 - np.cos(2.0 * np.pi * note.vibrato_hz * seconds))
    # A string pulled far is a tighter string: hard notes start sharp.
    tightened = 0.12 * note.strength**2 * np.exp(-6.0 * seconds)
    return frets + note.bend * bent**2 * (3.0 - 2.0 * bent) + note.vibrato * shaken + tightened, frets


def induced(
    notes: Iterable[Note], guitar: Guitar, frames: int, sample_rate_hz: int
) -> Iterator[tuple[int, np.ndarray]]:
    """What the strings induce in the coils, piece by piece: the first frame, and float64 [frames of the piece]."""
    by_string: dict[int, list[Note]] = {}
    for note in notes:
        by_string.setdefault(note.string, []).append(note)
    strings = [SoundingString(guitar, number, played, sample_rate_hz) for number, played in sorted(by_string.items())]
    for start, count in pieces(frames):
        total = np.zeros(count)
        for string in strings:
            total += string.play(start, count)
        yield start, total


def scrapes(
    rng: np.random.Generator, notes: Sequence[Note], guitar: Guitar, frames: int, sample_rate_hz: int
) -> Iterator[tuple[int, np.ndarray]]:
    """The scrape of the pick before each note and of the finger along a slide, as the coils hear it; as `induced`."""
    begins, bursts = [], []
    for note in notes:
        release = round(note.start * sample_rate_hz)
        wound = 1.0 if guitar.strings[note.string].wound else 0.5
        if not note.hammered:
            count = max(round(0.5 * note.pull_seconds * sample_rate_hz), 16)
            begins.append(release - count)
            bursts.append((0.17 * note.scrape * wound * note.strength, np.hanning(count)))
        if note.slide:
            begins.append(release)
            bursts.append((0.01 * wound * note.strength, np.ones(round(_SLIDE_SECONDS * sample_rate_hz))))
    touches = Touches(begins, sample_rate_hz)
    band = signal.butter(1, [800.0, 0.375 * sample_rate_hz], "bandpass", fs=sample_rate_hz, output="sos")
    state = np.zeros((len(band), 2))
    for start, count in pieces(frames):
        for index in touches.due(start + count):
            level, shape = bursts[index]
            touches.add(index, start, level * shape * rng.normal(size=len(shape)))
        scraped, state = signal.sosfilt(band, touches.piece(count), zi=state)
        yield start, scraped
