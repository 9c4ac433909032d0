#include "engine/resampler.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "engine/dsp.h"

namespace oddity {

ResamplingSteps::ResamplingSteps(int32_t own_hz) {
  const int32_t common = std::gcd(own_hz, kPedalRateHz);
  frame = own_hz / common;
  own = kPedalRateHz / common;
  reach = kHalfWidth * std::max(frame, own);
  delay_frames = (2 * reach + frame - 1) / frame;
  allowed = own_hz >= kLowestHz && own_hz <= kHighestHz && std::max(frame, own) <= kMaxStep;
}

void Resampler::Load(const ModelView& model) {
  active_ = model.resampling != nullptr;
  if (!active_) return;
  steps_ = ResamplingSteps(static_cast<int32_t>(model.description->sample_rate_hz));
  std::memcpy(kernel_, model.resampling, (steps_.reach + 1) * sizeof *kernel_);
  gain_q28_ = static_cast<int32_t>(((int64_t{steps_.own} << 29) / steps_.frame + 1) >> 1);
}

void Resampler::Reset(int32_t rest) {
  std::fill(heard_, heard_ + kHeard, 0);
  std::fill(played_, played_ + kPlayed, rest);
  const int32_t first = -(steps_.reach / steps_.own) * steps_.own;  // place of the first own sample that hears frame 0
  ahead_ = first + steps_.reach + steps_.frame;
  lead_ = first - steps_.own + (1 + steps_.delay_frames) * steps_.frame;
}

void Resampler::Continue(const Resampler& other) {
  if (!active_) return;
  ahead_ = other.ahead_;
  lead_ = other.lead_;
  std::memcpy(heard_, other.heard_, sizeof heard_);
  std::memcpy(played_, other.played_, sizeof played_);
}

size_t Resampler::ToOwn(const int32_t* frames, size_t size, int32_t* own) {
  std::memmove(heard_, heard_ + size, (kHeard - size) * sizeof *heard_);
  std::memcpy(heard_ + kHeard - size, frames, size * sizeof *frames);
  const int32_t* const before = own;
  for (const int32_t* newest = heard_ + kHeard - size; newest < heard_ + kHeard; ++newest) {
    for (ahead_ -= steps_.frame; ahead_ <= 0; ahead_ += steps_.own) {
      const int32_t sum = Sum(newest, steps_.reach - ahead_, steps_.frame);
      *own++ = ShiftLeft(Ssat<30>(sum), 2);
    }
  }
  return own - before;
}

void Resampler::FromOwn(const int32_t* own, size_t count, int32_t* frames, size_t size) {
  std::memmove(played_, played_ + count, (kPlayed - count) * sizeof *played_);
  std::memcpy(played_ + kPlayed - count, own, count * sizeof *own);
  lead_ += static_cast<int32_t>(count) * steps_.own;
  for (size_t frame = 0; frame < size; ++frame) {
    lead_ -= steps_.frame;
    const int32_t sum = Sum(played_ + kPlayed - 1, lead_, steps_.own);
    frames[frame] = SaturateToInt32((int64_t{sum} * gain_q28_) >> 26);
  }
}

// Samples `step` apart, from `newest` back, weighted by their distance from the middle of the sinc, after which
// `newest` lies by `distance`. Q29: overshoot may reach 4.
int32_t Resampler::Sum(const int32_t* newest, int32_t distance, int32_t step) const {
  if (distance > steps_.reach) {
    const int32_t skipped = (distance - steps_.reach + step - 1) / step;
    newest -= skipped;
    distance -= skipped * step;
  }
  int32_t sum = 0;
  for (; distance >= 0; distance -= step) sum = Smmla(*newest--, kernel_[distance], sum);
  for (distance = -distance; distance <= steps_.reach; distance += step) {
    sum = Smmla(*newest--, kernel_[distance], sum);
  }
  return sum;
}

}  // namespace oddity
