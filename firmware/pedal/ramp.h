// A value that moves to its target in a straight line, sample by sample.
#pragma once

#include <cstdint>

namespace oddity {

class Ramp {
 public:
  void Init(int32_t value, int32_t duration_samples) {
    value_ = target_ = value;
    step_ = left_ = 0;
    duration_ = duration_samples;
  }

  void SetTarget(int32_t target) {
    if (target == target_) return;
    target_ = target;
    left_ = duration_;
    step_ = static_cast<int32_t>((int64_t{target} - value_) / duration_);
  }

  void Settle() {
    value_ = target_;
    left_ = 0;
  }

  int32_t Next() {
    if (left_ > 0) value_ = --left_ == 0 ? target_ : value_ + step_;
    return value_;
  }

  int32_t value() const { return value_; }
  int32_t target() const { return target_; }

 private:
  int32_t value_, target_, step_, left_, duration_;
};

}  // namespace oddity
