"""IWDG1, and the registers that outlive a reset."""

from functools import partial
from typing import TYPE_CHECKING, Any

from hardware.virtual_daisy.clocks import LSI_HERTZ
from hardware.virtual_daisy.errors import WatchdogReset
from hardware.virtual_daisy.native import FED, FED_AT, WRITE_FEED
from hardware.virtual_daisy.peripheral import Peripheral, Register
from hardware.virtual_daisy.time_line import TICKS_PER_SECOND

if TYPE_CHECKING:
    from hardware.virtual_daisy.chip import Chip

_UPDATE_SECONDS = 5 / LSI_HERTZ  # up to five periods of the watchdog's clock (45.4.4)


class Watchdog(Peripheral):
    NAME = "IWDG1"
    SECTION = "45.4"
    REGISTERS = (
        Register("KR", 0x00, action=0xFFFF, live=True),
        Register("PR", 0x04, writable=0x7),
        Register("RLR", 0x08, reset=0xFFF, writable=0xFFF),
        Register("SR", 0x0C, read_only=0x7),
        Register("WINR", 0x10, reset=0xFFF, writable=0xFFF),
    )
    STATE = ("running", "_open", "_deadline")

    def __init__(self, chip: "Chip", base: int) -> None:
        self.running = False
        self._open = False
        self._deadline = 0
        self._expiry = chip.time.event(self._expired)
        self._updates = {
            name: chip.time.event(partial(self._updated, n)) for n, name in enumerate(("PR", "RLR", "WINR"))
        }
        super().__init__(chip, base)

    def reset(self) -> None:
        super().reset()
        self.running = self._open = False
        for event in (self._expiry, *self._updates.values()):
            event.cancel()
        self._allow_native()

    def _allow_native(self) -> None:
        """Once it runs, the feeding in the main loop needs no model: the time of the last one is enough."""
        self._flags[self._first] = WRITE_FEED if self.running and not self._open else 0

    def read_kr(self) -> int:
        return 0

    def write_kr(self, value: int, _old: int) -> None:
        self.rule(value in (0x5555, 0xAAAA, 0xCCCC), f"KR written with {value:#06x}, which is no key")
        self._open = value == 0x5555
        if value == 0xCCCC:
            self.running = True
            self.chip.rcc.start_lsi()
        if value != 0x5555 and self.running:
            self._feed(self.chip.time.now)
        self._allow_native()

    def _timeout(self) -> int:
        divider = 4 << min(self["PR"], 6)
        return (self["RLR"] + 1) * divider * TICKS_PER_SECOND // LSI_HERTZ

    def _feed(self, tick: int) -> None:
        self.chip.store.state[FED] = 0
        self._deadline = tick + self._timeout()
        self._expiry.at(self._deadline)

    def _write_protected(self, name: str, value: int, flag: int) -> None:
        self.rule(self._open, f"{name} written without the key 0x5555 before it")
        self.rule(not self["SR"] >> flag & 1, f"{name} written while the last write of it is not done (SR)")
        self[name] = value
        self["SR"] |= 1 << flag
        self._updates[name].after(_UPDATE_SECONDS)

    def write_pr(self, value: int, _old: int) -> None:
        self._write_protected("PR", value, 0)

    def write_rlr(self, value: int, _old: int) -> None:
        self._write_protected("RLR", value, 1)

    def write_winr(self, value: int, _old: int) -> None:
        self.rule(value == 0xFFF, "the watchdog's window is not modelled")
        self._write_protected("WINR", value, 2)

    def _updated(self, flag: int) -> None:
        self["SR"] &= ~(1 << flag)

    def _expired(self) -> None:
        state = self.chip.store.state
        if state[FED]:
            self._feed(self.chip.time.tick_at(state[FED_AT]))
            return
        raise WatchdogReset(f"not fed for {self._timeout() / TICKS_PER_SECOND:.3f} s")

    def restore(self, saved: dict[str, Any]) -> None:
        super().restore(saved)
        self._allow_native()


class BackupRegisters(Peripheral):
    """The RTC as far as its backup registers: they keep their contents in every reset but a loss of power."""

    NAME = "RTC"
    SECTION = "46.6.20"
    REGISTERS = tuple(Register(f"BKP{n}R", 0x50 + 4 * n, writable=0xFFFFFFFF) for n in range(32))

    def reset(self) -> None:
        """No system reset touches them."""

    def power_on(self) -> None:
        super().reset()

    def write(self, address: int, size: int, value: int) -> None:
        self.rule(self.chip.pwr.backup_writable, "backup register written while PWR_CR1.DBP is clear (6.4.2)")
        super().write(address, size, value)
