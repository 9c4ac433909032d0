"""QUADSPI in indirect mode, polled through its FIFO."""

from collections import deque
from typing import TYPE_CHECKING

from hardware.virtual_daisy.flash_memory import WIP, Command, FlashMemory
from hardware.virtual_daisy.peripheral import ANY_WIDTH, Peripheral, Register, bits, field
from hardware.virtual_daisy.time_line import NEVER

if TYPE_CHECKING:
    from hardware.virtual_daisy.chip import Chip

TEF, TCF, FTF, BUSY = 1, 2, 4, 32
FIFO_BYTES = 32
_LINES = {0: 0, 1: 1, 2: 2, 3: 4}
_PINS = (("PF8 PF9", 10), ("PF6 PF7 PF10", 9), ("PG6", 10))  # IO0, IO1; IO3, IO2, CLK; NCS
_FLASH_ADDRESS_BITS = 23
_WAITING_SECONDS = (
    20e-6  # a status read in a loop that waits for the flash takes this much longer: it saves the host time
)
_END_CONTINUOUS = 0xFF  # all lines high: ends the flash's continuous read mode, no instruction otherwise


class QuadSpi(Peripheral):
    NAME = "QUADSPI"
    SECTION = "23.5"
    REGISTERS = (
        Register("CR", 0x00, writable=0xFFDF1FDD, action=bits(1)),
        Register("DCR", 0x04, writable=0x001F0701),
        Register("SR", 0x08, read_only=0x3F3F),
        Register("FCR", 0x0C, action=0x1B),
        Register("DLR", 0x10, writable=0xFFFFFFFF),
        Register("CCR", 0x14, writable=0xDF7FFFFF),
        Register("AR", 0x18, writable=0xFFFFFFFF),
        Register("ABR", 0x1C, writable=0xFFFFFFFF),
        Register("DR", 0x20, writable=0xFFFFFFFF, live=True, widths=ANY_WIDTH),
        Register("PSMKR", 0x24, writable=0xFFFFFFFF),
        Register("PSMAR", 0x28, writable=0xFFFFFFFF),
        Register("PIR", 0x2C, writable=0xFFFF),
        Register("LPTR", 0x30, writable=0xFFFF),
    )
    STATE = ("_busy", "_status", "_fifo", "_left", "_data", "_awaits_data")

    def __init__(self, chip: "Chip", base: int, memory: FlashMemory) -> None:
        self.memory = memory
        self._busy = False
        self._status = 0
        self._fifo: deque[int] = deque()  # what is read and not yet fetched
        self._left = b""  # what the flash still has to send
        self._data = b""  # what is written
        self._awaits_data = False
        self._checked: set[tuple[int, int]] = set()  # commands (CCR, ABR) that were found right
        self._finish = chip.time.event(self._on_finished)
        self._arrival = chip.time.event(self._on_arrived)
        super().__init__(chip, base)

    def reset(self) -> None:
        super().reset()
        self._busy = self._awaits_data = False
        self._status = 0
        self._fifo.clear()
        self._left = self._data = b""
        self._finish.cancel()
        self._arrival.cancel()

    # --- configuration ---

    def write_cr(self, value: int, old: int) -> None:
        self.rule(
            not value & bits(2, 3, 6, 7, 22, 23, (20, 16)),
            "CR: DMA, time-out, dual flash, polling and interrupts are not modelled",
        )
        self.rule(not self._busy or not (value ^ old) & ~bits(1, (12, 8)), "CR changed while BUSY is set")
        if value & 1 and not old & 1:
            for names, function in _PINS:
                self.chip.pins.require_alternate(self, names, function)
        self["CR"] = value & ~bits(1)
        self._show()
        if value & bits(1):
            self._abort()

    def _abort(self) -> None:
        self._finish.cancel()
        self._arrival.cancel()
        self._fifo.clear()
        self._left = self._data = b""
        self._busy = self._awaits_data = False
        self._status |= TCF
        self._show()

    def write_dcr(self, value: int, _old: int) -> None:
        self._not_busy("DCR")
        found = field(value, 20, 16) + 1
        self.rule(
            found == _FLASH_ADDRESS_BITS, f"DCR.FSIZE says {1 << found} bytes, the flash has {1 << _FLASH_ADDRESS_BITS}"
        )
        self["DCR"] = value

    def _not_busy(self, name: str) -> None:
        self.rule(not self._busy, f"{name} written while BUSY is set")

    def write_dlr(self, value: int, _old: int) -> None:
        self._not_busy("DLR")
        self["DLR"] = value

    def write_abr(self, value: int, _old: int) -> None:
        self._not_busy("ABR")
        self["ABR"] = value

    def write_fcr(self, value: int, _old: int) -> None:
        self._status &= ~value
        self._show()

    # --- commands ---

    @property
    def _megahertz(self) -> float:
        return float(self.chip.rcc.kernel_hertz("QUADSPI")) / (field(self["CR"], 31, 24) + 1) / 1e6

    def write_ccr(self, value: int, _old: int) -> None:
        self._not_busy("CCR")
        self.rule(bool(self["CR"] & 1), "CCR written while EN is clear")
        self.rule(field(value, 27, 26) < 2, "FMODE: only the indirect modes are modelled")
        self.rule(not value & bits(31, 30, 28), "DDRM, DHHC and SIOO are not used with this flash")
        self.rule(bool(self["DCR"]), "a command before DCR.FSIZE is set")
        self["CCR"] = value
        self._awaits_data = False
        self._data = b""
        if not field(value, 11, 10):
            self._begin()

    def write_ar(self, value: int, _old: int) -> None:
        self._not_busy("AR")
        self.rule(value < 1 << _FLASH_ADDRESS_BITS, f"AR = {value:#x} is beyond the flash's end: TEF")
        self["AR"] = value
        if field(self["CCR"], 11, 10):
            self._begin()

    def _begin(self) -> None:
        """The command is complete but for data to be written."""
        control = self["CCR"]
        reads = field(control, 27, 26) == 1
        data_lines = field(control, 25, 24)
        if field(control, 7, 0) == _END_CONTINUOUS and not data_lines:
            self._start(0)
            return
        command = self.memory.check(field(control, 7, 0), self._megahertz)
        if (control, self["ABR"]) not in self._checked:
            self._check_lines(command, control, data_lines, reads)
            self._checked.add((control, self["ABR"]))
        if not data_lines:
            self._start(0)
        elif reads:
            count = self["DLR"] + 1
            self._left = self.memory.read(field(control, 7, 0), self["AR"], count)
            self._start(None)
        else:
            self.rule(command.writes, f"{command.name} in the indirect write mode")
            self._awaits_data = True
            self._show()

    def _check_lines(self, command: Command, control: int, data_lines: int, reads: bool) -> None:
        self.rule(field(control, 9, 8) == 1, "IMODE: this flash takes instructions on one line")
        address_lines = field(control, 11, 10)
        self.rule(
            address_lines == command.address and data_lines == command.data,
            f"{command.name} with ADMODE {address_lines} and DMODE {data_lines}, "
            f"it takes {command.address} and {command.data}",
        )
        self.rule(not address_lines or field(control, 13, 12) == 2, f"{command.name}: ADSIZE has to be 24 bits")
        dummy = field(control, 22, 18)
        mode_lines = field(control, 15, 14)
        if command.mode_byte:
            one_byte = mode_lines == address_lines and field(control, 17, 16) == 0
            self.rule(one_byte, f"{command.name} needs its mode byte: ABMODE like ADMODE, ABSIZE 8 bits")
            self.rule(self["ABR"] & 0xF0 != 0xA0, f"{command.name} with mode bits 0xA0 stays in that mode")
        else:
            self.rule(not mode_lines, f"{command.name} has no mode byte")
        self.rule(dummy == command.dummy, f"{command.name} with {dummy} dummy cycles, it takes {command.dummy}")
        self.rule(reads == bool(data_lines and not command.writes), f"{command.name} with the wrong FMODE")

    def _header_clocks(self) -> int:
        control = self["CCR"]
        clocks = 8 + field(control, 22, 18)
        if lines := _LINES[field(control, 11, 10)]:
            clocks += 24 // lines
        if lines := _LINES[field(control, 15, 14)]:
            clocks += 8 // lines
        return clocks

    def _start(self, written: int | None) -> None:
        """The clock begins; written: bytes to send, None for a read."""
        self._busy = True
        control = self["CCR"]
        count = min(len(self._left), FIFO_BYTES) if written is None else written
        clocks = self._header_clocks() + count * 8 // (_LINES[field(control, 25, 24)] or 1)
        event = self._arrival if written is None else self._finish
        seconds = clocks / (self._megahertz * 1e6)
        if self.memory.status & WIP:
            seconds += _WAITING_SECONDS
        event.after(seconds)
        self._show()

    def _on_finished(self) -> None:
        """A command without data to read has gone out."""
        self._busy = False
        self._status |= TCF
        self._show()
        data, self._data = self._data, b""
        if field(self["CCR"], 7, 0) == _END_CONTINUOUS:
            self.memory.end_continuous_read(field(self["CCR"], 11, 10) == 3)
            return
        self.memory.execute(field(self["CCR"], 7, 0), self["AR"], data)

    # --- data ---

    def _on_arrived(self) -> None:
        """The first bytes of a read are in the FIFO; from then on they come as fast as they are fetched."""
        self._take(min(FIFO_BYTES, len(self._left)))

    def _take(self, count: int) -> None:
        self._fifo.extend(self._left[:count])
        self._left = self._left[count:]
        if not self._left:
            self._status |= TCF
        self._show()

    def _show(self) -> None:
        """The status register."""
        level = len(self._fifo)
        if field(self["CCR"], 27, 26) == 1:
            ready = level > field(self["CR"], 12, 8) or (not self._left and level > 0)
        else:
            ready = self._awaits_data
        self["SR"] = self._status | (FTF if ready else 0) | (BUSY if self._busy else 0) | level << 8

    def read(self, address: int, size: int) -> int:
        if address - self.base != 0x20:
            return super().read(address, size)
        self._register(address, size, "read")
        missing = size - len(self._fifo)
        if missing > 0:
            # The bus waits until the bytes are there; only what was never asked for does not come.
            count = len(self._left)
            self.rule(missing <= count, f"DR read for {size} bytes while {len(self._fifo) + count} are left")
            if self._arrival.due != NEVER:
                self.chip.time.stall(self._arrival.due)
                self._arrival.cancel()
            self._take(missing)
        value = int.from_bytes(bytes(self._fifo.popleft() for _ in range(size)), "little")
        if self._left and self._arrival.due == NEVER:
            self._take(min(FIFO_BYTES - len(self._fifo), len(self._left)))
        if not self._left and not self._fifo:
            self._busy = False
        self._show()
        return value

    def read_dr(self) -> int:
        raise AssertionError("read() looks after DR itself")

    def write(self, address: int, size: int, value: int) -> None:
        if address - self.base != 0x20:
            super().write(address, size, value)
            return
        self._register(address, size, "write")
        self.rule(self._awaits_data, "DR written while no command waits for data")
        self._data += value.to_bytes(size, "little")
        total = self["DLR"] + 1
        self.rule(len(self._data) <= total, f"DR written with more than the {total} bytes of DLR")
        self._busy = True
        if len(self._data) == total:
            self._awaits_data = False
            self._start(total)
        self._show()
