"""The cycle model against measurements on real chips, and what it reads out of instructions."""

import pytest

from export.cortex_m7 import Role, Step, Unit, assemble, decode, estimate, loop_cycles
from training.errors import InputError

J = "jnk0le, pipeline cycle test/doc/cortex_m7.md (STM32H743)"
Q = "quinapalus, cm7cycles.html (STM32H730)"
F = "Arm community forum 9930, VFMA usage: 2.5 cycles an instruction"

REGISTERS = {"r0": 0x20000000, "r1": 0x20001000, "r8": 0x20002000}
"""Where the loads and stores of the snippets go: tightly coupled memory, all bases on an even bank."""


def vfma(count: int) -> str:
    return "; ".join(f"vfma.f32 s{index}, s16, s17" for index in range(count))


VFMA_AND_LOADS = "; ".join(f"vldr s{8 + k}, [r0, #{4 * k}]; vfma.f32 s{k}, s16, s17" for k in range(4))
DOUBLE_VFMA = "; ".join(f"vfma.f64 d{index}, d8, d9" for index in range(4))

MEASUREMENTS = [
    ("independent additions", "add r1, r2, #1; add r3, r4, #1", 1, Q),
    ("carry from one to the next", "adcs r1, r1, r2; adcs r3, r3, r4", 2, Q),
    ("additions that wait for each other", "add r1, r1, #1; add r1, r1, #1", 2, Q),
    ("loads from one bank", "ldr r2, [r0]; ldr r3, [r0]", 2, Q),
    ("loads from two banks", "ldr r2, [r0]; ldr r3, [r0, #4]", 1, J),
    ("loads from two banks, post-indexed", "ldr r2, [r0], #8; ldr r3, [r1, #4]", 1, J),
    ("pointer chain", "ldr r0, [r0]", 3, Q),
    ("load, then addition", "ldr r2, [r0]; add r3, r2, #1", 1, J),
    ("load for the next pass", "ldr r2, [r0]; smlad r3, r4, r5, r3", 1, J),
    ("load, then product at once", "ldr r2, [r0]; nop; smlad r3, r2, r5, r3; nop", 3, J),
    ("SMLAD chain", "smlad r1, r2, r3, r1", 1, J),
    ("SMLALD chain", "smlald r1, r2, r3, r4", 1, J),
    ("two products", "mul r1, r2, r3; mul r4, r5, r6", 2, Q),
    ("product and logic", "umull r1, r2, r3, r4; eor r5, r6, r7", 1, Q),
    ("product and store", "smlad r1, r2, r3, r1; str r4, [r0]", 2, J),
    ("two stores", "str r2, [r0]; str r3, [r0, #4]", 2, J),
    ("load and store", "ldr r2, [r0]; str r3, [r1]", 1, J),
    ("two extensions", "uxtb r1, r2; uxtb r3, r4", 2, J),
    ("extension and product", "sxtb16 r1, r2; smlad r4, r5, r6, r4", 1, J),
    ("two shifted operands", "add r1, r2, r3, lsl #4; add r4, r5, r6, lsl #4", 2, J),
    ("LDRD", "ldrd r2, r3, [r0]", 1, J),
    ("LDRD and product", "ldrd r2, r3, [r0]; smlad r4, r5, r6, r4", 2, J),
    ("VADD, independent", "vadd.f32 s0, s1, s2; vadd.f32 s3, s4, s5", 2, J),
    ("VADD chain", "vadd.f32 s0, s0, s2", 3, J),
    ("VMUL chain", "vmul.f32 s0, s0, s2", 3, J),
    ("VMUL and VADD", "vmul.f32 s0, s1, s2; vadd.f32 s3, s4, s5", 2, J),
    ("VFMA chain through the addend", vfma(1), 3, J),
    ("VFMA, three sums", vfma(3), 3, J),
    ("VFMA, eight sums", vfma(8), 8, J),
    ("VFMA chain through a factor", "vfma.f32 s0, s1, s2; vfma.f32 s1, s0, s3", 10, J),
    ("VFMA and VADD", "vfma.f32 s0, s1, s2; vadd.f32 s3, s4, s5", 5, F),
    ("VLDR and VMUL", "vldr s0, [r0]; vmul.f32 s1, s2, s3", 1, J),
    ("VLDR from two banks", "vldr s0, [r0]; vldr s1, [r0, #4]", 1, J),
    ("VLDR and VFMA, four sums", VFMA_AND_LOADS, 8, J),
    ("VDIV", "vdiv.f32 s0, s1, s2", 16, J),
    ("VMUL, double", "vmul.f64 d0, d1, d2", 5, J),
    ("VADD, double", "vadd.f64 d0, d1, d2", 2, J),
    ("VFMA, double, four sums", DOUBLE_VFMA, 28, J),
    ("VLDM of 16", "vldmia r0, {s0-s15}", 8, J),
]


@pytest.mark.parametrize(
    "source, measured_cycles, origin", [row[1:] for row in MEASUREMENTS], ids=[row[0] for row in MEASUREMENTS]
)
def test_reproduces_what_was_measured_on_the_chip(source, measured_cycles, origin):
    assert loop_cycles(assemble(source), REGISTERS) == pytest.approx(measured_cycles, rel=0.05), origin


def test_all_39_measurements_are_there():
    assert len(MEASUREMENTS) == len({source for _, source, _, _ in MEASUREMENTS}) == 39


def roles(text: str, **options: bool) -> list[tuple[str, Role]]:
    return [(read.register, read.role) for read in decode(text, **options).reads]


def test_decodes_what_the_multiplier_reads():
    smlad = decode("smlad\tr3, r4, r5, r3")
    assert smlad.unit == Unit.MULTIPLY and smlad.writes == ("r3",)
    assert roles("smlad r3, r4, r5, r6") == [("r4", Role.FACTOR), ("r5", Role.FACTOR), ("r6", Role.ADDEND)]
    assert decode("smlal r0, r1, r2, r3").writes == ("r0", "r1")
    assert roles("muls r0, r1") == [("r0", Role.FACTOR), ("r1", Role.FACTOR)] and decode("muls r0, r1").writes_flags


def test_decodes_memory_operands():
    registers = {"r1": 0x1000, "r2": 3, "r13": 0x2000, "r15": 0x102}
    cases = {
        "ldr r0, [r1, #8]": 0x1008,
        "ldr r0, [r1, #-4]": 0xFFC,
        "ldr.w r0, [r1, r2, lsl #2]": 0x100C,
        "ldr r0, [r1], #4": 0x1000,
        "str r0, [r1, #4]!": 0x1004,
        "ldrd r4, r5, [sp, #16]": 0x2010,
        "ldr r0, [pc, #8]\t; (10c <f+0x10>)": 0x10C,
    }
    for text, address in cases.items():
        assert decode(text).memory.address(registers) == address, text
    assert decode("ldr r0, [r9]").memory.address(registers) is None
    assert decode("ldr r0, [r1], #4").writes == ("r0", "r1")
    assert decode("ldr r0, [r1, #4]").writes == ("r0",)


def test_decodes_lists_doubles_and_the_stack():
    assert decode("vldmia r0!, {s0-s3}").writes == ("s0", "s1", "s2", "s3", "r0")
    assert decode("pop {r4, r5, pc}").writes == ("r4", "r5", "r15", "r13") and decode("pop {r4, pc}").writes_pc
    assert decode("push {r4-r7, lr}").cycles == 3
    assert decode("vpush {d8-d9}").reads[1:] == decode("vstmdb sp!, {s16-s19}").reads[1:]
    assert decode("vadd.f64 d1, d2, d3").writes == ("s2", "s3")


def test_decodes_conditions_only_where_they_are():
    assert decode("bls.n 1234 <loop>").conditional and not decode("b.n 1234 <loop>").conditional
    assert decode("addcs r0, r1", in_it_block=True).name == "add"
    assert decode("movs r0, #1").writes_flags and not decode("mov r0, #1").writes_flags
    assert decode("teq r0, r1").name == "teq" and decode("bics r0, r1").name == "bic"
    skipped = assemble("cmp r0, #0\nite eq\nmoveq r1, #1\nmovne r1, #2\nadd r2, r3")
    assert [instruction.reads_flags for instruction in skipped] == [False, False, True, True, False]


def test_knows_constants_that_need_the_shifter():
    assert not decode("add.w r0, r1, #255").shifts_operand
    assert not decode("eor.w r6, r7, #0x1b1b1b1b").shifts_operand
    assert not decode("eor.w r6, r7, #0x00ab00ab").shifts_operand
    assert not decode("movw r0, #4660").shifts_operand
    assert decode("eor.w r0, r1, #0x1fc0").shifts_operand
    assert decode("add.w r0, r1, r2, asr #3").shifts_operand


@pytest.mark.parametrize(
    "text", ["vld1.32 {d0}, [r0]", "mrs r0, msp", "addeq r0, r1", "smlad r0, r1", "ldr r0, r1", ""]
)
def test_refuses_what_it_does_not_know(text):
    with pytest.raises(InputError, match="does not know"):
        decode(text)


def test_refuses_what_does_not_assemble():
    with pytest.raises(InputError, match="arm-none-eabi-as"):
        assemble("smlad r0, r1")


def loop_of(source: str, registers: dict[str, int] | None = None) -> float:
    return loop_cycles(assemble(source), REGISTERS if registers is None else registers)


def test_rules_of_pairing_that_no_measurement_above_holds():
    assert loop_of("ldr r2, [r0]; ldr r3, [r1, #4]", {}) == 2  # addresses unknown: the same bank is assumed
    assert loop_of("uxtb r1, r2; add r3, r4, #1") == 1  # a DSP instruction is the older of a pair...
    assert loop_of("ldrd r2, r3, [r0]; add r4, r5, #1; uxtb r6, r7") == 3  # ...and never the younger
    assert loop_of("lsl r1, r2, #3; add r3, r4, r5, lsl #2; ldrd r6, r7, [r0]") == 3  # one shifter
    assert loop_of("vmla.f32 s0, s1, s2; vfma.f32 s3, s4, s5") == 3  # VFMA waits a cycle behind VMLA


def test_results_arrive_late_where_they_should():
    assert loop_of("ldr r2, [r0]; add r3, r4, r2, lsl #2; str r3, [r1]; ldrd r6, r7, [r8]") == 4
    assert loop_of("mul r1, r1, r2") == 2
    assert loop_of("uxtb r1, r1") == 2
    assert loop_of("ldrb r2, [r0]; nop; smlad r3, r4, r5, r2; nop") == 2  # the addend is read a stage later
    assert loop_of("vmov s0, r1; vmov r1, s0") == 3 + 1


def branches(outcomes: str) -> int:
    """Cycles of one conditional branch that goes `outcomes`: T taken, N not."""
    (branch,) = assemble("loop: bne loop")
    return estimate(Step(branch, taken=outcome == "T") for outcome in outcomes)


def test_a_branch_that_is_guessed_wrong_costs_eight_cycles():
    assert branches("TTTT") == 4
    assert branches("TTTN") == 3 + 8
    assert branches("TTTNT") == 3 + 8 + 1  # one exception does not turn a settled prediction


def test_a_return_ends_its_pair():
    ret, add = assemble("bx lr; add r0, r1, #1")
    assert estimate([Step(ret, taken=True), Step(add)]) == 2
    assert estimate([Step(add), Step(ret, taken=True)]) == 1
