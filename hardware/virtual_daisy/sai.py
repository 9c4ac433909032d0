"""SAI1: two blocks, one of them the master of the audio clocks, and the frames that pass between them and the codec."""

from collections import deque
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from hardware.virtual_daisy.dma import Stream
from hardware.virtual_daisy.peripheral import Peripheral, Register, bits, field
from hardware.virtual_daisy.time_line import TICKS_PER_SECOND

if TYPE_CHECKING:
    from hardware.virtual_daisy.chip import Chip
    from hardware.virtual_daisy.codecs import Codec

FIFO_WORDS = 8
SLOTS = 2
_FILLED = (1, 2, 4, 6, 8)  # words at which FTH calls the FIFO filled enough
_OVERRUN = 1
_DATA_PINS = {"A": "PE6", "B": "PE3"}
_CLOCK_PINS = "PE2 PE4 PE5"  # MCLK_A, FS_A, SCK_A
_FUNCTION = 6


class Block:
    """One of the two audio blocks."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.fifo: deque[int] = deque()
        self.running = False
        self.stopping = False
        self.stream: Stream | None = None
        self.by_dma = False  # DMAEN
        self.receives = False
        self.muted = False
        self.enough = 1  # words at which the FIFO is filled enough, by FTH


class Sai(Peripheral):
    NAME = "SAI1"
    SECTION = "51.6"
    REGISTERS = (
        Register("GCR", 0x00, writable=bits((5, 4), (1, 0))),
        *(
            register
            for x, at in (("A", 0x04), ("B", 0x24))
            for register in (
                Register(f"{x}CR1", at, reset=0x40, writable=0x0FFB3FEF),
                Register(f"{x}CR2", at + 0x04, writable=0xFFF7, action=bits(3)),
                Register(f"{x}FRCR", at + 0x08, reset=0x7, writable=bits((18, 16), (14, 8), (7, 0))),
                Register(f"{x}SLOTR", at + 0x0C, writable=0xFFFF0FDF),
                Register(f"{x}IM", at + 0x10, writable=0x7F),
                Register(f"{x}SR", at + 0x14, reset=0x8, read_only=0x7007F),
                Register(f"{x}CLRFR", at + 0x18, action=bits(0, 1, 2, 4, 5, 6)),
                Register(f"{x}DR", at + 0x1C, writable=0xFFFFFFFF, live=True),
            )
        ),
    )
    STATE = ("frames", "_origin", "_ratio", "_passed", "held")

    def __init__(self, chip: "Chip", base: int) -> None:
        self.blocks = {"A": Block("A"), "B": Block("B")}
        self.codec: Codec | None = None
        self.streaming = False  # the master runs
        self._running: list[Block] = []
        self.stop_after: int | None = None  # hold the clock when this many frames have passed
        self.held = True  # between calls of `play` no frame passes
        self.frames = 0  # that have passed since power-on
        self._origin = 0
        self._ratio = (0, 1)  # ticks a frame, as a fraction
        self._passed = 0
        self._frame = chip.time.event(self._on_frame)
        self._stop = chip.time.event(self._stop_blocks)
        for x in "AB":
            for name in ("CR1", "CR2", "FRCR", "SLOTR", "IM", "CLRFR", "DR"):
                setattr(
                    self,
                    f"write_{x.lower()}{name.lower()}",
                    lambda value, old, x=x, name=name: getattr(self, f"_write_{name.lower()}")(
                        self.blocks[x], value, old
                    ),
                )
            setattr(self, f"read_{x.lower()}dr", lambda x=x: self._read_dr(self.blocks[x]))
        super().__init__(chip, base)
        for request in ("SAI1_A", "SAI1_B"):
            chip.dma.requesters[request] = self

    def reset(self) -> None:
        super().reset()
        self._frame.cancel()
        self._stop.cancel()
        for block in self.blocks.values():
            block.fifo.clear()
            block.running = block.stopping = block.by_dma = False
            block.enough = 1
            block.receives = block.muted = False
            block.stream = None
        self._count_running()

    # --- configuration ---

    def receives(self, x: str) -> bool:
        return bool(self[f"{x}CR1"] & 1)

    def _master(self, x: str) -> bool:
        return not self[f"{x}CR1"] & 2

    def _write_cr1(self, block: Block, value: int, old: int) -> None:
        x = block.name
        if block.running:
            fixed = 0x0FFB3FEF & ~bits(16, 17)
            self.rule(not (value ^ old) & fixed, f"{x}CR1's configuration changed while SAIEN is set")
        self.rule(not (value & bits(16) and block.stopping), f"{x}CR1.SAIEN set again before it has read 0 (51.3.15)")
        keep = old & bits(16) if block.running else 0
        self[f"{x}CR1"] = value | keep
        block.by_dma = bool(value & bits(17))
        block.receives = bool(value & 1)
        if value & bits(17) and not old & bits(17):
            block.stream = self.chip.dma.serving(f"SAI1_{x}")
            if not self.receives(x):
                self._fill(block)
        if value & bits(16) and not block.running:
            self._start_block(block)
        elif block.running and not value & bits(16) and not block.stopping:
            block.stopping = True
            if self._frame.due > 1 << 61:  # held, or the other block is the one that has the clock
                self._stop.at(self.chip.time.now + self._ratio[0] // self._ratio[1])

    def _write_cr2(self, block: Block, value: int, old: int) -> None:
        if value & bits(3):
            self.rule(not block.running, f"{block.name}CR2.FFLUSH set while the block runs")
            block.fifo.clear()
        self.rule(
            not (value ^ old) & ~bits(3, 5, 4) or not block.running, f"{block.name}CR2 changed while the block runs"
        )
        self.rule(field(value, 2, 0) < 5, f"{block.name}CR2.FTH has a reserved value")
        self[f"{block.name}CR2"] = value & ~bits(3)
        block.enough = _FILLED[value & 7]
        block.muted = bool(value & bits(5))
        self._show(block)

    def _write_frcr(self, block: Block, value: int, _old: int) -> None:
        self.rule(not block.running, f"{block.name}FRCR written while the block runs")
        self[f"{block.name}FRCR"] = value

    def _write_slotr(self, block: Block, value: int, _old: int) -> None:
        self.rule(not block.running, f"{block.name}SLOTR written while the block runs")
        self[f"{block.name}SLOTR"] = value

    def _write_im(self, block: Block, value: int, _old: int) -> None:
        self.rule(value == 0, "SAI interrupts are not modelled: the DMA's are used")
        self[f"{block.name}IM"] = value

    def _write_clrfr(self, block: Block, value: int, _old: int) -> None:
        self[f"{block.name}SR"] &= ~value

    def _write_dr(self, block: Block, value: int, _old: int) -> None:
        self.rule(not self.receives(block.name), f"{block.name}DR written in a receiver")
        self.rule(len(block.fifo) < FIFO_WORDS, f"{block.name}DR written while the FIFO is full")
        block.fifo.append(value)
        self._show(block)

    def _read_dr(self, block: Block) -> int:
        self.rule(self.receives(block.name) and len(block.fifo) > 0, f"{block.name}DR read while it holds nothing")
        value = block.fifo.popleft()
        self._show(block)
        return value

    def _show(self, block: Block) -> None:
        """FLVL and FREQ of the status register."""
        x, count = block.name, len(block.fifo)
        level = 0 if count == 0 else 5 if count == FIFO_WORDS else 1 + count // 2
        enough = count >= _FILLED[field(self[f"{x}CR2"], 2, 0)]
        request = enough if self.receives(x) else not enough
        self[f"{x}SR"] = self[f"{x}SR"] & ~(7 << 16 | 8) | level << 16 | request << 3

    def _start_block(self, block: Block) -> None:
        x = block.name
        other = self.blocks["B" if x == "A" else "A"]
        control = self[f"{x}CR1"]
        synchronous = field(control, 11, 10)
        self._check_format(x)
        self.rule(field(self[f"{x}CR1"], 3, 2) == 0, f"{x}CR1.PRTCFG: only the free protocol is modelled")
        if self._master(x):
            self.rule(synchronous == 0, f"block {x}: a master cannot be synchronous")
            self.rule(
                other.running or field(self[f"{other.name}CR1"], 11, 10) != 1,
                f"master block {x} enabled before its synchronous slave {other.name} (51.3.4)",
            )
            self.chip.pins.require_alternate(self, _CLOCK_PINS, _FUNCTION)
        else:
            self.rule(
                synchronous == 1, f"block {x}: a slave that is not synchronous with the other block has no clock here"
            )
        self.chip.pins.require_alternate(self, _DATA_PINS[x], _FUNCTION)
        if control & bits(17):
            block.stream = self.chip.dma.serving(f"SAI1_{x}")
            self.rule(block.stream is not None, f"block {x} enabled with DMAEN while no DMA stream serves it (51.3.16)")
        if not self.receives(x):
            self.rule(len(block.fifo) > 0, f"transmitter {x} enabled with an empty FIFO: its first frame underruns")
        block.running = True
        self._count_running()
        if self._master(x):
            hertz = self.sample_rate_hz
            if self.codec is None:
                self.error("no codec is there")
            self.codec.check(self, x)
            self._ratio = (TICKS_PER_SECOND / hertz).as_integer_ratio()
            self._restart_clock()

    def _check_format(self, x: str) -> None:
        frame, slots = self[f"{x}FRCR"], self[f"{x}SLOTR"]
        length = field(frame, 7, 0) + 1
        self.rule(field(slots, 11, 8) + 1 == SLOTS and slots >> 16 == 3, f"block {x}: two slots have to be active")
        self.rule(field(slots, 7, 6) == 2, f"block {x}: slots of 32 bits")
        self.rule(length == 64, f"block {x}: a frame of {length} bits, two slots of 32 bits are 64")
        self.rule(field(self[f"{x}CR1"], 7, 5) == 6, f"block {x}: DS = 24 bits")
        self.rule(
            field(frame, 14, 8) + 1 == 32 and bool(frame & bits(16)), f"block {x}: FS has to be high for 32 of 64 bits"
        )
        self.rule(field(slots, 4, 0) == 0, f"block {x}: FBOFF has to be 0")

    @property
    def master_name(self) -> str:
        return next((x for x in "AB" if self._master(x) and self.blocks[x].running), "A")

    @property
    def sample_rate_hz(self) -> Fraction:
        """Frame rate as the RCC and the SAI are programmed (51.3.8)."""
        x = self.master_name
        control = self[f"{x}CR1"]
        kernel = self.chip.rcc.kernel_hertz("SAI1")
        divider = field(control, 25, 20) or 1
        if control & bits(19):
            return kernel / (divider * (field(self[f"{x}FRCR"], 7, 0) + 1))
        return kernel / (divider * ((control >> 26 & 1) + 1) * 256)

    @property
    def master_clock_hertz(self) -> Fraction | None:
        """MCLK, or None when it is not made."""
        control = self[f"{self.master_name}CR1"]
        if control & bits(19):
            return None
        return self.chip.rcc.kernel_hertz("SAI1") / (field(control, 25, 20) or 1)

    # --- frames ---

    def _count_running(self) -> None:
        self._running = [block for block in self.blocks.values() if block.running]
        self.streaming = any(self._master(block.name) for block in self._running)

    def hold(self, held: bool) -> None:
        """Stop the codec's clock, or let it go on."""
        if held != self.held:
            self.held = held
            if held:
                self._frame.cancel()
            elif self.streaming:
                if self._due(self._passed + 1) > self.chip.time.now:
                    self._schedule()  # on as if it had not been held
                else:
                    self._restart_clock()

    def _restart_clock(self) -> None:
        self._origin = self.chip.time.now
        self._passed = 0
        if not self.held:
            self._schedule()

    def _schedule(self) -> None:
        self._frame.at(self._due(self._passed + 1))

    def _due(self, frame: int) -> int:
        """The tick at which a frame since the clock's start ends."""
        numerator, denominator = self._ratio
        return self._origin + frame * numerator // denominator

    def _on_frame(self) -> None:
        """One frame: both slots of every running block."""
        assert self.codec is not None
        transmitted = (0, 0)
        receiver = None
        stops = False
        for block in self._running:
            stops |= block.stopping
            if block.receives:
                receiver = block
            else:
                transmitted = self._send(block)
        received = self.codec.frame(*transmitted)
        if receiver is not None:
            self._receive(receiver, received)
        self.frames += 1
        self._passed += 1
        if self.frames == self.stop_after:
            self.held = True
        if stops:
            self._stop_blocks()
        if not self.held and self.streaming:
            self._schedule()

    def _send(self, block: Block) -> tuple[int, int]:
        """Both slots' words out of the FIFO, which the DMA fills again after each."""
        fifo, stream, take = block.fifo, block.stream, self.chip.dma.take
        if block.by_dma and stream and stream.enabled and stream.circular and len(fifo) == block.enough:
            left = fifo.popleft()
            fifo.append(take(stream))
            right = fifo.popleft()
            fifo.append(take(stream))
        else:
            words = []
            for _ in range(SLOTS):
                if fifo:
                    words.append(fifo.popleft())
                    self._fill(block)
                else:
                    words.append(0)
                    self._overrun(block)
            left, right = words
        return (0, 0) if block.muted else (left & 0xFFFFFF, right & 0xFFFFFF)

    def _receive(self, block: Block, samples: tuple[int, int]) -> None:
        """Both slots' words into the FIFO, which the DMA empties."""
        fifo, stream, put = block.fifo, block.stream, self.chip.dma.put
        if block.by_dma and stream and stream.enabled and stream.circular and len(fifo) == block.enough - 1:
            for sample in samples:
                fifo.append(sample & 0xFFFFFF)
                put(stream, fifo.popleft())
            return
        for sample in samples:
            if len(fifo) == FIFO_WORDS:
                self._overrun(block)
            else:
                fifo.append(sample & 0xFFFFFF)
            self._drain(block)

    def _overrun(self, block: Block) -> None:
        if block.by_dma and not (block.stream and block.stream.enabled):
            self.error(f"block {block.name} runs dry: its DMA stream was switched off before SAIEN or DMAEN")
        self[f"{block.name}SR"] |= _OVERRUN

    def _fill(self, block: Block) -> None:
        stream = block.stream
        if stream and stream.enabled and block.by_dma:
            enough = block.enough
            while len(block.fifo) < enough and stream.enabled:
                block.fifo.append(self.chip.dma.take(stream))
        self._show(block)

    def _drain(self, block: Block) -> None:
        stream = block.stream
        if stream and stream.enabled and block.by_dma:
            enough = block.enough
            while len(block.fifo) >= enough and stream.enabled:
                self.chip.dma.put(stream, block.fifo.popleft())
        self._show(block)

    def _stop_blocks(self) -> None:
        """SAIEN of blocks that are to stop reads 0 once the frame has ended (51.3.15)."""
        for block in self.blocks.values():
            if block.stopping:
                block.stopping = block.running = False
                self[f"{block.name}CR1"] &= ~bits(16)
        self._count_running()
        if not self.streaming:
            self._frame.cancel()

    # --- DMA ---

    def dma_address(self, request: str) -> int:
        return self.base + (0x20 if request.endswith("A") else 0x40)

    def dma_ready(self, request: str) -> None:
        block = self.blocks[request[-1]]
        block.stream = self.chip.dma.serving(request)
        if not self.receives(block.name):
            self._fill(block)

    def save(self) -> dict[str, Any]:
        blocks = [(tuple(b.fifo), b.running, b.stopping, b.stream and b.stream.number) for b in self.blocks.values()]
        return {**super().save(), "blocks": blocks}

    def restore(self, saved: dict[str, Any]) -> None:
        saved = dict(saved)
        blocks = saved.pop("blocks")
        super().restore(saved)
        for block, (fifo, running, stopping, stream) in zip(self.blocks.values(), blocks, strict=True):
            block.fifo = deque(fifo)
            block.running, block.stopping = running, stopping
            block.stream = None if stream is None else self.chip.dma.streams[stream]
            control, more = self[f"{block.name}CR1"], self[f"{block.name}CR2"]
            block.by_dma, block.receives = bool(control & bits(17)), bool(control & 1)
            block.enough, block.muted = _FILLED[more & 7], bool(more & bits(5))
        self._count_running()
