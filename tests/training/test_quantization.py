import numpy as np
import pytest
import torch

from training.quantization import int8_weights, scale_groups, straight_through
from training.recurrent import RecurrentNetwork


def network(unit: str, layers: int = 1, size: int = 5, knobs: int = 0) -> RecurrentNetwork:
    torch.manual_seed(0)
    made = RecurrentNetwork(unit, size, knobs, layers)
    with torch.no_grad():
        for weights in made.parameters():
            weights *= 1 + 3 * torch.rand(len(weights))[(...,) + (None,) * (weights.ndim - 1)]
    return made


def rounded_row(row: np.ndarray) -> np.ndarray:
    scale = np.abs(row).max() / 127
    return np.round(row / scale) * scale


@pytest.mark.parametrize("unit", ["lstm", "gru"])
@pytest.mark.parametrize("layers", [1, 3])
def test_each_row_has_one_scale(unit: str, layers: int) -> None:
    """Row by row from the rule, in float64."""
    floats = network(unit, layers, knobs=2)
    rounded = int8_weights(floats)
    expected = {key: tensor.double().numpy().copy() for key, tensor in floats.state_dict().items()}
    for layer in range(layers):
        w_ih, w_hh = (expected[f"recurrent.weight_{name}_l{layer}"] for name in ("ih", "hh"))
        for row in range(len(w_hh)):
            apart = layer == 0 or (unit == "gru" and row >= 2 * floats.hidden_size)
            if apart:
                w_hh[row] = rounded_row(w_hh[row])
                w_ih[row] = w_ih[row] if layer == 0 else rounded_row(w_ih[row])
            else:
                w_ih[row], w_hh[row] = np.split(rounded_row(np.concatenate([w_ih[row], w_hh[row]])), 2)
    for key, values in expected.items():
        np.testing.assert_allclose(rounded[key], values, rtol=1e-6, atol=0)
        if key in ("recurrent.weight_ih_l0", "head.weight") or "bias" in key:
            assert torch.equal(rounded[key], floats.state_dict()[key])


@pytest.mark.parametrize("unit", ["lstm", "gru"])
def test_every_weight_between_states_is_in_one_group(unit: str) -> None:
    made = network(unit, 3)
    counts = {key: torch.zeros(len(tensor)) for key, tensor in made.state_dict().items()}
    for group in scale_groups(made):
        for name in group.tensors:
            counts[name][group.rows] += 1
    for key, count in counts.items():
        kept_in_int8 = "weight" in key and key not in ("recurrent.weight_ih_l0", "head.weight")
        assert (count == kept_in_int8).all()


@pytest.mark.parametrize("seed", range(20))
def test_rounding_what_is_rounded_changes_nothing(seed: int) -> None:
    made = network("lstm", 2, size=20)
    torch.manual_seed(seed)
    with torch.no_grad():
        for weights in made.parameters():
            weights.copy_(torch.randn_like(weights) * 10 ** torch.empty(len(weights)).uniform_(-6, 2).mean())
        made.recurrent.weight_hh_l0[3] = 0.0
    once = int8_weights(made)
    assert any(not torch.equal(once[key], tensor) for key, tensor in made.state_dict().items())
    made.load_state_dict(once)
    for key, tensor in int8_weights(made).items():
        assert torch.equal(tensor, once[key])
    rows = once["recurrent.weight_hh_l0"].double()
    levels = 127 * rows / rows.abs().amax(1, keepdim=True).clamp(min=1e-30)
    torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-4)


def gradients(made: RecurrentNetwork, parameters: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    output, _ = torch.func.functional_call(made, parameters, (torch.randn(2, 30),))
    made.zero_grad()
    output.square().sum().backward()
    return {key: weight.grad.clone() for key, weight in made.named_parameters() if weight.grad is not None}


@pytest.mark.parametrize("unit", ["lstm", "gru"])
def test_gradients_go_straight_through(unit: str) -> None:
    made = network(unit, 2)
    through = gradients(made, straight_through(made))
    assert all(gradient.abs().min() > 0 for key, gradient in through.items() if "weight" in key)
    made.load_state_dict(int8_weights(made))
    for found in (through, gradients(made, straight_through(made))):
        for key, gradient in gradients(made, dict(made.named_parameters())).items():
            assert torch.equal(found[key], gradient)


def test_the_forward_pass_is_that_of_the_rounded_weights() -> None:
    made = network("lstm", 2)
    audio = torch.randn(2, 30)
    through, _ = torch.func.functional_call(made, straight_through(made), (audio,))
    before, _ = made(audio)
    made.load_state_dict(int8_weights(made))
    assert torch.equal(made(audio)[0], through) and not torch.equal(before, through)
