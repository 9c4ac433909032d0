"""The models that a pedal holds: `pedal upload`, `pedal slots`, `pedal select`, `pedal backup`."""

import re
from pathlib import Path

import click

from export.description import Description
from hardware.connect import open_link, place_option
from hardware.link import PedalLink
from hardware.protocol import Engine
from training.errors import InputError
from training.files import written_aside

_FILE = click.Path(path_type=Path)


def blob_of(model: Path, engine: Engine = Engine.FIXED) -> bytes:
    """What to upload for `model`: a .pedal as it is, a model.pt exported in memory. Raises InputError."""
    if model.suffix == ".pedal":
        try:
            return model.read_bytes()
        except OSError as error:
            raise InputError(f"{model}: {error.strerror}") from error
    from export import daisy
    from training import model_file

    return daisy.prepare(model_file.load(model)).blob(low_weights=engine == Engine.RTNEURAL)


def filled(link: PedalLink) -> dict[int, Description]:
    """What the filled slots say of their models."""
    return {slot: link.slot(slot) for slot in sorted(link.hello().filled_slots)}


def _require_slot(link: PedalLink, slot: int) -> None:
    count = link.hello().slot_count
    if not 0 <= slot < count:
        raise InputError(f"slot {slot}: this pedal has slots 0 to {count - 1}")


@click.command()
@click.argument("model", type=_FILE)
@click.option("--slot", type=int, help="Where to; by default the first empty slot.")
@place_option("usb")
def upload(model: Path, slot: int | None, place: str) -> None:
    """Put MODEL (a .pedal or model.pt) into a slot of a pedal, while it plays.

    The pedal checks and self-tests it first; a power cut leaves the old model or the new one.
    """
    blob = blob_of(model)
    with open_link(place) as link:
        taken = filled(link)
        if slot is None:
            empty = [free for free in range(link.hello().trial_slot) if free not in taken]
            if not empty:
                raise InputError("all slots are filled: say with --slot which model to replace")
            slot = empty[0]
        _require_slot(link, slot)
        link.load(slot, blob)
        described = link.slot(slot)
    before = f", which had {taken[slot].name}" if slot in taken else ""
    click.echo(f"{described.name} is in slot {slot}{before}")


@click.command()
@place_option("usb")
def slots(place: str) -> None:
    """List the models that a pedal holds."""
    with open_link(place) as link:
        active, held = link.hello().active_slot, filled(link)
    for slot, described in held.items():
        knobs = ", ".join(knob.name for knob in described.knobs)
        mark = "*" if slot == active else " "
        click.echo(f"{mark}{slot:>3}  {described.name:<32} {described.architecture:<5} {knobs}".rstrip())
    if not held:
        click.echo("no model: pedal upload MODEL puts one there")


@click.command()
@click.argument("slot", type=int)
@place_option("usb")
def select(slot: int, place: str) -> None:
    """Make the model of SLOT the one that plays, now and when the power comes back."""
    with open_link(place) as link:
        _require_slot(link, slot)
        described = link.slot(slot)
        link.select(slot, Engine.FIXED)
    click.echo(f"slot {slot} plays: {described.name}")


@click.command()
@click.option("--out", type=_FILE, default=Path("backup"), show_default=True, help="Folder for the .pedal files.")
@place_option("usb")
def backup(out: Path, place: str) -> None:
    """Copy the models of all slots from a pedal into files, which `pedal upload` takes again."""
    with open_link(place) as link:
        files = {
            slot: out / f"{slot:02d} {_file_name(described.name)}.pedal" for slot, described in filled(link).items()
        }
        for path in files.values():
            if path.exists():
                raise InputError(f"{path}: exists; choose another folder with --out")
        for slot, path in files.items():
            try:
                blob = link.blob(slot)
            except InputError as error:
                click.echo(f"slot {slot}: {error}")
                continue
            with written_aside(path) as scratch:
                scratch.write_bytes(blob)
            click.echo(f"{path}: {len(blob):,} bytes")
    if not files:
        click.echo("the pedal holds no model")


def _file_name(name: str) -> str:
    return re.sub(r"[^\w .+-]", "_", name).strip(" .") or "model"
