// Interrupts and their priorities: USB before audio, which would else starve it.
#pragma once

#include <cstdint>

#include "boards/daisy/registers.h"

namespace oddity {

constexpr uint32_t kUsbPriority = 4, kAudioPriority = 8, kSerialPriority = 12;   // of 16; the lowest is the most urgent
constexpr int kAudioInterrupt = 12, kSerialInterrupt = 37, kUsbInterrupt = 101;  // DMA1 stream 1, USART1, OTG_FS
constexpr int kInterrupts = 150;                                                 // RM0433, table 145

inline void MaskInterrupts() { __asm volatile("cpsid i" ::: "memory"); }
inline void UnmaskInterrupts() { __asm volatile("cpsie i" ::: "memory"); }

inline void EnableInterrupt(int number, uint32_t priority) {
  NVIC->IPR[number] = static_cast<uint8_t>(priority << 4);
  NVIC->ICPR[number / 32] = Bit(number % 32);
  DataBarrier();
  NVIC->ISER[number / 32] = Bit(number % 32);
}

inline void DisableInterrupt(int number) {
  NVIC->ICER[number / 32] = Bit(number % 32);
  DataBarrier();
  InstructionBarrier();
}

// From here on no interrupt of that priority comes, nor one less urgent. To be restored with what this gave.
inline uint32_t MaskInterruptsFrom(uint32_t priority) {
  uint32_t before;
  __asm volatile("mrs %0, basepri" : "=r"(before));
  __asm volatile("msr basepri_max, %0\n isb" ::"r"(priority << 4) : "memory");
  return before;
}
inline uint32_t MaskAudioInterrupt() { return MaskInterruptsFrom(kAudioPriority); }  // USB still comes
inline uint32_t MaskUsbInterrupt() { return MaskInterruptsFrom(kUsbPriority); }
inline void RestoreInterruptMask(uint32_t before) { __asm volatile("msr basepri, %0" ::"r"(before) : "memory"); }

// Sleeps until an interrupt is pending.
inline void WaitForInterrupt() {
  DataBarrier();
  __asm volatile("wfi" ::: "memory");
}

}  // namespace oddity
