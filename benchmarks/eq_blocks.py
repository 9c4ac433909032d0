"""EQ-block networks beside LSTMs and a GRU at equal training time: `python benchmarks/eq_blocks.py`.

Every model trains for as many CPU seconds on each amp, on one core, with the recipe of `pedal train`, and is measured
on 15 s that training never saw. Writes docs/eq-blocks-table.md. What is trained is kept in build/bench/eq_blocks, so
that a run that was broken off goes on.

The amps: three waveshapers with filters and a Tube Screamer's circuit, which are made here, and a capture of a
high-gain amp by others (a NAM A2 WaveNet), where ../shared/data is. `--sweep` instead tries other banks and losses of
the EQ network on two of them and prints what they reach.
"""

import json
import math
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path

import click
import numpy as np
import torch
from training_recipe import (
    AMPS,
    RUN_IN_FRAMES,
    SAMPLE_RATE_HZ,
    TEST_SECONDS,
    as_24_bit,
    di,
    first_order,
    oversampled,
    peak,
    stage,
)

from export import budget
from hardware.firmware_build import REPOSITORY
from training import circuits, distill, foreign, loop, losses, model_file
from training.capture import Capture, Pair
from training.capture_simulation import DI_VOLTS_PER_FULL_SCALE
from training.eq_block import EqNetwork
from training.files import written_aside
from training.loop import Trainer, TrainingConfig
from training.memory import keep_freed_memory
from training.model_file import Model, TrainableNetwork

MODELS = (
    *("eq-6x33-linear", "eq-6x33", "eq-6x129", "eq-6x257"),
    *("lstm-8", "lstm-16", "lstm-20", "lstm-40", "gru-10"),
)
SWEEP: dict[str, Callable[[], EqNetwork]] = {
    **{f"6 x {taps} taps": partial(EqNetwork, 6, taps) for taps in (33, 65, 129, 257, 511)},
    "4 x 193 taps": partial(EqNetwork, 4, 193),
    "8 x 97 taps": partial(EqNetwork, 8, 97),
    **{f"6 x 129 taps, Q {q}": partial(EqNetwork, 6, 129, q=q) for q in (0.7, 1.5, 2.0, 4.0, 6.0)},
    **{f"6 x 129 taps, {bands} bands": partial(EqNetwork, 6, 129, bands=bands) for bands in (24, 40, 90)},
    "6 x 33 taps, linear phase": partial(EqNetwork, 6, 33, "linear"),
}
LOSS_MODELS = ("eq-6x33-linear", "eq-6x129")
SWEEP_AMPS = ("crunch", "high-gain")
CAPTURE = REPOSITORY.parent / "shared" / "data" / "models" / "oyama_LogicProAmp_A2.nam"
OUT = Path("build/bench/eq_blocks")
TABLE = REPOSITORY / "docs" / "eq-blocks-table.md"


def clean(v: np.ndarray) -> np.ndarray:
    v = peak(first_order(v, 80, "high"), 400, 0.6, -6)
    return 0.6 * first_order(stage(1.5 * v, 0.2), 6000, "low")


def tube_screamer(dry: np.ndarray) -> np.ndarray:
    circuit = circuits.load_circuit("tube_screamer")
    volts = circuits.process(circuit, dry.astype(np.float64) * DI_VOLTS_PER_FULL_SCALE, SAMPLE_RATE_HZ)
    return as_24_bit(volts / circuit.volts_per_full_scale)


def amps() -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """What makes wet of dry, from clean to most distorted."""
    made = {
        "clean": lambda dry: oversampled(clean, dry),
        "tube screamer": tube_screamer,
        **{name: lambda dry, amp=amp: oversampled(amp, dry) for name, amp in AMPS.items()},
    }
    if CAPTURE.is_file():
        teacher = foreign.read(CAPTURE)
        made["NAM capture"] = lambda dry: distill.play(teacher, dry, distill.removable_delay(teacher))
    return made


def trained(network: TrainableNetwork, capture: Capture, seconds: float, loss: str) -> tuple[TrainableNetwork, float]:
    """The best of `seconds` of CPU time, by validation; and the seconds that it took."""
    config = TrainingConfig(model=network.name, loss=loss)
    steps = loop.affordable_steps(capture, config, 0.95 * seconds, clock=time.process_time)
    started = time.process_time()
    if isinstance(network, EqNetwork):
        network.aim(float(np.abs(capture.pairs[0].target).max()))
    trainer = Trainer(capture, replace(config, steps=steps), torch.device("cpu"), network)
    while not trainer.finished:
        trainer.train_on_draw()
        if trainer.validation_due:
            trainer.validate()
    return trainer.best_network(), time.process_time() - started


def errors(network: TrainableNetwork, dry: np.ndarray, wet: np.ndarray) -> tuple[float, float]:
    """ESR and mel error in dB on the test part, the network's latency taken out."""
    model = Model("", network.architecture, network.config, network)
    test = len(dry) - TEST_SECONDS * SAMPLE_RATE_HZ
    output = model.render(dry[test - RUN_IN_FRAMES :])[RUN_IN_FRAMES + model.latency_frames :]
    target = wet[test : test + len(output)]
    played, wanted = torch.from_numpy(output), torch.from_numpy(target)
    return losses.esr(played, wanted).item(), losses.mel_error_db(played, wanted)


def measured(
    amp: str,
    label: str,
    make: Callable[[], TrainableNetwork],
    pair: tuple[np.ndarray, np.ndarray],
    seconds: float,
    loss: str = "esr",
) -> dict:
    """What came of one training, from build/bench/eq_blocks where it is there."""
    path = OUT / f"{amp}_{label}_{seconds:g}.json".replace(" ", "_")
    if not path.is_file():
        dry, wet = pair
        test = len(dry) - TEST_SECONDS * SAMPLE_RATE_HZ
        torch.manual_seed(0)
        network, took_s = trained(make(), Capture((Pair(amp, dry[:test], wet[:test]),)), seconds, loss)
        esr, mel_db = errors(network, dry, wet)
        row = {"amp": amp, "model": label, "esr_db": 10 * math.log10(esr), "mel_db": mel_db, "cpu_s": took_s}
        with written_aside(path) as scratch:
            scratch.write_text(json.dumps(row) + "\n")
    row = json.loads(path.read_text())
    print(f"{amp:14} {label:26} {row['esr_db']:6.1f} dB ESR, mel {row['mel_db']:5.2f} dB", flush=True)
    return row


def table(rows: list[dict], seconds: float) -> str:
    """The page. In each cell: ESR, mel error."""
    heard = list(dict.fromkeys(row["amp"] for row in rows))
    lines = [
        "<!-- Made by `python benchmarks/eq_blocks.py`. Do not edit. -->",
        "# EQ blocks beside LSTMs and a GRU",
        "",
        f"Each model after {seconds:g} CPU seconds of training on each amp, with one core, on 15 s of guitar that",
        "training never saw: ESR in dB, and the mean difference of mel spectrograms in dB. Cycles are the estimate of",
        "`pedal export`, of 10,000 that a sample has.",
        "",
        f"| model | cycles | latency, ms | training, s | {' | '.join(heard)} |",
        f"|---|---|---|---|{'---|' * len(heard)}",
    ]
    for name in MODELS:
        mine = {row["amp"]: row for row in rows if row["model"] == name}
        network = model_file.network_named(name)
        model = Model(name, network.architecture, network.config, network)
        cells = [f"{mine[amp]['esr_db']:.1f}, {mine[amp]['mel_db']:.2f}" for amp in heard]
        latency_ms = 1000 * model.latency_frames / SAMPLE_RATE_HZ
        took_s = np.mean([row["cpu_s"] for row in mine.values()])
        cycles = budget.of_model(model).cycles_per_sample
        lines.append(f"| {name} | {cycles:,} | {latency_ms:g} | {took_s:.0f} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


@click.command()
@click.option("--seconds", default=60.0, show_default=True, help="CPU seconds of training, for each model and amp.")
@click.option("--sweep", is_flag=True, help="Other banks and losses of the EQ network instead.")
def main(seconds: float, sweep: bool) -> None:
    """Train every model on every amp, and write docs/eq-blocks-table.md."""
    torch.set_num_threads(1)
    keep_freed_memory()
    dry = di()
    named = {name: partial(model_file.network_named, name) for name in MODELS}
    rows = []
    for amp, play in amps().items():
        if sweep and amp not in SWEEP_AMPS:
            continue
        wet = play(dry).astype(np.float32)
        for label, make in (SWEEP if sweep else named).items():
            rows.append(measured(amp, label, make, (dry, wet), seconds))
        for name, loss in product(LOSS_MODELS, losses.KINDS) if sweep else ():
            measured(amp, f"{name}, {loss} loss", named[name], (dry, wet), seconds, loss)
    if not sweep:
        with written_aside(TABLE) as scratch:
            scratch.write_text(table(rows, seconds))
        print(f"{TABLE} is written")


if __name__ == "__main__":
    main()
