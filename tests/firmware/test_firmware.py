"""The firmware's own unit tests, on the host and in the emulated chip, and that every environment builds."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from hardware.firmware_build import REPOSITORY, build
from training.errors import InputError

OFFLINE = {"PLATFORMIO_DISABLE_UPGRADE_CHECK": "true", "PLATFORMIO_SETTING_ENABLE_TELEMETRY": "no"}


@pytest.mark.parametrize(("environment", "count"), [("test_native", 45), ("test_emulator", 32)])
def test_unit_tests_pass(environment, count):
    command = [sys.executable, "-m", "platformio", "test", "-e", environment]
    result = subprocess.run(
        command, cwd=REPOSITORY, env={**os.environ, **OFFLINE}, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout[-3000:]
    assert f"{count} test cases: {count} succeeded" in result.stdout


@pytest.mark.parametrize("environment", ["native", "emulator", "daisy"])
def test_every_environment_builds(environment):
    assert build(environment).stat().st_size > 10_000


def test_the_kernels_are_what_their_script_makes():
    script = runpy.run_path(str(REPOSITORY / "firmware" / "engine" / "generate_kernels.py"))
    assert script["OUTPUT"].read_text() == script["file_text"]()


def test_a_missing_compiler_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    for environment, package in (("native", "g\\+\\+"), ("emulator", "gcc-arm-none-eabi")):
        with pytest.raises(InputError, match=f"is missing: install the package {package}"):
            build(environment)


def test_a_build_error_is_one_line_with_its_place(tmp_path):
    broken = tmp_path / "broken.h"
    broken.write_text("this is not C++\n")
    with pytest.raises(InputError, match=r"does not build: .*broken.h:1:.*error") as caught:
        build("native", broken)
    assert "\n" not in str(caught.value)
    build("native")


def test_the_image_has_no_path_of_this_machine():
    """Images are for others: nothing in their data should say where they were made."""
    assert str(Path.home()).encode() not in build("daisy").read_bytes()
