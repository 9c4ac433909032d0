// What is connected where: the Daisy Seed's own wiring and that of the carrier (Terrarium, Hothouse).
#pragma once

#include "boards/daisy/pin.h"

namespace oddity {

struct KnobPin {
  Pin pin;
  int adc_channel;  // of ADC1, positive input
};

// The carrier. Knobs turn from analogue ground to 3.3 V; footswitches close to ground; LEDs light when high.
constexpr KnobPin kKnobPins[6] = {
    {{'A', 3}, 15},  // D16
    {{'B', 1}, 5},   // D17
    {{'A', 7}, 7},   // D18
    {{'A', 6}, 3},   // D19
    {{'C', 1}, 11},  // D20
    {{'C', 4}, 4},   // D21
};
constexpr Pin kFootswitchPins[2] = {{'A', 0}, {'D', 11}};  // D25, D26
constexpr Pin kLedPins[2] = {{'A', 5}, {'A', 4}};          // D22, D23
constexpr Pin kSerialTransmitPin = {'B', 6};               // D13
constexpr Pin kSerialReceivePin = {'B', 7};                // D14
constexpr uint32_t kSerialFunction = 7;                    // AF7, USART1

// The Seed
constexpr Pin kSeedLedPin = {'C', 7};

constexpr Pin kSaiMasterClockPin = {'E', 2};
constexpr Pin kSaiFramePin = {'E', 4};
constexpr Pin kSaiBitClockPin = {'E', 5};
constexpr Pin kSaiDataAPin = {'E', 6};
constexpr Pin kSaiDataBPin = {'E', 3};
constexpr uint32_t kSaiFunction = 6;  // AF6, SAI1

constexpr Pin kCodecControlPin = {'B', 11};  // AK4556: reset; PCM3060: de-emphasis; WM8731: SDA
constexpr Pin kCodecClockPin = {'H', 4};     // WM8731: SCL
constexpr uint32_t kCodecI2cFunction = 4;    // AF4, I2C2
constexpr Pin kSeed1_1Pin = {'D', 3};        // tied low on a Seed 1.1 (rev 5)
constexpr Pin kSeed2DfmPin = {'D', 4};       // tied low on a Seed 2 DFM

struct QspiPin {
  Pin pin;
  uint32_t function;
};
constexpr QspiPin kQspiPins[6] = {
    {{'F', 8}, 10},  // IO0
    {{'F', 9}, 10},  // IO1
    {{'F', 7}, 9},   // IO2
    {{'F', 6}, 9},   // IO3
    {{'F', 10}, 9},  // CLK
    {{'G', 6}, 10},  // NCS
};

}  // namespace oddity
