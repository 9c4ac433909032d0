"""A synthetic guitarist: takes of any length, in volts at the jack, from a seed.

Follow a note: `playing` thinks of it, `touch` pulls and damps a string of `strings`, which moves over the coils of
`electronics`; `instruments` has the guitars that may be played.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import signal

from training.guitar.electronics import PICKUPS, hum_and_hiss, impulse_response
from training.guitar.instruments import GUITARS, STANDARD, Guitar, note_name
from training.guitar.playing import play
from training.guitar.touch import PIECE_FRAMES, Note, induced, scrapes

__all__ = ["GUITARS", "PICKUPS", "STANDARD", "VERSION", "Guitar", "Note", "render_notes", "render_take", "take_facts"]

VERSION = "2"
"""Of the sound: it changes when the samples of a take do."""

# Each has its own random numbers, so that one does not disturb another.
_GUITAR, _PLAYING, _SCRAPES, _NOISE = range(4)


def render_take(
    seed: int, seconds: float, sample_rate_hz: int = 48_000, guitar: Guitar | str | None = None
) -> np.ndarray:
    """A take of guitar playing: volts at the amplifier's input, float64 [seconds * sample_rate_hz].

    `guitar`: a name in `GUITARS`, or one of your own; None draws one that is no bass. The loudest note reaches 0.2 to
    1 V, as the pickup gives; hum and hiss stand at -110 to -60 dBV. The same arguments give the same samples. Time
    grows with `seconds`, and so does memory, by what is returned. Raises ValueError for less than one second, for a
    seed below zero and for a guitar that is not there.
    """
    if seconds < 1.0:
        raise ValueError("a take lasts at least one second")
    of = _guitar(seed, guitar)
    frames = round(seconds * sample_rate_hz)
    playing, notes = _rng(seed, _PLAYING), list[Note]()
    while not notes:  # in a second or two a player may miss every stroke
        notes = sorted(play(playing, of, seconds), key=lambda note: note.start)
    ahead, impulse = impulse_response(of.pickup, of.cable_farads, of.volume, of.tone, sample_rate_hz)
    volts = np.zeros(frames)
    scraped = scrapes(_rng(seed, _SCRAPES), notes, of, frames, sample_rate_hz)
    for (start, coil), (_, scrape) in zip(induced(notes, of, frames, sample_rate_hz), scraped, strict=True):
        wired = signal.oaconvolve(coil + scrape, impulse)
        begin, end = max(start - ahead, 0), min(start - ahead + len(wired), frames)
        volts[begin:end] += wired[begin - start + ahead : end - start + ahead]
    volts *= of.peak_volts / max(volts.max(), -volts.min())
    for start, noise in hum_and_hiss(_rng(seed, _NOISE), of.pickup, frames, PIECE_FRAMES, sample_rate_hz):
        volts[start : start + len(noise)] += noise
    return volts


def take_facts(seed: int, guitar: Guitar | str | None = None) -> dict[str, Any]:
    """What `render_take` plays with these arguments, in plain types: guitar, tuning, pickup, knobs 0..1, level."""
    of = _guitar(seed, guitar)
    return {
        "guitar": of.name,
        "bass": of.bass,
        "tuning": " ".join(note_name(string.open_hz) for string in of.strings),
        "pickup": of.pickup.name,
        "volume": round(of.volume, 4),
        "tone": round(of.tone, 4),
        "cable_picofarads": round(of.cable_farads * 1e12),
        "peak_volts": round(of.peak_volts, 4),
    }


def render_notes(notes: Sequence[Note], guitar: Guitar, seconds: float, sample_rate_hz: int = 48_000) -> np.ndarray:
    """What the coils of `guitar` induce while `notes`, in order of time, are played: float64 [frames].

    The unit is arbitrary, near one volt; the electronics are not in it, nor any noise. Deterministic.
    """
    samples = np.zeros(round(seconds * sample_rate_hz))
    for start, piece in induced(notes, guitar, len(samples), sample_rate_hz):
        samples[start : start + len(piece)] = piece
    return samples


def _rng(seed: int, part: int) -> np.random.Generator:
    return np.random.default_rng([seed, part])


def _guitar(seed: int, guitar: Guitar | str | None) -> Guitar:
    return guitar if isinstance(guitar, Guitar) else Guitar.draw(_rng(seed, _GUITAR), guitar)
