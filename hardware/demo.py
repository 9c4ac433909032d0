"""The whole path of the data on one small amp: what `make demo` runs."""

from pathlib import Path

import torch

from export import daisy
from hardware import report as report_files
from hardware.connect import open_link
from hardware.protocol import Engine
from hardware.verify import table, verify
from training.capture import read_capture, read_pair
from training.capture_simulation import simulate_capture
from training.files import written_aside
from training.loop import TrainingConfig, train

CIRCUIT_KNOBS = {"drive": 0.4, "tone": 0.5, "level": 0.85}
TAKE_SECONDS, TAKE_SEEDS = 30.0, (1, 2, 3, 4)
"""Each seed is another guitar and another player."""
HELD_OUT_SECONDS, HELD_OUT_SEED = 6.0, 14
REFERENCE_FRAMES = 48_000
"""How much of it RTNeural plays: it takes four times as long and is there for comparison."""
CONFIG = TrainingConfig(model="lstm-20", steps=3000)


def run_demo(folder: Path) -> bool:
    """Simulate a capture, train, export, build and boot the firmware, verify; everything lands in `folder`.

    Returns whether the pedal is within its limits. The engine that plays in real time is `fixed`; RTNeural, where it is
    present, is verified too and shown beside it.
    """
    torch.set_num_threads(1)
    print("1/4 capture: a synthetic guitar through a simulated Tube Screamer")
    capture_file = _simulate_takes(folder)
    held_out_files = simulate_capture(
        folder / "held-out", "tube_screamer", CIRCUIT_KNOBS, HELD_OUT_SECONDS, HELD_OUT_SEED
    )

    print("2/4 training")
    capture = read_capture(capture_file)
    for finding in capture.findings:
        print(finding)
    model = train(capture, CONFIG, folder / "screamer.pt", force=True)

    print("3/4 export")
    exported = daisy.prepare(model)
    daisy.write(exported, folder / "screamer", "pedal demo")
    print(daisy.summary(exported))

    print("4/4 firmware: build, boot in the emulated Cortex-M7, play a take that training never heard")
    take = read_pair(*held_out_files).pairs[0]
    with open_link("emulator") as link:
        engines = sorted(link.hello().engines)
        report, signals = verify(link, exported, take.input, take.target, Engine.FIXED)
        start = take.input[:REFERENCE_FRAMES], take.target[:REFERENCE_FRAMES]
        others = [verify(link, exported, *start, engine)[0] for engine in engines if engine != Engine.FIXED]
    page = report_files.write(folder, report, signals, others)
    print(f"\n{table(report)}")
    for other in others:
        print(f"\nfor comparison, in real time or not:\n{table(other)}")
    print(f"\nreport: {page}")
    return report.passed


def _simulate_takes(folder: Path) -> Path:
    """Write the takes and the capture.toml that lists them; returns its path."""
    pairs = []
    for seed in TAKE_SEEDS:
        simulate_capture(folder / f"take-{seed}", "tube_screamer", CIRCUIT_KNOBS, TAKE_SECONDS, seed)
        pairs.append(f'[[pair]]\ninput = "take-{seed}/di.wav"\ntarget = "take-{seed}/amp.wav"\n')
    path = folder / "capture.toml"
    with written_aside(path) as scratch:
        scratch.write_text("\n".join(pairs))
    return path
