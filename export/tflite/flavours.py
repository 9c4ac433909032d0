"""The TensorFlow Lite files that are made of a model, and what each must reach."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Flavour:
    """A way to write a model as a file. `gate_db`: the SNR against the float model under which it is not shipped.

    fused: TensorFlow Lite's own LSTM, which keeps its state; else a step with the states as inputs and outputs.
    numbers: 'f32', 'i16x8' (int16 audio and states, int8 weights) or 'i8' (int8 audio, states and weights).
    per_channel: the weights have a scale for each output, or one for all.
    """

    name: str
    numbers: str
    gate_db: float
    per_channel: bool = True
    fused: bool = False

    @property
    def integer(self) -> bool:
        return self.numbers != "f32"


FLAVOURS = (
    Flavour("step_f32", "f32", 100.0),
    Flavour("step_i16x8", "i16x8", 30.0),
    Flavour("step_i16x8_per_tensor", "i16x8", 20.0, per_channel=False),
    Flavour("step_i8", "i8", 60.0),
    Flavour("fused_lstm_i8", "i8", 20.0, fused=True),
)
WEIGHTS = ("once", "twice")
"""int8 once, or twice: a matrix and what is left of it, each with its own scale, where once is not enough."""


@dataclass(frozen=True)
class Candidate:
    """One conversion: a flavour with a set of calibration data and one of WEIGHTS."""

    flavour: Flavour
    calibration: str | None = None
    weights: str = "once"

    @property
    def name(self) -> str:
        return "-".join(filter(None, (self.flavour.name, self.calibration, self.weights)))

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "Candidate":
        return cls(**{**record, "flavour": Flavour(**record["flavour"])})
