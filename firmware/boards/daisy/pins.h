// Made by `python -m hardware.carrier` from hardware/carrier.toml. Do not edit.
#pragma once

#include <cstdint>

#include "boards/daisy/pin.h"

namespace oddity {

struct KnobPin {
  Pin pin;
  int adc_channel;  // of ADC1, positive input
};

// The carrier. Knobs turn from analogue ground to 3.3 V; footswitches close to ground; LEDs light when high.
constexpr KnobPin kKnobPins[6] = {
    {{'A', 3}, 15},  // D16: input
    {{'B', 1}, 5},   // D17: drive, or the model's knob 1
    {{'A', 7}, 7},   // D18: morph, or the model's knob 2
    {{'A', 6}, 3},   // D19: tone
    {{'C', 1}, 11},  // D20: gate
    {{'C', 4}, 4},   // D21: level
};
constexpr Pin kFootswitchPins[2] = {
    {'A', 0},   // D25: bypass
    {'D', 11},  // D26: next model
};
constexpr Pin kLedPins[2] = {
    {'A', 5},  // D22: on, dark in bypass
    {'A', 4},  // D23: clip and overload
};
constexpr Pin kSerialTransmitPin = {'B', 6};  // D13: to the host, 1,000,000 baud
constexpr Pin kSerialReceivePin = {'B', 7};   // D14: from the host
constexpr uint32_t kSerialFunction = 7;

// The Seed.
constexpr Pin kSeedLedPin = {'C', 7};  // the Seed's LED

constexpr Pin kSaiMasterClockPin = {'E', 2};  // SAI1_MCLK_A, 12.288 MHz to the codec
constexpr Pin kSaiFramePin = {'E', 4};        // SAI1_FS_A, 48 kHz
constexpr Pin kSaiBitClockPin = {'E', 5};     // SAI1_SCK_A, 3.072 MHz
constexpr Pin kSaiDataAPin = {'E', 6};        // SAI1_SD_A: to the codec; rev 5: from it
constexpr Pin kSaiDataBPin = {'E', 3};        // SAI1_SD_B: from the codec; rev 5: to it
constexpr uint32_t kSaiFunction = 6;

constexpr Pin kCodecControlPin = {'B', 11};  // AK4556: reset; PCM3060: de-emphasis; WM8731: I2C2_SDA
constexpr Pin kCodecClockPin = {'H', 4};     // WM8731: I2C2_SCL
constexpr uint32_t kCodecI2cFunction = 4;
constexpr Pin kSeed1_1Pin = {'D', 3};   // low on a Seed 1.1 (rev 5)
constexpr Pin kSeed2DfmPin = {'D', 4};  // low on a Seed 2 DFM

struct QspiPin {
  Pin pin;
  uint32_t function;
};
constexpr QspiPin kQspiPins[6] = {
    {{'F', 8}, 10},  // QUADSPI_BK1_IO0
    {{'F', 9}, 10},  // QUADSPI_BK1_IO1
    {{'F', 7}, 9},   // QUADSPI_BK1_IO2
    {{'F', 6}, 9},   // QUADSPI_BK1_IO3
    {{'F', 10}, 9},  // QUADSPI_CLK
    {{'G', 6}, 10},  // QUADSPI_BK1_NCS
};

}  // namespace oddity
