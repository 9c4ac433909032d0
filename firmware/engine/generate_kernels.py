"""Cortex-M7 kernels of the fixed-point engine: `python firmware/engine/generate_kernels.py` writes kernels_m7.S.

The arithmetic is that of lstm_q15.cc and gru_q15.cc, bit for bit; here it is put in an order that issues two
instructions in most cycles. Two kinds of kernel make a sample:

- dot products: 8 rows (LSTM) or 6 (GRU) of two units at a time, so that a pair of hidden states is loaded once for all.
  Every SMLAD (two multiply-accumulates) issues together with a load.
- gates: the rest of two units a turn, from the sums to the new hidden states. It is written below as the equations
  are; `schedule` interleaves the two units and gives the values registers.

The pairing rules and latencies are those measured in jnk0le's "pipeline cycle test" (STM32H743) as far as they concern
these instructions.
"""

import random
import re
from dataclasses import dataclass, field
from pathlib import Path

OUTPUT = Path(__file__).with_name("kernels_m7.S")
COMMAND = "python firmware/engine/generate_kernels.py"

# RecurrentLayerQ15::Unit, in bytes; recurrent_q15.h asserts the same
FIELDS = {"sum": 0, "bias": 16, "scale": 32, "input": 48, "state": 64, "head": 68}
UNIT_BYTES = 72
MAXIMUM_QUADS = 16
"""Hidden states are read four at a time; 64 is the most."""


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
    """void name(const int16_t* weights, const int16_t* hidden, Unit* units, Unit* end, int quads)"""
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
        "ldr r4, [sp, #36] @ quads",
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


# --- gates ----------------------------------------------------------------------------------------------------------

FIXED = {
    "unit": "r0",
    "hidden": "r1",  # of the next sample
    "x": "r2",
    "head": "r3",
    "position0": "r4",  # (-1.0, position in the piece of an activation table); the high half stays
    "position1": "r5",
    "sigmoid": "r6",  # centres of the tables
    "tanh": "r7",
}
TEMPORARIES = ["r8", "r9", "r10", "r11", "r12", "lr"]


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


def activation(result: str, table: str, z: str, position: int, saturate: str = "") -> list[str]:
    """activation.h: the piece by the high bits of z, one dual multiply with (-1.0, the low bits)."""
    return [
        saturate or f"ssat %{z}, #26, %{z}",
        f"bfi %position{position}, %{z}, #0, #15",
        f"asr %piece_{result}, %{z}, #15",
        f"ldr %word_{result}, [%{table}, %piece_{result}, lsl #2]",
        f"smuad %{result}, %position{position}, %word_{result}",
    ]


def lstm_unit() -> list[str]:
    """lstm_q15.cc; the shifts depend on the format of the cell state."""
    return [
        *pre_activation("zi", 0),
        *activation("i", "sigmoid", "zi", 0),
        *pre_activation("zg", 2),
        *activation("g", "tanh", "zg", 1),
        "smmulr %candidate, %i, %g",
        "asr %scaled, %candidate, #\\product_shift",
        *pre_activation("zf", 1),
        *activation("f", "sigmoid", "zf", 0),
        "ldr %before, {state.0}",
        "smmlar %sum_c, %before, %f, %scaled",
        "ssat %c, #30, %sum_c",
        "lsl %after, %c, #2",
        "str %after, {state.0}",
        *activation("t", "tanh", "zc", 1, saturate="ssat %zc, #26, %c\\tanh_shift"),
        *pre_activation("zo", 3),
        *activation("o", "sigmoid", "zo", 0),
        "smmulr %h, %o, %t",
        "ldr %weight, {head.0}",
        "smmlar %head, %h, %weight, %head",
        "add %rounded, %h, #4096",
        "asr %q15, %rounded, #13",
        "strh %q15, [%hidden], #2",
    ]


def gru_unit() -> list[str]:
    """gru_q15.cc"""
    return [
        *pre_activation("zr", 0),
        *activation("r", "sigmoid", "zr", 0),
        "ldr %sum2, {sum.2}",
        "ldr %scale2, {scale.2}",
        "ldr %from_state, {bias.3}",
        "smmla %from_state, %sum2, %scale2, %from_state",
        "ldr %zn, {bias.2}",
        "ldr %input2, {input.2}",
        "smmla %zn, %x, %input2, %zn",
        "smmulr %gated, %r, %from_state",
        "add %zsum, %zn, %gated, lsl #2",
        *activation("n", "tanh", "zn2", 1, saturate="ssat %zn2, #26, %zsum"),
        *pre_activation("zz", 1),
        *activation("z", "sigmoid", "zz", 0),
        "ldr %before, {state.0}",
        "sub %difference, %before, %n",
        "smmulr %kept, %z, %difference",
        "add %after, %n, %kept, lsl #2",
        "str %after, {state.0}",
        "asr %h, %after, #2",
        "ldr %weight, {head.0}",
        "smmlar %head, %h, %weight, %head",
        "add %rounded, %after, #16384",
        "asr %q15, %rounded, #15",
        "strh %q15, [%hidden], #2",
    ]


@dataclass
class Operation:
    text: str
    kind: str
    target: str | None
    sources: dict[str, str]  # value -> how it is used
    address: int | None = None
    wait: dict[int, int] = field(
        default_factory=dict
    )  # operations that come before, and the cycles to leave after each
    urgency: int = 0


KINDS = {"ldr": "load", "str": "store", "strh": "store", "asr": "shift", "lsl": "shift", "ssat": "dsp", "bfi": "dsp"}
KINDS |= {name: "multiply" for name in ("smmla", "smmlar", "smmulr", "smuad")} | dict.fromkeys(
    ("add", "sub", "cmp"), "alu"
)
# cycles from an operation to the first that may use its result, by how it is used
LATENCY = {
    "load": {"late": 1, "early": 2, "address": 3, "factor": 2, "addend": 0, "data": 0},
    "dsp": {"late": 1, "early": 2, "address": 2, "factor": 1, "addend": 0, "data": 0},
    "alu": {"late": 1, "early": 2, "address": 2, "factor": 1, "addend": 0, "data": 0},
    "shift": {"late": 1, "early": 1, "address": 1, "factor": 1, "addend": 0, "data": 0},
    "multiply": {"late": 2, "early": 3, "address": 3, "factor": 2, "addend": 1, "data": 0},
    "store": {"address": 1},
}


def parse(line: str, unit: int) -> Operation:
    """An operation of `unit` (0 or 1 of the turn), its values named apart from the other unit's."""

    def named(match: re.Match) -> str:
        return "%" + (match[1] if match[1] in FIXED else f"{match[1]}.{unit}")

    address = None
    if word := re.search(r"\{(\w+)\.(\d)\}", line):
        address = unit * UNIT_BYTES + FIELDS[word[1]] + 4 * int(word[2])
        line = line.replace(word[0], f"[%unit, #{address}]")
    text = re.sub(r"%(\w+)", named, line)
    kind = KINDS[text.split()[0]]
    values = re.findall(r"%([\w.]+)", text)
    if kind == "store":
        uses = {values[0]: "data", values[1]: "address"}
        return Operation(text, kind, values[1] if "strh" in text else None, uses, address)
    if "cmp" in text:
        return Operation(text, kind, None, dict.fromkeys(values, "late"))
    target, *sources = values
    if kind == "load":
        uses = dict.fromkeys(sources, "address")
    elif kind == "multiply":
        uses = dict.fromkeys(sources[:2], "factor") | dict.fromkeys(sources[2:], "addend")
    elif "bfi" in text:
        uses = {sources[0]: "early", target: "late"}
    else:
        uses = dict.fromkeys(sources, "late")
        if ("lsl #2" in text and kind == "alu") or "\\tanh_shift" in text:
            uses[sources[-1]] = "early"
    return Operation(text, kind, target, uses, address)


def link(operations: list[Operation]) -> None:
    """Fill in what has to come before what, and the longest way to the end as the urgency."""
    writer: dict[str, int] = {}
    readers: dict[str, list[int]] = {}
    for index, operation in enumerate(operations):
        for value, use in operation.sources.items():
            if value in writer:
                operation.wait[writer[value]] = LATENCY[operations[writer[value]].kind][use]
            readers.setdefault(value, []).append(index)
        if operation.target:
            for reader in readers.get(operation.target, []):
                if reader != index:
                    operation.wait.setdefault(reader, 0)
            if operation.target in writer:
                operation.wait.setdefault(writer[operation.target], 1)
            writer[operation.target], readers[operation.target] = index, []
    for index in reversed(range(len(operations))):
        operations[index].urgency += 1
        for before, cycles in operations[index].wait.items():
            operations[before].urgency = max(operations[before].urgency, operations[index].urgency + cycles)


def may_pair(older: Operation, younger: Operation) -> bool:
    """Whether the core issues both in one cycle."""
    kinds = {older.kind, younger.kind}
    if younger.kind == "dsp" or (older.kind == younger.kind and older.kind in ("multiply", "store")):
        return False
    if kinds == {"multiply", "store"} or (older.target is not None and older.target == younger.target):
        return False
    if "lsl" in younger.text and younger.kind == "alu" and older.kind in ("shift", "dsp"):
        return False
    if older.kind == younger.kind == "load":  # from the two banks of the memory only
        return older.address is not None and younger.address is not None and (older.address ^ younger.address) & 4 != 0
    return True


def list_schedule(operations: list[Operation], draw: random.Random) -> tuple[int, list[int]] | None:
    """Cycles and order of one try: in each cycle the two most urgent operations that are ready and find a register.

    None where all registers hold values that still wait for others.
    """
    stagger = draw.uniform(10, 60)  # of the second unit behind the first
    urgency = [
        operation.urgency + draw.uniform(0, 8) - (stagger if ".1" in operation.text else 0)
        for index, operation in enumerate(operations)
    ]
    left = {}  # value -> operations that have yet to read or write it
    users = [set(operation.sources) | ({operation.target} - {None}) for operation in operations]
    for values in users:
        for value in values - FIXED.keys():
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
                values = users[index] - FIXED.keys()
                ending = {value for value in values if left[value] == 1}
                if len(live | values) - len(ending - ({operation.target} & values)) > len(TEMPORARIES):
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


def with_registers(operations: list[Operation], order: list[int]) -> list[str]:
    last = {value: index for index in order for value in {*operations[index].sources, operations[index].target}}
    free = list(TEMPORARIES)
    register = dict(FIXED)
    lines = []
    for index in order:
        operation = operations[index]
        ending = [value for value in operation.sources if value not in FIXED and last[value] == index]
        free += [register[value] for value in ending if value != operation.target]
        if operation.target and operation.target not in register:
            register[operation.target] = free.pop(0)
        lines.append(re.sub(r"%([\w.]+)", lambda match: register[match[1]], operation.text))
    return lines


def turn_operations(unit_lines: list[str]) -> list[Operation]:
    """Two units, and the end of the loop but for its branch."""
    operations = [parse(line, unit) for unit in (0, 1) for line in unit_lines]
    loop_end = [f"add %unit, %unit, #{2 * UNIT_BYTES}", "ldr %end, [sp, #36]", "cmp %unit, %end"]
    operations += [parse(line, 1) for line in loop_end]
    link(operations)
    return operations


def gates_lines(unit_lines: list[str], number: int) -> list[str]:
    """The body of: int32_t (Unit* units, int16_t* next_hidden, int32_t x, int32_t head, const Unit* end,
    const int32_t* sigmoid_centre, const int32_t* tanh_centre), which returns the head's sum."""
    operations = turn_operations(unit_lines)
    scheduled = list_schedule(operations, random.Random(number))
    assert scheduled is not None
    return [
        "push {r4-r11, lr}",
        "ldrd r6, r7, [sp, #40]",
        "mov r4, #0x80000000",
        "mov r5, r4",
        ".balign 8",
        "1:",
        *with_registers(operations, scheduled[1]),
        "bne 1b",
        "mov r0, r3",
        "pop {r4-r11, pc}",
    ]


# --- the file -------------------------------------------------------------------------------------------------------

CELL_FRAC_BITS = range(24, 29)
# the seeds of the best schedules among some 60,000, by the cycles of a turn in the pipeline model (75 and 56)
TRIES = {"lstm": 18705, "gru": 2147}


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


def file_text() -> str:
    lines = [
        f"// Made by `{COMMAND}`, which explains the kernels. Do not edit.",
        "#if defined(__ARM_FEATURE_DSP)",
        ".syntax unified",
        ".thumb",
        *("", "// Dot products of the rows of two units a turn with all hidden states."),
        *indented(dot_function("LstmDotQ15", rows=8)),
        "",
        *indented(dot_function("GruDotQ15", rows=6)),
        *("", "// From the sums of two units a turn to their new states; one function a format of the cell state."),
        ".macro lstm_gates name, product_shift, tanh_shift",
        *indented(function_start("\\name")),
        *indented(gates_lines(lstm_unit(), TRIES["lstm"])),
        *indented(function_end("\\name")),
        ".endm",
    ]
    for bits in CELL_FRAC_BITS:
        shift = f'", asr #{bits - 24}"' if bits > 24 else '""'
        lines.append(f"lstm_gates LstmGatesQ15Cell{bits}, {30 - bits}, {shift}")
    lines += [
        "",
        *indented(function_start("GruGatesQ15")),
        *indented(gates_lines(gru_unit(), TRIES["gru"])),
        *indented(function_end("GruGatesQ15")),
        "#endif",
        "#if defined(__ELF__) && !defined(__arm__)",
        '.section .note.GNU-stack, "", @progbits',
        "#endif",
    ]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    OUTPUT.write_text(file_text())
