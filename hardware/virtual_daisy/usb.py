"""OTG_FS (USB2_OTG_FS) as a full-speed device whose FIFOs the core fills and empties; `usb_host` is the bus.

What comes from the bus are the methods of the section "the bus": a transaction each, with the handshake as the answer.
"""

import copy
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field as default
from functools import partial
from typing import TYPE_CHECKING, Any

from hardware.virtual_daisy.peripheral import Peripheral, bits, field
from hardware.virtual_daisy.usb_registers import (
    B2BSTUP,
    CLEARED_BY_ONE,
    CNAK,
    CTL_FIXED,
    ENDPOINTS,
    ENUMDNE,
    EOPF,
    EPDIS,
    EPDISD,
    EPENA,
    ESUSP,
    EVEN,
    GINAKEFF,
    GONAKEFF,
    IEPINT,
    IISOIXFR,
    INEPNE,
    IPXFR,
    ITTXFE,
    NAK_SENT,
    NAKSTS,
    ODD,
    OEPINT,
    OTEPDIS,
    OUT_DATA,
    OUT_DONE,
    OUT_NAK,
    PARITY,
    REGISTERS,
    RXFLVL,
    SETUP_DATA,
    SETUP_DONE,
    SNAK,
    SOF,
    SRQINT,
    STALLED,
    STUP,
    TXFE,
    USBAEP,
    USBRST,
    USBSUSP,
    WKUINT,
    XFRC,
)

if TYPE_CHECKING:
    from hardware.virtual_daisy.chip import Chip

ACK, NAK, STALL = "ACK", "NAK", "STALL"  # None: no answer
CONTROL, ISOCHRONOUS, BULK, INTERRUPT = range(4)
RAM_WORDS = 1024
SETUP_WORDS = 13  # 57.11.3: 5 for each control endpoint and 8, which only SETUP packets take
_INTERRUPT = 101
_FIFOS = range(0x40081000, 0x4008A000)
_FIFO_BYTES = 0x1000
_LEAST_FIFO_WORDS = 16
_FORCED_SECONDS = 25e-3  # until FDMOD holds (57.14.4)
_FLUSH_SECONDS = 1e-6
_DISABLE_SECONDS = 2e-6
_SUSPEND_SECONDS = (3e-3, 2e-3)  # of idle bus until ESUSP, and on until USBSUSP
_TURNAROUND = 6  # TRDT for an AHB clock over 32 MHz (57.14.4)
_FULL_SPEED = 3
_ULPI_SLEEP_CLOCK = 28  # of RCC_AHB1LPENR


@dataclass
class InEndpoint:
    """What of a transfer to the host is not in registers; the FIFO holds words, and stays when a transfer ends."""

    fifo: deque[int] = default(default_factory=deque)
    to_push: int = 0  # bytes of the transfer that the program has still to write
    to_send: int = 0
    packet_words: int = 0  # of the packet that is being pushed
    on_the_wire: int | None = None  # bytes of the packet that is being sent


@dataclass(frozen=True)
class Received:
    """An entry of the receive FIFO."""

    status: int
    endpoint: int = 0
    data: bytes = b""
    toggle: int = 0
    frame: int = 0

    @property
    def words(self) -> int:
        return 1 + -(-len(self.data) // 4)

    @property
    def word(self) -> int:
        pid = self.toggle << 1  # DATA1 is 0b10
        place = self.frame & 0xF
        return self.endpoint | len(self.data) << 4 | pid << 15 | self.status << 17 | place << 21


class OtgFs(Peripheral):
    NAME = "OTG_FS"
    SECTION = "57.14"
    PAGES = 4
    REGISTERS = REGISTERS
    STATE = (
        "_device_mode",
        "_enumerated",
        "_suspended",
        "_address",
        "_frame",
        "_unread",
        "_setups",
        "_setup_is_new",
        "_control_open",
        "_control_toggles",
        "_unflushed",
        "_disabling",
        "_filling",
        "lost_packets",
    )

    def __init__(self, chip: "Chip", base: int) -> None:
        self.in_endpoints = [InEndpoint() for _ in range(ENDPOINTS)]
        self._received: deque[Received] = deque()
        self.lost_packets = 0  # isochronous ones that found no enabled endpoint or no room
        self.on_pull_up: Callable[[], None] = lambda: None
        self._forced = chip.time.event(self._on_forced)
        self._reset_done = chip.time.event(partial(self._self_clear, bits(0)))
        self._flush_done = chip.time.event(partial(self._self_clear, bits(4, 5)))
        self._disabled = chip.time.event(self._on_disabled)
        self._early_suspend = chip.time.event(self._on_idle)
        self._suspend = chip.time.event(self._on_suspend)
        for n in range(ENDPOINTS):
            for name in ("diepctl", "doepctl", "dieptsiz", "doeptsiz", "diepint", "doepint"):
                setattr(self, f"write_{name}{n}", partial(getattr(self, f"_write_{name}"), n))
            setattr(self, f"write_dieptxf{n}", partial(self._write_dieptxf, n))
            setattr(self, f"read_dtxfsts{n}", partial(self._room, n))
        self._clear()
        super().__init__(chip, base)
        chip.attach_area(self, range(base, _FIFOS.stop))

    def _set_flags(self) -> None:
        super()._set_flags()
        resets = self["GRSTCTL"] & 1
        for register in self.REGISTERS:
            if resets or (_is_of_device(register.offset) and not self._device_mode):
                self._flags[register.offset >> 2] = 0  # so that `_check_mode` sees the access

    def _clear(self) -> None:
        self._device_mode = self._enumerated = self._suspended = False
        self._address = 0
        self._frame = 0
        self._unread: tuple[int, ...] = ()  # words of the packet whose status was popped
        self._setups = 0  # since the last token of another kind
        self._setup_is_new = False  # no other token has followed it yet
        self._control_open = False  # no status stage since the last SETUP
        self._control_toggles = {"DIEPCTL0": 0, "DOEPCTL0": 0}  # of the others they are in the register
        self._unflushed: frozenset[str] = frozenset()  # size registers whose FIFO has not been flushed since
        self._disabling: frozenset[str] = frozenset()
        self._filling: int | None = None  # the endpoint whose packet is half written
        self._received.clear()
        for n in range(ENDPOINTS):
            self.in_endpoints[n] = InEndpoint()

    def reset(self) -> None:
        super().reset()
        self._clear()
        for event in (
            *(self._forced, self._reset_done, self._flush_done, self._disabled),
            *(self._early_suspend, self._suspend),
        ):
            event.cancel()
        self._set_flags()
        self._update()
        self.on_pull_up()

    # --- accesses ---

    def read(self, address: int, size: int) -> int:
        if address in _FIFOS:
            self.rule(size == 4 and self.clocked, "a FIFO is read by clocked words only")
            return self._pop_word()
        self._check_mode(address)
        return super().read(address, size)

    def write(self, address: int, size: int, value: int) -> None:
        if address in _FIFOS:
            self.rule(size == 4 and self.clocked, "a FIFO is written by clocked words only")
            self._push_word((address - _FIFOS.start) // _FIFO_BYTES, value)
            return
        self._check_mode(address)
        super().write(address, size, value)

    def _check_mode(self, address: int) -> None:
        self.rule(
            self._filling is None,
            f"a register is touched while a packet for endpoint {self._filling} is half in its FIFO: it is corrupted"
            " (ES0392, interrupted write sequence)",
        )
        offset = address - self.base
        self.rule(not self["GRSTCTL"] & 1 or offset == 0x10, "a register is touched before CSRST has cleared itself")
        self.rule(
            not _is_of_device(offset) or self._device_mode,
            "a device register is touched while the core is no device: FDMOD holds after 25 ms, when CMOD reads 0",
        )

    # --- the core ---

    def write_gusbcfg(self, value: int, old: int) -> None:
        self.rule(not value & bits(29), "FHMOD: the pedal is no host")
        self.rule(not value & bits(8, 9), "SRPCAP, HNPCAP: the board has no OTG socket")
        self["GUSBCFG"] = value | bits(6)  # PHYSEL: there is only the full-speed transceiver
        if value & ~old & bits(30):
            self._forced.after(_FORCED_SECONDS)
        self.rule(bool(value & bits(30)) or not self._pull_up(), "FDMOD cleared while the pull-up is on")

    def _on_forced(self) -> None:
        self._device_mode = True
        self._set_flags()
        self["GINTSTS"] &= ~1

    def write_gahbcfg(self, value: int, _old: int) -> None:
        self.rule(not value & bits(5), "DMAEN: the FIFOs are filled by the core here, DMA is not modelled")
        self["GAHBCFG"] = value
        self._update_all()

    def write_grstctl(self, value: int, old: int) -> None:
        self.rule(not old & bits(0, 4, 5) or not value & bits(0, 4, 5), "GRSTCTL: a reset or flush is still under way")
        self.rule(not value & bits(1), "PSRST: not for this transceiver")
        if value & 1:
            self._soft_reset()
            return
        if value & bits(4):
            self._received.clear()
            self._unread = ()
            self._unflushed -= {"GRXFSIZ"}
        if value & bits(5):
            number = field(value, 10, 6)
            self.rule(number < ENDPOINTS or number == 0x10, f"TXFFLSH with TXFNUM = {number}, which is no FIFO")
            fifos = range(ENDPOINTS) if number == 0x10 else range(number, number + 1)
            self._unflushed -= {f"DIEPTXF{fifo}" for fifo in fifos}
            for n in range(ENDPOINTS):
                if self._fifo_of(n) in fifos:
                    self._flush_in(n)
        if value & bits(4, 5):
            self["GRSTCTL"] = old & ~bits((10, 6)) | value & bits(4, 5, (10, 6))
            self._flush_done.after(_FLUSH_SECONDS)
        self._update_all()

    def _flush_in(self, n: int) -> None:
        control = self[f"DIEPCTL{n}"]
        self.rule(
            not control & EPENA or bool(control & NAKSTS),
            f"TXFFLSH while endpoint {n} is enabled and not in NAK: the core may be reading (57.14.5)",
        )
        state = self.in_endpoints[n]
        state.fifo.clear()
        state.packet_words = 0

    def _self_clear(self, mask: int) -> None:
        self["GRSTCTL"] &= ~mask
        self._set_flags()
        self._update_all()

    def _soft_reset(self) -> None:
        kept = self["GCCFG"], self["DCFG"] & 3, self["DCTL"] & 2, self["PCGCCTL"]
        self.reset()
        self["GCCFG"], speed, disconnected, self["PCGCCTL"] = kept
        self["DCFG"] |= speed
        self["DCTL"] = disconnected
        self["GRSTCTL"] |= 1
        self._set_flags()
        self._reset_done.after(_FLUSH_SECONDS)
        self.on_pull_up()

    def write_gotgctl(self, value: int, old: int) -> None:
        self["GOTGCTL"] = value & ~bits(0, 8, 16, 17, 18, 19, 21) | old & bits(16)
        self._update_session()

    def write_gccfg(self, value: int, _old: int) -> None:
        self.rule(not value & bits(21), "VBDEN: the Daisy's socket has no line from VBUS to PA9, B-valid is overridden")
        self.rule(not value & bits((20, 17)), "battery charging detection is not modelled")
        self["GCCFG"] = value
        self._update_session()

    def _update_session(self) -> None:
        valid = self["GOTGCTL"] & bits(6, 7) == bits(6, 7)
        if valid and not self["GOTGCTL"] & bits(19):
            self["GINTSTS"] |= SRQINT
        self["GOTGCTL"] = self["GOTGCTL"] & ~bits(19) | valid << 19
        self._update()
        self.on_pull_up()

    def write_gintsts(self, value: int, _old: int) -> None:
        self["GINTSTS"] &= ~(value & CLEARED_BY_ONE)
        self._update()

    def write_gintmsk(self, value: int, _old: int) -> None:
        self["GINTMSK"] = value
        self._update()

    def write_gotgint(self, value: int, _old: int) -> None:
        pass

    def write_pcgcctl(self, value: int, _old: int) -> None:
        self.rule(value == 0, "PCGCCTL: the clock is never stopped, the audio goes on in a suspend")

    def write_dthrctl(self, value: int, _old: int) -> None:
        self.rule(value == 0, "DTHRCTL: thresholds are for DMA")

    # --- the device ---

    def write_dcfg(self, value: int, old: int) -> None:
        self.rule(not self._pull_up() or not (value ^ old) & 3, "DSPD changed while the pull-up is on")
        self["DCFG"] = value
        if not self._control_open:  # else it counts from behind the status stage
            self._address = field(value, 10, 4)

    def write_dctl(self, value: int, old: int) -> None:
        self.rule(not value & 1, "RWUSIG: remote wake-up is not in the pedal's descriptors")
        self.rule(not value & bits((6, 4)), "TCTL: test modes are for high speed")
        status = old & bits(2, 3)
        if value & bits(7):
            status |= bits(2)
            self["GINTSTS"] |= GINAKEFF
        if value & bits(8):
            status &= ~bits(2)
            self["GINTSTS"] &= ~GINAKEFF
        if value & bits(9) and not old & bits(3):
            self.rule(not self["GINTSTS"] & GONAKEFF, "SGONAK set while GONAKEFF is set")
            status |= bits(3)
            self._received.append(Received(OUT_NAK))
        if value & bits(10):
            status &= ~bits(3)
            self["GINTSTS"] &= ~GONAKEFF
        self["DCTL"] = value & bits(1, 11, 18) | status
        if not value & 2 and old & 2:
            self._check_connect()
        self._update()
        self.on_pull_up()

    def _check_connect(self) -> None:
        """What has to be ready when the pull-up is switched on (57.15.1, 57.15.2)."""
        chip = self.chip
        self.rule(self["DCFG"] & 3 == _FULL_SPEED, "SDIS cleared with DSPD other than 0b11, full speed")
        self.rule(bool(self["GCCFG"] & bits(16)), "SDIS cleared while GCCFG.PWRDWN is 0: the transceiver is off")
        self.rule(
            bool(self["GOTGCTL"] & bits(19)), "SDIS cleared without a B-session: BVALOEN and BVALOVAL override it"
        )
        self.rule(field(self["GUSBCFG"], 13, 10) >= _TURNAROUND, f"TRDT is to be {_TURNAROUND} at this AHB clock")
        self.rule(bool(chip.pwr["CR3"] & bits(26)), "SDIS cleared before PWR_CR3.USB33RDY: set USB33DEN")
        self.rule(
            not chip.rcc["AHB1LPENR"] >> _ULPI_SLEEP_CLOCK & 1,
            "SDIS cleared while RCC_AHB1LPENR.USB2OTGHSULPILPEN is set: in a WFI the core would wait for ULPI's clock",
        )
        chip.pins.require_alternate(self, "PA11 PA12", 10)
        hertz = chip.rcc.kernel_hertz("OTG_FS")
        self.rule(abs(hertz / 48_000_000 - 1) <= 0.0025, f"its clock is {float(hertz) / 1e6:g} MHz, it has to be 48")

    def _pull_up(self) -> bool:
        return (
            self._device_mode and bool(self["GCCFG"] & bits(16) and self["GOTGCTL"] & bits(19)) and not self["DCTL"] & 2
        )

    @property
    def pull_up(self) -> bool:
        """Whether the host sees a device."""
        return self.clocked and self._pull_up()

    # --- interrupts ---

    def _update(self) -> None:
        status = self["GINTSTS"] & ~(RXFLVL | IEPINT | OEPINT)
        if self._received:
            status |= RXFLVL
        active = self["DAINT"] & self["DAINTMSK"]
        if active & 0xFFFF:
            status |= IEPINT
        if active >> 16:
            status |= OEPINT
        self["GINTSTS"] = status
        self.chip.system.nvic.set_line(_INTERRUPT, bool(self["GAHBCFG"] & 1 and status & self["GINTMSK"]))

    def _update_in(self, n: int) -> None:
        """TXFE, which follows the FIFO's level, and DAINT."""
        depth = self[f"DIEPTXF{self._fifo_of(n)}"] >> 16
        used = len(self.in_endpoints[n].fifo)
        empty = used == 0 if self["GAHBCFG"] & bits(7) else 2 * used <= depth
        flags = self[f"DIEPINT{n}"] & ~TXFE | (TXFE if empty else 0)
        self[f"DIEPINT{n}"] = flags
        mask = self["DIEPMSK"] | (TXFE if self["DIEPEMPMSK"] >> n & 1 else 0)
        self["DAINT"] = self["DAINT"] & ~(1 << n) | bool(flags & mask) << n
        self._update()

    def _update_out(self, n: int) -> None:
        active = bool(self[f"DOEPINT{n}"] & self["DOEPMSK"])
        self["DAINT"] = self["DAINT"] & ~(1 << 16 + n) | active << 16 + n
        self._update()

    def _update_all(self) -> None:
        for n in range(ENDPOINTS):
            self._update_in(n)
            self._update_out(n)

    def _flag_in(self, n: int, flags: int) -> None:
        self[f"DIEPINT{n}"] |= flags
        self._update_in(n)

    def _flag_out(self, n: int, flags: int) -> None:
        self[f"DOEPINT{n}"] |= flags
        self._update_out(n)

    def _flag(self, flags: int) -> None:
        self["GINTSTS"] |= flags
        self._update()

    def write_diepmsk(self, value: int, _old: int) -> None:
        self["DIEPMSK"] = value
        self._update_all()

    def write_doepmsk(self, value: int, _old: int) -> None:
        self["DOEPMSK"] = value
        self._update_all()

    def write_diepempmsk(self, value: int, _old: int) -> None:
        self["DIEPEMPMSK"] = value
        self._update_all()

    def write_daintmsk(self, value: int, _old: int) -> None:
        self["DAINTMSK"] = value
        self._update()

    def _write_diepint(self, n: int, value: int, _old: int) -> None:
        self[f"DIEPINT{n}"] &= ~(value & ~TXFE)
        self._update_in(n)

    def _write_doepint(self, n: int, value: int, _old: int) -> None:
        self[f"DOEPINT{n}"] &= ~value
        self._update_out(n)

    # --- FIFO memory ---

    def write_grxfsiz(self, value: int, _old: int) -> None:
        self._check_idle("GRXFSIZ")
        self.rule(
            _LEAST_FIFO_WORDS <= value <= RAM_WORDS, f"a receive FIFO of {value} words: 16 to {RAM_WORDS} it can be"
        )
        self["GRXFSIZ"] = value
        self._unflushed |= {"GRXFSIZ"}

    def _write_dieptxf(self, n: int, value: int, _old: int) -> None:
        self._check_idle(f"DIEPTXF{n}")
        self.rule(
            value >> 16 >= _LEAST_FIFO_WORDS, f"FIFO {n} has {value >> 16} words, the least is {_LEAST_FIFO_WORDS}"
        )
        self[f"DIEPTXF{n}"] = value
        self._unflushed |= {f"DIEPTXF{n}"}

    def _check_idle(self, name: str) -> None:
        enabled = any((self[f"DIEPCTL{n}"] | self[f"DOEPCTL{n}"]) & EPENA for n in range(ENDPOINTS))
        self.rule(not enabled, f"{name} written while an endpoint is enabled (57.11)")

    def _fifo_of(self, n: int) -> int:
        return field(self[f"DIEPCTL{n}"], 25, 22)

    def _span(self, fifo: int) -> range:
        start, depth = self[f"DIEPTXF{fifo}"] & 0xFFFF, self[f"DIEPTXF{fifo}"] >> 16
        return range(start, start + depth)

    def _check_fifo(self, n: int) -> None:
        """Whether endpoint n's FIFO is its own."""
        fifo = self._fifo_of(n)
        self.rule(fifo < ENDPOINTS, f"endpoint {n}: TXFNUM = {fifo} is no FIFO")
        self.rule((fifo == 0) == (n == 0), f"endpoint {n}: TXFNUM = {fifo}, FIFO 0 is the control endpoint's")
        span = self._span(fifo)
        self.rule(span.stop <= RAM_WORDS, f"FIFO {fifo} ends at word {span.stop}, the memory has {RAM_WORDS}")
        self.rule(span.start >= self["GRXFSIZ"], f"FIFO {fifo} begins within the receive FIFO")
        for other in range(ENDPOINTS):
            if other != n and self[f"DIEPCTL{other}"] & USBAEP:
                theirs = self._span(self._fifo_of(other))
                apart = span.stop <= theirs.start or theirs.stop <= span.start
                self.rule(apart, f"the FIFOs of endpoints {n} and {other} overlap")
        self.rule(
            -(-self._size(f"DIEPCTL{n}") // 4) <= len(span), f"endpoint {n}'s largest packet does not fit into its FIFO"
        )
        self.rule(f"DIEPTXF{fifo}" not in self._unflushed, f"FIFO {fifo} was given another place and not flushed")

    def _room(self, n: int) -> int:
        return (self[f"DIEPTXF{self._fifo_of(n)}"] >> 16) - len(self.in_endpoints[n].fifo)

    def _push_word(self, n: int, word: int) -> None:
        state = self.in_endpoints[n]
        self.rule(bool(self[f"DIEPCTL{n}"] & EPENA), f"FIFO of endpoint {n} written while the endpoint is not enabled")
        self.rule(not self["GRSTCTL"] & bits(5), f"FIFO of endpoint {n} written while TXFFLSH is set")
        self.rule(state.to_push > 0, f"FIFO of endpoint {n} written with more than DIEPTSIZ{n}.XFRSIZ")
        self.rule(self._room(n) > 0, f"FIFO of endpoint {n} runs over: DTXFSTS{n} was 0")
        self.rule(self._filling in (None, n), f"two packets written at once, for endpoints {self._filling} and {n}")
        self._filling = n
        state.fifo.append(word)
        state.packet_words += 1
        packet = min(state.to_push, self._size(f"DIEPCTL{n}"))
        if 4 * state.packet_words >= packet:
            state.packet_words = 0
            self._filling = None
            state.to_push -= packet
            name = f"DIEPTSIZ{n}"
            self[name] = self[name] & ~bits((18, 0)) | state.to_push
        self._update_in(n)

    def _pop_word(self) -> int:
        self.rule(len(self._unread) > 0, "the receive FIFO read while no packet's status was popped, or beyond its end")
        word, *rest = self._unread
        self._unread = tuple(rest)
        return word

    def read_grxstsr(self) -> int:
        self.rule(len(self._received) > 0, "GRXSTSR read while the receive FIFO is empty")
        return self._received[0].word

    def read_grxstsp(self) -> int:
        self.rule(len(self._received) > 0, "GRXSTSP read while the receive FIFO is empty")
        self.rule(not self._unread, f"GRXSTSP read while {len(self._unread)} words of the last packet are not")
        entry = self._received.popleft()
        padded = entry.data + bytes(-len(entry.data) % 4)
        self._unread = tuple(int.from_bytes(padded[at : at + 4], "little") for at in range(0, len(padded), 4))
        n = entry.endpoint
        if entry.status == OUT_NAK:
            self["GINTSTS"] |= GONAKEFF
        elif entry.status == OUT_DONE:
            self[f"DOEPCTL{n}"] &= ~EPENA
            self._flag_out(n, XFRC)
        elif entry.status == SETUP_DONE:
            self[f"DOEPCTL{n}"] &= ~EPENA
            self._flag_out(n, STUP)
        self._update()
        return entry.word

    def _used(self) -> int:
        return sum(entry.words for entry in self._received) + len(self._unread)

    # --- endpoints ---

    def _size(self, name: str) -> int:
        """The largest packet."""
        return 64 >> (self[name] & 3) if name.endswith("CTL0") else field(self[name], 10, 0)

    def _type(self, name: str) -> int:
        return field(self[name], 19, 18)

    def _toggle(self, name: str) -> int:
        """0 or 1: the next packet is DATA0 or DATA1."""
        return self._control_toggles[name] if name in self._control_toggles else self[name] >> 16 & 1

    def _flip(self, name: str) -> None:
        if name in self._control_toggles:
            self._control_toggles[name] ^= 1
        else:
            self[name] ^= PARITY

    def _write_dieptsiz(self, n: int, value: int, _old: int) -> None:
        self.rule(not self[f"DIEPCTL{n}"] & EPENA, f"DIEPTSIZ{n} written while the endpoint is enabled")
        self[f"DIEPTSIZ{n}"] = value

    def _write_doeptsiz(self, n: int, value: int, _old: int) -> None:
        changed = (value ^ self["DOEPTSIZ0"]) & ~bits(30, 29) if n == 0 else 1
        self.rule(not self[f"DOEPCTL{n}"] & EPENA or not changed, f"DOEPTSIZ{n} written while the endpoint is enabled")
        self[f"DOEPTSIZ{n}"] = value

    def _write_diepctl(self, n: int, value: int, old: int) -> None:
        self._write_control(f"DIEPCTL{n}", n, value, old, bits((25, 22)))
        if value & SNAK:
            self[f"DIEPINT{n}"] |= INEPNE
        if value & CNAK:
            self[f"DIEPINT{n}"] &= ~INEPNE
        if value & EPENA and not old & EPENA:
            self._enable_in(n)
        if value & EPDIS:
            self.rule(bool(self[f"DIEPCTL{n}"] & NAKSTS), f"DIEPCTL{n}.EPDIS set without SNAK before (57.15.6)")
        self._disable(f"DIEPCTL{n}", value, old)
        self._update_in(n)

    def _write_doepctl(self, n: int, value: int, old: int) -> None:
        self._write_control(f"DOEPCTL{n}", n, value, old, 0)
        if value & EPENA and not old & EPENA:
            self._enable_out(n)
        if value & EPDIS:
            self.rule(n > 0, "DOEPCTL0.EPDIS: the control endpoint cannot be disabled")
            self.rule(bool(self["GINTSTS"] & GONAKEFF), f"DOEPCTL{n}.EPDIS set before global OUT NAK holds (57.15.6)")
        self._disable(f"DOEPCTL{n}", value, old)

    def _write_control(self, name: str, n: int, value: int, old: int, fifo: int) -> None:
        fixed = (CTL_FIXED if n else 3) | fifo
        self.rule(not (old & EPENA and (value ^ old) & fixed), f"{name} configured while the endpoint is enabled")
        self.rule(value & (CNAK | SNAK) != CNAK | SNAK, f"{name}: CNAK and SNAK at once")
        self.rule(value & (EVEN | ODD) != EVEN | ODD, f"{name}: SD0PID/SEVNFRM and SD1PID/SODDFRM at once")
        kept = fixed | bits(20) | (USBAEP if n else 0)
        status = old & (PARITY | NAKSTS | EPENA | EPDIS | (0 if n else USBAEP))
        if value & SNAK:
            status |= NAKSTS
        if value & CNAK:
            status &= ~NAKSTS
        if value & EVEN:
            status &= ~PARITY
        if value & ODD:
            status |= PARITY
        stalled = value & STALLED if n else (value | old) & STALLED  # of the control endpoint a SETUP clears it
        self[name] = value & kept | status | stalled
        if n:
            isochronous = self._type(name) == ISOCHRONOUS
            self.rule(not (stalled and isochronous), f"{name}: an isochronous endpoint cannot be stalled")
            self.rule(not value & USBAEP or self._type(name) != CONTROL, f"{name}: control endpoints other than 0")

    def _disable(self, name: str, value: int, old: int) -> None:
        if value & EPDIS and not old & EPDIS:
            self.rule(bool(self[name] & EPENA), f"{name}.EPDIS set while EPENA is not")
            self[name] |= EPDIS
            self._disabling |= {name}
            self._disabled.after(_DISABLE_SECONDS)

    def _on_disabled(self) -> None:
        for name in self._disabling:
            n = int(name[-1])
            sends = name.startswith("DI")
            if sends and self.in_endpoints[n].on_the_wire is not None:
                continue  # until the packet is over
            self._disabling -= {name}
            self[name] &= ~(EPDIS | EPENA)
            if sends:
                self._flag_in(n, EPDISD)
            else:
                self._flag_out(n, EPDISD)

    def _check_enable(self, name: str) -> tuple[int, int]:
        """Size and packets of the transfer that begins."""
        size_name = name.replace("CTL", "TSIZ")
        last = 6 if name.endswith("CTL0") else 18
        size, packets = field(self[size_name], last, 0), field(self[size_name], 28, 19)
        if name == "DOEPCTL0":
            packets &= 1
        if name == "DIEPCTL0":
            packets &= 3
        self.rule(bool(self[name] & USBAEP), f"{name}.EPENA set while USBAEP is not")
        self.rule(self._size(name) > 0, f"{name}.EPENA set with MPSIZ = 0")
        self.rule(packets > 0, f"{name}.EPENA set with {size_name}.PKTCNT = 0")
        return size, packets

    def _enable_in(self, n: int) -> None:
        name = f"DIEPCTL{n}"
        size, packets = self._check_enable(name)
        self._check_fifo(n)
        state = self.in_endpoints[n]
        largest = self._size(name)
        self.rule(packets == max(-(-size // largest), 1), f"{name}: {packets} packets cannot carry {size} bytes")
        self.rule(not state.fifo, f"{name}.EPENA set while words of an earlier transfer are in its FIFO: flush it")
        if self._type(name) == ISOCHRONOUS and n:
            self.rule(field(self[f"DIEPTSIZ{n}"], 30, 29) == 1, f"DIEPTSIZ{n}.MCNT has to be 1 packet a frame")
            self.rule(packets == 1, f"{name}: {packets} isochronous packets for one frame")
        state.to_push = state.to_send = size
        state.packet_words = 0
        self[name] |= EPENA
        self._update_in(n)

    def _enable_out(self, n: int) -> None:
        name = f"DOEPCTL{n}"
        size, packets = self._check_enable(name)
        largest = self._size("DIEPCTL0" if n == 0 else name)
        allowed = {packets * largest, packets * (largest + -largest % 4)}
        self.rule(size in allowed, f"{name}: XFRSIZ = {size} is not {packets} packets of {largest} bytes")
        needed = SETUP_WORDS + 2 + -(-largest // 4)
        self.rule(self["GRXFSIZ"] >= needed, f"{name}: its packet needs a receive FIFO of {needed} words (57.11.3)")
        self.rule("GRXFSIZ" not in self._unflushed, "the receive FIFO was given another size and not flushed")
        self[name] |= EPENA

    # --- the bus ---

    def begin_reset(self) -> None:
        """The host drives SE0."""
        self._wake()
        self._early_suspend.cancel()
        self._suspend.cancel()
        self._enumerated = False
        self._setups = 0
        self._setup_is_new = self._control_open = False
        for n in range(1, ENDPOINTS):
            self[f"DIEPCTL{n}"] &= ~USBAEP
            self[f"DOEPCTL{n}"] &= ~USBAEP
        for state in self.in_endpoints:
            state.on_the_wire = None
        self._flag(USBRST)

    def end_reset(self) -> None:
        """The bus is idle at full speed."""
        self._enumerated = True
        self["DSTS"] = self["DSTS"] & ~bits((2, 1)) | _FULL_SPEED << 1
        self._flag(ENUMDNE)
        self.bus_idle()

    def bus_idle(self) -> None:
        """From now on nothing comes, until something does."""
        self._early_suspend.after(_SUSPEND_SECONDS[0])

    def _on_idle(self) -> None:
        if self._pull_up():
            self._flag(ESUSP)
            self._suspend.after(_SUSPEND_SECONDS[1])

    def _on_suspend(self) -> None:
        self._suspended = True
        self["DSTS"] |= 1
        self._flag(USBSUSP)

    def resume(self) -> None:
        """The host drives K."""
        if self._suspended:
            self._flag(WKUINT)
        self._wake()

    def _wake(self) -> None:
        self._suspended = False
        self["DSTS"] &= ~1
        self._suspend.cancel()

    def start_of_frame(self, number: int) -> None:
        """A SOF packet."""
        self._wake()
        self.bus_idle()
        self._frame = number
        self["DSTS"] = self["DSTS"] & ~bits((21, 8)) | number << 8
        self.chip.crs.start_of_frame()
        self._flag(SOF)

    @property
    def periodic_part(self) -> float:
        """The part of a frame after which the core looks whether its isochronous transfers are done."""
        return (0.80, 0.85, 0.90, 0.95)[field(self["DCFG"], 12, 11)]

    def end_of_periodic(self) -> None:
        """EOPF, and with it what is incomplete in this frame (57.15.6)."""
        flags = EOPF
        for n in range(1, ENDPOINTS):
            if self._waits_for_frame(f"DIEPCTL{n}"):
                flags |= IISOIXFR
            if self._waits_for_frame(f"DOEPCTL{n}") and field(self[f"DOEPTSIZ{n}"], 28, 19):
                flags |= IPXFR
        self._flag(flags)

    def _waits_for_frame(self, name: str) -> bool:
        control = self[name]
        isochronous = self._type(name) == ISOCHRONOUS
        return bool(control & EPENA and control & USBAEP) and isochronous and self._is_its_frame(name)

    def _is_its_frame(self, name: str) -> bool:
        return self[name] >> 16 & 1 == self._frame & 1

    def _listens(self, address: int, name: str) -> bool:
        return self._enumerated and self._pull_up() and address == self._address and bool(self[name] & USBAEP)

    def setup(self, address: int, data: bytes) -> str | None:
        """A SETUP packet to endpoint 0, which takes it whatever its state."""
        if not self._listens(address, "DOEPCTL0"):
            return None
        if self._used() + 4 > self["GRXFSIZ"]:
            return None
        count = field(self["DOEPTSIZ0"], 30, 29)
        self.rule(count > 0, "a SETUP packet comes while DOEPTSIZ0.STUPCNT is 0 (57.15.6)")
        self["DOEPTSIZ0"] = self["DOEPTSIZ0"] & ~bits(30, 29) | count - 1 << 29
        self._setups += 1
        if self._setups > 3:
            self["DOEPINT0"] |= B2BSTUP
        self._setup_is_new = self._control_open = True
        for name in ("DIEPCTL0", "DOEPCTL0"):
            self[name] = self[name] & ~STALLED | NAKSTS
            self._control_toggles[name] = 1
        self._received.append(Received(SETUP_DATA, 0, data, 0, self._frame))
        self._update_out(0)
        return ACK

    def _end_setup_stage(self, n: int) -> None:
        if n == 0 and self._setup_is_new:
            self._setup_is_new = False
            self._setups = 0
            self._received.append(Received(SETUP_DONE, 0, b"", 0, self._frame))
            self._update()

    def out(self, address: int, n: int, data: bytes, toggle: int) -> str | None:
        """A data packet from the host, and the handshake it gets."""
        name = f"DOEPCTL{n}"
        if not self._listens(address, name):
            return None
        self._end_setup_stage(n)
        control = self[name]
        if n and self._type(name) == ISOCHRONOUS:
            self._out_isochronous(n, data)
            return None
        if control & STALLED:
            return STALL
        if not control & EPENA and n == 0:
            self._flag_out(n, OTEPDIS)
        if not control & EPENA or control & NAKSTS or self["DCTL"] & bits(3) or not self._has_room(data):
            self._flag_out(n, NAK_SENT)
            return NAK
        if toggle == self._toggle(name):
            self._flip(name)
            self._accept(n, data, toggle)
        return ACK

    def _out_isochronous(self, n: int, data: bytes) -> None:
        control = self[f"DOEPCTL{n}"]
        taken = control & EPENA and not control & NAKSTS and self._is_its_frame(f"DOEPCTL{n}")
        packets = field(self[f"DOEPTSIZ{n}"], 28, 19)
        if taken and packets and not self["DCTL"] & bits(3) and self._has_room(data):
            self._accept(n, data, 0)
        else:
            self.lost_packets += 1

    def _has_room(self, data: bytes) -> bool:
        return self._used() + 2 + -(-len(data) // 4) + SETUP_WORDS <= self["GRXFSIZ"]

    def _accept(self, n: int, data: bytes, toggle: int) -> None:
        """A packet into the receive FIFO, and behind the transfer's last one that it is done."""
        name = f"DOEPTSIZ{n}"
        largest = self._size("DIEPCTL0" if n == 0 else f"DOEPCTL{n}")
        size, packets = field(self[name], 18, 0), field(self[name], 28, 19) & (1 if n == 0 else 0x3FF)
        self._received.append(Received(OUT_DATA, n, data, toggle, self._frame))
        packets -= 1
        self[name] = self[name] & bits(30, 29) | packets << 19 | max(size - len(data), 0)
        if packets == 0 or len(data) < largest:
            self[f"DOEPCTL{n}"] |= NAKSTS
            self._received.append(Received(OUT_DONE, n, b"", 0, self._frame))
        if n == 0 and not data:
            self._end_control()
        self._update()

    def _end_control(self) -> None:
        """The status stage is over."""
        self._control_open = False
        self._address = field(self["DCFG"], 10, 4)

    def start_in(self, address: int, n: int) -> tuple[int, bytes] | str | None:
        """An IN token: toggle and data, which `finish_in` ends when the host has them, or the handshake."""
        name = f"DIEPCTL{n}"
        if not self._listens(address, name):
            return None
        self._end_setup_stage(n)
        control = self[name]
        state = self.in_endpoints[n]
        isochronous = bool(n) and self._type(name) == ISOCHRONOUS
        if control & STALLED:
            return STALL
        packet = min(state.to_send, self._size(name))
        ready = control & EPENA and not control & NAKSTS and not self["DCTL"] & bits(2)
        if isochronous and not self._is_its_frame(name):
            ready = False
        if ready and 4 * len(state.fifo) < packet:
            self._flag_in(n, ITTXFE)
            ready = False
        if not ready:
            if isochronous:
                return 0, b""
            self._flag_in(n, NAK_SENT | (0 if state.fifo else ITTXFE))
            return NAK
        state.on_the_wire = packet
        words = [state.fifo[at] for at in range(-(-packet // 4))]
        return self._toggle(name), b"".join(word.to_bytes(4, "little") for word in words)[:packet]

    def finish_in(self, n: int) -> None:
        """The host has acknowledged what `start_in` gave, or for an isochronous endpoint the packet is over."""
        state = self.in_endpoints[n]
        packet = state.on_the_wire
        if packet is None:
            return
        state.on_the_wire = None
        name, size_name = f"DIEPCTL{n}", f"DIEPTSIZ{n}"
        for _ in range(min(-(-packet // 4), len(state.fifo))):
            state.fifo.popleft()
        state.to_send -= packet
        self[size_name] -= 1 << 19
        if not n or self._type(name) != ISOCHRONOUS:
            self._flip(name)
        if not self[size_name] & bits((28, 19)):
            self[name] &= ~EPENA
            self[f"DIEPINT{n}"] |= XFRC
        if n == 0 and packet == 0:
            self._end_control()
        if name in self._disabling:
            self._on_disabled()
        self._update_in(n)

    # --- snapshots ---

    def save(self) -> dict[str, Any]:
        more = {"endpoints": copy.deepcopy(self.in_endpoints), "received": tuple(self._received)}
        return {**super().save(), **more}

    def restore(self, saved: dict[str, Any]) -> None:
        saved = dict(saved)
        self.in_endpoints[:] = copy.deepcopy(saved.pop("endpoints"))
        self._received = deque(saved.pop("received"))
        super().restore(saved)
        self._set_flags()


def _is_of_device(offset: int) -> bool:
    return 0x800 <= offset < 0xE00
