"""The images for the Daisy are what the chip expects: vectors, memories of the DMA, a guard below the stack."""

import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from export import daisy
from hardware.firmware_build import REPOSITORY, build, build_folder
from hardware.virtual_daisy.link import VirtualDaisyLink
from training import blend
from training.cabinet import Cabinet
from training.eq_block import EqNetwork
from training.errors import InputError
from training.model_file import Model

SRAM3 = range(0x30040000, 0x30048000)
DTCM_END = 0x20020000
INTERRUPTS = 150
DMA1_STREAM_1, USART1, OTG_FS = 12, 37, 101


@pytest.fixture(scope="module", params=["daisy", "daisy_bring_up"])
def elf(request) -> Path:
    """The image of one environment, built anew where the sources changed and without a warning."""
    command = [sys.executable, "-m", "platformio", "run", "-e", request.param]
    settings = {**os.environ, "PLATFORMIO_DISABLE_UPGRADE_CHECK": "true", "PLATFORMIO_SETTING_ENABLE_TELEMETRY": "no"}
    result = subprocess.run(command, cwd=REPOSITORY, env=settings, capture_output=True, text=True, check=False)
    printed = result.stdout + result.stderr
    assert result.returncode == 0, printed
    assert "warning:" not in printed
    return build_folder() / request.param / "firmware.elf"


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
    names = {DMA1_STREAM_1: "Audio", USART1: "Serial", OTG_FS: "Usb"}
    own = {number: symbols[f"{name}InterruptHandler"] | 1 for number, name in names.items()}
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


def test_an_lstm_a_pair_of_amps_and_a_cabinet_fit_the_flash(make_model, guitar, tmp_path):
    """The largest LSTM that leaves the processor half its time, a morph, and 1,024 taps: built in, without a host."""
    amps = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        network = EqNetwork.from_name("eq-6x129")
        amps.append(Model(f"amp{seed}", "eq", network.config, network.eval()))
    cabinet = Cabinet("cab", np.exp(-np.arange(1024) / 100.0) * np.random.default_rng(0).standard_normal(1024) * 0.1)
    daisy.write(daisy.prepare(make_model("lstm", 40), guitar), tmp_path / "lstm", "test")
    daisy.write(daisy.prepare(blend.with_knob(amps, "pair"), guitar, cabinet=cabinet), tmp_path / "pair", "test")
    image = build("daisy", tmp_path / "lstm.h", tmp_path / "pair.h")
    with VirtualDaisyLink(image) as link:
        assert [link.slot(slot).architecture for slot in sorted(link.hello().filled_slots)] == ["lstm", "eq"]
        with pytest.raises(InputError, match="built into the firmware"):
            link.blob(1)
    build("daisy")


def test_an_image_that_does_not_fit_says_what_is_too_large(tmp_path):
    header = tmp_path / "large.h"
    header.write_text(
        '#include "engine/model_view.h"\nnamespace oddity::models::large {\n'
        "__attribute__((used)) inline constexpr int16_t kLarge[100000] = {1};\n"
        "inline constexpr ModelDescription kDescription = {};\n"
        "inline constexpr ModelView kModel = {&kDescription, nullptr, nullptr, nullptr, kLarge};\n}\n"
    )
    with pytest.raises(InputError, match=r"`ROM' overflowed by \d+ bytes"):
        build("daisy", header)
    build("daisy")
