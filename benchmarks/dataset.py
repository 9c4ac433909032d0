"""How fast a dataset is rendered: `python benchmarks/dataset.py [--seconds 10]`. Writes docs/dataset-table.md.

The command itself renders devices of training/dataset/example.toml, eight settings each, into build/bench/dataset: by
one and by two processes, with more and more devices, and with longer and longer takes. Each part of the work is timed
alone, in this process. CPU time is of all processes together, start-up and all. At last a small network trains on what
was rendered, and how long it waits for its reader is measured.
"""

import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np
import torch

from hardware.firmware_build import REPOSITORY
from training import circuits, guitar
from training.dataset import store
from training.dataset.index import SAMPLE_RATE_HZ
from training.dataset.plan import PlannedRow, read_plan
from training.dataset.reader import read_dataset
from training.dataset.render import RUNS_IN_JOB
from training.files import written_aside
from training.loop import Trainer, TrainingConfig
from training.memory import keep_freed_memory
from training.stretches import Streams

OUT = Path("build/bench/dataset")
TABLE = REPOSITORY / "docs" / "dataset-table.md"
EXAMPLE = REPOSITORY / "training" / "dataset" / "example.toml"
SETTINGS = 8
TAKES_IN_PAPER = 25
"""Rows that play each take in the extrapolation; a guitar costs little, and less the more devices play it."""
PAPER_HOURS, CORES = 500.0, 64
DRAWS = 12


@dataclass(frozen=True)
class Timed:
    """`audio`, `wall`, `cpu`: seconds of the rows, of the clock, and of all processes."""

    audio: float
    wall: float
    cpu: float

    @property
    def hours_an_hour(self) -> float:
        return self.audio / self.wall


def rendered(name: str, devices: Sequence[str], seconds: float, processes: int, keep: bool = False) -> Timed:
    """What the command takes for `SETTINGS` settings of each device, each with a take of its own; into OUT / `name`."""
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    path = OUT / f"{name}.toml"
    head = f"seconds = {seconds}\ntakes = {SETTINGS}\ntakes_per_setting = 1\ncount = {SETTINGS}\n"
    with written_aside(path) as scratch:
        scratch.write_text(head + "".join(f'[[device]]\ncircuit = "{device}"\n' for device in devices))
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "pedal.py", "dataset", "render", str(path), "--out", str(folder)]
    subprocess.run([*command, "--processes", str(processes)], cwd=REPOSITORY, check=True, capture_output=True)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if not keep:
        shutil.rmtree(folder)
    return Timed(len(devices) * SETTINGS * seconds, wall, cpu)


def parts(rows: Sequence[PlannedRow], folder: Path) -> tuple[float, float, float]:
    """CPU seconds of the guitar, of the circuit and of FLAC, a second of audio, for rows of one device."""
    started = time.process_time()
    takes = [guitar.render_take(row.take.di.seed or 0, row.take.frames / SAMPLE_RATE_HZ) for row in rows]
    played = time.process_time()
    device = rows[0].device
    knobs = [row.knobs for row in rows]
    outputs = circuits.process_many(device.circuit, np.stack(takes), knobs, SAMPLE_RATE_HZ, device.oversampling)
    simulated = time.process_time()
    for row, output in zip(rows, outputs, strict=True):
        store.store(folder / row.path, output, device.circuit.volts_per_full_scale)
    stored = time.process_time()
    audio = sum(row.take.frames for row in rows) / SAMPLE_RATE_HZ
    return (played - started) / audio, (simulated - played) / audio, (stored - simulated) / audio


def waiting(folder: Path) -> tuple[float, float]:
    """Seconds that `DRAWS` draws of training take, and how many of them are spent waiting for what is drawn.

    LSTM-8 is as small a network as anybody trains, so that it asks for data the fastest.
    """
    torch.set_num_threads(1)
    keep_freed_memory()
    trainer = Trainer(read_dataset(folder), TrainingConfig(model="lstm-8"), torch.device("cpu"))
    part, waited = trainer.training_part, [0.0]
    draw = part.draw

    def timed(streams: int, generator: torch.Generator) -> Streams:
        began = time.perf_counter()
        drawn = draw(streams, generator)
        waited[0] += time.perf_counter() - began
        return drawn

    part.draw = timed  # type: ignore[method-assign]
    trainer.train_on_draw()  # the first is not read ahead
    began, waited[0] = time.perf_counter(), 0.0
    for _ in range(DRAWS):
        trainer.train_on_draw()
    return time.perf_counter() - began, waited[0]


def first_rows(seconds: float) -> dict[str, list[PlannedRow]]:
    """As many rows of each device of the example as run together, each with `seconds` of a take of its own."""
    by_device: dict[str, list[PlannedRow]] = {}
    for row in read_plan(EXAMPLE).rows.values():
        chosen = by_device.setdefault(row.device.name, [])
        if len(chosen) < RUNS_IN_JOB:
            chosen.append(replace(row, take=replace(row.take, frames=round(seconds * SAMPLE_RATE_HZ))))
    return by_device


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "an unknown CPU"


@click.command()
@click.option("--seconds", default=10.0, show_default=True, help="Of each take.")
def main(seconds: float) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    rows = first_rows(seconds)
    devices = list(rows)
    for chosen in first_rows(1.0).values():  # what is compiled once is no part of the speed
        parts(chosen[:1], OUT / "warm")

    by_part = {}
    for name, chosen in rows.items():
        by_part[name] = parts(chosen, OUT / "parts")
        click.echo(f"{name}: {1 / by_part[name][1]:.1f} times real time")
    by_processes = {count: rendered(f"p{count}", devices, seconds, count) for count in (1, 2)}
    click.echo(f"1 and 2 processes: {', '.join(f'{timed.hours_an_hour:.2f}' for timed in by_processes.values())}")
    growing = {count: rendered(f"d{count}", devices[:count], seconds, 2) for count in (1, 2, 5, len(devices))}
    longer = {length: rendered(f"s{length:g}", ["klon"], length, 2) for length in (5.0, 10.0, 20.0, 40.0, 80.0)}
    rendered("read", ["tube_screamer"], 10.0, 2, keep=True)
    trained, waited = waiting(OUT / "read")
    click.echo(f"training: {trained:.2f} s, of which {waited:.2f} s are spent waiting")
    with written_aside(TABLE) as scratch:
        scratch.write_text(table(by_part, by_processes, growing, longer, seconds, (trained, waited)))
    shutil.rmtree(OUT, ignore_errors=True)
    click.echo(f"{TABLE}")


def table(
    by_part: dict[str, tuple[float, float, float]],
    by_processes: dict[int, Timed],
    growing: dict[int, Timed],
    longer: dict[float, Timed],
    seconds: float,
    training: tuple[float, float],
) -> str:
    guitars, simulated, stored = (float(np.mean([of[k] for of in by_part.values()])) for k in range(3))
    whole = by_processes[1].cpu / by_processes[1].audio
    rest = max(whole - sum((guitars / len(by_part), simulated, stored)), 0.0)
    in_paper = guitars / TAKES_IN_PAPER + simulated + stored
    hours = PAPER_HOURS * in_paper / CORES
    lines = [
        "<!-- Made by `python benchmarks/dataset.py`. Do not edit. -->",
        "# How fast a dataset is rendered",
        "",
        f"{processor()}, {os.cpu_count()} cores; {circuits.ENGINE}, 8 times oversampled; takes of {seconds:g} s, "
        f"{SETTINGS} settings of the knobs of each device, which run side by side. CPU time is of all processes, "
        "start-up included; the clock's time depends on what else the machine did.",
        "",
        f"## {len(by_part)} devices on one and two processes",
        "",
        "| processes | audio, min | time, s | hours of audio an hour | CPU, s | CPU s an audio s |",
        "|---|---|---|---|---|---|",
        *(
            f"| {count} | {of.audio / 60:.1f} | {of.wall:.0f} | {of.hours_an_hour:.1f} | {of.cpu:.0f} | "
            f"{of.cpu / of.audio:.3f} |"
            for count, of in by_processes.items()
        ),
        "",
        "## Where the time goes",
        "",
        f"Of one process: the circuit {_share(simulated, whole)}, FLAC {_share(stored, whole)}, the guitar "
        f"{_share(guitars / len(by_part), whole)} (each take is played by {len(by_part)} devices), start-up, index and "
        f"all else {_share(rest, whole)}. One second of audio in CPU milliseconds:",
        "",
        "| device | circuit | times real time | FLAC |",
        "|---|---|---|---|",
        *(f"| {name} | {1e3 * of[1]:.0f} | {1 / of[1]:.1f} | {1e3 * of[2]:.1f} |" for name, of in by_part.items()),
        "",
        f"A take of the guitar costs {1e3 * guitars:.0f} ms a second.",
        "",
        "## Growth",
        "",
        "With the number of devices, two processes; expected: what each device costs alone, by the table above.",
        "",
        "| devices | audio, min | time, s | CPU, s | expected CPU of circuits and FLAC, s |",
        "|---|---|---|---|---|",
        *(
            f"| {count} | {of.audio / 60:.1f} | {of.wall:.0f} | {of.cpu:.0f} | "
            f"{sum(sum(part[1:]) for part in list(by_part.values())[:count]) * SETTINGS * seconds:.0f} |"
            for count, of in growing.items()
        ),
        "",
        "With the length of the takes, one device (klon), two processes:",
        "",
        "| take, s | audio, min | time, s | CPU, s | CPU s an audio s |",
        "|---|---|---|---|---|",
        *(
            f"| {length:g} | {of.audio / 60:.1f} | {of.wall:.0f} | {of.cpu:.0f} | {of.cpu / of.audio:.3f} |"
            for length, of in longer.items()
        ),
        "",
        "## Reading it while training",
        "",
        f"LSTM-8, {DRAWS} draws of 32 stretches of 0.19 s from FLAC, 8 updates each: {training[0]:.1f} s, of which "
        f"{1e3 * training[1]:.0f} ms ({_share(training[1], training[0])}) are spent waiting for what is drawn.",
        "",
        f"## {PAPER_HOURS:g} hours on {CORES} cores",
        "",
        f"An extrapolation, not a measurement: {PAPER_HOURS:g} hours of these devices in equal parts, each take played"
        f" by {TAKES_IN_PAPER} rows, at {in_paper:.3f} CPU s an audio second, are {PAPER_HOURS * in_paper:.0f} core "
        f"hours: **{hours:.1f} hours on {CORES} cores** such as this one's. It assumes that cores do not slow each "
        "other down (jobs share nothing but the folder, and write 75 kB a second of audio) and that a core of the "
        f"cluster is as fast; start-up is left out. The files take {PAPER_HOURS * 3600 * 75e3 / 1e9:.0f} GB.",
    ]
    return "\n".join(lines) + "\n"


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f} %"


if __name__ == "__main__":
    main()
