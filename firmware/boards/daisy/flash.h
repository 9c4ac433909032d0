// The Seed's 8 MB serial flash, an IS25LP064A, on QUADSPI in indirect mode (RM0433, chapter 23; the chip's data sheet).
// Every call waits for the chip and comes back in bounded time; false: the chip did not do it, or the range is not its.
#pragma once

#include <cstddef>
#include <cstdint>

namespace oddity {

class Flash {
 public:
  static constexpr uint32_t kSize = 8 << 20;
  static constexpr uint32_t kSectorSize = 4096;  // erased together, to ones
  static constexpr uint32_t kPageSize = 256;

  bool Init();  // false: not this chip

  bool Read(uint32_t address, void* to, size_t size);

  // The sector that has `address`: 70 ms, 300 at most.
  bool EraseSector(uint32_t address);

  // Bits go from 1 to 0. Any place and length: split where pages end. 0.2 ms a page, 0.8 at most.
  bool Program(uint32_t address, const void* data, size_t size);

  uint32_t id() const { return id_; }  // manufacturer, type, capacity: 0x9D6017

 private:
  uint32_t id_;
};

}  // namespace oddity
