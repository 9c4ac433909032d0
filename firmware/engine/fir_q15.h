// FIR filters of int16 taps on int16 samples, two multiply-accumulates an instruction; export/fir_q15.py is the
// specification. Taps lie in memory the last one first, as the samples that they meet do.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "engine/dsp.h"

namespace oddity {

// The kernel takes so many taps and outputs at a time: taps are filled up with zeros in front.
constexpr int kFirGroup = 4;
constexpr int PaddedTaps(int taps) { return (taps + kFirGroup - 1) / kFirGroup * kFirGroup; }

// sums[i] = sum over k of taps[k] * window[padded_taps - 1 + i - k], for i from 0 to `size`, filled up to a group.
// `reversed_taps` and `window` are aligned to 4 bytes. What lies up to kFirReadAhead behind them is read and does not
// matter. On the Cortex-M7 this is assembly (kernels_m7.S); the C++ elsewhere is its specification.
constexpr int kFirReadAhead = 6;
extern "C" void FirQ15(const int16_t* reversed_taps, int padded_taps, const int16_t* window, int32_t* sums, int size);

// By how many bits to shift taps right so that they fit int16, and their sums with samples of 16 bits fit 32.
int FirShiftQ15(const int32_t* taps, int count);

// Shifts and rounds `taps` into [PaddedTaps(count)], reversed. Remainders go to the next taps (noise shaping).
void ReverseTapsQ15(const int32_t* taps, int count, int shift, int16_t* reversed);

// A Q30 sample rounded down to Q15; the next one gets what is left.
inline int16_t RoundSampleQ15(int32_t sample, int32_t* left) {
  const int32_t wanted = sample + *left;
  *left = wanted & 0x7fff;
  return static_cast<int16_t>(Ssat<16>(wanted >> 15));
}

// Samples in a row for FIRs of one length to look back on, in one or several lanes: new ones are written behind those
// before, and now and then the last are moved to the front.
class Tape {
 public:
  static constexpr int kMaxSpan = 16;
  static constexpr int kSlack = 5 * kMaxSpan + 8;  // so much longer than the taps is a lane

  void Init(int padded_taps) {
    memory_ = padded_taps - 1;
    position_ = memory_;
  }

  int stride() const { return memory_ + 1 + kSlack; }

  // Of a lane: where the next samples go, and from where the FIR of the first of them begins.
  int16_t* Next(int16_t* lane) const { return lane + position_; }
  const int16_t* Window(const int16_t* lane) const { return lane + position_ - memory_; }

  // True when all lanes have to `MoveToFront` before the next samples are written, and then to `Rewind`.
  bool Full() const { return position_ % 2 != memory_ % 2 || position_ + kMaxSpan + kFirReadAhead > stride(); }
  void MoveToFront(int16_t* lane) const { std::memmove(lane, lane + position_ - memory_, memory_ * sizeof *lane); }
  void Rewind() { position_ = memory_; }

  void Advance(int size) { position_ += size; }

 private:
  int memory_, position_;
};

}  // namespace oddity
