"""A little guitar and a little amp, quick to make."""

from pathlib import Path

import numpy as np
import soundfile
from scipy import signal

RATE_HZ = 48000


def guitar(seconds: float, seed: int = 0, rate_hz: int = RATE_HZ) -> np.ndarray:
    """Plucked notes of random pitch and loudness, four a second. Float32 [frames], peak 0.5."""
    rng = np.random.default_rng(seed)
    frames = int(seconds * rate_hz)
    take = np.zeros(frames)
    t = np.arange(rate_hz // 2) / rate_hz
    for at in range(0, frames, rate_hz // 4):
        pitch_hz = 82.4 * 2 ** (rng.integers(0, 30) / 12)
        note = sum(
            np.exp(-t * (3 + k)) * np.sin(2 * np.pi * k * pitch_hz * t + rng.uniform(0, 6)) / k for k in range(1, 30)
        )
        note += np.exp(-t * 800) * rng.standard_normal(len(t))
        take[at : at + len(t)] += (rng.uniform(0.2, 1) * note)[: frames - at]
    take += 1e-4 * rng.standard_normal(frames)
    return (0.5 * take / np.abs(take).max()).astype(np.float32)


def amp(dry: np.ndarray, gain: float = 8.0, rate_hz: int = RATE_HZ) -> np.ndarray:
    """High-pass, asymmetric clipping, low-pass. Float32 [frames]."""
    driven = np.tanh(gain * signal.lfilter(*signal.butter(1, 150, "high", fs=rate_hz), dry) + 0.3)
    return (0.5 * signal.lfilter(*signal.butter(2, [30, 6000], "band", fs=rate_hz), driven)).astype(np.float32)


def write(path: Path, samples: np.ndarray, rate_hz: int = RATE_HZ) -> Path:
    """Write a float WAV, which keeps NaN, infinity and every bit."""
    soundfile.write(path, samples, rate_hz, subtype="FLOAT")
    return path
