"""The two things that happen too often for Python: a block of instructions begins, a register is read in a loop.

Unicorn calls these functions as C; numba compiles them. They share one buffer (`Store`) with the Python side. Registers
whose reads have no side effect are read here; everything else goes on to the machine's Python models.
"""

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import carray, cfunc, njit, types
from unicorn.unicorn_py3 import unicorn as binding

INSTRUCTIONS_PER_CYCLE = 1.87  # what the project's cycle account finds for its engines on the dual-issue Cortex-M7
_CYCLES, _INSTRUCTIONS = 100, 187

PAGE = 1024  # the smallest that a Cortex-M's memory protection is emulated with, and the grid of the peripherals
PERIPHERALS = range(0x40000000, 0x60000000)
PRIVATE_BUS = range(0xE0000000, 0xE0100000)
MAX_WINDOWS = 64

# Words of the state that both sides know
EXECUTED = 0  # instructions since the machine was made
LIMIT = 1  # stop before the block that begins with this many executed
STOPPED = 2  # 1 when a block was stopped by the limit
BLOCK_ADDRESS = 3
BLOCK_BYTES = 4
CYCLE_INSTRUCTIONS = 5  # the count and the cycle from which cycles are reckoned
CYCLE_BASE = 6
CYCLE_COUNTER_OFFSET = 7  # DWT CYCCNT minus the cycle
FED_AT = 8  # instructions executed when the watchdog was last fed
FED = 9
FPU_OFF = 10  # 1: floating point instructions fault
FPU_FAULT = 11  # the address of one that did
READ_AT = 12  # instructions executed when the cycle counter was last read,
READ_BLOCK = 13  # by this block, 0 when another register was read or written since,
READ_STEP = 14  # so many instructions after it was read before
STATE_WORDS = 64

# A loop that waits for the cycle counter goes round once for so many times.
_WAITS_AT_ONCE = 64
_LONGEST_WAIT_LOOP = 32

# How a register's read or write is done: bits of the access flags
READ_NATIVE, READ_CYCLES, WRITE_SAME, WRITE_FEED = 1, 2, 4, 8

SYSTEM_MEMORY = (0x1FF00000, 0x20000)
BOOT_LOADER = (0x1FF09800, 0x20002000, 0x1FF0A001)
"""Where the ROM's vectors are, its stack pointer and its reset vector (the values are only for show)."""

MEMORIES = {  # RM0433 2.3.2: name -> (address, bytes)
    "ITCM": (0x00000000, 0x10000),
    "flash": (0x08000000, 0x20000),
    "DTCM": (0x20000000, 0x20000),
    "AXI SRAM": (0x24000000, 0x80000),
    "SRAM1": (0x30000000, 0x20000),
    "SRAM2": (0x30020000, 0x20000),
    "SRAM3": (0x30040000, 0x8000),
}

_WINDOW_PAGES = len(PERIPHERALS) // PAGE + len(PRIVATE_BUS) // PAGE
_PAGES_AT = STATE_WORDS * 8  # one byte a page: which window of registers it is, 255: none
_FLAGS_AT = _PAGES_AT + _WINDOW_PAGES
_VALUES_AT = _FLAGS_AT + MAX_WINDOWS * PAGE // 4
_KEPT_AT = (_VALUES_AT + 4095) & ~4095  # from here on is what a snapshot copies
_MEMORIES_AT = _KEPT_AT + MAX_WINDOWS * PAGE
_OFFSETS: dict[str, int] = {}
_end = _MEMORIES_AT
for _name, (_, _size) in MEMORIES.items():
    _OFFSETS[_name] = _end
    _end += _size
STORE_BYTES = _end
_FLASH_AT, _ITCM_AT = _OFFSETS["flash"], _OFFSETS["ITCM"]

_library = binding.uclib
_library.uc_emu_stop.argtypes = [ctypes.c_void_p]
_library.uc_emu_stop.restype = ctypes.c_int
_stop = _library.uc_emu_stop

_ReadCallback = ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint32)
_WriteCallback = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_uint32)


class Store:
    """One buffer: the state of the clock, the windows of registers, the memories."""

    def __init__(self) -> None:
        raw = np.zeros(STORE_BYTES + 4096, np.uint8)
        start = -raw.ctypes.data % 4096
        self.bytes = raw[start : start + STORE_BYTES]
        self.address: int = self.bytes.ctypes.data
        self.state = self.bytes[: STATE_WORDS * 8].view(np.int64).data
        self._pages = self.bytes[_PAGES_AT:_FLAGS_AT]
        self._pages[:] = 255
        self._flags = self.bytes[_FLAGS_AT:_VALUES_AT]
        self.values = self.bytes[_KEPT_AT:_MEMORIES_AT].view(np.uint32).data
        self.kept = self.bytes[_KEPT_AT:]  # all that a snapshot has to copy, flash included
        self.memory = {name: self.bytes[at : at + MEMORIES[name][1]] for name, at in _OFFSETS.items()}
        self._windows = 0

    def add_window(self, address: int, pages: int = 1) -> tuple[memoryview, np.ndarray]:
        """The values and the access flags of the 256 registers of each page from `address` on."""
        first = self._windows * PAGE // 4
        for page in range(_page_number(address), _page_number(address) + pages):
            self._pages[page] = self._windows
            self._windows += 1
        last = self._windows * PAGE // 4
        return self.values[first:last], self._flags[first:last]


def _page_number(address: int) -> int:
    if address in PERIPHERALS:
        return (address - PERIPHERALS.start) // PAGE
    return len(PERIPHERALS) // PAGE + (address - PRIVATE_BUS.start) // PAGE


class Machine:
    """What the native side calls back; the CPU implements it."""

    def bus_read(self, address: int, size: int) -> int:
        raise NotImplementedError

    def bus_write(self, address: int, size: int, value: int) -> None:
        raise NotImplementedError


_machines: dict[int, Machine] = {}


def register_machine(store: Store, machine: Machine | None) -> None:
    """Accesses that `store`'s native side passes on go to `machine`; None forgets it."""
    if machine is None:
        _machines.pop(store.address, None)
    else:
        _machines[store.address] = machine


@_ReadCallback
def _slow_read(store: int, address: int, size: int) -> int:
    return _machines[store].bus_read(address, size)


@_WriteCallback
def _slow_write(store: int, address: int, size: int, value: int) -> None:
    _machines[store].bus_write(address, size, value)


@cfunc(types.void(types.voidptr, types.uint64, types.uint32, types.voidptr))
def _on_block(emulator: Any, address: int, size: int, store: Any) -> None:
    state = carray(store, (STATE_WORDS,), np.int64)
    if state[EXECUTED] >= state[LIMIT]:
        state[STOPPED] = 1
        _stop(emulator)
        return
    state[BLOCK_ADDRESS] = address
    state[BLOCK_BYTES] = size
    halfwords = carray(store, (STORE_BYTES // 2,), np.uint16)
    at = (address - 0x08000000 + _FLASH_AT if address >= 0x08000000 else address + _ITCM_AT) >> 1
    end = min(at + (size >> 1), STORE_BYTES // 2)
    count = 0
    while at < end:
        wide = halfwords[at] >= 0xE800  # the first halfword of a 32-bit instruction, Armv7-M A5.1
        # one for coprocessor 10 or 11, A5.3.18; Unicorn's FPU is never off
        if state[FPU_OFF] and wide and halfwords[at] & 0xEC00 == 0xEC00 and halfwords[at + 1] & 0x0E00 == 0x0A00:
            state[FPU_FAULT] = address + size - 2 * (end - at)
            _stop(emulator)
            return
        at += 2 if wide else 1
        count += 1
    state[EXECUTED] += count


@njit
def _pass_waiting(state: Any) -> None:
    """The cycle counter is read: where this is the same loop again, which does nothing but wait for it, let the time
    pass in which it would go round, but not beyond the next event. Such a wait ends up to half a microsecond late."""
    step = state[EXECUTED] - state[READ_AT]
    if state[BLOCK_ADDRESS] == state[READ_BLOCK] and step == state[READ_STEP] and 0 < step <= _LONGEST_WAIT_LOOP:
        state[EXECUTED] += step * max(min(_WAITS_AT_ONCE, (state[LIMIT] - state[EXECUTED]) // step), 0)
    state[READ_AT], state[READ_BLOCK], state[READ_STEP] = state[EXECUTED], state[BLOCK_ADDRESS], step


def _make_read(base: int, first_page: int) -> Any:
    @cfunc(types.uint64(types.voidptr, types.uint64, types.uint32, types.voidptr))
    def on_read(emulator: Any, offset: int, size: int, store: Any) -> Any:
        contents = carray(store, (STORE_BYTES,), np.uint8)
        window = contents[_PAGES_AT + first_page + (offset >> 10)]
        if window != 255 and size == 4 and offset & 3 == 0:
            register = (np.int64(window) << 8) + ((offset & 1023) >> 2)
            flags = contents[_FLAGS_AT + register]
            if flags & READ_NATIVE:
                return np.uint64(carray(store, (STORE_BYTES // 4,), np.uint32)[(_KEPT_AT >> 2) + register])
            if flags & READ_CYCLES:
                state = carray(store, (STATE_WORDS,), np.int64)
                _pass_waiting(state)
                since = state[EXECUTED] - state[CYCLE_INSTRUCTIONS]
                cycles = state[CYCLE_BASE] + since * _CYCLES // _INSTRUCTIONS
                return np.uint64((cycles + state[CYCLE_COUNTER_OFFSET]) & 0xFFFFFFFF)
        carray(store, (STATE_WORDS,), np.int64)[READ_BLOCK] = 0
        return np.uint64(_slow_read(store, np.uint32(offset + base), size))

    return on_read


def _make_write(base: int, first_page: int) -> Any:
    @cfunc(types.void(types.voidptr, types.uint64, types.uint32, types.uint64, types.voidptr))
    def on_write(emulator: Any, offset: int, size: int, value: int, store: Any) -> None:
        contents = carray(store, (STORE_BYTES,), np.uint8)
        window = contents[_PAGES_AT + first_page + (offset >> 10)]
        if window != 255 and size == 4 and offset & 3 == 0:
            register = (np.int64(window) << 8) + ((offset & 1023) >> 2)
            flags = contents[_FLAGS_AT + register]
            if flags & WRITE_SAME:
                words = carray(store, (STORE_BYTES // 4,), np.uint32)
                if words[(_KEPT_AT >> 2) + register] == value:
                    return
            if flags & WRITE_FEED and value == 0xAAAA:
                state = carray(store, (STATE_WORDS,), np.int64)
                state[FED] = 1
                state[FED_AT] = state[EXECUTED]
                return
        carray(store, (STATE_WORDS,), np.int64)[READ_BLOCK] = 0
        _slow_write(store, np.uint32(offset + base), size, np.uint32(value))

    return on_write


_PRIVATE_FIRST = len(PERIPHERALS) // PAGE
_on_read, _on_write = _make_read(PERIPHERALS.start, 0), _make_write(PERIPHERALS.start, 0)
_on_private_read = _make_read(PRIVATE_BUS.start, _PRIVATE_FIRST)
_on_private_write = _make_write(PRIVATE_BUS.start, _PRIVATE_FIRST)

_HOOK_BLOCK = 1 << 3


def attach(handle: ctypes.c_void_p, store: Store) -> None:
    """Connect the native functions to the emulator behind `handle`."""
    user = ctypes.c_void_p(store.address)
    hook = ctypes.c_size_t()
    _check(
        _library.uc_hook_add(
            handle,
            ctypes.byref(hook),
            _HOOK_BLOCK,
            ctypes.c_void_p(_on_block.address),
            user,
            ctypes.c_uint64(1),
            ctypes.c_uint64(0),
        )
    )
    for area, read, write in (
        (PERIPHERALS, _on_read, _on_write),
        (PRIVATE_BUS, _on_private_read, _on_private_write),
    ):
        _check(
            _library.uc_mmio_map(
                handle,
                ctypes.c_uint64(area.start),
                ctypes.c_size_t(len(area)),
                ctypes.c_void_p(read.address),
                user,
                ctypes.c_void_p(write.address),
                user,
            )
        )


class Registers:
    """The core's registers by Unicorn's numbers; what its own Python class does around each takes ten times as long."""

    def __init__(self, handle: ctypes.c_void_p) -> None:
        self._handle = handle
        self._value = ctypes.c_uint64()
        self._address = ctypes.byref(self._value)

    def read(self, register: int) -> int:
        self._value.value = 0
        _library.uc_reg_read(self._handle, register, self._address)
        return self._value.value

    def write(self, register: int, value: int) -> None:
        self._value.value = value
        _library.uc_reg_write(self._handle, register, self._address)


def _check(error: int) -> None:
    if error:
        raise RuntimeError(f"Unicorn refuses: error {error}")


def cycles_of(instructions: int) -> int:
    """Cycles that `instructions` take."""
    return instructions * _CYCLES // _INSTRUCTIONS


def instructions_of(cycles: int) -> int:
    """The least number of instructions that take at least `cycles`."""
    return -(-cycles * _INSTRUCTIONS // _CYCLES)


start: Callable[..., int] = _library.uc_emu_start
