"""`pedal dataset`: the options; the work is in this package, imported when it is called for."""

import json
from pathlib import Path

import click

from training.errors import InputError

_PATH = click.Path(path_type=Path)


@click.group()
def dataset() -> None:
    """Datasets of guitars through devices: render, add recordings, split."""


@dataset.command()
@click.argument("plan_path", metavar="PLAN", type=_PATH)
@click.option("--out", "folder", type=_PATH, required=True, help="The dataset's folder, such as amps.")
@click.option("--processes", type=click.IntRange(min=1), help="On this machine.  [default: as many as it has cores]")
@click.option(
    "--scheduler", metavar="ADDRESS", help="Instead, a Dask cluster that sees the same folder: tcp://host:8786."
)
@click.option("--prune", is_flag=True, help="Delete what was rendered there before and is not of PLAN.")
def render(plan_path: Path, folder: Path, processes: int | None, scheduler: str | None, prune: bool) -> None:
    """Sweep the devices of PLAN, a TOML file, over their knobs and takes. Called again, it goes on where it was."""
    from training.dataset import plan, render

    if processes and scheduler:
        raise InputError("give either --processes or --scheduler")
    rows = render.render(plan.read_plan(plan_path), folder, processes or 0, scheduler, click.echo, prune)
    click.echo(f"{folder}: {len(rows)} rows, {sum(row.seconds for row in rows) / 60:.1f} minutes")


@dataset.command()
@click.argument("recording_path", metavar="PAIR", type=_PATH)
@click.option("--out", "folder", type=_PATH, required=True, help="The dataset's folder, such as amps.")
def add(recording_path: Path, folder: Path) -> None:
    """Add recordings of a real device, which PAIR, a TOML file, lists: pairs as of a capture, and what was recorded."""
    from training.dataset import recordings

    rows = recordings.add(recording_path, folder, click.echo)
    click.echo(f"{folder}: {len(rows)} rows, {sum(row.seconds for row in rows) / 60:.1f} minutes")


@dataset.command()
@click.argument("folder", metavar="DIR", type=_PATH)
@click.option("--by", "kind", type=click.Choice(["device", "knob", "guitar"]), required=True, help="What is held out.")
@click.option(
    "--hold-out",
    "held_out",
    multiple=True,
    required=True,
    help="For the test: a device, a guitar, or positions of a knob: drive=0.5, drive=0.8..1. May be given again.",
)
@click.option(
    "--take-share",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.2,
    show_default=True,
    help="So many of the guitar takes are for the test alone; by guitar this is given.",
)
@click.option("--shared-takes", is_flag=True, help="Let training and test have the same guitar takes.")
@click.option("--seed", type=int, default=0, show_default=True, help="Draws the takes for the test.")
@click.option("--write", "out", type=_PATH, help="Write the ids there, as JSON, instead of on the screen.")
def splits(
    folder: Path,
    kind: str,
    held_out: tuple[str, ...],
    take_share: float,
    shared_takes: bool,
    seed: int,
    out: Path | None,
) -> None:
    """Divide the rows of DIR for training and test; prints the ids of either part as JSON."""
    from training.dataset.index import read_index
    from training.dataset.splits import split
    from training.files import written_aside

    made = split(read_index(folder), kind, held_out, take_share, shared_takes, seed)
    text = json.dumps(made.ids(), indent=1) + "\n"
    if out is None:
        click.echo(text, nl=False)
    else:
        with written_aside(out) as scratch:
            scratch.write_text(text, encoding="utf-8")
    for name, rows in (("train", made.train), ("test", made.test), ("left out", made.left_out)):
        click.echo(f"{name}: {len(rows)} rows, {sum(row.seconds for row in rows) / 60:.1f} minutes", err=True)
