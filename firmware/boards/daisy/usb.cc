#include "boards/daisy/usb.h"

#include <algorithm>
#include <cstring>

#include "boards/daisy/cycle_counter.h"
#include "boards/daisy/interrupts.h"
#include "boards/daisy/pin.h"
#include "boards/daisy/registers.h"
#include "usb/descriptors.h"

// What is quoted are headings of RM0433's chapter 57.
namespace oddity {
namespace {

constexpr Pin kMinusPin = {'A', 11}, kPlusPin = {'A', 12};
constexpr uint32_t kFunction = 10;

// The FIFOs, in words of 4 bytes. That to receive holds some packets with their status, SETUP packets, and what tells
// of an endpoint's end ("FIFO RAM allocation"); none to send has less than 16 words.
constexpr uint32_t Words(size_t bytes) { return (bytes + 3) / 4; }
constexpr size_t kLargestPacketBytes = kMaxPacketFrames * kUsbFrameBytes;
constexpr uint32_t kOutEndpoints = 3;
constexpr uint32_t kReceiveFifoWords = (5 * 1 + 8) + 4 * (Words(kLargestPacketBytes) + 1) + 2 * kOutEndpoints + 1;
constexpr uint32_t kSendFifoWords[Usb::kEndpointNumbers] = {
    2 * Words(kControlPacketBytes),  // 0, control
    16,                              // 1, feedback
    2 * Words(kLargestPacketBytes),  // 2, audio
    16,                              // 3, notifications
    2 * Words(64),                   // 4, serial
};
constexpr uint32_t SendFifoStart(int number) {
  return number == 0 ? kReceiveFifoWords : SendFifoStart(number - 1) + kSendFifoWords[number - 1];
}
constexpr uint32_t kFifoRamWords = 1024;
static_assert(SendFifoStart(Usb::kEndpointNumbers) <= kFifoRamWords);

constexpr int NumberOf(uint8_t endpoint) { return endpoint & ~kUsbIn; }
constexpr bool PacketsFit() {
  for (const UsbEndpoint& endpoint : kEndpoints) {
    const bool in = endpoint.address & kUsbIn;
    if (endpoint.max_packet_bytes > (in ? 4 * kSendFifoWords[NumberOf(endpoint.address)] : kLargestPacketBytes))
      return false;
  }
  return true;
}
static_assert(PacketsFit());
constexpr uint32_t kAllSendFifos = 16;

constexpr uint32_t kInterruptsCleared = OTG_GINTSTS_SOF | OTG_GINTSTS_USBSUSP | OTG_GINTSTS_USBRST |
                                        OTG_GINTSTS_IISOIXFR | OTG_GINTSTS_INCOMPISOOUT | OTG_GINTSTS_WKUPINT;
constexpr uint32_t kInterruptsUsed = kInterruptsCleared | OTG_GINTSTS_RXFLVL | OTG_GINTSTS_IEPINT | OTG_GINTSTS_OEPINT;

constexpr uint32_t kSupplyTimeoutUs = 1000;
constexpr uint32_t kModeTimeoutUs = 50'000;  // the forced mode comes within 25 ms
constexpr uint32_t kCoreTimeoutUs = 100;     // all else takes some clocks of the PHY
constexpr uint32_t kDetachUs = 10'000;       // a hub's debouncing and polling

Usb* connected = nullptr;  // whose interrupt it is

template <typename Condition>
bool WaitCore(Condition condition) {
  return WaitMicroseconds(kCoreTimeoutUs, condition);
}

// EPENA and EPDIS read as what goes on, and are not to be written back.
void WriteControl(Register& control, uint32_t set, uint32_t clear = 0) {
  control = (control & ~(OTG_EPCTL_EPENA | OTG_EPCTL_EPDIS | clear)) | set;
}

bool IsIsochronous(uint32_t control) {
  return (control & OTG_EPCTL_EPTYP) == static_cast<uint32_t>(EndpointType::kIsochronous) << OTG_EPCTL_EPTYP_POSITION;
}

// An isochronous packet goes in frames of one parity.
bool FrameIsOdd() { return OTG_FS->DSTS & Bit(OTG_DSTS_FNSOF); }
uint32_t NextFrame() { return FrameIsOdd() ? OTG_EPCTL_SD0PID_SEVNFRM : OTG_EPCTL_SODDFRM; }
bool MissedItsFrame(uint32_t control) {
  return control & OTG_EPCTL_EPENA && IsIsochronous(control) && bool(control & OTG_EPCTL_EONUM) == FrameIsOdd();
}

void Flush(uint32_t command) {
  WaitCore([] { return OTG_FS->GRSTCTL & OTG_GRSTCTL_AHBIDL; });
  OTG_FS->GRSTCTL = command;
  WaitCore([] { return !(OTG_FS->GRSTCTL & (OTG_GRSTCTL_RXFFLSH | OTG_GRSTCTL_TXFFLSH)); });
}
void FlushSendFifo(uint32_t number) { Flush(OTG_GRSTCTL_TXFFLSH | number << OTG_GRSTCTL_TXFNUM); }

// "IN endpoint disable". XFRC stays when the packet has just gone.
void StopIn(int number) {
  OtgInEndpointRegisters& endpoint = OTG_FS->in[number];
  if (endpoint.DIEPCTL & OTG_EPCTL_EPENA) {
    WriteControl(endpoint.DIEPCTL, OTG_EPCTL_SNAK);
    WaitCore([&] { return endpoint.DIEPINT & OTG_DIEPINT_INEPNE; });
    WriteControl(endpoint.DIEPCTL, OTG_EPCTL_SNAK | OTG_EPCTL_EPDIS);
    WaitCore([&] { return endpoint.DIEPINT & OTG_EPINT_EPDISD; });
    endpoint.DIEPINT = OTG_EPINT_EPDISD;
  }
  FlushSendFifo(number);
}

// All words of a packet are read, wanted or not.
void ReadPacket(size_t bytes, void* to, size_t room) {
  for (size_t at = 0; at < bytes; at += 4) {
    const uint32_t word = OTG_FS->fifo[0].word;
    if (at < room) std::memcpy(static_cast<uint8_t*>(to) + at, &word, std::min({room - at, bytes - at, sizeof word}));
  }
}

// "Core initialization", with the controller's clock and supply before.
bool StartCore() {
  SetBits(PWR->CR3, PWR_CR3_USB33DEN);
  if (!WaitMicroseconds(kSupplyTimeoutUs, [] { return PWR->CR3 & PWR_CR3_USB33RDY; })) return false;
  kMinusPin.InitAlternate(kFunction, Slew::kVeryHigh);
  kPlusPin.InitAlternate(kFunction, Slew::kVeryHigh);
  EnableClock(RCC->AHB1ENR, RCC_AHB1ENR_USB2OTGEN);
  ClearBits(RCC->AHB1LPENR, RCC_AHB1LPENR_USB2OTGULPILPEN);  // else the core sleeping stops the internal PHY

  OTG_FS->GAHBCFG = 0;
  SetBits(OTG_FS->GUSBCFG, OTG_GUSBCFG_PHYSEL);
  if (!WaitCore([] { return OTG_FS->GRSTCTL & OTG_GRSTCTL_AHBIDL; })) return false;
  OTG_FS->GRSTCTL = OTG_GRSTCTL_CSRST;
  if (!WaitCore([] { return !(OTG_FS->GRSTCTL & OTG_GRSTCTL_CSRST); })) return false;
  if (!WaitCore([] { return OTG_FS->GRSTCTL & OTG_GRSTCTL_AHBIDL; })) return false;
  OTG_FS->GCCFG = OTG_GCCFG_PWRDWN;  // and VBUS is not sensed
  SetField(OTG_FS->GUSBCFG, OTG_GUSBCFG_TRDT, OTG_GUSBCFG_TRDT_ABOVE_32_MHZ | OTG_GUSBCFG_FDMOD);
  return WaitMicroseconds(kModeTimeoutUs, [] { return !(OTG_FS->GINTSTS & OTG_GINTSTS_CMOD); });
}

void InitDevice() {
  SetBits(OTG_FS->DCTL, OTG_DCTL_SDIS);
  SetBits(OTG_FS->GOTGCTL, OTG_GOTGCTL_BVALOEN | OTG_GOTGCTL_BVALOVAL);
  OTG_FS->PCGCCTL = 0;
  OTG_FS->DCFG = OTG_DCFG_DSPD_FULL;
  OTG_FS->GRXFSIZ = kReceiveFifoWords;
  for (int number = 0; number < Usb::kEndpointNumbers; ++number) {
    Register& place = number == 0 ? OTG_FS->DIEPTXF0 : OTG_FS->DIEPTXF[number - 1];
    place = SendFifoStart(number) | kSendFifoWords[number] << OTG_DIEPTXF_INEPTXFD;
  }
  FlushSendFifo(kAllSendFifos);
  Flush(OTG_GRSTCTL_RXFFLSH);
  OTG_FS->DIEPMSK = OTG_DIEPMSK_XFRCM;
  OTG_FS->DOEPMSK = OTG_DOEPMSK_XFRCM | OTG_DOEPMSK_STUPM;
  OTG_FS->DAINTMSK = 0;
  OTG_FS->GINTSTS = kInterruptsCleared;
  OTG_FS->GINTMSK = kInterruptsUsed;
  OTG_FS->GAHBCFG = OTG_GAHBCFG_GINTMSK;
}

}  // namespace

void Usb::Connect(UsbEvents* events) {
  events_ = events;
  if (!StartCore()) return;
  InitDevice();
  connected = this;
  EnableInterrupt(kUsbInterrupt, kUsbPriority);
  ClearBits(OTG_FS->DCTL, OTG_DCTL_SDIS);
}

void Usb::Disconnect() {
  if (connected != this) return;
  DisableInterrupt(kUsbInterrupt);
  SetBits(OTG_FS->DCTL, OTG_DCTL_SDIS);
  DelayMicroseconds(kDetachUs);
}

void Usb::SetAddress(uint8_t address) { SetField(OTG_FS->DCFG, OTG_DCFG_DAD, address << OTG_DCFG_DAD_POSITION); }

void Usb::Open(uint8_t endpoint, EndpointType type, size_t max_packet_bytes) {
  Close(endpoint);
  const int number = NumberOf(endpoint);
  uint32_t control =
      max_packet_bytes | OTG_EPCTL_USBAEP | OTG_EPCTL_SNAK | static_cast<uint32_t>(type) << OTG_EPCTL_EPTYP_POSITION;
  if (type != EndpointType::kIsochronous) control |= OTG_EPCTL_SD0PID_SEVNFRM;
  if (endpoint & kUsbIn) {
    OTG_FS->in[number].DIEPCTL = control | number << OTG_DIEPCTL_TXFNUM;
    SetBits(OTG_FS->DAINTMSK, Bit(number));
  } else {
    OTG_FS->out[number].DOEPCTL = control;
    SetBits(OTG_FS->DAINTMSK, Bit(OTG_DAINT_OUT + number));
  }
}

void Usb::Close(uint8_t endpoint) {
  const int number = NumberOf(endpoint);
  if (endpoint & kUsbIn) {
    StopIn(number);
    ClearBits(OTG_FS->DAINTMSK, Bit(number));
    OTG_FS->in[number].DIEPCTL = 0;
    OTG_FS->in[number].DIEPINT = OTG_EPINT_XFRC;
    to_host_[number] = {};
  } else {
    StopOut(number, OTG_EPCTL_SNAK);
    ClearBits(OTG_FS->DAINTMSK, Bit(OTG_DAINT_OUT + number));
    OTG_FS->out[number].DOEPCTL = 0;
    OTG_FS->out[number].DOEPINT = OTG_EPINT_XFRC;
    from_host_[number] = {};
  }
}

void Usb::Send(uint8_t endpoint, const void* data, size_t size) {
  const int number = NumberOf(endpoint);
  to_host_[number] = {static_cast<const uint8_t*>(data), size, true};
  if (!(OTG_FS->in[number].DIEPCTL & OTG_EPCTL_STALL)) StartIn(number);
}

void Usb::Receive(uint8_t endpoint, void* data, size_t room) {
  const int number = NumberOf(endpoint);
  from_host_[number] = {static_cast<uint8_t*>(data), room, 0, true, false};
  if (!(OTG_FS->out[number].DOEPCTL & OTG_EPCTL_STALL)) StartOut(number);
}

// What is queued is taken back from the core ("Stalling non-isochronous endpoints"), and given again when it
// clears. The core itself ends endpoint 0's at a SETUP packet.
void Usb::Stall(uint8_t endpoint) {
  const int number = NumberOf(endpoint);
  if (number == 0) {
    WriteControl(OTG_FS->in[0].DIEPCTL, OTG_EPCTL_STALL);
    WriteControl(OTG_FS->out[0].DOEPCTL, OTG_EPCTL_STALL);
  } else if (endpoint & kUsbIn) {
    WriteControl(OTG_FS->in[number].DIEPCTL, OTG_EPCTL_STALL);
    StopIn(number);
  } else {
    StopOut(number, OTG_EPCTL_STALL);
    WriteControl(OTG_FS->out[number].DOEPCTL, OTG_EPCTL_STALL);
  }
}

void Usb::ClearStall(uint8_t endpoint) {
  const int number = NumberOf(endpoint);
  if (number == 0) return;
  const bool in = endpoint & kUsbIn;
  Register& control = in ? OTG_FS->in[number].DIEPCTL : OTG_FS->out[number].DOEPCTL;
  const uint32_t before = control;
  if (IsIsochronous(before)) return;  // it has neither
  WriteControl(control, OTG_EPCTL_SD0PID_SEVNFRM, OTG_EPCTL_STALL);
  if (!(before & OTG_EPCTL_STALL)) return;
  if (in && to_host_[number].queued) StartIn(number);
  if (!in && from_host_[number].queued) StartOut(number);
}

// No other of the core's registers may be touched between the words of a packet (an erratum of the core on STM32s): all
// is done from the one interrupt.
void Usb::StartIn(int number) {
  const ToHost& packet = to_host_[number];
  OtgInEndpointRegisters& endpoint = OTG_FS->in[number];
  const bool isochronous = IsIsochronous(endpoint.DIEPCTL);
  endpoint.DIEPTSIZ = packet.size | 1 << OTG_EPTSIZ_PKTCNT | (isochronous ? 1 << OTG_DIEPTSIZ_MCNT : 0);
  WriteControl(endpoint.DIEPCTL, OTG_EPCTL_CNAK | OTG_EPCTL_EPENA | (isochronous ? NextFrame() : 0));
  for (size_t at = 0; at < packet.size; at += 4) {
    uint32_t word = 0;
    std::memcpy(&word, packet.data + at, std::min(packet.size - at, sizeof word));
    OTG_FS->fifo[number].word = word;
  }
}

void Usb::StartOut(int number) {
  OtgOutEndpointRegisters& endpoint = OTG_FS->out[number];
  const uint32_t control = endpoint.DOEPCTL;
  if (number == 0) {
    endpoint.DOEPTSIZ = 3u << OTG_DOEPTSIZ_STUPCNT | 1 << OTG_EPTSIZ_PKTCNT | kControlPacketBytes;
  } else {
    endpoint.DOEPTSIZ = 1 << OTG_EPTSIZ_PKTCNT | 4 * Words(control & OTG_EPCTL_MPSIZ);
  }
  WriteControl(endpoint.DOEPCTL, OTG_EPCTL_CNAK | OTG_EPCTL_EPENA | (IsIsochronous(control) ? NextFrame() : 0));
}

// "Disabling an OUT endpoint": only while none of them takes anything. `how` is SNAK or STALL.
void Usb::StopOut(int number, uint32_t how) {
  OtgOutEndpointRegisters& endpoint = OTG_FS->out[number];
  if (!(endpoint.DOEPCTL & OTG_EPCTL_EPENA)) return;
  SetBits(OTG_FS->DCTL, OTG_DCTL_SGONAK);
  WaitCore([this] {
    EmptyReceiveFifo();  // at its end is what makes the global NAK effective
    return OTG_FS->GINTSTS & OTG_GINTSTS_GONAKEFF;
  });
  if (endpoint.DOEPCTL & OTG_EPCTL_EPENA) {  // no packet has come meanwhile
    WriteControl(endpoint.DOEPCTL, how | OTG_EPCTL_EPDIS);
    WaitCore([&] { return endpoint.DOEPINT & OTG_EPINT_EPDISD; });
    endpoint.DOEPINT = OTG_EPINT_EPDISD;
  }
  SetBits(OTG_FS->DCTL, OTG_DCTL_CGONAK);
}

void Usb::EmptyReceiveFifo() {
  while (OTG_FS->GINTSTS & OTG_GINTSTS_RXFLVL) {
    const uint32_t status = OTG_FS->GRXSTSP;
    const size_t bytes = status >> OTG_GRXSTSP_BCNT & 0x7FF;
    FromHost& packet = from_host_[std::min<uint32_t>(status & 15, kEndpointNumbers - 1)];
    switch (status >> OTG_GRXSTSP_PKTSTS & 15) {
      case OTG_PKTSTS_OUT_DATA:
        ReadPacket(bytes, packet.data, packet.queued ? packet.room : 0);
        packet.size = std::min(bytes, packet.room);
        break;
      case OTG_PKTSTS_OUT_COMPLETED:
        packet.completed = packet.queued;
        break;
      case OTG_PKTSTS_SETUP_DATA:  // of several in a row the last one holds
        ReadPacket(bytes, setup_, sizeof setup_);
        SetBits(OTG_FS->out[0].DOEPTSIZ, 3u << OTG_DOEPTSIZ_STUPCNT);
        setup_completed_ = false;
        break;
      case OTG_PKTSTS_SETUP_COMPLETED:
        setup_completed_ = true;
        break;
    }
  }
}

void Usb::HandleReset() {
  for (int number = 1; number < kEndpointNumbers; ++number) {
    Close(number);
    Close(kUsbIn | number);
  }
  StopIn(0);
  WriteControl(OTG_FS->out[0].DOEPCTL, OTG_EPCTL_SNAK);
  Flush(OTG_GRSTCTL_RXFFLSH);
  to_host_[0] = {};
  from_host_[0] = {};
  setup_completed_ = false;
  SetAddress(0);
  SetBits(OTG_FS->out[0].DOEPTSIZ, 3u << OTG_DOEPTSIZ_STUPCNT);
  OTG_FS->in[0].DIEPINT = OTG_EPINT_XFRC;
  OTG_FS->out[0].DOEPINT = OTG_EPINT_XFRC | OTG_DOEPINT_STUP;
  OTG_FS->DAINTMSK = Bit(0) | Bit(OTG_DAINT_OUT);
  events_->OnReset();
}

void Usb::HandleSetup() {
  if (!setup_completed_) return;  // another is coming in
  setup_completed_ = false;
  StopIn(0);
  OTG_FS->in[0].DIEPINT = OTG_EPINT_XFRC;
  to_host_[0] = {};
  from_host_[0] = {};
  const UsbSetup setup = {static_cast<uint8_t>(setup_[0]), static_cast<uint8_t>(setup_[0] >> 8),
                          static_cast<uint16_t>(setup_[0] >> 16), static_cast<uint16_t>(setup_[1]),
                          static_cast<uint16_t>(setup_[1] >> 16)};
  events_->OnSetup(setup);
}

void Usb::HandleIn(int number) {
  if (!(OTG_FS->in[number].DIEPINT & OTG_EPINT_XFRC)) return;
  OTG_FS->in[number].DIEPINT = OTG_EPINT_XFRC;
  if (!to_host_[number].queued || (number == 0 && setup_completed_)) return;  // of a request that is over
  to_host_[number].queued = false;
  events_->OnSent(kUsbIn | number);
}

// Of endpoint 0 XFRC may come with a SETUP packet too; the receive FIFO tells them apart.
void Usb::HandleOut(int number) {
  const uint32_t flags = OTG_FS->out[number].DOEPINT & (OTG_EPINT_XFRC | OTG_DOEPINT_STUP);
  OTG_FS->out[number].DOEPINT = flags;
  FromHost& packet = from_host_[number];
  if (flags & OTG_EPINT_XFRC && packet.completed) {
    packet.queued = packet.completed = false;
    events_->OnReceived(number, packet.size);
  }
  if (flags & OTG_DOEPINT_STUP) HandleSetup();
}

// "Incomplete isochronous IN data transfers", but that the packet is not given up.
void Usb::RepeatIncompleteIn() {
  for (int number = 1; number < kEndpointNumbers; ++number) {
    if (!MissedItsFrame(OTG_FS->in[number].DIEPCTL)) continue;
    StopIn(number);
    if (!(OTG_FS->in[number].DIEPINT & OTG_EPINT_XFRC)) StartIn(number);
  }
}

void Usb::HandleInterrupt() {
  const uint32_t flags = OTG_FS->GINTSTS & kInterruptsUsed;
  OTG_FS->GINTSTS = flags & kInterruptsCleared;
  if (flags & OTG_GINTSTS_USBRST) {
    HandleReset();
    return;  // the rest was of before, or comes again
  }
  if (flags & OTG_GINTSTS_WKUPINT) events_->OnResume();
  if (flags & OTG_GINTSTS_SOF) events_->OnStartOfFrame();
  if (flags & OTG_GINTSTS_RXFLVL) EmptyReceiveFifo();
  // What was sent comes first: it may be the end of the request before the one that is received.
  const uint32_t endpoints = OTG_FS->DAINT & OTG_FS->DAINTMSK;
  for (int number = 0; number < kEndpointNumbers; ++number) {
    if (endpoints & Bit(number)) HandleIn(number);
  }
  for (int number = 0; number < kEndpointNumbers; ++number) {
    if (endpoints & Bit(OTG_DAINT_OUT + number)) HandleOut(number);
  }
  if (flags & OTG_GINTSTS_IISOIXFR) RepeatIncompleteIn();
  if (flags & OTG_GINTSTS_INCOMPISOOUT) {
    for (OtgOutEndpointRegisters& endpoint : OTG_FS->out) {
      if (MissedItsFrame(endpoint.DOEPCTL)) WriteControl(endpoint.DOEPCTL, NextFrame());
    }
  }
  if (flags & OTG_GINTSTS_USBSUSP) events_->OnSuspend();
}

const char* UsbSerialNumber() {
  static char digits[25];
  for (int i = 0; i < 24; ++i) digits[i] = "0123456789ABCDEF"[UID[i / 8] >> (28 - 4 * (i % 8)) & 15];
  return digits;
}

}  // namespace oddity

extern "C" void UsbInterruptHandler() { oddity::connected->HandleInterrupt(); }
