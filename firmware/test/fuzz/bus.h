// A host that does on the bus whatever the fuzzer's bytes say, and the pedal's USB device at the other end.
#pragma once

#include <cstddef>
#include <cstdint>

#include "test/fuzz/input.h"
#include "test/test_usb/list_controller.h"
#include "usb/device.h"

namespace oddity::fuzz {

class Bus {
 public:
  void Restart();  // as when the power comes

  static constexpr int kOperations = 12;
  void Do(int operation, Input& input);

  // A host that begins anew finds what the descriptors promise and opens all of it.
  void Enumerate();

  // Milliseconds of bulk packets until nothing moves. What comes from the pedal is put behind `reply`.
  void SendSerial(const uint8_t* data, size_t size, Packet* reply = nullptr);

  UsbDevice device;
  ListController controller;
  uint32_t codec_position = 0;

  virtual ~Bus() = default;

 protected:
  virtual void PlaySpan(HostFrame* host, size_t size) = 0;
  virtual void BeginBlock(size_t) {}
  virtual void EndBlock() {}
  virtual void RunMainLoop() = 0;
  virtual void OnSerialBytes(const Packet&) {}  // that the pedal has taken
  virtual void OnHostLost() {}

 private:
  void Wake();
  UsbSetup AnySetup(Input& input);
  UsbSetup KnownSetup(Input& input);
  void Transfer(const UsbSetup& setup, Input& input);
  void ReadSome(Input& input);
  void WriteSome(Input& input);
  bool Read(uint8_t endpoint);
  bool Write(uint8_t endpoint);
  void PlayBlock(size_t frames, uint8_t between);
  void Open(uint8_t what);

  bool suspended_ = false;
  Packet packet_;
};

}  // namespace oddity::fuzz
