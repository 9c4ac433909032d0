// The fixed-point engine: the same bits on the chip and on the host, whatever the model's architecture.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/eq_engine.h"
#include "engine/recurrent_engine.h"

namespace oddity {

class FixedEngine {
 public:
  FixedEngine() {}
  FixedEngine(const FixedEngine&) = delete;  // what is in it points into itself

  // Copies the model into the engine's own (tightly coupled) memory, all but an EQ network's FIRs, which must stay
  // where they are; knobs go to their defaults, the state to rest.
  void Load(const ModelView& model);
  void SetKnob(int knob, int32_t position_q31);  // position 0..1; outside the model's knobs it does nothing
  void Reset();                                  // to rest: as after a long silence
  void Continue(const FixedEngine& other);       // goes on where `other` is, which plays the same model
  void Process(const int32_t* in, int32_t* out, size_t size);  // Q31

 private:
  bool is_eq_ = false;
  union {
    RecurrentEngine recurrent_;
    EqEngine eq_;
  };
};

}  // namespace oddity
