"""How loud and how bright audio is, and where it is loudest."""

import math

import numpy as np

SILENCE_DBFS = -120.0


def loudest(samples: np.ndarray, frames: int) -> slice:
    """The stretch of `frames` (at least 1; all, where there are no more) in which `samples` have the most energy."""
    frames = min(frames, len(samples))
    energy = np.concatenate([[0.0], np.cumsum(np.square(samples, dtype=np.float64))])
    start = int(np.argmax(energy[frames:] - energy[: len(energy) - frames]))
    return slice(start, start + frames)


def level_dbfs(samples: np.ndarray) -> float:
    """RMS without what is constant; a square wave of full scale has 0 dBFS. At least -120."""
    return _dbfs(float(np.std(samples, dtype=np.float64)))


def crest_db(samples: np.ndarray) -> float:
    """How far the peak is above the RMS, both without what is constant: 0 for a square wave, 3 for a sine."""
    swing = samples - np.mean(samples, dtype=np.float64)
    return _dbfs(float(np.abs(swing).max())) - level_dbfs(samples)


def brightness_hz(samples: np.ndarray, sample_rate_hz: int) -> float:
    """The mean frequency of `samples` (float [frames]), weighted by power; 0 for silence."""
    swing = samples - np.mean(samples, dtype=np.float64)
    power = np.square(np.abs(np.fft.rfft(swing)))
    frequencies_hz = np.fft.rfftfreq(len(samples), 1 / sample_rate_hz)
    return float(power @ frequencies_hz / max(power.sum(), 1e-30))


def _dbfs(amplitude: float) -> float:
    return max(20 * math.log10(max(amplitude, 1e-30)), SILENCE_DBFS)
