// The Cortex-M7's DSP instructions that the engines use, and the same arithmetic, bit for bit, in portable C++.
// Names and results follow the Armv7-M Architecture Reference Manual, A7.7.
#pragma once

#include <cstdint>

#if defined(__ARM_FEATURE_DSP)
#include <arm_acle.h>
#endif

namespace oddity {

// c + a.low * b.low + a.high * b.high, on signed halfwords; wraps.
inline int32_t Smlad(uint32_t a, uint32_t b, int32_t c) {
#if defined(__ARM_FEATURE_DSP)
  return __smlad(static_cast<int16x2_t>(a), static_cast<int16x2_t>(b), c);
#else
  const int32_t low = int32_t{static_cast<int16_t>(a)} * static_cast<int16_t>(b);
  const int32_t high = int32_t{static_cast<int16_t>(a >> 16)} * static_cast<int16_t>(b >> 16);
  return static_cast<int32_t>(static_cast<uint32_t>(low) + static_cast<uint32_t>(high) + static_cast<uint32_t>(c));
#endif
}

// c + a.low * b.low, on signed halfwords; wraps.
inline int32_t Smlabb(int32_t a, int32_t b, int32_t c) {
#if defined(__ARM_FEATURE_DSP)
  return __smlabb(a, b, c);
#else
  const int32_t product = int32_t{static_cast<int16_t>(a)} * static_cast<int16_t>(b);
  return static_cast<int32_t>(static_cast<uint32_t>(product) + static_cast<uint32_t>(c));
#endif
}

// c + high word of a * b, floored; wraps.
inline int32_t Smmla(int32_t a, int32_t b, int32_t c) {
#if defined(__ARM_FEATURE_DSP)
  int32_t result;
  __asm__("smmla %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(c));
  return result;
#else
  return static_cast<int32_t>(static_cast<uint32_t>(c) + static_cast<uint32_t>((int64_t{a} * b) >> 32));
#endif
}

// High word of a * b, rounded to nearest.
inline int32_t Smmulr(int32_t a, int32_t b) {
#if defined(__ARM_FEATURE_DSP)
  int32_t result;
  __asm__("smmulr %0, %1, %2" : "=r"(result) : "r"(a), "r"(b));
  return result;
#else
  return static_cast<int32_t>((int64_t{a} * b + (int64_t{1} << 31)) >> 32);
#endif
}

// c + high word of a * b, rounded to nearest; wraps.
inline int32_t Smmlar(int32_t a, int32_t b, int32_t c) {
#if defined(__ARM_FEATURE_DSP)
  int32_t result;
  __asm__("smmlar %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(c));
  return result;
#else
  return static_cast<int32_t>(static_cast<uint32_t>(c) + static_cast<uint32_t>(Smmulr(a, b)));
#endif
}

// c + (a * b.low >> 16), b.low a signed halfword; floored, wraps.
inline int32_t Smlawb(int32_t a, int32_t b, int32_t c) {
#if defined(__ARM_FEATURE_DSP)
  return __smlawb(a, b, c);
#else
  return static_cast<int32_t>(static_cast<uint32_t>((int64_t{a} * static_cast<int16_t>(b)) >> 16) +
                              static_cast<uint32_t>(c));
#endif
}

// a limited to a signed number of `kBits` bits.
template <int kBits>
inline int32_t Ssat(int32_t a) {
#if defined(__ARM_FEATURE_DSP)
  return __ssat(a, kBits);
#else
  constexpr int32_t kMaximum = (int32_t{1} << (kBits - 1)) - 1;
  return a > kMaximum ? kMaximum : a < -kMaximum - 1 ? -kMaximum - 1 : a;
#endif
}

inline uint32_t Magnitude(int32_t a) { return a < 0 ? 0u - static_cast<uint32_t>(a) : static_cast<uint32_t>(a); }

// Shift left without the undefined behaviour that C++17 has for negative numbers.
inline int32_t ShiftLeft(int32_t a, int bits) { return static_cast<int32_t>(static_cast<uint32_t>(a) << bits); }

inline int32_t SaturateToInt32(int64_t a) {
  return a > INT32_MAX ? INT32_MAX : a < INT32_MIN ? INT32_MIN : static_cast<int32_t>(a);
}

}  // namespace oddity
