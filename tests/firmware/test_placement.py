"""What the Cortex-M7 runs and reads for every sample lies in its tightly coupled memories, as the linker accounts."""

import os
import re
import subprocess
import sys

import pytest

from export.budget import WEIGHT_CAPACITY_BYTES
from hardware.firmware_build import REPOSITORY, build

ITCM = range(0x00000000, 0x00010000)
DTCM = range(0x20000000, 0x20020000)


@pytest.fixture(scope="module")
def symbols() -> dict[str, tuple[int, int]]:
    """Address and size of each symbol of the Daisy's image, by its demangled name up to the parenthesis."""
    image = build("daisy").with_suffix(".elf")
    listing = subprocess.run(["arm-none-eabi-nm", "-C", "-S", image], capture_output=True, text=True, check=True).stdout
    found = {}
    for line in listing.splitlines():
        if match := re.match(r"([0-9a-f]{8}) ([0-9a-f]{8}) \w (.+)", line):
            found[re.sub(r"\((?!anonymous).*", "", match[3])] = int(match[1], 16), int(match[2], 16)
    return found


def test_code_of_every_sample_lies_in_itcm(symbols):
    names = ["DotQ15Rows4", "DotQ15Rows3", "LstmGatesQ15Cell26", "LstmFineGatesQ15Cell24", "GruStackedFineGatesQ15"]
    names += ["oddity::FixedEngine::Process", "oddity::DotQ30", "oddity::UpdateLowStates"]
    names += ["oddity::Resampler::ToOwn", "oddity::Resampler::FromOwn"]
    names += ["FirQ15", "oddity::EqEngine::Process", "oddity::EqEngine::ProcessBlock", "oddity::Cabinet::Process"]
    for name in names:
        assert symbols[name][0] in ITCM, name
    # Process may have these in it
    assert all(address in ITCM for name, (address, _) in symbols.items() if "RecurrentEngine::Run<" in name)


def test_what_every_sample_reads_lies_in_dtcm(symbols):
    for name in ("oddity::kSigmoidTable", "oddity::kTanhTable", "oddity::kFineTable", "oddity::kSoftSignTable"):
        assert symbols[name][0] in DTCM, name
    for ending, least in (("::playing_engine", WEIGHT_CAPACITY_BYTES), ("::pedal", 1)):
        address, size = next(place for name, place in symbols.items() if name.endswith(ending))
        assert address in DTCM and address + size - 1 in DTCM
        assert size > least


def test_the_build_prints_the_account(tmp_path):
    build("daisy").with_suffix(".elf").unlink()
    command = [sys.executable, "-m", "platformio", "run", "-e", "daisy"]
    settings = {**os.environ, "PLATFORMIO_DISABLE_UPGRADE_CHECK": "true", "PLATFORMIO_SETTING_ENABLE_TELEMETRY": "no"}
    printed = subprocess.run(command, cwd=REPOSITORY, env=settings, capture_output=True, text=True, check=True).stdout
    for memory, size in (("ROM", "128 KB"), ("RAM", "512 KB"), ("ITCM", "65504 B"), ("DTCM", "128 KB")):
        assert re.search(rf"\b{memory}: +\d+ B +{size} +\d+\.\d+%", printed), printed
    for section, memory in (
        (".text", "ROM"),
        (".itcm", "ITCM, copied there from ROM"),
        (".dtcm", "DTCM"),
        (".dma", "DMA"),
    ):
        assert re.search(rf"^{re.escape(section)} +[\d,]+ B  {memory}$", printed, re.M), printed
