// The noise gate: it listens to the guitar and turns down what the amp makes of the hum between the notes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/dsp.h"
#include "pedal/knob_law.h"

namespace oddity {

class NoiseGate {
 public:
  void Init() {
    Set(0);
    Settle();
  }

  // 0: off. From there the threshold goes up from -80 to -30 dBFS. Q31.
  void Set(int32_t position_q31) {
    opens_at_ = position_q31 < kOffBelow ? 0 : GainQ28(position_q31, -80, -55, -30) << 3;  // Q31
    closes_at_ = opens_at_ / 2;
  }

  void Settle() {
    envelope_ = 0;
    gain_ = opens_at_ == 0 ? kOpen : 0;
    held_ = 0;
    open_ = opens_at_ == 0;
  }

  // `guitar` is listened to, `samples` are turned down; both Q31.
  void Process(const int32_t* guitar, int32_t* samples, size_t size) {
    for (size_t i = 0; i < size; ++i) {
      const int32_t level = guitar[i] < 0 ? ~guitar[i] : guitar[i];
      envelope_ = level > envelope_ ? level : envelope_ - (envelope_ >> kDecayShift);
      if (envelope_ >= opens_at_) {
        open_ = true;
        held_ = kHoldSamples;
      } else if (envelope_ >= closes_at_ && open_) {
        held_ = kHoldSamples;
      } else if (held_ > 0) {
        --held_;
      } else {
        open_ = false;
      }
      gain_ = open_ ? Least(gain_ + kOpenStep, kOpen) : Most(gain_ - kCloseStep, 0);
      samples[i] = static_cast<int32_t>((int64_t{samples[i]} * gain_) >> 30);
    }
  }

 private:
  static constexpr int32_t kOpen = 1 << 30;
  static constexpr int32_t kOffBelow = INT32_MAX / 50;
  static constexpr int32_t kOpenStep = kOpen / 48 + 1;  // 1 ms: no attack is cut off, and no click
  static constexpr int32_t kCloseStep = kOpen / 4800;   // 100 ms
  static constexpr int32_t kHoldSamples = 48000 / 20;   // longer than a period of the lowest string
  static constexpr int kDecayShift = 9;                 // 11 ms

  static int32_t Least(int32_t a, int32_t b) { return a < b ? a : b; }
  static int32_t Most(int32_t a, int32_t b) { return a > b ? a : b; }

  int32_t opens_at_, closes_at_;  // Q31
  int32_t envelope_, gain_;       // Q31, Q30
  int32_t held_;                  // samples for which it stays open
  bool open_;
};

}  // namespace oddity
