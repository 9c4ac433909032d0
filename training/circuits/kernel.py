"""The inner loop of the simulator: C++ made for one circuit, compiled once and kept.

LANES runs go through it side by side, one in each lane of the vector registers. No operation mixes lanes, a lane that
has converged is frozen until the others have, and all functions are written out here: a run's output is the same to
the bit in any company and, because the compiler may not contract a product and a sum into one rounding, on any x86-64.
"""

import ctypes
import functools
import hashlib
import math
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.circuits.equations import Entry, Equations, Order, Ports, device_stamps, rounded
from training.circuits.netlist import Diode, Pentode, Transconductor, Transistor, Triode
from training.errors import InputError
from training.files import written_aside

LANES = 4
THERMAL_VOLTS = 1.380649e-23 * 300.15 / 1.602176634e-19  # k T / q at 27 degrees, where SPICE's parameters hold

_FLAGS = ("-std=c++17", "-O2", "-march=native", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math")
_SHARED = ("-shared", "-fPIC", "-w")

# A Newton step is the last when the error that it leaves, which is of second order in the step, is this small: volts
# across a junction and at a grid, amperes in a tube. Three times as much costs a quiet setting of an amp eight decibels
# of ESR against SPICE; ten times less gains less than three.
_JUNCTION_VOLTS = 1e-6
_GRID_VOLTS = 1e-5
_TRIODE_AMPERES, _PENTODE_AMPERES = 1.5e-8, 6e-7
_QUIET_SIEMENS = 1e-6  # of what surrounds a junction at the least


Cell = np.ndarray | str
"""An entry of the matrix: numbers, [runs], that are known before, or the name of what the inner loop computes."""


@dataclass(frozen=True)
class Program:
    """`source`: the C++ of a circuit; `numbers` [count, runs]: its constants at the settings of each run."""

    source: str
    numbers: np.ndarray


class _Numbers:
    """Constants by the order of their first use."""

    def __init__(self, runs: int) -> None:
        self.runs = runs
        self.rows: list[np.ndarray] = []
        self.places: dict[int, int] = {}
        self.kept: list[np.ndarray] = []

    def name(self, values: np.ndarray) -> str:
        if id(values) not in self.places:
            self.places[id(values)] = len(self.rows)
            self.kept.append(values)  # an id is unique only among the living
            self.rows.append(np.broadcast_to(values, (self.runs,)))
        return f"c[{self.places[id(values)]}]"


def program(system: Equations, order: Order, runs: int, oversampling: int, width: int) -> Program:
    """Eliminate what never changes, for all runs at once, and write down what is left to do at every step.

    `width`: how many frames of input, and of output, one filter tap a phase spans.
    """
    numbers = _Numbers(runs)
    rows: list[dict[int, np.ndarray]] = [{} for _ in range(system.size)]
    for (row, column), values in system.matrix.items():
        rows[row][column] = values
    stamps: dict[Entry, list[str]] = {}
    first_ports = np.cumsum([0, *(len(ports.voltages) for ports in system.devices)])
    for number, ports in enumerate(system.devices):
        for row, column, sign, (current, voltage) in device_stamps(ports):
            stamps.setdefault((row, column), []).append(f" {'+-'[sign < 0]} g{number}_{current}{voltage}")
    forward: list[str] = []
    constants: dict[int, np.ndarray] = dict(system.constants)
    known: dict[int, list[str]] = {system.input_row: ["u"]}
    for number, state in enumerate(system.states):
        for row, values in state.drives:
            known.setdefault(row, []).append(f"{numbers.name(values)} * w[{number}]")
    right: dict[int, str] = {}
    for row, terms in known.items():
        forward.append(f"vec t{row} = {' + '.join(terms)};")
        right[row] = f"t{row}"

    still, moving = order.pivots[: order.still], order.pivots[order.still :]
    inverses: dict[int, np.ndarray] = {}
    zero = np.zeros(runs)
    left = set(range(system.size))
    for pivot_row, pivot_column in still:
        left.remove(pivot_row)
        pivot = rows[pivot_row]
        inverse = np.asarray(1.0 / pivot[pivot_column])
        inverses[pivot_row] = inverse
        for row in sorted(left):
            if pivot_column not in rows[row]:
                continue
            factor = rows[row].pop(pivot_column) * inverse
            for column, values in pivot.items():
                if column != pivot_column:
                    rows[row][column] = rows[row].get(column, zero) - factor * values
            if pivot_row in constants:
                constants[row] = constants.get(row, zero) - factor * constants[pivot_row]
            if pivot_row in right:
                _subtract(forward, right, row, f"{numbers.name(factor)} * {right[pivot_row]}", "t")
    # The right side with its constants: of the rows for the inner loop in r, of the others in t.
    sides: dict[int, str] = {}
    for row in range(system.size):
        terms = ([right[row]] if row in right else []) + ([numbers.name(constants[row])] if row in constants else [])
        if terms:
            sides[row] = " + ".join(terms)
    places = {row: place for place, (row, _) in enumerate(moving) if row in sides}
    for row, place in places.items():
        forward.append(f"r[{place}] = {sides[row]};")
    kept = {row: place for place, (row, _) in enumerate(still) if row in sides}
    for row, place in kept.items():
        forward.append(f"t[{place}] = {sides[row]};")

    newton = _newton(system, numbers, rows, stamps, moving, places, first_ports)
    found = {column: place for place, (_, column) in enumerate(moving)}
    back = [f"vec x{column} = x[{place}];" for column, place in found.items()]
    for row, column in reversed(still):
        back.append(_solved(numbers, rows[row], column, f"t[{kept[row]}]" if row in kept else None, inverses[row]))
    memories, starts = [], []
    for number, state in enumerate(system.states):
        volts = _across(state.ends)
        memories.append(f"w[{number}] = 2.0 * ({volts}) {'+-'[state.sign < 0]} w[{number}];")
        ohms = [f"playing_{numbers.name(values)} * x{column}" for column, values in state.impedances]
        starts.append(f"w[{number}] = {' + '.join(ohms) if state.impedances else volts};")
    output = "vec{}" if system.output is None else f"x{system.output}"
    source = _SOURCE
    for mark, text in {
        "LANES": str(LANES),
        "STATES": str(max(len(system.states), 1)),
        "PORTS": str(max(int(first_ports[-1]), 1)),
        "MOVING": str(max(len(moving), 1)),
        "STILL": str(max(len(still), 1)),
        "OVERSAMPLING": str(oversampling),
        "WIDTH": str(width),
        "JUNCTION": repr(_JUNCTION_VOLTS),
        "GRID": repr(_GRID_VOLTS),
        "QUIET": repr(_QUIET_SIEMENS),
        "FORWARD": "\n  ".join(forward),
        "NEWTON": newton,
        "BACK": "\n  ".join(back),
        "RESTRAIN": "\n      ".join(_restraints(system, first_ports)),
        "MEMORIES": "\n  ".join(memories),
        "STARTS": "\n  ".join(starts),
        "OUTPUT": output,
    }.items():
        source = source.replace(f"@{mark}@", text)
    table = np.array(numbers.rows, dtype=np.float64).reshape(len(numbers.rows), runs)
    return Program(source, table)


def _subtract(lines: list[str], right: dict[int, str], row: int, term: str, prefix: str) -> None:
    """Take `term` from the right side of a row."""
    if row in right:
        lines.append(f"{right[row]} -= {term};")
    else:
        lines.append(f"vec {prefix}{row} = -({term});")
        right[row] = f"{prefix}{row}"


def _across(ends: Sequence[int | None]) -> str:
    first, second = (None if end is None else f"x{end}" for end in ends)
    if first and second:
        return f"{first} - {second}"
    return first or (f"-{second}" if second else "vec{}")


def _solved(numbers: _Numbers, row: Mapping[int, Cell], column: int, side: str | None, inverse: Cell) -> str:
    """The line that finds the unknown of a row from those found before."""
    terms = [side or "vec{}"]
    terms += [f"{_text(numbers, values)} * x{other}" for other, values in row.items() if other != column]
    return f"vec x{column} = ({' - '.join(terms)}) * {_text(numbers, inverse)};"


def _newton(
    system: Equations,
    numbers: _Numbers,
    known: Sequence[Mapping[int, np.ndarray]],
    stamps: dict[Entry, list[str]],
    moving: Sequence[Entry],
    places: dict[int, int],
    first_ports: np.ndarray,
) -> str:
    """One iteration: the devices, the matrix around them, its elimination, the new voltages.

    `known`: the rows as the first elimination left them; `places`: which rows have a right side, and where in r.
    """
    rows: list[dict[int, Cell]] = [dict(row) for row in known]
    inverses: dict[int, Cell] = {}
    lines: list[str] = []
    flows: dict[int, list[str]] = {}
    for number, ports in enumerate(system.devices):
        lines.append(_device(number, int(first_ports[number]), ports))
        for current, pair in enumerate(ports.currents):
            if pair[0] != pair[1]:
                for row, sign in zip(pair, "-+", strict=True):
                    if row is not None:
                        flows.setdefault(row, []).append(f" {sign} i{number}_{current}")
    right: dict[int, str] = {}
    for row, _ in moving:
        if row in places or row in flows:
            start = f"r[{places[row]}]" if row in places else "vec{}"
            lines.append(f"vec b{row} = {start}{''.join(flows.get(row, []))};")
            right[row] = f"b{row}"
    for (row, column), terms in stamps.items():
        base = known[row].get(column)
        text = "".join(terms) if base is None else numbers.name(base) + "".join(terms)
        lines.append(f"vec a{row}_{column} = {text};")
        rows[row][column] = f"a{row}_{column}"
    left = {row for row, _ in moving}
    for pivot_row, pivot_column in moving:
        left.remove(pivot_row)
        pivot = rows[pivot_row]
        size = pivot[pivot_column]
        if isinstance(size, str):
            lines.append(f"vec p{pivot_row} = 1.0 / {size};")
            inverses[pivot_row] = f"p{pivot_row}"
        else:
            inverses[pivot_row] = 1.0 / size
        inverse = inverses[pivot_row]
        for row in sorted(left):
            if pivot_column not in rows[row]:
                continue
            entry = rows[row].pop(pivot_column)
            if isinstance(entry, str) or isinstance(inverse, str):
                factor: Cell = f"l{row}_{pivot_row}"
                lines.append(f"vec {factor} = {_text(numbers, entry)} * {_text(numbers, inverse)};")
            else:
                factor = entry * inverse
            for column, values in pivot.items():
                if column == pivot_column:
                    continue
                old = rows[row].get(column)
                if isinstance(old, str) or isinstance(factor, str) or isinstance(values, str):
                    product = f"{_text(numbers, factor)} * {_text(numbers, values)}"
                    name = f"a{row}_{column}"
                    if isinstance(old, str):
                        lines.append(f"{name} -= {product};")
                    else:
                        lines.append(f"vec {name} = {'' if old is None else numbers.name(old)} - {product};")
                    rows[row][column] = name
                else:
                    rows[row][column] = (np.zeros(numbers.runs) if old is None else old) - factor * values
            if pivot_row in right:
                _subtract(lines, right, row, f"{_text(numbers, factor)} * {right[pivot_row]}", "b")
    for row, column in reversed(moving):
        lines.append(_solved(numbers, rows[row], column, right.get(row), inverses[row]))
    moves: list[str] = []
    limits: list[str] = []
    for number, ports in enumerate(system.devices):
        for port, pair in enumerate(ports.voltages):
            place = int(first_ports[number]) + port
            sign = "-" if isinstance(ports.device, Transistor) and ports.device.polarity < 0 else ""
            lines.append(f"vec n{place} = {sign}({_across(pair)});")
        _judge(number, int(first_ports[number]), ports, lines, moves, limits)
    if limits:
        lines.append(f"if (any(far)) {{ {' '.join(limits)} }} else {{ {' '.join(moves)} }}")
    # The lanes that are done keep the voltages of the solution, not what the judges made of them.
    for place in range(int(first_ports[-1])):
        lines.append(f"v[{place}] = ok ? n{place} : v[{place}];")
    for place, (_, column) in enumerate(moving):
        lines.append(f"x[{place}] = done ? x[{place}] : x{column};")
    return "\n    ".join(lines)


def _text(numbers: _Numbers, value: Cell) -> str:
    return value if isinstance(value, str) else numbers.name(value)


def _number(value: float) -> str:
    return f"({value!r})"


def _device(number: int, port: int, ports: Ports) -> str:
    """Currents less what their slopes explain (i), and slopes (g), at the port voltages v; see the models' docstrings.

    Each line is linear in the voltages around v: i + g * voltage is the current.
    """
    device, d, v = ports.device, number, f"v[{port}]"
    if isinstance(device, Diode):
        scale = device.model.n * THERMAL_VOLTS
        return (
            f"vec e{d} = exponential({v} * {_number(1.0 / scale)}) * {_number(device.model.saturation)}; "
            f"vec g{d}_00 = e{d} * {_number(1.0 / scale)}; "
            f"vec i{d}_0 = e{d} - {_number(device.model.saturation)} - g{d}_00 * {v};"
        )
    if isinstance(device, Transconductor):
        slope, limit = device.siemens, device.limit_amperes
        return (
            f"vec h{d} = tangent({v} * {_number(slope / limit)}); "
            f"vec g{d}_00 = {_number(slope)} * (1.0 - h{d} * h{d}); "
            f"vec i{d}_0 = {_number(limit)} * h{d} - g{d}_00 * {v};"
        )
    if isinstance(device, Transistor):
        saturation, reverse = _number(device.model.saturation), f"v[{port + 1}]"
        forward_gain, reverse_gain = _number(1.0 + 1.0 / device.model.bf), _number(1.0 + 1.0 / device.model.br)
        per_volt, sign = _number(1.0 / THERMAL_VOLTS), "" if device.polarity > 0 else "-"
        return (
            f"vec e{d} = exponential({v} * {per_volt}) * {saturation}, "
            f"f{d} = exponential({reverse} * {per_volt}) * {saturation}; "
            f"vec g{d}_10 = e{d} * -{per_volt}, g{d}_01 = f{d} * -{per_volt}; "
            f"vec g{d}_00 = g{d}_10 * -{forward_gain}, g{d}_11 = g{d}_01 * -{reverse_gain}; "
            f"vec i{d}_0 = {sign}((e{d} - {saturation}) * {forward_gain} - (f{d} - {saturation}) "
            f"- g{d}_00 * {v} - g{d}_01 * {reverse}); "
            f"vec i{d}_1 = {sign}((f{d} - {saturation}) * {reverse_gain} - (e{d} - {saturation}) "
            f"- g{d}_10 * {v} - g{d}_11 * {reverse});"
        )
    model = device.model
    cathode = ", ".join(map(_number, (1.0 / model.mu, model.ex, model.kp, 1.0 / model.kp)))
    grid = ", ".join(map(_number, (model.cg, model.xi, rounded(model.gg * model.cg**-model.xi))))
    if isinstance(device, Triode):
        plate = f"v[{port + 1}]"
        return (
            f"vec i{d}_0, g{d}_00, i{d}_1, g{d}_10, g{d}_11; "
            f"triode({v}, {plate}, {cathode}, {_number(model.kvb)}, {_number(2.0 / model.kg1)}, {grid}, "
            f"i{d}_0, g{d}_00, i{d}_1, g{d}_10, g{d}_11); "
            f"i{d}_0 -= g{d}_00 * {v}; i{d}_1 -= g{d}_10 * {v} + g{d}_11 * {plate};"
        )
    assert isinstance(device, Pentode)
    screen, plate = f"v[{port + 1}]", f"v[{port + 2}]"
    scales = ", ".join(map(_number, (1.0 / model.kvb, 2.0 / model.kg1, 1.0 / device.model.kg2)))
    outputs = f"i{d}_0, g{d}_00, i{d}_1, g{d}_10, g{d}_11, i{d}_2, g{d}_20, g{d}_21, g{d}_22"
    return (
        f"vec {outputs}; pentode({v}, {screen}, {plate}, {cathode}, {scales}, {grid}, {outputs}); "
        f"i{d}_0 -= g{d}_00 * {v}; i{d}_1 -= g{d}_10 * {v} + g{d}_11 * {screen}; "
        f"i{d}_2 -= g{d}_20 * {v} + g{d}_21 * {screen} + g{d}_22 * {plate};"
    )


def _restraints(system: Equations, first_ports: np.ndarray) -> list[str]:
    """Up an exponential a guess may be far too far: Newton's method comes down one thermal voltage an iteration."""
    lines = []
    for first, ports in zip(first_ports, system.devices, strict=False):
        if isinstance(ports.device, Diode | Transistor):
            scale, on, _ = _junction(ports.device)
            for place in range(int(first), int(first) + len(ports.voltages)):
                latest = f"at_least(memory->v[0][{place}], {_number(on)})"
                lines.append(f"v[{place}] = lesser(v[{place}], {latest} + {_number(3.0 * scale)});")
    return lines


def _junction(device: Diode | Transistor) -> tuple[float, float, float]:
    """Of its junctions: n times the thermal voltage, the volts at which they conduct 10 uA, and 10 pA."""
    scale = THERMAL_VOLTS * (device.model.n if isinstance(device, Diode) else 1.0)
    on, off = (rounded(scale * math.log(amperes / device.model.saturation)) for amperes in (1e-5, 1e-11))
    return scale, on, off


def _judge(number: int, port: int, ports: Ports, lines: list[str], moves: list[str], limits: list[str]) -> None:
    """Whether each new voltage n is near enough to the old one v, and how far the next iteration dares to go there.

    `moves` and `limits`: what a junction does when none of them goes too far, and when one does.
    """
    device, d = ports.device, number
    if isinstance(device, Diode | Transistor):
        scale, *ends = _junction(device)
        on, off = map(_number, ends)
        grown = [f"e{d}", f"f{d}"]
        for k in range(len(ports.voltages)):
            place, per_scale = port + k, _number(1.0 / scale)
            lines.append(f"judge_junction(v[{place}], n{place}, {grown[k]}, {per_scale}, {on}, {off}, ok, far);")
            limits.append(f"limit_junction(v[{place}], n{place}, {_number(scale)}, {per_scale}, {on});")
            moves.append(f"v[{place}] = n{place};")
        return
    if isinstance(device, Transconductor):
        scale = device.limit_amperes / device.siemens
        lines.append(f"judge_tangent(v[{port}], n{port}, {_number(scale)}, ok);")
        return
    model, volts = device.model, [f"v[{port + k}], n{port + k}" for k in range(len(ports.voltages))]
    triode = isinstance(device, Triode)
    # What the current is a function of bends over a third of a volt in a triode, over vs / kp in a pentode.
    bend, amperes = (0.5, _TRIODE_AMPERES) if triode else (100.0 / model.kp, _PENTODE_AMPERES)
    bounds = ", ".join(map(_number, (1.0 / model.mu, model.kp, bend, amperes)))
    lines += [
        f"vec o{d} = v[{port}], s{d} = n{port} - o{d};",
        f"judge_grid({volts[0]}, g{d}_00, ok);",
        f"judge_cathode(o{d}, s{d}, {volts[1]}, g{d}_{1 if triode else 2}0, {bounds}, ok);",
    ]
    if not triode:
        lines.append(f"judge_knee({volts[2]}, g{d}_22, {_number(1.0 / model.kvb)}, {_number(amperes)}, ok);")


_SOURCE = r"""
#include <cstdint>

#define INLINE __attribute__((always_inline)) inline  // a call would spill all vector registers

namespace {

constexpr int kLanes = @LANES@, kStates = @STATES@, kPorts = @PORTS@, kMoving = @MOVING@, kStill = @STILL@,
              kOversampling = @OVERSAMPLING@, kWidth = @WIDTH@;
constexpr int kUsualIterations = 24, kPatientIterations = 60;
typedef double vec __attribute__((vector_size(8 * kLanes)));
typedef int64_t mask __attribute__((vector_size(8 * kLanes)));
typedef uint64_t whole __attribute__((vector_size(8 * kLanes)));
// What a Newton step may leave as an error, in volts at the port or in amperes of the device.
constexpr double kJunctionVolts = @JUNCTION@, kGridVolts = @GRID@;
constexpr double kQuietSiemens = @QUIET@;  // what surrounds a junction or a grid conducts more

INLINE vec all(double value) { return vec{} + value; }
INLINE bool any(mask m) {
#ifdef __AVX__
  static_assert(kLanes == 4);
  return __builtin_ia32_movmskpd256((vec)m) != 0;
#else
  int64_t bits = 0;
  for (int k = 0; k < kLanes; k++) bits |= m[k];
  return bits != 0;
#endif
}
#ifdef __AVX__  // one instruction that does just what the expression below says, which the compiler does not see
INLINE vec greater(vec a, vec b) { return __builtin_ia32_maxpd256(a, b); }
INLINE vec lesser(vec a, vec b) { return __builtin_ia32_minpd256(a, b); }
#else
INLINE vec greater(vec a, vec b) { return a > b ? a : b; }
INLINE vec lesser(vec a, vec b) { return a < b ? a : b; }
#endif
INLINE vec magnitude(vec a) { return (vec)((mask)a & INT64_MAX); }
INLINE vec root(vec a) {
  vec r;
  for (int k = 0; k < kLanes; k++) r[k] = __builtin_sqrt(a[k]);
  return r;
}

// Two vectors that go through the same functions, so that the processor always has something to do while it waits.
struct two {
  vec a, b;
};
INLINE two operator+(two x, two y) { return {x.a + y.a, x.b + y.b}; }
INLINE two operator-(two x, two y) { return {x.a - y.a, x.b - y.b}; }
INLINE two operator*(two x, two y) { return {x.a * y.a, x.b * y.b}; }
INLINE two operator/(two x, two y) { return {x.a / y.a, x.b / y.b}; }
INLINE two operator+(two x, double y) { return {x.a + y, x.b + y}; }
INLINE two operator-(two x, double y) { return {x.a - y, x.b - y}; }
INLINE two operator*(two x, double y) { return {x.a * y, x.b * y}; }
INLINE two operator+(double x, two y) { return {x + y.a, x + y.b}; }
INLINE two operator-(double x, two y) { return {x - y.a, x - y.b}; }
INLINE two operator*(double x, two y) { return {x * y.a, x * y.b}; }
INLINE two operator/(double x, two y) { return {x / y.a, x / y.b}; }
INLINE two magnitude(two x) { return {magnitude(x.a), magnitude(x.b)}; }
INLINE vec at_least(vec x, double low) { return greater(x, all(low)); }
INLINE two at_least(two x, double low) { return {at_least(x.a, low), at_least(x.b, low)}; }
INLINE vec at_most(vec x, double high) { return lesser(x, all(high)); }
INLINE vec where_negative(vec x, vec yes, vec no) { return x < 0.0 ? yes : no; }
INLINE two where_negative(two x, two yes, two no) {
  return {where_negative(x.a, yes.a, no.a), where_negative(x.b, yes.b, no.b)};
}
INLINE vec times_power_of_two(vec x, vec shifted) { return (vec)((mask)x + ((mask)shifted << 52)); }
INLINE two times_power_of_two(two x, two shifted) {
  return {times_power_of_two(x.a, shifted.a), times_power_of_two(x.b, shifted.b)};
}

// The mantissa of x > 0, between sqrt(1/2) and sqrt(2), and its exponent.
INLINE void split(vec x, vec& mantissa, vec& exponent) {
  whole bits = (whole)x, offset = bits - 0x3FE6A09E667F3BCDULL + 0x3FF0000000000000ULL;
  mantissa = (vec)(bits - (offset & 0xFFF0000000000000ULL) + 0x3FF0000000000000ULL);
  exponent = (vec)((offset >> 52) | 0x4330000000000000ULL) - 4503599627371519.0;  // 2^52 + 1023
}
INLINE void split(two x, two& mantissa, two& exponent) {
  split(x.a, mantissa.a, exponent.a);
  split(x.b, mantissa.b, exponent.b);
}

// Divisions are slow: one serves both.
INLINE vec quotient(vec x, vec y) { return x / y; }
INLINE two quotient(two x, two y) {
  vec r = 1.0 / (y.a * y.b);
  return {x.a * (y.b * r), x.b * (y.a * r)};
}

// The polynomials below interpolate at Chebyshev's nodes; a relative error of some 1e-12 is far below Newton's.

// e^x for |x| < 700: x = n ln 2 + r with |r| < 0.35, and n goes into the exponent's bits.
template <class T> INLINE T moderate_exponential(T x) {
  T shifted = x * 1.4426950408889634 + 6755399441055744.0;  // 1.5 * 2^52: the integer stands in the low bits
  T n = shifted - 6755399441055744.0;
  T r = (x - n * 0.693147180369123816490) - n * 1.90821492927058770002e-10;
  T r2 = r * r, r4 = r2 * r2;
  T low = (0.9999999999999996 + r * 0.9999999999797723) + r2 * (0.49999999999813516 + r * 0.16666666891159437);
  T high = (0.04166666688400008 + r * 0.008333266074938185) + r2 * (0.001388882265930794 + r * 0.00019915879807016828);
  return times_power_of_two(low + r4 * (high + r4 * 2.4875733942534025e-05), shifted);
}
INLINE vec exponential(vec x) { return moderate_exponential(at_most(at_least(x, -700.0), 700.0)); }

// ln x for x > 0: the series of 2 artanh s at s = (m - 1) / (m + 1).
template <class T> INLINE T logarithm(T x) {
  T m, e;
  split(x, m, e);
  T s = quotient(m - 1.0, m + 1.0), z = s * s, z2 = z * z;
  T series = (2.000000000008362 + z * 0.6666666524700432) +
             z2 * ((0.40000384775485404 + z * 0.2853504433643064) + z2 * 0.2361649129560904);
  return s * series + e * 0.6931471805599453;
}

// ln(1 + e^x) and its derivative.
template <class T> INLINE void soft_step(T x, T& value, T& slope) {
  T e = moderate_exponential(at_least(-1.0 * magnitude(x), -700.0));
  T one = 1.0 + e, both = quotient(e, one * (2.0 + e));  // for two quotients: e / (1 + e) and e / (2 + e)
  T s = both * one, z = s * s, z2 = z * z;  // ln(1 + e) = 2 artanh s
  T series = (2.0000000000048708 + z * 0.6666666623760531) +
             z2 * ((0.4000006145827094 + z * 0.28568144179841454) +
                   z2 * ((0.22305157544024368 + z * 0.17122272989270748) + z2 * 0.21861427109616816));
  value = at_least(x, 0.0) + s * series;
  T share = both * (2.0 + e);
  slope = where_negative(x, share, 1.0 - share);
}

INLINE vec tangent(vec x) {
  vec e = exponential(magnitude(x) * -2.0);
  vec t = (1.0 - e) / (1.0 + e);
  return x < 0.0 ? -t : t;
}

// arctan x for x >= 0: halved twice by atan x = 2 atan(x / (1 + sqrt(1 + x^2))).
INLINE vec arctangent(vec x) {
  vec y = x / (1.0 + root(1.0 + x * x));
  y = y / (1.0 + root(1.0 + y * y));
  vec z = y * y, z2 = z * z, z4 = z2 * z2;  // z is at most 0.172
  vec low = (0.9999999999999717 - z * 0.3333333333072905) + z2 * (0.19999999596886722 - z * 0.1428569006584664);
  vec high = (0.11110376922468258 - z * 0.09078290391754255) + z2 * (0.07562992568831005 - z * 0.058719046508362245);
  return 4.0 * y * (low + z4 * (high + z4 * 0.030623679875225795));
}

// A grid 1.5 V below the cathode draws 0.1 pA and less; that is nothing, and exactly nothing here.
INLINE void grid_current(vec x, double cg, double xi, double scale, vec value, vec rise, vec power, vec& current,
                         vec& slope) {
  power = x > -15.0 ? power * scale : vec{};
  current = power * value;
  slope = power * (xi * cg) * rise;
}

INLINE void triode(vec vg, vec vp, double per_mu, double ex, double kp, double per_kp, double kvb, double scale,
                   double cg, double xi, double grid_scale, vec& grid, vec& grid_by_grid, vec& current, vec& by_grid,
                   vec& by_plate) {
  vec s = 1.0 / root(kvb + vp * vp);
  two value, rise, power, x = {vg * cg, kp * (per_mu + vg * s)};
  soft_step(x, value, rise);
  vec e = vp * per_kp * value.b;
  power = at_least(two{value.a, e}, 1e-12);
  two logarithms = logarithm(power);
  power = moderate_exponential(two{logarithms.a * (xi - 1.0), logarithms.b * (ex - 1.0)});
  grid_current(x.a, cg, xi, grid_scale, value.a, rise.a, power.a, grid, grid_by_grid);
  vec steep = e > 1e-12 ? power.b * scale : vec{};
  current = steep * e;
  steep = steep * ex;
  by_grid = steep * vp * rise.b * s;
  by_plate = steep * (value.b * per_kp - vp * vp * rise.b * vg * s * s * s);
}

// By s: by the screen.
INLINE void pentode(vec vg, vec vs, vec vp, double per_mu, double ex, double kp, double per_kp, double per_kvb,
                    double plate_scale, double screen_scale, double cg, double xi, double grid_scale, vec& grid,
                    vec& grid_by_grid, vec& screen, vec& screen_by_grid, vec& screen_by_screen, vec& plate,
                    vec& plate_by_grid, vec& plate_by_screen, vec& plate_by_plate) {
  vec s = 1.0 / at_least(vs, 1e-3);
  two value, rise, power;
  two x = {vg * cg, kp * (per_mu + vg * s)};
  soft_step(x, value, rise);
  vec e = vs * per_kp * value.b;
  power = at_least(two{value.a, e}, 1e-12);
  two logarithms = logarithm(power);
  power = moderate_exponential(two{logarithms.a * (xi - 1.0), logarithms.b * (ex - 1.0)});
  grid_current(x.a, cg, xi, grid_scale, value.a, rise.a, power.a, grid, grid_by_grid);
  vec steep = e > 1e-12 ? power.b : vec{}, all_current = steep * e;
  steep = steep * ex;
  vec by_grid = steep * rise.b, by_screen = steep * (value.b * per_kp - rise.b * vg * s);
  screen = all_current * screen_scale;
  screen_by_grid = by_grid * screen_scale;
  screen_by_screen = by_screen * screen_scale;
  vec knee_x = at_least(vp, 0.0) * per_kvb, knee = arctangent(knee_x) * plate_scale;
  plate = all_current * knee;
  plate_by_grid = by_grid * knee;
  plate_by_screen = by_screen * knee;
  plate_by_plate = vp < 0.0 ? vec{} : all_current * (plate_scale * per_kvb) / (1.0 + knee_x * knee_x);
}

// The judges: clear `ok` where the step from v to n leaves too large an error, which is of second order in the step,
// then move v, less far than n where the devices bend too much for a straight line.

// e: the current that grows with v. Steps too `far` up the exponential are rare, and shortened for all junctions at
// once, as in SPICE (pnjlim): only to where the current is what the straight line says.
INLINE void judge_junction(vec v, vec n, vec e, double per_scale, double on, double off, mask& ok, mask& far) {
  vec d = n - v, q = d * per_scale;
  mask small = (magnitude(q) < 0.5) & (e * q * q < kJunctionVolts * (e * per_scale + kQuietSiemens));
  ok &= small | ((v < off) & (n < off) & (magnitude(d) < 5.0));
  far |= (q > 2.0) & (n > on);
}
INLINE void limit_junction(vec& v, vec n, double scale, double per_scale, double on) {
  vec from = at_least(v, on);
  vec limited = from + scale * logarithm(at_least(1.0 + (n - from) * per_scale, 1.0));
  limited = at_most(limited, on + 16.0 * scale);  // 100 A; rounding errors there would be larger than any signal
  v = ((n - v) * per_scale > 2.0) & (n > on) ? limited : n;
}

INLINE void judge_tangent(vec& v, vec n, double scale, mask& ok) {
  vec d = n - v;
  mask outside = (v * n > 0.0) & (magnitude(v) > 20.0 * scale) & (magnitude(n) > 20.0 * scale);
  ok &= outside | (d * d < kJunctionVolts * scale);
  vec reach = 2.0 * at_least(magnitude(v), scale);
  mask crossing = (v * n < 0.0) & (magnitude(v) > 2.0 * scale);
  n = lesser(greater(n, -reach), reach);
  v = crossing ? vec{} : n;
}

// g: the slope of the grid's current.
INLINE void judge_grid(vec& v, vec n, vec g, mask& ok) {
  vec d = n - v;
  vec allowed = kGridVolts * (1.0 + 20.0 * at_least(v, 0.0)) * (g + kQuietSiemens);  // in amperes; it bends less later
  mask small = (magnitude(d) < 0.05) & (g * d * d * 6.0 < allowed);
  ok &= small | ((v < -1.5) & (n < -1.5));
  v = lesser(n, at_least(v, 0.0) + 20.0);
}

// What the step of grid and plate (or screen) does to the cathode's current. `g`: its slope by the grid.
INLINE void judge_cathode(vec grid, vec grid_step, vec& v, vec n, vec g, double per_mu, double kp, double bend,
                          double amperes, mask& ok) {
  vec d = n - v, u = grid_step + d * per_mu;
  mask small = (magnitude(u) < 0.4 * bend) & (g * u * u < amperes * bend);
  // Cut off before and after: the argument of Koren's logarithm is below -20, for his roots are at least v and n.
  mask closed = (v > 1.0) & (kp * (per_mu * v + grid) < -20.0 * v);
  closed &= (n > 1.0) & (kp * (per_mu * n + grid + grid_step) < -20.0 * n);
  ok &= small | closed;
  v = v + at_most(at_least(d, -200.0), 200.0);
}

// The plate's current has a corner at 0 V, where Newton's method would go to and fro: it may not cross it in one step.
// `g`: its slope.
INLINE void judge_knee(vec& v, vec n, vec g, double per_kvb, double amperes, mask& ok) {
  vec d = n - v;
  mask crossing = v * n < 0.0;
  ok &= (g * d * d * per_kvb < amperes) & ((magnitude(d) < 1e-3) | ~crossing);
  d = at_most(at_least(d, -200.0), 200.0);
  v = crossing ? vec{} : v + d;
}

// The right side of the equations: t of the rows that are eliminated for good, r of those around the devices.
INLINE void forward(const vec* c, const vec* w, vec u, vec* t, vec* r) {
  @FORWARD@
}

// Newton's method for the lanes that are not yet `done`: v, the ports' voltages, goes from a guess to the solution, and
// x are the unknowns there. Returns the lanes that are done.
__attribute__((noinline)) mask newton(const vec* c, const vec* r, vec* ports, vec* x, mask done, int limit,
                                      int64_t& iterations) {
  for (int round = 0; round < limit; round++) {
    iterations++;
    vec v[kPorts];
    for (int k = 0; k < kPorts; k++) v[k] = ports[k];
    mask ok = mask{} - 1, far = mask{};
    @NEWTON@
    // Two points may take turns for ever; their middle ends that.
    if (round > 12 && round % 4 == 3) for (int k = 0; k < kPorts; k++) v[k] = ok ? v[k] : 0.5 * (v[k] + ports[k]);
    for (int k = 0; k < kPorts; k++) ports[k] = done ? ports[k] : v[k];
    done |= ok;
    if (!any(~done)) break;
  }
  return done;
}

// Where Newton's method fails: let the right side go from one that is solved to the wanted one in steps small enough.
__attribute__((noinline)) mask follow(const vec* c, const vec* from, const vec* to, vec* v, vec* x, mask todo,
                                      int64_t& iterations) {
  vec reached = vec{}, stride = all(0.25);
  for (int tries = 0; tries < 2000 && any(todo); tries++) {
    vec next = lesser(reached + stride, all(1.0));
    vec r[kMoving], ports[kPorts], found[kMoving] = {};
    for (int k = 0; k < kMoving; k++) r[k] = from[k] + next * (to[k] - from[k]);
    for (int k = 0; k < kPorts; k++) ports[k] = v[k];
    mask good = newton(c, r, ports, found, ~todo, kPatientIterations, iterations) & todo;
    for (int k = 0; k < kPorts; k++) v[k] = good ? ports[k] : v[k];
    for (int k = 0; k < kMoving; k++) x[k] = good ? found[k] : x[k];
    reached = good ? next : reached;
    stride = good ? stride * 2.0 : stride * 0.25;
    todo &= (reached < 1.0) & (stride > 1e-12);
  }
  return reached >= 1.0;
}

struct Memory {
  vec w[kStates];         // what capacitors and windings remember
  vec v[3][kPorts];       // the ports' latest voltages, newest first
  vec r[kMoving];         // the latest right side around the devices
  vec pending[kWidth];    // the outputs that the circuit's samples so far are parts of
  mask dead;              // the lanes that failed
};

}  // namespace

// Turn the batteries up and note where everything rests; c: the numbers for direct current. Returns one bit for each
// lane that finds no rest.
extern "C" int64_t rest(const vec* c, const vec* playing_c, Memory* memory) {
  vec* w = memory->w;
  vec t[kStill], r[kMoving] = {}, zero[kMoving] = {}, x[kMoving] = {}, v[kPorts] = {};
  for (int k = 0; k < kStates; k++) w[k] = vec{};
  int64_t iterations = 0;
  forward(c, w, vec{}, t, r);
  mask found = follow(c, zero, r, v, x, mask{} - 1, iterations);
  @BACK@
  @STARTS@
  for (auto& old : memory->v) for (int k = 0; k < kPorts; k++) old[k] = v[k];
  forward(playing_c, w, vec{}, t, memory->r);
  for (auto& each : memory->pending) each = vec{};
  memory->dead = ~found;
  int64_t failed = 0;
  for (int k = 0; k < kLanes; k++) failed |= (memory->dead[k] & 1) << k;
  return failed;
}

// Play `frames` frames: `in` starts kWidth - 1 frames before the first of them. `failed_at`: for each lane the frame
// where it failed, written only then. Returns the Newton iterations.
extern "C" int64_t run(int64_t frames, const double* interpolators, const double* decimators, const vec* c,
                       Memory* memory, const vec* in, vec* out, int64_t* failed_at) {
  const unsigned mode = __builtin_ia32_stmxcsr();
  __builtin_ia32_ldmxcsr(mode | 0x8040);  // what decays to nothing is nothing: numbers below 1e-308 are slow
  int64_t iterations = 0;
  vec* w = memory->w;
  vec t[kStill], r[kMoving] = {}, x[kMoving] = {}, v[kPorts] = {};
  for (int64_t n = 0; n < frames; n++) {
    vec drives[kOversampling] = {};
    for (int k = 0; k < kWidth; k++) {
#pragma GCC unroll 16
      for (int phase = 0; phase < kOversampling; phase++)
        drives[phase] += interpolators[k * kOversampling + phase] * in[n + k];
    }
    for (int phase = 0; phase < kOversampling; phase++) {
      forward(c, w, drives[phase], t, r);
      for (int k = 0; k < kPorts; k++) {  // a parabola's next point, but after a jump no farther than another jump
        vec step = memory->v[0][k] - memory->v[1][k], bend = step - (memory->v[1][k] - memory->v[2][k]);
        vec size = magnitude(step);
        v[k] = memory->v[0][k] + step + greater(lesser(bend, size), -size);
      }
      @RESTRAIN@
      mask done = newton(c, r, v, x, memory->dead, kUsualIterations, iterations);
      if (any(~done)) {
        vec from[kPorts];
        for (int k = 0; k < kPorts; k++) from[k] = memory->v[0][k];
        mask found = follow(c, memory->r, r, from, x, ~done, iterations);
        for (int k = 0; k < kPorts; k++) v[k] = done ? v[k] : from[k];
        mask lost = ~done & ~found;
        for (int k = 0; k < kLanes; k++) if (lost[k]) failed_at[k] = n;
        memory->dead |= lost;
      }
      for (int k = 0; k < kPorts; k++) {
        memory->v[2][k] = memory->v[1][k];
        memory->v[1][k] = memory->v[0][k];
        memory->v[0][k] = v[k];
      }
      for (int k = 0; k < kMoving; k++) memory->r[k] = r[k];
      @BACK@
      @MEMORIES@
      vec played = @OUTPUT@;
      for (int k = 0; k < kWidth; k++) memory->pending[k] += decimators[phase * kWidth + k] * played;
    }
    out[n] = memory->pending[0];
    for (int k = 1; k < kWidth; k++) memory->pending[k - 1] = memory->pending[k];
    memory->pending[kWidth - 1] = vec{};
  }
  __builtin_ia32_ldmxcsr(mode);
  return iterations;
}

extern "C" int64_t memory_bytes() { return sizeof(Memory); }
"""


def compiled(source: str) -> ctypes.CDLL:
    """The machine code of a program, from the cache or made now and kept there.

    Its name tells all that it depends on. Several processes may compile the same at once: each writes aside and
    renames. Raises InputError when there is no compiler or the cache cannot be written.
    """
    compiler = shutil.which("g++")
    if compiler is None:
        raise InputError("simulating circuits needs the C++ compiler g++, which is not installed")
    key = hashlib.sha256("\n".join([source, *_FLAGS, *_SHARED, *_surroundings(compiler)]).encode()).hexdigest()
    return _loaded(compiler, key, source)


@functools.lru_cache(maxsize=256)
def _loaded(compiler: str, key: str, source: str) -> ctypes.CDLL:
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "oddity" / "circuits"
    path = folder / f"{key[:32]}.so"
    if not path.exists():
        with written_aside(path) as scratch:
            made = subprocess.run(
                [compiler, *_FLAGS, *_SHARED, "-x", "c++", "-", "-o", str(scratch)],
                input=source,
                text=True,
                capture_output=True,
                check=False,
            )
            if made.returncode:
                said = made.stderr.splitlines() or [f"it ended with {made.returncode}"]
                reason = next((line for word in ("No space", "error", "") for line in said if word in line), said[0])
                raise InputError(f"g++ cannot compile a circuit: {reason}")
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:  # a damaged file, or a folder whose files may not be executed
        message = f"cannot load {path} ({error}): delete it, or let XDG_CACHE_HOME be another folder"
        raise InputError(message) from error
    for function in (library.rest, library.run, library.memory_bytes):
        function.restype = ctypes.c_int64
    return library


@functools.cache
def _surroundings(compiler: str) -> tuple[str, ...]:
    """What besides source and flags decides the machine code: the compiler's version and the processor's abilities."""
    try:
        version = subprocess.run([compiler, "--version"], text=True, capture_output=True, check=False).stdout
    except OSError as error:
        raise InputError(f"{compiler} cannot be run: {error.strerror}") from error
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    abilities = next((line for line in lines if line.startswith("flags")), "")
    return version, abilities
