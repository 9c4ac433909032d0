#include "engine/fir_q15.h"

namespace oddity {

#if !defined(__ARM_FEATURE_DSP)

void FirQ15(const int16_t* reversed_taps, int padded_taps, const int16_t* window, int32_t* sums, int size) {
  for (int first = 0; first < size; first += kFirGroup) {
    for (int output = first; output < first + kFirGroup; ++output) {
      int32_t sum = 0;
      for (int tap = 0; tap < padded_taps; ++tap) sum = Smlabb(reversed_taps[tap], window[output + tap], sum);
      sums[output] = sum;
    }
  }
}

#endif

int FirShiftQ15(const int32_t* taps, int count) {
  constexpr uint64_t kMaximumSum = 65535;  // times 32768, that is what 32 bits hold
  uint64_t total = 0;
  uint32_t every_bit = 0;
  for (int tap = 0; tap < count; ++tap) {
    const uint32_t magnitude = Magnitude(taps[tap]);
    total += magnitude;
    every_bit |= magnitude;
  }
  int shift = 0;  // rounding adds up to 2 to each
  while ((total >> shift) + 2 * count >= kMaximumSum || (every_bit >> shift) >= 32765) ++shift;
  return shift;
}

void ReverseTapsQ15(const int32_t* taps, int count, int shift, int16_t* reversed) {
  const int padded = PaddedTaps(count);
  std::memset(reversed, 0, (padded - count) * sizeof *reversed);
  const int32_t half = (1 << shift) >> 1;
  int32_t left = 0, left_before = 0;
  for (int tap = 0; tap < count; ++tap) {
    const int32_t wanted = taps[tap] + 2 * left - left_before;
    const int32_t rounded = (wanted + half) >> shift;
    left_before = left;
    left = wanted - ShiftLeft(rounded, shift);
    reversed[padded - 1 - tap] = static_cast<int16_t>(rounded);
  }
}

}  // namespace oddity
