#include "boards/daisy/adc.h"

#include "boards/daisy/cycle_counter.h"
#include "boards/daisy/dma.h"
#include "boards/daisy/pins.h"
#include "boards/daisy/registers.h"

namespace oddity {
namespace {

constexpr int kKnobs = sizeof kKnobPins / sizeof kKnobPins[0];
[[gnu::section(".dma")]] volatile uint16_t values[kKnobs];

// The converter's clock: 64 MHz by 4 and, in silicon revision V, by 2 once more: 8 MHz.
constexpr uint32_t kClock = ADC_CCR_PRESC_DIV4;
constexpr uint32_t kOversampling = 64, kOversamplingLog2 = 6;

constexpr uint32_t kRegulatorStartUs = 10;
constexpr uint32_t kCalibrationTimeoutUs = 100'000;  // 165,010 clocks
constexpr uint32_t kReadyTimeoutUs = 1000;

// Sections 25.4.6 to 25.4.9. Bits that start something are set by software and cleared by the converter.
bool Start() {
  ADC1->CR = 0;  // out of deep power-down
  ADC1->CR = ADC_CR_ADVREGEN | ADC_CR_BOOST_6_TO_12_MHZ;
  DelayMicroseconds(kRegulatorStartUs);
  SetBits(ADC1->CR, ADC_CR_ADCALLIN);
  SetBits(ADC1->CR, ADC_CR_ADCAL);
  if (!WaitMicroseconds(kCalibrationTimeoutUs, [] { return !(ADC1->CR & ADC_CR_ADCAL); })) return false;
  DelayMicroseconds(1);  // ADEN may follow four of the converter's clocks after the calibration
  ADC1->ISR = ADC_ISR_ADRDY;
  SetBits(ADC1->CR, ADC_CR_ADEN);
  return WaitMicroseconds(kReadyTimeoutUs, [] { return ADC1->ISR & ADC_ISR_ADRDY; });
}

void ConfigureSequence() {
  ADC1->CFGR = ADC_CFGR_DMNGT_DMA_CIRCULAR | ADC_CFGR_RES_16_BITS | ADC_CFGR_OVRMOD | ADC_CFGR_CONT | ADC_CFGR_JQDIS;
  ADC1->CFGR2 = ADC_CFGR2_ROVSE | kOversamplingLog2 << ADC_CFGR2_OVSS | (kOversampling - 1) << ADC_CFGR2_OVSR;
  uint32_t preselected = 0, sample_times[2] = {}, sequence[2] = {kKnobs - 1, 0};
  for (int knob = 0; knob < kKnobs; ++knob) {
    const int channel = kKnobPins[knob].adc_channel;
    preselected |= Bit(channel);
    sample_times[channel / 10] |= ADC_SMPR_64_5_CYCLES << 3 * (channel % 10);
    const int place = knob + 1;  // SQR1 begins with the length; five places of 6 bits a register
    sequence[place / 5] |= channel << 6 * (place % 5);
  }
  ADC1->PCSEL = preselected;
  for (int i = 0; i < 2; ++i) {
    ADC1->SMPR[i] = sample_times[i];
    ADC1->SQR[i] = sequence[i];
  }
}

}  // namespace

bool Adc::Init() {
  for (const KnobPin& knob : kKnobPins) knob.pin.InitAnalog();
  EnableClock(RCC->AHB1ENR, RCC_AHB1ENR_ADC12EN);
  ADC12_COMMON->CCR = kClock;
  if (!Start()) return false;
  ConfigureSequence();
  kAdcDma.Start(DMAMUX_REQUEST_ADC1, DMA_CR_DIR_FROM_PERIPHERAL | DMA_CR_SIZE_16 | DMA_CR_PL_LOW, &ADC1->DR,
                const_cast<uint16_t*>(values), kKnobs);
  SetBits(ADC1->CR, ADC_CR_ADSTART);
  return true;
}

uint16_t Adc::Read(int knob) const { return values[knob]; }

}  // namespace oddity
