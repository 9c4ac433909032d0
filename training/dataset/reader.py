"""From a dataset to what training takes: one device's takes, streamed, and some of them for validation."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from training.capture import LEVELS, SAMPLE_RATE_HZ, VALIDATION_RUN_IN_FRAMES, Capture, Pair
from training.dataset.index import Row, read_index
from training.errors import InputError
from training.knob import Knob
from training.levels import loudest
from training.recurrent import MAXIMUM_KNOB_COUNT
from training.streamed_takes import StreamedTake, StreamedTakes

HELD_OUT_SHARE = 0.1
END_SHARE = 0.2
VALIDATION_TAKES, VALIDATION_TAKE_FRAMES = 12, 5 * SAMPLE_RATE_HZ


def read_dataset(folder: Path, device: str | None = None, split: Path | None = None) -> Capture:
    """The takes of `device`, which may be None where the dataset has only one, as a capture to train on.

    `split`: a file of `pedal dataset splits`, of which only the rows for training are taken.

    The knobs of the capture are those that moved between takes. Full scale of its input is the loudest DI's, that of
    its target the loudest take's: the levels between takes stay as they were in volts. A tenth of the DIs, one at
    least, is not trained on: a minute of what was played with them is for validation. Of a single DI that is the end.

    Raises InputError for a folder without an index, a device that is not in it, more than four knobs that moved, takes
    at another rate than 48 kHz, and where `StreamedTakes.read` does.
    """
    rows = _rows_of(Path(folder), device, split)
    knobs = _moving_knobs(rows)
    full_scales = max(map(_input_volts, rows)), max(map(_output_volts, rows))
    known = all(row.volts_per_full_scale is not None and row.di_volts_per_full_scale is not None for row in rows)
    takes = [_take(Path(folder), row, knobs, *full_scales) for row in rows]
    held_out, trained = _held_out(rows)
    training = [take for row, take in zip(rows, takes, strict=True) if row.performance not in held_out]
    if not held_out:
        training = [_shortened(take) for take in takes]
    chosen = [take for row, take in zip(rows, takes, strict=True) if not held_out or row.performance in held_out]
    pairs = _validation_pairs(chosen, ends=not held_out)
    if not any(pair.validates for pair in pairs):
        raise InputError(f"{folder}: what {rows[0].device} plays is silent where it is for validation")
    still = {name: position for name, position in rows[0].knobs.items() if name not in knobs}
    minutes = sum(row.frames for row in rows) / SAMPLE_RATE_HZ / 60
    findings = [
        f"{folder}: {len(rows)} takes of {rows[0].device}, {minutes:.1f} min",
        f"{trained} guitar takes to train on, {len(held_out)} kept for validation"
        if held_out
        else "one guitar take: its end is kept for validation",
    ]
    findings += [f"knob {name} stood at {position:g} throughout" for name, position in still.items()]
    return Capture(
        pairs=tuple(pairs),
        knobs=tuple(Knob(name) for name in knobs),
        levels=dict(zip(LEVELS, full_scales, strict=True)) if known else {},
        findings=tuple(findings),
        origin={"dataset_device": rows[0].device, "still_knobs": dict(still)},
        streamed=StreamedTakes(tuple(training), SAMPLE_RATE_HZ),
    )


def _rows_of(folder: Path, device: str | None, split: Path | None) -> list[Row]:
    rows = read_index(folder)
    if split is not None:
        chosen = _training_ids(split)
        rows = [row for row in rows if row.id in chosen]
    devices = sorted({row.device for row in rows})
    if not rows:
        raise InputError(f"{folder}: there is nothing to train on")
    if device is None and len(devices) > 1:
        raise InputError(f"{folder}: has several devices, so choose one: {', '.join(devices)}")
    if device is not None and device not in devices:
        raise InputError(f"{folder}: has no device '{device}': there is {', '.join(devices)}")
    rows = sorted((row for row in rows if device in (None, row.device)), key=lambda row: row.id)
    if len({(row.source, row.netlist_sha256, row.engine, row.oversampling) for row in rows}) > 1:
        raise InputError(
            f"{folder}: {rows[0].device} is there as several circuits, or simulated and recorded: "
            "pedal dataset render --prune leaves one, and add needs another name"
        )
    if len({(row.volts_per_full_scale is None, row.di_volts_per_full_scale is None) for row in rows}) > 1:
        raise InputError(f"{folder}: of some takes of {rows[0].device} the volts are known, of others not")
    if any(row.sample_rate_hz != SAMPLE_RATE_HZ for row in rows):
        raise InputError(f"{folder}: has takes at another rate than {SAMPLE_RATE_HZ} Hz")
    return rows


def _training_ids(split: Path) -> set[str]:
    try:
        ids = json.loads(split.read_text(encoding="utf-8"))["train"]
    except OSError as error:
        raise InputError(f"cannot read {split}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{split}: not a split as pedal dataset splits --write makes it") from error
    if not isinstance(ids, list) or not all(isinstance(each, str) for each in ids):
        raise InputError(f"{split}: not a split as pedal dataset splits --write makes it")
    return set(ids)


def _moving_knobs(rows: Sequence[Row]) -> list[str]:
    names = list(rows[0].knobs)
    if any(set(row.knobs) != set(names) for row in rows):
        raise InputError(f"{rows[0].device}: its takes do not all have the same knobs")
    moving = [name for name in names if len({row.knobs[name] for row in rows}) > 1]
    if len(moving) > MAXIMUM_KNOB_COUNT:
        raise InputError(
            f"{rows[0].device}: {len(moving)} knobs move ({', '.join(moving)}), but a model has {MAXIMUM_KNOB_COUNT}; "
            "let one stand still in the plan"
        )
    return moving


def _input_volts(row: Row) -> float:
    """Of full scale of the DI, as it enters the device; where nobody knows its volts, 1 V is as good as any."""
    return (row.di_volts_per_full_scale or 1.0) * 10.0 ** (row.level_db / 20.0)


def _output_volts(row: Row) -> float:
    return row.volts_per_full_scale or 1.0


def _take(folder: Path, row: Row, knobs: list[str], input_volts: float, output_volts: float) -> StreamedTake:
    return StreamedTake(
        input_path=folder / row.di_path,
        input_start=round(row.di_start * SAMPLE_RATE_HZ),
        input_gain=_input_volts(row) / input_volts,
        target_path=folder / row.path,
        target_gain=_output_volts(row) / output_volts,
        frames=row.frames,
        positions=tuple(row.knobs[name] for name in knobs),
        identity=row.id,
    )


def _held_out(rows: Sequence[Row]) -> tuple[set[str], int]:
    """The DIs that are for validation, none where there is but one, and how many others there are."""
    guitars = sorted({row.performance for row in rows})
    count = max(1, round(HELD_OUT_SHARE * len(guitars))) if len(guitars) > 1 else 0
    return set(guitars[:count]), len(guitars) - count


def _shortened(take: StreamedTake) -> StreamedTake:
    return replace(take, frames=take.frames - _end_frames(take))


def _end_frames(take: StreamedTake) -> int:
    return min(round(END_SHARE * take.frames), VALIDATION_TAKE_FRAMES)


def _validation_pairs(takes: Sequence[StreamedTake], ends: bool) -> list[Pair]:
    """A minute of `takes`, evenly from all of them; of each the loudest part, or its end."""
    chosen = [takes[round(place)] for place in np.linspace(0, len(takes) - 1, min(VALIDATION_TAKES, len(takes)))]
    streamed = StreamedTakes(tuple(chosen), SAMPLE_RATE_HZ)
    pairs = []
    for number, take in enumerate(chosen):
        if ends:
            kept = _end_frames(take)
            start = take.frames - kept
        else:
            whole, _ = streamed.read(number, 0, take.frames)
            part = loudest(whole[VALIDATION_RUN_IN_FRAMES:], VALIDATION_TAKE_FRAMES)
            start, kept = VALIDATION_RUN_IN_FRAMES + part.start, part.stop - part.start
        start -= VALIDATION_RUN_IN_FRAMES
        dry, wet = streamed.read(number, start, VALIDATION_RUN_IN_FRAMES + kept)
        pairs.append(Pair(take.target_path.name, dry, wet, take.positions, "validation"))
    return pairs
