"""`pedal train`, `pedal distill`, `pedal blend`, `pedal show` and `pedal audition`: the options; the work is in
`training.capture`, `training.loop`, `training.distill`, `training.blend`, `training.eq_picture` and
`training.audition`, imported when it is called for."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from training.errors import InputError

_FILE = click.Path(path_type=Path)


def _training_options(command: Callable) -> Callable:
    """--model, --out and all that decides how a network is trained, whatever it is trained on."""
    options = [
        click.option(
            "--model",
            help="lstm-N or gru-N, N from 1 to 64; lstm-2x24: two layers of 24; eq-6x129: six EQ blocks of 129 taps; "
            "eq-6x33-linear: of linear phase; dense-4000: a window of 4,000 samples, too much for the pedal.  "
            "[default: lstm-20]",
        ),
        click.option(
            "--from", "start_path", type=_FILE, help="Instead: go on from this model.pt, as with pedal import."
        ),
        click.option("--out", type=_FILE, required=True, help="Where the model goes, such as amp.pt."),
        click.option("--steps", type=click.IntRange(min=1), help="Updates of the weights.  [default: 12000]"),
        click.option(
            "--minutes",
            type=click.FloatRange(min=0, min_open=True),
            help="Instead: as many steps as take about so long.",
        ),
        click.option(
            "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="The same seed, the same model."
        ),
        click.option("--device", default="cpu", show_default=True, help="cpu, cuda or mps."),
        click.option(
            "--threads",
            type=click.IntRange(min=1),
            default=1,
            show_default=True,
            help="CPU threads. These networks are too small to gain by a second one.",
        ),
        click.option(
            "--loss",
            type=click.Choice(["esr", "mse", "mel", "mse+mel"]),
            help="What is made small: the pre-emphasised error, the plain one, that of mel spectrograms, or both.  "
            "[default: esr; of dense-N mse]",
        ),
        click.option(
            "--stft-weight",
            type=click.FloatRange(min=0),
            default=0.0,
            show_default=True,
            help="Weight of a multi-resolution STFT loss.",
        ),
        click.option(
            "--patience",
            type=click.IntRange(min=0),
            default=0,
            show_default=True,
            help="Stop after so many validations without a better one; 0: never. There are about 40.",
        ),
        click.option(
            "--quantize",
            type=click.Choice(["int8"]),
            help="Fine-tune for weights rounded to 8 bits, with a third more steps.",
        ),
        click.option(
            "--resume", is_flag=True, help="Go on with a training that was broken off: the same command and this."
        ),
        click.option("--force", is_flag=True, help="Start anew and overwrite --out."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _arguments(
    model: str | None,
    start_path: Path | None,
    out: Path,
    steps: int | None,
    minutes: float | None,
    device: str,
    threads: int,
    loss: str | None,
    resume: bool,
    force: bool,
    **recipe: Any,
) -> dict[str, Any]:
    """What `_training_options` gave as the arguments of `loop.train` after the data; PyTorch keeps to `threads` then.

    Raises InputError for options that contradict each other.
    """
    if steps is not None and minutes is not None:
        raise InputError("give either --steps or --minutes")
    if resume and force:
        raise InputError("give either --resume or --force")
    if model is not None and start_path is not None:
        raise InputError("give either --model or --from")
    import torch

    from training import model_file
    from training.loop import TrainingConfig

    torch.set_num_threads(threads)
    start = None
    if start_path is not None:
        start = model_file.load(start_path).trainable
        model = start.name
    if model is not None:
        recipe["model"] = model
    if steps is not None:
        recipe["steps"] = steps
    recipe["loss"] = loss or ("mse" if (model or "").startswith("dense") else "esr")
    config = TrainingConfig(minutes=minutes, **recipe)
    flags = {"resume": resume, "force": force}
    return {"config": config, "out": out, "device": device, "report": click.echo, "start": start, **flags}


@click.command()
@click.option("--input", "input_path", type=_FILE, help="The dry guitar (DI), WAV or FLAC.")
@click.option("--target", "target_path", type=_FILE, help="The same, played through the amp.")
@click.option("--capture", "capture_path", type=_FILE, help="Several pairs with knobs: a TOML file, see docs.")
@click.option("--dataset", "dataset_path", type=_FILE, help="A folder that pedal dataset has made.")
@click.option("--amp", help="Which device of --dataset; not needed where there is but one.")
@click.option(
    "--split", "split_path", type=_FILE, help="Of --dataset only the training part of a pedal dataset splits file."
)
@click.option("--remove-silence", is_flag=True, help="Cut out what is left of each silence after a second.")
@click.option(
    "--framework",
    type=click.Choice(["torch", "keras"]),
    default="torch",
    show_default=True,
    help="What trains it. keras, for dense-N alone, is in TensorFlow, which the extra tflite brings.",
)
@_training_options
def train(
    input_path: Path | None,
    target_path: Path | None,
    capture_path: Path | None,
    dataset_path: Path | None,
    amp: str | None,
    split_path: Path | None,
    remove_silence: bool,
    framework: str,
    **training_options: Any,
) -> None:
    """Train a model on an amp: on a recording (--input and --target), on several (--capture), or on a --dataset."""
    sources = [input_path is not None, capture_path is not None, dataset_path is not None]
    if sum(sources) != 1 or (input_path is None) != (target_path is None):
        raise InputError("give either --input and --target, or --capture, or --dataset")
    if (amp is not None or split_path is not None) and dataset_path is None:
        raise InputError("--amp and --split are for --dataset")
    if dataset_path is not None and (remove_silence or framework == "keras"):
        raise InputError("--dataset goes neither with --remove-silence nor with --framework keras")
    arguments = _arguments(**training_options)
    from training import capture, keras_training, loop

    if framework == "keras":
        wanted = {key: arguments[key] for key in ("config", "resume", "device", "start")}
        keras_training.check(**wanted)
    if dataset_path is not None:
        from training.dataset.reader import read_dataset

        data = read_dataset(dataset_path, amp, split_path)
    elif capture_path is not None:
        data = capture.read_capture(capture_path)
    else:
        assert input_path is not None and target_path is not None
        data = capture.read_pair(input_path, target_path)
    if remove_silence:
        data = capture.without_silences(data)
    for finding in data.findings:
        click.echo(finding)
    if framework == "keras":
        keras_training.train(data, **arguments)
    else:
        loop.train(data, **arguments)


@click.command("distill")
@click.argument("teacher_path", metavar="TEACHER", type=_FILE)
@click.option(
    "--di",
    "di_paths",
    type=_FILE,
    multiple=True,
    help="Dry guitar, WAV or FLAC; may be given again. Below two minutes in all, synthetic guitars are added.",
)
@_training_options
def distill_command(teacher_path: Path, di_paths: tuple[Path, ...], **training_options: Any) -> None:
    """Train a model on what TEACHER plays: a model of ours, or a capture of others (.nam, .json, .aidax).

    Nothing has to be recorded: the teacher plays --di, at several levels and with its knobs in many places, and the
    new model, which has the same knobs, learns to sound like it.
    """
    out = training_options["out"]
    if out.exists() and teacher_path.exists() and out.samefile(teacher_path):
        raise InputError(f"{out}: is the teacher; give the new model another name")
    arguments = _arguments(**training_options)
    from training import distill

    distill.distill(distill.read_teacher(teacher_path), di_paths, **arguments)


@click.command("blend")
@click.argument("model_paths", nargs=-1, required=True, metavar="MODEL...", type=_FILE)
@click.option("--out", type=_FILE, required=True, help="Where the blend goes, such as ab.pt.")
@click.option("--alpha", type=float, help="Of two models: 0 is the first, 1 the second; outside, what differs grows.")
@click.option("--weights", help="Instead, of any number of models: how much of each, such as 0.5,0.3,0.2.")
@click.option("--plain-level", is_flag=True, help="Blend the level like all else, instead of keeping it even.")
@click.option("--force", is_flag=True, help="Overwrite --out.")
def blend_command(
    model_paths: tuple[Path, ...], out: Path, alpha: float | None, weights: str | None, plain_level: bool, force: bool
) -> None:
    """Make a new amp between trained EQ models, or beyond them: every parameter is their weighted sum.

    Without --alpha and --weights, the new model has a knob that morphs from each MODEL to the next.
    """
    if len(model_paths) < 2:
        raise InputError("a blend needs two models at least")
    if alpha is not None and weights is not None:
        raise InputError("give either --alpha or --weights")
    if alpha is not None and len(model_paths) != 2:
        raise InputError(f"--alpha is for two models; for {len(model_paths)} give --weights")
    if out.exists() and not force:
        raise InputError(f"{out} exists; --force overwrites it")
    numbers: list[float] | None = None if alpha is None else [1 - alpha, alpha]
    if weights is not None:
        numbers = _numbers("--weights", weights, "0.5,0.3,0.2")
    if numbers is None and plain_level:
        raise InputError("--plain-level is for --alpha or --weights")
    if not all(math.isfinite(number) for number in numbers or []):
        raise InputError("weights should be finite")
    from training import blend, model_file

    models = [model_file.load(path) for path in model_paths]
    if numbers is None:
        made = blend.with_knob(models, out.stem)
    else:
        made = blend.weighted(models, numbers, out.stem, even=not plain_level)
    model_file.save(out, made)
    knobs = "".join(f", knob {knob.name} from {knob.minimum:g} to {knob.maximum:g}" for knob in made.knobs)
    click.echo(f"{out}: {made.network.name} of {', '.join(model.name for model in models)}{knobs}")


def _numbers(option: str, text: str, example: str) -> list[float]:
    """Of a list with commas. Raises InputError for what is none."""
    try:
        return [float(number) for number in text.split(",")]
    except ValueError as error:
        raise InputError(f"{option} {text}: give numbers, such as {example}") from error


@click.command("show")
@click.argument("model_path", metavar="MODEL", type=_FILE)
@click.option("--out", type=_FILE, required=True, help="Where the picture goes, such as amp.png.")
@click.option("--di", "di_path", type=_FILE, help="The dry guitar to play, WAV or FLAC; else a synthetic one.")
@click.option("--force", is_flag=True, help="Overwrite --out.")
def show_command(model_path: Path, out: Path, di_path: Path | None, force: bool) -> None:
    """Draw an EQ model: what each block filters, and a guitar on its way through them."""
    if out.suffix.lower() != ".png":
        raise InputError(f"{out}: pictures are written as .png")
    if out.exists() and not force:
        raise InputError(f"{out} exists; --force overwrites it")
    from training import capture, eq_picture, model_file

    model = model_file.load(model_path)
    guitar = None
    if di_path is not None:
        guitar, findings = capture.read_di(di_path)
        for finding in findings:
            click.echo(finding)
    eq_picture.write(out, model, guitar)
    click.echo(f"{out}: {model.network.name}, {model.name}")


@click.command("audition")
@click.argument("model_paths", nargs=-1, required=True, metavar="MODEL...", type=_FILE)
@click.option("--di", "di_path", type=_FILE, required=True, help="The dry guitar to play, WAV or FLAC.")
@click.option("--out", "folder", type=_FILE, required=True, help="Folder for the audio files and the page.")
@click.option(
    "--alphas",
    default="-0.3,0,0.25,0.5,0.75,1,1.3",
    show_default=True,
    help="Places between two amps: 0 is the first, 1 the second; outside, what differs grows.",
)
@click.option(
    "--ir", "cabinet_path", type=_FILE, help="Impulse response of a cabinet to hear all through, WAV or FLAC."
)
@click.option(
    "--seconds", type=click.FloatRange(0.1, 60), default=10.0, show_default=True, help="So much of --di, its loudest."
)
@click.option("--plain-level", is_flag=True, help="Blend the level like all else, instead of keeping it even.")
@click.option("--force", is_flag=True, help="Write into a folder that is not empty.")
def audition_command(
    model_paths: tuple[Path, ...],
    di_path: Path,
    folder: Path,
    alphas: str,
    cabinet_path: Path | None,
    seconds: float,
    plain_level: bool,
    force: bool,
) -> None:
    """Hear what is between EQ models and beyond them: audio files of every two, and a page that plays them."""
    places = _numbers("--alphas", alphas, "0,0.5,1")
    from training import audition, cabinet, capture, model_file

    audition.require_free(folder, force)
    for path in (di_path, cabinet_path):
        if path is not None and path.resolve().parent == folder.resolve():
            raise InputError(f"{path}: lies in {folder} itself, which is written into; give --out another folder")
    models = [model_file.load(path) for path in model_paths]
    guitar, findings = capture.read_di(di_path)
    speaker = None
    if cabinet_path is not None:
        speaker, of_cabinet = cabinet.read(cabinet_path)
        findings += of_cabinet
    for finding in findings:
        click.echo(finding)
    made = audition.play(models, guitar, places, seconds, speaker, even=not plain_level)
    page = audition.write(folder, made)
    click.echo(f"{page}: {len(made.pairs) * len(places)} takes of {len(made.guitar) / capture.SAMPLE_RATE_HZ:.1f} s")
