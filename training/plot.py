"""The picture that training leaves beside a model."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from training.capture import SAMPLE_RATE_HZ
from training.files import written_aside

CLOSE_UP_FRAMES = SAMPLE_RATE_HZ // 50


def write_training_plot(
    path: Path,
    title: str,
    history: Sequence[tuple[int, float, float]],
    target: np.ndarray,
    output: np.ndarray,
    float_history: Sequence[tuple[int, float, float]] = (),
) -> None:
    """Write a PNG of the losses and of 20 ms of waveform.

    history: (step, mean training loss, validation ESR) of each validation.
    target, output: float [frames] at 48 kHz, the same stretch of the amp and of the model; the 20 ms shown lie around
    the target's highest peak.
    float_history: the same as `history`, before weights were rounded.
    """
    steps, losses, esrs = zip(*float_history, *history, strict=True)
    figure = Figure(figsize=(10, 7), layout="constrained")
    figure.suptitle(title)
    upper, lower = figure.subplots(2, 1)
    upper.semilogy(steps, losses, color="tab:gray", label="training loss (pre-emphasised ESR and DC)")
    upper.semilogy(steps, esrs, color="tab:blue", marker=".", label="validation ESR")
    if float_history:
        upper.axvline(float_history[-1][0], color="tab:gray", linestyle="--", label="rounded weights from here")
    best = len(float_history) + int(np.argmin(esrs[len(float_history) :]))
    upper.plot(
        steps[best], esrs[best], "o", color="tab:red", label=f"best: {10 * math.log10(max(esrs[best], 1e-20)):.1f} dB"
    )
    upper.set(xlabel="update steps", ylabel="loss")
    upper.grid(alpha=0.3, which="both")
    upper.legend()
    start = int(np.clip(np.argmax(np.abs(target)) - CLOSE_UP_FRAMES // 2, 0, max(0, len(target) - CLOSE_UP_FRAMES)))
    shown = slice(start, start + CLOSE_UP_FRAMES)
    milliseconds = 1000 * np.arange(len(target[shown])) / SAMPLE_RATE_HZ
    lower.plot(milliseconds, target[shown], color="black", linewidth=2.5, alpha=0.4, label="amp")
    lower.plot(milliseconds, output[shown], color="tab:red", linewidth=1, label="model")
    lower.plot(milliseconds, output[shown] - target[shown], color="tab:blue", linewidth=1, label="error")
    lower.set(xlabel="ms, around the highest peak of the validation part", ylabel="full scale = 1")
    lower.grid(alpha=0.3)
    lower.margins(x=0, y=0.15)
    lower.legend(loc="upper right", ncols=3)
    with written_aside(path) as scratch:
        figure.savefig(scratch, dpi=110)
