// The pedal on QEMU's mps2-an500: a Cortex-M7 without a codec, whose audio comes from the host in protocol frames.
#include "boards/emulator/uart.h"
#include "boards/flash_in_ram.h"
#include "pedal/pedal.h"

namespace oddity {
namespace {

constexpr uint32_t kTimerHz = 25'000'000;
// QEMU's -icount shift=0 makes an instruction last 1 ns, so a tick of the timer is 40 instructions.
constexpr uint32_t kInstructionsPerTick = 1'000'000'000 / kTimerHz;
constexpr uint32_t kTicksUntilQuiet = 50;  // of 10 ms

Pedal pedal;
Uart uart(0x40004000);

auto* const timer = reinterpret_cast<volatile uint32_t*>(0x40000000);  // CMSDK timer: control, value, reload
auto* const systick = reinterpret_cast<volatile uint32_t*>(0xE000E010);
auto* const interrupt_control = reinterpret_cast<volatile uint32_t*>(0xE000ED04);
auto* const interrupt_enable = reinterpret_cast<volatile uint32_t*>(0xE000E100);
auto* const interrupt_clear_pending = reinterpret_cast<volatile uint32_t*>(0xE000E280);
constexpr uint32_t kUartReceiveInterrupt = 1;

void InitTimers() {
  timer[0] = 0;
  timer[2] = 0xffffffff;
  timer[1] = 0xffffffff;
  timer[0] = 1;
  systick[1] = kTimerHz / 100 - 1;
  systick[2] = 0;
  systick[0] = 7;
}

// With interrupts masked, one that is pending still ends the wait: the board needs no handler.
void WaitForInterrupt() { __asm volatile("wfi"); }

}  // namespace

const BoardDescription kBoard = {"emulator", CounterUnit::kInstructions, false, false};

// The emulator counts instructions, the chip's deadline is in cycles: per 100 cycles of the chip, the engines' code
// runs as many instructions as benchmarks/cortex_m7.py finds, the fixed engine in the largest models that fit.
uint32_t BoardBudgetPerFrame(EngineKind engine) {
  constexpr uint32_t kCyclesPerFrame = 480'000'000 / kSampleRateHz;
  return kCyclesPerFrame * (engine == EngineKind::kFixed ? 187 : 55) / 100;
}

uint32_t BoardCounter() { return (0xffffffff - timer[1]) * kInstructionsPerTick; }

void BoardSend(const uint8_t* data, size_t size) { uart.Write(data, size); }

// There is no audio interrupt, and the host makes the blocks.
uint32_t BoardLockAudio() { return 0; }
void BoardUnlockAudio(uint32_t) {}
void BoardSetBlock(size_t) {}
void BoardEnterBootLoader() {}

}  // namespace oddity

int main() {
  using namespace oddity;
  __asm volatile("cpsid i");
  InitTimers();
  uart.Init();
  *interrupt_enable = kUartReceiveInterrupt;
  pedal.Init();

  for (uint32_t quiet_ticks = 0;;) {
    *interrupt_clear_pending = kUartReceiveInterrupt;  // before reading: a byte after the last one pends it again
    while (uart.Readable()) {
      pedal.host.Receive(uart.Read());
      quiet_ticks = 0;
    }
    if (systick[0] & 1 << 16) {      // COUNTFLAG
      *interrupt_control = 1 << 25;  // SysTick is no longer pending
      if (++quiet_ticks == kTicksUntilQuiet) pedal.host.Quiet();
    }
    pedal.Service();
    WaitForInterrupt();
  }
}
