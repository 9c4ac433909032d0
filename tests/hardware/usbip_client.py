"""A host's side of USB/IP without a kernel: attaches to a device's server and moves what a driver would.

The protocol is the kernel's (Documentation/usb/usbip_protocol.rst). One thread: requests wait at the device until one
of the methods waits for something, and what they find to do then happens in the order in which the device answers.
"""

import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hardware.program_link import free_port

BUS_ID = b"1-1"
VERSION = 0x0111
STALL, PROTOCOL_ERROR, UNLINKED, SHUT_DOWN = -32, -71, -104, -108
IN = 0x80
PLAYBACK, FEEDBACK, CAPTURE = 0x01, 0x81, 0x82
SERIAL_OUT, SERIAL_IN = 0x04, 0x84
PLAYBACK_INTERFACE, CAPTURE_INTERFACE, SERIAL_INTERFACE = 1, 2, 3
FRAME_BYTES, MAX_FRAMES = 6, 49
WAIT_SECONDS = 10.0


class UsbError(Exception):
    """A transfer ended with another status than 0."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


@dataclass(eq=False)
class Transfer:
    """A request and, once `status` is set, its answer. `packets`: (bytes, status) of each isochronous one."""

    sequence: int
    reads: bool
    done: "Callable[[Transfer], object] | None"
    status: int | None = None
    data: bytes = b""
    moved: int = 0
    packets: list[tuple[int, int]] = field(default_factory=list)


class UsbIpClient:
    """The one host of the device behind `port`; closing it unplugs the device."""

    def __init__(self, port: int) -> None:
        self._socket = connect(port)
        self._socket.sendall(struct.pack(">HHI32s", VERSION, 0x8003, 0, BUS_ID))
        status = struct.unpack(">4xI", self._exactly(8))[0]
        if status != 0:
            raise UsbError(-status)
        self.description = self._exactly(312)
        self._sequence = 0
        self._pending: dict[int, Transfer] = {}
        self._unlinks: dict[int, int | None] = {}

    def __enter__(self) -> "UsbIpClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def send_raw(self, data: bytes) -> None:
        """What no driver sends."""
        self._socket.sendall(data)

    def submit(
        self,
        endpoint: int,
        data: bytes | int,
        lengths: tuple[int, ...] = (),
        setup: bytes = b"",
        done: Callable[[Transfer], object] | None = None,
        flags: int = 0,
    ) -> Transfer:
        """Begin a transfer: of `data` to the device, or of at most so many bytes from it.

        `lengths`: of an isochronous one, the bytes of each packet. `done` is called with the answer.
        """
        self._sequence += 1
        reads = isinstance(data, int)
        size = data if isinstance(data, int) else len(data)
        header = (1, self._sequence, 0x10002, int(reads), endpoint & 15, flags, size, 0, len(lengths), 1)
        offsets = [sum(lengths[:index]) for index in range(len(lengths))]
        packets = (struct.pack(">4I", offset, length, 0, 0) for offset, length in zip(offsets, lengths, strict=True))
        message = struct.pack(">10I", *header) + setup.ljust(8, b"\0") + (b"" if isinstance(data, int) else data)
        transfer = Transfer(self._sequence, reads, done)
        self._pending[self._sequence] = transfer
        self._socket.sendall(message + b"".join(packets))
        return transfer

    def unlink(self, transfer: Transfer) -> int:
        """Take it back; the status says whether it was still there (`UNLINKED`), or had been answered (0)."""
        self._sequence += 1
        sequence = self._sequence
        self._unlinks[sequence] = None
        self._socket.sendall(struct.pack(">6I24x", 2, sequence, 0x10002, 0, 0, transfer.sequence))
        self.wait_until(lambda: self._unlinks[sequence] is not None)
        status = self._unlinks.pop(sequence)
        assert status is not None
        if status == UNLINKED:
            self._pending.pop(transfer.sequence)
            transfer.status = UNLINKED
        return status

    def wait_until(self, condition: Callable[[], bool], seconds: float = WAIT_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError("the device has not answered")
            self._take_answer(deadline)

    def wait(self, transfer: Transfer, seconds: float = WAIT_SECONDS) -> bytes:
        """What it read. Raises UsbError when it failed."""
        self.wait_until(lambda: transfer.status is not None, seconds)
        if transfer.status:
            raise UsbError(transfer.status)
        return transfer.data

    def rest(self, seconds: float) -> None:
        """Take answers for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                self._take_answer(end)
            except TimeoutError:
                return

    def control(
        self, request_type: int, request: int, value: int = 0, index: int = 0, data: bytes | int = b""
    ) -> bytes:
        """One control transfer that writes `data`, or reads at most so many bytes."""
        size = data if isinstance(data, int) else len(data)
        setup = struct.pack("<BBHHH", request_type, request, value, index, size)
        return self.wait(self.submit(0, data, setup=setup))

    def descriptor(self, kind: int, index: int = 0, language: int = 0, size: int = 4096) -> bytes:
        return self.control(0x80, 6, kind << 8 | index, language, size)

    def string(self, index: int) -> str:
        return self.descriptor(3, index, 0x0409)[2:].decode("utf-16le")

    def configure(self, configuration: int = 1) -> None:
        self.control(0x00, 9, configuration)

    def set_interface(self, interface: int, alternate: int) -> None:
        self.control(0x01, 11, alternate, interface)

    def reset_bus(self) -> None:
        """As a hub is asked to do it to its port; the device answers after it."""
        self.control(0x23, 3, 4)

    def write(self, endpoint: int, data: bytes) -> None:
        self.wait(self.submit(endpoint, data))

    def read(self, endpoint: int, size: int, seconds: float = WAIT_SECONDS) -> bytes:
        """One bulk or interrupt transfer: what the device sends up to a short packet. Raises TimeoutError, and takes
        the transfer back, when it sends nothing."""
        transfer = self.submit(endpoint, size)
        try:
            return self.wait(transfer, seconds)
        except TimeoutError:
            if self.unlink(transfer) != UNLINKED:
                return self.wait(transfer)
            raise

    def _take_answer(self, deadline: float) -> None:
        self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
        header = self._exactly(48)
        command, sequence, status, moved, _, packet_count = struct.unpack(">II12xiIII", header[:36])
        if command == 4:
            self._unlinks[sequence] = status
            return
        transfer = self._pending.pop(sequence)
        transfer.status, transfer.moved = status, moved
        if transfer.reads:
            transfer.data = self._exactly(moved)
        packets = struct.iter_unpack(">4I", self._exactly(16 * packet_count))
        transfer.packets = [(actual, packet_status) for _, _, actual, packet_status in packets]
        if transfer.done:
            transfer.done(transfer)

    def _exactly(self, size: int) -> bytes:
        """A message that has begun is read to its end."""
        received = b""
        while len(received) < size:
            piece = self._socket.recv(size - len(received))
            if not piece:
                raise ConnectionError("the device has closed the connection")
            received += piece
            self._socket.settimeout(WAIT_SECONDS)
        return received


class ClientSerial:
    """The device's serial port as `SerialLink` takes one from pyserial."""

    def __init__(self, client: UsbIpClient) -> None:
        self.timeout = WAIT_SECONDS
        self._client = client
        self._received = b""
        client.control(0x21, 0x22, 1, SERIAL_INTERFACE)  # SET_CONTROL_LINE_STATE: DTR

    def write(self, data: bytes) -> None:
        self._client.write(SERIAL_OUT, data)

    def read(self, size: int) -> bytes:
        deadline = time.monotonic() + self.timeout
        while len(self._received) < size and time.monotonic() < deadline:
            try:
                self._received += self._client.read(SERIAL_IN, 4096, deadline - time.monotonic())
            except TimeoutError:
                break
        piece, self._received = self._received[:size], self._received[size:]
        return piece

    def close(self) -> None:
        pass


def pack_frames(frames: np.ndarray) -> bytes:
    """24-bit samples, int32 [frames, 2], as they are on the wire."""
    return np.ascontiguousarray(frames, "<i4").view(np.uint8).reshape(-1, 2, 4)[:, :, :3].tobytes()


def unpack_frames(data: bytes) -> np.ndarray:
    """The other way."""
    padded = np.zeros((len(data) // 3, 4), np.uint8)
    padded[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
    return (padded.view("<i4")[:, 0] >> 8).reshape(-1, 2)


class ClientAudio:
    """Both streams of the device, as a driver runs them: what it sends follows the device's feedback.

    Three requests of each endpoint wait at the device, of `packets` milliseconds each.
    """

    def __init__(self, client: UsbIpClient, plays: bool = True, records: bool = True, packets: int = 8) -> None:
        self.client = client
        self.packets = packets
        self.feedback = 48 << 16
        self.feedbacks: list[int] = []
        """Frames a millisecond in 16.16, all that have been told."""
        self.packet_frames: list[int] = []
        """Of the packets to the host."""
        self.frames_recorded = 0
        self._endpoints = [PLAYBACK, FEEDBACK] * plays + [CAPTURE] * records
        self._fraction = 0
        self._queue = np.zeros((0, 2), np.int32)
        self._recorded: list[bytes] = []
        self._running = True
        self._waiting: dict[Transfer, int] = {}
        if plays:
            client.set_interface(PLAYBACK_INTERFACE, 1)
        if records:
            client.set_interface(CAPTURE_INTERFACE, 1)
        for _ in range(3):
            for endpoint in self._endpoints:
                self._ask(endpoint)

    def play(self, frames: np.ndarray) -> None:
        """After what is there to be played already; zeros follow."""
        self._queue = np.concatenate([self._queue, frames])

    @property
    def recorded(self) -> np.ndarray:
        """All frames so far, int32 [frames, 2]."""
        return unpack_frames(b"".join(self._recorded))

    def run(self, frames: int, seconds: float = 120.0) -> None:
        """Until so many more are recorded."""
        until = self.frames_recorded + frames
        self.client.wait_until(lambda: self.frames_recorded >= until, seconds)

    def abandon(self) -> None:
        """Ask for nothing more."""
        self._running = False

    def stop(self) -> None:
        """Take back what waits, and close the streams."""
        self.abandon()
        for transfer in list(self._waiting):
            if transfer.status is None:
                self.client.unlink(transfer)
        for interface, endpoint in ((PLAYBACK_INTERFACE, PLAYBACK), (CAPTURE_INTERFACE, CAPTURE)):
            if endpoint in self._endpoints:
                self.client.set_interface(interface, 0)

    def _ask(self, endpoint: int) -> None:
        if endpoint == PLAYBACK:
            frames = [self._next_packet() for _ in range(self.packets)]
            data = pack_frames(self._take(sum(frames)))
            lengths = tuple(FRAME_BYTES * count for count in frames)
            transfer = self.client.submit(endpoint, data, lengths, done=self._done)
        else:
            lengths = (4 if endpoint == FEEDBACK else MAX_FRAMES * FRAME_BYTES,) * self.packets
            transfer = self.client.submit(endpoint, sum(lengths), lengths, done=self._done)
        self._waiting[transfer] = endpoint

    def _next_packet(self) -> int:
        self._fraction += self.feedback
        frames = self._fraction >> 16
        self._fraction &= 0xFFFF
        return min(frames, MAX_FRAMES)

    def _take(self, count: int) -> np.ndarray:
        taken, self._queue = self._queue[:count], self._queue[count:]
        return np.concatenate([taken, np.zeros((count - len(taken), 2), np.int32)])

    def _done(self, transfer: Transfer) -> None:
        endpoint = self._waiting.pop(transfer)
        if transfer.status:
            if self._running:
                raise UsbError(transfer.status)
            return
        if endpoint == FEEDBACK and len(transfer.data) >= 4:
            told = struct.unpack(f"<{len(transfer.data) // 4}I", transfer.data)
            self.feedbacks += told
            self.feedback = told[-1]
        if endpoint == CAPTURE:
            self._recorded.append(transfer.data)
            self.packet_frames += [actual // FRAME_BYTES for actual, _ in transfer.packets]
            self.frames_recorded += transfer.moved // FRAME_BYTES
        if self._running:
            self._ask(endpoint)


def connect(port: int) -> socket.socket:
    """To the server, which may only be starting."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            connection = socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECONDS)
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection


@contextmanager
def native_usb(program: Path, *options: object) -> Iterator[int]:
    """The native pedal as a USB device while in the block; gives its server's port."""
    port = free_port()
    command = [str(program), "--usb", str(port), *map(str, options)]
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        try:
            yield port
            assert process.poll() is None, f"the pedal has ended with {process.returncode}"
        finally:
            process.kill()
            process.wait()
            said.seek(0)
            print(said.read())
