import numpy as np
import pytest
import torch

from training.errors import InputError
from training.loop import detached
from training.recurrent import RecurrentNetwork
from training.recurrent_player import RecurrentPlayer


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def by_the_equations(network: RecurrentNetwork, audio: np.ndarray, knobs: list[float]) -> np.ndarray:
    """One stream in float64, straight from the equations and the documented order of gates."""
    w = {key: tensor.double().numpy() for key, tensor in network.state_dict().items()}
    hs, cs = np.zeros((network.layers, network.hidden_size)), np.zeros((network.layers, network.hidden_size))
    output = []
    for sample in audio:
        inputs = np.array([sample, *knobs])
        for layer, (h, c) in enumerate(zip(hs, cs, strict=True)):
            a = w[f"recurrent.weight_ih_l{layer}"] @ inputs + w[f"recurrent.bias_ih_l{layer}"]
            b = w[f"recurrent.weight_hh_l{layer}"] @ h + w[f"recurrent.bias_hh_l{layer}"]
            if network.unit == "lstm":
                i, f, g, o = np.split(a + b, 4)
                c[:] = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
                h[:] = sigmoid(o) * np.tanh(c)
            else:
                (ar, az, an), (br, bz, bn) = np.split(a, 3), np.split(b, 3)
                z = sigmoid(az + bz)
                h[:] = (1 - z) * np.tanh(an + sigmoid(ar + br) * bn) + z * h
            inputs = h
        output.append(float((w["head.weight"] @ inputs + w["head.bias"])[0]) + network.residual * sample)
    return np.array(output)


@pytest.mark.parametrize("unit", ["lstm", "gru"])
@pytest.mark.parametrize("knobs", [[], [0.25], [0.1, 0.9, 0.0, 1.0]])
@pytest.mark.parametrize(("layers", "residual"), [(1, True), (1, False), (3, True)])
def test_forward_follows_the_equations(unit: str, knobs: list[float], layers: int, residual: bool) -> None:
    torch.manual_seed(1)
    network = RecurrentNetwork(unit, 5, len(knobs), layers, residual)
    audio = 0.5 * torch.randn(3, 40)
    output, _ = network(audio, torch.tensor([[0.5] * len(knobs), knobs, knobs]))
    assert output.shape == (3, 40)
    np.testing.assert_allclose(output[1].detach(), by_the_equations(network, audio[1].numpy(), knobs), atol=1e-6)


@pytest.mark.parametrize("unit", ["lstm", "gru"])
def test_state_carries_over(unit: str) -> None:
    network = RecurrentNetwork(unit, 4, layers=2)
    audio = torch.randn(2, 50)
    whole, end = network(audio)
    first, state = network(audio[:, :17])
    second, state = network(audio[:, 17:], None, detached(state))
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole)
    torch.testing.assert_close(state, end)
    assert (state[0] if unit == "lstm" else state).shape == (2, 2, 4)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("unit", ["lstm", "gru"])
@pytest.mark.parametrize(("layers", "knobs"), [(1, []), (3, [0.1, 0.9])])
def test_the_player_is_the_network(unit: str, layers: int, knobs: list[float], dtype: type[np.floating]) -> None:
    torch.manual_seed(1)
    network = RecurrentNetwork(unit, 5, len(knobs), layers, 0.7).to(torch.from_numpy(np.zeros(1, dtype)).dtype)
    audio = torch.randn(1, 50, dtype=network.head.weight.dtype)
    held = torch.tensor([knobs], dtype=audio.dtype)
    with torch.no_grad():
        _, early = network(audio[:, :20], held)
        _, middle = network(audio[:, :36], held)
        output, late = network(audio, held)
    player = RecurrentPlayer(network, knobs, early, dtype)
    played, seen = player.watch(audio[0, 20:].numpy(), 16)
    close = {"atol": 1e-14 if dtype is np.float64 else 1e-6, "rtol": 0}
    assert played.dtype == dtype
    np.testing.assert_allclose(played, output[0, 20:], **close)
    torch.testing.assert_close(player.state, late, **close)
    states = torch.stack(middle if unit == "lstm" else (middle, torch.zeros_like(middle)))[:, :, 0]
    assert seen.shape == (1, 2, layers, 5)
    np.testing.assert_allclose(seen[0], states, **close)
    np.testing.assert_allclose(RecurrentPlayer(network, knobs, None, dtype).play(audio[0].numpy()), output[0], **close)


@pytest.mark.parametrize("unit", ["lstm", "gru"])
def test_detached_state_stops_back_propagation(unit: str) -> None:
    network = RecurrentNetwork(unit, 4)
    early = torch.randn(1, 10, requires_grad=True)
    late = torch.randn(1, 10, requires_grad=True)
    _, state = network(early)
    network(late, None, detached(state))[0].sum().backward()
    assert early.grad is None and late.grad is not None


def test_every_layer_of_an_lstm_starts_with_a_forget_bias_of_one_more() -> None:
    torch.manual_seed(3)
    plain = torch.nn.LSTM(1, 6, num_layers=2)
    torch.manual_seed(3)
    network = RecurrentNetwork("lstm", 6, layers=2).recurrent
    for name in ("bias_hh_l0", "bias_hh_l1"):
        added = (getattr(network, name) - getattr(plain, name)).detach()
        torch.testing.assert_close(added, torch.tensor([0.0] * 6 + [1.0] * 6 + [0.0] * 12))


@pytest.mark.parametrize("name", ["lstm-1", "lstm-20", "gru-64", "lstm-2x24", "gru-4x16"])
def test_names_round_trip(name: str) -> None:
    assert RecurrentNetwork.from_name(name).name == name


def test_a_stack_of_one_layer_is_that_layer() -> None:
    assert RecurrentNetwork.from_name("lstm-1x8").name == "lstm-8"


@pytest.mark.parametrize(
    "name",
    ["lstm-0", "lstm-65", "gru-", "rnn-8", "lstm20", "lstm-20x", "LSTM-20", "", "lstm--1", "lstm-x8", "lstm-2x2x2"],
)
def test_bad_names_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"lstm-N|outside 1 to 64"):
        RecurrentNetwork.from_name(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lstm-0x8", "0 layers are outside 1 to 4"),
        ("gru-5x8", "5 layers are outside 1 to 4"),
        ("lstm-2x33", "2 layers of 33 are 66 units; the pedal has 64"),
    ],
)
def test_stacks_that_the_pedal_has_no_room_for_are_refused(name: str, message: str) -> None:
    with pytest.raises(InputError) as raised:
        RecurrentNetwork.from_name(name)
    assert raised.value.message == message


def test_five_knobs_are_refused() -> None:
    with pytest.raises(InputError, match="5 knobs"):
        RecurrentNetwork("lstm", 8, 5)
