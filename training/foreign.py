"""Readers of the LSTM and GRU models that other projects' trainers write.

| format | told by | layout of the weights |
|---|---|---|
| Automated-GuitarAmpModelling, Proteus (.json) | `model_data`, `state_dict` | PyTorch's own, under `rec` and `lin` |
| RTNeural, AIDA-X (.json) | `in_shape`, `layers` | as `export.rtneural` writes them: one recurrent layer, one dense |
| Neural Amp Modeler (.nam) | `architecture`, `config` | one list, see `_nam_network` |
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

from training.errors import InputError
from training.model_file import Knob, Model, load_weights, typed
from training.recurrent import RecurrentNetwork

GATE_COUNT = {"lstm": 4, "gru": 3}
MAXIMUM_FILE_BYTES = 16 << 20
"""A network of 64 units takes 1 MB of JSON."""
CUSTOMARY_SAMPLE_RATE_HZ = 44100
NAM_SAMPLE_RATE_HZ = 48000
"""Of .nam files from before they said so: their trainer knew no other."""


def read(path: Path) -> Model:
    """Read the model in `path`; its content tells the format. Knobs have no names there: 'knob 1', ... from 0 to 1.

    Raises InputError, one line that says why, for other networks and for files that are damaged or contradict
    themselves.
    """
    path = Path(path)
    try:
        return _model(_json_object(path), path)
    except InputError as error:
        raise InputError(f"{path}: {error.message}") from error


def _model(record: dict[str, Any], path: Path) -> Model:
    customary_hz = CUSTOMARY_SAMPLE_RATE_HZ
    if "model_data" in record:
        network = _state_dict_network(record)
    elif "layers" in record:
        network = _rtneural_network(record)
    elif "architecture" in record:
        network, customary_hz = _nam_network(record), NAM_SAMPLE_RATE_HZ
    else:
        raise InputError("not a model in a format that is known here")
    return Model(
        name=_name(record) or path.stem,
        architecture=network.unit,
        config=network.config,
        network=network.eval(),
        sample_rate_hz=_sample_rate_hz(record, customary_hz),
        knobs=tuple(Knob(f"knob {knob + 1}") for knob in range(network.knob_count)),
        training={"imported_from": path.name},
    )


def _json_object(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAXIMUM_FILE_BYTES:
            raise InputError("far too large to be a recurrent model")
        record = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError("not JSON, or damaged") from error
    if not isinstance(record, dict):
        raise InputError("not a model in a format that is known here")
    return record


def _metadata(record: dict[str, Any]) -> dict[str, Any]:
    metadata = record.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def _name(record: dict[str, Any]) -> str | None:
    name = _metadata(record).get("name")
    return name if isinstance(name, str) and name.isprintable() else None


def _sample_rate_hz(record: dict[str, Any], customary_hz: int) -> int:
    """What the file says, as a number or as text, in any of the places that are in use; else `customary_hz`."""
    places = [place.get(key) for place in (record, _metadata(record)) for key in ("sample_rate", "samplerate")]
    said = next((value for value in places if value is not None), customary_hz)
    try:
        rate_hz = float(said)
    except (TypeError, ValueError, OverflowError):
        rate_hz = math.nan
    if not 8000 <= rate_hz <= 384000:
        raise InputError(f"has a sample rate of {str(said)[:20]!r}")
    return round(rate_hz)


def _array(values: object, what: str) -> np.ndarray:
    """Nested lists of numbers as float32; `load_weights` looks at the shape and at what is not finite."""
    try:
        array = np.array(values)
    except ValueError as error:  # lists of different lengths
        raise InputError(f"{what} should be numbers in rows of one length") from error
    if array.dtype.kind not in "iuf":
        raise InputError(f"{what} should be numbers in rows of one length")
    with np.errstate(over="ignore"):
        return array.astype(np.float32)


def _array_of(shape: tuple[int, ...], values: object, what: str) -> np.ndarray:
    array = _array(values, what)
    if array.shape != shape:
        raise InputError(f"{what} is {list(array.shape)} where the described network needs {list(shape)}")
    return array


def _flag(record: dict[str, Any], key: str) -> bool:
    value = record.get(key, 0)
    if value not in (0, 1):
        raise InputError(f"{key} should be 0 or 1")
    return bool(value)


def _with_weights(network: RecurrentNetwork, weights: dict[str, np.ndarray]) -> RecurrentNetwork:
    load_weights(network, {key: torch.from_numpy(np.ascontiguousarray(array)) for key, array in weights.items()})
    return network


def _state_dict_network(record: dict[str, Any]) -> RecurrentNetwork:
    """Automated-GuitarAmpModelling and Proteus. `skip` 1 adds input 0, the audio, to the output; the rest are knobs."""
    described, state = typed(record, "model_data", dict), typed(record, "state_dict", dict)
    unit = typed(described, "unit_type", str).lower()
    if typed(described, "output_size", int) != 1:
        raise InputError("has more than one output")
    hidden_size, inputs, layers = (typed(described, key, int) for key in ("hidden_size", "input_size", "num_layers"))
    network = RecurrentNetwork(unit, hidden_size, inputs - 1, layers, _flag(described, "skip"))
    weights = {
        key.replace("rec.", "recurrent.").replace("lin.", "head."): _array(values, key) for key, values in state.items()
    }
    if described.get("bias_fl") is False:  # of the linear layer; the recurrent one always has its biases
        weights.setdefault("head.bias", np.zeros(1, np.float32))
    return _with_weights(network, weights)


def _rtneural_layers(record: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The recurrent and the dense layer. Raises InputError for any other model."""
    layers = typed(record, "layers", list)
    types = [layer.get("type") if isinstance(layer, dict) else None for layer in layers]
    if types not in (["lstm", "dense"], ["gru", "dense"]):
        raise InputError(f"not one lstm or gru layer and a dense one, but {', '.join(map(str, types))[:80]}")
    recurrent, dense = layers
    if recurrent.get("activation") not in ("", "tanh", None) or dense.get("activation") not in ("", "linear", None):
        raise InputError("its activations are not those of a recurrent model")
    if record.get("in_gain") or record.get("out_gain"):
        raise InputError("has gains (in_gain, out_gain), which are not read here")
    if _last_of_shape(dense, "shape") != 1:
        raise InputError("has more than one output")
    return recurrent, dense


def _rtneural_network(record: dict[str, Any]) -> RecurrentNetwork:
    """RTNeural and AIDA-X. Kernels are [inputs][gates * hidden], gates i, f, c, o (LSTM) or z, r, h (GRU)."""
    recurrent, dense = _rtneural_layers(record)
    unit, size, inputs = recurrent["type"], _last_of_shape(recurrent, "shape"), _last_of_shape(record, "in_shape")
    network = RecurrentNetwork(unit, size, inputs - 1, residual=_flag(record, "in_skip"))
    columns = GATE_COUNT[unit] * size
    bias_shape = (columns,) if unit == "lstm" else (2, columns)
    kernel, recurrent_kernel, bias = (
        _array_of(shape, values, f"the {what} of the {unit} layer")
        for shape, values, what in zip(
            ((inputs, columns), (size, columns), bias_shape),
            _list_of(3, recurrent, "weights"),
            ("kernel", "recurrent kernel", "bias"),
            strict=True,
        )
    )
    head, head_bias = _list_of(2, dense, "weights")
    order = np.arange(columns)
    if unit == "gru":  # z, r, h to r, z, n
        order = np.concatenate([order[size : 2 * size], order[:size], order[2 * size :]])
    input_bias, state_bias = bias if unit == "gru" else (bias, np.zeros_like(bias))
    return _with_weights(
        network,
        {
            "recurrent.weight_ih_l0": kernel.T[order],
            "recurrent.weight_hh_l0": recurrent_kernel.T[order],
            "recurrent.bias_ih_l0": input_bias[order],
            "recurrent.bias_hh_l0": state_bias[order],
            "head.weight": _array_of((size, 1), head, "the kernel of the dense layer").T,
            "head.bias": _array(head_bias, "the bias of the dense layer"),
        },
    )


def _last_of_shape(record: dict[str, Any], key: str) -> int:
    shape = typed(record, key, list)
    if not shape or type(shape[-1]) is not int:
        raise InputError(f"{key} should end in a whole number")
    return shape[-1]


def _list_of(count: int, record: dict[str, Any], key: str) -> list[Any]:
    values = typed(record, key, list)
    if len(values) != count:
        raise InputError(f"{key} of a layer should be {count} arrays, not {len(values)}")
    return values


def _nam_network(record: dict[str, Any]) -> RecurrentNetwork:
    """Neural Amp Modeler's LSTM, which adds no dry signal.

    `weights` is one list: for each layer [weight_ih | weight_hh] row by row, the bias, and h and c to start from; then
    the head and its bias. The start is not read: it is where the trainer left the state, and a pedal starts from
    silence; a model forgets either within a second.
    """
    architecture = typed(record, "architecture", str)
    if architecture != "LSTM":
        raise InputError(f"not a recurrent model, but {architecture[:40]!r}")
    config = typed(record, "config", dict)
    if typed(config, "input_size", int) != 1:
        raise InputError("has more inputs than the audio")
    size, layers = typed(config, "hidden_size", int), typed(config, "num_layers", int)
    network = RecurrentNetwork("lstm", size, layers=layers, residual=False)
    rows = 4 * size
    columns = [1 + size] + [2 * size] * (layers - 1)
    lengths = [length for inputs in columns for length in (rows * inputs, rows, 2 * size)] + [size, 1]
    values = _array_of((sum(lengths),), record.get("weights"), "the list of weights")
    parts = iter(np.split(values, np.cumsum(lengths)[:-1]))
    weights = {}
    for layer, inputs in enumerate(columns):
        combined, bias, _start = next(parts).reshape(rows, inputs), next(parts), next(parts)
        weights[f"recurrent.weight_ih_l{layer}"] = combined[:, : inputs - size]
        weights[f"recurrent.weight_hh_l{layer}"] = combined[:, inputs - size :]
        weights[f"recurrent.bias_ih_l{layer}"] = bias
        weights[f"recurrent.bias_hh_l{layer}"] = np.zeros_like(bias)
    return _with_weights(network, {**weights, "head.weight": next(parts)[None], "head.bias": next(parts)})
