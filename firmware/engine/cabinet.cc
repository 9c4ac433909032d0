#include "engine/cabinet.h"

namespace oddity {

void Cabinet::Load(const ModelView& model) {
  partition_count_ = model.description->cabinet_partitions;
  if (!active()) return;
  std::memcpy(shifts_, model.cabinet_shifts, partition_count_ * sizeof *shifts_);
  std::memcpy(taps_, model.cabinet_taps, partition_count_ * kCabinetPartition * sizeof *taps_);
  tape_.Init(partition_count_ * kCabinetPartition);
}

void Cabinet::Reset(int32_t rest) {
  if (!active()) return;
  left_ = 0;
  tape_.Rewind();
  for (int16_t* heard = heard_; heard < tape_.Next(heard_); ++heard) *heard = RoundSampleQ15(rest >> 1, &left_);
}

void Cabinet::Continue(const Cabinet& other) {
  if (!active()) return;
  left_ = other.left_;
  tape_ = other.tape_;
  std::memcpy(heard_, other.heard_, sizeof heard_);
}

void Cabinet::Process(const int32_t* in, int32_t* out, size_t size) {
  while (size > 0) {
    const int span = static_cast<int>(std::min<size_t>(size, Tape::kMaxSpan));
    if (tape_.Full()) {
      tape_.MoveToFront(heard_);
      tape_.Rewind();
    }
    int16_t* heard = tape_.Next(heard_);
    for (int i = 0; i < span; ++i) heard[i] = RoundSampleQ15(in[i] >> 1, &left_);
    int32_t totals[Tape::kMaxSpan] = {};
    const int16_t* window = tape_.Window(heard_) + (partition_count_ - 1) * kCabinetPartition;
    for (int partition = 0; partition < partition_count_; ++partition, window -= kCabinetPartition) {
      int32_t sums[Tape::kMaxSpan];
      FirQ15(taps_ + partition * kCabinetPartition, kCabinetPartition, window, sums, span);
      for (int i = 0; i < span; ++i) totals[i] += sums[i] >> shifts_[partition];
    }
    for (int i = 0; i < span; ++i) out[i] = SaturateToInt32(int64_t{totals[i]} * 32);
    tape_.Advance(span);
    in += span;
    out += span;
    size -= span;
  }
}

}  // namespace oddity
