"""Read and write audio files."""

import io
import math
import signal
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from training.errors import InputError
from training.files import written_aside

RESAMPLING_HALF_WIDTH = 128
"""Samples of the lower rate to either side."""


@dataclass(frozen=True)
class Audio:
    """Mono audio. `samples`: float32 [frames], full scale is +-1."""

    samples: np.ndarray
    sample_rate_hz: int

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.sample_rate_hz

    def at_rate(self, sample_rate_hz: int) -> "Audio":
        """The same audio, resampled where its rate is another."""
        return Audio(resampled(self.samples, self.sample_rate_hz, sample_rate_hz), sample_rate_hz)


def resampled(samples: np.ndarray, from_hz: int, to_hz: int) -> np.ndarray:
    """`samples` (float [frames]) at another rate, of the same type, from the same moment on.

    By a linear-phase polyphase filter that is flat to 94 % of the lower rate's Nyquist frequency and 120 dB down from
    there on: the ideal that the pedal's own conversion is held against.
    """
    if from_hz == to_hz:
        return samples
    from scipy import signal  # here, because it takes half a second to load

    common = math.gcd(from_hz, to_hz)
    up, down = to_hz // common, from_hz // common
    slower = max(up, down)
    lowpass = signal.firwin(2 * RESAMPLING_HALF_WIDTH * slower + 1, 0.97 / slower, window=("kaiser", 12.0))
    return signal.resample_poly(samples.astype(np.float64), up, down, window=lowpass).astype(samples.dtype)


def read(path: Path) -> Audio:
    """Read a mono WAV or FLAC file of any PCM or float format.

    Raises InputError when the file is missing, is not audio, is empty, has several channels that differ, or holds
    NaN or infinity. A file whose channels are all the same is taken as mono.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        samples, sample_rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise InputError(f"{path}: not a WAV or FLAC file that can be read") from error
    if not len(samples):
        raise InputError(f"{path}: holds no audio")
    if not np.isfinite(samples).all():
        frame = int(np.argwhere(~np.isfinite(samples))[0][0])
        raise InputError(f"{path}: holds NaN or infinity, first at {frame / sample_rate_hz:.3f} s")
    if samples.shape[1] > 1 and not (samples == samples[:, :1]).all():
        raise InputError(f"{path}: has {samples.shape[1]} channels that differ; export it as mono")
    return Audio(np.ascontiguousarray(samples[:, 0]), sample_rate_hz)


def require_writable(path: Path) -> None:
    """Raise InputError when `write` would refuse `path` for its suffix: to know before the work, not after."""
    if Path(path).suffix.lower() not in (".wav", ".flac"):
        raise InputError(f"{path}: audio is written as .wav or .flac")


def encoded(samples: np.ndarray, sample_rate_hz: int, kind: str, **options: float) -> bytes:
    """A file of 24 bits in memory, of `samples` as `soundfile.write` takes them; `kind`: 'WAV' or 'FLAC'.

    libsndfile, with a file, keeps to itself why a disk is not written. Ctrl-C in the meantime counts afterwards: in a
    function that libsndfile calls it would be lost.
    """
    buffer, interrupts = io.BytesIO(), list[int]()
    handled = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT)
    if handled:
        signal.signal(signal.SIGINT, lambda number, _: interrupts.append(number))
    try:
        soundfile.write(buffer, samples, sample_rate_hz, subtype="PCM_24", format=kind, **options)
    finally:
        if handled:
            signal.signal(signal.SIGINT, handled)
    if interrupts:
        signal.raise_signal(signal.SIGINT)
    return buffer.getvalue()


def write(path: Path, samples: np.ndarray, sample_rate_hz: int) -> None:
    """Write mono `samples` (float [frames], clipped to +-1) as 24-bit WAV or FLAC, by the suffix of `path`."""
    require_writable(path)
    file = encoded(np.clip(samples, -1.0, 1.0 - 2.0**-23), sample_rate_hz, Path(path).suffix[1:].upper())
    with written_aside(path) as scratch:
        scratch.write_bytes(file)
