// A USB controller that is a list of what was asked of it, with the host's side of the bus. It keeps to the contract,
// and counts where the stack does not.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "usb/controller.h"
#include "usb/descriptors.h"

namespace oddity {

using Packet = std::vector<uint8_t>;

class ListController final : public UsbController {
 public:
  struct Endpoint {
    bool open, queued, stalled;
    const uint8_t* to_host;
    uint8_t* from_host;
    size_t size, max_packet_bytes;
    uint8_t copy[kMaxPacketFrames * kUsbFrameBytes];  // of what is to go to the host
  };

  class Endpoints {
   public:
    Endpoint& operator[](uint8_t address) { return endpoints_[(address & kUsbIn) >> 3 | (address & 0x0F)]; }
    void Reset() {
      for (Endpoint& endpoint : endpoints_) endpoint.open = endpoint.queued = endpoint.stalled = false;
      for (const uint8_t address : {uint8_t{0}, kUsbIn}) {
        (*this)[address].open = true;
        (*this)[address].max_packet_bytes = kControlPacketBytes;
      }
    }

   private:
    Endpoint endpoints_[32]{};
  };

  void Connect(UsbEvents* device) override { events_ = device; }
  void SetAddress(uint8_t value) override {
    Expect(in_event_ && value < 128, "an address that there is not");
    address = value;
  }

  void Open(uint8_t address, EndpointType type, size_t max_packet_bytes) override {
    const bool known = std::any_of(std::begin(kEndpoints), std::end(kEndpoints), [&](const UsbEndpoint& endpoint) {
      return endpoint.address == address && endpoint.type == type && endpoint.max_packet_bytes == max_packet_bytes;
    });
    Expect(in_event_ && known, "an endpoint that is in no descriptor is opened");
    Endpoint& endpoint = endpoints[address];
    endpoint.open = true;
    endpoint.queued = endpoint.stalled = false;
    endpoint.max_packet_bytes = max_packet_bytes;
  }

  void Close(uint8_t address) override {
    Expect(in_event_ && (address & ~kUsbIn) != 0, "endpoint 0 is closed");
    Endpoint& endpoint = endpoints[address];
    endpoint.open = endpoint.queued = endpoint.stalled = false;
  }

  void Send(uint8_t address, const void* data, size_t size) override {
    Endpoint& endpoint = Queue(address, size);
    Expect((address & kUsbIn) != 0 && size <= endpoint.max_packet_bytes, "more than a packet is sent");
    endpoint.to_host = static_cast<const uint8_t*>(data);
    if (size > 0) std::memcpy(endpoint.copy, data, std::min(size, sizeof endpoint.copy));
  }

  void Receive(uint8_t address, void* data, size_t room) override {
    Queue(address, room).from_host = static_cast<uint8_t*>(data);
    Expect((address & kUsbIn) == 0 && (data != nullptr || room == 0), "nowhere to put a packet");
  }

  void Stall(uint8_t address) override {
    Expect(in_event_ && endpoints[address].open, "a closed endpoint is stalled");
    endpoints[address].stalled = true;
  }
  void ClearStall(uint8_t address) override {
    Expect(in_event_ && endpoints[address].open, "a closed endpoint's stall is cleared");
    endpoints[address].stalled = false;
  }

  // The host's side
  void Reset() {
    endpoints.Reset();
    address = 0;
    Event([&] { events_->OnReset(); });
  }
  void Suspend() {
    Event([&] { events_->OnSuspend(); });
  }
  void Resume() {
    Event([&] { events_->OnResume(); });
  }
  void StartOfFrame() {
    Event([&] { events_->OnStartOfFrame(); });
  }

  bool Read(uint8_t address, Packet* packet) {
    Endpoint& from = endpoints[address];
    if (!from.queued || from.stalled) return false;
    packet->assign(from.to_host, from.to_host + from.size);
    Expect(std::equal(packet->begin(), packet->end(), from.copy), "a packet was written to while it was queued");
    from.queued = false;
    Event([&] { events_->OnSent(address); });
    return true;
  }

  bool Write(uint8_t address, const Packet& packet) {
    Endpoint& to = endpoints[address];
    if (!to.queued || to.stalled) return false;
    const size_t size = std::min(packet.size(), to.size);
    if (size > 0) std::memcpy(to.from_host, packet.data(), size);
    to.queued = false;
    Event([&] { events_->OnReceived(address, size); });
    return true;
  }

  void Setup(const UsbSetup& setup) {
    for (const uint8_t address : {uint8_t{0}, kUsbIn}) endpoints[address].queued = endpoints[address].stalled = false;
    Event([&] { events_->OnSetup(setup); });
  }

  bool control_stalls() { return endpoints[0].stalled || endpoints[kUsbIn].stalled; }

  // False: it stalls.
  bool ControlRead(const UsbSetup& setup, Packet* whole) {
    Setup(setup);
    whole->clear();
    for (Packet packet(kControlPacketBytes); packet.size() == kControlPacketBytes && whole->size() < setup.length;) {
      if (control_stalls() || !Read(kUsbIn, &packet)) return false;
      whole->insert(whole->end(), packet.begin(), packet.end());
    }
    return !control_stalls() && Write(0, {});
  }

  bool ControlWrite(const UsbSetup& setup, const Packet& data = {}) {
    Setup(setup);
    if (!data.empty() && (control_stalls() || !Write(0, data))) return false;
    Packet status;
    return !control_stalls() && Read(kUsbIn, &status) && status.empty();
  }

  Endpoints endpoints;
  int address = 0, faults = 0;
  const char* fault = nullptr;  // the last

 private:
  template <typename Call>
  void Event(Call call) {
    in_event_ = true;
    call();
    in_event_ = false;
  }

  void Expect(bool met, const char* otherwise) {
    if (met) return;
    ++faults;
    fault = otherwise;
  }

  Endpoint& Queue(uint8_t address, size_t size) {
    Endpoint& endpoint = endpoints[address];
    Expect(in_event_, "a packet is queued outside an event");
    Expect(endpoint.open, "a packet is queued on a closed endpoint");
    Expect(!endpoint.queued, "a second packet is queued");
    endpoint.queued = true;
    endpoint.size = size;
    return endpoint;
  }

  UsbEvents* events_ = nullptr;
  bool in_event_ = false;
};

}  // namespace oddity
