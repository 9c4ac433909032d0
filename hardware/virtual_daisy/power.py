"""Supply, voltage scaling, flash wait states and system configuration: what the clocks depend on."""

from typing import TYPE_CHECKING

from hardware.virtual_daisy.peripheral import ANY_WIDTH, Peripheral, Register, bits, field

if TYPE_CHECKING:
    from hardware.virtual_daisy.chip import Chip
    from hardware.virtual_daisy.clocks import Rcc

_REGULATOR_SECONDS = 50e-6
_VOS_BITS = {3: 0b01, 2: 0b10, 1: 0b11}
# SYSCLK, HCLK, APB limits in MHz by voltage scale: STM32H750 datasheet, general operating conditions
FREQUENCY_LIMITS = {0: (480, 240, 120), 1: (400, 200, 100), 2: (300, 150, 75), 3: (200, 100, 50)}
# RM0433 4.3.8, flash access latency: (up to MHz of the AXI clock, LATENCY, WRHIGHFREQ) by voltage scale
FLASH_LATENCY = {
    0: ((70, 0, 0), (140, 1, 1), (185, 2, 1), (210, 2, 2), (225, 3, 2), (240, 4, 2)),
    1: ((70, 0, 0), (140, 1, 1), (185, 2, 1), (210, 2, 2), (225, 3, 2)),
    2: ((55, 0, 0), (110, 1, 1), (165, 2, 1), (225, 3, 2)),
    3: ((45, 0, 0), (90, 1, 1), (135, 2, 1), (180, 3, 2), (225, 4, 2)),
}


class Pwr(Peripheral):
    NAME = "PWR"
    SECTION = "6.8"
    REGISTERS = (
        Register("CR1", 0x00, reset=0xF000C000, writable=bits(0, 4, (7, 5), 8, 9, (15, 14), 16, (18, 17))),
        Register("CSR1", 0x04, reset=0x00004000, read_only=bits(4, 13, (15, 14), 16)),
        Register("CR2", 0x08, writable=bits(0, 4), read_only=bits(16, (23, 20))),
        Register(
            "CR3", 0x0C, reset=0x00000006, writable=bits(0, 1, 2, 8, 9, 24, 25), read_only=bits(26), widths=ANY_WIDTH
        ),
        Register("CPUCR", 0x10, writable=bits(0, 1, 2, 11), read_only=bits(5, 6, 7, 8), action=bits(9)),
        Register("D3CR", 0x18, reset=0x00004000, writable=bits((15, 14)), read_only=bits(13)),
        Register("WKUPCR", 0x20, action=0x3F),
        Register("WKUPFR", 0x24, read_only=0x3F),
        Register("WKUPEPR", 0x28, writable=bits((5, 0), (13, 8), (27, 16))),
    )
    STATE = ("supply_chosen", "overdrive", "scale")

    def __init__(self, chip: "Chip", base: int) -> None:
        self.supply_chosen = False
        self.overdrive = False
        self.scale = 3  # the voltage scale that has settled
        self._ready = chip.time.event(self._settled)
        super().__init__(chip, base)

    def power_on(self) -> None:
        """The supply configuration survives all resets but this one."""
        self.supply_chosen = False
        self["CR3"] = 0x6
        self["CSR1"] = 0x4000

    def reset(self) -> None:
        supply = self["CR3"], self["CSR1"]
        super().reset()
        self.overdrive, self.scale = False, 3
        self["CR3"] = supply[0]
        self["CSR1"] = supply[1] & bits(13) | 0x4000
        if self.supply_chosen:
            self["D3CR"] |= bits(13)

    def write_cr3(self, value: int, old: int) -> None:
        supply = bits(0, 1, 2)
        if value & supply != old & supply or not self.supply_chosen:
            self.rule(not self.supply_chosen, "CR3's supply bits can be written only once after power-on")
            self.rule(bool(value & 2) and not value & 1, "the Daisy's core supply is the LDO: LDOEN = 1, BYPASS = 0")
            self.supply_chosen = True
            self._ready.after(_REGULATOR_SECONDS)
        regulated = bits(26) if value & (bits(24) | bits(25)) else 0
        self["CR3"] = value & ~bits(26) | regulated

    def write_d3cr(self, value: int, old: int) -> None:
        wanted = field(value, 15, 14)
        if wanted == field(old, 15, 14):
            return
        self.rule(wanted != 0, "VOS = 0b00 is reserved")
        self.rule(
            bool(self["CSR1"] & bits(13)), "VOS changed before ACTVOSRDY: the supply is not chosen by a write of CR3"
        )
        self.rule(not self.overdrive, "VOS changed while SYSCFG_PWRCR.ODEN is set: VOS0 is left by clearing ODEN first")
        scale = {code: scale for scale, code in _VOS_BITS.items()}[wanted]
        if scale > self.scale:
            self.chip.rcc.check_scale(scale)
            self.scale = scale
        self["D3CR"] = value & bits((15, 14))
        self._ready.after(_REGULATOR_SECONDS)

    def set_overdrive(self, on: bool) -> None:
        """SYSCFG_PWRCR.ODEN: from VOS1 to VOS0 and back (RM0433 6.6.2)."""
        if on and not self.overdrive:
            ready = bool(self["D3CR"] & bits(13))
            self.rule(self.scale == 1 and ready, "ODEN set before VOS1 is reached and VOSRDY is set")
            self.rule(bool(self["CR3"] & 2), "ODEN set without the LDO")
        elif not on and self.overdrive:
            self.chip.rcc.check_scale(1)
            self.scale = 1
        if on != self.overdrive:
            self.overdrive = on
            self["D3CR"] &= ~bits(13)
            self._ready.after(_REGULATOR_SECONDS)

    def _settled(self) -> None:
        code = field(self["D3CR"], 15, 14)
        scale = {code: scale for scale, code in _VOS_BITS.items()}[code]
        self.scale = 0 if self.overdrive else scale
        self["D3CR"] |= bits(13)
        self["CSR1"] = bits(13) | code << 14

    @property
    def backup_writable(self) -> bool:
        """CR1.DBP: the backup domain may be written."""
        return bool(self["CR1"] & bits(8))


class FlashInterface(Peripheral):
    NAME = "FLASH"
    SECTION = "4.9.1"
    REGISTERS = (Register("ACR", 0x00, reset=0x37, writable=bits((5, 4), (3, 0))),)

    def write_acr(self, value: int, _old: int) -> None:
        rcc: Rcc = self.chip.rcc
        self["ACR"] = value
        self.check(float(rcc.axi_hertz), self.chip.pwr.scale)

    def check(self, axi_hertz: float, scale: int) -> None:
        """Whether the wait states suffice at this AXI clock and voltage."""
        latency, high = field(self["ACR"], 3, 0), field(self["ACR"], 5, 4)
        row = next((row for row in FLASH_LATENCY[scale] if axi_hertz <= row[0] * 1e6), None)
        if row is None:
            self.error(f"no latency is enough for an AXI clock of {axi_hertz / 1e6:g} MHz at VOS{scale}")
        self.rule(
            latency >= row[1] and high >= row[2],
            f"LATENCY {latency} with WRHIGHFREQ {high} is too little at {axi_hertz / 1e6:g} MHz, VOS{scale}: "
            f"it takes {row[1]} and {row[2]} (RM0433 4.3.8)",
        )


class Syscfg(Peripheral):
    NAME = "SYSCFG"
    SECTION = "12.3"
    REGISTERS = (
        Register("PMCR", 0x04, writable=bits((9, 0), (23, 21), (27, 24))),
        *(Register(f"EXTICR{n + 1}", 0x08 + 4 * n, writable=0xFFFF) for n in range(4)),
        Register("CFGR", 0x18, writable=bits((15, 0))),
        Register("CCCSR", 0x20, writable=bits(0, 1, 16), read_only=bits(8)),
        Register("PWRCR", 0x2C, writable=bits(0)),
    )

    def write_cccsr(self, value: int, _old: int) -> None:
        if value & 1:
            self.rule(self.chip.rcc.ready("CSI"), "the compensation cell needs the CSI oscillator (12.3.6)")
        self["CCCSR"] = value & ~bits(8) | (value & 1) << 8

    def write_pwrcr(self, value: int, _old: int) -> None:
        self["PWRCR"] = value
        self.chip.pwr.set_overdrive(bool(value & 1))
