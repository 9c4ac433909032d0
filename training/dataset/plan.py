"""Plans: which devices play which takes, at which knobs and levels. A TOML file:

    seed = 0                   # of all that is drawn; may be left out, as all but [[device]] and its circuit
    seconds = 10               # of each take
    takes = 4                  # so many synthetic takes, or a list of their seeds; with [[di]] none unless it says so
    guitars = ["humbucker"]    # who plays them, in turn; else the seed draws a guitar for each
    oversampling = 8

    [[di]]                     # recordings of your own as further takes, cut into pieces of `seconds`
    path = "di.wav"
    volts_per_full_scale = 1.4
    guitar = "my Telecaster"   # else the file's name

    [[device]]
    circuit = "rat"            # its name, or the path of a .cir file from here
    name = "rat"               # in the index; else the circuit's
    count = 8                  # so many settings of the knobs that are drawn
    takes = 4                  # only the first so many takes
    takes_per_setting = 1      # each setting plays so many of them, in turn; else all of them
    levels_db = [-6, 0]        # each row at each of these; or { from = -12, to = 6 }: drawn for each row
    sweep = ["distortion"]     # each of these in turn moves through `steps` positions, while the other knobs are as
    steps = 5                  # below: once for each of their settings
    [device.knobs]             # those not named are drawn from 0 to 1
    volume = 0.7               # stands still
    filter = [0, 0.5, 1]       # a grid: all combinations with those of other knobs, and with what is drawn
    distortion = { from = 0.2, to = 1 }    # drawn from this range; swept through it, if it is swept

count, takes_per_setting, levels_db and steps may also stand at the top, for all devices. What is drawn depends on the
seed, the device's name and the number of the draw alone: a plan whose `count` grows keeps the rows that it had.
"""

import hashlib
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from training import circuits
from training.dataset import store
from training.dataset.index import SAMPLE_RATE_HZ
from training.dataset.toml_lines import Table, read_table
from training.errors import InputError

MINIMUM_SECONDS, MAXIMUM_SECONDS = 1.0, 3600.0
MAXIMUM_COUNT = 1_000_000
LEVELS_DB = (-60.0, 60.0)
DEFAULTS: dict[str, Any] = {"seed": 0, "seconds": 10.0, "takes": 4, "oversampling": 8, "count": 8, "steps": 5}
_NAMES_LINE = re.compile(r".+:\d+: ")
_FOR_ALL_DEVICES = ("count", "takes_per_setting", "levels_db", "steps")


@dataclass(frozen=True)
class Di:
    """A guitar before the device: the file that it becomes.

    seed, by_name, version: of a synthetic take, which of `training.guitar.GUITARS` plays it, None where the seed draws
    one, and which version of them.
    recording, volts_per_full_scale: the file of a recorded one.
    """

    id: str
    frames: int
    guitar: str
    facts: Mapping[str, str] = field(default_factory=dict)
    seed: int | None = None
    by_name: str | None = None
    version: str | None = None
    recording: Path | None = None
    volts_per_full_scale: float | None = None

    @property
    def path(self) -> str:
        return store.flac_path("di", self.id)


@dataclass(frozen=True)
class Take:
    """Part of a DI: `frames` from `start_frame` on."""

    di: Di
    start_frame: int
    frames: int


@dataclass(frozen=True)
class Device:
    """A circuit under its name in the index. `netlist`: its digest."""

    name: str
    circuit: circuits.Circuit
    netlist: str
    oversampling: int
    engine: str = circuits.ENGINE


@dataclass(frozen=True)
class PlannedRow:
    """A row before it is rendered. `knobs`: all of the device's."""

    device: Device
    knobs: Mapping[str, float]
    level_db: float
    take: Take

    @cached_property
    def id(self) -> str:
        """The hash of all that decides what the file holds, and of the device's name."""
        return store.digest(
            "row",
            device=self.device.name,
            netlist=self.device.netlist,
            engine=self.device.engine,
            oversampling=self.device.oversampling,
            knobs=dict(self.knobs),
            level_db=self.level_db,
            di=self.take.di.id,
            start_frame=self.take.start_frame,
            frames=self.take.frames,
            sample_rate_hz=SAMPLE_RATE_HZ,
        )

    @property
    def path(self) -> str:
        return store.flac_path("audio", self.id)

    def facts(self) -> dict[str, Any]:
        """What the index says of it and rendering does not change."""
        take, circuit = self.take, self.device.circuit
        return {
            "id": self.id,
            "path": self.path,
            "di_id": take.di.id,
            "di_path": take.di.path,
            "di_start": take.start_frame / SAMPLE_RATE_HZ,
            "di_end": (take.start_frame + take.frames) / SAMPLE_RATE_HZ,
            "device": self.device.name,
            "device_title": circuit.device,
            "brand": circuit.brand,
            "channel": circuit.channel,
            "source": "simulated",
            "knobs": dict(self.knobs),
            "component_types": list(circuit.component_types),
            "delay_samples": 0,
            "engine": self.device.engine,
            "oversampling": self.device.oversampling,
            "netlist_sha256": self.device.netlist,
            "sample_rate_hz": SAMPLE_RATE_HZ,
            "frames": take.frames,
            "guitar": take.di.guitar,
            "guitar_facts": dict(take.di.facts),
            "take_seed": take.di.seed,
            "level_db": self.level_db,
        }


@dataclass(frozen=True)
class Plan:
    """`rows` by their ids, in the order of the plan, without those that it names twice."""

    path: Path
    rows: Mapping[str, PlannedRow]

    @property
    def seconds(self) -> float:
        return sum(row.take.frames for row in self.rows.values()) / SAMPLE_RATE_HZ

    @property
    def dis(self) -> list[Di]:
        return list({row.take.di.id: row.take.di for row in self.rows.values()}.values())

    @property
    def devices(self) -> list[Device]:
        return list({row.device.name: row.device for row in self.rows.values()}.values())


@dataclass(frozen=True)
class _Range:
    """Drawn from here; or swept through it."""

    low: float = 0.0
    high: float = 1.0

    def drawn(self, *of: object) -> float:
        """A value that depends on `of` alone, with six decimals."""
        bits = hashlib.sha256(repr(of).encode()).digest()[:6]
        return round(self.low + (self.high - self.low) * int.from_bytes(bits, "big") / 2**48, 6) + 0.0  # not -0

    def steps(self, count: int) -> list[float]:
        return [round(self.low + (self.high - self.low) * k / (count - 1), 6) for k in range(count)]


_Where = float | list[float] | _Range
"""What a plan says of a knob: it stands still, it is in the grid, or it is drawn."""


def read_plan(path: Path) -> Plan:
    """Read and check a plan, the netlists that it names, and its recordings.

    Raises InputError with file and line: of the plan, or of a netlist that is broken.
    """
    table = read_table(path)
    table.allow("seed", "seconds", "takes", "guitars", "oversampling", "di", "device", *_FOR_ALL_DEVICES)
    seed = table.integer("seed", 0, 2**63 - 1, DEFAULTS["seed"])
    oversampling = table.integer("oversampling", 1, 64, DEFAULTS["oversampling"])
    takes = _takes(table, seed)
    blocks = table.tables("device")
    if not blocks:
        raise table.error("there is no [[device]]")
    devices: dict[str, Device] = {}
    rows: dict[str, PlannedRow] = {}
    for block in blocks:
        # What the top says of all devices is read as if it stood in each; complaints then name the device's line.
        common = {key: table.values[key] for key in _FOR_ALL_DEVICES if key in table.values}
        _check_common(table, common)
        block = replace(block, values={**common, **block.values})
        device = _device(block, devices, oversampling)
        ordinal = sum(1 for other in blocks if other.place < block.place and _names_alike(other, block))
        for row in _rows(block, device, takes, (seed, device.name, ordinal)):
            rows.setdefault(row.id, row)
    return Plan(Path(path), rows)


def _names_alike(a: Table, b: Table) -> bool:
    """Whether they name the same device: one that has no name has the name of its circuit."""

    def names(table: Table) -> set[object]:
        circuit = str(table.values.get("circuit"))
        return {table.values.get("name", Path(circuit).stem if circuit.endswith(".cir") else circuit)}

    return names(a) == names(b)


def _check_common(table: Table, common: Mapping[str, Any]) -> None:
    """Complain where the value stands, not at each device."""
    if "count" in common:
        table.integer("count", 1, MAXIMUM_COUNT)
    if "steps" in common:
        table.integer("steps", 2, MAXIMUM_COUNT)
    if "takes_per_setting" in common:
        table.integer("takes_per_setting", 1, MAXIMUM_COUNT)
    _levels(table)


def _takes(table: Table, seed: int) -> list[Take]:
    seconds = table.number("seconds", MINIMUM_SECONDS, MAXIMUM_SECONDS, DEFAULTS["seconds"])
    frames = round(seconds * SAMPLE_RATE_HZ)
    given = table.values.get("takes", DEFAULTS["takes"])
    recorded = [take for di in table.tables("di") for take in _recorded(di, frames)]
    if isinstance(given, list):
        seeds = list(table.list_of("takes", int))
        for number, item in enumerate(seeds):
            table.checked(item, 0, 2**63 - 1, "takes", number)
    else:
        # With recordings, no synthetic take is asked for unless the plan says so.
        wanted = 0 if recorded and "takes" not in table.values else table.integer("takes", 0, MAXIMUM_COUNT, given)
        seeds = [take_seed(seed, number) for number in range(wanted)]
    names = _guitars(table)
    takes = [
        Take(synthetic_di(take_seed, frames, names[number % len(names)]), 0, frames)
        for number, take_seed in enumerate(seeds)
    ]
    if not takes + recorded:
        raise table.error("there is no take to play: takes = 0, and no [[di]]", "takes")
    return takes + recorded


def take_seed(seed: int, number: int) -> int:
    """The seed of a plan's take: other plans have other takes, so that training and test sets may be two plans."""
    return int.from_bytes(hashlib.sha256(f"take {seed} {number}".encode()).digest()[:4], "big")


def _guitars(table: Table) -> Sequence[str | None]:
    from training.guitar import GUITARS

    names: Sequence[str] = table.list_of("guitars", str)
    for number, name in enumerate(names):
        if name not in GUITARS:
            raise table.error(f"no guitar is named '{name}': there is {', '.join(GUITARS)}", "guitars", number)
    return names or [None]


def synthetic_di(seed: int, frames: int, by_name: str | None) -> Di:
    from training import guitar

    name = store.digest(
        "synthetic", version=guitar.VERSION, seed=seed, frames=frames, guitar=by_name, rate=SAMPLE_RATE_HZ
    )
    facts = {key: _as_text(value) for key, value in guitar.take_facts(seed, by_name).items()}
    return Di(name, frames, facts.pop("guitar"), facts, seed, by_name, guitar.VERSION)


def _as_text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _recorded(table: Table, frames: int) -> list[Take]:
    """The pieces of a recording; the rest that does not fill one is left out, unless there is no other."""
    table.allow("path", "volts_per_full_scale", "guitar")
    path = table.path.parent / table.text("path")
    volts = table.number("volts_per_full_scale", 1e-3, 1e3)
    try:
        di = recorded_di(path, volts, table.text("guitar", path.stem))
    except InputError as error:
        raise table.error(error.message, "path") from error
    if di.frames < MINIMUM_SECONDS * SAMPLE_RATE_HZ:
        raise table.error(f"{path}: lasts {di.frames / SAMPLE_RATE_HZ:.2f} s; {MINIMUM_SECONDS:g} s are needed", "path")
    pieces = di.frames // frames
    if not pieces:
        return [Take(di, 0, di.frames)]
    return [Take(di, piece * frames, frames) for piece in range(pieces)]


def recorded_di(path: Path, volts_per_full_scale: float | None, guitar: str) -> Di:
    """A recording as a DI. Raises InputError where `training.capture.read_di` does."""
    from training.capture import read_di

    samples, _ = read_di(path)
    content = hashlib.sha256(path.read_bytes()).hexdigest()
    name = store.digest("recorded", content=content, volts=volts_per_full_scale, rate=SAMPLE_RATE_HZ)
    return Di(name, len(samples), guitar, recording=path, volts_per_full_scale=volts_per_full_scale)


def _device(block: Table, devices: dict[str, Device], oversampling: int) -> Device:
    block.allow("circuit", "name", "takes", "sweep", "knobs", *_FOR_ALL_DEVICES)
    wanted = block.text("circuit")
    where: str | Path = block.path.parent / wanted if wanted.endswith(".cir") else wanted
    try:
        circuit = circuits.load_circuit(where)
    except InputError as error:
        if _NAMES_LINE.match(error.message):
            raise  # of the netlist
        raise block.error(error.message, "circuit") from error
    name = block.text("name", circuit.name)
    made = Device(name, circuit, circuit.digest(), oversampling)
    if devices.setdefault(name, made).netlist != made.netlist:
        raise block.error(f"another device is named {name} already: give this one a name", "circuit")
    return devices[name]


def _rows(block: Table, device: Device, takes: list[Take], key: tuple[object, ...]) -> Iterator[PlannedRow]:
    count = block.integer("takes", 1, len(takes), len(takes))
    each = block.integer("takes_per_setting", 1, MAXIMUM_COUNT, count)
    levels = _levels(block)
    for number, knobs in enumerate(_settings(block, device.circuit, key)):
        for turn in range(min(each, count)):
            take = takes[(number * each + turn) % count]
            for level in [levels.drawn(*key, "level", number, turn)] if isinstance(levels, _Range) else levels:
                yield PlannedRow(device, knobs, level, take)


def _levels(table: Table) -> list[float] | _Range:
    value = table.values.get("levels_db", [0.0])
    if isinstance(value, dict):
        return _range(table.table("levels_db"), *LEVELS_DB, needed=True)
    if not isinstance(value, list) or not value:
        raise table.error("levels_db should be a list of decibels, or { from = .., to = .. }", "levels_db")
    return [table.checked(item, *LEVELS_DB, "levels_db", number) for number, item in enumerate(value)]


def _range(table: Table, lowest: float, highest: float, needed: bool = False) -> _Range:
    table.allow("from", "to")
    low = table.number("from", lowest, highest, None if needed else lowest)
    high = table.number("to", lowest, highest, None if needed else highest)
    if not low < high:
        raise table.error(f"the range from {low:g} to {high:g} is empty")
    return _Range(low, high)


def _settings(block: Table, circuit: circuits.Circuit, key: tuple[object, ...]) -> Iterator[dict[str, float]]:
    """The positions of all knobs, setting by setting."""
    places = _places(block, circuit)
    swept = _swept(block, circuit, places)
    steps = block.integer("steps", 2, MAXIMUM_COUNT, DEFAULTS["steps"])
    if block.has_line("steps") and not swept:
        raise block.error("steps is for sweep, which is missing", "steps")
    sweeps: Sequence[str | None] = swept or [None]
    for sweep in sweeps:
        yield from _swept_settings(block, places, sweep, steps, key)


def _swept_settings(
    block: Table, places: Mapping[str, _Where], sweep: str | None, steps: int, key: tuple[object, ...]
) -> Iterator[dict[str, float]]:
    """All settings of the other knobs, and for each of them the sweep."""
    axes: dict[str, list[float]] = {name: where for name, where in places.items() if isinstance(where, list)}
    drawn = {name: where for name, where in places.items() if isinstance(where, _Range) and name != sweep}
    count = block.integer("count", 1, MAXIMUM_COUNT, DEFAULTS["count"]) if drawn else 1
    if block.has_line("count") and not drawn:
        raise block.error("count is for knobs that are drawn, and none is", "count")
    if sweep is not None:
        where = places[sweep]
        axes[sweep] = (where if isinstance(where, _Range) else _Range()).steps(steps)
    for number in range(count):
        rest = {name: where.drawn(*key, name, number) for name, where in drawn.items()}
        rest |= {name: where for name, where in places.items() if isinstance(where, float) and name not in axes}
        for combination in itertools.product(*axes.values()):
            setting = rest | dict(zip(axes, combination, strict=True))
            yield {name: setting[name] for name in places}


def _places(block: Table, circuit: circuits.Circuit) -> dict[str, _Where]:
    """Of every knob of the circuit, what the plan says of it."""
    table = block.table("knobs")
    places: dict[str, _Where] = dict.fromkeys(circuit.knobs, _Range())
    for name, value in table.values.items():
        _check_knob(table, circuit, name, name)
        if isinstance(value, dict):
            places[name] = _range(table.table(name), 0.0, 1.0)
        elif isinstance(value, list) and value:
            places[name] = [table.checked(item, 0.0, 1.0, name, number) for number, item in enumerate(value)]
        elif isinstance(value, list):
            raise table.error(f"{name} has no position", name)
        else:
            places[name] = table.checked(value, 0.0, 1.0, name)
    return places


def _swept(block: Table, circuit: circuits.Circuit, places: Mapping[str, _Where]) -> Sequence[str]:
    swept: Sequence[str] = block.list_of("sweep", str)
    for number, name in enumerate(swept):
        _check_knob(block, circuit, name, "sweep", number)
        if not isinstance(places[name], _Range):
            raise block.error(f"{name} is swept: [device.knobs] may only give it a range", "sweep", number)
        if name in swept[:number]:
            raise block.error(f"{name} is swept twice", "sweep", number)
    return swept


def _check_knob(table: Table, circuit: circuits.Circuit, name: str, *keys: str | int) -> None:
    try:
        circuit.check_knobs({name: 0.0})
    except InputError as error:
        raise table.error(error.message, *keys) from error
