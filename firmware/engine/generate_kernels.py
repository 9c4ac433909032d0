"""Cortex-M7 kernels of the fixed-point engine: `python firmware/engine/generate_kernels.py` writes kernels_m7.S.

The arithmetic is that of lstm_q15.cc, gru_q15.cc and fir_q15.cc, bit for bit; here it is put in an order that issues
two instructions in most cycles. Two kinds of kernel make a sample of a recurrent layer:

- dot products: 4 rows (LSTM) or 3 (GRU) each of two units at a time, so that a pair of states is loaded once for all.
  Every SMLAD (two multiply-accumulates) issues together with a load.
- gates: the rest of two units a turn, from the sums to the new hidden states. It is written below as the equations
  are; `list_schedule` interleaves the two units, `with_registers` gives the values registers.

FIR filters are a third kind: four outputs share each pair of taps.

The pairing rules and latencies are those measured in jnk0le's "pipeline cycle test" (STM32H743) as far as they concern
these instructions. A schedule is drawn at random from a seed; `generate_kernels.py --search 5000` looks for better
seeds, judged by the pipeline model of export/cortex_m7.
"""

import math
import random
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

OUTPUT = Path(__file__).with_name("kernels_m7.S")
COMMAND = "python firmware/engine/generate_kernels.py"

# RecurrentLayerQ15::Unit, in bytes; recurrent_q15.h asserts the same
FIELDS = {"sum": 0, "bias": 16, "scale": 32, "input": 48, "state": 64, "head": 68, "state_low": 72, "left": 76}
UNIT_BYTES = 88
# RecurrentLayerQ15, which begins with the weights, the states to read, the units, their end and the count of quads
LAYER_UNITS, LAYER_UNITS_END, LAYER_HIDDEN, LAYER_TABLES = 8, 12, 20, 24
MAXIMUM_QUADS = 16
"""States are read four at a time; 64 is the most."""


# --- dot products ---------------------------------------------------------------------------------------------------

WORDS = ("r1", "r2", "r3")
STATES = ("r12", "lr")
SUMS = [f"r{number}" for number in range(4, 12)]


def quad_lines(rows: int) -> list[str]:
    """One turn of the chain: four hidden states times `rows` rows, with the loads for the next turn.

    A load comes two cycles before the SMLAD that needs it: three words in flight. Words 0..2 of a turn are in WORDS on
    entry and so must the next turn's be at the end; where the count leaves them rotated, the last loads swap places.
    """
    count = 2 * rows
    loads = [turn + 3 for turn in range(count)]
    if count % 3 == 1:
        loads[-4:] = [count, count - 1, count + 2, count + 1]
    register = {word: WORDS[word] for word in range(3)}
    lines = []
    for word in range(count):
        total, state = SUMS[word % rows], STATES[word // rows]
        lines.append(f"smlad {total}, {register[word]}, {state}, {total}")
        register[loads[word]] = register[word]
        lines.append(f"ldr.w {register[word]}, [r0, #4 * ({count} * .Lturn + {loads[word]})]")
        if word % rows == 2:  # the other pair of states, which was last needed in the half turn before
            lines.append(f"ldr.w {STATES[1 - word // rows]}, [sp, #8 * .Lturn + {4 + 4 * (word // rows)}]")
    assert [register[count + word] for word in range(3)] == list(WORDS)
    return lines


def dot_function(name: str, rows: int) -> list[str]:
    """void name(const RecurrentLayerQ15::Dot* dot), for two units of rows / 2"""
    states_bytes = 8 * MAXIMUM_QUADS
    unit, end, first, entry, advance = (states_bytes + 4 * slot for slot in range(5))
    frame = states_bytes + 28  # with the nine registers saved, SP is a multiple of 8: a state and a word load pair up
    gates = rows // 2
    turn = quad_lines(rows)
    sums = SUMS[:rows]
    pointer, scratch = STATES
    return [
        *function_start(name),
        "push {r4-r11, lr}",
        "ldmia r0, {r0-r4} @ weights, states, units, end, quads",
        f"sub sp, sp, #{frame}",
        f"rsb r5, r4, #{MAXIMUM_QUADS} @ turns of the chain to skip",
        "ldr r6, [r1]",
        f"str r6, [sp, #{first}]",
        "adr r7, 2f + 1 @ + 1: Thumb",
        f"movs r6, #{4 * len(turn)}",
        "mla r7, r5, r6, r7",
        f"str r7, [sp, #{entry}]",
        f"movs r6, #{8 * rows}",
        "mul r7, r4, r6",
        f"str r7, [sp, #{advance}]",
        "mls r7, r5, r6, r0 @ the chain's offsets count from its first turn, skipped or not",
        "add r6, sp, r5, lsl #3",
        "@ the states go to the stack: SP is the one register left to point at them",
        "@ in steps of two turns, which may spill into the slots behind them",
        "1: ldmia r1!, {r8-r11}",
        "subs r4, r4, #2",
        "stmia r6!, {r8-r11}",
        "bgt 1b",
        f"strd r2, r3, [sp, #{unit}]",
        *(f"ldr {word}, [r0, #{4 * index}]" for index, word in enumerate(WORDS)),
        "mov r0, r7",
        *(f"mov.w {total}, #0" for total in sums),
        f"ldr {scratch}, [sp, #{entry}]",
        f"ldr {pointer}, [sp, #{first}]",
        f"bx {scratch}",
        ".balign 8",
        "@ one turn is four states of every row; the entry depends on the hidden size. The last turn's load beyond the",
        "@ states gets the unit pointer, its loads beyond the weights the first words of the next rows",
        "2:",
        ".set .Lturn, 0",
        f".rept {MAXIMUM_QUADS}",
        *turn,
        ".set .Lturn, .Lturn + 1",
        ".endr",
        f"stmia {pointer}, {{{sums[0]}-{sums[gates - 1]}}}",
        f"add {pointer}, {pointer}, #{UNIT_BYTES}",
        f"ldr {scratch}, [sp, #{advance}]",
        f"stmia {pointer}, {{{sums[gates]}-{sums[-1]}}}",
        f"add {pointer}, {pointer}, #{UNIT_BYTES}",
        f"add r0, r0, {scratch}",
        f"ldr {scratch}, [sp, #{end}]",
        "mov.w r4, #0",
        f"cmp {pointer}, {scratch}",
        f"str {pointer}, [sp, #{unit}]",
        *(f"mov.w {total}, #0" for total in sums[1:]),
        "beq 3f",
        f"ldr {scratch}, [sp, #{entry}]",
        f"ldr {pointer}, [sp, #{first}]",
        f"bx {scratch}",
        f"3: add sp, sp, #{frame}",
        "pop {r4-r11, pc}",
        *function_end(name),
    ]


# --- FIR filters ----------------------------------------------------------------------------------------------------

FIR_SUMS = ("r4", "r5", "r6", "r7")
FIR_WORDS = ("r8", "r9", "r10", "r11")
FIR_TAPS = ("r12", "lr")


def fir_turn(words: tuple[str, ...], others: dict[int, str], offset: int) -> list[str]:
    """Four taps times four samples each. On entry `words` are two words of the window, what straddles them, and the
    next word; at the end they are so in reverse. Each SMLAD issues together with what stands behind it; `others` fill
    the slots that the loads leave. `offset` is that of the turn's first word and taps from their pointers."""
    word0, word1, across, word2 = words
    first, second = FIR_TAPS
    sum0, sum1, sum2, sum3 = FIR_SUMS
    return [
        f"smlad {sum0}, {word0}, {first}, {sum0}",
        f"ldr {second}, [r0, #{offset + 4}]",
        f"smladx {sum1}, {across}, {first}, {sum1}",
        f"pkhbt {word0}, {word2}, {word1} @ now what straddles the next two words",
        f"smlad {sum2}, {word1}, {first}, {sum2}",
        f"ldr {across}, [r1, #{offset + 12}]",
        f"smladx {sum3}, {word0}, {first}, {sum3}",
        *([others[3]] if 3 in others else []),
        f"smlad {sum0}, {word1}, {second}, {sum0}",
        others.get(4, f"ldr {first}, [r0, #{offset + 8}]"),
        f"smladx {sum1}, {word0}, {second}, {sum1}",
        f"pkhbt {word1}, {across}, {word2}",
        f"smlad {sum2}, {word2}, {second}, {sum2}",
        f"ldr {word0}, [r1, #{offset + 16 if offset == 0 else 8}]",
        f"smladx {sum3}, {word1}, {second}, {sum3}",
    ]


def fir_function() -> list[str]:
    """void FirQ15(const int16_t* taps, int padded_taps, const int16_t* window, int32_t* sums, int size)"""
    words = FIR_WORDS
    swapped = (words[3], words[2], words[1], words[0])
    taps_and_turns, window_and_size = 0, 8  # on the stack
    two_turns = [
        *fir_turn(words, {3: "subs r2, r2, #2"}, 0),
        "3:",
        *fir_turn(swapped, {3: "add r1, r1, #16", 4: f"ldr {FIR_TAPS[0]}, [r0, #16]!"}, 8),
    ]

    def first_words(word0: str, word1: str, across: str, word2: str) -> list[str]:
        return [
            f"ldr {word0}, [r1]",
            f"ldr {word1}, [r1, #4]",
            f"ldr {word2}, [r1, #8]",
            f"pkhbt {across}, {word1}, {word0}",
        ]

    return [
        *function_start("FirQ15"),
        "ldr r12, [sp]",
        "push {r4-r11, lr}",
        "sub sp, sp, #20",
        "lsrs r1, r1, #2",
        f"strd r0, r1, [sp, #{taps_and_turns}]",
        f"strd r2, r12, [sp, #{window_and_size}]",
        "1:",
        f"ldrd r0, r2, [sp, #{taps_and_turns}]",
        f"ldr r1, [sp, #{window_and_size}]",
        *(f"mov.w {total}, #0" for total in FIR_SUMS),
        f"ldr {FIR_TAPS[0]}, [r0]",
        "tst r2, #1",
        "bne 4f",
        *first_words(*words),
        ".balign 8",
        "2:",
        *two_turns,
        "bne 2b",
        "stmia r3!, {" + f"{FIR_SUMS[0]}-{FIR_SUMS[-1]}" + "}",
        f"ldrd r1, r2, [sp, #{window_and_size}]",
        "adds r1, r1, #8",
        "subs r2, r2, #4",
        f"strd r1, r2, [sp, #{window_and_size}]",
        "bgt 1b",
        "add sp, sp, #20",
        "pop {r4-r11, pc}",
        "@ an odd number of turns: begin with the second, whose offsets count from a turn before",
        "4:",
        *first_words(*swapped),
        "subs r0, r0, #8",
        "subs r1, r1, #8",
        "subs r2, r2, #1",
        "b 3b",
        *function_end("FirQ15"),
    ]


# --- gates ----------------------------------------------------------------------------------------------------------

FIXED = {"unit": "r0", "hidden": "r1", "x": "r2", "head": "r3"}
COARSE = FIXED | {"sigmoid": "r6", "tanh": "r7"}  # centres of the tables
FINE = FIXED | {"q31_half": "r5", "tanh": "r6"}


def temporaries(fixed: dict[str, str]) -> list[str]:
    return [register for register in (*(f"r{number}" for number in range(13)), "lr") if register not in fixed.values()]


def pre_activation(z: str, gate: int) -> list[str]:
    """z = bias + scale * sum + input * x. `{field.gate}` is a word of the unit, `%name` a value."""
    return [
        f"ldr %sum{gate}, {{sum.{gate}}}",
        f"ldr %scale{gate}, {{scale.{gate}}}",
        f"ldr %{z}, {{bias.{gate}}}",
        f"smmla %{z}, %sum{gate}, %scale{gate}, %{z}",
        f"ldr %input{gate}, {{input.{gate}}}",
        f"smmla %{z}, %x, %input{gate}, %{z}",
    ]


def activation(result: str, table: str, z: str, saturate: str = "") -> list[str]:
    """activation.h, Activate: the piece by the high bits of z, its rise by the signed low half."""
    return [
        saturate or f"ssat %{z}, #26, %{z}",
        f"asr %piece_{result}, %{z}, #15",
        f"ldr %word_{result}, [%{table}, %piece_{result}, lsl #2]",
        f"ubfx %rise_{result}, %word_{result}, #0, #10",
        f"smlabb %{result}, %rise_{result}, %{z}, %word_{result}",
    ]


def fine_tanh(result: str, z: str, saturate: str = "") -> list[str]:
    """activation.h, FineTanhQ31: the nearest node and the rise from there by the signed low half of 2 z."""
    return [
        saturate or f"ssat %{z}, #27, %{z}, lsl #1",
        f"add %near_{result}, %{z}, #0x8000",
        f"asr %index_{result}, %near_{result}, #16",
        f"add %node_{result}, %tanh, %index_{result}, lsl #3",
        f"ldr %value_{result}, [%node_{result}]",
        f"ldr %rise_{result}, [%node_{result}, #4]",
        f"smlawb %{result}, %rise_{result}, %{z}, %value_{result}",
    ]


LSTM_END = ["smmulr %h, %o, %t", "ldr %weight, {head.0}", "smmlar %head, %h, %weight, %head"]


def round_state(state: str, fine: bool) -> list[str]:
    """RoundState of recurrent_q15.h"""
    if not fine:
        return [f"asr %q15, %{state}, #15", "strh %q15, [%hidden], #2"]
    return [
        "ldr %before_left, {left.0}",
        f"add %total, %{state}, %before_left",
        "ubfx %left, %total, #0, #15",
        "str %left, {left.0}",
        "ssat %q15, #16, %total, asr #15",
        "strh %q15, [%hidden], #2",
    ]


def fine_sigmoid(result: str, z: str) -> list[str]:
    return [*fine_tanh(f"t{result}", z), f"add %{result}, %q31_half, %t{result}, asr #1"]


def lstm_unit() -> list[str]:
    """CoarseCell of lstm_q15.cc; the shifts depend on the format of the cell state."""
    return [
        *pre_activation("zi", 0),
        *activation("i", "sigmoid", "zi"),
        *pre_activation("zg", 2),
        *activation("g", "tanh", "zg"),
        "smmulr %candidate, %i, %g",
        "asr %scaled, %candidate, #\\candidate_shift",
        *pre_activation("zf", 1),
        *activation("f", "sigmoid", "zf"),
        "ldr %before, {state.0}",
        "smmlar %sum_c, %before, %f, %scaled",
        "ssat %c, #31, %sum_c",
        "lsl %after, %c, #1",
        "str %after, {state.0}",
        *activation("t", "tanh", "zc", saturate="ssat %zc, #26, %c\\tanh_shift"),
        *pre_activation("zo", 3),
        *activation("o", "sigmoid", "zo"),
        *LSTM_END,
        *round_state("h", fine=False),
    ]


def lstm_fine_unit() -> list[str]:
    """FineCell of lstm_q15.cc"""
    return [
        *pre_activation("zi", 0),
        *fine_sigmoid("i", "zi"),
        *pre_activation("zg", 2),
        *fine_tanh("tg", "zg"),
        "asr %candidate, %tg, #\\candidate_shift",
        "ldr %low, {state_low.0}",
        "ldr %high, {state.0}",
        "lsl %before, %high, #1",
        "smlal %low, %high, %i, %candidate",
        *pre_activation("zf", 1),
        *fine_tanh("tf", "zf"),
        "rsb %leak, %q31_half, %tf, asr #1",
        "smlal %low, %high, %before, %leak",
        "str %low, {state_low.0}",
        "ssat %c, #31, %high",
        "str %c, {state.0}",
        *fine_tanh("t", "zc", saturate="ssat %zc, #27, %c\\tanh_shift"),
        *pre_activation("zo", 3),
        *fine_sigmoid("o", "zo"),
        *LSTM_END,
        *round_state("h", fine=True),
    ]


def with_sum(z: str, row: int) -> list[str]:
    return pre_activation(z, row)[:4]


def gru_unit(stacked: bool, fine: bool) -> list[str]:
    """gru_q15.cc"""
    below = ["ldr %zn, {bias.3}", "ldr %input3, {input.3}", "smmla %zn, %x, %input3, %zn"]
    if fine:
        reset, update = fine_sigmoid("r", "zr"), fine_sigmoid("z", "zz")
        tanh = fine_tanh("n31", "zn2", "ssat %zn2, #27, %zsum, lsl #1")
    else:
        reset, update = activation("r", "sigmoid", "zr"), activation("z", "sigmoid", "zz")
        tanh = activation("n31", "tanh", "zn2", "ssat %zn2, #26, %zsum")
    return [
        *pre_activation("zr", 0),
        *reset,
        *with_sum("from_state", 2),
        *(with_sum("zn", 3) if stacked else below),
        "smmulr %gated, %r, %from_state",
        "add %zsum, %zn, %gated, lsl #1",
        *tanh,
        "asr %n, %n31, #1",
        *pre_activation("zz", 1),
        *update,
        "ldr %before, {state.0}",
        "sub %difference, %before, %n",
        "smmulr %kept, %z, %difference",
        "add %after, %n, %kept, lsl #1",
        "str %after, {state.0}",
        "ldr %weight, {head.0}",
        "smmlar %head, %after, %weight, %head",
        *round_state("after", fine),
    ]


@dataclass
class Operation:
    text: str
    kind: str
    targets: set[str]
    sources: dict[str, str]  # value -> how it is used
    address: int | None = None
    wait: dict[int, int] = field(
        default_factory=dict
    )  # operations that come before, and the cycles to leave after each
    urgency: int = 0

    @property
    def values(self) -> set[str]:
        return self.targets | self.sources.keys()

    @property
    def shifts_operand(self) -> bool:
        return self.kind in ("alu", "dsp") and re.search(r", (lsl|asr) #|tanh_shift", self.text) is not None


KINDS = {
    "ldr": "load",
    "str": "store",
    "strh": "store",
    "asr": "shift",
    "lsl": "shift",
    "ssat": "dsp",
    "bfi": "dsp",
    "ubfx": "dsp",
}
KINDS |= dict.fromkeys(("smmla", "smmlar", "smmulr", "smlabb", "smlawb", "smlal"), "multiply")
KINDS |= dict.fromkeys(("add", "sub", "rsb", "cmp"), "alu")
# cycles from an operation to the first that may use its result, by how it is used
LATENCY = {
    "load": {"late": 1, "early": 2, "address": 3, "factor": 2, "addend": 0, "data": 0},
    "dsp": {"late": 1, "early": 2, "address": 2, "factor": 1, "addend": 0, "data": 0},
    "alu": {"late": 1, "early": 2, "address": 2, "factor": 1, "addend": 0, "data": 0},
    "shift": {"late": 1, "early": 1, "address": 1, "factor": 1, "addend": 0, "data": 0},
    "multiply": {"late": 2, "early": 3, "address": 3, "factor": 2, "addend": 1, "data": 0},
    "store": {"address": 1},
}


def parse(line: str, unit: int, fixed: dict[str, str]) -> Operation:
    """An operation of `unit` (0 or 1 of the turn), its values named apart from the other unit's."""

    def named(match: re.Match) -> str:
        return "%" + (match[1] if match[1] in fixed else f"{match[1]}.{unit}")

    address = None
    if word := re.search(r"\{(\w+)\.(\d)\}", line):
        address = unit * UNIT_BYTES + FIELDS[word[1]] + 4 * int(word[2])
        line = line.replace(word[0], f"[%unit, #{address}]")
    text = re.sub(r"%(\w+)", named, line)
    kind = KINDS[text.split()[0]]
    values = re.findall(r"%([\w.]+)", text)
    if kind == "store":
        uses = {values[0]: "data", values[1]: "address"}
        return Operation(text, kind, {values[1]} if "strh" in text else set(), uses, address)
    if "cmp" in text:
        return Operation(text, kind, set(), dict.fromkeys(values, "late"))
    if "smlal" in text:
        uses = dict.fromkeys(values[:2], "addend") | dict.fromkeys(values[2:], "factor")
        return Operation(text, kind, set(values[:2]), uses)
    target, *sources = values
    if kind == "load":
        uses = dict.fromkeys(sources, "address")
    elif kind == "multiply":
        uses = dict.fromkeys(sources[:2], "factor") | dict.fromkeys(sources[2:], "addend")
    else:
        uses = dict.fromkeys(sources, "late")
    operation = Operation(text, kind, {target}, uses, address)
    if operation.shifts_operand:
        uses[sources[-1]] = "early"
    return operation


def link(operations: list[Operation]) -> None:
    """Fill in what has to come before what, and the longest way to the end as the urgency."""
    writer: dict[str, int] = {}
    readers: dict[str, list[int]] = {}
    for index, operation in enumerate(operations):
        for value, use in operation.sources.items():
            if value in writer:
                operation.wait[writer[value]] = LATENCY[operations[writer[value]].kind][use]
            readers.setdefault(value, []).append(index)
        for target in operation.targets:
            for reader in readers.get(target, []):
                if reader != index:
                    operation.wait.setdefault(reader, 0)
            if target in writer:
                operation.wait.setdefault(writer[target], 1)
            writer[target], readers[target] = index, []
    for index in reversed(range(len(operations))):
        operations[index].urgency += 1
        for before, cycles in operations[index].wait.items():
            operations[before].urgency = max(operations[before].urgency, operations[index].urgency + cycles)


def may_pair(older: Operation, younger: Operation) -> bool:
    """Whether the core issues both in one cycle."""
    kinds = {older.kind, younger.kind}
    if younger.kind == "dsp" or (older.kind == younger.kind and older.kind in ("multiply", "store")):
        return False
    if kinds == {"multiply", "store"} or older.targets & younger.targets:
        return False
    if younger.shifts_operand and (older.shifts_operand or older.kind in ("shift", "dsp")):
        return False
    if older.shifts_operand and younger.kind == "shift":
        return False
    if older.kind == younger.kind == "load":  # from the two banks of the memory only
        return older.address is not None and younger.address is not None and (older.address ^ younger.address) & 4 != 0
    return True


def list_schedule(
    operations: list[Operation], fixed: dict[str, str], draw: random.Random
) -> tuple[int, list[int]] | None:
    """Cycles and order of one try: in each cycle the two most urgent operations that are ready and find a register.

    None where all registers hold values that still wait for others.
    """
    register_count = len(temporaries(fixed))
    stagger = draw.uniform(10, 60)  # of the second unit behind the first
    urgency = [
        operation.urgency + draw.uniform(0, 8) - (stagger if ".1" in operation.text else 0)
        for index, operation in enumerate(operations)
    ]
    # what is loaded early holds a register: only operations near the first that waits may take the last ones
    reach, reserve = draw.uniform(4, 40), draw.choice((1, 2, 3))
    left = {}  # value -> operations that have yet to read or write it
    users = [operation.values - fixed.keys() for operation in operations]
    for values in users:
        for value in values:
            left[value] = left.get(value, 0) + 1
    issued: dict[int, int] = {}
    live: set[str] = set()
    order: list[int] = []
    waiting = sorted(range(len(operations)), key=lambda index: -urgency[index])
    cycle, idle = 0, 0
    while waiting:
        older = None
        for _ in range(2):
            for index in waiting:
                operation = operations[index]
                if any(
                    before not in issued or issued[before] + wait > cycle for before, wait in operation.wait.items()
                ):
                    continue
                if older is not None and not may_pair(older, operation):
                    continue
                values = users[index]
                ending = {value for value in values if left[value] == 1}
                held = len(live | values) - len(ending - operation.targets)
                spare = 0 if index - min(waiting) < reach or held <= len(live) else reserve
                if held > register_count - spare:
                    continue
                break
            else:
                break
            issued[index] = cycle
            order.append(index)
            waiting.remove(index)
            live |= values
            for value in values:
                left[value] -= 1
                if not left[value]:
                    live.discard(value)
            older = operation
        idle = 0 if older else idle + 1
        if idle > 4:
            return None
        cycle += 1
    return cycle, order


def with_registers(operations: list[Operation], fixed: dict[str, str], order: list[int]) -> list[str]:
    last = {value: index for index in order for value in operations[index].values}
    free = temporaries(fixed)
    register = dict(fixed)
    lines = []
    for index in order:
        operation = operations[index]
        ending = [value for value in operation.sources if value not in fixed and last[value] == index]
        free += [register[value] for value in ending if value not in operation.targets]
        for target in sorted(operation.targets - register.keys()):
            register[target] = free.pop(0)
        lines.append(re.sub(r"%([\w.]+)", lambda match: register[match[1]], operation.text))
    return lines


def turn_operations(unit_lines: list[str], fixed: dict[str, str]) -> list[Operation]:
    """Two units, and the end of the loop but for its branch."""
    operations = [parse(line, unit, fixed) for unit in (0, 1) for line in unit_lines]
    loop_end = [f"add %unit, %unit, #{2 * UNIT_BYTES}", "ldr %end, [sp]", "cmp %unit, %end"]
    operations += [parse(line, 1, fixed) for line in loop_end]
    link(operations)
    return operations


def turn_lines(unit_lines: list[str], fixed: dict[str, str], seed: int) -> tuple[int, list[str]] | None:
    """Cycles, as the scheduler counts them, and instructions of a turn; None where this seed finds no registers."""
    operations = turn_operations(unit_lines, fixed)
    scheduled = list_schedule(operations, fixed, random.Random(seed))
    return scheduled and (scheduled[0], with_registers(operations, fixed, scheduled[1]))


def gates_lines(kernel: str) -> list[str]:
    """The body of: int32_t (RecurrentLayerQ15* layer, int32_t x, int32_t head), which returns the head's sum."""
    unit_lines, fixed, seed = KERNELS[kernel]
    turn = turn_lines(unit_lines, fixed, seed)
    assert turn is not None
    return [
        f"ldr r3, [r0, #{LAYER_UNITS_END}]",
        "push {r3-r11, lr} @ the end of the units on top",
        "mov r3, r2",
        "mov r2, r1",
        f"ldrd r6, r7, [r0, #{LAYER_TABLES}]",
        f"ldr r1, [r0, #{LAYER_HIDDEN}]",
        f"ldr r0, [r0, #{LAYER_UNITS}]",
        *(["mov r5, #0x40000000"] if fixed is FINE else []),
        ".balign 8",
        "1:",
        *turn[1],
        "bne 1b",
        "mov r0, r3",
        "pop {r3-r11, pc}",
    ]


# kernel -> what one unit does, the registers that stay, and the seed of the best schedule among some thousands
KERNELS = {
    "LstmGates": (lstm_unit(), COARSE, 21568),
    "LstmFineGates": (lstm_fine_unit(), FINE, 14827),
    "GruGates": (gru_unit(stacked=False, fine=False), COARSE, 4666),
    "GruFineGates": (gru_unit(stacked=False, fine=True), FINE, 20924),
    "GruStackedGates": (gru_unit(stacked=True, fine=False), COARSE, 9422),
    "GruStackedFineGates": (gru_unit(stacked=True, fine=True), FINE, 853),
}


def turn_cycles(lines: list[str]) -> float:
    """Of one turn in the pipeline model of export/cortex_m7, when the loop has settled."""
    from export.cortex_m7 import Step, assemble, estimate

    shifts = {"\\candidate_shift": "3", "\\tanh_shift": ", asr #2"}
    text = "\n".join(["1:", *lines, "bne 1b"])
    for name, value in shifts.items():
        text = text.replace(name, value)
    turn = assemble(text)

    def cycles(turns: int) -> int:
        steps = []
        for _ in range(turns):
            registers = {"r0": 0x20000000, "r1": 0x20002000, "r13": 0x20004000}  # whose words are on which bank
            for instruction in turn:
                memory = instruction.memory
                steps.append(Step(instruction, memory and memory.address(registers), instruction is turn[-1]))
        return estimate(steps)

    return (cycles(8) - cycles(4)) / 4


def search(kernel: str, tries: int) -> None:
    """Print the seeds of better and better schedules."""
    unit_lines, fixed, _ = KERNELS[kernel]
    best = math.inf
    for seed in range(tries):
        turn = turn_lines(unit_lines, fixed, seed)
        if turn is None or turn[0] > best + 1:  # the scheduler's own count is close
            continue
        cycles = turn_cycles(turn[1])
        if cycles < best:
            best = cycles
            print(f"{kernel}: seed {seed}, {cycles:.1f} cycles a turn", flush=True)


# --- the file -------------------------------------------------------------------------------------------------------

CELL_FRAC_BITS = range(24, 29)


def function_start(name: str) -> list[str]:
    return [
        f'.section .text.{name}, "ax", %progbits',
        ".balign 8",
        f".global {name}",
        f".type {name}, %function",
        f"{name}:",
    ]


def function_end(name: str) -> list[str]:
    return [f".size {name}, . - {name}"]


def indented(lines: list[str]) -> list[str]:
    return [line if line.endswith(":") and not line[0].isdigit() else f"    {line}" for line in lines]


def gates_function(kernel: str, name: str) -> list[str]:
    return [*indented(function_start(name)), *indented(gates_lines(kernel)), *indented(function_end(name))]


def file_text() -> str:
    lines = [
        f"// Made by `{COMMAND}`, which explains the kernels. Do not edit.",
        "#if defined(__ARM_FEATURE_DSP)",
        ".syntax unified",
        ".thumb",
        *("", "// Dot products of the rows of two units a turn with all states."),
        *indented(dot_function("DotQ15Rows4", rows=8)),
        "",
        *indented(dot_function("DotQ15Rows3", rows=6)),
        *("", "// Four outputs a turn of the outer loop, two times four taps a turn of the inner one."),
        *indented(fir_function()),
        *("", "// From the sums of two units a turn to their new states; one function a format of the cell state."),
    ]
    for kernel, bits_less in (("LstmGates", 23), ("LstmFineGates", 24)):
        lines += [f".macro {kernel} name, candidate_shift, tanh_shift", *gates_function(kernel, "\\name"), ".endm"]
        for bits in CELL_FRAC_BITS:
            shift = f'", asr #{bits - bits_less}"' if bits > bits_less else '""'
            lines.append(f"{kernel} {kernel}Q15Cell{bits}, {31 - bits}, {shift}")
    for kernel in KERNELS:
        if kernel.startswith("Gru"):
            lines += ["", *gates_function(kernel, f"{kernel}Q15")]
    lines += [
        "#endif",
        "#if defined(__ELF__) && !defined(__arm__)",
        '.section .note.GNU-stack, "", @progbits',
        "#endif",
    ]
    return "\n".join([*lines, ""])


def main() -> None:
    if sys.argv[1:2] == ["--search"]:
        for kernel in sys.argv[3:] or KERNELS:
            search(kernel, int(sys.argv[2]))
    else:
        OUTPUT.write_text(file_text())


if __name__ == "__main__":
    main()
