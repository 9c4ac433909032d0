"""Instructions a sample of every engine in the emulated Cortex-M7, by model size: `python benchmarks/instructions.py`.

Prints a table, writes build/bench/instructions.json, and prints the constants that export/budget.py is made of. The
models are random: the count does not depend on the weights.
"""

import json
from pathlib import Path

import numpy as np
import torch

from export import blob, fixed_point
from export.quantize import quantize
from hardware.firmware_build import build
from hardware.program_link import ProgramLink
from training.model_file import Model
from training.recurrent import RecurrentNetwork

SIZES = (1, 8, 10, 13, 16, 20, 24, 32, 40, 48, 64)
FRAMES = 480
RESULT = Path("build/bench/instructions.json")


def measure(link: ProgramLink, unit: str, size: int) -> list[dict]:
    """One row for each engine of the pedal."""
    torch.manual_seed(0)
    model = Model(f"{unit}-{size}", unit, {"hidden_size": size, "knob_count": 0}, RecurrentNetwork(unit, size))
    audio = 0.5 * np.sin(np.arange(FRAMES) * 0.05)
    quantized = quantize(model, audio)
    contents = blob.to_bytes(quantized, blob.make_self_test(quantized, audio), low_weights=True)
    link.load(0, contents)
    rows = []
    for engine in sorted(link.hello().engines):
        link.select(0, engine)
        link.reset()
        link.clear_stats()
        link.process(fixed_point.to_q31(audio) >> 8)
        instructions = round(link.stats().mean_per_frame)
        rows.append({"model": model.name, "engine": engine.name.lower(), "instructions": instructions})
    return rows


def fit(rows: list[dict], unit: str) -> np.ndarray:
    """Coefficients of hidden * pairs, hidden and 1 for the fixed engine, never below what was measured."""
    sizes = np.array(SIZES)
    counts = np.array(
        [row["instructions"] for row in rows if row["engine"] == "fixed" and row["model"].startswith(unit)]
    )
    terms = np.stack([sizes * ((sizes + 1) // 2), sizes, np.ones_like(sizes)], axis=1)
    coefficients = np.linalg.lstsq(terms / counts[:, None], np.ones(len(sizes)), rcond=None)[0]
    return coefficients * (counts / (terms @ coefficients)).max()


def main() -> None:
    with ProgramLink("emulator", build("emulator")) as link:
        rows = [row for unit in ("lstm", "gru") for size in SIZES for row in measure(link, unit, size)]
    for row in rows:
        print(f"{row['model']:8} {row['engine']:9} {row['instructions']:7,}")
    for unit in ("lstm", "gru"):
        print(unit, "hidden * pairs, hidden, 1:", [round(float(value), 1) for value in fit(rows, unit)])
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
