// LSTMs and GRUs in fixed point: int16 weights and states, 32-bit sums.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/recurrent_q15.h"

namespace oddity {

class RecurrentEngine {
 public:
  RecurrentEngine() = default;
  RecurrentEngine(const RecurrentEngine&) = delete;  // its layers point into it

  // Copies the model into the engine's own (tightly coupled) memory; knobs go to their defaults, the state to rest.
  void Load(const ModelView& model);
  void SetKnob(int knob, int32_t position_q31);  // position 0..1; outside the model's knobs it does nothing
  void Reset();                                  // to rest: as after a long silence, knobs at their defaults
  void Continue(const RecurrentEngine& other);   // goes on where `other` is, which plays the same model
  void Process(const int32_t* in, int32_t* out, size_t size);  // Q31

 private:
  // The most of what models of 64 units need: one layer of LSTM-64 for the weights; an odd layer is filled up by a
  // unit, every layer's states to a multiple of four.
  static constexpr int kWeightCapacity = kMaxUnits * kMaxUnits * kMaxGates;
  static constexpr int kUnitCapacity = kMaxUnits + kMaxLayers;
  static constexpr int kStateCapacity = kMaxUnits + 3 * kMaxLayers;
  static constexpr int kReadAhead = 8;  // the kernels read so many weights or states beyond the last, and ignore them

  template <int32_t (&Layer)(RecurrentLayerQ15&, int32_t, int32_t)>
  void Run(const int32_t* in, int32_t* out, size_t size);
  void ApplyKnobs();

  Architecture architecture_;
  int hidden_size_, layer_count_, knob_count_;
  HeadQ15 head_;
  struct {
    int32_t state;   // GRU: Q30; LSTM: the cell, Q(cell_frac_bits - 1)
    int32_t hidden;  // Q30
  } rest_[kMaxUnits];
  RecurrentLayerQ15 layers_[kMaxLayers];
  RecurrentLayerQ15::Unit units_[kUnitCapacity];
  alignas(8) int16_t states_[kStateCapacity + kReadAhead];
  alignas(8) int16_t low_states_[kStateCapacity + kReadAhead];
  alignas(8) int16_t weights_[kWeightCapacity + kReadAhead];

  // of the first layer
  int32_t knobs_[kMaxKnobs];
  int32_t bias_[kMaxUnits][kMaxGates];                     // without the knobs' share
  int32_t knob_weights_[kMaxUnits][kMaxGates][kMaxKnobs];  // one bit finer than the pre-activation
};

}  // namespace oddity
