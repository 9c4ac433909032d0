"""The synthetic guitar beside recorded ones: `python benchmarks/guitar.py [WAV ...]`.

Without files it takes the recorded guitars of ../shared/data, or where that is not, their figures in
benchmarks/recorded_guitars.json. Writes build/bench/guitar.png and prints a table. `--record` writes that JSON anew.

Compared is what `training.guitar.figures.measure` finds. Spectra are long-term means, in dB of the power from 80 Hz to
10 kHz, so that level does not matter. Four takes of 20 s on each of the four six-string guitars in standard tuning are
as a recording of each guitar: the mean power of its takes. Recordings are averaged in dB, each counting once, and so
are synthetic guitars. Of the recordings in ../shared/data two are whole guitars through an ordinary pickup and count
for that mean; the others are of a pickup with an amplifier for every string, from which low notes and the cable are
missing: they are drawn, and count for the ranges of crest factor and decay alone.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import matplotlib
import numpy as np

from training import audio
from training.errors import InputError
from training.files import written_aside
from training.guitar import render_take, take_facts
from training.guitar.figures import DECAY_OCTAVES_HZ, OCTAVES_HZ, THIRDS_HZ, Figures, measure

matplotlib.use("Agg")
import matplotlib.pyplot as plt

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY / "../shared/data/audio"
RECORDED = Path(__file__).with_name("recorded_guitars.json")
PICTURE = REPOSITORY / "build/bench/guitar.png"
ORDINARY = ("nam_reaper_guitar_di_48k24", "klon_datain_concat_44k1_16")  # of the recordings, those with a usual pickup
COMPARABLE = ("single-coil", "humbucker", "p90", "both")  # of the synthetic guitars, those in standard tuning
TAKES, TAKE_SECONDS, RATE_HZ = 4, 20.0, 48_000
LIMIT_DB = 6.0
SPECTROGRAM_SECONDS = 6.0

INK, FAINT, SYNTHETIC, BAND = "#1d2329", "#8a939c", "#c4451c", "#e9edf0"
RECORDED_COLOURS = ("#20618f", "#2f8f83", "#8a939c", "#a7afb6", "#c0c6cb")


@dataclass(frozen=True)
class Recording:
    """`samples`: float [frames], or None where only the figures are known. `ordinary`: counts for the mean."""

    name: str
    ordinary: bool
    figures: Figures
    samples: np.ndarray | None = None
    rate_hz: int = RATE_HZ


def read(paths: Sequence[Path], every: bool) -> list[Recording]:
    """The recordings in these files. `every`: each is ordinary, whatever its name."""
    recordings = []
    for path in paths:
        heard = audio.read(path)
        samples = np.asarray(heard.samples, np.float64)
        samples = samples if samples.ndim == 1 else samples.mean(axis=1)
        try:
            figures = measure(samples, heard.sample_rate_hz)
        except ValueError as error:
            raise InputError(f"{path}: {error}") from None
        ordinary = every or path.stem in ORDINARY
        recordings.append(Recording(path.stem, ordinary, figures, samples, heard.sample_rate_hz))
    return sorted(recordings, key=lambda recording: (not recording.ordinary, recording.name))


def known() -> list[Recording]:
    """The figures that are committed."""
    table = json.loads(RECORDED.read_text())["recordings"]
    return [
        Recording(row["name"], row["name"] in ORDINARY, Figures(**{k: _tuple(v) for k, v in row["figures"].items()}))
        for row in table
    ]


def _tuple(value: Any) -> Any:
    return tuple(float("nan") if x is None else x for x in value) if isinstance(value, list) else value


def record(recordings: Sequence[Recording]) -> None:
    """Write the figures of the recordings, and no sound, to benchmarks/recorded_guitars.json."""

    def plain(value: Any) -> Any:
        if isinstance(value, tuple):
            return [plain(x) for x in value]
        return None if np.isnan(value) else round(float(value), 2)

    rows = [
        {"name": of.name, "figures": {key: plain(value) for key, value in asdict(of.figures).items()}}
        for of in recordings
    ]
    about = (
        "Written by `python benchmarks/guitar.py --record`: training.guitar.figures of recordings from the public "
        "repositories sdatkinson/NeuralAmpModelerPlugin (MIT), jatinchowdhury18/KlonCentaur (BSD-3) and cycfi/q (MIT)."
    )
    with written_aside(RECORDED) as scratch:
        scratch.write_text(json.dumps({"about": about, "recordings": rows}, indent=1) + "\n")


def synthetic() -> list[Recording]:
    """Takes on the guitars that are compared."""
    takes = []
    for seed in range(len(COMPARABLE) * TAKES):
        guitar = COMPARABLE[seed // TAKES]
        take = render_take(seed, TAKE_SECONDS, RATE_HZ, guitar)
        name = f"{guitar} {seed}: {take_facts(seed, guitar)['pickup']}"
        takes.append(Recording(name, True, measure(take, RATE_HZ), take))
    return takes


def mean_db(recordings: Sequence[Recording], bands: str, of_each: int = 1) -> np.ndarray:
    """The mean of `octaves_db` or `thirds_db` of those that are ordinary: dB [bands].

    `of_each`: so many, one after the other, are of one guitar; their powers are averaged first.
    """
    levels = np.array([getattr(of.figures, bands) for of in recordings if of.ordinary])
    powers = (10 ** (levels / 10)).reshape(-1, of_each, levels.shape[1]).mean(axis=1)
    return np.mean(10 * np.log10(powers), axis=0)


def print_table(recordings: Sequence[Recording], takes: Sequence[Recording]) -> None:
    print(f"{'dB in the octave of':34}" + "".join(f"{hertz:>8.0f}" for hertz in OCTAVES_HZ) + "   crest")
    for of in [*recordings, *takes]:
        row = "".join(f"{level:8.1f}" for level in of.figures.octaves_db)
        print(f"{of.name[:34]:34}{row}{of.figures.crest_db:8.1f}")
    real, made = mean_db(recordings, "octaves_db"), mean_db(takes, "octaves_db", TAKES)
    for name, row_db in (("recorded, mean", real), ("synthetic, mean", made), ("difference", made - real)):
        print(f"{name:34}" + "".join(f"{level:8.1f}" for level in row_db))
    worst = np.abs(made - real).max()
    print(f"largest difference {worst:.1f} dB: {'within' if worst < LIMIT_DB else 'beyond'} {LIMIT_DB:g} dB")
    print(f"\n{'seconds to fall 60 dB, octave of':34}" + "".join(f"{hertz:>8.0f}" for hertz in DECAY_OCTAVES_HZ))
    for of in [*recordings, *takes]:
        print(f"{of.name[:34]:34}" + "".join(f"{seconds:8.2f}" for seconds in of.figures.t60_seconds))


def draw(recordings: Sequence[Recording], takes: Sequence[Recording]) -> None:
    """Write the picture."""
    figure = plt.figure(figsize=(13, 14.5), facecolor="white")
    grid = figure.add_gridspec(3, 2, height_ratios=(1.25, 1.0, 1.0), left=0.065, right=0.975, top=0.915, bottom=0.045)
    grid.update(hspace=0.32, wspace=0.16)
    figure.text(0.065, 0.968, "The synthetic guitar beside recorded ones", fontsize=19, color=INK, weight="bold")
    about = f"{len(takes)} takes of {TAKE_SECONDS:g} s on four guitars in standard tuning; none was chosen"
    figure.text(0.065, 0.948, about, fontsize=11, color=FAINT)
    _draw_spectra(figure.add_subplot(grid[0, :]), recordings, takes)
    _draw_decays(figure.add_subplot(grid[1, 0]), recordings, takes)
    _draw_crests(figure.add_subplot(grid[1, 1]), recordings, takes)
    heard = next((of for of in recordings if of.samples is not None), None)
    shown = [takes[6], takes[2]] if heard is None else [heard, takes[2]]
    for column, of in enumerate(shown):
        _draw_spectrogram(figure.add_subplot(grid[2, column]), of)
    with written_aside(PICTURE) as scratch:
        figure.savefig(scratch, dpi=85)
    plt.close(figure)


def _style(axes: Any, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=11.5, color=INK, pad=9)
    axes.tick_params(colors=INK, labelsize=9.5)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT)


def _hertz_axis(axes: Any, ticks: Sequence[float]) -> None:
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{hertz / 1000:g}k" if hertz >= 1000 else f"{hertz:g}" for hertz in ticks])
    axes.set_xticks([], minor=True)


def _colour(index: int) -> str:
    return RECORDED_COLOURS[min(index, len(RECORDED_COLOURS) - 1)]


def _draw_spectra(axes: Any, recordings: Sequence[Recording], takes: Sequence[Recording]) -> None:
    _style(axes, "Long-term spectrum in third octaves; the grey band is 6 dB around the recorded octaves' mean")
    real = mean_db(recordings, "octaves_db")
    octaves = np.array(OCTAVES_HZ)
    edges = np.concatenate([octaves / np.sqrt(2), octaves[-1:] * np.sqrt(2)])
    third = 10 * np.log10(1 / 3)  # of an octave, a third octave has so much less
    axes.stairs(real + third + LIMIT_DB, edges, baseline=real + third - LIMIT_DB, fill=True, color=BAND, zorder=0)
    spectra = np.array([of.figures.thirds_db for of in takes])
    low, high = np.percentile(spectra, (10, 90), axis=0)
    axes.fill_between(THIRDS_HZ, low, high, color=SYNTHETIC, alpha=0.16, linewidth=0)
    for index, of in enumerate(recordings):
        width = 2.2 if of.ordinary else 1.2
        axes.plot(THIRDS_HZ, of.figures.thirds_db, color=_colour(index), linewidth=width, label=of.name)
    mean = mean_db(takes, "thirds_db", TAKES)
    axes.plot(THIRDS_HZ, mean, color=SYNTHETIC, linewidth=3, label="synthetic: mean, and 10 to 90 % of the takes")
    made = mean_db(takes, "octaves_db", TAKES)
    for hertz, recorded, ours in zip(octaves, real, made, strict=True):
        axes.text(hertz, -3.2, f"{ours - recorded:+.1f}".replace("-", "−"), ha="center", fontsize=10, color=SYNTHETIC)
    axes.text(26, -3.2, "octave, synthetic less recorded, dB", fontsize=9.5, color=SYNTHETIC)
    _hertz_axis(axes, (31.25, 62.5, *OCTAVES_HZ, 16_000))
    axes.set_xlim(25, 20_000)
    axes.set_ylim(-68, 0)
    axes.set_ylabel("dB", color=INK)
    axes.legend(loc="lower left", bbox_to_anchor=(0.12, 0.0), frameon=False, fontsize=9.5, labelcolor=INK)


def _draw_decays(axes: Any, recordings: Sequence[Recording], takes: Sequence[Recording]) -> None:
    _style(axes, "How long notes take to fall by 60 dB, by octave (bar: median)")
    rng = np.random.default_rng(0)
    real = np.array([of.figures.t60_seconds for of in recordings])
    for octave, hertz in enumerate(DECAY_OCTAVES_HZ):
        column = real[:, octave][np.isfinite(real[:, octave])]
        if len(column):
            axes.plot([hertz * 0.93] * 2, [column.min(), column.max()], color=BAND, linewidth=13, zorder=0)
    for index, of in enumerate(recordings):
        x = np.array(DECAY_OCTAVES_HZ) * 0.93
        axes.plot(x, of.figures.t60_seconds, "o", color=_colour(index), markersize=8 if of.ordinary else 5.5)
    for of in takes:
        x = np.array(DECAY_OCTAVES_HZ) * 1.13 * rng.uniform(0.96, 1.04, len(DECAY_OCTAVES_HZ))
        axes.plot(x, of.figures.t60_seconds, "o", color=SYNTHETIC, alpha=0.45, markersize=5, markeredgewidth=0)
    medians = np.nanmedian([of.figures.t60_seconds for of in takes], axis=0)
    axes.plot(np.array(DECAY_OCTAVES_HZ) * 1.13, medians, "_", color=SYNTHETIC, markersize=17, markeredgewidth=2.6)
    _hertz_axis(axes, DECAY_OCTAVES_HZ)
    axes.set_yscale("log")
    ticks = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20)
    axes.set_yticks(ticks, [f"{seconds:g}" for seconds in ticks])
    axes.set_yticks([], minor=True)
    axes.set_ylabel("s", color=INK)


def _draw_crests(axes: Any, recordings: Sequence[Recording], takes: Sequence[Recording]) -> None:
    _style(axes, "Peak (dot), and level of 50 ms, 10, 50 and 90 %, against the RMS")
    rows = [*recordings, *sorted(takes, key=lambda of: of.figures.crest_db)]
    for row, of in enumerate(rows):
        colour = _colour(row) if row < len(recordings) else SYNTHETIC
        low, middle, high = of.figures.levels_db
        axes.plot([max(low, -46.0), high], [row, row], color=colour, linewidth=2.2, alpha=0.45, solid_capstyle="round")
        axes.plot(middle, row, "|", color=colour, markersize=9, markeredgewidth=2)
        axes.plot(of.figures.crest_db, row, "o", color=colour, markersize=6.5)
        axes.text(of.figures.crest_db + 1.2, row, f"{of.figures.crest_db:.1f}", va="center", fontsize=8.5, color=colour)
    axes.set_ylim(len(rows) - 0.3, -0.7)
    axes.set_xlim(-74, 32)
    axes.set_xticks(range(-40, 31, 10))
    names = [of.name if row < len(recordings) else "" for row, of in enumerate(rows)]
    axes.set_yticks([])
    for row, name in enumerate(names):
        axes.text(-74, row, name[:24], va="center", fontsize=8, color=FAINT)
    axes.set_xlabel("dB against the RMS", color=INK, fontsize=10)


def _draw_spectrogram(axes: Any, of: Recording) -> None:
    _style(axes, of.name)
    assert of.samples is not None
    first = max((len(of.samples) - round(SPECTROGRAM_SECONDS * of.rate_hz)) // 2, 0)
    samples = of.samples[first:][: round(SPECTROGRAM_SECONDS * of.rate_hz)]
    samples = samples / np.sqrt(np.mean(samples**2))
    axes.specgram(samples, NFFT=1024, Fs=of.rate_hz, noverlap=768, cmap="magma", vmin=-115, vmax=-25)
    axes.set_ylim(0, 16_000)
    axes.set_yticks((0, 4000, 8000, 12_000, 16_000), ("0", "4k", "8k", "12k", "16k Hz"))
    axes.set_xlabel("s", color=INK)


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--record", "to_record", is_flag=True, help="Write the figures of the recordings to the repository.")
def main(paths: tuple[Path, ...], to_record: bool) -> None:
    """Compare the synthetic guitar with recorded ones, WAV or FLAC."""
    if paths and to_record:
        raise InputError("--record is for the recordings of ../shared/data, which every copy of the repository names")
    found = sorted(SHARED.glob("*.wav"))
    recordings = read(paths or found, bool(paths)) if paths or found else known()
    if to_record:
        record(recordings)
    takes = synthetic()
    print_table(recordings, takes)
    draw(recordings, takes)
    click.echo(f"wrote {PICTURE.relative_to(REPOSITORY)}")


if __name__ == "__main__":
    main()
