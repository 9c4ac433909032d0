"""Keep freed memory in the process: on Linux that alone makes training 1.6 times as fast."""

import ctypes
import sys

# From glibc's malloc.h.
M_TRIM_THRESHOLD = -1
M_TOP_PAD = -2
M_MMAP_MAX = -4


def keep_freed_memory() -> None:
    """Tell glibc's malloc to hand no freed memory back to the system; elsewhere do nothing.

    Each training step frees and asks anew for megabytes of activations. By default malloc maps and unmaps them, and the
    page faults take as long as the arithmetic: LSTM-20, one thread, 32 streams of 1024 frames, 22 against 35 audio
    seconds a CPU second. The same is had by MALLOC_MMAP_MAX_=0 and others in the environment before Python starts.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # musl has none
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(M_TOP_PAD, 1 << 28)
