"""What `make fuzz` has found of the USB stack and the host protocol, each input once, under the sanitizers."""

import subprocess

import pytest

from hardware.firmware_build import REPOSITORY, build

CORPUS = REPOSITORY / "firmware" / "test" / "fuzz" / "corpus"


@pytest.mark.parametrize("target", ["usb", "protocol"])
def test_no_input_of_the_corpus_ends_the_pedal(target):
    files = sorted((CORPUS / target).iterdir())
    assert len(files) > 100
    command = [build("fuzz_replay"), target, *files]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout == f"{len(files)} files\n"
