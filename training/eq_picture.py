"""A picture of an EQ network: what each block filters and how far it drives; `pedal show`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import signal

from training.eq_block import SAMPLE_RATE_HZ, EqNetwork
from training.errors import InputError
from training.files import written_aside
from training.levels import crest_db, level_dbfs, loudest
from training.model_file import Model

GUITAR_SEED, GUITAR_SECONDS, GUITAR_PEAK = 21, 4.0, 0.5
LONGEST_SECONDS = 10.0
"""Of a guitar, its loudest."""
CLOSE_UP_FRAMES = round(0.015 * SAMPLE_RATE_HZ)
TRANSFER_POINTS = 6000
FREQUENCIES_HZ = np.geomspace(20, 20_000, 500)
DEEPEST_DB = 20.0
"""Below the peak of the quietest EQ curve, what is drawn."""
SCALES = (0.1, 0.2, 0.5, 1.0)
"""Of which one suits all activations; beyond 1 goes nothing that a guitar within full scale becomes."""
INK, FAINT, GUITAR_COLOUR = "#1d2329", "#8a939c", "#6f7a84"

# Inches, from the left and from the top.
WIDTH, LEFT, RIGHT = 14.0, 0.95, 13.7
TITLE, CURVES, GAP, ROW, BOTTOM = 1.45, 3.1, 1.2, 0.92, 0.7
ROW_SPACE = 0.18


@dataclass(frozen=True)
class Stage:
    """The guitar, or what a block has made of it. `samples`: float32 [frames], those of all stages at the same time."""

    name: str
    colour: Any
    samples: np.ndarray


def write(path: Path, model: Model, guitar: np.ndarray | None = None) -> None:
    """Write a PNG of the EQ curves, biases and gates of `model`, and of `guitar` on its way through the blocks.

    guitar: float32 [frames] at 48 kHz, full scale +-1, of which the loudest 10 s are played; None for a synthetic one.

    Raises InputError for a model that is no EQ network, and for a guitar that is shorter than 15 ms.
    """
    network = model.network
    if not isinstance(network, EqNetwork):
        raise InputError(f"{model.name}: is of architecture {model.architecture}; EQ networks alone can be shown")
    guitar = synthetic_guitar() if guitar is None else guitar
    stages = _stages(network, guitar[loudest(guitar, round(LONGEST_SECONDS * SAMPLE_RATE_HZ))])
    if len(stages[0].samples) < CLOSE_UP_FRAMES:
        raise InputError(f"a guitar of {len(guitar)} frames is too short to be shown")
    figure = _figure(model.name, network, stages)
    with written_aside(path) as scratch:
        figure.savefig(scratch, dpi=120)


def synthetic_guitar() -> np.ndarray:
    """4 s of playing with a peak of 0.5, float32 [frames] at 48 kHz."""
    from training.guitar import render_take  # here, because numba takes a second to load

    take = render_take(GUITAR_SEED, GUITAR_SECONDS, SAMPLE_RATE_HZ)
    return (take * (GUITAR_PEAK / np.abs(take).max())).astype(np.float32)


def _stages(network: EqNetwork, guitar: np.ndarray) -> list[Stage]:
    """The guitar and the output of each block, without the delay of linear phase."""
    colours = matplotlib.colormaps["plasma"](np.linspace(0.02, 0.8, network.blocks))
    frames = len(guitar) - network.latency_frames
    stages = [Stage("guitar", GUITAR_COLOUR, guitar[:frames])]
    with torch.no_grad():
        for block, (y, _) in enumerate(network.chain(torch.from_numpy(guitar)[None])):
            late = (block + 1) * network.block_delay
            stages.append(Stage(f"block {block + 1}", colours[block], y[0, late : late + frames].numpy()))
    return stages


def _figure(name: str, network: EqNetwork, stages: list[Stage]) -> Figure:
    height = TITLE + CURVES + GAP + len(stages) * (ROW + ROW_SPACE) + BOTTOM
    figure = Figure(figsize=(WIDTH, height))
    level_db = 20 * network.log_level.item() / np.log(10)
    figure.text(LEFT / WIDTH, 1 - 0.5 / height, name, fontsize=19, color=INK, weight="bold", va="center")
    blocks = "one block" if network.blocks == 1 else f"{network.blocks} blocks"
    subtitle = (
        f"{network.name}: {blocks} of {network.taps} taps, {network.phase} phase; "
        f"the last block's output is heard with a gain of {_signed(level_db)} dB"
    )
    figure.text(LEFT / WIDTH, 1 - 0.85 / height, subtitle, fontsize=11, color=FAINT, va="center")

    def axes(left: float, width: float, top: float, tall: float) -> Axes:
        made = figure.add_axes((left / WIDTH, 1 - (top + tall) / height, width / WIDTH, tall / height))
        made.spines[["top", "right"]].set_visible(False)
        made.spines[["left", "bottom"]].set_color(FAINT)
        made.tick_params(colors=INK, labelsize=9)
        return made

    of_blocks = stages[1:]
    _draw_curves(axes(LEFT, 6.2, TITLE, CURVES), network, of_blocks)
    _draw_gates(axes(7.95, 1.1, TITLE, CURVES), network, of_blocks)
    _draw_biases(axes(9.3, 1.1, TITLE, CURVES), network, of_blocks)
    overall = Stage("output", INK, stages[-1].samples * network.log_level.exp().item())
    _draw_transfer(axes(10.95, RIGHT - 10.95, TITLE, CURVES), stages[0], overall)

    top = TITLE + CURVES + GAP
    loudest_peak = max(float(np.abs(stage.samples).max()) for stage in stages)
    scale = next((scale for scale in SCALES if scale >= loudest_peak), SCALES[-1])
    rows = [axes(LEFT, 7.0, top + row * (ROW + ROW_SPACE), ROW) for row in range(len(stages))]
    _draw_close_ups(rows, stages, scale)
    for row in range(1, len(stages)):
        square = axes(8.35, 1.6, top + row * (ROW + ROW_SPACE), ROW)
        _draw_step(square, stages[row - 1], stages[row], scale, last=row == len(stages) - 1)
    _draw_levels(axes(10.95, RIGHT - 10.95, top, len(stages) * (ROW + ROW_SPACE) - ROW_SPACE), stages)
    return figure


def _signed(number_db: float) -> str:
    return f"{number_db:+.1f}".replace("-", "−")


def _title(axes: Axes, text: str) -> None:
    axes.set_title(text, loc="left", fontsize=10.5, color=INK, pad=8)


def _draw_curves(axes: Axes, network: EqNetwork, blocks: list[Stage]) -> None:
    taps = network.fir.detach().double().numpy()
    curves = [signal.freqz(each, worN=FREQUENCIES_HZ, fs=SAMPLE_RATE_HZ)[1] for each in taps]
    curves_db = 20 * np.log10(np.maximum(np.abs(np.array(curves)), 1e-9))
    for stage, curve_db in zip(blocks, curves_db, strict=True):
        axes.semilogx(FREQUENCIES_HZ, curve_db, color=stage.colour, linewidth=2, alpha=0.9)
    lowest_db = max(float(curves_db.min()), float(curves_db.max(axis=1).min()) - DEEPEST_DB)
    axes.set(xlim=(20, 20_000), ylim=(lowest_db - 2, float(curves_db.max()) + 2))
    axes.set_xticks([20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000])
    axes.set_xticklabels(["20", "50", "100", "200", "500", "1k", "2k", "5k", "10k", "20k"])
    axes.minorticks_off()
    axes.axhline(0, color=FAINT, linewidth=0.8)
    axes.grid(alpha=0.25)
    axes.set_xlabel("Hz", color=INK)
    _title(axes, "EQ of each block, dB")


def _draw_gates(axes: Axes, network: EqNetwork, blocks: list[Stage]) -> None:
    gates = torch.sigmoid(network.gate_logit.detach()).numpy()
    _bars(axes, gates, blocks)
    axes.set(xlim=(0, 1), xticks=[0, 0.5, 1], xticklabels=["0", ".5", "1"])
    axes.set_yticks(range(len(blocks)), [stage.name for stage in blocks])
    for label, stage in zip(axes.get_yticklabels(), blocks, strict=True):
        label.set_color(stage.colour)
    axes.set_xlabel("the rest is residual", fontsize=9, color=FAINT)
    for row, gate in enumerate(gates):
        inside = gate > 0.45
        at = 0.05 if inside else gate + 0.05
        axes.text(at, row, f"{gate:.2f}", color="white" if inside else INK, va="center", fontsize=9)
    _title(axes, "gate")


def _draw_biases(axes: Axes, network: EqNetwork, blocks: list[Stage]) -> None:
    biases = network.bias.detach().numpy()
    _bars(axes, biases, blocks)
    reach = 1.2 * max(float(np.abs(biases).max()), 0.05)
    axes.set(xlim=(-reach, reach), yticks=[], xticks=[0])
    for row, bias in enumerate(biases):
        place, side = (-0.04 * reach, "right") if bias > 0 else (0.04 * reach, "left")
        axes.text(place, row, f"{bias:.2f}".replace("-", "−"), color=INK, fontsize=9, va="center", ha=side)
    axes.spines["left"].set_visible(False)
    axes.axvline(0, color=FAINT, linewidth=0.8)
    _title(axes, "bias")


def _bars(axes: Axes, values: np.ndarray, blocks: list[Stage]) -> None:
    """One a block, the first on top."""
    axes.barh(range(len(blocks)), values, height=0.6, color=[stage.colour for stage in blocks])
    axes.set_ylim(len(blocks) - 0.4, -0.6)


def _draw_transfer(axes: Axes, before: Stage, after: Stage) -> None:
    _points(axes, before, after)
    axes.set_xlabel("guitar", color=INK)
    _title(axes, "output over guitar")


def _draw_step(axes: Axes, before: Stage, after: Stage, scale: float, last: bool) -> None:
    _points(axes, before, after)
    reach, ticks = (-1.05 * scale, 1.05 * scale), [-scale, 0, scale]
    axes.set(xlim=reach, ylim=reach, xticks=ticks, yticks=ticks)
    axes.plot(ticks, ticks, color=FAINT, linewidth=0.8, linestyle=(0, (2, 3)), zorder=0)
    axes.tick_params(labelsize=8, labelbottom=last)
    if after.name == "block 1":
        _title(axes, "output over input")


def _points(axes: Axes, before: Stage, after: Stage) -> None:
    stretch = loudest(before.samples, SAMPLE_RATE_HZ)
    x, y = before.samples[stretch], after.samples[stretch]
    step = max(len(x) // TRANSFER_POINTS, 1)
    axes.plot(x[::step], y[::step], ".", color=after.colour, markersize=1.6, markeredgewidth=0, alpha=0.5)
    axes.axhline(0, color=FAINT, linewidth=0.5, zorder=0)
    axes.axvline(0, color=FAINT, linewidth=0.5, zorder=0)


def _draw_close_ups(rows: list[Axes], stages: list[Stage], scale: float) -> None:
    """15 ms around the guitar's highest peak."""
    frames = len(stages[0].samples)
    middle = int(np.argmax(np.abs(stages[0].samples)))
    start = int(np.clip(middle - CLOSE_UP_FRAMES // 2, 0, frames - CLOSE_UP_FRAMES))
    milliseconds = 1000 * np.arange(CLOSE_UP_FRAMES) / SAMPLE_RATE_HZ
    for axes, stage in zip(rows, stages, strict=True):
        shown = stage.samples[start : start + CLOSE_UP_FRAMES]
        axes.fill_between(milliseconds, shown, color=stage.colour, alpha=0.18, linewidth=0)
        axes.plot(milliseconds, shown, color=stage.colour, linewidth=1.4)
        axes.axhline(0, color=FAINT, linewidth=0.5)
        axes.set(xlim=(0, milliseconds[-1]), ylim=(-1.05 * scale, 1.05 * scale), yticks=[-scale, 0, scale])
        axes.tick_params(labelsize=8, labelbottom=axes is rows[-1])
        axes.set_ylabel(stage.name, color=stage.colour, fontsize=10)
    rows[-1].set_xlabel("ms", color=INK)
    _title(rows[0], "15 ms around the guitar's highest peak, after each block")


def _draw_levels(axes: Axes, stages: list[Stage]) -> None:
    """A line from RMS to peak a stage, beside its row."""
    axes.set_ylim(len(stages) - ROW_SPACE / (ROW + ROW_SPACE), 0)
    lowest = min(level_dbfs(stage.samples) for stage in stages)
    for row, stage in enumerate(stages):
        middle = row + 0.5 * ROW / (ROW + ROW_SPACE)
        level, crest = level_dbfs(stage.samples), crest_db(stage.samples)
        axes.plot([level, level + crest], [middle, middle], color=stage.colour, linewidth=3, solid_capstyle="round")
        axes.plot(level, middle, "o", color=stage.colour, markersize=8)
        axes.text(level, middle - 0.22, _signed(level), color=stage.colour, ha="center", fontsize=9)
        axes.text(level + crest / 2, middle + 0.3, f"crest {crest:.1f} dB", color=FAINT, ha="center", fontsize=8)
    axes.set(xlim=(min(lowest, -18) - 4, 3), yticks=[])
    axes.grid(alpha=0.25, axis="x")
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("dBFS", color=INK)
    _title(axes, "RMS (dot) and peak, without DC")
