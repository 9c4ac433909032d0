"""USART1 as the host's serial line."""

from collections import deque
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from hardware.virtual_daisy.peripheral import Peripheral, Register, bits
from hardware.virtual_daisy.time_line import NEVER, TICKS_PER_SECOND

if TYPE_CHECKING:
    from hardware.virtual_daisy.chip import Chip

HOST_BAUD = 1_000_000
_BITS = 10  # start, 8 data, stop
_TOLERANCE = 0.025
_PRESCALERS = (1, 2, 4, 6, 8, 10, 12, 16, 32, 64, 128, 256)
RXNE, TC, TXFNF, TXFE, TEACK, REACK, ORE, IDLE = (1 << n for n in (5, 6, 7, 23, 21, 22, 3, 4))
_INTERRUPT = 37
_DEPTH = 16


class Usart(Peripheral):
    NAME = "USART1"
    SECTION = "48.7"
    REGISTERS = (
        Register("CR1", 0x00, writable=0xFFFFFFFF),
        Register("CR2", 0x04, writable=0xFFFFFF79),
        Register("CR3", 0x08, writable=0xFFFEFFFF),
        Register("BRR", 0x0C, writable=0xFFFF),
        Register("GTPR", 0x10, writable=0xFFFF),
        Register("RTOR", 0x14, writable=0xFFFFFFFF),
        Register("RQR", 0x18, action=0x1F),
        Register("ISR", 0x1C, reset=0xC0, read_only=0x0FFFFFFF),
        Register("ICR", 0x20, action=0x00123BFF),
        Register("RDR", 0x24, read_only=0x1FF, live=True),
        Register("TDR", 0x28, writable=0x1FF),
        Register("PRESC", 0x2C, writable=0xF),
    )
    STATE = ("_sending", "_receiving", "_line_in", "_stream")

    def __init__(self, chip: "Chip", base: int) -> None:
        self._sending: deque[int] = deque()  # the shift register's byte first
        self._receiving: deque[int] = deque()
        self._line_in: deque[int] = deque()  # what the host has sent and is still on its way
        self._stream: int | None = None
        self.received = bytearray()  # by the host
        self._sent = chip.time.event(self._on_sent)
        self._arrived = chip.time.event(self._on_arrived)
        self._quiet = chip.time.event(self._on_quiet)
        super().__init__(chip, base)
        chip.dma.requesters["USART1_RX"] = self

    def reset(self) -> None:
        super().reset()
        for queue in (self._sending, self._receiving):
            queue.clear()
        self._sent.cancel()
        self._quiet.cancel()
        self._stream = None

    # --- the host's side ---

    def host_writes(self, data: bytes) -> None:
        """Bytes that the host sends, one after the other at its baud rate."""
        idle = not self._line_in
        self._line_in.extend(data)
        if idle and data:
            self._quiet.cancel()
            self._next_arrival(self.chip.time.now)

    @property
    def line_idle(self) -> bool:
        """Whether all that the host has sent has arrived."""
        return not self._line_in

    def power_cut(self) -> None:
        """What is on the line is lost."""
        self._line_in.clear()
        self._arrived.cancel()

    def _next_arrival(self, start: int) -> None:
        self._arrived.at(start + TICKS_PER_SECOND * _BITS // HOST_BAUD)

    def _on_arrived(self) -> None:
        byte = self._line_in.popleft()
        if self._line_in:
            self._next_arrival(self.chip.time.now)
        else:
            self._quiet.after(_BITS / HOST_BAUD)
        control = self["CR1"]
        if not (control & bits(0) and control & bits(2)):
            return  # nobody listens
        self._check_line()
        if len(self._receiving) == self._depth:
            self["ISR"] |= ORE
            return
        self._receiving.append(byte)
        self["ISR"] |= RXNE
        self._serve_dma()

    def _on_quiet(self) -> None:
        """The line has been idle for one character after a byte (48.5.5)."""
        if self["CR1"] & bits(0) and self["CR1"] & bits(2):
            self["ISR"] |= IDLE
            self._update_line()

    def _update_line(self) -> None:
        self.chip.system.nvic.set_line(_INTERRUPT, bool(self["ISR"] & IDLE and self["CR1"] & bits(4)))

    def _serve_dma(self) -> None:
        if not self["CR3"] & bits(6) or self._stream is None:
            return
        stream = self.chip.dma.streams[self._stream]
        while self._receiving and stream.enabled:
            self.chip.dma.put(stream, self._receiving.popleft())
        if not self._receiving:
            self["ISR"] &= ~RXNE

    @property
    def _depth(self) -> int:
        return _DEPTH if self["CR1"] & bits(29) else 1

    # --- configuration ---

    @property
    def baud(self) -> Fraction:
        """By the kernel clock, PRESC, BRR and OVER8 (48.5.7)."""
        divider = self["BRR"]
        if self["CR1"] & bits(15):
            divider = divider & ~0xF | (divider & 7) << 1
            return 2 * self._kernel() / divider
        return self._kernel() / divider

    def _kernel(self) -> Fraction:
        code = self["PRESC"]
        self.rule(code < len(_PRESCALERS), f"PRESC = {code} is reserved")
        return self.chip.rcc.kernel_hertz("USART1") / _PRESCALERS[code]

    def _check_line(self) -> None:
        baud = self.baud
        self.rule(
            abs(baud / HOST_BAUD - 1) < _TOLERANCE, f"the line runs at {float(baud):g} baud, the host at {HOST_BAUD}"
        )

    def write_cr1(self, value: int, old: int) -> None:
        changed = value ^ old
        fixed = bits(28, 12, 15, 29, 10, 9, (25, 16))
        self.rule(
            not (old & 1 and value & 1 and changed & fixed),
            "CR1: M, OVER8, FIFOEN, PCE, PS, DEDT, DEAT change while UE is set",
        )
        self.rule(not value & bits(28, 12, 10), "the host's line is 8N1: M and PCE have to be 0")
        self.rule(
            not value & (bits((8, 5)) | bits(14, 26, 27, 30, 31)), "CR1: of the interrupts only IDLEIE is modelled"
        )
        self["CR1"] = value
        self._update_line()
        status = TXFNF | TC | (TXFE if value & bits(29) else 0)
        if value & 1 and not old & 1:
            self.rule(self["BRR"] >= 16, f"UE set with BRR = {self['BRR']}: 16 is the least")
            self["ISR"] = status
        if value & 1:
            if value & bits(3) and not (old & bits(3) and old & 1):
                self.chip.pins.require_alternate(self, "PB6", 7)
            if value & bits(2) and not (old & bits(2) and old & 1):
                self.chip.pins.require_alternate(self, "PB7", 7)
            self._check_line()
            acknowledged = (TEACK if value & bits(3) else 0) | (REACK if value & bits(2) else 0)
            self["ISR"] = self["ISR"] & ~(TEACK | REACK) | acknowledged
        else:
            self["ISR"] = 0x008000C0 if value & bits(29) else 0xC0
            self._sending.clear()
            self._receiving.clear()
            self._sent.cancel()

    def _while_off(self, name: str, value: int, mask: int = 0xFFFFFFFF) -> None:
        self.rule(not self["CR1"] & 1 or not (value ^ self[name]) & mask, f"{name} changed while UE is set")
        self[name] = value

    def write_cr2(self, value: int, _old: int) -> None:
        self.rule(not value & ~bits(15), "CR2: one stop bit and nothing else is what the host's line is")
        self.rule(not value & bits(15), "CR2.SWAP: the board does not cross the lines")
        self._while_off("CR2", value)

    def write_cr3(self, value: int, _old: int) -> None:
        self.rule(not value & ~(bits(0, 6, 7, 11, 12) | bits((31, 29), (27, 25))), "CR3: a mode that is not modelled")
        self.rule(not value & bits(0, 7), "CR3: error interrupts and DMA for transmission are not modelled")
        self._while_off("CR3", value, bits(12, 11))
        if value & bits(6):
            stream = self.chip.dma.serving("USART1_RX")
            self._stream = stream.number if stream else None
            self._serve_dma()

    def write_brr(self, value: int, _old: int) -> None:
        self._while_off("BRR", value)

    def write_presc(self, value: int, _old: int) -> None:
        self._while_off("PRESC", value)

    def write_gtpr(self, _value: int, _old: int) -> None:
        self.error("GTPR: smartcard and IrDA are not modelled")

    def write_rtor(self, _value: int, _old: int) -> None:
        self.error("RTOR: the receiver's time-out is not modelled")

    def write_rqr(self, value: int, _old: int) -> None:
        self.rule(not value & bits(0, 1, 2), "RQR: only the flush requests are modelled")
        if value & bits(3):
            self._receiving.clear()
            self["ISR"] &= ~RXNE
        if value & bits(4):
            self._sending.clear()
            self["ISR"] |= TXFNF | TXFE

    def write_icr(self, value: int, _old: int) -> None:
        self["ISR"] &= ~(value & 0x00120B5F)
        self._update_line()

    # --- data ---

    def read_rdr(self) -> int:
        self.rule(len(self._receiving) > 0, "RDR read while it holds nothing")
        byte = self._receiving.popleft()
        if not self._receiving:
            self["ISR"] &= ~RXNE
        return byte

    def write_tdr(self, value: int, _old: int) -> None:
        control = self["CR1"]
        self.rule(bool(control & 1 and control & bits(3)), "TDR written while the transmitter is off")
        self.rule(value < 256, f"TDR written with {value:#x}: the line has 8 bits")
        self.rule(len(self._sending) <= self._depth, "TDR written while it is full (TXFNF is clear)")
        self._sending.append(value)
        if self._sent.due == NEVER:
            self._next_sent()
        self._show_sending()

    def _show_sending(self) -> None:
        waiting = max(len(self._sending) - 1, 0)
        status = self["ISR"] & ~(TXFNF | TC | TXFE)
        status |= TXFNF if waiting < self._depth else 0
        status |= TC if not self._sending else 0
        status |= TXFE if not waiting and self["CR1"] & bits(29) else 0
        self["ISR"] = status

    def _next_sent(self) -> None:
        self._sent.at(self.chip.time.now + int(TICKS_PER_SECOND * _BITS / self.baud))

    def _on_sent(self) -> None:
        self.received.append(self._sending.popleft())
        if self._sending:
            self._next_sent()
        self._show_sending()

    # --- DMA ---

    def dma_address(self, request: str) -> int:
        return self.base + 0x24

    def dma_ready(self, request: str) -> None:
        stream = self.chip.dma.serving(request)
        self._stream = stream.number if stream else None
        self._serve_dma()

    def save(self) -> dict[str, Any]:
        return {**super().save(), "received": bytes(self.received)}

    def restore(self, saved: dict[str, Any]) -> None:
        saved = dict(saved)
        self.received[:] = saved.pop("received")
        super().restore(saved)
