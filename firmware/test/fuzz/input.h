// What the fuzzer's bytes mean, and what must hold whatever they are.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

// Ends the program where the stack or the pedal is wrong.
#define REQUIRE(condition, what)                                     \
  do {                                                               \
    if (!(condition)) {                                              \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, what); \
      std::abort();                                                  \
    }                                                                \
  } while (0)

namespace oddity::fuzz {

// Read from the front; behind the end are zeros.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : next_(data), left_(size) {}

  bool empty() const { return left_ == 0; }

  uint8_t Byte() {
    if (left_ == 0) return 0;
    --left_;
    return *next_++;
  }
  uint16_t Word() {
    const uint8_t low = Byte();
    return static_cast<uint16_t>(low | Byte() << 8);
  }
  uint32_t Long() {
    const uint32_t low = Word();
    return low | uint32_t{Word()} << 16;
  }

  // Bytes as they come or, of those that need not differ, from one.
  template <typename Bytes>
  void Fill(Bytes* bytes, size_t size) {
    bytes->resize(size);
    const uint8_t kind = Byte();
    for (uint8_t& byte : *bytes) byte = kind < 128 ? Byte() : static_cast<uint8_t>(seed_ = seed_ * 25 + kind);
  }

 private:
  const uint8_t* next_;
  size_t left_;
  uint8_t seed_ = 0;
};

}  // namespace oddity::fuzz
