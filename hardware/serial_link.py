"""A pedal behind a serial port, real or not: the PC's side of the host protocol."""

import binascii
import struct
import time
from collections.abc import Callable
from typing import Self

import numpy as np
import serial

from export.description import Description, read_description
from hardware.link import PedalInfo, PedalStats, UsbStats
from hardware.protocol import (
    LEVEL_FRAC_BITS,
    MAX_PAYLOAD,
    NO_SLOT,
    REPLY,
    SYNC,
    VERSION,
    CounterUnit,
    Engine,
    Message,
    Parameter,
    Status,
    encode,
)
from training.errors import InputError

SILENCE_SECONDS = 2.0
BYTES_PER_SAMPLE = 3
FRAMES_PER_REQUEST = (MAX_PAYLOAD - 2) // BYTES_PER_SAMPLE
LOAD_BYTES = MAX_PAYLOAD - 4
READ_BYTES = MAX_PAYLOAD - 1


class SerialLink:
    """`PedalLink` over any port that pyserial opens."""

    round_trip_frames: int | None = None

    def __init__(self, port: serial.SerialBase) -> None:
        """`port`: an open pyserial port; its timeout is set here."""
        self._port = port
        self._port.timeout = SILENCE_SECONDS

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def hello(self) -> PedalInfo:
        reply = self._ask(Message.HELLO)
        version, max_block, rate, capacity, budget = struct.unpack_from("<HHIII", reply)
        if version != VERSION:
            raise InputError(
                f"the pedal speaks protocol {version}, this program {VERSION}: flash the matching firmware"
            )
        slots, active_slot, engine_mask, active_engine, unit, filled = struct.unpack_from("<5BI", reply, 16)
        board, firmware_version, _ = reply[25:].decode().split("\0")
        return PedalInfo(
            board=board,
            firmware_version=firmware_version,
            sample_rate_hz=rate,
            max_block_frames=max_block,
            slot_count=slots,
            filled_slots=frozenset(slot for slot in range(slots) if filled & 1 << slot),
            blob_capacity_bytes=capacity,
            engines=frozenset(engine for engine in Engine if engine_mask & 1 << engine),
            active_slot=None if active_slot == NO_SLOT else active_slot,
            active_engine=Engine(active_engine),
            counter_unit=CounterUnit(unit),
            budget_per_frame=budget,
        )

    def slot(self, slot: int) -> Description:
        return read_description(self._ask(Message.SLOT, bytes([slot]))[4:])

    def blob(self, slot: int) -> bytes:
        (size,) = struct.unpack_from("<I", self._ask(Message.SLOT, bytes([slot])))
        if size == 0:
            raise InputError("the model is built into the firmware; there is no blob to read")
        pieces = []
        for offset in range(0, size, READ_BYTES):
            pieces.append(self._ask(Message.READ, struct.pack("<BIH", slot, offset, min(READ_BYTES, size - offset))))
        return b"".join(pieces)

    def load(self, slot: int, blob: bytes) -> None:
        self._ask(Message.LOAD_BEGIN, struct.pack("<BI", slot, len(blob)))
        for offset in range(0, len(blob), LOAD_BYTES):
            self._ask(Message.LOAD_DATA, struct.pack("<I", offset) + blob[offset : offset + LOAD_BYTES])
        self._ask(Message.LOAD_COMMIT)

    def select(self, slot: int, engine: Engine) -> None:
        self._ask(Message.SELECT, struct.pack("<BB", slot, engine))

    def set(self, parameter: Parameter, value: float) -> None:
        if parameter in (Parameter.BYPASS, Parameter.REAMP):
            integer = int(bool(value))
        elif parameter == Parameter.BLOCK_FRAMES:
            integer = int(value)
        else:
            one = 2**LEVEL_FRAC_BITS if parameter in (Parameter.INPUT_LEVEL, Parameter.OUTPUT_LEVEL) else 2**31
            integer = min(round(value * one), 2**31 - 1)
        self._ask(Message.SET, struct.pack("<Bi", parameter, max(integer, -1)))

    def process(
        self, samples: np.ndarray, block_frames: int = 48, progress: Callable[[int], object] | None = None
    ) -> np.ndarray:
        # whole blocks in every request, so that the pedal sees the blocks that were asked for
        step = max(FRAMES_PER_REQUEST // block_frames, 1) * block_frames
        received = []
        for start in range(0, len(samples), step):
            chunk = np.ascontiguousarray(samples[start : start + step], "<i4")
            payload = struct.pack("<H", block_frames) + chunk.view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
            received.append(self._ask(Message.PROCESS, payload))
            if progress:
                progress(len(chunk))
        packed = np.frombuffer(b"".join(received), np.uint8).reshape(-1, BYTES_PER_SAMPLE)
        padded = np.zeros((len(packed), 4), np.uint8)
        padded[:, 1:] = packed
        return padded.view("<i4")[:, 0] >> 8

    def stats(self) -> PedalStats:
        blocks, frames, overruns, faults, last, worst, overloads, muted, total = struct.unpack(
            "<8IQ", self._ask(Message.STATS)
        )
        return PedalStats(blocks, frames, overruns, faults, last, worst, overloads, bool(muted), total)

    def usb_stats(self) -> UsbStats:
        return UsbStats(*struct.unpack("<7I", self._ask(Message.USB_STATS)))

    def clear_stats(self) -> None:
        self._ask(Message.CLEAR_STATS)

    def reset(self) -> None:
        self._ask(Message.RESET)

    def enter_boot_loader(self) -> None:
        self._ask(Message.BOOT_LOADER)

    def rest(self, seconds: float) -> None:
        time.sleep(seconds)

    def close(self) -> None:
        self._port.close()

    def _ask(self, message: Message, payload: bytes = b"") -> bytes:
        """Send a request and return the payload of its reply, without the status."""
        try:
            self._port.write(encode(message, payload))
            head = self._read(4)
            sync, kind, size = struct.unpack("<BBH", head)
            body = self._read(size + 2)
        except serial.SerialException as error:
            raise InputError(f"the pedal is gone: {error}") from error
        if sync != SYNC or binascii.crc_hqx(head[1:] + body[:-2], 0xFFFF) != struct.unpack("<H", body[-2:])[0]:
            raise InputError("the pedal's reply is damaged")
        if kind != message | REPLY:
            raise InputError(f"the pedal answered {Message(message).name} with something else ({kind:#04x})")
        if body[0] != Status.OK:
            raise InputError(f"the pedal refused {Message(message).name}: {body[1:-2].decode(errors='replace')}")
        return body[1:-2]

    def _read(self, size: int) -> bytes:
        received = self._port.read(size)
        if len(received) < size:
            raise InputError(f"the pedal has been silent for {SILENCE_SECONDS:g} s")
        return received
