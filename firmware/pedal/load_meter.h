// How much of the processor the audio takes, in whatever the board's counter counts.
#pragma once

#include <cstddef>
#include <cstdint>

namespace oddity {

class LoadMeter {
 public:
  void Clear() { blocks_ = frames_ = overruns_ = last_block_ = worst_per_frame_ = total_ = 0; }

  // `budget_per_frame`: 0 for none.
  void Record(uint32_t count, size_t frames, uint32_t budget_per_frame) {
    ++blocks_;
    frames_ += frames;
    last_block_ = count;
    total_ += count;
    const uint32_t per_frame = (count + frames - 1) / frames;
    if (per_frame > worst_per_frame_) worst_per_frame_ = per_frame;
    if (budget_per_frame != 0 && count > uint64_t{budget_per_frame} * frames) ++overruns_;
  }

  uint32_t blocks() const { return blocks_; }
  uint32_t frames() const { return frames_; }
  uint32_t overruns() const { return overruns_; }
  uint32_t last_block() const { return last_block_; }
  uint32_t worst_per_frame() const { return worst_per_frame_; }
  uint64_t total() const { return total_; }

 private:
  uint32_t blocks_, frames_, overruns_, last_block_, worst_per_frame_;
  uint64_t total_;
};

}  // namespace oddity
