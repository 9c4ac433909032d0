"""A player: phrases in many styles, never the same twice.

What is played depends on the tuning alone: chords and scales are found on whatever strings there are.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from training.guitar.instruments import Guitar
from training.guitar.touch import Note

# Minor pentatonic, minor, major, major pentatonic, Phrygian dominant: semitones above the root.
_SCALES = ((0, 3, 5, 7, 10), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 5, 7, 9, 11), (0, 2, 4, 7, 9), (0, 1, 4, 5, 7, 8, 10))
_HIGHEST_FRET = 22
_CHORD_SPAN = 4  # frets that a hand spans


@dataclass(frozen=True)
class _Phrase:
    """What a player has in mind for the next bars.

    `strength` 0..1. `fret`: the root, on the lowest string. `open_semitones`: the tuning, from the lowest string up.
    `scale`: semitones above the root. `fingers`: played without a pick.
    """

    start: float
    end: float
    beat: float
    strength: float
    fret: int
    pick_point: float
    softness_hz: float
    fingers: bool
    open_semitones: tuple[int, ...]
    scale: tuple[int, ...]

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
            start=max(start + rng.normal(0.0, 0.004), 0.05),
            seconds=seconds,
            fret=fret,
            strength=min(strength, 1.0),
            pick_point=float(np.clip(self.pick_point * rng.uniform(0.85, 1.15), 0.04, 0.45)),
            softness_hz=self.softness_hz * strength**0.2 * rng.uniform(0.8, 1.2),
            angle=rng.normal(0.45, 0.2),
            pull_seconds=float(np.clip(0.012 * np.exp(rng.normal(0.0, 0.5)), 0.004, 0.06)),
            scrape=0.15 if self.fingers else float(np.exp(rng.normal(0.0, 0.6))),
            press=float(np.exp(rng.normal(0.0, 0.5))),
            **how,
        )

    def place(self, semitones: int, near: int) -> tuple[int, int]:
        """String and fret, nearest to the fret `near`, of a note this far above the lowest open string.

        What is beyond the fingerboard is played in another octave.
        """
        while semitones > self.open_semitones[-1] + _HIGHEST_FRET:
            semitones -= 12
        semitones = semitones if semitones >= 0 else semitones % 12
        frets = [(string, semitones - of) for string, of in enumerate(self.open_semitones)]
        return min(
            ((string, fret) for string, fret in frets if 0 <= fret <= _HIGHEST_FRET),
            key=lambda place: abs(place[1] - near),
        )


def play(rng: np.random.Generator, guitar: Guitar, seconds: float) -> Iterator[Note]:
    """The notes of a take: phrases of a few seconds, now and then with a gap between them."""
    styles = _BASS_STYLES if guitar.bass else _STYLES
    names = list(styles)
    shares = np.array([styles[style] for style in names])
    start = 0.25
    while start < seconds - 0.5:
        fingers = rng.random() < (0.5 if guitar.bass else 0.12)
        phrase = _Phrase(
            start=start,
            end=min(start + rng.uniform(3.0, 7.0), seconds - 0.3),
            beat=60.0 / rng.uniform(70.0, 170.0),
            strength=10.0 ** (rng.uniform(-14.0, 0.0) / 20.0),
            fret=0 if rng.random() < 0.35 else int(rng.integers(1, 9)),
            pick_point=rng.uniform(0.07, 0.22),
            softness_hz=float(np.exp(rng.uniform(*np.log((1800.0, 4500.0) if fingers else (10000.0, 40000.0))))),
            fingers=fingers,
            open_semitones=guitar.open_semitones,
            scale=_SCALES[rng.choice(len(_SCALES), p=(0.4, 0.2, 0.15, 0.15, 0.1))],
        )
        yield from names[rng.choice(len(names), p=shares)](rng, phrase)
        start = phrase.end + (rng.uniform(0.1, 1.5) if rng.random() < 0.4 else 0.0)


def _power_chord(
    rng: np.random.Generator, phrase: _Phrase, start: float, fret: int, seconds: float, muted: bool
) -> Iterator[Note]:
    """Root, fifth and octave on the lowest strings, wherever the tuning puts them."""
    how = {"accent": 0.8, "mute": rng.uniform(10.0, 30.0)} if muted else {}
    for string, above in ((0, 0), (1, 7), (2, 12)):
        at = fret + above - phrase.open_semitones[string]
        if at >= 0:
            yield phrase.note(rng, start + 0.004 * string, string, at, 0.95 * seconds, **how)


def _riff(rng: np.random.Generator, phrase: _Phrase) -> Iterator[Note]:
    """Power chords: some ring, the others are palm-muted."""
    start = phrase.start
    while start < phrase.end:
        rings = rng.random() < 0.45
        seconds = phrase.beat / rng.choice([2, 4]) * (rng.uniform(1.0, 3.0) if rings else 1.0)
        fret = phrase.fret + int(rng.choice([0, 0, 0, 3, 5, 6]))
        yield from _power_chord(rng, phrase, start, fret, seconds, not rings)
        start += seconds


def _chug(rng: np.random.Generator, phrase: _Phrase) -> Iterator[Note]:
    """Palm-muted sixteenths, the first of each beat let ring."""
    step = phrase.beat / 4.0
    for number, start in enumerate(np.arange(phrase.start, phrase.end, step)):
        fret = phrase.fret + int(rng.choice([0, 0, 0, 0, 1, 3]))
        yield from _power_chord(rng, phrase, start, fret, step, muted=number % 4 > 0)


def _chord(rng: np.random.Generator, phrase: _Phrase) -> list[tuple[int, int]]:
    """A chord that a hand can grip, as pairs of string and fret, the lowest first; the root is its lowest note."""
    root, position = int(rng.integers(12)), int(rng.choice([0, 0, 0, 2, 5, 7]))
    tones = {root % 12, (root + int(rng.choice([3, 4]))) % 12, (root + 7) % 12}
    if rng.random() < 0.25:
        tones.add((root + int(rng.choice([2, 10, 11]))) % 12)
    chord: list[tuple[int, int]] = []
    for string, of in enumerate(phrase.open_semitones[-6:], max(len(phrase.open_semitones) - 6, 0)):
        wanted = tones if chord else {root}
        frets = [fret for fret in range(position, position + _CHORD_SPAN) if (of + fret) % 12 in wanted]
        if frets:
            chord.append((string, frets[0]))
    return chord if len(chord) >= min(3, len(phrase.open_semitones)) else _chord(rng, phrase)


def _strokes(
    rng: np.random.Generator,
    phrase: _Phrase,
    start: float,
    chord: Sequence[tuple[int, int]],
    seconds: float,
    down: bool,
) -> Iterator[Note]:
    """One stroke over the strings of a chord; upwards it meets the highest alone."""
    spread = rng.uniform(0.004, 0.016)
    for order, (string, fret) in enumerate(chord if down else chord[:-5:-1]):
        accent = (1.0 if down else 0.7) * rng.uniform(0.8, 1.0)
        yield phrase.note(rng, start + order * spread, string, fret, seconds, accent=accent)


def _strum(rng: np.random.Generator, phrase: _Phrase) -> Iterator[Note]:
    """Eighths down and up, four beats a chord, some strokes left out."""
    step = phrase.beat / 2.0
    chord: list[tuple[int, int]] = []
    for number, start in enumerate(np.arange(phrase.start, phrase.end, step)):
        if number % 8 == 0:
            chord = _chord(rng, phrase)
        if rng.random() < 0.2:
            continue
        seconds = step * (2.0 if rng.random() < 0.3 else 1.0)
        yield from _strokes(rng, phrase, start, chord, seconds, down=number % 2 == 0)


def _scratch(rng: np.random.Generator, phrase: _Phrase) -> Iterator[Note]:
    """Sixteenths on a chord; where the left hand lifts, the strings only click."""
    step = phrase.beat / 4.0
    chord = _chord(rng, phrase)[-4:]
    for number, start in enumerate(np.arange(phrase.start, phrase.end, step)):
        if number % 16 == 0 and rng.random() < 0.6:
            chord = _chord(rng, phrase)[-4:]
        chance = rng.random()
        if chance < 0.25:
            continue
        dead = {"mute": rng.uniform(100.0, 250.0)} if chance < 0.65 else {}
        for order, (string, fret) in enumerate(chord if number % 2 == 0 else chord[::-1]):
            yield phrase.note(rng, start + 0.004 * order, string, fret, step * rng.uniform(0.6, 1.0), 0.8, **dead)


def _arpeggio(rng: np.random.Generator, phrase: _Phrase) -> Iterator[Note]:
    """A chord picked string by string, left to ring."""
    step = phrase.beat / 2.0
    chord: list[tuple[int, int]] = []
    for number, start in enumerate(np.arange(phrase.start, phrase.end, step)):
        if number % 8 == 0:
            chord = _chord(rng, phrase)
            order = rng.permutation(8)
        string, fret = chord[order[number % 8] % len(chord)]
        yield phrase.note(rng, start, string, fret, step * rng.uniform(3.0, 7.0), accent=0.8)


def _line(rng: np.random.Generator, phrase: _Phrase, lowest: int, highest: int) -> Iterator[int]:
    """Notes of the scale, as semitones above the lowest open string: a melody that seldom leaps."""
    step = int(rng.integers(len(phrase.scale) + 2))
    while True:
        octave, degree = divmod(step, len(phrase.scale))
        semitones = lowest + (phrase.fret % 12) + 12 * octave + phrase.scale[degree]
        if lowest <= semitones <= highest:
            yield semitones
        else:
            step = int(rng.integers(len(phrase.scale)))
        step += int(rng.choice([-4, -2, -1, -1, 0, 1, 1, 2, 3]))


def _lead(rng: np.random.Generator, phrase: _Phrase) -> Iterator[Note]:
    """A melody with bends, vibrato, slides and hammered notes."""
    start, near = phrase.start, phrase.fret + 5
    lowest = int(rng.choice([5, 10, 12]))
    for semitones in _line(rng, phrase, lowest, phrase.open_semitones[-1] + 17):
        if start >= phrase.end:
            return
        seconds = phrase.beat / rng.choice([1, 2, 3, 4], p=[0.15, 0.4, 0.2, 0.25])
        string, fret = phrase.place(semitones, near)
        yield phrase.note(rng, start, string, fret, 1.02 * seconds, **_ornament(rng, seconds, fret))
        start += seconds


def _ornament(rng: np.random.Generator, seconds: float, fret: int) -> dict[str, Any]:
    chance, slow = rng.random(), seconds > 0.2
    if chance < 0.2 and slow and fret:
        return {"bend": rng.choice([1.0, 2.0]), "bend_seconds": rng.uniform(0.12, 0.3)}
    if 0.2 <= chance < 0.3 and fret > 3:
        return {"slide": int(rng.choice([-2, 2, 3]))}
    if 0.3 <= chance < 0.4 and fret:
        return {"hammered": True}
    if chance > 0.6 and slow and fret:
        return {"vibrato": rng.uniform(0.1, 0.5), "vibrato_hz": rng.uniform(4.8, 6.2)}
    return {}


def _legato(rng: np.random.Generator, phrase: _Phrase) -> Iterator[Note]:
    """Runs up and down the scale, of which only the first note on each string is plucked."""
    start, near, last = phrase.start, phrase.fret + 5, -1
    step = phrase.beat / rng.choice([3, 4, 6])
    for semitones in _line(rng, phrase, 12, phrase.open_semitones[-1] + 15):
        if start >= phrase.end:
            return
        string, fret = phrase.place(semitones, near)
        yield phrase.note(rng, start, string, fret, 1.02 * step, hammered=string == last and fret > 0)
        start, last = start + step, string


def _tremolo(rng: np.random.Generator, phrase: _Phrase) -> Iterator[Note]:
    """A melody whose every note is picked again and again."""
    start, stroke = phrase.start, rng.uniform(0.07, 0.11)
    for semitones in _line(rng, phrase, 7, phrase.open_semitones[-1] + 12):
        string, fret = phrase.place(semitones, phrase.fret + 3)
        for _ in range(int(rng.choice([4, 8, 8, 16]))):
            if start >= phrase.end:
                return
            yield phrase.note(rng, start, string, fret, stroke, accent=rng.uniform(0.7, 1.0))
            start += stroke


def _sustain(rng: np.random.Generator, phrase: _Phrase) -> Iterator[Note]:
    """One note or two, held to the end of the phrase."""
    string, seconds = int(rng.integers(0, len(phrase.open_semitones) - 1)), phrase.end - phrase.start
    yield phrase.note(rng, phrase.start, string, phrase.fret + 3, seconds, vibrato=rng.uniform(0.0, 0.3))
    if rng.random() < 0.5:
        yield phrase.note(rng, phrase.start + 0.006, string + 1, phrase.fret + 5, seconds)


def _bass_line(rng: np.random.Generator, phrase: _Phrase) -> Iterator[Note]:
    """Root, fifth, octave and steps of the scale in eighths and quarters; some notes are only ghosts."""
    start, last = phrase.start, -1
    line = _line(rng, phrase, int(rng.integers(0, 5)), phrase.open_semitones[-1] + 9)
    while start < phrase.end:
        chance, seconds = rng.random(), phrase.beat / rng.choice([1, 2, 2, 2, 4])
        semitones = phrase.fret + int(rng.choice([0, 7, 12])) if chance < 0.5 else next(line)
        string, fret = phrase.place(semitones, phrase.fret + 1)
        if chance > 0.93:
            how: dict[str, Any] = {"mute": rng.uniform(80.0, 200.0), "accent": 0.6}
        elif chance > 0.85:
            how = {"hammered": string == last and fret > 0}
        else:
            how = _ornament(rng, seconds, fret) if chance < 0.1 else {}
            how.pop("bend", None)
        yield phrase.note(rng, start, string, fret, seconds * rng.uniform(0.6, 1.0), **how)
        start, last = start + seconds, string


def _bass_pulse(rng: np.random.Generator, phrase: _Phrase) -> Iterator[Note]:
    """Eighths on a root that changes every bar, now and then muted by the palm."""
    step = phrase.beat / 2.0
    how = {"mute": rng.uniform(6.0, 20.0)} if rng.random() < 0.3 else {}
    for number, start in enumerate(np.arange(phrase.start, phrase.end, step)):
        if number % 8 == 0:
            string, fret = phrase.place(phrase.fret + int(rng.choice([0, 0, 3, 5, 7, 8, 10])), phrase.fret)
        yield phrase.note(rng, start, string, fret, step * 0.98, accent=1.0 if number % 2 == 0 else 0.85, **how)


# How a player spends the time.
_Style = Callable[[np.random.Generator, _Phrase], Iterator[Note]]
_STYLES: dict[_Style, float] = {
    _riff: 0.17,
    _strum: 0.18,
    _arpeggio: 0.16,
    _lead: 0.2,
    _chug: 0.08,
    _sustain: 0.07,
    _scratch: 0.05,
    _legato: 0.05,
    _tremolo: 0.04,
}
_BASS_STYLES: dict[_Style, float] = {_bass_line: 0.5, _bass_pulse: 0.3, _sustain: 0.1, _tremolo: 0.05, _legato: 0.05}
