#include "boards/daisy/serial.h"

#include "boards/daisy/cycle_counter.h"
#include "boards/daisy/dma.h"
#include "boards/daisy/interrupts.h"
#include "boards/daisy/pins.h"
#include "boards/daisy/registers.h"

namespace oddity {
namespace {

constexpr uint32_t kKernelHz = 120'000'000;
constexpr uint32_t kRingBytes = 8192;
[[gnu::section(".dma")]] volatile uint8_t ring[kRingBytes];

constexpr uint32_t kTimeoutUs = 10'000;  // the transmitter waits for nobody: it never takes as long

}  // namespace

void Serial::Init(uint32_t baud) {
  kSerialTransmitPin.InitAlternate(kSerialFunction, Slew::kMedium);
  kSerialReceivePin.InitAlternate(kSerialFunction, Slew::kLow, Pull::kUp);  // nothing need be plugged in
  EnableClock(RCC->APB2ENR, RCC_APB2ENR_USART1EN);
  USART1->CR1 = 0;
  USART1->BRR = (kKernelHz + baud / 2) / baud;
  USART1->CR3 = USART_CR3_DMAR | USART_CR3_OVRDIS;  // an overrun loses a byte and does not stop the DMA
  read_ = 0;
  // TRBUFF: without it the stream may lock up on a USART (errata ES0392, DMA).
  kSerialReceiveDma.Start(DMAMUX_REQUEST_USART1_RX,
                          DMA_CR_DIR_FROM_PERIPHERAL | DMA_CR_SIZE_8 | DMA_CR_PL_LOW | DMA_CR_TRBUFF, &USART1->RDR,
                          const_cast<uint8_t*>(ring), kRingBytes);
  USART1->CR1 = USART_CR1_FIFOEN | USART_CR1_TE | USART_CR1_RE | USART_CR1_IDLEIE;
  SetBits(USART1->CR1, USART_CR1_UE);
  EnableInterrupt(kSerialInterrupt, kSerialPriority);
}

uint32_t Serial::written() const { return (kRingBytes - kSerialReceiveDma.Remaining()) % kRingBytes; }

bool Serial::Readable() const { return read_ != written(); }

bool Serial::Read(uint8_t* byte) {
  if (!Readable()) return false;
  __asm volatile("dmb 0xf" ::: "memory");  // the byte is not read before the count
  *byte = ring[read_];
  read_ = (read_ + 1) % kRingBytes;
  return true;
}

void Serial::Write(const uint8_t* data, size_t size) {
  for (size_t i = 0; i < size; ++i) {
    WaitMicroseconds(kTimeoutUs, [] { return USART1->ISR & USART_ISR_TXFNF; });
    USART1->TDR = data[i];
  }
}

void Serial::Flush() {
  WaitMicroseconds(kTimeoutUs, [] { return USART1->ISR & USART_ISR_TC; });
}

}  // namespace oddity

// Its only use is to wake the main loop, which takes the bytes.
extern "C" void SerialInterruptHandler() { oddity::USART1->ICR = oddity::USART_ICR_IDLECF; }
