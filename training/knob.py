"""Knobs of captured amps."""

from dataclasses import dataclass

from training.errors import InputError


@dataclass(frozen=True)
class Knob:
    """A knob of the captured amp. `minimum`, `maximum`, `default`: in the amp's own figures, such as 0 to 10."""

    name: str
    minimum: float = 0.0
    maximum: float = 1.0
    default: float = 0.5

    def __post_init__(self) -> None:
        if not self.name or not self.name.isprintable():
            raise InputError(f"{self.name!r} cannot be the name of a knob")
        if not -1e6 <= self.minimum < self.maximum <= 1e6:
            raise InputError(f"knob {self.name}: the range {self.minimum:g} to {self.maximum:g} is empty")
        if not self.minimum <= self.default <= self.maximum:
            raise InputError(f"knob {self.name}: {self.default:g} is outside {self.minimum:g} to {self.maximum:g}")

    def normalised(self, value: float) -> float:
        """The position from 0 to 1 that the network sees. Raises InputError outside the knob's range."""
        if not self.minimum <= value <= self.maximum:
            raise InputError(f"knob {self.name}: {value:g} is outside {self.minimum:g} to {self.maximum:g}")
        return (value - self.minimum) / (self.maximum - self.minimum)
