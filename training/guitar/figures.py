"""What a dry guitar is like, in figures: its spectrum, its peaks, how fast its notes decay."""

import itertools
from dataclasses import dataclass

import numpy as np
from scipy import signal

OCTAVES_HZ = tuple(125.0 * 2.0**n for n in range(7))  # their bands reach from 88 Hz to 11.3 kHz
THIRDS_HZ = tuple(1000.0 * 2.0 ** (n / 3.0) for n in range(-16, 14))  # 25 Hz to 20 kHz
DECAY_OCTAVES_HZ = OCTAVES_HZ[:6]  # to 4 kHz: higher up a note sinks into the noise too soon

_AUDIBLE_HZ = (80.0, 10_000.0)  # the power in here is 0 dB
_SEGMENT_SECONDS = 0.35
_CREST_SECONDS = 10.0
_FRAME_SECONDS = 0.01
_ONSET_DB, _RISE_FRAMES = 8.0, 3  # a note begins where the level rises by so much within so many frames
_NOTE_SECONDS = (0.12, 0.4)  # that is looked at, at least and at most
_SETTLE_FRAMES = 2  # after the onset, before the decay is measured
_FLOOR_DB = -60.0  # below the loudest frame of the band: noise


@dataclass(frozen=True)
class Figures:
    """`octaves_db`, `thirds_db`: power in each band of `OCTAVES_HZ`, `THIRDS_HZ`, against all from 80 Hz to 10 kHz.

    `crest_db`: peak over RMS, the median of stretches of 10 s. `fall_db_s`: how fast the notes fall in each octave of
    `DECAY_OCTAVES_HZ`, the median of all notes, dB a second; NaN where there are not three. `t60_seconds` is 60 dB of
    that. `levels_db`: the 10th, 50th and 90th percentile of the level of 50 ms, against the RMS of all.
    """

    octaves_db: tuple[float, ...]
    thirds_db: tuple[float, ...]
    crest_db: float
    fall_db_s: tuple[float, ...]
    levels_db: tuple[float, ...]

    @property
    def t60_seconds(self) -> tuple[float, ...]:
        return tuple(60.0 / fall if fall > 0.0 else float("nan") for fall in self.fall_db_s)


def measure(samples: np.ndarray, sample_rate_hz: int) -> Figures:
    """The figures of a recording, float [frames], of one second or more. Raises ValueError for silence."""
    samples = np.asarray(samples, np.float64)
    if len(samples) < sample_rate_hz or not samples.any():
        raise ValueError("there is less than a second of sound to measure")
    segment = round(_SEGMENT_SECONDS * sample_rate_hz)
    hertz, density = signal.welch(samples, sample_rate_hz, nperseg=segment)
    return Figures(
        octaves_db=_bands_db(hertz, density, OCTAVES_HZ, 1),
        thirds_db=_bands_db(hertz, density, THIRDS_HZ, 3),
        crest_db=_crest_db(samples, sample_rate_hz),
        fall_db_s=tuple(
            float(np.median(falls)) if len(falls) >= 3 else float("nan")
            for falls in falls_db_s(samples, sample_rate_hz)
        ),
        levels_db=tuple(
            np.percentile(_levels_db(samples, round(0.05 * sample_rate_hz)), (10, 50, 90)) - _rms_db(samples)
        ),
    )


def falls_db_s(samples: np.ndarray, sample_rate_hz: int) -> list[np.ndarray]:
    """How fast each note falls in each octave of `DECAY_OCTAVES_HZ`, dB a second: arrays [notes].

    A note begins where the level rises by 8 dB within 30 ms, and lasts to the next or 0.4 s. What is fitted with a line
    begins 20 ms later and ends where the band has come within the noise.
    """
    frame = round(_FRAME_SECONDS * sample_rate_hz)
    onsets = _onsets(_levels_db(samples, frame))
    shortest, longest = (round(seconds / _FRAME_SECONDS) for seconds in _NOTE_SECONDS)
    falls = []
    for centre in DECAY_OCTAVES_HZ:
        edges = [centre / np.sqrt(2.0), centre * np.sqrt(2.0)]
        band = signal.butter(2, edges, "bandpass", fs=sample_rate_hz, output="sos")
        levels = _levels_db(signal.sosfiltfilt(band, samples), frame)
        floor = levels.max() + _FLOOR_DB
        found = []
        for onset, following in itertools.pairwise([*onsets, len(levels)]):
            note = levels[onset + _SETTLE_FRAMES : min(following - 2, onset + longest)]
            sunk = np.flatnonzero(note < floor)
            note = note[: sunk[0]] if len(sunk) else note
            if len(note) >= shortest:
                found.append(-np.polyfit(np.arange(len(note)) * _FRAME_SECONDS, note, 1)[0])
        falls.append(np.array(found))
    return falls


def _onsets(levels: np.ndarray) -> list[int]:
    """The frames where a level, in dB, has risen steeply to a peak."""
    rise = levels[_RISE_FRAMES:] - np.minimum.reduce([levels[n : n - _RISE_FRAMES] for n in range(_RISE_FRAMES)])
    loud = levels[_RISE_FRAMES:] > np.percentile(levels, 90) - 30.0
    starts = np.flatnonzero((rise > _ONSET_DB) & loud) + _RISE_FRAMES
    # Of one rise the highest frame.
    onsets: list[int] = []
    for start in starts:
        peak = int(start + np.argmax(levels[start : start + _RISE_FRAMES]))
        if not onsets or peak > onsets[-1] + 2 * _RISE_FRAMES:
            onsets.append(peak)
    return onsets


def _bands_db(hertz: np.ndarray, density: np.ndarray, centres: tuple[float, ...], fraction: int) -> tuple[float, ...]:
    below = np.concatenate([[0.0], np.cumsum(density)])
    edges = np.concatenate([hertz - 0.5 * hertz[1], [hertz[-1] + 0.5 * hertz[1]]])
    half = 2.0 ** (0.5 / fraction)

    def power(low: float, high: float) -> float:
        return float(np.diff(np.interp([low, high], edges, below))[0])

    whole = power(*_AUDIBLE_HZ)
    return tuple(10.0 * np.log10(max(power(centre / half, centre * half) / whole, 1e-20)) for centre in centres)


def _crest_db(samples: np.ndarray, sample_rate_hz: int) -> float:
    frames = min(round(_CREST_SECONDS * sample_rate_hz), len(samples))
    stretches = samples[: len(samples) // frames * frames].reshape(-1, frames)
    stretches = stretches[np.abs(stretches).max(axis=1) > 0.0]
    rms = np.sqrt(np.mean(stretches**2, axis=1))
    return float(np.median(20.0 * np.log10(np.abs(stretches).max(axis=1) / rms)))


def _levels_db(samples: np.ndarray, frame: int) -> np.ndarray:
    power = np.mean(samples[: len(samples) // frame * frame].reshape(-1, frame) ** 2, axis=1)
    return 10.0 * np.log10(np.maximum(power, 1e-20))


def _rms_db(samples: np.ndarray) -> float:
    return float(10.0 * np.log10(np.mean(samples**2)))
