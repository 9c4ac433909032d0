// The six knobs: ADC1 converts them one after the other for ever and the DMA keeps the newest values (RM0433, chapter
// 25). A value is the sum of 64 conversions of 16 bits, by 64; a round takes 3.5 ms.
#pragma once

#include <cstdint>

namespace oddity {

class Adc {
 public:
  bool Init();  // false: the converter does not start

  uint16_t Read(int knob) const;  // 0 at ground, 65535 at 3.3 V
};

}  // namespace oddity
