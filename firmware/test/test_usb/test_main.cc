// The USB stack on a controller that is a list of what was asked of it, and the pedal's way from and to the host.
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "../minitest.h"
#include "boards/flash_in_ram.h"
#include "pedal/board.h"
#include "pedal/input_source.h"
#include "test/test_usb/list_controller.h"
#include "usb/device.h"

namespace oddity {

// The linker wants a board; these tests have none.
const BoardDescription kBoard = {"test", CounterUnit::kNanoseconds, false, false};
uint32_t BoardBudgetPerFrame(EngineKind) { return 0; }
uint32_t BoardCounter() { return 0; }
void BoardSend(const uint8_t*, size_t) {}
uint32_t BoardLockAudio() { return 0; }
void BoardUnlockAudio(uint32_t) {}
void BoardSetBlock(size_t) {}
void BoardEnterBootLoader() {}

}  // namespace oddity

using namespace oddity;

namespace {

uint32_t codec_position;
uint32_t CodecPosition() { return codec_position; }

ListController controller;
UsbDevice usb;

constexpr uint8_t kToDevice = 0x80, kFromDevice = 0x00;

UsbSetup GetDescriptor(int type, int index, int length) {
  return {kToDevice, 6, static_cast<uint16_t>(type << 8 | index), 0, static_cast<uint16_t>(length)};
}
UsbSetup SetConfiguration(int value) { return {kFromDevice, 9, static_cast<uint16_t>(value), 0, 0}; }
UsbSetup SetInterface(int interface, int alternate) {
  return {0x01, 11, static_cast<uint16_t>(alternate), static_cast<uint16_t>(interface), 0};
}
UsbSetup AudioRead(int request, int control, int channel, int entity, int length) {
  return {0xA1, static_cast<uint8_t>(request), static_cast<uint16_t>(control << 8 | channel),
          static_cast<uint16_t>(entity << 8), static_cast<uint16_t>(length)};
}
UsbSetup AudioWrite(int control, int channel, int entity, int length) {
  return {0x21, 1, static_cast<uint16_t>(control << 8 | channel), static_cast<uint16_t>(entity << 8),
          static_cast<uint16_t>(length)};
}

void Plug() {
  controller = {};
  codec_position = 1000;
  usb.Init(&controller, CodecPosition, "0123456789");
  controller.Connect(&usb);
  controller.Reset();
}

void Configure() {
  Plug();
  controller.ControlWrite(SetConfiguration(1));
}

// The bus's milliseconds and the codec's blocks, of which either clock may be faster.
struct Clocks {
  double frames_a_ms = 48;
  size_t block = 48;
  double codec = codec_position;
  uint32_t blocks_at = codec_position;
  double host_owes = 0;
  bool frozen = false;
  int32_t sent = 0;
  std::vector<HostFrame> heard, captured;
  uint32_t first_rate = 0, last_rate = 0;

  void Millisecond(bool plays, bool records) {
    controller.StartOfFrame();
    Packet packet;
    if (plays) {
      host_owes += (frozen ? 48 << 16 : last_rate) / 65536.0;
      Packet frames;
      for (; host_owes >= 1; host_owes -= 1) {
        ++sent;
        for (int i = 0; i < 3; ++i) frames.push_back(static_cast<uint8_t>(sent >> (8 * i)));
        for (int i = 0; i < 3; ++i) frames.push_back(static_cast<uint8_t>(-sent >> (8 * i)));
      }
      controller.Write(kPlaybackEndpoint, frames);
      controller.Read(kFeedbackEndpoint, &packet);
      std::memcpy(&last_rate, packet.data(), 4);
      if (first_rate == 0) first_rate = last_rate;
    }
    if (records && controller.Read(kCaptureEndpoint, &packet)) {
      for (size_t i = 0; i + 5 < packet.size(); i += 6) {
        const auto sample = [&](size_t at) {
          return static_cast<int32_t>(uint32_t{packet[at]} << 8 | uint32_t{packet[at + 1]} << 16 |
                                      uint32_t{packet[at + 2]} << 24) >>
                 8;
        };
        captured.push_back({sample(i), sample(i + 3)});
      }
    }
    codec += frames_a_ms;
    codec_position = static_cast<uint32_t>(codec);
    while (codec_position - blocks_at >= block) {
      blocks_at += static_cast<uint32_t>(block);
      const uint32_t now = codec_position;
      codec_position = blocks_at;  // the block began when it was full
      std::vector<HostFrame> frames(block);
      usb.audio.BeginBlock(block);
      usb.audio.Take(frames.data(), block / 2);
      usb.audio.Take(frames.data() + block / 2, block - block / 2);
      heard.insert(heard.end(), frames.begin(), frames.end());
      usb.audio.Give(frames.data(), block);
      codec_position = now;
    }
  }
};

// Each frame that is heard after the first is the one behind the last.
bool Unbroken(const std::vector<HostFrame>& frames) {
  size_t first = 0;
  while (first < frames.size() && frames[first].first == 0) ++first;
  if (first == frames.size()) return false;
  for (size_t i = first + 1; i < frames.size(); ++i) {
    if (frames[i].first != frames[i - 1].first + 1 || frames[i].second != -frames[i].first) return false;
  }
  return true;
}

void DescriptorsHaveTheLengthsThatTheySay() {
  Plug();
  Packet device, header, whole;
  CHECK(controller.ControlRead(GetDescriptor(1, 0, 255), &device));
  CHECK(device.size() == 18 && device[0] == 18 && device[7] == 64);
  CHECK(controller.ControlRead(GetDescriptor(2, 0, 9), &header));
  const size_t total = header[2] | header[3] << 8;
  CHECK(controller.ControlRead(GetDescriptor(2, 0, 1024), &whole));
  CHECK(whole.size() == total && header.size() == 9);
  size_t at = 0, endpoints = 0;
  for (; at < whole.size() && whole[at] >= 2; at += whole[at]) endpoints += whole[at + 1] == 5;
  CHECK(at == whole.size());
  CHECK(endpoints == sizeof kEndpoints / sizeof kEndpoints[0]);
  CHECK(controller.faults == 0);
}

void AReadThatEndsWithAFullPacketEndsWithAnEmptyOne() {
  Plug();
  Packet name;
  CHECK(controller.ControlRead(GetDescriptor(3, kHostProtocolString, 255), &name));
  CHECK(name.size() == 2 + 2 * std::strlen("Oddity host protocol"));
  usb.Init(&controller, CodecPosition, "a serial number of 31 characters");
  CHECK(controller.ControlRead(GetDescriptor(3, kSerialNumberString, 255), &name));
  CHECK(name.size() == kStringRoom);
  CHECK(!controller.ControlRead(GetDescriptor(3, kUsbStringCount, 255), &name));
}

void TheHostMayEndAReadEarly() {
  Plug();
  controller.Setup(GetDescriptor(2, 0, 1024));
  Packet packet;
  CHECK(controller.Read(kUsbIn, &packet) && packet.size() == 64);
  CHECK(controller.Write(0, {}));
  CHECK(controller.ControlRead(GetDescriptor(1, 0, 18), &packet) && packet.size() == 18);
  CHECK(controller.faults == 0);
}

void WhatThePedalHasNotStalls() {
  Configure();
  Packet packet;
  CHECK(!controller.ControlRead(GetDescriptor(6, 0, 10), &packet));  // qualifier
  CHECK(!controller.ControlRead(GetDescriptor(2, 1, 10), &packet));  // a second configuration
  CHECK(!controller.ControlWrite(SetConfiguration(2)));
  CHECK(!controller.ControlWrite(SetInterface(kPlaybackInterface, 2)));
  CHECK(!controller.ControlWrite(SetInterface(kUsbInterfaceCount, 0)));
  CHECK(!controller.ControlWrite({0x00, 3, 1, 0, 0}));                  // remote wakeup
  CHECK(!controller.ControlWrite({0x02, 3, 0, kPlaybackEndpoint, 0}));  // halt of an isochronous endpoint
  CHECK(!controller.ControlWrite({0x00, 5, 128, 0, 0}));                // no address
  CHECK(!controller.ControlRead({0xC0, 1, 0, 0, 4}, &packet));          // a vendor's
  CHECK(!controller.ControlRead(AudioRead(1, 1, 1, kMonitorVolumeEntity, 1), &packet));  // mute of the guitar
  CHECK(!controller.ControlWrite(AudioWrite(2, 0, kMonitorVolumeEntity, 1), {0}));       // a volume of one byte
  CHECK(!controller.ControlWrite({0x21, 0x20, 0, kSerialControlInterface, 200}));        // more than a packet
  CHECK(controller.ControlRead(GetDescriptor(1, 0, 18), &packet));
  CHECK(controller.faults == 0);
}

void ClassRequestsNeedAConfiguration() {
  Plug();
  Packet packet;
  CHECK(!controller.ControlRead(AudioRead(1, 1, 0, kClockEntity, 4), &packet));
  CHECK(!controller.ControlWrite(SetInterface(kPlaybackInterface, 1)));
  CHECK(controller.ControlWrite({kFromDevice, 5, 17, 0, 0}));
  CHECK(controller.address == 17);
  CHECK(controller.ControlWrite(SetConfiguration(1)));
  CHECK(controller.ControlRead(AudioRead(1, 1, 0, kClockEntity, 4), &packet));
  CHECK((packet == Packet{0x80, 0xBB, 0, 0}));
  CHECK(controller.ControlRead(AudioRead(2, 1, 0, kClockEntity, 255), &packet));
  CHECK((packet == Packet{1, 0, 0x80, 0xBB, 0, 0, 0x80, 0xBB, 0, 0, 0, 0, 0, 0}));
}

void EndpointsOpenWithTheirSetting() {
  Configure();
  CHECK(!controller.endpoints[kPlaybackEndpoint].open && controller.endpoints[kSerialOutEndpoint].queued);
  Packet packet;
  const UsbSetup status = {0x82, 0, 0, kCaptureEndpoint, 2};
  CHECK(!controller.ControlRead(status, &packet));
  for (int round = 0; round < 3; ++round) {
    CHECK(controller.ControlWrite(SetInterface(kCaptureInterface, 1)));
    CHECK(controller.endpoints[kCaptureEndpoint].queued && controller.ControlRead(status, &packet));
    CHECK(controller.ControlWrite(SetInterface(kPlaybackInterface, 1)));
    CHECK(controller.endpoints[kPlaybackEndpoint].queued && controller.endpoints[kFeedbackEndpoint].queued);
    CHECK(usb.audio.host_plays());
    CHECK(controller.ControlWrite(SetInterface(kPlaybackInterface, 1)));  // once more
    CHECK(controller.ControlRead({0x81, 10, 0, kPlaybackInterface, 1}, &packet) && packet == Packet{1});
    CHECK(controller.ControlWrite(SetInterface(kCaptureInterface, 0)));
    CHECK(!controller.endpoints[kCaptureEndpoint].open && usb.audio.host_plays());
    CHECK(controller.ControlWrite(SetInterface(kPlaybackInterface, 0)));
    CHECK(!usb.audio.host_plays());
  }
  CHECK(controller.ControlWrite(SetInterface(kPlaybackInterface, 1)));
  CHECK(usb.host_lost());  // by the reset with which all began
  usb.TakeHostLost();
  CHECK(!usb.host_lost());
  controller.Reset();
  CHECK(!usb.audio.host_plays() && usb.host_lost());
  CHECK(controller.faults == 0);
}

void HaltStopsAnEndpointUntilItIsCleared() {
  Configure();
  Packet packet;
  CHECK(controller.ControlWrite({0x02, 3, 0, kSerialOutEndpoint, 0}));
  CHECK(controller.ControlRead({0x82, 0, 0, kSerialOutEndpoint, 2}, &packet) && packet[0] == 1);
  CHECK(!controller.Write(kSerialOutEndpoint, {1}));
  CHECK(controller.ControlWrite({0x02, 1, 0, kSerialOutEndpoint, 0}));
  CHECK(controller.ControlRead({0x82, 0, 0, kSerialOutEndpoint, 2}, &packet) && packet[0] == 0);
  CHECK(controller.Write(kSerialOutEndpoint, {1}));
  uint8_t byte = 0;
  CHECK(usb.serial.Read(&byte) && byte == 1);
}

void SerialMakesTheHostWaitAndLosesNothing() {
  Configure();
  CHECK(controller.ControlWrite({0x21, 0x22, 1, kSerialControlInterface, 0}));
  CHECK(usb.serial.open());
  size_t taken = 0;
  uint8_t next = 0, expected = 0;
  for (int packets = 0; packets < 200;) {
    Packet packet(64);
    for (uint8_t& byte : packet) byte = next++;
    if (controller.Write(kSerialOutEndpoint, packet)) {
      ++packets;
      continue;
    }
    next = static_cast<uint8_t>(next - 64);
    for (uint8_t byte; usb.serial.Read(&byte); ++taken) CHECK(byte == expected++);
    controller.StartOfFrame();
  }
  for (uint8_t byte; usb.serial.Read(&byte); ++taken) CHECK(byte == expected++);
  CHECK(taken == 200 * 64);

  Packet sent(1280), got, packet;
  for (size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<uint8_t>(i * 7);
  usb.serial.Write(sent.data(), sent.size());
  controller.StartOfFrame();
  while (controller.Read(kSerialInEndpoint, &packet)) got.insert(got.end(), packet.begin(), packet.end());
  CHECK(got == sent && packet.empty());  // full packets to the end, and then one that is empty
  CHECK(usb.serial.Flushed());

  usb.serial.Write(sent.data(), 100);
  CHECK(controller.ControlWrite({0x21, 0x22, 0, kSerialControlInterface, 0}));  // the program closes the port
  controller.StartOfFrame();
  CHECK(!controller.Read(kSerialInEndpoint, &packet));
  usb.serial.Write(sent.data(), 100);
  CHECK(usb.serial.room() == 8192);
  CHECK(controller.faults == 0);
}

void StreamsAreWholeWhateverTheClocksDo() {
  for (const double ppm : {0.0, 200.0, -200.0, 1000.0, -1000.0}) {
    for (const size_t block : {1, 16, 48, 128, 256}) {
      Configure();
      controller.ControlWrite(SetInterface(kPlaybackInterface, 1));
      controller.ControlWrite(SetInterface(kCaptureInterface, 1));
      Clocks clocks;
      clocks.block = block;
      clocks.frames_a_ms = 48 * (1 + ppm * 1e-6);
      for (int ms = 0; ms < 20000; ++ms) clocks.Millisecond(true, true);
      CHECK(Unbroken(clocks.heard));
      CHECK(Unbroken(clocks.captured));
      CHECK(usb.audio.stats.underruns == 0 && usb.audio.stats.overruns == 0);
      const double rate = clocks.last_rate / 65536.0;
      CHECK(rate > clocks.frames_a_ms - 0.05 && rate < clocks.frames_a_ms + 0.05);
      CHECK(usb.audio.stats.level_max - usb.audio.stats.level_min < 100);
      CHECK(controller.faults == 0);
    }
  }
}

void WithoutFeedbackAStreamBreaksAndIsCounted() {
  for (const double ppm : {1000.0, -1000.0}) {
    Configure();
    controller.ControlWrite(SetInterface(kPlaybackInterface, 1));
    Clocks clocks;
    clocks.frozen = true;
    clocks.frames_a_ms = 48 * (1 + ppm * 1e-6);
    for (int ms = 0; ms < 60000; ++ms) clocks.Millisecond(true, false);
    CHECK(!Unbroken(clocks.heard));
    CHECK(usb.audio.stats.underruns + usb.audio.stats.overruns > 0);
  }
}

void AStreamThatBeginsAgainBeginsWithItsOwnFrames() {
  Configure();
  Clocks clocks;
  for (int round = 0; round < 5; ++round) {
    controller.ControlWrite(SetInterface(kPlaybackInterface, 1));
    controller.ControlWrite(SetInterface(kCaptureInterface, 1));
    clocks.heard.clear();
    clocks.captured.clear();
    clocks.sent = 100000 * round;
    for (int ms = 0; ms < 37; ++ms) clocks.Millisecond(true, true);
    CHECK(Unbroken(clocks.heard) && clocks.heard.back().first > 100000 * round);
    CHECK(clocks.captured.size() > 1000);
    controller.ControlWrite(SetInterface(kPlaybackInterface, 0));
    controller.ControlWrite(SetInterface(kCaptureInterface, 0));
    for (int ms = 0; ms < 3 * round; ++ms) clocks.Millisecond(false, false);
  }
  controller.ControlWrite(SetInterface(kCaptureInterface, 1));
  for (int ms = 0; ms < 10; ++ms) clocks.Millisecond(false, true);
  for (int ms = 0; ms < 500; ++ms) clocks.Millisecond(false, false);  // the host sleeps
  for (int ms = 0; ms < 10; ++ms) clocks.Millisecond(false, true);
  CHECK(usb.audio.stats.overruns == 1);
}

void TheMonitorHasAVolumeAndTheGuitarHasNone() {
  Configure();
  controller.ControlWrite(SetInterface(kPlaybackInterface, 1));
  Packet packet;
  CHECK(controller.ControlRead(AudioRead(2, 2, 0, kMonitorVolumeEntity, 64), &packet));
  CHECK((packet == Packet{1, 0, 0x00, 0xC4, 0, 0, 0, 1}));                                  // -60 to 0 dB by 1
  CHECK(controller.ControlWrite(AudioWrite(2, 0, kMonitorVolumeEntity, 2), {0x00, 0xFA}));  // -6 dB
  CHECK(controller.ControlRead(AudioRead(1, 2, 0, kMonitorVolumeEntity, 2), &packet) && packet == (Packet{0x00, 0xFA}));
  Clocks clocks;
  clocks.sent = 1000000;
  for (int ms = 0; ms < 100; ++ms) clocks.Millisecond(true, false);
  const HostFrame half = clocks.heard.back();
  CHECK(half.first > 1000000 && half.second < -0.5 * half.first && half.second > -0.503 * half.first);
  CHECK(controller.ControlWrite(AudioWrite(1, 0, kMonitorVolumeEntity, 1), {1}));
  for (int ms = 0; ms < 100; ++ms) clocks.Millisecond(true, false);
  CHECK(clocks.heard.back().first > half.first && clocks.heard.back().second == 0);
}

void ReampingBeginsWithTheHostsFirstFrame() {
  InputSource input;
  input.Init();
  HostFrame frames[16] = {};
  input.WaitForHost();
  CHECK(!input.waits());  // nothing to wait for: the guitar plays
  input.SetReamp(true);
  input.BeginBlock(false);
  CHECK(input.Next(5, 9) == 5);
  input.BeginBlock(true);
  input.WaitForHost();
  input.BeginBlock(true);
  CHECK(input.Wait(frames, 16) == 16 && input.waits());
  frames[11].second = 1;
  CHECK(input.Wait(frames, 16) == 11 && !input.waits());
  CHECK(input.Wait(frames, 16) == 0);
  CHECK(input.Next(5, 9) == 9);
  int32_t last = 1000;
  input.SetReamp(false);
  input.BeginBlock(true);
  for (int i = 0; i < 1000; ++i) {  // and goes back to the guitar without a step
    const int32_t now = input.Next(0, 1000);
    CHECK(now <= last && last - now <= 5);
    last = now;
  }
  CHECK(last == 0);
  input.SetReamp(true);
  input.BeginBlock(true);
  input.WaitForHost();
  input.BeginBlock(false);  // the host has gone
  CHECK(!input.waits());
}

}  // namespace

int main() {
  RUN_TEST(DescriptorsHaveTheLengthsThatTheySay);
  RUN_TEST(AReadThatEndsWithAFullPacketEndsWithAnEmptyOne);
  RUN_TEST(TheHostMayEndAReadEarly);
  RUN_TEST(WhatThePedalHasNotStalls);
  RUN_TEST(ClassRequestsNeedAConfiguration);
  RUN_TEST(EndpointsOpenWithTheirSetting);
  RUN_TEST(HaltStopsAnEndpointUntilItIsCleared);
  RUN_TEST(SerialMakesTheHostWaitAndLosesNothing);
  RUN_TEST(StreamsAreWholeWhateverTheClocksDo);
  RUN_TEST(WithoutFeedbackAStreamBreaksAndIsCounted);
  RUN_TEST(AStreamThatBeginsAgainBeginsWithItsOwnFrames);
  RUN_TEST(TheMonitorHasAVolumeAndTheGuitarHasNone);
  RUN_TEST(ReampingBeginsWithTheHostsFirstFrame);
  return FinishTests();
}
