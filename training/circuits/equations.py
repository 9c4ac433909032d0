"""The equations of a circuit for one step of time, and how they are solved: with symbols once, with numbers often.

Modified nodal analysis: the unknowns are the nodes' voltages and the currents through sources and windings. The
trapezoidal rule turns a capacitor and an inductor into a conductance or a resistance and a source that carries its
state, so that only the devices (diodes, transistors, tubes) are left to iterate on. Most of the matrix never changes
while a circuit plays: it is eliminated before, for all settings of a batch at once, and only the few rows and columns
that touch a device are left to the inner loop (the nodal discrete-K method: Yeh, Abel & Smith, "Automated physical
modeling of nonlinear audio circuits", IEEE TASLP 18(4), 2010; here with the sparse matrix in place of its inverse).

The order of elimination is chosen once a circuit and the same for all its settings, and all arithmetic here is
element by element: the numbers of a run depend neither on the runs beside it nor on a linear algebra library.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter, itemgetter

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
from training.errors import InputError

_LEAKAGE_SIEMENS = 1e-12  # across each junction, as in SPICE, and in tubes, so that no slope is ever zero
_RESTING_WINDING_OHMS = 1e-3  # for direct current a winding is a short, but two in parallel must share it somehow

# A pivot must be this large beside the largest of its row, in all reference settings.
_PIVOT_THRESHOLD = 1e-4
_CANCELLED = 1e-14  # a difference this small beside what was subtracted is rounding, and means zero

# A pivot must also do while the devices are all but closed, and when they conduct as never before.
_STRENGTHS = (1e-6, 1.0, 1e3)

_FILLS = (2.0, 4.0, 6.0, 9.0, 16.0, 25.0, math.inf)
_DIVISION = 6  # its cost in multiplications

Device = Diode | Transistor | Triode | Pentode | Transconductor
Entry = tuple[int, int]


@dataclass(frozen=True)
class Ports:
    """How a device meets the circuit. `voltages`: the pairs of unknowns, None for ground, between which it senses;
    `currents`: the pairs between which it conducts, from the first to the second; `slopes`: the (current, voltage)
    for which the derivative is not always zero."""

    device: Device
    voltages: tuple[tuple[int | None, int | None], ...]
    currents: tuple[tuple[int | None, int | None], ...]
    slopes: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class State:
    """A capacitor or winding. `ends`: its unknowns, None for ground; `drives`: what its memory, in volts, adds to
    which row, [runs]; `sign`: its next memory is 2 * its voltage + sign * its memory; `impedances`: of a winding,
    [(unknown current, ohms [runs])], from which its memory starts."""

    ends: tuple[int | None, int | None]
    drives: tuple[tuple[int, np.ndarray], ...]
    sign: int
    impedances: tuple[tuple[int, np.ndarray], ...] = ()


@dataclass
class Equations:
    """matrix @ unknowns + currents of the devices = constants + input + memories, for a number of runs at once.

    Row k of the first `nodes` rows is Kirchhoff's current law at the node whose voltage is unknown k.
    """

    nodes: int
    size: int
    matrix: dict[Entry, np.ndarray] = field(default_factory=dict)
    constants: dict[int, np.ndarray] = field(default_factory=dict)
    input_row: int = 0
    output: int | None = None
    states: list[State] = field(default_factory=list)
    devices: list[Ports] = field(default_factory=list)


def equations(circuit: Circuit, settings: Sequence[Mapping[str, float]], rate_hz: float) -> Equations:
    """The equations at a rate of `rate_hz` steps a second for each of `settings`, its knobs and their positions.

    At rate 0 capacitors conduct nothing and windings have (nearly) no resistance, which is direct current.
    Raises InputError as `Circuit.at` does.
    """
    # By name, so that a circuit whose lines stand in another order, which has the same digest, gives the same bits.
    played = [sorted(circuit.at(**knobs), key=attrgetter("name")) for knobs in settings]
    elements = played[0]
    names = [circuit.input_node, circuit.output_node, *(node for element in elements for node in element.nodes)]
    index = {node: number for number, node in enumerate(dict.fromkeys(name for name in names if name != GROUND))}
    branches = [e for e in elements if isinstance(e, Battery | Amplifier | Inductor)]
    made = Equations(nodes=len(index), size=len(index) + len(branches) + 1)
    made.input_row = made.size - 1
    made.output = index.get(circuit.output_node)
    ones = np.ones(len(settings))

    def add(row: int | None, column: int | None, values: np.ndarray) -> None:
        if row is not None and column is not None:
            made.matrix[row, column] = made.matrix.get((row, column), 0.0) + values

    def conduct(ends: Sequence[int | None], siemens: np.ndarray) -> None:
        first, second = ends
        if first != second:
            add(first, first, siemens)
            add(second, second, siemens)
            add(first, second, -siemens)
            add(second, first, -siemens)

    def transconduct(ends: Sequence[int | None], senses: Sequence[int | None], siemens: np.ndarray) -> None:
        for row, sign in zip(ends, (1.0, -1.0), strict=True):
            for column, sense in zip(senses, (1.0, -1.0), strict=True):
                add(row, column, sign * sense * siemens)

    def source(row: int, ends: Sequence[int | None]) -> None:
        for node, sign in zip(ends, (ones, -ones), strict=True):
            add(node, row, sign)
            add(row, node, sign)

    windings = {element.name: number for number, element in enumerate(branches, start=len(index))}
    henries = _inductances(elements)
    for position, element in enumerate(elements):
        at = tuple(index.get(node) for node in element.nodes)
        if isinstance(element, Resistor):
            conduct(at, np.array([1.0 / rounded(each[position].ohms) for each in played]))  # type: ignore[attr-defined]
        elif isinstance(element, Capacitor):
            siemens = 2.0 * rate_hz * element.farads * ones
            conduct(at, siemens)
            if at[0] != at[1]:
                drives = [(row, s * siemens) for row, s in zip(at, (1.0, -1.0), strict=True) if row is not None]
                made.states.append(State((at[0], at[1]), tuple(drives), -1))
        elif isinstance(element, Transconductor) and math.isinf(element.limit_amperes):
            transconduct(at[:2], at[2:], element.siemens * ones)
        elif isinstance(element, Battery | Amplifier | Inductor):
            row = windings[element.name]
            source(row, at[:2])
            if isinstance(element, Battery):
                made.constants[row] = element.volts * ones
            elif isinstance(element, Amplifier):
                add(row, at[2], -element.gain * ones)
                add(row, at[3], element.gain * ones)
            else:
                impedances = [
                    (windings[other], 2.0 * rate_hz * mutual * ones) for other, mutual in henries[element.name].items()
                ]
                for column, ohms in impedances:
                    add(row, column, -ohms - (_RESTING_WINDING_OHMS * ones if rate_hz == 0.0 and column == row else 0))
                made.states.append(State((at[0], at[1]), ((row, -ones),), 1, tuple(impedances)))
        elif isinstance(element, Device):
            ports = _ports(element, at)
            made.devices.append(ports)
            if not isinstance(element, Transconductor):
                for pair in ports.voltages:
                    conduct(pair, _LEAKAGE_SIEMENS * ones)
    source(made.input_row, (index.get(circuit.input_node), None))
    return made


def rounded(value: float) -> float:
    """To 40 bits: a power or a logarithm may end in another bit on another machine."""
    mantissa, exponent = math.frexp(value)
    return math.ldexp(round(mantissa * 2.0**40) / 2.0**40, exponent)


def _inductances(elements: Sequence[Element]) -> dict[str, dict[str, float]]:
    """For each inductor its own inductance and the mutual ones, in henries, by name."""
    own = {element.name: element.henries for element in elements if isinstance(element, Inductor)}
    table = {name: {name: henries} for name, henries in own.items()}
    for element in elements:
        if isinstance(element, Coupling):
            first, second = element.windings
            mutual = element.factor * math.sqrt(own[first] * own[second])
            table[first][second] = table[first].get(second, 0.0) + mutual
            table[second][first] = table[second].get(first, 0.0) + mutual
    return table


def _ports(device: Device, at: tuple[int | None, ...]) -> Ports:
    ports = _ends(device, at)
    # Between a node and itself there is never a voltage, and nothing that would have to be solved for.
    voltages = tuple((None, None) if first == second else (first, second) for first, second in ports.voltages)
    return replace(ports, voltages=voltages)


def _ends(device: Device, at: tuple[int | None, ...]) -> Ports:
    if isinstance(device, Diode):
        return Ports(device, ((at[0], at[1]),), ((at[0], at[1]),), ((0, 0),))
    if isinstance(device, Transconductor):
        return Ports(device, ((at[2], at[3]),), ((at[0], at[1]),), ((0, 0),))
    if isinstance(device, Transistor):
        collector, base, emitter = at
        pairs = ((base, emitter), (base, collector))
        return Ports(device, pairs, pairs, ((0, 0), (0, 1), (1, 0), (1, 1)))
    if isinstance(device, Triode):
        plate, grid, cathode = at
        pairs = ((grid, cathode), (plate, cathode))
        return Ports(device, pairs, pairs, ((0, 0), (1, 0), (1, 1)))
    plate, screen, grid, cathode = at
    triple = ((grid, cathode), (screen, cathode), (plate, cathode))
    return Ports(device, triple, triple, ((0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2)))


# What a device's slopes may be while it plays, in siemens, for the choice of pivots.
_USUAL_SLOPES: dict[type, dict[tuple[int, int], float]] = {
    Diode: {(0, 0): 1e-4},
    Transconductor: {(0, 0): 1e-4},
    Transistor: {(0, 0): 1e-2, (0, 1): -1e-8, (1, 0): -1e-2, (1, 1): 1e-8},
    Triode: {(0, 0): 1e-6, (1, 0): 2e-3, (1, 1): 2e-5},
    Pentode: {(0, 0): 1e-6, (1, 0): 1e-3, (1, 1): 1e-5, (2, 0): 1e-2, (2, 1): 1e-4, (2, 2): 1e-5},
}


@dataclass(frozen=True)
class Order:
    """The pivots (row, column) in their order; the first `still` leave nothing for the inner loop to do."""

    pivots: tuple[Entry, ...]
    still: int


def device_stamps(ports: Ports) -> list[tuple[int, int, float, tuple[int, int]]]:
    """Where the slopes of a device stand in the matrix: (row, column, sign, (current, voltage))."""
    return [
        (row, column, flows * senses, slope)
        for slope in ports.slopes
        for row, flows in zip(ports.currents[slope[0]], (1.0, -1.0), strict=True)
        for column, senses in zip(ports.voltages[slope[1]], (1.0, -1.0), strict=True)
        if row is not None and column is not None and ports.voltages[slope[1]][0] != ports.voltages[slope[1]][1]
    ]


def elimination_order(circuit: Circuit, rate_hz: float) -> Order:
    """Markowitz's rule (least fill) among the pivots that are large enough at rest and in play, at all knobs' ends.

    What touches no device can be eliminated before, but a supply that feeds all of them would tie each to each: how
    much fill to allow there is tried out. Raises InputError when the matrix is singular.
    """
    settings = [{}, dict.fromkeys(circuit.knobs, 0.0), dict.fromkeys(circuit.knobs, 1.0)]
    playing, resting = equations(circuit, settings, rate_hz), equations(circuit, settings, 0.0)
    orders = [_order(circuit, playing, resting, fill) for fill in _FILLS]
    return min(orders, key=itemgetter(0))[1]


def _order(circuit: Circuit, playing: Equations, resting: Equations, fill: float) -> tuple[int, Order]:
    """The operations that are left to the inner loop, and the order, when no earlier pivot makes more than `fill`."""
    rows: list[dict[int, np.ndarray]] = [{} for _ in range(playing.size)]
    for (row, column), values in playing.matrix.items():
        rows[row][column] = np.tile(np.concatenate([values, resting.matrix[row, column]]), len(_STRENGTHS))
    strengths = np.repeat(_STRENGTHS, 6)
    zero = np.zeros(len(strengths))
    moving_rows: set[int] = set()
    moving_columns: set[int] = set()
    for ports in playing.devices:
        for row, column, sign, slope in device_stamps(ports):
            usual = sign * _USUAL_SLOPES[type(ports.device)][slope]
            rows[row][column] = rows[row].get(column, zero) + usual * strengths
            moving_rows.add(row)
            moving_columns.add(column)
    left_rows, left_columns = set(range(playing.size)), set(range(playing.size))
    pivots: list[Entry] = []
    still, operations = -1, 0
    while left_rows:
        best = None
        if still < 0:
            best = _best_pivot(rows, left_rows - moving_rows, left_rows, left_columns, moving_columns, playing.nodes)
            if best is None or best[0] > fill:
                still, best = len(pivots), None
        if best is None:
            best = _best_pivot(rows, left_rows, left_rows, left_columns, set(), playing.nodes)
        if best is None:
            raise InputError(
                f"{circuit.path}: the circuit has no unique solution: do parts cancel each other, or are values absurd?"
            )
        cost, _, (pivot_row, pivot_column) = best
        pivots.append((pivot_row, pivot_column))
        left_rows.remove(pivot_row)
        left_columns.remove(pivot_column)
        if still >= 0:
            operations += int(cost) + 3 * len(rows[pivot_row]) + _DIVISION
        for row in left_rows:
            if pivot_column in rows[row]:
                factor = rows[row].pop(pivot_column) / rows[pivot_row][pivot_column]
                for column, values in rows[pivot_row].items():
                    if column != pivot_column:
                        old, taken = rows[row].get(column, zero), factor * values
                        left_over = old - taken
                        left_over[np.abs(left_over) < _CANCELLED * np.abs(taken)] = 0.0
                        rows[row][column] = left_over
    return operations, Order(tuple(pivots), still if still >= 0 else len(pivots))


def _best_pivot(
    rows: list[dict[int, np.ndarray]],
    candidates: set[int],
    left_rows: set[int],
    left_columns: set[int],
    refused_columns: set[int],
    nodes: int,
) -> tuple[float, float, Entry] | None:
    """The cheapest pivot that is large enough: its cost, the negative of its size beside its row's largest, itself.

    A node's own column comes before those of other nodes in its row: there no resistance, whatever a knob does, makes
    it small.
    """
    counts = dict.fromkeys(left_columns, 0)
    for row in left_rows:
        for column in rows[row]:
            if column in counts:
                counts[column] += 1
    best = None
    for row in sorted(candidates):
        largest = functools.reduce(np.maximum, (np.abs(values) for values in rows[row].values()), np.zeros(1))
        if not largest.all():
            continue
        own = row < nodes and row in rows[row]
        for column in sorted(rows[row]):
            if column in refused_columns or (own and column != row and column < nodes):
                continue
            size = float(np.min(np.abs(rows[row][column]) / largest))
            if size < _PIVOT_THRESHOLD:
                continue
            key = (float((len(rows[row]) - 1) * (counts[column] - 1)), -size, (row, column))
            if best is None or key < best:
                best = key
    return best
