#include "test/fuzz/bus.h"

#include <new>

#include "pedal/pedal.h"

namespace oddity::fuzz {
namespace {

constexpr UsbSetup kKnownSetups[] = {
    {0x80, 6, 0x0100, 0, 18},                 // device descriptor
    {0x80, 6, 0x0200, 0, 1024},               // configuration
    {0x80, 6, 0x0300, 0, 255},                // languages
    {0x80, 6, 0x0301, 0x0409, 255},           // a string
    {0x00, 5, 17, 0, 0},                      // address
    {0x00, 9, 1, 0, 0},                       // configuration
    {0x80, 8, 0, 0, 1},                       // which
    {0x01, 11, 1, kPlaybackInterface, 0},     // alternate setting
    {0x01, 11, 1, kCaptureInterface, 0},      //
    {0x01, 11, 0, kSerialDataInterface, 0},   //
    {0x81, 10, 0, kPlaybackInterface, 1},     // which
    {0x80, 0, 0, 0, 2},                       // status
    {0x81, 0, 0, kCaptureInterface, 2},       //
    {0x82, 0, 0, kSerialInEndpoint, 2},       //
    {0x02, 3, 0, kSerialInEndpoint, 0},       // halt
    {0x02, 3, 0, kSerialOutEndpoint, 0},      //
    {0x02, 1, 0, kSerialInEndpoint, 0},       // and its end
    {0x02, 1, 0, kSerialOutEndpoint, 0},      //
    {0xA1, 1, 0x0100, kClockEntity << 8, 4},  // clock frequency
    {0xA1, 2, 0x0100, kClockEntity << 8, 255},
    {0xA1, 1, 0x0200, kClockEntity << 8, 1},  // clock valid
    {0x21, 1, 0x0100, kClockEntity << 8, 4},
    {0xA1, 1, 0x0200, kMonitorVolumeEntity << 8, 2},
    {0xA1, 2, 0x0200, kMonitorVolumeEntity << 8, 255},
    {0x21, 1, 0x0200, kMonitorVolumeEntity << 8, 2},
    {0xA1, 1, 0x0100, kMonitorVolumeEntity << 8, 1},  // mute
    {0x21, 1, 0x0100, kMonitorVolumeEntity << 8, 1},
    {0x21, 0x20, 0, kSerialControlInterface, 7},  // line coding
    {0xA1, 0x21, 0, kSerialControlInterface, 7},
    {0x21, 0x22, 1, kSerialControlInterface, 0},  // terminal ready
};

constexpr uint8_t kReadable[] = {kUsbIn, kFeedbackEndpoint, kCaptureEndpoint, kNotificationEndpoint, kSerialInEndpoint};
constexpr uint8_t kWritable[] = {0, kPlaybackEndpoint, kSerialOutEndpoint};

// Of the bus that began last.
Bus* current;
uint32_t CodecPosition() { return current->codec_position; }

}  // namespace

void Bus::Restart() {
  current = this;
  device.~UsbDevice();
  new (&device) UsbDevice();
  controller = {};
  codec_position = 0;
  suspended_ = false;
  device.Init(&controller, CodecPosition, "0123456789");
  controller.Connect(&device);
  controller.Reset();
}

void Bus::Do(int operation, Input& input) {
  switch (operation) {
    case 0:
      Wake();
      controller.Setup(AnySetup(input));
      break;
    case 1:
      Wake();
      controller.Setup(KnownSetup(input));
      break;
    case 2:
      Wake();
      Transfer(KnownSetup(input), input);
      break;
    case 3:
      ReadSome(input);
      break;
    case 4:
      WriteSome(input);
      break;
    case 5:
      if (suspended_) break;
      for (int frames = input.Byte() % 16; frames >= 0; --frames) controller.StartOfFrame();
      break;
    case 6: {
      const size_t frames = input.Byte() + 1;
      PlayBlock(frames, input.Byte());
      break;
    }
    case 7:
      RunMainLoop();
      break;
    case 8:
      suspended_ = false;
      controller.Reset();
      OnHostLost();
      break;
    case 9:
      suspended_ ? controller.Resume() : controller.Suspend();
      if (!suspended_) OnHostLost();
      suspended_ = !suspended_;
      break;
    case 10: {
      const uint8_t kind = input.Byte();
      codec_position += kind < 192 ? kind : kind < 255 ? input.Word() : input.Long();
      break;
    }
    case 11:
      Open(input.Byte());
      break;
  }
  REQUIRE(controller.faults == 0, controller.fault);
}

void Bus::Wake() {
  if (suspended_) controller.Resume();
  suspended_ = false;
}

UsbSetup Bus::AnySetup(Input& input) {
  const uint8_t type = input.Byte(), request = input.Byte();
  const uint16_t value = input.Word(), index = input.Word(), length = input.Word();
  return {type, request, value, index, length};
}

UsbSetup Bus::KnownSetup(Input& input) {
  UsbSetup setup = kKnownSetups[input.Byte() % (sizeof kKnownSetups / sizeof kKnownSetups[0])];
  switch (input.Byte()) {
    case 1:
      setup.request_type ^= input.Byte();
      break;
    case 2:
      setup.request = input.Byte();
      break;
    case 3:
      setup.value = input.Word();
      break;
    case 4:
      setup.index = input.Word();
      break;
    case 5:
      setup.length = input.Word();
      break;
    case 6:
      setup.value = input.Byte();
      break;
    case 7:
      setup.index = input.Byte();
      break;
  }
  return setup;
}

void Bus::Transfer(const UsbSetup& setup, Input& input) {
  if (setup.request_type & kUsbIn) {
    if (!controller.ControlRead(setup, &packet_)) return;
    REQUIRE(packet_.size() <= setup.length, "more than was asked for was read");
    REQUIRE(!packet_.empty(), "nothing was read, without a stall");
    return;
  }
  packet_.clear();
  if (setup.length > 0) input.Fill(&packet_, std::min<size_t>(setup.length, kControlPacketBytes));
  const Packet data = packet_;
  const bool done = controller.ControlWrite(setup, data);
  REQUIRE(!done || data.size() == setup.length, "a write without all its data was taken");
  const bool line_coding = setup.request_type == 0x21 && setup.request == 0x20;
  REQUIRE(!done || !line_coding || data.size() == 7, "a line coding of another length was taken");
}

// Up to so many packets that whatever lies between the host and the main loop is empty or full.
constexpr int kMostPackets = 64;

void Bus::ReadSome(Input& input) {
  const uint8_t kind = input.Byte();
  const uint8_t endpoint = kReadable[kind % sizeof kReadable];
  for (int packets = kind < 192 ? 1 : kMostPackets; packets > 0 && Read(endpoint); --packets) {
  }
}

void Bus::WriteSome(Input& input) {
  const uint8_t kind = input.Byte();
  const uint8_t endpoint = kWritable[kind % sizeof kWritable];
  const size_t most = controller.endpoints[endpoint].max_packet_bytes;
  input.Fill(&packet_, most > 255 ? input.Word() % (most + 1) : input.Byte() % (most + 1));
  for (int packets = kind < 192 ? 1 : kMostPackets; packets > 0 && Write(endpoint); --packets) {
  }
}

// A packet, and whether there was one.
bool Bus::Read(uint8_t endpoint) {
  if (suspended_ || !controller.Read(endpoint, &packet_)) return false;
  switch (endpoint) {
    case kFeedbackEndpoint: {
      uint32_t rate;
      REQUIRE(packet_.size() == sizeof rate, "feedback has four bytes");
      std::memcpy(&rate, packet_.data(), sizeof rate);
      REQUIRE(rate >= (47 << 16) && rate <= (49 << 16), "feedback is about 48 frames");
      break;
    }
    case kCaptureEndpoint:
      REQUIRE(packet_.size() % kUsbFrameBytes == 0, "a frame is cut");
      break;
    case kNotificationEndpoint:
      REQUIRE(false, "there are no notifications");
  }
  return true;
}

// `packet_`
bool Bus::Write(uint8_t endpoint) {
  if (suspended_ || !controller.Write(endpoint, packet_)) return false;
  if (endpoint == kSerialOutEndpoint) OnSerialBytes(packet_);
  return true;
}

// `between`: what interrupts the audio's interrupt, a bit each.
void Bus::PlayBlock(size_t frames, uint8_t between) {
  codec_position += static_cast<uint32_t>(frames);
  device.audio.BeginBlock(frames);
  BeginBlock(frames);
  for (size_t left = frames; left > 0;) {
    HostFrame host[Pedal::kSpan];
    const size_t size = std::min(left, Pedal::kSpan);
    device.audio.Take(host, size);
    PlaySpan(host, size);
    device.audio.Give(host, size);
    left -= size;
    if (suspended_) continue;
    if (between & 1) controller.StartOfFrame();
    if (between & 2) Read(kCaptureEndpoint);
    if (between & 4) Read(kFeedbackEndpoint);
    if (between & 8) {
      packet_.assign((between >> 4) * 3 * kUsbFrameBytes, between);
      Write(kPlaybackEndpoint);
    }
  }
  EndBlock();
}

// What a host begins with.
void Bus::Open(uint8_t what) {
  Wake();
  controller.ControlWrite({0x00, 9, 1, 0, 0});
  for (const uint8_t interface : {kPlaybackInterface, kCaptureInterface}) {
    controller.ControlWrite({0x01, 11, static_cast<uint16_t>(what >> interface & 1), interface, 0});
  }
  controller.ControlWrite({0x21, 0x22, static_cast<uint16_t>(what & 1), kSerialControlInterface, 0});
}

void Bus::Enumerate() {
  suspended_ = false;
  controller.Reset();
  OnHostLost();
  const auto told = [&](const UsbDescriptor& descriptor) {
    return packet_.size() == descriptor.size && std::equal(packet_.begin(), packet_.end(), descriptor.data);
  };
  REQUIRE(controller.ControlRead({0x80, 6, 0x0100, 0, 64}, &packet_) && told(DeviceDescriptor()), "device");
  REQUIRE(controller.ControlWrite({0x00, 5, 3, 0, 0}) && controller.address == 3, "address");
  REQUIRE(controller.ControlRead({0x80, 6, 0x0200, 0, 1024}, &packet_), "configuration descriptor");
  REQUIRE(told(ConfigurationDescriptor()), "configuration descriptor");
  REQUIRE(controller.ControlWrite({0x00, 9, 1, 0, 0}), "configuration");
  for (int interface = 0; interface < kUsbInterfaceCount; ++interface) {
    const UsbSetup which = {0x81, 10, 0, static_cast<uint16_t>(interface), 1};
    REQUIRE(controller.ControlRead(which, &packet_) && packet_ == Packet{0}, "an alternate setting was kept");
  }
  REQUIRE(controller.ControlRead({0xA1, 0x21, 0, kSerialControlInterface, 7}, &packet_), "line coding");
  REQUIRE(packet_.size() == 7, "line coding");
  REQUIRE(!device.serial.open() && !device.audio.host_plays(), "the host that went holds something open");
  RunMainLoop();  // what the host that went has sent is over
  Open(1 | 1 << kPlaybackInterface | 1 << kCaptureInterface);
  REQUIRE(device.serial.open() && device.audio.host_plays(), "not all is open");
  REQUIRE(Read(kFeedbackEndpoint) && Read(kCaptureEndpoint), "the streams do not run");
  packet_.assign(48 * kUsbFrameBytes, 0);
  REQUIRE(Write(kPlaybackEndpoint), "the stream from the host does not run");
  REQUIRE(controller.faults == 0, controller.fault);
}

void Bus::SendSerial(const uint8_t* data, size_t size, Packet* reply) {
  constexpr int kPatienceMs = 4;
  for (int idle = 0; idle < kPatienceMs && !suspended_;) {
    ++idle;
    while (size > 0) {
      const size_t part = std::min<size_t>(size, 64);
      packet_.assign(data, data + part);
      if (!Write(kSerialOutEndpoint)) break;
      data += part;
      size -= part;
      idle = 0;
    }
    RunMainLoop();
    controller.StartOfFrame();
    while (Read(kSerialInEndpoint)) {
      idle = 0;
      if (reply != nullptr) reply->insert(reply->end(), packet_.begin(), packet_.end());
    }
    if (size == 0 && idle > 1) break;
  }
  REQUIRE(controller.faults == 0, controller.fault);
}

}  // namespace oddity::fuzz
