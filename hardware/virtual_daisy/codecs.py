"""The codecs of the Daisy's board revisions: what they demand of the audio clocks before sound flows."""

from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from hardware.virtual_daisy.peripheral import bits, field

if TYPE_CHECKING:
    from hardware.virtual_daisy.chip import Chip
    from hardware.virtual_daisy.sai import Sai

Source = Callable[[], tuple[int, int]]
LEFT_JUSTIFIED, I2S = "left-justified", "I2S"


def serial_format(sai: "Sai", x: str) -> str | None:
    """The stereo format that block `x` speaks, None when it is neither left-justified nor I2S."""
    frame = sai[f"{x}FRCR"]
    offset, high_first = frame >> 18 & 1, frame >> 17 & 1
    # I2S: FS low for the left channel and the MSB one bit late; left-justified: FS high and the MSB at once.
    return {(0, 1): LEFT_JUSTIFIED, (1, 0): I2S}.get((offset, high_first))


class Codec:
    """A stereo codec that is slave of the chip's clocks."""

    NAME = ""
    RATIOS: tuple[int, ...] = ()  # MCLK / fs that it takes
    STATE: tuple[str, ...] = ()

    def __init__(self, chip: "Chip", transmitter: str) -> None:
        """transmitter: the SAI block whose data line the board leads to the DAC."""
        self.chip = chip
        self._transmitter = transmitter
        self.source: Source = lambda: (0, 0)
        self.sink: Callable[[int, int], None] = lambda left, right: None

    @property
    def sample_rate_hz(self) -> float:
        """The frame rate that the RCC and the SAI are programmed for."""
        return float(self.chip.sai.sample_rate_hz)

    def power_on(self) -> None:
        """As after its supply comes up."""

    def error(self, text: str) -> None:
        self.chip.fail(f"{self.NAME}: {text}")

    def rule(self, kept: bool, text: str) -> None:
        if not kept:
            self.error(text)

    def required_format(self) -> str:
        raise NotImplementedError

    def check_ready(self) -> None:
        """End the run when the codec would be silent."""
        raise NotImplementedError

    def check(self, sai: "Sai", master: str) -> None:
        """Whether the clocks and the format suit the codec, when the SAI starts."""
        other = "B" if master == "A" else "A"
        for x in (master, other):
            if not sai.blocks[x].running:
                continue
            self.rule(
                sai.receives(x) == (x != self._transmitter),
                f"block {x}'s direction is not what the board's wiring wants",
            )
            found = serial_format(sai, x)
            self.rule(
                found == self.required_format(),
                f"block {x} speaks {found or 'an unknown format'}, the codec {self.required_format()}",
            )
            # All three sample on the rising edge of SCK and change on the falling one: CKSTR = 1 in both directions.
            self.rule(
                bool(sai[f"{x}CR1"] & bits(9)),
                f"block {x}: CKSTR = 0 changes data on the edge at which the codec samples",
            )
            self.rule(not sai[f"{x}CR1"] & bits(8), f"block {x}: LSB first")
        clock = sai.master_clock_hertz
        if clock is None:
            self.error("NODIV = 1 leaves it without its master clock")
            return
        ratio = Fraction(clock) / sai.sample_rate_hz
        self.rule(ratio in self.RATIOS, f"MCLK is {float(ratio):g} fs, it takes {', '.join(map(str, self.RATIOS))}")
        self.rule(abs(sai.sample_rate_hz - 48_000) < 4_800, f"a frame rate of {float(sai.sample_rate_hz):g} Hz")
        self.check_ready()

    def frame(self, left: int, right: int) -> tuple[int, int]:
        """One sample of each channel to the DAC, and one of each from the ADC; 24 bits, two's complement."""
        self.sink(left, right)
        return self.source()

    def save(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.STATE}

    def restore(self, saved: dict[str, Any]) -> None:
        for name, value in saved.items():
            setattr(self, name, value)


class Ak4556(Codec):
    """Seed rev 4. Its format is strapped; PB11 is its power-down pin PDN, which needs a low pulse after power-on."""

    NAME = "AK4556"
    RATIOS = (256, 384, 512, 768, 1024)
    STATE = ("_was_low", "_up")

    def __init__(self, chip: "Chip", transmitter: str) -> None:
        super().__init__(chip, transmitter)
        self._was_low = self._up = False
        chip.pins.split("PB11")[0].watchers[11] = self._pin_changed

    def power_on(self) -> None:
        self._was_low = self._up = False

    def _pin_changed(self, high: bool) -> None:
        if self.chip.pins.split("PB11")[0].output(11) is False:
            self._was_low = True
        self._up = high

    def required_format(self) -> str:
        return LEFT_JUSTIFIED

    def check_ready(self) -> None:
        if not self._up:
            self.error("held in power-down: PB11 is not driven high")
        if not self._was_low:
            self.error("PDN (PB11) was never driven low after power-on, its registers are undefined")


class Pcm3060(Codec):
    """Seed 2 DFM, in hardware mode: format strapped, PB11 switches the de-emphasis filter."""

    NAME = "PCM3060"
    RATIOS = (256, 384, 512, 768)

    def required_format(self) -> str:
        return LEFT_JUSTIFIED

    def check_ready(self) -> None:
        if self.chip.pins.split("PB11")[0].output(11) is not False:
            self.error("de-emphasis is on: PB11 is not driven low")


class Wm8731(Codec):
    """Seed 1.1 (rev 5), set up over I2C: registers of 9 bits at 7-bit addresses (datasheet, "Register map")."""

    NAME = "WM8731"
    RATIOS = (256, 384)
    ADDRESS = 0x1A
    STATE = ("registers",)
    _DEFAULTS = (0x97, 0x97, 0x79, 0x79, 0x0A, 0x08, 0x9F, 0x0A, 0x00, 0x00)
    _WRITABLE = (0x19F, 0x19F, 0x1FF, 0x1FF, 0x0FF, 0x01F, 0x0FF, 0x0FF, 0x0FF, 0x001)

    def __init__(self, chip: "Chip", transmitter: str) -> None:
        super().__init__(chip, transmitter)
        self.registers: tuple[int, ...] = self._DEFAULTS
        chip.i2c_devices[self.ADDRESS] = self.write_bytes

    def power_on(self) -> None:
        self.registers = self._DEFAULTS

    def write_bytes(self, data: bytes) -> None:
        """One write on the I2C bus."""
        self.rule(len(data) == 2, f"{len(data)} bytes written, a register takes two")
        register, value = data[0] >> 1, (data[0] & 1) << 8 | data[1]
        if register == 15:
            self.rule(value == 0, f"R15 written with {value:#x}: only 0 resets")
            self.registers = self._DEFAULTS
            return
        self.rule(register < len(self._DEFAULTS), f"register {register} does not exist")
        self.rule(not value & ~self._WRITABLE[register], f"R{register} written with {value:#x}: reserved bits are set")
        if register in (7, 8):
            self.rule(not self.registers[9] & 1, f"R{register} changed while R9.ACTIVE is set")
        if register == 9 and value & 1:
            self.rule(not self.registers[6] & 0x80, "R9.ACTIVE set before R6 powers the device up")
        both = register in (0, 2) and value & 0x100
        changed = list(self.registers)
        changed[register] = value
        if both:
            changed[register + 1] = value & 0xFF
        self.registers = tuple(changed)

    def required_format(self) -> str:
        code = self.registers[7] & 3
        return {1: LEFT_JUSTIFIED, 2: I2S}.get(code, "a format that the SAI is not set to")

    def check_ready(self) -> None:
        registers = self.registers
        problem = (
            (not registers[9] & 1 and "R9.ACTIVE is not set")
            or (registers[6] & 0x9D and "R6 leaves the line input, ADC, DAC, outputs or the device powered down")
            or (registers[5] & 0x08 and "R5.DACMU mutes the DAC")
            or (registers[5] & 0x06 and "R5.DEEMP switches de-emphasis on")
            or (not registers[4] & 0x10 and "R4.DACSEL is clear: the DAC is not heard")
            or (registers[4] & 0x2C and "R4 mixes the input into the output, or takes the microphone")
            or (field(registers[7], 3, 2) != 2 and "R7.IWL is not 24 bits")
            or (registers[7] & 0xF0 and "R7: slave, no swap, no inverted clock is what the board needs")
            or (registers[8] & 0xFF and "R8 is not normal mode, 256 fs, 48 kHz")
            or ((registers[0] | registers[1]) & 0x80 and "R0 or R1 mutes the line input")
        )
        if problem:
            self.error(problem)
