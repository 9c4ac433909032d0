// One recurrent layer in fixed point: its memory, laid out in the order in which the kernels read it, and the kernels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "engine/dsp.h"
#include "engine/model_view.h"

namespace oddity {

struct RecurrentLayerQ15 {
  struct Unit {
    int32_t bias[kMaxGates];   // Q21 or Q22, as the gate's pre-activation; the knobs' share is already in it
    int32_t scale[kMaxGates];  // of the dot products
    int32_t input[kMaxGates];  // weight of the audio input, one bit finer than the pre-activation
    int32_t state;             // LSTM: cell state, Q(cell_frac_bits); GRU: hidden state, Q30
    int32_t head;              // weight of the head, Q(head_frac_bits)
  };

  int hidden_size;
  int pair_count;
  int cell_frac_bits;
  int output_shift;  // left, from the head's sum to Q31; as much to the right, the dry input goes to the sum
  bool residual;
  int32_t head_bias;
  int current;  // which of the two hidden vectors holds the last sample's state
  Unit units[kMaxHiddenSize];
  alignas(4) int16_t hidden[2][kMaxHiddenSize];                             // Q15
  alignas(8) int16_t weights[kMaxHiddenSize * kMaxHiddenSize * kMaxGates];  // as ModelView::recurrent_weights
};

// Each runs `size` samples, Q31 in and out, and carries the layer's state on.
void LstmQ15(RecurrentLayerQ15& layer, const int32_t* in, int32_t* out, size_t size);
void GruQ15(RecurrentLayerQ15& layer, const int32_t* in, int32_t* out, size_t size);

// Dot products of every unit's gate rows with the hidden vector. Each pair of states is loaded once for all gates; the
// weights come two words at a time (LDRD). The exporter scales every row so that its sum cannot overflow.
template <int kGates>
inline void DotGates(const RecurrentLayerQ15& layer, int32_t (*sums)[kGates]) {
  const int16_t* hidden = layer.hidden[layer.current];
  const int16_t* weights = layer.weights;
  for (int unit = 0; unit < layer.hidden_size; ++unit) {
    int32_t sum[kGates] = {};
#pragma GCC unroll 4
    for (int pair = 0; pair < layer.pair_count; ++pair, weights += 2 * kGates) {
      uint32_t states, words[kGates];
      std::memcpy(&states, hidden + 2 * pair, sizeof states);  // memcpy: a cast would break the aliasing rules
      std::memcpy(words, __builtin_assume_aligned(weights, 4), sizeof words);
      for (int gate = 0; gate < kGates; ++gate) sum[gate] = Smlad(words[gate], states, sum[gate]);
    }
    std::memcpy(sums[unit], sum, sizeof sum);
  }
}

// The head's sum before the hidden units add theirs.
inline int32_t HeadStart(const RecurrentLayerQ15& layer, int32_t in) {
  return layer.head_bias + (layer.residual ? in >> layer.output_shift : 0);
}

inline int32_t HeadToQ31(const RecurrentLayerQ15& layer, int32_t sum) {
  const int32_t limit = INT32_MAX >> layer.output_shift;
  const int32_t limited = sum > limit ? limit : sum < -limit - 1 ? -limit - 1 : sum;
  return ShiftLeft(limited, layer.output_shift);
}

}  // namespace oddity
