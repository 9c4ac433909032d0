// One recurrent layer in fixed point: its memory, laid out in the order in which the kernels read it, and the kernels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "engine/dsp.h"
#include "engine/model_view.h"

namespace oddity {

// What turns the hidden state of the last layer into audio, but for the units' weights.
struct HeadQ15 {
  int32_t bias;
  int output_shift;  // left, from the head's sum to Q31
  int32_t dry_gain;  // of the dry input: high words of its products are as the sum

  // The sum before the hidden units add theirs.
  int32_t Start(int32_t in) const { return Smmla(in, dry_gain, bias); }

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
    uint32_t state_low;        // fine LSTM: the cell state's 32 lower bits, `state` has one bit less than above
    int32_t left;              // fine: what rounding the hidden state to Q15 left, for the next sample to take
    int32_t left_before;       // finest: the same of the sample before
    int32_t unused;            // keeps the words of all units in the same banks of the memory
  };
  using GatesKernel = int32_t(RecurrentLayerQ15* layer, int32_t x, int32_t head);

  // What the dot products go through.
  struct Dot {
    const int16_t* weights;  // [two units][pair of states][unit][row][state]
    const int16_t* states;   // Q15: those of the layer below, then this one's
    Unit* units;
    Unit* units_end;
    int32_t quad_count;  // states are read four at a time, beyond the last of a layer as zeros
  };

  Dot dot;
  int16_t* hidden;  // this layer's states, the last of those that are read
  const int32_t* tables[2];
  GatesKernel* gates;  // on the Cortex-M7; elsewhere the three below say what to do
  Precision precision;
  bool stacked;  // on another layer: a GRU's row 3 is then the part of n that comes from there
  int cell_frac_bits;

  // finest: 15 more bits of every state, which go through the dot products on their own
  Dot low_dot;
  int16_t* low_hidden;

  bool fine() const { return precision != Precision::kCoarse; }
};

// The gates run one sample, `x` in Q31, and carry the layer's state on; they return `head` with the units' share added.
// On the Cortex-M7 both steps are assembly (kernels_m7.S); elsewhere they are the C++ that specifies it.
#if defined(__ARM_FEATURE_DSP)

static_assert(sizeof(RecurrentLayerQ15::Unit) == 88, "generate_kernels.py counts on it");
static_assert(offsetof(RecurrentLayerQ15::Unit, bias) == 16 && offsetof(RecurrentLayerQ15::Unit, scale) == 32 &&
                  offsetof(RecurrentLayerQ15::Unit, input) == 48 && offsetof(RecurrentLayerQ15::Unit, state) == 64 &&
                  offsetof(RecurrentLayerQ15::Unit, head) == 68 && offsetof(RecurrentLayerQ15::Unit, state_low) == 72 &&
                  offsetof(RecurrentLayerQ15::Unit, left) == 76,
              "generate_kernels.py counts on it");
static_assert(offsetof(RecurrentLayerQ15::Dot, quad_count) == 16 && offsetof(RecurrentLayerQ15, hidden) == 20 &&
                  offsetof(RecurrentLayerQ15, tables) == 24,
              "generate_kernels.py counts on it");

extern "C" {
// The dot products of every unit's rows with the states.
void DotQ15Rows4(const RecurrentLayerQ15::Dot* dot);
void DotQ15Rows3(const RecurrentLayerQ15::Dot* dot);
}

inline void DotQ15(const RecurrentLayerQ15::Dot& dot, int rows) { rows == 4 ? DotQ15Rows4(&dot) : DotQ15Rows3(&dot); }
inline int32_t LstmGates(RecurrentLayerQ15& layer, int32_t x, int32_t head) { return layer.gates(&layer, x, head); }
inline int32_t GruGates(RecurrentLayerQ15& layer, int32_t x, int32_t head) { return layer.gates(&layer, x, head); }

#else

// A hidden state from Q30 to Q15, rounded down: the exporter's bias takes the half step that this is off on average. A
// fine layer gives what it rounds off to the next sample (first-order noise shaping): the error goes to high
// frequencies, which slow cells do not hear.
inline int16_t RoundState(RecurrentLayerQ15::Unit& unit, bool fine, int32_t state) {
  if (!fine) return static_cast<int16_t>(state >> 15);
  const int32_t sum = state + unit.left;
  unit.left = sum & 0x7fff;
  return static_cast<int16_t>(Ssat<16>(sum >> 15));
}

int32_t LstmGates(RecurrentLayerQ15& layer, int32_t x, int32_t head);
int32_t GruGates(RecurrentLayerQ15& layer, int32_t x, int32_t head);

// The exporter scales every row so that its sum cannot overflow.
template <int kRows>
inline void DotQ15Rows(const RecurrentLayerQ15::Dot& dot) {
  const int16_t* weights = dot.weights;
  for (RecurrentLayerQ15::Unit* unit = dot.units; unit < dot.units_end; unit += 2) {
    int32_t sum[2 * kRows] = {};
    for (int pair = 0; pair < 2 * dot.quad_count; ++pair, weights += 4 * kRows) {
      uint32_t states, words[2 * kRows];
      std::memcpy(&states, dot.states + 2 * pair, sizeof states);  // a cast would break aliasing rules
      std::memcpy(words, weights, sizeof words);
      for (int row = 0; row < 2 * kRows; ++row) sum[row] = Smlad(words[row], states, sum[row]);
    }
    for (int row = 0; row < kRows; ++row) {
      unit[0].sum[row] = sum[row];
      unit[1].sum[row] = sum[kRows + row];
    }
  }
}

inline void DotQ15(const RecurrentLayerQ15::Dot& dot, int rows) { rows == 4 ? DotQ15Rows<4>(dot) : DotQ15Rows<3>(dot); }

#endif

// Of a finest layer: the sums of both halves of its states, and the low halves after its gates.
void DotQ30(const RecurrentLayerQ15& layer, int rows);
void UpdateLowStates(const RecurrentLayerQ15& layer);

template <bool kFinest>
inline int32_t LstmQ15(RecurrentLayerQ15& layer, int32_t x, int32_t head) {
  kFinest ? DotQ30(layer, 4) : DotQ15(layer.dot, 4);
  head = LstmGates(layer, x, head);
  if (kFinest) UpdateLowStates(layer);
  return head;
}

template <bool kFinest>
inline int32_t GruQ15(RecurrentLayerQ15& layer, int32_t x, int32_t head) {
  const int rows = layer.stacked ? 4 : 3;
  kFinest ? DotQ30(layer, rows) : DotQ15(layer.dot, rows);
  head = GruGates(layer, x, head);
  if (kFinest) UpdateLowStates(layer);
  return head;
}

// What the kernels of this architecture need in `layer`, whose `precision`, `stacked` and `cell_frac_bits` are set.
void UseLstmQ15(RecurrentLayerQ15& layer);
void UseGruQ15(RecurrentLayerQ15& layer);

}  // namespace oddity
