#include "boards/daisy/interrupts.h"

#include <array>

#include "boards/daisy/memory.h"
#include "boards/daisy/reset.h"

extern "C" {
extern const char __vectors[];  // by the linker script

void FaultHandler();
void AudioInterruptHandler();
void SerialInterruptHandler();
void UsbInterruptHandler();
}

namespace {

using Handler = void (*)();

constexpr std::array<Handler, oddity::kInterrupts> BoardVectors() {
  std::array<Handler, oddity::kInterrupts> vectors{};
  for (Handler& vector : vectors) vector = FaultHandler;
  vectors[oddity::kAudioInterrupt] = AudioInterruptHandler;
  vectors[oddity::kSerialInterrupt] = SerialInterruptHandler;
  vectors[oddity::kUsbInterrupt] = UsbInterruptHandler;
  return vectors;
}

[[gnu::section(".vectors.board"), gnu::used]] constexpr std::array<Handler, oddity::kInterrupts> kBoardVectors =
    BoardVectors();

// The ROM's bootloader may start the image from within its handler of the USB interrupt, which would then never be
// over.
void ResetIfWithinInterrupt() {
  uint32_t exception;
  __asm volatile("mrs %0, ipsr" : "=r"(exception));
  if (exception != 0) oddity::SystemReset();
}

// As after reset, wherever the chip comes from.
void QuietInterrupts() {
  using namespace oddity;
  SYSTICK->CSR = 0;
  SCB->ICSR = SCB_ICSR_PENDSTCLR;
  for (int word = 0; word < (kInterrupts + 31) / 32; ++word) {
    NVIC->ICER[word] = ~0u;
    NVIC->ICPR[word] = ~0u;
  }
  SCB->VTOR = reinterpret_cast<uint32_t>(__vectors);
  DataBarrier();
}

}  // namespace

// Startup calls it before all else; main() unmasks the interrupts.
extern "C" void BoardInitEarly() {
  oddity::EnterBootloaderIfAsked();
  ResetIfWithinInterrupt();
  oddity::MaskInterrupts();
  QuietInterrupts();
  oddity::InitMemory();
}
