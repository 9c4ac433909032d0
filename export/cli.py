"""The command `pedal export`, which is also `python -m export`."""

import shlex
import sys
from pathlib import Path

import click


@click.command("export")
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--target", type=click.Choice(["daisy", "rtneural", "aidax", "proteus"]), default="daisy", show_default=True
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
def export_command(
    model: Path, target: str, out: Path | None, audio: Path | None, weights: str, float_weights: bool
) -> None:
    """Turn MODEL (a model.pt) into what a target runs.

    For the daisy: a C header, a blob to upload and RTNeural JSON, with what they cost. For the players of others: one
    file, .rtneural.json, .aidax or .proteus.json.
    """
    from export import daisy, players
    from training import capture, model_file

    loaded = model_file.load(model)
    base = out or model.with_suffix("")
    if target in players.PLAYERS:
        player = players.PLAYERS[target]
        path = players.write(target, loaded, base)
        if warning := player.warning(loaded):
            click.echo(f"{'warning':<10} {warning}")
        click.echo(f"{player.title:<10} {path}")
        return
    exported = daisy.prepare(loaded, capture.read_di(audio)[0] if audio else None, weights)
    command = shlex.join(["pedal", "export", "--target", "daisy", *_own_arguments()])
    paths = daisy.write(exported, base, command, float_weights)
    click.echo(daisy.summary(exported))
    for kind, path in paths.items():
        click.echo(f"{kind:<10} {path}")


def _own_arguments() -> list[str]:
    """The command's arguments for the header's first lines, without the target and the folders of this machine."""
    arguments = sys.argv[2:] if Path(sys.argv[0]).stem == "pedal" else sys.argv[1:]
    kept = [argument for argument in arguments if argument not in ("--target", "daisy")]
    return [Path(argument).name if "/" in argument else argument for argument in kept]
