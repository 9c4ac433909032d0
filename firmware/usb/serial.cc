#include "usb/serial.h"

#include <algorithm>
#include <cstring>

#include "usb/descriptors.h"

namespace oddity {
namespace {

// PSTN 1.2, table 13
constexpr uint8_t kSetLineCoding = 0x20, kGetLineCoding = 0x21, kSetControlLineState = 0x22;
constexpr uint16_t kTerminalReady = 1;

constexpr uint8_t kUsualLineCoding[] = {0x00, 0xC2, 0x01, 0x00, 0, 0, 8};  // 115,200 baud, 8N1

}  // namespace

void UsbSerial::Init(UsbController* controller) {
  controller_ = controller;
  open_ = sends_ = false;
  receives_ = ends_short_ = false;
  lost_at_ = received_.written();
  std::memcpy(line_coding_, kUsualLineCoding, sizeof line_coding_);
}

bool UsbSerial::Read(uint8_t* byte) {
  if (!Readable()) return false;
  received_.Take(byte, 1);
  return true;
}

void UsbSerial::Write(const uint8_t* data, size_t size) {
  if (open_) sending_.Put(data, std::min(size, sending_.room()));
}

void UsbSerial::Open() {
  receives_ = sends_ = ends_short_ = false;
  ReceiveNext();
}

void UsbSerial::Close() {
  open_ = receives_ = sends_ = false;
  sending_.Clear();
}

int UsbSerial::Answer(const UsbSetup& setup, uint8_t* answer) {
  if (setup.request != kGetLineCoding) return -1;
  std::memcpy(answer, line_coding_, sizeof line_coding_);
  return sizeof line_coding_;
}

bool UsbSerial::Act(const UsbSetup& setup, const uint8_t* data) {
  switch (setup.request) {
    case kSetLineCoding:
      if (setup.length != sizeof line_coding_) return false;
      std::memcpy(line_coding_, data, sizeof line_coding_);
      return true;
    case kSetControlLineState:
      if (setup.length != 0) return false;
      open_ = (setup.value & kTerminalReady) != 0;
      return true;
  }
  return false;
}

void UsbSerial::OnStartOfFrame() {
  if (!open_) sending_.Clear();  // whom it was for has gone
  if (!sends_) SendNext();
  if (!receives_) ReceiveNext();
}

void UsbSerial::OnSent() {
  sends_ = false;
  SendNext();
}

// A packet that is not full ends the host's transfer: after a full one with nothing behind it an empty one goes out.
void UsbSerial::SendNext() {
  const size_t size = std::min(sending_.size(), kPacketBytes);
  if (size == 0 && !ends_short_) return;
  sending_.Take(in_packet_, size);
  sends_ = true;
  ends_short_ = size == kPacketBytes;
  controller_->Send(kSerialInEndpoint, in_packet_, size);
}

void UsbSerial::OnReceived(size_t size) {
  received_.Put(out_packet_, size);
  receives_ = false;
  ReceiveNext();
}

// Without room for a packet the host has to wait.
void UsbSerial::ReceiveNext() {
  if (received_.room() < kPacketBytes) return;
  receives_ = true;
  controller_->Receive(kSerialOutEndpoint, out_packet_, kPacketBytes);
}

}  // namespace oddity
