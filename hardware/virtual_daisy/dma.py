"""DMA1 with its request multiplexer DMAMUX1."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from hardware.virtual_daisy.peripheral import Peripheral, Register, bits, field

if TYPE_CHECKING:
    from hardware.virtual_daisy.chip import Chip

REQUESTS = {9: "ADC1", 41: "USART1_RX", 42: "USART1_TX", 87: "SAI1_A", 88: "SAI1_B"}  # RM0433 17.3.2
_INTERRUPTS = (11, 12, 13, 14, 15, 16, 17, 47)
_FLAG_AT = (0, 6, 16, 22)
_ITEMS = (np.uint8, np.uint16, np.uint32)  # by PSIZE
FIFO_ERROR, DIRECT_ERROR, TRANSFER_ERROR, HALF, COMPLETE = 1, 4, 8, 16, 32
_REACHED = ("AXI SRAM", "SRAM1", "SRAM2", "SRAM3", "flash")  # RM0433 2.1.1: DMA1 has no way to the TCMs


class Requester(Protocol):
    """A peripheral whose data register the DMA moves."""

    def dma_address(self, request: str) -> int:
        """Of the data register."""

    def dma_ready(self, request: str) -> None:
        """The stream that serves `request` has been enabled."""


class Stream:
    """What an enabled stream is doing."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.enabled = False
        self.words: memoryview[Any] = memoryview(b"")  # the memory, in items of the transfer's size
        self.total = 0
        self.half = 0
        self.left_at = 5 + 6 * number  # where NDTR is among the registers
        self.circular = False
        self.to_memory = False


class Dma(Peripheral):
    NAME = "DMA1"
    SECTION = "15.5"
    REGISTERS = (
        *(Register(name, 4 * n, read_only=0x0F7D0F7D) for n, name in enumerate(("LISR", "HISR"))),
        *(Register(name, 8 + 4 * n, action=0x0F7D0F7D) for n, name in enumerate(("LIFCR", "HIFCR"))),
        *(
            register
            for n in range(8)
            for register in (
                Register(f"S{n}CR", 0x10 + 0x18 * n, writable=0x01FFFFFF),
                Register(f"S{n}NDTR", 0x14 + 0x18 * n, writable=0xFFFF),
                Register(f"S{n}PAR", 0x18 + 0x18 * n, writable=0xFFFFFFFF),
                Register(f"S{n}M0AR", 0x1C + 0x18 * n, writable=0xFFFFFFFF),
                Register(f"S{n}M1AR", 0x20 + 0x18 * n, writable=0xFFFFFFFF),
                Register(f"S{n}FCR", 0x24 + 0x18 * n, reset=0x21, writable=bits(7, 2, 1, 0), read_only=bits((5, 3))),
            )
        ),
    )

    def __init__(self, chip: "Chip", base: int) -> None:
        self.streams = [Stream(n) for n in range(8)]  # DMA1's registers begin on a page
        self.requesters: dict[str, Requester] = {}
        for n in range(8):
            for name in ("NDTR", "PAR", "M0AR", "M1AR", "FCR"):
                setattr(self, f"write_s{n}{name.lower()}", self._protected(f"S{n}{name}", n))
            setattr(self, f"write_s{n}cr", partial(self._write_cr, n))
        super().__init__(chip, base)
        chip.coherence_checks.append(self._check_all_coherent)

    def reset(self) -> None:
        super().reset()
        for stream in self.streams:
            stream.enabled = False
            self.chip.system.nvic.set_line(_INTERRUPTS[stream.number], False)

    def _protected(self, name: str, n: int) -> Callable[[int, int], None]:
        def write(value: int, _old: int) -> None:
            self.rule(not self.streams[n].enabled, f"{name} written while the stream is enabled")
            self[name] = value

        return write

    def _write_cr(self, n: int, value: int, old: int) -> None:
        stream = self.streams[n]
        if stream.enabled:
            self.rule(not (value ^ old) & ~0b11111, f"S{n}CR changed while the stream is enabled")
        self[f"S{n}CR"] = value
        if value & 1 and not old & 1:
            self._enable(stream, value)
        elif old & 1 and not value & 1:
            stream.enabled = False
            self._flag(n, COMPLETE)  # 15.3.19: how the hardware says that it has stopped
        self._update_line(n)

    def _enable(self, stream: Stream, control: int) -> None:
        n = stream.number
        self.rule(not self._flags_of(n), f"stream {n} enabled while flags of its last transfer are set (15.3.19)")
        request = REQUESTS.get(self.chip.dma_mux.request(n))
        self.rule(request is not None, f"stream {n} enabled while DMAMUX1 channel {n} selects no request known here")
        assert request is not None
        direction = field(control, 7, 6)
        self.rule(direction in (0, 1), f"stream {n}: DIR = {direction} is not used here")
        self.rule(not control & bits(5), f"stream {n}: PFCTRL, no peripheral here controls the flow")
        self.rule(not control & bits(18, 19, 15), f"stream {n}: DBM, CT and PINCOS are not modelled")
        size = field(control, 12, 11)
        self.rule(size < 3 and field(control, 14, 13) == size, f"stream {n}: PSIZE and MSIZE have to be alike here")
        self.rule(not control & bits(9) and bool(control & bits(10)), f"stream {n}: needs PINC = 0 and MINC = 1")
        self.rule(not control & bits(20) or request.startswith("USART"), f"stream {n}: TRBUFF is for USARTs (15.5.5)")
        direct = not self[f"S{n}FCR"] & bits(2)
        self.rule(not (direct and control & bits((24, 21))), f"stream {n}: bursts without the FIFO (15.3.12)")
        self.rule(direct, f"stream {n}: the FIFO mode is not modelled")
        count = self[f"S{n}NDTR"]
        self.rule(count != 0, f"stream {n} enabled with NDTR = 0")
        address, width = self[f"S{n}M0AR"], 1 << size
        self.rule(address % width == 0, f"stream {n}: M0AR = {address:#010x} is not aligned to its {width} bytes")
        self._check_reached(n, address, count * width)
        requester = self.requesters[request]
        register = requester.dma_address(request)
        self.rule(self[f"S{n}PAR"] == register, f"stream {n}: PAR is not {request}'s data register {register:#010x}")
        self.rule((direction == 0) == self._produces(request), f"stream {n}: DIR is the wrong way round for {request}")
        stream.enabled = True
        stream.total = count
        self._bind(stream)
        self._check_coherent(stream)
        requester.dma_ready(request)

    def _produces(self, request: str) -> bool:
        if request.startswith("SAI1"):
            return self.chip.sai.receives(request[-1])
        return not request.endswith("TX")

    def _bind(self, stream: Stream) -> None:
        """Look at the memory as the registers say."""
        n = stream.number
        control = self[f"S{n}CR"]
        size = field(control, 12, 11)
        raw = self.chip.locate(self[f"S{n}M0AR"], stream.total << size)
        stream.words = raw.view(_ITEMS[size]).data
        stream.circular = bool(control & bits(8))
        stream.half = stream.total // 2
        stream.to_memory = field(control, 7, 6) == 0

    def _check_reached(self, n: int, address: int, size: int) -> None:
        name = self.chip.memory_at(address, size)
        self.rule(name in _REACHED, f"stream {n}: DMA1 does not reach {address:#010x} ({name or 'no memory'})")

    def _check_coherent(self, stream: Stream) -> None:
        system = self.chip.system
        if not system.scb["CCR"] & bits(16):
            return
        address = self[f"S{stream.number}M0AR"]
        last = address + len(stream.words) * stream.words.itemsize - 1
        self.rule(
            not system.mpu.cacheable(address) and not system.mpu.cacheable(last),
            f"stream {stream.number} moves memory at {address:#010x}, which the data cache may hold: "
            "the core and the DMA would not see the same",
        )

    def _check_all_coherent(self) -> None:
        for stream in self.streams:
            if stream.enabled:
                self._check_coherent(stream)

    # --- transfers ---

    def serving(self, request: str) -> Stream | None:
        """The enabled stream whose channel selects `request`."""
        for stream in self.streams:
            if stream.enabled and REQUESTS.get(self.chip.dma_mux.request(stream.number)) == request:
                return stream
        return None

    def put(self, stream: Stream, value: int) -> None:
        """One item from a peripheral into memory."""
        left = self._values[stream.left_at]
        stream.words[stream.total - left] = value
        self._advance(stream, left - 1)

    def take(self, stream: Stream) -> int:
        """One item of memory for a peripheral."""
        left = self._values[stream.left_at]
        value: int = stream.words[stream.total - left]
        self._advance(stream, left - 1)
        return value

    def _advance(self, stream: Stream, left: int) -> None:
        n = stream.number
        if left == stream.half:
            self._flag(n, HALF)
        elif left == 0:
            self._flag(n, COMPLETE)
            if stream.circular:
                left = stream.total
            else:
                stream.enabled = False
                self[f"S{n}CR"] &= ~1
        self._values[stream.left_at] = left

    def _flags_of(self, n: int) -> int:
        return self["LISR" if n < 4 else "HISR"] >> _FLAG_AT[n % 4] & 0x3D

    def _flag(self, n: int, flag: int) -> None:
        self["LISR" if n < 4 else "HISR"] |= flag << _FLAG_AT[n % 4]
        self._update_line(n)

    def write_lifcr(self, value: int, _old: int) -> None:
        self["LISR"] &= ~value
        for n in range(4):
            self._update_line(n)

    def write_hifcr(self, value: int, _old: int) -> None:
        self["HISR"] &= ~value
        for n in range(4, 8):
            self._update_line(n)

    def _update_line(self, n: int) -> None:
        control = self._values[self._first + 4 + 6 * n]
        enabled = (control & 0b11110) << 1
        if self[f"S{n}FCR"] & bits(7):
            enabled |= FIFO_ERROR
        self.chip.system.nvic.set_line(_INTERRUPTS[n], bool(self._flags_of(n) & enabled))

    def save(self) -> dict[str, Any]:
        return {**super().save(), "streams": [(stream.enabled, stream.total) for stream in self.streams]}

    def restore(self, saved: dict[str, Any]) -> None:
        saved = dict(saved)
        for stream, (enabled, total) in zip(self.streams, saved.pop("streams"), strict=True):
            stream.enabled, stream.total = enabled, total
            if enabled:
                self._bind(stream)
        super().restore(saved)


class DmaMux(Peripheral):
    NAME = "DMAMUX1"
    SECTION = "17.6"
    REGISTERS = (
        *(Register(f"C{n}CR", 4 * n, writable=0x1FFF03FF) for n in range(16)),
        Register("CSR", 0x80, read_only=0xFFFF),
        Register("CFR", 0x84, action=0xFFFF),
    )

    def __init__(self, chip: "Chip", base: int) -> None:
        for n in range(8):
            setattr(self, f"write_c{n}cr", partial(self._write_channel, n))
        super().__init__(chip, base)

    def request(self, channel: int) -> int:
        return self._values[self._first + channel] & 0xFF

    def _write_channel(self, n: int, value: int, old: int) -> None:
        self.rule(not self.chip.dma.streams[n].enabled, f"C{n}CR written while stream {n} is enabled (17.4.3)")
        self.rule(not value & bits(16, 9, 8), f"C{n}CR: synchronisation and events are not modelled")
        self[f"C{n}CR"] = value
