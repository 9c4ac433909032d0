// Words that outlive every reset but the loss of power, which clears them: the RTC's backup registers (RM0433, section
// 46.6.20). RAM would not do: it is cached, and the ROM's bootloader uses it.
#pragma once

#include <cstdint>

#include "boards/daisy/registers.h"

namespace oddity {

enum class Backup { kBootRequest, kFault, kFaultPc, kFaultLr, kFaultStatus, kFaultAddress };

inline uint32_t ReadBackup(Backup word) {
  EnableClock(RCC->APB4ENR, RCC_APB4ENR_RTCAPBEN);
  return RTC->BKPR[static_cast<int>(word)];
}

inline void WriteBackup(Backup word, uint32_t value) {
  EnableClock(RCC->APB4ENR, RCC_APB4ENR_RTCAPBEN);
  SetBits(PWR->CR1, PWR_CR1_DBP);
  while (!(PWR->CR1 & PWR_CR1_DBP)) {  // some bus cycles
  }
  RTC->BKPR[static_cast<int>(word)] = value;
}

}  // namespace oddity
