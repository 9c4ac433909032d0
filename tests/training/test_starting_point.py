"""A model with knobs, started from for a recording without."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic_pair import guitar

from training import loop, model_file
from training.capture import Capture, Pair
from training.errors import InputError
from training.knob import Knob
from training.loop import TrainingConfig
from training.recurrent import RecurrentNetwork
from training.starting_point import nearest_setting


@pytest.fixture(scope="module")
def network() -> RecurrentNetwork:
    torch.manual_seed(3)
    network = RecurrentNetwork("lstm", 6, 2, layers=2)
    with torch.no_grad():
        network.recurrent.weight_ih_l0 *= 4.0
        network.head.weight *= 2.0
    return network.eval()


DRY = torch.from_numpy(guitar(6.0, 4))


@pytest.mark.parametrize("gain", [1.0, -0.5])
def test_a_network_at_a_setting_plays_as_with_its_knobs_there(network: RecurrentNetwork, gain: float) -> None:
    knobs = (0.8, 0.25)
    with torch.no_grad():
        wanted, _ = network(DRY[None, :24_000], torch.tensor([knobs]))
        output, _ = network.at(knobs, gain)(DRY[None, :24_000])
    torch.testing.assert_close(output, gain * wanted, atol=1e-6, rtol=1e-5)
    assert network.knob_count == 2


def recording(network: RecurrentNetwork, knobs: tuple[float, float], gain: float) -> Capture:
    with torch.no_grad():
        wet, _ = network(DRY[None], torch.tensor([knobs]))
    return Capture((Pair("amp.wav", DRY.numpy(), gain * wet[0].numpy()),))


def test_the_nearest_setting_is_found(network: RecurrentNetwork) -> None:
    for knobs, gain in (((0.5, 0.5), 0.4), ((0.1, 0.9), -2.0)):
        still, positions, esr = nearest_setting(network, recording(network, knobs, gain))
        assert esr < 0.01 and np.abs(positions - knobs).max() < 0.3
        assert still.residual == pytest.approx(gain, rel=0.1)
    with pytest.raises(InputError, match="without knobs"):
        nearest_setting(network, replace(recording(network, (0, 0), 1), knobs=(Knob("drive"),)))


def test_training_starts_there(network: RecurrentNetwork, tmp_path: Path) -> None:
    config = TrainingConfig(model=network.name, steps=8, streams=2, segment_frames=256, run_in_frames=128)
    lines: list[str] = []
    capture = recording(network, (0.1, 0.9), 0.5)
    model = loop.train(capture, config, tmp_path / "tuned.pt", report=lines.append, start=network)
    assert any("knobs at 0." in line for line in lines)
    assert model.knobs == () and model.training["validation_esr"] < 0.03
    assert model_file.load(tmp_path / "tuned.pt").recurrent.knob_count == 0
