"""What a blob says of its model before the weights, and a pedal of the model in a slot: ModelDescription of
firmware/engine/model_view.h."""

import struct
from dataclasses import dataclass

from training.knob import Knob

ARCHITECTURE_CODES = {"lstm": 1, "gru": 2, "eq": 3}
FIELDS = struct.Struct("<6BHI2i4B32s")
KNOB_FIELDS = struct.Struct("<16s3f")
"""Behind `FIELDS`, one for each knob."""


@dataclass(frozen=True)
class Description:
    """A model by its name, its kind of network and its knobs."""

    name: str
    architecture: str
    knobs: tuple[Knob, ...]


def read_description(payload: bytes) -> Description:
    """The DESC section of a blob, as a pedal returns it for a slot."""
    fields = FIELDS.unpack_from(payload)
    knobs = [KNOB_FIELDS.unpack_from(payload, FIELDS.size + index * KNOB_FIELDS.size) for index in range(fields[3])]
    return Description(
        name=fields[-1].split(b"\0")[0].decode(),
        architecture=next(name for name, code in ARCHITECTURE_CODES.items() if code == fields[0]),
        knobs=tuple(Knob(name.split(b"\0")[0].decode(), *numbers) for name, *numbers in knobs),
    )
