"""ADC1: six knobs in a continuous scan."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from hardware.virtual_daisy.dma import Stream
from hardware.virtual_daisy.gpio import ANALOG
from hardware.virtual_daisy.peripheral import Peripheral, Register, bits, field
from hardware.virtual_daisy.time_line import NEVER

if TYPE_CHECKING:
    from hardware.virtual_daisy.chip import Chip

# RM0433 25.4.11 and the datasheet's pin table: inputs of ADC1 on the pins that the Seed brings out
CHANNEL_PINS = {
    15: "PA3",
    5: "PB1",
    7: "PA7",
    3: "PA6",
    11: "PC1",
    4: "PC4",
    10: "PC0",
    19: "PA5",
    18: "PA4",
    16: "PA0",
}
ADRDY, EOSMP, EOC, EOS, OVR, LDORDY = 1, 2, 4, 8, 16, 1 << 12
_SAMPLE_CYCLES = (1.5, 2.5, 8.5, 16.5, 32.5, 64.5, 387.5, 810.5)
_CONVERSION_CYCLES = {
    0: 8.5,
    1: 7.5,
    2: 6.5,
    3: 5.5,
    4: 4.5,
    5: 7.5,
    6: 6.5,
}  # by RES, 25.4.13; 5 and 6 are those of rev V
_WIDTHS = {0: 16, 1: 14, 2: 12, 3: 10, 7: 8, 5: 14, 6: 12}
_REGULATOR_SECONDS = 10e-6
_CALIBRATION_CYCLES = 16_384
_PRESCALERS = (1, 2, 4, 6, 8, 10, 12, 16, 32, 64, 128, 256)
_LEAST_EVENT_SECONDS = (
    50e-6  # faster conversions are done several at once, nobody sees the difference in the DMA's buffer
)
ADCAL, DEEPPWD, ADVREGEN, ADSTP, ADSTART, ADDIS, ADEN = (1 << n for n in (31, 29, 28, 4, 2, 1, 0))


class AdcCommon(Peripheral):
    NAME = "ADC12 common"
    SECTION = "25.6"
    REGISTERS = (
        Register("CSR", 0x00, read_only=0x07FF07FF),
        Register("CCR", 0x08, writable=0x01FFCF1F),
    )

    def write_ccr(self, value: int, old: int) -> None:
        self.rule(not self.chip.adc["CR"] & ADEN or value == old, "CCR changed while the ADC is enabled")
        self["CCR"] = value


class Adc(Peripheral):
    NAME = "ADC1"
    SECTION = "25.5"
    REGISTERS = (
        Register("ISR", 0x00, action=0x7FF, read_only=LDORDY),
        Register("IER", 0x04, writable=0x7FF),
        Register("CR", 0x08, reset=DEEPPWD, writable=bits((9, 8), 16, (27, 22), 28, 29, 30), action=bits(31, (5, 0))),
        Register("CFGR", 0x0C, reset=0x80000000, writable=0xFFFF7FFF),
        Register("CFGR2", 0x10, writable=0xF3FF7FE3),
        Register("SMPR1", 0x14, writable=0x3FFFFFFF),
        Register("SMPR2", 0x18, writable=0x3FFFFFFF),
        Register("PCSEL", 0x1C, writable=0x000FFFFF),
        Register("LTR1", 0x20, writable=0x03FFFFFF),
        Register("HTR1", 0x24, reset=0x03FFFFFF, writable=0x03FFFFFF),
        Register("SQR1", 0x30, writable=0x1F7DF7CF),
        *(Register(f"SQR{n}", 0x2C + 4 * n, writable=0x1F7DF7DF) for n in (2, 3)),
        Register("SQR4", 0x3C, writable=0x7DF),
        Register("DR", 0x40, read_only=0xFFFFFFFF, live=True),
        Register("DIFSEL", 0xC0, writable=0x000FFFFE),
        Register("CALFACT", 0xC4, writable=0x07FF07FF),
        Register("CALFACT2", 0xC8, writable=0x3FFFFFFF),
    )
    STATE = ("_regulated_at", "_calibrated", "_calibrated_linearity", "_index", "_data", "_stream_number", "_batch")

    def __init__(self, chip: "Chip", base: int) -> None:
        self.voltages: Callable[[int], float] = lambda channel: 0.0  # of full scale, by channel
        self._regulated_at = NEVER
        self._calibrated = self._calibrated_linearity = False
        self._index = 0
        self._data = 0
        self._batch = 1
        self._stream_number: int | None = None
        self._ready = chip.time.event(self._on_ready)
        self._calibration = chip.time.event(self._on_calibrated)
        self._conversion = chip.time.event(self._on_converted)
        super().__init__(chip, base)
        chip.dma.requesters["ADC1"] = self

    def reset(self) -> None:
        super().reset()
        self._regulated_at = NEVER
        self._calibrated = self._calibrated_linearity = False
        self._index = self._data = 0
        self._stream_number = None
        for event in (self._ready, self._calibration, self._conversion):
            event.cancel()

    # --- clock ---

    @property
    def clock_hertz(self) -> float:
        """F_ADC (25.4.3); this is a chip of revision V, which halves it once more."""
        common = self.chip.adc_common["CCR"]
        mode = field(common, 17, 16)
        if mode:
            return float(self.chip.rcc.axi_hertz) / (1, 2, 4)[mode - 1] / 2
        code = field(common, 21, 18)
        self.rule(code < len(_PRESCALERS), f"PRESC = {code} is reserved")
        return float(self.chip.rcc.kernel_hertz("ADC1")) / _PRESCALERS[code] / 2

    def _check_clock(self) -> None:
        megahertz = self.clock_hertz / 1e6
        boost = field(self["CR"], 9, 8)
        limit = (6.25, 12.5, 25, 50)[boost]
        self.rule(megahertz <= 50, f"a clock of {megahertz:g} MHz, the most is 50")
        self.rule(
            megahertz <= limit, f"BOOST = {boost:#04b} is for up to {limit:g} MHz, the clock is {megahertz:g} MHz"
        )

    # --- control ---

    def write_cr(self, value: int, old: int) -> None:
        state = old & (ADEN | ADSTART | ADCAL)
        if value & DEEPPWD:
            self.rule(not value & ADVREGEN, "ADVREGEN set while DEEPPWD is set")
        kept = bits((9, 8), 16, 28, 29, 30)
        if state and (value ^ old) & kept:
            self.error("CR: BOOST, ADCALLIN, ADVREGEN, DEEPPWD or ADCALDIF changed while ADEN, ADSTART or ADCAL is set")
        self["CR"] = value & kept | state | old & bits(1, 4)
        if value & ADVREGEN and not old & ADVREGEN:
            self.rule(not old & DEEPPWD, "ADVREGEN set before DEEPPWD is cleared (25.4.6)")
            self._regulated_at = self.chip.time.now + round(_REGULATOR_SECONDS * 9.6e9)
            self["ISR"] |= LDORDY
        if not value & ADVREGEN:
            self._regulated_at = NEVER
            self["ISR"] &= ~LDORDY
        self.rule(not value & bits(3, 5), "injected conversions are not modelled")
        if value & ADCAL and not old & ADCAL:
            self._start_calibration(value)
        if value & ADEN and not old & ADEN:
            self._enable()
        if value & ADSTART and not old & ADSTART:
            self._start()
        if value & ADSTP and old & ADSTART:
            self._conversion.cancel()
            self["CR"] &= ~(ADSTART | ADSTP)
        if value & ADDIS:
            self.rule(bool(old & ADEN) and not self["CR"] & ADSTART, "ADDIS set while not enabled, or while converting")
            self["CR"] &= ~(ADEN | ADDIS)
            self["ISR"] &= ~ADRDY

    def _needs_regulator(self, what: str) -> None:
        self.rule(
            self.chip.time.now >= self._regulated_at, f"{what} before the regulator has been on for 10 us (25.4.6)"
        )

    def _start_calibration(self, value: int) -> None:
        self._needs_regulator("ADCAL set")
        self.rule(not self["CR"] & ADEN, "ADCAL set while ADEN is set (25.4.8)")
        self.rule(not value & bits(30), "calibration of differential inputs, all knobs are single-ended")
        self._check_clock()
        self["CR"] |= ADCAL
        cycles = _CALIBRATION_CYCLES * (8 if value & bits(16) else 1)
        self._calibration.after(cycles / self.clock_hertz)

    def _on_calibrated(self) -> None:
        self["CR"] &= ~ADCAL
        self._calibrated = True
        self._calibrated_linearity |= bool(self["CR"] & bits(16))
        self["CALFACT"] = 0x40

    def _enable(self) -> None:
        self._needs_regulator("ADEN set")
        self.rule(not self["CR"] & ADCAL, "ADEN set while a calibration runs")
        self.rule(self._calibrated, "ADEN set without a calibration after power-up (25.4.8)")
        self.rule(not self["ISR"] & ADRDY, "ADEN set while ADRDY of the last time is not cleared (25.4.9)")
        self._check_clock()
        self["CR"] |= ADEN
        self._ready.after(20 / self.clock_hertz)

    def _on_ready(self) -> None:
        self["ISR"] |= ADRDY

    def write_isr(self, value: int, _old: int) -> None:
        self["ISR"] &= ~(value & 0x7FF)

    def write_ier(self, value: int, _old: int) -> None:
        self.rule(value == 0, "ADC interrupts are not modelled: the DMA's buffer is polled")

    def _configure(self, name: str, value: int) -> None:
        self.rule(not self["CR"] & ADSTART, f"{name} written while ADSTART is set")
        self[name] = value

    def write_cfgr(self, value: int, _old: int) -> None:
        self.rule(
            not value & (bits((11, 10), 16, 20, 21, 22, 23, 24, 25)),
            "CFGR: triggers, discontinuous, injected and watchdog are not modelled",
        )
        self.rule(field(value, 4, 2) in _WIDTHS, f"RES = {field(value, 4, 2):#05b} is reserved")
        self._configure("CFGR", value)

    def write_cfgr2(self, value: int, _old: int) -> None:
        self.rule(not value & bits(1, 9), "CFGR2: injected and triggered oversampling are not modelled")
        self._configure("CFGR2", value)

    def write_smpr1(self, value: int, _old: int) -> None:
        self._configure("SMPR1", value)

    def write_smpr2(self, value: int, _old: int) -> None:
        self._configure("SMPR2", value)

    def write_pcsel(self, value: int, _old: int) -> None:
        self._configure("PCSEL", value)

    def write_sqr1(self, value: int, _old: int) -> None:
        self._configure("SQR1", value)

    def write_sqr2(self, value: int, _old: int) -> None:
        self._configure("SQR2", value)

    def write_difsel(self, value: int, _old: int) -> None:
        self.rule(value == 0 and not self["CR"] & ADEN, "DIFSEL: all knobs are single-ended; only while the ADC is off")

    # --- conversions ---

    def _channels(self) -> list[int]:
        count = field(self["SQR1"], 3, 0) + 1
        places = [(f"SQR{1 + n // 5}", 6 * (n % 5)) for n in range(1, count + 1)]
        return [self[name] >> at & 0x1F for name, at in places]

    def _start(self) -> None:
        self.rule(bool(self["ISR"] & ADRDY), "ADSTART set before ADRDY (25.4.9)")
        control = self["CFGR"]
        for channel in self._channels():
            self.rule(
                bool(self["PCSEL"] >> channel & 1),
                f"channel {channel} converted while PCSEL does not connect it (25.4.12)",
            )
            pin = CHANNEL_PINS.get(channel)
            if pin is None:
                self.error(f"channel {channel} is on no pin of the Seed")
            port, number = self.chip.pins.split(pin)
            self.rule(port.mode(number) == ANALOG, f"channel {channel}: {pin} is not in analog mode")
        if field(control, 1, 0):
            self.rule(self._stream is not None, "ADSTART set with DMNGT while no DMA stream serves the ADC")
        self._index = 0
        self["CR"] |= ADSTART
        self._next()

    def _ratio(self) -> int:
        return field(self["CFGR2"], 25, 16) + 1 if self["CFGR2"] & 1 else 1

    def _seconds(self, channel: int) -> float:
        code = self["SMPR1" if channel < 10 else "SMPR2"] >> 3 * (channel % 10) & 7
        conversion = _CONVERSION_CYCLES.get(field(self["CFGR"], 4, 2), 4.5)
        return (_SAMPLE_CYCLES[code] + conversion) * self._ratio() / self.clock_hertz

    def _next(self) -> None:
        seconds = self._seconds(self._channels()[self._index])
        self._batch = max(round(_LEAST_EVENT_SECONDS / seconds), 1)
        self._conversion.after(self._batch * seconds)

    def _convert(self, channel: int) -> int:
        width = _WIDTHS[field(self["CFGR"], 4, 2)]
        level = min(max(self.voltages(channel), 0.0), 1.0)
        code = round(level * ((1 << width) - 1))
        shift = field(self["CFGR2"], 8, 5) if self["CFGR2"] & 1 else 0
        total = code * self._ratio() >> shift << field(self["CFGR2"], 31, 28)
        return total & 0xFFFFFFFF

    def _on_converted(self) -> None:
        channels = self._channels()
        for _ in range(self._batch):
            self._convert_next(channels)
            if not self["CR"] & ADSTART:
                return
        self._next()

    def _convert_next(self, channels: list[int]) -> None:
        self._data = self._convert(channels[self._index])
        if field(self["CFGR"], 1, 0) in (1, 3):
            stream = self._stream
            if stream is None:
                self.rule(bool(self["CFGR"] & bits(12)), "a conversion finds no DMA stream: OVR, and the scan stops")
            else:
                self.chip.dma.put(stream, self._data & (1 << 8 * stream.words.itemsize) - 1)
        else:
            self["ISR"] |= EOC | (OVR if self["ISR"] & EOC else 0)
        self._index += 1
        if self._index == len(channels):
            self["ISR"] |= EOS
            self._index = 0
            if not self["CFGR"] & bits(13):
                self["CR"] &= ~ADSTART

    def read_dr(self) -> int:
        self["ISR"] &= ~EOC
        return self._data

    # --- DMA ---

    @property
    def _stream(self) -> Stream | None:
        if self._stream_number is None:
            return None
        stream = self.chip.dma.streams[self._stream_number]
        return stream if stream.enabled else None

    def dma_address(self, request: str) -> int:
        return self.base + 0x40

    def dma_ready(self, request: str) -> None:
        stream = self.chip.dma.serving(request)
        self._stream_number = stream.number if stream else None
