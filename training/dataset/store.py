"""The files of a dataset's folder: FLAC under the hash of what made it, and the .json that says so.

Every file is a function of what made it alone. FLAC is written from whole numbers, and without linear prediction:
its floating point would choose other predictors, and so other bytes, on another kind of CPU; that costs 2 % of size.
"""

import hashlib
import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from training.audio import encoded
from training.dataset.index import CARD, JSONL, PARQUET, SAMPLE_RATE_HZ, described
from training.errors import InputError
from training.files import written_aside

_STEPS = 2**23  # from 0 to full scale at 24 bits
_LOCK = ".lock"
_SCRATCH = ("di/??/.*-*", "audio/??/.*-*", ".metadata-*.jsonl", ".index-*.parquet", ".README-*.md")


@dataclass(frozen=True)
class Stored:
    """What `store` made of samples. `full_scale`: what 1.0 in the file stands for; the others in the same unit."""

    full_scale: float
    peak: float
    rms: float
    bytes: int


def digest(kind: str, **made_of: Any) -> str:
    """The name of a file that is made of these plain values: 32 hexadecimal digits of a SHA-256."""
    text = json.dumps({"kind": kind, **made_of}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def flac_path(room: str, name: str) -> str:
    """Relative to the folder; `room` is "di" or "audio". 256 folders keep each small when there are 180,000 files."""
    return f"{room}/{name[:2]}/{name}.flac"


def store(path: Path, samples: np.ndarray, full_scale: float) -> Stored:
    """Write `samples` (real [frames], any unit) as FLAC of 24 bits at 48 kHz.

    Full scale is `full_scale` times the smallest power of two, 1 at least, at which nothing clips. The figures are of
    what the file holds.
    """
    highest = float(np.abs(samples).max(initial=0.0)) / full_scale
    while highest * _STEPS > _STEPS - 1:
        highest, full_scale = highest / 2.0, full_scale * 2.0
    steps = np.rint(np.asarray(samples, dtype=np.float64) * (_STEPS / full_scale)).astype(np.int32)
    file = encoded(steps << 8, SAMPLE_RATE_HZ, "FLAC", compression_level=0.0)
    with written_aside(path) as scratch:
        scratch.write_bytes(file)
    # In whole numbers, because the sum of floats depends on the CPU; 2^16 squares of 46 bits fit 62.
    squares = np.square(steps, dtype=np.int64)
    energy = sum(int(part.sum()) for part in np.split(squares, range(1 << 16, len(squares), 1 << 16)))
    step = full_scale / _STEPS
    peak = int(np.abs(steps).max(initial=0)) * step
    return Stored(full_scale, peak, math.sqrt(energy / max(len(steps), 1)) * step, len(file))


def describe(audio_path: Path, told: dict[str, Any]) -> None:
    """Put the .json beside a FLAC file, which makes it count."""
    with written_aside(audio_path.with_suffix(".json")) as scratch:
        scratch.write_text(json.dumps(told, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def read_part(path: Path, start_frame: int, frames: int) -> np.ndarray:
    """float64 [frames] in +-1. Raises InputError where the file ends before."""
    try:
        samples, _ = soundfile.read(path, frames=frames, start=start_frame, dtype="float64")
    except (soundfile.LibsndfileError, OSError) as error:
        raise InputError(f"{path}: cannot be read as FLAC") from error
    if samples.shape != (frames,):
        raise InputError(f"{path}: holds {len(samples)} of {frames} frames from {start_frame} on")
    return samples


@contextmanager
def claimed(folder: Path) -> Iterator[str]:
    """Keep other runs out of `folder`, which is made, and sweep out what killed ones left half-written.

    Yields a word that now stands in the folder's lock file: who reads it there sees the same folder. Raises InputError
    when another run has the folder, and when it cannot be written.
    """
    path = Path(folder) / _LOCK
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _check_own(Path(folder))
        lock = path.open("a+")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
    with lock:
        _lock(lock.fileno(), folder)
        if not _same_file(lock.fileno(), path):  # the run that had it just ended, and took its file away
            raise InputError(f"{folder}: another run was writing into it; try again")
        for pattern in _SCRATCH:
            for half in Path(folder).glob(pattern):
                half.unlink(missing_ok=True)
        word = os.urandom(8).hex()
        lock.truncate(0)
        lock.write(word)
        lock.flush()
        try:
            yield word
        finally:
            path.unlink(missing_ok=True)


def _check_own(folder: Path) -> None:
    """Raise InputError where the index would overwrite what no dataset wrote."""
    if not any((folder / name).exists() for name in ("di", "audio", _LOCK)):
        for name in (JSONL, PARQUET, CARD):
            if (folder / name).exists():
                raise InputError(f"{folder}: has a {name} but no dataset; give --out a folder of its own")


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _lock(descriptor: int, folder: Path) -> None:
    try:
        import fcntl
    except ImportError:
        return  # Windows has no such locks; two runs at once would only do some work twice
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise InputError(f"{folder}: another run is writing into it") from error
    except OSError:
        pass  # nor do some network file systems


def check_shared(folder: Path, word: str) -> None:
    """Raise InputError unless `folder` is, as seen from here, the one whose lock holds `word`, and can be written."""
    import socket

    try:
        same = (Path(folder) / _LOCK).read_text() == word
    except OSError:
        same = False
    if not same:
        raise InputError(f"{folder}: the worker on {socket.gethostname()} does not see this folder; all must share it")
    if not os.access(folder, os.W_OK):
        raise InputError(f"{folder}: the worker on {socket.gethostname()} may not write there")


def whole(folder: Path, room: str, name: str) -> dict[str, Any] | None:
    """What is known of a file that is there as a whole, else None."""
    return described(Path(folder) / flac_path(room, name))
