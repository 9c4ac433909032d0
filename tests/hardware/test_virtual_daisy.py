"""The virtual Daisy, by small programs that are assembled here and run in it."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hardware.virtual_daisy import (
    SEED_2_DFM,
    SEED_REV5,
    ChipError,
    InBootloader,
    PowerCut,
    VirtualDaisy,
    WatchdogReset,
)
from hardware.virtual_daisy.flash_memory import QE, SECTOR, FlashMemory
from hardware.virtual_daisy.link import VirtualDaisyLink
from training.errors import InputError

LINKER_SCRIPT = """SECTIONS {
  .text 0x08000000 : { KEEP(*(.vectors)) *(.text*) *(.rodata*) }
  .bss 0x24010000 (NOLOAD) : { *(.bss*) *(.data*) *(COMMON) }
  /DISCARD/ : { *(.ARM*) *(.comment*) }
}"""
RESULT = 0x24000000
BLOCK = 8
LATENCY = 2 * BLOCK
PASS_THROUGH = """
void AudioInterrupt(void) {
  const uint32_t flags = REG(DMA1);
  REG(DMA1 + 8) = flags & 0x3Fu << 6;
  const int half = flags >> 11 & 1 ? 2 * BLOCK : 0;
  for (int i = 0; i < 2 * BLOCK; ++i) TX[half + i] = RX[half + i];
}
void Main(void) {
  Memories();
  for (int i = 0; i < 4 * BLOCK; ++i) TX[i] = 0;
  Clocks();
  Audio();
  for (;;) __asm volatile("wfi");
}
"""
Build = Callable[[str], Path]


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Compile a program of C around `Main` and return its firmware.bin, with the ELF beside it."""
    made: dict[str, Path] = {}

    def make(source: str) -> Path:
        if source not in made:
            folder = tmp_path_factory.mktemp("program")
            (folder / "t.ld").write_text(LINKER_SCRIPT)
            (folder / "program.c").write_text(f'#include "chip_program.h"\n{source}')
            flags = "-O2 -g -mcpu=cortex-m7 -mfpu=fpv5-d16 -mfloat-abi=hard -nostdlib -ffreestanding -ffp-contract=off"
            command = ["arm-none-eabi-gcc", *flags.split(), "-fno-tree-loop-distribute-patterns", "-Wl,-e,Reset"]
            here = Path(__file__).parent
            command += [f"-I{here}", "-T", "t.ld", "-o", "firmware.elf", "program.c", "-lgcc"]
            subprocess.run(command, cwd=folder, check=True, capture_output=True)
            subprocess.run(
                ["arm-none-eabi-objcopy", "-O", "binary", "firmware.elf", "firmware.bin"], cwd=folder, check=True
            )
            made[source] = folder / "firmware.bin"
        return made[source]

    return make


def main_of(body: str) -> str:
    return f"void Main(void) {{\n{body}\n}}\n"


def run_to_end(daisy: VirtualDaisy, seconds: float = 1.0) -> list[int]:
    """Run until Main has returned, which ends in a breakpoint, and return what it left in RESULT."""
    with pytest.raises(ChipError, match=r"bkpt, at 0x[0-9a-f]+ in Reset"):
        daisy.run(seconds)
    return [daisy.chip.read_word(RESULT + 4 * n) for n in range(16)]


def wave(frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-(2**23), 2**23, frames).astype(np.int32)


# --- core ---


def test_interrupts_nest_with_floating_point_state(build):
    source = """
static float Polynomial(float x, int n) { float y = 1; for (int i = 0; i < n; ++i) y = y * x + 0.5f; return y; }
static volatile uint32_t outer, inner;
void Interrupt0(void) { ++inner; *(volatile float*)(RESULT + 8) = Polynomial(0.25f, 40); }
void Interrupt1(void) {
  ++outer;
  float before = Polynomial(0.125f, 20);
  REG(NVIC + 0x200) = 1;
  *(volatile float*)(RESULT + 9) = Polynomial(before, 20);
}
void Main(void) {
  outer = inner = 0;
  REG(NVIC + 0x400) = 0x80 << 8 | 0x10;
  REG(NVIC + 0x100) = 3;
  float sum = 0;
  for (uint32_t i = 0; i < 3000; ++i) {
    if (i % 10 == 0) REG(NVIC + 0x200) = 2;
    sum += Polynomial(0.5f, 10);
  }
  RESULT[0] = outer; RESULT[1] = inner; *(volatile float*)(RESULT + 2) = sum;
}"""
    result = run_to_end(VirtualDaisy(build(source)))

    def polynomial(x, n):
        y = np.float32(1)
        for _ in range(n):
            y = np.float32(y * np.float32(x)) + np.float32(0.5)
        return np.float32(y)

    sum_ = np.float32(0)
    for _ in range(3000):
        sum_ += polynomial(0.5, 10)
    floats = np.array(result, np.uint32).view(np.float32)
    assert result[:2] == [300, 300]
    assert floats[2] == sum_
    assert floats[8] == polynomial(0.25, 40)
    assert floats[9] == polynomial(polynomial(0.125, 20), 20)


def test_priorities_and_masks_decide_what_interrupts(build):
    source = """
static volatile uint32_t step;
void Interrupt0(void) { RESULT[step++] = 10; }
void Interrupt1(void) {
  RESULT[step++] = 20;
  REG(NVIC + 0x200) = 1;                      // of the same group: waits
  for (volatile int i = 0; i < 50; ++i) {}
  RESULT[step++] = 21;
}
static void Both(uint32_t first, uint32_t second) {
  REG(NVIC + 0x400) = first | second << 8;
  REG(NVIC + 0x200) = 2;
  for (volatile int i = 0; i < 200; ++i) {}
}
void Main(void) {
  step = 0;
  REG(NVIC + 0x100) = 3;
  Both(0x80, 0x80);                                                          // 20 21 10
  __asm volatile("msr basepri, %0" ::"r"(0x80));
  Both(0x80, 0x80);
  RESULT[step++] = 1;
  __asm volatile("msr basepri, %0" ::"r"(0));
  for (volatile int i = 0; i < 200; ++i) {}                                    // 1 20 21 10
  __asm volatile("cpsid i");
  Both(0x80, 0x80);
  RESULT[step++] = 2;
  __asm volatile("cpsie i\\n nop\\n nop");
  RESULT[step++] = 3;                                                        // 2 20 21 10 3
}"""
    result = run_to_end(VirtualDaisy(build(source)))
    assert result[:12] == [20, 21, 10, 1, 20, 21, 10, 2, 20, 21, 10, 3]


def test_a_new_float_context_begins_with_fpdscr(build):
    """What VMSR sets in the thread does not hold in a handler: FPDSCR does."""
    source = """
void Interrupt0(void) { uint32_t v; __asm volatile("vmrs %0, fpscr" : "=r"(v)); RESULT[0] = v; }
void Main(void) {
  __asm volatile("vmsr fpscr, %0" ::"r"(1u << 24));
  REG(0xE000EF3C) = 1u << 25;
  REG(NVIC + 0x100) = 1; REG(NVIC + 0x200) = 1;
  for (volatile int i = 0; i < 100; ++i) {}
  uint32_t v; __asm volatile("vmrs %0, fpscr" : "=r"(v)); RESULT[1] = v;
}"""
    result = run_to_end(VirtualDaisy(build(source)))
    assert [value >> 24 & 3 for value in result[:2]] == [2, 1]


def timed(body: str) -> str:
    """A program that leaves in RESULT how many cycles `body` takes."""
    start, end = "const uint32_t before = REG(DWT + 4);", "RESULT[0] = REG(DWT + 4) - before;"
    return main_of(f"REG(0xE000EDFC) = 1 << 24; REG(DWT) = 1;\n{start}\n{body}\n{end}")


def test_cycles_are_counted_by_instructions(build):
    loop = "mov r0, #10000\\n 1: nop\\n nop\\n nop.w\\n nop.w\\n nop.w\\n nop\\n subs r0, #1\\n bne 1b"
    cycles = run_to_end(VirtualDaisy(build(timed(f'__asm volatile("{loop}" ::: "r0");'))))[0]
    assert cycles == pytest.approx(80_000 / 1.87, abs=10)


def test_a_wait_for_the_cycle_counter_ends_less_than_240_cycles_late(build):
    """Half a microsecond at 480 MHz: what it would do until then is not run, but counted."""
    daisy = VirtualDaisy(build(timed("while (REG(DWT + 4) - before < 1000000) {}")))
    waited = run_to_end(daisy)[0]
    assert 1_000_000 <= waited < 1_000_240
    assert daisy.chip.executed == pytest.approx(1.87 * waited, abs=1000)


def test_sleep_passes_time_and_not_the_cycle_counter(build):
    source = """
void Main(void) {
  Clocks();
  SerialPort();
  REG(0xE000EDFC) = 1 << 24; REG(DWT) = 1;
  REG(USART1) |= 1 << 4; REG(NVIC + 0x104) = 1 << 5; __asm volatile("cpsid i");
  const uint32_t before = REG(DWT + 4);
  __asm volatile("wfi");
  RESULT[0] = REG(DWT + 4) - before;
}"""
    daisy = VirtualDaisy(build(source))
    daisy.run(0.01)
    slept_until = 0.5
    daisy.run(slept_until - daisy.seconds)
    daisy.serial.write(b"x")
    assert run_to_end(daisy)[0] < 50
    assert daisy.seconds == pytest.approx(slept_until + 20e-6, abs=2e-6)


def test_runs_repeat_to_the_cycle(build):
    ends = []
    for _ in range(2):
        daisy = VirtualDaisy(build(PASS_THROUGH))
        out = daisy.play(wave(100), LATENCY)
        ends.append((daisy.cycles, daisy.chip.executed, daisy.seconds, out.tobytes()))
    assert ends[0] == ends[1]


# --- clocks and audio ---


def test_clocks_are_what_is_programmed(build):
    daisy = VirtualDaisy(build(PASS_THROUGH))
    assert daisy.run_until(lambda: daisy.chip.sai.streaming, 0.1)
    assert daisy.chip.rcc.core_hertz == 480_000_000
    assert daisy.chip.rcc.bus_hertz(1) == 120_000_000
    assert daisy.codec.sample_rate_hz == 16e6 / 4 * (49 + 1245 / 8192) / 16 / 256
    start = daisy.chip.sai.frames, daisy.cycles
    daisy.hold = False
    daisy.run(0.01)
    assert daisy.chip.sai.frames - start[0] == 479  # of 480 the last is not yet whole
    assert daisy.cycles - start[1] == pytest.approx(4_800_000, abs=50)


def test_audio_comes_back_to_the_bit_and_in_chunks(build):
    samples = wave(20 * BLOCK)
    whole = VirtualDaisy(build(PASS_THROUGH))
    assert np.array_equal(whole.play(samples, LATENCY), samples)
    parts = VirtualDaisy(build(PASS_THROUGH))
    chunks = [parts.play(samples[at : at + 5 * BLOCK], LATENCY) for at in range(0, len(samples), 5 * BLOCK)]
    assert np.array_equal(np.concatenate(chunks), samples)
    assert parts.cycles == whole.cycles
    both = whole.play_both(np.stack([samples, -samples - 1], 1), LATENCY)
    assert np.array_equal(both[:, 0], samples) and np.array_equal(both[:, 1], -samples - 1)


def test_without_hold_frames_pass_all_the_time(build):
    daisy = VirtualDaisy(build(PASS_THROUGH))
    daisy.run(0.01)
    assert daisy.chip.sai.frames == 0
    ramp = iter(range(1000))
    daisy.source = lambda: (value := next(ramp), value)
    daisy.hold = False
    daisy.run(0.005)
    heard = [left for left, _ in daisy.recording]
    assert len(heard) == 239
    assert heard[LATENCY:] == list(range(len(heard) - LATENCY))


def test_the_dma_interrupts_when_a_half_is_full(build):
    counted = PASS_THROUGH.replace("const int half", "RESULT[0] += 1;\n  const int half").replace(
        "  Audio", "  RESULT[0] = 0; Audio"
    )
    daisy = VirtualDaisy(build(counted))
    for frames, interrupts in ((BLOCK - 1, 0), (1, 1), (BLOCK - 1, 1), (1, 2), (BLOCK, 3)):
        daisy.play(wave(frames))
        daisy.run(1e-5)
        assert daisy.chip.read_word(RESULT) == interrupts


def test_a_program_that_is_late_is_heard_late(build):
    """An interrupt that takes longer than a block repeats old samples, as on the chip."""
    slow = PASS_THROUGH.replace("const int half", "for (volatile int i = 0; i < 60000; ++i) {}\n  const int half")
    samples = wave(10 * BLOCK)
    assert not np.array_equal(VirtualDaisy(build(slow)).play(samples, LATENCY), samples)


def test_snapshots_take_the_machine_back(build):
    daisy = VirtualDaisy(build(PASS_THROUGH))
    daisy.play(wave(64), LATENCY)
    saved = daisy.save()
    first = daisy.play(wave(64, 1), LATENCY)
    end = daisy.cycles, daisy.chip.executed
    for leave in (lambda: daisy.run(0.001), daisy.power_cycle, daisy.reset):
        leave()
        daisy.restore(saved)
        assert np.array_equal(daisy.play(wave(64, 1), LATENCY), first)
        assert (daisy.cycles, daisy.chip.executed) == end


WM8731_SETUP = """
static void Write(uint32_t value) {
  REG(I2C2 + 4) = 0x1A << 1 | 2 << 16 | 1 << 25 | 1 << 13;
  Wait(I2C2 + 0x18, 2, 2); REG(I2C2 + 0x28) = value >> 8;
  Wait(I2C2 + 0x18, 2, 2); REG(I2C2 + 0x28) = value & 0xFF;
  Wait(I2C2 + 0x18, 32, 32); REG(I2C2 + 0x1C) = 32;
}
static void SetUpCodec(void) {
  Enable(0xE0, 1 << 1 | 1 << 7);
  REG(GPIOB + 4) |= 1 << 11; REG(GPIOH + 4) |= 1 << 4;
  Alternate(GPIOB, 11, 4); Alternate(GPIOH, 4, 4);
  Enable(0xE8, 1 << 22);
  REG(I2C2 + 0x10) = 0xB0005454;                // 120 MHz / 12 / (85 + 85): 59 kHz
  REG(I2C2) = 1;
  static const uint16_t registers[] = {0x1E00, 0x0017, 0x0217, 0x0812, 0x0A00, 0x0C62, 0x0E09, 0x1000, 0x1201};
  for (int i = 0; i < 9; ++i) Write(registers[i]);
}
"""
REV5 = (
    (WM8731_SETUP + PASS_THROUGH)
    .replace("  Audio();", "  SetUpCodec(); Memories(); Enable(0xE0, 1 << 4); SaiFormat(); Swap(); AudioStart(); Go();")
    .replace(
        "void Main",
        """static void Swap(void) {
  SaiBlock(SAI1 + 0x04, 1);
  SaiBlock(SAI1 + 0x24, 2 | 1 << 10);
  Enable(0xD8, 1);
  Stream(0, 88, 2 << 11 | 2 << 13 | 1 << 6, SAI1 + 0x40, TX, 4 * BLOCK);
  Stream(1, 87, 2 << 11 | 2 << 13 | 1 << 3 | 1 << 4, SAI1 + 0x20, RX, 4 * BLOCK);
}
static void Go(void) { REG(NVIC + 0x100) = 1 << 12; }
void Main""",
    )
)


def test_each_board_revision_plays(build):
    samples = wave(4 * BLOCK)
    assert np.array_equal(VirtualDaisy(build(REV5), SEED_REV5).play(samples, LATENCY), samples)
    low = PASS_THROUGH.replace("  Audio();", "  Enable(0xE0, 2); Output(GPIOB, 11, 0); Audio2();").replace(
        "void Main",
        "#define CodecReset() Enable(0xE0, 1 << 4)\n#define Audio2() "
        "Memories(); CodecReset(); SaiFormat(); AudioStreams(); AudioStart(); REG(NVIC + 0x100) = 1 << 12\nvoid Main",
    )
    assert np.array_equal(VirtualDaisy(build(low), SEED_2_DFM).play(samples, LATENCY), samples)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("0x0E09", "0x0E0A", "speaks left-justified, the codec I2S"),
        ("0x0A00", "0x0A08", "R5.DACMU mutes"),
        ("0x0812", "0x0802", "R4.DACSEL is clear"),
        ("0x0C62", "0x0C66", "powered down"),
        ("0x1000", "0x1002", "not normal mode"),
        ("0x1201", "0x1200", "ACTIVE is not set"),
        ("0x0E09, 0x1000, 0x1201", "0x1201, 0x0E09, 0x1000", "R7 changed while R9.ACTIVE"),
        ("0x1E00", "0x1E01", "only 0 resets"),
    ],
)
def test_the_wm8731_has_to_be_set_up(build, old, new, message):
    with pytest.raises(ChipError, match=message):
        VirtualDaisy(build(REV5.replace(old, new)), SEED_REV5).play(wave(8), LATENCY)


# --- what the manual forbids ---

AUDIO_STEPS = "Clocks(); Memories(); CodecReset(); SaiFormat(); AudioStreams();"
FORBIDDEN = {
    "unmapped": ("RESULT[0] = REG(0x70000000);", "read of 0x70000000: no memory is there"),
    "no model": ("REG(0x40000000) = 1;", "where no peripheral is modelled"),
    "no register": ("REG(RCC + 0x14) = 1;", "RCC: write at offset 0x14, where no register is modelled"),
    "clock off": ("REG(GPIOA) = 0;", "GPIOA: write of MODER while the peripheral's clock is off"),
    "clock just on": ("REG(RCC + 0xE0) = 1; REG(GPIOA + 4) = 1;", "right after its clock was switched on"),
    "reserved bit": ("REG(RCC + 0x18) = 1u << 31;", "reserved bits 31 change"),
    "width": ("BYTE(SAI1 + 4) = 0;", "clock is off|8 bits"),
    "width of a register": ("Enable(0xF0, 1 << 22); BYTE(SAI1 + 4) = 0;", "write of ACR1 with 8 bits"),
    "flash is not memory": ("REG(0x08000100) = 0;", "write of 0x0 to 0x08000100"),
    "memory without clock": ("REG(0x30000000) = 1;", "SRAM1 has no clock"),
    "undefined": ('__asm volatile(".hword 0xDE00");', "undefined instruction"),
    "no code": ("((void (*)(void))0x24000001)();", "instruction fetch from 0x24000000"),
    "FPU off": (
        'REG(0xE000ED88) = 0; __asm volatile("dsb\\n isb\\n vmov.f32 s0, #1.0");',
        "floating point instruction while",
    ),
    "PLL without source": ("REG(RCC + 0x28) = 0x02020202; REG(RCC) |= 1 << 24;", "before its source HSE is ready"),
    "SYSCLK not ready": ("REG(RCC + 0x10) = 3;", "SYSCLK is clocked by PLL1, which is not locked"),
    "PLL changed": ("Clocks(); REG(RCC + 0x30) = 0x01010280;", "DIVN1 changed while PLL1 is on"),
    "fraction not latched": (
        "Crystal(); REG(RCC + 0x44) = 8; REG(RCC + 0x28) = 4 << 20 | 2; REG(RCC + 0x2C) = 0x01FF0000 | 2 << 10;"
        "REG(RCC) |= 1 << 28;",
        "FRACN3 = 1 is not latched",
    ),
    "VOS too low": ("Crystal(); Plls(); Switch();", "at VOS3, which allows|no latency"),
    "VOS0 too early": ("Enable(0xF4, 2); REG(SYSCFG + 0x2C) = 1;", "ODEN set before VOS1"),
    "VOS before supply": ("REG(PWR + 0x18) = 3 << 14;", "before ACTVOSRDY"),
    "supply twice": ("Supply(); REG(PWR + 0x0C) = 6;", "only once after power-on"),
    "latency": ("Supply(); Crystal(); Plls(); REG(FLASH) = 0; Switch2();", "LATENCY 0 with WRHIGHFREQ 0 is too little"),
    "APB too fast": (
        "Supply(); Crystal(); Plls(); REG(RCC + 0x18) = 8; REG(RCC + 0x10) = 3;",
        "an APB clock of 240 MHz",
    ),
    "source off": ("Clocks(); REG(RCC) &= ~(1u << 16);", "HSE switched off while"),
    "backup locked": ("Enable(0xF4, 1 << 16); REG(RTC + 0x50) = 1;", "DBP is clear"),
    "debug port": ("Enable(0xE0, 1); REG(GPIOA) &= ~(3u << 26);", "takes PA13 away from the debug port"),
    "short circuit": ("Enable(0xE0, 1 << 3); Output(GPIOD, 3, 1);", None),
    "interrupt number": ("REG(NVIC + 0x110) = 1u << 30;", "interrupt 158 does not exist"),
    "VTOR": ("REG(0xE000ED08) = 0x08000080;", "not aligned to the table's 1024"),
    "AIRCR": ("REG(0xE000ED0C) = 4;", "without the key"),
    "D-cache": ("REG(0xE000ED14) |= 1 << 16;", "before all its sets and ways are invalidated"),
    "I-cache": ("REG(0xE000ED14) |= 1 << 17;", "before it is invalidated"),
    "MPU alignment": (
        "REG(0xE000ED98) = 0; REG(0xE000ED9C) = 0x20000100; REG(0xE000EDA0) = 9 << 1 | 1;",
        "not aligned to its 1024 bytes",
    ),
    "DMA to DTCM": (
        "Clocks(); Enable(0xD8, 1); Stream(2, 9, 1 << 11 | 1 << 13, 0, (void*)0x20000000, 4);",
        "does not reach",
    ),
    "DMA changed": (AUDIO_STEPS + "REG(DMA1 + 0x14) = 1;", "S0NDTR written while the stream is enabled"),
    "DMA flags": (
        AUDIO_STEPS + "REG(DMA1 + 0x10) &= ~1u; Wait(DMA1 + 0x10, 1, 0); REG(DMA1 + 0x10) |= 1;",
        "while flags of its last transfer are set",
    ),
    "DMA without request": ("Enable(0xD8, 1); REG(DMA1 + 0x14) = 4; REG(DMA1 + 0x10) = 1;", "selects no request"),
    "DMA wrong register": (
        "Clocks(); Memories(); Enable(0xD8, 1); Stream(0, 87, 2 << 11 | 2 << 13 | 1 << 6, SAI1 + 0x40, TX, 8);",
        "PAR is not SAI1_A's data register",
    ),
    "DMA clocks": ("REG(DMA1 + 0x10) = 0;", "clock is off"),
    "cached DMA": (
        AUDIO_STEPS + "for (uint32_t w = 0; w < 4; ++w) for (uint32_t s = 0; s < 128; ++s)"
        " REG(0xE000EF60) = w << 30 | s << 5; REG(0xE000ED14) |= 1 << 16;",
        "which the data cache may hold",
    ),
    "SAI before DMA": (AUDIO_STEPS.replace("AudioStreams();", "") + "AudioStart();", "while no DMA stream serves it"),
    "SAI master first": (
        AUDIO_STEPS + "Set(SAI1 + 4, 1 << 17); Set(SAI1 + 4, 1 << 16);",
        "before its synchronous slave",
    ),
    "SAI empty": (AUDIO_STEPS + "Set(SAI1 + 0x24, 1 << 16); Set(SAI1 + 4, 1 << 16);", "with an empty FIFO"),
    "SAI pins": (AUDIO_STEPS + "Alternate(GPIOE, 6, 5); AudioStart();", "PE6 has to be in alternate function 6"),
    "SAI format": (
        AUDIO_STEPS + "REG(SAI1 + 0x0C) = 63 | 31 << 8 | 5 << 16; AudioStart();",
        "speaks I2S, the codec left",
    ),
    "SAI edge": (AUDIO_STEPS + "REG(SAI1 + 4) &= ~(1u << 9); AudioStart();", "CKSTR = 0"),
    "SAI clock": (AUDIO_STEPS + "REG(RCC + 0x50) = 0; AudioStart();", "a frame rate of|MCLK"),
    "SAI changed": (AUDIO_STEPS + "AudioStart(); REG(SAI1 + 0x0C) = 0x2001F3F;", "reserved|while the block runs"),
    "codec in reset": (AUDIO_STEPS + "REG(GPIOB + 0x18) = 1u << 27; AudioStart();", "AK4556: held in power-down"),
    "USART off": (
        "Clocks(); SerialPort(); REG(USART1) = 0; REG(USART1 + 0x28) = 65;",
        "TDR written while the transmitter is off",
    ),
    "USART full": (
        "Clocks(); SerialPort(); for (int i = 0; i < 20; ++i) REG(USART1 + 0x28) = i;",
        "TDR written while it is full",
    ),
    "USART baud": (
        "Clocks(); Enable(0xE0, 2); Enable(0xF0, 16); REG(USART1 + 0x0C) = 100; REG(USART1) = 1;",
        "1.2e.06 baud",
    ),
    "USART pins": (
        "Clocks(); Enable(0xE0, 2); Enable(0xF0, 16); REG(USART1 + 0x0C) = 120; REG(USART1) = 9;",
        "PB6 has to be",
    ),
    "watchdog key": ("REG(IWDG1 + 4) = 3;", "without the key 0x5555"),
    "watchdog busy": ("REG(IWDG1) = 0x5555; REG(IWDG1 + 4) = 3; REG(IWDG1 + 4) = 2;", "is not done"),
    "I2C timing": ("Clocks(); Enable(0xE8, 1 << 22); REG(I2C2) = 1;", "TIMINGR is 0"),
    "I2C pins": (
        "Clocks(); Enable(0xE0, 0x82); Enable(0xE8, 1 << 22); REG(I2C2 + 0x10) = 0xB0005454; REG(I2C2) = 1;",
        "PH4 has",
    ),
    "QUADSPI pins": (
        "Clocks(); Enable(0xD4, 1 << 14); REG(QUADSPI) = 5 << 24 | 1;",
        "clock is off|has to be in alternate",
    ),
    "QUADSPI busy": (
        "Clocks(); FlashPins(); REG(QUADSPI + 0x14) = 0x106; REG(QUADSPI + 0x14) = 0x106;",
        "while BUSY is set",
    ),
    "QUADSPI end": (
        "Clocks(); FlashPins(); REG(QUADSPI + 0x14) = 0x2520; REG(QUADSPI + 0x18) = 0x800000;",
        "beyond the flash's end",
    ),
    "QUADSPI fast": ("Clocks(); FlashPins(); REG(QUADSPI) = 1; REG(QUADSPI + 0x14) = 0x106;", "WREN at 240 MHz"),
    "flash without WREN": (
        "Clocks(); FlashPins(); REG(QUADSPI + 0x14) = 0x2520; REG(QUADSPI + 0x18) = 0; for (;;) {}",
        "without WREN",
    ),
    "flash without QE": (
        "Clocks(); FlashPins(); REG(QUADSPI + 0x14) = 1 << 26 | 3 << 24 | 8 << 18 | 0x256B; REG(QUADSPI + 0x18) = 0;",
        "while QE is clear",
    ),
    "flash dummy cycles": (
        "Clocks(); FlashPins(); REG(QUADSPI + 0x14) = 1 << 26 | 1 << 24 | 0x250B; REG(QUADSPI + 0x18) = 0;",
        "FRD with 0 dummy cycles, it takes 8",
    ),
    "flash busy": (
        "Clocks(); FlashPins(); Instruction(6); REG(QUADSPI + 0x14) = 0x2520; REG(QUADSPI + 0x18) = 0;"
        "Wait(QUADSPI + 8, 32, 0); Instruction(6);",
        "WREN while WIP is set",
    ),
    "ADC regulator": (
        "Clocks(); Enable(0xD8, 32); REG(ADC1 + 8) = 0; REG(ADC1 + 8) = 1 << 28; REG(ADC1 + 8) |= 1;",
        "before the regulator",
    ),
    "ADC deep power down": ("Clocks(); Enable(0xD8, 32); REG(ADC1 + 8) = 1 << 28;", "before DEEPPWD is cleared"),
    "ADC calibration": (
        "Clocks(); Enable(0xD8, 32); REG(ADC1 + 8) = 0; REG(ADC1 + 8) = 1 << 28;"
        "for (volatile int i = 0; i < 3000; ++i) {} REG(ADC1 + 8) |= 1;",
        "without a calibration",
    ),
}


@pytest.mark.parametrize("name", [name for name, (_, message) in FORBIDDEN.items() if message])
def test_what_the_manual_forbids_ends_the_run(build, name):
    body, message = FORBIDDEN[name]
    source = main_of(body)
    if "Switch2" in body:
        source = "static void Switch2(void) { REG(RCC + 0x18) = 8 | 4 << 4; REG(RCC + 0x1C) = 0x440;" + (
            " REG(RCC + 0x20) = 4 << 4; REG(RCC + 0x10) = 3; }\n" + source
        )
    with pytest.raises(ChipError, match=message) as caught:
        VirtualDaisy(build(source)).run(0.2)
    assert "bkpt" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_error_names_the_function_and_the_line(build):
    source = "static void __attribute__((noinline)) Culprit(void) {\n  REG(GPIOA + 4) = 1;\n}\n" + main_of("Culprit();")
    with pytest.raises(ChipError, match=r"at 0x080\w+ in Culprit \(program.c:3\)"):
        VirtualDaisy(build(source)).run(0.1)
    with pytest.raises(ChipError, match=r"at 0x080\w+$"):
        VirtualDaisy(build(source).read_bytes()).run(0.1)


def test_the_mpu_guards_pages_and_less(build):
    region = "REG(0xE000ED98) = 0; REG(0xE000ED9C) = %s; REG(0xE000EDA0) = %s << 1 | 1; REG(0xE000ED94) = 5;"
    page = main_of(region % ("0x20000400", 9) + "RESULT[0] = REG(0x20000400);")
    with pytest.raises(ChipError, match="MPU region 0 forbids it"):
        VirtualDaisy(build(page)).run(0.1)
    part = main_of(region % ("0x20000440", 5) + "REG(0x20000440) = 1; for (;;) {}")
    with pytest.raises(ChipError, match="guard at 0x20000440"):
        VirtualDaisy(build(part)).run(0.1)
    beside = main_of(region % ("0x20000440", 5) + "REG(0x20000480) = 1;")
    run_to_end(VirtualDaisy(build(beside)))


# --- serial line, controls, watchdog, resets ---

ECHO = main_of("""
  Clocks();
  SerialPort();
  for (;;) {
    Wait(USART1 + 0x1C, 1 << 5, 1 << 5);
    const uint32_t byte = REG(USART1 + 0x24);
    Wait(USART1 + 0x1C, 1 << 7, 1 << 7);
    REG(USART1 + 0x28) = byte + 1;
  }""")


def test_the_serial_line_carries_bytes_at_its_speed(build):
    daisy = VirtualDaisy(build(ECHO))
    daisy.run(0.01)
    start = daisy.seconds
    daisy.serial.timeout = 1.0
    assert daisy.serial.write(bytes(range(100))) == 100
    assert daisy.serial.read(100) == bytes(range(1, 101))
    assert daisy.seconds - start == pytest.approx(101 * 10e-6, rel=0.02)
    daisy.serial.timeout = 0.05
    start = daisy.seconds
    assert daisy.serial.read(1) == b""
    assert daisy.seconds - start == pytest.approx(0.05, rel=0.01)
    assert daisy.serial.in_waiting == 0


def test_the_idle_line_interrupts(build):
    source = ECHO.replace(
        "SerialPort();",
        """SerialPort();
  REG(USART1) |= 1 << 4; REG(NVIC + 0x104) = 1 << 5; __asm volatile("cpsid i"); RESULT[0] = 0;
  for (;;) {
    __asm volatile("wfi");
    RESULT[0] += 1;
    while (REG(USART1 + 0x1C) & 32) RESULT[1] = REG(USART1 + 0x24);
    REG(USART1 + 0x20) = 16;
    REG(NVIC + 0x284) = 32;
  }""",
    )
    daisy = VirtualDaisy(build(source))
    daisy.run(0.01)
    for _ in range(3):
        daisy.serial.write(b"abc")
        daisy.run(0.001)
    assert [daisy.chip.read_word(RESULT + at) for at in (0, 4)] == [3, ord("c")]
    daisy.serial.write(b"d")
    daisy.run(15e-6)
    daisy.serial.write(b"e")  # begins before the line has been idle for a character
    daisy.run(15e-6)
    assert daisy.chip.read_word(RESULT) == 3
    daisy.run(15e-6)
    assert [daisy.chip.read_word(RESULT + at) for at in (0, 4)] == [4, ord("e")]


def test_knobs_reach_the_dma_buffer(build):
    daisy = VirtualDaisy(build(main_of("Clocks(); Memories(); Adc(); for (;;) {}")))
    daisy.pots[:] = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    daisy.run(0.1)
    read = np.frombuffer(daisy.chip.read_bytes(0x30042000, 12), np.uint16)
    assert read.tolist() == [0, 13107, 26214, 39321, 52428, 65535]


def test_footswitches_and_leds(build):
    source = main_of("""
  Enable(0xE0, 1 | 8);
  REG(GPIOA) &= ~3u; REG(GPIOA + 12) |= 1;      // PA0: input, pull-up
  Output(GPIOA, 5, 0);
  uint32_t last = 1; RESULT[0] = 0;
  for (;;) {
    const uint32_t now = REG(GPIOA + 0x10) & 1;
    RESULT[0] += now != last;
    REG(GPIOA + 0x18) = now ? 1u << 21 : 1u << 5;
    last = now;
  }""")
    daisy = VirtualDaisy(build(source))
    daisy.run(0.001)
    assert daisy.leds == (False, False)
    daisy.press(1)
    daisy.run(0.001)
    assert daisy.leds == (True, False)
    assert daisy.brightness(1, 0.002) == pytest.approx(0.5, abs=0.01)
    daisy.release(1, bounce_seconds=0.002, seed=1)
    daisy.run(0.005)
    assert daisy.leds == (False, False)
    assert daisy.chip.read_word(RESULT) > 4
    with pytest.raises(ChipError, match="floats"):
        daisy.press(2)


def test_an_output_against_a_closed_switch_is_a_short_circuit(build):
    daisy = VirtualDaisy(build(main_of("Enable(0xE0, 8); Output(GPIOD, 3, 1);")), SEED_REV5)
    with pytest.raises(ChipError, match="PD3 drives 1 against 0"):
        daisy.run(0.1)


def test_the_watchdog_bites_when_it_is_not_fed(build):
    source = main_of("""
  REG(IWDG1) = 0xCCCC; REG(IWDG1) = 0x5555;
  REG(IWDG1 + 4) = 0; REG(IWDG1 + 8) = 799;     // 800 * 4 / 32 kHz: 100 ms
  Wait(IWDG1 + 12, 7, 0);
  REG(IWDG1) = 0xAAAA;
  for (int i = 0; i < 50; ++i) { for (volatile int k = 0; k < 50000; ++k) {} REG(IWDG1) = 0xAAAA; }
  for (;;) {}""")
    daisy = VirtualDaisy(build(source))
    with pytest.raises(WatchdogReset, match=r"not fed for 0.100 s"):
        daisy.run(2.0)
    fed = 50 * 50_000 * 5 / 1.87 / 64e6
    assert fed < daisy.seconds < 2 * fed + 0.2
    assert daisy.resets == ["watchdog"]
    assert daisy.chip.rcc["RSR"] >> 26 & 1


def test_a_reset_keeps_ram_and_backup_registers_and_a_power_cycle_does_not(build):
    source = main_of("""
  Enable(0xF4, 1 << 16);
  REG(PWR) |= 1 << 8;
  if (REG(RTC + 0x50) == 0x1234 && RESULT[1] == 0x5678) return;
  REG(RTC + 0x50) = 0x1234;
  RESULT[1] = 0x5678;
  REG(0xE000ED0C) = 0x05FA0004;
  for (;;) {}""")
    daisy = VirtualDaisy(build(source))
    run_to_end(daisy)
    assert daisy.resets == ["software"]
    daisy.power_cycle()
    assert daisy.chip.read_word(RESULT + 4) != 0x5678
    run_to_end(daisy)
    assert daisy.resets == ["software"]
    daisy.reset()
    run_to_end(daisy)
    assert daisy.resets == ["software", "pin"]


def test_a_jump_to_system_memory_is_the_boot_loader(build):
    source = main_of("((void (*)(void))REG(0x1FF09804))();")
    with pytest.raises(InBootloader):
        VirtualDaisy(build(source)).run(0.1)


# --- external flash ---

WRITE_FLASH = """
void Main(void) {
  Clocks();
  FlashPins();
  static uint8_t data[256];
  for (int i = 0; i < 256; ++i) data[i] = i;
  Erase(0x1000);
  Program(0x1080, data, 200);                   // wraps at the page's end
  data[0] = 0x0F;
  Program(0x1080, data, 1);
  REG(QUADSPI + 0x10) = 2;
  REG(QUADSPI + 0x14) = 1 << 26 | 1 << 24 | 1 << 8 | 0x9F;
  for (int i = 0; i < 3; ++i) RESULT[i] = BYTE(QUADSPI + 0x20);
  Wait(QUADSPI + 8, 32, 0);
  data[0] = 0x40;
  Instruction(6);
  REG(QUADSPI + 0x10) = 0;
  REG(QUADSPI + 0x14) = 1 << 24 | 1 << 8 | 0x01;
  BYTE(QUADSPI + 0x20) = 0x40;                  // QE
  Wait(QUADSPI + 8, 32, 0);
  while (Status() & 1) {}
  REG(QUADSPI + 0x10) = 7;
  REG(QUADSPI + 0x14) = 1 << 26 | 3 << 24 | 4 << 18 | 3 << 14 | 2 << 12 | 3 << 10 | 1 << 8 | 0xEB;
  REG(QUADSPI + 0x18) = 0x107E;
  RESULT[4] = REG(QUADSPI + 0x20);
  RESULT[5] = REG(QUADSPI + 0x20);
  Wait(QUADSPI + 8, 32, 0);
}
"""


def test_flash_is_erased_programmed_and_read(build):
    daisy = VirtualDaisy(build(WRITE_FLASH), flash=bytes(2 * SECTOR))
    result = run_to_end(daisy)
    assert result[:3] == [0x9D, 0x60, 0x17]
    page = np.full(256, 0xFF, np.uint8)
    page[(0x80 + np.arange(200)) % 256] = np.arange(200)
    page[0x80] &= 0x0F
    contents = np.frombuffer(daisy.flash.contents, np.uint8)
    assert np.array_equal(contents[0x1000:0x1100], page)
    assert not contents[:0x1000].any() and (contents[0x1100:] == 0xFF).all()
    assert result[4] == int.from_bytes(contents[0x107E:0x1082].tobytes(), "little")
    assert result[5] == int.from_bytes(contents[0x1082:0x1086].tobytes(), "little")
    assert daisy.flash.status == QE
    assert daisy.seconds > 70e-3 + 2 * 0.2e-3 + 2e-3


@pytest.mark.parametrize("after", [0, 640, 4095, 4096, 4196, 4295])
def test_power_is_cut_where_it_is_told(build, after):
    old = np.random.default_rng(3).integers(0, 256, 2 * SECTOR, np.uint8)
    daisy = VirtualDaisy(build(WRITE_FLASH), flash=old.tobytes())
    daisy.flash.power_fails_after = after
    with pytest.raises(PowerCut):
        daisy.run(1.0)
    left = np.frombuffer(daisy.flash.contents, np.uint8)[: 2 * SECTOR]
    assert np.array_equal(left[:SECTOR], old[:SECTOR])
    if after < SECTOR:
        assert (left[SECTOR:] & old[SECTOR:] == old[SECTOR:]).all()  # an erase only raises bits
        assert (after == 0) == np.array_equal(left, old)
        assert not (left[SECTOR:] == 0xFF).all()
    else:
        written = after - SECTOR
        expected = (0x80 + np.arange(200)) % 256
        assert np.array_equal(left[SECTOR:][expected[:written]], np.arange(written))
        assert (left[SECTOR:][expected[written + 1 :]] == 0xFF).all()
    again = VirtualDaisy(build(WRITE_FLASH), flash=daisy.flash.contents)
    run_to_end(again)


def test_the_power_cuts_repeat(build):
    lefts = set()
    for _ in range(2):
        daisy = VirtualDaisy(build(WRITE_FLASH), flash=bytes(2 * SECTOR))
        daisy.flash.power_fails_after = 1000
        with pytest.raises(PowerCut):
            daisy.run(1.0)
        lefts.add(daisy.flash.contents)
    assert len(lefts) == 1


def test_flash_contents_have_the_flash_s_size(build):
    with pytest.raises(ValueError, match="8388608 bytes"):
        FlashMemory(VirtualDaisy(build(WRITE_FLASH)).chip, bytes(8 * 1024 * 1024 + 1))


# --- the link ---


def test_the_link_keeps_the_flash_in_a_file(build, tmp_path):
    source = PASS_THROUGH.replace("  Audio();", "  FlashPins(); Program(0, (const uint8_t*)0x08000000, 16); Audio();")
    image, flash_file = build(source), tmp_path / "flash.bin"
    with VirtualDaisyLink(image, flash_file) as link:
        link.rest(0.01)
        assert link.daisy.chip.sai.frames == pytest.approx(480, abs=2)
    assert flash_file.read_bytes()[:17] == image.read_bytes()[:16] + b"\xff"
    with VirtualDaisyLink(build(PASS_THROUGH), flash_file) as link:
        assert link.daisy.flash.contents == flash_file.read_bytes()
    with pytest.raises(InputError, match="no such firmware"):
        VirtualDaisyLink(tmp_path / "none.bin")
    for size in (20_000, 9_000_000):
        flash_file.write_bytes(bytes(size))
        with pytest.raises(InputError, match="has 8388608"):
            VirtualDaisyLink(image, flash_file)
        assert flash_file.stat().st_size == size


def test_the_link_reports_what_stops_the_chip_in_one_line(build):
    source = PASS_THROUGH.replace("const int half", "REG(GPIOA) = 0; const int half")
    with VirtualDaisyLink(build(source)) as link, pytest.raises(InputError, match="has stopped: GPIOA: write of MODER"):
        link.rest(0.01)
