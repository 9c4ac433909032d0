// The registers that the drivers use, by the names of ST's reference manual RM0433 (STM32H750) and of the Armv7-M
// architecture; a chapter's number is that of RM0433 revision 7. Registers that nothing here uses are gaps.
#pragma once

#include <cstddef>
#include <cstdint>

namespace oddity {

using Register = volatile uint32_t;
using Register16 = volatile uint16_t;
using Register8 = volatile uint8_t;

constexpr uint32_t Bit(int position) { return 1u << position; }

// A field takes no more bits than it has: its neighbours are as they were.
inline void SetField(Register& target, uint32_t mask, uint32_t value) { target = (target & ~mask) | value; }
inline void SetBits(Register& target, uint32_t bits) { target = target | bits; }
inline void ClearBits(Register& target, uint32_t bits) { target = target & ~bits; }

// Embedded flash memory interface, chapter 4
struct FlashRegisters {
  Register ACR;
};
static FlashRegisters* const FLASH = reinterpret_cast<FlashRegisters*>(0x52002000);
constexpr uint32_t FLASH_ACR_LATENCY_4 = 4;          // wait states
constexpr uint32_t FLASH_ACR_WRHIGHFREQ_2 = 2 << 4;  // signal delay, table 17

// Power control, chapter 6
struct PwrRegisters {
  Register CR1, CSR1, CR2, CR3, CPUCR;
  uint32_t gap;
  Register D3CR;
};
static PwrRegisters* const PWR = reinterpret_cast<PwrRegisters*>(0x58024800);
constexpr uint32_t PWR_CR1_DBP = Bit(8);
constexpr uint32_t PWR_CSR1_ACTVOSRDY = Bit(13);
constexpr uint32_t PWR_CR3_BYPASS = Bit(0);
constexpr uint32_t PWR_CR3_LDOEN = Bit(1);
constexpr uint32_t PWR_CR3_SCUEN = Bit(2);
constexpr uint32_t PWR_CR3_USB33DEN = Bit(24);
constexpr uint32_t PWR_CR3_USB33RDY = Bit(26);
constexpr uint32_t PWR_D3CR_VOSRDY = Bit(13);
constexpr uint32_t PWR_D3CR_VOS = 3 << 14;
constexpr uint32_t PWR_D3CR_VOS_SCALE_1 = 3 << 14;

// Reset and clock control, chapter 8
struct RccRegisters {
  Register CR, HSICFGR, CRRCR, CSICFGR, CFGR;
  uint32_t gap0;
  Register D1CFGR, D2CFGR, D3CFGR;
  uint32_t gap1;
  Register PLLCKSELR, PLLCFGR;
  Register PLL1DIVR, PLL1FRACR, PLL2DIVR, PLL2FRACR, PLL3DIVR, PLL3FRACR;
  uint32_t gap2;
  Register D1CCIPR, D2CCIP1R, D2CCIP2R, D3CCIPR;
  uint32_t gap3;
  Register CIER, CIFR, CICR;
  uint32_t gap4;
  Register BDCR, CSR;
  uint32_t gap5;
  Register AHB3RSTR, AHB1RSTR, AHB2RSTR, AHB4RSTR, APB3RSTR, APB1LRSTR, APB1HRSTR, APB2RSTR, APB4RSTR;
  uint32_t gap6[12];
  Register RSR, AHB3ENR, AHB1ENR, AHB2ENR, AHB4ENR, APB3ENR, APB1LENR, APB1HENR, APB2ENR, APB4ENR;
  uint32_t gap7[2];
  Register AHB1LPENR;
};
static_assert(offsetof(RccRegisters, D1CCIPR) == 0x4C && offsetof(RccRegisters, AHB3RSTR) == 0x7C);
static_assert(offsetof(RccRegisters, RSR) == 0xD0 && offsetof(RccRegisters, AHB1LPENR) == 0x100);
static RccRegisters* const RCC = reinterpret_cast<RccRegisters*>(0x58024400);
constexpr uint32_t RCC_CR_HSION = Bit(0);
constexpr uint32_t RCC_CR_HSIRDY = Bit(2);
constexpr uint32_t RCC_CR_HSIDIV = 3 << 3;
constexpr uint32_t RCC_CR_HSIDIVF = Bit(5);
constexpr uint32_t RCC_CR_HSI48ON = Bit(12);
constexpr uint32_t RCC_CR_HSI48RDY = Bit(13);
constexpr uint32_t RCC_CR_HSEON = Bit(16);
constexpr uint32_t RCC_CR_HSERDY = Bit(17);
constexpr uint32_t RCC_CR_HSEBYP = Bit(18);
constexpr uint32_t RCC_CR_HSECSSON = Bit(19);
constexpr uint32_t RCC_CR_PLL1ON = Bit(24);
constexpr uint32_t RCC_CR_PLL1RDY = Bit(25);
constexpr uint32_t RCC_CR_PLL2ON = Bit(26);
constexpr uint32_t RCC_CR_PLL2RDY = Bit(27);
constexpr uint32_t RCC_CR_PLL3ON = Bit(28);
constexpr uint32_t RCC_CR_PLL3RDY = Bit(29);
constexpr uint32_t RCC_CFGR_SW = 7 << 0;
constexpr uint32_t RCC_CFGR_SW_PLL1 = 3 << 0;
constexpr uint32_t RCC_CFGR_SWS = 7 << 3;
constexpr uint32_t RCC_CFGR_SWS_PLL1 = 3 << 3;
constexpr uint32_t RCC_D1CFGR_HPRE_DIV2 = 8 << 0;
constexpr uint32_t RCC_D1CFGR_D1PPRE_DIV2 = 4 << 4;
constexpr uint32_t RCC_D2CFGR_D2PPRE1_DIV2 = 4 << 4;
constexpr uint32_t RCC_D2CFGR_D2PPRE2_DIV2 = 4 << 8;
constexpr uint32_t RCC_D3CFGR_D3PPRE_DIV2 = 4 << 4;
constexpr uint32_t RCC_PLLCKSELR_PLLSRC_HSI = 0;
constexpr uint32_t RCC_PLLCKSELR_PLLSRC_HSE = 2;
constexpr int RCC_PLLCKSELR_DIVM1 = 4;
constexpr int RCC_PLLCKSELR_DIVM3 = 20;
constexpr uint32_t RCC_PLLCFGR_PLL1RGE_4_TO_8_MHZ = 2 << 2;
constexpr uint32_t RCC_PLLCFGR_PLL3FRACEN = Bit(8);
constexpr uint32_t RCC_PLLCFGR_PLL3RGE_4_TO_8_MHZ = 2 << 10;
constexpr uint32_t RCC_PLLCFGR_DIVP1EN = Bit(16);
constexpr uint32_t RCC_PLLCFGR_DIVP3EN = Bit(22);
constexpr int RCC_PLLDIVR_DIVP = 9;    // DIVN is at 0; both as one less
constexpr int RCC_PLLFRACR_FRACN = 3;  // in 1/8192
constexpr uint32_t RCC_D1CCIPR_QSPISEL_HCLK3 = 0 << 4;
constexpr uint32_t RCC_D1CCIPR_CKPERSEL_HSI = 0 << 28;
constexpr uint32_t RCC_D2CCIP1R_SAI1SEL_PLL3P = 2 << 0;
constexpr uint32_t RCC_D2CCIP2R_USART16SEL_PCLK2 = 0 << 3;
constexpr uint32_t RCC_D2CCIP2R_I2C123SEL_PCLK1 = 0 << 12;
constexpr uint32_t RCC_D2CCIP2R_USBSEL_HSI48 = 3 << 20;
constexpr uint32_t RCC_D3CCIPR_ADCSEL_PER = 2 << 16;
constexpr uint32_t RCC_RSR_RMVF = Bit(16);
constexpr uint32_t RCC_RSR_PINRSTF = Bit(22);
constexpr uint32_t RCC_RSR_PORRSTF = Bit(23);
constexpr uint32_t RCC_RSR_SFTRSTF = Bit(24);
constexpr uint32_t RCC_RSR_IWDG1RSTF = Bit(26);
// A bit of an enable register has the same place in the domain's reset register.
constexpr uint32_t RCC_AHB3ENR_QSPIEN = Bit(14);
constexpr uint32_t RCC_AHB1ENR_DMA1EN = Bit(0);
constexpr uint32_t RCC_AHB1ENR_ADC12EN = Bit(5);
constexpr uint32_t RCC_AHB1ENR_USB2OTGEN = Bit(27);
constexpr uint32_t RCC_AHB1LPENR_USB2OTGULPILPEN = Bit(28);
constexpr uint32_t RCC_AHB2ENR_SRAM1EN = Bit(29);
constexpr uint32_t RCC_AHB2ENR_SRAM2EN = Bit(30);
constexpr uint32_t RCC_AHB2ENR_SRAM3EN = Bit(31);
constexpr uint32_t RCC_APB1LENR_I2C2EN = Bit(22);
constexpr uint32_t RCC_APB1HENR_CRSEN = Bit(1);
constexpr uint32_t RCC_APB2ENR_USART1EN = Bit(4);
constexpr uint32_t RCC_APB2ENR_SAI1EN = Bit(22);
constexpr uint32_t RCC_APB4ENR_SYSCFGEN = Bit(1);
constexpr uint32_t RCC_APB4ENR_RTCAPBEN = Bit(16);

// A peripheral may be used two of its bus's cycles after its clock came on; the read back takes them (section 8.5.10).
inline void EnableClock(Register& enable_register, uint32_t bits) {
  SetBits(enable_register, bits);
  const uint32_t enabled = enable_register;
  (void)enabled;
}

// Clock recovery system of HSI48, chapter 9
struct CrsRegisters {
  Register CR, CFGR, ISR, ICR;
};
static CrsRegisters* const CRS = reinterpret_cast<CrsRegisters*>(0x40008400);
constexpr uint32_t CRS_CR_CEN = Bit(5);
constexpr uint32_t CRS_CR_AUTOTRIMEN = Bit(6);
constexpr uint32_t CRS_CFGR_SYNCSRC = 3 << 28;
constexpr uint32_t CRS_CFGR_SYNCSRC_USB2_SOF = 3 << 28;  // OTG_FS, the Seed's socket

// General-purpose I/O, chapter 11
struct GpioRegisters {
  Register MODER, OTYPER, OSPEEDR, PUPDR, IDR, ODR, BSRR, LCKR, AFR[2];
};
constexpr uintptr_t kGpioBase = 0x58020000, kGpioStep = 0x400;  // GPIOA, GPIOB, ...

// System configuration, chapter 12
struct SyscfgRegisters {
  uint32_t gap[11];
  Register PWRCR;
};
static_assert(offsetof(SyscfgRegisters, PWRCR) == 0x2C);
static SyscfgRegisters* const SYSCFG = reinterpret_cast<SyscfgRegisters*>(0x58000400);
constexpr uint32_t SYSCFG_PWRCR_ODEN = Bit(0);

// Direct memory access, chapter 15
struct DmaStreamRegisters {
  Register CR, NDTR, PAR, M0AR, M1AR, FCR;
};
struct DmaRegisters {
  Register LISR, HISR, LIFCR, HIFCR;
  DmaStreamRegisters stream[8];
};
static DmaRegisters* const DMA1 = reinterpret_cast<DmaRegisters*>(0x40020000);
constexpr uint32_t DMA_CR_EN = Bit(0);
constexpr uint32_t DMA_CR_HTIE = Bit(3);
constexpr uint32_t DMA_CR_TCIE = Bit(4);
constexpr uint32_t DMA_CR_TEIE = Bit(2);
constexpr uint32_t DMA_CR_DIR_FROM_PERIPHERAL = 0 << 6;
constexpr uint32_t DMA_CR_DIR_TO_PERIPHERAL = 1 << 6;
constexpr uint32_t DMA_CR_CIRC = Bit(8);
constexpr uint32_t DMA_CR_MINC = Bit(10);
constexpr uint32_t DMA_CR_SIZE_8 = 0;
constexpr uint32_t DMA_CR_SIZE_16 = 1 << 11 | 1 << 13;  // PSIZE and MSIZE
constexpr uint32_t DMA_CR_SIZE_32 = 2 << 11 | 2 << 13;
constexpr uint32_t DMA_CR_PL_LOW = 0 << 16;
constexpr uint32_t DMA_CR_PL_VERY_HIGH = 3 << 16;
constexpr uint32_t DMA_CR_TRBUFF = Bit(20);
constexpr uint32_t DMA_ISR_FEIF = Bit(0);  // of stream 0; DmaStream knows where the others' are
constexpr uint32_t DMA_ISR_DMEIF = Bit(2);
constexpr uint32_t DMA_ISR_TEIF = Bit(3);
constexpr uint32_t DMA_ISR_HTIF = Bit(4);
constexpr uint32_t DMA_ISR_TCIF = Bit(5);
constexpr uint32_t DMA_ISR_ALL = DMA_ISR_FEIF | DMA_ISR_DMEIF | DMA_ISR_TEIF | DMA_ISR_HTIF | DMA_ISR_TCIF;

// DMA request multiplexer, chapter 17; requests: table 121
struct DmamuxRegisters {
  Register CCR[16];
};
static DmamuxRegisters* const DMAMUX1 = reinterpret_cast<DmamuxRegisters*>(0x40020800);
constexpr uint32_t DMAMUX_REQUEST_ADC1 = 9;
constexpr uint32_t DMAMUX_REQUEST_USART1_RX = 41;
constexpr uint32_t DMAMUX_REQUEST_SAI1_A = 87;
constexpr uint32_t DMAMUX_REQUEST_SAI1_B = 88;

// Quad-SPI interface, chapter 23
struct QuadspiRegisters {
  Register CR, DCR, SR, FCR, DLR, CCR, AR, ABR;
  Register8 DR;  // the FIFO takes bytes, halfwords and words; bytes are what is used here
};
static QuadspiRegisters* const QUADSPI = reinterpret_cast<QuadspiRegisters*>(0x52005000);
constexpr uint32_t QUADSPI_CR_EN = Bit(0);
constexpr uint32_t QUADSPI_CR_ABORT = Bit(1);
constexpr int QUADSPI_CR_PRESCALER = 24;
constexpr int QUADSPI_DCR_CSHT = 8;
constexpr int QUADSPI_DCR_FSIZE = 16;
constexpr uint32_t QUADSPI_SR_TEF = Bit(0);
constexpr uint32_t QUADSPI_SR_TCF = Bit(1);
constexpr uint32_t QUADSPI_SR_BUSY = Bit(5);
constexpr int QUADSPI_SR_FLEVEL = 8;
constexpr uint32_t QUADSPI_FCR_CTEF = Bit(0);
constexpr uint32_t QUADSPI_FCR_CTCF = Bit(1);
constexpr uint32_t QUADSPI_CCR_IMODE_1_LINE = 1 << 8;
constexpr uint32_t QUADSPI_CCR_IMODE_4_LINES = 3 << 8;
constexpr uint32_t QUADSPI_CCR_ADMODE_1_LINE = 1 << 10;
constexpr uint32_t QUADSPI_CCR_ADMODE_4_LINES = 3 << 10;
constexpr uint32_t QUADSPI_CCR_ADSIZE_24_BITS = 2 << 12;
constexpr int QUADSPI_CCR_DCYC = 18;
constexpr uint32_t QUADSPI_CCR_DMODE_1_LINE = 1 << 24;
constexpr uint32_t QUADSPI_CCR_DMODE_4_LINES = 3 << 24;
constexpr uint32_t QUADSPI_CCR_FMODE_READ = 1 << 26;  // indirect; 0 is the indirect write

// Analog-to-digital converters, chapter 25
struct AdcRegisters {
  Register ISR, IER, CR, CFGR, CFGR2, SMPR[2], PCSEL;
  uint32_t gap0[4];
  Register SQR[4], DR;
};
struct AdcCommonRegisters {
  Register CSR;
  uint32_t gap;
  Register CCR;
};
static_assert(offsetof(AdcRegisters, SQR) == 0x30 && offsetof(AdcRegisters, DR) == 0x40);
static AdcRegisters* const ADC1 = reinterpret_cast<AdcRegisters*>(0x40022000);
static AdcCommonRegisters* const ADC12_COMMON = reinterpret_cast<AdcCommonRegisters*>(0x40022300);
constexpr uint32_t ADC_ISR_ADRDY = Bit(0);
constexpr uint32_t ADC_CR_ADEN = Bit(0);
constexpr uint32_t ADC_CR_ADSTART = Bit(2);
constexpr uint32_t ADC_CR_BOOST_6_TO_12_MHZ = 1 << 8;
constexpr uint32_t ADC_CR_ADCALLIN = Bit(16);
constexpr uint32_t ADC_CR_ADVREGEN = Bit(28);
constexpr uint32_t ADC_CR_DEEPPWD = Bit(29);
constexpr uint32_t ADC_CR_ADCAL = Bit(31);
constexpr uint32_t ADC_CFGR_DMNGT_DMA_CIRCULAR = 3 << 0;
constexpr uint32_t ADC_CFGR_RES_16_BITS = 0 << 2;
constexpr uint32_t ADC_CFGR_OVRMOD = Bit(12);
constexpr uint32_t ADC_CFGR_CONT = Bit(13);
constexpr uint32_t ADC_CFGR_JQDIS = Bit(31);  // its reset value
constexpr uint32_t ADC_CFGR2_ROVSE = Bit(0);
constexpr int ADC_CFGR2_OVSS = 5;
constexpr int ADC_CFGR2_OVSR = 16;
constexpr uint32_t ADC_SMPR_64_5_CYCLES = 5;
constexpr uint32_t ADC_CCR_PRESC_DIV4 = 2 << 18;

// Independent watchdog, chapter 45
struct IwdgRegisters {
  Register KR, PR, RLR, SR, WINR;
};
static IwdgRegisters* const IWDG1 = reinterpret_cast<IwdgRegisters*>(0x58004800);
constexpr uint32_t IWDG_KR_RELOAD = 0xAAAA, IWDG_KR_ACCESS = 0x5555, IWDG_KR_START = 0xCCCC;
constexpr uint32_t IWDG_PR_DIV64 = 4;

// Real-time clock, of which only the backup registers are used, chapter 46
struct RtcRegisters {
  uint32_t gap[20];
  Register BKPR[32];
};
static_assert(offsetof(RtcRegisters, BKPR) == 0x50);
static RtcRegisters* const RTC = reinterpret_cast<RtcRegisters*>(0x58004000);

// Inter-integrated circuit interface, chapter 47
struct I2cRegisters {
  Register CR1, CR2, OAR1, OAR2, TIMINGR, TIMEOUTR, ISR, ICR, PECR, RXDR, TXDR;
};
static I2cRegisters* const I2C2 = reinterpret_cast<I2cRegisters*>(0x40005800);
constexpr uint32_t I2C_CR1_PE = Bit(0);
constexpr uint32_t I2C_CR2_START = Bit(13);
constexpr int I2C_CR2_NBYTES = 16;
constexpr uint32_t I2C_CR2_AUTOEND = Bit(25);
constexpr uint32_t I2C_ISR_TXIS = Bit(1);
constexpr uint32_t I2C_ISR_NACKF = Bit(4);
constexpr uint32_t I2C_ISR_STOPF = Bit(5);
constexpr uint32_t I2C_ISR_BUSY = Bit(15);
constexpr uint32_t I2C_ICR_NACKCF = Bit(4);
constexpr uint32_t I2C_ICR_STOPCF = Bit(5);

// Universal synchronous asynchronous receiver transmitter, chapter 48
struct UsartRegisters {
  Register CR1, CR2, CR3, BRR, GTPR, RTOR, RQR, ISR, ICR, RDR, TDR, PRESC;
};
static UsartRegisters* const USART1 = reinterpret_cast<UsartRegisters*>(0x40011000);
constexpr uint32_t USART_CR1_UE = Bit(0);
constexpr uint32_t USART_CR1_RE = Bit(2);
constexpr uint32_t USART_CR1_TE = Bit(3);
constexpr uint32_t USART_CR1_IDLEIE = Bit(4);
constexpr uint32_t USART_CR1_FIFOEN = Bit(29);
constexpr uint32_t USART_CR3_DMAR = Bit(6);
constexpr uint32_t USART_CR3_OVRDIS = Bit(12);
constexpr uint32_t USART_ICR_IDLECF = Bit(4);
constexpr uint32_t USART_ISR_TC = Bit(6);
constexpr uint32_t USART_ISR_TXFNF = Bit(7);

// Serial audio interface, chapter 51
struct SaiBlockRegisters {
  Register CR1, CR2, FRCR, SLOTR, IM, SR, CLRFR, DR;
};
struct SaiRegisters {
  Register GCR;
  SaiBlockRegisters A, B;
};
static SaiRegisters* const SAI1 = reinterpret_cast<SaiRegisters*>(0x40015800);
constexpr uint32_t SAI_CR1_MODE_MASTER_TRANSMIT = 0, SAI_CR1_MODE_MASTER_RECEIVE = 1;
constexpr uint32_t SAI_CR1_MODE_SLAVE_TRANSMIT = 2, SAI_CR1_MODE_SLAVE_RECEIVE = 3;
constexpr uint32_t SAI_CR1_MODE_RECEIVE = Bit(0);
constexpr uint32_t SAI_CR1_DS_24_BITS = 6 << 5;
constexpr uint32_t SAI_CR1_CKSTR = Bit(9);
constexpr uint32_t SAI_CR1_SYNCEN_OTHER_BLOCK = 1 << 10;
constexpr uint32_t SAI_CR1_SAIEN = Bit(16);
constexpr uint32_t SAI_CR1_DMAEN = Bit(17);
constexpr int SAI_CR1_MCKDIV = 20;
constexpr uint32_t SAI_CR1_MCKEN = Bit(27);
constexpr uint32_t SAI_CR2_FTH_EMPTY = 0;
constexpr uint32_t SAI_CR2_FFLUSH = Bit(3);
constexpr uint32_t SAI_CR2_MUTE = Bit(5);
constexpr int SAI_FRCR_FSALL = 8;
constexpr uint32_t SAI_FRCR_FSDEF = Bit(16);
constexpr uint32_t SAI_FRCR_FSPOL = Bit(17);
constexpr uint32_t SAI_SLOTR_SLOTSZ_32_BITS = 2 << 6;
constexpr int SAI_SLOTR_NBSLOT = 8;
constexpr int SAI_SLOTR_SLOTEN = 16;
constexpr uint32_t SAI_SR_OVRUDR = Bit(0);
constexpr uint32_t SAI_SR_WCKCFG = Bit(2);
constexpr int SAI_SR_FLVL = 16;
constexpr uint32_t SAI_CLRFR_ALL = 0x77;  // bit 3, FREQ, is not one that software clears

// USB on-the-go, of which the full-speed device part is used, chapter 57
struct OtgInEndpointRegisters {
  Register DIEPCTL;
  uint32_t gap0;
  Register DIEPINT;
  uint32_t gap1;
  Register DIEPTSIZ;
  uint32_t gap2;
  Register DTXFSTS;
  uint32_t gap3;
};
struct OtgOutEndpointRegisters {
  Register DOEPCTL;
  uint32_t gap0;
  Register DOEPINT;
  uint32_t gap1;
  Register DOEPTSIZ;
  uint32_t gap2[3];
};
struct OtgRegisters {
  Register GOTGCTL, GOTGINT, GAHBCFG, GUSBCFG, GRSTCTL, GINTSTS, GINTMSK, GRXSTSR, GRXSTSP, GRXFSIZ, DIEPTXF0;
  uint32_t gap0[3];
  Register GCCFG;
  uint32_t gap1[50];
  Register DIEPTXF[8];  // of endpoint 1, 2, ...
  uint32_t gap2[439];
  Register DCFG, DCTL, DSTS;
  uint32_t gap3;
  Register DIEPMSK, DOEPMSK, DAINT, DAINTMSK;
  uint32_t gap4[56];
  OtgInEndpointRegisters in[9];
  uint32_t gap5[56];
  OtgOutEndpointRegisters out[9];
  uint32_t gap6[120];
  Register PCGCCTL;
  uint32_t gap7[127];
  struct {
    Register word;
    uint32_t gap[1023];
  } fifo[9];  // each is written at any of its addresses; all are read from the one receive FIFO
};
static_assert(offsetof(OtgRegisters, GCCFG) == 0x38 && offsetof(OtgRegisters, DIEPTXF) == 0x104);
static_assert(offsetof(OtgRegisters, DCFG) == 0x800 && offsetof(OtgRegisters, in) == 0x900);
static_assert(offsetof(OtgRegisters, out) == 0xB00 && offsetof(OtgRegisters, PCGCCTL) == 0xE00);
static_assert(offsetof(OtgRegisters, fifo) == 0x1000 && sizeof(OtgRegisters) == 0xA000);
static OtgRegisters* const OTG_FS = reinterpret_cast<OtgRegisters*>(0x40080000);  // USB2 OTG, the Seed's socket
constexpr uint32_t OTG_GOTGCTL_BVALOEN = Bit(6);
constexpr uint32_t OTG_GOTGCTL_BVALOVAL = Bit(7);
constexpr uint32_t OTG_GAHBCFG_GINTMSK = Bit(0);
constexpr uint32_t OTG_GUSBCFG_PHYSEL = Bit(6);
constexpr uint32_t OTG_GUSBCFG_TRDT = 15 << 10;
constexpr uint32_t OTG_GUSBCFG_TRDT_ABOVE_32_MHZ = 6 << 10;  // by the AHB's clock
constexpr uint32_t OTG_GUSBCFG_FDMOD = Bit(30);
constexpr uint32_t OTG_GRSTCTL_CSRST = Bit(0);
constexpr uint32_t OTG_GRSTCTL_RXFFLSH = Bit(4);
constexpr uint32_t OTG_GRSTCTL_TXFFLSH = Bit(5);
constexpr int OTG_GRSTCTL_TXFNUM = 6;
constexpr uint32_t OTG_GRSTCTL_AHBIDL = Bit(31);
constexpr uint32_t OTG_GINTSTS_CMOD = Bit(0);
constexpr uint32_t OTG_GINTSTS_SOF = Bit(3);
constexpr uint32_t OTG_GINTSTS_RXFLVL = Bit(4);
constexpr uint32_t OTG_GINTSTS_GONAKEFF = Bit(7);
constexpr uint32_t OTG_GINTSTS_USBSUSP = Bit(11);
constexpr uint32_t OTG_GINTSTS_USBRST = Bit(12);
constexpr uint32_t OTG_GINTSTS_IEPINT = Bit(18);
constexpr uint32_t OTG_GINTSTS_OEPINT = Bit(19);
constexpr uint32_t OTG_GINTSTS_IISOIXFR = Bit(20);
constexpr uint32_t OTG_GINTSTS_INCOMPISOOUT = Bit(21);
constexpr uint32_t OTG_GINTSTS_WKUPINT = Bit(31);
constexpr int OTG_GRXSTSP_BCNT = 4;  // the endpoint is at 0
constexpr int OTG_GRXSTSP_PKTSTS = 17;
constexpr uint32_t OTG_PKTSTS_OUT_DATA = 2;
constexpr uint32_t OTG_PKTSTS_OUT_COMPLETED = 3;
constexpr uint32_t OTG_PKTSTS_SETUP_COMPLETED = 4;
constexpr uint32_t OTG_PKTSTS_SETUP_DATA = 6;
constexpr int OTG_DIEPTXF_INEPTXFD = 16;
constexpr uint32_t OTG_GCCFG_PWRDWN = Bit(16);  // it is the transceiver that is on
constexpr uint32_t OTG_DCFG_DSPD_FULL = 3 << 0;
constexpr uint32_t OTG_DCFG_DAD = 0x7F << 4;
constexpr int OTG_DCFG_DAD_POSITION = 4;
constexpr uint32_t OTG_DCTL_SDIS = Bit(1);
constexpr uint32_t OTG_DCTL_SGONAK = Bit(9);
constexpr uint32_t OTG_DCTL_CGONAK = Bit(10);
constexpr int OTG_DSTS_FNSOF = 8;
constexpr uint32_t OTG_DIEPMSK_XFRCM = Bit(0);
constexpr uint32_t OTG_DOEPMSK_XFRCM = Bit(0);
constexpr uint32_t OTG_DOEPMSK_STUPM = Bit(3);
constexpr int OTG_DAINT_OUT = 16;  // the IN endpoints' bits are at 0
// What DIEPCTL and DOEPCTL share; those that set and those that are set stay as they are where a 0 is written.
constexpr uint32_t OTG_EPCTL_MPSIZ = 0x7FF;  // of endpoint 0 a code: 0 is 64 bytes
constexpr uint32_t OTG_EPCTL_USBAEP = Bit(15);
constexpr uint32_t OTG_EPCTL_EONUM = Bit(16);
constexpr uint32_t OTG_EPCTL_EPTYP = 3 << 18;
constexpr int OTG_EPCTL_EPTYP_POSITION = 18;
constexpr uint32_t OTG_EPCTL_STALL = Bit(21);
constexpr int OTG_DIEPCTL_TXFNUM = 22;
constexpr uint32_t OTG_EPCTL_CNAK = Bit(26);
constexpr uint32_t OTG_EPCTL_SNAK = Bit(27);
constexpr uint32_t OTG_EPCTL_SD0PID_SEVNFRM = Bit(28);
constexpr uint32_t OTG_EPCTL_SODDFRM = Bit(29);
constexpr uint32_t OTG_EPCTL_EPDIS = Bit(30);
constexpr uint32_t OTG_EPCTL_EPENA = Bit(31);
constexpr uint32_t OTG_EPINT_XFRC = Bit(0);
constexpr uint32_t OTG_EPINT_EPDISD = Bit(1);
constexpr uint32_t OTG_DOEPINT_STUP = Bit(3);
constexpr uint32_t OTG_DIEPINT_INEPNE = Bit(6);
constexpr int OTG_EPTSIZ_PKTCNT = 19;  // XFRSIZ is at 0
constexpr int OTG_DIEPTSIZ_MCNT = 29;
constexpr int OTG_DOEPTSIZ_STUPCNT = 29;

// Debug support, chapter 60
struct DbgmcuRegisters {
  Register IDCODE, CR;
  uint32_t gap[19];
  Register APB4FZ1;
};
static_assert(offsetof(DbgmcuRegisters, APB4FZ1) == 0x54);
static DbgmcuRegisters* const DBGMCU = reinterpret_cast<DbgmcuRegisters*>(0x5C001000);
constexpr uint32_t DBGMCU_CR_D3DBGCKEN = Bit(22);
constexpr uint32_t DBGMCU_APB4FZ1_WDGLSD1 = Bit(18);

// Device electronic signature, chapter 61
static const Register* const UID = reinterpret_cast<const Register*>(0x1FF1E800);  // three words

// The core: Armv7-M Architecture Reference Manual, B3.2 (SCB), B3.4 (NVIC), B3.5 (MPU), C1.6 and C1.8 (debug, DWT), and
// the Cortex-M7 Technical Reference Manual for the rest.
struct ScbRegisters {
  Register CPUID, ICSR, VTOR, AIRCR, SCR, CCR, SHPR[3], SHCSR, CFSR, HFSR, DFSR, MMFAR, BFAR;
};
static ScbRegisters* const SCB = reinterpret_cast<ScbRegisters*>(0xE000ED00);
constexpr uint32_t SCB_ICSR_PENDSTCLR = Bit(25);
constexpr uint32_t SCB_AIRCR_VECTKEY = 0x05FA << 16;
constexpr uint32_t SCB_AIRCR_SYSRESETREQ = Bit(2);
constexpr uint32_t SCB_CCR_DC = Bit(16);
constexpr uint32_t SCB_CCR_IC = Bit(17);

struct CacheRegisters {
  Register CLIDR, CTR, CCSIDR, CSSELR;
};
static CacheRegisters* const CACHE = reinterpret_cast<CacheRegisters*>(0xE000ED78);
static Register* const SCB_ICIALLU = reinterpret_cast<Register*>(0xE000EF50);
static Register* const SCB_DCISW = reinterpret_cast<Register*>(0xE000EF60);

struct MpuRegisters {
  Register TYPE, CTRL, RNR, RBAR, RASR;
};
static MpuRegisters* const MPU = reinterpret_cast<MpuRegisters*>(0xE000ED90);
constexpr uint32_t MPU_CTRL_ENABLE = Bit(0);
constexpr uint32_t MPU_CTRL_PRIVDEFENA = Bit(2);
constexpr uint32_t MPU_RASR_ENABLE = Bit(0);
constexpr int MPU_RASR_SIZE = 1;
constexpr int MPU_RASR_SRD = 8;
constexpr uint32_t MPU_RASR_S = Bit(18);
constexpr uint32_t MPU_RASR_TEX_1 = 1 << 19;
constexpr uint32_t MPU_RASR_AP_NONE = 0 << 24;
constexpr uint32_t MPU_RASR_AP_FULL = 3 << 24;
constexpr uint32_t MPU_RASR_XN = Bit(28);

struct SystickRegisters {
  Register CSR, RVR, CVR;
};
static SystickRegisters* const SYSTICK = reinterpret_cast<SystickRegisters*>(0xE000E010);

struct NvicRegisters {
  Register ISER[32], ICER[32], ISPR[32], ICPR[32], IABR[64];
  Register8 IPR[240];
};
static_assert(offsetof(NvicRegisters, IPR) == 0x300);
static NvicRegisters* const NVIC = reinterpret_cast<NvicRegisters*>(0xE000E100);

static Register* const DHCSR = reinterpret_cast<Register*>(0xE000EDF0);
constexpr uint32_t DHCSR_C_DEBUGEN = Bit(0);
static Register* const DEMCR = reinterpret_cast<Register*>(0xE000EDFC);
constexpr uint32_t DEMCR_TRCENA = Bit(24);
struct DwtRegisters {
  Register CTRL, CYCCNT;
};
static DwtRegisters* const DWT = reinterpret_cast<DwtRegisters*>(0xE0001000);
constexpr uint32_t DWT_CTRL_CYCCNTENA = Bit(0);
static Register* const DWT_LAR = reinterpret_cast<Register*>(0xE0001FB0);
constexpr uint32_t DWT_LAR_KEY = 0xC5ACCE55;

inline void DataBarrier() { __asm volatile("dsb 0xf" ::: "memory"); }
inline void InstructionBarrier() { __asm volatile("isb 0xf" ::: "memory"); }

}  // namespace oddity
