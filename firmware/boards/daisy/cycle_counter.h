// The core's cycle counter: 32 bits, wraps every 9 s at 480 MHz. All waiting is by it, and all waiting ends.
#pragma once

#include <cstdint>

#include "boards/daisy/registers.h"

namespace oddity {

constexpr uint32_t kCoreHz = 480'000'000;
constexpr uint32_t kCyclesPerMicrosecond = kCoreHz / 1'000'000;

inline void InitCycleCounter() {
  SetBits(*DEMCR, DEMCR_TRCENA);
  *DWT_LAR = DWT_LAR_KEY;  // the Cortex-M7's DWT is locked when the power comes on
  DWT->CYCCNT = 0;
  SetBits(DWT->CTRL, DWT_CTRL_CYCCNTENA);
}

inline uint32_t CycleCount() { return DWT->CYCCNT; }

// False if `condition` did not come true in that many cycles.
template <typename Condition>
bool WaitCycles(uint32_t cycles, Condition condition) {
  const uint32_t start = CycleCount();
  while (!condition()) {
    if (CycleCount() - start > cycles) return condition();
  }
  return true;
}

// The same by time, up to 8 s, for a core at 480 MHz.
template <typename Condition>
bool WaitMicroseconds(uint32_t microseconds, Condition condition) {
  return WaitCycles(microseconds * kCyclesPerMicrosecond, condition);
}

inline void DelayMicroseconds(uint32_t microseconds) {
  WaitMicroseconds(microseconds, [] { return false; });
}

}  // namespace oddity
