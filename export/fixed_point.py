"""The fixed-point engine in numpy: the specification that the C++ engine equals bit for bit.

Written from the formats in export/quantize.py with 64-bit integers; the C++ is firmware/engine/{lstm,gru}_q15.cc.
Numba compiles it, so that the exporter can hear some seconds of each choice that it has.
"""

from collections.abc import Sequence

import numpy as np
from numba import njit

from export import cabinet as cabinets
from export import eq_fixed_point
from export.activation import fine as _fine
from export.activation import rounded as _rounded
from export.activation_tables import RISE_MASK, SIZE, sigmoid_words, tanh_words
from export.cabinet import QuantizedCabinet
from export.eq_quantize import QuantizedEq
from export.quantize import COLUMNS, QuantizedModel

Quantized = QuantizedModel | QuantizedEq

_SIGMOID = sigmoid_words().astype(np.int64)
_TANH = tanh_words().astype(np.int64)


def to_q31(samples: np.ndarray) -> np.ndarray:
    """Samples (float [frames], full scale +-1) as the codec has them: 24 bits, left-aligned, int32 [frames]."""
    return (np.clip(np.rint(np.asarray(samples, np.float64) * 2**23), -(2**23), 2**23 - 1).astype(np.int32)) << 8


def from_q31(samples: np.ndarray) -> np.ndarray:
    """int32 [frames] as float64, full scale +-1."""
    return np.asarray(samples, np.float64) * 2.0**-31


def run(model: Quantized, samples_q31: np.ndarray, knob_positions_q31: Sequence[int] = ()) -> np.ndarray:
    """Run `samples_q31` (int32 [frames], at the model's rate) through the model from rest; int32 [frames], Q31.

    `knob_positions_q31`: one position 0..2**31-1 for each of the model's knobs.
    """
    if len(knob_positions_q31) != len(model.knobs):
        raise ValueError(f"the model has {len(model.knobs)} knobs, not {len(knob_positions_q31)}")
    if isinstance(model, QuantizedEq):
        return eq_fixed_point.run(model, samples_q31, np.array([*knob_positions_q31, 0])[:1])
    size = model.hidden_size
    weights = np.zeros((model.layers, 2, size, size, COLUMNS), np.int32)  # of the states of the layer below, of its own
    for layer, rows in enumerate(model.dense(model.recurrent_weights)):
        weights[layer, 2 - rows.shape[2] :, :, :, : rows.shape[1]] = rows.transpose(2, 3, 0, 1)
    bias = model.bias.astype(np.int64).reshape(model.layers, size, COLUMNS)
    input_weights = model.input_weights.astype(np.int64)
    for knob, position in enumerate(knob_positions_q31):
        bias[0] += (input_weights[:, :, 1 + knob] * position) >> 32
    return _run(
        model.architecture == "lstm",
        model.precision != "coarse",
        model.precision == "finest",
        weights,
        model.scale.astype(np.int64).reshape(bias.shape),
        bias,
        np.ascontiguousarray(input_weights[:, :, 0]),
        np.array(model.cell_frac_bits),
        model.head_weights.astype(np.int64),
        model.head_bias,
        33 - model.head_frac_bits,
        model.dry_gain,
        model.rest.astype(np.int64).reshape(model.layers, size, 2),
        samples_q31.astype(np.int64),
    )


def play(
    model: Quantized,
    samples_q31: np.ndarray,
    knob_positions_q31: Sequence[int] = (),
    cabinet: QuantizedCabinet | None = None,
) -> np.ndarray:
    """As `run`, of `samples_q31` at the pedal's rate: with what there is around the model, resampling and a cabinet."""
    if model.resampling is None:
        output = run(model, samples_q31, knob_positions_q31)
    else:
        output = model.resampling.around(lambda own: run(model, own, knob_positions_q31), samples_q31)
    if cabinet is None:
        return output
    rest = run(model, np.zeros(1, np.int32), knob_positions_q31)[0]
    return cabinets.play(cabinet, output, rest)


@njit(cache=True)
def _clip(value: int, bits: int) -> int:
    return min(max(value, -(1 << (bits - 1))), (1 << (bits - 1)) - 1)


@njit(cache=True)
def _coarse(words: np.ndarray, z: int) -> int:
    """Sigmoid of a Q21 number or tanh of a Q22 number, Q31."""
    limited = _clip(z, 26)
    piece = limited >> 15
    word = words[piece + SIZE // 2]
    return word + (word & RISE_MASK) * (limited - ((piece + (piece & 1)) << 15))


@njit(cache=True)
def _sigmoid(fine: bool, z: int) -> int:
    return (1 << 30) + (_fine(2 * z) >> 1) if fine else _coarse(_SIGMOID, z)


@njit(cache=True)
def _lstm_unit(fine: bool, z: np.ndarray, state: int, frac_bits: int) -> tuple[int, int]:
    """New cell state and hidden state, Q30. The cell: Q(frac_bits), of a fine model Q(frac_bits + 31)."""
    if fine:
        leak = (1 << 30) - (_fine(2 * z[1]) >> 1)
        state += _sigmoid(fine, z[0]) * (_fine(2 * z[2]) >> (31 - frac_bits)) - ((state >> 32) << 1) * leak
        state = (_clip(state >> 32, 31) << 32) + (state & 0xFFFFFFFF)
        return state, _rounded(_sigmoid(fine, z[3]), _fine((state >> 32) >> (frac_bits - 24)))
    candidate = _rounded(_sigmoid(fine, z[0]), _coarse(_TANH, z[2])) >> (31 - frac_bits)
    cell = _clip(candidate + _rounded(state, _sigmoid(fine, z[1])), 31)
    return cell << 1, _rounded(_sigmoid(fine, z[3]), _coarse(_TANH, cell >> (frac_bits - 23)))


@njit(cache=True)
def _gru_unit(fine: bool, z: np.ndarray, state: int) -> int:
    """New state, Q30. z: r, z, n from the state, n from the input."""
    total = z[3] + 2 * _rounded(_sigmoid(fine, z[0]), z[2])
    candidate = (_fine(2 * total) if fine else _coarse(_TANH, total)) >> 1
    return candidate + 2 * _rounded(_sigmoid(fine, z[1]), state - candidate)


@njit(cache=True)
def _add_products(weights: np.ndarray, states: np.ndarray, sums: np.ndarray) -> None:
    """Add to `sums` [hidden, 4] the products of `weights` [states, hidden, 4] with `states`; 32 by 32 bits to 64, which
    processors do to several at once."""
    flat = sums.reshape(sums.size)
    for index in range(len(states)):
        state, row = np.int64(states[index]), weights[index].reshape(sums.size)
        for column in range(sums.size):
            flat[column] += np.int64(row[column]) * state


@njit(cache=True)
def _run(
    lstm: bool,
    fine: bool,
    finest: bool,
    weights: np.ndarray,  # [layers, 2, states, hidden, 4]
    scale: np.ndarray,  # [layers, hidden, 4]
    bias: np.ndarray,  # [layers, hidden, 4], with the knobs' share
    input_weights: np.ndarray,  # [hidden, 4]
    cell_frac_bits: np.ndarray,  # [layers]
    head_weights: np.ndarray,  # [hidden]
    head_bias: int,
    output_shift: int,
    dry_gain: int,
    rest: np.ndarray,  # [layers, hidden, 2]
    samples: np.ndarray,  # [frames]
) -> np.ndarray:
    layers, size, columns = bias.shape
    hidden = np.zeros((layers + 1, size), np.int32)  # Q15; the first has nothing below
    state = np.zeros((layers, size), np.int64)
    low = np.zeros((layers + 1, size), np.int32)  # 15 bits more of the same, of a finest model
    left = np.zeros((layers, size), np.int64)  # what rounding to Q15 has left for the next sample, of a fine model
    for layer in range(layers):
        for unit in range(size):
            kept, exact = rest[layer, unit]
            state[layer, unit] = (kept << (32 if fine else 1)) if lstm else kept
            hidden[layer + 1, unit] = exact >> 15
            low[layer + 1, unit] = exact & 0x7FFF
            left[layer, unit] = exact & 0x7FFF
    z = np.zeros((size, columns), np.int64)
    sums, low_sums = np.zeros_like(z), np.zeros_like(z)
    limit = ((1 << 31) - 1) >> output_shift
    out = np.empty(len(samples), np.int32)
    for index in range(len(samples)):
        x = samples[index]
        head = head_bias + ((x * dry_gain) >> 32)
        for layer in range(layers):
            sums[:], low_sums[:] = 0, 0
            for part in range(2 if layer else 1):
                _add_products(weights[layer, 1 - part], hidden[layer + 1 - part], sums)
                if finest:
                    _add_products(weights[layer, 1 - part], low[layer + 1 - part], low_sums)
            for unit in range(size):
                for column in range(columns):
                    total = sums[unit, column] + (low_sums[unit, column] >> 15)
                    z[unit, column] = bias[layer, unit, column] + ((total * scale[layer, unit, column]) >> 32)
                    if layer == 0:
                        z[unit, column] += (x * input_weights[unit, column]) >> 32
            for unit in range(size):
                if lstm:
                    state[layer, unit], exact = _lstm_unit(fine, z[unit], state[layer, unit], cell_frac_bits[layer])
                else:
                    state[layer, unit] = exact = _gru_unit(fine, z[unit], state[layer, unit])
                fed = exact + (left[layer, unit] if fine else 0)
                hidden[layer + 1, unit] = _clip(fed >> 15, 16)
                low[layer + 1, unit] = (fed & 0x7FFF) - left[layer, unit]
                left[layer, unit] = fed & 0x7FFF
                if layer == layers - 1:
                    head += _rounded(exact, head_weights[unit])
        out[index] = min(max(head, -limit - 1), limit) << output_shift
    return out
