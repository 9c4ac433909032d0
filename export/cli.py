"""The commands `pedal import`, and `pedal export`, which is also `python -m export`."""

import shlex
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from training.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from training.cabinet import Cabinet
    from training.model_file import Model

FOREIGN_SUFFIXES = (".json", ".aidax", ".nam")
"""Of the files that are looked at in a folder; a file that is named may have any."""


@click.command("import")
@click.argument("sources", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the model.pt files.")
@click.option(
    "--rate",
    "rate_hz",
    type=click.IntRange(8000, 384000),
    help="Hz, only for files that do not say theirs.  [default: NAM and AIDA-X 48000, others 44100]",
)
@click.option("--force", is_flag=True, help="Overwrite models that are there.")
def import_command(sources: tuple[Path, ...], out: Path, rate_hz: int | None, force: bool) -> None:
    """Make model.pt files of captures by others: Proteus and NeuralPi, RTNeural and AIDA-X, Neural Amp Modeler.

    FILE may be a folder, which is searched. What each file is, is found from its content. Exits with 2 when a file was
    refused; the others are imported all the same.
    """
    files = _found(sources)
    stems = Counter(file.stem for file in files)
    refused = 0
    made: set[Path] = set()
    for file in files:
        name = file.stem if stems[file.stem] == 1 else f"{file.stem}-{file.suffix[1:]}"
        destination = out / f"{name}.pt"
        try:
            if destination in made:
                raise InputError(f"{file}: {destination} was made of another file just now; import it on its own")
            click.echo(_imported(file, destination, rate_hz, force))
            made.add(destination)
        except InputError as error:
            refused += 1
            click.echo(f"Error: {error.message}", err=True)
    if len(files) > 1:
        click.echo(f"{len(files) - refused} of {len(files)} files imported to {out}")
    if refused:
        sys.exit(InputError.exit_code)


def _found(sources: tuple[Path, ...]) -> list[Path]:
    files = []
    for source in sources:
        if source.is_dir():
            inside = [file for file in source.rglob("*") if file.is_file() and file.suffix.lower() in FOREIGN_SUFFIXES]
            if not inside:
                raise InputError(f"{source}: no {', '.join(FOREIGN_SUFFIXES)} in this folder")
            files += sorted(inside)
        else:
            files.append(source)
    return list(dict.fromkeys(files))


def _imported(file: Path, destination: Path, rate_hz: int | None, force: bool) -> str:
    """Import one file, and say in some lines what it is."""
    from export import budget
    from export.resampling import PEDAL_RATE_HZ, needed
    from training import foreign, model_file

    if destination.exists() and not force:
        raise InputError(f"{file}: {destination} exists; --force overwrites it")
    model = foreign.read(file, rate_hz)
    model_file.save(destination, model)
    metadata = model.training["metadata"]
    author = metadata.get("modeled_by") or metadata.get("author") or "an author that is not named"
    lines = [
        f"{destination}: {model.name}",
        f"  {model.network.name}, {model.sample_rate_hz:,} Hz, {model.training['format']}",
        f"  by {author}; licence {model.training['licence']}",
    ]
    if model.knobs:
        lines.append(f"  knobs: {', '.join(knob.name for knob in model.knobs)}")
    if (error := model.training.get("self_test_largest_error")) is not None:
        lines.append(f"  its embedded self-test passes, largest error {error:.1e}")
    try:
        cost = budget.of_model(model)
        resampling = needed(model.sample_rate_hz)
        around = "" if resampling is None else f", resampled around the model to {PEDAL_RATE_HZ:,} Hz"
        lines.append(f"  on the pedal: {cost.share:.0%} of the processor{around}")
    except InputError as refusal:
        lines += [f"  {refusal.message}", f"  {_distillation(destination)}"]
    return "\n".join(lines)


def _distillation(path: Path) -> str:
    """What to do with a model that the pedal cannot play."""
    small = path.with_name(f"{path.stem}-small.pt")
    line = shlex.join(["pedal", "distill", str(path), "--model", "lstm-20", "--out", str(small)])
    return f"one that fits can learn from it: {line}"


def cabinet_options(command: Callable) -> Callable:
    """--ir and how it is read, for what `read_cabinet` takes."""
    options = [
        click.option("--ir", type=click.Path(path_type=Path), help="A cabinet's impulse response, WAV or FLAC."),
        click.option(
            "--ir-taps",
            type=click.IntRange(16, 2048),
            default=2048,
            show_default=True,
            help="Its length at most, at 48 kHz.",
        ),
        click.option("--minimum-phase", is_flag=True, help="Make the impulse response minimum-phase."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def read_cabinet(ir: Path | None, ir_taps: int, minimum_phase: bool) -> "Cabinet | None":
    """What `cabinet_options` ask for; says what was found."""
    if ir is None:
        if minimum_phase:
            raise InputError("--minimum-phase is of an --ir")
        return None
    from training import cabinet

    read, findings = cabinet.read(ir, ir_taps, minimum_phase)
    for finding in findings:
        click.echo(finding)
    return read


@click.command("export")
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--target",
    type=click.Choice(["daisy", "rtneural", "aidax", "proteus", "tflite"]),
    default="daisy",
    show_default=True,
)
@click.option("--out", type=click.Path(path_type=Path), help="Output files without suffix; by default beside MODEL.")
@click.option(
    "--audio", type=click.Path(path_type=Path), help="DI to measure the ranges on, instead of a synthetic one."
)
@click.option(
    "--weights",
    type=click.Choice(["auto", "int16", "int8"]),
    default="auto",
    show_default=True,
    help="Of the blob. int8 takes half the flash; auto takes it where it costs no accuracy (pedal train --quantize).",
)
@click.option("--float-weights", is_flag=True, help="Put finer weights into the blob, for the rtneural engine.")
@cabinet_options
def export_command(
    model: Path,
    target: str,
    out: Path | None,
    audio: Path | None,
    weights: str,
    float_weights: bool,
    ir: Path | None,
    ir_taps: int,
    minimum_phase: bool,
) -> None:
    """Turn MODEL (a model.pt) into what a target runs.

    For the daisy: a C header, a blob to upload and RTNeural JSON, with what they cost. For the players of others: one
    file, .rtneural.json, .aidax or .proteus.json. For TensorFlow Lite and its Micro: a file a flavour, float and
    integer, and a manifest that says how to stream and what each was measured to reach.
    """
    from export import budget, daisy, players
    from training import capture, model_file

    loaded = model_file.load(model)
    base = out or model.with_suffix("")
    if target in players.PLAYERS:
        if ir is not None:
            raise InputError(f"--ir is for --target daisy: {target} files hold no impulse response")
        player = players.PLAYERS[target]
        path = players.write(target, loaded, base)
        if warning := player.warning(loaded):
            click.echo(f"{'warning':<10} {warning}")
        click.echo(f"{player.title:<10} {path}")
        return
    if target == "tflite":
        if ir is not None:
            raise InputError("--ir is for --target daisy: tflite files hold no impulse response")
        _export_tflite(loaded, capture.read_di(audio)[0] if audio else None, base)
        return
    try:
        budget.of_model(loaded)
    except InputError as refusal:
        raise InputError(f"{model}: {refusal.message}; {_distillation(model)}") from refusal
    cabinet = read_cabinet(ir, ir_taps, minimum_phase)
    exported = daisy.prepare(loaded, capture.read_di(audio)[0] if audio else None, weights, cabinet)
    command = shlex.join(["pedal", "export", "--target", "daisy", *_own_arguments()])
    paths = daisy.write(exported, base, command, float_weights)
    click.echo(daisy.summary(exported))
    for kind, path in paths.items():
        click.echo(f"{kind:<10} {path}")


def _export_tflite(model: "Model", audio: "np.ndarray | None", base: Path) -> None:
    from export.tflite import exporter

    exported = exporter.prepare(model, audio, said=click.echo)
    paths = exporter.write(exported, base)
    click.echo(exporter.summary(exported))
    for kind, path in paths.items():
        click.echo(f"{kind:<22}{path}")


def _own_arguments() -> list[str]:
    """The command's arguments for the header's first lines, without the target and the folders of this machine."""
    arguments = sys.argv[2:] if Path(sys.argv[0]).stem == "pedal" else sys.argv[1:]
    kept = [argument for argument in arguments if argument not in ("--target", "daisy")]
    return [Path(argument).name if "/" in argument else argument for argument in kept]
