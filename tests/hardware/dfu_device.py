"""The ROM bootloader of an STM32H750 as it is seen over USB: DFU 1.1a with ST's extensions (AN3156), served by USB/IP.

Control transfers on endpoint 0 are all that it needs. It is as strict as the chip: what is out of place stalls, flash
takes each 32-byte word once between two erasures, and addresses outside of it are refused.
"""

import socket
import struct
import threading
from dataclasses import dataclass, field
from enum import IntEnum

FLASH = 0x0800_0000
SECTOR_BYTES = 128 * 1024
WORD_BYTES = 32
TRANSFER_BYTES = 1024
INTERNAL_FLASH = "@Internal Flash   /0x08000000/16*128Kg"
OPTION_BYTES = "@Option Bytes   /0x5200201C/01*128 e"
BUS_ID = b"1-1"
FULL_SPEED = 2
STALL = -32


class State(IntEnum):
    """DFU 1.1, A.1."""

    IDLE = 2
    DOWNLOAD_SYNC = 3
    DOWNLOAD_BUSY = 4
    DOWNLOAD_IDLE = 5
    MANIFEST_SYNC = 6
    MANIFEST = 7
    UPLOAD_IDLE = 9
    ERROR = 10


class Fault(IntEnum):
    """DFU 1.1, 6.1.2."""

    NONE = 0x00
    TARGET = 0x01
    WRITE = 0x03
    PROGRAM = 0x06
    ADDRESS = 0x08
    VENDOR = 0x0B


class Request(IntEnum):
    DOWNLOAD = 1
    UPLOAD = 2
    GET_STATUS = 3
    CLEAR_STATUS = 4
    GET_STATE = 5
    ABORT = 6


def _descriptor(kind: int, body: bytes) -> bytes:
    return bytes([2 + len(body), kind]) + body


@dataclass
class DfuDevice:
    """A board that waits for an image. `memories` are its alternate settings."""

    memories: tuple[str, ...] = (INTERNAL_FLASH, OPTION_BYTES)
    write_protected: bool = False
    read_protected: bool = False
    bad_bit_at: int | None = None
    """Offset of a byte that never holds what was written."""
    unplugged_at: int | None = None
    """Offset at which it is gone in the midst of writing."""
    flash: bytearray = field(default_factory=lambda: bytearray(b"\x5a" * SECTOR_BYTES))
    erased: int = 0
    started_at: int | None = None
    """The address whose vector table was jumped to, once it was left."""

    def __post_init__(self) -> None:
        self.state, self.fault = State.IDLE, Fault.NONE
        self.pointer = FLASH
        self.alternate = 0
        self.pending: tuple[int, bytes] | None = None
        self.written: set[int] = set(range(0, SECTOR_BYTES, WORD_BYTES))
        self.leaving = False
        self.strings = {1: "Oddity", 2: "STM32 BOOTLOADER of a model", 3: "0001"}
        self.strings |= {4 + n: name for n, name in enumerate(self.memories)}
        dfu = _descriptor(0x21, struct.pack("<BHHH", 0x0B, 255, TRANSFER_BYTES, 0x011A))
        alternates = (_descriptor(4, bytes([0, n, 0, 0xFE, 1, 2, 4 + n])) for n, _ in enumerate(self.memories))
        interfaces = b"".join(alternates) + dfu
        self.configuration = _descriptor(2, struct.pack("<HBBBBB", 9 + len(interfaces), 1, 1, 0, 0xC0, 50)) + interfaces
        self.device = _descriptor(
            1, struct.pack("<HBBBBHHHBBBB", 0x0100, 0, 0, 0, 64, 0x0483, 0xDF11, 0x0200, 1, 2, 3, 1)
        )

    def control(self, setup: bytes, data: bytes) -> tuple[int, bytes]:
        """One control transfer: 0 or `STALL`, and what is read."""
        kind, request, value, index, length = struct.unpack("<BBHHH", setup)
        if kind & 0x60 == 0x20:
            answer = self._dfu(request, value, length, data)
        elif kind & 0x60 == 0:
            answer = self._standard(request, value, index)
        else:
            answer = None
        return (STALL, b"") if answer is None else (0, answer[:length])

    def _standard(self, request: int, value: int, index: int) -> bytes | None:
        if request == 6:  # GET_DESCRIPTOR
            kind, number = value >> 8, value & 0xFF
            if kind == 3 and number == 0:
                return _descriptor(3, struct.pack("<H", 0x0409))
            if kind == 3 and number in self.strings:
                return _descriptor(3, self.strings[number].encode("utf-16le"))
            return {1: self.device, 2: self.configuration}.get(kind)
        if request == 11:  # SET_INTERFACE
            if index != 0 or value >= len(self.memories):
                return None
            self.alternate = value
            return b""
        return {0: b"\0\0", 8: b"\1", 9: b"", 10: bytes([self.alternate])}.get(request)

    def _dfu(self, request: int, value: int, length: int, data: bytes) -> bytes | None:
        if request == Request.GET_STATUS:
            return self._status()
        if request == Request.GET_STATE:
            return bytes([self.state])
        if request == Request.CLEAR_STATUS and self.state == State.ERROR:
            self.state, self.fault = State.IDLE, Fault.NONE
            return b""
        if request == Request.ABORT and self.state in (State.IDLE, State.DOWNLOAD_IDLE, State.UPLOAD_IDLE):
            self.state = State.IDLE
            return b""
        if request == Request.DOWNLOAD and self.state in (State.IDLE, State.DOWNLOAD_IDLE):
            self.pending = (value, data)
            self.state = State.DOWNLOAD_SYNC if data else State.MANIFEST_SYNC
            return b""
        if request == Request.UPLOAD and self.state in (State.IDLE, State.UPLOAD_IDLE):
            return self._upload(value, length)
        return self._fail(Fault.TARGET)

    def _fail(self, fault: Fault) -> None:
        self.state, self.fault = State.ERROR, fault

    def _status(self) -> bytes:
        """What was downloaded is done when the host asks how it went, as the chip has it."""
        if self.state == State.MANIFEST_SYNC:
            self.state, self.started_at = State.MANIFEST, self.pointer
            self.leaving = True
        elif self.state == State.DOWNLOAD_SYNC:
            self.state = State.DOWNLOAD_BUSY
        elif self.state == State.DOWNLOAD_BUSY:
            assert self.pending is not None
            block, data = self.pending
            self.state, self.pending = State.DOWNLOAD_IDLE, None
            fault = self._command(data) if block == 0 else self._program(block, data)
            if fault:
                self._fail(fault)
        return bytes([self.fault, 5, 0, 0, self.state, 0])

    def _command(self, data: bytes) -> Fault:
        if len(data) == 5 and data[0] in (0x21, 0x41):
            address = struct.unpack("<I", data[1:])[0]
            if not FLASH <= address < FLASH + SECTOR_BYTES or self.alternate != 0:
                return Fault.ADDRESS
            if data[0] == 0x21:
                self.pointer = address
                return Fault.NONE
            if self.write_protected:
                return Fault.WRITE
            self.flash[:] = b"\xff" * SECTOR_BYTES
            self.written.clear()
            self.erased += 1
            return Fault.NONE
        return Fault.TARGET

    def _program(self, block: int, data: bytes) -> Fault:
        start = self.pointer - FLASH + (block - 2) * TRANSFER_BYTES
        if block < 2 or len(data) > TRANSFER_BYTES or not 0 <= start <= SECTOR_BYTES - len(data):
            return Fault.ADDRESS
        if self.write_protected:
            return Fault.WRITE
        words = {at // WORD_BYTES * WORD_BYTES for at in range(start, start + len(data))}
        if words & self.written:
            return Fault.PROGRAM
        self.written |= words
        self.flash[start : start + len(data)] = data
        self.leaving = self.unplugged_at is not None and self.unplugged_at < start + len(data)
        if self.bad_bit_at is not None and start <= self.bad_bit_at < start + len(data):
            self.flash[self.bad_bit_at] ^= 0x10
        return Fault.NONE

    def _upload(self, block: int, length: int) -> bytes | None:
        if block == 0:
            self.state = State.UPLOAD_IDLE
            return bytes([0x00, 0x21, 0x41, 0x92])
        if self.read_protected:
            return self._fail(Fault.VENDOR)
        start = self.pointer - FLASH + (block - 2) * TRANSFER_BYTES
        if block < 2 or length > TRANSFER_BYTES or not 0 <= start < SECTOR_BYTES:
            return self._fail(Fault.ADDRESS)
        piece = bytes(self.flash[start : start + length])
        self.state = State.UPLOAD_IDLE if len(piece) == TRANSFER_BYTES else State.IDLE
        return piece


class UsbIpServer:
    """Lends a `DfuDevice` to each host that attaches it, on a port of this machine, until it is closed.

    The protocol is the kernel's (Documentation/usb/usbip_protocol.rst).
    """

    def __init__(self, device: DfuDevice) -> None:
        self._device = device
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as incoming:
                self._serve(connection, incoming.read)

    def _serve(self, connection: socket.socket, read) -> None:
        if len(read(8 + 32)) < 40:
            return
        connection.sendall(struct.pack(">HHI", 0x0111, 3, 0) + self._description())
        while len(header := read(48)) == 48:
            command, sequence, _, to_host, endpoint, _, length = struct.unpack(">IIIIIII", header[:28])
            if command == 2:  # UNLINK: everything has been answered already
                connection.sendall(struct.pack(">IIIIIi24x", 4, sequence, 0, 0, 0, 0))
                continue
            data = b"" if to_host else read(length)
            status, answer = self._device.control(header[40:48], data) if endpoint == 0 else (STALL, b"")
            moved = len(answer) if to_host else len(data) if status == 0 else 0
            reply = struct.pack(">IIIIIiiiii8x", 3, sequence, 0, 0, 0, status, moved, 0, 0, 0)
            connection.sendall(reply + (answer if to_host else b""))
            if self._device.leaving:
                return

    def _description(self) -> bytes:
        path, bus = b"/model".ljust(256, b"\0"), BUS_ID.ljust(32, b"\0")
        numbers = struct.pack(">III", 1, 2, FULL_SPEED)
        return path + bus + numbers + struct.pack(">HHHBBBBBB", 0x0483, 0xDF11, 0x0200, 0, 0, 0, 1, 1, 1)
