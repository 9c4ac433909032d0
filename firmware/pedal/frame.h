// Frames of the host protocol; hardware/protocol.py describes them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "pedal/protocol_table.h"

namespace oddity {

struct Frame {
  uint8_t type;
  uint8_t* payload;
  size_t size;
};

// Finds frames in a stream of bytes. After damage it looks for the next frame behind the byte where the bad one began,
// so that a good frame is never lost to the bad one before it.
class FrameParser {
 public:
  void Init() { size_ = done_ = 0; }

  // Takes one byte. Afterwards, call `Next` until it finds no more.
  void Push(uint8_t byte) { bytes_[size_++] = byte; }

  // The line went quiet: a frame that is not complete by now never will be.
  void GiveUp();

  // Nothing is there that may become a frame.
  bool empty() const { return size_ == done_; }

  // True when there is a whole frame; its payload stays valid until the next call.
  bool Next(Frame* frame);

 private:
  void Drop(size_t count);

  uint8_t bytes_[kMaxPayload + 6];
  size_t size_;
  size_t done_;  // bytes of the frame that `Next` gave out last
};

uint16_t Crc16(const uint8_t* data, size_t size, uint16_t crc = 0xffff);

// Puts a frame around the payload at `buffer + kFrameHeaderBytes`; returns the frame's size.
constexpr size_t kFrameHeaderBytes = 4;
constexpr size_t kFrameOverheadBytes = 6;
size_t CloseFrame(uint8_t type, uint8_t* buffer, size_t payload_size);

}  // namespace oddity
