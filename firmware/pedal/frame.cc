#include "pedal/frame.h"

#include <cstring>

namespace oddity {

uint16_t Crc16(const uint8_t* data, size_t size, uint16_t crc) {
  for (size_t i = 0; i < size; ++i) {  // polynomial 0x1021 without a table
    crc = static_cast<uint16_t>((crc >> 8) | (crc << 8));
    crc ^= data[i];
    crc ^= (crc & 0xff) >> 4;
    crc ^= static_cast<uint16_t>(crc << 12);
    crc ^= static_cast<uint16_t>((crc & 0xff) << 5);
  }
  return crc;
}

size_t CloseFrame(uint8_t type, uint8_t* buffer, size_t payload_size) {
  buffer[0] = kSync;
  buffer[1] = type;
  buffer[2] = static_cast<uint8_t>(payload_size);
  buffer[3] = static_cast<uint8_t>(payload_size >> 8);
  const uint16_t crc = Crc16(buffer + 1, 3 + payload_size);
  buffer[4 + payload_size] = static_cast<uint8_t>(crc);
  buffer[5 + payload_size] = static_cast<uint8_t>(crc >> 8);
  return kFrameOverheadBytes + payload_size;
}

void FrameParser::Drop(size_t count) {
  if (count == 0) return;  // as behind most bytes
  size_ -= count;
  std::memmove(bytes_, bytes_ + count, size_);
}

void FrameParser::GiveUp() {
  if (size_ > done_) {
    Drop(done_ + 1);
    done_ = 0;
  }
}

bool FrameParser::Next(Frame* frame) {
  Drop(done_);
  done_ = 0;
  for (size_t start = 0;; ++start) {
    while (start < size_ && bytes_[start] != kSync) ++start;
    const uint8_t* head = bytes_ + start;
    const size_t available = size_ - start;
    const size_t payload_size = available < kFrameHeaderBytes ? 0 : head[2] | head[3] << 8;
    const size_t frame_size = kFrameOverheadBytes + payload_size;
    if (payload_size > kMaxPayload) continue;
    if (available < frame_size) {
      Drop(start);
      return false;
    }
    if (Crc16(head + 1, 3 + payload_size) != (head[frame_size - 2] | head[frame_size - 1] << 8)) continue;
    Drop(start);
    done_ = frame_size;
    *frame = {bytes_[1], bytes_ + kFrameHeaderBytes, payload_size};
    return true;
  }
}

}  // namespace oddity
