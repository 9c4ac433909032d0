"""The commands that speak to a pedal: `pedal run`, `pedal verify`, `pedal reamp`, `pedal demo`."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import click
from click.core import ParameterSource

from export.cli import cabinet_options, read_cabinet
from hardware.connect import VIRTUAL, open_link, place_option, require_engine
from hardware.link import on_trial
from hardware.program_link import COMMANDS
from hardware.protocol import Engine, Parameter
from hardware.slots import blob_of
from training.errors import InputError

_FILE = click.Path(path_type=Path)


def _engine(_context: click.Context, _parameter: click.Parameter, name: str) -> Engine:
    return Engine[name.upper()]


def _assignments(_context: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]) -> dict[str, float]:
    values = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            values[name] = float(value)
        except ValueError as error:
            raise InputError(f"--knob {text}: give it as NAME=VALUE, such as drive=7") from error
    return values


def _shared_options(command: Callable) -> Callable:
    """--on, --engine, --knob and --block, which `run` and `verify` have in common."""
    engines = click.Choice([engine.name.lower() for engine in Engine])
    options = [
        place_option("emulator"),
        click.option("--engine", type=engines, default="fixed", show_default=True, callback=_engine),
        click.option(
            "--knob", "knobs", multiple=True, metavar="NAME=VALUE", callback=_assignments, help="A knob's value."
        ),
        click.option("--block", type=click.IntRange(1, 256), default=48, show_default=True, help="Frames a block."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _knob_values(knobs: tuple, values: dict[str, float]) -> list[float]:
    unknown = set(values) - {knob.name for knob in knobs}
    if unknown:
        there = ", ".join(knob.name for knob in knobs) or "none"
        raise InputError(f"this model has no knob {', '.join(sorted(unknown))}; its knobs are: {there}")
    return [values.get(knob.name, knob.default) for knob in knobs]


def _newest_blob() -> Path:
    blobs = sorted(Path().glob("*.pedal"), key=lambda path: path.stat().st_mtime)
    if not blobs:
        raise InputError("which model? give --model, or make a .pedal file here with: pedal export MODEL.pt")
    click.echo(f"playing {blobs[-1]}, the newest model here (--model chooses another)")
    return blobs[-1]


@click.command()
@click.argument("source", type=_FILE)
@click.argument("destination", type=_FILE)
@click.option("--model", type=_FILE, help="A .pedal or model.pt; by default the newest .pedal of this folder.")
@_shared_options
def run(
    source: Path, destination: Path, model: Path | None, place: str, engine: Engine, knobs: dict[str, float], block: int
) -> None:
    """Play the guitar in SOURCE (WAV or FLAC) through a pedal and write what comes back to DESTINATION.

    A pedal that keeps its models plays the one that it has, unless --model gives it another, for the time being in its
    last slot.
    """
    from tqdm import tqdm

    from export.daisy import SAMPLE_RATE_HZ
    from export.fixed_point import to_q31
    from training import audio

    samples = audio.read(source).at_rate(SAMPLE_RATE_HZ).samples
    audio.require_writable(destination)
    if destination.exists() and destination.samefile(source):
        raise InputError(f"{destination}: is the guitar itself; give the output another name")
    if model is None and (place in COMMANDS or place == VIRTUAL):  # which begin without one
        model = _newest_blob()
    blob = blob_of(model, engine) if model else None
    with open_link(place) as link, ExitStack() as stack:
        require_engine(link, engine)
        if blob:
            stack.enter_context(on_trial(link, blob, engine))
            link.reset()
        slot = link.hello().active_slot
        if slot is None:
            raise InputError("the pedal holds no model: give --model")
        described = link.slot(slot)
        for index, (knob, value) in enumerate(zip(described.knobs, _knob_values(described.knobs, knobs), strict=True)):
            link.set(Parameter(Parameter.KNOB_1 + index), knob.normalised(value))
        link.reset()
        with tqdm(total=len(samples), unit="frame", unit_scale=True, desc=described.name, disable=None) as bar:
            played = link.process(to_q31(samples) >> 8, block, bar.update)
    audio.write(destination, played / 2.0**23, SAMPLE_RATE_HZ)
    click.echo(f"{destination}: {len(played) / SAMPLE_RATE_HZ:.1f} s of {described.name}")


@click.command()
@click.argument("model", type=_FILE)
@click.option("--input", "input_path", type=_FILE, required=True, help="The dry guitar (DI) to play, WAV or FLAC.")
@click.option("--target", "target_path", type=_FILE, help="The same through the amp, to compare with as well.")
@click.option("--out", type=_FILE, help="Folder of the report; by default MODEL without .pt, and -verify.")
@click.option(
    "--against",
    type=click.Choice(["tflite"]),
    help="Instead of a pedal: TensorFlow Lite beside the pedal's fixed-point engine, in one table and on one page.",
)
@cabinet_options
@_shared_options
def verify(
    model: Path,
    input_path: Path,
    target_path: Path | None,
    out: Path | None,
    against: str | None,
    ir: Path | None,
    ir_taps: int,
    minimum_phase: bool,
    place: str,
    engine: Engine,
    knobs: dict[str, float],
    block: int,
) -> None:
    """Prove that a pedal plays MODEL (a model.pt): play a DI through both and compare sample by sample.

    The model goes to the pedal's last slot; afterwards the pedal plays the model that it played before. Exits with 1
    when a limit is missed.
    """
    import numpy as np

    from export import daisy
    from hardware import report as report_files
    from hardware import verify as verification
    from training import capture, model_file

    loaded = model_file.load(model)
    values = _knob_values(loaded.knobs, knobs)
    if against:
        _refuse_options_of_pedals()
        from export.tflite.exporter import runtimes

        runtimes()  # which refuses before anything is measured
    else:
        exported = daisy.prepare(loaded, cabinet=read_cabinet(ir, ir_taps, minimum_phase))
    target: np.ndarray | None = None
    if target_path is None:
        di, findings = capture.read_di(input_path)
    else:
        recording = capture.read_pair(input_path, target_path)
        di, target, findings = recording.pairs[0].input, recording.pairs[0].target, list(recording.findings)
    for finding in findings:
        click.echo(finding)
    folder = out or model.with_name(f"{model.stem}-verify")
    if against:
        from hardware import comparison

        compared = comparison.compare(loaded, di, target, values, click.echo)
        page = comparison.write(folder, compared)
        click.echo(comparison.table(compared))
        click.echo(f"report: {page}")
        if not compared.passed:
            raise SystemExit(1)
        return
    with open_link(place) as link:
        report, signals = verification.verify(link, exported, di, target, engine, values, block)
    page = report_files.write(folder, report, signals)
    click.echo(verification.table(report))
    click.echo(f"report: {page}")
    if not report.passed:
        raise SystemExit(1)


def _refuse_options_of_pedals() -> None:
    context = click.get_current_context()
    for name, option in (("place", "--on"), ("engine", "--engine"), ("block", "--block"), ("ir", "--ir")):
        if context.get_parameter_source(name) not in (ParameterSource.DEFAULT, None):
            raise InputError(f"--against tflite asks no pedal: leave out {option}")


@click.command()
@click.argument("state", type=click.Choice(["on", "off"]))
@place_option("usb")
def reamp(state: str, place: str) -> None:
    """Have a pedal play what the host plays on channel 1 of its sound device (on), or its guitar (off).

    It is on while a program plays to the sound device, until it is switched off, unplugged, or the host sleeps.
    """
    with open_link(place) as link:
        link.set(Parameter.REAMP, state == "on")
    click.echo("the host's channel 1 plays the amp, while it plays" if state == "on" else "the guitar plays the amp")


@click.command()
@click.option("--out", type=_FILE, default=Path("build/demo"), show_default=True, help="Folder for all that it makes.")
def demo(out: Path) -> None:
    """From a simulated capture to a verified pedal: train, export, build, boot the emulated chip, compare."""
    from hardware.demo import run_demo

    if not run_demo(out):
        raise SystemExit(1)
