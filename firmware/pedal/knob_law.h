// What a knob's position means: gains that go evenly in decibels. Integers only, so that every board has the same.
#pragma once

#include <algorithm>
#include <cstdint>

namespace oddity {

constexpr int32_t kDecibelQ24 = 2786635;  // log2(10) / 20: an octave of gain is 6.02 dB

// 2^log2_q24 in Q28, to 1e-4; 0 below -28, at most 7.99.
inline int32_t PowerOfTwoQ28(int32_t log2_q24) {
  const int32_t octave = log2_q24 >> 24;
  if (octave < -28) return 0;
  if (octave > 2) return INT32_MAX;
  const int64_t x = log2_q24 & 0xffffff;  // Q24, 0..1
  int64_t power = 1313118;                // the cubic that is nearest to 2^x and meets it at both ends
  power = 3796812 + ((power * x) >> 24);
  power = 11667286 + ((power * x) >> 24);
  power = (1 << 24) + ((power * x) >> 24);  // Q24, 1..2
  return static_cast<int32_t>(octave >= -4 ? power << (4 + octave) : power >> (-4 - octave));
}

// From `low_db` at position 0 over `middle_db` in the middle to `high_db` at the end, in Q28. It is in many places and
// seldom runs: once in the image is enough.
[[gnu::noinline]] inline int32_t GainQ28(int32_t position_q31, int low_db, int middle_db, int high_db) {
  const bool upper = position_q31 >= 1 << 30;
  const int from = upper ? middle_db : low_db, to = upper ? high_db : middle_db;
  const int64_t along = int64_t{position_q31} - (upper ? 1 << 30 : 0);  // Q30
  constexpr int64_t kOneQ24 = 1 << 24;
  const int64_t decibels_q24 = from * kOneQ24 + (((to - from) * kOneQ24 * along) >> 30);
  return PowerOfTwoQ28(static_cast<int32_t>((decibels_q24 * kDecibelQ24) >> 24));
}

}  // namespace oddity
