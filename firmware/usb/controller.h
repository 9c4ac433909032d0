// What the USB stack asks of a chip: a full-speed device controller that moves one packet at a time.
//
// Events come one at a time, on the chip from the interrupt, and a controller is called only from within an event (and
// to connect). So neither side locks anything.
#pragma once

#include <cstddef>
#include <cstdint>

namespace oddity {

enum class EndpointType : uint8_t { kControl, kIsochronous, kBulk, kInterrupt };  // USB 2.0, table 9-13

// Of an endpoint's address: to the host. Endpoint 0 has both directions and is open from each bus reset on.
constexpr uint8_t kUsbIn = 0x80;
constexpr size_t kControlPacketBytes = 64;

struct UsbSetup {
  uint8_t request_type, request;
  uint16_t value, index, length;
};

class UsbEvents {
 public:
  virtual void OnReset() = 0;  // also when the host comes or goes; all endpoints but 0 are closed, the address is 0
  virtual void OnSuspend() = 0;
  virtual void OnResume() = 0;
  virtual void OnStartOfFrame() = 0;  // every millisecond while the bus is not suspended

  // What was queued on endpoint 0, and a stall of it, is over.
  virtual void OnSetup(const UsbSetup& setup) = 0;

  // A packet went to the host, or came from it; nothing is queued on the endpoint now.
  virtual void OnSent(uint8_t endpoint) = 0;
  virtual void OnReceived(uint8_t endpoint, size_t size) = 0;

 protected:
  ~UsbEvents() = default;
};

class UsbController {
 public:
  virtual void Connect(UsbEvents* events) = 0;  // shows the device to the host

  // Within the SET_ADDRESS request, before its status stage: it counts from behind that.
  virtual void SetAddress(uint8_t address) = 0;

  // Not for endpoint 0. Opening an endpoint begins with DATA0 and with nothing queued; opening one that is open is the
  // same as closing it first. Closing ends a stall and drops what is queued, with no event.
  virtual void Open(uint8_t endpoint, EndpointType type, size_t max_packet_bytes) = 0;
  virtual void Close(uint8_t endpoint) = 0;

  // Queues one packet of at most the endpoint's size; 0 bytes are one too. One may be queued on an endpoint at a time,
  // and the memory is the controller's until the event. Without one queued the host gets NAK, or in an isochronous
  // frame nothing, and what it sends then is lost. An isochronous packet that a frame did not take goes in the next. Of
  // a packet larger than `room` the rest is dropped.
  virtual void Send(uint8_t endpoint, const void* data, size_t size) = 0;
  virtual void Receive(uint8_t endpoint, void* data, size_t room) = 0;

  // Until cleared, of endpoint 0 until the next SETUP. What is queued stays so. Clearing begins again with DATA0.
  // For endpoint 0 either address stalls both directions.
  virtual void Stall(uint8_t endpoint) = 0;
  virtual void ClearStall(uint8_t endpoint) = 0;

 protected:
  ~UsbController() = default;
};

}  // namespace oddity
