// Plays a model at its own rate inside the pedal's 48 kHz. export/resampling.py is the specification.
//
//   frames ── sinc ── samples at the model's rate ── engine ── sinc ── frames, delayed
//
// Both rates lie on a common grid, of which frames are `frame` steps apart and the model's samples `own` steps. One
// table holds the right half of the sinc at every step, and serves both ways.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/model_view.h"

namespace oddity {

struct ResamplingSteps {
  static constexpr int32_t kHalfWidth = 12;  // of the sinc, in samples of the lower rate
  static constexpr int32_t kMaxStep = 320;
  static constexpr int32_t kLowestHz = 22050, kHighestHz = 96000;

  explicit ResamplingSteps(int32_t own_hz);

  int32_t frame, own;
  int32_t reach;  // from the middle of the sinc to its end
  int32_t delay_frames;
  bool allowed;
};

class Resampler {
 public:
  static constexpr size_t kMaxFrames = 16;               // of a call
  static constexpr size_t kMaxOwn = 2 * kMaxFrames + 1;  // what they may become

  // Only for models whose rate is not the pedal's is it active.
  void Load(const ModelView& model);
  bool active() const { return active_; }

  // As after a long silence, of which the model makes `rest`.
  void Reset(int32_t rest);

  void Continue(const Resampler& other);  // goes on where `other` is, which has the same model

  // All Q31. Of the frames heard, and of the model's samples played, as many as there are come out; after both calls as
  // many frames as were heard. Any split into calls gives the same output.
  size_t ToOwn(const int32_t* frames, size_t size, int32_t* own);
  void FromOwn(const int32_t* own, size_t count, int32_t* frames, size_t size);

 private:
  // What a sum may reach back, the frames of a call included.
  static constexpr size_t kHeard = 80, kPlayed = 112;

  int32_t Sum(const int32_t* newest, int32_t distance, int32_t step) const;

  bool active_ = false;
  ResamplingSteps steps_{kPedalRateHz};
  int32_t gain_q28_;
  int32_t ahead_;  // grid steps from the newest frame to the one that the next own sample waits for
  int32_t lead_;   // grid steps from the frame that came out last to the newest own sample
  int32_t heard_[kHeard], played_[kPlayed];
  int32_t kernel_[ResamplingSteps::kHalfWidth * ResamplingSteps::kMaxStep + 1];  // Q30
};

}  // namespace oddity
