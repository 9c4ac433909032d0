#include "engine/recurrent_engine.h"

#include <cstring>

namespace oddity {

void RecurrentEngine::Load(const ModelView& model) {
  const ModelDescription& description = *model.description;
  architecture_ = description.architecture;
  hidden_size_ = description.hidden_size;
  layer_count_ = description.layer_count;
  knob_count_ = description.knob_count;
  head_.output_shift = 31 - (description.head_frac_bits - 2);
  head_.dry_gain = description.dry_gain;
  head_.bias = description.head_bias;

  std::memcpy(rest_, model.rest, layer_count_ * hidden_size_ * sizeof *rest_);
  std::memset(units_, 0, sizeof units_);
  std::memset(weights_, 0, sizeof weights_);
  UnpackWeights(model, weights_);
  const int16_t* weights = weights_;
  RecurrentLayerQ15::Unit* units = units_;
  const int32_t *bias = model.bias, *scale = model.scale;
  for (int index = 0; index < layer_count_; ++index) {
    RecurrentLayerQ15& layer = layers_[index];
    layer.dot.weights = weights;
    weights += WeightCount(architecture_, hidden_size_, index);
    layer.hidden = states_ + 4 * QuadCount(hidden_size_) * index;
    layer.dot.quad_count = QuadsRead(hidden_size_, index);
    layer.dot.states = index > 0 ? layers_[index - 1].hidden : layer.hidden;
    layer.dot.units = units;
    for (int unit = 0; unit < hidden_size_; ++unit, bias += kMaxGates, scale += kMaxGates) {
      std::memcpy(units[unit].bias, bias, sizeof units[unit].bias);
      std::memcpy(units[unit].scale, scale, sizeof units[unit].scale);
    }
    units += (hidden_size_ + 1) / 2 * 2;
    layer.dot.units_end = units;
    layer.low_hidden = low_states_ + (layer.hidden - states_);
    layer.low_dot = layer.dot;
    layer.low_dot.states = low_states_ + (layer.dot.states - states_);
    layer.cell_frac_bits = description.cell_frac_bits[index];
    layer.precision = description.flags & kFinest ? Precision::kFinest
                      : description.flags & kFine ? Precision::kFine
                                                  : Precision::kCoarse;
    layer.stacked = index > 0;
    architecture_ == Architecture::kLstm ? UseLstmQ15(layer) : UseGruQ15(layer);
  }

  const int32_t* input = model.input_weights;
  for (int unit = 0; unit < hidden_size_; ++unit) {
    std::memcpy(bias_[unit], units_[unit].bias, sizeof bias_[unit]);
    for (int gate = 0; gate < kMaxGates; ++gate) {
      units_[unit].input[gate] = *input++;
      for (int knob = 0; knob < knob_count_; ++knob) knob_weights_[unit][gate][knob] = *input++;
    }
    layers_[layer_count_ - 1].dot.units[unit].head = model.head_weights[unit];
  }
  for (int knob = 0; knob < knob_count_; ++knob) knobs_[knob] = DefaultPosition(description.knobs[knob]);
  ApplyKnobs();
  Reset();
}

void RecurrentEngine::SetKnob(int knob, int32_t position_q31) {
  if (knob < 0 || knob >= knob_count_ || knobs_[knob] == position_q31) return;
  knobs_[knob] = position_q31;
  ApplyKnobs();
}

void RecurrentEngine::ApplyKnobs() {
  for (int unit = 0; unit < hidden_size_; ++unit) {
    for (int gate = 0; gate < kMaxGates; ++gate) {
      int32_t sum = bias_[unit][gate];
      for (int knob = 0; knob < knob_count_; ++knob) sum = Smmla(knobs_[knob], knob_weights_[unit][gate][knob], sum);
      units_[unit].bias[gate] = sum;
    }
  }
}

void RecurrentEngine::Reset() {
  std::memset(states_, 0, sizeof states_);
  std::memset(low_states_, 0, sizeof low_states_);
  const auto* rest = rest_;
  for (int index = 0; index < layer_count_; ++index) {
    const RecurrentLayerQ15& layer = layers_[index];
    const bool fine = layer.fine(), finest = layer.precision == Precision::kFinest;
    for (int i = 0; i < hidden_size_; ++i, ++rest) {
      RecurrentLayerQ15::Unit& unit = layer.dot.units[i];
      const int32_t low = rest->hidden & 0x7fff;
      layer.hidden[i] = static_cast<int16_t>(rest->hidden >> 15);
      if (finest) layer.low_hidden[i] = static_cast<int16_t>(low);
      unit.state = architecture_ == Architecture::kLstm && !fine ? ShiftLeft(rest->state, 1) : rest->state;
      unit.state_low = 0;
      unit.left = unit.left_before = fine ? low : 0;
    }
  }
}

void RecurrentEngine::Continue(const RecurrentEngine& other) {
  std::memcpy(units_, other.units_, sizeof units_);
  std::memcpy(states_, other.states_, sizeof states_);
  std::memcpy(low_states_, other.low_states_, sizeof low_states_);
  std::memcpy(knobs_, other.knobs_, sizeof knobs_);
}

template <int32_t (&Layer)(RecurrentLayerQ15&, int32_t, int32_t)>
void RecurrentEngine::Run(const int32_t* in, int32_t* out, size_t size) {
  const HeadQ15 head = head_;  // the kernels could change the engine for all that the compiler knows
  RecurrentLayerQ15* const end = layers_ + layer_count_;
  for (size_t sample = 0; sample < size; ++sample) {
    const int32_t x = in[sample];
    int32_t sum = head.Start(x);  // only the last layer's units have weights in the head
    RecurrentLayerQ15* layer = layers_;
    do {
      sum = Layer(*layer, x, sum);
    } while (++layer != end);
    out[sample] = head.ToQ31(sum);
  }
}

void RecurrentEngine::Process(const int32_t* in, int32_t* out, size_t size) {
  const bool finest = layers_[0].precision == Precision::kFinest;
  if (architecture_ == Architecture::kLstm) {
    finest ? Run<LstmQ15<true>>(in, out, size) : Run<LstmQ15<false>>(in, out, size);
  } else {
    finest ? Run<GruQ15<true>>(in, out, size) : Run<GruQ15<false>>(in, out, size);
  }
}

}  // namespace oddity
