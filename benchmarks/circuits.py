"""How fast the circuits play, beside ngspice: `python benchmarks/circuits.py`.

Every bundled device plays a synthetic guitar at 8 times 48 kHz, alone and with 16 settings of its knobs side by side;
ngspice plays the same netlist at the same step, one run, a shorter piece; both outputs are compared. All are seconds of
audio in one second of processor time, medians of three. Writes docs/circuits-table.md.
"""

import os
import platform
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
from scipy import signal

from training import circuits, guitar
from training.circuits import kernel, simulate, spice
from training.files import written_aside

TABLE = Path(__file__).parents[1] / "docs" / "circuits-table.md"
SAMPLE_RATE_HZ = 48_000
RUNS = 16
REPEATS = 3

INTRODUCTION = f"""<!-- Made by `python benchmarks/circuits.py`. Do not edit. -->
# How fast the circuits play

Seconds of audio in a second of one core's time, at {simulate.OVERSAMPLING} times 48 kHz, medians of {REPEATS}; \
`together` is {RUNS} knob settings and
takes side by side, all of them counted. Iterations of Newton's method a step: the mean, where {kernel.LANES} runs \
wait for the
slowest of them. ngspice plays the same netlist at the same step, and the ESR is that of our output against its own.
Compiling happens once.
"""


def cpu_seconds(work: Callable[[], object], whose: int = resource.RUSAGE_SELF) -> float:
    before = resource.getrusage(whose)
    work()
    after = resource.getrusage(whose)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(name: str, takes: np.ndarray, spice_frames: int) -> str:
    """A line of the table."""
    circuit = circuits.load_circuit(name)
    rng = np.random.default_rng(0)
    settings = [{knob: float(rng.uniform()) for knob in circuit.knobs} for _ in takes]
    runs, frames = takes.shape
    with tempfile.TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache
        compiling = cpu_seconds(
            lambda: circuits.process(circuit, np.zeros(1), SAMPLE_RATE_HZ), resource.RUSAGE_CHILDREN
        )
        alone, together, iterations = [], [], 0.0
        for _ in range(REPEATS):
            alone.append(cpu_seconds(lambda: circuits.process(circuit, takes[0], SAMPLE_RATE_HZ, **settings[0])))
            began = time.process_time()
            _, iterations = simulate.process_counted(circuit, takes, settings, SAMPLE_RATE_HZ)
            together.append(time.process_time() - began)
    seconds = frames / SAMPLE_RATE_HZ
    factor = simulate.OVERSAMPLING
    start = max(int(np.argmax(np.abs(takes[0]))) - spice_frames // 2, 0)
    fine = signal.resample_poly(takes[0, start : start + spice_frames], factor, 1)
    by_spice = spice.real_time_factor(circuit, fine, SAMPLE_RATE_HZ * factor, **settings[0])
    theirs = spice.spice_process(circuit, fine, SAMPLE_RATE_HZ * factor, **settings[0])
    ours = circuits.process(circuit, fine, SAMPLE_RATE_HZ * factor, 1, **settings[0])
    esr_db = 10.0 * np.log10(np.sum((ours - theirs) ** 2) / np.sum(theirs**2))
    line = (
        f"| {name} | {runs * seconds / statistics.median(together):.1f} | {seconds / statistics.median(alone):.1f} "
        f"| {by_spice:.3f} | {esr_db:.0f} | {iterations:.2f} | {compiling:.1f} |"
    )
    click.echo(line)
    return line


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


@click.command()
@click.option("--seconds", type=click.FloatRange(min=1), default=2.0, show_default=True, help="How long each take is.")
@click.argument("names", nargs=-1)
def main(seconds: float, names: tuple[str, ...]) -> None:
    """Measure NAMES, or all bundled circuits, which also writes the table."""
    takes = np.array([guitar.render_take(seed, seconds, SAMPLE_RATE_HZ) for seed in range(RUNS)])
    lines = [measure(name, takes, SAMPLE_RATE_HZ // 20) for name in names or circuits.bundled_circuits()]
    if not names:
        heading = [
            f"Processor: {processor()}.",
            "",
            "| device | together | alone | ngspice | ESR, dB | iterations | compiling, s |",
            "|---|---|---|---|---|---|---|",
        ]
        with written_aside(TABLE) as scratch:
            scratch.write_text("\n".join([INTRODUCTION, *heading, *lines, ""]), encoding="utf-8")


if __name__ == "__main__":  # ngspice runs in a process of its own, which imports this file
    main()
