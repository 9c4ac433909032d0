#if defined(ODDITY_RTNEURAL)
#include "engine/rtneural_engine.h"

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <vector>

#include "engine/activation.h"

namespace oddity {
namespace {

constexpr int kRunInSamples = 9600;

using Matrix = std::vector<std::vector<float>>;

// A one-layer model's weights as floats in torch's gate order, padded with zeros to a network's size.
struct FloatWeights {
  FloatWeights(const ModelView& model, int inputs, int size)
      : input(inputs, std::vector<float>(Gates(model) * size)),
        recurrent(size, std::vector<float>(input[0].size())),
        bias(kMaxGates * size),
        head(1, std::vector<float>(size)) {
    const ModelDescription& description = *model.description;
    const bool lstm = description.architecture == Architecture::kLstm;
    const int rows = RowCount(description.architecture, 0);
    const int quads = QuadsRead(description.hidden_size, 0);
    const int input_count = 1 + description.knob_count;
    std::vector<int16_t> weights(WeightCount(description.architecture, description.hidden_size, 0));
    UnpackWeights(model, weights.data());
    const auto frac_bits = [&](int column) {
      return column == 2 || (column == 3 && !lstm) ? kTanhFracBits : kSigmoidFracBits;
    };
    for (int unit = 0; unit < description.hidden_size; ++unit) {
      for (int row = 0; row < rows; ++row) {
        for (int source = 0; source < description.hidden_size; ++source) {
          const int index = WeightIndex(unit, row, source, rows, quads);
          const double low = model.low_weights ? model.low_weights[index] / 4096.0 : 0.0;
          const double weight = (weights[index] + low) * model.scale[unit * kMaxGates + row];
          recurrent[source][row * size + unit] = float(std::ldexp(weight, -17 - frac_bits(row)));
        }
      }
      for (int column = 0; column < kMaxGates; ++column) {
        const int index = unit * kMaxGates + column;
        const double low = model.low_bias ? model.low_bias[index] : 0.0;
        bias[column * size + unit] = float(std::ldexp(model.bias[index] + low, -frac_bits(column)));
        if (!lstm && column == 2) continue;  // n from the state, which the inputs have no share of
        const int gate = lstm ? column : std::min(column, 2);
        for (int source = 0; source < input_count; ++source) {
          input[source][gate * size + unit] =
              std::ldexp(float(model.input_weights[index * input_count + source]), -frac_bits(column) - 1);
        }
      }
      head[0][unit] = std::ldexp(float(model.head_weights[unit]), -description.head_frac_bits);
    }
    head_bias = std::ldexp(float(description.head_bias), 2 - description.head_frac_bits);
  }

  static int Gates(const ModelView& model) { return model.description->architecture == Architecture::kLstm ? 4 : 3; }

  Matrix input, recurrent;  // [source][gate * size + unit]
  std::vector<float> bias;  // [column * size + unit], of four columns; GRU: r, z, n from the state, n from the input
  Matrix head;
  float head_bias;
};

// RTNeural's LSTM takes i, f, c, o: torch's order.
template <int kInputs, int kSize>
void SetWeights(LstmLayer<kInputs, kSize>& layer, FloatWeights& weights) {
  layer.setWVals(weights.input);
  layer.setUVals(weights.recurrent);
  layer.setBVals(weights.bias);
}

// RTNeural's GRU takes z, r, h and two biases, from the input and from the state; torch's order is r, z, n.
template <int kInputs, int kSize>
void SetWeights(GruLayer<kInputs, kSize>& layer, FloatWeights& weights) {
  const auto swap_gates = [](Matrix& matrix) {
    for (auto& row : matrix) std::swap_ranges(row.begin(), row.begin() + kSize, row.begin() + kSize);
  };
  swap_gates(weights.input);
  swap_gates(weights.recurrent);
  const float* bias = weights.bias.data();
  Matrix biases(2, std::vector<float>(3 * kSize));
  for (int unit = 0; unit < kSize; ++unit) {
    biases[0][unit] = bias[kSize + unit];
    biases[0][kSize + unit] = bias[unit];
    biases[0][2 * kSize + unit] = bias[3 * kSize + unit];
    biases[1][2 * kSize + unit] = bias[2 * kSize + unit];
  }
  layer.setWVals(weights.input);
  layer.setUVals(weights.recurrent);
  layer.setBVals(biases);
}

}  // namespace

template <typename Network>
bool RtneuralEngine::LoadAs(const ModelView& model) {
  if (model.description->hidden_size > Network::kHiddenSize) return false;
  FloatWeights weights(model, Network::kInputs, Network::kHiddenSize);
  Network& network = network_.emplace<Network>();
  SetWeights(network.recurrent, weights);
  network.head.setWeights(weights.head);
  network.head.setBias(&weights.head_bias);
  return true;
}

template <template <int, int> class Network, int kInputs>
void RtneuralEngine::LoadSmallest(const ModelView& model) {
  (void)(LoadAs<Network<kInputs, 8>>(model) || LoadAs<Network<kInputs, 16>>(model) ||
         LoadAs<Network<kInputs, 20>>(model) || LoadAs<Network<kInputs, 32>>(model) ||
         LoadAs<Network<kInputs, 40>>(model) || LoadAs<Network<kInputs, 64>>(model));
}

void RtneuralEngine::Load(const ModelView& model) {
  const ModelDescription& description = *model.description;
  dry_gain_ = std::ldexp(float(description.dry_gain), 1 - description.head_frac_bits);
  knob_count_ = description.knob_count;
  if (description.architecture == Architecture::kLstm) {
    knob_count_ ? LoadSmallest<FloatLstm, 1 + kMaxKnobs>(model) : LoadSmallest<FloatLstm, 1>(model);
  } else {
    knob_count_ ? LoadSmallest<FloatGru, 1 + kMaxKnobs>(model) : LoadSmallest<FloatGru, 1>(model);
  }
  for (int knob = 0; knob < knob_count_; ++knob) SetKnob(knob, DefaultPosition(description.knobs[knob]));
  std::visit(
      [this](auto& network) {
        using Network = std::remove_reference_t<decltype(network)>;
        if constexpr (!std::is_same_v<Network, std::monostate>) {
          network.recurrent.reset();
          const int32_t silence = 0;
          for (int32_t sample = 0, ignored; sample < kRunInSamples; ++sample) Process(&silence, &ignored, 1);
          at_rest_.emplace<Network>(network);
        }
      },
      network_);
}

void RtneuralEngine::SetKnob(int knob, int32_t position_q31) {
  if (knob >= 0 && knob < knob_count_) knobs_[knob] = std::ldexp(float(position_q31), -31);
}

void RtneuralEngine::Reset() { network_ = at_rest_; }

bool RtneuralEngine::Process(const int32_t* in, int32_t* out, size_t size) {
  return std::visit(
      [&](auto& network) {
        using Network = std::remove_reference_t<decltype(network)>;
        if constexpr (std::is_same_v<Network, std::monostate>) {
          return false;
        } else {
          alignas(RTNEURAL_DEFAULT_ALIGNMENT) FloatVector<Network::kInputs> inputs;
          for (int knob = 1; knob < Network::kInputs; ++knob) inputs[knob] = knobs_[knob - 1];
          bool finite = true;
          for (size_t sample = 0; sample < size; ++sample) {
            inputs[0] = float(in[sample]) * 0x1p-31f;
            network.recurrent.forward(inputs);
            network.head.forward(network.recurrent.outs);
            const float result = network.head.outs[0] + dry_gain_ * inputs[0];
            finite = finite && std::isfinite(result);
            out[sample] = !(result < 1.0f) ? INT32_MAX : result <= -1.0f ? INT32_MIN : int32_t(result * 0x1p31f);
          }
          return finite;
        }
      },
      network_);
}

}  // namespace oddity
#endif
