"""Training in TensorFlow's Keras: the network learns in a process of its own, and is judged and kept here."""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from training import loop, model_file
from training.capture import Capture
from training.dense_window import DROPOUT, DenseWindow
from training.errors import InputError
from training.loop import Trainer, TrainingConfig
from training.model_file import Model, TrainableNetwork
from training.stretches import MemoryPart


def check(config: TrainingConfig, *, resume: bool, device: str, start: TrainableNetwork | None) -> None:
    """Raise InputError for what is not trained in Keras, and where there is no TensorFlow."""
    if start is not None:
        raise InputError("--framework keras begins anew; --from is for PyTorch")
    if not isinstance(model_file.network_named(config.model), DenseWindow):
        raise InputError(f"--framework keras trains dense-N, such as dense-4000, and not {config.model}")
    for given, what in (
        (resume, "--resume; --force starts anew"),
        (config.minutes is not None, "--minutes; give --steps"),
        (config.quantize is not None, "--quantize"),
        (config.loss != "mse", "--loss but mse"),
        (config.stft_weight != 0, "--stft-weight"),
        (device != "cpu", "--device but cpu"),
    ):
        if given:
            raise InputError(f"--framework keras has no {what}")
    if importlib.util.find_spec("tensorflow") is None:
        raise InputError("TensorFlow is not installed, which --framework keras needs: pip install '.[tflite]'")


def train(
    capture: Capture,
    config: TrainingConfig,
    out: Path,
    *,
    resume: bool = False,
    force: bool = False,
    device: str = "cpu",
    report: Callable[[str], None] = print,
    start: TrainableNetwork | None = None,
) -> Model:
    """As `loop.train`, but that Keras finds the weights: from the same first ones, on the same windows in the same
    order, by the same steps, so that only what dropout leaves out differs. There is no checkpoint.

    Raises InputError where `check` and `loop.check` do, when files cannot be written, when training fails or diverges,
    and on Ctrl-C; `out` has the best model until then.
    """
    check(config, resume=resume, device=device, start=start)
    loop.check(config, len(capture.knobs), out, resume=resume, force=force, device=device)
    trainer = Trainer(capture, config, torch.device("cpu"))
    digest = capture.digest()
    model = loop.model_of(trainer, capture, digest, out.stem)
    with tempfile.TemporaryDirectory(prefix="oddity-keras-") as name, loop.progress_bar(trainer) as bar:
        folder = Path(name)
        try:
            _write_task(folder, trainer)
        except OSError as error:
            raise InputError(f"cannot write {folder}: {error.strerror or error}") from error
        with closing(_validations(folder)) as validations, _stoppable(trainer, out):
            for found in validations:
                trainer.step, trainer.recent_losses = found["step"], [found["loss"]]
                weights = folder / f"{trainer.step}.npz"
                trainer.network.load_state_dict(_read_weights(weights, trainer.network))
                weights.unlink()
                better = trainer.validate()
                bar.update(trainer.step - bar.n)
                bar.set_postfix_str(loop.validation_line(trainer))
                if better:
                    model = loop.model_of(trainer, capture, digest, out.stem)
                    model.training["versions"] |= found["versions"]
                    model_file.save(out, model)
                if bar.disable:
                    report(f"step {trainer.step} of {trainer.last_step}: {loop.validation_line(trainer)}")
                if trainer.finished:
                    break
    loop.finish(out, model, capture, trainer, report)
    return model


@contextmanager
def _stoppable(trainer: Trainer, out: Path) -> Iterator[None]:
    """Make of Ctrl-C an InputError."""
    try:
        yield
    except KeyboardInterrupt:
        kept = f"; {out} has the best model until then" if trainer.history else ""
        raise InputError(f"stopped after step {trainer.step}{kept}") from None


def _write_task(folder: Path, trainer: Trainer) -> None:
    """What `keras_worker.train` reads."""
    network, config, part = trainer.network, trainer.config, trainer.training_part
    assert isinstance(network, DenseWindow)
    assert isinstance(part, MemoryPart)
    task = {
        "window": network.window,
        "hidden_sizes": [layer.out_features for layer in network.layers[:-1]],
        "dropout": DROPOUT,
        "windows": config.streams,
        "gradient_norm": config.gradient_norm,
        "seed": config.seed,
        "threads": torch.get_num_threads(),
        "steps_between_validations": config.steps_between_validations,
    }
    (folder / "config.json").write_text(json.dumps(task))
    weights = [array for layer in network.layers for array in (layer.weight.T, layer.bias)]
    np.savez(folder / "weights.npz", *(array.detach().numpy() for array in weights))
    with (folder / "starts").open("wb") as file:  # of many steps too much for the memory
        for _ in range(config.steps):
            file.write(part.draw_starts(config.streams, trainer.generator)[1].numpy().astype(np.int32).tobytes())
    np.savez(
        folder / "data.npz",
        audio=part.audio.numpy(),
        target=part.target.numpy(),
        learning_rates=np.array([config.learning_rate_at(step) for step in range(config.steps)]),
    )


def _validations(folder: Path) -> Generator[dict[str, Any], None, None]:
    """Start the worker, and yield what it prints. Raises InputError with its last words when it fails."""
    errors = folder / "errors"
    command = [sys.executable, "-m", "training.keras_worker", str(folder)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}  # the worker finds what this process does
    with errors.open("wb") as stderr:
        worker = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=stderr, env=environment, start_new_session=True
        )  # in a session of its own, which Ctrl-C does not reach
    try:
        assert worker.stdout is not None
        for line in worker.stdout:
            yield json.loads(line)
        if worker.wait():
            lines = errors.read_text(errors="replace").split("\n")
            last = next((line for line in reversed(lines) if line.strip()), f"exit status {worker.returncode}")
            raise InputError(f"training in Keras failed: {last[:300]}")
    finally:
        worker.kill()
        worker.wait()


def _read_weights(path: Path, network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A Keras kernel is a weight's transpose."""
    with np.load(path) as arrays:
        tensors = [torch.from_numpy(arrays[name].T.copy()) for name in arrays.files]
    return dict(zip(network.state_dict(), tensors, strict=True))
