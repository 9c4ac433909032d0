"""The TensorFlow graphs of a step: audio and states in, audio and states out. Only export.tflite.convert imports this.

A step is one sample of a recurrent network, a block of samples of the others. Products with the input and products
with the state have a sum and a scale each: together, an int8 row must hold both ranges.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

Tensors = dict[str, tf.Tensor]
Shapes = dict[str, tuple[int, ...]]
Parts = Callable[[np.ndarray], list[np.ndarray]]
"""What a matrix of weights is the sum of, each part with scales of its own."""

SOFT_SIGN_STEPS = 16


@dataclass(frozen=True)
class Graph:
    """`step` takes the tensors named in `inputs`, with their shapes, and returns 'audio' and the states that follow."""

    inputs: Shapes
    step: Callable[[Tensors], Tensors]


def build(architecture: str, weights: Mapping[str, np.ndarray], frames: int, parts: Parts, integer: bool) -> Graph:
    """The graph of a step of `frames`. `integer`: of operations that have int16 kernels only."""
    if architecture in ("lstm", "gru"):
        return _recurrent(architecture, weights, parts)
    if architecture == "eq":
        return _eq(weights, frames, parts, integer)
    return _dense(weights, frames, parts)


def whole(matrix: np.ndarray) -> list[np.ndarray]:
    return [matrix]


def with_rest_by_row(matrix: np.ndarray) -> list[np.ndarray]:
    """`matrix` [outputs, inputs] as int8 with a scale a row holds it, and what that leaves: int8 twice is 15 bits."""
    step = np.maximum(np.abs(matrix).max(1, keepdims=True), 1e-9) / 127
    value = (np.rint(matrix / step) * step).astype(np.float32)
    return [value, matrix - value]


def with_rest(matrix: np.ndarray) -> list[np.ndarray]:
    """As `with_rest_by_row`, with one scale for all of `matrix`."""
    return [part.reshape(matrix.shape) for part in with_rest_by_row(matrix.reshape(1, -1))]


def _product(vector: tf.Tensor, matrix: np.ndarray, bias: np.ndarray, parts: Parts) -> tf.Tensor:
    """`vector` [rows, inputs] times `matrix` [outputs, inputs]: FULLY_CONNECTED, of each of the parts."""
    first, *others = parts(matrix)
    result = tf.matmul(vector, tf.constant(first), transpose_b=True) + tf.constant(bias)
    for part in others:
        result += tf.matmul(vector, tf.constant(part), transpose_b=True)
    return result


def _convolution(images: tf.Tensor, matrix: np.ndarray, bias: np.ndarray, width: int, parts: Parts) -> tf.Tensor:
    """`images` [1, 1, frames, channels] through `matrix` [outputs, width * channels]: CONV_2D, of each of the parts."""

    def convolved(part: np.ndarray) -> tf.Tensor:
        kernel = np.ascontiguousarray(part.T).reshape(1, width, -1, len(part))
        return tf.nn.conv2d(images, tf.constant(kernel), 1, "VALID")

    first, *others = parts(matrix)
    result = convolved(first) + tf.constant(bias)
    for part in others:
        result += convolved(part)
    return result


def _recurrent(unit: str, weights: Mapping[str, np.ndarray], parts: Parts) -> Graph:
    layers = sum(name.endswith(".state") for name in weights)
    size, knobs = weights["layer0.state"].shape[1], weights["layer0.input"].shape[1] - 1
    inputs: Shapes = {"audio": (1, 1)}
    if knobs:
        inputs["knobs"] = (1, knobs)
    for layer in range(layers):
        inputs[f"h{layer}"] = (1, size)
        if unit == "lstm":
            inputs[f"c{layer}"] = (1, size)
    layer_step = _lstm_layer if unit == "lstm" else _gru_layer

    def step(tensors: Tensors) -> Tensors:
        after: Tensors = {}
        below, residual = tensors["audio"], float(weights["residual"])
        for layer in range(layers):
            own = {name: weights[f"layer{layer}.{name}"] for name in ("input", "state", "input_bias", "state_bias")}
            kernel = own["input"][:, :1] if layer == 0 else own["input"]
            from_below = _product(below, kernel, own["input_bias"], parts)
            if layer == 0 and knobs:
                kernel = own["input"][:, 1:]
                from_below += _product(tensors["knobs"], kernel, np.zeros(len(kernel), np.float32), parts)
            states = {name: tensors[f"{name}{layer}"] for name in ("h", "c") if f"{name}{layer}" in tensors}
            from_state = _product(states["h"], own["state"], own["state_bias"], parts)
            states = layer_step(from_below, from_state, states)
            after |= {f"{name}{layer}": state for name, state in states.items()}
            below = states["h"]
        output = _product(below, weights["head"], weights["head_bias"], parts)
        if residual:
            dry = tensors["audio"]
            output += dry if residual == 1 else dry * residual
        return {"audio": output, **after}

    return Graph(inputs, step)


def _lstm_layer(from_below: tf.Tensor, from_state: tf.Tensor, states: Tensors) -> Tensors:
    i, f, g, o = tf.split(from_below + from_state, 4, axis=1)
    c = tf.sigmoid(f) * states["c"] + tf.sigmoid(i) * tf.tanh(g)
    return {"h": tf.sigmoid(o) * tf.tanh(c), "c": c}


def _gru_layer(from_below: tf.Tensor, from_state: tf.Tensor, states: Tensors) -> Tensors:
    """n from the state and n from below stay apart, because of the reset gate between them."""
    below_r, below_z, below_n = tf.split(from_below, 3, axis=1)
    state_r, state_z, state_n = tf.split(from_state, 3, axis=1)
    n = tf.tanh(below_n + tf.sigmoid(below_r + state_r) * state_n)
    return {"h": n + tf.sigmoid(below_z + state_z) * (states["h"] - n)}


def _eq(weights: Mapping[str, np.ndarray], frames: int, parts: Parts, integer: bool) -> Graph:
    blocks, taps = weights["fir"].shape
    memory = taps - 1
    soft_sign = _integer_soft_sign if integer else _soft_sign
    first_dry = memory - int(weights["delay"])
    inputs: Shapes = {"audio": (1, frames), **{f"history{block}": (1, memory) for block in range(blocks)}}

    def step(tensors: Tensors) -> Tensors:
        after: Tensors = {}
        x = tensors["audio"]
        for block in range(blocks):
            heard = tf.concat([tensors[f"history{block}"], x], axis=1)
            after[f"history{block}"] = heard[:, frames:]
            gate = float(weights["gate"][block])
            images = tf.reshape(heard, (1, 1, memory + frames, 1))
            fir, bias = weights["fir"][block : block + 1, ::-1], weights["bias"][block : block + 1]
            u = tf.reshape(_convolution(images, fir, bias, taps, parts), (1, frames))
            dry = heard[:, first_dry : first_dry + frames]
            x = (1 - gate) * dry + gate * soft_sign(u, np.abs(fir).sum() + np.abs(bias[0]))
        return {"audio": x * float(weights["level"]), **after}

    return Graph(inputs, step)


def _soft_sign(u: tf.Tensor, reach: float) -> tf.Tensor:
    return u / (1.0 + tf.abs(u))


def _integer_soft_sign(u: tf.Tensor, reach: float) -> tf.Tensor:
    """u / (1 + |u|), with |u| up to `reach`, where there is no division: u times a sum of steps in |u|.

    The steps are tanh((|u| - a_k) / width_k), a_k and the widths in geometric series; least squares find their shares:
    1 / (1 + |u|) to within 0.1 %.
    """
    frames = u.shape[1]
    places = np.geomspace(0.7, 1 + max(reach, 4.0), SOFT_SIGN_STEPS)
    slopes = 1 / (places * (places[1] / places[0] - 1))
    a = np.concatenate([np.linspace(0, 1, 400), np.geomspace(1, places[-1] - 1, 600)])
    steps = np.column_stack([np.tanh((a[:, None] - places + 1) * slopes), np.ones(len(a))])
    ridge = 1e-5 * np.sqrt(len(a)) * np.eye(SOFT_SIGN_STEPS + 1)
    importance = (1 + a[:, None]) ** 0.7
    wanted = np.concatenate([(importance / (1 + a[:, None]))[:, 0], np.zeros(len(ridge))])
    shares = np.linalg.lstsq(np.vstack([steps * importance, ridge]), wanted, rcond=None)[0].astype(np.float32)
    slope_rows, offsets = slopes[:, None].astype(np.float32), ((1 - places) * slopes).astype(np.float32)
    rises = tf.tanh(_product(tf.reshape(tf.abs(u), (frames, 1)), slope_rows, offsets, with_rest))
    return u * tf.reshape(_product(rises, shares[None, :-1], shares[-1:], with_rest), (1, frames))


def _dense(weights: Mapping[str, np.ndarray], frames: int, parts: Parts) -> Graph:
    """The window slides: the first layer is a convolution as long as the window, the others are of one frame."""
    window = weights["layer0"].shape[1]
    count = sum(not name.endswith("_bias") for name in weights)

    def step(tensors: Tensors) -> Tensors:
        heard = tf.concat([tensors["history"], tensors["audio"]], axis=1)
        x = tf.reshape(heard, (1, 1, window - 1 + frames, 1))
        for layer in range(count):
            matrix, bias = weights[f"layer{layer}"], weights[f"layer{layer}_bias"]
            x = _convolution(x, matrix, bias, window if layer == 0 else 1, parts)
            x = tf.tanh(x) if layer == count - 1 else tf.nn.relu(x)
        return {"audio": tf.reshape(x, (1, frames)), "history": heard[:, frames:]}

    return Graph({"audio": (1, frames), "history": (1, window - 1)}, step)


def fused_lstm(weights: Mapping[str, np.ndarray], frames: int) -> Graph:
    """LSTM layers that the converter takes for Keras's and makes UNIDIRECTIONAL_SEQUENCE_LSTM of, one each.

    It knows Keras's by the attribute api_implements and the order of the arguments and results. The state begins at
    zeros and stays in the runtime.
    """
    layers = sum(name.endswith(".state") for name in weights)
    size, columns = weights["layer0.state"].shape[1], weights["layer0.input"].shape[1]
    inputs: Shapes = {"audio": (1, frames)}
    if columns > 1:
        inputs["knobs"] = (1, frames, columns - 1)  # repeated by the host: TensorFlow Lite Micro has no int8 TILE

    def keras_lstm(
        sequence: tf.Tensor, h: tf.Tensor, c: tf.Tensor, kernel: tf.Tensor, state_kernel: tf.Tensor, bias: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        outputs = []
        for frame in range(frames):
            from_below = tf.matmul(sequence[:, frame], kernel) + bias
            states = _lstm_layer(from_below, tf.matmul(h, state_kernel), {"h": h, "c": c})
            h, c = states["h"], states["c"]
            outputs.append(h)
        return h, tf.stack(outputs, axis=1), h, c, tf.constant(0.0)

    def step(tensors: Tensors) -> Tensors:
        audio = tf.reshape(tensors["audio"], (1, frames, 1))
        sequence = audio
        if columns > 1:
            sequence = tf.concat([audio, tensors["knobs"]], axis=2)
        for layer in range(layers):
            marks = {"api_implements": f"lstm_{layer}", "api_preferred_device": "CPU"}
            marked = tf.function(
                keras_lstm,
                autograph=False,
                experimental_attributes={**marks, "go_backwards": False, "time_major": False},
            )
            own = {name: weights[f"layer{layer}.{name}"] for name in ("input", "state", "input_bias", "state_bias")}
            kernels = (tf.constant(np.ascontiguousarray(own[name].T)) for name in ("input", "state"))
            zeros = tf.zeros((1, size))
            sequence = marked(sequence, zeros, zeros, *kernels, tf.constant(own["input_bias"] + own["state_bias"]))[1]
        output = _product(tf.reshape(sequence, (frames, size)), weights["head"], weights["head_bias"], whole)
        output = tf.reshape(output, (1, frames))
        if residual := float(weights["residual"]):
            output += tensors["audio"] if residual == 1 else tensors["audio"] * residual
        return {"audio": output}

    return Graph(inputs, step)
