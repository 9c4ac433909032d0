// Resets: those that the firmware asks for, and what became of the last one.
#pragma once

#include <cstdint>

namespace oddity {

[[noreturn]] void SystemReset();

// To the ROM's bootloader, which speaks DFU over USB: a reset, after which startup jumps there.
[[noreturn]] void RebootToBootloader();

// First thing in startup, with the core as after reset.
void EnterBootloaderIfAsked();

enum class ResetCause : uint8_t { kPower, kPin, kSoftware, kWatchdog };

// Of the reset that led here. Asked once: it clears what it reads.
ResetCause TakeResetCause();

// A fault mutes the output, is noted here and ends in a reset; with a debugger attached it stops at a breakpoint.
struct Fault {
  uint32_t
      exception;     // Armv7-M's number: 2 NMI (the crystal stopped), 3 HardFault, 16 and more an unexpected interrupt
  uint32_t pc, lr;   // of the code that faulted
  uint32_t status;   // CFSR
  uint32_t address;  // which it could not access; 0: not known
};

// The fault that led to this start, if one did; it is told once.
bool TakeFault(Fault* fault);

}  // namespace oddity
