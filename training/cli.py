"""`pedal train`: the options; the work is in `training.capture` and `training.loop`, imported when it is called for."""

from pathlib import Path
from typing import Any

import click

from training.errors import InputError


@click.command()
@click.option("--input", "input_path", type=click.Path(path_type=Path), help="The dry guitar (DI), WAV or FLAC.")
@click.option("--target", "target_path", type=click.Path(path_type=Path), help="The same, played through the amp.")
@click.option(
    "--capture",
    "capture_path",
    type=click.Path(path_type=Path),
    help="Several pairs with knobs: a TOML file, see docs.",
)
@click.option(
    "--model",
    default="lstm-20",
    show_default=True,
    help="lstm-N or gru-N, N from 1 to 64; lstm-2x24: two layers of 24.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Where the model goes, such as amp.pt.")
@click.option("--steps", type=click.IntRange(min=1), help="Updates of the weights.  [default: 12000]")
@click.option(
    "--minutes", type=click.FloatRange(min=0, min_open=True), help="Instead: as many steps as take about so long."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="The same seed, the same model.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda or mps.")
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="CPU threads. These networks are too small to gain by a second one.",
)
@click.option(
    "--stft-weight",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="Weight of a multi-resolution STFT loss.",
)
@click.option(
    "--patience",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Stop after so many validations without a better one; 0: never. There are about 40.",
)
@click.option(
    "--quantize",
    type=click.Choice(["int8"]),
    help="Fine-tune for weights rounded to 8 bits, with a third more steps.",
)
@click.option("--resume", is_flag=True, help="Go on with a training that was broken off: the same command and this.")
@click.option("--force", is_flag=True, help="Start anew and overwrite --out.")
def train(
    input_path: Path | None,
    target_path: Path | None,
    capture_path: Path | None,
    out: Path,
    steps: int | None,
    minutes: float | None,
    device: str,
    threads: int,
    resume: bool,
    force: bool,
    **recipe: Any,
) -> None:
    """Train a model on a recording of an amp: --input and --target, or --capture."""
    pair_given = input_path is not None and target_path is not None
    if pair_given == (capture_path is not None) or (input_path is None) != (target_path is None):
        raise InputError("give either --input and --target, or --capture")
    if steps is not None and minutes is not None:
        raise InputError("give either --steps or --minutes")
    if resume and force:
        raise InputError("give either --resume or --force")
    import torch

    from training import capture, loop

    torch.set_num_threads(threads)
    if capture_path is not None:
        data = capture.read_capture(capture_path)
    else:
        assert input_path is not None and target_path is not None
        data = capture.read_pair(input_path, target_path)
    for finding in data.findings:
        click.echo(finding)
    if steps is not None:
        recipe["steps"] = steps
    config = loop.TrainingConfig(minutes=minutes, **recipe)
    loop.train(data, config, out, resume=resume, force=force, device=device, report=click.echo)
