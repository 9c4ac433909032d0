"""Splits of a dataset for training and test: made when they are asked for, so that the index prefers none."""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from training.dataset.index import Row
from training.errors import InputError

KINDS = ("device", "knob", "guitar")
TAKE_SHARE = 0.2


@dataclass(frozen=True)
class Split:
    """No row is in two parts. `left_out`: what belongs to neither, so that no guitar take is in both."""

    train: tuple[Row, ...]
    test: tuple[Row, ...]
    left_out: tuple[Row, ...]

    def ids(self) -> dict[str, list[str]]:
        parts = {"train": self.train, "test": self.test, "left_out": self.left_out}
        return {name: [row.id for row in rows] for name, rows in parts.items()}


def split(
    rows: Sequence[Row],
    kind: str,
    held_out: Sequence[str],
    take_share: float = TAKE_SHARE,
    shared_takes: bool = False,
    seed: int = 0,
) -> Split:
    """Hold some devices, knob positions or guitars out for the test.

    kind, held_out: "device" and names of devices; "guitar" and names of guitars; "knob" and either positions, such as
    "drive=0.5", or ranges, such as "drive=0.8..1", ends included. Holding out what lies between other positions tests
    interpolation, holding out an end extrapolation. Rows of devices without that knob are for training.

    By device and knob, `take_share` (above 0, below 1) of the guitar takes, `seed` draws which, are for the test alone
    and the others for training alone: a row that is held out but has a training take, or the reverse, is left out.
    With `shared_takes` all rows are in one of the parts, and takes may be in both.

    Raises InputError for what is held out but not there, and for a split with an empty part.
    """
    if not held_out:
        raise InputError("name what to hold out for the test")
    is_held_out = _chosen_by(rows, kind, held_out)
    if shared_takes or kind == "guitar":
        for_test = {row.performance: is_held_out(row) for row in rows} if kind == "guitar" else {}
        return _checked(rows, is_held_out, lambda row, test: for_test.get(row.performance, test) == test)
    test_takes = drawn_takes(rows, take_share, seed)
    return _checked(rows, is_held_out, lambda row, test: (row.performance in test_takes) == test)


def drawn_takes(rows: Sequence[Row], share: float, seed: int) -> set[str]:
    """The DIs that are for the test; those of other rows do not change which, but for how many."""
    if not 0.0 < share < 1.0:
        raise InputError(f"the share {share:g} of takes for the test should be between 0 and 1")
    takes = sorted(
        {row.performance for row in rows}, key=lambda take: hashlib.sha256(f"test {seed} {take}".encode()).digest()
    )
    if len(takes) < 2:
        raise InputError("there is but one guitar take, which would be in both parts: allow shared takes")
    return set(takes[: min(max(1, math.ceil(share * len(takes))), len(takes) - 1)])


def _checked(rows: Sequence[Row], is_held_out: Callable[[Row], bool], fits: Callable[[Row, bool], bool]) -> Split:
    parts: dict[str, list[Row]] = {"train": [], "test": [], "left out": []}
    for row in rows:
        test = is_held_out(row)
        parts[("test" if test else "train") if fits(row, test) else "left out"].append(row)
    for name in ("train", "test"):
        if not parts[name]:
            raise InputError(f"no row is left for {name}; hold out less, or more, or allow shared takes")
    return Split(*(tuple(part) for part in parts.values()))


def _chosen_by(rows: Sequence[Row], kind: str, held_out: Sequence[str]) -> Callable[[Row], bool]:
    if kind not in KINDS:
        raise InputError(f"a split is by {', '.join(KINDS)}, not by {kind}")
    if kind == "knob":
        ranges = _ranges(rows, held_out)
        return lambda row: any(
            low <= row.knobs.get(knob, math.inf) <= high for knob, spans in ranges.items() for low, high in spans
        )
    name_of: Callable[[Row], str] = (lambda row: row.device) if kind == "device" else (lambda row: row.guitar)
    known = sorted({name_of(row) for row in rows})
    for name in held_out:
        if name not in known:
            raise InputError(f"no {kind} is named '{name}': there is {', '.join(known)}")
    return lambda row: name_of(row) in held_out


def _ranges(rows: Sequence[Row], held_out: Sequence[str]) -> Mapping[str, list[tuple[float, float]]]:
    known = sorted({knob for row in rows for knob in row.knobs})
    ranges: dict[str, list[tuple[float, float]]] = {}
    for text in held_out:
        knob, _, positions = text.partition("=")
        low, dots, high = positions.partition("..")
        try:
            span = float(low), float(high if dots else low)
        except ValueError:
            raise InputError(f"{text}: write it as drive=0.5 or drive=0.8..1") from None
        if knob not in known:
            raise InputError(f"no knob is named '{knob}': there is {', '.join(known)}")
        if not 0.0 <= span[0] <= span[1] <= 1.0:
            raise InputError(f"{text}: positions are from 0 to 1, the lower one first")
        if not any(knob in row.knobs and span[0] <= row.knobs[knob] <= span[1] for row in rows):
            raise InputError(f"{text}: no row has its {knob} there")
        ranges.setdefault(knob, []).append(span)
    return ranges
