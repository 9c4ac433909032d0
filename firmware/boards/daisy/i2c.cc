#include "boards/daisy/i2c.h"

#include <initializer_list>

#include "boards/daisy/cycle_counter.h"
#include "boards/daisy/pins.h"
#include "boards/daisy/registers.h"

namespace oddity {
namespace {

// Section 47.4.9, from the kernel clock of 120 MHz by 16: ticks of 133 ns. SCL is low for 39 of them (5.2 us, at least
// 4.7) and high for 34 (4.5 us, at least 4.0); with synchronisation about 10 us in all. Data change 2 ticks after SCL
// falls and stand 10 before it rises (1.33 us: 1 us of rise, 250 ns of set-up).
constexpr uint32_t kTiming = (16 - 1) << 28 | (10 - 1) << 20 | 2 << 16 | (34 - 1) << 8 | (39 - 1);

constexpr uint32_t kByteTimeoutUs = 1000;

bool WaitFor(uint32_t flags) {
  return WaitMicroseconds(kByteTimeoutUs, [flags] { return I2C2->ISR & flags; });
}

// Clears what a transfer that failed left behind; three cycles of the bus must pass with PE at 0.
void Restart() {
  ClearBits(I2C2->CR1, I2C_CR1_PE);
  WaitMicroseconds(1, [] { return false; });
  SetBits(I2C2->CR1, I2C_CR1_PE);
}

}  // namespace

void I2c::Init() {
  for (const Pin& pin : {kCodecClockPin, kCodecControlPin}) {
    pin.InitAlternate(kCodecI2cFunction, Slew::kLow, Pull::kUp, Drive::kOpenDrain);
  }
  EnableClock(RCC->APB1LENR, RCC_APB1LENR_I2C2EN);
  I2C2->CR1 = 0;
  I2C2->TIMINGR = kTiming;
  I2C2->CR1 = I2C_CR1_PE;
}

bool I2c::Write(uint8_t address, const uint8_t* data, size_t size) {
  if (I2C2->ISR & I2C_ISR_BUSY) return false;
  I2C2->CR2 = uint32_t{address} << 1 | size << I2C_CR2_NBYTES | I2C_CR2_AUTOEND | I2C_CR2_START;
  bool acknowledged = true;
  for (size_t i = 0; i < size && acknowledged; ++i) {
    acknowledged = WaitFor(I2C_ISR_TXIS | I2C_ISR_NACKF) && !(I2C2->ISR & I2C_ISR_NACKF);
    if (acknowledged) I2C2->TXDR = data[i];
  }
  const bool stopped = WaitFor(I2C_ISR_STOPF);
  acknowledged = acknowledged && !(I2C2->ISR & I2C_ISR_NACKF);  // nor was the last byte refused
  I2C2->ICR = I2C_ICR_STOPCF | I2C_ICR_NACKCF;
  if (!acknowledged || !stopped) Restart();
  return acknowledged && stopped;
}

}  // namespace oddity
