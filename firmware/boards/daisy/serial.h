// USART1, 8N1, to the host (RM0433, chapter 48). What comes in is written to a ring by the DMA, so that none is lost as
// long as Read() is called every 80 ms (at 1 Mbaud); when the line falls idle, an interrupt ends the main loop's sleep.
// What goes out is waited for.
#pragma once

#include <cstddef>
#include <cstdint>

namespace oddity {

class Serial {
 public:
  void Init(uint32_t baud);  // a divisor of 120 MHz is exact; 1 Mbaud and 115,200 are the usual

  bool Readable() const;
  bool Read(uint8_t* byte);  // false: nothing came

  void Write(const uint8_t* data, size_t size);

  void Flush();  // until the last bit is out

 private:
  uint32_t written() const;

  uint32_t read_;  // in the ring
};

}  // namespace oddity
