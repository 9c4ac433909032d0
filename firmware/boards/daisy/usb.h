// The USB device controller of the Seed's socket: OTG_FS, full speed, packets moved by the core (RM0433, chapter 57).
//
//   host ── PHY ── receive FIFO ── HandleInterrupt ── what Receive() was given
//   host ── PHY ── an IN endpoint's FIFO ◄── Send()
//
// The Seed does not lead VBUS to the chip: a host that goes is a bus that is suspended, one that comes resets it.
#pragma once

#include "usb/controller.h"

namespace oddity {

class Usb final : public UsbController {
 public:
  static constexpr int kEndpointNumbers = 5;  // each way, 0 among them; the core has 9, and FIFOs for these

  // Nothing happens when the controller does not start: the pedal plays without.
  void Connect(UsbEvents* events) override;

  // Not from an event. Until the next start of the chip; the host has seen it when this returns.
  void Disconnect();

  void SetAddress(uint8_t address) override;
  void Open(uint8_t endpoint, EndpointType type, size_t max_packet_bytes) override;
  void Close(uint8_t endpoint) override;
  void Send(uint8_t endpoint, const void* data, size_t size) override;
  void Receive(uint8_t endpoint, void* data, size_t room) override;
  void Stall(uint8_t endpoint) override;
  void ClearStall(uint8_t endpoint) override;

  void HandleInterrupt();

 private:
  struct ToHost {
    const uint8_t* data;
    size_t size;
    bool queued;
  };
  struct FromHost {
    uint8_t* data;
    size_t room, size;
    bool queued, completed;
  };

  void HandleReset();
  void HandleSetup();
  void HandleIn(int number);
  void HandleOut(int number);
  void RepeatIncompleteIn();
  void EmptyReceiveFifo();
  void StartIn(int number);
  void StartOut(int number);
  void StopOut(int number, uint32_t how);

  UsbEvents* events_;
  ToHost to_host_[kEndpointNumbers];
  FromHost from_host_[kEndpointNumbers];
  uint32_t setup_[2];
  bool setup_completed_;
};

// The chip's unique id (RM0433, chapter 61) in 24 hexadecimal digits.
const char* UsbSerialNumber();

}  // namespace oddity
