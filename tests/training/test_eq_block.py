"""EQ-block networks against their description, written with plain convolutions of every band."""

import numpy as np
import pytest
import torch

from training import loop, model_file
from training.capture import Capture, Pair
from training.eq_block import BANDS, EqNetwork, band_passes
from training.errors import InputError
from training.loop import TrainingConfig
from training.model_file import Knob, Model

NOISE = (0.3 * np.random.default_rng(0).standard_normal(900)).astype(np.float32)


def network(name: str = "eq-3x33") -> EqNetwork:
    torch.manual_seed(0)
    made = EqNetwork.from_name(name)
    with torch.no_grad():
        made.mix *= torch.rand(made.blocks, BANDS) * 2
        made.bias += 0.2 * torch.randn(made.blocks)
        made.gate_logit += torch.randn(made.blocks)
    return made.eval()


def expected(made: EqNetwork, audio: np.ndarray) -> np.ndarray:
    """Band by band, after a silence that is longer than what the network remembers."""
    bank = band_passes(made.taps)
    x = np.concatenate([np.zeros(made.blocks * made.taps), audio]).astype(np.float64)
    for mix, bias, logit in zip(*(array.detach().double().numpy() for array in made.parameters()), strict=True):
        u = bias + sum(weight**2 * np.convolve(x, band)[: len(x)] for weight, band in zip(mix, bank, strict=True))
        # the very first samples hear a start from zero; what follows them has forgotten it
        gate = 1 / (1 + np.exp(-logit))
        x = (1 - gate) * x + gate * u / (1 + np.abs(u))
    return x[-len(audio) :]


def test_forward_follows_the_description() -> None:
    made = network()
    output = made.double()(torch.from_numpy(NOISE).double()[None])[0][0].detach().numpy()
    np.testing.assert_allclose(output, expected(network(), NOISE), atol=2e-7)


@pytest.mark.parametrize("frames", [1, 7, 450])
def test_chunks_do_not_change_the_output(frames: int) -> None:
    made, audio, state, parts = network(), torch.from_numpy(NOISE[:450])[None], None, []
    whole, _ = made(audio)
    for start in range(0, 450, frames):
        part, state = made(audio[:, start : start + frames], None, state)
        parts.append(part)
    np.testing.assert_allclose(torch.cat(parts, 1).detach(), whole.detach(), atol=2e-6)


def test_silence_is_constant_from_the_first_frame() -> None:
    output = network()(torch.zeros(2, 300))[0].detach()
    assert (output - output[:, :1]).abs().max() < 1e-6 and output.abs().max() > 0.01


def test_any_mix_of_the_bands_is_of_minimum_phase() -> None:
    """Within +-90 degrees: the real part of the response is nowhere negative, if the bands are not cut off."""
    mixes = np.square(np.random.default_rng(0).standard_normal((50, BANDS)))
    responses = np.fft.rfft(mixes @ band_passes(1 << 14))
    assert responses.real.min() > -1e-6


def test_a_new_network_starts_nearly_flat() -> None:
    fir = EqNetwork.from_name("eq-6x129").fir[0].detach().numpy()
    levels = 20 * np.log10(np.abs(np.fft.rfft(fir, 4096)))[10:1600]
    assert np.ptp(levels) < 6


def test_round_trip(tmp_path) -> None:
    made = network()
    model_file.save(tmp_path / "amp.pt", Model("amp", "eq", made.config, made))
    loaded = model_file.load(tmp_path / "amp.pt")
    assert loaded.network.name == "eq-3x33" and set(loaded.network.state_dict()) == {"mix", "bias", "gate_logit"}
    assert np.array_equal(loaded.render(NOISE), Model("amp", "eq", made.config, made).render(NOISE))


def test_training_learns_an_amp(tmp_path) -> None:
    from training.guitar import render_take

    dry = render_take(0, 6.0).astype(np.float32)
    dry /= np.abs(dry).max()
    wet = np.tanh(8 * np.convolve(dry, [1.0, -0.8])[: len(dry)] + 0.2).astype(np.float32)
    pair = Pair("amp", dry, wet)
    config = TrainingConfig(model="eq-3x33", steps=96)
    model = loop.train(Capture((pair,)), config, tmp_path / "amp.pt", report=lambda line: None)
    assert model.architecture == "eq" and model.training["validation_esr"] < 0.1


@pytest.mark.parametrize(
    ("name", "message"),
    [("eq-0x9", "0 blocks are outside 1 to 12"), ("eq-3x1", "1 taps are outside"), ("eq-6", "unknown model 'eq-6'")],
)
def test_names_that_are_none_are_refused(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        model_file.network_named(name)


def test_knobs_and_int8_are_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="has no knobs, and there are 1"):
        model_file.network_named("eq-3x33", 1)
    pair = Pair("amp", NOISE, NOISE)
    with pytest.raises(InputError, match="int8 weights are for lstm and gru models, not for eq-3x33"):
        loop.train(Capture((pair,)), TrainingConfig(model="eq-3x33", quantize="int8"), tmp_path / "amp.pt")
    with pytest.raises(InputError, match="has no knobs"):
        loop.train(Capture((pair,), (Knob("drive"),)), TrainingConfig(model="eq-3x33"), tmp_path / "amp.pt")
    assert not list(tmp_path.iterdir())
