// What an engine sees of a model, whether it was compiled in as a C header or uploaded as a blob.
// Written by export/header.py and export/blob.py; the numbers are explained in export/quantize.py.
#pragma once

#include <cstddef>
#include <cstdint>

namespace oddity {

constexpr int kMaxUnits = 64;  // of all layers together
constexpr int kMaxLayers = 4;
constexpr int kMaxKnobs = 4;
constexpr int kMaxGates = 4;
constexpr int32_t kPedalRateHz = 48000;

enum class Precision : uint8_t { kCoarse, kFine, kFinest };

enum class Architecture : uint8_t { kLstm = 1, kGru = 2 };

struct KnobDescription {
  char name[16];
  float minimum, maximum, default_value;  // in the user's units; engines get positions 0..1
};

constexpr uint8_t kLowWeights = 2;   // the float engine's finer weights are there
constexpr uint8_t kInt8Weights = 4;  // the recurrent weights are int8, and unpacked to int16 when the model is loaded
constexpr uint8_t kFine = 8;         // finer activations, cells and rounding
constexpr uint8_t kFinest = 16;      // with kFine: hidden states of 30 bits

// The first section of a blob, byte for byte (little-endian).
struct ModelDescription {
  Architecture architecture;
  uint8_t hidden_size;     // of each layer
  uint8_t layer_count;     // 1..4; layer_count * hidden_size: 1..64
  uint8_t knob_count;      // 0..4
  uint8_t flags;           // kLowWeights and so on
  uint8_t head_frac_bits;  // Q format of the head's weights, 8..28; its sum has two bits fewer
  uint16_t self_test_frames;
  uint32_t sample_rate_hz;
  int32_t head_bias;                   // Q(head_frac_bits - 2)
  int32_t dry_gain;                    // of the input in the output, Q(head_frac_bits - 1)
  uint8_t cell_frac_bits[kMaxLayers];  // LSTM: Q format of each layer's cell state, 24..28
  char name[32];
  KnobDescription knobs[kMaxKnobs];
};
static_assert(sizeof(ModelDescription) == 168, "the blob's layout");

// Dot products of a unit in the rows of `layer`: LSTM i, f, g, o; GRU r, z, n from the state and, in a layer on
// another, n from there.
inline int RowCount(Architecture architecture, int layer) {
  return architecture == Architecture::kGru && layer == 0 ? 3 : 4;
}

// States are read four at a time: what a layer keeps is filled up with zeros.
inline int QuadCount(int hidden_size) { return (hidden_size + 3) / 4; }

// What the rows of `layer` read: the states of the layer below, where there is one, and its own.
inline int QuadsRead(int hidden_size, int layer) { return QuadCount(hidden_size) * (layer > 0 ? 2 : 1); }

// Recurrent weights of a layer, and the place of one among them: the kernels take two units at a time.
inline int WeightCount(Architecture architecture, int hidden_size, int layer) {
  return (hidden_size + 1) / 2 * QuadsRead(hidden_size, layer) * 8 * RowCount(architecture, layer);
}
inline int WeightIndex(int unit, int row, int state, int rows, int quads) {
  return (((unit / 2 * 2 * quads + state / 2) * 2 + unit % 2) * rows + row) * 2 + state % 2;
}

// Columns of four are i, f, g, o (LSTM) or r, z, n from the state, n from the input (GRU). Pre-activations are Q21 for
// a sigmoid, Q22 for a tanh (LSTM: g, GRU: both n). `units` counts those of all layers, the lowest layer first.
struct ModelView {
  const ModelDescription* description = nullptr;
  const int32_t* bias = nullptr;               // [units][4]
  const int32_t* scale = nullptr;              // [units][4]: pre-activation = bias + (dot product * scale >> 32)
  const int32_t* input_weights = nullptr;      // [hidden][4][1 + knobs], of the first layer, Q(pre-activation + 1)
  const int16_t* recurrent_weights = nullptr;  // by layer [two units][pair of states][unit][row][state]
  const int8_t* int8_weights = nullptr;        // or these, in the same order...
  const int16_t* int8_steps = nullptr;         // ...and what one step of them is in int16: [units][4]
  const int32_t* head_weights = nullptr;       // [hidden], Q(head_frac_bits)
  const int32_t* rest = nullptr;               // [units][2], see FixedEngine::Reset
  const int32_t* resampling = nullptr;         // [ResamplingSteps::reach + 1], or nullptr where the rate is the pedal's
  const int32_t* self_test_input = nullptr;    // [self_test_frames], Q31, at the model's rate
  const int32_t* self_test_output = nullptr;   // [self_test_frames], Q31: knobs at their defaults, from rest
  // For the float engine only, or nullptr: what rounding to int16 took from each recurrent weight, in 1/4096 of its
  // last place, and what the bias does to make up for it, with the other sign.
  const int16_t* low_weights = nullptr;  // as recurrent_weights
  const int32_t* low_bias = nullptr;     // as bias
};

// The int16 form of every recurrent weight, to `destination` and in the order of the view: what the engines compute
// with.
void UnpackWeights(const ModelView& model, int16_t* destination);

// Position 0..1 of a knob's default, as Q31.
int32_t DefaultPosition(const KnobDescription& knob);

}  // namespace oddity
