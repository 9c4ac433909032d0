// The independent watchdog (RM0433, chapter 45): without Feed() for 2 s (by the LSI, 32 kHz) the chip is reset. Once
// started it cannot be stopped.
#pragma once

#include "boards/daisy/cycle_counter.h"
#include "boards/daisy/registers.h"

namespace oddity {

class Watchdog {
 public:
  void Init() {
    if (*DHCSR & DHCSR_C_DEBUGEN) FreezeWhileHalted();
    IWDG1->KR = IWDG_KR_START;
    IWDG1->KR = IWDG_KR_ACCESS;
    IWDG1->PR = IWDG_PR_DIV64;
    IWDG1->RLR = kLsiHz / 64 * kTimeoutSeconds - 1;
    WaitMicroseconds(10'000, [] { return IWDG1->SR == 0; });
    Feed();
  }

  void Feed() { IWDG1->KR = IWDG_KR_RELOAD; }

 private:
  static constexpr uint32_t kLsiHz = 32'000;
  static constexpr uint32_t kTimeoutSeconds = 2;

  static void FreezeWhileHalted() {
    SetBits(DBGMCU->CR, DBGMCU_CR_D3DBGCKEN);
    SetBits(DBGMCU->APB4FZ1, DBGMCU_APB4FZ1_WDGLSD1);
  }
};

}  // namespace oddity
