"""The same circuits in ngspice, which shares no code with ours: the judge of the simulator.

`deck` writes a circuit as a SPICE netlist. `spice_process` plays volts through it in libngspice, at one step a sample:
a callback sets the input, another holds ngspice to the grid of the samples, so that it takes the very same trapezoidal
steps as `process` and whatever differs is a mistake of one of them.

ngspice is one a process and may end that process; it therefore runs in children of ours. Threads that call
`spice_process` at the same time have one each.
"""

import ctypes
import math
import multiprocessing
import os
import re
import time
from collections.abc import Hashable, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cache
from typing import Any

import numba
import numpy as np

from training.circuits.netlist import (
    GROUND,
    Amplifier,
    Battery,
    Capacitor,
    Circuit,
    Coupling,
    Diode,
    Element,
    Inductor,
    Pentode,
    Resistor,
    Transconductor,
    Transistor,
    Triode,
)
from training.circuits.simulate import SimulationError
from training.errors import InputError

_LIBRARY = "libngspice.so.0"
_EXTERNAL = "external"  # `dc 0 external` ends ngspice 39 with a segmentation fault

# The thermal voltage, k T / q at 27 degrees, with the k and q of 2019; ngspice has those of 2014 and a temperature of
# its own to make up for it.
_THERMAL_VOLTS = 1.380649e-23 * 300.15 / 1.602176634e-19
_CELSIUS = _THERMAL_VOLTS * 1.6021766208e-19 / 1.38064852e-23 - 273.15
_OPTIONS = (
    f"method=trap reltol=1e-6 vntol=1e-9 abstol=1e-12 gmin=1e-12 itl1=1000 itl4=200 "
    f"temp={_CELSIUS:.12g} tnom={_CELSIUS:.12g} "
    # These two keep its estimate of the step's error from ever refusing a step of the grid.
    "trtol=1e9 chgtol=1e-3"
)

_UNHEARD_AMPERES = 1e-12  # of saturation: then nobody hears what ngspice takes for the current in reverse

# Silence before the take: ngspice begins with a short step and one of the backward Euler rule; at rest they do nothing.
_LEAD_FRAMES = 8
_ON_GRID = 1e-3  # of a step
_HEADER = 3  # of the callbacks' store: rate in hertz, frames, and how often ngspice has shortened a step


@dataclass(frozen=True)
class SpiceRun:
    """`volts`: float64 [frames] at the output jack; `shortened`: how many steps Newton's method needed in pieces, which
    are then not the same steps as ours; `seconds`: of processor time, that the run alone took."""

    volts: np.ndarray
    shortened: int
    seconds: float


def deck(circuit: Circuit, knobs: Mapping[str, float], source: str = "dc 0 ac 1", exact: bool = True) -> str:
    """The netlist of `circuit` for SPICE. Knobs are in 0..1; those not given stand at their defaults.

    `source`: what drives the input jack, in SPICE's words. The lines have neither analysis nor `.end`; node and part
    names keep their letters and digits. `exact`: make good what ngspice approximates in junctions in reverse, 3 % of
    their saturation current, which in germanium is heard. Raises InputError as `Circuit.at` does.
    """
    return "\n".join(_Deck(circuit, circuit.at(**knobs), source, exact).lines) + "\n"


def spice_process(circuit: Circuit, volts: np.ndarray, sample_rate_hz: float, /, **knobs: float) -> np.ndarray:
    """`process(circuit, volts, sample_rate_hz, 1, **knobs)` by ngspice: float64 [frames].

    Raises InputError for wrong knobs and where libngspice is missing, ValueError for audio that is not a finite vector,
    and SimulationError when ngspice gives up.
    """
    return spice_run(circuit, volts, sample_rate_hz, knobs).volts


def spice_run(
    circuit: Circuit, volts: np.ndarray, sample_rate_hz: float, knobs: Mapping[str, float], exact: bool = True
) -> SpiceRun:
    """`spice_process`, with what else there is to know of the run. `exact`: see `deck`."""
    volts = np.asarray(volts, dtype=np.float64)
    if volts.ndim != 1 or not np.isfinite(volts).all():
        raise ValueError("volts must be one channel of finite samples")
    wires = _Deck(circuit, circuit.at(**knobs), _EXTERNAL, exact)
    check_spice()
    try:
        played = _children().submit(_play, "\n".join(wires.lines), wires.output, volts, float(sample_rate_hz)).result()
    except BrokenProcessPool as error:
        _children.cache_clear()
        raise SimulationError(f"{circuit.path}: ngspice ended its process") from error
    if isinstance(played, str):
        raise SimulationError(f"{circuit.path}: ngspice: {played}")
    return played


def real_time_factor(circuit: Circuit, volts: np.ndarray, sample_rate_hz: float, **knobs: float) -> float:
    """How many seconds of audio ngspice plays in one of processor time, at one step a sample, its start not counted.

    It plays the netlist as one would write it for ngspice: without the corrections that `exact` means in `deck`, which
    would cost it up to half its speed. `volts` at 8 times the rate of the audio compares with `process` at its default.
    """
    run = spice_run(circuit, volts, sample_rate_hz, knobs, exact=False)
    return len(volts) / sample_rate_hz / run.seconds


def check_spice() -> None:
    """Raise InputError where libngspice is missing."""
    try:
        _library()
    except OSError as error:
        raise InputError(f"{_LIBRARY} is missing: please install libngspice0") from error


class _Names:
    """Names that SPICE takes for different ones: it knows no capitals, and only letters, digits and `_` are safe."""

    def __init__(self) -> None:
        self.given: dict[Hashable, str] = {}

    def of(self, thing: Hashable, letter: str, wanted: str) -> str:
        """The name of `thing`, which begins with `letter`: the same at every call, and no other's."""
        if thing not in self.given:
            safe = re.sub(r"[^a-z0-9]+", "_", wanted.lower())
            plain = safe if safe.startswith(letter) else f"{letter}_{safe}"
            name, number = plain, 1
            while name in self.given.values():
                number += 1
                name = f"{plain}_{number}"
            self.given[thing] = name
        return self.given[thing]


class _Deck:
    """Writes the lines; `output` is the name of the output jack's node."""

    def __init__(self, circuit: Circuit, elements: tuple[Element, ...], source: str, exact: bool) -> None:
        self.exact = exact
        self.nodes, self.parts, self.models = _Names(), _Names(), _Names()
        self.lines = [f"* {circuit.device}", f"v_input {self.node(circuit.input_node)} 0 {source}"]
        self.output = self.node(circuit.output_node)
        self.parts.of("the input jack", "v", "v_input")
        for element in elements:
            self.write(element)

    def node(self, name: str) -> str:
        return GROUND if name == GROUND else self.nodes.of(name, "n", f"n_{name}")

    def across(self, plus: str, minus: str) -> str:
        return f"v({self.node(plus)},{self.node(minus)})"

    def write(self, element: Element) -> None:
        if isinstance(element, Resistor):
            if element.nodes[0] != element.nodes[1]:  # as half a pot that is wired as a rheostat
                self.part("r", element, element.ohms)
        elif isinstance(element, Capacitor):
            self.part("c", element, element.farads)
        elif isinstance(element, Inductor):
            self.part("l", element, element.henries)
        elif isinstance(element, Coupling):
            self.part("k", element, *(self.parts.of(name, "l", name) for name in element.windings), element.factor)
        elif isinstance(element, Battery):
            self.part("v", element, element.volts)
        elif isinstance(element, Amplifier):
            self.part("e", element, element.gain)
        elif isinstance(element, Transconductor):
            self.transconductor(element)
        elif isinstance(element, Diode):
            self.diode(element)
        elif isinstance(element, Transistor):
            self.transistor(element)
        elif isinstance(element, Triode):
            self.triode(element)
        elif isinstance(element, Pentode):
            self.pentode(element)
        else:
            raise TypeError(f"SPICE cannot have {element}")

    def part(self, letter: str, element: Element, *values: object) -> None:
        """One of SPICE's own parts, with the element's nodes."""
        name = self.parts.of(element.name, letter, element.name)
        self.lines.append(" ".join([name, *map(self.node, element.nodes), *map(str, values)]))

    def model(self, part: str, parameters: str) -> str:
        """The name of the model with these parameters; its line is written once."""
        known = len(self.models.given)
        name = self.models.of((part, parameters), "m", f"m_{part}")
        if len(self.models.given) > known:
            self.lines.append(f".model {name} {parameters}")
        return name

    def current(self, element: Element, name: str, start: str, end: str, amperes: str) -> None:
        """A source of `amperes`, an expression, from the node `start` through itself to `end`."""
        source = self.parts.of((element.name, name), "b", f"b_{element.name}_{name}")
        self.lines.append(f"{source} {self.node(start)} {self.node(end)} i={amperes}")

    def quantity(self, element: Element, name: str, expression: str) -> str:
        """An expression for the value of `expression`, which becomes the voltage of a node of its own.

        ngspice differentiates an expression by each voltage in it and evaluates all of that at every iteration, nothing
        shared: in pieces of one or two voltages a triode takes a quarter of the time.
        """
        node = self.nodes.of((element.name, name), "n", f"n_{element.name}_{name}")
        source = self.parts.of((element.name, name), "b", f"b_{element.name}_{name}")
        self.lines.append(f"{source} {node} 0 v={expression}")
        return f"v({node})"

    def transconductor(self, element: Transconductor) -> None:
        if math.isinf(element.limit_amperes):
            self.part("g", element, element.siemens)
        else:
            start, end, plus, minus = element.nodes
            limit = element.limit_amperes
            drive = f"{element.siemens / limit!r}*{self.across(plus, minus)}"
            self.current(element, "", start, end, f"{limit!r}*tanh({drive})")

    def diode(self, element: Diode) -> None:
        model = element.model
        self.part("d", element, self.model(element.part, f"d(is={model.saturation!r} n={model.n!r})"))
        if self.exact and model.saturation > _UNHEARD_AMPERES:
            anode, cathode = element.nodes
            error = _reverse_error(self.across(cathode, anode), model.n)
            self.current(element, "exact", anode, cathode, f"{model.saturation!r}*{error}")

    def transistor(self, element: Transistor) -> None:
        kind, model = "npn" if element.polarity > 0 else "pnp", element.model
        parameters = f"{kind}(is={model.saturation!r} bf={model.bf!r} br={model.br!r})"
        self.part("q", element, self.model(element.part, parameters))
        if self.exact and model.saturation > _UNHEARD_AMPERES:
            collector, base, emitter = element.nodes
            below = "{1},{0}" if element.polarity > 0 else "{0},{1}"
            forward, reverse = (
                self.quantity(
                    element, f"exact_{name}", _reverse_error(f"v({below.format(*map(self.node, ends))})", 1.0)
                )
                for name, ends in (("f", (base, emitter)), ("r", (base, collector)))
            )
            amperes = element.polarity * model.saturation
            self.current(element, "exact_be", base, emitter, f"{amperes / model.bf!r}*{forward}")
            self.current(element, "exact_bc", base, collector, f"{amperes / model.br!r}*{reverse}")
            self.current(element, "exact_ce", collector, emitter, f"{amperes!r}*({forward}-{reverse})")

    def triode(self, element: Triode) -> None:
        model = element.model
        plate, grid, cathode = element.nodes
        plate_volts = self.quantity(element, "vp", self.across(plate, cathode))
        grid_volts = self.quantity(element, "vg", self.across(grid, cathode))
        weight = self.quantity(element, "weight", f"1/sqrt({model.kvb!r}+{plate_volts}*{plate_volts})")
        drive = self.quantity(element, "drive", f"{1.0 / model.mu!r}+{grid_volts}*{weight}")
        smooth = self.quantity(element, "smooth", _softplus(drive, model.kp))
        amperes = f"{2.0 / model.kg1!r}*pwr(max({plate_volts}*{smooth},0),{model.ex!r})"
        self.current(element, "plate", plate, cathode, amperes)
        self.grid_current(element, grid, cathode, grid_volts)

    def pentode(self, element: Pentode) -> None:
        model = element.model
        plate, screen, grid, cathode = element.nodes
        plate_volts = self.quantity(element, "vp", self.across(plate, cathode))
        # Where the screen is not above the cathode, a voltage too small to matter stands for it: nothing divides by 0.
        screen_volts = self.quantity(element, "vs", f"max({self.across(screen, cathode)},1e-9)")
        grid_volts = self.quantity(element, "vg", self.across(grid, cathode))
        drive = self.quantity(element, "drive", f"{1.0 / model.mu!r}+{grid_volts}/{screen_volts}")
        smooth = self.quantity(element, "smooth", _softplus(drive, model.kp))
        power = self.quantity(element, "power", f"pwr({screen_volts}*{smooth},{model.ex!r})")
        amperes = f"{2.0 / model.kg1!r}*{power}*atan(max({plate_volts},0)/{model.kvb!r})"
        self.current(element, "plate", plate, cathode, amperes)
        self.current(element, "screen", screen, cathode, f"{power}/{model.kg2!r}")
        self.grid_current(element, grid, cathode, grid_volts)

    def grid_current(self, element: Triode | Pentode, grid: str, cathode: str, grid_volts: str) -> None:
        model = element.model
        excess = self.quantity(element, "excess", _softplus(grid_volts, model.cg))
        self.current(element, "grid", grid, cathode, f"{model.gg!r}*pwr({excess},{model.xi!r})")


def _reverse_error(below: str, n: float) -> str:
    """What to add to the current of a junction in ngspice, in units of its saturation current, an expression.

    `below`: the voltage of the cathode above the anode. From w = 3 on, w that voltage in units of n times the thermal
    voltage, ngspice has (3 / (e w))^3 for exp(-w), which differs by up to 3 %.
    """
    scale = n * _THERMAL_VOLTS
    cube = f"{(3.0 * scale / math.e) ** 3!r}/({below}*{below}*{below})"
    return f"({below}>{3.0 * scale!r} ? exp(-{below}/{scale!r})-{cube} : 0)"


def _softplus(drive: str, steepness: float) -> str:
    """ln(1 + exp(steepness * drive)) / steepness, an expression that does not overflow."""
    return f"({steepness!r}*{drive}>40 ? {drive} : ln(1+exp({steepness!r}*{drive}))/{steepness!r})"


@cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(_LIBRARY)


@cache
def _children() -> ProcessPoolExecutor:
    """The processes with ngspice in them, started as threads ask for them. When ngspice ends one, all must be new."""
    return ProcessPoolExecutor(os.cpu_count(), mp_context=multiprocessing.get_context("spawn"))


class _Vector(ctypes.Structure):
    """`vector_info` of ngspice's sharedspice.h."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("kind", ctypes.c_int),
        ("flags", ctypes.c_short),
        ("real", ctypes.POINTER(ctypes.c_double)),
        ("complex", ctypes.c_void_p),
        ("length", ctypes.c_int),
    )


_IDENT = ctypes.c_int(0)


@ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_bool, ctypes.c_bool, ctypes.c_int, ctypes.c_void_p)
def _leave(_status: int, _now: bool, _quit: bool, _ident: int, _user: int) -> int:
    """ControlledExit: what ngspice asks for when it cannot go on."""
    os._exit(1)


@cache
def _ngspice() -> tuple[ctypes.CDLL, list[str], Any]:
    """The library, ready, and the lines that it says."""
    said: list[str] = []
    library = _library()

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_void_p)
    def hear(text: bytes, _ident: int, _user: int) -> int:
        said.append(text.decode(errors="replace"))
        return 0

    library.ngGet_Vec_Info.restype = ctypes.POINTER(_Vector)
    library.ngSpice_Init(hear, None, _leave, None, None, None, None)
    return library, said, hear  # ctypes frees what nobody holds


def _play(netlist: str, output: str, volts: np.ndarray, rate_hz: float) -> SpiceRun | str:
    """In the child: play `volts` through `netlist`; return the run, or what ngspice complained of."""
    library, said, _ = _ngspice()
    said.clear()
    frames = len(volts) + _LEAD_FRAMES
    store = np.concatenate([[rate_hz, frames, 0.0], np.zeros(_LEAD_FRAMES), volts])
    source, hold = (ctypes.c_void_p(each.address) for each in _callbacks())
    library.ngSpice_Init_Sync(source, None, hold, ctypes.byref(_IDENT), ctypes.c_void_p(store.ctypes.data))
    step, end = 1.0 / rate_hz, (frames - 1) / rate_hz
    text = f"{netlist}\n.options {_OPTIONS}\n.save v({output})\n.tran {step!r} {end!r} 0 {step!r}\n.end"
    lines = [line.encode() for line in text.splitlines()]
    try:
        if library.ngSpice_Circ((ctypes.c_char_p * (len(lines) + 1))(*lines, None)):
            return _complaint(said)
        start = time.process_time()
        library.ngSpice_Command(b"run")
        seconds = time.process_time() - start
        moments, answers = (_vector(library, name) for name in ("time", output))
    finally:
        library.ngSpice_Command(b"destroy all")
        library.ngSpice_Command(b"remcirc")
    position = moments * rate_hz
    frame = np.rint(position).astype(int)
    on_grid = (np.abs(position - frame) < _ON_GRID) & (frame < frames)
    played = np.full(frames, np.nan)
    played[frame[on_grid]] = answers[on_grid]
    if not np.isfinite(played).all():
        return _complaint(said)
    return SpiceRun(played[_LEAD_FRAMES:], int(store[2]), seconds)


def _vector(library: ctypes.CDLL, name: str) -> np.ndarray:
    """A copy of one of ngspice's vectors; empty where it has none of this name."""
    found = library.ngGet_Vec_Info(name.encode())
    if not found or not found.contents.length:
        return np.zeros(0)
    return np.ctypeslib.as_array(found.contents.real, (found.contents.length,)).copy()


def _complaint(said: list[str]) -> str:
    """Of all that ngspice said, the lines of trouble, as one."""
    lines = [line.removeprefix("stderr ").strip() for line in said if line.startswith("stderr ")]
    return "; ".join(line for line in lines if line)[:300] or "no output, and no reason given"


@cache
def _callbacks() -> tuple[Any, Any]:
    """`_source_volts` and `_hold_to_grid` compiled: ngspice calls them several times a step."""
    pointer, number, whole, anything = (
        numba.types.CPointer(numba.float64),
        numba.float64,
        numba.int32,
        numba.types.voidptr,
    )
    return (
        numba.cfunc(whole(pointer, number, anything, whole, anything), cache=True)(_source_volts),
        numba.cfunc(whole(number, pointer, number, whole, whole, whole, anything), cache=True)(_hold_to_grid),
    )


def _source_volts(value, seconds, name, ident, user):  # type: ignore[no-untyped-def]
    """GetVSRCData: the input at a time; between two samples, where only a shortened step looks, on a line."""
    header = numba.carray(user, (_HEADER,), numba.float64)
    frames = int(header[1])
    volts = numba.carray(user, (_HEADER + frames,), numba.float64)[_HEADER:]
    position = seconds * header[0]
    frame = int(np.floor(position + _ON_GRID))
    fraction = max(position - frame, 0.0)
    last = volts[min(frame + 1, frames - 1)]
    here = volts[min(max(frame, 0), frames - 1)]
    numba.carray(value, (1,))[0] = here if fraction < _ON_GRID else here + (last - here) * fraction
    return 0


def _hold_to_grid(seconds, delta, old_delta, redo, ident, location, user):  # type: ignore[no-untyped-def]
    """GetSyncData: the next step ends on the grid, whatever ngspice would prefer, but for one that it has to redo."""
    header = numba.carray(user, (_HEADER,), numba.float64)
    if redo:
        header[2] += 1.0
    elif seconds > 0.0:
        next_frame = np.floor(seconds * header[0] + _ON_GRID) + 1.0
        numba.carray(delta, (1,))[0] = next_frame / header[0] - seconds
    return 0
