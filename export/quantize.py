"""A trained LSTM or GRU as the integers that the fixed-point engine runs.

The formats, in the engine's order (`x` and states are fractions of full scale):

| what | format | why |
|---|---|---|
| audio in and out | Q31 | 24 bits at the edge, left-aligned |
| hidden state read by the dot products | Q15 | two fit a register: one SMLAD is two multiply-accumulates |
| recurrent weights | int16, one scale a row | as large as the row's 32-bit sum allows: sum |w| <= 65535 |
| pre-activation of a sigmoid, of a tanh | Q21, Q22 | 26 bits index the activation tables (+-16, +-8) |
| bias | as the pre-activation | |
| weights of the audio and knob inputs | one bit finer than the pre-activation | the Q31 input's product keeps 32 bits |
| LSTM cell state | Q24 to Q28, by the largest |c| on real audio | fuzzes reach |c| = 85, most amps stay below 4 |
| GRU state kept from sample to sample | Q30 | z near 1 makes it the long memory |
| head weights, their sum | Q(head), Q(head - 4) | 24-bit output and room for the sum |
"""

from dataclasses import dataclass

import numpy as np
import torch

from training.errors import InputError
from training.model_file import Knob, Model

GATE_COUNT = {"lstm": 4, "gru": 3}
SIGMOID_FRAC_BITS = 21
TANH_FRAC_BITS = 22
CELL_FRAC_BITS = range(24, 29)
CELL_HEADROOM = 2.0
"""The cell state's format leaves this factor above the largest state measured; beyond the format it saturates."""
HEAD_FRAC_BITS = range(8, 29)


@dataclass(frozen=True)
class QuantizedModel:
    """The content of a header or blob; the arrays are those of `ModelView` in firmware/engine/model_view.h.

    `bias` int32 [hidden, 4]; `scale` int32 [hidden, gates]; `input_weights` int32 [hidden, gates, 1 + knobs];
    `recurrent_weights` int16 [hidden, pairs, gates, 2]; `head_weights` int32 [hidden];
    `low_weights` int16, as `recurrent_weights`: what rounding took from them, in 1/65536 of their last place.
    Gates: LSTM i, f, g, o; GRU r, z, n, where bias 3 is the state's share of n.
    """

    name: str
    architecture: str
    sample_rate_hz: int
    residual: bool
    knobs: tuple[Knob, ...]
    cell_frac_bits: int
    head_frac_bits: int
    head_bias: int
    bias: np.ndarray
    scale: np.ndarray
    input_weights: np.ndarray
    recurrent_weights: np.ndarray
    head_weights: np.ndarray
    low_weights: np.ndarray

    @property
    def hidden_size(self) -> int:
        return len(self.bias)

    @property
    def gate_count(self) -> int:
        return GATE_COUNT[self.architecture]

    def dense(self, weights: np.ndarray) -> np.ndarray:
        """`recurrent_weights` or `low_weights` as int64 [hidden, gates, hidden], without the padding to pairs."""
        rows = weights.transpose(0, 2, 1, 3).reshape(self.hidden_size, self.gate_count, -1)
        return rows[:, :, : self.hidden_size].astype(np.int64)


def knob_default_positions(knobs: tuple[Knob, ...]) -> np.ndarray:
    """Defaults of the knobs as positions 0..1, float32 as the firmware computes them."""
    spans = [np.float32(knob.maximum) - np.float32(knob.minimum) for knob in knobs]
    offsets = [np.float32(knob.default) - np.float32(knob.minimum) for knob in knobs]
    return np.array([offset / span for offset, span in zip(offsets, spans, strict=True)], dtype=np.float32)


def largest_cell_state(model: Model, audio: np.ndarray) -> float:
    """Largest |c| of an LSTM on `audio` (float [frames]), knobs at their defaults and, one at a time, at both ends.

    Looks at every 16th frame: cells grow large only where the forget gate is near 1, and such cells move slowly.
    """
    defaults = torch.from_numpy(knob_default_positions(model.knobs))
    settings = [defaults]
    for knob in range(len(defaults)):
        for end in (0.0, 1.0):
            settings.append(defaults.clone())
            settings[-1][knob] = end
    knobs = torch.stack(settings)
    largest, state = 0.0, None
    with torch.inference_mode():
        for frames in torch.from_numpy(np.asarray(audio, np.float32)).split(16):
            _, state = model.network(frames.expand(len(knobs), -1), knobs, state)
            largest = max(largest, float(state[1].abs().max()))
    return largest


def _refuse_too_large(model: Model, what: str, values: np.ndarray, limit: np.ndarray) -> None:
    """Raise InputError when one of `values` [hidden, gates] is over the `limit` [gates] of its format."""
    if (values > limit).any():
        unit, gate = np.argwhere(values > limit)[0]
        raise InputError(
            f"{model.name}: too large for the fixed-point engine: the {what} of gate {gate} of unit {unit} reaches "
            f"{values[unit, gate]:.0f}, its format holds {limit[gate]:.0f}"
        )


def quantize(model: Model, audio: np.ndarray) -> QuantizedModel:
    """Quantize a one-layer LSTM or GRU; `audio` (float [frames]) is what the cell state's range is measured on.

    Raises InputError for weights that the formats cannot hold.
    """
    if model.architecture not in GATE_COUNT:
        raise InputError(f"the fixed-point engine runs lstm and gru models, not {model.architecture}")
    weights = {name: array.detach().double().numpy() for name, array in model.network.state_dict().items()}
    gates = GATE_COUNT[model.architecture]
    recurrent = weights["recurrent.weight_hh_l0"]
    size = recurrent.shape[1]
    frac_bits = np.array([SIGMOID_FRAC_BITS, SIGMOID_FRAC_BITS, TANH_FRAC_BITS, SIGMOID_FRAC_BITS][:gates])

    def by_unit(array: np.ndarray) -> np.ndarray:
        """[gates * hidden, ...] -> [hidden, gates, ...]"""
        return array.reshape(gates, size, *array.shape[1:]).swapaxes(0, 1)

    rows = by_unit(recurrent)
    input_rows = by_unit(weights["recurrent.weight_ih_l0"])
    bias = np.zeros((size, 4))
    input_bias, state_bias = by_unit(weights["recurrent.bias_ih_l0"]), by_unit(weights["recurrent.bias_hh_l0"])
    bias[:, :gates] = input_bias + state_bias
    bias_frac_bits = np.append(frac_bits, [TANH_FRAC_BITS] * (4 - gates))
    if model.architecture == "gru":
        bias[:, 2], bias[:, 3] = input_bias[:, 2], state_bias[:, 2]

    # what 32 bits hold: the whole pre-activation, a weight of an input, a row's scale (by its largest weight)
    reach = np.abs(rows).sum(2) + np.abs(input_rows).sum(2) + np.abs(bias[:, :gates])
    _refuse_too_large(model, "sum", reach, 2.0 ** (31 - frac_bits) - 1)
    _refuse_too_large(model, "input weight", np.abs(input_rows).max(2), 2.0 ** (30 - frac_bits) - 1)
    _refuse_too_large(model, "recurrent weight", np.abs(rows).max(2), 2.0 ** (29 - frac_bits) - 1)

    # one scale a row: the largest weight fits int16 and no hidden vector overflows the 32-bit sum
    largest = np.maximum(np.abs(rows).max(2), 1e-9)
    total = np.maximum(np.abs(rows).sum(2), 1e-9)
    row_scale = np.minimum(32767 / largest, (65535 - size / 2) / total)
    scaled_rows = rows * row_scale[:, :, None]
    integer_rows = np.rint(scaled_rows)
    low_rows = np.clip(np.rint((scaled_rows - integer_rows) * 65536), -32768, 32767)

    def packed(array: np.ndarray) -> np.ndarray:
        """[hidden, gates, hidden] -> int16 [hidden, pairs, gates, 2], in the order of the engine's inner loop"""
        pairs = (size + 1) // 2
        padded = np.zeros((size, gates, 2 * pairs), dtype=np.int16)
        padded[:, :, :size] = array
        return np.ascontiguousarray(padded.reshape(size, gates, pairs, 2).transpose(0, 2, 1, 3))

    head_weights, head_bias = weights["head.weight"][0], float(weights["head.bias"][0])
    head_limit = max(np.abs(head_weights).max() / 2**31, (np.abs(head_weights).sum() + abs(head_bias) + 1.0) / 2**35)
    head_frac_bits = min(int(np.floor(-np.log2(head_limit) - 1e-6)), HEAD_FRAC_BITS[-1])
    if head_frac_bits < HEAD_FRAC_BITS[0]:
        raise InputError(f"{model.name}: the weights of its output layer are too large for the fixed-point engine")

    cell_frac_bits = CELL_FRAC_BITS[-1]
    if model.architecture == "lstm":
        reach = CELL_HEADROOM * max(largest_cell_state(model, audio), 1.0)
        cell_frac_bits = int(np.clip(31 - np.ceil(np.log2(reach)), CELL_FRAC_BITS[0], CELL_FRAC_BITS[-1]))

    def integers(array: np.ndarray, bits: np.ndarray | int) -> np.ndarray:
        return np.rint(array * 2.0**bits).astype(np.int32)

    return QuantizedModel(
        name=model.name,
        architecture=model.architecture,
        sample_rate_hz=model.sample_rate_hz,
        residual=bool(model.config.get("residual", True)),
        knobs=model.knobs,
        cell_frac_bits=cell_frac_bits,
        head_frac_bits=head_frac_bits,
        head_bias=int(np.rint(head_bias * 2.0 ** (head_frac_bits - 4))),
        bias=integers(bias, bias_frac_bits),
        scale=integers(1 / row_scale, frac_bits + 17),
        input_weights=integers(input_rows, frac_bits[:, None] + 1),
        recurrent_weights=packed(integer_rows),
        head_weights=integers(head_weights, head_frac_bits),
        low_weights=packed(low_rows),
    )
