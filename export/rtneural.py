"""RTNeural's JSON: the float weights, for RTNeural itself, AIDA-X and other hosts.

Layout: `in_shape`, `layers[{type, activation, shape, weights}]`. A recurrent layer's weights are the kernel
[inputs][gates * hidden], the recurrent kernel [hidden][gates * hidden] and the bias; LSTM gates i, f, c, o and one
bias, GRU gates z, r, h and two (input, state). `in_skip` 1 says that the dry input is added to the output.
"""

import json
from pathlib import Path

import numpy as np

from training.files import written_aside
from training.model_file import Model


def document(model: Model) -> dict:
    """The JSON document of `model`."""
    weights = {name: array.detach().double().numpy() for name, array in model.recurrent.state_dict().items()}
    size = model.recurrent.hidden_size
    recurrent = [
        {
            "type": model.architecture,
            "activation": "",
            "shape": [None, None, size],
            "weights": _recurrent_layer(model.architecture, size, weights, f"l{layer}"),
        }
        for layer in range(model.recurrent.layers)
    ]
    head = {
        "type": "dense",
        "activation": "",
        "shape": [None, None, 1],
        "weights": [weights["head.weight"].T.tolist(), weights["head.bias"].tolist()],
    }
    return {
        "in_shape": [None, None, 1 + len(model.knobs)],
        "in_skip": int(model.recurrent.residual),
        "samplerate": model.sample_rate_hz,
        "metadata": {"name": model.name, "samplerate": str(model.sample_rate_hz)},
        "layers": [*recurrent, head],
    }


def _recurrent_layer(architecture: str, size: int, weights: dict[str, np.ndarray], layer: str) -> list[list]:
    """Kernel, recurrent kernel and bias of torch's layer `layer` ('l0')."""
    input_bias, state_bias = weights[f"recurrent.bias_ih_{layer}"], weights[f"recurrent.bias_hh_{layer}"]
    order = np.arange(len(input_bias))
    if architecture == "gru":  # torch: r, z, n
        order = np.concatenate([order[size : 2 * size], order[:size], order[2 * size :]])
        bias = np.stack([input_bias[order], state_bias[order]])
    else:
        bias = input_bias + state_bias
    kernels = (weights[f"recurrent.weight_{source}_{layer}"][order].T for source in ("ih", "hh"))
    return [*(kernel.tolist() for kernel in kernels), bias.tolist()]


def write(path: Path, model: Model) -> None:
    """Write the JSON file of `model` to `path`."""
    with written_aside(path) as scratch:
        scratch.write_text(json.dumps(document(model)))
