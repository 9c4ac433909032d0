"""The index of a dataset: what each row is, `metadata.jsonl` and `index.parquet`; and the folder that they describe.

    DIR/di/ab/<id>.flac       guitars before the device       DIR/metadata.jsonl   one row a line
    DIR/audio/ab/<id>.flac    what the device made of them    DIR/index.parquet    the same rows
    beside each, <id>.json    what it is                      DIR/README.md        the dataset's card

A FLAC file counts once the .json beside it is there, and has as many bytes as that says; both are renamed into their
place when they are whole. The index is made anew of the .json files alone, so that a broken run loses nothing.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from training.errors import InputError
from training.files import written_aside

SAMPLE_RATE_HZ = 48_000
JSONL, PARQUET, CARD = "metadata.jsonl", "index.parquet", "README.md"


@dataclass(frozen=True)
class Row:
    """One device at one setting, playing one take. What is not known, or is not of such a row, is None.

    id, path: of the audio; paths are relative to the dataset's folder, and ids are hashes of all that made a file.
    di_id, di_path, di_start, di_end: the guitar that went in, and which part of its file, in seconds. The file may be
    longer: `frames` of it, from round(di_start * sample_rate_hz) on, belong to this row.
    device, device_title, brand, channel: its name in plans and splits; and in words.
    source: "simulated" or "recorded".
    knobs: where each knob of the device stood, 0 to 1.
    component_types: its kinds of parts, resistors and capacitors apart, such as "diode 1N914".
    delay_samples: what was taken out of a recording's delay behind the guitar, see `training.capture.align`; else 0.
    engine, oversampling, netlist_sha256: of the simulation.
    volts_per_full_scale, di_volts_per_full_scale: the volts that 1.0 stands for in either file.
    guitar: its name; take_seed: of the synthetic take; guitar_facts: what else is known of it, as text.
    level_db: by how much the guitar was turned up before the device; this is not in the DI's file. Volts at the
    device's input are di * di_volts_per_full_scale * 10^(level_db / 20).
    peak_volts, rms_volts: of the output.
    bytes, di_bytes: the sizes of both files.
    """

    id: str
    path: str
    di_id: str
    di_path: str
    di_start: float
    di_end: float
    device: str
    device_title: str
    brand: str
    channel: str
    source: str
    knobs: Mapping[str, float]
    component_types: tuple[str, ...]
    delay_samples: int
    engine: str | None
    oversampling: int | None
    netlist_sha256: str | None
    volts_per_full_scale: float | None
    di_volts_per_full_scale: float | None
    sample_rate_hz: int
    frames: int
    guitar: str
    guitar_facts: Mapping[str, str]
    take_seed: int | None
    level_db: float
    peak_volts: float | None
    rms_volts: float | None
    bytes: int
    di_bytes: int

    @property
    def seconds(self) -> float:
        return self.frames / self.sample_rate_hz

    @property
    def performance(self) -> str:
        """Equal where the same notes are played: longer, or on another guitar, a seed's take begins alike."""
        return self.di_id if self.take_seed is None else f"seed {self.take_seed}"

    @property
    def order(self) -> tuple[str, str]:
        """By which the index is sorted."""
        return self.device, self.id

    def as_json(self) -> str:
        """The row on one line; the same row gives the same line."""
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)


_FIELDS = get_type_hints(Row)


def _fits(value: object, kind: Any) -> bool:
    """Whether `value`, from JSON, is of this type."""
    inner = get_args(kind)
    if get_origin(kind) is UnionType:
        return any(_fits(value, each) for each in inner)
    if get_origin(kind) is Mapping:
        return isinstance(value, dict) and all(_fits(each, inner[1]) for each in value.values())
    if get_origin(kind) is tuple:
        return isinstance(value, list) and all(_fits(each, inner[0]) for each in value)
    return type(value) in ((int, float) if kind is float else (kind,))


def row_of(values: object) -> Row:
    """The row that `as_json` wrote, from parsed JSON. Raises ValueError for anything else."""
    if not isinstance(values, dict) or values.keys() != _FIELDS.keys():
        raise ValueError("not a row of this version of the index")
    if not all(_fits(values[name], kind) for name, kind in _FIELDS.items()):
        raise ValueError("a field is of another type")
    values = dict(values)
    values["component_types"] = tuple(values["component_types"])
    return Row(**values)


def read_index(folder: Path) -> list[Row]:
    """The rows of the dataset in `folder`, sorted by device and id.

    Raises InputError, with file and line, where there is no index or one that is not understood.
    """
    path = Path(folder) / JSONL
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError(f"{folder}: no dataset: there is no {JSONL}, which a finished render writes") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read") from error
    rows = []
    for number, line in enumerate(text.removesuffix("\n").split("\n") if text else [], start=1):
        try:
            rows.append(row_of(json.loads(line)))
        except (ValueError, TypeError) as error:
            raise InputError(f"{path}:{number}: not a row of an index: make it anew by rendering again") from error
    return rows


def write_index(folder: Path) -> list[Row]:
    """Make both files of the index, and the card, of all rows that lie in `folder`; return the rows.

    The same files give the same bytes, in whichever order and by however many runs they came.
    """
    from training.dataset.card import card

    rows = sorted(stored_rows(folder), key=lambda row: row.order)
    with written_aside(Path(folder) / JSONL) as scratch:
        scratch.write_text("".join(f"{row.as_json()}\n" for row in rows), encoding="utf-8")
    _write_parquet(Path(folder) / PARQUET, rows)
    with written_aside(Path(folder) / CARD) as scratch:
        scratch.write_text(card(rows), encoding="utf-8")
    return rows


def stored_rows(folder: Path) -> Iterable[Row]:
    """Every row whose audio and whose guitar are whole, in no order. Raises InputError for one of another version."""
    for path in sorted((Path(folder) / "audio").glob("??/*.json")):
        values = described(path.with_suffix(".flac"))
        if values is not None:
            try:
                row = row_of(values)
            except (ValueError, TypeError) as error:
                raise InputError(f"{path}: not of this version: delete it, or render into another folder") from error
            if described(Path(folder) / row.di_path) is not None:
                yield row


def described(audio_path: Path) -> dict[str, Any] | None:
    """What stands in the .json beside a FLAC file; None where either is missing or the file is not whole."""
    try:
        values = json.loads(audio_path.with_suffix(".json").read_bytes())
        return values if audio_path.stat().st_size == values["bytes"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_parquet(path: Path, rows: list[Row]) -> None:
    import pyarrow
    from pyarrow import parquet

    text, whole, real = pyarrow.string(), pyarrow.int64(), pyarrow.float64()
    types = {
        **dict.fromkeys(("knobs",), pyarrow.map_(text, real)),
        **dict.fromkeys(("guitar_facts",), pyarrow.map_(text, text)),
        **dict.fromkeys(("component_types",), pyarrow.list_(text)),
        **dict.fromkeys(("di_start", "di_end", "level_db", "peak_volts", "rms_volts"), real),
        **dict.fromkeys(("volts_per_full_scale", "di_volts_per_full_scale"), real),
        **dict.fromkeys(("delay_samples", "oversampling", "sample_rate_hz", "frames", "take_seed"), whole),
        **dict.fromkeys(("bytes", "di_bytes"), whole),
    }
    schema = pyarrow.schema([(field.name, types.get(field.name, text)) for field in fields(Row)])
    columns = {name: [getattr(row, name) for row in rows] for name in schema.names}
    for name in ("knobs", "guitar_facts"):
        columns[name] = [sorted(mapping.items()) for mapping in columns[name]]
    table = pyarrow.table(columns, schema=schema)
    with written_aside(path) as scratch:
        parquet.write_table(table, scratch, compression="zstd")
