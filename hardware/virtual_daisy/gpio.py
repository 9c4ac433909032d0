"""GPIO ports and what is wired to their pins."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from hardware.virtual_daisy.peripheral import ANY_WIDTH, Peripheral, Register, field

if TYPE_CHECKING:
    from hardware.virtual_daisy.chip import Chip

INPUT, OUTPUT, ALTERNATE, ANALOG = range(4)
PORTS = "ABCDEFGHIJK"
_DEBUG_PINS = {("A", 13), ("A", 14)}
_RESETS = {"A": (0xABFFFFFF, 0x0C000000, 0x64000000), "B": (0xFFFFFEBF, 0x000000C0, 0x00000100)}
_WIDE = (2, 4)


class Gpio(Peripheral):
    SECTION = "11.4"
    STATE = ("wired",)

    def __init__(self, chip: "Chip", letter: str) -> None:
        self.letter = letter
        self.NAME = f"GPIO{letter}"
        mode, speed, pull = _RESETS.get(letter, (0xFFFFFFFF, 0, 0))
        everything = 0xFFFFFFFF
        self.REGISTERS = (
            Register("MODER", 0x00, reset=mode, writable=everything, widths=ANY_WIDTH),
            Register("OTYPER", 0x04, writable=0xFFFF, widths=ANY_WIDTH),
            Register("OSPEEDR", 0x08, reset=speed, writable=everything, widths=ANY_WIDTH),
            Register("PUPDR", 0x0C, reset=pull, writable=everything, widths=ANY_WIDTH),
            Register("IDR", 0x10, read_only=0xFFFF, widths=ANY_WIDTH),
            Register("ODR", 0x14, writable=0xFFFF, widths=ANY_WIDTH),
            Register("BSRR", 0x18, action=everything, live=True, widths=_WIDE),
            Register("AFRL", 0x20, writable=everything, widths=ANY_WIDTH),
            Register("AFRH", 0x24, writable=everything, widths=ANY_WIDTH),
        )
        self.wired: dict[int, int] = {}  # pin -> level that something outside holds it at
        self.watchers: dict[int, Callable[[bool], None]] = {}
        super().__init__(chip, 0x58020000 + 0x400 * PORTS.index(letter))

    def reset(self) -> None:
        super().reset()
        self._update()

    def wire(self, pin: int, level: int | None) -> None:
        """Something outside holds `pin` at a level, or lets it go."""
        if level is None:
            self.wired.pop(pin, None)
        else:
            self.wired[pin] = level
        self._update()

    def mode(self, pin: int) -> int:
        return field(self["MODER"], 2 * pin + 1, 2 * pin)

    def alternate(self, pin: int) -> int | None:
        """The alternate function of a pin, None when its mode is another."""
        if self.mode(pin) != ALTERNATE:
            return None
        return self["AFRL" if pin < 8 else "AFRH"] >> 4 * (pin % 8) & 0xF

    def open_drain(self, pin: int) -> bool:
        return bool(self["OTYPER"] >> pin & 1)

    def output(self, pin: int) -> bool | None:
        """The level that a pin drives, None when it is no output."""
        return bool(self["ODR"] >> pin & 1) if self.mode(pin) == OUTPUT else None

    def write_moder(self, value: int, old: int) -> None:
        for letter, pin in _DEBUG_PINS:
            if letter == self.letter and (value ^ old) & 3 << 2 * pin:
                self.error(f"MODER takes P{letter}{pin} away from the debug port (SWD)")
        self["MODER"] = value
        self._update()

    def write_pupdr(self, value: int, _old: int) -> None:
        self.rule(not value & value >> 1 & 0x55555555, f"PUPDR = {value:#010x} has the reserved value 0b11")
        self["PUPDR"] = value
        self._update()

    def write_otyper(self, value: int, _old: int) -> None:
        self["OTYPER"] = value
        self._update()

    def write_odr(self, value: int, _old: int) -> None:
        self["ODR"] = value
        self._update()

    def read_bsrr(self) -> int:
        self.error("BSRR is write-only")

    def write(self, address: int, size: int, value: int) -> None:
        if address - self.base == 0x1A and size == 2:  # the upper half: bits to clear
            address, size, value = address - 2, 4, value << 16
        super().write(address, size, value)

    def write_bsrr(self, value: int, _old: int) -> None:
        output = self["ODR"] & ~(value >> 16) | value & 0xFFFF
        if output != self["ODR"]:
            self["ODR"] = output
            self._update()

    def write_afrl(self, value: int, _old: int) -> None:
        self["AFRL"] = value

    def _update(self) -> None:
        """The levels of all pins, and who wants to know them."""
        levels = 0
        for pin in range(16):
            mode = self.mode(pin)
            level = 0
            if mode == ANALOG:
                level = 0
            elif mode == OUTPUT and not (self.open_drain(pin) and self["ODR"] >> pin & 1):
                level = self["ODR"] >> pin & 1
                held = self.wired.get(pin, level)
                self.rule(
                    held == level, f"P{self.letter}{pin} drives {level} against {held} from outside: a short circuit"
                )
            elif pin in self.wired:
                level = self.wired[pin]
            else:
                level = field(self["PUPDR"], 2 * pin + 1, 2 * pin) & 1
            levels |= level << pin
        self["IDR"] = levels
        for pin, watcher in self.watchers.items():
            watcher(bool(self.output(pin)))


class Pins:
    """All ports, addressed by names such as PE4."""

    def __init__(self, chip: "Chip") -> None:
        self.ports = {letter: Gpio(chip, letter) for letter in PORTS}

    def split(self, name: str) -> tuple[Gpio, int]:
        return self.ports[name[1]], int(name[2:])

    def require_alternate(self, user: Peripheral, names: str, function: int) -> None:
        """End the run unless every pin of `names` (blank between) has the alternate function."""
        for name in names.split():
            port, pin = self.split(name)
            found = port.alternate(pin)
            user.rule(
                found == function, f"{name} has to be in alternate function {function}, it is {_mode_text(port, pin)}"
            )


def _mode_text(port: Gpio, pin: int) -> str:
    found = port.alternate(pin)
    if found is not None:
        return f"in function {found}"
    return {INPUT: "an input", OUTPUT: "an output", ANALOG: "analog"}[port.mode(pin)]
