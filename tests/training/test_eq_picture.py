"""Pictures of EQ networks."""

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from matplotlib import image
from synthetic_pair import guitar, write

from pedal import main
from training import eq_picture, model_file
from training.eq_block import EqNetwork
from training.errors import InputError
from training.model_file import Model
from training.recurrent import RecurrentNetwork


def amp(name: str = "eq-3x33") -> Model:
    torch.manual_seed(0)
    network = EqNetwork.from_name(name)
    with torch.no_grad():
        network.gate_logit += torch.randn(network.blocks)
    return Model("amp", "eq", network.config, network.eval())


def show(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["show", *map(str, arguments)])
    return result.exit_code, result.output


@pytest.mark.parametrize("name", ["eq-1x33", "eq-6x33-linear", "eq-12x65"])
def test_the_picture_grows_with_the_blocks(tmp_path: Path, name: str) -> None:
    model = amp(name)
    eq_picture.write(tmp_path / "amp.png", model, guitar(1.0))
    pixels = image.imread(tmp_path / "amp.png")
    rows = model.network.config["blocks"] + 1
    assert pixels.shape[1] == 1680 and abs(pixels.shape[0] - (774 + 132 * rows)) < 2
    assert 0.005 < np.mean(pixels[..., :3].min(axis=2) < 0.9) < 0.3  # ink on paper
    assert [path.name for path in tmp_path.iterdir()] == ["amp.png"]


def test_stages_stand_at_the_same_time() -> None:
    network = amp("eq-4x33-linear").network
    assert isinstance(network, EqNetwork)
    with torch.no_grad():
        network.gate_logit.fill_(-20.0)  # nothing but the delayed residual
    dry = guitar(1.0)
    for stage in eq_picture._stages(network, dry):
        np.testing.assert_allclose(stage.samples, dry[: len(dry) - 64], atol=1e-6)


def test_command(tmp_path: Path) -> None:
    model_file.save(tmp_path / "amp.pt", amp())
    di = write(tmp_path / "di.wav", guitar(2.0, rate_hz=44_100), 44_100)
    out = tmp_path / "amp.png"
    assert show(tmp_path / "amp.pt", "--out", out) == (0, f"{out}: eq-3x33, amp\n")
    synthetic = out.read_bytes()
    code, output = show(tmp_path / "amp.pt", "--out", out)
    assert code == 2 and output == f"Error: {out} exists; --force overwrites it\n" and out.read_bytes() == synthetic
    assert show(tmp_path / "amp.pt", "--out", out, "--di", di, "--force")[0] == 0
    assert out.read_bytes().startswith(b"\x89PNG") and out.read_bytes() != synthetic


def test_what_cannot_be_shown_is_refused_in_one_line(tmp_path: Path) -> None:
    lstm = RecurrentNetwork("lstm", 4)
    model_file.save(tmp_path / "lstm.pt", Model("other", "lstm", lstm.config, lstm))
    model_file.save(tmp_path / "amp.pt", amp())
    out = tmp_path / "x.png"
    message = "Error: other: is of architecture lstm; EQ networks alone can be shown\n"
    assert show(tmp_path / "lstm.pt", "--out", out) == (2, message)
    assert show(tmp_path / "amp.pt", "--out", tmp_path / "x.gif")[1].endswith("x.gif: pictures are written as .png\n")
    assert "no such file" in show(tmp_path / "amp.pt", "--out", out, "--di", tmp_path / "none.wav")[1]
    assert "No such file" in show(tmp_path / "none.pt", "--out", out)[1]
    assert not out.exists()
    with pytest.raises(InputError, match="a guitar of 700 frames is too short"):
        eq_picture.write(out, amp(), guitar(1.0)[:700])
