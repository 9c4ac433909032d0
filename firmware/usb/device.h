// The pedal as a USB device: control transfers (USB 2.0, chapter 9) and what they open and close.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "usb/audio.h"
#include "usb/controller.h"
#include "usb/descriptors.h"
#include "usb/serial.h"

namespace oddity {

class UsbDevice final : public UsbEvents {
 public:
  // `position`: frames that the codec has played by now, which wraps; it is called from events. `serial_number`: ASCII
  // that stays there, at most 30 are told. The controller is to be connected afterwards.
  void Init(UsbController* controller, uint32_t (*position)(), const char* serial_number);

  // The host has left, gone to sleep or begun anew, and the main loop has not yet taken it in.
  bool host_lost() const { return host_lost_; }
  void TakeHostLost() {
    host_lost_ = false;
    serial.DropReceived();
  }

  UsbAudio audio;
  UsbSerial serial;

  void OnReset() override;
  void OnSuspend() override;
  void OnResume() override {}
  void OnStartOfFrame() override;
  void OnSetup(const UsbSetup& setup) override;
  void OnSent(uint8_t endpoint) override;
  void OnReceived(uint8_t endpoint, size_t size) override;

 private:
  static constexpr int kRefused = -1;

  int Answer(const UsbSetup& setup);  // to be read: its size, or refused
  bool Act(const UsbSetup& setup);    // on what was written
  int AnswerStandard(const UsbSetup& setup);
  int GetDescriptor(const UsbSetup& setup);
  bool ActStandard(const UsbSetup& setup);
  bool SetHalt(const UsbSetup& setup, bool halted);
  void SendNext();
  void Refuse();
  void LoseHost();

  bool IsOpen(uint8_t endpoint) const;
  void SetConfiguration(uint8_t configuration);
  void SetAlternate(uint8_t interface, uint8_t alternate);

  UsbController* controller_;
  const char* serial_number_;
  std::atomic<bool> host_lost_;
  uint8_t configuration_;
  uint8_t alternates_[kUsbInterfaceCount];
  uint32_t halted_;  // endpoints of kEndpoints, a bit each

  UsbSetup setup_;
  bool takes_data_;      // of a control write
  const uint8_t* data_;  // what is left of a control read
  size_t left_;
  bool ends_short_;  // with a packet that is not full
  uint8_t buffer_[kControlPacketBytes];
};

}  // namespace oddity
