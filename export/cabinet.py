"""The speaker cabinet behind a model as integers, and what firmware/engine/cabinet.cc does with them, bit for bit."""

from dataclasses import dataclass, field

import numpy as np
from numba import njit

from export.fir_q15 import fir, rounded_sample, shift_for, shifted
from training.errors import InputError

PARTITION = 128
"""Taps that share a shift: the end of a response keeps as many bits as its beginning."""
OUT_FRAC_BITS = 26
LARGEST_GAIN = 31.0
"""Of all absolute taps together: what OUT_FRAC_BITS leave room for."""
_READ_FRAC_BITS = 40


@dataclass(frozen=True)
class QuantizedCabinet:
    """`taps` int16 [partitions, 128], each partition its last tap first. `shifts` int32 [partitions]: right, from the
    sum of a partition's products with Q15 samples to Q26."""

    taps: np.ndarray = field(repr=False)
    shifts: np.ndarray = field(repr=False)


def quantize_cabinet(taps: np.ndarray) -> QuantizedCabinet:
    """Of an impulse response, float [1 to 2048]. Raises InputError where the output's format does not hold its gain."""
    if (gain := np.abs(taps).sum()) > LARGEST_GAIN:
        raise InputError(f"the impulse response's taps add up to {gain:.0f}; the engine holds {LARGEST_GAIN:.0f}")
    partitions = -(-len(taps) // PARTITION)
    filled = np.pad(taps, (0, partitions * PARTITION - len(taps))).reshape(partitions, PARTITION)
    integers = np.rint(filled * 2.0**_READ_FRAC_BITS).astype(np.int64)
    by = [shift_for(part) for part in integers]
    reversed_taps = [shifted(part, shift)[::-1] for part, shift in zip(integers, by, strict=True)]
    shifts = [15 + _READ_FRAC_BITS - shift - OUT_FRAC_BITS for shift in by]
    return QuantizedCabinet(np.array(reversed_taps, np.int16), np.array(shifts, np.int32))


def play(cabinet: QuantizedCabinet, samples_q31: np.ndarray, rest_q31: int = 0) -> np.ndarray:
    """Play `samples_q31` (int32 [frames]) after an endless `rest_q31`; int32 [frames], Q31."""
    taps = np.ascontiguousarray(cabinet.taps[:, ::-1]).astype(np.int64)
    return _play(taps, cabinet.shifts.astype(np.int64), samples_q31.astype(np.int64), int(rest_q31))


@njit(cache=True)
def _play(taps: np.ndarray, shifts: np.ndarray, samples: np.ndarray, rest: int) -> np.ndarray:
    memory = taps.size - 1
    heard = np.zeros(memory + len(samples), np.int64)  # Q15
    left = 0
    for index in range(len(heard)):
        sample = samples[index - memory] if index >= memory else rest
        heard[index], left = rounded_sample(sample >> 1, left)
    out = np.empty(len(samples), np.int32)
    limit = 1 << 31
    for frame in range(len(samples)):
        total = np.int64(0)
        for partition in range(len(taps)):
            total += fir(heard, memory + frame - partition * taps.shape[1], taps[partition]) >> shifts[partition]
        out[frame] = min(max(total << 5, -limit), limit - 1)
    return out
