#include "boards/daisy/codec.h"

#include "boards/daisy/cycle_counter.h"
#include "boards/daisy/i2c.h"
#include "boards/daisy/pins.h"

namespace oddity {
namespace {

// All its settings are pins. Power-down for at least 150 ns starts it afresh.
void InitAk4556() {
  kCodecControlPin.InitOutput(false);
  DelayMicroseconds(1000);
  kCodecControlPin.Write(true);
}

// All its settings are pins.
void InitPcm3060() { kCodecControlPin.InitOutput(false); }  // no de-emphasis

bool InitWm8731() {
  constexpr uint8_t kAddress = 0x1A;
  constexpr struct {
    uint8_t number;
    uint16_t value;  // 9 bits
  } kRegisters[] = {
      {0x0F, 0x00},  // reset
      {0x00, 0x17},  // left line input: 0 dB, not muted
      {0x01, 0x17},  // right line input
      {0x02, 0x00},  // left headphone: muted
      {0x03, 0x00},  // right headphone
      {0x04, 0x12},  // analogue path: DAC to output, microphone muted, line input to ADC
      {0x05, 0x00},  // digital path: high-pass on, no de-emphasis, not muted
      {0x06, 0x62},  // power down: microphone, crystal oscillator, clock output
      {0x07, 0x09},  // format: slave, 24 bits, left-justified
      {0x08, 0x00},  // sampling: normal mode, 256 clocks a frame, 48 kHz
      {0x09, 0x01},  // active
  };
  I2c i2c;
  i2c.Init();
  for (const auto& [number, value] : kRegisters) {
    const uint8_t bytes[2] = {static_cast<uint8_t>(number << 1 | value >> 8), static_cast<uint8_t>(value)};
    if (!i2c.Write(kAddress, bytes, sizeof bytes)) return false;
  }
  return true;
}

}  // namespace

BoardRevision FindBoardRevision() {
  kSeed1_1Pin.InitInput(Pull::kUp);
  kSeed2DfmPin.InitInput(Pull::kUp);
  DelayMicroseconds(20);  // the pull-ups are weak
  if (!kSeed1_1Pin.Read()) return BoardRevision::kSeed1_1;
  return kSeed2DfmPin.Read() ? BoardRevision::kSeed : BoardRevision::kSeed2Dfm;
}

bool InitCodec(BoardRevision revision) {
  switch (revision) {
    case BoardRevision::kSeed1_1:
      return InitWm8731();
    case BoardRevision::kSeed2Dfm:
      InitPcm3060();
      return true;
    default:
      InitAk4556();
      return true;
  }
}

}  // namespace oddity
