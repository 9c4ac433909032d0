// A speaker cabinet behind the model: the convolution with its impulse response, of up to 2,048 taps, without latency.
// export/cabinet.py is the specification.
//
// The response is cut into partitions of 128 taps, each as large as 16 bits and its sum's 32 allow: its end, which is
// thousands of times weaker than its beginning, keeps as many bits.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/fir_q15.h"
#include "engine/model_view.h"

namespace oddity {

class Cabinet {
 public:
  void Load(const ModelView& model);
  bool active() const { return partition_count_ > 0; }

  // As if the model had played `rest` for ever.
  void Reset(int32_t rest);

  void Continue(const Cabinet& other);  // goes on where `other` is, which has the same model

  void Process(const int32_t* in, int32_t* out, size_t size);  // Q31; `in` and `out` may be the same

 private:
  static constexpr int kMaxTaps = kMaxCabinetPartitions * kCabinetPartition;

  int partition_count_ = 0;
  int32_t left_;  // of the last sample, below Q15
  Tape tape_;
  int32_t shifts_[kMaxCabinetPartitions];  // right, from a sum to Q26
  alignas(8) int16_t taps_[kMaxTaps + kFirReadAhead];
  alignas(8) int16_t heard_[kMaxTaps + Tape::kSlack];  // Q15
};

}  // namespace oddity
