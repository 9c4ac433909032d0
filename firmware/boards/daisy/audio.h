// Audio in and out: SAI1 with a codec, two blocks of samples each way that the DMA goes round (RM0433, chapter 51).
//
//   codec ── SAI1 ── DMA stream 1 ── half 0, half 1 ── callback ── half 0, half 1 ── DMA stream 0 ── SAI1 ── codec
//
// While one half is on its way the other is worked on: what goes in comes out two blocks later.
#pragma once

#include <cstddef>
#include <cstdint>

#include "boards/daisy/codec.h"

namespace oddity {

class Audio {
 public:
  static constexpr size_t kMaxFrames = 256;

  // A frame is left, right. Samples have 24 bits: of `in` the upper 8 are 0 (the sign is bit 23), of `out` they do not
  // matter. Both are the DMA's own memory, which is slow, about 10 cycles an access: each is to be touched once.
  using Callback = void (*)(const int32_t* in, int32_t* out, size_t frames);

  struct Counts {
    uint32_t blocks;  // that the callback was given
    uint32_t missed;  // that it finished too late for the output, or never was given
    uint32_t errors;  // of DMA or SAI, after each of which the stream began anew
  };

  // 1 to 256 frames a block. Interrupts must be unmasked for the callback to be called. False: the codec does not
  // answer; there is no sound then, though the callback may be called.
  bool Init(Callback callback, size_t block_frames);

  // Begins anew with blocks of another size after a few frames of silence. Not from the callback.
  void SetBlock(size_t block_frames);

  // Zeros go out from the next frame on, whatever the callback writes. It is a cut, not a fade: for when the callback
  // cannot write, as the two blocks that the DMA has would else go round.
  void Mute(bool mute);

  // For the callback: the next block is already waiting, so that what it writes now is too late.
  bool Late() const;

  // Frames that the codec has taken until now; it wraps, and stands still while a stream begins anew. From the callback
  // and from more urgent interrupts, and at least once in two blocks: it counts from one time to the next.
  uint32_t Position();

  BoardRevision revision() const { return revision_; }
  size_t block_frames() const { return block_frames_; }
  Counts counts() const;
  void ClearCounts();

  void HandleInterrupt();

 private:
  void Start();
  void Stop();

  Callback callback_;
  size_t block_frames_;
  BoardRevision revision_;
  Counts counts_;
  bool muted_;
  volatile bool runs_;
  uint32_t position_, place_;  // frames, of which those in the DMA's buffer
};

}  // namespace oddity
