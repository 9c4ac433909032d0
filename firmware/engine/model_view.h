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

enum class Architecture : uint8_t { kLstm = 1, kGru = 2, kEq = 3 };

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
  uint8_t hidden_size;     // of each layer; this and the other fields of layers and heads are 0 in an EQ network
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
  uint16_t cabinet_partitions;  // 0: no cabinet
  uint16_t unused;
};
static_assert(sizeof(ModelDescription) == 172, "the blob's layout");

constexpr int kMaxEqAmps = 8;
constexpr int kMaxEqBlocks = 12;
constexpr int kMaxEqTaps = 1024;      // of a block
constexpr int kEqTapCapacity = 3200;  // of all blocks, each filled up to a multiple of four
constexpr int kEqPlacesPerAmp = 10;
constexpr int kMaxEqBeyond = 5;
constexpr int kMaxEqFirFracBits = 36;

// The section of an EQ network that says what shape it has, byte for byte.
struct EqShape {
  uint8_t amps;  // more than one: the knob goes from each to the next
  uint8_t blocks;
  uint16_t taps;
  uint16_t dry_delay;  // of a block's dry signal, in frames
  uint16_t beyond;     // places that the knob goes past the first amp and past the last

  int fir_count() const { return 2 * amps - 1; }
  int last_place() const { return (amps - 1) * kEqPlacesPerAmp + 2 * beyond; }  // of the knob
};
static_assert(sizeof(EqShape) == 8, "the blob's layout");

constexpr int kCabinetPartition = 128;  // taps of the cabinet's impulse response that share a shift
constexpr int kMaxCabinetPartitions = 16;

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

// Of an EQ network: what training/eq_morph.py and export/eq_quantize.py explain.
struct EqView {
  const EqShape* shape = nullptr;
  const int32_t* firs = nullptr;           // [fir_count][blocks][taps]: amp 0, its product with amp 1, amp 1, ...
  const int32_t* fir_frac_bits = nullptr;  // [blocks]
  const int32_t* biases = nullptr;         // [amps][blocks], Q20
  const int32_t* gate_logits = nullptr;    // [amps][blocks], Q21
  const int32_t* levels = nullptr;         // [last_place + 1], Q28
};

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
  const int32_t* rest = nullptr;               // [units][2], see RecurrentEngine::Reset
  EqView eq;                                   // instead of all the above, of an EQ network
  const int32_t* resampling = nullptr;         // [ResamplingSteps::reach + 1], or nullptr where the rate is the pedal's
  const int16_t* cabinet_taps = nullptr;       // [partitions][kCabinetPartition], each partition its last tap first
  const int32_t* cabinet_shifts = nullptr;     // [partitions]: right, from a sum to Q26
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
