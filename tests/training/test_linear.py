import json
from typing import Any

import numpy as np
import pytest
import torch
from conftest import DATA

from training.errors import InputError
from training.linear import Linear

AUDIO = torch.from_numpy(0.5 * np.random.default_rng(1).standard_normal((2, 300)))


def random_network(taps: int, bias: bool) -> Linear:
    weights = np.random.default_rng(taps).standard_normal(taps + bias).astype(np.float32)
    return Linear.from_nam({"receptive_field": taps, "bias": bias}, weights).double()


@pytest.mark.parametrize("taps", [1, 2, 50, 400])
@pytest.mark.parametrize("bias", [True, False])
def test_output_is_the_convolution(taps: int, bias: bool) -> None:
    network = random_network(taps, bias)
    weights = np.random.default_rng(taps).standard_normal(taps + bias).astype(np.float32).astype(np.float64)
    wanted = np.convolve(AUDIO[1].numpy(), weights[:taps])[:300] + (weights[taps] if bias else 0)
    output, _ = network(AUDIO)
    np.testing.assert_allclose(output[1].detach().numpy(), wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("sizes", [[1] * 300, [17, 0, 83, 200], [299, 1]])
def test_chunks_change_nothing(sizes: list[int]) -> None:
    network = random_network(40, True)
    parts, state = [], None
    for chunk in AUDIO.split(sizes, dim=1):
        part, state = network(chunk, None, state)
        parts.append(part)
    whole, end = network(AUDIO)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(state, end)


def test_describes_itself() -> None:
    network = random_network(50, True)
    assert (network.name, network.receptive_field, network.weight_count) == ("linear-50", 50, 51)
    again = Linear(json.loads(json.dumps(network.config))).double()
    again.load_state_dict(network.state_dict())
    torch.testing.assert_close(again(AUDIO)[0], network(AUDIO)[0])


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"receptive_field": 0, "bias": True}, "receptive_field"),
        ({"receptive_field": 65537, "bias": True}, "receptive_field"),
        ({"receptive_field": True, "bias": True}, "receptive_field"),
        ({"receptive_field": 4}, "bias"),
        ({"receptive_field": 4, "bias": True, "in_channels": 2}, "in_channels"),
        ({"receptive_field": 4, "bias": True, "gain": 2}, "nothing else"),
        (None, "should hold"),
    ],
)
def test_refuses_a_config(config: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Linear(config)


def test_refuses_weights_that_do_not_fit() -> None:
    config = {"receptive_field": 3, "bias": True}
    with pytest.raises(InputError, match=r"has 3 weights where its config needs 4$"):
        Linear.from_nam(config, np.ones(3))
    with pytest.raises(InputError, match="NaN or infinity"):
        Linear.from_nam(config, np.array([1, 2, 3, np.nan]))


@pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is not here")
def test_identity_of_the_trainer_is_one() -> None:
    model = json.loads((DATA / "models" / "trainer_identity_linear_10.nam").read_bytes())
    network = Linear.from_nam(model["config"], np.array(model["weights"])).double()
    torch.testing.assert_close(network(AUDIO)[0], AUDIO)
