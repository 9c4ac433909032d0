"""Blends of EQ networks, and the knob that morphs between them."""

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from pedal import main
from training import blend, model_file
from training.eq_block import EqNetwork
from training.errors import InputError
from training.model_file import Model
from training.recurrent import RecurrentNetwork

NOISE = (0.1 * np.random.default_rng(0).standard_normal(2000)).astype(np.float32)
ALPHAS = [-0.3, 0.0, 0.25, 0.5, 1.0, 1.3]


def amp(seed: int, name: str = "eq-3x33") -> Model:
    torch.manual_seed(seed)
    network = EqNetwork.from_name(name)
    with torch.no_grad():
        network.mix *= torch.rand_like(network.mix) * (1 + seed)
        network.bias += 0.2 * torch.randn(network.blocks)
        network.gate_logit += torch.randn(network.blocks)
        network.log_level.fill_(-0.5 * seed)
    return Model(f"amp{seed}", "eq", network.config, network.eval())


def rms(samples: np.ndarray) -> float:
    return float(np.std(samples))


@pytest.mark.parametrize("alpha", ALPHAS)
def test_every_parameter_is_the_weighted_sum(alpha: float) -> None:
    a, b = amp(0), amp(1)
    made = blend.weighted([a, b], [1 - alpha, alpha], "ab", even=False)
    for key, value in made.network.state_dict().items():
        first, second = a.network.state_dict()[key], b.network.state_dict()[key]
        torch.testing.assert_close(value, first + alpha * (second - first))


@pytest.mark.parametrize("alpha", ALPHAS)
def test_the_knob_gives_what_a_blend_gives(alpha: float) -> None:
    models = [amp(0), amp(1)]
    morph = blend.with_knob(models, "ab")
    expected = blend.weighted(models, [1 - alpha, alpha], "ab").render(NOISE, dtype=np.float64)
    np.testing.assert_allclose(morph.render(NOISE, [alpha], np.float64), expected, atol=1e-6)


def test_the_knob_goes_no_further_than_the_pedal_can() -> None:
    loud = amp(1)
    with torch.no_grad():
        loud.network.mix[0] *= (600 / loud.network.fir[0].abs().sum()).sqrt()
    morph = blend.with_knob([amp(0), loud], "ab")
    assert morph.network.beyond == 3 and (morph.knobs[0].minimum, morph.knobs[0].maximum) == (-0.3, 1.3)
    expected = loud.render(NOISE, dtype=np.float64)
    np.testing.assert_allclose(morph.render(NOISE, [1.0], np.float64), expected, atol=1e-6)
    blend.weighted([amp(0), loud], [-0.5, 1.5], "beyond")


def test_the_ends_are_the_amps_and_several_stand_in_a_row() -> None:
    models = [amp(0), amp(1), amp(2)]
    morph = blend.with_knob(models, "abc")
    assert (morph.knobs[0].minimum, morph.knobs[0].maximum) == (-0.5, 2.5)
    for place, model in enumerate(models):
        expected = model.render(NOISE, dtype=np.float64)
        np.testing.assert_allclose(morph.render(NOISE, [place], np.float64), expected, atol=1e-6)
    expected = blend.weighted(models, [0, 0.5, 0.5], "bc").render(NOISE, dtype=np.float64)
    np.testing.assert_allclose(morph.render(NOISE, [1.5], np.float64), expected, atol=1e-6)


def test_a_fir_is_a_parabola_between_three() -> None:
    a, b = amp(0).network, amp(1).network
    cross = (a.mix * b.mix) @ a.bank
    for alpha in ALPHAS:
        fir = blend.blended([a, b], [1 - alpha, alpha]).fir
        of_three = (1 - alpha) ** 2 * a.fir + 2 * alpha * (1 - alpha) * cross + alpha**2 * b.fir
        torch.testing.assert_close(fir, of_three, atol=1e-6, rtol=0)


def test_the_level_goes_evenly_and_stays_beyond_the_ends() -> None:
    from training.guitar import render_take

    models = [amp(0), amp(3)]
    morph = blend.with_knob(models, "ab")
    guitar = render_take(3, 2.0).astype(np.float32)
    guitar *= 0.5 / np.abs(guitar).max()
    levels_db = 20 * np.log10([rms(morph.render(guitar, [alpha])) for alpha in (-0.5, 0.0, 0.5, 1.0, 1.5)])
    wanted_db = [levels_db[1], levels_db[1], (levels_db[1] + levels_db[3]) / 2, levels_db[3], levels_db[3]]
    np.testing.assert_allclose(levels_db, wanted_db, atol=3)  # measured on another guitar
    plain = rms(blend.weighted(models, [1.5, -0.5], "ab", even=False).render(guitar))
    assert abs(20 * np.log10(plain) - levels_db[1]) > 3


def test_command(tmp_path) -> None:
    for model in (amp(0), amp(1)):
        model_file.save(tmp_path / f"{model.name}.pt", model)
    paths = [str(tmp_path / f"amp{index}.pt") for index in (0, 1)]
    out = tmp_path / "ab.pt"
    result = CliRunner().invoke(main, ["blend", *paths, "--out", str(out)])
    assert result.exit_code == 0 and "knob morph from -0.5 to 1.5" in result.output
    loaded = model_file.load(out)
    assert loaded.architecture == "morph" and loaded.network.name == "eq-3x33-morph-2"
    assert CliRunner().invoke(main, ["blend", *paths, "--out", str(out), "--alpha", "0.5"]).exit_code == 2
    for options in (["--alpha", "0.25"], ["--weights", "0.75,0.25"]):
        result = CliRunner().invoke(main, ["blend", *paths, "--out", str(out), "--force", *options])
        assert result.exit_code == 0, result.output
        expected = loaded.render(NOISE, [0.25])
        np.testing.assert_allclose(model_file.load(out).render(NOISE), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--alpha", "0.5", "--weights", "1,2"], "give either --alpha or --weights"),
        (["--weights", "1,2,3"], "3 weights for 2 models"),
        (["--weights", "1,x"], "give numbers, such as"),
        (["--weights", "-1,-2"], "at least one weight should be above 0"),
        (["--alpha", "nan"], "weights should be finite"),
        (["--plain-level"], "--plain-level is for --alpha or --weights"),
    ],
)
def test_options_that_make_no_sense_are_refused(tmp_path, options: list[str], message: str) -> None:
    paths = []
    for model in (amp(0), amp(1)):
        paths.append(str(tmp_path / f"{model.name}.pt"))
        model_file.save(tmp_path / f"{model.name}.pt", model)
    result = CliRunner().invoke(main, ["blend", *paths, "--out", str(tmp_path / "ab.pt"), *options])
    assert result.exit_code == 2 and message in result.output
    assert not (tmp_path / "ab.pt").exists()


def test_what_cannot_be_blended_is_refused() -> None:
    lstm = RecurrentNetwork("lstm", 4)
    with pytest.raises(InputError, match="other: lstm-4 cannot be blended"):
        blend.with_knob([amp(0), Model("other", "lstm", lstm.config, lstm)], "ab")
    with pytest.raises(InputError, match="eq-3x33 and eq-3x17 are of different shapes"):
        blend.weighted([amp(0), amp(1, "eq-3x17")], [1, 1], "ab")
    with pytest.raises(InputError, match="1 amps are outside 2 to 8"):
        blend.with_knob([amp(0)], "ab")
