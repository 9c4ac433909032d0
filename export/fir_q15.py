"""FIR filters of int16 taps on int16 samples, as firmware/engine/fir_q15.h runs them: two multiply-accumulates an
instruction, sums of 32 bits that cannot overflow.

What is rounded to 16 bits hands its remainder on to the next, so that the rounding is noise of high frequency (noise
shaping, of second order for taps and first for samples): it falls where guitars and speakers have little.
"""

import numpy as np
from numba import njit

MAXIMUM_SUM = 65535
"""Of a filter's absolute taps: with samples of 16 bits, 32 bits hold the result."""


@njit(cache=True)
def shift_for(taps: np.ndarray) -> int:
    """By how many bits `taps` (int64 [taps]) have to be shifted right to become int16 with sums of 32 bits."""
    total, every_bit = 0, 0
    for tap in taps:
        total += abs(tap)
        every_bit |= abs(tap)
    shift = 0
    while (total >> shift) + 2 * len(taps) >= MAXIMUM_SUM or (every_bit >> shift) >= 32765:  # rounding adds up to 2
        shift += 1
    return shift


@njit(cache=True)
def shifted(taps: np.ndarray, shift: int) -> np.ndarray:
    """`taps` (int64 [taps]) `shift` bits to the right, rounded: int64 [taps]."""
    result = np.empty(len(taps), np.int64)
    half, left, left_before = (1 << shift) >> 1, np.int64(0), np.int64(0)
    for index in range(len(taps)):
        wanted = taps[index] + 2 * left - left_before
        result[index] = (wanted + half) >> shift
        left, left_before = wanted - (result[index] << shift), left
    return result


@njit(cache=True)
def rounded_sample(sample: int, left: int) -> tuple[int, int]:
    """A Q30 `sample` rounded down to Q15, and what is left for the next one."""
    wanted = sample + left
    return min(max(wanted >> 15, -32768), 32767), wanted & 0x7FFF


@njit(cache=True)
def fir(samples: np.ndarray, newest: int, taps: np.ndarray) -> int:
    """The sum over k of taps[k] * samples[newest - k]."""
    total = np.int64(0)
    for k in range(len(taps)):
        total += taps[k] * samples[newest - k]
    return int(total)
