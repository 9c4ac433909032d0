// The signal chain, and the change from one model to the next.
//
//   in ──┬── input level ──┬── drive ── engine ── output level ── tone ── gate ── mute ──┬── mix ── out
//        │                 └────────────────────────────────────────────────┘            │
//        └───────────────────────────────────────────────────────────────────────────────┘
//
// Where the processor has time for two models, the next one is loaded into a second engine, hears the guitar along with
// the first until it has forgotten that it was silent, and is then faded to. `playing` is loaded with the same model
// meanwhile and takes over the second engine's state, so that the second is free again. Where there is no time, the
// sound fades to dry, the model is loaded, and the sound fades back.
//
// `Process` and `Overload` are called from the audio interrupt, where a board has one; `Service` from the main loop;
// the setters from either, with the audio locked. The engine is a template parameter so that a test can put a faulty
// one in.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "engine/engine.h"
#include "pedal/board.h"
#include "pedal/noise_gate.h"
#include "pedal/protocol_table.h"
#include "pedal/ramp.h"
#include "pedal/tone.h"

namespace oddity {

constexpr int kSampleRateHz = 48000;
constexpr size_t kMaxBlock = 256;

template <typename EngineType>
class Effect {
 public:
  static constexpr int32_t kUnityLevel = 1 << kLevelFracBits;
  static constexpr size_t kControlInterval = 16;  // samples between two steps of a moving knob

  // `playing` lies in the fastest memory.
  void Init(EngineType* playing, EngineType* next) {
    playing_ = playing;
    next_ = next;
    input_level_.Init(kUnityLevel, kLevelRampSamples);
    output_level_.Init(kUnityLevel, kLevelRampSamples);
    drive_.Init(kUnityLevel, kLevelRampSamples);
    next_drive_.Init(kUnityLevel, kLevelRampSamples);
    tone_.Init();
    gate_.Init();
    unmuted_.Init(kFull, kMixRampSamples);
    mix_.Init(0, kMixRampSamples);
    bypass_ = loaded_ = clipped_ = overloaded_ = rested_ = false;
    phase_ = Phase::kPlaying;
    kind_ = EngineKind::kFixed;
    cost_ = 0;
    control_phase_ = 0;
    fault_count_ = overload_count_ = 0;
    rest_samples_ = kFirstRestSamples;
    good_samples_ = last_wet_ = fade_left_ = 0;
    std::memset(knobs_, 0, sizeof knobs_);
  }

  // Gains, Q28.
  void SetInputLevel(int32_t gain) { input_level_.SetTarget(gain); }
  void SetOutputLevel(int32_t gain) { output_level_.SetTarget(gain); }

  // Of the model that plays or is to play next; each begins at unity.
  void SetDrive(int32_t gain) { (phase_ == Phase::kPlaying ? drive_ : next_drive_).SetTarget(gain); }

  void SetTone(int32_t position_q31) { tone_.Set(position_q31); }
  void SetGate(int32_t position_q31) { gate_.Set(position_q31); }

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
  bool bypass() const { return bypass_; }

  // `Service` loads the model, which must live until the next one plays; its knobs go to their defaults now. To be
  // called when the last change is over.
  void ChangeModel(EngineKind kind, const ModelView* model) {
    next_kind_ = kind;
    next_model_ = model;
    for (int knob = 0; knob < kMaxKnobs; ++knob) {
      const bool used = knob < model->description->knob_count;
      const int32_t position = used ? DefaultPosition(model->description->knobs[knob]) : 0;
      knobs_[knob] = {position, position, 0, 0};
    }
    next_drive_.Init(kUnityLevel, kLevelRampSamples);
    phase_ = loaded_ ? Phase::kWanted : Phase::kDry;
  }
  bool changing() const { return phase_ != Phase::kPlaying; }

  // What takes too long for the audio interrupt.
  [[gnu::cold, gnu::noinline]] void Service() {
    switch (phase_) {
      case Phase::kPlaying:
        if (overloaded_ && !rested_ && fade_left_ == 0) {
          playing_->Reset();
          rested_ = true;
        }
        return;
      case Phase::kWanted:
        return LoadNext();
      case Phase::kDry:
        if (!overloaded_ || fade_left_ == 0) LoadWhileDry();
        return;
      case Phase::kMoving:
        playing_->Load(next_kind_, *next_model_);
        phase_ = Phase::kMoved;
        return;
      default:
        return;
    }
  }

  // As if everything had been set long ago and the input had been silent since. Not while the audio plays.
  [[gnu::cold, gnu::noinline]] void Settle() {
    if (phase_ != Phase::kPlaying) LoadWhileDry();
    input_level_.Settle();
    output_level_.Settle();
    drive_.Settle();
    tone_.Settle();
    gate_.Settle();
    unmuted_.Init(kFull, kMixRampSamples);
    mix_.Settle();
    overloaded_ = false;
    rest_samples_ = kFirstRestSamples;
    control_phase_ = 0;
    TurnKnobs(playing_);
    playing_->Reset();
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

  // The processor does not keep up: what plays now falls silent in a straight line of a millisecond, without an engine,
  // and comes back after a while, which is longer each time, until it has gone well for 10 s.
  void Overload() {
    if (overloaded_ || !loaded_) return;
    ++overload_count_;
    overloaded_ = true;
    rested_ = false;
    good_samples_ = 0;
    if (phase_ == Phase::kBoth) phase_ = Phase::kDry;  // there was no time for two
    fade_from_ = last_wet_;
    fade_left_ = kFadeSamples;
    rest_left_ = rest_samples_;
    rest_samples_ = std::min(2 * rest_samples_, kLongestRestSamples);
  }

  bool overloaded() const { return overloaded_; }
  uint32_t overload_count() const { return overload_count_; }
  uint32_t fault_count() const { return fault_count_; }
  void ClearFaults() { fault_count_ = overload_count_ = 0; }

  // Whether a sample was at the end of its range since this was last asked.
  bool TakeClipped() {
    const bool clipped = clipped_;
    clipped_ = false;
    return clipped;
  }

 private:
  static constexpr int32_t kFull = 1 << 30;
  static constexpr int32_t kLevelRampSamples = kSampleRateHz / 100;
  static constexpr int32_t kMixRampSamples = kSampleRateHz / 200;
  static constexpr int64_t kKnobStep =
      INT32_MAX / (kSampleRateHz / 50 / int32_t{kControlInterval});  // full turn: 20 ms
  static constexpr int kMaxKnobSteps = 16;
  static constexpr int32_t kRunInSamples = kSampleRateHz / 10;
  static constexpr int32_t kCrossfadeSamples = kSampleRateHz / 50;
  static constexpr int32_t kFadeSamples = kSampleRateHz / 1000;
  static constexpr int32_t kFirstRestSamples = kSampleRateHz, kLongestRestSamples = 64 * kSampleRateHz;
  static constexpr int32_t kForgivingSamples = 10 * kSampleRateHz;

  enum class Phase : uint8_t {
    kPlaying,
    kWanted,       // `Service` is to load the next engine, or to see that there is no time for two
    kBoth,         // the second runs in, and is then faded to
    kMoving,       // the second is heard, and `Service` is to load the model into the first
    kMoved,        // the first is to take over the second's state
    kFadingToDry,  // the other way
    kDry,          // `Service` is to load the first engine
  };

  struct Knob {
    int32_t position, target;  // Q31
    int32_t step;              // towards the target, every control interval
    int age;                   // control intervals since it was set
  };

  void AimMix() {
    const bool dry = bypass_ || !loaded_ || phase_ == Phase::kFadingToDry || phase_ == Phase::kDry;
    mix_.SetTarget(dry ? 0 : kFull);
  }

  void LoadNext() {
    if (next_kind_ == EngineKind::kFixed && kind_ == EngineKind::kFixed && !overloaded_) {
      next_->Load(next_kind_, *next_model_);
      next_cost_ = Measure(next_);
      const uint64_t budget = BoardBudgetPerFrame(EngineKind::kFixed);
      if (budget == 0 || (uint64_t{cost_} + next_cost_) * 10 <= budget * 9) {
        const AudioLock lock;
        if (!overloaded_) {  // meanwhile
          TurnKnobs(next_);
          progress_ = 0;
          phase_ = Phase::kBoth;
          return;
        }
      }
    }
    const AudioLock lock;
    phase_ = Phase::kFadingToDry;
    AimMix();
  }

  // The least that a frame takes, in the board's count: the audio interrupts some of the trials.
  static uint32_t Measure(EngineType* engine) {
    constexpr int kTrials = 8;
    uint32_t least = UINT32_MAX;
    for (int trial = 0; trial < kTrials; ++trial) {
      int32_t samples[kControlInterval] = {};
      const uint32_t start = BoardCounter();
      engine->Process(samples, samples, kControlInterval);
      least = std::min(least, (BoardCounter() - start) / uint32_t{kControlInterval});
    }
    engine->Reset();
    return least;
  }

  void LoadWhileDry() {
    playing_->Load(next_kind_, *next_model_);
    next_cost_ = Measure(playing_);
    const AudioLock lock;
    TurnKnobs(playing_);
    loaded_ = true;
    if (overloaded_) Unmute();
    FinishChange();
    AimMix();
  }

  void TurnKnobs(EngineType* engine) {
    for (int index = 0; index < kMaxKnobs; ++index) {
      knobs_[index].position = knobs_[index].target;
      engine->SetKnob(index, knobs_[index].position);
    }
  }

  void Unmute() {
    overloaded_ = false;
    unmuted_.Init(0, kMixRampSamples);
    unmuted_.SetTarget(kFull);
  }

  void FinishChange() {
    kind_ = next_kind_;
    cost_ = next_cost_;
    drive_ = next_drive_;
    next_model_ = nullptr;
    rest_samples_ = kFirstRestSamples;
    phase_ = Phase::kPlaying;
  }

  void StepKnobs() {
    if (phase_ == Phase::kMoved) {
      playing_->Continue(*next_);
      FinishChange();
    }
    EngineType* const engine = KnobsEngine();
    for (int index = 0; index < kMaxKnobs; ++index) {
      Knob& knob = knobs_[index];
      knob.age = std::min(knob.age + 1, kMaxKnobSteps);
      if (knob.position == knob.target || engine == nullptr) continue;
      const int64_t distance = int64_t{knob.target} - knob.position;
      knob.position += static_cast<int32_t>(std::clamp<int64_t>(distance, -knob.step, knob.step));
      engine->SetKnob(index, knob.position);
    }
  }

  // The one that the knobs are for; none while it is not loaded.
  EngineType* KnobsEngine() {
    switch (phase_) {
      case Phase::kPlaying:
        return playing_;
      case Phase::kBoth:
      case Phase::kMoving:
      case Phase::kMoved:
        return next_;
      default:
        return nullptr;
    }
  }

  void ProcessSpan(const int32_t* in, int32_t* out, size_t size) {
    int32_t heard[kControlInterval] = {}, wet[kControlInterval] = {};
    for (size_t i = 0; i < size; ++i) {
      heard[i] = Amplify(in[i], input_level_.Next());
      clipped_ = clipped_ || IsExtreme(heard[i]);
    }
    if (overloaded_) {
      Rest(wet, size);
    } else {
      if (!Play(heard, wet, size)) {
        RecoverFromFault();
        std::memset(out, 0, size * sizeof *out);
        return;
      }
      for (size_t i = 0; i < size; ++i) wet[i] = Amplify(wet[i], output_level_.Next());
      tone_.Process(wet, size);
      gate_.Process(heard, wet, size);
      for (size_t i = 0; i < size; ++i) {
        clipped_ = clipped_ || IsExtreme(wet[i]);
        wet[i] = Between(0, wet[i], unmuted_.Next());
      }
      last_wet_ = wet[size - 1];
      good_samples_ = std::min(good_samples_ + static_cast<int32_t>(size), kForgivingSamples);
      if (good_samples_ == kForgivingSamples) rest_samples_ = kFirstRestSamples;
    }
    for (size_t i = 0; i < size; ++i) out[i] = Between(in[i], wet[i], mix_.Next());
    if (phase_ == Phase::kFadingToDry && mix_.value() == 0) phase_ = Phase::kDry;
  }

  // False when a sample is not a number.
  bool Play(const int32_t* heard, int32_t* wet, size_t size) {
    const Phase phase = phase_;
    if (!loaded_ || phase == Phase::kDry) {
      std::memset(wet, 0, size * sizeof *wet);
      return true;
    }
    if (phase == Phase::kMoving || phase == Phase::kMoved) {
      Drive(heard, wet, size, next_drive_);
      return next_->Process(wet, wet, size);
    }
    Drive(heard, wet, size, drive_);
    const bool good = playing_->Process(wet, wet, size);
    if (phase != Phase::kBoth) return good;

    int32_t next[kControlInterval];
    Drive(heard, next, size, next_drive_);
    const bool next_good = next_->Process(next, next, size);
    for (size_t i = 0; i < size; ++i, ++progress_) {
      const int32_t crossed = std::clamp<int32_t>(progress_ - kRunInSamples, 0, kCrossfadeSamples);
      wet[i] = Between(wet[i], next[i], kFull / kCrossfadeSamples * crossed);
    }
    if (progress_ >= kRunInSamples + kCrossfadeSamples) phase_ = Phase::kMoving;
    return good && next_good;
  }

  void Drive(const int32_t* heard, int32_t* driven, size_t size, Ramp& gain) {
    for (size_t i = 0; i < size; ++i) {
      driven[i] = Amplify(heard[i], gain.Next());
      clipped_ = clipped_ || IsExtreme(driven[i]);
    }
  }

  void RecoverFromFault() {
    ++fault_count_;
    const Phase phase = phase_;
    if (phase != Phase::kMoving) playing_->Reset();  // else it is being loaded
    if (phase == Phase::kBoth || phase == Phase::kMoving || phase == Phase::kMoved) next_->Reset();
    if (phase != Phase::kFadingToDry) return;
    mix_.Init(0, kMixRampSamples);
    phase_ = Phase::kDry;
  }

  // What is played while the processor has too much to do.
  void Rest(int32_t* wet, size_t size) {
    for (size_t i = 0; i < size; ++i) {
      wet[i] = fade_left_ > 0 ? static_cast<int32_t>(int64_t{fade_from_} * --fade_left_ / kFadeSamples) : 0;
    }
    rest_left_ -= static_cast<int32_t>(size);
    rest_left_ = std::max<int32_t>(rest_left_, 0);
    if (rest_left_ == 0 && rested_ && !changing()) Unmute();
  }

  static bool IsExtreme(int32_t sample) { return sample > kLargestClean || sample < -kLargestClean; }
  static constexpr int32_t kLargestClean = INT32_MAX - (1 << 8);

  // From `a` to `b`, which may be as far apart as samples can be.
  static int32_t Between(int32_t a, int32_t b, int32_t share_q30) {
    return static_cast<int32_t>(a + (((int64_t{b} - a) * share_q30) >> 30));
  }

  static int32_t Amplify(int32_t sample, int32_t gain_q28) {
    return SaturateToInt32((int64_t{sample} * gain_q28) >> kLevelFracBits);
  }

  EngineType *playing_, *next_;
  Ramp input_level_, drive_, next_drive_, output_level_, unmuted_, mix_;
  Tone tone_;
  NoiseGate gate_;
  bool bypass_, loaded_, clipped_, overloaded_;
  std::atomic<bool> rested_;  // after an overload, the engine begins anew
  std::atomic<Phase> phase_;
  EngineKind kind_, next_kind_;
  const ModelView* next_model_ = nullptr;  // until it plays
  uint32_t cost_, next_cost_;              // of a frame, in the board's count
  int32_t progress_;                       // samples of this phase
  int32_t last_wet_, fade_from_, fade_left_;
  int32_t rest_left_, rest_samples_;  // of an overload
  int32_t good_samples_;              // since the last one
  Knob knobs_[kMaxKnobs];
  size_t control_phase_;
  uint32_t fault_count_, overload_count_;
};

}  // namespace oddity
