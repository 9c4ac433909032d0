"""Circuit simulation: the nodal discrete-K method.

The trapezoidal rule turns each capacitor into a conductance and a current source that carries its state. One time step
of the whole circuit is then one matrix, and only the diodes are left to solve: Newton's method, one unknown a diode
(Yeh, Abel & Smith, "Automated physical modeling of nonlinear audio circuits", IEEE TASLP 18(4), 2010).

Clipping makes harmonics beyond any sample rate: the circuit runs at eight times the rate of the audio, between two
linear-phase filters whose delay is taken out again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
from scipy import signal

from training.circuits.netlist import GROUND, Amplifier, Battery, Capacitor, Circuit, Diode, Element, Resistor
from training.errors import InputError

OVERSAMPLING = 8
THERMAL_VOLTS = 1.380649e-23 * 300.15 / 1.602176634e-19  # k T / q at 27 degrees, where SPICE's parameters hold

# Flat to 20 kHz at 48 kHz; 28 kHz is what would fold down to 20. Kaiser's formula gives 110 dB for this length.
_PASS_EDGE, _STOP_EDGE = 20.0 / 24.0, 28.0 / 24.0  # relative to half the sample rate of the audio
_FILTER_DELAY_SAMPLES = 44  # of both filters together, at the rate of the audio
_KAISER_BETA = 11.3

_NEWTON_LIMIT = 100
_NEWTON_TOLERANCE_VOLTS = 1e-6  # of the last step; convergence is quadratic, so the error left is some 1e-11 V
_LEAKAGE_SIEMENS = 1e-12  # across each diode, as in SPICE, so that its slope is never zero
_BATTERY_STEPS = 20

# The liberties of "fast maths", without the one to take NaN and infinity for impossible.
_REORDER = {"reassoc", "contract", "nsz"}


class SimulationError(InputError):
    """The equations of a circuit have no solution that the solver could find."""


@dataclass(frozen=True)
class _Network:
    """The linear part of a circuit, with the diodes taken out.

    `volts` [states + diodes + 1, states + 2 + diodes]: the rows are the voltages of the capacitors, of the diodes and
    of the output jack; the columns are what drives them: the capacitors' states (A), the input (V), the batteries (all
    at once), the diodes' currents (A).
    """

    volts: np.ndarray
    siemens: np.ndarray  # [states] 2 C / T, the conductance of each capacitor's companion model
    diodes: np.ndarray  # [diodes, 2] saturation current (A), ideality times thermal voltage (V)


def process(
    circuit: Circuit, volts: np.ndarray, sample_rate_hz: int, oversampling: int = OVERSAMPLING, /, **knobs: float
) -> np.ndarray:
    """Send `volts` at the input jack through `circuit`; return the volts at its output jack.

    `volts`: real [frames], finite. Returns float64 [frames] without delay: the circuit has rested at its operating
    point before the first sample, and what still rings after the last is cut off. Knobs are in 0..1; those not given
    stand at their defaults. With `oversampling` 1 the circuit runs at the rate of the audio, without filters.

    Raises InputError for an unknown knob or one outside 0..1, ValueError for audio that is not a finite vector, and
    SimulationError when Newton's method fails or the output is not finite.
    """
    volts = np.asarray(volts, dtype=np.float64)
    if volts.ndim != 1 or not np.isfinite(volts).all():
        raise ValueError("volts must be one channel of finite samples")
    elements = circuit.at(**knobs)
    network = _assemble(circuit, elements, sample_rate_hz * oversampling)
    capacitor_volts, diode_volts = _operating_point(circuit, elements)
    taps = _filter_taps(oversampling)
    delay = (len(taps) - 1) // oversampling
    output, failed_at = _run(
        np.concatenate([np.zeros(delay), volts, np.zeros(delay)]),
        _polyphase(taps, oversampling),
        taps,
        _time_step(network),
        network.diodes,
        network.siemens * capacitor_volts,
        diode_volts,
    )
    if failed_at >= 0:
        seconds = max(failed_at - delay // 2, 0) / sample_rate_hz  # one of the two filters lies before the circuit
        raise SimulationError(f"{circuit.path}: Newton's method did not converge at {seconds:.4f} s")
    if not np.isfinite(output).all():
        raise SimulationError(f"{circuit.path}: the output is not finite")
    return output[delay:]


def _assemble(circuit: Circuit, elements: Sequence[Element], rate_hz: float) -> _Network:
    """Modified nodal analysis. At rate 0 the capacitors conduct nothing, which leaves direct current."""
    sources = [element for element in elements if isinstance(element, Battery | Amplifier)]
    capacitors = [element for element in elements if isinstance(element, Capacitor)]
    diodes = [element for element in elements if isinstance(element, Diode)]
    names = [circuit.input_node, circuit.output_node, *(node for element in elements for node in element.nodes)]
    index = {node: number for number, node in enumerate(dict.fromkeys(name for name in names if name != GROUND))}
    unknowns = len(index) + len(sources) + 1  # the nodes' voltages, the sources' currents, the input jack's current

    def across(plus: str, minus: str = GROUND) -> np.ndarray:
        row = np.zeros(unknowns)
        for node, sign in ((plus, 1.0), (minus, -1.0)):
            if node != GROUND:
                row[index[node]] += sign
        return row

    capacitor_rows = np.array([across(*element.nodes) for element in capacitors]).reshape(-1, unknowns)
    diode_rows = np.array([across(*element.nodes) for element in diodes]).reshape(-1, unknowns)
    siemens = 2.0 * rate_hz * np.array([element.farads for element in capacitors])

    matrix = (capacitor_rows.T * siemens) @ capacitor_rows
    battery_drive, input_drive = np.zeros(unknowns), np.zeros(unknowns)
    for element in elements:
        if isinstance(element, Resistor):
            row = across(*element.nodes)
            matrix += np.outer(row, row) / element.ohms
    for branch, source in enumerate(sources, start=len(index)):
        row = across(*source.nodes[:2])
        matrix[:, branch] += row
        matrix[branch] += row
        if isinstance(source, Amplifier):
            matrix[branch] -= source.gain * across(*source.nodes[2:])
        else:
            battery_drive[branch] = source.volts
    matrix[:, -1] += across(circuit.input_node)
    matrix[-1] += across(circuit.input_node)
    input_drive[-1] = 1.0

    probes = np.vstack([capacitor_rows, diode_rows, across(circuit.output_node)])
    drives = np.vstack([capacitor_rows, input_drive, battery_drive, -diode_rows]).T
    try:
        volts = probes @ np.linalg.solve(matrix, drives)
    except np.linalg.LinAlgError as error:
        raise InputError(f"{circuit.path}: the circuit has no unique solution; is there a loop of sources?") from error
    models = [circuit.models[element.model] for element in diodes]
    parameters = [(model.saturation_amperes, model.ideality * THERMAL_VOLTS) for model in models]
    return _Network(volts, siemens, np.array(parameters).reshape(-1, 2))


def _time_step(network: _Network) -> np.ndarray:
    """`network.volts` with the capacitors' rows made into next states: the current is G v - s, and s' = 2 G v - s."""
    step = network.volts.copy()
    states = len(network.siemens)
    step[:states] *= 2.0 * network.siemens[:, None]
    step[:states, :states] -= np.eye(states)
    return step


def _operating_point(circuit: Circuit, elements: Sequence[Element]) -> tuple[np.ndarray, np.ndarray]:
    """The voltages of the capacitors and of the diodes while nothing is played.

    The batteries are turned up in steps, each solution a guess near enough for the next.
    """
    still = _assemble(circuit, elements, rate_hz=0.0)
    states, count = len(still.siemens), len(still.diodes)
    by_batteries, by_diodes = still.volts[:, states + 1], still.volts[:, states + 2 :]
    volts, amperes = np.zeros(count), np.zeros(count)
    for charge in np.linspace(1.0 / _BATTERY_STEPS, 1.0, _BATTERY_STEPS):
        open_volts = charge * by_batteries[states:-1]
        if not _solve_diodes(open_volts, by_diodes[states:-1], still.diodes, volts, amperes):
            raise SimulationError(f"{circuit.path}: Newton's method found no operating point")
    return (by_batteries + by_diodes @ amperes)[:states], volts


def _filter_taps(oversampling: int) -> np.ndarray:
    """The low-pass on both sides of the circuit, [_FILTER_DELAY_SAMPLES * oversampling + 1], symmetric, sum 1."""
    if oversampling == 1:
        return np.ones(1)
    cutoff = (_PASS_EDGE + _STOP_EDGE) / 2.0 / oversampling
    taps = signal.firwin(_FILTER_DELAY_SAMPLES * oversampling + 1, cutoff, window=("kaiser", _KAISER_BETA))
    return np.ascontiguousarray(taps)


def _polyphase(taps: np.ndarray, oversampling: int) -> np.ndarray:
    """`taps` as one short filter for each oversampled sample of a frame, [oversampling, delay + 1], latest tap last."""
    width = (len(taps) - 1) // oversampling + 1
    padded = np.zeros(width * oversampling)
    padded[: len(taps)] = taps * oversampling
    return np.ascontiguousarray(padded.reshape(width, oversampling).T[:, ::-1])


@numba.njit(cache=True, fastmath=_REORDER)
def _dot(a: np.ndarray, b: np.ndarray) -> float:
    total = 0.0
    for k in range(len(a)):
        total += a[k] * b[k]
    return total


@numba.njit(cache=True, error_model="numpy", fastmath=_REORDER)
def _run(
    padded: np.ndarray,
    interpolators: np.ndarray,
    taps: np.ndarray,
    step: np.ndarray,
    diodes: np.ndarray,
    states: np.ndarray,
    diode_volts: np.ndarray,
) -> tuple[np.ndarray, int]:
    """Interpolate, step the circuit, decimate: the output, and the frame where Newton's method failed, or -1.

    `padded`: the input with the filters' delay in zeros on each side; the output starts with that delay. Arrays are
    as their makers describe them; `states` and `diode_volts` hold the operating point and are written over.
    """
    oversampling, width = interpolators.shape
    count, memory = len(states), len(taps) - 1
    last = len(step) - 1
    drives = np.zeros(count + 2)
    drives[:count] = states
    drives[count + 1] = 1.0
    open_volts, amperes = np.empty(len(diodes)), np.zeros(len(diodes))
    from_diodes = np.ascontiguousarray(step[:, count + 2 :])
    from_drives = np.ascontiguousarray(step[:, : count + 2])
    diode_coupling = np.ascontiguousarray(from_diodes[count:last])
    recent = np.zeros(memory + oversampling)  # the circuit's latest output, oversampled
    output = np.empty(len(padded) - width + 1)
    for n in range(len(output)):
        for phase in range(oversampling):
            drives[count] = _dot(interpolators[phase], padded[n : n + width])
            for k in range(len(diodes)):
                open_volts[k] = _dot(from_drives[count + k], drives)
            if not _solve_diodes(open_volts, diode_coupling, diodes, diode_volts, amperes):
                return output, n
            for k in range(count):
                states[k] = _dot(from_drives[k], drives) + _dot(from_diodes[k], amperes)
            recent[memory + phase] = _dot(from_drives[last], drives) + _dot(from_diodes[last], amperes)
            drives[:count] = states
        output[n] = _dot(taps, recent[: memory + 1])
        recent[:memory] = recent[oversampling:].copy()
    return output, -1


@numba.njit(cache=True, error_model="numpy")
def _solve_diodes(
    open_volts: np.ndarray, coupling: np.ndarray, diodes: np.ndarray, volts: np.ndarray, amperes: np.ndarray
) -> bool:
    """Solve volts = open_volts + coupling @ amperes(volts) by Newton's method; False when it does not converge.

    `volts` holds the first guess and then the solution, `amperes` the currents there.
    """
    count = len(diodes)
    slopes, residual, jacobian = np.empty(count), np.empty(count), np.empty((count, count))
    for _ in range(_NEWTON_LIMIT):
        for k in range(count):
            saturation, scale = diodes[k]
            growth = saturation * np.exp(volts[k] / scale)
            amperes[k] = growth - saturation + _LEAKAGE_SIEMENS * volts[k]
            slopes[k] = growth / scale + _LEAKAGE_SIEMENS
        for i in range(count):
            residual[i] = open_volts[i] - volts[i]
            for k in range(count):
                residual[i] += coupling[i, k] * amperes[k]
                jacobian[i, k] = -coupling[i, k] * slopes[k]
            jacobian[i, i] += 1.0
        _eliminate(jacobian, residual)
        settled = True
        for k in range(count):
            moved = _limit(volts[k] + residual[k], volts[k], diodes[k, 0], diodes[k, 1]) - volts[k]
            settled = settled and abs(moved) < _NEWTON_TOLERANCE_VOLTS  # False for NaN too
            volts[k] += moved
            amperes[k] += slopes[k] * moved
        if settled:
            return True
    return False


@numba.njit(cache=True, error_model="numpy")
def _eliminate(matrix: np.ndarray, vector: np.ndarray) -> None:
    """Solve matrix @ x = vector by Gaussian elimination with partial pivoting; x replaces `vector`."""
    count = len(vector)
    for k in range(count):
        pivot = k
        for i in range(k + 1, count):
            if abs(matrix[i, k]) > abs(matrix[pivot, k]):
                pivot = i
        if pivot != k:
            for j in range(k, count):
                matrix[k, j], matrix[pivot, j] = matrix[pivot, j], matrix[k, j]
            vector[k], vector[pivot] = vector[pivot], vector[k]
        for i in range(k + 1, count):
            factor = matrix[i, k] / matrix[k, k]
            for j in range(k + 1, count):
                matrix[i, j] -= factor * matrix[k, j]
            vector[i] -= factor * vector[k]
    for k in range(count - 1, -1, -1):
        for j in range(k + 1, count):
            vector[k] -= matrix[k, j] * vector[j]
        vector[k] /= matrix[k, k]


@numba.njit(cache=True, error_model="numpy")
def _limit(wanted: float, present: float, saturation: float, scale: float) -> float:
    """Shorten a Newton step up the exponential, where a long one would overflow, as SPICE does (`pnjlim`)."""
    critical = scale * np.log(scale / (np.sqrt(2.0) * saturation))
    if wanted <= critical or abs(wanted - present) <= 2.0 * scale:
        return wanted
    if present <= 0.0:
        return scale * np.log(wanted / scale)
    rise = 1.0 + (wanted - present) / scale
    return present + scale * np.log(rise) if rise > 0.0 else critical
