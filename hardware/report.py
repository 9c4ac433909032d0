"""The page and the numbers of a verification: report.html, report.json and the audio that the page plays."""

import base64
import html
import io
import json
from pathlib import Path

import matplotlib
import numpy as np
from scipy import signal

from export.daisy import SAMPLE_RATE_HZ
from hardware.verify import Report, Signals, round_trip
from training import audio
from training.files import written_aside

matplotlib.use("Agg")  # before pyplot: there may be no display
from matplotlib import pyplot as plt

CLOSE_UP_SECONDS = 0.012
ERROR_WINDOW_FRAMES = 2400
COLOURS = {"di": "#9aa4ae", "target": "#e08e2b", "model": "#2b6cb0", "pedal": "#c0392b", "error": "#6b4c9a"}
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1d2329; }
h1 { font-size: 1.6rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin-top: 2rem; }
p.lead { color: #57606a; margin-top: .2rem; }
.verdict { display: inline-block; padding: .1rem .7rem; border-radius: 1rem; color: #fff; font-weight: 600; }
.passed { background: #2e7d4f; } .failed { background: #c0392b; }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; padding: .35rem .6rem; }
tr { border-bottom: 1px solid #e3e6e9; } td:first-child { color: #57606a; width: 45%; }
table.wide td:first-child { width: auto; }
table.wide td:nth-child(n + 3), table.wide th:nth-child(n + 3) { text-align: right; }
img { width: 100%; height: auto; } figure { margin: 1rem 0; }
figcaption { color: #57606a; font-size: .9rem; }
.players { display: grid; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); gap: 1rem; }
.players div { border: 1px solid #e3e6e9; border-radius: .5rem; padding: .6rem .8rem; } audio { width: 100%; }
"""


def write(folder: Path, report: Report, signals: Signals, others: list[Report] | None = None) -> Path:
    """Write report.json, report.html and one WAV a signal into `folder`; returns the page's path.

    `others`: reports of further engines on the same DI, shown as a table and listed in the JSON under `others`.
    """
    others = others or []
    players = {"di": "Dry guitar (DI)", "target": "Amp (target)", "model": "Float model", "pedal": "Pedal"}
    present = {name: title for name, title in players.items() if getattr(signals, name) is not None}
    for name in present:
        audio.write(folder / f"{name}.wav", getattr(signals, name), SAMPLE_RATE_HZ)
    numbers = {**report.as_json(), "others": [other.as_json() for other in others]}
    with written_aside(folder / "report.json") as scratch:
        scratch.write_text(json.dumps(numbers, indent=2) + "\n")
    page = folder / "report.html"
    with written_aside(page) as scratch:
        scratch.write_text(_page(report, signals, present, others))
    return page


def _page(report: Report, signals: Signals, players: dict[str, str], others: list[Report]) -> str:
    verdict = "passed" if report.passed else "failed"
    figures = [
        (_close_up(signals), "The loudest moment. Model and pedal lie on top of each other where the pedal is right."),
        (_error_over_time(signals), "Level of the pedal's output and of its error against the float model, by 50 ms."),
        (_spectra(signals), "Average spectra. The pedal's error is what quantization adds to the model."),
    ]
    sections = [
        f"<h1>{html.escape(report.model)} <span class='verdict {verdict}'>{verdict}</span></h1>",
        f"<p class='lead'>{html.escape(report.architecture)} on {html.escape(report.board)}, {report.engine} engine: "
        f"{report.frames:,} frames of guitar, compared sample by sample with the float model.</p>",
        _table(_numbers(report)),
        "<h2>Listen</h2><div class='players'>",
        *(
            f"<div>{html.escape(title)}<audio controls preload='none' src='{name}.wav'></audio></div>"
            for name, title in players.items()
        ),
        "</div><h2>Look</h2>",
        *(f"<figure>{picture}<figcaption>{caption}</figcaption></figure>" for picture, caption in figures),
    ]
    if others:
        sections += ["<h2>Other engines on the same guitar</h2>", *(_table(_numbers(other)) for other in others)]
    return document(f"{report.model}: pedal against model", "\n".join(sections))


def document(title: str, body: str) -> str:
    """A page in the style of all of ours; `title` is plain text, `body` HTML."""
    return (
        f"<!doctype html>\n<html lang='en'><head><meta charset='utf-8'><title>{html.escape(title)}</title>"
        f"<meta name='viewport' content='width=device-width'><style>{_STYLE}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )


def _numbers(report: Report) -> list[tuple[str, str]]:
    rows = [
        ("Engine", report.engine),
        (
            "Pedal against float model",
            f"SNR {report.snr_pedal_vs_model_db:.1f} dB (ESR {report.esr_pedal_vs_model:.2e})",
        ),
        ("Largest error", f"{report.largest_error_dbfs:.1f} dBFS at {report.largest_error_at_s:.3f} s"),
        ("Delay", f"{report.delay_frames} frames"),
    ]
    if report.round_trip_frames is not None:
        rows.append(("Round trip, host to pedal and back", round_trip(report.round_trip_frames)))
    if report.snr_resampling_db is not None:
        rows.append(("Resampling, against the model's own rate", f"SNR {report.snr_resampling_db:.1f} dB"))
    if report.esr_model_vs_target is not None and report.esr_pedal_vs_target is not None:
        rows.append(("Float model against amp", f"ESR {report.esr_model_vs_target:.5f}"))
        rows.append(("Pedal against amp", f"ESR {report.esr_pedal_vs_target:.5f}"))
    if report.instructions_per_sample is not None:
        of_budget = f" of {report.budget_per_sample:,}" if report.budget_per_sample else ""
        rows.append(("Instructions a sample", f"{report.instructions_per_sample:,}{of_budget}"))
    rows.append(("Overruns, faults", f"{report.overruns}, {report.faults}"))
    for name, check in report.limits.items():
        rows.append((f"{name} {check.limit:g}", f"{check.value:.4g} — {'pass' if check.passed else 'FAIL'}"))
    return rows


def _table(rows: list[tuple[str, str]]) -> str:
    cells = (f"<tr><td>{html.escape(name)}</td><td>{html.escape(value)}</td></tr>" for name, value in rows)
    return f"<table>{''.join(cells)}</table>"


def picture(figure: plt.Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    plt.close(figure)
    return f"<img alt='' src='data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}'>"


def new_axes(x_label: str, y_label: str) -> tuple[plt.Figure, plt.Axes]:
    figure, axes = plt.subplots(figsize=(10, 3.6), layout="constrained")
    axes.set(xlabel=x_label, ylabel=y_label)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def legend(axes: plt.Axes) -> None:
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, frameon=False)


def _close_up(signals: Signals) -> str:
    frames = min(round(CLOSE_UP_SECONDS * SAMPLE_RATE_HZ), len(signals.pedal))
    start = int(np.clip(np.argmax(np.abs(signals.model)) - frames // 2, 0, len(signals.pedal) - frames))
    part = slice(start, start + frames)
    milliseconds = (start + np.arange(frames)) / SAMPLE_RATE_HZ * 1e3
    figure, axes = new_axes("time, ms", "full scale")
    axes.plot(milliseconds, signals.di[part], color=COLOURS["di"], label="DI", linewidth=1)
    if signals.target is not None:
        axes.plot(milliseconds, signals.target[part], color=COLOURS["target"], label="amp", linewidth=3, alpha=0.6)
    axes.plot(milliseconds, signals.model[part], color=COLOURS["model"], label="float model", linewidth=1.6)
    axes.plot(
        milliseconds, signals.pedal[part], color=COLOURS["pedal"], label="pedal", linewidth=1.6, linestyle=(0, (3, 3))
    )
    legend(axes)
    return picture(figure)


def _level_db(samples: np.ndarray) -> np.ndarray:
    windows = len(samples) // ERROR_WINDOW_FRAMES
    power = np.square(samples[: windows * ERROR_WINDOW_FRAMES]).reshape(windows, -1).mean(1)
    return 10 * np.log10(np.maximum(power, 1e-16))


def _error_over_time(signals: Signals) -> str:
    figure, axes = new_axes("time, s", "level, dBFS")
    level = _level_db(signals.pedal)
    seconds = np.arange(len(level)) * ERROR_WINDOW_FRAMES / SAMPLE_RATE_HZ
    axes.plot(seconds, level, color=COLOURS["pedal"], label="pedal")
    axes.plot(seconds, _level_db(signals.pedal - signals.model), color=COLOURS["error"], label="pedal − model")
    if signals.target is not None:
        axes.plot(seconds, _level_db(signals.model - signals.target), color=COLOURS["target"], label="model − amp")
    legend(axes)
    return picture(figure)


def _spectra(signals: Signals) -> str:
    figure, axes = new_axes("frequency, Hz", "dB full scale / Hz")
    curves = {
        "target": ("amp", signals.target),
        "model": ("float model", signals.model),
        "pedal": ("pedal", signals.pedal),
    }
    curves["error"] = ("pedal − model", signals.pedal - signals.model)
    for name, (label, samples) in curves.items():
        if samples is None:
            continue
        frequencies, power = signal.welch(samples, SAMPLE_RATE_HZ, nperseg=min(4096, len(samples)))
        style = {"linestyle": (0, (3, 3))} if name == "pedal" else {}
        axes.semilogx(
            frequencies[1:], 10 * np.log10(np.maximum(power[1:], 1e-20)), color=COLOURS[name], label=label, **style
        )
    axes.set_xlim(30, SAMPLE_RATE_HZ / 2)
    legend(axes)
    return picture(figure)
