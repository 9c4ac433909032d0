"""The arithmetic that the specifications of all engines share, as firmware/engine/{dsp,activation}.h have it."""

import numpy as np
from numba import njit

from export.activation_tables import FINE_SIZE, fine_words

_FINE = fine_words().astype(np.int64)
_HALF = 1 << 31
"""Of the last place of a high word: what rounds it to nearest."""


@njit(cache=True)
def rounded(a: int, b: int) -> int:
    """High word of a product, rounded to nearest."""
    return (a * b + _HALF) >> 32


@njit(cache=True)
def fine(twice_z: int) -> int:
    """tanh(z / 2) of a Q21 number, tanh(z) of a Q22 number, Q31."""
    limited = min(max(twice_z, -(1 << 26)), (1 << 26) - 1)
    node = (limited + 0x8000) >> 16
    return _FINE[node + FINE_SIZE // 2, 0] + ((_FINE[node + FINE_SIZE // 2, 1] * (limited - (node << 16))) >> 16)
