// The chip's clocks (RM0433, chapters 6 and 8): core 480 MHz, AXI and AHB 240 MHz, APB 120 MHz, and
//
//   SAI1         PLL3 P, 24.576 MHz to 0.02 ppm (with the crystal): MCLK 12.288 MHz, 48,000 frames a second
//   ADC          HSI, 64 MHz
//   USB          HSI48, trimmed by the host's start-of-frame packets
//   USART1       APB2, 120 MHz
//   I2C2         APB1, 120 MHz
//   QUADSPI      AHB3, 240 MHz
//
// 480 MHz needs silicon revision V, which all Seeds have.
#pragma once

#include <cstdint>

namespace oddity {

enum class ClockSource : uint8_t { kCrystal, kInternal };

// Whatever state the chip is in, as after the ROM's bootloader, which leaves its PLLs on. With a dead crystal the PLLs
// run from HSI instead: the pedal plays (converters in and out share the clock, so pitch is true; filters are off by up
// to 1 %) and says so to its host, which is of more use on stage than a blinking light. When a PLL does not lock or the
// core's voltage does not come, nothing can play: the Seed's LED blinks for ever.
ClockSource InitClocks();

}  // namespace oddity
