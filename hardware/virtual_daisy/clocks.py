"""RCC: oscillators, PLLs, the clock tree, and which peripheral has a clock; CRS: the clock recovery of HSI48."""

from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Any

from hardware.virtual_daisy.peripheral import ANY_WIDTH, Peripheral, Register, bits, field
from hardware.virtual_daisy.power import FREQUENCY_LIMITS

if TYPE_CHECKING:
    from hardware.virtual_daisy.chip import Chip

CRYSTAL_HERTZ = 16_000_000
_OSCILLATORS = {  # hertz, bit of ON in CR, bit of RDY, seconds to start (typical of the datasheet)
    "HSI": (64_000_000, 0, 2, 4e-6),
    "CSI": (4_000_000, 7, 8, 2e-6),
    "HSI48": (48_000_000, 12, 13, 6e-6),
    "HSE": (CRYSTAL_HERTZ, 16, 17, 2e-3),
}
_PLL_LOCK_SECONDS = 100e-6
_LSI_SECONDS = 80e-6
LSI_HERTZ = 32_000
_DSB = b"\xbf\xf3\x4f\x8f"
_PRESCALER = (1, 2, 4, 8, 16, 64, 128, 256, 512)  # HPRE and D1CPRE: 0xxx not divided, 1000 to 1111

_ENABLE_BITS = {
    "AHB3ENR": (0xD4, 0x00015031),
    "AHB1ENR": (0xD8, 0x1E038023),
    "AHB2ENR": (0xDC, 0xE0000271),
    "AHB4ENR": (0xE0, 0x132807FF),
    "APB3ENR": (0xE4, 0x00000048),
    "APB1LENR": (0xE8, 0xE8FFC3FF),
    "APB1HENR": (0xEC, 0x00000136),
    "APB2ENR": (0xF0, 0x31D73033),
    "APB4ENR": (0xF4, 0x0021DEAA),
}
_RESET_BITS = {
    "AHB3RSTR": (0x7C, 0x00015031),
    "AHB1RSTR": (0x80, 0x0A008023),
    "AHB2RSTR": (0x84, 0x00000271),
    "AHB4RSTR": (0x88, 0x032807FF),
    "APB3RSTR": (0x8C, 0x00000008),
    "APB1LRSTR": (0x90, 0xE8FFC3FF),
    "APB1HRSTR": (0x94, 0x00000136),
    "APB2RSTR": (0x98, 0x31D73033),
    "APB4RSTR": (0x9C, 0x0020DEAA),
}


class Rcc(Peripheral):
    NAME = "RCC"
    SECTION = "8.7"
    REGISTERS = (
        Register(
            "CR",
            0x00,
            reset=0x25,
            writable=bits(0, 1, (4, 3), 7, 9, 12, 16, 18, 19, 24, 26, 28),
            read_only=bits(2, 5, 8, 13, 14, 15, 17, 25, 27, 29),
        ),
        Register("HSICFGR", 0x04, reset=0x40000000, writable=bits((30, 24)), read_only=0xFFF),
        Register("CRRCR", 0x08, read_only=0x3FF),
        Register("CSICFGR", 0x0C, reset=0x20000000, writable=bits((29, 24)), read_only=0x3FF),
        Register("CFGR", 0x10, writable=bits((2, 0), 6, 7, (13, 8), 14, 15, (31, 18)), read_only=bits((5, 3))),
        Register("D1CFGR", 0x18, writable=bits((3, 0), (6, 4), (11, 8))),
        Register("D2CFGR", 0x1C, writable=bits((6, 4), (10, 8))),
        Register("D3CFGR", 0x20, writable=bits((6, 4))),
        Register("PLLCKSELR", 0x28, reset=0x02020200, writable=bits((1, 0), (9, 4), (17, 12), (25, 20))),
        Register("PLLCFGR", 0x2C, reset=0x01FF0000, writable=bits((11, 0), (24, 16))),
        *(
            Register(f"PLL{n}DIVR", 0x28 + 8 * n, reset=0x01010280, writable=bits((8, 0), (15, 9), (22, 16), (30, 24)))
            for n in (1, 2, 3)
        ),
        *(Register(f"PLL{n}FRACR", 0x2C + 8 * n, writable=bits((15, 3))) for n in (1, 2, 3)),
        Register("D1CCIPR", 0x4C, writable=bits((1, 0), (5, 4), 16, (29, 28))),
        Register("D2CCIP1R", 0x50, writable=0xB13771C7),
        Register("D2CCIP2R", 0x54, writable=0x70F0333F),
        Register("D3CCIPR", 0x58, writable=0x77E3FF07),
        Register("CIER", 0x60, writable=bits((9, 0))),
        Register("CIFR", 0x64, read_only=bits((10, 0))),
        Register("CICR", 0x68, action=bits((10, 0))),
        Register("BDCR", 0x70, writable=bits(2, (4, 3), (9, 8), 15, 16), read_only=bits(1, 6), action=bits(0, 5)),
        Register("CSR", 0x74, writable=bits(0), read_only=bits(1)),
        *(Register(name, at, writable=mask, widths=ANY_WIDTH) for name, (at, mask) in _RESET_BITS.items()),
        Register("GCR", 0xA0, writable=1),
        Register("D3AMR", 0xA8, writable=0x31B8DEA9),
        Register("RSR", 0xD0, reset=0x00FE0000, writable=bits(16), read_only=0x55FE0000),
        *(Register(name, at, writable=mask, live=True, widths=ANY_WIDTH) for name, (at, mask) in _ENABLE_BITS.items()),
        *(
            Register(name.replace("ENR", "LPENR"), at + 0x28, reset=mask, writable=mask)
            for name, (at, mask) in _ENABLE_BITS.items()
        ),
    )
    STATE = ("latched_fractions", "_fresh")

    def __init__(self, chip: "Chip", base: int) -> None:
        self.latched_fractions = [0, 0, 0]
        self.crystal_dead = False
        self._kernel: dict[str, Fraction] = {}  # kernel clocks since the registers last changed
        self._gated: dict[tuple[str, int], list[Peripheral]] = {}
        self._fresh: dict[int, int] = {}  # by id of a peripheral: instructions executed when it got its clock
        self._starts = {name: chip.time.event(partial(self._oscillator_ready, name)) for name in _OSCILLATORS}
        self._locks = [chip.time.event(partial(self._locked, n)) for n in (1, 2, 3)]
        self._lsi = chip.time.event(self._lsi_ready)
        super().__init__(chip, base)
        for name in _ENABLE_BITS:
            self._readers[name] = partial(self._read_enable, name)
            self._writers[name] = partial(self._write_enable, name)
        for name in _RESET_BITS:
            self._writers[name] = partial(self._write_reset, name)
        for n in (1, 2, 3):
            self._writers[f"PLL{n}DIVR"] = partial(self._write_dividers, n)

    # --- who has a clock ---

    def gate(self, register: str, bit: int, *peripherals: Peripheral) -> None:
        """`peripherals` get their bus clock by `bit` of `register` and their reset by the like-named reset register."""
        self._gated.setdefault((register, bit), []).extend(peripherals)
        for peripheral in peripherals:
            peripheral.set_clocked(False)

    def reset(self, cause: int = 0x00FE0000) -> None:
        """cause: the flags of RSR that say why; they add up until RMVF clears them."""
        flags = cause if cause == 0x00FE0000 else self["RSR"] & ~bits(16) | cause
        super().reset()
        self._kernel.clear()
        self["RSR"] = flags
        self.latched_fractions = [0, 0, 0]
        self._fresh = {}
        for event in (*self._starts.values(), *self._locks, self._lsi):
            event.cancel()
        for peripherals in self._gated.values():
            for peripheral in peripherals:
                peripheral.set_clocked(False)
                peripheral.reset()
        for name in ("SRAM1", "SRAM2", "SRAM3"):
            self.chip.set_memory_clock(name, False)
        self._clocks_changed()

    def _read_enable(self, name: str) -> int:
        self._fresh.clear()
        return self[name]

    def _write_enable(self, name: str, value: int, old: int) -> None:
        self[name] = value
        for bit in range(32):
            if (value ^ old) >> bit & 1:
                on = bool(value >> bit & 1)
                for peripheral in self._gated.get((name, bit), ()):
                    shared = [key for key, gated in self._gated.items() if peripheral in gated]
                    peripheral.set_clocked(any(self[register] >> b & 1 for register, b in shared))
                    if on:
                        self._fresh[id(peripheral)] = self.chip.executed
                if name == "AHB2ENR" and bit >= 29:
                    self.chip.set_memory_clock(f"SRAM{bit - 28}", on)

    def check_settled(self, peripheral: Peripheral) -> None:
        """A peripheral may be touched two bus cycles after it got its clock (RM0433 8.5.9, errata ES0392)."""
        since = self._fresh.get(id(peripheral))
        if since is None:
            return
        if since == self.chip.executed and _DSB not in self.chip.current_block():
            peripheral.error("touched right after its clock was switched on: read the enable register back first")
        del self._fresh[id(peripheral)]

    def _write_reset(self, name: str, value: int, old: int) -> None:
        self[name] = value
        enable = name.replace("RSTR", "ENR")
        for bit in range(32):
            if value & ~old & 1 << bit:
                for peripheral in self._gated.get((enable, bit), ()):
                    peripheral.reset()

    # --- oscillators and PLLs ---

    def ready(self, oscillator: str) -> bool:
        return bool(self["CR"] >> _OSCILLATORS[oscillator][2] & 1)

    def write_cr(self, value: int, old: int) -> None:
        rose = value & ~old
        fell = old & ~value
        self.rule(not (value ^ old) & bits(18) or not old & bits(16), "HSEBYP changed while HSEON is set")
        self.rule(not value & bits(18), "HSEBYP: the Daisy has a crystal, no clock on OSC_IN")
        self.rule(not rose & bits(19) or self.ready("HSE"), "HSECSSON set before HSE is ready (8.5.3)")
        self.rule(not fell & bits(19), "HSECSSON cannot be cleared by the program")
        new = value & ~self._read_only("CR") | old & self._read_only("CR")
        self["CR"] = new
        for name, (_, on, is_ready, seconds) in _OSCILLATORS.items():
            if rose >> on & 1 and not (name == "HSE" and self.crystal_dead):
                self._starts[name].after(seconds)
            if fell >> on & 1:
                self._check_unused(name)
                self._starts[name].cancel()
                self["CR"] &= ~(1 << is_ready)
        if (value ^ old) & bits((4, 3)):
            self.rule(not (self._pll_source() == "HSI" and self._any_pll()), "HSIDIV changed while a PLL runs from HSI")
            self["CR"] |= bits(5)
            self._clocks_changed()
        for n in (1, 2, 3):
            on = 22 + 2 * n
            if rose >> on & 1:
                self._start_pll(n)
            if fell >> on & 1:
                self.rule(not (n == 1 and field(self["CFGR"], 5, 3) == 3), "PLL1 switched off while it is SYSCLK")
                self._locks[n - 1].cancel()
                self["CR"] &= ~(2 << on)

    def _read_only(self, name: str) -> int:
        return next(register.read_only for register in self.REGISTERS if register.name == name)

    def _oscillator_ready(self, name: str) -> None:
        self["CR"] |= 1 << _OSCILLATORS[name][2]

    def _check_unused(self, name: str) -> None:
        self.rule(self._system_source() != name, f"{name} switched off while it is SYSCLK")
        self.rule(not (self._any_pll() and self._pll_source() == name), f"{name} switched off while a PLL runs from it")

    def _system_source(self) -> str:
        return ("HSI", "CSI", "HSE", "PLL1")[field(self["CFGR"], 5, 3) & 3]

    def _pll_source(self) -> str:
        return ("HSI", "CSI", "HSE", "none")[field(self["PLLCKSELR"], 1, 0)]

    def _any_pll(self) -> bool:
        return bool(self["CR"] & bits(24, 26, 28))

    def _pll_on(self, n: int) -> bool:
        return bool(self["CR"] >> 22 + 2 * n & 1)

    def _pll_off(self, n: int) -> bool:
        return not self["CR"] >> 22 + 2 * n & 3

    def write_pllckselr(self, value: int, old: int) -> None:
        changed = value ^ old
        self.rule(not changed & 3 or not self._any_pll(), "PLLSRC changed while a PLL is on (8.7.12)")
        for n in (1, 2, 3):
            divider = bits((8 * n + 1, 8 * n - 4))
            self.rule(not changed & divider or self._pll_off(n), f"DIVM{n} changed while PLL{n} is on")
        self["PLLCKSELR"] = value

    def write_pllcfgr(self, value: int, old: int) -> None:
        changed = value ^ old
        for n in (1, 2, 3):
            at = 4 * (n - 1)
            self.rule(
                not changed & 0b1110 << at or self._pll_off(n), f"PLL{n}VCOSEL or PLL{n}RGE changed while PLL{n} is on"
            )
            if value & ~old & 1 << at:
                self.latched_fractions[n - 1] = field(self[f"PLL{n}FRACR"], 15, 3)
        self["PLLCFGR"] = value

    def _write_dividers(self, n: int, value: int, old: int) -> None:
        self.rule(not (value ^ old) & 0x1FF or self._pll_off(n), f"DIVN{n} changed while PLL{n} is on (8.7.14)")
        self.rule(
            not (value ^ old) & ~0x1FF or self._pll_off(n), f"DIVP{n}, DIVQ{n} or DIVR{n} changed while PLL{n} is on"
        )
        self[f"PLL{n}DIVR"] = value

    def _start_pll(self, n: int) -> None:
        source = self._pll_source()
        self.rule(source != "none", f"PLL{n} enabled without a source")
        self.rule(self.ready(source), f"PLL{n} enabled before its source {source} is ready")
        reference = self._pll_reference(n)
        if reference is None:
            self.error(f"PLL{n} enabled with DIVM{n} = 0: its prescaler is off")
        self.rule(
            1e6 <= reference <= 16e6, f"PLL{n}'s reference of {float(reference) / 1e6:g} MHz is not in 1 to 16 MHz"
        )
        configuration = self["PLLCFGR"] >> 4 * (n - 1)
        least = (1, 2, 4, 8)[field(configuration, 3, 2)]
        fits = least * 1e6 <= reference <= 2 * least * 1e6
        self.rule(fits, f"PLL{n}RGE does not fit the reference of {float(reference) / 1e6:g} MHz")
        fraction = field(self[f"PLL{n}FRACR"], 15, 3)
        self.rule(
            fraction == self.latched_fractions[n - 1],
            f"FRACN{n} = {fraction} is not latched: PLL{n}FRACEN has to go from 0 to 1 after it is written (8.5.5)",
        )
        self.rule(4 <= field(self[f"PLL{n}DIVR"], 8, 0) + 1 <= 512, f"DIVN{n} is out of 4 to 512")
        oscillator = float(self._pll_oscillator(n)) / 1e6
        if configuration & 2:
            self.rule(
                150 <= oscillator <= 420, f"PLL{n}'s VCO of {oscillator:g} MHz is not in the medium range 150 to 420"
            )
            self.rule(reference <= 2e6, f"PLL{n}'s medium VCO range needs a reference of 1 to 2 MHz")
        else:
            self.rule(
                192 <= oscillator <= 960, f"PLL{n}'s VCO of {oscillator:g} MHz is not in the wide range 192 to 960"
            )
            self.rule(reference >= 2e6, f"PLL{n}'s wide VCO range needs a reference of 2 to 16 MHz")
        divider = field(self[f"PLL{n}DIVR"], 15, 9) + 1
        self.rule(
            n != 1 or divider % 2 == 0 or divider == 1, f"DIVP1 = {divider}: odd divisions are not allowed for PLL1"
        )
        self._locks[n - 1].after(_PLL_LOCK_SECONDS)

    def _locked(self, n: int) -> None:
        self["CR"] |= 2 << 22 + 2 * n

    def _pll_reference(self, n: int) -> Fraction | None:
        divider = field(self["PLLCKSELR"], 8 * n + 1, 8 * n - 4)
        source = self._pll_source()
        if not divider or source == "none":
            return None
        return self._oscillator_hertz(source) / divider

    def _pll_oscillator(self, n: int) -> Fraction:
        multiplier = field(self[f"PLL{n}DIVR"], 8, 0) + 1 + Fraction(self.latched_fractions[n - 1], 8192)
        return (self._pll_reference(n) or Fraction(0)) * multiplier

    def _oscillator_hertz(self, name: str) -> Fraction:
        hertz = Fraction(_OSCILLATORS[name][0])
        return hertz / (1 << field(self["CR"], 4, 3)) if name == "HSI" else hertz

    def pll_hertz(self, n: int, output: str, user: str) -> Fraction:
        """Frequency of output p, q or r of a PLL; ends the run when `user` takes it while it is not there."""
        self.rule(bool(self["CR"] >> 23 + 2 * n & 1), f"{user} is clocked by PLL{n}, which is not locked")
        enable = 16 + 3 * (n - 1) + "pqr".index(output)
        self.rule(bool(self["PLLCFGR"] >> enable & 1), f"{user} is clocked by pll{n}_{output}_ck, which is not enabled")
        last, first = {"p": (15, 9), "q": (22, 16), "r": (30, 24)}[output]
        return self._pll_oscillator(n) / (field(self[f"PLL{n}DIVR"], last, first) + 1)

    # --- the tree ---

    def write_cfgr(self, value: int, old: int) -> None:
        source = field(value, 2, 0)
        if source != field(old, 2, 0):
            self.rule(source < 4, f"SW = {source} is reserved")
            name = ("HSI", "CSI", "HSE", "PLL1")[source]
            if name == "PLL1":
                self.pll_hertz(1, "p", "SYSCLK")
            else:
                self.rule(self.ready(name), f"SYSCLK switched to {name} before it is ready")
        self["CFGR"] = value & ~bits((5, 3)) | source << 3
        self._clocks_changed()

    def write_d1cfgr(self, value: int, _old: int) -> None:
        self["D1CFGR"] = value
        self._clocks_changed()

    def write_d2cfgr(self, value: int, _old: int) -> None:
        self["D2CFGR"] = value
        self._clocks_changed()

    def write_d3cfgr(self, value: int, _old: int) -> None:
        self["D3CFGR"] = value
        self._clocks_changed()

    def system_hertz(self) -> Fraction:
        source = self._system_source()
        if source != "PLL1":
            return self._oscillator_hertz(source)
        return self.pll_hertz(1, "p", "SYSCLK")

    @property
    def core_hertz(self) -> Fraction:
        return self.system_hertz() / _division(field(self["D1CFGR"], 11, 8))

    @property
    def axi_hertz(self) -> Fraction:
        """AXI and all AHB buses."""
        return self.core_hertz / _division(field(self["D1CFGR"], 3, 0))

    def bus_hertz(self, bus: int) -> Fraction:
        """rcc_pclk1 to rcc_pclk4."""
        code = {
            1: field(self["D2CFGR"], 6, 4),
            2: field(self["D2CFGR"], 10, 8),
            3: field(self["D1CFGR"], 6, 4),
            4: field(self["D3CFGR"], 6, 4),
        }[bus]
        return self.axi_hertz / (1 if code < 4 else 2 << code - 4)

    def check_scale(self, scale: int) -> None:
        """Whether the clocks are within what the voltage scale allows."""
        if self._system_source() == "HSI":
            return  # the state after reset: 64 MHz on all buses at VOS3 is the chip's own choice
        limits = FREQUENCY_LIMITS[scale]
        slowest_bus = max(self.bus_hertz(bus) for bus in (1, 2, 3, 4))
        for name, hertz, limit in zip(
            ("SYSCLK", "HCLK", "an APB clock"), (self.system_hertz(), self.axi_hertz, slowest_bus), limits, strict=True
        ):
            self.rule(
                hertz <= limit * 10**6, f"{name} of {float(hertz) / 1e6:g} MHz at VOS{scale}, which allows {limit}"
            )

    def _clocks_changed(self) -> None:
        scale = self.chip.pwr.scale
        self.check_scale(scale)
        self.chip.flash_interface.check(float(self.axi_hertz), scale)
        self.chip.time.set_core_clock(float(self.core_hertz))

    def _peripheral_clock(self, user: str) -> Fraction:
        """per_ck, by CKPERSEL."""
        name = {0: "HSI", 1: "CSI", 2: "HSE"}.get(field(self["D1CCIPR"], 29, 28))
        if name is None or not self.ready(name):
            self.error(f"{user} is clocked by per_ck, whose source is not ready")
        return self._oscillator_hertz(name)

    def write(self, address: int, size: int, value: int) -> None:
        self._kernel.clear()
        super().write(address, size, value)

    def kernel_hertz(self, user: str) -> Fraction:
        """Frequency of a peripheral's kernel clock by its multiplexer (RM0433 8.5.8)."""
        found = self._kernel.get(user)
        if found is None:
            found = self._kernel[user] = self._find_kernel_hertz(user)
        return found

    def _find_kernel_hertz(self, user: str) -> Fraction:
        register, last, first, sources = {
            "SAI1": ("D2CCIP1R", 2, 0, ("pll1_q", "pll2_p", "pll3_p", None, "per")),
            "USART1": ("D2CCIP2R", 5, 3, ("pclk2", "pll2_q", "pll3_q", "HSI", "CSI", None)),
            "I2C2": ("D2CCIP2R", 13, 12, ("pclk1", "pll3_r", "HSI", "CSI")),
            "ADC1": ("D3CCIPR", 17, 16, ("pll2_p", "pll3_r", "per")),
            "OTG_FS": ("D2CCIP2R", 21, 20, (None, "pll1_q", "pll3_q", "HSI48")),
            "QUADSPI": ("D1CCIPR", 5, 4, ("hclk3", "pll1_q", "pll2_r", "per")),
        }[user]
        code = field(self[register], last, first)
        source = sources[code] if code < len(sources) else None
        if source is None:
            self.error(f"{user}'s kernel clock selection {code} has no clock on this board")
        if source == "per":
            return self._peripheral_clock(user)
        if source.startswith("pll"):
            return self.pll_hertz(int(source[3]), source[5], user)
        if source.startswith("pclk"):
            return self.bus_hertz(int(source[4]))
        if source == "hclk3":
            return self.axi_hertz
        self.rule(self.ready(source), f"{user} is clocked by {source}, which is not ready")
        return self._oscillator_hertz(source)

    def restore(self, saved: dict[str, Any]) -> None:
        super().restore(saved)
        self._kernel.clear()

    # --- the rest ---

    def write_rsr(self, value: int, old: int) -> None:
        self["RSR"] = 0 if value & bits(16) else old

    def write_bdcr(self, value: int, old: int) -> None:
        self.rule(self.chip.pwr.backup_writable or value == old, "BDCR written while PWR_CR1.DBP is clear")
        self.rule(not value & bits(0, 5), "LSE: this firmware uses none, it is not modelled")
        self["BDCR"] = value

    def write_csr(self, value: int, old: int) -> None:
        self["CSR"] = value & 1 | old & 2
        if value & 1 and not old & 3:
            self._lsi.after(_LSI_SECONDS)
        if not value & 1:
            self.rule(not self.chip.watchdog.running, "LSI cannot be switched off while the watchdog runs (8.5.3)")
            self["CSR"] = 0

    def start_lsi(self) -> None:
        """The watchdog forces LSI on."""
        if not self["CSR"] & 2:
            self._lsi.after(_LSI_SECONDS)

    def _lsi_ready(self) -> None:
        self["CSR"] |= 2


def _division(code: int) -> int:
    return _PRESCALER[code - 7] if code >= 8 else 1


class Crs(Peripheral):
    NAME = "CRS"
    SECTION = "9.8"
    REGISTERS = (
        Register("CR", 0x0, reset=0x2000, writable=bits((3, 0), 5, 6, (13, 8)), action=bits(7)),
        Register("CFGR", 0x4, reset=0x2022BB7F, writable=0xB7FFFFFF),
        Register("ISR", 0x8, read_only=0xFFFF870F),
        Register("ICR", 0xC, action=0xF),
    )

    def write_cr(self, value: int, old: int) -> None:
        if value & bits(5):
            self.rule(self.chip.rcc.ready("HSI48"), "CEN set while HSI48 is not ready")
            self.rule(
                field(self["CFGR"], 29, 28) == 3,
                "SYNCSRC is not 0b11, the SOF of USB2, whose pins the Daisy's socket has",
            )
        trim = bits((13, 8))
        self.rule(not (value ^ old) & trim or not value & bits(6), "TRIM is read-only while AUTOTRIMEN is set")
        self["CR"] = value & ~bits(7)

    def write_cfgr(self, value: int, _old: int) -> None:
        self.rule(not self["CR"] & bits(5), "CFGR is protected while CEN is set")
        self["CFGR"] = value

    def write_icr(self, value: int, _old: int) -> None:
        self["ISR"] &= ~(value & 0b111 | (bits((10, 8)) if value & bits(2) else 0) | value & bits(3))

    def start_of_frame(self) -> None:
        """A SOF packet of OTG_FS, the source that is chosen; HSI48 is exact here, so there is nothing to trim."""
        if self.clocked and self["CR"] & bits(5):
            self["ISR"] |= bits(0)
