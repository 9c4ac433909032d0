// A second reading of RM0433 beside the firmware's drivers: what the small programs of test_virtual_daisy.py are made
// of. Each defines Main(); the steps below bring the chip up as far as it asks.
#include <stdint.h>

#define REG(address) (*(volatile uint32_t*)(address))
#define BYTE(address) (*(volatile uint8_t*)(address))

enum {
  RCC = 0x58024400,
  PWR = 0x58024800,
  SYSCFG = 0x58000400,
  FLASH = 0x52002000,
  DMA1 = 0x40020000,
  DMAMUX1 = 0x40020800,
  SAI1 = 0x40015800,
  USART1 = 0x40011000,
  IWDG1 = 0x58004800,
  QUADSPI = 0x52005000,
  ADC1 = 0x40022000,
  ADC12_COMMON = 0x40022300,
  I2C2 = 0x40005800,
  RTC = 0x58004000,
  GPIOA = 0x58020000,
  GPIOB = 0x58020400,
  GPIOC = 0x58020800,
  GPIOD = 0x58020C00,
  GPIOE = 0x58021000,
  GPIOF = 0x58021400,
  GPIOG = 0x58021800,
  GPIOH = 0x58021C00,
  NVIC = 0xE000E000,
  DWT = 0xE0001000
};

// What a test looks at afterwards is written here: the start of the AXI SRAM.
#define RESULT ((volatile uint32_t*)0x24000000)
#define RX ((volatile uint32_t*)0x30040000)
#define TX ((volatile uint32_t*)0x30041000)
#define POTS ((volatile uint16_t*)0x30042000)
#define BLOCK 8

void Main(void);
__attribute__((weak)) void AudioInterrupt(void);  // where a program has none, its vector is 0
__attribute__((weak)) void Interrupt0(void);
__attribute__((weak)) void Interrupt1(void);

static void Wait(uint32_t address, uint32_t mask, uint32_t value) {
  while ((REG(address) & mask) != value) {
  }
}

static void Set(uint32_t address, uint32_t bits) { REG(address) |= bits; }

static void Enable(uint32_t offset, uint32_t bits) {
  REG(RCC + offset) |= bits;
  (void)REG(RCC + offset);
}

void Reset(void) {
  REG(0xE000ED88) = 0xFu << 20;
  __asm volatile("dsb\n isb");
  Main();
  __asm volatile("bkpt");
}

__attribute__((section(".vectors"), used)) static const void* const kVectors[166] = {
    [0] = (void*)0x20020000,  [1] = (void*)Reset,           [16] = (void*)Interrupt0,
    [17] = (void*)Interrupt1, [28] = (void*)AudioInterrupt,
};

static void Supply(void) {
  REG(PWR + 0x0C) = 0x2;               // CR3: LDO
  Wait(PWR + 0x04, 1 << 13, 1 << 13);  // CSR1.ACTVOSRDY
  REG(PWR + 0x18) = 3 << 14;           // D3CR.VOS: scale 1
  Wait(PWR + 0x18, 1 << 13, 1 << 13);
  Enable(0xF4, 1 << 1);    // SYSCFG
  REG(SYSCFG + 0x2C) = 1;  // PWRCR.ODEN: scale 0
  Wait(PWR + 0x18, 1 << 13, 1 << 13);
}

static void Crystal(void) {
  Set(RCC, 1 << 16);
  Wait(RCC, 1 << 17, 1 << 17);
}

// PLL1: 16 MHz / 4 * 240 / 2 = 480 MHz. PLL3: 16 MHz / 4 * (49 + 1245 / 8192) / 16 = 12.288 MHz.
static void Plls(void) {
  REG(RCC + 0x28) = 4 << 20 | 4 << 4 | 2;               // PLLCKSELR
  REG(RCC + 0x30) = 239 | 1 << 9 | 3 << 16 | 1u << 24;  // PLL1DIVR
  REG(RCC + 0x40) = 48 | 15 << 9 | 3 << 16 | 1u << 24;  // PLL3DIVR
  REG(RCC + 0x44) = 1245 << 3;                          // PLL3FRACR
  REG(RCC + 0x2C) = 0x01FF0000 | 2 << 2 | 2 << 10;      // ranges 4 to 8 MHz
  REG(RCC + 0x2C) |= 1 << 8;                            // PLL3FRACEN latches
  Set(RCC, 1 << 24 | 1 << 28);
  Wait(RCC, 1 << 25 | 1 << 29, 1 << 25 | 1 << 29);
}

static void Switch(void) {
  REG(RCC + 0x18) = 8 | 4 << 4;  // HCLK 240 MHz, APB3 120 MHz
  REG(RCC + 0x1C) = 4 << 4 | 4 << 8;
  REG(RCC + 0x20) = 4 << 4;
  REG(FLASH) = 4 | 2 << 4;
  REG(RCC + 0x10) = 3;
  Wait(RCC + 0x10, 7 << 3, 3 << 3);
}

static void Clocks(void) {
  Supply();
  Crystal();
  Plls();
  Switch();
}

static void Alternate(uint32_t port, int pin, uint32_t function) {
  const uint32_t high = port + (pin < 8 ? 0x20 : 0x24);
  REG(high) = (REG(high) & ~(0xFu << 4 * (pin % 8))) | function << 4 * (pin % 8);
  REG(port) = (REG(port) & ~(3u << 2 * pin)) | 2u << 2 * pin;
}

static void Output(uint32_t port, int pin, int high) {
  REG(port + 0x18) = 1u << (high ? pin : pin + 16);
  REG(port) = (REG(port) & ~(3u << 2 * pin)) | 1u << 2 * pin;
}

static void Memories(void) { Enable(0xDC, 7u << 29); }

static void CodecReset(void) {
  Enable(0xE0, 1 << 1 | 1 << 4);
  Output(GPIOB, 11, 0);
  for (volatile int i = 0; i < 1000; ++i) {
  }
  REG(GPIOB + 0x18) = 1 << 11;
}

static void SaiBlock(uint32_t block, uint32_t mode) {
  REG(block) = mode | 6 << 5 | 1 << 9;         // 24 bits, sampled on the rising edge of SCK
  REG(block + 0x08) = 63 | 31 << 8 | 3 << 16;  // 64 bits, FS high for the left channel
  REG(block + 0x0C) = 2 << 6 | 1 << 8 | 3u << 16;
}

static void SaiFormat(void) {
  REG(RCC + 0x50) = 2;  // SAI1 from pll3_p
  Enable(0xF0, 1 << 22);
  for (int pin = 2; pin <= 6; ++pin) Alternate(GPIOE, pin, 6);
  SaiBlock(SAI1 + 0x04, 0);            // A: master, transmits
  SaiBlock(SAI1 + 0x24, 3 | 1 << 10);  // B: slave, receives, synchronous
}

static void Stream(int number, uint32_t request, uint32_t control, uint32_t peripheral, volatile void* memory,
                   uint32_t count) {
  const uint32_t stream = DMA1 + 0x10 + 0x18 * number;
  REG(DMAMUX1 + 4 * number) = request;
  REG(stream + 0x08) = peripheral;
  REG(stream + 0x0C) = (uint32_t)memory;
  REG(stream + 0x04) = count;
  REG(stream) = control | 1 << 10 | 1 << 8;
  REG(stream) |= 1;
}

static void AudioStreams(void) {
  Enable(0xD8, 1);
  Stream(0, 87, 2 << 11 | 2 << 13 | 1 << 6, SAI1 + 0x20, TX, 4 * BLOCK);
  Stream(1, 88, 2 << 11 | 2 << 13 | 1 << 3 | 1 << 4, SAI1 + 0x40, RX, 4 * BLOCK);
}

static void AudioStart(void) {
  Set(SAI1 + 0x04, 1 << 17);
  Set(SAI1 + 0x24, 1 << 17);
  Set(SAI1 + 0x24, 1 << 16);
  Set(SAI1 + 0x04, 1 << 16);
}

static void Audio(void) {
  Memories();
  CodecReset();
  SaiFormat();
  AudioStreams();
  AudioStart();
  BYTE(NVIC + 0x400 + 12) = 8 << 4;
  REG(NVIC + 0x100) = 1 << 12;
}

static void SerialPort(void) {
  Enable(0xE0, 1 << 1);
  Alternate(GPIOB, 6, 7);
  Alternate(GPIOB, 7, 7);
  Enable(0xF0, 1 << 4);
  REG(USART1 + 0x0C) = 120;  // 120 MHz / 1 Mbaud
  REG(USART1) = 1 | 1 << 2 | 1 << 3 | 1 << 29;
}

static void FlashPins(void) {
  Enable(0xE0, 1 << 5 | 1 << 6);
  Alternate(GPIOF, 8, 10);
  Alternate(GPIOF, 9, 10);
  Alternate(GPIOF, 7, 9);
  Alternate(GPIOF, 6, 9);
  Alternate(GPIOF, 10, 9);
  Alternate(GPIOG, 6, 10);
  Enable(0xD4, 1 << 14);
  REG(QUADSPI + 0x04) = 22 << 16 | 1 << 8;
  REG(QUADSPI) = 5u << 24 | 1;  // 240 / 6 = 40 MHz
}

static void Instruction(uint32_t code) {
  REG(QUADSPI + 0x14) = 1 << 8 | code;
  Wait(QUADSPI + 0x08, 1 << 5, 0);
}

static uint32_t Status(void) {
  REG(QUADSPI + 0x10) = 0;
  REG(QUADSPI + 0x14) = 1 << 26 | 1 << 24 | 1 << 8 | 0x05;
  const uint32_t status = BYTE(QUADSPI + 0x20);
  Wait(QUADSPI + 0x08, 1 << 5, 0);
  return status;
}

static void Erase(uint32_t address) {
  Instruction(0x06);
  REG(QUADSPI + 0x14) = 2 << 12 | 1 << 10 | 1 << 8 | 0x20;
  REG(QUADSPI + 0x18) = address;
  Wait(QUADSPI + 0x08, 1 << 5, 0);
  while (Status() & 1) {
  }
}

static void Program(uint32_t address, const uint8_t* data, uint32_t size) {
  Instruction(0x06);
  REG(QUADSPI + 0x10) = size - 1;
  REG(QUADSPI + 0x14) = 1 << 24 | 2 << 12 | 1 << 10 | 1 << 8 | 0x02;
  REG(QUADSPI + 0x18) = address;
  for (uint32_t i = 0; i < size; ++i) BYTE(QUADSPI + 0x20) = data[i];
  Wait(QUADSPI + 0x08, 1 << 5, 0);
  while (Status() & 1) {
  }
}

static void Adc(void) {
  Enable(0xD8, 1 << 5);
  Enable(0xE0, 7);                     // after reset all pins are analog
  REG(RCC + 0x58) = 2 << 16;           // per_ck: HSI
  REG(ADC12_COMMON + 0x08) = 3 << 18;  // by 6, and the chip's own by 2: 5.3 MHz
  REG(ADC1 + 0x08) = 0;                // out of deep power down
  REG(ADC1 + 0x08) = 1 << 28;
  for (volatile int i = 0; i < 3000; ++i) {
  }
  REG(ADC1 + 0x08) |= 1 << 16 | 1u << 31;
  Wait(ADC1 + 0x08, 1u << 31, 0);
  REG(ADC1) = 1;
  REG(ADC1 + 0x08) |= 1;
  Wait(ADC1, 1, 1);
  REG(ADC1 + 0x1C) = 1 << 15 | 1 << 5 | 1 << 7 | 1 << 3 | 1 << 11 | 1 << 4;
  REG(ADC1 + 0x30) = 5 | 15 << 6 | 5 << 12 | 7 << 18 | 3 << 24;
  REG(ADC1 + 0x34) = 11 | 4 << 6;
  REG(ADC1 + 0x0C) = 1u << 31 | 1 << 13 | 1 << 12 | 3;
  Enable(0xD8, 1);
  Stream(2, 9, 1 << 11 | 1 << 13, ADC1 + 0x40, POTS, 6);
  REG(ADC1 + 0x08) |= 1 << 2;
}
