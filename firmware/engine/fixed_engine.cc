#include "engine/fixed_engine.h"

#include <cstring>

namespace oddity {

void FixedEngine::Load(const ModelView& model) {
  const ModelDescription& description = *model.description;
  architecture_ = description.architecture;
  gate_count_ = GateCount(architecture_);
  knob_count_ = description.knob_count;

  layer_.hidden_size = description.hidden_size;
  layer_.quad_count = (description.hidden_size + 3) / 4;
  layer_.cell_frac_bits = description.cell_frac_bits;
  layer_.head.output_shift = 31 - (description.head_frac_bits - 4);
  layer_.head.residual = (description.flags & kResidual) != 0;
  layer_.head.bias = description.head_bias;

  const int input_count = 1 + knob_count_;
  const int32_t* scale = model.scale;
  const int32_t* input = model.input_weights;
  std::memset(layer_.units, 0, sizeof layer_.units);
  for (int index = 0; index < layer_.hidden_size; ++index) {
    RecurrentLayerQ15::Unit& unit = layer_.units[index];
    std::memcpy(bias_[index], model.bias + index * kMaxGates, sizeof bias_[index]);
    for (int gate = 0; gate < gate_count_; ++gate, input += input_count) {
      unit.scale[gate] = *scale++;
      unit.input[gate] = input[0];
      for (int knob = 0; knob < knob_count_; ++knob) knob_weights_[index][gate][knob] = input[1 + knob];
    }
    unit.head = model.head_weights[index];
  }
  PackWeights(model.recurrent_weights);

  for (int knob = 0; knob < knob_count_; ++knob) knobs_[knob] = DefaultPosition(description.knobs[knob]);
  ApplyKnobs();
  Reset();
}

// From [unit][pair][gate][2] to the order in which the kernels read: two units' gates by pair, zeros to fill up.
void FixedEngine::PackWeights(const int16_t* weights) {
  std::memset(layer_.weights, 0, sizeof layer_.weights);
  const int pair_count = 2 * layer_.quad_count;
  for (int index = 0; index < layer_.hidden_size; ++index) {
    for (int pair = 0; pair < PairCount(layer_.hidden_size); ++pair, weights += 2 * gate_count_) {
      const int row = ((index / 2 * pair_count + pair) * 2 + index % 2) * gate_count_;
      std::memcpy(layer_.weights + 2 * row, weights, 2 * gate_count_ * sizeof(int16_t));
    }
  }
}

void FixedEngine::SetKnob(int knob, int32_t position_q31) {
  if (knob < 0 || knob >= knob_count_ || knobs_[knob] == position_q31) return;
  knobs_[knob] = position_q31;
  ApplyKnobs();
}

void FixedEngine::ApplyKnobs() {
  for (int index = 0; index < layer_.hidden_size; ++index) {
    for (int gate = 0; gate < kMaxGates; ++gate) {
      int32_t sum = bias_[index][gate];
      if (gate < gate_count_) {
        for (int knob = 0; knob < knob_count_; ++knob) sum = Smmla(knobs_[knob], knob_weights_[index][gate][knob], sum);
      }
      layer_.units[index].bias[gate] = sum;
    }
  }
}

void FixedEngine::Reset() {
  for (RecurrentLayerQ15::Unit& unit : layer_.units) unit.state = 0;
  std::memset(layer_.hidden, 0, sizeof layer_.hidden);
  layer_.current = 0;
}

void FixedEngine::Process(const int32_t* in, int32_t* out, size_t size) {
  if (architecture_ == Architecture::kLstm) {
    LstmQ15(layer_, in, out, size);
  } else {
    GruQ15(layer_, in, out, size);
  }
}

}  // namespace oddity
