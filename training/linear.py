"""The Linear model of Neural Amp Modeler: an impulse response, as a network that streams."""

from typing import Any

import numpy as np
import torch

from training.errors import InputError

MAXIMUM_RECEPTIVE_FIELD = 1 << 16


class Linear(torch.nn.Module):
    """The convolution with `weight` [receptive_field], an impulse response as it would sound:

        output[n] = bias + sum over k of weight[k] * audio[n - k]

    That is the order in which NeuralAmpModelerCore, the player, reads a .nam file; the trainer, neural-amp-modeler,
    writes the oldest first, so what it exports plays reversed there and here alike.

    `config`: `receptive_field` in frames, 1 to 65536, and `bias`, whether there is one.

    Raises InputError, one line, for any other config.
    """

    architecture = "linear"
    knob_count = 0

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.config = normalised(config)
        self.receptive_field: int = self.config["receptive_field"]
        self.weight = torch.nn.Parameter(torch.zeros(self.receptive_field))
        self.bias = torch.nn.Parameter(torch.zeros(1)) if self.config["bias"] else None
        self.weight_count = self.receptive_field + self.config["bias"]
        self.multiplies_per_sample = self.receptive_field

    @classmethod
    def from_nam(cls, config: dict[str, Any], weights: np.ndarray) -> "Linear":
        """The network of a .nam file, whose list of weights is the impulse response, then the bias.

        Raises InputError, as the constructor does, and for weights that are too few, too many or not finite.
        """
        network = cls(config)
        with np.errstate(over="ignore"):
            values = np.asarray(weights, dtype=np.float32)
        if values.shape != (network.weight_count,):
            raise InputError(f"has {values.size} weights where its config needs {network.weight_count}")
        if not np.isfinite(values).all():
            raise InputError("its weights hold NaN or infinity")
        with torch.no_grad():
            network.weight.copy_(torch.tensor(values[: network.receptive_field]))
            if network.bias is not None:
                network.bias.copy_(torch.tensor(values[-1:]))
        return network

    @property
    def name(self) -> str:
        """Such as 'linear-2048'."""
        return f"linear-{self.receptive_field}"

    def forward(
        self, audio: torch.Tensor, knobs: torch.Tensor | None = None, state: tuple[torch.Tensor, ...] | None = None
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """Process a batch of streams.

        audio: [batch, frames], full scale is +-1, of the weights' type.
        knobs: None; there are no knobs.
        state: what an earlier call returned, the last frames [batch, receptive_field - 1], or None for silence before.

        Returns the output [batch, frames] and the state after the last frame.
        """
        memory = self.receptive_field - 1
        history = audio.new_zeros(len(audio), memory) if state is None else state[0]
        heard = torch.cat([history, audio], dim=1)
        size = heard.shape[1]
        # In double precision, as the rounding of a transform is of its loudest sample, not of each.
        spectrum = torch.fft.rfft(heard.double(), size) * torch.fft.rfft(self.weight.double(), size)
        # What wraps around lies in the first `memory` frames, which are not those of this call.
        output = torch.fft.irfft(spectrum, size)[:, memory:].to(audio.dtype)
        if self.bias is not None:
            output = output + self.bias
        return output, (heard[:, size - memory :],)


def normalised(config: object) -> dict[str, Any]:
    """`receptive_field` and `bias` of the config of a .nam file. Raises InputError as `Linear` does."""
    known = {"receptive_field", "bias", "in_channels", "out_channels", "implementation"}  # the last: how, not what
    if type(config) is not dict or not set(config) <= known:
        raise InputError(f"its config should hold {', '.join(sorted(known))} and nothing else")
    receptive_field, bias = config.get("receptive_field"), config.get("bias")
    if type(receptive_field) is not int or not 1 <= receptive_field <= MAXIMUM_RECEPTIVE_FIELD:
        raise InputError(f"receptive_field should be a whole number from 1 to {MAXIMUM_RECEPTIVE_FIELD}")
    if type(bias) is not bool:
        raise InputError("bias should be true or false")
    for key in ("in_channels", "out_channels"):
        if type(config.get(key, 1)) is not int or config.get(key, 1) != 1:
            raise InputError(f"{key} should be 1, the only number supported")
    return {"receptive_field": receptive_field, "bias": bias}
