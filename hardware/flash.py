"""`pedal flash`: put the firmware on a Daisy Seed whose ROM bootloader waits on USB (DFU with ST's extensions, AN3156).

The image is looked at before anything is sent, read back after it was written, and started only when both are the same.
"""

import re
import shutil
import struct
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import click

from training.errors import InputError

FLASH_ADDRESS = 0x0800_0000
FLASH_BYTES = 128 * 1024
STACKS = ((0x2000_0000, 128 * 1024), (0x2400_0000, 512 * 1024))
"""Address and bytes of the memories in which the firmware may have its stack: DTCM and AXI SRAM."""
SYSTEM_VECTORS = 16
USB_ID = "0483:df11"
MEMORY = re.compile(rf"@Internal Flash\s+/0x{FLASH_ADDRESS:08x}/\d+\*128K")
"""How the chip's own bootloader names its flash of 128 KB sectors; STM32s with other sectors have the same USB id."""
TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Board:
    """A Daisy Seed in DFU mode."""

    path: str
    """Where it is on USB, as dfu-util has it: '1-1'."""
    serial: str


def check_image(path: Path) -> bytes:
    """The image's bytes. Raises InputError for what is no firmware for the Daisy Seed's internal flash."""
    try:
        image = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    if image[:4] == b"PEDL":
        raise InputError(f"{path}: is a model, not firmware")
    if image[:4] == b"\x7fELF":
        raise InputError(f"{path}: is an ELF file; to be flashed is firmware.bin, which is made from it")
    wrong = _wrong_with_vectors(image)
    if wrong:
        raise InputError(f"{path}: is an image for another board, or none: {wrong}")
    if len(image) > FLASH_BYTES:
        raise InputError(f"{path}: has {len(image):,} bytes; the chip's flash has {FLASH_BYTES:,}")
    return image


def _wrong_with_vectors(image: bytes) -> str | None:
    """What in the vector table (Armv7-M, B1.5.3) does not belong to this board."""
    if len(image) < 4 * SYSTEM_VECTORS:
        return "too short for a vector table"
    stack, *handlers = struct.unpack_from(f"<{SYSTEM_VECTORS}I", image)
    if stack % 8 or not any(start < stack <= start + size for start, size in STACKS):
        return f"its stack would be at 0x{stack:08x}"
    for number, handler in enumerate(handlers, 1):
        inside = FLASH_ADDRESS + 4 * SYSTEM_VECTORS <= handler < FLASH_ADDRESS + len(image)
        if not (handler % 2 and inside) and not (handler == 0 and number > 1):
            return f"it would start at 0x{handler:08x}" if number == 1 else f"its vector {number} is 0x{handler:08x}"
    return None


def dfu_util(*arguments: str) -> subprocess.CompletedProcess:
    """Run dfu-util; its output is text. Raises InputError when it is missing or hangs."""
    if not shutil.which("dfu-util"):
        raise InputError("dfu-util is missing: install the package dfu-util")
    command = ["dfu-util", *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise InputError(f"dfu-util has been silent for {TIMEOUT_S:.0f} s: unplug the board and try again") from error


def find_board(wait_s: float = 0.0) -> Board:
    """The one board in DFU mode, which may take `wait_s` to appear.

    Raises InputError when there is none, more than one, or another chip or bootloader in its place.
    """
    deadline = time.monotonic() + wait_s
    while True:
        listing = dfu_util("-l")
        if f"[{USB_ID}]" in listing.stdout or time.monotonic() >= deadline:
            return board_in(listing.stdout, listing.stderr)
        time.sleep(0.2)


def board_in(listing: str, complaints: str = "") -> Board:
    """The one board in what `dfu-util -l` printed to standard output and to standard error; errors as `find_board`."""
    found = re.findall(rf'\[{USB_ID}\].* path="([^"]*)", alt=\d+, name="([^"]*)", serial="([^"]*)"', listing)
    boards = {path: Board(path, serial) for path, _, serial in found}
    if not boards and "Cannot open DFU device" in complaints:
        raise InputError(
            "a board is in DFU mode, but may not be opened: run this as root, or allow it with a udev rule"
        )
    if not boards:
        raise InputError("no board in DFU mode: hold BOOT, tap RESET, let go of BOOT, with the Seed's USB plugged in")
    if len(boards) > 1:
        raise InputError(f"{len(boards)} boards in DFU mode, at {', '.join(sorted(boards))}: leave one plugged in")
    memories = [name for _, name, _ in found]
    if not any(name.startswith("@Internal Flash") for name in memories):
        raise InputError(
            f"no internal flash, but {', '.join(memories)}: that is another bootloader, such as Daisy's own; "
            "hold BOOT while you tap RESET"
        )
    if not any(MEMORY.match(name) for name in memories):
        raise InputError(f"the board in DFU mode is no Daisy Seed: {', '.join(memories)}")
    return next(iter(boards.values()))


def flash(image: Path, board: Board) -> str:
    """Write `image` to `board`, compare, start it, and say what was done. Raises InputError with dfu-util's last line.

    An interrupted write leaves a board without firmware, never without its bootloader, which is in ROM.
    """
    content = check_image(image)
    target = ["-d", f",{USB_ID}", "-p", board.path, "-a", "0"]
    written = dfu_util(*target, "-s", f"0x{FLASH_ADDRESS:08x}", "-D", str(image))
    if written.returncode != 0:
        raise InputError(f"not flashed: {last_line(written)}")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "copy.bin")
        read = dfu_util(*target, "-s", f"0x{FLASH_ADDRESS:08x}:{len(content)}", "-U", str(copy))
        came_back = copy.read_bytes() if read.returncode == 0 else None
        if came_back is not None and came_back != content:
            raise InputError("not flashed well: what was read back differs; try again, with another cable")
        left = dfu_util(*target, "-s", f"0x{FLASH_ADDRESS:08x}:4:leave", "-U", str(Path(folder, "leave.bin")))
    compared = "read back and compared" if came_back is not None else f"not read back: {last_line(read)}"
    # A board that has left may be gone before it answers: the start itself shows on its LED.
    started = "started" if left.returncode == 0 else "to start it, tap RESET"
    return f"{image}: {len(content):,} bytes flashed, {compared}; {started}"


def last_line(result: subprocess.CompletedProcess) -> str:
    """What a failed dfu-util said last."""
    lines = [line.strip() for line in (result.stderr or result.stdout).replace("\r", "\n").splitlines()]
    return next((line for line in reversed(lines) if line), f"dfu-util exited with {result.returncode}")


@click.command("flash")
@click.argument("image", type=click.Path(path_type=Path), required=False)
@click.option(
    "--on", "place", metavar="PORT", help="The serial port of a pedal that runs: it goes to DFU mode by itself."
)
def flash_command(image: Path | None, place: str | None) -> None:
    """Put firmware on a Daisy Seed in DFU mode (hold BOOT, tap RESET): IMAGE, or what is built from this checkout."""
    if image is None:
        from hardware.firmware_build import build

        image = build("daisy")
    check_image(image)
    if place:
        from hardware.connect import open_link

        with open_link(place) as link:
            link.enter_boot_loader()
    click.echo(flash(image, find_board(wait_s=5.0 if place else 0.0)))


if __name__ == "__main__":
    flash_command()
