"""The host protocol: one table from which the PC's side and the pedal's side are both written.

A frame is: sync 0xA5, type u8, payload length u16, payload, CRC-16 (CCITT, from 0xFFFF) of type, length and payload;
all little-endian. The pedal answers each request with one frame of type `request | REPLY` whose payload begins with a
`Status`; after any but OK comes the reason as text. Requests and replies, by their payloads:

    HELLO       -> protocol version u16, max block u16, sample rate u32, blob capacity u32, budget a frame u32
                   (of the active engine, 0: none), slots u8, active slot u8 (255: none), engines u8 (bit mask),
                   active engine u8, counter unit u8, filled slots u32 (bit mask), board, firmware
                   version: texts with a NUL behind each
    SLOT        slot u8 -> bytes of the blob u32, 0 for a built-in model; ModelDescription, as in
                firmware/engine/model_view.h
    LOAD_BEGIN  slot u8, total bytes u32 ->
    LOAD_DATA   offset u32, bytes ->
    LOAD_COMMIT -> ; checks and self-tests the blob; a bad one leaves the slot as it was
    SELECT      slot u8, engine u8 ->
    SET         parameter u8, value i32 ->
    PROCESS     block frames u16, samples i24 -> samples i24; run in blocks of that size, the last may be shorter.
                A board with audio of its own is silent from then until the line has been quiet for half a second
    STATS       -> blocks, frames, overruns, faults, last block, worst per frame, overloads, muted by one: u32 each,
                total u64
    CLEAR_STATS ->
    RESET       -> ; engine state to zero, every ramp at its target. Where the pedal reamps, the effect then stands
                still and silent until the first frame from the host that is not zero, and begins with that one
    USB_STATS   -> frames from the host, frames to the host, underruns, overruns, lowest and highest level of the
                playback buffer in frames, last feedback in frames a ms (16.16): u32 each
    READ        slot u8, offset u32, size u16 -> bytes of the blob
    BOOT_LOADER -> ; then the pedal waits for a new image, where its board has a boot loader

`python -m hardware.protocol` writes firmware/pedal/protocol_table.h.
"""

import binascii
import struct
from enum import IntEnum
from pathlib import Path

from training.files import written_aside

VERSION = 3
SYNC = 0xA5
REPLY = 0x80
MAX_PAYLOAD = 4096
BAUD = 1_000_000
"""Of a pedal on a serial port that has a rate."""
NO_SLOT = 255
LEVEL_FRAC_BITS = 28
HEADER = Path(__file__).parent.parent / "firmware" / "pedal" / "protocol_table.h"


class Message(IntEnum):
    """Types of requests."""

    HELLO = 1
    SLOT = 2
    LOAD_BEGIN = 3
    LOAD_DATA = 4
    LOAD_COMMIT = 5
    SELECT = 6
    SET = 7
    PROCESS = 8
    STATS = 9
    CLEAR_STATS = 10
    RESET = 11
    READ = 12
    BOOT_LOADER = 13
    USB_STATS = 14


class Status(IntEnum):
    """First byte of a reply."""

    OK = 0
    UNKNOWN_MESSAGE = 1
    BAD_ARGUMENT = 2
    REJECTED = 3


class Parameter(IntEnum):
    """What SET sets. Levels are gains in Q28 (0 to 7.99), knobs, tone (0.5: flat) and gate (0: off) positions in Q31
    (0 to 1), bypass is 0 or 1, the block 1 to 256 frames, reamp 0 (the guitar is played) or 1 (while the host plays
    over USB, its first channel is)."""

    INPUT_LEVEL = 0
    OUTPUT_LEVEL = 1
    BYPASS = 2
    KNOB_1 = 3
    KNOB_2 = 4
    KNOB_3 = 5
    KNOB_4 = 6
    TONE = 7
    GATE = 8
    BLOCK_FRAMES = 9
    REAMP = 10


class Engine(IntEnum):
    """Inference engines, as in firmware/engine/engine.h."""

    FIXED = 0
    RTNEURAL = 1


class CounterUnit(IntEnum):
    """What a board's counter counts."""

    CYCLES = 0
    INSTRUCTIONS = 1
    NANOSECONDS = 2


def encode(kind: int, payload: bytes = b"") -> bytes:
    """One frame."""
    body = struct.pack("<BH", kind, len(payload)) + payload
    return bytes([SYNC]) + body + struct.pack("<H", binascii.crc_hqx(body, 0xFFFF))


def header_text() -> str:
    """The C++ side of the table."""
    constants = {
        "uint16_t kProtocolVersion": VERSION,
        "uint8_t kSync": f"0x{SYNC:02x}",
        "uint8_t kReply": f"0x{REPLY:02x}",
        "size_t kMaxPayload": MAX_PAYLOAD,
        "uint32_t kBaud": BAUD,
        "uint8_t kNoSlot": NO_SLOT,
        "int kLevelFracBits": LEVEL_FRAC_BITS,
    }
    lines = [
        "// Made by `python -m hardware.protocol`, which describes the protocol. Do not edit.",
        "#pragma once",
        "",
        "#include <cstddef>",
        "#include <cstdint>",
        "",
        "namespace oddity {",
        "",
        *(f"constexpr {name} = {value};" for name, value in constants.items()),
    ]
    for table in (Message, Status, Parameter, CounterUnit):
        members = (f"  k{member.name.title().replace('_', '')} = {member.value}," for member in table)
        lines += ["", f"enum class {table.__name__} : uint8_t {{", *members, "};"]
    return "\n".join([*lines, "", "}  // namespace oddity", ""])


if __name__ == "__main__":
    with written_aside(HEADER) as scratch:
        scratch.write_text(header_text())
