"""How many cycles a Cortex-M7 takes for instructions: an estimate without the chip.

`assembly` turns an image or assembly text into `instruction.Instruction`s, `pipeline` counts their cycles. From text:

    loop_cycles(assemble("ldr r2, [r0], #8\\n smlad r3, r2, r5, r3"), {"r0": 0x20000000})

`benchmarks/cortex_m7.py` feeds it the trace of a running engine; `tests/export/test_cortex_m7.py` holds it to the
measurements of two authors on real chips.
"""

from export.cortex_m7.assembly import Disassembly, assemble
from export.cortex_m7.instruction import Instruction, Memory, Read, Role, Unit, decode
from export.cortex_m7.pipeline import Step, estimate, loop_cycles

__all__ = [
    "Disassembly",
    "Instruction",
    "Memory",
    "Read",
    "Role",
    "Step",
    "Unit",
    "assemble",
    "decode",
    "estimate",
    "loop_cycles",
]
