"""Compare a model's implementations on one DI: the pedal's fixed-point engine, TensorFlow Lite's, and the float model.

The engine is its specification, export/fixed_point.py, which the pedal equals bit for bit.
"""

import html
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import signal

from export import daisy, fixed_point
from export.daisy import signal_to_noise_db
from export.resampling import PEDAL_RATE_HZ
from export.tflite import exporter
from export.tflite.exporter import RUNTIMES, Take
from hardware import report as pages
from hardware.protocol import Engine
from hardware.verify import MINIMUM_SNR_DB, error_to_signal
from training import audio
from training.audio import resampled
from training.errors import InputError
from training.files import written_aside
from training.model_file import Model

COMPARED_SECONDS = 10.0
TIMED_PASSES = 3
COLOURS = ("#2b6cb0", "#c0392b", "#2e7d4f", "#e08e2b", "#6b4c9a", "#00838f", "#8d6e63")


@dataclass(frozen=True)
class Row:
    """One implementation on one runtime. `snr_db`: against the float64 model; `gate_db`: what it must reach.

    `us_per_sample`: median, on this machine; of the pedal's engine, which runs on another, `cycles_per_sample`.
    """

    name: str
    runtime: str
    snr_db: float
    esr_to_target: float | None
    bytes: int
    us_per_sample: float | None
    cycles_per_sample: int | None
    gate_db: float | None

    @property
    def passed(self) -> bool:
        return self.gate_db is None or self.snr_db >= self.gate_db


@dataclass(frozen=True)
class Comparison:
    """`outputs`: of each row, float64 [frames] at the model's rate. `refused`: why something is missing, by name."""

    model: Model
    take: Take
    target: np.ndarray | None
    rows: tuple[Row, ...]
    outputs: tuple[np.ndarray, ...]
    refused: dict[str, str]

    @property
    def passed(self) -> bool:
        return all(row.passed for row in self.rows)


def compare(
    model: Model,
    di: np.ndarray,
    target: np.ndarray | None,
    knobs: list[float],
    said: Callable[[str], None] = lambda line: None,
) -> Comparison:
    """Play the loudest seconds of `di` (float [frames] at 48 kHz; `target`: the same through the amp) through each.

    At the model's own rate, from rest. Raises InputError without the extra and for models that cannot be expressed.
    """
    exported = exporter.prepare(model, said=said)
    own = resampled(np.asarray(di, np.float32), PEDAL_RATE_HZ, model.sample_rate_hz)
    frames = min(exporter.playable_frames(model, COMPARED_SECONDS), len(own))
    start = min(max(int(np.argmax(np.abs(own))) - frames // 4, 0), len(own) - frames)
    take = exporter.make_take(model, own[start : start + frames], [knobs])
    frames = len(take.audio)
    if target is not None:
        late = np.pad(resampled(target, PEDAL_RATE_HZ, model.sample_rate_hz), (model.latency_frames, 0))
        target = np.asarray(late[start : start + frames], np.float64)

    rows: list[Row] = []
    outputs: list[np.ndarray] = []

    def add(name: str, runtime: str, output: np.ndarray, size: int, gate_db: float | None, **cost: Any) -> None:
        cost = {"us_per_sample": None, "cycles_per_sample": None, **cost}
        esr = None if target is None else error_to_signal(target[: len(output)], output)
        rows.append(Row(name, runtime, signal_to_noise_db(take.reference, output), esr, size, gate_db=gate_db, **cost))
        outputs.append(output)

    parameters = sum(weights.numel() for weights in model.network.parameters())
    seconds, played = _timed(lambda: model.render(take.audio, knobs))
    add("float", "torch", played.astype(np.float64), 4 * parameters, None, us_per_sample=1e6 * seconds / frames)
    refused = dict(exported.refused)
    try:
        ours = daisy.prepare(model)
        positions = [min(round(position * 2**31), 2**31 - 1) for position in take.positions[0]]
        played = fixed_point.from_q31(fixed_point.run(ours.quantized, fixed_point.to_q31(take.audio), positions))
        cycles = {"cycles_per_sample": ours.cycles_per_sample}
        add("ours, fixed point", "specification", played, len(ours.blob()), MINIMUM_SNR_DB[Engine.FIXED], **cycles)
    except InputError as error:
        refused["ours, fixed point"] = error.message
    with tempfile.TemporaryDirectory() as folder_name:
        folder = Path(folder_name)
        exporter.write_take(model, take, folder)
        for file in exported.files:
            (folder / f"{file.candidate.name}.tflite").write_bytes(file.contents)
            (folder / f"{file.candidate.name}.json").write_text(json.dumps(file.layout))
        names = [file.candidate.name for file in exported.files]
        for runtime in exported.files[0].played:
            said(f"playing {frames / model.sample_rate_hz:.1f} s of the DI on {RUNTIMES[runtime]}")
            results = exporter.play(runtime, names, frames, folder)
            for file in exported.files:
                result, name = results[file.candidate.name], file.flavour.name
                if result.error:
                    refused[f"{name} on {RUNTIMES[runtime]}"] = result.error
                    continue
                cost = {"us_per_sample": result.us_per_sample}
                add(name, RUNTIMES[runtime], result.output, len(file.contents), file.flavour.gate_db, **cost)
    return Comparison(model, take, target, tuple(rows), tuple(outputs), refused)


def _timed(play: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    seconds = []
    for _ in range(TIMED_PASSES):
        began = time.perf_counter()
        played = play()
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds)), played


def _cells(row: Row) -> list[str]:
    cost = f"{row.us_per_sample:.2f} us" if row.us_per_sample is not None else f"{row.cycles_per_sample:,} cycles"
    verdict = "" if row.gate_db is None else f"{'pass' if row.passed else 'FAIL'}, {row.gate_db:g}"
    esr = "-" if row.esr_to_target is None else f"{row.esr_to_target:.5f}"
    return [row.name, row.runtime, f"{row.snr_db:.1f}", esr, f"{row.bytes:,}", cost, verdict]


HEADINGS = ["implementation", "runs on", "SNR dB", "ESR to amp", "bytes", "a sample", "gate dB"]


def table(comparison: Comparison) -> str:
    """The comparison for a terminal."""
    lines = [HEADINGS, *(_cells(row) for row in comparison.rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    text = [
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    text += [f"not compared: {name}: {why}" for name, why in comparison.refused.items()]
    return "\n".join(text)


def write(folder: Path, comparison: Comparison) -> Path:
    """Write comparison.json, comparison.html and a WAV of each implementation into `folder`; the page's path."""
    model, rate_hz = comparison.model, comparison.model.sample_rate_hz
    players = {"di": ("Dry guitar (DI)", comparison.take.audio)}
    if comparison.target is not None:
        players["target"] = ("Amp (target)", comparison.target)
    for row, output in zip(comparison.rows, comparison.outputs, strict=True):
        if all(title != row.name for title, _ in players.values()):  # of the first runtime: the others sound alike
            players[row.name.replace(", ", "-").replace(" ", "_")] = (row.name, output)
    for name, (_, samples) in players.items():
        audio.write(folder / f"{name}.wav", samples, rate_hz)
    numbers = {
        "model": model.name,
        "architecture": model.network.name,
        "sample_rate_hz": rate_hz,
        "frames": len(comparison.take.audio),
        "rows": [{**asdict(row), "passed": row.passed} for row in comparison.rows],
        "refused": comparison.refused,
        "passed": comparison.passed,
    }
    with written_aside(folder / "comparison.json") as scratch:
        scratch.write_text(json.dumps(numbers, indent=2) + "\n")
    page = folder / "comparison.html"
    with written_aside(page) as scratch:
        scratch.write_text(_page(comparison, {name: title for name, (title, _) in players.items()}))
    return page


def _page(comparison: Comparison, players: dict[str, str]) -> str:
    model, verdict = comparison.model, "passed" if comparison.passed else "failed"
    seconds = len(comparison.take.audio) / model.sample_rate_hz
    head = "".join(f"<th>{html.escape(heading)}</th>" for heading in HEADINGS)
    rows = (f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in _cells(row))}</tr>" for row in comparison.rows)
    refused = (
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(why)}</td></tr>" for name, why in comparison.refused.items()
    )
    sections = [
        f"<h1>{html.escape(model.name)} <span class='verdict {verdict}'>{verdict}</span></h1>",
        f"<p class='lead'>{html.escape(model.network.name)}: the pedal's fixed-point engine and TensorFlow Lite on the "
        f"same {seconds:.1f} s of guitar, each against the float64 model.</p>",
        f"<table class='wide'><tr>{head}</tr>{''.join(rows)}</table>",
        "<p class='lead'>Microseconds are of this machine, with Python copying the states; cycles are estimates of the "
        "pedal's processor, of 10,000.</p>",
        f"<h2>Look</h2><figure>{_bars(comparison)}<figcaption>SNR against the float model; the line is what each must "
        "reach.</figcaption></figure>",
        f"<figure>{_spectra(comparison)}<figcaption>Average spectra: of the float model, and of what each "
        "implementation adds to it.</figcaption></figure>",
        "<h2>Listen</h2><div class='players'>",
        *(
            f"<div>{html.escape(title)}<audio controls preload='none' src='{name}.wav'></audio></div>"
            for name, title in players.items()
        ),
        "</div>",
    ]
    if comparison.refused:
        sections.append(f"<h2>Refused</h2><table>{''.join(refused)}</table>")
    return pages.document(f"{model.name}: fixed point and TensorFlow Lite", "\n".join(sections))


def _bars(comparison: Comparison) -> str:
    figure, axes = pages.new_axes("SNR against the float model, dB", "")
    rows = [row for row in comparison.rows if row.runtime != "torch"][::-1]
    for place, row in enumerate(rows):
        colour = COLOURS[1] if row.runtime == "specification" else COLOURS[0]
        axes.barh(place, row.snr_db, color=colour)
        axes.text(row.snr_db, place, f" {row.snr_db:.1f}", va="center")
        if row.gate_db is not None:
            axes.plot([row.gate_db] * 2, [place - 0.4, place + 0.4], color="#1d2329")
    axes.set_yticks(range(len(rows)), [f"{row.name}, {row.runtime}" for row in rows])
    figure.set_size_inches(10, 1 + 0.35 * len(rows))
    return pages.picture(figure)


def _spectra(comparison: Comparison) -> str:
    figure, axes = pages.new_axes("frequency, Hz", "dB full scale / Hz")
    reference, rate_hz = comparison.take.reference, comparison.model.sample_rate_hz
    curves = {"float model": reference}
    for row, output in zip(comparison.rows, comparison.outputs, strict=True):
        if row.runtime != "torch" and row.name not in curves:
            curves[row.name] = output - reference
    for (name, samples), colour in zip(curves.items(), COLOURS, strict=False):
        frequencies, power = signal.welch(samples, rate_hz, nperseg=min(4096, len(samples)))
        label = name if name == "float model" else f"error of {name}"
        axes.semilogx(frequencies[1:], 10 * np.log10(np.maximum(power[1:], 1e-20)), color=colour, label=label)
    axes.set_xlim(30, rate_hz / 2)
    pages.legend(axes)
    return pages.picture(figure)
