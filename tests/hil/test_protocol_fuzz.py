"""Anything may come over the serial line: the pedal does not hang, writes where it should, and answers what is good."""

import struct
from collections.abc import Iterator

import numpy as np
import pytest

from export import blob
from export.quantize import quantize
from hardware.firmware_build import build
from hardware.program_link import ProgramLink
from hardware.protocol import MAX_PAYLOAD, SYNC, Engine, Message, Parameter, encode
from hardware.serial_link import SerialLink
from hardware.virtual_daisy.link import VirtualDaisyLink

FRAMES, FRAMES_A_BATCH = 10_000, 500
QUIET_SECONDS = 0.8
TABLE_BYTES = 32 * 1024
"""At the start of the DTCM: the activations' tables, which nothing writes after the start."""


@pytest.fixture(scope="module")
def sanitized() -> Iterator[ProgramLink]:
    """The native pedal under the address and undefined-behaviour sanitizers, which end it at the first finding."""
    with ProgramLink("native", build("native_sanitized")) as link:
        yield link


def valid_request(rng: np.random.Generator, model: bytes) -> tuple[int, bytes]:
    """A request as the PC might send it, many of them with fields out of range."""

    def near(*values: int) -> int:
        return int(rng.choice(values))

    slot = near(0, 1, 7, 15, 16, 255)
    kind = Message(int(rng.choice([message for message in Message if message != Message.BOOT_LOADER])))
    size = near(0, 1, 4, 33, len(model), 130_816, 2**31, 2**32 - 1)
    offset = near(0, 1, 4092, len(model) - 1, len(model), 2**32 - 1)
    piece = model[offset % len(model) :][: int(rng.integers(0, 400))]
    payloads = {
        Message.SLOT: struct.pack("<B", slot),
        Message.LOAD_BEGIN: struct.pack("<BI", slot, size),
        Message.LOAD_DATA: struct.pack("<I", offset) + piece,
        Message.SELECT: struct.pack("<BB", slot, near(0, 0, 1, 2, 255)),
        Message.SET: struct.pack("<Bi", near(*Parameter, 10, 255), near(0, 1, 48, 256, 2**30, 2**31 - 1, -1)),
        Message.PROCESS: struct.pack("<H", near(0, 1, 48, 256, 257, 65_535)) + rng.bytes(3 * int(rng.integers(0, 60))),
        Message.READ: struct.pack("<BIH", slot, offset, near(0, 1, 4095, 4096, 65_535)),
    }
    return kind, payloads.get(kind, b"")


def fuzzed(rng: np.random.Generator, model: bytes) -> bytes:
    """One frame, good or bad."""
    kind, payload = valid_request(rng, model)
    match rng.integers(0, 8):
        case 0:  # noise
            return rng.bytes(int(rng.integers(0, 60)))
        case 1:  # a good frame around anything
            random_kind = int(rng.integers(0, 256))
            kind = 0 if random_kind == Message.BOOT_LOADER else random_kind
            return encode(kind, rng.bytes(int(rng.integers(0, 80))))
        case 2:  # cut off
            frame = encode(kind, payload)
            return frame[: int(rng.integers(0, len(frame)))]
        case 3:  # bits flipped
            frame = bytearray(encode(kind, payload))
            frame[int(rng.integers(0, len(frame)))] ^= 1 << int(rng.integers(0, 8))
            return bytes(frame)
        case 4:  # a length that lies
            return struct.pack("<BBH", SYNC, kind, int(rng.integers(0, 65_536))) + payload
        case 5:  # fields that are missing, or too many
            payload = payload[: int(rng.integers(0, len(payload) + 1))] + rng.bytes(int(rng.integers(0, 3)))
            return encode(kind, payload)
        case _:
            return encode(kind, payload)


def throw(link: SerialLink, seed: int, model: bytes, frames: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(frames // FRAMES_A_BATCH):
        for _ in range(FRAMES_A_BATCH):
            link._port.write(fuzzed(rng, model))
        link._port.timeout = QUIET_SECONDS
        while link._port.read(MAX_PAYLOAD):
            pass
        link._port.timeout = 2.0
        assert link.hello().sample_rate_hz == 48_000


@pytest.fixture
def model(make_model, guitar) -> bytes:
    quantized = quantize(make_model("lstm", 3, 1), guitar[:300])
    return blob.to_bytes(quantized, blob.make_self_test(quantized, guitar))


def test_the_daisy_writes_where_it_should_and_answers(model):
    """The emulated chip ends the run at a write to code, to the guard below the stack, or where there is no memory."""
    with VirtualDaisyLink(build("daisy")) as link:
        constant = link.daisy.chip.memory["DTCM"][:TABLE_BYTES].tobytes()
        throw(link, 1, model, FRAMES)
        assert link.daisy.chip.memory["DTCM"][:TABLE_BYTES].tobytes() == constant
        link.load(0, model)
        link.select(0, Engine.FIXED)
        link.reset()
        assert len(link.process(np.zeros(480, np.int32))) == 480
        assert link.daisy.resets == []


def test_the_sanitizers_find_nothing(sanitized, model):
    throw(sanitized, 0, model, FRAMES)
    sanitized.load(0, model)
    sanitized.select(0, Engine.FIXED)
    sanitized.reset()
    assert len(sanitized.process(np.zeros(480, np.int32))) == 480
