// A stream of DMA1 that goes round a buffer between a peripheral and memory for ever (RM0433, chapters 15 and 17). The
// buffer is in ".dma", which no cache holds.
#pragma once

#include "boards/daisy/cycle_counter.h"
#include "boards/daisy/registers.h"

namespace oddity {

class DmaStream {
 public:
  explicit constexpr DmaStream(int number) : number_(number) {}

  // `control` has direction, item size, priority and interrupts; an item is a byte, halfword or word.
  void Start(uint32_t request, uint32_t control, Register* peripheral, void* memory, uint32_t items) const {
    EnableClock(RCC->AHB1ENR, RCC_AHB1ENR_DMA1EN);
    Stop();
    DMAMUX1->CCR[number_] = request;  // of DMAMUX1, channels 0 to 7 are DMA1's streams
    stream().PAR = reinterpret_cast<uint32_t>(peripheral);
    stream().M0AR = reinterpret_cast<uint32_t>(memory);
    stream().NDTR = items;
    stream().FCR = 0;  // direct mode
    stream().CR = control | DMA_CR_CIRC | DMA_CR_MINC;
    DataBarrier();
    SetBits(stream().CR, DMA_CR_EN);
  }

  // False if it does not end, which would be a bus that hangs.
  bool Stop() const {
    ClearBits(stream().CR, DMA_CR_EN);
    const bool stopped = WaitMicroseconds(100, [this] { return !(stream().CR & DMA_CR_EN); });
    ClearFlags(DMA_ISR_ALL);
    return stopped;
  }

  uint32_t Remaining() const { return stream().NDTR; }  // items to the end of the buffer

  // As those of stream 0, DMA_ISR_...
  uint32_t Flags() const { return (number_ < 4 ? DMA1->LISR : DMA1->HISR) >> kFlagShift[number_ % 4] & DMA_ISR_ALL; }
  void ClearFlags(uint32_t flags) const {
    (number_ < 4 ? DMA1->LIFCR : DMA1->HIFCR) = flags << kFlagShift[number_ % 4];
  }

 private:
  static constexpr int kFlagShift[4] = {0, 6, 16, 22};

  DmaStreamRegisters& stream() const { return DMA1->stream[number_]; }

  int number_;
};

// Who has which.
constexpr DmaStream kAudioTransmitDma(0), kAudioReceiveDma(1), kAdcDma(2), kSerialReceiveDma(3);

}  // namespace oddity
