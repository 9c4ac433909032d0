"""The dataset's card: `README.md` in its folder, for who finds the dataset without Oddity."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from training.dataset.index import Row

_READING = """```python
import json, soundfile
rows = [json.loads(line) for line in open("metadata.jsonl", encoding="utf-8")]
row = rows[0]
start = round(row["di_start"] * row["sample_rate_hz"])
di, _ = soundfile.read(row["di_path"], start=start, frames=row["frames"])  # +-1, before the device
out, _ = soundfile.read(row["path"])  # +-1, after it
```"""

_FIELDS = """| field | meaning |
|---|---|
| `id`, `path` | the output of the device: FLAC, 24 bits, mono; the name is a hash of all that made it |
| `di_id`, `di_path`, `di_start`, `di_end` | the guitar that went in, and which part of its file, in seconds |
| `device`, `device_title`, `brand`, `channel` | what was played through |
| `source` | `simulated` from the device's circuit, or `recorded` from a real one |
| `knobs` | where each knob stood, 0 to 1 clockwise |
| `component_types` | the kinds of parts in the circuit |
| `delay_samples` | what was taken out of a recording's lag behind the guitar |
| `engine`, `oversampling`, `netlist_sha256` | the simulator, and the circuit that it solved |
| `volts_per_full_scale`, `di_volts_per_full_scale` | volts that 1.0 in the file stands for; null where unknown |
| `level_db` | the guitar was turned up so far before the device, which is not in the DI's file: \
the device's input in volts is di * `di_volts_per_full_scale` * 10^(`level_db` / 20) |
| `sample_rate_hz`, `frames` | of the output; as many frames of the DI from `di_start` on |
| `guitar`, `guitar_facts`, `take_seed` | the guitar, and the seed of a synthetic take |
| `peak_volts`, `rms_volts` | of the output |
| `bytes`, `di_bytes` | sizes of the files |"""


def card(rows: Sequence[Row]) -> str:
    """The text, a function of the rows alone. `rows`: as sorted in the index."""
    recorded = sum(row.source == "recorded" for row in rows)
    engines = sorted({f"{row.engine}, {row.oversampling} times oversampled" for row in rows if row.engine})
    parts = [
        "# Guitars through devices",
        f"{len(rows)} rows, {_hours(rows)}: guitars, and what {len({row.device for row in rows})} devices made of "
        f"them at known positions of their knobs. {len(rows) - recorded} rows are simulated part by part from the "
        f"device's circuit{_in_brackets(engines)}, {recorded} are recordings of real devices. "
        f"{len({row.di_id for row in rows})} takes of {len({row.guitar for row in rows})} guitars went in. "
        "There is no fixed split.",
        "## Made by",
        "`pedal dataset render plan.toml --out DIR` and `pedal dataset add pair.toml --out DIR` of Oddity. The same "
        "plan gives the same files, byte for byte; `pedal dataset splits DIR --by device` (`knob`, `guitar`) divides "
        "the rows for training and test.",
        "## Devices",
        _table(
            ("device", "what it is", "brand", "source", "rows", "hours"),
            (
                (name, of[0].device_title, of[0].brand, source, str(len(of)), f"{_seconds(of) / 3600:.2f}")
                for (name, source), of in _grouped(rows)
            ),
        ),
        "## Knobs",
        _table(("device", "knob", "positions", "from", "to"), _knobs(rows)),
        "## Files",
        "`metadata.jsonl` has a row a line, `index.parquet` the same rows; paths are relative to this folder.",
        _FIELDS,
        "## Reading it",
        _READING,
        "## Licence",
        "Oddity, which is under the MIT licence, claims nothing on what it renders: simulated rows of synthetic guitars"
        " are for any use. Recordings, of guitars and of devices, belong to who made them. Brands name what a circuit "
        "was modelled after; their owners have no part in this.",
    ]
    return "\n\n".join(parts) + "\n"


def _seconds(rows: Iterable[Row]) -> float:
    return sum(row.seconds for row in rows)


def _hours(rows: Sequence[Row]) -> str:
    seconds = _seconds(rows)
    return f"{seconds / 3600:.1f} hours" if seconds >= 7200 else f"{seconds / 60:.1f} minutes"


def _in_brackets(words: Sequence[str]) -> str:
    return f" ({'; '.join(words)})" if words else ""


def _grouped(rows: Sequence[Row]) -> list[tuple[tuple[str, str], list[Row]]]:
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.device, row.source].append(row)
    return sorted(groups.items())


def _knobs(rows: Sequence[Row]) -> Iterable[tuple[str, ...]]:
    positions: dict[tuple[str, str], set[float]] = defaultdict(set)
    for row in rows:
        for knob, position in row.knobs.items():
            positions[row.device, knob].add(position)
    for (device, knob), seen in sorted(positions.items()):
        yield device, knob, str(len(seen)), f"{min(seen):g}", f"{max(seen):g}"


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    written = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in written)
