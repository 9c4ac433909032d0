"""The model blob (`.pedal`), little-endian: what is uploaded to a pedal. Read by firmware/engine/model_blob.cc.

    header   magic "PEDL", version u16, section count u16, total bytes u32, CRC-32 of all that follows u32
    DESC     ModelDescription of firmware/engine/model_view.h, 172 bytes

of an LSTM or GRU:
    BIAS     int32 [units][4]  (of all layers)
    SCAL     int32 [units][4]
    INPW     int32 [hidden][4][1 + knobs]
    RECW     int16 [weights], by layer [two units][pair of states][unit][row][state]
    or RECB  int8 [weights], likewise, and STEP int16 [units][4]
    HEAD     int32 [hidden]
    REST     int32 [units][2]
    RSMP     int32 [reach + 1]  only where the model's rate is not the pedal's
    RECL     int16 [weights]  the float engine's finer weights, only where they were asked for, and
    BIAL     int32 [units][4]  the bias that goes with them, less BIAS
of an EQ network:
    EQSH     EqShape of model_view.h, 8 bytes
    EQFB     int32 [blocks]
    EQFI     int32 [2 * amps - 1][blocks][taps]
    EQBI     int32 [amps][blocks]
    EQGA     int32 [amps][blocks]
    EQLV     int32 [10 * (amps - 1) + 2 * beyond + 1] of a morph, else [1]
of both:
    CABS     int32 [partitions]  the cabinet, where there is one
    CABT     int16 [partitions][128]
    TSTI     int32 [frames]  self-test: input, Q31, at the model's rate
    TSTO     int32 [frames]  and what the fixed-point engine makes of it from rest, knobs at their defaults

A section is a tag of four letters, its length in bytes u32, its payload, and zeros up to a multiple of 8. The sections
come in the order in which the engine reads them; export/quantize.py and export/eq_quantize.py explain the numbers.
"""

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from export import fixed_point
from export.cabinet import QuantizedCabinet
from export.description import ARCHITECTURE_CODES, FIELDS, KNOB_FIELDS
from export.eq_quantize import QuantizedEq
from export.fixed_point import Quantized
from export.quantize import CELL_FRAC_BITS, QuantizedModel, knob_default_positions
from training.files import written_aside
from training.knob import Knob

VERSION = 4
SELF_TEST_FRAMES = 256
_LOW_WEIGHTS, _INT8_WEIGHTS = 2, 4
_PRECISIONS = {"coarse": 0, "fine": 8, "finest": 8 + 16}
_MAXIMUM_LAYERS = 4
_DESCRIPTION_BYTES = 172
_MAXIMUM_KNOBS = 4


@dataclass(frozen=True)
class SelfTest:
    """Input and expected output of the fixed-point engine, int32 [frames], Q31."""

    input: np.ndarray
    output: np.ndarray


def make_self_test(model: Quantized, audio: np.ndarray) -> SelfTest:
    """The loudest `SELF_TEST_FRAMES` of `audio` (float [frames], at the model's rate) through the specification."""
    energy = np.convolve(np.square(audio, dtype=np.float64), np.ones(SELF_TEST_FRAMES), "valid")
    start = int(np.argmax(energy))
    samples = fixed_point.to_q31(audio[start : start + SELF_TEST_FRAMES])
    return SelfTest(samples, fixed_point.run(model, samples, default_positions_q31(model.knobs)))


def default_positions_q31(knobs: tuple[Knob, ...]) -> list[int]:
    """The knobs' default positions as the firmware computes them."""
    return [min(int(position * np.float32(2**31)), 2**31 - 1) for position in knob_default_positions(knobs)]


def sections(
    model: Quantized, self_test: SelfTest, low_weights: bool = False, cabinet: QuantizedCabinet | None = None
) -> dict[str, np.ndarray]:
    """The arrays of a header or blob by their tags, in order; `low_weights`: with those for the float engine."""
    arrays = _eq_sections(model) if isinstance(model, QuantizedEq) else _recurrent_sections(model, low_weights)
    if cabinet is not None:
        arrays |= {"CABS": cabinet.shifts, "CABT": cabinet.taps}
    return arrays | {"TSTI": self_test.input, "TSTO": self_test.output}


def _eq_sections(model: QuantizedEq) -> dict[str, np.ndarray]:
    shape = struct.pack("<2B3H", model.amps, model.blocks, model.taps, model.dry_delay, model.beyond)
    return {
        "EQSH": np.frombuffer(shape, np.int8),
        "EQFB": model.fir_frac_bits,
        "EQFI": model.firs,
        "EQBI": model.biases,
        "EQGA": model.gate_logits,
        "EQLV": model.levels,
    }


def _recurrent_sections(model: QuantizedModel, low_weights: bool) -> dict[str, np.ndarray]:
    recurrent = {"RECW": model.recurrent_weights}
    if model.int8_weights is not None and model.int8_steps is not None:
        recurrent = {"RECB": model.int8_weights, "STEP": model.int8_steps}
    arrays = {
        "BIAS": model.bias,
        "SCAL": model.scale,
        "INPW": model.input_weights,
        **recurrent,
        "HEAD": model.head_weights,
        "REST": model.rest,
        **({} if model.resampling is None else {"RSMP": model.resampling.kernel}),
    }
    if low_weights and model.low_weights is not None:  # int8 weights have none
        arrays |= {"RECL": model.low_weights, "BIAL": model.low_bias}
    return arrays


def text_field(text: str, size: int) -> bytes:
    """`text` in `size` bytes with a NUL behind it; what does not fit is cut, what is not ASCII becomes '?'."""
    return text.encode("ascii", "replace")[: size - 1].ljust(size, b"\0")


def _description(model: Quantized, self_test: SelfTest, arrays: Mapping[str, np.ndarray]) -> bytes:
    flags = ("RECL" in arrays) * _LOW_WEIGHTS | ("RECB" in arrays) * _INT8_WEIGHTS | _PRECISIONS[model.precision]
    size = layers = head_frac_bits = head_bias = dry_gain = 0
    cell_frac_bits = [0] * _MAXIMUM_LAYERS
    if isinstance(model, QuantizedModel):
        size, layers, head_frac_bits = model.hidden_size, model.layers, model.head_frac_bits
        head_bias, dry_gain = model.head_bias, model.dry_gain
        cell_frac_bits = [*model.cell_frac_bits, *[CELL_FRAC_BITS[-1]] * (_MAXIMUM_LAYERS - layers)]
    fields = FIELDS.pack(
        ARCHITECTURE_CODES[model.architecture],
        size,
        layers,
        len(model.knobs),
        flags,
        head_frac_bits,
        len(self_test.input),
        model.sample_rate_hz,
        head_bias,
        dry_gain,
        *cell_frac_bits,
        text_field(model.name, 32),
    )
    for knob in model.knobs:
        fields += KNOB_FIELDS.pack(text_field(knob.name, 16), knob.minimum, knob.maximum, knob.default)
    fields = fields.ljust(FIELDS.size + _MAXIMUM_KNOBS * KNOB_FIELDS.size, b"\0")
    partitions = len(arrays["CABS"]) if "CABS" in arrays else 0
    return (fields + struct.pack("<H", partitions)).ljust(_DESCRIPTION_BYTES, b"\0")


def _section(tag: str, payload: bytes) -> bytes:
    return tag.encode() + struct.pack("<I", len(payload)) + payload + bytes(-len(payload) % 8)


def to_bytes(
    model: Quantized, self_test: SelfTest, low_weights: bool = False, cabinet: QuantizedCabinet | None = None
) -> bytes:
    """The whole blob; `low_weights`: with the finer weights that only the float engine reads."""
    arrays = sections(model, self_test, low_weights, cabinet)
    body = _section("DESC", _description(model, self_test, arrays))
    body += b"".join(
        _section(tag, array.astype(array.dtype.newbyteorder("<")).tobytes()) for tag, array in arrays.items()
    )
    return struct.pack("<4sHHII", b"PEDL", VERSION, 1 + len(arrays), 16 + len(body), zlib.crc32(body)) + body


def write(path: Path, contents: bytes) -> None:
    """Write the blob `contents` to `path`."""
    with written_aside(path) as scratch:
        scratch.write_bytes(contents)
