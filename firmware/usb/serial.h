// The serial port of the host protocol (CDC-ACM: CDC 1.2, PSTN 1.2). Its line has no rate: what the host sets is kept
// and told again.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "usb/controller.h"

namespace oddity {

// Bytes from one writer to one reader, of which either may interrupt the other.
template <size_t kSize>
class ByteRing {
  static_assert((kSize & (kSize - 1)) == 0);

 public:
  size_t size() const { return written_ - read_; }
  size_t room() const { return kSize - size(); }
  uint32_t written() const { return written_; }
  void Clear() { read_ = written_.load(); }  // by the reader
  void DropUntil(uint32_t written) {         // by the reader: what had been written then
    if (static_cast<int32_t>(written - read_) > 0) read_ = written;
  }

  void Put(const uint8_t* data, size_t size) {  // at most `room`
    const uint32_t written = written_;
    for (size_t i = 0; i < size; ++i) bytes_[(written + i) % kSize] = data[i];
    written_ = written + static_cast<uint32_t>(size);
  }

  void Take(uint8_t* data, size_t size) {  // at most `size`
    const uint32_t read = read_;
    for (size_t i = 0; i < size; ++i) data[i] = bytes_[(read + i) % kSize];
    read_ = read + static_cast<uint32_t>(size);
  }

 private:
  std::atomic<uint32_t> written_{0}, read_{0};
  uint8_t bytes_[kSize];
};

class UsbSerial {
 public:
  void Init(UsbController* controller);

  // For the main loop. A program of the host has the port open.
  bool open() const { return open_; }
  bool Readable() const { return received_.size() > 0; }
  bool Read(uint8_t* byte);
  void DropReceived() { received_.DropUntil(lost_at_); }  // from the host that was lost last

  // To be written at most `room` at once; what is more is dropped, and all while the port is not open.
  size_t room() const { return sending_.room(); }
  void Write(const uint8_t* data, size_t size);
  bool Flushed() const { return sending_.size() == 0 && !sends_; }

  // For the device, from events.
  void Open();
  void Close();
  void OnHostLost() { lost_at_ = received_.written(); }
  int Answer(const UsbSetup& setup, uint8_t* answer);
  bool Act(const UsbSetup& setup, const uint8_t* data);
  void OnStartOfFrame();
  void OnSent();
  void OnReceived(size_t size);

 private:
  static constexpr size_t kPacketBytes = 64;
  static constexpr size_t kLineCodingBytes = 7;

  void SendNext();
  void ReceiveNext();

  UsbController* controller_;
  std::atomic<bool> open_;
  bool receives_;
  std::atomic<bool> sends_;
  std::atomic<uint32_t> lost_at_;  // in what was received
  bool ends_short_;                // a full packet went out last
  uint8_t line_coding_[kLineCodingBytes];
  ByteRing<2048> received_;
  ByteRing<8192> sending_;  // more than the longest frame
  uint8_t in_packet_[kPacketBytes], out_packet_[kPacketBytes];
};

}  // namespace oddity
