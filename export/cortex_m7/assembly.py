"""From an image or from assembly text to instructions, by the Arm binutils."""

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from export.cortex_m7.instruction import Instruction, decode
from training.errors import InputError

_TOOL = "arm-none-eabi-"
_LINE = re.compile(r"\s*([0-9a-f]+):\t([0-9a-f ]+)\t(\S+)\s*(.*)")
_DATA = re.compile(r"\.(word|short|byte|inst)")


def _run(tool: str, *arguments: str, text: str | None = None) -> str:
    """What `arm-none-eabi-<tool>` prints. Raises InputError when it is missing or refuses."""
    if not shutil.which(_TOOL + tool):
        raise InputError(f"{_TOOL}{tool} is missing: install the package binutils-arm-none-eabi")
    result = subprocess.run([_TOOL + tool, *arguments], input=text, capture_output=True, text=True, check=False)
    if result.returncode:
        raise InputError(f"{_TOOL}{tool}: {(result.stderr.splitlines() or ['failed'])[-1]}")
    return result.stdout


@dataclass(frozen=True)
class _Line:
    text: str
    size: int
    in_it_block: bool


class Disassembly:
    """The instructions of an ELF file by address. Data between them is no error until somebody asks for it."""

    def __init__(self, image: Path) -> None:
        self._image = image
        self._lines = dict(_lines(_run("objdump", "-d", str(image))))
        self._decoded: dict[int, Instruction] = {}

    def at(self, address: int) -> Instruction:
        """The instruction at `address`. Raises InputError when there is none, or one that the model does not know."""
        if address not in self._decoded:
            line = self._lines.get(address)
            if line is None:
                raise InputError(f"{self._image}: no instruction at {address:#x}")
            self._decoded[address] = decode(line.text, address, line.size, line.in_it_block)
        return self._decoded[address]

    @cached_property
    def addresses(self) -> tuple[int, ...]:
        """Of all instructions, in order."""
        return tuple(sorted(self._lines))

    @cached_property
    def functions(self) -> dict[str, int]:
        """Addresses of the functions by their demangled names, without the Thumb bit."""
        symbols = (line.split(maxsplit=2) for line in _run("nm", "--demangle", str(self._image)).splitlines())
        return {parts[2]: int(parts[0], 16) & ~1 for parts in symbols if len(parts) == 3 and parts[1] in "tTwW"}


def assemble(source: str) -> list[Instruction]:
    """The instructions of `source`, Thumb-2 assembly in unified syntax, addresses from 0.

    Raises InputError when it does not assemble, or holds what the model does not know.
    """
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder, "source.o")
        text = f".syntax unified\n.thumb\n{source}\n"
        _run("as", "-mcpu=cortex-m7", "-mfpu=fpv5-d16", "-o", str(result), "-", text=text)
        disassembly = Disassembly(result)
        return [disassembly.at(address) for address in disassembly.addresses]


def _lines(listing: str) -> list[tuple[int, _Line]]:
    lines, conditional = [], 0
    for row in listing.splitlines():
        match = _LINE.match(row)
        if match is None or _DATA.match(match[3]):
            continue
        text, in_it_block = f"{match[3]} {match[4]}", conditional > 0
        conditional = max(conditional - 1, 0)
        name = match[3].split(".")[0]
        if re.fullmatch("it[te]{0,3}", name):
            conditional = len(name) - 1
        lines.append((int(match[1], 16), _Line(text, len(match[2].replace(" ", "")) // 2, in_it_block)))
    return lines
