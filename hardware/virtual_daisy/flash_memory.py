"""IS25LP064A: 8 MB of serial NOR flash, which can lose power at any byte."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from hardware.virtual_daisy.errors import PowerCut
from hardware.virtual_daisy.time_line import TICKS_PER_SECOND

if TYPE_CHECKING:
    from hardware.virtual_daisy.chip import Chip

SECTOR, PAGE, SIZE = 4096, 256, 8 * 1024 * 1024
IDENTIFICATION = bytes([0x9D, 0x60, 0x17])
WIP, WEL, QE = 1, 2, 0x40
_ERASE_STEP = 64  # bytes that a step of an erase counts as, for the power cut
# typical times of the datasheet, in seconds
_PROGRAM_SECONDS, _WRITE_STATUS_SECONDS = 0.2e-3, 2e-3
_ERASES = {0xD7: (SECTOR, 70e-3), 0x20: (SECTOR, 70e-3), 0x52: (32768, 0.1), 0xD8: (65536, 0.15)}


@dataclass(frozen=True)
class Command:
    """How an instruction goes over the lines: 0 not at all, 1 one, 3 four; dummy clocks; fastest SCK in MHz."""

    name: str
    address: int = 0
    data: int = 0
    dummy: int = 0
    mode_byte: bool = False
    writes: bool = False
    megahertz: int = 133


COMMANDS = {
    0x9F: Command("RDID", data=1),
    0x05: Command("RDSR", data=1),
    0x01: Command("WRSR", data=1, writes=True),
    0x06: Command("WREN"),
    0x04: Command("WRDI"),
    0x03: Command("NORD", address=1, data=1, megahertz=50),
    0x0B: Command("FRD", address=1, data=1, dummy=8),
    0x6B: Command("FRQO", address=1, data=3, dummy=8),
    0xEB: Command("FRQIO", address=3, data=3, dummy=4, mode_byte=True),
    0x02: Command("PP", address=1, data=1, writes=True),
    0x32: Command("PPQ", address=1, data=3, writes=True),
    0x38: Command("PPQ", address=1, data=3, writes=True),
    0xD7: Command("SER", address=1),
    0x20: Command("SER", address=1),
    0x52: Command("BER32K", address=1),
    0xD8: Command("BER64K", address=1),
    0x66: Command("RSTEN"),
    0x99: Command("RST"),
    0xAB: Command("RDPD"),
}


class FlashMemory:
    """The memory and its status; the QUADSPI model talks to it in whole commands."""

    def __init__(self, chip: "Chip", contents: bytes | None) -> None:
        """contents: 8 MB, or less at the start and the rest erased; None: erased."""
        data = (contents or b"").ljust(SIZE, b"\xff")
        if len(data) != SIZE:
            raise ValueError(f"the flash has {SIZE} bytes, not {len(data)}")
        blank = b"\xff" * SECTOR
        sectors = (data[at : at + SECTOR] for at in range(0, SIZE, SECTOR))
        self._sectors = [blank if sector == blank else sector for sector in sectors]
        self._chip = chip
        self._status = 0
        self._busy_until = 0
        self._reset_armed = False
        self.continuous_read = (
            False  # the mode (AX) in which other firmware may have left the chip without a power cycle
        )
        self.time_scale = 1.0  # of the typical times: less makes long tests shorter
        self.worn = 0  # bytes programmed and erased since the machine was made
        self.power_fails_after: int | None = None

    @property
    def contents(self) -> bytes:
        return b"".join(self._sectors)

    @property
    def status(self) -> int:
        """The status register now."""
        if self._busy_until and self._chip.time.now >= self._busy_until:
            self._busy_until = 0
            self._status &= ~(WIP | WEL)
        return self._status

    def power_on(self) -> None:
        """QE and the contents are kept, the rest is not."""
        self._status &= QE
        self._busy_until = 0
        self.continuous_read = False

    def end_continuous_read(self, four_lines: bool) -> None:
        """Mode bits other than 0xA0 on four lines."""
        if four_lines:
            self.continuous_read = False

    def check(self, instruction: int, megahertz: float) -> Command:
        """The command of `instruction`; ends the run when it cannot be given now."""
        command = COMMANDS.get(instruction)
        if command is None:
            self._fail(f"instruction {instruction:#04x} is not one of this chip's, or not modelled")
        if self.continuous_read:
            self._fail(f"{command.name} while the chip is in its continuous read mode and takes no instruction")
        if megahertz > command.megahertz:
            self._fail(f"{command.name} at {megahertz:g} MHz, {command.megahertz} MHz is the most")
        if self.status & WIP and command.name != "RDSR":
            self._fail(f"{command.name} while WIP is set: the chip ignores it")
        if 3 in (command.address, command.data) and not self.status & QE:
            self._fail(f"{command.name} on four lines while QE is clear")
        return command

    def _fail(self, text: str) -> NoReturn:
        self._chip.fail(f"IS25LP064A: {text}")

    def read(self, instruction: int, address: int, size: int) -> bytes:
        """What a reading command gives."""
        name = COMMANDS[instruction].name
        if name == "RDID":
            return (IDENTIFICATION * (size // 3 + 1))[:size]
        if name == "RDSR":
            return bytes([self.status]) * size
        sectors = range(address // SECTOR, (address + size - 1) // SECTOR + 1)
        data = b"".join(self._sectors[sector % len(self._sectors)] for sector in sectors)
        return data[address % SECTOR : address % SECTOR + size]

    def execute(self, instruction: int, address: int, data: bytes) -> None:
        """A command that reads nothing, when chip select goes high."""
        name = COMMANDS[instruction].name
        armed, self._reset_armed = self._reset_armed, name == "RSTEN"
        if name == "WREN":
            self._status |= WEL
        elif name == "WRDI":
            self._status &= ~WEL
        elif name == "RST":
            if not armed:
                self._fail("RST without RSTEN before it")
            self._status &= QE
        elif name in ("RSTEN", "RDPD"):
            pass
        else:
            if not self.status & WEL:
                self._fail(f"{name} without WREN before it: the chip ignores it")
            if instruction in _ERASES:
                size, seconds = _ERASES[instruction]
                self._erase(address // size * size, size)
            elif name == "WRSR":
                self._status = self._status & (WIP | WEL) | data[0] & 0xFC
                seconds = _WRITE_STATUS_SECONDS
            else:
                self._program(address, data)
                seconds = _PROGRAM_SECONDS
            self._status |= WIP
            self._busy_until = self._chip.time.now + round(seconds * self.time_scale * TICKS_PER_SECOND)

    def _left(self) -> int | None:
        return None if self.power_fails_after is None else max(self.power_fails_after - self.worn, 0)

    def _program(self, address: int, data: bytes) -> None:
        """Bits go from 1 to 0; past the page's end the address wraps to its start."""
        page = address // PAGE * PAGE
        last = {(address + n) % PAGE: byte for n, byte in enumerate(data)}  # of more than a page the last 256 count
        order = list(last.items())
        left = self._left()
        done = order if left is None or left >= len(order) else order[:left]
        sector = bytearray(self._sectors[page // SECTOR])
        for offset, byte in done:
            sector[page % SECTOR + offset] &= byte
        cut = len(done) < len(order)
        if cut:
            offset, byte = order[len(done)]
            half = int(np.random.default_rng(self.worn + len(done)).integers(256))
            sector[page % SECTOR + offset] &= byte | half
        self._sectors[page // SECTOR] = bytes(sector)
        self.worn += len(done)
        if cut:
            raise PowerCut(f"after {len(done)} of {len(order)} bytes of a page at {page:#x}")

    def _erase(self, address: int, size: int) -> None:
        left = self._left()
        steps = size // _ERASE_STEP
        done = steps if left is None else min(left // _ERASE_STEP, steps)
        self.worn += done * _ERASE_STEP
        for at in range(address, address + size, SECTOR):
            number = at // SECTOR
            if done == steps:
                self._sectors[number] = b"\xff" * SECTOR
            else:
                # Cells rise together: a sector that was half erased reads as anything between old and erased.
                old = np.frombuffer(self._sectors[number], np.uint8)
                rising = np.random.default_rng([number, done]).integers(0, 256, SECTOR, np.uint8)
                self._sectors[number] = (old | rising).tobytes() if done else self._sectors[number]
        if done < steps:
            raise PowerCut(f"in step {done} of {steps} of the erase at {address:#x}")

    def save(self) -> tuple[Any, ...]:
        return list(self._sectors), self._status, self._busy_until, self._reset_armed, self.worn

    def restore(self, saved: tuple[Any, ...]) -> None:
        sectors, self._status, self._busy_until, self._reset_armed, self.worn = saved
        self._sectors[:] = sectors
