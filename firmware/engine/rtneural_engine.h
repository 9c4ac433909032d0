// The float engine: RTNeural's compile-time layers, filled with the model's weights turned back into floats.
// Only built where the submodule firmware/lib/RTNeural is present (ODDITY_RTNEURAL).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <variant>

// clang-format off: RTNeural's headers lean on those before them
#include "RTNeural/config.h"
#include "RTNeural/Model.h"
// clang-format on
#if defined(ODDITY_FAST_MATHS)
#include "engine/fast_maths.h"
#endif
#include "engine/model_view.h"

namespace oddity {

#if defined(ODDITY_FAST_MATHS)
using Maths = FastMaths;
#else
using Maths = RTNeural::DefaultMathsProvider;
#endif

// What a layer's forward() takes.
#if RTNEURAL_USE_EIGEN
template <int kSize>
using FloatVector = Eigen::Matrix<float, kSize, 1>;
#else
template <int kSize>
using FloatVector = float[kSize];
#endif

template <int kInputs, int kHiddenSize>
using LstmLayer = RTNeural::LSTMLayerT<float, kInputs, kHiddenSize, RTNeural::SampleRateCorrectionMode::None, Maths>;
template <int kInputs, int kHiddenSize>
using GruLayer = RTNeural::GRULayerT<float, kInputs, kHiddenSize, RTNeural::SampleRateCorrectionMode::None, Maths>;

// A model runs in the smallest network that holds it; the units and inputs left over have zero weights, which leaves
// the result the same.
template <typename Recurrent>
struct FloatNetwork {
  static constexpr int kInputs = Recurrent::in_size;
  static constexpr int kHiddenSize = Recurrent::out_size;
  Recurrent recurrent;
  RTNeural::DenseT<float, kHiddenSize, 1> head;
};

template <int kInputs, int kHiddenSize>
using FloatLstm = FloatNetwork<LstmLayer<kInputs, kHiddenSize>>;
template <int kInputs, int kHiddenSize>
using FloatGru = FloatNetwork<GruLayer<kInputs, kHiddenSize>>;

class RtneuralEngine {
 public:
  static bool Plays(const ModelView& model) {
    return model.description->architecture != Architecture::kEq && model.description->layer_count == 1;
  }

  // Allocates while it loads (RTNeural takes its weights as vectors), never while it plays.
  void Load(const ModelView& model);
  void SetKnob(int knob, int32_t position_q31);
  void Reset();
  // False when an output is NaN or infinite. `in` and `out` are Q31.
  bool Process(const int32_t* in, int32_t* out, size_t size);

 private:
  template <typename Network>
  bool LoadAs(const ModelView& model);
  template <template <int, int> class Network, int kInputs>
  void LoadSmallest(const ModelView& model);

  float dry_gain_ = 0.0f;
  int knob_count_ = 0;
  float knobs_[kMaxKnobs] = {};

  using AnyNetwork =
      std::variant<std::monostate, FloatLstm<1, 8>, FloatLstm<1, 16>, FloatLstm<1, 20>, FloatLstm<1, 32>,
                   FloatLstm<1, 40>, FloatLstm<1, 64>, FloatLstm<5, 8>, FloatLstm<5, 16>, FloatLstm<5, 20>,
                   FloatLstm<5, 32>, FloatLstm<5, 40>, FloatLstm<5, 64>, FloatGru<1, 8>, FloatGru<1, 16>,
                   FloatGru<1, 20>, FloatGru<1, 32>, FloatGru<1, 40>, FloatGru<1, 64>, FloatGru<5, 8>, FloatGru<5, 16>,
                   FloatGru<5, 20>, FloatGru<5, 32>, FloatGru<5, 40>, FloatGru<5, 64>>;
  AnyNetwork network_;
  AnyNetwork at_rest_;  // after some silence: RTNeural keeps an LSTM's cells to itself, so that they cannot be set
};

}  // namespace oddity
