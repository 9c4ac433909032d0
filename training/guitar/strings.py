"""A plucked steel string as the sum of its modes.

A mode is a phasor that turns and shrinks. Stiffness sets its pitch, the air, the metal and the hands its decay; there
are two planes of vibration that beat and decay apart. The arithmetic is in a fixed order and does without the
reassociation of `fastmath`, so that machines whose vectors differ in width give the same sums.

Sources: N. H. Fletcher & T. D. Rossing, "The Physics of Musical Instruments" (stiff and plucked strings); C. Issanchou
et al., "A modal-based approach to the nonlinear vibration of strings against a unilateral obstacle", JSV 393, 2017
(losses to the air and in the metal, after Valette and Paté); D'Addario's string tension guide (unit weights).
"""

import math
from dataclasses import dataclass

import numba
import numpy as np

BLOCK_FRAMES = 32  # pitch, damping and touch change at this pace: 0.7 ms at 48 kHz
MODES = 256
FRETS = 25  # 0, the open string, to 24
ACROSS_SENSE = 0.25  # how much of the second plane a coil hears
THERMOELASTIC_LOSS = 2.03e-4  # 1 / Q of steel that bends, at any frequency

_STEEL_YOUNG, _STEEL_DENSITY = 2.0e11, 7850.0  # Pa, kg / m^3
_AIR_VISCOSITY, _AIR_DENSITY = 1.8e-5, 1.2  # Pa s, kg / m^3
_FRETTED_LOSS = 5e-4  # 1 / Q, between a finger and its fret
_VISCOELASTIC_ANGLE = 4.5e-3  # the loss angle of its modulus
_SUPPORT_LOSS = 0.18  # 1/s, into neck and bridge
_ACROSS_SUPPORT = 1.6  # how much more of it the second plane has
_SILENT = 3e-7  # m/s: what is slower is below any hiss
_REFRESH_BLOCKS = 16  # how often it is asked which modes still sound


@dataclass(frozen=True)
class String:
    """`wound`: a steel core in a wrap of nickel-plated steel. `scale_metres`: from nut to bridge."""

    open_hz: float
    diameter_metres: float
    wound: bool
    scale_metres: float = 0.648

    @property
    def kilograms_per_metre(self) -> float:
        if not self.wound:
            return math.pi / 4.0 * self.diameter_metres**2 * _STEEL_DENSITY
        # The wrap is round wire with air between; D'Addario's unit weights follow this within 4 %.
        return (5050.0 if self.diameter_metres < 1.9e-3 else 4600.0) * self.diameter_metres**2

    @property
    def newtons(self) -> float:
        """The tension that gives the open string its pitch."""
        return self.kilograms_per_metre * (2.0 * self.scale_metres * self.open_hz) ** 2

    @property
    def bending_stiffness(self) -> float:
        """E I in N m^2, of the core alone: the turns of the wrap slide on each other."""
        core = 0.27e-3 + 0.1 * self.diameter_metres if self.wound else self.diameter_metres
        return _STEEL_YOUNG * math.pi / 64.0 * core**4

    @property
    def inharmonicity(self) -> float:
        """B of the open string, in f_n = n f sqrt(1 + B n^2)."""
        return math.pi**2 * self.bending_stiffness / (self.newtons * self.scale_metres**2)

    @property
    def air_losses(self) -> tuple[float, float]:
        """a and b of the part (a + b sqrt(f)) / f of 1 / Q that the air takes at f hertz."""
        viscous = self.diameter_metres * math.sqrt(math.pi * _AIR_VISCOSITY * _AIR_DENSITY)
        return _AIR_VISCOSITY / self.kilograms_per_metre, viscous / self.kilograms_per_metre

    @property
    def loss_per_square_hertz(self) -> float:
        """The part of 1 / Q that grows with the square of the frequency, because bending costs."""
        bent = 4.0 * math.pi**2 * self.kilograms_per_metre * self.bending_stiffness / self.newtons**2
        return bent * _VISCOELASTIC_ANGLE


def pulled(height: float, point: float, softness_modes: float) -> np.ndarray:
    """The modes of a string that is pulled into a triangle: metres, float64 [MODES].

    `height` metres at `point` (of the speaking length, from the bridge). The width of pick or finger rounds the corner:
    beyond the mode number `softness_modes` the series falls faster.
    """
    m = np.arange(1.0, MODES + 1.0)
    metres = 2.0 * height * np.sin(np.pi * m * point) / (np.pi**2 * m**2 * point * (1.0 - point))
    return metres / (1.0 + (m / softness_modes) ** 2)


@numba.njit(cache=True, error_model="numpy")
def vibrate(
    hertz: np.ndarray,
    fret: np.ndarray,
    damping: np.ndarray,
    mute: np.ndarray,
    pluck_block: np.ndarray,
    pluck_metres: np.ndarray,
    heard: np.ndarray,
    stiffness: np.ndarray,
    air: float,
    viscous_air: float,
    metal: np.ndarray,
    per_square_hertz: float,
    split: float,
    sample_rate_hz: int,
    real: np.ndarray,
    imaginary: np.ndarray,
) -> np.ndarray:
    """How fast the string moves at the coils: m/s, float64 [blocks * BLOCK_FRAMES].

    `hertz` (of a string that were not stiff), `fret`, `damping` and `mute` (1/s): [blocks]. `pluck_block` [plucks]
    rises; `pluck_metres` [plucks, 2 * MODES] is added to the displacement at the start of that block. `heard` and
    `stiffness` (B n^2): [FRETS, MODES]. The loss 1/Q of a mode of f hertz is (`air` + `viscous_air` sqrt(f)) / f +
    `metal`[mode] + `per_square_hertz` f^2, and more on a fret. `split`: how far, relatively, the second plane is sharp
    of the first. `real`, `imaginary`: [2 * MODES], the state, in metres; it is carried on in place. Modes 0..MODES-1
    are the plane that the coils hear best, the others the plane across.
    """
    blocks = len(hertz)
    velocity = np.zeros(blocks * BLOCK_FRAMES)
    cosines, sines = np.empty((2 * MODES, BLOCK_FRAMES)), np.empty((2 * MODES, BLOCK_FRAMES))
    to_real, to_imaginary = np.empty(2 * MODES), np.empty(2 * MODES)
    step_real, step_imaginary = np.empty(2 * MODES), np.empty(2 * MODES)
    modes = np.empty(2 * MODES, np.int64)
    ringing, pluck = 0, 0
    for block in range(blocks):
        changed = block % _REFRESH_BLOCKS == 0
        if not changed and (ringing or pluck < len(pluck_block)):
            last = block - 1
            changed = hertz[block] != hertz[last] or damping[block] != damping[last] or mute[block] != mute[last]
            changed = changed or fret[block] != fret[last]
        while pluck < len(pluck_block) and pluck_block[pluck] <= block:
            for mode in range(2 * MODES):
                imaginary[mode] += pluck_metres[pluck, mode]
            pluck += 1
            changed = True
        if changed:
            ringing = 0
            stopped = fret[block]
            for mode in range(2 * MODES):
                if real[mode] == 0.0 and imaginary[mode] == 0.0:
                    continue
                across = mode >= MODES
                n = mode - MODES if across else mode
                f = (n + 1.0) * hertz[block] * np.sqrt(1.0 + stiffness[stopped, n])
                if across:
                    f *= 1.0 + split
                omega = 2.0 * np.pi * f
                square = real[mode] * real[mode] + imaginary[mode] * imaginary[mode]
                if omega * omega * square < _SILENT * _SILENT or f > 0.45 * sample_rate_hz:
                    real[mode] = imaginary[mode] = 0.0
                    continue
                loss = (air + viscous_air * np.sqrt(f)) / f + metal[n] + per_square_hertz * f * f
                loss += _FRETTED_LOSS if stopped else 0.0
                decay = np.pi * f * loss + _SUPPORT_LOSS * (_ACROSS_SUPPORT if across else 1.0) + damping[block]
                decay += mute[block] * (1.0 + f / 700.0 + (f / 2500.0) ** 2)
                shrink = np.exp(-decay / sample_rate_hz)
                cosine, sine = shrink * np.cos(omega / sample_rate_hz), shrink * np.sin(omega / sample_rate_hz)
                _powers(cosine, sine, cosines[ringing], sines[ringing])
                # Velocity is the derivative of the displacement, which is the imaginary part.
                sense = heard[stopped, n] * (ACROSS_SENSE if across else 1.0)
                to_real[ringing], to_imaginary[ringing] = sense * omega, -sense * decay
                last = BLOCK_FRAMES - 1
                step_real[ringing] = cosines[ringing, last] * cosine - sines[ringing, last] * sine
                step_imaginary[ringing] = sines[ringing, last] * cosine + cosines[ringing, last] * sine
                modes[ringing] = mode
                ringing += 1
        if ringing:
            sounding = velocity[block * BLOCK_FRAMES : (block + 1) * BLOCK_FRAMES]
            for k in range(ringing):
                mode = modes[k]
                re, im = real[mode], imaginary[mode]
                in_phase = to_real[k] * re + to_imaginary[k] * im
                in_quadrature = to_imaginary[k] * re - to_real[k] * im
                _turn(in_phase, in_quadrature, cosines[k], sines[k], sounding)
                real[mode] = step_real[k] * re - step_imaginary[k] * im
                imaginary[mode] = step_imaginary[k] * re + step_real[k] * im
    return velocity


@numba.njit(cache=True, error_model="numpy")
def _powers(cosine: float, sine: float, cosines: np.ndarray, sines: np.ndarray) -> None:
    """Real and imaginary part of (cosine + i sine)^t, by doubling: each pass is a vector operation."""
    cosines[0], sines[0] = 1.0, 0.0
    count = 1
    while count < BLOCK_FRAMES:
        for t in range(count):
            cosines[count + t] = cosine * cosines[t] - sine * sines[t]
            sines[count + t] = sine * cosines[t] + cosine * sines[t]
        cosine, sine = cosine * cosine - sine * sine, 2.0 * cosine * sine
        count *= 2


@numba.njit(cache=True, error_model="numpy")
def _turn(real: float, imaginary: float, cosines: np.ndarray, sines: np.ndarray, into: np.ndarray) -> None:
    for t in range(BLOCK_FRAMES):
        into[t] += real * cosines[t] + imaginary * sines[t]
