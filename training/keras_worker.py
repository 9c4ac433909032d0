"""The dense network in TensorFlow's Keras, and its training: a process of its own, which `training.keras_training`
starts as `python -m training.keras_worker FOLDER`. The project imports this module nowhere."""

import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read when TensorFlow is imported, as the next is
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import keras
import numpy as np
import tensorflow as tf


def network(window: int, hidden_sizes: list[int], dropout: float) -> Any:
    """As `training.dense_window.DenseWindow`: from windows [batch, window] to [batch, 1]."""
    layers = [keras.layers.Input((window,))]
    for size in hidden_sizes:
        layers += [keras.layers.Dense(size, activation="relu"), keras.layers.Dropout(dropout)]
    return keras.Sequential([*layers, keras.layers.Dense(1, activation="tanh")])


def mse_loss(target: Any, output: Any) -> Any:
    """As `training.losses.mse_loss`."""
    ops = keras.ops
    return ops.mean(ops.square(target - output)) / (ops.mean(ops.square(target)) + 1e-5)


def train(folder: Path) -> None:
    """Train on what `keras_training` has put into `folder`: config.json, weights.npz, data.npz, and starts:
    int32 [steps, windows], the first frame of each.

    At each validation the weights, kernel and bias of each layer in turn, go to STEP.npz, and a JSON object to a line
    of the standard output.
    """
    config = json.loads((folder / "config.json").read_text())
    tf.config.threading.set_intra_op_parallelism_threads(config["threads"])
    tf.config.threading.set_inter_op_parallelism_threads(1)
    keras.utils.set_random_seed(config["seed"])
    window = config["window"]
    model = network(window, config["hidden_sizes"], config["dropout"])
    with np.load(folder / "weights.npz") as weights:
        model.set_weights([weights[name] for name in weights.files])
    # PyTorch's epsilon of 1e-7 stands outside the root; inside it, that of small gradients would leave next to nothing.
    optimizer = keras.optimizers.RMSprop(rho=0.9, epsilon=1e-14, global_clipnorm=config["gradient_norm"])
    model.compile(optimizer, mse_loss)
    with np.load(folder / "data.npz") as data:
        audio, target, learning_rates = (data[name] for name in ("audio", "target", "learning_rates"))
    starts = np.memmap(folder / "starts", np.int32, "r").reshape(-1, config["windows"])
    windows = np.lib.stride_tricks.sliding_window_view(audio, window)
    recent_losses = []
    versions = {"tensorflow": tf.__version__, "keras": keras.__version__}
    for step, (first, rate) in enumerate(zip(starts, learning_rates, strict=True), 1):
        model.optimizer.learning_rate = float(rate)
        recent_losses.append(float(model.train_on_batch(windows[first], target[first + window - 1, None])))
        if step % config["steps_between_validations"] == 0 or step == len(starts):
            np.savez(folder / f"{step}.npz", *model.get_weights())
            loss = sum(recent_losses) / len(recent_losses)
            print(json.dumps({"step": step, "loss": loss, "versions": versions}), flush=True)
            recent_losses = []


if __name__ == "__main__":
    train(Path(sys.argv[1]))
