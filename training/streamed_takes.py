"""Takes that lie on disk and are read a stretch at a time: hours of them need no more memory than minutes."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import soundfile

from training.errors import InputError


@dataclass(frozen=True)
class StreamedTake:
    """A dry and a wet file, aligned. `input_start`: the frame of `input_path` at which the target begins.

    `input_gain`, `target_gain`: from full scale of the files to full scale of the model. `positions`: of the knobs,
    0 to 1. `identity`: equal for equal audio.
    """

    input_path: Path
    input_start: int
    input_gain: float
    target_path: Path
    target_gain: float
    frames: int
    positions: tuple[float, ...]
    identity: str


@dataclass(frozen=True)
class StreamedTakes:
    """Any number of takes. `late_frames`: how much later than it is the target is read, as a network plays it."""

    takes: tuple[StreamedTake, ...]
    sample_rate_hz: int
    late_frames: int = 0

    @property
    def seconds(self) -> float:
        return sum(take.frames for take in self.takes) / self.sample_rate_hz

    @cached_property
    def digest(self) -> str:
        """SHA-256, in hexadecimal, of what the takes are; the audio is not read for it."""
        whole = [
            (take.identity, take.input_start, take.input_gain, take.target_gain, take.positions) for take in self.takes
        ]
        return hashlib.sha256(repr(whole).encode()).hexdigest()

    def read(self, number: int, start: int, frames: int) -> tuple[np.ndarray, np.ndarray]:
        """`frames` of input and target of a take from `start` on, float32 [frames] both.

        Raises InputError for a file that is missing or shorter than it should be.
        """
        take = self.takes[number]
        dry = _read(take.input_path, take.input_start + start, frames)
        silent = min(max(self.late_frames - start, 0), frames)
        wet = _read(take.target_path, start + silent - self.late_frames, frames - silent)
        return take.input_gain * dry, np.pad(take.target_gain * wet, (silent, 0))


def _read(path: Path, start: int, frames: int) -> np.ndarray:
    try:
        with soundfile.SoundFile(path) as file:
            file.seek(start)
            samples = file.read(frames, dtype="float32")
    except (soundfile.LibsndfileError, OSError, RuntimeError) as error:
        raise InputError(f"{path}: cannot be read at frame {start}") from error
    if samples.shape != (frames,):
        raise InputError(f"{path}: ends before frame {start + frames}, or is not mono")
    return samples
