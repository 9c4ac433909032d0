"""Netlists: a short text language for circuits with knobs.

One element or directive a line; `*` starts a comment line, `;` a comment after an element; node 0 is ground:

    .input  node                  the input jack, driven by an ideal voltage source
    .output node volts            the output jack, and the volts that a recording of it calls full scale
    .device words                 what it is, such as "TS-808-like overdrive"; like .brand and .channel not needed
    .knob   name position         a knob, and where it stands unless told otherwise: 0 to 1, clockwise
    .model  name kind a=1 b=2     a part; PARTS lists the kinds and their parameters
    R1 node node ohms             resistor
    C1 node node farads           capacitor
    L1 node node henries          inductor, or a winding of a transformer
    K1 L1 L2 coupling             two windings on one core, the first node of each in phase: above 0, below 1
    V1 plus minus volts           battery
    E1 out+ out- in+ in- gain     voltage amplifier: an ideal op-amp (gain 1e5) or a buffer (gain 1)
    G1 from to in+ in- siemens    transconductance: siemens * (in+ - in-) flows from the first node to the second
    P1 top wiper bottom ohms knob taper   potentiometer: at knob 1 the wiper is at `top`; the taper: see TAPERS
    A1 out in+ in- model          op-amp with one pole and rails; see `OpAmp`
    D1 anode cathode model        diode
    Q1 collector base emitter model       bipolar transistor
    T1 plate grid cathode model           triode
    T1 plate screen grid cathode model    pentode or beam tetrode

Values take the suffixes of SPICE: T G MEG k m u n p f. The models of `parts.lib` beside this file are known without a
.model line; a netlist may give its own model the same name.
"""

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from operator import itemgetter
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from training.errors import InputError

GROUND = "0"
TAPERS = {
    "linear": lambda position: position,
    "log": lambda position: (31.0**position - 1.0) / 30.0,
    "antilog": lambda position: 1.0 - (31.0 ** (1.0 - position) - 1.0) / 30.0,
}
"""The fraction of the track below the wiper. A good audio pot has 15 % of it at half a turn; antilog is its mirror."""

# What a wiper and its track leave at the end stop; it also keeps a pot at 0 or 1 from shorting its nodes.
_END_STOP_OHMS = 1.0

_BUNDLED = Path(__file__).parent
_POWERS_OF_TEN = {"": 0, "t": 12, "g": 9, "meg": 6, "k": 3, "m": -3, "u": -6, "n": -9, "p": -12, "f": -15}
_NUMBER = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)(t|g|meg|k|m|u|n|p|f|)", re.IGNORECASE)
_SYNTAX = {
    ".input": (".input node",),
    ".output": (".output node volts",),
    ".knob": (".knob name position",),
    "R": ("R1 node node ohms",),
    "C": ("C1 node node farads",),
    "L": ("L1 node node henries",),
    "K": ("K1 L1 L2 coupling",),
    "V": ("V1 plus minus volts",),
    "E": ("E1 out+ out- in+ in- gain",),
    "G": ("G1 from to in+ in- siemens",),
    "P": ("P1 top wiper bottom ohms knob taper",),
    "A": ("A1 out in+ in- model",),
    "D": ("D1 anode cathode model",),
    "Q": ("Q1 collector base emitter model",),
    "T": ("T1 plate grid cathode model", "T1 plate screen grid cathode model"),
}
_DESCRIPTIONS = (".device", ".brand", ".channel")


@dataclass(frozen=True)
class DiodeModel:
    """The Shockley law i = is * (exp(v / (n * thermal voltage)) - 1), `is` in amperes."""

    kinds: ClassVar = ("diode",)
    saturation: float
    n: float


@dataclass(frozen=True)
class TransistorModel:
    """Ebers and Moll's transport model, `is` in amperes, with the current gains forward and in reverse.

    With f = is * (exp(v_be / Vt) - 1) and r = is * (exp(v_bc / Vt) - 1): i_b = f / bf + r / br and
    i_c = f - r - r / br. A pnp has all voltages and currents negated.
    """

    kinds: ClassVar = ("npn", "pnp")
    saturation: float
    bf: float
    br: float


@dataclass(frozen=True)
class TriodeModel:
    """N. Koren's triode with the grid current of Dempwolf & Zoelzer; voltages from the cathode.

    e = v_p / kp * ln(1 + exp(kp * (1 / mu + v_g / sqrt(kvb + v_p^2)))); i_p = 2 / kg1 * e^ex where e > 0, else 0;
    i_g = gg * (ln(1 + exp(cg * v_g)) / cg)^xi. Sources: N. Koren, "Improved vacuum tube models for SPICE simulations",
    Glass Audio 8(5), 1996; K. Dempwolf & U. Zoelzer, "A physically-motivated triode model for circuit simulations",
    DAFx 2011.
    """

    kinds: ClassVar = ("triode",)
    mu: float
    ex: float
    kg1: float
    kp: float
    kvb: float
    gg: float = 6.06e-4
    cg: float = 9.9
    xi: float = 1.31


@dataclass(frozen=True)
class PentodeModel:
    """N. Koren's pentode with a smooth screen current and the grid current of the triode; voltages from the cathode.

    e = v_s / kp * ln(1 + exp(kp * (1 / mu + v_g / v_s))) where v_s > 0, else 0; i_p = 2 / kg1 * e^ex * atan(v_p / kvb),
    with v_p below 0 giving no current; i_s = e^ex / kg2; i_g as in `TriodeModel`. Koren's own screen current has a
    corner at cut-off, which Newton's method does not like; both agree where the tube conducts.
    """

    kinds: ClassVar = ("pentode",)
    mu: float
    ex: float
    kg1: float
    kg2: float
    kp: float
    kvb: float
    gg: float = 6.06e-4
    cg: float = 9.9
    xi: float = 1.31


@dataclass(frozen=True)
class OpAmpModel:
    """`gain` and `gbw` (Hz) of an amplifier with one pole, `high` and `low`: the volts, from ground, between which its
    output stays within some 0.1 V; `slew`: the fastest that it moves, volts a second."""

    kinds: ClassVar = ("opamp",)
    gain: float
    gbw: float
    high: float
    low: float
    slew: float = math.inf


Model = DiodeModel | TransistorModel | TriodeModel | PentodeModel | OpAmpModel
PARTS = {
    kind: model
    for model in (DiodeModel, TransistorModel, TriodeModel, PentodeModel, OpAmpModel)
    for kind in model.kinds
}
"""The kinds of .model lines. A parameter that has a default may be left out; `saturation` is written `is`."""


@dataclass(frozen=True)
class Element:
    """What every element has. `nodes`: the names of its nodes in the order of the netlist; `line`: where it stands."""

    name: str
    nodes: tuple[str, ...]
    line: int

    def conducting(self) -> tuple[str, ...]:
        """The nodes between which it can carry direct current."""
        return self.nodes


@dataclass(frozen=True)
class Resistor(Element):
    ohms: float


@dataclass(frozen=True)
class Capacitor(Element):
    farads: float

    def conducting(self) -> tuple[str, ...]:
        return ()


@dataclass(frozen=True)
class Inductor(Element):
    henries: float


@dataclass(frozen=True)
class Coupling(Element):
    """`windings`: the names of two inductors. It has no nodes of its own."""

    windings: tuple[str, str]
    factor: float


@dataclass(frozen=True)
class Battery(Element):
    volts: float


@dataclass(frozen=True)
class Amplifier(Element):
    gain: float

    def conducting(self) -> tuple[str, ...]:
        return self.nodes[:2]


@dataclass(frozen=True)
class Transconductor(Element):
    """limit * tanh(siemens * (in+ - in-) / limit) amperes flow from the first node to the second; without a limit,
    siemens * (in+ - in-)."""

    siemens: float
    limit_amperes: float = math.inf

    def conducting(self) -> tuple[str, ...]:
        return ()


@dataclass(frozen=True)
class Potentiometer(Element):
    ohms: float
    knob: str
    taper: str

    def halves(self, position: float) -> tuple[Resistor, Resistor]:
        """The two resistors that it is with its knob at `position`, 0..1."""
        fraction = TAPERS[self.taper](position)
        top, wiper, bottom = self.nodes
        return (
            Resistor(f"{self.name}.top", (top, wiper), self.line, max(self.ohms * (1.0 - fraction), _END_STOP_OHMS)),
            Resistor(f"{self.name}.bottom", (wiper, bottom), self.line, max(self.ohms * fraction, _END_STOP_OHMS)),
        )


@dataclass(frozen=True)
class Diode(Element):
    part: str
    model: DiodeModel


@dataclass(frozen=True)
class Transistor(Element):
    """`nodes`: collector, base, emitter. `polarity`: 1 for npn, -1 for pnp."""

    part: str
    model: TransistorModel
    polarity: int


@dataclass(frozen=True)
class Triode(Element):
    """`nodes`: plate, grid, cathode."""

    part: str
    model: TriodeModel

    def conducting(self) -> tuple[str, ...]:
        return self.nodes[0], self.nodes[2]


@dataclass(frozen=True)
class Pentode(Element):
    """`nodes`: plate, screen, grid, cathode."""

    part: str
    model: PentodeModel

    def conducting(self) -> tuple[str, ...]:
        return self.nodes[0], self.nodes[1], self.nodes[3]


@dataclass(frozen=True)
class OpAmp(Element):
    """`nodes`: output, input +, input -. A macro model of simple elements, see `expanded`."""

    part: str
    model: OpAmpModel

    # What a clamping diode drops at some 0.1 mA, and how far inside the rails its battery therefore stands.
    _CLAMP: ClassVar = DiodeModel(saturation=1e-14, n=1.0)
    _CLAMP_VOLTS: ClassVar = 0.6
    _SIEMENS: ClassVar = 1e-3

    def conducting(self) -> tuple[str, ...]:
        return self.nodes[0], GROUND

    def expanded(self) -> tuple[Element, ...]:
        """A transconductance into a resistor, a capacitor and two diodes to batteries at the rails; then a buffer.

        An amplifier that saturates by itself, as a tanh of gain 1e5, breaks Newton's method; this does not.
        """
        model, name, line = self.model, self.name, self.line
        output, plus, minus = self.nodes
        pole, high, low = (f"{name}.{end}" for end in ("pole", "high", "low"))
        farads = self._SIEMENS / (2.0 * math.pi * model.gbw)
        return (
            Transconductor(f"{name}.gm", (GROUND, pole, plus, minus), line, self._SIEMENS, model.slew * farads),
            Resistor(f"{name}.r", (pole, GROUND), line, model.gain / self._SIEMENS),
            Capacitor(f"{name}.c", (pole, GROUND), line, farads),
            Battery(f"{name}.vhigh", (high, GROUND), line, model.high - self._CLAMP_VOLTS),
            Battery(f"{name}.vlow", (low, GROUND), line, model.low + self._CLAMP_VOLTS),
            Diode(f"{name}.dhigh", (pole, high), line, "clamp", self._CLAMP),
            Diode(f"{name}.dlow", (low, pole), line, "clamp", self._CLAMP),
            Amplifier(f"{name}.out", (output, GROUND, pole, GROUND), line, 1.0),
        )


@dataclass(frozen=True)
class Circuit:
    """A netlist that has been checked.

    `knobs`: the default position of each, 0..1. `device`, `brand`, `channel`: words for people; `device` is the name
    of the file where the netlist gives none, the others are then empty.
    """

    path: Path
    elements: tuple[Element, ...]
    knobs: Mapping[str, float]
    input_node: str
    output_node: str
    volts_per_full_scale: float
    device: str
    brand: str = ""
    channel: str = ""

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def component_types(self) -> tuple[str, ...]:
        """The kinds of parts other than resistors, capacitors and pots, such as 'diode 1N914', sorted."""
        kinds = {
            f"{type(element).__name__.lower()} {element.part}" for element in self.elements if hasattr(element, "part")
        }
        return tuple(
            sorted(kinds | ({"transformer"} if any(isinstance(e, Coupling) for e in self.elements) else set()))
        )

    def digest(self) -> str:
        """SHA-256, in hexadecimal, of all that decides what it sounds like: comments and order of lines do not."""
        bare = sorted(
            repr(
                [
                    type(element).__name__,
                    *(getattr(element, each.name) for each in fields(element) if each.name != "line"),
                ]
            )
            for element in self.elements
        )
        ends = (self.input_node, self.output_node, self.volts_per_full_scale, sorted(self.knobs.items()))
        return hashlib.sha256(repr((bare, ends)).encode()).hexdigest()

    def check_knobs(self, positions: Mapping[str, float]) -> None:
        """Raise InputError for a knob that the circuit does not have and for a position outside 0..1."""
        for knob, position in positions.items():
            if knob not in self.knobs:
                has = f"it has {', '.join(self.knobs)}" if self.knobs else "it has none"
                raise InputError(f"{self.name} has no knob '{knob}': {has}")
            if not 0.0 <= position <= 1.0:
                raise InputError(f"{self.name}: knob {knob} at {position:g} is outside 0..1")

    def at(self, /, **knobs: float) -> tuple[Element, ...]:
        """The elements with the knobs at these positions: no potentiometer and no op-amp is left, only what they are.

        At all positions these are the same elements in the same order, with other resistances. Raises InputError as
        `check_knobs` does.
        """
        self.check_knobs(knobs)
        positions = {**self.knobs, **knobs}
        elements: list[Element] = []
        for element in self.elements:
            if isinstance(element, Potentiometer):
                elements += element.halves(positions[element.knob])
            else:
                elements += element.expanded() if isinstance(element, OpAmp) else (element,)
        return tuple(elements)


def bundled_circuits() -> list[str]:
    """The names of the circuits that come with Oddity."""
    return sorted(path.stem for path in _BUNDLED.glob("*.cir"))


def load_circuit(name_or_path: str | Path) -> Circuit:
    """Read a bundled circuit by its name, or any netlist by the path of its `.cir` file.

    Raises InputError, with file and line, for a netlist that is not understood or does not make a circuit.
    """
    path = Path(name_or_path)
    if path.suffix.lower() != ".cir":
        if str(name_or_path) not in bundled_circuits():
            known = ", ".join(bundled_circuits())
            raise InputError(f"no circuit named '{name_or_path}': there is {known}, or the path of a .cir file")
        path = _BUNDLED / f"{path.name}.cir"
    return _Parser(path, _parts()).circuit()


@cache
def _parts() -> Mapping[str, tuple[str, Model]]:
    """The models of parts.lib, each with its kind."""
    parser = _Parser(_BUNDLED / "parts.lib", {})
    parser.read_directives()
    return parser.models


class _Parser:
    """Reads one netlist; every complaint names the file and the line."""

    def __init__(self, path: Path, known: Mapping[str, tuple[str, Model]]) -> None:
        self.path = path
        self.line = 0
        self.known = known
        self.elements: list[Element] = []
        self.models: dict[str, tuple[str, Model]] = {}
        self.knobs: dict[str, float] = {}
        self.knob_lines: dict[str, int] = {}
        self.jacks: dict[str, tuple[str, int]] = {}
        self.descriptions: dict[str, str] = {}
        self.volts_per_full_scale = 1.0
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: cannot be read as a netlist") from error
        numbered = ((number, raw.split(";")[0].split()) for number, raw in enumerate(text.splitlines(), start=1))
        self.lines = [(number, fields) for number, fields in numbered if fields and not fields[0].startswith("*")]

    def circuit(self) -> Circuit:
        self.read_directives()
        for number, (name, *rest) in self.lines:
            self.line = number
            if not name.startswith("."):
                self._read_element(name, rest)
        for jack in (".input", ".output"):
            if jack not in self.jacks:
                raise self._error(f"the netlist has no {jack} line")
        self._check_couplings()
        self._check_knobs()
        self._check_sources()
        self._check_nodes()
        self._check_signal_path()
        return Circuit(
            path=self.path,
            elements=tuple(self.elements),
            knobs=MappingProxyType(self.knobs),
            input_node=self.jacks[".input"][0],
            output_node=self.jacks[".output"][0],
            volts_per_full_scale=self.volts_per_full_scale,
            device=self.descriptions.get(".device", self.path.stem),
            brand=self.descriptions.get(".brand", ""),
            channel=self.descriptions.get(".channel", ""),
        )

    def read_directives(self) -> None:
        """First, because models and knobs may stand below what uses them."""
        for number, (name, *rest) in self.lines:
            self.line = number
            if name.startswith("."):
                self._read_directive(name, rest)

    def _error(self, message: str, line: int | None = None) -> InputError:
        return InputError(f"{self.path}:{self.line if line is None else line}: {message}")

    def _expect(self, kind: str, name: str, rest: list[str]) -> None:
        """Raise InputError unless as many fields follow `name` as its syntax has."""
        counts = [len(syntax.split()) - 1 for syntax in _SYNTAX[kind]]
        if len(rest) not in counts:
            wanted = " or ".join(map(str, counts))
            raise self._error(f"{name} has {len(rest)} fields, not {wanted}: {', or '.join(_SYNTAX[kind])}")

    def _read_directive(self, name: str, rest: list[str]) -> None:
        kind = name.lower()
        if kind == ".model":
            self._read_model(rest)
        elif kind in _DESCRIPTIONS:
            if kind in self.descriptions:
                raise self._error(f"there is a second {kind}")
            self.descriptions[kind] = " ".join(rest)
        elif kind not in _SYNTAX:
            raise self._error(f"unknown directive {name}")
        else:
            self._expect(kind, name, rest)
            if kind == ".knob":
                self._read_knob(*rest)
            elif kind in self.jacks:
                raise self._error(f"there is a second {kind}")
            else:
                self.jacks[kind] = (rest[0], self.line)
                if kind == ".output":
                    self.volts_per_full_scale = self._positive(rest[1])

    def _read_knob(self, name: str, text: str) -> None:
        if name in self.knobs:
            raise self._error(f"there is a second knob {name}")
        if not name.isidentifier():
            raise self._error(f"'{name}' is no name for a knob")
        position = self._number(text)
        if not 0.0 <= position <= 1.0:
            raise self._error(f"knob {name} at {text} is outside 0..1")
        self.knobs[name], self.knob_lines[name] = position, self.line

    def _read_model(self, rest: list[str]) -> None:
        if len(rest) < 2:
            raise self._error(".model needs a name and a kind: .model name kind a=1 b=2")
        name, kind, *parameters = rest
        if name in self.models:
            raise self._error(f"there is a second model {name}")
        if kind not in PARTS:
            raise self._error(f"unknown kind of model '{kind}': there is {', '.join(PARTS)}")
        model = PARTS[kind]
        known = {"is" if each.name == "saturation" else each.name: each for each in fields(model)}
        values: dict[str, float] = {}
        for parameter in parameters:
            key, _, text = parameter.partition("=")
            if key not in known or key in values:
                raise self._error(
                    f"model {name} cannot have '{parameter}': a {kind} has {'= '.join(known)}=, each once"
                )
            signed = model is OpAmpModel and key in ("high", "low")
            values[key] = self._number(text) if signed else self._positive(text)
        missing = [key for key, each in known.items() if key not in values and each.default is MISSING]
        if missing:
            raise self._error(f"model {name} needs {'= '.join(missing)}=, as every {kind}")
        made = model(**{known[key].name: value for key, value in values.items()})
        if isinstance(made, OpAmpModel) and not made.high - made.low > 2.0 * OpAmp._CLAMP_VOLTS:
            raise self._error(f"model {name}: high= must be at least {2.0 * OpAmp._CLAMP_VOLTS:g} V above low=")
        self.models[name] = kind, made

    def _read_element(self, name: str, rest: list[str]) -> None:
        kind = name[0].upper()
        if kind not in _SYNTAX:
            raise self._error(f"unknown element {name}")
        self._expect(kind, name, rest)
        if name in (element.name for element in self.elements):
            raise self._error(f"there is a second {name}")
        self.elements.append(self._element(kind, name, rest))

    def _element(self, kind: str, name: str, rest: list[str]) -> Element:
        *before, last = rest
        nodes = tuple(before)
        if kind == "R":
            return Resistor(name, nodes, self.line, self._positive(last))
        if kind == "C":
            return Capacitor(name, nodes, self.line, self._positive(last))
        if kind == "L":
            return Inductor(name, nodes, self.line, self._positive(last))
        if kind == "K":
            return Coupling(name, (), self.line, (rest[0], rest[1]), self._positive(last))
        if kind == "V":
            return Battery(name, nodes, self.line, self._number(last))
        if kind == "E":
            return Amplifier(name, nodes, self.line, self._number(last))
        if kind == "G":
            return Transconductor(name, nodes, self.line, self._number(last))
        if kind == "P":
            return self._potentiometer(name, rest)
        return self._active(kind, name, nodes, last)

    def _potentiometer(self, name: str, rest: list[str]) -> Potentiometer:
        *_, ohms, knob, taper = rest
        if taper not in TAPERS:
            raise self._error(f"unknown taper '{taper}': it is {' or '.join(TAPERS)}")
        if knob not in self.knobs:
            raise self._error(f"{name} has the unknown knob {knob}")
        return Potentiometer(name, tuple(rest[:3]), self.line, self._positive(ohms), knob, taper)

    def _active(self, kind: str, name: str, nodes: tuple[str, ...], part: str) -> Element:
        """An element that has a model."""
        wanted: dict[str, type[Model]] = {
            "D": DiodeModel,
            "Q": TransistorModel,
            "A": OpAmpModel,
            "T": TriodeModel if len(nodes) == 3 else PentodeModel,
        }
        if part not in self.models and part not in self.known:
            raise self._error(f"{name} has the unknown model {part}")
        of_kind, model = self.models[part] if part in self.models else self.known[part]
        if not isinstance(model, wanted[kind]):
            raise self._error(
                f"{name} cannot be of model {part}, a {of_kind}: it is a {' or '.join(wanted[kind].kinds)}"
            )
        if isinstance(model, TransistorModel):
            return Transistor(name, nodes, self.line, part, model, 1 if of_kind == "npn" else -1)
        if isinstance(model, TriodeModel):
            return Triode(name, nodes, self.line, part, model)
        if isinstance(model, PentodeModel):
            return Pentode(name, nodes, self.line, part, model)
        if isinstance(model, OpAmpModel):
            return OpAmp(name, nodes, self.line, part, model)
        return Diode(name, nodes, self.line, part, model)

    def _number(self, text: str) -> float:
        match = _NUMBER.fullmatch(text)
        if not match:
            raise self._error(f"'{text}' is not a value like 4.7k, 51p or 1meg")
        mantissa, _, exponent = match[1].lower().partition("e")
        # Read as one decimal number: correctly rounded, and so the same on every machine, as a power of ten is not.
        value = float(f"{mantissa}e{int(exponent or 0) + _POWERS_OF_TEN[match[2].lower()]}")
        if not math.isfinite(value):
            raise self._error(f"the value {text} is too large")
        return value

    def _positive(self, text: str) -> float:
        value = self._number(text)
        if not value > 0.0:
            raise self._error(f"the value {text} must be above zero")
        return value

    def _check_couplings(self) -> None:
        inductors = {element.name for element in self.elements if isinstance(element, Inductor)}
        coupled: dict[frozenset[str], Coupling] = {}
        for element in self.elements:
            if isinstance(element, Coupling):
                for winding in element.windings:
                    if winding not in inductors:
                        raise self._error(f"{element.name} couples {winding}, which is no inductor here", element.line)
                if len(set(element.windings)) == 1 or not element.factor < 1.0:
                    raise self._error(f"{element.name} should couple two windings by less than 1", element.line)
                pair = frozenset(element.windings)
                if pair in coupled:
                    raise self._error(f"{element.name} couples two windings that are coupled already", element.line)
                coupled[pair] = element
        self._check_transformers(coupled)

    def _check_transformers(self, coupled: Mapping[frozenset[str], Coupling]) -> None:
        """Three windings cannot be coupled by any three factors: no core stores less than no energy."""
        names = sorted({name for pair in coupled for name in pair})
        factors = np.eye(len(names))
        for pair, element in coupled.items():
            first, second = (names.index(name) for name in pair)
            factors[first, second] = factors[second, first] = element.factor
        if coupled and not np.linalg.eigvalsh(factors)[0] > 0.0:
            raise self._error("the couplings contradict each other: no transformer has all of them", element.line)

    def _check_knobs(self) -> None:
        turned = {element.knob for element in self.elements if isinstance(element, Potentiometer)}
        for knob in self.knobs:
            if knob not in turned:
                raise self._error(f"knob {knob} turns nothing", self.knob_lines[knob])

    def _check_sources(self) -> None:
        """Voltage sources in a ring contradict each other, or leave the current around it undefined."""
        joined: list[set[str]] = [{GROUND, self.jacks[".input"][0]}]
        for element in self.elements:
            if isinstance(element, Battery | Amplifier | OpAmp):
                ends = {element.nodes[0], GROUND if isinstance(element, OpAmp) else element.nodes[1]}
                touched = [nodes for nodes in joined if not nodes.isdisjoint(ends)]
                if len(ends) == 1 or any(ends <= nodes for nodes in touched):
                    raise self._error(f"{element.name} closes a ring of voltage sources", element.line)
                joined = [nodes for nodes in joined if nodes not in touched] + [ends.union(*touched)]

    def _check_nodes(self) -> None:
        """Without two connections and a path for direct current to ground, the voltage of a node is undefined."""
        uses: list[tuple[tuple[str, ...], int]] = [((node,), line) for node, line in self.jacks.values()]
        uses += [(element.nodes, element.line) for element in self.elements]
        connections = Counter(node for nodes, _ in uses for node in nodes)
        conductors = [element.conducting() for element in self.elements]
        grounded = _reached_from(GROUND, [*conductors, (GROUND, self.jacks[".input"][0])])
        for nodes, line in sorted(uses, key=itemgetter(1)):
            for node in nodes:
                if node != GROUND and connections[node] < 2:
                    raise self._error(f"node {node} is floating: nothing else connects to it", line)
                if node not in grounded:
                    raise self._error(f"node {node} is floating: it has no resistive path to ground (node 0)", line)

    def _check_signal_path(self) -> None:
        """A part that is missing between two stages leaves no node floating, but the output silent."""
        batteries = [element.nodes for element in self.elements if isinstance(element, Battery)]
        still = _reached_from(GROUND, batteries)
        coupled = [tuple(node for node in element.nodes if node not in still) for element in self.elements]
        windings = {element.name: element.nodes for element in self.elements if isinstance(element, Inductor)}
        for element in self.elements:
            if isinstance(element, Coupling):
                coupled.append(tuple(node for name in element.windings for node in windings[name] if node not in still))
        output, line = self.jacks[".output"]
        if output not in _reached_from(self.jacks[".input"][0], coupled):
            raise self._error("the output hears nothing of the input: is a part missing on the way?", line)


def _reached_from(start: str, conductors: Iterable[tuple[str, ...]]) -> set[str]:
    """The nodes that these conductors, each a set of nodes tied together, connect to `start`."""
    reached, pending = {start}, list(conductors)
    while joined := [nodes for nodes in pending if not reached.isdisjoint(nodes)]:
        pending = [nodes for nodes in pending if reached.isdisjoint(nodes)]
        reached.update(*joined)
    return reached
