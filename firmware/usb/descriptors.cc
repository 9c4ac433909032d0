#include "usb/descriptors.h"

namespace oddity {
namespace {

// pid.codes lends this product number to whoever tests.
constexpr uint16_t kVendor = 0x1209, kProduct = 0x0001, kDeviceRelease = 0x0100;
constexpr uint8_t kMilliamperes = 300 / 2;

constexpr const char* kStrings[kUsbStringCount] = {
    nullptr, "Oddity", "Oddity Pedal", nullptr, "Guitar", "Amp", "Guitar to reamp", "Monitor", "Oddity host protocol",
};

// USB 2.0 table 9-5, interface association ECN, Audio 2.0 appendix A, CDC 1.2 table 12
enum DescriptorType : uint8_t {
  kDevice = 1,
  kConfiguration = 2,
  kString = 3,
  kInterface = 4,
  kEndpoint = 5,
  kAssociation = 11,
  kClassInterface = 0x24,
  kClassEndpoint = 0x25,
};
constexpr uint8_t kAudioClass = 1, kControlSubclass = 1, kStreamingSubclass = 2, kAudioProtocol2 = 0x20;
constexpr uint8_t kCommunicationClass = 2, kAbstractModelSubclass = 2, kDataClass = 10;
constexpr uint16_t kStreamTerminal = 0x0101, kLineTerminal = 0x0603;
constexpr uint8_t kReadOnly = 1, kWritable = 3;  // of a control, two bits

template <size_t kSize>
using Bytes = std::array<uint8_t, kSize>;

template <size_t... kSizes>
constexpr Bytes<(kSizes + ... + 0)> Join(const Bytes<kSizes>&... parts) {
  Bytes<(kSizes + ... + 0)> whole{};
  size_t at = 0;
  const auto append = [&](const auto& part) {
    for (const uint8_t byte : part) whole[at++] = byte;
  };
  (append(parts), ...);
  return whole;
}

// A field has the size of its type.
template <typename T>
constexpr Bytes<sizeof(T)> Field(T value) {
  Bytes<sizeof(T)> bytes{};
  for (size_t i = 0; i < sizeof(T); ++i) bytes[i] = static_cast<uint8_t>(static_cast<uint32_t>(value) >> (8 * i));
  return bytes;
}

template <typename... Fields>
constexpr auto Descriptor(DescriptorType type, Fields... fields) {
  constexpr size_t kSize = 2 + (sizeof(Fields) + ... + 0);
  return Join(Field(static_cast<uint8_t>(kSize)), Field(static_cast<uint8_t>(type)), Field(fields)...);
}

constexpr uint8_t U8(uint32_t value) { return static_cast<uint8_t>(value); }
constexpr uint16_t U16(uint32_t value) { return static_cast<uint16_t>(value); }
constexpr uint32_t U32(uint32_t value) { return value; }

template <size_t kIndex>
constexpr auto EndpointDescriptor() {
  constexpr UsbEndpoint kThis = kEndpoints[kIndex];
  return Descriptor(kEndpoint, kThis.address, U8(U8(static_cast<uint8_t>(kThis.type)) | kThis.synchronization),
                    kThis.max_packet_bytes, kThis.interval);
}

constexpr auto InterfaceDescriptor(UsbInterface interface, uint32_t setting, uint32_t endpoints, uint8_t class_code,
                                   uint8_t subclass, uint32_t protocol, uint8_t name = 0) {
  return Descriptor(kInterface, U8(interface), U8(setting), U8(endpoints), class_code, subclass, U8(protocol), name);
}

constexpr auto Association(UsbInterface first, uint32_t count, uint8_t class_code, uint8_t subclass, uint32_t protocol,
                           uint8_t name) {
  return Descriptor(kAssociation, U8(first), U8(count), class_code, subclass, U8(protocol), name);
}

// Audio 2.0, 4.7.2: clock source, terminals, feature unit. The two channels are no places in a room: each has a name.
constexpr uint32_t kNoPlace = 0;

constexpr auto InputTerminal(AudioEntity id, uint16_t type, UsbString first_channel) {
  return Descriptor(kClassInterface, U8(2), U8(id), type, U8(0), U8(kClockEntity), U8(kUsbChannels), kNoPlace,
                    U8(first_channel), U16(0), U8(0));
}

constexpr auto OutputTerminal(AudioEntity id, uint16_t type, AudioEntity source) {
  return Descriptor(kClassInterface, U8(3), U8(id), type, U8(0), U8(source), U8(kClockEntity), U16(0), U8(0));
}

constexpr auto kClockSource =  // internal, fixed; frequency and validity can be read
    Descriptor(kClassInterface, U8(0x0A), U8(kClockEntity), U8(1), U8(kReadOnly | kReadOnly << 2), U8(0), U8(0));
// Of all channels, as Linux looks for no other, though it acts on the monitor alone: it would change the guitar.
constexpr auto kMonitorVolume = Descriptor(kClassInterface, U8(6), U8(kMonitorVolumeEntity), U8(kPlaybackEntity),
                                           U32(kWritable | kWritable << 2), U32(0), U32(0), U8(0));

constexpr auto kEntities = Join(kClockSource, InputTerminal(kPlaybackEntity, kStreamTerminal, kReampString),
                                kMonitorVolume, OutputTerminal(kOutputJackEntity, kLineTerminal, kMonitorVolumeEntity),
                                InputTerminal(kInputJackEntity, kLineTerminal, kGuitarString),
                                OutputTerminal(kCaptureEntity, kStreamTerminal, kInputJackEntity));

constexpr size_t kAudioHeaderBytes = 9;
constexpr uint8_t kIoBoxCategory = 8;
constexpr auto kAudioControl = Join(
    InterfaceDescriptor(kAudioControlInterface, 0, 0, kAudioClass, kControlSubclass, kAudioProtocol2),
    Descriptor(kClassInterface, U8(1), U16(0x0200), kIoBoxCategory, U16(kAudioHeaderBytes + kEntities.size()), U8(0)),
    kEntities);

// Audio 2.0, 4.9 and 4.10; Audio Formats 2.0, 2.3.1.6: PCM
constexpr auto StreamFormat(AudioEntity terminal, UsbString first_channel) {
  return Join(Descriptor(kClassInterface, U8(1), U8(terminal), U8(0), U8(1), U32(1), U8(kUsbChannels), kNoPlace,
                         U8(first_channel)),
              Descriptor(kClassInterface, U8(2), U8(1), U8(kUsbSampleBytes), U8(8 * kUsbSampleBytes)));
}
constexpr auto kStreamEndpoint = Descriptor(kClassEndpoint, U8(1), U8(0), U8(0), U8(0), U16(0));

constexpr auto StreamInterface(UsbInterface interface, uint32_t setting, uint32_t endpoints) {
  return InterfaceDescriptor(interface, setting, endpoints, kAudioClass, kStreamingSubclass, kAudioProtocol2);
}

constexpr auto kPlayback = Join(StreamInterface(kPlaybackInterface, 0, 0), StreamInterface(kPlaybackInterface, 1, 2),
                                StreamFormat(kPlaybackEntity, kReampString), EndpointDescriptor<0>(), kStreamEndpoint,
                                EndpointDescriptor<1>());
constexpr auto kCapture = Join(StreamInterface(kCaptureInterface, 0, 0), StreamInterface(kCaptureInterface, 1, 1),
                               StreamFormat(kCaptureEntity, kGuitarString), EndpointDescriptor<2>(), kStreamEndpoint);

// CDC 1.2, 5.2.3; PSTN 1.2, 5.3: header, call management (none), line coding and state, union
constexpr auto kSerial =
    Join(InterfaceDescriptor(kSerialControlInterface, 0, 1, kCommunicationClass, kAbstractModelSubclass, 0,
                             kHostProtocolString),
         Descriptor(kClassInterface, U8(0), U16(0x0120)),
         Descriptor(kClassInterface, U8(1), U8(0), U8(kSerialDataInterface)), Descriptor(kClassInterface, U8(2), U8(2)),
         Descriptor(kClassInterface, U8(6), U8(kSerialControlInterface), U8(kSerialDataInterface)),
         EndpointDescriptor<3>(), InterfaceDescriptor(kSerialDataInterface, 0, 2, kDataClass, 0, 0),
         EndpointDescriptor<4>(), EndpointDescriptor<5>());

constexpr auto kFunctions =
    Join(Association(kAudioControlInterface, 3, kAudioClass, 0, kAudioProtocol2, kProductString), kAudioControl,
         kPlayback, kCapture,
         Association(kSerialControlInterface, 2, kCommunicationClass, kAbstractModelSubclass, 0, kHostProtocolString),
         kSerial);

constexpr size_t kConfigurationHeaderBytes = 9;
constexpr auto kConfigurationBytes = Join(Descriptor(kConfiguration, U16(kConfigurationHeaderBytes + kFunctions.size()),
                                                     U8(kUsbInterfaceCount), U8(1), U8(0), U8(0x80), kMilliamperes),
                                          kFunctions);

// Class, subclass and protocol say that there are interface associations.
constexpr auto kDeviceBytes =
    Descriptor(kDevice, U16(0x0200), U8(0xEF), U8(2), U8(1), U8(kControlPacketBytes), kVendor, kProduct, kDeviceRelease,
               U8(kManufacturerString), U8(kProductString), U8(kSerialNumberString), U8(1));

}  // namespace

UsbDescriptor DeviceDescriptor() { return {kDeviceBytes.data(), kDeviceBytes.size()}; }
UsbDescriptor ConfigurationDescriptor() { return {kConfigurationBytes.data(), kConfigurationBytes.size()}; }

size_t StringDescriptor(uint8_t index, const char* serial_number, uint8_t* buffer) {
  size_t size = 2;
  if (index == kLanguageString) {
    buffer[size++] = 0x09;  // English (United States)
    buffer[size++] = 0x04;
  } else {
    if (index >= kUsbStringCount) return 0;
    const char* text = index == kSerialNumberString ? serial_number : kStrings[index];
    for (; *text != '\0' && size < kStringRoom; ++text) {
      buffer[size++] = static_cast<uint8_t>(*text);
      buffer[size++] = 0;
    }
  }
  buffer[0] = static_cast<uint8_t>(size);
  buffer[1] = kString;
  return size;
}

}  // namespace oddity
