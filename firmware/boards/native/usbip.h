// The device controller of a pedal that is a program: a USB/IP server (Linux, Documentation/usb/usbip_protocol.rst)
// that exports one full-speed device to one host at a time.
//
// A USB frame happens when a millisecond has passed since the last one and every isochronous stream has a request that
// waits: a host that is slow, or emulated, loses nothing. Other transfers are served at once.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

#include "usb/controller.h"

namespace oddity {

class UsbIp : public UsbController {
 public:
  // Listens on the loopback interface; false when it cannot. Frames come `speed` times as fast as the wall clock; 0: as
  // fast as the streams ask for them.
  bool Init(uint16_t port, double speed);

  // From now on each packet of `endpoint` says 48 frames a millisecond, whatever the device sends.
  void FreezeFeedback(uint8_t endpoint) { frozen_ = endpoint; }

  // Waits for the host or the clock, and serves the host. True when a frame is due, which `Frame` then begins.
  bool Serve();
  void Frame();

  // Whether the host has asked for isochronous packets since the endpoint was opened, and has not stopped since.
  bool Streams(uint8_t endpoint) { return Of(endpoint).streams; }

  // Breaking the contract of these ends the program.
  void Connect(UsbEvents* events) override { events_ = events; }
  void SetAddress(uint8_t) override {}  // the host gives none
  void Open(uint8_t endpoint, EndpointType type, size_t max_packet_bytes) override;
  void Close(uint8_t endpoint) override;
  void Send(uint8_t endpoint, const void* data, size_t size) override;
  void Receive(uint8_t endpoint, void* data, size_t room) override;
  void Stall(uint8_t endpoint) override;
  void ClearStall(uint8_t endpoint) override;

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr size_t kGarbage = SIZE_MAX;

  struct IsochronousPacket {
    uint32_t offset, length, actual;
    int32_t status;
  };

  enum class Stage : uint8_t { kSetup, kData, kStatus };

  // What the host awaits an answer to.
  struct Request {
    uint32_t sequence, flags, length, start_frame;
    bool to_host;
    UsbSetup setup;
    std::vector<uint8_t> data;  // all of it from the host, what there is so far to the host
    std::vector<IsochronousPacket> packets;
    size_t moved;  // bytes; of an isochronous one packets
    Stage stage;   // of a control transfer
  };

  struct Endpoint {
    bool open, queued, stalled, streams;
    EndpointType type;
    size_t max_packet_bytes;
    const uint8_t* to_host;  // what is queued
    uint8_t* from_host;
    size_t size;  // of it, or the room
    std::deque<Request> requests;
    std::deque<uint32_t> answered;  // the last sequence numbers
  };

  Endpoint& Of(uint8_t endpoint) { return endpoints_[endpoint >> 7][endpoint & 15]; }
  bool Fed() const;
  bool Streaming() const;
  Clock::duration Period() const;

  void Accept();
  void Disconnect();
  void Reset();

  // The bytes that the first message takes; 0 when it is not all there, kGarbage when it is none.
  bool Read();
  size_t Handshake(const uint8_t* bytes, size_t size);
  size_t Command(const uint8_t* bytes, size_t size);
  size_t Submit(const uint8_t* bytes, size_t size);

  void PutDevice();
  void PutInterfaces();
  bool Ask(uint8_t type, uint16_t length, std::vector<uint8_t>* answer);
  void Begin(uint8_t address, Request&& request);
  void Unlink(uint32_t sequence, uint32_t victim);

  void Move();
  bool MoveControl(Request* request, int32_t* status);
  bool MovePacket(uint8_t address);
  void MoveIsochronous(uint8_t address);
  void Finish(uint8_t address, int32_t status);
  void FinishAll(uint8_t address, int32_t status);
  void Answer(const Request& request, int32_t status);
  bool Flush();

  UsbEvents* events_ = nullptr;
  int listener_ = -1, connection_ = -1;
  bool imported_ = false;
  uint8_t frozen_ = 0;
  double speed_ = 1;
  Clock::time_point due_;
  uint32_t frame_ = 0;
  Endpoint endpoints_[2][16] = {};  // from and to the host
  std::vector<uint8_t> in_, out_, device_, configuration_;
};

}  // namespace oddity
