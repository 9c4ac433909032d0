import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from synthetic_pair import amp, guitar, write

from training import model_file
from training.cli import train

ROOT = Path(__file__).parents[2]
TRAIN = [sys.executable, "-c", "from training.cli import train; train()"]


@pytest.fixture
def pair(tmp_path: Path) -> list[str]:
    dry = guitar(4.0)
    write(tmp_path / "di.wav", dry)
    write(tmp_path / "amp.wav", amp(dry))
    return ["--input", str(tmp_path / "di.wav"), "--target", str(tmp_path / "amp.wav"), "--model", "lstm-2"]


def start(arguments: list[str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*TRAIN, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


def wait_for_step(process: "subprocess.Popen[str]", step: int) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("step ") and int(line.split()[1]) >= step:
            return
    pytest.fail("training ended before it could be broken off")


def test_killed_and_interrupted_training_resumes_to_the_same_numbers(pair: list[str], tmp_path: Path) -> None:
    arguments = [*pair, "--steps", "96", "--seed", "7", "--quantize", "int8", "--out"]
    broken, unbroken = str(tmp_path / "broken.pt"), str(tmp_path / "unbroken.pt")

    killed = start([*arguments, broken])
    wait_for_step(killed, 24)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL

    interrupted = start([*arguments, broken, "--resume"])
    wait_for_step(interrupted, 96)  # from where on it is fine-tuned
    interrupted.send_signal(signal.SIGINT)
    _, errors = interrupted.communicate()
    assert interrupted.returncode == 2
    assert errors.startswith("Error: stopped at step ") and "--resume" in errors and errors.count("\n") == 1
    stopped_at = errors.split()[4].rstrip(";")
    assert (tmp_path / "broken.pt.checkpoint").exists()

    resumed = start([*arguments, broken, "--resume"])
    output, errors = resumed.communicate()
    assert resumed.returncode == 0, errors
    assert f"resuming at step {stopped_at} of 128" in output

    assert CliRunner().invoke(train, [*arguments, unbroken]).exit_code == 0
    a, b = model_file.load(Path(broken)), model_file.load(Path(unbroken))
    assert a.training == b.training
    for key, weights in a.network.state_dict().items():
        assert torch.equal(weights, b.network.state_dict()[key])
    names = {path.name for path in tmp_path.iterdir() if path.suffix != ".wav"}
    assert names == {"broken.pt", "broken.pt.png", "unbroken.pt", "unbroken.pt.png"}


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--model", "lstm-99"], "hidden size 99 is outside 1 to 64"),
        (["--model", "wavenet"], "unknown model 'wavenet'"),
        (["--from", "none.pt", "--model", "gru-4"], "give either --model or --from"),
        (["--capture", "x.toml"], "either --input and --target, or --capture"),
        (["--steps", "8", "--minutes", "1"], "either --steps or --minutes"),
        (["--resume", "--force"], "either --resume or --force"),
        (["--resume"], "to resume from"),
        (["--device", "abacus"], "no device 'abacus'"),
        (["--quantize", "int4"], "'int4' is not 'int8'"),
        (["--input", "none.wav"], "none.wav: no such file"),
    ],
)
def test_bad_options_are_one_line_and_exit_code_2(
    pair: list[str], tmp_path: Path, extra: list[str], message: str
) -> None:
    result = CliRunner().invoke(train, [*pair, "--out", str(tmp_path / "x.pt"), *extra])
    assert result.exit_code == 2
    assert message in result.output.splitlines()[-1] and result.output.splitlines()[-1].startswith("Error: ")
    assert not list(tmp_path.glob("x.pt*"))


def test_a_model_to_go_on_from_that_is_not_there_is_refused(pair: list[str], tmp_path: Path) -> None:
    result = CliRunner().invoke(
        train, [*pair[:4], "--out", str(tmp_path / "x.pt"), "--from", str(tmp_path / "none.pt")]
    )
    assert result.exit_code == 2 and "none.pt: No such file" in result.output
    assert not list(tmp_path.glob("x.pt*"))


def test_input_without_target_is_refused(tmp_path: Path) -> None:
    for lone in ([], ["--input", "a.wav"], ["--target", "a.wav"], ["--input", "a.wav", "--capture", "x.toml"]):
        result = CliRunner().invoke(train, [*lone, "--out", str(tmp_path / "x.pt")])
        assert result.exit_code == 2 and "either --input and --target, or --capture" in result.output


def test_an_existing_model_is_not_overwritten(pair: list[str], tmp_path: Path) -> None:
    out = tmp_path / "amp.pt"
    out.write_bytes(b"precious")
    result = CliRunner().invoke(train, [*pair, "--out", str(out), "--steps", "8"])
    assert result.exit_code == 2 and "exists; --resume" in result.output and out.read_bytes() == b"precious"
    result = CliRunner().invoke(train, [*pair, "--out", str(out), "--steps", "8", "--force"])
    assert result.exit_code == 0 and model_file.load(out).name == "amp"


def test_a_capture_with_a_knob_trains(tmp_path: Path) -> None:
    dry = guitar(3.0)
    write(tmp_path / "di.wav", dry)
    lines = ["[knobs]", "drive = [0, 10]"]
    for drive in (2, 8):
        write(tmp_path / f"{drive}.wav", amp(dry, drive))
        lines += ["[[pair]]", 'input = "di.wav"', f'target = "{drive}.wav"', f"knobs = {{ drive = {drive} }}"]
    (tmp_path / "capture.toml").write_text("\n".join(lines))
    options = ["--capture", str(tmp_path / "capture.toml"), "--model", "gru-2", "--stft-weight", "0.1", "--steps", "8"]
    result = CliRunner().invoke(train, [*options, "--out", str(tmp_path / "amp.pt")])
    assert result.exit_code == 0, result.output
    model = model_file.load(tmp_path / "amp.pt")
    assert [knob.name for knob in model.knobs] == ["drive"] and model.training["config"]["stft_weight"] == 0.1


def test_help_is_quick_because_torch_waits() -> None:
    loaded = "import sys, training.cli; print(sorted(m for m in ('torch', 'scipy', 'matplotlib') if m in sys.modules))"
    result = subprocess.run([sys.executable, "-c", loaded], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
