"""EQ-block networks against their description, written with plain convolutions of every band."""

import numpy as np
import pytest
import torch

from training import loop, model_file
from training.capture import Capture, Pair
from training.eq_block import BANDS, EqNetwork, linear_bank, positive_real_bank
from training.errors import InputError
from training.knob import Knob
from training.loop import TrainingConfig
from training.model_file import Model

NOISE = (0.3 * np.random.default_rng(0).standard_normal(900)).astype(np.float32)


def network(name: str = "eq-3x33") -> EqNetwork:
    torch.manual_seed(0)
    made = EqNetwork.from_name(name)
    with torch.no_grad():
        made.mix *= torch.rand(made.blocks, BANDS) * 2
        made.bias += 0.2 * torch.randn(made.blocks)
        made.gate_logit += torch.randn(made.blocks)
        made.log_level.fill_(-0.7)
    return made.eval()


def expected(made: EqNetwork, audio: np.ndarray) -> np.ndarray:
    """Band by band, after a silence that is longer than what the network remembers."""
    linear = made.phase == "linear"
    bank = linear_bank(made.taps) if linear else positive_real_bank(made.taps)
    delay = (made.taps - 1) // 2 if linear else 0
    x = np.concatenate([np.zeros(made.blocks * made.taps), audio]).astype(np.float64)
    learnt = (array.detach().double().numpy() for array in (made.mix, made.bias, made.gate_logit))
    for mix, bias, logit in zip(*learnt, strict=True):
        u = bias + sum(weight**2 * np.convolve(x, band)[: len(x)] for weight, band in zip(mix, bank, strict=True))
        # the very first samples hear a start from zero; what follows them has forgotten it
        gate = 1 / (1 + np.exp(-logit))
        x = (1 - gate) * np.concatenate([np.zeros(delay), x])[: len(x)] + gate * u / (1 + np.abs(u))
    return x[-len(audio) :] * np.exp(made.log_level.item())


@pytest.mark.parametrize("name", ["eq-3x33", "eq-3x33-linear"])
def test_forward_follows_the_description(name: str) -> None:
    made = network(name)
    output = made.double()(torch.from_numpy(NOISE).double()[None])[0][0].detach().numpy()
    np.testing.assert_allclose(output, expected(network(name), NOISE), atol=2e-7)


@pytest.mark.parametrize("name", ["eq-6x129", "eq-2x7", "eq-6x33-linear"])
def test_the_fir_equals_the_bank(name: str) -> None:
    """What export collapses, on noise, against the convolutions of the bands one by one."""
    made = network(name).double()
    for mix, fir in zip(made.mix.detach().numpy(), made.fir.detach().numpy(), strict=True):
        by_band = sum(weight**2 * np.convolve(NOISE, band) for weight, band in zip(mix, made.bank.numpy(), strict=True))
        np.testing.assert_allclose(np.convolve(NOISE, fir), by_band, atol=1e-6)


def test_the_linear_form_is_late_by_its_latency_and_symmetric() -> None:
    made = network("eq-6x33-linear")
    assert made.latency_frames == 96  # 2 ms
    fir = made.fir.detach()
    torch.testing.assert_close(fir, fir.flip(1))
    with torch.no_grad():
        made.bias.zero_()
        made.mix.copy_(EqNetwork.from_name("eq-6x33-linear").mix)
    impulse = torch.zeros(1, 400)
    impulse[0, 100] = 1e-3
    assert made(impulse)[0][0].argmax() == 196
    np.testing.assert_allclose(linear_bank(4001).sum(0)[2000], 1, atol=1e-3)


@pytest.mark.parametrize("name", ["eq-3x33", "eq-3x33-linear"])
@pytest.mark.parametrize("frames", [1, 7, 450])
def test_chunks_do_not_change_the_output(name: str, frames: int) -> None:
    made, audio, state, parts = network(name), torch.from_numpy(NOISE[:450])[None], None, []
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
    responses = np.fft.rfft(mixes @ positive_real_bank(1 << 14))
    assert responses.real.min() > -1e-6


def test_a_new_network_starts_nearly_flat() -> None:
    fir = EqNetwork.from_name("eq-6x129").fir[0].detach().numpy()
    levels = 20 * np.log10(np.abs(np.fft.rfft(fir, 4096)))[10:1600]
    assert np.ptp(levels) < 6


def test_round_trip(tmp_path) -> None:
    made = network()
    model_file.save(tmp_path / "amp.pt", Model("amp", "eq", made.config, made))
    loaded = model_file.load(tmp_path / "amp.pt")
    assert loaded.network.name == "eq-3x33" and set(loaded.network.state_dict()) == {
        "mix",
        "bias",
        "gate_logit",
        "log_level",
    }
    assert np.array_equal(loaded.render(NOISE), Model("amp", "eq", made.config, made).render(NOISE))


def test_eq_alone_is_the_best_trade() -> None:
    assert model_file.network_named("eq").name == "eq-6x129"


def test_files_of_format_2_are_read(tmp_path) -> None:
    made = network()
    with torch.no_grad():
        made.log_level.zero_()
    path = tmp_path / "amp.pt"
    model_file.save(path, Model("amp", "eq", made.config, made))
    record = torch.load(path, weights_only=True)
    del record["weights"]["log_level"]
    torch.save({**record, "format": 2, "config": {"blocks": 3, "taps": 33}}, path)
    loaded = model_file.load(path)
    assert loaded.config == {"blocks": 3, "taps": 33, "phase": "minimum", "bands": 60, "q": 1.5}
    with torch.no_grad():
        of_then = EqNetwork(3, 33, q=1.5)
        of_then.load_state_dict(made.state_dict())
    assert np.array_equal(loaded.render(NOISE), Model("amp", "eq", of_then.config, of_then).render(NOISE))


@pytest.mark.parametrize(
    ("name", "loss", "limit"),
    [("eq-3x33", "esr", 0.05), ("eq-6x33-linear", "esr", 0.2), ("eq-6x33-linear", "mse+mel", 0.2)],
)
def test_training_learns_an_amp(tmp_path, name: str, loss: str, limit: float) -> None:
    """The linear form from a target that is as late as it is itself; without that it reaches 0.2 and 0.3 to 0.5."""
    from training.guitar import render_take

    dry = render_take(0, 6.0).astype(np.float32)
    dry /= np.abs(dry).max()
    wet = 0.3 * np.tanh(8 * np.convolve(dry, [1.0, -0.8])[: len(dry)] + 0.2).astype(np.float32)
    config = TrainingConfig(model=name, loss=loss, steps=96)
    model = loop.train(Capture((Pair("amp", dry, wet),)), config, tmp_path / "amp.pt", report=lambda line: None)
    output = model.render(dry)[model.latency_frames :]
    error = np.square(output - wet[: len(output)]).sum() / np.square(wet).sum()
    assert model.training["validation_esr"] < limit / 2 and error < limit


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("eq-0x9", "0 blocks are outside 1 to 12"),
        ("eq-3x1", "1 taps are outside"),
        ("eq-6", "unknown model 'eq-6'"),
        ("eq-6x32-linear", "32 taps have no middle, which linear phase needs; take 33"),
    ],
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
