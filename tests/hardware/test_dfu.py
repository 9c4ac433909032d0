"""`pedal flash` with the real dfu-util and a real kernel's USB, against a model of the chip's bootloader."""

import json
import shlex
import sys
from pathlib import Path

import pytest
from dfu_device import FLASH, SECTOR_BYTES, DfuDevice, UsbIpServer
from linux_guest import need_guest, run_in_guest

from hardware.firmware_build import REPOSITORY, build


@pytest.fixture(scope="module")
def devices():
    return {
        "good": [DfuDevice()],
        "write protected": [DfuDevice(write_protected=True)],
        "bad bit": [DfuDevice(bad_bit_at=12_345)],
        "read protected": [DfuDevice(read_protected=True)],
        "unplugged": [DfuDevice(unplugged_at=20_000)],
        "two": [DfuDevice(), DfuDevice()],
        "another chip": [DfuDevice(("@Internal Flash  /0x08000000/04*016Kg,01*064Kg,07*128Kg",))],
        "again": [DfuDevice()],
    }


@pytest.fixture(scope="module")
def results(devices, tmp_path_factory):
    """What `pedal flash` said and returned, by scenario: one guest for all."""
    need_guest("dfu-util")
    image = build("daisy")
    servers = {name: [UsbIpServer(device) for device in boards] for name, boards in devices.items()}
    scenarios = [f"{name}={','.join(str(server.port) for server in boards)}" for name, boards in servers.items()]
    script = Path(__file__).with_name("flash_in_guest.py")
    run = shlex.join([sys.executable, str(script), str(image), *scenarios])
    command = f"cd {shlex.quote(str(REPOSITORY))} && PYTHONPATH=$PWD {run}"
    printed = run_in_guest(command, tmp_path_factory.mktemp("guest"), timeout_s=240)
    for boards in servers.values():
        for server in boards:
            server.close()
    lines = (line.partition("RESULT ")[2] for line in printed.splitlines() if line.startswith("RESULT "))
    return {result["name"]: result for result in map(json.loads, lines)}


def error(result):
    assert result["code"] == 2 and result["out"] == ""
    (line,) = result["err"].splitlines()
    return line


def test_an_image_is_written_compared_and_started(results, devices):
    image = build("daisy").read_bytes()
    (device,) = devices["good"]
    assert results["good"]["code"] == 0, results["good"]["err"]
    assert "read back and compared; started" in results["good"]["out"]
    assert device.flash == image.ljust(SECTOR_BYTES, b"\xff")
    assert device.erased == 1
    assert device.started_at == FLASH


def test_what_the_chip_refuses_is_one_line(results, devices):
    assert "not flashed: " in error(results["write protected"])
    assert devices["write protected"][0].started_at is None


def test_a_board_that_is_unplugged_is_one_line(results, devices):
    assert "not flashed: " in error(results["unplugged"])
    assert devices["unplugged"][0].flash[30_000:] == b"\xff" * (SECTOR_BYTES - 30_000)


def test_an_image_that_reads_back_differently_is_not_started(results, devices):
    assert "read back differs" in error(results["bad bit"])
    assert devices["bad bit"][0].started_at is None


def test_without_reading_back_it_says_so(results):
    assert results["read protected"]["code"] == 0
    assert "not read back: " in results["read protected"]["out"]


def test_two_boards_or_another_chip_are_left_alone(results, devices):
    assert "2 boards in DFU mode" in error(results["two"])
    assert "no Daisy Seed" in error(results["another chip"])
    for device in [*devices["two"], *devices["another chip"]]:
        assert device.erased == 0 and device.started_at is None


def test_the_next_board_is_flashed_as_well(results, devices):
    assert results["again"]["code"] == 0
    assert devices["again"][0].started_at == FLASH
