import numpy as np
import pytest
import torch

from training.errors import InputError
from training.recurrent import RecurrentNetwork, detached


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def by_the_equations(network: RecurrentNetwork, audio: np.ndarray, knobs: list[float]) -> np.ndarray:
    """One stream in float64, straight from the equations and the documented order of gates."""
    w = {key: tensor.double().numpy() for key, tensor in network.state_dict().items()}
    w_ih, w_hh = w["recurrent.weight_ih_l0"], w["recurrent.weight_hh_l0"]
    b_ih, b_hh = w["recurrent.bias_ih_l0"], w["recurrent.bias_hh_l0"]
    h, c = np.zeros(network.hidden_size), np.zeros(network.hidden_size)
    output = []
    for sample in audio:
        a, b = w_ih @ np.array([sample, *knobs]) + b_ih, w_hh @ h + b_hh
        if network.unit == "lstm":
            i, f, g, o = np.split(a + b, 4)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
        else:
            (ar, az, an), (br, bz, bn) = np.split(a, 3), np.split(b, 3)
            z = sigmoid(az + bz)
            h = (1 - z) * np.tanh(an + sigmoid(ar + br) * bn) + z * h
        output.append(float((w["head.weight"] @ h + w["head.bias"])[0]) + sample)
    return np.array(output)


@pytest.mark.parametrize("unit", ["lstm", "gru"])
@pytest.mark.parametrize("knobs", [[], [0.25], [0.1, 0.9, 0.0, 1.0]])
def test_forward_follows_the_equations(unit: str, knobs: list[float]) -> None:
    torch.manual_seed(1)
    network = RecurrentNetwork(unit, 5, len(knobs))
    audio = 0.5 * torch.randn(3, 40)
    output, _ = network(audio, torch.tensor([[0.5] * len(knobs), knobs, knobs]))
    assert output.shape == (3, 40)
    np.testing.assert_allclose(output[1].detach(), by_the_equations(network, audio[1].numpy(), knobs), atol=1e-6)


@pytest.mark.parametrize("unit", ["lstm", "gru"])
def test_state_carries_over(unit: str) -> None:
    network = RecurrentNetwork(unit, 4)
    audio = torch.randn(2, 50)
    whole, end = network(audio)
    first, state = network(audio[:, :17])
    second, state = network(audio[:, 17:], None, detached(state))
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole)
    torch.testing.assert_close(state, end)


@pytest.mark.parametrize("unit", ["lstm", "gru"])
def test_detached_state_stops_back_propagation(unit: str) -> None:
    network = RecurrentNetwork(unit, 4)
    early = torch.randn(1, 10, requires_grad=True)
    late = torch.randn(1, 10, requires_grad=True)
    _, state = network(early)
    network(late, None, detached(state))[0].sum().backward()
    assert early.grad is None and late.grad is not None


def test_lstm_starts_with_a_forget_bias_of_one_more() -> None:
    torch.manual_seed(3)
    plain = torch.nn.LSTM(1, 6).bias_hh_l0
    torch.manual_seed(3)
    added = (RecurrentNetwork("lstm", 6).recurrent.bias_hh_l0 - plain).detach()
    torch.testing.assert_close(added, torch.tensor([0.0] * 6 + [1.0] * 6 + [0.0] * 12))


@pytest.mark.parametrize("name", ["lstm-1", "lstm-20", "gru-64"])
def test_names_round_trip(name: str) -> None:
    assert RecurrentNetwork.from_name(name).name == name


@pytest.mark.parametrize("name", ["lstm-0", "lstm-65", "gru-", "rnn-8", "lstm20", "lstm-20x", "LSTM-20", "", "lstm--1"])
def test_bad_names_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"lstm-N|outside 1 to 64"):
        RecurrentNetwork.from_name(name)


def test_five_knobs_are_refused() -> None:
    with pytest.raises(InputError, match="5 knobs"):
        RecurrentNetwork("lstm", 8, 5)
