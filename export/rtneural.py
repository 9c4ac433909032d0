"""RTNeural's JSON: the float weights, for RTNeural itself and its hosts.

Layout: `in_shape`, `layers[{type, activation, shape, weights}]`. A recurrent layer's weights are the kernel
[inputs][gates * hidden], the recurrent kernel [hidden][gates * hidden] and the bias; LSTM gates i, f, c, o and one
bias, GRU gates z, r, h and two (input, state). `in_skip` 1 says that the dry input is added to the output.
"""

from typing import Any

import numpy as np

from training.errors import InputError
from training.model_file import Model


def document(model: Model) -> dict[str, Any]:
    """The JSON document of `model`. Raises InputError unless it is an LSTM or GRU that adds the dry signal or not."""
    if model.recurrent.residual not in (0, 1):
        raise InputError(
            f"{model.name}: adds {model.recurrent.residual:g} times the dry signal; RTNeural's JSON can say 0 or 1"
        )
    return {
        "in_shape": [None, None, 1 + model.recurrent.knob_count],
        "in_skip": int(model.recurrent.residual),
        "samplerate": model.sample_rate_hz,
        "metadata": metadata(model),
        "layers": layers(model),
    }


def metadata(model: Model) -> dict[str, Any]:
    """What the file says of the model: name, rate, and of an imported one whose it is."""
    said = model.training.get("metadata")
    theirs = said if isinstance(said, dict) else {}
    owner = {
        "author": theirs.get("author") or theirs.get("modeled_by"),
        "license": theirs.get("license") or theirs.get("licence"),
    }
    known = {key: value for key, value in owner.items() if isinstance(value, str) and value}
    return {"name": model.name, "samplerate": model.sample_rate_hz, **known}


def layers(model: Model) -> list[dict[str, Any]]:
    """The recurrent layers and the dense one."""
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
    return [*recurrent, head]


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
