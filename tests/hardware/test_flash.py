"""Putting firmware on a board: what is refused before anything is sent, and what is said when there is no board.

The download itself is tested in tests/hardware/test_dfu.py.
"""

import shutil
import struct
import subprocess
import sys

import pytest
from conftest import assert_one_line_error

from export import daisy
from hardware import flash
from hardware.firmware_build import REPOSITORY, build
from training.errors import InputError

FOUND = 'Found DFU: [0483:df11] ver=0200, devnum={n}, cfg=1, intf=0, path="1-{n}", alt={alt}, name="{name}", serial="2"'
INTERNAL = "@Internal Flash   /0x08000000/16*128Kg"
OPTION_BYTES = "@Option Bytes   /0x5200201C/01*128 e"
"""As dfu-util 0.11 lists the ROM bootloader of a Daisy Seed."""


def listing(*boards: tuple[str, ...]) -> str:
    return "\n".join(
        FOUND.format(n=n, alt=alt, name=name)
        for n, memories in enumerate(boards, 1)
        for alt, name in reversed(list(enumerate(memories)))
    )


@pytest.fixture(scope="module")
def image():
    return build("daisy")


@pytest.fixture
def no_board():
    """The real dfu-util, and nothing that it could write to."""
    if not shutil.which("dfu-util"):
        pytest.skip("dfu-util is not installed")
    if "Found DFU" in subprocess.run(["dfu-util", "-l"], capture_output=True, text=True, check=True).stdout:
        pytest.skip("a board is in DFU mode")


def made(tmp_path, stack=0x2002_0000, reset=0x0800_0101, size=1024, **others):
    """An image that is right but for what is asked for; `others`: handlers by number, such as v3."""
    handlers = [others.get(f"v{number}", 0) for number in range(2, flash.SYSTEM_VECTORS)]
    path = tmp_path / "image.bin"
    path.write_bytes(struct.pack("<16I", stack, reset, *handlers).ljust(size, b"\xff")[:size])
    return path


def test_the_firmware_is_an_image(image):
    assert flash.check_image(image) == image.read_bytes()


@pytest.mark.parametrize("stack", [0x2000_0008, 0x2002_0000, 0x2408_0000])
def test_a_stack_in_dtcm_or_axi_sram_is_right(tmp_path, stack):
    flash.check_image(made(tmp_path, stack, size=flash.FLASH_BYTES))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"stack": 0x2002_0004}, "stack would be at 0x20020004"),
        ({"stack": 0x2002_0008}, "stack would be at 0x20020008"),
        ({"stack": 0x2000_0000}, "stack would be at 0x20000000"),
        ({"stack": 0x3000_1000}, "stack would be at 0x30001000"),
        ({"reset": 0x0800_0100}, "would start at 0x08000100"),
        ({"reset": 0x0800_0401}, "would start at 0x08000401"),
        ({"reset": 0x0800_0001}, "would start at 0x08000001"),
        ({"reset": 0x9004_0101}, "would start at 0x90040101"),
        ({"reset": 0}, "would start at 0x00000000"),
        ({"v3": 0x0800_0200}, "vector 3 is 0x08000200"),
        ({"size": 63}, "too short"),
        ({"size": 0}, "too short"),
        ({"size": 128 * 1024 + 1}, "131,073 bytes; the chip's flash has 131,072"),
    ],
)
def test_an_image_that_would_not_run_is_refused(tmp_path, wrong, message):
    path = made(tmp_path, **wrong)
    with pytest.raises(InputError, match=message):
        flash.check_image(path)


def test_images_of_other_boards_are_one_line(tmp_path, run_pedal, make_model):
    emulator = build("emulator")
    assert_one_line_error(run_pedal("flash", emulator), "ELF", "firmware.bin")
    assert_one_line_error(run_pedal("flash", build("native")), "ELF")
    assert_one_line_error(run_pedal("flash", emulator.with_suffix(".bin")), "another board", "stack")
    blob = tmp_path / "amp.bin"
    blob.write_bytes(daisy.prepare(make_model()).blob())
    assert_one_line_error(run_pedal("flash", blob), "is a model")
    assert_one_line_error(run_pedal("flash", tmp_path / "no.bin"), "no.bin", "No such file")
    assert_one_line_error(run_pedal("flash", tmp_path), "Is a directory")


def test_a_missing_dfu_util_is_named(image, run_pedal, tmp_path):
    result = run_pedal("flash", image, environment={"PATH": str(tmp_path)})
    assert_one_line_error(result, "dfu-util is missing", "package dfu-util")


def test_without_a_board_it_says_how_to_get_one_there(image, run_pedal, no_board):
    assert_one_line_error(run_pedal("flash", image), "no board in DFU mode", "BOOT", "RESET")
    assert_one_line_error(run_pedal("flash"), "no board in DFU mode")


def test_platformio_flashes_by_the_same_command(image, no_board):
    command = [sys.executable, "-m", "platformio", "run", "-e", "daisy", "-t", "upload"]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert result.returncode != 0
    assert "Error: no board in DFU mode" in result.stderr


def test_the_board_is_found_in_the_list():
    assert flash.board_in(listing((INTERNAL, OPTION_BYTES))) == flash.Board("1-1", "2")


@pytest.mark.parametrize(
    ("printed", "complaints", "message"),
    [
        ("", "", "no board in DFU mode: hold BOOT"),
        ("", "dfu-util: Cannot open DFU device 0483:df11 found on devnum 7 (LIBUSB_ERROR_ACCESS)\n", "udev rule"),
        (listing((INTERNAL,), (INTERNAL,)), "", "2 boards in DFU mode, at 1-1, 1-2"),
        (listing(("@Flash /0x90000000/64*4Kg/0x90040000/60*64Kg",)), "", "another bootloader, such as Daisy's own"),
        (listing(("@Internal Flash  /0x08000000/04*016Kg,01*064Kg,07*128Kg",)), "", "is no Daisy Seed: @Internal"),
    ],
)
def test_what_is_not_one_daisy_seed_is_one_line(printed, complaints, message):
    with pytest.raises(InputError, match=message) as caught:
        flash.board_in(printed, complaints)
    assert "\n" not in caught.value.message
