#include "engine/eq_engine.h"

#include "engine/activation.h"

namespace oddity {
namespace {

constexpr int kAlphaFracBits = 27;
constexpr int32_t kAlphaOne = 1 << kAlphaFracBits;
constexpr int kMixFracBits = 29;
constexpr int kPreFracBits = 20;
constexpr int64_t kLargestBias = 1 << 29, kLargestLogit = 1 << 26;

int64_t FloorDivide(int64_t a, int64_t b) { return a / b - (a % b < 0 ? 1 : 0); }

// From `from` to `to`, after `frames` of 16.
int32_t OnTheWay(int32_t from, int32_t to, int frames) {
  return static_cast<int32_t>(from + (((int64_t{to} - from) * frames) >> 4));
}

int32_t Between(const int32_t* values, int stride, int64_t alpha, int64_t limit) {
  const int64_t difference = int64_t{values[stride]} - values[0];
  return static_cast<int32_t>(std::clamp(values[0] + ((difference * alpha) >> kAlphaFracBits), -limit, limit));
}

}  // namespace

void EqEngine::Load(const ModelView& model) {
  model_ = model.eq;
  const EqShape& shape = *model_.shape;
  block_count_ = shape.blocks;
  padded_taps_ = PaddedTaps(shape.taps);
  dry_delay_ = shape.dry_delay;
  fine_ = model.description->flags & kFine;
  tape_.Init(padded_taps_);
  for (int index = 0; index < block_count_; ++index) {
    Block& block = blocks_[index];
    for (int place = 0; place < 2; ++place) block.places[place].taps = taps_[place] + index * padded_taps_;
    block.heard = heard_[0] + index * tape_.stride();
    block.heard_low = heard_[1] + index * tape_.stride();
  }
  now_ = 0;
  position_q31_ = shape.amps > 1 ? DefaultPosition(model.description->knobs[0]) : 0;
  Mix(position_q31_);
  now_ = 1;
  Reset();
}

void EqEngine::SetKnob(int knob, int32_t position_q31) {
  if (knob != 0 || model_.shape->amps == 1 || position_q31 == position_q31_) return;
  position_q31_ = position_q31;
  Mix(position_q31);
  now_ = 1 - now_;
  ramp_left_ = kRampFrames;
}

// fir(alpha) = (1 - alpha)^2 fir_AA + 2 alpha (1 - alpha) fir_AB + alpha^2 fir_BB
void EqEngine::Mix(int32_t position_q31) {
  const EqShape& shape = *model_.shape;
  int below = 0;
  int64_t alpha = 0;
  const int32_t* level = model_.levels;
  int32_t level_now = level[0];
  if (shape.amps > 1) {
    const int64_t along = int64_t{shape.last_place()} * position_q31;
    level += along >> 31;
    level_now = static_cast<int32_t>(level[0] + (((int64_t{level[1]} - level[0]) * (along & INT32_MAX)) >> 31));
    alpha = FloorDivide(along - (int64_t{shape.beyond} << 31), kEqPlacesPerAmp << (31 - kAlphaFracBits));
    below = static_cast<int>(std::clamp<int64_t>(alpha >> kAlphaFracBits, 0, shape.amps - 2));
    alpha -= int64_t{below} << kAlphaFracBits;
  }
  levels_[1 - now_] = level_now;
  const int64_t beta = kAlphaOne - alpha;
  constexpr int kShift = 2 * kAlphaFracBits - kMixFracBits;
  const auto of_first = static_cast<int32_t>((beta * beta) >> kShift);
  const auto of_product = static_cast<int32_t>((alpha * beta) >> (kShift - 1));
  const auto of_second = static_cast<int32_t>((alpha * alpha) >> kShift);
  const int fir_size = shape.blocks * shape.taps;
  for (int index = 0; index < block_count_; ++index) {
    int32_t mixed[kMaxEqTaps];
    const int32_t* fir = model_.firs + 2 * below * fir_size + index * shape.taps;
    for (int tap = 0; tap < shape.taps; ++tap, ++fir) {
      mixed[tap] = Smmulr(of_first, fir[0]);
      if (shape.amps > 1) mixed[tap] += Smmulr(of_product, fir[fir_size]) + Smmulr(of_second, fir[2 * fir_size]);
    }
    Place& place = blocks_[index].places[1 - now_];
    const int shift = FirShiftQ15(mixed, shape.taps);
    ReverseTapsQ15(mixed, shape.taps, shift, place.taps);
    const int sum_frac_bits = 15 + model_.fir_frac_bits[index] - (32 - kMixFracBits) - shift;
    place.shift = std::max(sum_frac_bits - kPreFracBits, 1);
    const int amp = below * shape.blocks + index, to_next = shape.amps > 1 ? shape.blocks : 0;
    place.bias = Between(model_.biases + amp, to_next, alpha, kLargestBias);
    place.gate_q31 = FineSigmoidQ31(Between(model_.gate_logits + amp, to_next, alpha, kLargestLogit));
  }
}

// As after a long silence, in which each block hears the constant that the one before makes of it.
void EqEngine::Reset() {
  ramp_left_ = 0;
  tape_.Rewind();
  int32_t x = 0;
  for (int index = 0; index < block_count_; ++index) {
    Block& block = blocks_[index];
    block.left = 0;
    const int memory = padded_taps_ - 1;
    for (int frame = padded_taps_ - model_.shape->taps; frame <= memory; ++frame) {
      const int32_t before = block.left;
      block.heard[frame] = RoundSampleQ15(x, &block.left);
      block.heard_low[frame] = static_cast<int16_t>(block.left - before);
    }
    int32_t sums[kFirGroup], dry = x;
    Sums(block, block.places[now_], sums, 1);
    if (dry_delay_ > 0) {
      dry = ShiftLeft(block.heard[memory - dry_delay_], 15);
      if (fine_) dry += block.heard_low[memory - dry_delay_];
    }
    x = Output(block.places[now_], sums[0], dry);
    std::memmove(block.heard, block.heard + 1, memory * sizeof *block.heard);
    std::memmove(block.heard_low, block.heard_low + 1, memory * sizeof *block.heard_low);
  }
}

void EqEngine::Continue(const EqEngine& other) {
  now_ = other.now_;
  ramp_left_ = other.ramp_left_;
  position_q31_ = other.position_q31_;
  std::memcpy(levels_, other.levels_, sizeof levels_);
  tape_ = other.tape_;
  std::memcpy(taps_, other.taps_, sizeof taps_);
  std::memcpy(heard_, other.heard_, sizeof heard_);
  for (int index = 0; index < block_count_; ++index) {
    Block& block = blocks_[index];
    const Block& from = other.blocks_[index];
    block.left = from.left;
    for (int place = 0; place < 2; ++place) {
      int16_t* const taps = block.places[place].taps;
      block.places[place] = from.places[place];
      block.places[place].taps = taps;
    }
  }
}

void EqEngine::Process(const int32_t* in, int32_t* out, size_t size) {
  while (size > 0) {
    const size_t limit = ramp_left_ > 0 ? ramp_left_ : Tape::kMaxSpan;
    const int span = static_cast<int>(std::min(size, limit));
    ProcessSpan(in, out, span);
    in += span;
    out += span;
    size -= span;
  }
}

void EqEngine::ProcessSpan(const int32_t* in, int32_t* out, int size) {
  if (tape_.Full()) {
    for (int index = 0; index < block_count_; ++index) {
      tape_.MoveToFront(blocks_[index].heard);
      if (fine_) tape_.MoveToFront(blocks_[index].heard_low);
    }
    tape_.Rewind();
  }
  int32_t x[Tape::kMaxSpan] = {};
  for (int i = 0; i < size; ++i) x[i] = in[i] >> 1;
  for (int index = 0; index < block_count_; ++index) ProcessBlock(blocks_[index], x, size);
  for (int i = 0; i < size; ++i) {
    int32_t level = levels_[now_];
    if (ramp_left_ > 0) level = OnTheWay(levels_[1 - now_], level, kRampFrames - ramp_left_ + i + 1);
    out[i] = SaturateToInt32((int64_t{x[i]} * level) >> 27);
  }
  tape_.Advance(size);
  if (ramp_left_ > 0) ramp_left_ -= size;
}

// Writes what the block hears to its tape.
void EqEngine::Hear(Block& block, const int32_t* x, int size) {
  int16_t* heard = tape_.Next(block.heard);
  int32_t left = block.left;  // what is written could be in the block for all that the compiler knows
  if (fine_) {
    int16_t* low = tape_.Next(block.heard_low);
    for (int i = 0; i < size; ++i) {
      const int32_t before = left;
      heard[i] = RoundSampleQ15(x[i], &left);
      low[i] = static_cast<int16_t>(left - before);
    }
  } else {
    for (int i = 0; i < size; ++i) heard[i] = RoundSampleQ15(x[i], &left);
  }
  block.left = left;
}

void EqEngine::Sums(const Block& block, const Place& place, int32_t* sums, int size) const {
  FirQ15(place.taps, padded_taps_, tape_.Window(block.heard), sums, size);
  if (!fine_) return;
  int32_t low[Tape::kMaxSpan];
  FirQ15(place.taps, padded_taps_, tape_.Window(block.heard_low), low, size);
  for (int i = 0; i < size; ++i) sums[i] += low[i] >> 15;
}

inline int32_t EqEngine::Output(const Place& place, int32_t sum, int32_t dry) const {
  const int32_t wet = SoftSignQ30(place.bias + (sum >> place.shift));
  return dry + ShiftLeft(Smmulr(wet - dry, place.gate_q31), 1);
}

void EqEngine::ProcessBlock(Block& block, int32_t* x, int size) {
  Hear(block, x, size);
  int32_t sums[Tape::kMaxSpan];
  const Place now = block.places[now_];
  Sums(block, now, sums, size);
  if (dry_delay_ > 0) {
    const int16_t* dry = tape_.Next(block.heard) - dry_delay_;
    const int16_t* low = tape_.Next(block.heard_low) - dry_delay_;
    for (int i = 0; i < size; ++i) x[i] = ShiftLeft(dry[i], 15) + (fine_ ? low[i] : 0);
  }
  if (ramp_left_ == 0) {
    for (int i = 0; i < size; i += 2) {  // two at a time, each in the other's latencies; a last one alone does no harm
      const int32_t first = Output(now, sums[i], x[i]), second = Output(now, sums[i + 1], x[i + 1]);
      x[i] = first;
      x[i + 1] = second;
    }
    return;
  }
  const Place before = block.places[1 - now_];
  int32_t sums_before[Tape::kMaxSpan];
  Sums(block, before, sums_before, size);
  for (int i = 0; i < size; ++i) {
    const int along = kRampFrames - ramp_left_ + i + 1;
    const int32_t pre_before = before.bias + (sums_before[i] >> before.shift);
    const int32_t pre = OnTheWay(pre_before, now.bias + (sums[i] >> now.shift), along);
    const int32_t gate_q31 = OnTheWay(before.gate_q31, now.gate_q31, along);
    x[i] += ShiftLeft(Smmulr(SoftSignQ30(pre) - x[i], gate_q31), 1);
  }
}

}  // namespace oddity
