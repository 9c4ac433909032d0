"""What every model of a peripheral is made of: a table of registers as the manual prints it, and what writes do."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from hardware.virtual_daisy.native import PAGE, READ_NATIVE

if TYPE_CHECKING:
    from hardware.virtual_daisy.chip import Chip

WORD = (4,)
ANY_WIDTH = (1, 2, 4)


def bits(*fields: int | tuple[int, int]) -> int:
    """A mask of single bits and of (last, first) fields, in the order of the manual's pictures."""
    mask = 0
    for item in fields:
        last, first = item if isinstance(item, tuple) else (item, item)
        mask |= (1 << last + 1) - (1 << first)
    return mask


def field(value: int, last: int, first: int | None = None) -> int:
    """Bits `last` to `first` of `value`, or the single bit `last`."""
    first = last if first is None else first
    return value >> first & (1 << last - first + 1) - 1


@dataclass(frozen=True)
class Register:
    """One register of a peripheral.

    writable: bits that keep what is written. read_only: bits that the hardware sets; writing them does nothing. action:
    bits that do something when written and read as 0. Any other bit is reserved: it must be written with its reset
    value. live: reading has a side effect or computes the value, so that the model's `read_<name>` is called.
    """

    name: str
    offset: int
    reset: int = 0
    writable: int = 0
    read_only: int = 0
    action: int = 0
    live: bool = False
    widths: tuple[int, ...] = WORD


class Peripheral:
    """Base of the models.

    A subclass names its registers in REGISTERS; for register XY it may have `write_xy(value, old)`, called after the
    checks in place of storing, and `read_xy()` for a live register. STATE names the attributes that a snapshot has to
    keep.
    """

    NAME = ""
    SECTION = ""  # of RM0433, unless it says otherwise
    PAGES = 1  # of registers
    REGISTERS: tuple[Register, ...] = ()
    STATE: tuple[str, ...] = ()

    def __init__(self, chip: "Chip", base: int) -> None:
        self.chip = chip
        self.base = base
        self.clocked = True
        self._at = {base + register.offset: register for register in self.REGISTERS}
        self._place = {register.name: register.offset >> 2 for register in self.REGISTERS}
        self._writers: dict[str, Callable[[int, int], None] | None] = {}
        self._readers: dict[str, Callable[[], int]] = {}
        for register in self.REGISTERS:
            name = register.name.lower()
            self._writers[register.name] = getattr(self, f"write_{name}", None)
            if register.live:
                self._readers[register.name] = getattr(self, f"read_{name}", self._write_only)
        self._values, self._flags = chip.window(base, self.PAGES)
        self._first = (base % PAGE) >> 2
        chip.attach(self, self._at)
        self._set_flags()

    def _write_only(self) -> int:
        self.error("a write-only register is read")

    def _set_flags(self) -> None:
        for register in self.REGISTERS:
            native = self.clocked and not register.live
            self._flags[self._first + (register.offset >> 2)] = READ_NATIVE if native else 0

    def set_clocked(self, clocked: bool) -> None:
        """The RCC switches the peripheral's bus clock."""
        if clocked != self.clocked:
            self.clocked = clocked
            self._set_flags()

    def __getitem__(self, name: str) -> int:
        return self._values[self._first + self._place[name]]

    def __setitem__(self, name: str, value: int) -> None:
        self._values[self._first + self._place[name]] = value

    def reset(self) -> None:
        """All registers as after a reset; subclasses add what else they hold."""
        for register in self.REGISTERS:
            self[register.name] = register.reset

    def error(self, text: str) -> NoReturn:
        """End the run."""
        section = f" ({self.SECTION})" if self.SECTION.startswith(("RM", "Arm", "PM")) else f" (RM0433 {self.SECTION})"
        self.chip.fail(f"{self.NAME}: {text}{section if self.SECTION else ''}")

    def rule(self, kept: bool, text: str) -> None:
        """A rule of the manual: end the run with `text` when it is broken."""
        if not kept:
            self.error(text)

    def read(self, address: int, size: int) -> int:
        register = self._register(address, size, "read")
        if register.live:
            return self._readers[register.name]()
        return self._values[self._first + (register.offset >> 2)] >> 8 * (address & 3) & (1 << 8 * size) - 1

    def write(self, address: int, size: int, value: int) -> None:
        register = self._register(address, size, "write")
        old = self[register.name]
        if size != 4 and register.writable and not register.live:
            shift = 8 * (address & 3)
            mask = (1 << 8 * size) - 1 << shift
            value = old & ~mask | value << shift & mask
        known = register.writable | register.read_only | register.action
        reserved = (value ^ register.reset) & ~known & 0xFFFFFFFF
        if reserved:
            self.error(f"{register.name} written with {value:#010x}: reserved bits {_names(reserved)} change")
        writer = self._writers[register.name]
        if writer:
            writer(value, old)
        elif register.writable or register.action:
            self[register.name] = old & ~register.writable | value & register.writable
        else:
            self.error(f"{register.name} is read-only")

    def _register(self, address: int, size: int, access: str) -> Register:
        register = self._at.get(address & ~3)
        if register is None:
            self.error(f"{access} at offset {address - self.base:#x}, where no register is modelled")
        if not self.clocked:
            self.error(f"{access} of {register.name} while the peripheral's clock is off in the RCC")
        if size not in register.widths or address & size - 1:
            self.error(f"{access} of {register.name} with {8 * size} bits")
        return register

    def save(self) -> dict[str, Any]:
        """All that is not in registers."""
        return {name: copy.copy(getattr(self, name)) for name in (*self.STATE, "clocked")}

    def restore(self, saved: dict[str, Any]) -> None:
        clocked = self.clocked
        for name, value in saved.items():
            setattr(self, name, copy.copy(value))
        if clocked != self.clocked:
            self._set_flags()


def _names(mask: int) -> str:
    return ", ".join(str(bit) for bit in range(32) if mask >> bit & 1)
