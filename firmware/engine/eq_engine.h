// EQ blocks in fixed point ("Latent Space Oddity", DAFx 2020): in each block a FIR, a soft clipper, and a gate between
// what comes out of it and what went in. export/eq_fixed_point.py is the specification.
//
//   x ──┬── FIR ── + bias ── soft sign ──┬── gate ── x of the next block ... ── level ── out
//       └── dry delay ───────────────────┘
//
// A model of several amps has a knob that goes from one to the next. When it moves, the FIRs of the new place are mixed
// from three, and the sound goes over to them in a straight line.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/fir_q15.h"
#include "engine/model_view.h"

namespace oddity {

class EqEngine {
 public:
  // The model's FIRs are read when the knob moves, and must stay where they are.
  void Load(const ModelView& model);
  void SetKnob(int knob, int32_t position_q31);
  void Reset();
  void Continue(const EqEngine& other);  // goes on where `other` is, which plays the same model
  void Process(const int32_t* in, int32_t* out, size_t size);

 private:
  static constexpr int kRampFrames = 16;  // from one place of the knob to the next: as often as it may move

  // A block at a place of the knob.
  struct Place {
    int16_t* taps;     // reversed, PaddedTaps
    int32_t shift;     // right, from the FIR's sum to Q20
    int32_t bias;      // Q20
    int32_t gate_q31;  // share of what went through the block
  };
  struct Block {
    Place places[2];  // where the knob is, `now_`, and where it was
    int32_t left;     // of the last sample, below Q15
    int16_t *heard, *heard_low;
  };

  void Mix(int32_t position_q31);  // into the places that are not `now_`
  void ProcessSpan(const int32_t* in, int32_t* out, int size);
  void ProcessBlock(Block& block, int32_t* x, int size);
  void Sums(const Block& block, const Place& place, int32_t* sums, int size) const;
  int32_t Output(const Place& place, int32_t sum, int32_t dry) const;
  void Hear(Block& block, const int32_t* x, int size);

  EqView model_;
  int block_count_, padded_taps_, dry_delay_;
  bool fine_;
  int now_;
  int ramp_left_;  // frames until only `now_` counts
  int32_t position_q31_;
  int32_t levels_[2];  // Q28
  Tape tape_;
  Block blocks_[kMaxEqBlocks];
  alignas(8) int16_t taps_[2][kEqTapCapacity + kFirReadAhead];
  alignas(8) int16_t heard_[2][kEqTapCapacity + kMaxEqBlocks * Tape::kSlack];
};

}  // namespace oddity
