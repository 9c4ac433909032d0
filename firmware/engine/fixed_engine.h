// The fixed-point engine: int16 weights and states, 32-bit sums, the same bits on the chip and on the host.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/recurrent_q15.h"

namespace oddity {

class FixedEngine {
 public:
  // Copies the model into the engine's own (tightly coupled) memory; knobs go to their defaults, the state to zero.
  void Load(const ModelView& model);
  void SetKnob(int knob, int32_t position_q31);  // position 0..1; outside the model's knobs it does nothing
  void Reset();
  void Process(const int32_t* in, int32_t* out, size_t size);  // Q31

 private:
  void PackWeights(const int16_t* weights);
  void ApplyKnobs();

  Architecture architecture_;
  int gate_count_, knob_count_;
  int32_t knobs_[kMaxKnobs];
  int32_t bias_[kMaxHiddenSize][kMaxGates];                     // without the knobs' share
  int32_t knob_weights_[kMaxHiddenSize][kMaxGates][kMaxKnobs];  // one bit finer than the pre-activation
  RecurrentLayerQ15 layer_;
};

}  // namespace oddity
