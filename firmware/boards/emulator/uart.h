// A CMSDK APB UART, polled (Cortex-M System Design Kit TRM, section 4.3).
#pragma once

#include <cstddef>
#include <cstdint>

namespace oddity {

class Uart {
 public:
  explicit Uart(uintptr_t base) : registers_(reinterpret_cast<volatile uint32_t*>(base)) {}

  void Init() {
    registers_[kBaudDivider] = 16;
    registers_[kControl] = kTransmitEnable | kReceiveEnable | kReceiveInterruptEnable;
  }

  bool Readable() const { return registers_[kState] & kReceiveFull; }

  uint8_t Read() {
    registers_[kInterruptClear] = kReceiveInterrupt;
    return static_cast<uint8_t>(registers_[kData]);
  }

  void Write(const uint8_t* data, size_t size) {
    for (size_t i = 0; i < size; ++i) {
      while (registers_[kState] & kTransmitFull) {
      }
      registers_[kData] = data[i];
    }
  }

 private:
  enum Register { kData, kState, kControl, kInterruptClear, kBaudDivider };
  static constexpr uint32_t kTransmitFull = 1, kReceiveFull = 2;
  static constexpr uint32_t kTransmitEnable = 1, kReceiveEnable = 2, kReceiveInterruptEnable = 8;
  static constexpr uint32_t kReceiveInterrupt = 2;
  volatile uint32_t* registers_;
};

}  // namespace oddity
