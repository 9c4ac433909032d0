#include "usb/device.h"

#include <algorithm>

namespace oddity {
namespace {

// USB 2.0, tables 9-2 to 9-6
constexpr uint8_t kTypeMask = 0x60, kStandardType = 0x00, kClassType = 0x20, kRecipientMask = 0x1F;
enum Recipient : uint8_t { kToDevice, kToInterface, kToEndpoint };
enum StandardRequest : uint8_t {
  kGetStatus = 0,
  kClearFeature = 1,
  kSetFeature = 3,
  kSetAddress = 5,
  kGetDescriptor = 6,
  kGetConfiguration = 8,
  kSetConfiguration = 9,
  kGetInterface = 10,
  kSetInterface = 11,
};
constexpr uint16_t kEndpointHalt = 0;
enum DescriptorType : uint8_t { kDevice = 1, kConfiguration = 2, kString = 3 };

constexpr size_t kEndpointCount = sizeof kEndpoints / sizeof kEndpoints[0];

}  // namespace

void UsbDevice::Init(UsbController* controller, uint32_t (*position)(), const char* serial_number) {
  controller_ = controller;
  serial_number_ = serial_number;
  host_lost_ = false;
  configuration_ = 0;
  halted_ = 0;
  for (uint8_t& alternate : alternates_) alternate = 0;
  setup_ = {};
  takes_data_ = ends_short_ = false;
  data_ = nullptr;
  left_ = 0;
  audio.Init(controller, position);
  serial.Init(controller);
}

void UsbDevice::OnReset() {
  SetConfiguration(0);
  takes_data_ = false;
  LoseHost();
}

void UsbDevice::OnSuspend() { LoseHost(); }

void UsbDevice::LoseHost() {
  serial.OnHostLost();
  host_lost_ = true;
}

void UsbDevice::OnStartOfFrame() {
  if (configuration_ == 0) return;
  audio.OnStartOfFrame();
  serial.OnStartOfFrame();
}

void UsbDevice::OnSetup(const UsbSetup& setup) {
  setup_ = setup;
  takes_data_ = false;
  left_ = 0;
  ends_short_ = false;
  const bool reads = setup.request_type & kUsbIn;
  if (reads && setup.length > 0) {
    const int size = Answer(setup);
    if (size == kRefused) return Refuse();
    left_ = std::min<size_t>(size, setup.length);
    ends_short_ = left_ < setup.length && left_ % kControlPacketBytes == 0;
    controller_->Receive(0, nullptr, 0);  // the status stage, which the host may begin early
    SendNext();
  } else if (!reads && setup.length > 0) {
    if (setup.length > sizeof buffer_ || (setup.request_type & kTypeMask) != kClassType) return Refuse();
    takes_data_ = true;
    controller_->Receive(0, buffer_, sizeof buffer_);
  } else {
    if (reads || !Act(setup)) return Refuse();
    controller_->Send(kUsbIn, nullptr, 0);
  }
}

void UsbDevice::SendNext() {
  const size_t size = std::min(left_, kControlPacketBytes);
  if (size < kControlPacketBytes) ends_short_ = false;
  left_ -= size;
  data_ += size;
  controller_->Send(kUsbIn, data_ - size, size);
}

void UsbDevice::Refuse() { controller_->Stall(0); }

void UsbDevice::OnSent(uint8_t endpoint) {
  switch (endpoint) {
    case kUsbIn:
      if (left_ > 0 || ends_short_) SendNext();
      return;
    case kFeedbackEndpoint:
    case kCaptureEndpoint:
      return audio.OnSent(endpoint);
    case kSerialInEndpoint:
      return serial.OnSent();
  }
}

void UsbDevice::OnReceived(uint8_t endpoint, size_t size) {
  switch (endpoint) {
    case 0:
      if (!takes_data_) return;  // the end of a control read
      takes_data_ = false;
      if (size != setup_.length || !Act(setup_)) return Refuse();
      return controller_->Send(kUsbIn, nullptr, 0);
    case kPlaybackEndpoint:
      return audio.OnReceived(size);
    case kSerialOutEndpoint:
      return serial.OnReceived(size);
  }
}

int UsbDevice::Answer(const UsbSetup& setup) {
  data_ = buffer_;
  const uint8_t type = setup.request_type & kTypeMask;
  if (type == kStandardType) return AnswerStandard(setup);
  if (type != kClassType || (setup.request_type & kRecipientMask) != kToInterface || configuration_ == 0) {
    return kRefused;
  }
  switch (setup.index & 0xFF) {
    case kAudioControlInterface:
      return audio.Answer(setup, buffer_);
    case kSerialControlInterface:
      return serial.Answer(setup, buffer_);
  }
  return kRefused;
}

bool UsbDevice::Act(const UsbSetup& setup) {
  const uint8_t type = setup.request_type & kTypeMask;
  if (type == kStandardType) return ActStandard(setup);
  if (type != kClassType || (setup.request_type & kRecipientMask) != kToInterface || configuration_ == 0) return false;
  switch (setup.index & 0xFF) {
    case kAudioControlInterface:
      return audio.Act(setup, buffer_);
    case kSerialControlInterface:
      return serial.Act(setup, buffer_);
  }
  return false;
}

int UsbDevice::AnswerStandard(const UsbSetup& setup) {
  const uint8_t recipient = setup.request_type & kRecipientMask;
  buffer_[0] = buffer_[1] = 0;
  switch (setup.request) {
    case kGetDescriptor:
      return recipient == kToDevice ? GetDescriptor(setup) : kRefused;
    case kGetConfiguration:
      if (recipient != kToDevice) return kRefused;
      buffer_[0] = configuration_;
      return 1;
    case kGetInterface:
      if (recipient != kToInterface || configuration_ == 0 || setup.index >= kUsbInterfaceCount) return kRefused;
      buffer_[0] = alternates_[setup.index];
      return 1;
    case kGetStatus:
      if (recipient == kToDevice) return 2;  // powered by the bus, does not wake the host
      if (recipient == kToInterface) return configuration_ != 0 && setup.index < kUsbInterfaceCount ? 2 : kRefused;
      if (recipient != kToEndpoint || !IsOpen(static_cast<uint8_t>(setup.index))) return kRefused;
      for (size_t i = 0; i < kEndpointCount; ++i) {
        if (kEndpoints[i].address == setup.index) buffer_[0] = halted_ >> i & 1;
      }
      return 2;
  }
  return kRefused;
}

int UsbDevice::GetDescriptor(const UsbSetup& setup) {
  const auto index = static_cast<uint8_t>(setup.value);
  switch (setup.value >> 8) {
    case kDevice:
    case kConfiguration: {
      if (index != 0) return kRefused;
      const UsbDescriptor descriptor = setup.value >> 8 == kDevice ? DeviceDescriptor() : ConfigurationDescriptor();
      data_ = descriptor.data;
      return static_cast<int>(descriptor.size);
    }
    case kString:
      static_assert(kStringRoom <= sizeof buffer_);
      if (const size_t size = StringDescriptor(index, serial_number_, buffer_)) return static_cast<int>(size);
      return kRefused;
  }
  return kRefused;  // among them the qualifier, which only a device of high speed has
}

bool UsbDevice::ActStandard(const UsbSetup& setup) {
  const uint8_t recipient = setup.request_type & kRecipientMask;
  switch (setup.request) {
    case kSetAddress:
      if (recipient != kToDevice || setup.value > 127) return false;
      controller_->SetAddress(static_cast<uint8_t>(setup.value));
      return true;
    case kSetConfiguration:
      if (recipient != kToDevice || setup.value > 1) return false;
      SetConfiguration(static_cast<uint8_t>(setup.value));
      return true;
    case kSetInterface:
      if (recipient != kToInterface || configuration_ == 0) return false;
      if (setup.index >= kUsbInterfaceCount || setup.value >= kAlternateCount[setup.index]) return false;
      SetAlternate(static_cast<uint8_t>(setup.index), static_cast<uint8_t>(setup.value));
      return true;
    case kSetFeature:
    case kClearFeature:
      return recipient == kToEndpoint && SetHalt(setup, setup.request == kSetFeature);
  }
  return false;
}

// Isochronous endpoints have no halt; endpoint 0 needs none.
bool UsbDevice::SetHalt(const UsbSetup& setup, bool halted) {
  if (setup.value != kEndpointHalt || configuration_ == 0) return false;
  for (size_t i = 0; i < kEndpointCount; ++i) {
    const UsbEndpoint& endpoint = kEndpoints[i];
    if (endpoint.address != setup.index || endpoint.type == EndpointType::kIsochronous) continue;
    halted_ = (halted_ & ~(1u << i)) | uint32_t{halted} << i;
    halted ? controller_->Stall(endpoint.address) : controller_->ClearStall(endpoint.address);
    return true;
  }
  return false;
}

bool UsbDevice::IsOpen(uint8_t endpoint) const {
  if ((endpoint & ~kUsbIn) == 0) return true;
  for (const UsbEndpoint& candidate : kEndpoints) {
    if (candidate.address != endpoint || configuration_ == 0) continue;
    return alternates_[candidate.interface] + 1 == kAlternateCount[candidate.interface];
  }
  return false;
}

void UsbDevice::SetConfiguration(uint8_t configuration) {
  if (configuration_ != 0) {
    for (const UsbEndpoint& endpoint : kEndpoints) controller_->Close(endpoint.address);
    audio.Close(kPlaybackInterface);
    audio.Close(kCaptureInterface);
    serial.Close();
  }
  configuration_ = configuration;
  halted_ = 0;
  for (uint8_t interface = 0; interface < kUsbInterfaceCount; ++interface) {
    alternates_[interface] = 0;
    if (configuration != 0) SetAlternate(interface, 0);
  }
}

void UsbDevice::SetAlternate(uint8_t interface, uint8_t alternate) {
  alternates_[interface] = alternate;
  const bool has_endpoints = alternate + 1 == kAlternateCount[interface];
  for (size_t i = 0; i < kEndpointCount; ++i) {
    const UsbEndpoint& endpoint = kEndpoints[i];
    if (endpoint.interface != interface) continue;
    halted_ &= ~(1u << i);
    controller_->Close(endpoint.address);
    if (has_endpoints) controller_->Open(endpoint.address, endpoint.type, endpoint.max_packet_bytes);
  }
  switch (interface) {
    case kPlaybackInterface:
    case kCaptureInterface:
      return has_endpoints ? audio.Open(interface) : audio.Close(interface);
    case kSerialDataInterface:
      return serial.Open();
  }
}

}  // namespace oddity
