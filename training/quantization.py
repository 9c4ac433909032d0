"""int8 weights: which of a network's weights share a scale, their rounding, and training through that rounding.

Of a gate row of a unit the pedal keeps whole numbers from -127 to 127 and one scale, so that the row's largest weight
is +-127. Biases, the head and what multiplies audio and knobs keep 32 bits there; here they stay as they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from training.recurrent import RecurrentNetwork

INT8_LARGEST = 127


@dataclass(frozen=True)
class ScaleGroup:
    """Weights that are summed together: in each of `rows`, the row of all `tensors` side by side has one scale."""

    tensors: tuple[str, ...]
    rows: slice


def scale_groups(network: RecurrentNetwork) -> list[ScaleGroup]:
    """All weights that the pedal keeps in int8, by their names in the network's state_dict.

    A layer after the first reads another layer's state, which is summed with its own in one go; only a GRU's n gate
    sums the two apart, because the reset gate scales one of them.
    """
    every, gate_n = slice(None), slice(2 * network.hidden_size, None)
    groups = [ScaleGroup(("recurrent.weight_hh_l0",), every)]
    for layer in range(1, network.layers):
        inputs, state = f"recurrent.weight_ih_l{layer}", f"recurrent.weight_hh_l{layer}"
        if network.unit == "gru":
            groups.append(ScaleGroup((inputs, state), slice(gate_n.start)))
            groups += [ScaleGroup((inputs,), gate_n), ScaleGroup((state,), gate_n)]
        else:
            groups.append(ScaleGroup((inputs, state), every))
    return groups


def row_peaks(weights: Mapping[str, torch.Tensor], group: ScaleGroup) -> torch.Tensor:
    """The largest |weight| of each row of `group`, [rows, 1]; the row's scale is a 127th of it."""
    return torch.cat([weights[name][group.rows].abs() for name in group.tensors], dim=1).amax(dim=1, keepdim=True)


def int8_weights(network: RecurrentNetwork) -> dict[str, torch.Tensor]:
    """The network's state_dict with the weights of all `scale_groups` rounded, half to even, to what int8 can hold.

    Each row's largest weight stays what it is, to the bit; so rounding what is rounded changes nothing.
    """
    weights = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
    for group in scale_groups(network):
        peaks = row_peaks(weights, group)
        peaks = torch.where(peaks > 0, peaks, 1.0)  # a row of zeros stays one
        for name in group.tensors:
            row = weights[name][group.rows]
            # In this order the largest is multiplied by exactly 1.
            row.copy_(torch.round(row / peaks * INT8_LARGEST) / INT8_LARGEST * peaks)
    return weights


def straight_through(network: RecurrentNetwork) -> dict[str, torch.Tensor]:
    """The parameters for `torch.func.functional_call`: the values of `int8_weights`, and the gradient of each goes
    to the network's own unrounded weight, as if there were no rounding (the straight-through estimator of Bengio et
    al., "Estimating or Propagating Gradients Through Stochastic Neurons", 2013)."""
    rounded = int8_weights(network)
    return {name: rounded[name] + (weight - weight.detach()) for name, weight in network.named_parameters()}
