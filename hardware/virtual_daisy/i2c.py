"""I2C2 as a master that writes, polled."""

from typing import TYPE_CHECKING

from hardware.virtual_daisy.peripheral import Peripheral, Register, bits, field

if TYPE_CHECKING:
    from hardware.virtual_daisy.chip import Chip

TXE, TXIS, NACKF, STOPF, TC, BUSY = 1, 2, 16, 32, 64, 1 << 15
_FASTEST_HERTZ = 400_000
_PINS, _FUNCTION = "PH4 PB11", 4


class I2c(Peripheral):
    NAME = "I2C2"
    SECTION = "47.7"
    REGISTERS = (
        Register("CR1", 0x00, writable=0x00FFDFFF),
        Register("CR2", 0x04, writable=0x07FFFFFF),
        Register("OAR1", 0x08, writable=0x87FF),
        Register("OAR2", 0x0C, writable=0x87FE),
        Register("TIMINGR", 0x10, writable=0xF0FFFFFF),
        Register("TIMEOUTR", 0x14, writable=0x8FFF9FFF),
        Register("ISR", 0x18, reset=1, writable=0b11, read_only=0x00FFBFFC),
        Register("ICR", 0x1C, action=0x3F38),
        Register("PECR", 0x20, read_only=0xFF),
        Register("RXDR", 0x24, read_only=0xFF, live=True),
        Register("TXDR", 0x28, writable=0xFF),
    )
    STATE = ("_data", "_phase")

    def __init__(self, chip: "Chip", base: int) -> None:
        self._data = b""
        self._phase = ""  # what the bus is doing: address, byte, stop
        self._step = chip.time.event(self._on_step)
        super().__init__(chip, base)

    def reset(self) -> None:
        super().reset()
        self._data, self._phase = b"", ""
        self._step.cancel()

    @property
    def clock_hertz(self) -> float:
        """SCL by TIMINGR, without the delays of filters and slopes (47.4.9)."""
        timing = self["TIMINGR"]
        periods = (field(timing, 31, 28) + 1) * (field(timing, 7, 0) + 1 + field(timing, 15, 8) + 1)
        return float(self.chip.rcc.kernel_hertz("I2C2")) / periods

    def write_cr1(self, value: int, old: int) -> None:
        self.rule(not value & (0xFE | bits((23, 13))), "CR1: only a polled master is modelled")
        self.rule(not (value & old & 1) or not (value ^ old) & bits((12, 8)), "CR1's filters changed while PE is set")
        self["CR1"] = value
        if value & 1 and not old & 1:
            self.rule(self["TIMINGR"] != 0, "PE set while TIMINGR is 0")
            self.rule(
                self.clock_hertz <= 1.02 * _FASTEST_HERTZ,
                f"SCL of {self.clock_hertz:g} Hz is more than the codec's bus takes",
            )
            self.chip.pins.require_alternate(self, _PINS, _FUNCTION)
            for name in _PINS.split():
                port, pin = self.chip.pins.split(name)
                self.rule(port.open_drain(pin), f"{name} is push-pull, an I2C pin has to be open drain")
        if not value & 1:
            self["ISR"] = 1
            self["CR2"] &= ~bits(13, 14)
            self._step.cancel()

    def write_timingr(self, value: int, _old: int) -> None:
        self.rule(not self["CR1"] & 1, "TIMINGR written while PE is set")
        self["TIMINGR"] = value

    def write_cr2(self, value: int, old: int) -> None:
        if old & bits(13):
            self.rule(
                not (value ^ old) & 0x3FF and not (value ^ old) & bits((23, 16)), "CR2 changed while START is set"
            )
        self["CR2"] = value & ~bits(13, 14)
        if value & bits(13):
            self.rule(bool(self["CR1"] & 1), "START set while PE is clear")
            self.rule(not self["ISR"] & BUSY, "START set while the bus is busy")
            self.rule(
                not value & (bits(10, 11, 24) | bits(26)),
                "CR2: only writes of up to 255 bytes to 7-bit addresses are modelled",
            )
            self.rule(
                not self["ISR"] & (NACKF | STOPF), "START set while NACKF or STOPF of the last transfer is not cleared"
            )
            self["CR2"] |= bits(13)
            self["ISR"] |= BUSY
            self._data = b""
            self._then("address", 10)
        if value & bits(14):
            self.rule(bool(self["ISR"] & BUSY), "STOP set while no transfer runs")
            self._then("stop", 1)

    def _then(self, phase: str, bit_times: int) -> None:
        self._phase = phase
        self._step.after(bit_times / self.clock_hertz)

    def write_txdr(self, value: int, _old: int) -> None:
        self.rule(bool(self["ISR"] & TXIS), "TXDR written while TXIS is clear")
        self._data += bytes([value])
        self["ISR"] &= ~(TXIS | TXE)
        self._then("byte", 9)

    def read_rxdr(self) -> int:
        self.error("RXDR read: reception is not modelled")

    def write_icr(self, value: int, _old: int) -> None:
        self["ISR"] &= ~(value & 0x3F38)

    def write_isr(self, value: int, _old: int) -> None:
        if value & 1:
            self["ISR"] |= TXE

    def _on_step(self) -> None:
        control = self["CR2"]
        device = self.chip.i2c_devices.get(field(control, 7, 1))
        if self._phase == "address":
            self["CR2"] &= ~bits(13)
            if device is None:
                self["ISR"] |= NACKF
                self._then("stop", 1)
            else:
                self._await_byte()
        elif self._phase == "byte":
            self["ISR"] |= TXE
            self._await_byte()
        else:
            self["ISR"] = self["ISR"] & ~(BUSY | TXIS | TC) | STOPF | TXE
            if device and self._data:
                device(self._data)

    def _await_byte(self) -> None:
        control = self["CR2"]
        if len(self._data) < field(control, 23, 16):
            self["ISR"] |= TXIS
        elif control & bits(25):
            self._then("stop", 1)
        else:
            self["ISR"] |= TC
