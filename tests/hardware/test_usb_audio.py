"""The link to a pedal on USB, as far as it goes with neither."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from hardware import duplex, usb_audio
from hardware.usb_audio import Dropout, align, find_pedal
from training.errors import InputError

PEDAL = {"manufacturer": "Oddity", "vid": 0x1209, "pid": 1}


@pytest.fixture
def sent(guitar):
    """A take with some silence before and behind the guitar."""
    return usb_audio._with_marks(np.pad((guitar * 2**23).astype(np.int32), (100, 200)))[:, 0]


@pytest.fixture
def ports(monkeypatch):
    def are(*serial_numbers):
        found = [SimpleNamespace(serial_number=number, device=f"tty{number}", **PEDAL) for number in serial_numbers]
        other = SimpleNamespace(serial_number="x", device="ttyS0", manufacturer="FTDI", vid=0x0403, pid=0x6001)
        monkeypatch.setattr(usb_audio.list_ports, "comports", lambda: [other, *found])

    return are


@pytest.mark.parametrize("late", [0, 1, 5000])
def test_what_comes_back_late_is_found(sent, late):
    assert align(sent, np.pad(sent, (late, 300))) == late


def test_silence_is_aligned_on_its_end():
    sent = usb_audio._with_marks(np.zeros(1000, np.int32))[:, 0]
    assert align(sent, np.pad(sent, (77, 300))) == 77


def test_the_end_has_to_come_back_too(sent):
    back = np.pad(sent, (50, 0))
    assert isinstance(align(sent, back[:-1]), Dropout)


@pytest.mark.parametrize("at", [500, 6000, 11_000])
def test_a_dropout_has_its_place(sent, at):
    back = np.pad(sent, (960, 5000))
    missing = align(sent, np.delete(back, slice(960 + at, 960 + at + 48)))
    assert isinstance(missing, Dropout) and at <= missing.frame < at + 3
    more = align(sent, np.insert(back, 960 + at, np.zeros(48, np.int32)))
    assert isinstance(more, Dropout) and at <= more.frame < at + 3
    if at < 6001:
        assert missing.seen == "48 frames are missing"
        assert more.seen == "48 frames too many"


def test_one_bit_is_a_dropout(sent):
    back = np.pad(sent, (960, 5000))
    back[960 + 3000] ^= 1
    assert align(sent, back) == Dropout(3000, "frames differ")


def test_nothing_came_back(sent):
    assert align(sent, np.zeros(20_000, np.int32)) == Dropout(0, "nothing came back")


@pytest.mark.parametrize(("gain", "words"), [(0.5, r"-6\.0 dB: "), (-1.0, r"\+0\.0 dB, inverted")])
def test_another_level_is_no_dropout(sent, gain, words):
    with pytest.raises(InputError, match=f"the DI reaches the pedal at {words}"):
        align(sent, np.pad(np.rint(sent * gain).astype(np.int32), (960, 5000)))


def test_the_pedal_is_found_by_its_identity(ports):
    ports("A")
    assert find_pedal().device == "ttyA"
    ports("A", "B")
    assert find_pedal("B").device == "ttyB"
    with pytest.raises(InputError, match="2 pedals are on USB: choose with --on one of usb:A, usb:B"):
        find_pedal()
    with pytest.raises(InputError, match="serial number C on USB; there: usb:A, usb:B"):
        find_pedal("C")
    ports()
    with pytest.raises(InputError, match="no pedal found on USB"):
        find_pedal()


def test_without_portaudio_there_is_one_line():
    hidden = "import sys; sys.modules['sounddevice'] = None; sys.argv = ['', '-', '0.1']; import runpy;"
    run = f"{hidden} runpy.run_path({duplex.__file__!r}, run_name='__main__')"
    result = subprocess.run([sys.executable, "-c", run], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert "PortAudio is missing" in result.stdout and result.returncode == 1


def device(**differences):
    return {
        "name": "Oddity Pedal: USB Audio (hw:1,0)",
        "index": 0,
        "max_input_channels": 2,
        "max_output_channels": 2,
        "default_samplerate": 48_000.0,
        **differences,
    }


def library(*devices, interface="ALSA"):
    return SimpleNamespace(
        query_hostapis=lambda: [{"name": interface, "devices": range(len(devices))}],
        query_devices=lambda index: devices[index],
    )


@pytest.mark.parametrize(
    ("devices", "words"),
    [
        ([], "no sound device"),
        ([device(name="Oddity Pedal: USB Audio (plughw:1,0)")], "no sound device"),
        ([device(name="Oddity Pedal: USB Audio (hw:2,0)")], "no sound device"),
        ([device(default_samplerate=44_100.0)], "at 44100 Hz, not 2 \\+ 2 at 48000 Hz: a converter"),
        ([device(max_output_channels=32)], "2 \\+ 32 channels"),
        ([device(), device()], "several"),
    ],
)
def test_only_the_device_itself_will_do(monkeypatch, devices, words):
    monkeypatch.setattr(duplex.platform, "system", lambda: "Linux")

    def refuse(reason):
        raise InputError(reason)

    monkeypatch.setattr(duplex, "fail", refuse)
    with pytest.raises(InputError, match=words):
        duplex.find_device(library(*devices), "1")
    assert duplex.find_device(library(device(index=5)), "1") == (5, 5)
    with pytest.raises(InputError, match="no sound device"):
        duplex.find_device(library(device(), interface="JACK Audio Connection Kit"), "1")
