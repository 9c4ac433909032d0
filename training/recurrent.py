"""LSTM and GRU networks that add what the amp does to the dry guitar."""

import math
import re
from collections.abc import Sequence

import torch

from training.errors import InputError, shown

UNITS = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}
MAXIMUM_UNITS = 64
"""Of all layers together: what the pedal's engine has room for."""
MAXIMUM_LAYERS = 4
MAXIMUM_KNOB_COUNT = 4
MAXIMUM_RESIDUAL = 8.0
"""What the formats of the pedal's engine hold."""

State = torch.Tensor | tuple[torch.Tensor, torch.Tensor]
"""What the network remembers, each tensor [layers, batch, hidden]: (h, c) of an LSTM, h of a GRU."""


class RecurrentNetwork(torch.nn.Module):
    """Recurrent layers, one linear layer, and the dry signal added to the output (Wright et al., "Real-Time Guitar
    Amplifier Emulation with Deep Learning", Applied Sciences 10(3), 2020):

        h[n], state = recurrent([audio[n], knobs], state)
        output[n] = head(h[n]) + residual * audio[n]

    `residual` is 1 in the paper; other trainers leave the dry signal out (0) or scale it.
    The first layer's input has 1 + knob_count columns, audio first; each further layer, all of the same hidden size,
    reads the one before, and h is of the last. The weights are PyTorch's own: of layer K `recurrent.weight_ih_lK`
    [gates * hidden, inputs], `recurrent.weight_hh_lK` [gates * hidden, hidden] and two biases [gates * hidden] that add
    up; the gates lie in the order i, f, g, o (LSTM) or r, z, n (GRU).

    Raises InputError for a `unit` other than 'lstm' and 'gru', a hidden size outside 1 to 64, layers outside 1 to 4,
    more than 64 units in all layers together, more than 4 knobs, or a residual outside -8 to 8.
    """

    def __init__(
        self, unit: str, hidden_size: int, knob_count: int = 0, layers: int = 1, residual: float = 1.0
    ) -> None:
        super().__init__()
        if unit not in UNITS:
            raise InputError(f"unknown recurrent unit {shown(unit)}; there are: {', '.join(UNITS)}")
        if not 1 <= hidden_size <= MAXIMUM_UNITS:
            raise InputError(f"hidden size {shown(hidden_size)} is outside 1 to {MAXIMUM_UNITS}")
        if not 1 <= layers <= MAXIMUM_LAYERS:
            raise InputError(f"{shown(layers)} layers are outside 1 to {MAXIMUM_LAYERS}")
        if layers * hidden_size > MAXIMUM_UNITS:
            raise InputError(
                f"{layers} layers of {hidden_size} are {layers * hidden_size} units; the pedal has {MAXIMUM_UNITS}"
            )
        if not 0 <= knob_count <= MAXIMUM_KNOB_COUNT:
            raise InputError(f"{shown(knob_count)} knobs are outside 0 to {MAXIMUM_KNOB_COUNT}")
        if not math.fabs(residual) <= MAXIMUM_RESIDUAL:
            raise InputError(f"a residual of {residual:g} is outside -{MAXIMUM_RESIDUAL:g} to {MAXIMUM_RESIDUAL:g}")
        self.unit = unit
        self.hidden_size = hidden_size
        self.knob_count = knob_count
        self.layers = layers
        self.residual = float(residual)
        self.recurrent = UNITS[unit](1 + knob_count, hidden_size, num_layers=layers, batch_first=True)
        self.head = torch.nn.Linear(hidden_size, 1)
        if unit == "lstm":
            # An LSTM that starts by remembering learns long memories sooner (Jozefowicz et al., ICML 2015).
            with torch.no_grad():
                for layer in range(layers):
                    getattr(self.recurrent, f"bias_hh_l{layer}")[hidden_size : 2 * hidden_size] += 1.0

    @classmethod
    def from_name(cls, name: str, knob_count: int = 0) -> "RecurrentNetwork":
        """Build the network that `name` describes: 'lstm-20' has a layer of 20 units, 'lstm-2x24' two of 24."""
        match = re.fullmatch(r"(lstm|gru)-(?:([0-9]{1,4})x)?([0-9]{1,4})", name)
        if match is None:
            raise InputError(
                f"unknown model {name!r}; there are lstm-N and gru-N, N from 1 to {MAXIMUM_UNITS}, and lstm-LxN and "
                "gru-LxN of L layers; eq-BxL of B blocks with L taps; dense-N of a window of N samples"
            )
        return cls(match[1], int(match[3]), knob_count, layers=int(match[2] or 1))

    def at(self, positions: Sequence[float], gain: float = 1.0) -> "RecurrentNetwork":
        """The network without knobs that plays `gain` times what this one does with its knobs at `positions`, 0 to 1.

        What the knobs add to the first layer's sums, while they stand still, is a bias.
        """
        weights = {name: tensor.detach().clone() for name, tensor in self.state_dict().items()}
        inputs = weights["recurrent.weight_ih_l0"]
        weights["recurrent.weight_ih_l0"] = inputs[:, :1].clone()
        weights["recurrent.bias_ih_l0"] += inputs[:, 1:] @ torch.as_tensor(positions, dtype=inputs.dtype)
        for name in ("head.weight", "head.bias"):
            weights[name] *= gain
        still = RecurrentNetwork(self.unit, self.hidden_size, 0, self.layers, gain * self.residual)
        still.load_state_dict(weights)
        return still

    @property
    def architecture(self) -> str:
        """The unit: what model files call the network."""
        return self.unit

    @property
    def name(self) -> str:
        """The name that `from_name` reads, such as 'lstm-20' or 'lstm-2x24'."""
        size = f"{self.hidden_size}" if self.layers == 1 else f"{self.layers}x{self.hidden_size}"
        return f"{self.unit}-{size}"

    @property
    def config(self) -> dict[str, int | float]:
        """The arguments of the constructor after `unit`, as model files hold them."""
        return {
            "hidden_size": self.hidden_size,
            "knob_count": self.knob_count,
            "layers": self.layers,
            "residual": self.residual,
        }

    def forward(
        self, audio: torch.Tensor, knobs: torch.Tensor | None = None, state: State | None = None
    ) -> tuple[torch.Tensor, State]:
        """Process a batch of streams.

        audio: [batch, frames], full scale is +-1.
        knobs: [batch, knob_count], each 0 to 1 and constant over the call; None when the network has no knobs.
        state: what an earlier call returned, or None for silence before.

        Returns the output [batch, frames] and the state after the last frame.
        """
        columns = audio[..., None]
        if self.knob_count:
            assert knobs is not None, "this network has knobs"
            held = knobs[:, None, :].expand(-1, audio.shape[1], -1)
            columns = torch.cat([columns, held], dim=-1)
        hidden, state = self.recurrent(columns, state)
        output = self.head(hidden)[..., 0]
        return output + self.residual * audio if self.residual else output, state
