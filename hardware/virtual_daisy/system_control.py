"""The Cortex-M7's private peripheral bus: exceptions, NVIC, system control block, MPU, caches, FPU control, DWT.

Sections are those of the Armv7-M architecture manual (DDI 0403) and, for what ST chose, of PM0253 and RM0433.
"""

import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import unicorn
from unicorn import arm_const as arm

from hardware.virtual_daisy.native import (
    CYCLE_COUNTER_OFFSET,
    MEMORIES,
    PAGE,
    READ_CYCLES,
)
from hardware.virtual_daisy.peripheral import ANY_WIDTH, Peripheral, Register, bits, field

if TYPE_CHECKING:
    from hardware.virtual_daisy.chip import Chip

INTERRUPTS = 150  # RM0433 chapter 19
FIRST_INTERRUPT = 16
_PRIORITY_BITS = 0xF0  # STM32 has 16 levels, PM0253 4.2.7
_BASE_PRIORITY = 256
# Armv7-M B1.5.8; Unicorn's model also wants its bit 3 set where a floating point context is live
_FPCA = 0b1100
_VECTOR_BYTES = 1024  # 166 words rounded up to a power of two, PM0253 4.3.4


class SystemReset(Exception):  # noqa: N818 - what the program asked for
    """AIRCR.SYSRESETREQ was written."""


class Nvic(Peripheral):
    NAME = "NVIC"
    SECTION = "PM0253 4.2"
    REGISTERS = (
        Register("ICTR", 0x004, reset=4, read_only=0xF),
        Register("ACTLR", 0x008, writable=bits(2, 10, 11, 12)),
        Register("SYST_CSR", 0x010, reset=4, writable=0b111),
        *(Register(f"ISER{n}", 0x100 + 4 * n, action=0xFFFFFFFF, live=True) for n in range(5)),
        *(Register(f"ICER{n}", 0x180 + 4 * n, action=0xFFFFFFFF, live=True) for n in range(5)),
        *(Register(f"ISPR{n}", 0x200 + 4 * n, action=0xFFFFFFFF, live=True) for n in range(5)),
        *(Register(f"ICPR{n}", 0x280 + 4 * n, action=0xFFFFFFFF, live=True) for n in range(5)),
        *(Register(f"IABR{n}", 0x300 + 4 * n, read_only=0xFFFFFFFF, live=True) for n in range(5)),
    )
    STATE = ("enabled", "pending", "lines")

    def __init__(self, chip: "Chip", base: int) -> None:
        self.enabled = 0
        self.pending = 0
        self.lines = 0  # what peripherals hold up
        for n in range(5):  # the five words of each set differ only by their place
            for name in ("iser", "icer"):
                setattr(self, f"read_{name}{n}", lambda n=n: self.enabled >> 32 * n & 0xFFFFFFFF)
            for name in ("ispr", "icpr"):
                setattr(self, f"read_{name}{n}", lambda n=n: self.pending >> 32 * n & 0xFFFFFFFF)
            setattr(self, f"read_iabr{n}", lambda n=n: self._active() >> 32 * n & 0xFFFFFFFF)
            setattr(self, f"write_iser{n}", lambda value, _old, n=n: self._enable(value << 32 * n))
            setattr(self, f"write_icer{n}", lambda value, _old, n=n: self._disable(value << 32 * n))
            setattr(self, f"write_ispr{n}", lambda value, _old, n=n: self._pend(value << 32 * n))
            setattr(self, f"write_icpr{n}", lambda value, _old, n=n: self._unpend(value << 32 * n))
        super().__init__(chip, base)

    def reset(self) -> None:
        super().reset()
        self.enabled = self.pending = self.lines = 0

    def set_line(self, interrupt: int, high: bool) -> None:
        """A peripheral's request; pending when it goes up, and again after the handler while it stays up."""
        bit = 1 << interrupt
        if not high:
            self.lines &= ~bit
        elif not self.lines & bit:
            self.lines |= bit
            self._pend(bit)

    def write_syst_csr(self, value: int, _old: int) -> None:
        self.rule(not value & 1, "SysTick is not modelled: this firmware uses none")

    def _active(self) -> int:
        return sum(1 << number - FIRST_INTERRUPT for number in self.chip.system.active if number >= FIRST_INTERRUPT)

    def _known(self, mask: int) -> int:
        self.rule(mask >> INTERRUPTS == 0, f"interrupt {mask.bit_length() - 1} does not exist")
        return mask

    def _enable(self, mask: int) -> None:
        self.enabled |= self._known(mask)
        self.chip.time.changed()

    def _disable(self, mask: int) -> None:
        self.enabled &= ~mask

    def _pend(self, mask: int) -> None:
        self.pending |= self._known(mask)
        self.chip.time.changed()

    def _unpend(self, mask: int) -> None:
        self.pending &= ~mask | self.lines


class NvicPriorities(Peripheral):
    NAME = "NVIC"
    SECTION = "PM0253 4.2.7"
    REGISTERS = tuple(
        Register(f"IPR{n}", 4 * n, writable=0xF0F0F0F0, action=0x0F0F0F0F, widths=ANY_WIDTH)
        for n in range((INTERRUPTS + 3) // 4)
    )

    def of(self, interrupt: int) -> int:
        """The priority byte of an interrupt."""
        return self._values[interrupt >> 2] >> 8 * (interrupt & 3) & 0xFF


class SystemControlBlock(Peripheral):
    NAME = "SCB"
    SECTION = "PM0253 4.3"
    REGISTERS = (
        Register("CPUID", 0x00, reset=0x411FC271, read_only=0xFFFFFFFF),
        Register("ICSR", 0x04, read_only=0xFFFFFFFF, live=True),
        Register("VTOR", 0x08, reset=0x08000000, writable=0xFFFFFF80),
        Register("AIRCR", 0x0C, reset=0xFA050000, writable=bits((10, 8)), action=bits((31, 16), 2)),
        Register("SCR", 0x10, writable=bits(4), action=bits(1, 2)),
        Register("CCR", 0x14, reset=0x00040200, writable=bits(0, 1, 3, 4, 8, 16, 17, 18), read_only=bits(9)),
        Register("SHPR1", 0x18, writable=0x00F0F0F0, action=0x000F0F0F, widths=ANY_WIDTH),
        Register("SHPR2", 0x1C, writable=0xF0000000, action=0x0F000000, widths=ANY_WIDTH),
        Register("SHPR3", 0x20, writable=0xF0F00000, action=0x0F0F0000, widths=ANY_WIDTH),
        Register("SHCSR", 0x24, writable=bits(16, 17, 18), read_only=0xFFF),
        Register("CFSR", 0x28, action=0xFFFFFFFF, widths=ANY_WIDTH),
        Register("HFSR", 0x2C, action=bits(1, 30, 31)),
        Register("DFSR", 0x30, action=0x1F),
        Register("MMFAR", 0x34, writable=0xFFFFFFFF),
        Register("BFAR", 0x38, writable=0xFFFFFFFF),
        Register("AFSR", 0x3C, action=0xFFFFFFFF),
        Register("CLIDR", 0x78, reset=0x09000003, read_only=0xFFFFFFFF),
        Register("CTR", 0x7C, reset=0x8303C003, read_only=0xFFFFFFFF),
        Register("CCSIDR", 0x80, reset=0xF00FE019, read_only=0xFFFFFFFF, live=True),
        Register("CSSELR", 0x84, writable=0xF),
        Register("CPACR", 0x88, writable=bits((23, 20))),
        Register("DHCSR", 0xF0, read_only=0xFFFFFFFF),
        Register("DEMCR", 0xFC, writable=bits(24)),
    )

    def read_icsr(self) -> int:
        system = self.chip.system
        pending = system.nvic.pending & system.nvic.enabled
        number = (pending & -pending).bit_length() + FIRST_INTERRUPT - 1 if pending else 0
        active = system.active[-1] if system.active else 0
        return (pending != 0) << 22 | number << 12 | (len(system.active) <= 1) << 11 | active

    def write_icsr(self, value: int, _old: int) -> None:
        self.rule(
            not value & ~bits(25, 27), "PendSV, SysTick and NMI are not modelled: this firmware uses none of them"
        )

    def write_vtor(self, value: int, _old: int) -> None:
        self.rule(
            value % _VECTOR_BYTES == 0, f"VTOR = {value:#010x} is not aligned to the table's {_VECTOR_BYTES} bytes"
        )
        self["VTOR"] = value

    def write_aircr(self, value: int, old: int) -> None:
        self.rule(value >> 16 == 0x05FA, f"AIRCR written with {value:#010x}, without the key 0x05FA")
        if value & 4:
            raise SystemReset
        self["AIRCR"] = old & ~0x700 | value & 0x700

    def write_scr(self, value: int, _old: int) -> None:
        self.rule(not value & 6, "deep sleep and sleep on exit are not modelled: the clocks would stop")
        self["SCR"] = value

    def write_ccr(self, value: int, old: int) -> None:
        caches = self.chip.system.caches
        if value & ~old & 1 << 16:
            self.rule(
                caches.data_is_invalid(), "data cache enabled before all its sets and ways are invalidated by DCISW"
            )
        if value & ~old & 1 << 17:
            self.rule(caches.instructions_invalid, "instruction cache enabled before it is invalidated by ICIALLU")
        self["CCR"] = value
        self.chip.caches_changed()

    def read_ccsidr(self) -> int:
        return 0xF01FE009 if self["CSSELR"] & 1 else 0xF00FE019

    def write_cpacr(self, value: int, _old: int) -> None:
        access = field(value, 23, 20)
        self.rule(access in (0, 0b0101, 0b1111), "CP10 and CP11 must have the same access, none, privileged or full")
        self["CPACR"] = value
        self.chip.set_fpu(access != 0)

    def restore(self, saved: dict[str, Any]) -> None:
        super().restore(saved)
        self.chip.set_fpu(self["CPACR"] != 0)


class FloatingPoint(Peripheral):
    NAME = "FPU"
    SECTION = "PM0253 4.7"
    REGISTERS = (
        Register("FPCCR", 0x0, reset=0xC0000000, writable=bits(30, 31), read_only=0x1FF),
        Register("FPCAR", 0x4, writable=0xFFFFFFF8),
        Register("FPDSCR", 0x8, writable=bits((26, 22))),
        Register("MVFR0", 0xC, reset=0x10110221, read_only=0xFFFFFFFF),
        Register("MVFR1", 0x10, reset=0x12000011, read_only=0xFFFFFFFF),
        Register("MVFR2", 0x14, reset=0x00000040, read_only=0xFFFFFFFF),
    )

    def write_fpccr(self, value: int, _old: int) -> None:
        self.rule(bool(value >> 31), "FPCCR.ASPEN cleared: interrupts would destroy floating point registers")
        self["FPCCR"] = value & 0xC0000000


class Caches(Peripheral):
    """Cache maintenance. Memory here is always coherent; what DMA may touch is checked by its address instead."""

    NAME = "cache maintenance"
    SECTION = "PM0253 4.5"
    REGISTERS = tuple(
        Register(name, offset, action=0xFFFFFFFF)
        for name, offset in {
            "ICIALLU": 0x00,
            "ICIMVAU": 0x08,
            "DCIMVAC": 0x0C,
            "DCISW": 0x10,
            "DCCMVAU": 0x14,
            "DCCMVAC": 0x18,
            "DCCSW": 0x1C,
            "DCCIMVAC": 0x20,
            "DCCISW": 0x24,
            "BPIALL": 0x28,
        }.items()
    )
    STATE = ("instructions_invalid", "invalid_lines")
    _LINES = 4 * 128  # 16 KB in 4 ways of 128 sets of 32 bytes

    def __init__(self, chip: "Chip", base: int) -> None:
        self.instructions_invalid = False
        self.invalid_lines: set[int] = set()
        super().__init__(chip, base)

    def reset(self) -> None:
        super().reset()
        self.instructions_invalid = False
        self.invalid_lines = set()

    def data_is_invalid(self) -> bool:
        """Whether every line has been invalidated since the reset."""
        return len(self.invalid_lines) == self._LINES

    def write_iciallu(self, _value: int, _old: int) -> None:
        self.instructions_invalid = True

    def write_dcisw(self, value: int, _old: int) -> None:
        self._line(value)
        if self.chip.system.scb["CCR"] & 1 << 16:
            self.error("DCISW while the data cache is on throws away what is not yet in memory")
        self.invalid_lines.add(value)

    def write_dccisw(self, value: int, _old: int) -> None:
        self._line(value)

    def write_dccsw(self, value: int, _old: int) -> None:
        self._line(value)

    def _line(self, value: int) -> None:
        self.rule(value & ~(bits((31, 30)) | bits((11, 5))) == 0, f"{value:#010x} is no set and way of this cache")


class CycleCounter(Peripheral):
    NAME = "DWT"
    SECTION = "Arm DDI 0403 C1.8"
    REGISTERS = (
        Register("CTRL", 0x00, reset=0x40000000, writable=bits(0), read_only=0xFFFFFFFE),
        Register("CYCCNT", 0x04, writable=0xFFFFFFFF),
    )

    def write_ctrl(self, value: int, _old: int) -> None:
        self._needs_trace()
        self["CTRL"] = 0x40000000 | value & 1
        self.rule(bool(value & 1), "the cycle counter is not modelled switched off again")
        self.write_cyccnt(self["CYCCNT"], 0)

    def write_cyccnt(self, value: int, _old: int) -> None:
        self._needs_trace()
        self["CYCCNT"] = value
        if self["CTRL"] & 1:
            self.chip.store.state[CYCLE_COUNTER_OFFSET] = value - self.chip.time.cycles
            self._flags[self._first + 1] = READ_CYCLES

    def _needs_trace(self) -> None:
        self.rule(bool(self.chip.system.scb["DEMCR"] & 1 << 24), "written while TRCENA in DEMCR is clear")

    def reset(self) -> None:
        super().reset()
        self._set_flags()

    def restore(self, saved: dict[str, Any]) -> None:
        super().restore(saved)
        self._set_flags()
        if self["CTRL"] & 1:
            self._flags[self._first + 1] = READ_CYCLES


class CycleCounterLock(Peripheral):
    NAME = "DWT"
    SECTION = "Arm DDI 0403 D1.1"
    REGISTERS = (Register("LAR", 0xFB0 % PAGE, action=0xFFFFFFFF),)


class Mpu(Peripheral):
    NAME = "MPU"
    SECTION = "PM0253 4.6"
    REGISTERS = (
        Register("TYPE", 0x00, reset=0x00001000, read_only=0xFFFFFFFF),
        Register("CTRL", 0x04, writable=0b111),
        Register("RNR", 0x08, writable=0xF),
        Register("RBAR", 0x0C, writable=0xFFFFFFE0, action=0x1F),
        Register("RASR", 0x10, writable=bits(28, (26, 24), (21, 16), (15, 8), (5, 0)), live=True),
    )
    STATE = ("regions",)

    def __init__(self, chip: "Chip", base: int) -> None:
        self.regions: list[tuple[int, int]] = [(0, 0)] * 16  # RBAR, RASR
        super().__init__(chip, base)

    def reset(self) -> None:
        super().reset()
        self.regions = [(0, 0)] * 16

    def write_rbar(self, value: int, _old: int) -> None:
        if value & 0x10:
            self["RNR"] = value & 0xF
        number = self["RNR"]
        self.regions[number] = (value & ~0x1F, self.regions[number][1])
        self["RBAR"] = value & ~0x1F | number
        self._changed(False)

    def write_rnr(self, value: int, _old: int) -> None:
        self["RNR"] = value
        self["RBAR"] = self.regions[value][0] | value

    def read_rasr(self) -> int:
        return self.regions[self["RNR"]][1]

    def write_rasr(self, value: int, _old: int) -> None:
        number = self["RNR"]
        base = self.regions[number][0]
        if value & 1:
            size = 2 << field(value, 5, 1)
            self.rule(size >= 32, f"region {number} of {size} bytes, the least is 32")
            self.rule(base % size == 0, f"region {number} at {base:#010x} is not aligned to its {size} bytes")
            self.rule(size >= 256 or not value & 0xFF00, f"region {number} is too small for subregions")
            self.rule(field(value, 26, 24) != 0b100, f"region {number} has the reserved access permission 0b100")
            attributes = field(value, 21, 19) << 2 | field(value, 17, 16)
            reserved = attributes in (0b00110, 0b01001) or (0b01100 <= attributes < 0b10000 and attributes != 0b01111)
            self.rule(attributes != 0b00101 and not reserved, f"region {number} has reserved memory attributes")
        self.regions[number] = (base, value)
        self._changed(True)

    def write_ctrl(self, value: int, _old: int) -> None:
        self.rule(value & 3 != 2, "HFNMIENA without ENABLE")
        self["CTRL"] = value
        self._changed(True)

    def _changed(self, complete: bool) -> None:
        if complete and self["CTRL"] & 1:
            self.chip.protection_changed()
            self.chip.caches_changed()
        elif complete:
            self.chip.protection_changed()

    def spans(self, number: int) -> list[range]:
        """The addresses that region `number` covers, its disabled subregions left out."""
        base, attributes = self.regions[number]
        if not attributes & 1:
            return []
        size = 2 << field(attributes, 5, 1)
        if not attributes & 0xFF00:
            return [range(base, base + size)]
        part = size // 8
        return [range(base + n * part, base + (n + 1) * part) for n in range(8) if not attributes >> 8 + n & 1]

    def region_of(self, address: int) -> int | None:
        """The region that decides about `address`, the highest one, or None."""
        if self["CTRL"] & 1:
            for number in reversed(range(16)):
                if any(address in span for span in self.spans(number)):
                    return number
        return None

    def rights(self, number: int) -> int:
        """What privileged code may do in region `number`, as Unicorn's flags."""
        attributes = self.regions[number][1]
        permission = field(attributes, 26, 24)
        if permission == 0:
            return int(unicorn.UC_PROT_NONE)
        readable = unicorn.UC_PROT_READ | (0 if attributes >> 28 & 1 else unicorn.UC_PROT_EXEC)
        return int(readable if permission >= 5 else readable | unicorn.UC_PROT_WRITE)

    def cacheable(self, address: int) -> bool:
        """Whether the data cache may hold `address` (Armv7-M B3.5.8; shareable memory is not cached on the M7)."""
        number = self.region_of(address)
        if number is None:
            return 0x20000000 <= address < 0x40000000 or address < 0x20000000
        attributes = self.regions[number][1]
        kind, cache, buffer = field(attributes, 21, 19), attributes >> 17 & 1, attributes >> 16 & 1
        if attributes >> 18 & 1:
            return False
        if kind & 0b100:
            return kind & 0b11 != 0
        return bool(cache) or (kind == 1 and bool(buffer))


class SystemControl:
    """Exceptions and what decides about them."""

    def __init__(self, chip: "Chip") -> None:
        self.chip = chip
        self.active: list[int] = []  # exception numbers, the running one last
        self.nvic = Nvic(chip, 0xE000E000)
        self.priorities = NvicPriorities(chip, 0xE000E400)
        self.scb = SystemControlBlock(chip, 0xE000ED00)
        self.mpu = Mpu(chip, 0xE000ED90)
        self.fpu = FloatingPoint(chip, 0xE000EF34)
        self.caches = Caches(chip, 0xE000EF50)
        self.cycles = CycleCounter(chip, 0xE0001000)
        self.cycles_lock = CycleCounterLock(chip, 0xE0001C00)

    @property
    def pending(self) -> int:
        """Interrupts that are enabled and pending, as a mask."""
        return self.nvic.pending & self.nvic.enabled

    def mpu_reason(self, address: int) -> str | None:
        """Why the MPU refuses a data access, or None if it does not."""
        number = self.mpu.region_of(address)
        if number is None or self.mpu.rights(number) & unicorn.UC_PROT_WRITE:
            return None
        return f"MPU region {number} forbids it"

    def _group(self, priority: int) -> int:
        """The part of a priority that decides about preemption (Armv7-M B1.5.4)."""
        return priority & _PRIORITY_BITS & (0xFF << field(self.scb["AIRCR"], 10, 8) + 1) & 0xFF

    def _best(self) -> tuple[int, int]:
        """Priority and number of the most urgent pending interrupt."""
        pending = self.pending
        best = (_BASE_PRIORITY, 0)
        while pending:
            number = (pending & -pending).bit_length() - 1
            pending &= pending - 1
            best = min(best, (self.priorities.of(number) & _PRIORITY_BITS, number))
        return best

    def wakes(self) -> bool:
        """Whether WFI ends: a pending interrupt of sufficient priority, PRIMASK aside (Armv7-M B1.5.19)."""
        if not self.pending:
            return False
        group = self._group(self._best()[0])
        base = self.chip.registers.read(arm.UC_ARM_REG_BASEPRI)
        return group < self._running_priority() and (not base or group < self._group(base))

    def _running_priority(self) -> int:
        running = [self._group(self.priorities.of(n - FIRST_INTERRUPT)) for n in self.active if n >= FIRST_INTERRUPT]
        return min(running, default=_BASE_PRIORITY)

    def take(self) -> tuple[bool, bool]:
        """Enter the most urgent pending interrupt if it may be. Returns whether it did, and whether only a mask
        forbids it."""
        priority, number = self._best()
        group = self._group(priority)
        if group >= self._running_priority():
            return False, False
        read = self.chip.registers.read
        base = read(arm.UC_ARM_REG_BASEPRI)
        if (
            read(arm.UC_ARM_REG_PRIMASK) & 1
            or read(arm.UC_ARM_REG_FAULTMASK) & 1
            or (base and group >= self._group(base))
        ):
            return False, True
        self._enter(FIRST_INTERRUPT + number)
        self.nvic.pending &= ~(1 << number)
        return True, False

    def _enter(self, number: int) -> None:
        """Armv7-M B1.5.6, with eager stacking of the floating point registers."""
        read, write = self.chip.registers.read, self.chip.registers.write
        control = read(arm.UC_ARM_REG_CONTROL)
        if control & 2:
            self.chip.fail("an exception while the thread uses the process stack, which is not modelled")
        with_floats = bool(control & 4)
        stack = read(arm.UC_ARM_REG_SP)
        status = read(arm.UC_ARM_REG_XPSR)
        general = [read(r) for r in _STACKED]
        frame = struct.pack("<8I", *general, read(arm.UC_ARM_REG_PC), status & ~(1 << 9) | (stack >> 2 & 1) << 9)
        if with_floats:
            frame += struct.pack("<8Q2I", *(read(r) for r in _STACKED_FLOATS), read(arm.UC_ARM_REG_FPSCR), 0)
        pointer = (stack - len(frame)) & ~7
        self.chip.push(pointer, frame)
        self.active.append(number)
        write(arm.UC_ARM_REG_SP, pointer)
        write(arm.UC_ARM_REG_XPSR, 0x01000000 | number)
        base = 0xFFFFFFE1 if with_floats else 0xFFFFFFF1
        write(arm.UC_ARM_REG_LR, base if len(self.active) > 1 else base | 8)
        if self.scb["CPACR"]:
            # The handler is taken to use the FPU: its new context begins with FPDSCR (Armv7-M B1.5.7).
            write(arm.UC_ARM_REG_CONTROL, control | _FPCA)
            write(arm.UC_ARM_REG_FPSCR, self.fpu["FPDSCR"])
        vector = self.chip.read_word(self.scb["VTOR"] + 4 * number)
        if not vector & 1:
            self.chip.fail(f"the vector of exception {number}, {vector:#010x}, is no Thumb code")
        write(arm.UC_ARM_REG_PC, vector)

    def leave(self, target: int) -> None:
        """Return from an exception by a branch to `target` (Armv7-M B1.5.8)."""
        chip, kind = self.chip, target | 1
        if not self.active:
            chip.fail(f"branch to {kind:#010x}, a return from an exception, outside any")
        nested = len(self.active) > 1
        if kind not in ((0xFFFFFFE1, 0xFFFFFFF1) if nested else (0xFFFFFFE9, 0xFFFFFFF9)):
            chip.fail(f"return from exception {self.active[-1]} by {kind:#010x}, which does not fit its entry")
        number = self.active.pop()
        read, write = chip.registers.read, chip.registers.write
        pointer = read(arm.UC_ARM_REG_SP)
        with_floats = not kind & 0x10
        size = 0x68 if with_floats else 0x20
        frame = chip.read_bytes(pointer, size)
        *general, address, status = struct.unpack_from("<8I", frame)
        control = read(arm.UC_ARM_REG_CONTROL) & ~_FPCA
        write(arm.UC_ARM_REG_CONTROL, control | (_FPCA if with_floats else 0))
        for register, value in zip(_STACKED, general, strict=True):
            write(register, value)
        if with_floats:
            *floats, fpscr, _ = struct.unpack_from("<8Q2I", frame, 32)
            for register, value in zip(_STACKED_FLOATS, floats, strict=True):
                write(register, value)
            write(arm.UC_ARM_REG_FPSCR, fpscr)
        write(arm.UC_ARM_REG_SP, pointer + size | (status >> 9 & 1) << 2)
        expected = self.active[-1] if self.active else 0
        if status & 0x1FF != expected:
            chip.fail(f"the frame that exception {number} returns to is damaged")
        write(arm.UC_ARM_REG_XPSR, status & ~(1 << 9))
        write(arm.UC_ARM_REG_PC, address | 1)
        bit = 1 << number - FIRST_INTERRUPT
        if self.nvic.lines & bit:
            self.nvic.pending |= bit

    def reset(self) -> None:
        self.active.clear()

    def restricted(self, name: str) -> np.ndarray:
        """What Unicorn lets the program do in each page of memory `name`."""
        start, size = MEMORIES[name]
        plain = unicorn.UC_PROT_READ | (0 if name == "flash" else unicorn.UC_PROT_WRITE)
        if name in ("flash", "ITCM"):
            plain |= unicorn.UC_PROT_EXEC
        rights = np.full(size // PAGE, plain, np.uint8)
        if not self.mpu["CTRL"] & 1:
            return rights
        if not self.mpu["CTRL"] & 4:
            rights[:] = 0
        for number in range(16):
            for span in self.mpu.spans(number):
                first = max(-(-(span.start - start) // PAGE), 0)
                last = min((span.stop - start) // PAGE, len(rights))
                if first < last:
                    rights[first:last] = self.mpu.rights(number) & plain
        return rights

    def guards(self) -> list[range]:
        """Parts of pages that a region forbids to write: too small for Unicorn, watched by their contents instead."""
        found: list[range] = []
        for number in range(16):
            if not self.mpu.rights(number) & unicorn.UC_PROT_WRITE:
                for span in self.mpu.spans(number):
                    pages = range(-(-span.start // PAGE) * PAGE, span.stop // PAGE * PAGE)
                    parts = [span] if not pages else [range(span.start, pages.start), range(pages.stop, span.stop)]
                    found += [part for part in parts if part]
        return found if self.mpu["CTRL"] & 1 else []


_STACKED = [
    *(arm.UC_ARM_REG_R0, arm.UC_ARM_REG_R1, arm.UC_ARM_REG_R2, arm.UC_ARM_REG_R3),
    *(arm.UC_ARM_REG_R12, arm.UC_ARM_REG_LR),
]
_STACKED_FLOATS = [getattr(arm, f"UC_ARM_REG_D{n}") for n in range(8)]
