"""Guitars and basses: their strings, tunings and pickups, and how their knobs happen to stand."""

from dataclasses import dataclass, field

import numpy as np

from training.guitar.electronics import PICKUPS, Pickup
from training.guitar.strings import MODES, String

_NOTES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
_INCH = 25.4e-3


@dataclass(frozen=True)
class Instrument:
    """What `GUITARS` names.

    `tuning`: the open strings, the lowest first. `gauge`: thousandths of an inch, w: wound. `share`: of the takes for
    which no guitar is named; a bass has none.
    """

    tuning: str
    gauge: str
    pickups: tuple[str, ...]
    share: float
    scale_metres: float = 0.648
    bass: bool = False

    def strings(self) -> tuple[String, ...]:
        strings = zip(self.tuning.split(), self.gauge.split(), strict=True)
        return tuple(
            String(note_hz(note), int(gauge.rstrip("w")) * 1e-3 * _INCH, gauge.endswith("w"), self.scale_metres)
            for note, gauge in strings
        )


_SINGLE_COILS = ("bridge single coil", "middle single coil", "neck single coil")
_HUMBUCKERS = ("bridge humbucker", "neck humbucker")
_TENS, _ELEVENS, _TWELVES = "46w 36w 26w 17 13 10", "54w 42w 30w 20w 14 11", "62w 48w 34w 20w 16 12"

GUITARS = {
    "single-coil": Instrument("E2 A2 D3 G3 B3 E4", _TENS, _SINGLE_COILS, 0.2),
    "humbucker": Instrument("E2 A2 D3 G3 B3 E4", _TENS, _HUMBUCKERS, 0.2, 0.628),
    "p90": Instrument("E2 A2 D3 G3 B3 E4", "52w 42w 30w 17 13 11", ("neck P-90",), 0.1, 0.628),
    "both": Instrument("E2 A2 D3 G3 B3 E4", "42w 32w 24w 16 11 9", ("bridge humbucker", *_SINGLE_COILS[1:]), 0.15),
    "single-coil-flat": Instrument("D#2 G#2 C#3 F#3 A#3 D#4", _TENS, _SINGLE_COILS, 0.1),
    "humbucker-drop-d": Instrument("D2 A2 D3 G3 B3 E4", _TENS, ("hot bridge humbucker", *_HUMBUCKERS), 0.1),
    "humbucker-drop-c": Instrument("C2 G2 C3 F3 A3 D4", _ELEVENS, ("hot bridge humbucker", "neck humbucker"), 0.06),
    "humbucker-drop-b": Instrument("B1 F#2 B2 E3 G#3 C#4", _TWELVES, ("hot bridge humbucker", "neck humbucker"), 0.05),
    "seven-string-drop-a": Instrument(
        "A1 E2 A2 D3 G3 B3 E4", "62w " + _TENS, ("hot bridge humbucker", "neck humbucker"), 0.04, 0.673
    ),
    "bass": Instrument("E1 A1 D2 G2", "105w 85w 65w 45w", ("split bass", "bridge bass single coil"), 0.0, 0.864, True),
    "five-string-bass": Instrument(
        "B0 E1 A1 D2 G2", "130w 105w 85w 65w 45w", ("split bass", "bridge bass single coil"), 0.0, 0.864, True
    ),
}


def note_hz(name: str) -> float:
    """The pitch of a note such as F#2, equally tempered to A4 = 440 Hz."""
    semitones = _NOTES.index(name[:-1]) + 12 * int(name[-1])
    return 440.0 * 2.0 ** ((semitones - 57) / 12.0)


def note_name(hertz: float) -> str:
    """The note next to a pitch: the inverse of `note_hz`."""
    octave, semitone = divmod(round(57 + 12.0 * np.log2(hertz / 440.0)), 12)
    return f"{_NOTES[semitone]}{octave}"


STANDARD = GUITARS["single-coil"].strings()


@dataclass(frozen=True)
class Guitar:
    """One guitar, as its knobs stand.

    `volume`, `tone`: 0..1. `peak_volts`: at the jack, of the loudest note of a take. `cents`: how far each string is
    out of tune. `split`: how far, relatively, the second plane of each string vibrates above the first. `wear`
    [strings, modes]: factors on the loss of a string's modes in its metal.
    """

    pickup: Pickup
    name: str = "single-coil"
    strings: tuple[String, ...] = STANDARD
    cable_farads: float = 500e-12
    volume: float = 1.0
    tone: float = 1.0
    peak_volts: float = 0.5
    bass: bool = False
    cents: tuple[float, ...] = (0.0,) * 8
    split: tuple[float, ...] = (3e-4,) * 8
    wear: np.ndarray = field(default_factory=lambda: np.ones((8, MODES)))

    @classmethod
    def draw(cls, rng: np.random.Generator, name: str | None = None) -> "Guitar":
        """A guitar of this name, or one that is no bass: its pickup, cable, knobs, wear and the state of its tuning.

        Raises ValueError for a name that is not in `GUITARS`.
        """
        if name is None:
            name = str(rng.choice(list(GUITARS), p=[instrument.share for instrument in GUITARS.values()]))
        if name not in GUITARS:
            raise ValueError(f"no guitar is named {name!r}; there are {', '.join(GUITARS)}")
        instrument = GUITARS[name]
        count = len(instrument.strings())
        pickup = PICKUPS[str(rng.choice(instrument.pickups))]
        volume = 1.0 if rng.random() < 0.8 else rng.uniform(0.5, 1.0)
        return cls(
            pickup=pickup,
            name=name,
            strings=instrument.strings(),
            cable_farads=rng.uniform(150e-12, 650e-12),
            volume=volume,
            tone=1.0 if rng.random() < 0.75 else rng.uniform(0.05, 1.0),
            # Log-uniform over what the pickup gives; turned down it gives less, but nobody plays into nothing.
            peak_volts=max(volume * float(np.exp(rng.uniform(*np.log(pickup.peak_volts)))), 0.205),
            bass=instrument.bass,
            cents=tuple(rng.normal(0.0, 2.5, count)),
            split=tuple(rng.uniform(1e-4, 6e-4, count)),
            wear=np.exp(rng.normal(0.0, 0.35, (count, MODES))),
        )

    @property
    def open_semitones(self) -> tuple[int, ...]:
        """How far each string is above the lowest."""
        return tuple(round(12.0 * np.log2(string.open_hz / self.strings[0].open_hz)) for string in self.strings)
