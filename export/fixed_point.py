"""The fixed-point engine in numpy: the specification that the C++ engine equals bit for bit.

Written from the formats in export/quantize.py with 64-bit integers; the C++ is firmware/engine/{lstm,gru}_q15.cc.
Numba compiles it, so that the exporter can hear some seconds of each choice that it has.
"""

from collections.abc import Sequence

import numpy as np
from numba import njit

from export.activation_tables import FINE_SIZE, SIZE, fine_words, sigmoid_words, tanh_words
from export.quantize import COLUMNS, QuantizedModel

_SIGMOID = sigmoid_words().astype(np.int64)
_TANH = tanh_words().astype(np.int64)
_FINE = fine_words().astype(np.int64)
_HALF = 1 << 31
"""Of the last place of a high word: what rounds it to nearest."""


def to_q31(samples: np.ndarray) -> np.ndarray:
    """Samples (float [frames], full scale +-1) as the codec has them: 24 bits, left-aligned, int32 [frames]."""
    return (np.clip(np.rint(np.asarray(samples, np.float64) * 2**23), -(2**23), 2**23 - 1).astype(np.int32)) << 8


def from_q31(samples: np.ndarray) -> np.ndarray:
    """int32 [frames] as float64, full scale +-1."""
    return np.asarray(samples, np.float64) * 2.0**-31


def run(model: QuantizedModel, samples_q31: np.ndarray, knob_positions_q31: Sequence[int] = ()) -> np.ndarray:
    """Run `samples_q31` (int32 [frames]) through the model from the zero state; int32 [frames], Q31.

    `knob_positions_q31`: one position 0..2**31-1 for each of the model's knobs.
    """
    if len(knob_positions_q31) != len(model.knobs):
        raise ValueError(f"the model has {len(model.knobs)} knobs, not {len(knob_positions_q31)}")
    size = model.hidden_size
    weights = np.zeros((model.layers, size, COLUMNS, 2, size), np.int64)  # of the states of the layer below, of its own
    for layer, rows in enumerate(model.dense(model.recurrent_weights)):
        weights[layer, :, : rows.shape[1], 2 - rows.shape[2] :] = rows
    bias = model.bias.astype(np.int64).reshape(model.layers, size, COLUMNS)
    input_weights = model.input_weights.astype(np.int64)
    for knob, position in enumerate(knob_positions_q31):
        bias[0] += (input_weights[:, :, 1 + knob] * position) >> 32
    return _run(
        model.architecture == "lstm",
        model.fine,
        weights,
        model.scale.astype(np.int64).reshape(bias.shape),
        bias,
        np.ascontiguousarray(input_weights[:, :, 0]),
        np.array(model.cell_frac_bits),
        model.head_weights.astype(np.int64),
        model.head_bias,
        35 - model.head_frac_bits,
        model.residual,
        samples_q31.astype(np.int64),
    )


@njit(cache=True)
def _rounded(a: int, b: int) -> int:
    """High word of a product, rounded to nearest."""
    return (a * b + _HALF) >> 32


@njit(cache=True)
def _clip(value: int, bits: int) -> int:
    return min(max(value, -(1 << (bits - 1))), (1 << (bits - 1)) - 1)


@njit(cache=True)
def _coarse(words: np.ndarray, z: int) -> int:
    """Sigmoid or tanh, Q30."""
    limited = _clip(z, 26)
    word = words[(limited >> 15) + SIZE // 2]
    minus_start, rise = word >> 16, ((word & 0xFFFF) ^ 0x8000) - 0x8000
    return (limited & 0x7FFF) * rise - 0x8000 * minus_start


@njit(cache=True)
def _fine(twice_z: int) -> int:
    """tanh(z / 2) of a Q21 number, tanh(z) of a Q22 number, Q31."""
    limited = _clip(twice_z, 27)
    node = (limited + 0x8000) >> 16
    return _FINE[node + FINE_SIZE // 2, 0] + ((_FINE[node + FINE_SIZE // 2, 1] * (limited - (node << 16))) >> 16)


@njit(cache=True)
def _lstm_unit(fine: bool, z: np.ndarray, state: int, frac_bits: int) -> tuple[int, int]:
    """New cell state and hidden state, Q28. The cell: Q(frac_bits), of a fine model Q(frac_bits + 31)."""
    if fine:
        sigmoid_i, sigmoid_o = (1 << 28) + (_fine(2 * z[0]) >> 3), (1 << 28) + (_fine(2 * z[3]) >> 3)
        leak = (1 << 30) - (_fine(2 * z[1]) >> 1)
        state += sigmoid_i * (_fine(2 * z[2]) >> (29 - frac_bits)) - ((state >> 32) << 1) * leak
        state = (_clip(state >> 32, 31) << 32) + (state & 0xFFFFFFFF)
        return state, _rounded(sigmoid_o, _fine((state >> 32) >> (frac_bits - 24)))
    candidate = _rounded(_coarse(_SIGMOID, z[0]), _coarse(_TANH, z[2])) >> (30 - frac_bits)
    cell = _clip(candidate + _rounded(state, _coarse(_SIGMOID, z[1])), 30)
    return cell << 2, _rounded(_coarse(_SIGMOID, z[3]), _coarse(_TANH, cell >> (frac_bits - 24)))


@njit(cache=True)
def _gru_unit(fine: bool, z: np.ndarray, state: int) -> int:
    """New state, Q30. z: r, z, n from the state, n from the input."""
    if fine:
        reset, update = (1 << 30) + (_fine(2 * z[0]) >> 1), (1 << 30) + (_fine(2 * z[1]) >> 1)
        candidate = _fine(2 * z[3] + 4 * _rounded(reset, z[2])) >> 1
        return candidate + 2 * _rounded(update, state - candidate)
    candidate = _coarse(_TANH, z[3] + 4 * _rounded(_coarse(_SIGMOID, z[0]), z[2]))
    return candidate + 4 * _rounded(_coarse(_SIGMOID, z[1]), state - candidate)


@njit(cache=True)
def _run(
    lstm: bool,
    fine: bool,
    weights: np.ndarray,  # [layers, hidden, 4, 2, hidden]
    scale: np.ndarray,  # [layers, hidden, 4]
    bias: np.ndarray,  # [layers, hidden, 4], with the knobs' share
    input_weights: np.ndarray,  # [hidden, 4]
    cell_frac_bits: np.ndarray,  # [layers]
    head_weights: np.ndarray,  # [hidden]
    head_bias: int,
    output_shift: int,
    residual: bool,
    samples: np.ndarray,  # [frames]
) -> np.ndarray:
    layers, size, columns = bias.shape
    hidden = np.zeros((layers + 1, size), np.int64)  # Q15; the first has nothing below
    state = np.zeros((layers, size), np.int64)
    left = np.zeros((layers, size), np.int64)  # what rounding to Q15 has left for the next sample, of a fine model
    z = np.zeros((size, columns), np.int64)
    limit = ((1 << 31) - 1) >> output_shift
    out = np.empty(len(samples), np.int32)
    for index in range(len(samples)):
        x = samples[index]
        head = head_bias + ((x >> output_shift) if residual else 0)
        for layer in range(layers):
            for unit in range(size):
                for column in range(columns):
                    row = weights[layer, unit, column]
                    total = np.int64(0)
                    for other in range(size):
                        total += row[1, other] * hidden[layer + 1, other]
                    if layer > 0:
                        for other in range(size):
                            total += row[0, other] * hidden[layer, other]
                    z[unit, column] = bias[layer, unit, column] + ((total * scale[layer, unit, column]) >> 32)
                    if layer == 0:
                        z[unit, column] += (x * input_weights[unit, column]) >> 32
            for unit in range(size):
                if lstm:
                    state[layer, unit], q28 = _lstm_unit(fine, z[unit], state[layer, unit], cell_frac_bits[layer])
                    exact, extra_bits = q28, 13
                else:
                    state[layer, unit] = _gru_unit(fine, z[unit], state[layer, unit])
                    exact, extra_bits, q28 = state[layer, unit], 15, state[layer, unit] >> 2
                exact += left[layer, unit] if fine else 1 << (extra_bits - 1)
                hidden[layer + 1, unit] = _clip(exact >> extra_bits, 16)
                left[layer, unit] = exact & ((1 << extra_bits) - 1)
                if layer == layers - 1:
                    head += _rounded(q28, head_weights[unit])
        out[index] = min(max(head, -limit - 1), limit) << output_shift
    return out
