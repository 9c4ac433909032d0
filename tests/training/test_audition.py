"""Auditions: what is written, and what is refused."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from synthetic_pair import guitar, write

from pedal import main
from training import audio, audition, blend, model_file
from training.cabinet import Cabinet
from training.eq_block import EqNetwork
from training.errors import InputError
from training.model_file import Model
from training.recurrent import RecurrentNetwork

GUITAR = guitar(1.5)


def amp(seed: int, name: str = "", shape: str = "eq-2x33", level: float = 0.0) -> Model:
    torch.manual_seed(seed)
    network = EqNetwork.from_name(shape)
    with torch.no_grad():
        network.mix *= torch.rand_like(network.mix) * (1 + seed)
        network.log_level.fill_(level)
    return Model(name or f"amp{seed}", "eq", network.config, network.eval())


def command(tmp_path: Path, models: list[Model], *options: object) -> tuple[int, str]:
    paths = []
    for index, model in enumerate(models):
        paths.append(str(tmp_path / f"{index}.pt"))
        model_file.save(tmp_path / f"{index}.pt", model)
    di = write(tmp_path / "di.wav", GUITAR)
    out = ["--di", str(di), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(main, ["audition", *paths, *out, *map(str, options)])
    return result.exit_code, result.output


def test_takes_are_what_the_blends_play() -> None:
    models = [amp(0), amp(1), amp(2)]
    made = audition.play(models, GUITAR, [-0.3, 0.5], seconds=1.0)
    assert [(pair.first, pair.second) for pair in made.pairs] == [("amp0", "amp1"), ("amp0", "amp2"), ("amp1", "amp2")]
    assert len(made.guitar) == 48_000 and made.gain == 1 and made.guitar[0] == made.guitar[-1] == 0
    for first, second, pair in ((0, 1, made.pairs[0]), (1, 2, made.pairs[2])):
        for take in pair.takes:
            expected = blend.weighted([models[first], models[second]], [1 - take.alpha, take.alpha], "x")
            middle = slice(240, -240)  # between the fades
            np.testing.assert_array_equal(take.samples[middle], expected.render(made.guitar)[middle])
    assert len({take.file for pair in made.pairs for take in pair.takes}) == 6


def test_the_loudest_part_is_played() -> None:
    samples = np.concatenate([0.1 * GUITAR, GUITAR[:24_000], 0.1 * GUITAR])
    made = audition.play([amp(0), amp(1)], samples, [0.0], seconds=0.5)
    np.testing.assert_allclose(np.abs(made.guitar).max(), np.abs(GUITAR[:24_000]).max())


def test_all_are_scaled_alike_where_one_would_clip() -> None:
    models = [amp(0, level=2.0), amp(1, level=-2.0)]
    made = audition.play(models, GUITAR, [0.0, 1.0], even=False)
    peaks = [np.abs(take.samples).max() for take in made.pairs[0].takes]
    assert peaks[0] == pytest.approx(0.99, abs=1e-3) and made.gain < 0.9
    middle = slice(240, -240)
    for take, model in zip(made.pairs[0].takes, models, strict=True):
        expected = made.gain * model.render(made.guitar)
        np.testing.assert_allclose(take.samples[middle], expected[middle], atol=1e-5)


def test_a_cabinet_is_heard_in_all() -> None:
    late = Cabinet("late", np.array([0.0, 0.0, 0.5]))
    models = [amp(0), amp(1)]
    without = audition.play(models, GUITAR, [0.0, 1.0])
    within = audition.play(models, GUITAR, [0.0, 1.0], cabinet=late)
    for bare, take in zip(without.pairs[0].takes, within.pairs[0].takes, strict=True):
        np.testing.assert_allclose(take.samples[300:-300], 0.5 * bare.samples[298:-302], atol=1e-6)
    assert within.cabinet == "late" and without.cabinet is None


def test_command_writes_a_page_that_plays_what_is_there(tmp_path: Path) -> None:
    click = np.zeros(480)
    click[0] = 0.5
    names = ["a <b>", "c/../d"]
    models = [amp(seed, name) for seed, name in enumerate(names)]
    options = ["--alphas", "-0.3,0,1.3", "--seconds", "1", "--ir", write(tmp_path / "cab.wav", click)]
    code, output = command(tmp_path, models, *options)
    assert code == 0, output
    assert output.splitlines()[-1] == f"{tmp_path / 'out' / 'index.html'}: 3 takes of 1.0 s"
    assert "cab.wav: 1 taps, +6.0 dB" in output
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    played = re.findall(r"<audio [^>]*src='([^']+)'", page)
    assert played == [
        "00-guitar.flac",
        "01-a-b-c-d_-0.3.flac",
        "01-a-b-c-d_0.flac",
        "01-a-b-c-d_1.3.flac",
    ]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted([*played, "index.html"])
    for name in played:
        assert audio.read(tmp_path / "out" / name).seconds == 1.0
    assert "a &lt;b&gt;" in page and "<b>" in page and "a <b>" not in page
    assert "all through the cabinet cab" in page and "Loudness goes evenly" in page and "quieter" not in page


def test_the_page_tells_of_scaling_and_of_plain_levels(tmp_path: Path) -> None:
    models = [amp(0, level=2.0), amp(1)]
    code, output = command(tmp_path, models, "--alphas", "0", "--plain-level")
    assert code == 0, output
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "Levels are blended like all else" in page and re.search(r"All are \d+\.\d dB quieter", page)


def test_a_folder_that_holds_something_needs_force(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    models = [amp(0), amp(1)]
    code, output = command(tmp_path, models, "--alphas", "0")
    assert code == 2 and "is not empty; --force writes into it all the same" in output
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["notes.txt"]
    own = write(tmp_path / "out" / "cab.wav", 0.5 * GUITAR[:100])
    code, output = command(tmp_path, models, "--force", "--ir", own)
    assert code == 2 and "cab.wav: lies in" in output
    assert command(tmp_path, models, "--alphas", "0", "--force")[0] == 0
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine" and (tmp_path / "out" / "index.html").exists()


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (["a"], [], "an audition needs two models at least"),
        (["a", "b", "a"], [], "two models are called a"),
        (["a", "b"], ["--alphas", "0,nan"], "an alpha of nan is outside -10 to 10"),
        (["a", "b"], ["--alphas", "inf"], "an alpha of inf is outside -10 to 10"),
        (["a", "b"], ["--alphas", "0,0.5,-0"], "should be some, and each another"),
        (["a", "b"], ["--alphas", "0,x"], "--alphas 0,x: give numbers, such as 0,0.5,1"),
        (["a", "b"], ["--seconds", "0"], "0.1<=x<=60"),
        (["a", "b"], ["--ir", "none.wav"], "none.wav: no such file"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, names: list[str], options: list[str], message: str) -> None:
    code, output = command(tmp_path, [amp(seed, name) for seed, name in enumerate(names)], *options)
    assert code == 2 and message in output.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_blended_is_refused(tmp_path: Path) -> None:
    lstm = RecurrentNetwork("lstm", 4)
    code, output = command(tmp_path, [amp(0), Model("other", "lstm", lstm.config, lstm)])
    assert code == 2 and "Error: other: lstm-4 cannot be blended, which EQ networks alone can\n" in output
    with pytest.raises(InputError, match="eq-2x33 and eq-2x17 are of different shapes"):
        audition.play([amp(0), amp(1), amp(2, shape="eq-2x17")], GUITAR, [0.0])
    broken = amp(1)
    with torch.no_grad():
        broken.network.log_level.fill_(200.0)
    with pytest.raises(InputError, match="amp0 to amp1 at 1: plays NaN or infinity"):
        audition.play([amp(0), broken], GUITAR, [1.0], even=False)
    with pytest.raises(InputError, match="is no folder"):
        audition.require_free(write(tmp_path / "x.wav", GUITAR), force=True)
