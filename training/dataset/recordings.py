"""Recordings of real devices, into the same index. A TOML file, like a capture's, that says what was recorded:

device = "jcm800_2203"       # its name in the index
title = "Marshall JCM800 2203 of 1983"   # this and what follows may be left out, but for [[pair]]
brand = "Marshall"
channel = "high"
component_types = ["pentode EL34", "triode 12AX7"]
guitar = "Les Paul"          # else the name of the DI's file
[knobs]                      # as they are written on the device; they become 0 to 1
gain = [0, 10]
[levels]
input_volts_per_full_scale = 1.4
output_volts_per_full_scale = 4.0
[[pair]]
input = "di.wav"             # relative to this file
target = "gain-3.wav"
knobs = { gain = 3 }
guitar = "Telecaster"
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.capture import LEVELS, USES, Pair, aligned_pair
from training.dataset import store
from training.dataset.index import SAMPLE_RATE_HZ, Row, write_index
from training.dataset.plan import Di, recorded_di
from training.dataset.render import store_recorded_di
from training.dataset.toml_lines import Table, read_table
from training.errors import InputError
from training.knob import Knob

_DESCRIPTIONS = ("title", "brand", "channel")


@dataclass(frozen=True)
class Recording:
    """What one file says of a device. `levels`: in the order of LEVELS, None where unknown."""

    device: str
    facts: Mapping[str, Any]
    knobs: tuple[Knob, ...]
    levels: tuple[float | None, float | None]
    guitar: str
    pairs: list[Table]


def add(path: Path, folder: Path, report: Callable[[str], None] = print) -> list[Row]:
    """Add what the file at `path` lists to the dataset in `folder`, which is made; return all rows of the folder.

    Files are copied as FLAC at 48 kHz, and a pair aligned as for training; what is there already is left alone.
    Raises InputError with file and line.
    """
    recording = read_recording(path)
    folder = Path(folder).resolve()
    with store.claimed(folder):
        read = [_read_pair(recording, pair, report) for pair in recording.pairs]  # all, before anything is stored
        for pair, di, table in read:
            if store.whole(folder, "di", di.id) is None:
                store_recorded_di(di, folder)
            target_path = table.path.parent / table.text("target")
            _store_pair(recording, pair, di, _positions(table, recording.knobs), target_path, folder)
        return write_index(folder)


def read_recording(path: Path) -> Recording:
    """Read and check all but the audio files. Raises InputError with file and line."""
    table = read_table(path)
    table.allow("device", *_DESCRIPTIONS, "component_types", "guitar", "knobs", "levels", "pair")
    device = table.text("device")
    parts = sorted(set(table.list_of("component_types", str)))
    facts = {
        "device_title": table.text("title", device),
        "brand": table.text("brand", ""),
        "channel": table.text("channel", ""),
        "component_types": parts,
    }
    ranges = table.table("knobs")
    knobs = tuple(_knob(ranges, name) for name in ranges.values)
    given = table.table("levels")
    given.allow(*LEVELS)
    levels = [given.number(level, 1e-3, 1e3) if level in given.values else None for level in LEVELS]
    pairs = table.tables("pair")
    if not pairs:
        raise table.error("there is no [[pair]]")
    for pair in pairs:
        pair.allow("input", "target", "knobs", "guitar", "use")
        pair.text("input"), pair.text("target"), pair.text("guitar", "")
        _positions(pair, knobs)
        if pair.values.get("use", USES[0]) not in USES:
            raise pair.error(f"use should be one of {', '.join(USES)}", "use")
    return Recording(device, facts, knobs, (levels[0], levels[1]), table.text("guitar", ""), pairs)


def _knob(table: Table, name: str) -> Knob:
    limits = table.values[name]
    if not isinstance(limits, list) or len(limits) != 2:
        raise table.error(f"knob {name} should be [lowest, highest], such as [0, 10]", name)
    low, high = (table.checked(limit, -1e6, 1e6, name, number) for number, limit in enumerate(limits))
    try:
        return Knob(name, low, high, (low + high) / 2.0)
    except InputError as error:
        raise table.error(error.message, name) from error


def _positions(pair: Table, knobs: tuple[Knob, ...]) -> dict[str, float]:
    table = pair.table("knobs")
    table.allow(*(knob.name for knob in knobs))
    for knob in knobs:
        if knob.name not in table.values:
            raise table.error(f"where did the knob {knob.name} stand?")
    return {
        knob.name: knob.normalised(table.checked(table.values[knob.name], knob.minimum, knob.maximum, knob.name))
        for knob in knobs
    }


def _read_pair(recording: Recording, table: Table, report: Callable[[str], None]) -> tuple[Pair, Di, Table]:
    input_path = table.path.parent / table.text("input")
    target_path = table.path.parent / table.text("target")
    guitar = table.text("guitar", "") or recording.guitar or input_path.stem
    try:
        pair, findings = aligned_pair(input_path, target_path, use="training")
        di = recorded_di(input_path, recording.levels[0], guitar)
    except InputError as error:
        raise table.error(error.message) from error
    for finding in findings:
        report(finding)
    return pair, di, table


def _store_pair(
    recording: Recording, pair: Pair, di: Di, knobs: dict[str, float], target_path: Path, folder: Path
) -> None:
    start = max(0, -pair.removed_samples)  # a target that leads has lost its beginning
    volts = recording.levels[1]
    name = store.digest(
        "recording",
        device=recording.device,
        knobs=knobs,
        di=di.id,
        start_frame=start,
        frames=len(pair.target),
        content=hashlib.sha256(target_path.read_bytes()).hexdigest(),
        removed=pair.removed_samples,
        volts=volts,
    )
    path = store.flac_path("audio", name)
    facts = {
        "id": name,
        "path": path,
        "di_id": di.id,
        "di_path": di.path,
        "di_start": start / SAMPLE_RATE_HZ,
        "di_end": (start + len(pair.target)) / SAMPLE_RATE_HZ,
        "device": recording.device,
        **recording.facts,
        "source": "recorded",
        "knobs": knobs,
        "delay_samples": pair.removed_samples,
        "engine": None,
        "oversampling": None,
        "netlist_sha256": None,
        "sample_rate_hz": SAMPLE_RATE_HZ,
        "frames": len(pair.target),
        "guitar": di.guitar,
        "guitar_facts": {},
        "take_seed": None,
        "level_db": 0.0,
    }
    known = store.whole(folder, "audio", name)
    if known is None:
        stored = store.store(folder / path, pair.target, 1.0)
        source = store.whole(folder, "di", di.id)
        assert source is not None
        known = {
            "volts_per_full_scale": None if volts is None else volts * stored.full_scale,
            "di_volts_per_full_scale": source["volts_per_full_scale"],
            "peak_volts": None if volts is None else volts * stored.peak,
            "rms_volts": None if volts is None else volts * stored.rms,
            "bytes": stored.bytes,
            "di_bytes": source["bytes"],
        }
    if {**known, **facts} != known:
        store.describe(folder / path, {**known, **facts})
