"""The native pedal as a USB device, behind USB/IP, with a host that is a few lines of Python."""

import contextlib
import random
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from usbip_client import (
    BUS_ID,
    CAPTURE,
    CAPTURE_INTERFACE,
    FEEDBACK,
    FRAME_BYTES,
    MAX_FRAMES,
    PLAYBACK,
    PLAYBACK_INTERFACE,
    SERIAL_IN,
    SERIAL_OUT,
    SHUT_DOWN,
    STALL,
    UNLINKED,
    VERSION,
    ClientAudio,
    ClientSerial,
    UsbError,
    UsbIpClient,
    connect,
    native_usb,
)

from export import blob, fixed_point
from export.quantize import quantize
from hardware.firmware_build import build
from hardware.program_link import ProgramLink, free_port
from hardware.protocol import REPLY, SYNC, Message, Parameter, encode
from hardware.serial_link import SerialLink

ISOCHRONOUS, BULK, INTERRUPT = 1, 2, 3
ENDPOINTS = {
    PLAYBACK: (ISOCHRONOUS, 294),
    FEEDBACK: (ISOCHRONOUS, 4),
    CAPTURE: (ISOCHRONOUS, 294),
    0x83: (INTERRUPT, 16),
    SERIAL_OUT: (BULK, 64),
    SERIAL_IN: (BULK, 64),
}
TAIL_FRAMES = 4800
TARGET_LEVEL = 72
"""Frames that the pedal wants to have in its buffer when a packet is about to come, in blocks of 48."""


@pytest.fixture(scope="module")
def program() -> Path:
    return build("native")


@pytest.fixture
def port(program: Path) -> Iterator[int]:
    """Of a pedal whose frames come as fast as the host's streams ask for them."""
    with native_usb(program, "--speed", 0) as port:
        yield port


@contextlib.contextmanager
def host(port: int) -> Iterator[tuple[UsbIpClient, SerialLink]]:
    with UsbIpClient(port) as client:
        client.configure()
        yield client, SerialLink(ClientSerial(client))


@pytest.fixture
def client(port: int) -> Iterator[UsbIpClient]:
    with UsbIpClient(port) as client:
        client.configure()
        yield client


@pytest.fixture
def amp(make_model: Callable, guitar: np.ndarray) -> bytes:
    """The blob of a model."""
    quantized = quantize(make_model("gru", 6), guitar[:500])
    return blob.to_bytes(quantized, blob.make_self_test(quantized, guitar))


@pytest.fixture
def take(guitar: np.ndarray) -> np.ndarray:
    """A DI, int32 [frames], that begins with silence."""
    samples = fixed_point.to_q31(guitar[:5000]) >> 8
    samples[:100] = 0
    return samples


def reamp(audio: ClientAudio, link: SerialLink, take: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What came back of the take on both channels, by its place in the first."""
    link.set(Parameter.REAMP, 1)
    link.reset()
    frames = np.zeros((len(take) + TAIL_FRAMES, 2), np.int32)
    frames[: len(take), 0] = take
    frames[0, 1] = 1  # the mark
    audio.play(frames)
    begun = audio.frames_recorded
    audio.run(len(frames) + TAIL_FRAMES)
    link.set(Parameter.REAMP, 0)
    recorded = audio.recorded[begun:]
    heard = np.flatnonzero(recorded[:, 0])
    start = heard[0] - np.flatnonzero(take)[0] if len(heard) else 0
    came = recorded[max(start, 0) : max(start, 0) + len(take)]
    return came[:, 0], came[:, 1]


def refused(client: UsbIpClient, *request: object) -> bool:
    try:
        client.control(*request)
    except UsbError as error:
        return error.status == STALL
    return False


def descriptors(configuration: bytes) -> list[bytes]:
    found = []
    while configuration:
        found.append(configuration[: configuration[0]])
        configuration = configuration[configuration[0] :]
    return found


def test_the_server_and_the_device_say_the_same(port):
    with connect(port) as asking:
        asking.sendall(struct.pack(">HHI", VERSION, 0x8005, 0))
        listed = asking.makefile("rb").read(12 + 312 + 5 * 4)
    assert struct.unpack(">HHII", listed[:12]) == (VERSION, 5, 0, 1)
    with UsbIpClient(port) as client:
        device, configuration = client.descriptor(1), client.descriptor(2)
        assert listed[12:324] == client.description
        assert client.description[256:288].rstrip(b"\0") == BUS_ID
        bus, number, speed, vendor, product, release = struct.unpack(">IIIHHH", client.description[288:306])
        assert (bus, number, speed) == (1, 2, 2)
        assert (vendor, product, release) == struct.unpack("<HHH", device[8:14])
        assert (vendor, product) == (0x1209, 0x0001)
        assert list(client.description[306:312]) == [*device[4:7], configuration[5], device[17], configuration[4]]
        assert [client.string(index) for index in device[14:17]] == ["Oddity", "Oddity Pedal", f"native-{port}"]
    assert struct.unpack("<H", configuration[2:4]) == (len(configuration),)
    found = descriptors(configuration)
    interfaces = [each for each in found if each[1] == 4]
    assert listed[324:] == b"".join(each[5:8] + b"\0" for each in interfaces if each[3] == 0)
    assert {each[2]: (each[3] & 3, each[4] | each[5] << 8) for each in found if each[1] == 5} == ENDPOINTS


@pytest.mark.parametrize("size", [1, 8, 18, 63, 64, 65, 128, 301, 302, 303, 4096])
def test_a_read_ends_where_host_or_device_ends_it(client, size):
    whole = client.descriptor(2)
    assert client.descriptor(2, size=size) == whole[:size]


@pytest.mark.parametrize(
    "request_",
    [
        (0x80, 6, 0x0600, 0, 10),  # a qualifier, of high speed only
        (0x80, 6, 0x0363, 0x0409, 255),
        (0x80, 6, 0x0201, 0, 255),
        (0x00, 9, 2),
        (0x01, 11, 2, PLAYBACK_INTERFACE),
        (0x01, 11, 0, 5),
        (0x81, 10, 0, 5, 1),
        (0x82, 0, 0, CAPTURE, 2),
        (0x40, 1),
        (0xC0, 1, 0, 0, 8),
        (0xA1, 1, 0x0100, 0x6300, 4),
        (0x21, 1, 0x0202, 0x0300, b"\0" * 100),
    ],
)
def test_what_is_not_there_stalls_and_the_next_request_is_answered(client, request_):
    assert refused(client, *request_)
    assert client.control(0x80, 8, 0, 0, 1) == b"\1"


def test_a_halted_endpoint_stalls_until_it_is_cleared(client):
    link = SerialLink(ClientSerial(client))
    client.control(0x02, 3, 0, SERIAL_IN)
    assert client.control(0x82, 0, 0, SERIAL_IN, 2) == b"\1\0"
    with pytest.raises(UsbError) as caught:
        client.read(SERIAL_IN, 64)
    assert caught.value.status == STALL
    client.control(0x02, 1, 0, SERIAL_IN)
    assert link.hello().board == "native"


def test_what_is_sent_to_a_closed_endpoint_fails(client):
    for endpoint in (PLAYBACK, CAPTURE):
        transfer = client.submit(endpoint, 6 if endpoint == CAPTURE else b"\0" * 6, (6,))
        with pytest.raises(UsbError) as caught:
            client.wait(transfer)
        assert caught.value.status == SHUT_DOWN


def test_a_request_that_nobody_answers_is_taken_back(client):
    ClientSerial(client)
    transfer = client.submit(SERIAL_IN, 64)
    client.rest(0.05)
    assert transfer.status is None
    assert client.unlink(transfer) == UNLINKED
    assert client.unlink(transfer) == 0
    assert SerialLink(ClientSerial(client)).hello().board == "native"


@pytest.mark.parametrize("size", [63, 64, 65, 128, 4096])
def test_requests_of_the_host_protocol_come_whole(client, size):
    """In packets that are full, and none."""
    port = ClientSerial(client)
    request = encode(Message.HELLO)
    port.write((b"\0" * (size - len(request)) + request) * 3)
    for _ in range(3):
        sync, kind, length = struct.unpack("<BBH", port.read(4))
        assert (sync, kind) == (SYNC, Message.HELLO | REPLY)
        assert len(port.read(length + 2)) == length + 2


def test_replugged_ten_times_in_mid_stream(port):
    for _ in range(10):
        with UsbIpClient(port) as client:
            assert client.control(0x80, 8, 0, 0, 1) == b"\0"
            client.configure()
            assert client.control(0x81, 10, 0, PLAYBACK_INTERFACE, 1) == b"\0"
            ClientAudio(client).run(4800)


def test_a_bus_reset_in_mid_stream(client):
    audio = ClientAudio(client)
    audio.run(4800)
    audio.abandon()
    waiting = client.submit(SERIAL_IN, 64)
    client.reset_bus()
    assert waiting.status == SHUT_DOWN
    assert client.control(0x80, 8, 0, 0, 1) == b"\0"
    client.configure()
    again = ClientAudio(client)
    again.run(4800)
    again.stop()


def test_a_stream_that_stops_does_not_hold_up_the_other(client):
    recording = ClientAudio(client, plays=False)
    for _ in range(3):
        playing = ClientAudio(client, records=False)
        recording.run(4800)
        assert playing.feedbacks
        playing.stop()
        recording.run(4800)
    recording.stop()
    link = SerialLink(ClientSerial(client))
    assert link.hello().board == "native"  # and frames go on by the clock


@pytest.mark.parametrize("answered", [False, True])
def test_a_request_that_is_taken_back_ends_its_stream(program, answered):
    """Also one whose answer was on its way by then."""
    with native_usb(program) as port, host(port) as (client, _):
        recording = ClientAudio(client, plays=False)
        client.set_interface(PLAYBACK_INTERFACE, 1)
        packets = 1 if answered else 1000
        transfer = client.submit(PLAYBACK, b"\0" * packets, (1,) * packets)
        if answered:
            client.wait(transfer)
        assert client.unlink(transfer) == (0 if answered else UNLINKED)
        recording.run(4800, seconds=5)


def test_alternate_settings_in_any_order(client):
    choose = random.Random(7)
    settings = {PLAYBACK_INTERFACE: 0, CAPTURE_INTERFACE: 0}
    size = FRAME_BYTES * MAX_FRAMES
    for _ in range(200):
        interface = choose.choice(list(settings))
        settings[interface] = choose.randrange(2)
        client.set_interface(interface, settings[interface])
        for each, alternate in settings.items():
            assert client.control(0x81, 10, 0, each, 1) == bytes([alternate])
        if settings[interface] and choose.randrange(2):
            plays = interface == PLAYBACK_INTERFACE
            transfer = client.submit(PLAYBACK if plays else CAPTURE, b"\0" * size if plays else size, (size,))
            if sum(settings.values()) == 1:  # else it may have to wait for the other stream
                client.wait(transfer)
    audio = ClientAudio(client)
    audio.run(4800)
    audio.stop()


@pytest.mark.parametrize(("ppm", "block_frames"), [(0, 48), (200, 48), (-200, 48), (100, 1), (-100, 37), (0, 256)])
def test_reamped_through_usb_it_is_the_native_engine_to_the_bit(program, amp, take, ppm, block_frames):
    with ProgramLink("native", program) as native:
        native.load(0, amp)
        native.reset()
        expected = native.process(take, block_frames)
    with native_usb(program, "--speed", 0, "--ppm", ppm) as port, host(port) as (client, link):
        link.load(0, amp)
        link.set(Parameter.BLOCK_FRAMES, block_frames)
        audio = ClientAudio(client)
        audio.run(9600)
        for _ in range(3):
            fed, played = reamp(audio, link, take)
            assert np.array_equal(fed, take)
            assert np.array_equal(played, expected)
        audio.stop()


def test_live_the_host_hears_the_guitar(program, take, tmp_path):
    """Dry, and processed; no model: the same."""
    file = tmp_path / "guitar.raw"
    file.write_bytes(take.astype("<i4").tobytes())
    with native_usb(program, "--speed", 0, "--guitar", file) as port, host(port) as (client, _):
        client.rest(0.2)  # the guitar waits
        audio = ClientAudio(client, plays=False)
        audio.run(2 * len(take))
        audio.stop()
    recorded = audio.recorded
    start = np.flatnonzero(recorded[:, 0])[0] - np.flatnonzero(take)[0]
    for channel in (0, 1):
        assert np.array_equal(recorded[start : start + len(take), channel], take)


@pytest.mark.parametrize("ppm", [-200, 200])
def test_the_buffer_stays_where_it_is_for_a_minute(program, ppm):
    with native_usb(program, "--speed", 0, "--ppm", ppm) as port, host(port) as (client, link):
        audio = ClientAudio(client)
        audio.run(48_000)
        link.clear_stats()
        audio.run(60 * 48_000)
        stats = link.usb_stats()
        audio.stop()
    assert stats.underruns == stats.overruns == 0
    assert TARGET_LEVEL - 6 < stats.level_min <= stats.level_max < TARGET_LEVEL + 6
    told = np.mean(audio.feedbacks[1000:]) / 2**16
    assert told == pytest.approx(48 * (1 + ppm / 1e6), abs=48 * 10e-6)
    assert np.mean(audio.packet_frames[1000:]) == pytest.approx(48 * (1 + ppm / 1e6), abs=48 * 10e-6)


def test_frozen_feedback_is_found_out(program, take):
    """The negative control: what the tests above would say of a pedal whose feedback lies."""
    long = np.tile(take, 20)
    with (
        native_usb(program, "--speed", 0, "--ppm", 1000, "--freeze-feedback") as port,
        host(port) as (client, link),
    ):
        audio = ClientAudio(client)
        audio.run(9600)
        link.clear_stats()
        fed, _ = reamp(audio, link, long)
        assert set(audio.feedbacks) == {48 << 16}
        assert link.usb_stats().underruns > 0
        assert not np.array_equal(fed, long)


def test_frames_come_by_the_clock_and_wait_for_a_slow_host(program, take):
    with native_usb(program) as port, host(port) as (client, link):
        audio = ClientAudio(client)
        audio.run(4800)
        start = time.monotonic()
        audio.run(24_000)
        assert 0.45 < time.monotonic() - start < 5
        waited = []
        done = audio._done

        def slowly(transfer):
            if len(waited) < 10:
                waited.append(time.sleep(0.05))
            done(transfer)

        audio._done = slowly
        fed, _ = reamp(audio, link, take)
        assert np.array_equal(fed, take)
        assert len(waited) == 10
        audio.stop()


def submit_message(endpoint=0, direction=0, length=0, packets=0, setup=b"", command=1):
    return struct.pack(">10I8s", command, 1, 0x10002, direction, endpoint, 0, length, 0, packets, 1, setup)


GARBAGE = {
    "another command": submit_message(command=9),
    "direction": submit_message(direction=2),
    "endpoint": submit_message(endpoint=16),
    "length": submit_message(endpoint=4, length=0xFFFF_FFF0),
    "packets": submit_message(endpoint=1, packets=0x7FFF_FFFF),
    "a packet beyond its data": submit_message(endpoint=1, length=8, packets=1)
    + b"\0" * 8
    + struct.pack(">4I", 4, 8, 0, 0),
    "packets that overlap": submit_message(endpoint=1, direction=1, length=8, packets=2)
    + struct.pack(">4I", 0, 8, 0, 0) * 2,
    "an offset that wraps": submit_message(endpoint=1, length=8, packets=1)
    + b"\0" * 8
    + struct.pack(">4I", 0xFFFF_FFFC, 8, 0, 0),
    "too many at once": submit_message(endpoint=4, direction=1, length=64) * 300,
}
HARMLESS = {
    "isochronous without packets": submit_message(endpoint=1, length=6) + b"\0" * 6,
    "bulk with packets": submit_message(endpoint=4, length=6, packets=1) + b"\0" * 6 + struct.pack(">4I", 0, 6, 0, 0),
    "a packet that is too long": submit_message(endpoint=1, length=600, packets=1)
    + b"\0" * 600
    + struct.pack(">4I", 0, 600, 0, 0),
    "a packet with too little room": submit_message(endpoint=1, direction=1, length=1, packets=1)
    + struct.pack(">4I", 0, 1, 0, 0),
    "a read of nothing": submit_message(endpoint=4, direction=1),
    "a setup of another length": submit_message(length=3, setup=b"\x80\x06\x00\x01\x00\x00\x12\x00") + b"\0" * 3,
    "a setup the other way": submit_message(direction=1, length=8, setup=b"\x00\x09\x01\x00\x00\x00\x08\x00"),
}


@pytest.fixture(scope="module")
def sanitized() -> Iterator[int]:
    """The port of a pedal that ends where it does what C++ does not define."""
    with native_usb(build("native_sanitized"), "--speed", 0) as port:
        yield port


def still_works(port: int) -> None:
    with host(port) as (client, link):
        assert link.hello().board == "native"
        audio = ClientAudio(client)
        audio.run(480)
        audio.stop()


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
def test_a_host_that_speaks_something_else_is_left(sanitized, garbage):
    with host(sanitized) as (client, _):
        for interface in (PLAYBACK_INTERFACE, CAPTURE_INTERFACE):
            client.set_interface(interface, 1)
        client.send_raw(garbage)
        with pytest.raises(ConnectionError):
            client.rest(5)
    still_works(sanitized)


@pytest.mark.parametrize("odd", HARMLESS.values(), ids=HARMLESS)
def test_odd_requests_do_no_harm(sanitized, odd):
    with host(sanitized) as (client, _):
        for interface in (PLAYBACK_INTERFACE, CAPTURE_INTERFACE):
            client.set_interface(interface, 1)
        client.send_raw(odd)
        time.sleep(0.02)
    still_works(sanitized)


def test_no_bytes_at_all_do_harm(sanitized):
    """Random ones before and after the handshake, and good messages with some bytes changed, cut off anywhere."""
    choose = random.Random(1)
    good = [
        *GARBAGE.values(),
        *HARMLESS.values(),
        submit_message(direction=1, length=18, setup=b"\x80\x06\0\1\0\0\x12\0"),
    ]
    for _ in range(300):
        with connect(sanitized) as connection:
            if choose.random() < 0.9:
                connection.sendall(struct.pack(">HHI32s", VERSION, 0x8003, 0, BUS_ID))
                configure = submit_message(setup=b"\0\x09\1\0\0\0\0\0")
                alternates = (submit_message(setup=bytes([1, 11, 1, 0, interface, 0, 0, 0])) for interface in (1, 2))
                connection.sendall(configure + b"".join(alternates))
            message = bytearray(b"".join(choose.choice(good)[:2000] for _ in range(choose.randrange(1, 6))))
            for _ in range(choose.randrange(5)):
                message[choose.randrange(len(message))] = choose.choice([0, 1, 255, choose.randrange(256)])
            with contextlib.suppress(ConnectionError):
                connection.sendall(message[: choose.randrange(len(message) + 1)])
    still_works(sanitized)


@pytest.mark.parametrize(
    "arguments",
    [[], ["port"], ["0"], ["70000"], ["1", "2"], ["--usb"], ["--ppm", "1", "5000"], ["--usb", "5000", "--ppm", "x"]],
)
def test_a_command_line_that_is_wrong_is_one_line(program, arguments):
    said = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=5)
    assert said.returncode == 2
    assert len(said.stderr.splitlines()) == 1


def test_a_guitar_that_cannot_be_read_is_one_line(program, tmp_path):
    command = [program, "--usb", str(free_port()), "--guitar", tmp_path / "none.raw"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=5)
    assert said.returncode == 2
    assert len(said.stderr.splitlines()) == 1
