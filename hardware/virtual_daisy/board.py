"""The Daisy Seed around the chip, on a carrier with knobs, footswitches and LEDs, as a pedal that a test can play."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hardware.virtual_daisy.adc import Adc, AdcCommon
from hardware.virtual_daisy.chip import Chip
from hardware.virtual_daisy.clocks import Crs, Rcc
from hardware.virtual_daisy.codecs import Ak4556, Codec, Pcm3060, Source, Wm8731
from hardware.virtual_daisy.dma import Dma, DmaMux
from hardware.virtual_daisy.errors import ChipError, WatchdogReset
from hardware.virtual_daisy.flash_memory import FlashMemory
from hardware.virtual_daisy.gpio import INPUT, PORTS, Pins
from hardware.virtual_daisy.i2c import I2c
from hardware.virtual_daisy.peripheral import field
from hardware.virtual_daisy.power import FlashInterface, Pwr, Syscfg
from hardware.virtual_daisy.quadspi import QuadSpi
from hardware.virtual_daisy.sai import Sai
from hardware.virtual_daisy.serial_port import VirtualSerial
from hardware.virtual_daisy.system_control import SystemReset
from hardware.virtual_daisy.time_line import TICKS_PER_SECOND
from hardware.virtual_daisy.usart import Usart
from hardware.virtual_daisy.usb import OtgFs
from hardware.virtual_daisy.usb_host import UsbHost
from hardware.virtual_daisy.watchdog import BackupRegisters, Watchdog

KNOB_CHANNELS = (15, 5, 7, 3, 11, 4)  # D16 to D21
FOOTSWITCHES = ("PA0", "PD11")  # D25, D26: to ground when pressed
LEDS = ("PA5", "PA4")  # D22, D23: high is on
SEED_LED = "PC7"
RECEIVING_STREAM = 1  # of DMA1
_POWER_ON, _SOFTWARE, _WATCHDOG = 0x00FE0000, 1 << 24, 1 << 26  # flags of RCC_RSR
_AUDIO_SECONDS = 5.0  # the longest that the program may take until frames pass


@dataclass(frozen=True)
class Revision:
    """A board revision: its codec, the pin that its pull-down holds low, and the SAI block that transmits."""

    name: str
    codec: type[Codec]
    low_pin: str | None
    transmitter: str


SEED_REV4 = Revision("Daisy Seed rev 4", Ak4556, None, "A")
SEED_REV5 = Revision("Daisy Seed 1.1 (rev 5)", Wm8731, "PD3", "B")
SEED_2_DFM = Revision("Daisy Seed 2 DFM", Pcm3060, "PD4", "A")


class VirtualDaisy:
    """A Daisy with an image flashed. Power is on from the start; nothing runs until a method lets time pass."""

    def __init__(
        self, image: Path | bytes, revision: Revision = SEED_REV4, flash: bytes | None = None, crystal: bool = True
    ) -> None:
        """image: `firmware.bin`, or its bytes; an ELF file beside it adds source lines to errors. flash: contents of
        the external flash, None: erased. crystal: False when it does not start."""
        if isinstance(image, Path):
            elf = next((p for p in (image.with_suffix(".elf"), image.parent / "firmware.elf") if p.is_file()), None)
            self.chip = Chip(image.read_bytes(), elf)
        else:
            self.chip = Chip(image)
        self.revision = revision
        self.pots = [0.5] * 6
        self.led_history: list[tuple[float, str, bool]] = []  # seconds, pin, on
        self.resets: list[str] = []  # why the chip has been reset since power-on
        self.recording: list[tuple[int, int]] = []  # what came out while `hold` was False
        self._bounces: dict[str, list[tuple[int, int]]] = {name: [] for name in FOOTSWITCHES}
        self._assemble(flash)
        self.chip.rcc.crystal_dead = not crystal
        self.serial = VirtualSerial(self)
        self._power_on()

    def _assemble(self, contents: bytes | None) -> None:
        """Put the peripherals where they are in the chip (RM0433 2.3.2), each behind its clock."""
        chip = self.chip
        chip.pwr = Pwr(chip, 0x58024800)
        chip.flash_interface = FlashInterface(chip, 0x52002000)
        chip.rcc = rcc = Rcc(chip, 0x58024400)
        chip.watchdog = Watchdog(chip, 0x58004800)
        self._backup = BackupRegisters(chip, 0x58004000)
        chip.pins = Pins(chip)
        chip.dma_mux = DmaMux(chip, 0x40020800)
        chip.dma = Dma(chip, 0x40020000)
        chip.sai = Sai(chip, 0x40015800)
        chip.adc = Adc(chip, 0x40022000)
        chip.adc_common = AdcCommon(chip, 0x40022300)
        chip.adc.voltages = self._pot_voltage
        self.usart = Usart(chip, 0x40011000)
        chip.usb = OtgFs(chip, 0x40080000)
        self.usb = UsbHost(self)
        self.flash_memory = FlashMemory(chip, contents)
        quadspi = QuadSpi(chip, 0x52005000, self.flash_memory)
        for bit, letter in enumerate(PORTS):
            rcc.gate("AHB4ENR", bit, chip.pins.ports[letter])
        rcc.gate("AHB1ENR", 0, chip.dma, chip.dma_mux)
        rcc.gate("AHB1ENR", 1, chip.dma_mux)
        rcc.gate("AHB1ENR", 5, chip.adc, chip.adc_common)
        rcc.gate("AHB1ENR", 27, chip.usb)
        rcc.gate("AHB3ENR", 14, quadspi)
        rcc.gate("APB1LENR", 22, I2c(chip, 0x40005800))
        chip.crs = Crs(chip, 0x40008400)
        rcc.gate("APB1HENR", 1, chip.crs)
        rcc.gate("APB2ENR", 4, self.usart)
        rcc.gate("APB2ENR", 22, chip.sai)
        rcc.gate("APB4ENR", 1, Syscfg(chip, 0x58000400))
        rcc.gate("APB4ENR", 16, self._backup)
        self.codec = self.revision.codec(chip, self.revision.transmitter)
        self.codec.sink = self._record
        chip.sai.codec = self.codec
        for name in (*LEDS, SEED_LED):
            port, pin = chip.pins.split(name)
            port.watchers[pin] = partial(self._led_changed, name)
        self._lit = dict.fromkeys((*LEDS, SEED_LED), False)
        self._bounce = {name: chip.time.event(partial(self._on_bounce, name)) for name in FOOTSWITCHES}

    # --- power and reset ---

    def _power_on(self) -> None:
        chip = self.chip
        for name, memory in chip.memory.items():
            if name != "flash":  # what RAM holds after power-on is undefined: noise, the same each time
                memory[:] = np.random.default_rng(len(memory)).integers(0, 256, len(memory), np.uint8)
        chip.pwr.power_on()
        self._backup.power_on()
        self.codec.power_on()
        self.flash_memory.power_on()
        self.resets.clear()
        self._reset(_POWER_ON)
        if self.revision.low_pin:
            port, pin = chip.pins.split(self.revision.low_pin)
            port.wire(pin, 0)

    def _reset(self, cause: int) -> None:
        chip = self.chip
        for peripheral in chip.peripherals:
            if peripheral is not chip.rcc:
                peripheral.reset()
        chip.rcc.reset(cause)
        chip.system.reset()
        chip.protection_changed()
        chip.flush_code()
        chip.reset_core()

    def power_cycle(self) -> None:
        """Off and on again: only the flash keeps its contents."""
        self.usart.power_cut()
        self._power_on()

    def reset(self) -> None:
        """The reset button: RAM and backup registers are kept."""
        self.resets.append("pin")
        self._reset(1 << 22)

    @property
    def flash(self) -> FlashMemory:
        """The external flash."""
        return self.flash_memory

    def close(self) -> None:
        self.chip.close()

    # --- time ---

    @property
    def seconds(self) -> float:
        """Virtual time since power-on."""
        return self.chip.time.seconds

    @property
    def cycles(self) -> int:
        """Cycles of the core since power-on."""
        return self.chip.time.cycles

    def run(self, seconds: float = 0.0, cycles: int = 0) -> None:
        """Let time pass."""
        time = self.chip.time
        self._run_to(time.now + round(seconds * TICKS_PER_SECOND) + cycles * time.ticks_per_cycle, None)

    def run_until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Let time pass until `condition` holds, `seconds` at most. Returns whether it does.

        It is looked at whenever something happens outside the core, at least every 100 us.
        """
        time = self.chip.time
        end = time.now + round(seconds * TICKS_PER_SECOND)
        while not condition():
            if time.now >= end:
                return False
            if self._run_to(min(time.now + TICKS_PER_SECOND // 10_000, end), condition):
                return True
        return True

    def _run_to(self, tick: int, condition: Callable[[], bool] | None) -> bool:
        while True:
            try:
                return self.chip.run_to(tick, condition)
            except SystemReset:
                self.resets.append("software")
                self._reset(_SOFTWARE)
            except WatchdogReset:
                self.resets.append("watchdog")
                self._reset(_WATCHDOG)
                raise

    # --- controls ---

    def _pot_voltage(self, channel: int) -> float:
        return self.pots[KNOB_CHANNELS.index(channel)] if channel in KNOB_CHANNELS else 0.0

    def press(self, footswitch: int, bounce_seconds: float = 0.0, seed: int = 0) -> None:
        """Press footswitch 1 or 2; its contact bounces for `bounce_seconds`."""
        self._switch(footswitch, 0, bounce_seconds, seed)

    def release(self, footswitch: int, bounce_seconds: float = 0.0, seed: int = 0) -> None:
        """Let footswitch 1 or 2 go."""
        self._switch(footswitch, 1, bounce_seconds, seed)

    def _switch(self, footswitch: int, level: int, bounce_seconds: float, seed: int) -> None:
        name = FOOTSWITCHES[footswitch - 1]
        port, pin = self.chip.pins.split(name)
        pulled_up = field(port["PUPDR"], 2 * pin + 1, 2 * pin) == 1
        if port.mode(pin) != INPUT or not pulled_up:
            raise ChipError(f"footswitch {footswitch} ({name}) is not an input with its pull-up on: it floats")
        now = self.chip.time.now
        steps: list[tuple[int, int]] = []
        if bounce_seconds:
            edges = np.sort(np.random.default_rng(seed).uniform(0, bounce_seconds, 2 * 5))
            steps = [(now + round(edge * TICKS_PER_SECOND), level ^ (n + 1) & 1) for n, edge in enumerate(edges)]
        self._bounces[name] = [(now, level), *steps]
        self._on_bounce(name)

    def _on_bounce(self, name: str) -> None:
        port, pin = self.chip.pins.split(name)
        steps = self._bounces[name]
        _, level = steps.pop(0)
        port.wire(pin, 0 if level == 0 else None)
        if steps:
            self._bounce[name].at(steps[0][0])

    def _led_changed(self, name: str, on: bool) -> None:
        if on != self._lit[name]:
            self._lit[name] = on
            self.led_history.append((self.seconds, name, on))

    @property
    def leds(self) -> tuple[bool, bool]:
        """Whether LED 1 and LED 2 are on."""
        return self._lit[LEDS[0]], self._lit[LEDS[1]]

    @property
    def seed_led(self) -> bool:
        return self._lit[SEED_LED]

    def brightness(self, led: int, seconds: float) -> float:
        """The part of the last `seconds` that LED 1 or 2 was on."""
        name, end = LEDS[led - 1], self.seconds
        on, since, lit = False, end - seconds, 0.0
        for at, changed, now_on in self.led_history:
            if changed == name:
                if at > since:
                    lit += (at - since) * on
                    since = at
                on = now_on
        return (lit + (end - since) * on) / seconds

    # --- audio ---

    @property
    def hold(self) -> bool:
        """Whether the codec's clock stands still between calls of `play`; if not, frames of `source` pass all along."""
        return self.chip.sai.held

    @hold.setter
    def hold(self, held: bool) -> None:
        if held and not self.chip.sai.held:
            self._finish_block()
        self.chip.sai.hold(held)

    def _finish_block(self) -> None:
        """The clock is held where a block of the receiving DMA ends: what is played next is in whole blocks."""
        sai, dma = self.chip.sai, self.chip.dma
        half = dma.streams[RECEIVING_STREAM].total // 2
        words = dma[f"S{RECEIVING_STREAM}NDTR"] % half if half else 0
        if sai.streaming and words:
            sai.stop_after = goal = sai.frames + words // 2
            self.run_until(lambda: sai.frames >= goal, _AUDIO_SECONDS)
            sai.stop_after = None

    @property
    def source(self) -> Source:
        """Gives a frame (left, right) of 24 bits for the ADC while `hold` is False."""
        return self.codec.source

    @source.setter
    def source(self, source: Source) -> None:
        self.codec.source = source

    def _record(self, left: int, right: int) -> None:
        if not self.chip.sai.held:
            self.recording.append((left, right))

    def play(self, samples: np.ndarray, latency_frames: int = 0) -> np.ndarray:
        """Play `samples` and return what comes out of the left channel for exactly these frames.

        samples: int32 of 24 bits, [frames] for both channels alike or [frames, 2]. latency_frames: how much later than
        it went in a frame comes out, two blocks for this firmware. The last frames are flushed with silence and the
        machine is then taken back to where the last given frame had gone in, so that a later call goes on as if nothing
        had been flushed.
        """
        return self.play_both(samples, latency_frames)[:, 0]

    def play_both(self, samples: np.ndarray, latency_frames: int = 0) -> np.ndarray:
        """Like `play`, both channels: [frames, 2]."""
        stereo = np.repeat(samples[:, None], 2, 1) if samples.ndim == 1 else samples
        frames: list[tuple[int, int]] = [(left, right) for left, right in stereo.tolist()]
        if not self.run_until(lambda: self.chip.sai.streaming, _AUDIO_SECONDS):
            raise ChipError(f"the program has not started the audio in {_AUDIO_SECONDS:g} s")
        out: list[tuple[int, int]] = []
        self._pass_frames(frames, out)
        if latency_frames:
            saved = self.save()
            self._pass_frames([(0, 0)] * latency_frames, out)
            self.restore(saved)
        done = out[latency_frames : latency_frames + len(frames)]
        result = np.array(done, np.int32).reshape(len(frames), 2)
        return (result << 8) >> 8

    def _pass_frames(self, frames: list[tuple[int, int]], out: list[tuple[int, int]]) -> None:
        codec, sai = self.codec, self.chip.sai
        source, sink, held = codec.source, codec.sink, sai.held
        left = iter(frames)
        goal = len(out) + len(frames)
        codec.source = lambda: next(left, (0, 0))
        codec.sink = lambda a, b: out.append((a, b))
        sai.stop_after = sai.frames + len(frames) if held else None
        sai.hold(False)
        try:
            while len(out) < goal:
                before = len(out)
                if not self.run_until(lambda: len(out) >= goal, _AUDIO_SECONDS) and len(out) == before:
                    raise ChipError(f"the audio has stopped: no frame for {_AUDIO_SECONDS:g} s")
        finally:
            codec.source, codec.sink = source, sink
            sai.stop_after = None
            sai.hold(held)

    # --- snapshots ---

    def save(self) -> tuple[Any, ...]:
        """The whole machine, to be given back to `restore`."""
        lists = (list(self.pots), len(self.led_history), dict(self._lit), list(self.resets), len(self.recording))
        bounces = {name: list(steps) for name, steps in self._bounces.items()}
        return self.chip.save(), self.codec.save(), self.flash_memory.save(), self.usb.save(), lists, bounces

    def restore(self, saved: tuple[Any, ...]) -> None:
        chip, codec, flash, usb, lists, bounces = saved
        self.chip.restore(chip)
        self.codec.restore(codec)
        self.flash_memory.restore(flash)
        self.usb.restore(usb)
        self.pots[:], history, lit, resets, recorded = lists
        del self.led_history[history:]
        del self.recording[recorded:]
        self._lit = dict(lit)
        self.resets[:] = resets
        self._bounces = {name: list(steps) for name, steps in bounces.items()}
