"""Sample-rate conversion around a model whose rate is not the pedal's: what firmware/engine/resampler.cc does, bit for
bit, in numpy.

A windowed sinc of linear phase takes the pedal's frames to the model's rate, and the same one takes the output back.
Both rates lie on the grid of their least common multiple, where one table of the sinc's right half serves both ways.
`python benchmarks/sample_rates.py` compares this with the other way, running the network at the wrong rate with states
that are read a fraction of a sample late.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numba import njit

from training.errors import InputError

PEDAL_RATE_HZ = 48_000
OWN_RATES_HZ = (22_050, 96_000)
MAXIMUM_STEP = 320
HALF_WIDTH = 12
"""Of the sinc, in samples of the lower rate."""
CUT_OFF = 0.94
"""Where the response is half down, of the lower rate's Nyquist frequency."""
KAISER_BETA = 8.0
KERNEL_FRAC_BITS = 30
SUM_FRAC_BITS = KERNEL_FRAC_BITS - 1
"""Overshoot may reach 4."""
GAIN_FRAC_BITS = 28


@dataclass(frozen=True)
class Resampling:
    """Between the pedal's frames and samples at `own_hz`.

    Raises InputError for a rate outside 22,050 to 96,000 Hz, and for one that has no simple ratio to 48,000 Hz.
    """

    own_hz: int

    def __post_init__(self) -> None:
        lowest, highest = OWN_RATES_HZ
        if not lowest <= self.own_hz <= highest:
            raise InputError(f"{self.own_hz} Hz is outside the {lowest} to {highest} Hz that the pedal converts")
        if max(self.frame_step, self.own_step) > MAXIMUM_STEP:
            raise InputError(f"{self.own_hz} Hz has no simple ratio to the pedal's {PEDAL_RATE_HZ} Hz")

    @property
    def frame_step(self) -> int:
        """Steps of the grid from one frame to the next."""
        return self.own_hz // math.gcd(self.own_hz, PEDAL_RATE_HZ)

    @property
    def own_step(self) -> int:
        """Steps of the grid from one of the model's samples to the next."""
        return PEDAL_RATE_HZ // math.gcd(self.own_hz, PEDAL_RATE_HZ)

    @property
    def reach(self) -> int:
        """Steps of the grid from the middle of the sinc to its end."""
        return HALF_WIDTH * max(self.frame_step, self.own_step)

    @property
    def delay_frames(self) -> int:
        """By which what comes out is later."""
        return -(-2 * self.reach // self.frame_step)

    @property
    def taps_per_frame(self) -> float:
        """Multiply-accumulates of both ways, on average."""
        return 2 * self.reach / self.frame_step * self.own_hz / PEDAL_RATE_HZ + 2 * self.reach / self.own_step

    @cached_property
    def kernel(self) -> np.ndarray:
        """The sinc's right half, its middle first: int32 [reach + 1], Q30, such that frames' weights sum up to 1."""
        distance = np.arange(self.reach + 1)
        bandwidth = CUT_OFF / max(self.frame_step, self.own_step)
        window = np.i0(KAISER_BETA * np.sqrt(1 - np.square(distance / self.reach))) / np.i0(KAISER_BETA)
        half = np.sinc(bandwidth * distance) * window
        half *= self.frame_step / (2 * half.sum() - half[0])
        return np.rint(half * 2**KERNEL_FRAC_BITS).astype(np.int32)

    def around(self, play: Callable[[np.ndarray], np.ndarray], samples_q31: np.ndarray) -> np.ndarray:
        """Play int32 [frames], Q31, through `play`, which takes and gives as many samples at the model's rate.

        `play` is heard from rest: its first sample is silence, and what it makes of that was there for ever before.
        """
        kernel = self.kernel.astype(np.int64)
        first, frames = -(self.reach // self.own_step), len(samples_q31)
        own = np.arange(first, ((frames - 1) * self.frame_step - self.reach) // self.own_step + 1) * self.own_step
        sums = _sums(samples_q31.astype(np.int64), 0, 0, own, self.frame_step, kernel)
        limit = 1 << SUM_FRAC_BITS
        inputs = np.clip(sums, -limit, limit - 1) << (31 - SUM_FRAC_BITS)
        played = play(np.concatenate([[0], inputs]).astype(np.int32)).astype(np.int64)
        centres = (np.arange(frames) - self.delay_frames) * self.frame_step
        sums = _sums(played[1:], first, int(played[0]), centres, self.own_step, kernel)
        gain = round(self.own_step / self.frame_step * 2**GAIN_FRAC_BITS)
        return np.clip((sums * gain) >> (GAIN_FRAC_BITS + SUM_FRAC_BITS - 31), -(2**31), 2**31 - 1).astype(np.int32)


def needed(own_hz: int) -> Resampling | None:
    """The conversion for a model of this rate; None where it is the pedal's own."""
    return None if own_hz == PEDAL_RATE_HZ else Resampling(own_hz)


@njit(cache=True)
def _sums(
    samples: np.ndarray, first: int, before: int, centres: np.ndarray, step: int, kernel: np.ndarray
) -> np.ndarray:
    """For each of `centres` the sum of the samples around it, the n-th of which lies at (first + n) * step, weighted by
    `kernel` at their distance. `before`: what all samples before the first are."""
    reach = len(kernel) - 1
    out = np.zeros(len(centres), np.int64)
    for index in range(len(centres)):
        centre = centres[index]
        total = np.int64(0)
        for place in range(-((reach - centre) // step), (centre + reach) // step + 1):
            sample = samples[place - first] if place >= first else before
            total += (sample * kernel[abs(centre - place * step)]) >> 32
        out[index] = total
    return out
