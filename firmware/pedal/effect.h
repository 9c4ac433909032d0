// The signal chain: input level, amp model, output level, bypass.
//
//   in ──┬── input level ── engine ── output level ──┬── mix ── out
//        └───────────────────────────────────────────┘
//
// The engine is a template parameter so that a test can put a faulty one in.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "engine/engine.h"
#include "pedal/protocol_table.h"
#include "pedal/ramp.h"

namespace oddity {

constexpr int kSampleRateHz = 48000;
constexpr size_t kMaxBlock = 256;

template <typename EngineType>
class Effect {
 public:
  static constexpr int32_t kUnityLevel = 1 << kLevelFracBits;

  void Init() {
    input_level_.Init(kUnityLevel, kLevelRampSamples);
    output_level_.Init(kUnityLevel, kLevelRampSamples);
    mix_.Init(0, kMixRampSamples);
    bypass_ = false;
    next_model_ = nullptr;
    loaded_ = false;
    control_phase_ = 0;
    fault_count_ = 0;
    std::memset(knob_target_, 0, sizeof knob_target_);
    std::memset(knob_, 0, sizeof knob_);
  }

  // Gains, Q28.
  void SetInputLevel(int32_t gain) { input_level_.SetTarget(gain); }
  void SetOutputLevel(int32_t gain) { output_level_.SetTarget(gain); }

  void SetKnob(int knob, int32_t position_q31) { knob_target_[knob] = position_q31; }

  void SetBypass(bool bypass) {
    bypass_ = bypass;
    AimMix();
  }

  // The sound fades to dry, `Service` then loads the model, and the sound fades back. `model` must live until then.
  void ChangeModel(EngineKind kind, const ModelView* model) {
    next_kind_ = kind;
    next_model_ = model;
    AimMix();
  }

  // What takes too long for the audio callback; the main loop calls it.
  void Service() {
    if (next_model_ != nullptr && mix_.value() == 0) LoadNextModel();
  }

  // As if everything had been set long ago and the input had been silent since.
  void Settle() {
    if (next_model_ != nullptr) LoadNextModel();
    input_level_.Settle();
    output_level_.Settle();
    mix_.Settle();
    control_phase_ = 0;
    for (int knob = 0; knob < kMaxKnobs; ++knob) {
      knob_[knob] = knob_target_[knob];
      engine_.SetKnob(knob, knob_[knob]);
    }
    engine_.Reset();
  }

  // Q31 samples; `in` and `out` may be the same. Any split into blocks gives the same output.
  void Process(const int32_t* in, int32_t* out, size_t size) {
    while (size > 0) {
      if (control_phase_ == 0) StepKnobs();
      const size_t span = std::min(size, kControlInterval - control_phase_);
      ProcessSpan(in, out, span);
      control_phase_ = (control_phase_ + span) % kControlInterval;
      in += span;
      out += span;
      size -= span;
    }
  }

  uint32_t fault_count() const { return fault_count_; }
  void ClearFaults() { fault_count_ = 0; }

 private:
  static constexpr int32_t kFullMix = 1 << 30;
  static constexpr int32_t kLevelRampSamples = kSampleRateHz / 100;
  static constexpr int32_t kMixRampSamples = kSampleRateHz / 200;
  static constexpr size_t kControlInterval = 16;  // samples between two steps of a moving knob
  static constexpr int32_t kKnobStep =
      INT32_MAX / (kSampleRateHz / 50 / int32_t{kControlInterval});  // full turn: 20 ms

  void AimMix() { mix_.SetTarget(loaded_ && !bypass_ && next_model_ == nullptr ? kFullMix : 0); }

  void LoadNextModel() {
    engine_.Load(next_kind_, *next_model_);
    for (int knob = 0; knob < kMaxKnobs; ++knob) {
      const bool used = knob < next_model_->description->knob_count;
      knob_[knob] = knob_target_[knob] = used ? DefaultPosition(next_model_->description->knobs[knob]) : 0;
    }
    next_model_ = nullptr;
    loaded_ = true;
    AimMix();
  }

  void StepKnobs() {
    for (int knob = 0; knob < kMaxKnobs; ++knob) {
      if (knob_[knob] == knob_target_[knob]) continue;
      const int64_t distance = int64_t{knob_target_[knob]} - knob_[knob];
      knob_[knob] += static_cast<int32_t>(std::clamp<int64_t>(distance, -kKnobStep, kKnobStep));
      engine_.SetKnob(knob, knob_[knob]);
    }
  }

  void ProcessSpan(const int32_t* in, int32_t* out, size_t size) {
    int32_t wet[kControlInterval];
    for (size_t i = 0; i < size; ++i) wet[i] = Amplify(in[i], input_level_.Next());
    if (loaded_ && !engine_.Process(wet, wet, size)) {
      ++fault_count_;
      engine_.Reset();
      std::memset(wet, 0, sizeof wet);
      std::memset(out, 0, size * sizeof *out);
      return;
    }
    for (size_t i = 0; i < size; ++i) {
      const int32_t loud = Amplify(wet[i], output_level_.Next());
      const int32_t mix = mix_.Next();
      out[i] = static_cast<int32_t>(in[i] + (((int64_t{loud} - in[i]) * mix) >> 30));
    }
  }

  static int32_t Amplify(int32_t sample, int32_t gain_q28) {
    return SaturateToInt32((int64_t{sample} * gain_q28) >> kLevelFracBits);
  }

  EngineType engine_;
  Ramp input_level_, output_level_, mix_;
  bool bypass_, loaded_;
  EngineKind next_kind_;
  const ModelView* next_model_;                       // asked for and not loaded yet
  int32_t knob_[kMaxKnobs], knob_target_[kMaxKnobs];  // positions, Q31
  size_t control_phase_;
  uint32_t fault_count_;
};

}  // namespace oddity
