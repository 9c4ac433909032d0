"""The model files of AIDA-X (.aidax), the plug-in and the LV2 one of MOD's pedals.

RTNeural's layout, `in_gain` and `out_gain` in dB around the network and the dry signal that `in_skip` 1 adds to it,

    output[n] = out_gain * (head(h[n]) + in_skip * in_gain * audio[n])

and a self-test: `output_batch` is what `input_batch` becomes without the gains, with the knobs at 0, from the zero
state. The players take the rate from numbers only.
"""

import math
from typing import Any

import numpy as np
import torch

from export import rtneural
from training.errors import InputError
from training.model_file import Model

HIDDEN_SIZES = (8, 12, 16, 20, 24, 32, 40, 64, 80)
MAXIMUM_KNOB_COUNT = 2
SMALLEST_RESIDUAL = 0.001
"""-60 dB: less is nothing that a player's gain should undo."""
SELF_TEST_FRAMES = 2048


def document(model: Model) -> dict[str, Any]:
    """The JSON document of `model`. Raises InputError, one line, for a model that the players cannot load."""
    network = model.recurrent
    if network.layers > 1 or network.hidden_size not in HIDDEN_SIZES or network.knob_count > MAXIMUM_KNOB_COUNT:
        sizes = ", ".join(map(str, HIDDEN_SIZES))
        raise InputError(
            f"{model.name}: AIDA-X has no {network.name} of {network.knob_count} knobs; it loads an lstm or gru of one "
            f"layer, {sizes} units and at most {MAXIMUM_KNOB_COUNT} knobs"
        )
    if network.residual and network.residual < SMALLEST_RESIDUAL:
        raise InputError(
            f"{model.name}: adds {network.residual:g} times the dry signal; AIDA-X's files can say 0 or "
            f"{SMALLEST_RESIDUAL:g} and more"
        )
    gain = network.residual or 1.0
    layers = rtneural.layers(model)
    layers[-1]["weights"] = [(np.array(array) / gain).tolist() for array in layers[-1]["weights"]]
    samples = self_test_input(model.sample_rate_hz)
    with torch.inference_mode():
        output, _ = network(torch.from_numpy(samples)[None], torch.zeros(1, network.knob_count))
    return {
        "in_shape": [None, None, 1 + network.knob_count],
        "in_skip": int(network.residual != 0),
        "in_gain": 0.0,
        "out_gain": 20 * math.log10(gain),
        "samplerate": model.sample_rate_hz,
        "metadata": rtneural.metadata(model),
        "layers": layers,
        "input_batch": samples.tolist(),
        "output_batch": (output[0].numpy() / gain).tolist(),
    }


def warning(model: Model) -> str | None:
    """What a user of AIDA-X should know of `model`."""
    if model.sample_rate_hz == 48_000:
        return None
    return f"AIDA-X plays at its host's rate: set the host to {model.sample_rate_hz} Hz"


def self_test_input(sample_rate_hz: int) -> np.ndarray:
    """A pluck of the low A string, loud enough to distort: float32 [frames], peak 0.5."""
    seconds = np.arange(SELF_TEST_FRAMES) / sample_rate_hz
    partials = (np.sin(2 * np.pi * 110 * n * seconds) * np.exp(-8 * n * seconds) / n for n in range(1, 12))
    wave = np.sum(list(partials), axis=0)
    return (0.5 * wave / np.abs(wave).max()).astype(np.float32)
