// What an engine sees of a model, whether it was compiled in as a C header or uploaded as a blob.
// Written by export/header.py and export/blob.py; the numbers are explained in export/quantize.py.
#pragma once

#include <cstddef>
#include <cstdint>

namespace oddity {

constexpr int kMaxHiddenSize = 64;
constexpr int kMaxKnobs = 4;
constexpr int kMaxGates = 4;

enum class Architecture : uint8_t { kLstm = 1, kGru = 2 };

struct KnobDescription {
  char name[16];
  float minimum, maximum, default_value;  // in the user's units; engines get positions 0..1
};

constexpr uint8_t kResidual = 1;    // the dry input is added to the output
constexpr uint8_t kLowWeights = 2;  // the float engine's finer weights are there

// The first section of a blob, byte for byte (little-endian).
struct ModelDescription {
  Architecture architecture;
  uint8_t hidden_size;     // 1..64
  uint8_t knob_count;      // 0..4
  uint8_t flags;           // kResidual, kLowWeights
  uint8_t cell_frac_bits;  // LSTM: Q format of the cell state, 24..28
  uint8_t head_frac_bits;  // Q format of the head's weights, 8..28; its sum has four bits fewer
  uint16_t self_test_frames;
  uint32_t sample_rate_hz;
  int32_t head_bias;  // Q(head_frac_bits - 4)
  char name[32];
  KnobDescription knobs[kMaxKnobs];
};
static_assert(sizeof(ModelDescription) == 160, "the blob's layout");

inline int GateCount(Architecture architecture) { return architecture == Architecture::kLstm ? 4 : 3; }

// Hidden states are read in pairs; an odd size has a zero weight at the end of each row.
inline int PairCount(int hidden_size) { return (hidden_size + 1) / 2; }

// Gate order: LSTM i, f, g, o; GRU r, z, n. A gate's pre-activation is Q21 (sigmoid) or Q22 (tanh: g, n).
struct ModelView {
  const ModelDescription* description = nullptr;
  const int32_t* bias = nullptr;               // [hidden][4]; GRU: r, z, n from the input, n from the state
  const int32_t* scale = nullptr;              // [hidden][gates]: pre-activation = bias + (dot product * scale >> 32)
  const int32_t* input_weights = nullptr;      // [hidden][gates][1 + knobs], Q(pre-activation + 1)
  const int16_t* recurrent_weights = nullptr;  // [hidden][pairs][gates][2], in the order of the inner loop
  const int32_t* head_weights = nullptr;       // [hidden], Q(head_frac_bits)
  const int32_t* self_test_input = nullptr;    // [self_test_frames], Q31
  const int32_t* self_test_output = nullptr;   // [self_test_frames], Q31: knobs at their defaults, from zero state
  // What rounding to int16 took from each recurrent weight, in 1/65536 of its last place: for the float engine only.
  const int16_t* low_weights = nullptr;  // as recurrent_weights, or nullptr
};

// Position 0..1 of a knob's default, as Q31.
int32_t DefaultPosition(const KnobDescription& knob);

}  // namespace oddity
