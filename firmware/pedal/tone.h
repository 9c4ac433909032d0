// The tone knob: a tilt around 700 Hz, up to 9 dB more treble and less bass or the other way round; flat in the middle.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/dsp.h"
#include "pedal/knob_law.h"
#include "pedal/ramp.h"

namespace oddity {

class Tone {
 public:
  static constexpr int32_t kFlat = 1 << 30;

  void Init() {
    bass_.Init(kOne, kRampSamples);
    treble_.Init(kOne, kRampSamples);
    Reset();
  }

  // Q31; kFlat leaves the samples as they are, to the bit.
  void Set(int32_t position_q31) {
    treble_.SetTarget(GainQ28(position_q31, -kTiltDb, 0, kTiltDb));
    bass_.SetTarget(GainQ28(position_q31, kTiltDb, 0, -kTiltDb));
  }

  void Settle() {
    bass_.Settle();
    treble_.Settle();
    Reset();
  }

  void Process(int32_t* samples, size_t size) {
    for (size_t i = 0; i < size; ++i) {
      const int32_t x = samples[i];
      low_ += static_cast<int32_t>(((int64_t{x} - low_) * kCorner) >> 31);
      const int64_t high = int64_t{x} - low_;
      samples[i] = SaturateToInt32((low_ * int64_t{bass_.Next()} + high * treble_.Next()) >> 28);
    }
  }

 private:
  static constexpr int32_t kOne = 1 << 28;
  static constexpr int32_t kRampSamples = 480;
  static constexpr int kTiltDb = 9;
  static constexpr int32_t kCorner = 188027470;  // 1 - exp(-2 pi 700 / 48000), Q31

  void Reset() { low_ = 0; }

  Ramp bass_, treble_;
  int32_t low_;
};

}  // namespace oddity
