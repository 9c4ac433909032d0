// The codec of a pedal that is a program: its clock is the USB's, off by some parts per million, and a file is the
// guitar.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace oddity {

class Codec {
 public:
  using PlayBlock = void (*)(const int32_t* in, int32_t* out, size_t frames);  // 24 bits, one channel
  static constexpr size_t kMaxFrames = 256;

  void Init(PlayBlock play, size_t block_frames, int ppm) {
    play_ = play;
    block_frames_ = block_frames;
    step_ = kFramesAMillisecond * (kMillion + ppm);
  }

  void SetBlock(size_t frames) { block_frames_ = frames; }  // from the next block on

  // Heard once, from when it starts.
  void SetGuitar(std::vector<int32_t> samples) { guitar_ = std::move(samples); }
  void StartGuitar() { started_ = true; }

  uint32_t position() const { return static_cast<uint32_t>(position_); }  // frames played by now

  // A millisecond of the USB's later.
  void Advance() {
    time_ += step_;
    const int64_t until = time_ / kMillion;
    while (block_end_ + static_cast<int64_t>(block_frames_) <= until) {
      const size_t frames = block_frames_;
      block_end_ += static_cast<int64_t>(frames);
      position_ = block_end_;
      int32_t in[kMaxFrames] = {}, out[kMaxFrames];
      if (started_) {
        const size_t left = std::min(guitar_.size() - heard_, frames);
        std::copy_n(guitar_.data() + heard_, left, in);
        heard_ += left;
      }
      play_(in, out, frames);
    }
    position_ = until;
  }

 private:
  static constexpr int64_t kFramesAMillisecond = 48, kMillion = 1'000'000;

  PlayBlock play_;
  size_t block_frames_;
  int64_t step_, time_ = 0;  // in millionths of a frame
  int64_t position_ = 0, block_end_ = 0;
  std::vector<int32_t> guitar_;
  size_t heard_ = 0;
  bool started_ = false;
};

}  // namespace oddity
