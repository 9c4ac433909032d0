// A pin of the chip (RM0433, chapter 11).
#pragma once

#include <cstdint>

#include "boards/daisy/registers.h"

namespace oddity {

enum class Pull : uint32_t { kNone, kUp, kDown };
enum class Drive : uint32_t { kPushPull, kOpenDrain };
enum class Slew : uint32_t { kLow, kMedium, kHigh, kVeryHigh };

struct Pin {
  char port;  // 'A' to 'K'
  int number;

  void InitInput(Pull pull) const {
    Init(pull);
    SetMode(kInput);
  }

  // The level is set before the pin drives it.
  void InitOutput(bool high) const {
    Init(Pull::kNone);
    Write(high);
    SetMode(kOutput);
  }

  void InitAnalog() const {
    Init(Pull::kNone);
    SetMode(kAnalog);
  }

  void InitAlternate(uint32_t function, Slew slew, Pull pull = Pull::kNone, Drive drive = Drive::kPushPull) const {
    Init(pull);
    SetField(gpio()->OTYPER, Bit(number), static_cast<uint32_t>(drive) << number);
    SetField(gpio()->OSPEEDR, 3u << 2 * number, static_cast<uint32_t>(slew) << 2 * number);
    const int shift = 4 * (number % 8);
    SetField(gpio()->AFR[number / 8], 15u << shift, function << shift);
    SetMode(kAlternate);
  }

  bool Read() const { return gpio()->IDR & Bit(number); }
  void Write(bool high) const { gpio()->BSRR = high ? Bit(number) : Bit(number + 16); }

 private:
  enum Mode : uint32_t { kInput, kOutput, kAlternate, kAnalog };

  GpioRegisters* gpio() const { return reinterpret_cast<GpioRegisters*>(kGpioBase + kGpioStep * (port - 'A')); }

  void Init(Pull pull) const {
    EnableClock(RCC->AHB4ENR, Bit(port - 'A'));
    SetField(gpio()->PUPDR, 3u << 2 * number, static_cast<uint32_t>(pull) << 2 * number);
  }

  void SetMode(Mode mode) const { SetField(gpio()->MODER, 3u << 2 * number, mode << 2 * number); }
};

}  // namespace oddity
