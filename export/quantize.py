"""A trained LSTM or GRU as the integers that the fixed-point engine runs; docs/fixed-point.md has a picture of them.

The formats, in the engine's order (`x` and states are fractions of full scale):

| what | format | why |
|---|---|---|
| audio in and out | Q31 | 24 bits at the edge, left-aligned |
| hidden state read by the dot products | Q15, rounded down | two fit a register: one SMLAD is two products |
| recurrent weights | int16, one scale a row | as large as the row's 32-bit sum allows: sum |w| <= 65535 |
| the same, stored as int8 | int8, one step a row | half the bytes; the pedal multiplies by the step at load |
| pre-activation of a sigmoid, of a tanh | Q21, Q22 | 26 bits index the activation tables (+-16, +-8) |
| bias | as the pre-activation | |
| weights of the audio and knob inputs | one bit finer than the pre-activation | the Q31 input's product keeps 32 bits |
| LSTM cell state | Q24 to Q28, by the largest |c| on real audio | fuzzes reach |c| = 85, most amps stay below 4 |
| GRU state kept from sample to sample | Q30 | z near 1 makes it the long memory |
| head weights, their sum | Q(head), Q(head - 2) | 24-bit output and room for the sum |
| gain of the dry signal | Q(head - 1) | its product with the audio is as the head's sum |

Three precisions, of which export takes the first that will do. `coarse` is the table above. `fine` models have cells of
63 bits, forget gates that tell 1 - f to a part in 60,000, and states whose rounding is shaped to noise of high
frequency: what long memories need. `finest` ones also have hidden states of 30 bits, whose low halves go through the
dot products on their own: for amps whose output is a small difference of large states.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from export import resampling
from export.resampling import Resampling
from training.errors import InputError
from training.knob import Knob
from training.model_file import Model
from training.recurrent_player import RecurrentPlayer

COLUMNS = 4
"""LSTM i, f, g, o; GRU r, z, n from the state, n from the input (audio and knobs, or the layer below)."""
PRECISIONS = ("coarse", "fine", "finest")
FRAC_BITS = {"lstm": np.array([21, 21, 22, 21]), "gru": np.array([21, 21, 22, 22])}
"""Of the pre-activation of each column."""
CELL_FRAC_BITS = range(24, 29)
CELL_HEADROOM = 2.0
"""The cell state's format leaves this factor above the largest state measured; beyond the format it saturates."""
HEAD_FRAC_BITS = range(8, 29)
LOW_ONE = 4096
MEASURED_EVERY = 16
MAXIMUM_SUM = 65533
"""Of a row's absolute weights: its sums with Q15 states and, 15 bits below, with their low halves fit 32 bits."""
ROUNDING_ROOM = 4
"""So much a weight may add to its row's sum by being rounded, on average; beyond that the row is rounded plainly."""
MAXIMUM_UNITS = 64
"""Of all layers together: what the engine's tightly coupled memory holds."""


@dataclass(frozen=True)
class Measured:
    """What a model does on audio, by layer. `cell`: the largest |c| of an LSTM, 0 of a GRU. Of the states that the
    layer's rows read (those below, its own): `mean` [states] and `covariance` [states, states]."""

    cell: tuple[float, ...]
    mean: tuple[np.ndarray, ...]
    covariance: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class QuantizedModel:
    """The content of a header or blob; the arrays are those of `ModelView` in firmware/engine/model_view.h.

    `units` counts the units of all layers, the lowest layer first. `bias`, `scale` int32 [units, 4]; `input_weights`
    int32 [hidden, 4, 1 + knobs], of the first layer; `recurrent_weights` int16 [weights], in the kernels' order (see
    `packed`); `head_weights` int32 [hidden]; `cell_frac_bits` by layer.
    `int8_weights` int8 [weights] and `int8_steps` int16 [units, 4]: what is stored instead of `recurrent_weights`,
    which are the products of the two, where the weights are int8.
    `dry_gain`: of the dry signal in the output, Q(head_frac_bits - 1).
    `rest` int32 [units, 2]: what a stream begins with: the state, Q30 (GRU) or the cell, Q(cell_frac_bits - 1), and the
    hidden state, Q30.
    `resampling`: what the pedal does around the model where its rate is another, or None.
    `low_weights` int16 [weights]: what rounding took from `recurrent_weights`, in 1/4096 of their last place; None
    where they are int8. `low_bias` int32 [units, 4]: what `bias` does to make up for the rounding, with the other sign.
    `measured`: what they were made with.
    """

    name: str
    architecture: str
    sample_rate_hz: int
    knobs: tuple[Knob, ...]
    hidden_size: int
    layers: int
    precision: str
    cell_frac_bits: tuple[int, ...]
    head_frac_bits: int
    head_bias: int
    dry_gain: int
    resampling: Resampling | None
    measured: Measured = field(repr=False)
    bias: np.ndarray = field(repr=False)
    low_bias: np.ndarray = field(repr=False)
    scale: np.ndarray = field(repr=False)
    input_weights: np.ndarray = field(repr=False)
    recurrent_weights: np.ndarray = field(repr=False)
    head_weights: np.ndarray = field(repr=False)
    rest: np.ndarray = field(repr=False)
    low_weights: np.ndarray | None = field(default=None, repr=False)
    int8_weights: np.ndarray | None = field(default=None, repr=False)
    int8_steps: np.ndarray | None = field(default=None, repr=False)

    @property
    def weight_bits(self) -> int:
        return 16 if self.int8_weights is None else 8

    def dense(self, weights: np.ndarray) -> list[np.ndarray]:
        """`recurrent_weights` or others in their order as an int64 array a layer, [hidden, rows, parts, hidden]; see
        `packed`, of which this is the inverse."""
        result, start = [], 0
        for layer in range(self.layers):
            rows, parts = row_count(self.architecture, layer), part_count(layer)
            quads = (self.hidden_size + 3) // 4
            count = (self.hidden_size + 1) // 2 * parts * quads * 8 * rows
            ordered = weights[start : start + count].reshape(-1, parts * quads * 2, 2, rows, 2)
            padded = ordered.transpose(0, 2, 3, 1, 4).reshape(-1, rows, parts, 4 * quads)
            result.append(padded[: self.hidden_size, :, :, : self.hidden_size].astype(np.int64))
            start += count
        return result


def row_count(architecture: str, layer: int) -> int:
    """Rows of dot products of a unit: the first layer of a GRU has no layer below whose share of n is summed apart."""
    return 3 if architecture == "gru" and layer == 0 else COLUMNS


def part_count(layer: int) -> int:
    """Of the states that a layer's rows read: those of the layer below, where there is one, and then its own."""
    return 2 if layer else 1


def packed(rows: np.ndarray) -> np.ndarray:
    """The rows of a layer, [hidden, rows, parts, hidden], in the order in which the kernels read them.

    Each part is filled up with zeros to a multiple of four states, the units to an even number. Returns
    [two units][pair of states][unit][row][state], flat.
    """
    size, row_total, parts, _ = rows.shape
    quads = (size + 3) // 4
    padded = np.zeros((size + size % 2, row_total, parts, 4 * quads), rows.dtype)
    padded[:size, :, :, :size] = rows
    by_pair = padded.reshape(len(padded) // 2, 2, row_total, parts * quads * 2, 2)
    return np.ascontiguousarray(by_pair.transpose(0, 3, 1, 2, 4)).reshape(-1)


def knob_default_positions(knobs: tuple[Knob, ...]) -> np.ndarray:
    """Defaults of the knobs as positions 0..1, float32 as the firmware computes them."""
    spans = [np.float32(knob.maximum) - np.float32(knob.minimum) for knob in knobs]
    offsets = [np.float32(knob.default) - np.float32(knob.minimum) for knob in knobs]
    return np.array([offset / span for offset, span in zip(offsets, spans, strict=True)], dtype=np.float32)


def measure(model: Model, audio: np.ndarray) -> Measured:
    """Play `audio` (float [frames]) with the knobs at their defaults and, one at a time, at both ends.

    Looks at every 16th frame: cells grow large only where the forget gate is near 1, and such cells move slowly.
    """
    defaults = knob_default_positions(model.knobs).tolist()
    settings = [defaults]
    for knob in range(len(defaults)):
        for end in (0.0, 1.0):
            settings.append([*defaults[:knob], end, *defaults[knob + 1 :]])
    players = [RecurrentPlayer(model.recurrent, setting, dtype=np.float32) for setting in settings]
    states = np.concatenate([player.watch(audio, MEASURED_EVERY)[1] for player in players])
    layers = range(model.recurrent.layers)
    cell = np.abs(states[:, 1]).max(axis=(0, 2))
    by_layer = states[:, 0].swapaxes(0, 1).astype(np.float64)
    read = [by_layer[layer] if layer == 0 else np.concatenate(by_layer[layer - 1 : layer + 1], 1) for layer in layers]
    return Measured(
        tuple(cell.tolist()),
        tuple(states.mean(0) for states in read),
        tuple(np.cov(states, rowvar=False, ddof=0).reshape(states.shape[1], -1) for states in read),
    )


def rounded_rows(rows: np.ndarray, covariance: np.ndarray, limit: int) -> np.ndarray:
    """Round `rows` [rows, states] to integers within +-`limit` so that their products with the states change little.

    What rounding takes from one weight, the weights not yet rounded make good as far as their states go with its own,
    most active states first; a row that is on the grid already stays. `covariance` [states, states]: of the states;
    what the rounded rows do to their mean is the bias's to correct. Source: Frantar et al., "GPTQ", ICLR 2023, after
    Hassibi and Stork, "Optimal Brain Surgeon", 1993.
    """
    order = np.argsort(-np.diag(covariance))
    damped = covariance[np.ix_(order, order)]
    damped = damped + np.eye(len(order)) * (1e-3 * np.trace(damped) / len(order) + 1e-12)
    factor = np.linalg.cholesky(np.linalg.inv(damped)).T
    wanted, result = rows[:, order], np.empty_like(rows)
    for column, state in enumerate(order):
        result[:, state] = np.clip(np.rint(wanted[:, column]), -limit, limit)
        taken = (wanted[:, column] - result[:, state]) / factor[column, column]
        wanted[:, column:] -= taken[:, None] * factor[column, column:]
    return result


def _refuse_too_large(model: Model, what: str, values: np.ndarray, limit: np.ndarray) -> None:
    """Raise InputError when one of `values` [hidden, 4] is over the `limit` [4] of its format."""
    if (values > limit).any():
        unit, column = np.argwhere(values > limit)[0]
        raise InputError(
            f"{model.name}: too large for the fixed-point engine: the {what} of gate {column} of unit {unit} reaches "
            f"{values[unit, column]:.0f}, its format holds {limit[column]:.0f}"
        )


@dataclass(frozen=True)
class _FloatLayer:
    """rows [hidden, rows, parts, hidden], bias [hidden, 4], inputs [hidden, 4, 1 + knobs] (zeros but in the first)."""

    rows: np.ndarray
    bias: np.ndarray
    inputs: np.ndarray


def _float_layers(model: Model) -> list[_FloatLayer]:
    """The weights of torch's layers in the engine's columns."""
    weights = {name: array.detach().double().numpy() for name, array in model.recurrent.state_dict().items()}
    size = model.recurrent.hidden_size
    lstm = model.architecture == "lstm"

    def by_unit(name: str) -> np.ndarray:
        """[gates * hidden, ...] -> [hidden, gates, ...]"""
        array = weights[f"recurrent.{name}"]
        return array.reshape(-1, size, *array.shape[1:]).swapaxes(0, 1)

    layers = []
    for layer in range(model.recurrent.layers):
        state_rows, input_rows = by_unit(f"weight_hh_l{layer}"), by_unit(f"weight_ih_l{layer}")
        state_bias, input_bias = by_unit(f"bias_hh_l{layer}"), by_unit(f"bias_ih_l{layer}")
        bias = state_bias + input_bias
        if not lstm:  # n from the state and n from the input stay apart, because of the reset gate between them
            bias = np.concatenate([bias[:, :2], state_bias[:, 2:], input_bias[:, 2:]], axis=1)
            nothing = np.zeros_like(input_rows[:, :1])
            input_rows = np.concatenate([input_rows[:, :2], nothing, input_rows[:, 2:]], axis=1)
            if layer:
                state_rows = np.concatenate([state_rows, nothing], axis=1)
        if layer == 0:
            layers.append(_FloatLayer(state_rows[:, :, None], bias, input_rows))
        else:
            layers.append(_FloatLayer(np.stack([input_rows, state_rows], axis=2), bias, np.zeros((size, COLUMNS, 1))))
    return layers


def _rest(model: Model, cell_frac_bits: np.ndarray) -> np.ndarray:
    """int32 [units, 2]: the state that a unit keeps and its hidden state, after a long silence."""
    state = model.rest(np.float64)
    hidden, kept = state if isinstance(state, tuple) else (state, state)
    assert hidden is not None and kept is not None  # of all recurrent networks
    bits = np.full((len(hidden), 1), 30) if hidden is kept else np.asarray(cell_frac_bits)[:, None] - 1
    both = np.stack([kept[:, 0].numpy() * 2.0**bits, hidden[:, 0].numpy() * 2.0**30], axis=-1)
    return np.clip(np.rint(both), -(2**30), 2**30 - 1).astype(np.int32).reshape(-1, 2)


def _integers(array: np.ndarray, bits: np.ndarray | int) -> np.ndarray:
    return np.rint(array * 2.0**bits).astype(np.int32)


def _recurrent_arrays(model: Model, measured: Measured, weight_bits: int, precision: str) -> dict[str, Any]:
    """Those of a QuantizedModel that depend on how many bits the recurrent weights are stored in."""
    frac_bits = FRAC_BITS[model.architecture]
    arrays: dict[str, list[np.ndarray]] = {}

    def append(**layer_arrays: np.ndarray) -> None:
        for name, array in layer_arrays.items():
            arrays.setdefault(name, []).append(array)

    for layer, mean, covariance in zip(_float_layers(model), measured.mean, measured.covariance, strict=True):
        size, row_total = layer.rows.shape[:2]
        rows = layer.rows.reshape(size * row_total, -1)
        largest = np.maximum(np.abs(rows).max(1), 1e-9)
        steps = np.ones(len(rows))
        if weight_bits == 8:
            row_scale = 127 / largest
            integers = rounded_rows(rows * row_scale[:, None], covariance, 127)
            # the step in int16: as large as it may be without an overflow of the 32-bit sum
            steps = np.floor(np.minimum(32767 / 127, MAXIMUM_SUM / np.maximum(np.abs(integers).sum(1), 1)))
        else:
            # the largest weight fits int16 and no vector of states overflows the 32-bit sum, with room for the rounding
            room = ROUNDING_ROOM * rows.shape[1]
            row_scale = np.minimum(32767 / largest, (MAXIMUM_SUM - room) / np.maximum(np.abs(rows).sum(1), 1e-9))
            integers = rounded_rows(rows * row_scale[:, None], covariance, 32767)
            plain = np.abs(integers).sum(1) > MAXIMUM_SUM
            integers[plain] = np.rint(rows * row_scale[:, None])[plain]
            left = np.clip(np.rint((rows * row_scale[:, None] - integers) * LOW_ONE), -32768, 32767)
            append(low_weights=packed(left.reshape(layer.rows.shape).astype(np.int16)))
        correction = np.zeros((size, COLUMNS))
        rounded = integers / row_scale[:, None]
        correction[:, :row_total] = ((rows - rounded) @ mean).reshape(size, row_total)
        if precision == "coarse":  # states are rounded down: on average they are half a step more than what is read
            correction[:, :row_total] += (rounded.sum(1) * 2.0**-16).reshape(size, row_total)
        _refuse_too_large(
            model,
            "recurrent weights' sum",  # a row's scale fits 32 bits; said as the sum of weights that makes it so
            (65535 / (row_scale * steps)).reshape(size, row_total),
            65535 * 2.0 ** (14 - frac_bits[:row_total]) - 1,
        )
        scale = np.zeros((size, COLUMNS), np.int32)
        scale[:, :row_total] = _integers(1 / (row_scale * steps).reshape(size, row_total), frac_bits[:row_total] + 17)
        append(
            scale=scale,
            bias=_integers(layer.bias + correction, frac_bits),
            low_bias=_integers(layer.bias, frac_bits) - _integers(layer.bias + correction, frac_bits),
            recurrent_weights=packed((integers * steps[:, None]).reshape(layer.rows.shape).astype(np.int16)),
        )
        if weight_bits == 8:
            of_rows = np.zeros((size, COLUMNS), np.int16)
            of_rows[:, :row_total] = steps.reshape(size, row_total)
            append(int8_weights=packed(integers.reshape(layer.rows.shape).astype(np.int8)), int8_steps=of_rows)
    optional = dict.fromkeys(("low_weights", "int8_weights", "int8_steps"))
    return optional | {name: np.concatenate(layers) for name, layers in arrays.items()}


def requantized(
    quantized: QuantizedModel, model: Model, weight_bits: int | None = None, precision: str | None = None
) -> QuantizedModel:
    """`quantized`, which was made of `model`, with the recurrent weights in 8 or 16 bits, in one of PRECISIONS.

    What is None stays as it is. Raises InputError when the weights do not fit the formats.
    """
    weight_bits, precision = weight_bits or quantized.weight_bits, precision or quantized.precision
    arrays = _recurrent_arrays(model, quantized.measured, weight_bits, precision)
    return replace(quantized, precision=precision, **arrays)


def quantize(model: Model, audio: np.ndarray) -> QuantizedModel:
    """Quantize an LSTM or GRU, with int16 weights and coarse precision.

    `audio` (float [frames], at the model's rate): what the cell states' ranges and the states' statistics are measured
    on. Raises InputError for rates that the pedal does not convert, for more units than the engine has memory for, and
    for weights that the formats cannot hold.
    """
    if model.architecture not in FRAC_BITS:
        raise InputError(f"the fixed-point engine runs lstm and gru models, not {model.architecture}")
    size, layer_count = model.recurrent.hidden_size, model.recurrent.layers
    if layer_count * size > MAXIMUM_UNITS:
        raise InputError(
            f"{model.name}: {layer_count} layers of {size} are {layer_count * size} units; the engine's tightly "
            f"coupled memory holds {MAXIMUM_UNITS}"
        )
    frac_bits = FRAC_BITS[model.architecture]
    layers = _float_layers(model)
    for layer in layers:
        # what 32 bits hold: the whole pre-activation, a weight of an input
        row_sums = np.zeros((size, COLUMNS))
        row_sums[:, : layer.rows.shape[1]] = np.abs(layer.rows).sum((2, 3))
        reach = row_sums + np.abs(layer.inputs).sum(2) + np.abs(layer.bias)
        if model.architecture == "gru":
            reach[:, 3] += reach[:, 2]
        _refuse_too_large(model, "sum", reach, 2.0 ** (30 - frac_bits) - 1)  # fine gates double it
        _refuse_too_large(model, "input weight", np.abs(layer.inputs).max(2), 2.0 ** (30 - frac_bits) - 1)

    measured = measure(model, audio)
    head = model.recurrent.head
    head_weights, head_bias = head.weight.detach().double().numpy()[0], float(head.bias.detach()[0])
    reach = np.abs(head_weights).sum() + abs(head_bias) + abs(model.recurrent.residual)
    head_limit = max(np.abs(head_weights).max() / 2**31, max(reach, 1.0) / 2**33)
    head_frac_bits = min(int(np.floor(-np.log2(head_limit) - 1e-6)), HEAD_FRAC_BITS[-1])
    if head_frac_bits < HEAD_FRAC_BITS[0]:
        raise InputError(f"{model.name}: the weights of its output layer are too large for the fixed-point engine")

    cell_reach = CELL_HEADROOM * np.maximum(measured.cell, 1.0)
    cell_frac_bits = np.clip(31 - np.ceil(np.log2(cell_reach)), CELL_FRAC_BITS[0], CELL_FRAC_BITS[-1]).astype(int)

    return QuantizedModel(
        name=model.name,
        architecture=model.architecture,
        sample_rate_hz=model.sample_rate_hz,
        knobs=model.knobs,
        hidden_size=size,
        layers=layer_count,
        precision="coarse",
        cell_frac_bits=tuple(int(bits) for bits in cell_frac_bits),
        head_frac_bits=head_frac_bits,
        head_bias=int(np.rint(head_bias * 2.0 ** (head_frac_bits - 2))),
        dry_gain=int(np.rint(model.recurrent.residual * 2.0 ** (head_frac_bits - 1))),
        resampling=resampling.needed(model.sample_rate_hz),
        input_weights=_integers(layers[0].inputs, frac_bits[:, None] + 1),
        head_weights=_integers(head_weights, head_frac_bits),
        rest=_rest(model, cell_frac_bits),
        measured=measured,
        **_recurrent_arrays(model, measured, 16, "coarse"),
    )
