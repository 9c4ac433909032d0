// The one interface to the inference engines: load a model, then process blocks at 48 kHz.
//
//   in ── (resampler) ── engine ── (resampler) ── (cabinet) ── out
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "engine/cabinet.h"
#include "engine/fixed_engine.h"
#include "engine/resampler.h"
#if defined(ODDITY_RTNEURAL)
#include "engine/rtneural_engine.h"
#endif

namespace oddity {

enum class EngineKind : uint8_t { kFixed = 0, kRtneural = 1 };

class Engine {
 public:
  static constexpr bool Has(EngineKind kind) {
#if defined(ODDITY_RTNEURAL)
    return kind == EngineKind::kFixed || kind == EngineKind::kRtneural;
#else
    return kind == EngineKind::kFixed;
#endif
  }

  static bool Plays(EngineKind kind, const ModelView& model) {
#if defined(ODDITY_RTNEURAL)
    if (kind == EngineKind::kRtneural) return RtneuralEngine::Plays(model);
#endif
    (void)model;
    return Has(kind);
  }

  // `kind` must be one that this build has and that plays the model.
  void Load(EngineKind kind, const ModelView& model) {
    kind_ = kind;
    Visit([&](auto& engine) { engine.Load(model); });
    resampler_.Load(model);
    cabinet_.Load(model);
    ResetAround();
  }

  void SetKnob(int knob, int32_t position_q31) {
    Visit([&](auto& engine) { engine.SetKnob(knob, position_q31); });
  }

  void Reset() {
    Visit([](auto& engine) { engine.Reset(); });
    ResetAround();
  }

  // Goes on where `other` is, which plays the same model; both in the fixed-point engine.
  void Continue(const Engine& other) {
    fixed_.Continue(other.fixed_);
    resampler_.Continue(other.resampler_);
    cabinet_.Continue(other.cabinet_);
  }

  // Q31 samples. False when the model's output is not a number: the caller mutes the block and resets the engine.
  bool Process(const int32_t* in, int32_t* out, size_t size) {
    const bool finite = resampler_.active() ? PlayResampled(in, out, size) : Play(in, out, size);
    if (cabinet_.active()) cabinet_.Process(out, out, size);
    return finite;
  }

 private:
  bool PlayResampled(const int32_t* in, int32_t* out, size_t size) {
    bool finite = true;
    for (size_t start = 0; start < size; start += Resampler::kMaxFrames) {
      const size_t frames = std::min(size - start, Resampler::kMaxFrames);
      int32_t own[Resampler::kMaxOwn];
      const size_t count = resampler_.ToOwn(in + start, frames, own);
      finite = Play(own, own, count) && finite;
      resampler_.FromOwn(own, count, out + start, frames);
    }
    return finite;
  }

  // At the model's rate.
  bool Play(const int32_t* in, int32_t* out, size_t size) {
#if defined(ODDITY_RTNEURAL)
    if (kind_ == EngineKind::kRtneural) return rtneural_.Process(in, out, size);
#endif
    fixed_.Process(in, out, size);
    return true;
  }

  // What is around the model hears what it makes of silence.
  void ResetAround() {
    if (!resampler_.active() && !cabinet_.active()) return;
    int32_t sample = 0;
    Play(&sample, &sample, 1);
    if (resampler_.active()) {
      resampler_.Reset(sample);
    } else {
      Visit([](auto& engine) { engine.Reset(); });
    }
    cabinet_.Reset(sample);
  }

  template <typename Call>
  void Visit(Call call) {
#if defined(ODDITY_RTNEURAL)
    if (kind_ == EngineKind::kRtneural) {
      call(rtneural_);
      return;
    }
#endif
    call(fixed_);
  }

  EngineKind kind_ = EngineKind::kFixed;
  Resampler resampler_;
  Cabinet cabinet_;
  FixedEngine fixed_;
#if defined(ODDITY_RTNEURAL)
  RtneuralEngine rtneural_;
#endif
};

}  // namespace oddity
