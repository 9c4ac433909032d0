"""What a model that knows simulated devices needs of a recording: `python benchmarks/pretraining.py`.

An LSTM-20 learns a device with its knobs from a rendered dataset. Then another device, which it has not heard, is the
amp that somebody recorded for some seconds: one model is trained on that from random weights, one goes on from the
first (`pedal train --from`), with as many steps. Both are judged on another guitar. Writes docs/pretraining-table.md.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import torch

from hardware.firmware_build import REPOSITORY
from training import circuits, loop, losses, model_file
from training.capture import SAMPLE_RATE_HZ, Capture, Pair
from training.capture_simulation import DI_VOLTS_PER_FULL_SCALE
from training.dataset.plan import read_plan
from training.dataset.reader import read_dataset
from training.dataset.render import render
from training.files import written_aside
from training.guitar import render_take
from training.loop import TrainingConfig
from training.model_file import Model, TrainableNetwork

TABLE = REPOSITORY / "docs" / "pretraining-table.md"
OUT = Path("build/bench/pretraining")
PLAN = """seconds = 20
takes = 12
levels_db = [-6, 0]
[[device]]
circuit = "{device}"
count = 12
takes_per_setting = 2
[device.knobs]
{loudness} = 0.8
"""
RECORDED_SECONDS = (10, 30, 120)
TEST_SECONDS, TEST_SEED, RECORDING_SEED = 20, 901, 902


@dataclass(frozen=True)
class Case:
    """`base`: what is learnt first; `amp` at `knobs`: what is recorded."""

    base: str
    loudness: str
    amp: str
    knobs: dict[str, float]


CASES = (
    Case("tube_screamer", "level", "distortion_plus", {"distortion": 0.6}),
    Case("rat", "volume", "jcm800", {"gain": 0.5, "master": 0.7}),
)


def recording(case: Case, seed: int, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Dry and wet, float32 [frames]."""
    circuit = circuits.load_circuit(case.amp)
    volts = render_take(seed, seconds, SAMPLE_RATE_HZ)
    wet = circuits.process(circuit, volts, SAMPLE_RATE_HZ, **case.knobs)
    full_scale = max(float(np.abs(wet).max()) * 1.5, 1e-3)
    return (volts / DI_VOLTS_PER_FULL_SCALE).astype(np.float32), (wet / full_scale).astype(np.float32)


def pretrained(case: Case, steps: int) -> TrainableNetwork:
    path = OUT / f"{case.base}.pt"
    if not path.exists():
        shutil.rmtree(OUT / case.base, ignore_errors=True)
        plan = OUT / f"{case.base}.toml"
        with written_aside(plan) as scratch:
            scratch.write_text(PLAN.format(device=case.base, loudness=case.loudness))
        render(read_plan(plan), OUT / case.base)
        loop.train(read_dataset(OUT / case.base), TrainingConfig(steps=steps), path, force=True)
    return model_file.load(path).trainable


def error_db(model: Model, dry: np.ndarray, wet: np.ndarray) -> float:
    output = model.render(dry)[SAMPLE_RATE_HZ:]
    return 10.0 * np.log10(losses.esr(torch.from_numpy(output), torch.from_numpy(wet[SAMPLE_RATE_HZ:])).item())


@click.command()
@click.option("--base-steps", default=4000, show_default=True, help="Updates on the dataset.")
@click.option("--steps", default=800, show_default=True, help="Updates on the recording.")
def main(base_steps: int, steps: int) -> None:
    """Train on both ways for every amount of recording, and write docs/pretraining-table.md."""
    torch.set_num_threads(1)
    lines = [
        "# What a model that knows simulated devices needs of a recording",
        "",
        f"Made by `python benchmarks/pretraining.py`. LSTM-20, {steps} updates on the recording, ESR in dB on another",
        f"guitar; before, {base_steps} updates on a dataset of the first device with its knobs.",
        "",
        "| learnt first | recorded | seconds of it | from random weights | from the nearest setting of the first |",
        "|---|---|---|---|---|",
    ]
    for case in CASES:
        base = pretrained(case, base_steps)
        test_dry, test_wet = recording(case, TEST_SEED, TEST_SECONDS)
        dry, wet = recording(case, RECORDING_SEED, max(RECORDED_SECONDS))
        scale = np.float32(np.abs(wet).max() / max(np.abs(test_wet).max(), 1e-9))
        for seconds in RECORDED_SECONDS:
            kept = seconds * SAMPLE_RATE_HZ
            capture = Capture((Pair(case.amp, dry[:kept], wet[:kept]),))
            reached = []
            for start in (None, base):
                config = TrainingConfig(steps=steps)
                model = loop.train(capture, config, OUT / "trial.pt", force=True, start=start)
                reached.append(error_db(model, test_dry, test_wet * scale))
            lines.append(f"| {case.base} | {case.amp} | {seconds} | {reached[0]:.1f} | {reached[1]:.1f} |")
            print(lines[-1], flush=True)
    with written_aside(TABLE) as scratch:
        scratch.write_text("\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
