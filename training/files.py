"""Files appear whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from training.errors import InputError


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Yield a scratch path beside `path`; rename it onto `path` when the block ends well, delete it when it does not.

    The scratch file keeps the suffix of `path`, because audio and picture writers choose their format by it.
    Raises InputError when the disk is full or the folder cannot be written.
    """
    path = Path(path)
    scratch = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
        scratch = Path(name)
        os.fchmod(handle, 0o644)
        os.close(handle)
        yield scratch
        with scratch.open("rb") as file:
            os.fsync(file.fileno())
        scratch.replace(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if scratch is not None:
            scratch.unlink(missing_ok=True)
