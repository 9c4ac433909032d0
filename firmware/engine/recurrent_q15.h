// One recurrent layer in fixed point: its memory, laid out in the order in which the kernels read it, and the kernels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "engine/dsp.h"
#include "engine/model_view.h"

namespace oddity {

// What turns the hidden state into audio, but for the units' weights.
struct HeadQ15 {
  int32_t bias;
  int output_shift;  // left, from the head's sum to Q31; as much to the right, the dry input goes to the sum
  bool residual;

  // The sum before the hidden units add theirs.
  int32_t Start(int32_t in) const { return bias + (residual ? in >> output_shift : 0); }

  int32_t ToQ31(int32_t sum) const {
    const int32_t limit = INT32_MAX >> output_shift;
    const int32_t limited = sum > limit ? limit : sum < -limit - 1 ? -limit - 1 : sum;
    return ShiftLeft(limited, output_shift);
  }
};

struct RecurrentLayerQ15 {
  // The gates' kernel goes through these two at a time, so an odd layer ends with a unit of zeros, which stays at zero.
  struct Unit {
    int32_t sum[kMaxGates];    // this sample's dot products
    int32_t bias[kMaxGates];   // Q21 or Q22, as the gate's pre-activation; the knobs' share is already in it
    int32_t scale[kMaxGates];  // of the dot products
    int32_t input[kMaxGates];  // weight of the audio input, one bit finer than the pre-activation
    int32_t state;             // LSTM: cell state, Q(cell_frac_bits); GRU: hidden state, Q30
    int32_t head;              // weight of the head, Q(head_frac_bits)
  };

  Unit* units_end() { return units + (hidden_size + 1) / 2 * 2; }

  int hidden_size;
  int quad_count;  // hidden states are read four at a time, beyond the last as zeros
  int cell_frac_bits;
  HeadQ15 head;
  int current;  // which of the two hidden vectors holds the last sample's state
  Unit units[kMaxHiddenSize];
  alignas(8) int16_t hidden[2][kMaxHiddenSize];  // Q15
  // [two units][pair of states][unit][gate][state]; the kernel reads three words beyond the last and ignores them
  alignas(8) int16_t weights[kMaxHiddenSize * kMaxHiddenSize * kMaxGates + 8];
};

// Each runs `size` samples, Q31 in and out, and carries the layer's state on.
void LstmQ15(RecurrentLayerQ15& layer, const int32_t* in, int32_t* out, size_t size);
void GruQ15(RecurrentLayerQ15& layer, const int32_t* in, int32_t* out, size_t size);

// On the Cortex-M7 the two steps of a sample are assembly (kernels_m7.S); elsewhere they are the C++ that specifies it.
#if defined(__ARM_FEATURE_DSP)

static_assert(sizeof(RecurrentLayerQ15::Unit) == 72, "generate_kernels.py counts on it");
static_assert(offsetof(RecurrentLayerQ15::Unit, bias) == 16 && offsetof(RecurrentLayerQ15::Unit, scale) == 32 &&
                  offsetof(RecurrentLayerQ15::Unit, input) == 48 && offsetof(RecurrentLayerQ15::Unit, state) == 64 &&
                  offsetof(RecurrentLayerQ15::Unit, head) == 68,
              "generate_kernels.py counts on it");

extern "C" {
using DotKernel = void(const int16_t* weights, const int16_t* hidden, RecurrentLayerQ15::Unit* units,
                       RecurrentLayerQ15::Unit* units_end, int quad_count);
DotKernel LstmDotQ15, GruDotQ15;

// Returns the head's sum.
using GatesKernel = int32_t(RecurrentLayerQ15::Unit* units, int16_t* next_hidden, int32_t x, int32_t head,
                            const RecurrentLayerQ15::Unit* units_end, const int32_t* sigmoid_centre,
                            const int32_t* tanh_centre);
GatesKernel LstmGatesQ15Cell24, LstmGatesQ15Cell25, LstmGatesQ15Cell26, LstmGatesQ15Cell27, LstmGatesQ15Cell28;
GatesKernel GruGatesQ15;
}

#else

// Dot products of every unit's gate rows with the hidden vector. The exporter scales every row so that its sum cannot
// overflow.
template <int kGates>
inline void DotGates(RecurrentLayerQ15& layer) {
  const int16_t* weights = layer.weights;
  for (RecurrentLayerQ15::Unit* unit = layer.units; unit < layer.units_end(); unit += 2) {
    int32_t sum[2 * kGates] = {};
    for (int pair = 0; pair < 2 * layer.quad_count; ++pair, weights += 4 * kGates) {
      uint32_t states, words[2 * kGates];
      std::memcpy(&states, layer.hidden[layer.current] + 2 * pair, sizeof states);  // a cast would break aliasing rules
      std::memcpy(words, weights, sizeof words);
      for (int row = 0; row < 2 * kGates; ++row) sum[row] = Smlad(words[row], states, sum[row]);
    }
    for (int gate = 0; gate < kGates; ++gate) {
      unit[0].sum[gate] = sum[gate];
      unit[1].sum[gate] = sum[kGates + gate];
    }
  }
}

#endif

}  // namespace oddity
