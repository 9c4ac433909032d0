"""The STM32H750's core and memories: runs the program, takes interrupts, passes register accesses to the models."""

import ctypes
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import unicorn
from unicorn import arm_const as arm

from hardware.virtual_daisy import native
from hardware.virtual_daisy.errors import ChipError, InBootloader
from hardware.virtual_daisy.native import (
    BLOCK_ADDRESS,
    BLOCK_BYTES,
    BOOT_LOADER,
    EXECUTED,
    MEMORIES,
    PAGE,
    STOPPED,
    SYSTEM_MEMORY,
    Store,
)
from hardware.virtual_daisy.peripheral import Peripheral
from hardware.virtual_daisy.source_lines import SourceLines, accessing_instruction
from hardware.virtual_daisy.system_control import SystemControl
from hardware.virtual_daisy.time_line import TimeLine

if TYPE_CHECKING:
    from hardware.virtual_daisy.adc import Adc, AdcCommon
    from hardware.virtual_daisy.clocks import Crs, Rcc
    from hardware.virtual_daisy.dma import Dma, DmaMux
    from hardware.virtual_daisy.gpio import Pins
    from hardware.virtual_daisy.power import FlashInterface, Pwr
    from hardware.virtual_daisy.sai import Sai
    from hardware.virtual_daisy.usb import OtgFs
    from hardware.virtual_daisy.watchdog import Watchdog

# Unicorn does not tell when PRIMASK or BASEPRI let a pending interrupt in, so it is looked for: after each block at
# first, then, where a program masks for long, every so many cycles.
_BLOCKS_ONE_BY_ONE, _POLL_CYCLES = 2_000, 64
_GUARD_INSTRUCTIONS = 10_000  # how often guards smaller than a page are looked at
_NEVER_REACHED = 0xFFFFFFFE
_GENERAL = [
    *(getattr(arm, f"UC_ARM_REG_R{n}") for n in range(13)),
    *(arm.UC_ARM_REG_LR, arm.UC_ARM_REG_XPSR, arm.UC_ARM_REG_CONTROL, arm.UC_ARM_REG_FPSCR, arm.UC_ARM_REG_SP),
]
_EXCEPTION_EXIT = 8  # Unicorn's number for a return from an exception
_EXCEPTIONS = {
    1: "undefined instruction",
    2: "SVC, which nothing here handles",
    3: "instruction fetch from where none may be",
    4: "data access that faults",
    7: "bkpt",
    18: "invalid state",
    19: "stack overflow",
    20: "load or store that has to be aligned is not",
}


class Chip(native.Machine):
    """Core, memories and time; the peripherals attach themselves."""

    pins: "Pins"
    pwr: "Pwr"
    flash_interface: "FlashInterface"
    rcc: "Rcc"
    crs: "Crs"
    dma_mux: "DmaMux"
    dma: "Dma"
    adc_common: "AdcCommon"
    adc: "Adc"
    sai: "Sai"
    usb: "OtgFs"
    watchdog: "Watchdog"

    def __init__(self, image: bytes, elf: Path | None = None) -> None:
        """image: what is flashed at 0x08000000, at most 128 KB; elf: the file it was made from, for source lines."""
        self.store = Store()
        self.time = TimeLine(self.store)
        self.lines = SourceLines(elf)
        self._failure: Exception | None = None
        self._exception: int | None = None
        self._sleeping = False
        self._running = False
        self._masked_blocks = 0
        self._windows: dict[int, tuple[memoryview, np.ndarray]] = {}
        self._owners: dict[int, Peripheral] = {}
        self.peripherals: list[Peripheral] = []
        self.coherence_checks: list[Callable[[], None]] = []
        self.i2c_devices: dict[int, Callable[[bytes], None]] = {}
        self._unclocked: set[str] = set()
        self._rights: dict[str, np.ndarray] = {}
        self._guards: list[tuple[range, np.ndarray, bytes]] = []
        self._guards_checked = 0
        self.memory = self.store.memory
        flash = self.memory["flash"]
        if len(image) > len(flash):
            raise ValueError(f"the image has {len(image)} bytes, the flash {len(flash)}")
        flash[:] = 0xFF
        flash[: len(image)] = np.frombuffer(image, np.uint8)
        self._make_core()
        native.register_machine(self.store, self)
        self.system = SystemControl(self)

    def _make_core(self) -> None:
        self.uc = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
        self.uc.ctl_set_cpu_model(arm.UC_CPU_ARM_CORTEX_M7)
        self.uc.ctl_set_page_size(PAGE)
        for name, (address, size) in MEMORIES.items():
            rights = unicorn.UC_PROT_READ | unicorn.UC_PROT_WRITE
            if name == "flash":
                rights = unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC
            elif name == "ITCM":
                rights |= unicorn.UC_PROT_EXEC
            self.uc.mem_map_ptr(address, size, rights, ctypes.c_void_p(self.memory[name].ctypes.data))
        self.uc.mem_map(*SYSTEM_MEMORY, unicorn.UC_PROT_READ)
        vectors, stack, entry = BOOT_LOADER
        self.uc.mem_write(vectors, stack.to_bytes(4, "little") + entry.to_bytes(4, "little"))
        self._handle = self.uc._uch
        self.registers = native.Registers(self._handle)
        native.attach(self._handle, self.store)
        self.uc.hook_add(unicorn.UC_HOOK_MEM_INVALID, self._on_invalid)
        self.uc.hook_add(unicorn.UC_HOOK_INTR, self._on_exception)
        self._start = native.start
        self._start_arguments = (
            ctypes.c_uint64(_NEVER_REACHED),
            ctypes.c_uint64(0),
            ctypes.c_size_t(0),
        )

    def close(self) -> None:
        """Forget the native side's way back."""
        native.register_machine(self.store, None)

    # --- registers on the bus ---

    def window(self, base: int, pages: int = 1) -> tuple[memoryview, np.ndarray]:
        """The values and flags of the page of registers in which `base` lies, or of several from there on."""
        page = base - base % PAGE
        if page not in self._windows:
            self._windows[page] = self.store.add_window(page, pages)
        return self._windows[page]

    def attach(self, peripheral: Peripheral, addresses: Iterable[int]) -> None:
        self.peripherals.append(peripheral)
        for address in addresses:
            self._owners[address] = peripheral
        self._owners.setdefault(-(peripheral.base // PAGE), peripheral)

    def attach_area(self, peripheral: Peripheral, area: range) -> None:
        """Whole pages whose accesses all go to `peripheral`."""
        for page in range(area.start // PAGE, area.stop // PAGE):
            self._owners[-page] = peripheral

    def bus_read(self, address: int, size: int) -> int:
        try:
            return self._owner(address, "read").read(address, size)
        except Exception as error:
            self._stop_with(error, address)
            return 0

    def bus_write(self, address: int, size: int, value: int) -> None:
        try:
            self._owner(address, f"write of {value:#x}").write(address, size, value)
        except Exception as error:
            self._stop_with(error, address)

    def _owner(self, address: int, access: str) -> Peripheral:
        owner = self._owners.get(address & ~3) or self._owners.get(-(address // PAGE))
        if owner is None:
            self.fail(f"{access} at {address:#010x}, where no peripheral is modelled")
        if address not in native.PRIVATE_BUS:
            self.rcc.check_settled(owner)
        return owner

    def _stop_with(self, error: Exception, address: int) -> None:
        if self._failure is None:
            if isinstance(error, ChipError) and error.args and isinstance(error.args[0], str):
                error = ChipError(f"{error.args[0]}{self._place(self._access_pc(address))}")
            self._failure = error
        self.store.state[native.LIMIT] = 0
        self.uc.emu_stop()

    def _access_pc(self, address: int) -> int:
        block = self.store.state[BLOCK_ADDRESS]
        return accessing_instruction(self.current_block(), block, address, self.general_registers())

    def current_block(self) -> bytes:
        """The code of the block that runs."""
        return self.code(self.store.state[BLOCK_ADDRESS], self.store.state[BLOCK_BYTES])

    # --- errors ---

    def fail(self, text: str) -> NoReturn:
        """End the run: the program has done what it must not. The place is added where the access is caught."""
        raise ChipError(text if self._running else f"{text}{self._place(self.pc)}")

    def _place(self, pc: int) -> str:
        return f", at {pc:#010x}{self.lines.describe(pc)}"

    def code(self, address: int, size: int) -> bytes:
        """Program bytes at `address`."""
        for name in ("flash", "ITCM"):
            start, length = MEMORIES[name]
            if start <= address < start + length:
                return self.memory[name][address - start : address - start + size].tobytes()
        return b""

    def _on_invalid(self, _uc: object, access: int, address: int, size: int, value: int, _user: object) -> bool:
        pc = self.pc
        start, size = SYSTEM_MEMORY
        if access == unicorn.UC_MEM_FETCH_PROT and start <= address < start + size:
            self._failure = self._failure or InBootloader(f"the program jumped to system memory at {address:#010x}")
            return False
        if access in (unicorn.UC_MEM_FETCH_UNMAPPED, unicorn.UC_MEM_FETCH_PROT):
            text = f"instruction fetch from {address:#010x}, which is no memory for code"
        else:
            writes = access in (unicorn.UC_MEM_WRITE_UNMAPPED, unicorn.UC_MEM_WRITE_PROT)
            kind = f"write of {value & 0xFFFFFFFF:#x} to" if writes else "read of"
            text = f"{kind} {address:#010x}: {self.why_no_access(address)}"
        self._failure = self._failure or ChipError(f"{text}{self._place(pc)}")
        return False

    def why_no_access(self, address: int) -> str:
        """Why the data access at `address` is refused."""
        if (reason := self.system.mpu_reason(address)) is not None:
            return reason
        for name, (start, size) in MEMORIES.items():
            if start <= address < start + size:
                return "the flash is not written so" if name == "flash" else f"{name} has no clock in RCC_AHB2ENR"
        return "no memory is there"

    # --- memory ---

    def locate(self, address: int, size: int) -> np.ndarray:
        """The bytes of memory at `address`; ends the run where no memory is, or one without a clock."""
        name = self.memory_at(address, size)
        if name and name not in self._unclocked:
            start = MEMORIES[name][0]
            return self.memory[name][address - start : address - start + size]
        self.fail(f"{size} bytes at {address:#010x} are not in a memory that is there and clocked")

    def memory_at(self, address: int, size: int) -> str | None:
        """The memory that holds these bytes."""
        for name, (start, length) in MEMORIES.items():
            if start <= address and address + size <= start + length:
                return name
        return None

    def read_bytes(self, address: int, size: int) -> bytes:
        return self.locate(address, size).tobytes()

    def read_word(self, address: int) -> int:
        return int.from_bytes(self.read_bytes(address, 4), "little")

    def push(self, address: int, frame: bytes) -> None:
        """Put an exception's frame on the stack."""
        if (reason := self.system.mpu_reason(address)) is not None:
            self.fail(f"the stack has run over: an exception's frame goes to {address:#010x}, and {reason}")
        self.locate(address, len(frame))[:] = np.frombuffer(frame, np.uint8)

    def set_memory_clock(self, name: str, clocked: bool) -> None:
        """The RCC switches the clock of a memory in domain D2."""
        if clocked == (name in self._unclocked):
            self._unclocked ^= {name}
            self.protection_changed()

    def protection_changed(self) -> None:
        """Tell Unicorn what the program may touch; called when a clock or the MPU changes."""
        for name, (address, size) in MEMORIES.items():
            rights = self.system.restricted(name)
            if name in self._unclocked:
                rights[:] = 0
            if name in self._rights and np.array_equal(rights, self._rights[name]):
                continue
            self._rights[name] = rights
            edges = [0, *(np.flatnonzero(np.diff(rights)) + 1).tolist(), size // PAGE]
            for first, last in pairwise(edges):
                self.uc.mem_protect(address + first * PAGE, (last - first) * PAGE, int(rights[first]))
        self._guards = []
        for span in self.system.guards():
            place = self.memory_at(span.start, len(span))
            if place and place not in self._unclocked:
                start = MEMORIES[place][0]
                memory = self.memory[place][span.start - start : span.stop - start]
                self._guards.append((span, memory, memory.tobytes()))

    def check_guards(self) -> None:
        """End the run when something has written where the MPU forbids it, in regions smaller than a page."""
        self._guards_checked = self.executed
        for span, memory, contents in self._guards:
            if memory.tobytes() != contents:
                self.fail(f"something has written into the guard at {span.start:#010x} that the MPU protects")

    def caches_changed(self) -> None:
        """The DMA looks again at what it may touch."""
        for check in self.coherence_checks:
            check()

    # --- registers of the core ---

    @property
    def pc(self) -> int:
        return self.registers.read(arm.UC_ARM_REG_PC)

    def general_registers(self) -> list[int]:
        """r0 to r15."""
        ids = [*_GENERAL[:13], arm.UC_ARM_REG_SP, arm.UC_ARM_REG_LR, arm.UC_ARM_REG_PC]
        return [self.registers.read(i) for i in ids]

    # --- running ---

    def reset_core(self) -> None:
        """Core and private bus as after a reset (Armv7-M B1.5.5): SP and PC from the vector table in flash."""
        write = self.registers.write
        self._sleeping = False
        self._failure = None
        for name in _GENERAL:
            write(name, 0)
        write(arm.UC_ARM_REG_XPSR, 0x01000000)
        for name in (arm.UC_ARM_REG_PRIMASK, arm.UC_ARM_REG_BASEPRI, arm.UC_ARM_REG_FAULTMASK):
            write(name, 0)
        self.set_fpu(False)
        table = self.memory["flash"][:8].view("<u4")
        write(arm.UC_ARM_REG_MSP, int(table[0]))
        write(arm.UC_ARM_REG_SP, int(table[0]))
        entry = int(table[1])
        if not entry & 1:
            raise ChipError(f"the reset vector {entry:#010x} has bit 0 clear, so it is no Thumb code (PM0253 2.4.4)")
        write(arm.UC_ARM_REG_PC, entry)

    def set_fpu(self, enabled: bool) -> None:
        """CPACR lets the program use the FPU, or not."""
        self.store.state[native.FPU_OFF] = not enabled

    def run_to(self, tick: int, condition: Callable[[], bool] | None = None) -> bool:
        """Run until virtual time reaches `tick`, or until `condition` holds, which is looked at between events.

        Returns whether the condition held. Raises what ends a run.
        """
        time, system = self.time, self.system
        while True:
            time.run_due()
            if condition and condition():
                return True
            now = time.now
            if now >= tick:
                return False
            if self._sleeping:
                if not system.wakes():
                    time.jump(min(time.next_due(), tick))
                    continue
                self._sleeping = False
            limit = min(time.next_due(), tick)
            masked = False
            if system.pending:
                taken, masked = system.take()
                if taken:
                    continue
                if masked:
                    limit = min(limit, now + _POLL_CYCLES * time.ticks_per_cycle)
            self._masked_blocks = self._masked_blocks + 1 if masked else 0
            if 0 < self._masked_blocks < _BLOCKS_ONE_BY_ONE:
                time.limit_to_block()
            else:
                time.limit(limit)
            self._run()

    def _run(self) -> None:
        state = self.store.state
        state[STOPPED] = 0
        self._running = True
        pc = self.pc | 1
        error = self._start(self._handle, ctypes.c_uint64(pc), *self._start_arguments)
        self._running = False
        if self._failure is None and self.executed - self._guards_checked > _GUARD_INSTRUCTIONS:
            self.check_guards()
        if self._failure:
            failure, self._failure = self._failure, None
            self._exception = None
            raise failure
        if self._exception is not None:
            number, self._exception = self._exception, None
            if number != _EXCEPTION_EXIT:
                raise ChipError(f"{_EXCEPTIONS.get(number, f'exception {number}')}{self._place(self.pc)}")
            self.system.leave(self.pc)
        elif error:
            text = "undefined instruction" if error == unicorn.UC_ERR_INSN_INVALID else str(unicorn.UcError(error))
            raise ChipError(f"{text}{self._place(self.pc)}")
        elif fault := state[native.FPU_FAULT]:
            state[native.FPU_FAULT] = 0
            raise ChipError(f"floating point instruction while the FPU is off in CPACR{self._place(fault)}")
        elif not state[STOPPED]:
            self._sleeping = True  # nothing else than WFI or WFE ends a run by itself

    def _on_exception(self, uc: unicorn.Uc, number: int, _user: object) -> None:
        self._exception = number
        uc.emu_stop()

    # --- snapshots ---

    def save(self) -> tuple[Any, ...]:
        """Everything that changes in a run."""
        return (
            self.uc.context_save(),
            self.store.kept.copy(),
            self.time.save(),
            (self._sleeping, self._masked_blocks),
            (list(self.system.active), set(self._unclocked)),
            [peripheral.save() for peripheral in self.peripherals],
        )

    def restore(self, saved: tuple[Any, ...]) -> None:
        context, kept, time, sleeping, (active, unclocked), states = saved
        code = self.memory["ITCM"].copy()
        self.store.kept[:] = kept
        if not np.array_equal(code, self.memory["ITCM"]):
            self.flush_code()
        self.time.restore(time)
        self._sleeping, self._masked_blocks = sleeping
        self._guards_checked = 0
        self._unclocked = set(unclocked)
        for peripheral, state in zip(self.peripherals, states, strict=True):
            peripheral.restore(state)
        self.system.active[:] = active
        self.protection_changed()
        self.uc.context_restore(context)

    def flush_code(self) -> None:
        """Forget translations of code in ITCM, which has been changed from outside the program."""
        self.uc.ctl_remove_cache(*_span("ITCM"))

    @property
    def executed(self) -> int:
        """Instructions since power-on."""
        return self.store.state[EXECUTED]


def _span(name: str) -> tuple[int, int]:
    address, size = MEMORIES[name]
    return address, address + size
