"""Pedals that are programs of this machine: the emulated chip and the native build.

Both listen on a port of the loopback interface; the link starts the program, connects, and stops it again.
"""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import serial

from hardware.serial_link import SerialLink
from training.errors import InputError

START_SECONDS = 10.0


def native_command(program: Path, port: int) -> list[str]:
    """The command line of the native pedal."""
    return [str(program), str(port)]


def emulator_command(image: Path, port: int) -> list[str]:
    """QEMU as a Cortex-M7 whose UART 0 is at `port`. `-icount shift=0`: an instruction takes 1 ns of virtual time."""
    qemu = shutil.which("qemu-system-arm")
    if not qemu:
        raise InputError("qemu-system-arm is missing: install the package qemu-system-arm")
    return [
        *(qemu, "-M", "mps2-an500", "-icount", "shift=0"),
        *("-display", "none", "-monitor", "none", "-semihosting-config", "enable=on,target=native"),
        *(
            "-chardev",
            f"socket,id=uart,host=127.0.0.1,port={port},server=on,wait=on,nodelay=on",
            "-serial",
            "chardev:uart",
        ),
        *("-kernel", str(image)),
    ]


COMMANDS = {"native": native_command, "emulator": emulator_command}


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class ProgramLink(SerialLink):
    """`PedalLink` to a program that it starts and stops itself."""

    def __init__(self, board: str, program: Path, options: Sequence[str] = ()) -> None:
        """`board`: 'native' or 'emulator'; `program`: what `firmware_build.build` made for it;
        `options`: more arguments for the program's command line.

        Raises InputError when the program is missing or does not come up.
        """
        if not program.is_file():
            raise InputError(f"{program}: no such firmware")
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - lives as long as the program
        port = free_port()
        command = [*COMMANDS[board](program, port), *options]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log)
        try:
            super().__init__(self._connect(port))
        except BaseException:
            self._stop()
            raise

    def _connect(self, port: int) -> serial.SerialBase:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                return serial.serial_for_url(f"socket://127.0.0.1:{port}")
            except serial.SerialException as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self._log.seek(0)
                    said = self._log.read().strip().splitlines()
                    raise InputError(f"the pedal program did not start: {said[-1] if said else error}") from error
            time.sleep(0.02)

    def _stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()

    def close(self) -> None:
        super().close()
        self._stop()
