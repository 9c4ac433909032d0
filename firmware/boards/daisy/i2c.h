// I2C2 as a master that writes, polled, 100 kHz (RM0433, chapter 47).
#pragma once

#include <cstddef>
#include <cstdint>

namespace oddity {

class I2c {
 public:
  void Init();

  // Up to 255 bytes. False: nobody at this address (7 bits), or the bus hangs.
  bool Write(uint8_t address, const uint8_t* data, size_t size);
};

}  // namespace oddity
