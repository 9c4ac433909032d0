"""OTG_FS of the virtual Daisy and its host, by a small program that is a second reading of the manual."""

import struct
from collections.abc import Iterator

import numpy as np
import pytest
from test_virtual_daisy import RESULT, main_of
from test_virtual_daisy import build as build_program  # noqa: F401 - the fixture

from hardware.virtual_daisy import ChipError, VirtualDaisy
from hardware.virtual_daisy.usb_host import NoAnswer, Stalled

# Vendor requests: 1 stores the data stage, 2 gives it back, 3 opens the endpoints (each IN one with the FIFO of its
# number), 4 counts the SETUPs, 5 stalls and 6 frees bulk IN, 8 adds up 100 packets of bulk OUT that begin with 10 ms of
# doing nothing; others get STALL. What comes on bulk OUT 4 goes back on IN 4, of isochronous OUT 1 on IN 2.
ECHO = """
enum { USB = 0x40080000, IN = USB + 0x900, OUT = USB + 0xB00, FIFO = USB + 0x1000 };
static uint8_t setup[8], stored[64], bulk[64], audio[300];
static uint32_t length, setups, audio_bytes, sum, bytes;

static void Usb(void) {
  Set(RCC, 1 << 12);  // HSI48
  Wait(RCC, 1 << 13, 1 << 13);
  Set(RCC + 0x54, 3 << 20);
  Set(PWR + 0x0C, 1 << 24);  // USB33DEN
  Wait(PWR + 0x0C, 1 << 26, 1 << 26);
  Enable(0xE0, 1);
  Alternate(GPIOA, 11, 10);
  Alternate(GPIOA, 12, 10);
  Enable(0xD8, 1 << 27);
  REG(RCC + 0x100) &= ~(1u << 28);  // no clock of ULPI's in WFI
  Wait(USB + 0x10, 1u << 31, 1u << 31);
  REG(USB + 0x10) = 1;
  Wait(USB + 0x10, 1, 0);
  REG(USB + 0x0C) = 1 << 30 | 6 << 10 | 1 << 6;
  Wait(USB + 0x14, 1, 0);
  REG(USB + 0x38) = 1 << 16;
  Set(USB, 3 << 6);
  Set(USB + 0x800, 3);
  REG(USB + 0x24) = RX_WORDS;
  REG(USB + 0x28) = 64 << 16 | RX_WORDS;
  REG(USB + 0x108) = 128 << 16 | (RX_WORDS + 64);
  REG(USB + 0x110) = 64 << 16 | (RX_WORDS + 192);
  REG(USB + 0x10) = 0x10 << 6 | 1 << 5 | 1 << 4;
  Wait(USB + 0x10, 3 << 4, 0);
  REG(USB + 0x804) &= ~2u;
}

static void Start(uint32_t size) {
  REG(IN + 0x10) = 1 << 19 | size;
  REG(IN) |= 1u << 31 | 1 << 26;
}

static void Put(int n, const uint8_t* data, uint32_t size, uint32_t parity) {
  const uint32_t multi = n == 2 ? 1u << 29 : 0;
  REG(IN + 0x20 * n + 0x10) = multi | 1 << 19 | size;
  REG(IN + 0x20 * n) |= 1u << 31 | 1 << 26 | parity;
  for (uint32_t i = 0; i < size; i += 4)
    REG(FIFO + 0x1000 * n) = data[i] | data[i + 1] << 8 | data[i + 2] << 16 | (uint32_t)data[i + 3] << 24;
}

static void Get(int n, uint32_t size, uint32_t parity) {
  REG(OUT + 0x20 * n + 0x10) = (n ? 0 : 3u << 29) | 1 << 19 | size;
  REG(OUT + 0x20 * n) |= 1u << 31 | 1 << 26 | parity;
}

static uint32_t Next(void) { return REG(USB + 0x808) >> 8 & 1 ? 1u << 28 : 1u << 29; }

static void Open(void) {
  if (REG(OUT + 0x20) & 1u << 31 || REG(OUT + 0x80) & 1u << 31) return;  // after a reset they are still enabled
  REG(OUT + 0x20) = 1 << 15 | 1 << 18 | 294;
  REG(IN + 0x40) = 1 << 15 | 1 << 18 | 294 | 2 << 22;
  REG(OUT + 0x80) = 1 << 28 | 1 << 15 | 2 << 18 | 64;
  REG(IN + 0x80) = 1 << 28 | 1 << 15 | 2 << 18 | 64 | 4 << 22;
  Get(1, 294, Next());
  Get(4, 64, 0);
}

static void Receive(void);

static void Stall(void) {
  REG(IN) |= 1 << 21;
  REG(OUT) |= 1 << 21;
}

static void Setup(void) {
  ++setups;
  length = setup[6];
  if (REG(IN) & 1u << 31) {  // of a transfer that the host has given up
    REG(IN) |= 1 << 27 | 1 << 30;
    Wait(IN + 8, 2, 2);
    REG(IN + 8) = 2;
    REG(USB + 0x10) = 1 << 5;
    Wait(USB + 0x10, 1 << 5, 0);
  }
  if (setup[0] == 0 && setup[1] == 5) {
    REG(USB + 0x800) = (REG(USB + 0x800) & ~(0x7Fu << 4)) | setup[2] << 4;
    Put(0, stored, 0, 0);
  } else if (setup[1] == 1) {
    Get(0, 64, 0);
  } else if (setup[1] == 2) {
    Put(0, stored, length, 0);
    Get(0, 64, 0);
  } else if (setup[1] == 4) {
    stored[0] = setups;
    Put(0, stored, 1, 0);
    Get(0, 64, 0);
  } else if (setup[1] == 3) {
    Open();
    Put(0, stored, 0, 0);
  } else if (setup[1] == 5 || setup[1] == 6) {
    if (setup[1] == 5) REG(IN + 0x80) |= 1 << 21;
    else REG(IN + 0x80) = (REG(IN + 0x80) & ~(1u << 21)) | 1 << 28;
    Put(0, stored, 0, 0);
  } else if (setup[1] == 8) {
    sum = bytes = 0;
    Put(0, stored, 0, 0);
    REG(OUT + 0x80) |= 1 << 27;
    REG(USB + 0x804) |= 1 << 9;  // global OUT NAK, by the book
    while (!(REG(USB + 0x14) & 1 << 7))
      if (REG(USB + 0x14) & 1 << 4) Receive();
    REG(OUT + 0x80) |= 1 << 30 | 1 << 27;
    Wait(OUT + 0x88, 2, 2);
    REG(OUT + 0x88) = 2;
    REG(USB + 0x804) |= 1 << 10;
    REG(OUT + 0x90) = 100 << 19 | 6400;
    REG(OUT + 0x80) |= 1u << 31 | 1 << 26;
    for (volatile int i = 0; i < 2000000; ++i) {
    }
  } else {
    Stall();
  }
}

static void Receive(void) {
  const uint32_t status = REG(USB + 0x20), n = status & 15, size = status >> 4 & 0x7FF, kind = status >> 17 & 15;
  uint8_t* to = kind == 6 ? setup : n == 0 ? stored : n == 1 ? audio : bulk;
  for (uint32_t i = 0; i < size; i += 4) {
    const uint32_t word = REG(FIFO);
    for (uint32_t k = 0; k < 4; ++k) to[i + k] = word >> 8 * k;
  }
  if (kind == 2 && n == 1) audio_bytes = size;
  if (kind == 2 && n == 4) {
    length = size;
    bytes += size;
    for (uint32_t i = 0; i < size; ++i) sum = sum * 31 + bulk[i];
    RESULT[9] = bytes;
    RESULT[10] = sum;
  }
}

static void Poll(void) {
  const uint32_t status = REG(USB + 0x14);
  REG(USB + 0x14) = status & (1 << 12 | 1 << 13 | 1 << 3 | 1 << 21 | 1 << 20 | 1 << 10 | 1 << 11 | 1u << 31);
  RESULT[8] |= status;
  if (status & 1 << 12) {
    REG(USB + 0x800) &= ~(0x7Fu << 4);
    REG(OUT + 0x10) = 3u << 29;
  }
  if (status & 1 << 21 && REG(OUT + 0x20) & 1u << 31) REG(OUT + 0x20) |= Next();
  if (status & 1 << 20 && REG(IN + 0x40) & 1u << 31) REG(IN + 0x40) |= Next();
  if (status & 1 << 4) Receive();
  for (int n = 0; n < 5; ++n) {
    const uint32_t in = REG(IN + 0x20 * n + 8), out = REG(OUT + 0x20 * n + 8);
    REG(IN + 0x20 * n + 8) = in & 1;
    REG(OUT + 0x20 * n + 8) = out & 9;
    if (n == 0 && out & 8) {
      REG(OUT + 0x10) |= 3u << 29;
      Setup();
    }
    if (n == 0 && out & 1 && setup[1] == 1) {
      setup[1] = 0;
      Put(0, stored, 0, 0);
    }
    if (n == 4 && out & 1) Put(4, bulk, length, 0);
    if (n == 4 && in & 1) Get(4, 64, 0);
    if (n == 1 && out & 1) {
      if (!(REG(IN + 0x40) & 1u << 31)) Put(2, audio, audio_bytes, Next());
      Get(1, 294, Next());
    }
  }
}
"""
POLL = """setups = bytes = sum = RESULT[8] = 0;
  Clocks();
  Usb();
  REG(USB + 0x18) = 1 << 3 | 1 << 4 | 1 << 10 | 1 << 11 | 1 << 12 | 1 << 13 | 3 << 18 | 3 << 20 | 1u << 31;
  REG(USB + 0x810) = 1;
  REG(USB + 0x814) = 9;
  REG(USB + 0x81C) = 0x001F001F;
  REG(USB + 0x08) = 1;
  __asm volatile("cpsid i");
  REG(NVIC + 0x10C) = 1 << 5;
  for (;;) {
    __asm volatile("wfi");
    REG(NVIC + 0x28C) = 1 << 5;
    Poll();
  }
"""


def echo(body: str = POLL, rx_words: int = 256) -> str:
    return f"#define RX_WORDS {rx_words}\n{ECHO}\n{main_of(body)}"


@pytest.fixture
def small(build_program) -> Iterator[VirtualDaisy]:  # noqa: F811
    """The small program, plugged in, with address 5 and its endpoints open."""
    daisy = VirtualDaisy(build_program(echo()))
    daisy.usb.plug()
    daisy.usb.control(0, 5, 5)
    daisy.usb.address = 5
    daisy.usb.control(0x40, 3)
    yield daisy
    daisy.close()


def test_control_both_ways_and_stall(small):
    data = bytes(range(64))
    small.usb.control(0x40, 1, data=data)
    assert small.usb.control(0xC0, 2, data=64) == data
    assert small.usb.control(0xC0, 2, data=7) == data[:7]
    with pytest.raises(Stalled):
        small.usb.control(0xC0, 99, data=4)
    assert small.usb.control(0xC0, 2, data=5) == data[:5]  # a SETUP frees it


def test_only_its_own_address_is_answered(small):
    small.usb.address = 6
    with pytest.raises(NoAnswer):
        small.usb.control(0xC0, 4, data=1)


def test_bulk_by_toggles_and_nak(small):
    for size in (1, 63, 64, 0, 5):
        small.usb.write(0x04, bytes(range(size)))
        assert small.usb.read(0x84, 64) == bytes(range(size))
    with pytest.raises(NoAnswer, match="NAK"):
        small.usb.read(0x84, 64, 0.01)
    with pytest.raises(NoAnswer, match="NAK"):  # until the echo is fetched it takes one packet
        small.usb.write(0x04, bytes(65), 0.01)


def test_stall_and_clear(small):
    small.usb.write(0x04, b"abc")
    small.usb.control(0x40, 5)
    with pytest.raises(Stalled):
        small.usb.read(0x84, 64)
    small.usb.control(0x40, 6)
    assert small.usb.read(0x84, 64) == b"abc"


def test_a_second_setup_ends_a_transfer_that_the_host_has_given_up(small):
    small.usb._core.setup(5, struct.pack("<BBHHH", 0xC0, 2, 0, 0, 64))
    small.usb._core.start_in(5, 0)
    small.usb.run_frames(1)
    assert small.usb.control(0xC0, 4, data=1) == b"\x04"


def test_isochronous_packets_in_every_frame(small):
    sent: list[bytes] = []
    got: list[bytes] = []

    def source(frame: int) -> bytes:
        sent.append(struct.pack("<I", frame) * (5 + 13 * (frame % 5)))
        return sent[-1]

    small.usb.stream_in(0x82, lambda _, data: got.append(data))  # first, so that the echo has but one packet
    small.usb.stream_out(0x01, source)
    small.usb.run_frames(200)
    assert got[-150:] == sent[-151:-1]
    assert small.usb.lost_packets <= 1


def test_suspend_and_resume(small):
    small.usb.suspend()
    small.run(0.01)
    flags = small.chip.read_word(RESULT + 32)
    assert flags & 1 << 10 and flags & 1 << 11 and not flags & 1 << 31
    small.usb.resume()
    assert small.usb.control(0xC0, 4, data=1) == b"\x03"
    assert small.chip.read_word(RESULT + 32) & 1 << 31


def test_a_reset_takes_address_and_endpoints(small):
    small.usb.reset()
    with pytest.raises(NoAnswer):
        small.usb.write(0x04, b"x")
    assert small.usb.control(0xC0, 4, data=1) == b"\x03"  # at address 0


def test_what_is_not_taken_in_its_frame_is_incomplete(small):
    small.usb.run_frames(3)  # nothing comes for the endpoint that waits
    assert small.chip.read_word(RESULT + 32) & 1 << 21


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("Clocks(); REG(RCC + 0xD8) |= 0; (void)REG(USB);", "clock is off"),
        ("Clocks(); Enable(0xD8, 1 << 27); (void)REG(USB + 0x800);", "no device"),
        ("Clocks(); Usb(); REG(USB + 0x1000) = 1;", "not enabled"),
        ("Clocks(); Usb(); (void)REG(USB + 0x20);", "GRXSTSP read while the receive FIFO is empty"),
        ("Clocks(); Usb(); REG(IN) |= 1u << 31;", "PKTCNT = 0"),
        ("Clocks(); Usb(); REG(IN + 0x10) = 1 << 19 | 65; REG(IN) |= 1u << 31;", "1 packets cannot carry 65 bytes"),
        ("Clocks(); Usb(); Put(0, stored, 8, 0); REG(USB + 0x1000) = 0;", "more than DIEPTSIZ0"),
        ("Clocks(); Usb(); Put(0, stored, 8, 0); REG(IN) |= 1 << 30;", "EPDIS set without SNAK"),
        ("Clocks(); Usb(); Put(0, stored, 8, 0); REG(IN + 0x10) = 0;", "while the endpoint is enabled"),
        ("Clocks(); Usb(); REG(IN) |= 1 << 30 | 1 << 27;", "EPDIS set while EPENA is not"),
        ("Clocks(); Usb(); Open(); REG(OUT + 0x80) |= 1 << 30 | 1 << 27;", "global OUT NAK"),
        ("Clocks(); Usb(); Open(); REG(USB + 0x24) = 128;", "while an endpoint is enabled"),
        ("Clocks(); Usb(); REG(USB + 0x110) = 64 << 16 | 400; Open(); Put(4, bulk, 8, 0);", "overlap"),
        ("Clocks(); Usb(); REG(USB + 0x110) = 64 << 16 | 1000; Open(); Put(4, bulk, 8, 0);", "the memory has 1024"),
        ("Clocks(); Usb(); REG(USB + 0x110) = 64 << 16 | 600; Open(); Put(4, bulk, 8, 0);", "not flushed"),
        ("Clocks(); Usb(); REG(USB + 0x800) &= ~1u;", "DSPD changed"),
        (
            "Clocks(); Usb(); Put(0, stored, 0, 0); REG(USB + 0x10) = 1 << 5;",
            "TXFFLSH while endpoint 0 is enabled and not in NAK",
        ),
        ("Clocks(); Usb(); Start(8); REG(USB + 0x1000) = 0; REG(USB + 0x18) = 0;", "half in its FIFO"),
        ("Clocks(); Usb(); REG(USB + 0x14) = 1 << 8;", "reserved"),
        ("Clocks(); Usb(); BYTE(USB + 0x1000) = 1;", "words only"),
        ("Clocks(); Usb(); REG(USB + 0x440) = 1;", "no register is modelled"),
    ],
)
def test_what_the_manual_forbids_ends_the_run(build_program, body, complaint):  # noqa: F811
    daisy = VirtualDaisy(build_program(echo(body)))
    with pytest.raises(ChipError, match=f"OTG_FS: .*{complaint}"):
        daisy.run(1.0)


@pytest.mark.parametrize(
    ("spoilt", "complaint"),
    [
        ("Alternate(GPIOA, 12, 10);", "PA12 has to be"),
        ("Set(PWR + 0x0C, 1 << 24);", None),  # waits for ever
        ("Set(RCC + 0x54, 3 << 20);", "kernel clock"),
        ("REG(RCC + 0x100) &= ~(1u << 28);", "ULPI"),
        ("REG(USB + 0x38) = 1 << 16;", "transceiver is off"),
        ("Set(USB, 3 << 6);", "B-session"),
        ("Set(USB + 0x800, 3);", "DSPD"),
    ],
)
def test_what_is_missing_at_the_start_is_said(build_program, spoilt, complaint):  # noqa: F811
    source = echo().replace(spoilt, "")
    assert source != echo()
    daisy = VirtualDaisy(build_program(source))
    if complaint:
        with pytest.raises(ChipError, match=complaint):
            daisy.run(0.1)
    else:
        daisy.run(0.1)
        assert not daisy.chip.usb.pull_up


def test_a_receive_fifo_too_small_for_a_packet_is_an_error(build_program):  # noqa: F811
    daisy = VirtualDaisy(build_program(echo("Clocks(); Usb(); Open();", 64)))
    with pytest.raises(ChipError, match="its packet needs a receive FIFO of 89 words"):
        daisy.run(1.0)


def test_a_receive_fifo_that_nobody_empties_fills_and_nothing_is_lost(small):
    data = np.random.default_rng(0).integers(0, 256, 6400, np.uint8).tobytes()
    small.usb.control(0x40, 8)
    small.usb.write(0x04, data)
    small.run(0.002)
    total = 0
    for byte in data:
        total = (total * 31 + byte) & 0xFFFFFFFF
    assert [small.chip.read_word(RESULT + 4 * n) for n in (9, 10)] == [len(data), total]
    assert small.usb.naks > 20


def test_isochronous_packets_that_nobody_takes_are_lost(small):
    small.usb.stream_out(0x01, lambda _: bytes(294))
    small.usb.run_frames(20)
    before = small.usb.lost_packets
    small.usb.control(0x40, 8)
    small.usb.run_frames(5)
    assert small.usb.lost_packets - before >= 3
