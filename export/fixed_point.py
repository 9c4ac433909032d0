"""The fixed-point engine in numpy: the specification that the C++ engine equals bit for bit.

Written from the formats in export/quantize.py with 64-bit integers; the C++ is firmware/engine/{lstm,gru}_q15.cc.
The exporter makes the blob's self-test vector with it; it is far too slow to play.
"""

from collections.abc import Sequence

import numpy as np

from export.activation_tables import SIZE, sigmoid_words, tanh_words
from export.quantize import QuantizedModel

_SIGMOID = sigmoid_words().astype(np.int64)
_TANH = tanh_words().astype(np.int64)


def to_q31(samples: np.ndarray) -> np.ndarray:
    """Samples (float [frames], full scale +-1) as the codec has them: 24 bits, left-aligned, int32 [frames]."""
    return (np.clip(np.rint(np.asarray(samples, np.float64) * 2**23), -(2**23), 2**23 - 1).astype(np.int32)) << 8


def from_q31(samples: np.ndarray) -> np.ndarray:
    """int32 [frames] as float64, full scale +-1."""
    return np.asarray(samples, np.float64) * 2.0**-31


def _high_word(a: np.ndarray | int, b: np.ndarray | int, rounding: int = 0) -> np.ndarray:
    return (np.multiply(a, b, dtype=np.int64) + rounding) >> 32


def _high_word_rounded(a: np.ndarray | int, b: np.ndarray | int) -> np.ndarray:
    return _high_word(a, b, 1 << 31)


def _activate(words: np.ndarray, z: np.ndarray) -> np.ndarray:
    limited = np.clip(z, -(2**25), 2**25 - 1)
    word = words[(limited >> 15) + SIZE // 2]
    minus_start, rise = word >> 16, ((word & 0xFFFF) ^ 0x8000) - 0x8000
    return (limited & 0x7FFF) * rise - 0x8000 * minus_start


def run(model: QuantizedModel, samples_q31: np.ndarray, knob_positions_q31: Sequence[int] = ()) -> np.ndarray:
    """Run `samples_q31` (int32 [frames]) through the model from the zero state; int32 [frames], Q31.

    `knob_positions_q31`: one position 0..2**31-1 for each of the model's knobs.
    """
    if len(knob_positions_q31) != len(model.knobs):
        raise ValueError(f"the model has {len(model.knobs)} knobs, not {len(knob_positions_q31)}")
    gates = model.gate_count
    weights = model.dense(model.recurrent_weights)
    scale, audio_weights = model.scale.astype(np.int64), model.input_weights[:, :, 0].astype(np.int64)
    bias = model.bias.astype(np.int64)
    for knob, position in enumerate(knob_positions_q31):
        bias[:, :gates] += _high_word(model.input_weights[:, :, 1 + knob].astype(np.int64), position)
    head_weights = model.head_weights.astype(np.int64)
    output_shift = 35 - model.head_frac_bits

    hidden_q15 = np.zeros(model.hidden_size, np.int64)
    state = np.zeros(model.hidden_size, np.int64)
    out = np.empty(len(samples_q31), np.int32)
    for index, x in enumerate(samples_q31.astype(np.int64)):
        sums = weights @ hidden_q15
        from_audio = _high_word(x, audio_weights)
        if model.architecture == "lstm":
            z = bias + _high_word(sums, scale) + from_audio
            input_gate, forget_gate, output_gate = (_activate(_SIGMOID, z[:, gate]) for gate in (0, 1, 3))
            candidate = _high_word_rounded(input_gate, _activate(_TANH, z[:, 2])) >> (30 - model.cell_frac_bits)
            cell = np.clip(candidate + _high_word_rounded(state, forget_gate), -(2**29), 2**29 - 1)
            state = cell << 2
            hidden_q28 = _high_word_rounded(output_gate, _activate(_TANH, cell >> (model.cell_frac_bits - 24)))
            hidden_q15 = (hidden_q28 + (1 << 12)) >> 13
        else:
            z = bias[:, :3] + _high_word(sums, scale)
            reset_gate = _activate(_SIGMOID, z[:, 0] + from_audio[:, 0])
            update_gate = _activate(_SIGMOID, z[:, 1] + from_audio[:, 1])
            from_state = z[:, 2] - bias[:, 2] + bias[:, 3]
            gated = _high_word_rounded(reset_gate, from_state) << 2
            candidate = _activate(_TANH, gated + bias[:, 2] + from_audio[:, 2])
            state = candidate + (_high_word_rounded(update_gate, state - candidate) << 2)
            hidden_q28 = state >> 2
            hidden_q15 = (state + (1 << 14)) >> 15
        head = model.head_bias + ((x >> output_shift) if model.residual else 0)
        head += int(_high_word_rounded(hidden_q28, head_weights).sum())
        limit = (2**31 - 1) >> output_shift
        out[index] = int(np.clip(head, -limit - 1, limit)) << output_shift
    return out
