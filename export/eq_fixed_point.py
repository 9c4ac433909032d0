"""The arithmetic of the fixed-point engine for EQ networks, bit for bit: what firmware/engine/eq_engine.cc does."""

import numpy as np
from numba import njit

from export.activation import fine as _fine
from export.activation import rounded as _rounded
from export.activation_tables import SOFT_SIGN_SIZE, soft_sign_words
from export.eq_quantize import COEFFICIENT_FRAC_BITS, MIXED_BITS, PRE_FRAC_BITS, QuantizedEq
from export.fir_q15 import fir, rounded_sample, shift_for, shifted
from training.eq_morph import PLACES_PER_AMP

CONTROL_FRAMES = 16
"""After a step of the knob, the sound goes over to the new place in a straight line within so many frames."""
_SOFT_SIGN = soft_sign_words().astype(np.int64)
_ALPHA_ONE = 1 << 27
_LARGEST_BIAS = 1 << 29


def run(
    model: QuantizedEq, samples_q31: np.ndarray, positions_q31: np.ndarray, before_q31: int | None = None
) -> np.ndarray:
    """Run `samples_q31` (int32 [frames]) through the model from rest; int32 [frames], Q31.

    `positions_q31`: of the knob, 0..2**31-1, one for each 16 frames, or [1] where it stands still; of no meaning
    without a knob. `before_q31`: where it stood in the rest before; by default at the first of these.
    """
    steps = max(-(-len(samples_q31) // CONTROL_FRAMES), 1)
    positions = np.ascontiguousarray(np.broadcast_to(np.asarray(positions_q31, np.int64), (steps,)))
    return _run(
        model.firs.astype(np.int64),
        model.fir_frac_bits.astype(np.int64),
        model.biases.astype(np.int64),
        model.gate_logits.astype(np.int64),
        model.levels.astype(np.int64),
        model.beyond,
        model.dry_delay,
        model.precision == "fine",
        samples_q31.astype(np.int64),
        np.concatenate([positions[:1] if before_q31 is None else [before_q31], positions]),
    )


@njit(cache=True)
def _sigmoid(z: int) -> int:
    """Of a Q21 number, Q31."""
    return (1 << 30) + (_fine(2 * z) >> 1)


@njit(cache=True)
def _soft_sign(u: int) -> int:
    """u / (1 + |u|) of a Q20 number, Q30."""
    divisor = abs(u) + (1 << PRE_FRAC_BITS)
    zeros = 0  # in front of the divisor, of 32 bits
    while (divisor << zeros) < (1 << 31):
        zeros += 1
    mantissa = divisor << zeros
    node = (mantissa + (1 << 22)) >> 23
    distance = (mantissa - (node << 23)) >> 7
    value, rise = _SOFT_SIGN[node - (SOFT_SIGN_SIZE - 1)]
    return _rounded(u << (zeros - 1), value + ((rise * distance) >> 16)) << 2


@njit(cache=True)
def _along(amps: int, beyond: int, position: int) -> int:
    """How far along the knob's places a position is, Q31."""
    return (PLACES_PER_AMP * (amps - 1) + 2 * beyond) * position


@njit(cache=True)
def _place(amps: int, beyond: int, along: int) -> tuple[int, int]:
    """The amp below, and alpha from there, Q27."""
    if amps == 1:
        return 0, 0
    alpha = (along - (beyond << 31)) // (PLACES_PER_AMP << 4)
    below = min(max(alpha >> 27, 0), amps - 2)
    return below, alpha - below * _ALPHA_ONE


@njit(cache=True)
def _level(amps: int, levels: np.ndarray, along: int) -> int:
    if amps == 1:
        return int(levels[0])
    place, rest = along >> 31, along & ((1 << 31) - 1)
    return int(levels[place] + (((levels[place + 1] - levels[place]) * rest) >> 31))


@njit(cache=True)
def _mixed(firs: np.ndarray, below: int, alpha: int) -> np.ndarray:
    """The FIR of a block, [taps], between those of `firs` [2 * amps - 1, taps]."""
    beta = _ALPHA_ONE - alpha
    shift = 54 - COEFFICIENT_FRAC_BITS
    a, b, c = (beta * beta) >> shift, (alpha * beta) >> (shift - 1), (alpha * alpha) >> shift
    result = np.empty(firs.shape[1], np.int64)
    for tap in range(len(result)):
        result[tap] = _rounded(a, firs[2 * below, tap])
        if len(firs) > 1:
            result[tap] += _rounded(b, firs[2 * below + 1, tap]) + _rounded(c, firs[2 * below + 2, tap])
    return result


@njit(cache=True)
def _between(values: np.ndarray, below: int, alpha: int) -> int:
    if len(values) == 1:
        return int(values[0])
    return int(values[below] + (((values[below + 1] - values[below]) * alpha) >> 27))


@njit(cache=True)
def _run(
    firs: np.ndarray,  # [2 * amps - 1, blocks, taps]
    fir_frac_bits: np.ndarray,  # [blocks]
    biases: np.ndarray,  # [amps, blocks]
    gate_logits: np.ndarray,  # [amps, blocks]
    levels: np.ndarray,
    beyond: int,
    dry_delay: int,
    fine: bool,
    samples: np.ndarray,  # [frames]
    positions: np.ndarray,  # [1 + steps], the first in the rest before
) -> np.ndarray:
    amps, blocks = biases.shape
    memory = firs.shape[2]
    # what is old is in [0], what is new in [1]; in between while the knob moves
    taps = np.zeros((2, blocks, memory), np.int64)
    shift, bias, gate = np.zeros((3, 2, blocks), np.int64)
    level = np.zeros(2, np.int64)
    heard = np.zeros((blocks, memory + len(samples)), np.int64)  # Q15
    heard_low = np.zeros_like(heard)  # 15 bits more of the same, of a fine model
    left = np.zeros(blocks, np.int64)
    out = np.empty(len(samples), np.int32)
    limit = 1 << 31
    for frame in range(-1, len(samples)):  # at -1, what long silence leaves
        step = (frame + CONTROL_FRAMES) // CONTROL_FRAMES
        if frame % CONTROL_FRAMES == 0:
            taps[0], shift[0], bias[0], gate[0], level[0] = taps[1], shift[1], bias[1], gate[1], level[1]
        if frame == -1 or (frame % CONTROL_FRAMES == 0 and positions[step] != positions[step - 1]):
            along_knob = _along(amps, beyond, positions[step])
            below, alpha = _place(amps, beyond, along_knob)
            for block in range(blocks):
                mixed = _mixed(firs[:, block], below, alpha)
                by = shift_for(mixed)
                taps[1, block] = shifted(mixed, by)
                shift[1, block] = max(15 + fir_frac_bits[block] - MIXED_BITS - by - PRE_FRAC_BITS, 1)
                bias[1, block] = min(max(_between(biases[:, block], below, alpha), -_LARGEST_BIAS), _LARGEST_BIAS)
                gate[1, block] = _sigmoid(_between(gate_logits[:, block], below, alpha))
            level[1] = _level(amps, levels, along_knob)
            if frame == -1:
                taps[0], shift[0], bias[0], gate[0], level[0] = taps[1], shift[1], bias[1], gate[1], level[1]
        along = frame % CONTROL_FRAMES + 1
        x = samples[frame] >> 1 if frame >= 0 else 0
        for block in range(blocks):
            first = memory + frame if frame >= 0 else 0
            for index in range(first, memory + frame + 1):
                before = left[block]
                heard[block, index], left[block] = rounded_sample(x, before)
                heard_low[block, index] = (left[block] - before) if fine else 0
            newest = memory + frame
            pre = np.zeros(2, np.int64)
            for place in range(2):
                total = fir(heard[block], newest, taps[place, block])
                total += fir(heard_low[block], newest, taps[place, block]) >> 15
                pre[place] = bias[place, block] + (total >> shift[place, block])
            u = pre[0] + (((pre[1] - pre[0]) * along) >> 4)
            g = gate[0, block] + (((gate[1, block] - gate[0, block]) * along) >> 4)
            if dry_delay == 0:
                dry = x
            else:
                dry = (heard[block, newest - dry_delay] << 15) + heard_low[block, newest - dry_delay]
            x = dry + 2 * _rounded(_soft_sign(u) - dry, g)
        if frame >= 0:
            gain = level[0] + (((level[1] - level[0]) * along) >> 4)
            out[frame] = min(max((x * gain) >> 27, -limit), limit - 1)
    return out
