"""The Daisy's own image on USB, in an emulated chip with a host that does what no well-behaved one does."""

import random
import struct
from collections.abc import Callable, Iterator
from itertools import count
from typing import cast

import numpy as np
import pytest
import serial

from export import blob, fixed_point
from export.quantize import quantize
from hardware.firmware_build import build
from hardware.protocol import Engine, Message, Parameter, encode
from hardware.serial_link import SerialLink
from hardware.virtual_daisy.board import VirtualDaisy
from hardware.virtual_daisy.errors import InBootloader
from hardware.virtual_daisy.link import NEUTRAL_POTS
from hardware.virtual_daisy.usb_host import CdcPort, Stage, Stalled, Transfer, UsbHost

PLAYBACK, FEEDBACK, CAPTURE, SERIAL_OUT, SERIAL_IN, NOTIFICATION = 0x01, 0x81, 0x82, 0x04, 0x84, 0x83
PLAYBACK_INTERFACE, CAPTURE_INTERFACE, SERIAL_INTERFACE = 1, 2, 3
ENDPOINT_DESCRIPTOR = 5
FRAMES = 48  # a millisecond
LARGEST_FRAMES = 49  # a packet
SETTLING_MS = 200
LINE_CODING = struct.pack("<IBBB", 57_600, 0, 0, 8)


@pytest.fixture(scope="module")
def booted() -> Iterator[VirtualDaisy]:
    daisy = VirtualDaisy(build("daisy"))
    daisy.pots = list(NEUTRAL_POTS)
    daisy.flash.time_scale = 0.05
    daisy.run(0.1)
    daisy.hold = False
    daisy.usb.plug()
    daisy.usb.enumerate()
    yield daisy
    daisy.close()


@pytest.fixture
def daisy(booted) -> Iterator[VirtualDaisy]:
    """Each test gets it as it was after enumeration."""
    before = booted.save()
    yield booted
    booted.restore(before)


def open_port(daisy: VirtualDaisy) -> SerialLink:
    return SerialLink(cast(serial.SerialBase, CdcPort(daisy)))


class Sound:
    """Both streams of a host that obeys the feedback."""

    def __init__(self, host: UsbHost) -> None:
        self.host = host
        self.rate = float(FRAMES)  # a ms, by the last feedback
        self.queue = np.zeros((0, 2), np.int32)  # zeros come after it
        self.captured: list[np.ndarray] = []
        self._owed = 0.0
        host.set_interface(PLAYBACK_INTERFACE, 1)
        host.set_interface(CAPTURE_INTERFACE, 1)
        host.stream_out(PLAYBACK, self._source)
        host.stream_in(FEEDBACK, self._feedback)
        host.stream_in(CAPTURE, self._sink)

    def stop(self) -> None:
        for endpoint in (PLAYBACK, FEEDBACK, CAPTURE):
            self.host.stop(endpoint)
        self.host.set_interface(PLAYBACK_INTERFACE, 0)
        self.host.set_interface(CAPTURE_INTERFACE, 0)

    def _source(self, _frame: int) -> bytes:
        self._owed += self.rate
        count = min(int(self._owed), LARGEST_FRAMES)
        self._owed -= count
        frames, self.queue = self.queue[:count], self.queue[count:]
        frames = np.pad(frames, ((0, count - len(frames)), (0, 0))).astype("<i4")
        return np.ascontiguousarray(frames).view(np.uint8).reshape(count, 2, 4)[:, :, :3].tobytes()

    def _feedback(self, _frame: int, packet: bytes) -> None:
        if packet:
            self.rate = int.from_bytes(packet, "little") / 65536

    def _sink(self, _frame: int, packet: bytes) -> None:
        samples = np.frombuffer(packet, np.uint8).reshape(-1, 2, 3)
        words = np.pad(samples, ((0, 0), (0, 0), (1, 0))).copy().view("<i4")[:, :, 0]
        self.captured.append(words >> 8)


def assert_streams_hold(daisy: VirtualDaisy, link: SerialLink, milliseconds: int = 50) -> None:
    daisy.usb.run_frames(SETTLING_MS)
    link.clear_stats()
    daisy.usb.run_frames(milliseconds)
    stats = link.usb_stats()
    assert (stats.underruns, stats.overruns) == (0, 0)
    for frames in (stats.frames_from_host, stats.frames_to_host):  # until the question has come
        assert abs(frames - milliseconds * FRAMES) < 4 * FRAMES


def test_it_says_who_it_is(daisy):
    assert daisy.usb.control(0x80, 6, 0x0100, 0, 18)[8:12] == bytes.fromhex("09120100")
    texts = [daisy.usb.control(0x80, 6, 0x0300 | n, 0x0409, 255)[2:].decode("utf-16-le") for n in (1, 2, 3)]
    assert texts[:2] == ["Oddity", "Oddity Pedal"]
    assert len(texts[2]) == 24 and set(texts[2]) <= set("0123456789ABCDEF")


def test_a_reply_takes_the_line_of_its_request(daisy):
    usb, usart = open_port(daisy), SerialLink(cast(serial.SerialBase, daisy.serial))
    for _ in range(3):
        assert usb.hello() == usart.hello()
    daisy.serial.write(b"\xa5\x01")  # and no more: the beginning of something
    daisy.run(0.01)
    begun = daisy.seconds
    assert usb.hello().board == "daisy"
    assert daisy.seconds - begun < 0.05


@pytest.mark.parametrize("ppm", [1000.0, -1000.0])
def test_the_streams_follow_a_clock_that_is_off(daisy, ppm):
    daisy.usb.ppm = ppm
    link = open_port(daisy)
    sound = Sound(daisy.usb)
    assert_streams_hold(daisy, link, 300)
    sizes = [len(packet) for packet in sound.captured[-300:]]
    assert np.mean(sizes) == pytest.approx(FRAMES * (1 - ppm * 1e-6), abs=0.01)
    assert np.sign(FRAMES - sound.rate) == np.sign(ppm)


def test_a_take_comes_back_as_process_has_it_while_a_model_is_uploaded(daisy, make_model, guitar):
    def amp(seed: int) -> bytes:
        quantized = quantize(make_model("lstm", 4, seed=seed), guitar[:300])
        return blob.to_bytes(quantized, blob.make_self_test(quantized, guitar))

    link = open_port(daisy)
    link.load(0, amp(0))
    link.select(0, Engine.FIXED)
    take = np.random.default_rng(1).integers(-(2**20), 2**20, 100 * FRAMES).astype(np.int32)
    marked = np.stack([take, np.zeros_like(take)], axis=1)
    marked[0, 1] = 1

    sound = Sound(daisy.usb)
    link.set(Parameter.REAMP, 1)
    daisy.usb.run_frames(SETTLING_MS)
    link.reset()
    daisy.usb.run_frames(10)
    sound.captured.clear()
    sound.queue = marked
    link.load(1, amp(1))
    daisy.usb.run_frames(len(take) // FRAMES + 50)
    captured = np.concatenate(sound.captured)
    begin = np.flatnonzero(captured[:, 0])[0]
    dry, wet = captured[begin : begin + len(take)].T
    assert np.array_equal(dry, take)
    assert daisy.chip.usb.lost_packets == 0
    sound.stop()
    link.reset()
    assert np.array_equal(wet, link.process(take))
    assert np.ptp(wet) > 0 and not np.array_equal(wet, dry)


def test_the_streams_survive_another_block_size_and_a_pause_of_either(daisy):
    link = open_port(daisy)
    for frames in (1, 256, 48):
        sound = Sound(daisy.usb)
        link.set(Parameter.BLOCK_FRAMES, frames)
        assert_streams_hold(daisy, link)
        sound.stop()
    sound = Sound(daisy.usb)
    for endpoint, resume in (
        (CAPTURE, lambda: daisy.usb.stream_in(CAPTURE, sound._sink)),
        (PLAYBACK, lambda: daisy.usb.stream_out(PLAYBACK, sound._source)),
    ):
        daisy.usb.stop(endpoint)
        lost = daisy.chip.usb.lost_packets
        daisy.usb.run_frames(101)
        resume()
        assert_streams_hold(daisy, link)
        assert daisy.chip.usb.lost_packets == lost


def test_what_the_cable_does_is_forgotten(daisy):
    def asleep() -> None:
        daisy.usb.suspend()
        daisy.run(0.05)
        daisy.usb.resume()

    def begun_anew() -> None:
        daisy.usb.reset()
        daisy.usb.enumerate()

    def unplugged() -> None:
        daisy.usb.unplug()
        daisy.run(0.1)
        daisy.usb.plug()
        daisy.usb.enumerate()

    for happens in (asleep, begun_anew, unplugged):
        Sound(daisy.usb)
        daisy.usb.run_frames(7)
        for endpoint in (PLAYBACK, FEEDBACK, CAPTURE):
            daisy.usb.stop(endpoint)
        happens()
        link = open_port(daisy)
        Sound(daisy.usb)
        assert_streams_hold(daisy, link)


def test_a_halted_endpoint_stalls_until_it_is_cleared(daisy):
    for endpoint in (SERIAL_OUT, SERIAL_IN, NOTIFICATION):
        daisy.usb.control(2, 3, 0, endpoint)
        assert daisy.usb.control(0x82, 0, 0, endpoint, 2) == b"\1\0"
        with pytest.raises(Stalled):
            daisy.usb.write(endpoint, b"x") if endpoint == SERIAL_OUT else daisy.usb.read(endpoint, 8)
        daisy.usb.clear_halt(endpoint)
        assert daisy.usb.control(0x82, 0, 0, endpoint, 2) == b"\0\0"
    assert open_port(daisy).hello().board == "daisy"


def test_requests_that_are_left_off_anywhere(daisy):
    host = daisy.usb
    device, configuration = host.enumerate()
    read = struct.pack("<BBHHH", 0x80, 6, 0x0200, 0, len(configuration))
    write = struct.pack("<BBHHH", 0x21, 0x20, 0, SERIAL_INTERFACE, len(LINE_CODING))
    refused = struct.pack("<BBHHH", 0x80, 6, 0x0900, 0, 10)
    broken: list[Callable[[random.Random], list[Stage]]] = [
        lambda chance: [Stage("setup", read)] * chance.randrange(1, 6),
        lambda chance: [Stage("setup", read)] + [Stage("in", size=64)] * chance.randrange(5),
        lambda _: [Stage("setup", read), Stage("in", size=64), Stage("out")],  # the end comes early
        lambda _: [Stage("setup", write)],
        lambda _: [Stage("setup", write), Stage("out", LINE_CODING)],
        lambda _: [Stage("setup", refused)],
    ]
    chance = random.Random(1)
    for _ in range(100):
        stages = [stage for kind in chance.choices(broken, k=chance.randrange(1, 4)) for stage in kind(chance)]
        host._wait(Transfer(0, stages, 64, None), 1.0)
        daisy.run(chance.uniform(0, 3e-4))
        if chance.random() < 0.1:
            host.reset()
            assert host.enumerate() == (device, configuration)
        host.control(0x21, 0x20, 0, SERIAL_INTERFACE, LINE_CODING)
        assert host.control(0xA1, 0x21, 0, SERIAL_INTERFACE, len(LINE_CODING)) == LINE_CODING
        assert host.control(0x80, 6, 0x0200, 0, len(configuration)) == configuration


def test_the_descriptors_are_whole(daisy):
    _, configuration = daisy.usb.enumerate()
    assert len(configuration) == int.from_bytes(configuration[2:4], "little")
    endpoints, at = {}, 0
    while at < len(configuration):
        if configuration[at + 1] == ENDPOINT_DESCRIPTOR:
            address, attributes, size = struct.unpack_from("<BBH", configuration, at + 2)
            endpoints[address] = (attributes & 3, size)
        at += configuration[at]
    assert endpoints == {
        PLAYBACK: (1, 6 * LARGEST_FRAMES),
        FEEDBACK: (1, 4),
        CAPTURE: (1, 6 * LARGEST_FRAMES),
        NOTIFICATION: (3, 16),
        SERIAL_OUT: (2, 64),
        SERIAL_IN: (2, 64),
    }
    for length in (1, 9, 63, 64, 65, 128):
        assert daisy.usb.control(0x80, 6, 0x0200, 0, length) == configuration[:length]


def test_requests_wait_until_their_replies_are_fetched(daisy):
    question = encode(Message.STATS)
    daisy.usb.control(0x21, 0x22, 1, SERIAL_INTERFACE)  # DTR
    writing = daisy.usb.begin_write(SERIAL_OUT, question * 2000)
    daisy.run(0.1)
    naks = daisy.usb.naks
    daisy.run(0.01)
    assert daisy.usb.naks > naks and not writing.state["done"]
    replies = bytearray()
    listening = daisy.usb.listen(SERIAL_IN, replies.extend)
    daisy.usb.wait(writing, 2.0)
    daisy.run(0.1)
    daisy.usb.cancel(listening)
    size = 4 + int.from_bytes(replies[2:4], "little") + 2
    assert len(replies) == 2000 * size


@pytest.mark.parametrize("ppm", [200.0, -200.0])
def test_the_feedback_is_the_ratio_of_the_clocks(daisy, ppm):
    daisy.usb.ppm = ppm
    sound = Sound(daisy.usb)
    rates = []
    for _ in range(1500):
        daisy.usb.run_frames(1)
        rates.append(sound.rate)
    assert np.mean(rates[-500:]) == pytest.approx(FRAMES / (1 + ppm * 1e-6), abs=0.004)


def test_reamping_equals_the_engine(daisy, make_model, guitar):
    quantized = quantize(make_model("lstm", 4, seed=2), guitar[:300])
    link = open_port(daisy)
    link.load(0, blob.to_bytes(quantized, blob.make_self_test(quantized, guitar)))
    link.select(0, Engine.FIXED)
    sound = Sound(daisy.usb)
    link.set(Parameter.REAMP, 1)
    daisy.usb.run_frames(50)
    link.reset()
    take = fixed_point.to_q31(guitar[:6000]) >> 8
    take[:8] = 0  # so that only the marker says where it begins
    sound.captured.clear()
    sound.queue = np.stack([take, np.arange(len(take)) == 0], axis=1).astype(np.int32)
    daisy.usb.run_frames(len(take) // FRAMES + 50)
    captured = np.concatenate(sound.captured)
    begin = np.flatnonzero(captured[:, 0])[0] - np.flatnonzero(take)[0]
    dry, wet = captured[begin : begin + len(take)].T
    assert np.array_equal(dry, take)
    expected = fixed_point.play(quantized, take << 8).astype(np.int64)
    assert np.array_equal(wet, np.minimum((expected + 128) >> 8, 2**23 - 1))


def test_what_is_played_live_reaches_the_host_whole(daisy):
    ramp = count()
    before, daisy.source = daisy.source, lambda: (value := next(ramp) & 0x3FFFFF, value)
    sound = Sound(daisy.usb)
    daisy.usb.run_frames(100)
    daisy.source = before
    dry = np.concatenate(sound.captured)[-3000:, 0]
    assert np.array_equal(np.diff(dry), np.ones(len(dry) - 1))


def test_a_host_that_does_not_obey_makes_gaps_that_are_counted(daisy):
    link = open_port(daisy)
    sound = Sound(daisy.usb)
    daisy.usb.stop(PLAYBACK)
    daisy.usb.stream_out(PLAYBACK, lambda _: bytes(6 * LARGEST_FRAMES))
    daisy.usb.run_frames(1500)
    assert link.usb_stats().overruns > 0
    daisy.usb.stop(PLAYBACK)
    daisy.usb.run_frames(100)
    assert link.usb_stats().underruns > 0
    daisy.usb.stream_out(PLAYBACK, sound._source)
    assert_streams_hold(daisy, link)


def test_alternate_settings_in_any_order(daisy):
    link = open_port(daisy)
    Sound(daisy.usb)
    chance = random.Random(2)
    for _ in range(60):
        interface, alternate = chance.randint(1, 2), chance.randint(0, 1)
        daisy.usb.set_interface(interface, alternate)
        assert daisy.usb.control(0x81, 10, 0, interface, 1) == bytes([alternate])
        daisy.run(chance.uniform(0, 3e-3))
    with pytest.raises(Stalled):
        daisy.usb.set_interface(PLAYBACK_INTERFACE, 2)
    for interface in (PLAYBACK_INTERFACE, CAPTURE_INTERFACE):
        daisy.usb.set_interface(interface, 1)
    assert_streams_hold(daisy, link)


def test_the_host_sees_it_go_to_the_bootloader(daisy):
    link = open_port(daisy)
    with pytest.raises(InBootloader):
        link.enter_boot_loader()  # whose reply still comes
        assert daisy.run_until(lambda: not daisy.usb.attached, 1.0)
        assert not daisy.resets
        daisy.run(1.0)
    assert daisy.resets == ["software"]
    assert not daisy.usb.attached
