"""Circuit simulation: any netlist, many settings at once.

The trapezoidal rule and Newton's method on what `equations` sets up, in the machine code that `kernel` makes.

Clipping makes harmonics beyond any sample rate: the circuit runs at eight times the rate of the audio, between two
linear-phase filters whose delay is taken out again.
"""

import ctypes
import functools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from training.circuits.equations import Order, elimination_order, equations
from training.circuits.kernel import LANES, Program, compiled, program
from training.circuits.netlist import Circuit
from training.errors import InputError

OVERSAMPLING = 8

ENGINE = "dk-trapezoid-2"
"""Changes whenever the bits of an output do."""

# Flat to 20 kHz at 48 kHz; 28 kHz is what would fold down to 20. Kaiser's formula gives 110 dB for this length.
_PASS_EDGE, _STOP_EDGE = 20.0 / 24.0, 28.0 / 24.0  # relative to half the sample rate of the audio
_FILTER_DELAY_SAMPLES = 44  # of both filters together, at the rate of the audio
_KAISER_BETA = 11.3

_FRAMES_A_CALL = 24_000  # so that a long take can be interrupted and a failure is noticed early


class SimulationError(InputError):
    """The equations of a circuit have no solution that the solver could find."""


def process(
    circuit: Circuit, volts: np.ndarray, sample_rate_hz: int, oversampling: int = OVERSAMPLING, /, **knobs: float
) -> np.ndarray:
    """Send `volts` at the input jack through `circuit`; return the volts at its output jack.

    `volts`: real [frames], finite. Returns float64 [frames] without delay: the circuit has rested at its operating
    point before the first sample, and what still rings after the last is cut off. Knobs are in 0..1; those not given
    stand at their defaults. With `oversampling` 1 the circuit runs at the rate of the audio, without filters.

    Raises InputError for an unknown knob or one outside 0..1 and where there is no C++ compiler, ValueError for audio
    that is not a finite vector, and SimulationError when Newton's method fails or the output is not finite.
    """
    volts = np.asarray(volts, dtype=np.float64)
    if volts.ndim != 1:
        raise ValueError("volts must be one channel of finite samples")
    return process_many(circuit, volts[None], [knobs], sample_rate_hz, oversampling)[0]


def process_many(
    circuit: Circuit,
    volts: np.ndarray,
    settings: Sequence[Mapping[str, float]],
    sample_rate_hz: int,
    oversampling: int = OVERSAMPLING,
) -> np.ndarray:
    """`process` for many runs at once, each with its own take and its own knobs, at a fraction of the time.

    `volts`: real [runs, frames], finite; `settings`: the knobs of each run. Returns float64 [runs, frames]. Each
    run's output is to the bit what it is alone, in any company and order and on any x86-64 machine.

    Raises what `process` raises; a SimulationError names the knobs of a run that fails.
    """
    return process_counted(circuit, volts, settings, sample_rate_hz, oversampling)[0]


def process_counted(
    circuit: Circuit,
    volts: np.ndarray,
    settings: Sequence[Mapping[str, float]],
    sample_rate_hz: int,
    oversampling: int = OVERSAMPLING,
) -> tuple[np.ndarray, float]:
    """`process_many`, and how many iterations of Newton's method a step took, the mean over time and groups of runs."""
    volts = np.asarray(volts, dtype=np.float64)
    if volts.ndim != 2 or not np.isfinite(volts).all():
        raise ValueError("volts must be finite samples, [runs, frames]")
    if len(settings) != len(volts):
        raise ValueError(f"{len(volts)} runs need as many settings, not {len(settings)}")
    if not (sample_rate_hz > 0 and math.isfinite(sample_rate_hz)) or oversampling < 1:
        raise ValueError(f"{sample_rate_hz} Hz and oversampling {oversampling}: both must be above zero")
    for knobs in settings:
        circuit.check_knobs(knobs)
    if not volts.size:
        return np.empty_like(volts), 0.0
    rate_hz = float(sample_rate_hz * oversampling)
    taps = _filter_taps(oversampling)
    width = (len(taps) - 1) // oversampling + 1
    playing, resting = _programs(circuit, settings, rate_hz, oversampling, width)
    library = compiled(playing.source)
    output = np.empty_like(volts)
    iterations = []
    for start in range(0, len(volts), LANES):
        chosen = [min(start + lane, len(volts) - 1) for lane in range(LANES)]  # the last run fills what is empty
        names = [_described(circuit, settings[run]) for run in chosen]
        lanes = _Lanes(library, names, playing.numbers[:, chosen], resting.numbers[:, chosen], taps, oversampling)
        iterations.append(lanes.play(volts[start : start + LANES], output[start : start + LANES], sample_rate_hz))
    return output, float(np.mean(iterations)) / (oversampling * (volts.shape[1] + width - 1))


class _Lanes:
    """LANES runs side by side."""

    def __init__(
        self,
        library: ctypes.CDLL,
        names: Sequence[str],
        playing: np.ndarray,
        resting: np.ndarray,
        taps: np.ndarray,
        oversampling: int,
    ) -> None:
        """`playing`, `resting`: [numbers, LANES], the constants of the compiled program, and at direct current;
        `names`: what to call each run when it fails."""
        self.library = library
        self.names = names
        self.numbers = _aligned(playing.shape)
        self.numbers[:] = playing
        at_rest = _aligned(resting.shape)
        at_rest[:] = resting
        self.interpolators, self.decimators = _polyphase(taps, oversampling)
        self.width = len(self.interpolators)
        self.memory = _aligned((library.memory_bytes() // 8 + LANES,))
        failed = library.rest(_pointer(at_rest), _pointer(self.numbers), _pointer(self.memory))
        if failed:
            lane = (failed & -failed).bit_length() - 1
            raise SimulationError(f"{names[lane]}: Newton's method found no operating point")

    def play(self, volts: np.ndarray, output: np.ndarray, sample_rate_hz: int) -> int:
        """Send [runs, frames] through; at most LANES runs. Returns the iterations of Newton's method."""
        runs, frames = volts.shape
        delay = self.width - 1
        iterations = 0
        history = delay
        for start in range(0, frames + delay, _FRAMES_A_CALL):
            stop = min(start + _FRAMES_A_CALL, frames + delay)
            heard = _aligned((history + stop - start, LANES))
            heard[:] = 0.0
            first = max(start - history, 0)
            part = volts[:, first : min(stop, frames)]
            offset = first - (start - history)
            for lane in range(LANES):
                heard[offset : offset + part.shape[1], lane] = part[min(lane, runs - 1)]
            played = _aligned((stop - start, LANES))
            failed_at = np.full(LANES, -1, dtype=np.int64)
            iterations += self.library.run(
                ctypes.c_int64(stop - start),
                _pointer(self.interpolators),
                _pointer(self.decimators),
                _pointer(self.numbers),
                _pointer(self.memory),
                _pointer(heard),
                _pointer(played),
                _pointer(failed_at),
            )
            if (failed_at >= 0).any():
                lane = int(np.argmax(failed_at >= 0))
                frame = start + int(failed_at[lane]) - delay // 2  # one filter lies before the circuit
                seconds = max(frame, 0) / sample_rate_hz
                raise SimulationError(f"{self.names[lane]}: Newton's method did not converge at {seconds:.4f} s")
            if not np.isfinite(played).all():
                frame, lane = (int(place[0]) for place in np.nonzero(~np.isfinite(played)))
                seconds = max(start + frame - delay, 0) / sample_rate_hz
                raise SimulationError(f"{self.names[lane]}: the output is not finite at {seconds:.4f} s")
            skipped = max(delay - start, 0)
            if skipped < stop - start:
                output[:, start + skipped - delay : stop - delay] = played[skipped:, :runs].T
        return iterations


def _described(circuit: Circuit, knobs: Mapping[str, float]) -> str:
    positions = ", ".join(f"{knob} at {position:.4g}" for knob, position in knobs.items())
    return f"{circuit.path}{positions and f' with {positions}'}"


def _pointer(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def _aligned(shape: tuple[int, ...]) -> np.ndarray:
    """Float64, not initialised, at an address that vector registers load from."""
    count = math.prod(shape)
    raw = np.empty(count * 8 + 64, dtype=np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + count * 8].view(np.float64).reshape(shape)


_orders: dict[tuple[str, float], Order] = {}


def _programs(
    circuit: Circuit, settings: Sequence[Mapping[str, float]], rate_hz: float, oversampling: int, width: int
) -> tuple[Program, Program]:
    """What to compute at every step, and its constants at `rate_hz` and at direct current."""
    key = (circuit.digest(), rate_hz)
    if key not in _orders:
        _orders[key] = elimination_order(circuit, rate_hz)
    playing, resting = (
        program(equations(circuit, settings, rate), _orders[key], len(settings), oversampling, width)
        for rate in (rate_hz, 0.0)
    )
    return playing, resting


@functools.cache
def _filter_taps(oversampling: int) -> np.ndarray:
    """The low-pass on both sides of the circuit, [_FILTER_DELAY_SAMPLES * oversampling + 1], symmetric, sum 1.

    A sine cardinal under a Kaiser window, summed here from series: libraries' sines differ in their last bits from
    machine to machine.
    """
    if oversampling == 1:
        return np.ones(1)
    cutoff = (_PASS_EDGE + _STOP_EDGE) / 2.0 / oversampling
    middle = _FILTER_DELAY_SAMPLES * oversampling // 2
    half = [1.0 * cutoff * _bessel(_KAISER_BETA)]
    for k in range(1, middle + 1):
        window = _bessel(_KAISER_BETA * math.sqrt(1.0 - (k / middle) ** 2))
        half.append(_sine_of_turns(cutoff * k / 2.0) / (math.pi * k) * window)
    total = half[0] + 2.0 * math.fsum(half[1:])
    return np.array([each / total for each in [*half[:0:-1], *half]])


def _bessel(x: float) -> float:
    """The modified Bessel function I0, from its series."""
    term, total, k = 1.0, 1.0, 0
    while term > 1e-17 * total:
        k += 1
        term *= (x / (2.0 * k)) ** 2
        total += term
    return total


def _sine_of_turns(turns: float) -> float:
    """sin(2 pi turns), from its series."""
    x = 2.0 * math.pi * (turns - round(turns))
    term, total = x, x
    for k in range(1, 16):
        term *= -x * x / (2.0 * k * (2.0 * k + 1.0))
        total += term
    return total


def _polyphase(taps: np.ndarray, oversampling: int) -> tuple[np.ndarray, np.ndarray]:
    """The interpolator as [delay + 1, oversampling], oldest frame first; the decimator as [oversampling, delay + 1]:
    what each oversampled sample of a frame gives to the output of this frame, of the next and so on."""
    width = (len(taps) - 1) // oversampling + 1
    padded = np.zeros(width * oversampling)
    padded[: len(taps)] = taps
    interpolators = padded.reshape(width, oversampling)[::-1] * oversampling
    decimators = np.zeros((oversampling, width))
    for phase in range(oversampling):
        for lag in range(width):
            tap = len(taps) - 1 - oversampling * lag + phase
            if tap < len(taps):
                decimators[phase, lag] = taps[tap]
    return np.ascontiguousarray(interpolators), decimators
