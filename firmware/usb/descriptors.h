// What the pedal says of itself on USB: an audio interface (Audio Class 2.0) and a serial port (CDC-ACM).
//
//   host ── 0x01 ──► playback terminal ── monitor volume ──► output jack
//   host ◄── 0x82 ── capture terminal ◄── input jack
//   host ◄── 0x84 ── serial port ◄── 0x04 ── host
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "usb/controller.h"

namespace oddity {

enum UsbInterface : uint8_t {
  kAudioControlInterface,
  kPlaybackInterface,  // from the host
  kCaptureInterface,   // to the host
  kSerialControlInterface,
  kSerialDataInterface,
  kUsbInterfaceCount,
};

// Setting 0 of the two audio streams has no endpoints, setting 1 has them.
constexpr uint8_t kAlternateCount[kUsbInterfaceCount] = {1, 2, 2, 1, 1};

enum UsbEndpointAddress : uint8_t {
  kPlaybackEndpoint = 0x01,
  kFeedbackEndpoint = 0x81,  // of the same number, as Windows and macOS want it (USB 2.0, 9.6.6)
  kCaptureEndpoint = 0x82,
  kNotificationEndpoint = 0x83,
  kSerialOutEndpoint = 0x04,
  kSerialInEndpoint = 0x84,
};

enum AudioEntity : uint8_t {
  kClockEntity = 1,
  kPlaybackEntity,
  kMonitorVolumeEntity,
  kOutputJackEntity,
  kInputJackEntity,
  kCaptureEntity,
};

constexpr uint32_t kUsbRateHz = 48000;
constexpr size_t kUsbChannels = 2, kUsbSampleBytes = 3;
constexpr size_t kUsbFrameBytes = kUsbChannels * kUsbSampleBytes;
constexpr size_t kNominalFrames = kUsbRateHz / 1000;
constexpr size_t kMaxPacketFrames = kNominalFrames + 1;  // in a packet

struct UsbEndpoint {
  uint8_t interface;  // in its last alternate setting
  uint8_t address;
  EndpointType type;
  uint8_t synchronization;  // bits 2 to 5 of bmAttributes (USB 2.0, table 9-13)
  uint16_t max_packet_bytes;
  uint8_t interval;
};

// Feedback is 16.16 in 4 bytes and not 10.14 in 3, as USB 2.0 (5.12.4.2) has it for full speed: Windows takes only the
// first, Linux and macOS take both (hathach/tinyusb issue 1234).
constexpr uint8_t kAsynchronous = 1 << 2, kFeedback = 1 << 4;
constexpr UsbEndpoint kEndpoints[] = {
    {kPlaybackInterface, kPlaybackEndpoint, EndpointType::kIsochronous, kAsynchronous,
     kMaxPacketFrames * kUsbFrameBytes, 1},
    {kPlaybackInterface, kFeedbackEndpoint, EndpointType::kIsochronous, kFeedback, 4, 1},
    {kCaptureInterface, kCaptureEndpoint, EndpointType::kIsochronous, kAsynchronous, kMaxPacketFrames * kUsbFrameBytes,
     1},
    {kSerialControlInterface, kNotificationEndpoint, EndpointType::kInterrupt, 0, 16, 32},
    {kSerialDataInterface, kSerialOutEndpoint, EndpointType::kBulk, 0, 64, 0},
    {kSerialDataInterface, kSerialInEndpoint, EndpointType::kBulk, 0, 64, 0},
};

constexpr int16_t kVolumeMin = -60 * 256, kVolumeMax = 0, kVolumeStep = 256;  // of the monitor, in 1/256 dB

enum UsbString : uint8_t {
  kLanguageString,
  kManufacturerString,
  kProductString,
  kSerialNumberString,
  kGuitarString,  // a group of channels: first, second
  kAmpString,
  kReampString,
  kMonitorString,
  kHostProtocolString,
  kUsbStringCount,
};

struct UsbDescriptor {
  const uint8_t* data;
  size_t size;
};

UsbDescriptor DeviceDescriptor();
UsbDescriptor ConfigurationDescriptor();

// Written to `buffer`; returns its size, 0 where there is no such string.
constexpr size_t kStringRoom = 2 + 2 * 30;
size_t StringDescriptor(uint8_t index, const char* serial_number, uint8_t* buffer);

}  // namespace oddity
