"""The images for the Daisy are what the chip expects: vectors, memories of the DMA, a guard below the stack."""

import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from hardware.firmware_build import REPOSITORY

SRAM3 = range(0x30040000, 0x30048000)
DTCM_END = 0x20020000
INTERRUPTS = 150
DMA1_STREAM_1, USART1 = 12, 37


@pytest.fixture(scope="module", params=["daisy", "daisy_bring_up"])
def elf(request) -> Path:
    """The image of one environment, built anew where the sources changed and without a warning."""
    command = [sys.executable, "-m", "platformio", "run", "-e", request.param]
    settings = {**os.environ, "PLATFORMIO_DISABLE_UPGRADE_CHECK": "true", "PLATFORMIO_SETTING_ENABLE_TELEMETRY": "no"}
    result = subprocess.run(command, cwd=REPOSITORY, env=settings, capture_output=True, text=True, check=False)
    printed = result.stdout + result.stderr
    assert result.returncode == 0, printed
    assert "warning:" not in printed
    return REPOSITORY / ".pio" / "build" / request.param / "firmware.elf"


@pytest.fixture(scope="module")
def symbols(elf) -> dict[str, int]:
    listing = subprocess.run(["arm-none-eabi-nm", "-C", elf], capture_output=True, text=True, check=True).stdout
    rows = (line.split(maxsplit=2) for line in listing.splitlines())
    return {row[2]: int(row[0], 16) for row in rows if len(row) == 3}


def test_every_exception_and_interrupt_has_its_handler(elf, symbols):
    image = elf.with_suffix(".bin").read_bytes()
    stack, reset, *handlers = struct.unpack_from(f"<{16 + INTERRUPTS}I", image)
    assert stack == DTCM_END
    assert reset == symbols["Reset_Handler"] | 1
    fault = symbols["FaultHandler"] | 1
    own = {DMA1_STREAM_1: symbols["AudioInterruptHandler"] | 1, USART1: symbols["SerialInterruptHandler"] | 1}
    exceptions, interrupts = handlers[:14], handlers[14:]
    assert exceptions == [fault] * 5 + [0] * 4 + [fault] * 2 + [0] + [fault] * 2
    assert interrupts == [own.get(number, fault) for number in range(INTERRUPTS)]


def test_the_vectors_are_aligned_to_their_number(symbols):
    assert symbols["__vectors"] % 1024 == 0  # 166 words: VTOR wants the next power of two


def test_what_the_dma_touches_is_not_cached(symbols):
    assert symbols["__dma_region"] == SRAM3.start
    buffers = {name: at for name, at in symbols.items() if name.split("::")[-1] in ("received", "transmitted", "ring")}
    assert len(buffers) >= 2
    assert all(at in SRAM3 and at % 4 == 0 for at in buffers.values()), buffers


def test_a_guard_lies_below_the_stack(symbols):
    assert symbols["__stack_guard"] % 256 == 0  # a region of the MPU is aligned to its size
    assert symbols["__stack"] - symbols["__stack_guard"] >= 8 * 1024 + 256
