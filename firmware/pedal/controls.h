// Knobs and footswitches as they are read every few milliseconds, and what a player means by them.
#pragma once

#include <cstdint>

namespace oddity {

constexpr int kPotCount = 6;
constexpr int kFootswitchCount = 2;
constexpr int kLedCount = 2;

struct ControlReadings {
  uint16_t pots[kPotCount];  // 0..65535
  bool pressed[kFootswitchCount];
};

// A potentiometer: noise is smoothed out and small changes are ignored, both ends and the middle are easily met.
class Pot {
 public:
  void Init(uint16_t reading) {
    smooth_ = reading << kSmoothing;
    settled_ = -kHysteresis - 1;
    Read(reading);
    caught_ = settled_;
  }

  // True when the knob was turned.
  bool Read(uint16_t reading) {
    smooth_ += reading - (smooth_ >> kSmoothing);
    const int32_t now = smooth_ >> kSmoothing;
    const int32_t change = now > settled_ ? now - settled_ : settled_ - now;
    if (change <= kHysteresis) return false;
    settled_ = now;
    return true;
  }

  // The host has set what this knob sets: until it is turned again, that counts.
  void LetGo() {
    caught_ = settled_;
    free_ = true;
  }
  void Catch() { free_ = false; }

  // Whether the knob counts.
  bool Holds() {
    const int32_t way = settled_ > caught_ ? settled_ - caught_ : caught_ - settled_;
    if (way > kCatchDistance) free_ = false;
    return !free_;
  }

  int32_t position_q31() const {
    const int32_t from_middle = settled_ - kMiddle;
    if (from_middle >= -kMargin && from_middle <= kMargin) return 1 << 30;
    const int32_t way = from_middle < 0 ? -from_middle : from_middle;
    constexpr int32_t kWay = kMiddle - 2 * kMargin;
    const int32_t of_half = way - kMargin < kWay ? way - kMargin : kWay;
    const int64_t half_q30 = (int64_t{of_half} << 30) / kWay;
    return static_cast<int32_t>(from_middle < 0 ? (1 << 30) - half_q30
                                                : (int64_t{1} << 30) + half_q30 - (of_half == kWay));
  }

 private:
  static constexpr int kSmoothing = 4;        // 16 ms
  static constexpr int32_t kHysteresis = 48;  // 0.07 % of the way: less than the ear notices, more than the noise
  static constexpr int32_t kMiddle = 1 << 15;
  static constexpr int32_t kMargin = 655;          // 1 %
  static constexpr int32_t kCatchDistance = 1311;  // 2 %

  int32_t smooth_;   // reading << kSmoothing
  int32_t settled_;  // reading
  int32_t caught_;
  bool free_ = false;
};

// A momentary footswitch, whose contacts bounce.
class Footswitch {
 public:
  void Init() {
    pressed_ = changing_ = false;
    steady_ms_ = held_ms_ = 0;
  }

  // After `ms` since the last time. True when it was just pressed.
  bool Read(bool pressed, int ms) {
    if (pressed_ && held_ms_ < kLongestMs) held_ms_ += ms;
    steady_ms_ = changing_ ? steady_ms_ + ms : 0;
    changing_ = pressed != pressed_;
    if (!changing_ || steady_ms_ < kSteadyMs) return false;
    changing_ = false;
    held_ms_ = 0;
    pressed_ = pressed;
    return pressed;
  }

  int held_ms() const { return pressed_ ? held_ms_ : 0; }

 private:
  static constexpr int kSteadyMs = 5;
  static constexpr int kLongestMs = 1 << 20;

  bool pressed_, changing_;
  int steady_ms_, held_ms_;
};

}  // namespace oddity
