import importlib.util
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from synthetic_pair import RATE_HZ, amp, guitar, write

from export import daisy
from export.cli import export_command
from training import capture, dense_window, distill, keras_training, loop, losses, model_file
from training.capture import Capture, Pair
from training.cli import train
from training.dense_window import DenseWindow
from training.errors import InputError
from training.loop import Trainer, TrainingConfig
from training.model_file import Model

ROOT = Path(__file__).parents[2]
QUICK = TrainingConfig(model="dense-64", steps=60, loss="mse")
needs_tensorflow = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None, reason="TensorFlow is not installed: pip install '.[tflite]'"
)


def assert_one_line_error(result: Result, *words: str) -> None:
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("Error: ") and result.stderr.count("\n") == 1, result.stderr
    for word in words:
        assert word in result.stderr


def quiet(line: str) -> None:
    pass


def network(window: int = 64, seed: int = 0) -> DenseWindow:
    torch.manual_seed(seed)
    made = DenseWindow(window).eval()
    for layer in made.layers:
        torch.nn.init.normal_(layer.bias, std=0.1)
    return made


def plucked(seconds: float = 3.0) -> Capture:
    dry = guitar(seconds)
    return Capture((Pair("plucks", dry, amp(dry)),))


@pytest.fixture
def pair(tmp_path: Path) -> list[str]:
    dry = guitar(3.0)
    paths = write(tmp_path / "di.wav", dry), write(tmp_path / "amp.wav", amp(dry))
    return ["--input", str(paths[0]), "--target", str(paths[1])]


def echoing(window: int) -> Model:
    """Plays tanh of the sample that it predicts."""
    made = DenseWindow(window)
    predicted = window - 1 - made.look_ahead
    with torch.no_grad():
        for number, layer in enumerate(made.layers):
            layer.weight.zero_()
            layer.bias.zero_()
            sources = [(0, predicted, 1.0), (1, predicted, -1.0)] if number == 0 else [(0, 0, 1.0), (1, 1, 1.0)]
            for output, source, sign in sources if layer is not made.head else [(0, 0, 1.0), (0, 1, -1.0)]:
                layer.weight[output, source] = sign
    return Model("echo", "dense", made.config, made)


def test_output_is_what_the_equations_say() -> None:
    made, audio = network(), guitar(0.01)
    weights = {key: tensor.double().numpy() for key, tensor in made.state_dict().items()}
    heard = np.concatenate([np.zeros(63), audio])
    expected = []
    for frame in range(len(audio)):
        h = heard[frame : frame + 64]
        for layer in range(3):
            h = np.maximum(weights[f"hidden.{layer}.weight"] @ h + weights[f"hidden.{layer}.bias"], 0)
        expected.append(np.tanh(weights["head.weight"] @ h + weights["head.bias"])[0])

    with torch.no_grad():
        output, _ = made(torch.from_numpy(audio[None]))

    np.testing.assert_allclose(output[0].numpy(), expected, atol=2e-6)


@pytest.mark.parametrize("window", [2, 64, 4000])
def test_streams_in_any_chunks(window: int) -> None:
    made, audio = network(window), torch.from_numpy(np.stack([guitar(0.4), guitar(0.4, seed=1)]))
    with torch.no_grad():
        whole, after = made(audio)
        for sizes in ([1, 7, 48, 16, 17], [9000, 48]):
            output, state, start = [], None, 0
            for size in sizes:
                played, state = made(audio[:, start : start + size], None, state)
                output.append(played)
                start += size
            torch.testing.assert_close(torch.cat(output, 1), whole[:, :start], atol=2e-6, rtol=0)
    assert after[0].shape == (2, window - 1) and torch.equal(after[0], audio[:, audio.shape[1] - window + 1 :])


def test_the_post_s_network_looks_300_of_4000_samples_ahead() -> None:
    made = DenseWindow.from_name("dense-4000")
    assert [(layer.in_features, layer.out_features) for layer in made.layers] == [
        (4000, 256),
        (256, 256),
        (256, 256),
        (256, 1),
    ]
    model = Model("post", "dense", made.config, made)
    assert model.latency_frames == 300
    dry = guitar(0.1)
    np.testing.assert_allclose(echoing(4000).render(dry)[300:], np.tanh(dry[:-300]), atol=1e-6)


def test_training_learns_what_is_ahead(tmp_path: Path) -> None:
    noise = (0.3 * np.random.default_rng(0).standard_normal(3 * RATE_HZ)).astype(np.float32)
    early = np.concatenate([noise[3:], np.zeros(3, np.float32)])  # of a look-ahead of 4

    model = loop.train(Capture((Pair("early", noise, early),)), QUICK, tmp_path / "early.pt", report=quiet)

    dry = noise[-4800:]
    output = model.render(dry)[model.latency_frames :]
    wanted = early[-4800:][: len(output)]
    esr = float(losses.esr(torch.from_numpy(output[64:]), torch.from_numpy(wanted[64:])))
    assert esr < 0.3
    assert esr == pytest.approx(model.training["validation_esr"], rel=0.2)  # which is measured without dropout
    assert model_file.load(tmp_path / "early.pt").network.name == "dense-64"


def test_training_goes_on_with_the_same_numbers() -> None:
    unbroken, broken = (Trainer(plucked(), QUICK, torch.device("cpu")) for _ in range(2))
    for _ in range(4):
        unbroken.train_on_draw()
    for _ in range(2):
        broken.train_on_draw()
    torch.rand(7)
    resumed = Trainer(plucked(), QUICK, torch.device("cpu"))
    resumed.set_state(broken.state())
    for _ in range(2):
        resumed.train_on_draw()
    for key, weights in unbroken.network.state_dict().items():
        assert torch.equal(weights, resumed.network.state_dict()[key]), key


def test_dropout_is_only_for_training() -> None:
    trainer = Trainer(plucked(), QUICK, torch.device("cpu"))
    trainer.validate()
    trainer.validate()
    assert trainer.history[0][2] == trainer.history[1][2]
    assert trainer.network.training
    streams = loop.side_by_side(trainer.validation_parts[0])
    with torch.no_grad():
        whole = trainer.best_network()(streams.audio)[0][:, capture.VALIDATION_RUN_IN_FRAMES :]
    torch.testing.assert_close(loop.play(trainer.network, streams), whole, atol=2e-6, rtol=0)
    audio = torch.from_numpy(guitar(0.1)[None])
    assert not torch.equal(trainer.network(audio)[0], trainer.network(audio)[0])


@pytest.mark.parametrize("name", ["dense", "dense-", "dense-1", "dense-16385", "dense-4000x3", "dense-99999"])
def test_refuses_other_windows(name: str) -> None:
    with pytest.raises(InputError):
        model_file.network_named(name)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--loss", "esr"], "--loss mse alone"),
        (["--stft-weight", "0.1"], "--loss mse alone"),
        (["--quantize", "int8"], "int8 weights are for lstm and gru models"),
        (["--framework", "keras", "--resume"], "has no --resume"),
        (["--framework", "keras", "--minutes", "1"], "has no --minutes; give --steps"),
        (["--framework", "keras", "--quantize", "int8"], "has no --quantize"),
        (["--framework", "keras", "--loss", "mel"], "has no --loss but mse"),
        (["--framework", "keras", "--stft-weight", "1"], "has no --stft-weight"),
        (["--framework", "keras", "--device", "cuda"], "has no --device but cpu"),
        (["--framework", "keras", "--model", "lstm-8"], "trains dense-N, such as dense-4000, and not lstm-8"),
        (["--framework", "keras"], "pip install '.[tflite]'"),
    ],
)
def test_refuses_in_one_line(
    options: list[str], words: str, pair: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)  # no TensorFlow
    arguments = [*pair, "--out", str(tmp_path / "a.pt"), "--model", "dense-64", *options]
    assert_one_line_error(CliRunner().invoke(train, arguments), words)
    assert not (tmp_path / "a.pt").exists()


def test_keras_goes_on_from_nothing(pair: list[str], tmp_path: Path) -> None:
    model_file.save(tmp_path / "start.pt", echoing(64))
    arguments = [*pair, "--out", str(tmp_path / "a.pt"), "--from", str(tmp_path / "start.pt"), "--framework", "keras"]
    assert_one_line_error(CliRunner().invoke(train, arguments), "--from is for PyTorch")


def test_a_recording_that_is_too_short(tmp_path: Path) -> None:
    dry = guitar(1.5)
    paths = write(tmp_path / "di.wav", dry), write(tmp_path / "amp.wav", amp(dry))
    arguments = ["--input", str(paths[0]), "--target", str(paths[1]), "--out", str(tmp_path / "a.pt")]
    result = CliRunner().invoke(train, [*arguments, "--model", "dense-4000"])
    assert_one_line_error(result, "at least 2 s are needed")


def test_export_counts_the_operations_and_offers_distillation(tmp_path: Path) -> None:
    path = tmp_path / "post.pt"
    made = network(4000)
    model_file.save(path, Model("post", "dense", made.config, made))
    result = CliRunner().invoke(export_command, [str(path)])
    assert_one_line_error(
        result,
        "577,664 of 9,000 cycles a sample",
        "4,000 x 256 + 256 x 256 + 256 x 256 + 256 x 1 are 1,155,328 multiplications",
        f"pedal distill {path} --model lstm-20 --out {tmp_path / 'post-small.pt'}",
    )
    with pytest.raises(InputError, match="no engine for dense-4000"):
        daisy.prepare(model_file.load(path))


def test_a_student_of_a_dense_teacher_is_not_late() -> None:
    teacher, dry = echoing(4000), guitar(2.5)
    taught = distill.teach(teacher, dry)
    assert taught.origin["distilled"]["delay_removed_samples"] == 300
    for pair in taught.pairs:
        np.testing.assert_allclose(pair.target, np.tanh(pair.input), atol=1e-6)

    at_another_rate = replace(teacher, sample_rate_hz=96000)
    assert distill.removable_delay(at_another_rate) == 150

    unsettled = Model("noise", "dense", {"window": 4000}, network(4000))
    assert distill.removable_delay(unsettled) == 300  # although it plays something at once


def test_the_project_does_not_import_tensorflow() -> None:
    script = (
        "import sys, pedal, training.keras_training, training.loop\n"
        "sys.exit(any(name in sys.modules for name in ('tensorflow', 'keras')))"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT).returncode == 0


@needs_tensorflow
@pytest.mark.parametrize("window", [64, 4000])
def test_keras_plays_the_same_weights_alike(window: int, tmp_path: Path) -> None:
    made, audio = network(window), guitar(0.5)[: window + 999]
    weights = [array.detach().numpy() for layer in made.layers for array in (layer.weight.T, layer.bias)]
    np.savez(tmp_path / "weights.npz", *weights)
    np.save(tmp_path / "windows.npy", np.lib.stride_tricks.sliding_window_view(audio, window))
    script = (
        "import sys, numpy as np\n"
        "from training.keras_worker import network\n"
        f"model = network({window}, [256, 256, 256], 0.1)\n"
        "weights = np.load('weights.npz')\n"
        "model.set_weights([weights[name] for name in weights.files])\n"
        "np.save('output.npy', model.predict(np.load('windows.npy'), verbose=0)[:, 0])\n"
    )
    environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, check=True)

    with torch.no_grad():
        output = made(torch.from_numpy(audio[None]))[0][0, window - 1 :].numpy()
    np.testing.assert_allclose(np.load(tmp_path / "output.npy"), output, atol=2e-6)


@needs_tensorflow
def test_keras_trains_a_model_like_any_other(pair: list[str], tmp_path: Path) -> None:
    out = tmp_path / "keras.pt"
    arguments = [*pair, "--out", str(out), "--model", "dense-64", "--framework", "keras", "--steps", "80"]
    result = CliRunner().invoke(train, arguments)
    assert result.exit_code == 0, result.output

    model = model_file.load(out)
    assert model.training["validation_esr"] < 0.3 and model.latency_frames == 4
    assert set(model.training["versions"]) == {"torch", "python", "tensorflow", "keras"}
    assert model.training["step"] > 40
    assert (tmp_path / "keras.pt.png").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["amp.wav", "di.wav", "keras.pt", "keras.pt.png"]
    assert_one_line_error(CliRunner().invoke(train, arguments), "keras.pt exists")


@needs_tensorflow
def test_keras_takes_the_steps_that_torch_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras_training, "DROPOUT", 0.0)
    monkeypatch.setattr(dense_window, "DROPOUT", 0.0)
    config = replace(QUICK, steps=80, patience=5)
    lines: tuple[list[str], list[str]] = ([], [])
    loop.train(plucked(), config, tmp_path / "torch.pt", report=lines[0].append)
    keras_training.train(plucked(), config, tmp_path / "keras.pt", report=lines[1].append)

    in_torch, in_keras = (np.array([re.findall(r"[0-9.]+", line) for line in each[:10]], float) for each in lines)
    assert in_torch[-1, 2] < 0.6 * in_torch[0, 2]  # both learn
    np.testing.assert_allclose(in_keras[:, :3], in_torch[:, :3], rtol=1e-2)  # step, steps, loss
    np.testing.assert_allclose(in_keras[:, 3], in_torch[:, 3], atol=0.11)  # dB


@needs_tensorflow
def test_keras_training_ends_when_it_is_out_of_patience(tmp_path: Path) -> None:
    lines: list[str] = []
    config = replace(QUICK, steps=400, patience=2, learning_rate=1e-30)  # which changes nothing
    keras_training.train(plucked(), config, tmp_path / "a.pt", report=lines.append)
    assert [line.split(":")[0] for line in lines[:-1]] == ["step 10 of 400", "step 20 of 400", "step 30 of 400"]


@needs_tensorflow
def test_ctrl_c_ends_keras_too_and_leaves_the_best_model(pair: list[str], tmp_path: Path) -> None:
    out, scratch = tmp_path / "a.pt", tmp_path / "scratch"
    scratch.mkdir()
    options = ["--out", str(out), "--model", "dense-64", "--framework", "keras", "--steps", "8000"]
    process = subprocess.Popen(
        [sys.executable, "-u", str(ROOT / "pedal.py"), "train", *pair, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(scratch)},
    )
    assert process.stdout is not None
    next(line for line in process.stdout if line.startswith("step 200 of 8000"))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert errors == f"Error: stopped after step 200; {out} has the best model until then\n"
    assert model_file.load(out).network.name == "dense-64"
    assert not list(scratch.glob("oddity-*"))


@needs_tensorflow
def test_what_keras_says_when_it_fails_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras_training, "DROPOUT", 2.0)
    with pytest.raises(InputError, match="training in Keras failed: ValueError: Invalid value received"):
        keras_training.train(plucked(), QUICK, tmp_path / "a.pt", report=quiet)
    assert not list(tmp_path.iterdir())
