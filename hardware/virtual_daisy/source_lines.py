"""Where in the source an error happened."""

import shutil
import subprocess
from pathlib import Path


class SourceLines:
    """Function and line of an address, from the ELF file beside the image, by the compiler's addr2line."""

    def __init__(self, elf: Path | None) -> None:
        """elf: None when there is none; then every description is empty."""
        self._elf = elf if elf and elf.is_file() else None
        self._program = shutil.which("arm-none-eabi-addr2line")

    def describe(self, address: int) -> str:
        """' in function (file:line)', or nothing."""
        if not self._elf or not self._program:
            return ""
        command = [self._program, "-f", "-C", "-s", "-e", str(self._elf), f"{address & ~1:#x}"]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        function, _, line = result.stdout.strip().partition("\n")
        if not function or function == "??":
            return ""
        return f" in {function} ({line})"


def accessing_instruction(code: bytes, start: int, address: int, registers: list[int]) -> int:
    """The address of that load or store in a block of Thumb code at `start` which reaches `address`.

    registers: r0 to r15 as they are at the access. The block's start when none is found: Unicorn keeps the program
    counter of a register access only to the block.
    """
    at = 0
    while at + 2 <= len(code):
        first = int.from_bytes(code[at : at + 2], "little")
        wide = first >= 0xE800
        second = int.from_bytes(code[at + 2 : at + 4], "little") if wide else 0
        reached = _wide_target(first, second, registers) if wide else _narrow_target(first, registers)
        if reached is not None and (address - reached) & 0xFFFFFFFF in (0, 4):
            return start + at
        at += 4 if wide else 2
    return start


def _narrow_target(code: int, registers: list[int]) -> int | None:
    """Armv7-M A5.2.4: loads and stores of 16 bits."""
    base = registers[code >> 3 & 7]
    kind = code >> 12
    if kind == 0b0101:
        return base + registers[code >> 6 & 7]
    if kind == 0b0110:
        return base + (code >> 6 & 31) * 4
    if kind == 0b0111:
        return base + (code >> 6 & 31)
    if kind == 0b1000:
        return base + (code >> 6 & 31) * 2
    return None


def _wide_target(first: int, second: int, registers: list[int]) -> int | None:
    """Armv7-M A5.3.7 to A5.3.10: LDR, STR and their kin, and LDRD, STRD."""
    base = registers[first & 15]
    if first & 0xFE00 == 0xF800:
        if first & 0x80:
            return base + (second & 0xFFF)
        if second & 0x800:
            offset = second & 0xFF
            if not second & 0x400:
                return base
            return base + (offset if second & 0x200 else -offset)
        return base + (registers[second & 15] << (second >> 4 & 3))
    if first & 0xFE40 == 0xE840:
        offset = (second & 0xFF) * 4
        return base + (offset if first & 0x80 else -offset) if first & 0x100 else base
    return None
