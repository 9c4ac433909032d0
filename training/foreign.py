"""Readers of the models that other projects' trainers write.

| format | told by | layout of the weights |
|---|---|---|
| Automated-GuitarAmpModelling, Proteus, NeuralPi (.json) | `model_data`, `state_dict` | PyTorch's, `rec`, `lin` |
| RTNeural, AIDA-X (.json, .aidax) | `in_shape`, `layers` | `export.rtneural`, `export.aidax`: LSTMs or GRUs, a dense |
| Neural Amp Modeler 0.5 to 0.7 (.nam) | `architecture`, `config` | one list, see `_nam_lstm`, `WaveNet` and `Linear` |
"""

import hashlib
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch

from training.errors import InputError, shown
from training.knob import Knob
from training.linear import Linear
from training.model_file import Model, Network, load_weights, typed
from training.recurrent import RecurrentNetwork, State
from training.wavenet import WaveNet

GATE_COUNT = {"lstm": 4, "gru": 3}
MAXIMUM_FILE_BYTES = 16 << 20
"""A network of 64 units takes 1 MB of JSON, an impulse response of a second as much."""
MAXIMUM_PRODUCTS_PER_SAMPLE = 1 << 20
"""Of a WaveNet: beyond, not even a PC plays it."""
CUSTOMARY_SAMPLE_RATE_HZ = 44100
"""Of captures that do not say theirs: what the first trainers took."""
NAM_SAMPLE_RATE_HZ = AIDAX_SAMPLE_RATE_HZ = 48000
"""What the players take it to be."""
NAM_VERSIONS = range(5, 8)
"""The y of 0.y.z."""
MAXIMUM_GAIN_DB = 60.0
SELF_TEST_LIMIT = 1e-3
"""Largest error of an output, full scale being 1; AIDA-X's own player warns from 1e-5 on."""
SINE_VOLTS_PEAK_AT_0_DBU = math.sqrt(2 * 0.6)
MAXIMUM_METADATA, MAXIMUM_TEXT, MAXIMUM_NUMBER = 40, 200, 1e12


def read(path: Path, default_rate_hz: int | None = None) -> Model:
    """Read the model in `path`; its content tells the format. Knobs have no names there: 'knob 1', ... from 0 to 1.

    `default_rate_hz`: where the file does not say its sample rate; None for what is customary.

    `training` of the result says where it is from: file, SHA-256, format, author and licence as far as known, whatever
    else the file's metadata says in words and numbers, and the largest error of the self-test where one is embedded.

    Raises InputError, one line that says why, for other networks, for files that are damaged or contradict themselves,
    and for those whose embedded self-test fails.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAXIMUM_FILE_BYTES:
            raise InputError("far too large to be a model for the pedal")
        return parse(path.read_bytes(), path.name, default_rate_hz)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except InputError as error:
        raise InputError(f"{path}: {error.message}") from error


def parse(contents: bytes, file_name: str, default_rate_hz: int | None = None) -> Model:
    """As `read`, of a file's contents."""
    if contents[:2] == b"PK":
        raise InputError("a model of ours, or a zip file: nothing to import")
    try:
        record = json.loads(contents)
    except (ValueError, RecursionError) as error:
        raise InputError("not JSON, or damaged") from error
    if not isinstance(record, dict):
        raise InputError("not a model in a format that is known here")
    network: Network
    start, self_test_error = None, None
    if "model_data" in record:
        kind, customary_hz, network = "Automated-GuitarAmpModelling", CUSTOMARY_SAMPLE_RATE_HZ, _state_dict(record)
    elif "layers" in record:
        aidax = any(key in record for key in ("in_skip", "in_gain", "out_gain", "input_batch", "metadata"))
        kind, customary_hz = ("AIDA-X", AIDAX_SAMPLE_RATE_HZ) if aidax else ("RTNeural", CUSTOMARY_SAMPLE_RATE_HZ)
        ungained = _rtneural(record)
        self_test_error = _self_test_error(record, ungained)
        network = _with_gains(ungained, record)
    elif "architecture" in record:
        kind, customary_hz = "Neural Amp Modeler", NAM_SAMPLE_RATE_HZ
        network, start = _nam(record)
    else:
        raise InputError("not a model in a format that is known here")
    metadata = _metadata(record)
    name = metadata.get("name")
    training = {
        "imported_from": file_name,
        "sha256": hashlib.sha256(contents).hexdigest(),
        "format": kind,
        "licence": metadata.get("license") or metadata.get("licence") or "not stated: ask its author",
        "metadata": metadata,
    }
    if self_test_error is not None:
        training["self_test_largest_error"] = self_test_error
    return Model(
        name=name if isinstance(name, str) and name.isprintable() else Path(file_name).stem,
        architecture=network.architecture,
        config=network.config,
        network=network.eval(),
        sample_rate_hz=_sample_rate_hz(record, default_rate_hz or customary_hz),
        knobs=tuple(Knob(f"knob {knob + 1}") for knob in range(network.knob_count)),
        levels=_levels(metadata),
        training=training,
        start=start,
    )


def _metadata(record: dict[str, Any]) -> dict[str, str | float]:
    """What a file says of itself in words and numbers, within bounds."""
    said = record.get("metadata")
    kept: dict[str, str | float] = {}
    for key, value in list(said.items())[:MAXIMUM_METADATA] if isinstance(said, dict) else ():
        if isinstance(value, str) and value.isprintable() and value:
            kept[key[:MAXIMUM_TEXT]] = value[:MAXIMUM_TEXT]
        elif type(value) in (int, float) and abs(value) <= MAXIMUM_NUMBER:
            kept[key[:MAXIMUM_TEXT]] = value
    return kept


def _levels(metadata: dict[str, str | float]) -> dict[str, float]:
    """Volts per full scale where the file says at how many dBu a sine has its peaks there."""
    levels = {}
    for side in ("input", "output"):
        dbu = metadata.get(f"{side}_level_dbu")
        if isinstance(dbu, int | float) and abs(dbu) <= MAXIMUM_GAIN_DB:
            levels[f"{side}_volts_per_full_scale"] = SINE_VOLTS_PEAK_AT_0_DBU * 10 ** (dbu / 20)
    return levels


def _sample_rate_hz(record: dict[str, Any], customary_hz: int) -> int:
    """What the file says, as a number or as text, in any of the places that are in use; else `customary_hz`."""
    places = [place for place in (record, record.get("metadata"), record.get("model_data")) if isinstance(place, dict)]
    said = (place.get(key) for place in places for key in ("sample_rate", "samplerate"))
    value = next((value for value in said if value is not None), customary_hz)
    try:
        rate_hz = float(value)
    except (TypeError, ValueError, OverflowError):
        rate_hz = math.nan
    if not 8000 <= rate_hz <= 384000:
        raise InputError(f"has a sample rate of {shown(value)}")
    return round(rate_hz)


def _self_test_error(record: dict[str, Any], network: RecurrentNetwork) -> float | None:
    """Largest error of the samples that the file says should come out; None where it has none.

    They are without the gains, with all knobs at 0, from the zero state.
    """
    if record.get("input_batch") is None or record.get("output_batch") is None:
        return None
    given, expected = (_array(record[key], key) for key in ("input_batch", "output_batch"))
    if given.ndim != 1 or given.shape != expected.shape or not 0 < len(given) <= 1 << 16:
        raise InputError("input_batch and output_batch should be lists of as many samples")
    with torch.inference_mode():
        output, _ = network(torch.from_numpy(given)[None], torch.zeros(1, network.knob_count))
    error = float(np.abs(output[0].numpy() - expected).max())
    if not error <= SELF_TEST_LIMIT:
        raise InputError(f"fails its own self-test: an output is off by {error:.3g}")
    return error


def _gain(record: dict[str, Any], key: str) -> float:
    decibels = record.get(key, 0)
    if type(decibels) not in (int, float) or not abs(decibels) <= MAXIMUM_GAIN_DB:
        raise InputError(f"{key} should be a number of dB within +-{MAXIMUM_GAIN_DB:g}")
    return 10 ** (decibels / 20)


def _with_gains(network: RecurrentNetwork, record: dict[str, Any]) -> RecurrentNetwork:
    """The network with AIDA-X's gains of its input and output in its weights; the dry signal goes through both."""
    gain_in, gain_out = _gain(record, "in_gain"), _gain(record, "out_gain")
    if gain_in == gain_out == 1:
        return network
    weights = {key: array.clone() for key, array in network.state_dict().items()}
    weights["recurrent.weight_ih_l0"][:, 0] *= gain_in
    weights["head.weight"] *= gain_out
    weights["head.bias"] *= gain_out
    config = {**network.config, "residual": network.residual * gain_in * gain_out}
    scaled = RecurrentNetwork(network.unit, **config)  # type: ignore[arg-type]
    load_weights(scaled, weights)
    return scaled


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


def _state_dict(record: dict[str, Any]) -> RecurrentNetwork:
    """Automated-GuitarAmpModelling and Proteus. `skip` 1 adds input 0, the audio, to the output; the rest are knobs."""
    described, state = typed(record, "model_data", dict), typed(record, "state_dict", dict)
    unit = typed(described, "unit_type", str).lower()
    if typed(described, "output_size", int) != 1:
        raise InputError("has more than one output")
    hidden_size, inputs, layers = (typed(described, key, int) for key in ("hidden_size", "input_size", "num_layers"))
    network = RecurrentNetwork(unit, hidden_size, inputs - 1, layers, _flag(described, "skip"))
    names = {key.replace("recurrent.", "rec.").replace("head.", "lin."): key for key in network.state_dict()}
    if unknown := set(state) - set(names):
        raise InputError(f"has weights {shown(min(unknown))}, which are not those of its architecture")
    weights = {names[key]: _array(values, key) for key, values in state.items()}
    if described.get("bias_fl") is False:  # of the linear layer; the recurrent one always has its biases
        weights.setdefault("head.bias", np.zeros(1, np.float32))
    return _with_weights(network, weights)


def _rtneural_layers(record: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The recurrent layers and the dense one. Raises InputError for any other model."""
    layers = typed(record, "layers", list)
    types = [layer.get("type") if isinstance(layer, dict) else None for layer in layers]
    if len(types) < 2 or types[0] not in tuple(GATE_COUNT) or types != [*types[:1] * (len(types) - 1), "dense"]:
        names = (kind if isinstance(kind, str) and kind.isprintable() else shown(kind) for kind in types)
        raise InputError(f"not lstm or gru layers and a dense one, but {', '.join(names)[:80]}")
    *recurrent, dense = layers
    activations = [layer.get("activation") in ("", "tanh", None) for layer in recurrent]
    if not all(activations) or dense.get("activation") not in ("", "linear", None):
        raise InputError("its activations are not those of a recurrent model")
    if _last_of_shape(dense, "shape") != 1:
        raise InputError("has more than one output")
    sizes = [_last_of_shape(layer, "shape") for layer in recurrent]
    if len(set(sizes)) != 1:
        raise InputError(f"its layers are of {', '.join(map(shown, sizes))[:80]} units; layers of one size are read")
    return recurrent, dense


def _rtneural(record: dict[str, Any]) -> RecurrentNetwork:
    """RTNeural and AIDA-X, without AIDA-X's gains."""
    recurrent, dense = _rtneural_layers(record)
    unit, size, inputs = recurrent[0]["type"], _last_of_shape(recurrent[0], "shape"), _last_of_shape(record, "in_shape")
    network = RecurrentNetwork(unit, size, inputs - 1, len(recurrent), _flag(record, "in_skip"))
    weights: dict[str, np.ndarray] = {}
    for index, layer in enumerate(recurrent):
        weights |= _rtneural_layer(layer, unit, inputs if index == 0 else size, size, f"l{index}")
    head, head_bias = _list_of(2, dense, "weights")
    return _with_weights(
        network,
        {
            **weights,
            "head.weight": _array_of((size, 1), head, "the kernel of the dense layer").T,
            "head.bias": _array(head_bias, "the bias of the dense layer"),
        },
    )


def _rtneural_layer(layer: dict[str, Any], unit: str, inputs: int, size: int, name: str) -> dict[str, np.ndarray]:
    """Kernels are [inputs][gates * hidden], gates i, f, c, o (LSTM) or z, r, h (GRU)."""
    columns = GATE_COUNT[unit] * size
    bias_shape = (columns,) if unit == "lstm" else (2, columns)
    kernel, recurrent_kernel, bias = (
        _array_of(shape, values, f"the {what} of the {unit} layer")
        for shape, values, what in zip(
            ((inputs, columns), (size, columns), bias_shape),
            _list_of(3, layer, "weights"),
            ("kernel", "recurrent kernel", "bias"),
            strict=True,
        )
    )
    order = np.arange(columns)
    if unit == "gru":  # z, r, h to r, z, n
        order = np.concatenate([order[size : 2 * size], order[:size], order[2 * size :]])
    input_bias, state_bias = bias if unit == "gru" else (bias, np.zeros_like(bias))
    return {
        f"recurrent.weight_ih_{name}": kernel.T[order],
        f"recurrent.weight_hh_{name}": recurrent_kernel.T[order],
        f"recurrent.bias_ih_{name}": input_bias[order],
        f"recurrent.bias_hh_{name}": state_bias[order],
    }


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


def _nam(record: dict[str, Any]) -> tuple[Network, State | None]:
    """Neural Amp Modeler: the network, and the state that an LSTM starts from. Of a container, the largest model."""
    version = record.get("version", "0.5.")
    numbers = re.match(r"0\.(\d{1,3})\.", version) if isinstance(version, str) else None
    if numbers is None or int(numbers[1]) not in NAM_VERSIONS:
        raise InputError(f"of version {shown(version)}; those from 0.5 to 0.7 are read")
    architecture, config = typed(record, "architecture", str), typed(record, "config", dict)
    if architecture == "SlimmableContainer":
        inner = _largest_submodel(config)
        record.setdefault("metadata", inner.get("metadata"))
        if record.get("sample_rate") is None:
            record["sample_rate"] = inner.get("sample_rate")
        return _nam(inner)
    if architecture not in ("LSTM", "WaveNet", "Linear"):
        raise InputError(f"not an LSTM, a WaveNet or an impulse response, but {shown(architecture)}")
    values = _array(record.get("weights"), "the list of weights")
    if values.ndim != 1:
        raise InputError("the list of weights should be numbers in one row")
    if architecture == "LSTM":
        return _nam_lstm(config, values)
    network = (WaveNet if architecture == "WaveNet" else Linear).from_nam(config, values)
    if network.multiplies_per_sample > MAXIMUM_PRODUCTS_PER_SAMPLE:
        raise InputError(f"{network.name} takes {network.multiplies_per_sample:,} products a sample; that is too many")
    return network, None


def _largest_submodel(config: dict[str, Any]) -> dict[str, Any]:
    """The model of a container that its player takes at full quality."""
    submodels = typed(config, "submodels", list)
    if not submodels or not all(isinstance(submodel, dict) for submodel in submodels):
        raise InputError("submodels should be a list of models")
    sizes = [submodel.get("max_value") for submodel in submodels]
    if not all(type(size) in (int, float) and abs(size) <= MAXIMUM_NUMBER for size in sizes):
        raise InputError("max_value of a submodel should be a number")
    model = typed(submodels[int(np.argmax(sizes))], "model", dict)
    if model.get("architecture") == "SlimmableContainer":
        raise InputError("is a container in a container")
    return model


def _nam_lstm(config: dict[str, Any], values: np.ndarray) -> tuple[RecurrentNetwork, State]:
    """An LSTM, which adds no dry signal. `values`: for each layer [weight_ih | weight_hh] row by row, the bias, and h
    and c to start from; then the head and its bias."""
    if typed(config, "input_size", int) != 1:
        raise InputError("has more inputs than the audio")
    size, layers = typed(config, "hidden_size", int), typed(config, "num_layers", int)
    network = RecurrentNetwork("lstm", size, layers=layers, residual=0.0)
    rows = 4 * size
    columns = [1 + size] + [2 * size] * (layers - 1)
    lengths = [length for inputs in columns for length in (rows * inputs, rows, 2 * size)] + [size, 1]
    if len(values) != sum(lengths):
        raise InputError(f"has {len(values)} weights where its config needs {sum(lengths)}")
    parts = iter(np.split(values, np.cumsum(lengths)[:-1]))
    weights, starts = {}, []
    for layer, inputs in enumerate(columns):
        combined, bias, start = next(parts).reshape(rows, inputs), next(parts), next(parts)
        weights[f"recurrent.weight_ih_l{layer}"] = combined[:, : inputs - size]
        weights[f"recurrent.weight_hh_l{layer}"] = combined[:, inputs - size :]
        weights[f"recurrent.bias_ih_l{layer}"] = bias
        weights[f"recurrent.bias_hh_l{layer}"] = np.zeros_like(bias)
        starts.append(start.reshape(2, 1, size))
    h, c = torch.from_numpy(np.stack(starts, axis=1))
    if not (torch.isfinite(h).all() and torch.isfinite(c).all()):
        raise InputError("its initial states hold NaN or infinity")
    _with_weights(network, {**weights, "head.weight": next(parts)[None], "head.bias": next(parts)})
    return network, (h, c)
