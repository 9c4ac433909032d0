"""Build the firmware with PlatformIO and say where the result is."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from training.errors import InputError

REPOSITORY = Path(__file__).parent.parent
PROGRAMS = {
    "native": "program",
    "native_sanitized": "program",
    "fuzz_replay": "program",
    "emulator": "firmware.elf",
    "emulator_eigen": "firmware.elf",
    "emulator_eigen_fast": "firmware.elf",
    "daisy": "firmware.bin",
}
SIGNS = ("undefined reference", "overflowed by", "error:")
"""Of a line of the build's output that says what is wrong."""
RTNEURAL = REPOSITORY / "firmware" / "lib" / "RTNeural" / "RTNeural" / "RTNeural.h"


def build(environment: str, *model_headers: Path) -> Path:
    """Build `environment` of platformio.ini and return the program's path; quick when nothing changed.

    `model_headers`: C headers of `pedal export`, to be built in as the models of slot 0, 1, ...

    Raises InputError with the first error line when the build fails, and names a compiler that is missing.
    """
    on_host = PROGRAMS[environment] == "program"
    compiler, package = ("g++", "g++") if on_host else ("arm-none-eabi-g++", "gcc-arm-none-eabi")
    if not shutil.which(compiler):
        raise InputError(f"{compiler} is missing: install the package {package}")
    settings = dict(os.environ)
    settings |= {"PLATFORMIO_DISABLE_UPGRADE_CHECK": "true", "PLATFORMIO_SETTING_ENABLE_TELEMETRY": "no"}
    if model_headers:
        settings["PEDAL_MODEL_HEADER"] = os.pathsep.join(str(header.resolve()) for header in model_headers)
    command = [sys.executable, "-m", "platformio", "run", "-e", environment]
    result = subprocess.run(command, cwd=REPOSITORY, env=settings, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        output = (result.stdout + result.stderr).splitlines()
        first = next(
            (line for line in output if any(sign in line for sign in SIGNS)),
            output[-1] if output else "no output",
        )
        raise InputError(
            f"the firmware for {environment} does not build: {first.strip()} (see: pio run -e {environment})"
        )
    return build_folder() / environment / PROGRAMS[environment]


def build_folder() -> Path:
    """Where PlatformIO has a folder for each environment: its own variable names another."""
    return Path(os.environ.get("PLATFORMIO_BUILD_DIR", REPOSITORY / ".pio" / "build"))
