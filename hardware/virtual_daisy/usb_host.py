"""A USB host on the virtual Daisy's time line: a full-speed bus with frames of a millisecond by a clock of its own.

A transaction takes its time on the wire. In a frame the isochronous streams come first, in the order in which they were
started, then control and bulk by turns; what gets NAK is tried again a little later.
"""

import copy
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from hardware.virtual_daisy.time_line import NEVER, TICKS_PER_SECOND
from hardware.virtual_daisy.usb import NAK, STALL

if TYPE_CHECKING:
    from hardware.virtual_daisy.board import VirtualDaisy

IN = 0x80
_DEVICE_TO_HOST = 0x80
_SET_ADDRESS, _GET_DESCRIPTOR, _SET_CONFIGURATION, _SET_INTERFACE, _CLEAR_FEATURE = 5, 6, 9, 11, 1
_DEVICE, _CONFIGURATION = 1, 2
_SET_LINE_CODING, _SET_CONTROL_LINE_STATE = 0x20, 0x22  # CDC PSTN 1.2, table 13
_BITS_PER_SECOND = 12_000_000
_SOF_BYTES, _TOKEN_BYTES = 5, 13  # with sync, CRC, end of packet, turnaround; the latter with the handshake
_RESET_SECONDS, _RECOVERY_SECONDS, _RESUME_SECONDS = 10e-3, 10e-3, 20e-3
_ADDRESS_SECONDS = 2e-3  # that a device may take for its new address, USB 2.0 9.2.6.3
_RETRY_SECONDS = 100e-6
_LEAST_RETRY_SECONDS = 2e-6
_ATTACH_SECONDS = 1.0
_FRAME_NUMBERS = 2048
_CONTROL_BYTES = 64


class UsbError(RuntimeError):
    """The device did not do what was asked."""


class Stalled(UsbError):  # noqa: N818 - the field's word
    """The endpoint answered STALL."""


class NoAnswer(UsbError):  # noqa: N818
    """Nobody answered, or not in time."""


@dataclass
class Stage:
    """A run of transactions of one kind to one endpoint, within a transfer."""

    kind: str  # "setup", "out", "in"
    data: bytes = b""  # to send
    size: int = 0  # to receive at most


class Transfer:
    """A control or bulk transfer, done when its stages are or when it has failed."""

    def __init__(self, endpoint: int, stages: list[Stage], packet_bytes: int, sink: Callable[[bytes], object] | None):
        self.endpoint = endpoint
        self.stages = stages
        self.packet_bytes = packet_bytes
        self.sink = sink  # of an endless transfer: gets each packet
        self.received = bytearray()
        self.state: dict[str, Any] = {"stage": 0, "at": 0, "not_before": 0, "done": False, "error": None}

    def save(self) -> tuple[Any, ...]:
        return copy.copy(self.state), bytes(self.received)

    def restore(self, saved: tuple[Any, ...]) -> None:
        self.state, self.received[:] = copy.copy(saved[0]), saved[1]


@dataclass
class Stream:
    """An isochronous stream: a packet each frame."""

    endpoint: int
    source: Callable[[int], bytes | None] | None = None  # by frame; None: no packet in this frame
    sink: Callable[[int, bytes], object] | None = None


class UsbHost:
    """The host. What waits for the device lets the machine run."""

    def __init__(self, daisy: "VirtualDaisy") -> None:
        self._daisy = daisy
        self._core = daisy.chip.usb
        self._core.on_pull_up = self._on_pull_up
        time = daisy.chip.time
        self.ppm = 0.0  # how much faster its frames pass than at 1 kHz
        self.plugged = False
        self.address = 0
        self.frames = 0  # that have begun
        self.naks = 0  # that bulk and control transfers got
        self._running = False  # frames pass
        self._pulled_up = False
        self._next_frame = 0.0
        self._periodic: list[Stream] = []  # still to come in this frame
        self._streams: list[Stream] = []
        self._transfers: list[Transfer] = []
        self._toggles: dict[int, int] = {}
        self._packet_bytes: dict[int, int] = {}
        self._finish: Callable[[], object] | None = None
        self._frame = time.event(self._on_frame)
        self._periodic_end = time.event(self._on_periodic_end)
        self._step = time.event(self._on_step)

    @property
    def lost_packets(self) -> int:
        """Isochronous packets to the device for which it was not ready."""
        return self._core.lost_packets

    # --- the cable ---

    @property
    def attached(self) -> bool:
        """Whether the cable is in and a device shows itself."""
        return self.plugged and self._core.pull_up

    def plug(self) -> None:
        """Put the cable in, wait for the device's pull-up and reset the bus."""
        self.plugged = True
        if not self._daisy.run_until(lambda: self._core.pull_up, _ATTACH_SECONDS):
            raise NoAnswer(f"no device in {_ATTACH_SECONDS:g} s")
        self.reset()

    def unplug(self) -> None:
        """Pull the cable out: the lines are idle, and all transfers and streams are over."""
        self.plugged = False
        self._stop_frames()
        self._end_all("the cable is out")
        self._core.bus_idle()

    def reset(self) -> None:
        """A bus reset; the device has to be enumerated anew."""
        self._need_device()
        self._stop_frames()
        self._end_all("the bus was reset")
        self._toggles.clear()
        self._packet_bytes.clear()
        self.address = 0
        self._core.begin_reset()
        self._daisy.run(_RESET_SECONDS)
        self._need_device()
        self._core.end_reset()
        self._start_frames()
        self._daisy.run(_RECOVERY_SECONDS)

    def suspend(self) -> None:
        """No more frames, until `resume`."""
        self._stop_frames()

    def resume(self) -> None:
        """20 ms of resume signalling, then frames pass again."""
        self._core.resume()
        self._daisy.run(_RESUME_SECONDS)
        self._start_frames()

    def _need_device(self) -> None:
        if not self.attached:
            raise NoAnswer("no device is there")

    def _on_pull_up(self) -> None:
        if self._core.pull_up == self._pulled_up:
            return
        self._pulled_up = self._core.pull_up
        if self._pulled_up:
            self._core.bus_idle()
        else:
            self._stop_frames()
            self._end_all("the device has gone")

    def _end_all(self, why: str) -> None:
        for transfer in self._transfers:
            transfer.state["error"] = NoAnswer(why)
        self._transfers.clear()
        self._streams.clear()

    # --- frames ---

    def _start_frames(self) -> None:
        self._running = True
        self._next_frame = float(self._daisy.chip.time.now)
        self._frame.at(round(self._next_frame))

    def _stop_frames(self) -> None:
        self._running = False
        finish, self._finish = self._finish, None
        if finish:  # what is on the wire is over
            finish()
        for event in (self._frame, self._periodic_end, self._step):
            event.cancel()

    def _on_frame(self) -> None:
        now = self._daisy.chip.time.now
        self.frames += 1
        self._core.start_of_frame(self.frames % _FRAME_NUMBERS)
        frame_ticks = TICKS_PER_SECOND / 1000 / (1 + self.ppm * 1e-6)
        self._next_frame += frame_ticks
        self._frame.at(round(self._next_frame))
        self._periodic_end.at(now + round(frame_ticks * self._core.periodic_part))
        self._periodic = list(self._streams)
        self._step.at(now + _wire_ticks(_SOF_BYTES))

    def _on_periodic_end(self) -> None:
        self._core.end_of_periodic()

    def _on_step(self) -> None:
        """A transaction ends and the next one begins."""
        if self._finish:
            finish, self._finish = self._finish, None
            finish()
        if not self._running:
            return
        if self._periodic:
            stream = self._periodic.pop(0)
            if stream in self._streams:
                self._start_stream(stream)
            else:
                self._step.at(self._daisy.chip.time.now + 1)
            return
        self._start_transfer()

    def _on_wire(self, size: int, finish: Callable[[], object]) -> None:
        self._finish = finish
        self._step.at(self._daisy.chip.time.now + _wire_ticks(_TOKEN_BYTES + size))

    def _start_stream(self, stream: Stream) -> None:
        number = stream.endpoint & 0xF
        if stream.endpoint & IN:
            answer = self._core.start_in(self.address, number)
            if not isinstance(answer, tuple):
                self._on_wire(0, lambda: None)
                return
            data = answer[1]

            def finish() -> None:
                self._core.finish_in(number)
                if stream.sink:
                    stream.sink(self.frames, data)

            self._on_wire(len(data), finish)
            return
        packet = stream.source(self.frames) if stream.source else None
        if packet is None:
            self._step.at(self._daisy.chip.time.now + 1)
            return
        self._on_wire(len(packet), lambda: self._deliver(number, packet))

    def _deliver(self, number: int, packet: bytes) -> None:
        self._core.out(self.address, number, packet, 0)

    # --- control and bulk ---

    def _start_transfer(self) -> None:
        now = self._daisy.chip.time.now
        ready = [transfer for transfer in self._transfers if transfer.state["not_before"] <= now]
        if not ready:
            soonest = min((transfer.state["not_before"] for transfer in self._transfers), default=NEVER)
            if soonest < self._frame.due:
                self._step.at(soonest)
            return
        transfer = ready[0]
        if now + _wire_ticks(_TOKEN_BYTES + transfer.packet_bytes) >= self._frame.due:
            return  # after the next SOF
        self._transfers.remove(transfer)
        self._transfers.append(transfer)
        stage = transfer.stages[transfer.state["stage"]]
        if stage.kind == "in":
            self._start_in(transfer)
            return
        at = transfer.state["at"]
        packet = stage.data[at : at + transfer.packet_bytes]
        self._on_wire(len(packet), lambda: self._finish_out(transfer, stage, packet))

    def _finish_out(self, transfer: Transfer, stage: Stage, packet: bytes) -> None:
        if stage.kind == "setup":
            answer = self._core.setup(self.address, packet)
            self._toggles[0] = self._toggles[IN] = 0
        else:
            number = transfer.endpoint & 0xF
            answer = self._core.out(self.address, number, packet, self._toggles.get(number, 0))
        if self._refused(transfer, answer):
            return
        self._toggles[transfer.endpoint & 0xF] = self._toggles.get(transfer.endpoint & 0xF, 0) ^ 1
        if stage.kind == "setup":
            self._toggles[IN] = 1
        transfer.state["at"] += len(packet)
        if transfer.state["at"] >= len(stage.data):
            self._next_stage(transfer)

    def _start_in(self, transfer: Transfer) -> None:
        number = transfer.endpoint & 0xF
        answer = self._core.start_in(self.address, number)
        if not isinstance(answer, tuple):
            self._on_wire(0, partial(self._refused, transfer, answer))
            return
        toggle, data = answer
        self._on_wire(len(data), lambda: self._finish_in(transfer, toggle, data))

    def _finish_in(self, transfer: Transfer, toggle: int, data: bytes) -> None:
        number = transfer.endpoint & 0xF
        self._core.finish_in(number)
        expected = self._toggles.get(number | IN, 0)
        if toggle != expected:
            self._fail(transfer, UsbError(f"endpoint {number | IN:#04x} sent DATA{toggle} where DATA{expected} is due"))
            return
        self._toggles[number | IN] = toggle ^ 1
        transfer.state["not_before"] = 0
        if transfer.sink:
            transfer.sink(data)
            return
        stage = transfer.stages[transfer.state["stage"]]
        transfer.received += data
        transfer.state["at"] += len(data)
        if transfer.state["at"] > stage.size:
            self._fail(transfer, UsbError(f"endpoint {number | IN:#04x} sent more than {stage.size} bytes"))
        elif len(data) < transfer.packet_bytes or transfer.state["at"] == stage.size:
            self._next_stage(transfer)

    def _refused(self, transfer: Transfer, answer: str | tuple[int, bytes] | None) -> bool:
        if answer == NAK:
            self.naks += 1
            transfer.state["not_before"] = self._daisy.chip.time.now + round(_RETRY_SECONDS * TICKS_PER_SECOND)
            return True
        if answer == STALL:
            self._fail(transfer, Stalled(f"endpoint {transfer.endpoint:#04x} is stalled"))
            return True
        if answer is None:
            self._fail(transfer, NoAnswer(f"endpoint {transfer.endpoint:#04x} does not answer"))
            return True
        transfer.state["not_before"] = 0
        return False

    def _fail(self, transfer: Transfer, error: UsbError) -> None:
        transfer.state["error"] = error
        if transfer in self._transfers:
            self._transfers.remove(transfer)

    def _next_stage(self, transfer: Transfer) -> None:
        transfer.state["stage"] += 1
        transfer.state["at"] = 0
        if transfer.state["stage"] == len(transfer.stages):
            transfer.state["done"] = True
            self._transfers.remove(transfer)

    def _begin(self, transfer: Transfer) -> Transfer:
        self._need_device()
        self._transfers.append(transfer)
        time = self._daisy.chip.time
        if self._running and (self._step.due == NEVER or (not self._finish and not self._periodic)):
            self._step.at(time.now + round(_LEAST_RETRY_SECONDS * TICKS_PER_SECOND))
        return transfer

    def wait(self, transfer: Transfer, seconds: float = 1.0) -> bytes:
        """What a transfer has received when it is done."""
        ended = self._daisy.run_until(lambda: bool(transfer.state["done"] or transfer.state["error"]), seconds)
        state = transfer.state
        if state["error"]:
            raise state["error"]
        if not ended:
            self.cancel(transfer)
            raise NoAnswer(f"endpoint {transfer.endpoint:#04x} answered NAK for {seconds:g} s")
        return bytes(transfer.received)

    def _wait(self, transfer: Transfer, seconds: float) -> bytes:
        return self.wait(self._begin(transfer), seconds)

    def cancel(self, transfer: Transfer) -> None:
        """Forget a transfer."""
        if transfer in self._transfers:
            self._transfers.remove(transfer)

    # --- requests ---

    def control(
        self,
        request_type: int,
        request: int,
        value: int = 0,
        index: int = 0,
        data: bytes | int = b"",
        seconds: float = 1.0,
    ) -> bytes:
        """A control transfer. data: what to send, or how many bytes to read. Returns what was read."""
        size = data if isinstance(data, int) else len(data)
        stages = [Stage("setup", struct.pack("<BBHHH", request_type, request, value, index, size))]
        if request_type & _DEVICE_TO_HOST:
            stages += [Stage("in", size=size), Stage("out")]
        else:
            assert isinstance(data, bytes)
            stages += [Stage("out", data)] if data else []
            stages += [Stage("in")]
        return self._wait(Transfer(0, stages, _CONTROL_BYTES, None), seconds)

    def write(self, endpoint: int, data: bytes, seconds: float = 1.0) -> None:
        """`data` in packets of the endpoint's size; no bytes are an empty packet."""
        self.wait(self.begin_write(endpoint, data), seconds)

    def begin_write(self, endpoint: int, data: bytes) -> Transfer:
        """`write` that goes on while time passes."""
        return self._begin(Transfer(endpoint, [Stage("out", data)], self._size(endpoint), None))

    def read(self, endpoint: int, size: int, seconds: float = 1.0) -> bytes:
        """Packets until there are `size` bytes, or a short one."""
        return self._wait(Transfer(endpoint, [Stage("in", size=size)], self._size(endpoint), None), seconds)

    def listen(self, endpoint: int, sink: Callable[[bytes], object]) -> Transfer:
        """From now on ask for packets all the time. To be ended by `cancel`."""
        return self._begin(Transfer(endpoint, [Stage("in")], self._size(endpoint), sink))

    def stream_out(self, endpoint: int, source: Callable[[int], bytes | None]) -> None:
        """From the next frame on send what `source` gives for a frame's number."""
        self._streams.append(Stream(endpoint, source=source))

    def stream_in(self, endpoint: int, sink: Callable[[int, bytes], object]) -> None:
        """From the next frame on ask for a packet in each; `sink` gets the frame's number and what came."""
        self._streams.append(Stream(endpoint, sink=sink))

    def stop(self, endpoint: int) -> None:
        """End a stream."""
        self._streams = [stream for stream in self._streams if stream.endpoint != endpoint]

    def _size(self, endpoint: int) -> int:
        return self._packet_bytes.get(endpoint, _CONTROL_BYTES)

    def run_frames(self, count: int) -> None:
        """Let frames pass."""
        goal = self.frames + count
        if not self._daisy.run_until(lambda: self.frames >= goal, count * 1e-3 + 1):
            raise NoAnswer("no frames pass")

    # --- the chapter 9 of USB ---

    def enumerate(self, address: int = 5) -> tuple[bytes, bytes]:
        """Give the device an address and its first configuration. Returns both descriptors as they came."""
        self.control(_DEVICE_TO_HOST, _GET_DESCRIPTOR, _DEVICE << 8, 0, 8)
        self.control(0, _SET_ADDRESS, address)
        self.address = address
        self._daisy.run(_ADDRESS_SECONDS)
        device = self.control(_DEVICE_TO_HOST, _GET_DESCRIPTOR, _DEVICE << 8, 0, 18)
        head = self.control(_DEVICE_TO_HOST, _GET_DESCRIPTOR, _CONFIGURATION << 8, 0, 9)
        configuration = self.control(
            _DEVICE_TO_HOST, _GET_DESCRIPTOR, _CONFIGURATION << 8, 0, int.from_bytes(head[2:4], "little")
        )
        self.configure(head[5])
        return device, configuration

    def configure(self, value: int) -> None:
        self.control(0, _SET_CONFIGURATION, value)
        self._toggles.clear()

    def set_interface(self, interface: int, alternate: int) -> None:
        self.control(1, _SET_INTERFACE, alternate, interface)

    def clear_halt(self, endpoint: int) -> None:
        """CLEAR_FEATURE(ENDPOINT_HALT); both sides begin again with DATA0."""
        self.control(2, _CLEAR_FEATURE, 0, endpoint)
        self._toggles[endpoint] = 0

    # --- snapshots ---

    def save(self) -> tuple[Any, ...]:
        """Not what `source` and `sink` of a stream have done."""
        plain = {
            name: copy.copy(getattr(self, name))
            for name in (
                *("ppm", "plugged", "address", "frames", "naks", "_running", "_pulled_up", "_next_frame", "_periodic"),
                *("_streams", "_toggles", "_packet_bytes", "_finish"),
            )
        }
        return plain, [(transfer, transfer.save()) for transfer in self._transfers]

    def restore(self, saved: tuple[Any, ...]) -> None:
        plain, transfers = saved
        for name, value in plain.items():
            setattr(self, name, copy.copy(value))
        self._transfers = [transfer for transfer, _ in transfers]
        for transfer, state in transfers:
            transfer.restore(state)


class CdcPort:
    """The serial port of a CDC-ACM function, with the part of pyserial's interface that the links use."""

    def __init__(self, daisy: "VirtualDaisy", interface: int = 3, data_in: int = 0x84, data_out: int = 0x04) -> None:
        """Opens the port: line coding, and DTR on."""
        self._daisy = daisy
        self._host = daisy.usb
        self._interface = interface
        self._out = data_out
        self.timeout: float | None = None
        self._received = bytearray()
        self._host.control(0x21, _SET_LINE_CODING, 0, interface, struct.pack("<IBBB", 115_200, 0, 0, 8))
        self._host.control(0x21, _SET_CONTROL_LINE_STATE, 3, interface)
        self._transfer = self._host.listen(data_in, self._received.extend)

    @property
    def in_waiting(self) -> int:
        return len(self._received)

    def write(self, data: bytes) -> int:
        self._host.write(self._out, bytes(data), 5.0)
        return len(data)

    def read(self, size: int = 1) -> bytes:
        """`size` bytes, or fewer after `timeout` virtual seconds."""
        seconds = 3600.0 if self.timeout is None else self.timeout
        self._daisy.run_until(lambda: len(self._received) >= size, seconds)
        data = bytes(self._received[:size])
        del self._received[:size]
        return data

    def reset_input_buffer(self) -> None:
        self._received.clear()

    def close(self) -> None:
        self._host.cancel(self._transfer)
        if self._host.attached:
            self._host.control(0x21, _SET_CONTROL_LINE_STATE, 0, self._interface)


def _wire_ticks(size: int) -> int:
    return size * 8 * TICKS_PER_SECOND // _BITS_PER_SECOND
