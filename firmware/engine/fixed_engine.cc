#include "engine/fixed_engine.h"

namespace oddity {

void FixedEngine::Load(const ModelView& model) {
  is_eq_ = model.description->architecture == Architecture::kEq;
  is_eq_ ? eq_.Load(model) : recurrent_.Load(model);
}

void FixedEngine::SetKnob(int knob, int32_t position_q31) {
  is_eq_ ? eq_.SetKnob(knob, position_q31) : recurrent_.SetKnob(knob, position_q31);
}

void FixedEngine::Reset() { is_eq_ ? eq_.Reset() : recurrent_.Reset(); }

void FixedEngine::Continue(const FixedEngine& other) {
  is_eq_ ? eq_.Continue(other.eq_) : recurrent_.Continue(other.recurrent_);
}

void FixedEngine::Process(const int32_t* in, int32_t* out, size_t size) {
  is_eq_ ? eq_.Process(in, out, size) : recurrent_.Process(in, out, size);
}

}  // namespace oddity
