"""Cycles of an executed instruction sequence on a Cortex-M7: an in-order pipeline that issues up to two at once.

The rules are measurements that others published, each with `DWT.CYCCNT` on a real chip:

- [J] jnk0le, "pipeline cycle test", doc/cortex_m7.md, https://github.com/jnk0le/random, on an STM32H743;
- [Q] quinapalus, "Cortex-M7 cycle counts and dual-issue", https://www.quinapalus.com/cm7cycles.html, on an STM32H730;
- [F] Arm community forum 9930, "Cortex-M7 VFMA usage".

**The model.** Two slots a cycle, an older and a younger. The older waits for its operands and for the float unit; the
younger issues in the same cycle only if nothing makes it wait and the two pair. There is an early ALU and, one cycle
on, a late ALU [J "overall"]; an integer multiply-accumulate reads its addend a stage later still [J "multiplication"].
So a result has the time from which the *early* ALU can read it, and each `Role` an offset from that.

**Not modelled**: instruction fetch and alignment (the "slippery" half cycles of [J]), a full store buffer, unaligned
accesses, caches and waiting for memory (all code and data count as tightly coupled), collisions with DMA, interrupts,
the data-dependent end of a division (8 cycles are taken), mispredicted returns and indirect branches. A conditional
instruction that is skipped costs what it costs when it runs.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from export.cortex_m7.instruction import EARLY_ALU, SHIFTLESS_BITS, Instruction, Role, Unit

MISPREDICTION_CYCLES = 8
"""[J "branching"]: 8, or 6 where the flags were there three cycles before."""
MAC_SHADOW_CYCLES = 3
"""[J "fpu"]: so many cycles after a float multiply-accumulate some instructions cannot issue or pair."""
BANK_BIT = 4
"""[J "loads"]: even and odd words of the data memory are two banks, and each serves one load a cycle."""

_MACS = frozenset({Unit.FLOAT_MAC, Unit.FLOAT_CHAINED_MAC})
_LOADS = frozenset({Unit.LOAD, Unit.LOAD_NARROW, Unit.FLOAT_LOAD})
_STORES = frozenset({Unit.STORE, Unit.FLOAT_STORE})
_FLOAT_ARITHMETIC = _MACS | {
    Unit.FLOAT_MULTIPLY,
    Unit.FLOAT_ADD,
    Unit.FLOAT_DIVIDE,
    Unit.FLOAT_MOVE,
    Unit.FLOAT_CONSTANT,
}
_INTEGER = _LOADS - {Unit.FLOAT_LOAD} | {
    Unit.ALU,
    Unit.SHIFT,
    Unit.BITS,
    Unit.MULTIPLY,
    Unit.STORE,
    Unit.NOTHING,
    Unit.BRANCH,
}
_BESIDE_DIVISION = frozenset({Unit.ALU, Unit.SHIFT, Unit.LOAD, Unit.STORE, Unit.NOTHING})
_MOVES_BESIDE_MAC = frozenset(
    {Unit.FLOAT_LOAD, Unit.FLOAT_STORE, Unit.FLOAT_TO_CORE, Unit.CORE_TO_FLOAT, Unit.FLOAT_MOVE, Unit.FLOAT_CONSTANT}
)
_AFTER_MAC_NOT_YOUNGER = _MOVES_BESIDE_MAC - {Unit.FLOAT_CONSTANT}
_AFTER_MAC_NEVER = frozenset({Unit.FLOAT_ADD, Unit.FLOAT_LOAD_MULTIPLE, Unit.FLOAT_CONSTANT})

_RESULT_CYCLES = {
    Unit.ALU: 2,
    Unit.SHIFT: 2,
    Unit.BITS: 2,
    Unit.MULTIPLY: 3,  # "1 additional cycle of result latency"
    Unit.LOAD: 2,
    Unit.LOAD_NARROW: 3,
    Unit.FLOAT_TO_CORE: 2,
}
"""From issue to when the early ALU can read the result [J]; the early ALU's own results come a cycle sooner."""

_STAGE_OFFSET = {
    Role.EARLY: 0,
    Role.LATE: -1,
    Role.ADDRESS: 0,
    Role.FACTOR: -1,
    Role.ADDEND: -2,
    Role.STORED: -3,  # "can store any result in same cycle"
    Role.TO_FLOAT: -1,
}
"""When an operand is needed, against the time at which the early ALU could read it."""

_FLOAT_LATENCY = {
    (Unit.FLOAT_MAC, Role.FLOAT_ADDEND): 3,
    (Unit.FLOAT_MAC, Role.STORED): 3,
    (Unit.FLOAT_CHAINED_MAC, Role.FLOAT_ADDEND): 3,
    (Unit.FLOAT_CHAINED_MAC, Role.STORED): 4,
    (Unit.FLOAT_LOAD, Role.FLOAT_ADDEND): 3,
    (Unit.FLOAT_LOAD, Role.STORED): 0,
    (Unit.FLOAT_DIVIDE, Role.STORED): 1,
}
"""Cycles from a float result's issue to its reader [J "fpu", table "result latency"]; else by the two tables below."""
_FLOAT_LATENCY_ELSE = {Unit.FLOAT_MAC: 5, Unit.FLOAT_CHAINED_MAC: 6, Unit.FLOAT_LOAD: 1, Unit.FLOAT_DIVIDE: 1}
_FLOAT_LATENCY_OF_MOST = {Role.STORED: 1}
_FLOAT_LATENCY_DEFAULT = 3
_DOUBLE_LATENCY = 4


@dataclass(frozen=True, slots=True)
class Step:
    """One executed instruction. address: of the memory that it reads or writes, None when it does not or it is not
    known; then two loads are taken to want the same bank. taken: whether what ran next is not what follows it."""

    instruction: Instruction
    address: int | None = None
    taken: bool = False


@dataclass(frozen=True, slots=True)
class _Result:
    """`early`: the cycle from which the early ALU can read it; of a float register: the issue, or for what takes
    several cycles the last of them. `unit`: what made it."""

    early: int
    unit: Unit
    double: bool = False


def estimate(trace: Iterable[Step]) -> int:
    """The cycles that `trace` takes, from an empty pipeline to the issue of what would follow."""
    pipeline = Pipeline()
    for step in trace:
        pipeline.issue(step)
    return pipeline.cycles


def loop_cycles(
    body: Sequence[Instruction], registers: Mapping[str, int] | None = None, iterations: int = 200
) -> float:
    """Cycles of one pass through `body`, repeated without a branch until the pipeline has settled.

    registers: starting values by name ("r0"), from which loads get their addresses and so their banks; write-back
    moves them on, any other write makes them unknown.
    """
    known = dict(registers or {})
    pipeline, half_way = Pipeline(), 0
    for iteration in range(iterations):
        if iteration == iterations // 2:
            half_way = pipeline.cycles
        for instruction in body:
            memory = instruction.memory
            pipeline.issue(Step(instruction, memory.address(known) if memory else None))
            for register in instruction.writes:
                if memory is not None and memory.writes_base and register == memory.base and register in known:
                    known[register] += memory.offset
                else:
                    known.pop(register, None)
    return (pipeline.cycles - half_way) / (iterations - iterations // 2)


class Pipeline:
    """The state between two instructions; `issue` them in the order in which they ran."""

    def __init__(self) -> None:
        self.cycles = 0
        """How long what was issued so far takes."""
        self._cycle = 0
        self._older: Step | None = None  # issued in this cycle, its younger slot still free
        self._results: dict[str, _Result] = {}
        self._flags_ready = -100
        self._last_mac = -100
        self._mac_before_older = -100
        self._last_chained_mac = -100
        self._predictions: dict[int, int] = {}  # by branch address: 0 and 1 predict not taken, 2 and 3 taken

    def issue(self, step: Step) -> None:
        instruction = step.instruction
        younger = self._older is not None and self._pairs(self._older, step)
        if younger:
            time = self._cycle
        else:
            self._close_cycle()
            time = self._float_unit_free(instruction, max(self._cycle, self._operands_ready(instruction)))
        mac_before = self._last_mac
        self._record(instruction, time, younger)
        if (instruction.unit == Unit.BRANCH or instruction.writes_pc) and self._redirected(step, time):
            return
        if younger:
            assert self._older is not None
            self._advance(time + self._older.instruction.cycles)
        elif instruction.alone or (instruction.cycles > 1 and instruction.unit != Unit.FLOAT_DIVIDE):
            self._advance(time + instruction.cycles)
        else:
            self._older, self._cycle, self._mac_before_older = step, time, mac_before
            self.cycles = time + instruction.cycles

    def _close_cycle(self) -> None:
        if self._older is not None:
            self._cycle += self._older.instruction.cycles
            self._older = None

    def _advance(self, cycle: int) -> None:
        self._cycle = self.cycles = cycle
        self._older = None

    def _redirected(self, step: Step, time: int) -> bool:
        """Whether the next instruction comes from elsewhere; two-bit prediction, the first time right."""
        branch = step.instruction
        if branch.conditional:
            counter = self._predictions.get(branch.address, 2 if step.taken else 1)
            self._predictions[branch.address] = min(counter + 1, 3) if step.taken else max(counter - 1, 0)
            if (counter >= 2) != step.taken:
                self._advance(time + MISPREDICTION_CYCLES)
                return True
        if step.taken:
            self._advance(time + branch.cycles)
        return step.taken

    def _operands_ready(self, instruction: Instruction) -> int:
        """The first cycle in which every operand is there for the stage that reads it."""
        ready = 0
        for read in instruction.reads:
            result = self._results.get(read.register)
            if result is None:
                continue
            if read.register[0] == "s":
                ready = max(ready, result.early + _float_latency(result, read.role, instruction))
            else:
                ready = max(ready, result.early + _core_offset(result, read.role, instruction))
        if instruction.reads_flags:
            # a branch is predicted and checked late, so it does not wait for flags
            ready = max(ready, self._flags_ready - (3 if instruction.unit == Unit.BRANCH else 1))
        return ready

    def _float_unit_free(self, instruction: Instruction, time: int) -> int:
        """`time`, or later, when the older slot may take a float instruction after a multiply-accumulate [J]."""
        if time - self._last_mac <= MAC_SHADOW_CYCLES and _shut_out_after_mac(instruction):
            return self._last_mac + MAC_SHADOW_CYCLES + 1
        # the stage in which VMLA rounds its product is in VFMA's way
        if instruction.unit == Unit.FLOAT_MAC and time == self._last_chained_mac + 1:
            return time + 1
        return time

    def _pairs(self, older: Step, step: Step) -> bool:
        """Whether `step` issues beside `older`, which has issued in this cycle."""
        first, second = older.instruction, step.instruction
        if self._operands_ready(second) > self._cycle or self._float_unit_free(second, self._cycle) > self._cycle:
            return False
        if self._cycle - self._last_mac <= MAC_SHADOW_CYCLES and second.unit in _AFTER_MAC_NOT_YOUNGER:
            return False
        return _may_pair(first, second) and self._no_conflict(older, step)

    def _no_conflict(self, older: Step, step: Step) -> bool:
        first, second = older.instruction, step.instruction
        if first.unit in _LOADS and second.unit in _LOADS and not _in_two_banks(older.address, step.address):
            return False
        # only the first of a run of multiply-accumulates pairs with a move, load or store [J, F]
        mac_and_move = (first.unit in _MACS and second.unit in _MOVES_BESIDE_MAC) or (
            second.unit in _MACS and first.unit in _MOVES_BESIDE_MAC
        )
        return not (mac_and_move and self._cycle - self._mac_before_older <= MAC_SHADOW_CYCLES)

    def _record(self, instruction: Instruction, time: int, younger: bool) -> None:
        """Note when the results of an instruction issued at `time` can be read."""
        if not instruction.double:
            if instruction.unit in _MACS:
                self._last_mac = time
            if instruction.unit == Unit.FLOAT_CHAINED_MAC:
                self._last_chained_mac = time
        early = time + self._core_result_cycles(instruction, time, younger)
        memory = instruction.memory
        for position, register in enumerate(instruction.writes):
            if memory is not None and memory.writes_base and register == memory.base:
                self._results[register] = _Result(time + 1, Unit.ALU)  # from the address unit, like the early ALU's
            elif register == "fpscr":
                self._results[register] = _Result(time + 4, Unit.ALU)
            elif register[0] == "s":
                self._results[register] = _float_result(instruction, time, position)
            elif instruction.unit == Unit.LOAD_MULTIPLE:
                self._results[register] = _Result(early + position // 2, Unit.LOAD)
            else:
                self._results[register] = _Result(early, instruction.unit)
        if instruction.writes_flags:
            self._flags_ready = time + 2  # "flag setting seems to happen in late alu even when it executes early"

    def _core_result_cycles(self, instruction: Instruction, time: int, younger: bool) -> int:
        if instruction.unit == Unit.DIVIDE:
            return instruction.cycles + 1
        simple = instruction.unit == Unit.ALU and instruction.name in EARLY_ALU and not instruction.shifts_operand
        if instruction.unit == Unit.SHIFT or (simple and not younger):  # additions and moves: the older slot only
            results = (self._results.get(read.register) for read in instruction.reads)
            if all(result is None or result.early <= time for result in results):
                return 1
        return _RESULT_CYCLES.get(instruction.unit, 2)


def _core_offset(result: _Result, role: Role, reader: Instruction) -> int:
    """When `reader` needs a core register, against when the early ALU could read it."""
    offset = _STAGE_OFFSET[role]
    if role == Role.ADDRESS and result.unit in (Unit.LOAD, Unit.LOAD_NARROW):
        return offset + 1  # [Q]: a chain of loads takes 3 cycles each
    if role == Role.TO_FLOAT and result.unit == Unit.MULTIPLY:
        return offset - 1  # VMOV takes it "1 cycle" after any ALU and the multiplier alike
    if result.unit == Unit.LOAD:
        if role == Role.FACTOR:
            return offset + 1  # "can't consume ldr result from previous cycle"
        if role == Role.LATE and any(read.role == Role.EARLY for read in reader.reads):
            return offset + 1  # the same, of instructions that read another operand early
    return offset


def _float_latency(result: _Result, role: Role, reader: Instruction) -> int:
    if result.double:
        return _DOUBLE_LATENCY
    if result.unit == Unit.FLOAT_LOAD and reader.unit == Unit.FLOAT_TO_CORE:
        return 2
    if (result.unit, role) in _FLOAT_LATENCY:
        return _FLOAT_LATENCY[result.unit, role]
    if result.unit in _FLOAT_LATENCY_ELSE:
        return _FLOAT_LATENCY_ELSE[result.unit]
    return _FLOAT_LATENCY_OF_MOST.get(role, _FLOAT_LATENCY_DEFAULT)


def _float_result(instruction: Instruction, time: int, position: int) -> _Result:
    if instruction.double or instruction.unit == Unit.FLOAT_DIVIDE:
        return _Result(time + instruction.cycles - 1, instruction.unit, instruction.double)
    if instruction.unit == Unit.FLOAT_LOAD_MULTIPLE:
        return _Result(time + position // 2, Unit.FLOAT_LOAD)
    return _Result(time, instruction.unit)


def _in_two_banks(first: int | None, second: int | None) -> bool:
    """False where an address is not known: the estimate is rather too high."""
    return first is not None and second is not None and bool((first ^ second) & BANK_BIT)


def _shut_out_after_mac(instruction: Instruction) -> bool:
    """Whether a multiply-accumulate keeps it out for a while: VADD, VLDM, VSTM, 64-bit VLDR and VSTR, constants."""
    if instruction.unit in _AFTER_MAC_NEVER:
        return True
    if not instruction.alone or instruction.unit not in (Unit.FLOAT_LOAD, Unit.FLOAT_STORE, Unit.STORE_MULTIPLE):
        return False
    return any(name[0] == "s" for name in (*instruction.writes, *(read.register for read in instruction.reads)))


def _uses_shifter(instruction: Instruction) -> bool:
    if instruction.unit == Unit.BITS:
        return instruction.name not in SHIFTLESS_BITS
    return instruction.shifts_operand or instruction.unit == Unit.SHIFT


def _may_pair(older: Instruction, younger: Instruction) -> bool:
    """Whether the two kinds of instruction can share a cycle at all."""
    units = {older.unit, younger.unit}
    if older.alone or younger.alone or set(older.writes) & set(younger.writes):
        return False
    if older.cycles > 1 and not (older.unit == Unit.FLOAT_DIVIDE and younger.unit in _BESIDE_DIVISION):
        return False
    if younger.unit == Unit.BITS:  # "must be placed in older op"
        return False
    if younger.shifts_operand and _uses_shifter(older):
        return False
    if Unit.MULTIPLY in units and (len(units) == 1 or units & _STORES):
        return False
    if units <= _STORES or units <= _FLOAT_ARITHMETIC:
        return False
    return not younger.double and (not older.double or younger.unit in _INTEGER)
