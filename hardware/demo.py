"""The whole path of the data on one small amp: what `make demo` runs."""

from pathlib import Path

import torch

from export import daisy
from hardware import report as report_files
from hardware.connect import open_link
from hardware.protocol import Engine
from hardware.verify import table, verify
from training.capture import read_pair
from training.capture_simulation import simulate_capture
from training.dataset.plan import read_plan
from training.dataset.reader import read_dataset
from training.dataset.render import render
from training.files import written_aside
from training.loop import TrainingConfig, train

CIRCUIT, KNOBS = "tube_screamer", {"drive": 0.4, "tone": 0.5, "level": 0.85}
PLAN = f"""# `pedal dataset render` makes of it what the demo trains on. Each take is another guitar and another player.
seconds = 20
takes = 8
guitars = ["humbucker", "single-coil", "both", "p90"]

[[device]]
circuit = "{CIRCUIT}"

[device.knobs]
{"".join(f"{knob} = {position}{chr(10)}" for knob, position in KNOBS.items())}"""
HELD_OUT_SECONDS, HELD_OUT_SEED = 6.0, 12
REFERENCE_FRAMES = 48_000
"""How much of it RTNeural plays: it takes four times as long and is there for comparison."""
CONFIG = TrainingConfig(model="lstm-20", steps=3000)


def run_demo(folder: Path) -> bool:
    """Render a small dataset, train, export, build and boot the firmware, verify; everything lands in `folder`.

    Returns whether the pedal is within its limits. The engine that plays in real time is `fixed`; RTNeural, where it is
    present, is verified too and shown beside it.
    """
    torch.set_num_threads(1)
    print("1/4 data: synthetic guitars through a simulated Tube Screamer")
    plan_file = folder / "plan.toml"
    with written_aside(plan_file) as scratch:
        scratch.write_text(PLAN)
    render(read_plan(plan_file), folder / "dataset", prune=True)
    held_out_files = simulate_capture(folder / "held-out", CIRCUIT, KNOBS, HELD_OUT_SECONDS, HELD_OUT_SEED)

    print("2/4 training")
    capture = read_dataset(folder / "dataset")
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
