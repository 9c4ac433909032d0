#include "boards/daisy/clocks.h"

#include "boards/daisy/cycle_counter.h"
#include "boards/daisy/pins.h"
#include "boards/daisy/registers.h"

namespace oddity {
namespace {

constexpr uint32_t kHsiHz = 64'000'000;
constexpr uint32_t kHseHz = 16'000'000;
constexpr uint32_t kPllInputHz = 4'000'000;
constexpr uint32_t kTimeout = kHsiHz / 10;  // in cycles of the core, which runs from HSI meanwhile: 100 ms

constexpr uint32_t kPll1N = 240, kPll1P = 2;
static_assert(uint64_t{kPllInputHz} * kPll1N / kPll1P == 480'000'000);

// (104 + 3670 / 8192) / 17 times 4 MHz; SAI1 halves it and divides by 256.
constexpr uint32_t kPll3N = 104, kPll3Fraction = 3670, kPll3P = 17;
constexpr double kSampleRateHz = kPllInputHz * (kPll3N + kPll3Fraction / 8192.0) / kPll3P / 2 / 256;
static_assert(kSampleRateHz > 47'999.99 && kSampleRateHz < 48'000.01);

[[noreturn]] void BlinkForEver() {
  kSeedLedPin.InitOutput(true);
  for (bool high = true;; high = !high) {
    kSeedLedPin.Write(high);
    WaitCycles(kHsiHz / 8, [] { return false; });
  }
}

template <typename Condition>
void Require(Condition condition) {
  if (!WaitCycles(kTimeout, condition)) BlinkForEver();
}

void RunFromHsi() {
  SetBits(RCC->CR, RCC_CR_HSION);
  Require([] { return RCC->CR & RCC_CR_HSIRDY; });
  ClearBits(RCC->CFGR, RCC_CFGR_SW);
  Require([] { return (RCC->CFGR & RCC_CFGR_SWS) == 0; });
  ClearBits(RCC->CR, RCC_CR_PLL1ON | RCC_CR_PLL2ON | RCC_CR_PLL3ON);
  Require([] { return (RCC->CR & (RCC_CR_PLL1RDY | RCC_CR_PLL2RDY | RCC_CR_PLL3RDY)) == 0; });
  ClearBits(RCC->CR, RCC_CR_HSIDIV);
  Require([] { return RCC->CR & RCC_CR_HSIDIVF; });
  RCC->CIER = 0;
}

// What the ROM's bootloader may have left running.
void ResetPeripherals() {
  const struct {
    Register& reset;
    uint32_t bits;
  } used[] = {
      {RCC->AHB3RSTR, RCC_AHB3ENR_QSPIEN},
      {RCC->AHB1RSTR, RCC_AHB1ENR_DMA1EN | RCC_AHB1ENR_ADC12EN | RCC_AHB1ENR_USB2OTGEN},
      {RCC->APB1LRSTR, RCC_APB1LENR_I2C2EN},
      {RCC->APB1HRSTR, RCC_APB1HENR_CRSEN},
      {RCC->APB2RSTR, RCC_APB2ENR_USART1EN | RCC_APB2ENR_SAI1EN},
  };
  for (const auto& [reset, bits] : used) {
    SetBits(reset, bits);
    ClearBits(reset, bits);
  }
}

// LDO, then scale 1, then scale 0 as an overdrive of it (section 6.6.2 and figure 22).
void RaiseCoreVoltage() {
  // The supply is chosen once after power-up; a later write does nothing.
  SetField(PWR->CR3, PWR_CR3_SCUEN | PWR_CR3_LDOEN | PWR_CR3_BYPASS, PWR_CR3_LDOEN);
  Require([] { return PWR->CSR1 & PWR_CSR1_ACTVOSRDY; });
  EnableClock(RCC->APB4ENR, RCC_APB4ENR_SYSCFGEN);
  SetField(PWR->D3CR, PWR_D3CR_VOS, PWR_D3CR_VOS_SCALE_1);
  Require([] { return PWR->D3CR & PWR_D3CR_VOSRDY; });
  SetBits(SYSCFG->PWRCR, SYSCFG_PWRCR_ODEN);
  Require([] { return PWR->D3CR & PWR_D3CR_VOSRDY; });
}

ClockSource StartCrystal() {
  ClearBits(RCC->CR, RCC_CR_HSEBYP);
  SetBits(RCC->CR, RCC_CR_HSEON);
  if (WaitCycles(kTimeout, [] { return RCC->CR & RCC_CR_HSERDY; })) {
    // Should the crystal stop later, the clock falls back to HSI with a non-maskable interrupt: a fault, whose reset
    // brings the pedal up without the crystal.
    SetBits(RCC->CR, RCC_CR_HSECSSON);
    return ClockSource::kCrystal;
  }
  ClearBits(RCC->CR, RCC_CR_HSEON);
  return ClockSource::kInternal;
}

void StartPlls(ClockSource source) {
  const bool crystal = source == ClockSource::kCrystal;
  const uint32_t divider = (crystal ? kHseHz : kHsiHz) / kPllInputHz;
  RCC->PLLCKSELR = (crystal ? RCC_PLLCKSELR_PLLSRC_HSE : RCC_PLLCKSELR_PLLSRC_HSI) | divider << RCC_PLLCKSELR_DIVM1 |
                   divider << RCC_PLLCKSELR_DIVM3;
  const uint32_t configuration =
      RCC_PLLCFGR_PLL1RGE_4_TO_8_MHZ | RCC_PLLCFGR_PLL3RGE_4_TO_8_MHZ | RCC_PLLCFGR_DIVP1EN | RCC_PLLCFGR_DIVP3EN;
  RCC->PLLCFGR = configuration;
  RCC->PLL1DIVR = (kPll1N - 1) | (kPll1P - 1) << RCC_PLLDIVR_DIVP;
  RCC->PLL3DIVR = (kPll3N - 1) | (kPll3P - 1) << RCC_PLLDIVR_DIVP;
  RCC->PLL3FRACR = kPll3Fraction << RCC_PLLFRACR_FRACN;
  RCC->PLLCFGR = configuration | RCC_PLLCFGR_PLL3FRACEN;  // its rise latches the fraction
  SetBits(RCC->CR, RCC_CR_PLL1ON | RCC_CR_PLL3ON);
  Require([] { return RCC->CR & RCC_CR_PLL1RDY; });
  Require([] { return RCC->CR & RCC_CR_PLL3RDY; });
}

// Dividers and wait states first, which hold for the slow clock too.
void RunFromPll1() {
  RCC->D1CFGR = RCC_D1CFGR_HPRE_DIV2 | RCC_D1CFGR_D1PPRE_DIV2;
  RCC->D2CFGR = RCC_D2CFGR_D2PPRE1_DIV2 | RCC_D2CFGR_D2PPRE2_DIV2;
  RCC->D3CFGR = RCC_D3CFGR_D3PPRE_DIV2;
  FLASH->ACR = FLASH_ACR_LATENCY_4 | FLASH_ACR_WRHIGHFREQ_2;  // table 17: AXI at 240 MHz, scale 0
  Require([] { return FLASH->ACR == (FLASH_ACR_LATENCY_4 | FLASH_ACR_WRHIGHFREQ_2); });
  SetField(RCC->CFGR, RCC_CFGR_SW, RCC_CFGR_SW_PLL1);
  Require([] { return (RCC->CFGR & RCC_CFGR_SWS) == RCC_CFGR_SWS_PLL1; });
}

void ChoosePeripheralClocks() {
  RCC->D1CCIPR = RCC_D1CCIPR_QSPISEL_HCLK3 | RCC_D1CCIPR_CKPERSEL_HSI;
  RCC->D2CCIP1R = RCC_D2CCIP1R_SAI1SEL_PLL3P;
  RCC->D2CCIP2R = RCC_D2CCIP2R_USART16SEL_PCLK2 | RCC_D2CCIP2R_I2C123SEL_PCLK1 | RCC_D2CCIP2R_USBSEL_HSI48;
  RCC->D3CCIPR = RCC_D3CCIPR_ADCSEL_PER;
}

// Not required: without USB the pedal plays.
void StartUsbClock() {
  SetBits(RCC->CR, RCC_CR_HSI48ON);
  if (!WaitMicroseconds(1000, [] { return RCC->CR & RCC_CR_HSI48RDY; })) return;
  EnableClock(RCC->APB1HENR, RCC_APB1HENR_CRSEN);
  SetField(CRS->CFGR, CRS_CFGR_SYNCSRC, CRS_CFGR_SYNCSRC_USB2_SOF);  // 1 kHz, which is the reset value's reload
  SetBits(CRS->CR, CRS_CR_AUTOTRIMEN | CRS_CR_CEN);
}

}  // namespace

ClockSource InitClocks() {
  InitCycleCounter();
  RunFromHsi();
  ResetPeripherals();
  RaiseCoreVoltage();
  const ClockSource source = StartCrystal();
  StartPlls(source);
  RunFromPll1();
  ChoosePeripheralClocks();
  StartUsbClock();
  return source;
}

}  // namespace oddity
