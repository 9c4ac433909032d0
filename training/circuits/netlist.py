"""Netlists: a short text language for circuits with knobs.

One element or directive a line; `*` starts a comment line, `;` a comment after an element; node 0 is ground:

    .input  node                  the input jack, driven by an ideal voltage source
    .output node volts            the output jack, and the volts that a recording of it calls full scale
    .knob   name position         a knob, and where it stands unless told otherwise: 0 to 1, clockwise
    .model  name diode is=A n=1   a diode: saturation current in amperes and ideality factor
    R1 node node ohms             resistor
    C1 node node farads           capacitor
    V1 plus minus volts           battery
    E1 out+ out- in+ in- gain     voltage amplifier: an op-amp (gain 1e5) or a buffer (gain 1)
    P1 top wiper bottom ohms knob taper   potentiometer: at knob 1 the wiper is at `top`; taper is linear or log
    D1 anode cathode model        diode

Values take the suffixes of SPICE: T G MEG k m u n p f.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from types import MappingProxyType

from training.errors import InputError

GROUND = "0"
TAPERS = ("linear", "log")

# What a wiper and its track leave at the end stop; it also keeps a pot at 0 or 1 from shorting its nodes.
_END_STOP_OHMS = 1.0

_BUNDLED = Path(__file__).parent
_POWERS_OF_TEN = {"": 0, "t": 12, "g": 9, "meg": 6, "k": 3, "m": -3, "u": -6, "n": -9, "p": -12, "f": -15}
_NUMBER = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)(t|g|meg|k|m|u|n|p|f|)", re.IGNORECASE)
_SYNTAX = {
    ".input": ".input node",
    ".output": ".output node volts",
    ".knob": ".knob name position",
    ".model": ".model name diode is=amperes n=ideality",
    "R": "R1 node node ohms",
    "C": "C1 node node farads",
    "V": "V1 plus minus volts",
    "E": "E1 out+ out- in+ in- gain",
    "P": "P1 top wiper bottom ohms knob taper",
    "D": "D1 anode cathode model",
}


@dataclass(frozen=True)
class Element:
    """What every element has. `nodes`: the names of its nodes in the order of the netlist; `line`: where it stands."""

    name: str
    nodes: tuple[str, ...]
    line: int


@dataclass(frozen=True)
class Resistor(Element):
    ohms: float


@dataclass(frozen=True)
class Capacitor(Element):
    farads: float


@dataclass(frozen=True)
class Battery(Element):
    volts: float


@dataclass(frozen=True)
class Amplifier(Element):
    gain: float


@dataclass(frozen=True)
class Potentiometer(Element):
    ohms: float
    knob: str
    taper: str

    def halves(self, position: float) -> tuple[Resistor, Resistor]:
        """The two resistors that it is with its knob at `position`, 0..1.

        The log taper is that of a good audio pot: 15 % of the track at half a turn.
        """
        fraction = (31.0**position - 1.0) / 30.0 if self.taper == "log" else position
        top, wiper, bottom = self.nodes
        return (
            Resistor(f"{self.name}.top", (top, wiper), self.line, max(self.ohms * (1.0 - fraction), _END_STOP_OHMS)),
            Resistor(f"{self.name}.bottom", (wiper, bottom), self.line, max(self.ohms * fraction, _END_STOP_OHMS)),
        )


@dataclass(frozen=True)
class Diode(Element):
    model: str


@dataclass(frozen=True)
class DiodeModel:
    """The Shockley law i = saturation_amperes * (exp(v / (ideality * thermal voltage)) - 1)."""

    saturation_amperes: float
    ideality: float


@dataclass(frozen=True)
class Circuit:
    """A netlist that has been checked. `knobs`: the default position of each, 0..1."""

    path: Path
    elements: tuple[Element, ...]
    models: Mapping[str, DiodeModel]
    knobs: Mapping[str, float]
    input_node: str
    output_node: str
    volts_per_full_scale: float

    @property
    def name(self) -> str:
        return self.path.stem

    def check_knobs(self, positions: Mapping[str, float]) -> None:
        """Raise InputError for a knob that the circuit does not have and for a position outside 0..1."""
        for knob, position in positions.items():
            if knob not in self.knobs:
                has = f"it has {', '.join(self.knobs)}" if self.knobs else "it has none"
                raise InputError(f"{self.name} has no knob '{knob}': {has}")
            if not 0.0 <= position <= 1.0:
                raise InputError(f"{self.name}: knob {knob} at {position:g} is outside 0..1")

    def at(self, **knobs: float) -> tuple[Element, ...]:
        """The elements with the knobs at these positions: no potentiometer is left, only resistors.

        Raises InputError as `check_knobs` does.
        """
        self.check_knobs(knobs)
        positions = {**self.knobs, **knobs}
        elements: list[Element] = []
        for element in self.elements:
            elements += element.halves(positions[element.knob]) if isinstance(element, Potentiometer) else (element,)
        return tuple(elements)


def bundled_circuits() -> list[str]:
    """The names of the circuits that come with Oddity."""
    return sorted(path.stem for path in _BUNDLED.glob("*.cir"))


def load_circuit(name_or_path: str | Path) -> Circuit:
    """Read a bundled circuit by its name, or any netlist by the path of its `.cir` file.

    Raises InputError, with file and line, for a netlist that is not understood or does not make a circuit.
    """
    path = Path(name_or_path)
    if path.suffix != ".cir":
        if path.name not in bundled_circuits():
            known = ", ".join(bundled_circuits())
            raise InputError(f"no circuit named '{name_or_path}': there is {known}, or the path of a .cir file")
        path = _BUNDLED / f"{path.name}.cir"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a netlist") from error
    return _Parser(path).parse(text)


class _Parser:
    """Reads one netlist; every complaint names the file and the line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.line = 0
        self.elements: list[Element] = []
        self.models: dict[str, DiodeModel] = {}
        self.knobs: dict[str, float] = {}
        self.knob_lines: dict[str, int] = {}
        self.jacks: dict[str, tuple[str, int]] = {}
        self.volts_per_full_scale = 1.0

    def parse(self, text: str) -> Circuit:
        for self.line, raw in enumerate(text.splitlines(), start=1):
            fields = raw.split(";")[0].split()
            if fields and not fields[0].startswith("*"):
                self._read(fields)
        for jack in (".input", ".output"):
            if jack not in self.jacks:
                raise self._error(f"the netlist has no {jack} line")
        self._check_names()
        self._check_nodes()
        return Circuit(
            path=self.path,
            elements=tuple(self.elements),
            models=MappingProxyType(self.models),
            knobs=MappingProxyType(self.knobs),
            input_node=self.jacks[".input"][0],
            output_node=self.jacks[".output"][0],
            volts_per_full_scale=self.volts_per_full_scale,
        )

    def _error(self, message: str, line: int | None = None) -> InputError:
        return InputError(f"{self.path}:{self.line if line is None else line}: {message}")

    def _read(self, fields: list[str]) -> None:
        name, *rest = fields
        kind = name.lower() if name.startswith(".") else name[0].upper()
        if kind not in _SYNTAX:
            raise self._error(f"unknown {'directive' if name.startswith('.') else 'element'} {name}")
        wanted = len(_SYNTAX[kind].split()) - 1
        if len(rest) != wanted:
            raise self._error(f"{name} has {len(rest)} fields, not {wanted}: {_SYNTAX[kind]}")
        if kind.startswith("."):
            self._read_directive(kind, rest)
        elif name in (element.name for element in self.elements):
            raise self._error(f"there is a second {name}")
        else:
            self.elements.append(self._element(kind, name, rest))

    def _read_directive(self, kind: str, fields: list[str]) -> None:
        name, *rest = fields
        if kind in (".input", ".output"):
            if kind in self.jacks:
                raise self._error(f"there is a second {kind}")
            self.jacks[kind] = (name, self.line)
            if kind == ".output":
                self.volts_per_full_scale = self._positive(rest[0])
        elif name in self.knobs or name in self.models:
            raise self._error(f"there is a second {name}")
        elif kind == ".knob":
            if not name.isidentifier():
                raise self._error(f"'{name}' is no name for a knob")
            position = self._number(rest[0])
            if not 0.0 <= position <= 1.0:
                raise self._error(f"knob {name} at {rest[0]} is outside 0..1")
            self.knobs[name], self.knob_lines[name] = position, self.line
        else:
            self.models[name] = self._model(*rest)

    def _model(self, kind: str, *parameters: str) -> DiodeModel:
        if kind != "diode":
            raise self._error(f"unknown kind of model '{kind}': only diode is known")
        values = {name: value for name, _, value in (parameter.partition("=") for parameter in parameters)}
        if set(values) != {"is", "n"}:
            raise self._error(f"a diode model has is= and n=: {_SYNTAX['.model']}")
        return DiodeModel(self._positive(values["is"]), self._positive(values["n"]))

    def _element(self, kind: str, name: str, fields: list[str]) -> Element:
        if kind == "R":
            return Resistor(name, tuple(fields[:2]), self.line, self._positive(fields[2]))
        if kind == "C":
            return Capacitor(name, tuple(fields[:2]), self.line, self._positive(fields[2]))
        if kind == "V":
            return Battery(name, tuple(fields[:2]), self.line, self._number(fields[2]))
        if kind == "E":
            return Amplifier(name, tuple(fields[:4]), self.line, self._number(fields[4]))
        if kind == "D":
            return Diode(name, tuple(fields[:2]), self.line, fields[2])
        if fields[5] not in TAPERS:
            raise self._error(f"unknown taper '{fields[5]}': it is {' or '.join(TAPERS)}")
        return Potentiometer(name, tuple(fields[:3]), self.line, self._positive(fields[3]), fields[4], fields[5])

    def _number(self, text: str) -> float:
        match = _NUMBER.fullmatch(text)
        if not match:
            raise self._error(f"'{text}' is not a value like 4.7k, 51p or 1meg")
        return float(match[1]) * 10.0 ** _POWERS_OF_TEN[match[2].lower()]

    def _positive(self, text: str) -> float:
        value = self._number(text)
        if not value > 0.0:
            raise self._error(f"the value {text} must be above zero")
        return value

    def _check_names(self) -> None:
        """Models and knobs may stand below what uses them, so they are looked up when all lines are read."""
        for element in self.elements:
            if isinstance(element, Diode) and element.model not in self.models:
                raise self._error(f"{element.name} has the unknown model {element.model}", element.line)
            if isinstance(element, Potentiometer) and element.knob not in self.knobs:
                raise self._error(f"{element.name} has the unknown knob {element.knob}", element.line)
        turned = {element.knob for element in self.elements if isinstance(element, Potentiometer)}
        for knob in self.knobs:
            if knob not in turned:
                raise self._error(f"knob {knob} turns nothing", self.knob_lines[knob])

    def _check_nodes(self) -> None:
        """Without two connections and a path for direct current to ground, the voltage of a node is undefined."""
        uses: list[tuple[tuple[str, ...], int]] = [((node,), line) for node, line in self.jacks.values()]
        uses += [(element.nodes, element.line) for element in self.elements]
        connections = Counter(node for nodes, _ in uses for node in nodes)
        conductors = [_conducting(element) for element in self.elements]
        grounded = _reached_from(GROUND, [*conductors, (GROUND, self.jacks[".input"][0])])
        for nodes, line in sorted(uses, key=itemgetter(1)):
            for node in nodes:
                if node != GROUND and connections[node] < 2:
                    raise self._error(f"node {node} is floating: nothing else connects to it", line)
                if node not in grounded:
                    raise self._error(f"node {node} is floating: it has no resistive path to ground (node 0)", line)


def _conducting(element: Element) -> tuple[str, ...]:
    """The nodes between which the element can carry direct current."""
    if isinstance(element, Capacitor):
        return ()
    return element.nodes[:2] if isinstance(element, Amplifier) else element.nodes


def _reached_from(start: str, conductors: Iterable[tuple[str, ...]]) -> set[str]:
    """The nodes that these conductors, each a set of nodes tied together, connect to `start`."""
    reached, pending = {start}, list(conductors)
    while joined := [nodes for nodes in pending if not reached.isdisjoint(nodes)]:
        pending = [nodes for nodes in pending if reached.isdisjoint(nodes)]
        reached.update(*joined)
    return reached
