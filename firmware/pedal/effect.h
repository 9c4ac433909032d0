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
    std::memset(knobs_, 0, sizeof knobs_);
  }

  // Gains, Q28.
  void SetInputLevel(int32_t gain) { input_level_.SetTarget(gain); }
  void SetOutputLevel(int32_t gain) { output_level_.SetTarget(gain); }

  // The knob arrives in as much time as has passed since it was set last: one that is read at regular intervals moves
  // in straight lines from each reading to the next. Never faster than a full turn in 20 ms.
  void SetKnob(int knob, int32_t position_q31) {
    Knob& moved = knobs_[knob];
    const int64_t distance = int64_t{position_q31} - moved.position;
    const int64_t steps = std::clamp(moved.age, 1, kMaxKnobSteps);
    moved.step = static_cast<int32_t>(std::min(((distance < 0 ? -distance : distance) + steps - 1) / steps, kKnobStep));
    moved.target = position_q31;
    moved.age = 0;
  }

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
      knobs_[knob].position = knobs_[knob].target;
      engine_.SetKnob(knob, knobs_[knob].position);
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
  static constexpr int64_t kKnobStep =
      INT32_MAX / (kSampleRateHz / 50 / int32_t{kControlInterval});  // full turn: 20 ms
  static constexpr int kMaxKnobSteps = 16;

  struct Knob {
    int32_t position, target;  // Q31
    int32_t step;              // towards the target, every control interval
    int age;                   // control intervals since it was set
  };

  void AimMix() { mix_.SetTarget(loaded_ && !bypass_ && next_model_ == nullptr ? kFullMix : 0); }

  void LoadNextModel() {
    engine_.Load(next_kind_, *next_model_);
    for (int knob = 0; knob < kMaxKnobs; ++knob) {
      const bool used = knob < next_model_->description->knob_count;
      const int32_t position = used ? DefaultPosition(next_model_->description->knobs[knob]) : 0;
      knobs_[knob] = {position, position, 0, 0};
    }
    next_model_ = nullptr;
    loaded_ = true;
    AimMix();
  }

  void StepKnobs() {
    for (int index = 0; index < kMaxKnobs; ++index) {
      Knob& knob = knobs_[index];
      knob.age = std::min(knob.age + 1, kMaxKnobSteps);
      if (knob.position == knob.target) continue;
      const int64_t distance = int64_t{knob.target} - knob.position;
      knob.position += static_cast<int32_t>(std::clamp<int64_t>(distance, -knob.step, knob.step));
      engine_.SetKnob(index, knob.position);
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
  const ModelView* next_model_;  // asked for and not loaded yet
  Knob knobs_[kMaxKnobs];
  size_t control_phase_;
  uint32_t fault_count_;
};

}  // namespace oddity
