#include "boards/daisy/flash.h"

#include <algorithm>

#include "boards/daisy/cycle_counter.h"
#include "boards/daisy/pins.h"
#include "boards/daisy/registers.h"

namespace oddity {
namespace {

constexpr uint32_t kIs25lp064 = 0x9D6017;

// A command: its code and the phases that follow it.
constexpr uint32_t kOpcode = QUADSPI_CCR_IMODE_1_LINE;
constexpr uint32_t kAddress = QUADSPI_CCR_ADMODE_1_LINE | QUADSPI_CCR_ADSIZE_24_BITS;
constexpr uint32_t kWriteData = QUADSPI_CCR_DMODE_1_LINE;
constexpr uint32_t kReadData = QUADSPI_CCR_DMODE_1_LINE | QUADSPI_CCR_FMODE_READ;

constexpr uint32_t kWriteStatus = 0x01 | kOpcode | kWriteData;
constexpr uint32_t kPageProgram = 0x02 | kOpcode | kAddress | kWriteData;
constexpr uint32_t kReadStatus = 0x05 | kOpcode | kReadData;
constexpr uint32_t kWriteEnable = 0x06 | kOpcode;
constexpr uint32_t kSectorErase = 0x20 | kOpcode | kAddress;
constexpr uint32_t kEnableReset = 0x66 | kOpcode;
constexpr uint32_t kFastReadQuadOutput =
    0x6B | kOpcode | kAddress | 8 << QUADSPI_CCR_DCYC | QUADSPI_CCR_DMODE_4_LINES | QUADSPI_CCR_FMODE_READ;
constexpr uint32_t kReset = 0x99 | kOpcode;
constexpr uint32_t kReadId = 0x9F | kOpcode | kReadData;
// Eight clocks: to a chip in a continuous read an address and mode bits of ones, which end it; to one that is in none
// eight ones on its input, no command. The one bit of zero keeps the address within the chip, as QUADSPI demands.
constexpr uint32_t kEndContinuousRead =
    0xFF | QUADSPI_CCR_IMODE_4_LINES | QUADSPI_CCR_ADMODE_4_LINES | QUADSPI_CCR_ADSIZE_24_BITS;

constexpr uint8_t kStatusBusy = Bit(0), kStatusWriteEnabled = Bit(1), kStatusQuad = Bit(6);

constexpr uint32_t kPrescaler = 6;  // 240 MHz by 6; at 40 MHz the chip's 8 ns of delay fit half a clock
constexpr uint32_t kFifoBytes = 32;
constexpr uint32_t kTransferTimeoutUs = 1000;  // between two bytes
constexpr uint32_t kResetUs = 100;
constexpr uint32_t kStatusTimeoutUs = 50'000;
constexpr uint32_t kProgramTimeoutUs = 5'000;
constexpr uint32_t kEraseTimeoutUs = 500'000;

uint32_t FifoLevel() { return QUADSPI->SR >> QUADSPI_SR_FLEVEL & 0x3F; }

// To the end of a command, or away from one that does not end.
bool Finish() {
  const bool complete =
      WaitMicroseconds(kTransferTimeoutUs, [] { return QUADSPI->SR & (QUADSPI_SR_TCF | QUADSPI_SR_TEF); }) &&
      !(QUADSPI->SR & QUADSPI_SR_TEF);
  if (!complete) SetBits(QUADSPI->CR, QUADSPI_CR_ABORT);
  QUADSPI->FCR = QUADSPI_FCR_CTCF | QUADSPI_FCR_CTEF;
  return WaitMicroseconds(kTransferTimeoutUs, [] { return !(QUADSPI->SR & QUADSPI_SR_BUSY); }) && complete;
}

// A command begins with the write of its last part (section 23.3.5): CCR, the address, or the first byte of data.
void Begin(uint32_t command, uint32_t address, size_t size) {
  if (size > 0) QUADSPI->DLR = size - 1;
  QUADSPI->CCR = command;
  if (command & QUADSPI_CCR_ADMODE_4_LINES) QUADSPI->AR = address;
}

bool Command(uint32_t command, uint32_t address = 0) {
  Begin(command, address, 0);
  return Finish();
}

bool Receive(uint32_t command, uint32_t address, void* to, size_t size) {
  Begin(command, address, size);
  for (auto *byte = static_cast<uint8_t*>(to), *end = byte + size; byte != end;) {
    uint32_t level = 0;
    if (!WaitMicroseconds(kTransferTimeoutUs, [&level] { return (level = FifoLevel()) > 0; })) break;
    for (; level > 0 && byte != end; --level) *byte++ = QUADSPI->DR;
  }
  return Finish();
}

bool Send(uint32_t command, uint32_t address, const void* data, size_t size) {
  Begin(command, address, size);
  for (const auto *byte = static_cast<const uint8_t*>(data), *end = byte + size; byte != end; ++byte) {
    if (!WaitMicroseconds(kTransferTimeoutUs, [] { return FifoLevel() < kFifoBytes; })) break;
    QUADSPI->DR = *byte;
  }
  return Finish();
}

bool ReadStatus(uint8_t* status) { return Receive(kReadStatus, 0, status, 1); }

// Looks every `interval_us`.
bool WaitWhileBusy(uint32_t timeout_us, uint32_t interval_us) {
  uint8_t status = kStatusBusy;
  return WaitMicroseconds(timeout_us, [&status, interval_us] {
    if (ReadStatus(&status) && !(status & kStatusBusy)) return true;
    DelayMicroseconds(interval_us);
    return false;
  });
}

bool EnableWrite() {
  uint8_t status;
  return Command(kWriteEnable) && ReadStatus(&status) && status & kStatusWriteEnabled;
}

bool EnableQuad() {
  uint8_t status;
  if (!ReadStatus(&status)) return false;
  if (status & kStatusQuad) return true;
  const uint8_t wanted = kStatusQuad;  // no block is protected
  return EnableWrite() && Send(kWriteStatus, 0, &wanted, 1) && WaitWhileBusy(kStatusTimeoutUs, 100) &&
         ReadStatus(&status) && status & kStatusQuad;
}

bool InRange(uint32_t address, size_t size) { return address <= Flash::kSize && size <= Flash::kSize - address; }

}  // namespace

bool Flash::Init() {
  for (const QspiPin& pin : kQspiPins) pin.pin.InitAlternate(pin.function, Slew::kVeryHigh);
  EnableClock(RCC->AHB3ENR, RCC_AHB3ENR_QSPIEN);
  QUADSPI->DCR = (__builtin_ctz(kSize) - 1) << QUADSPI_DCR_FSIZE | (4 - 1) << QUADSPI_DCR_CSHT;
  QUADSPI->CR = (kPrescaler - 1) << QUADSPI_CR_PRESCALER | QUADSPI_CR_EN;
  // Nothing resets the chip with the processor: it may be in the midst of what another firmware, or this one, was at.
  if (!Command(kEndContinuousRead, kSize - 1) || !WaitWhileBusy(kEraseTimeoutUs, 500)) return false;
  if (!Command(kEnableReset) || !Command(kReset)) return false;
  DelayMicroseconds(kResetUs);
  uint8_t id[3];
  if (!Receive(kReadId, 0, id, sizeof id)) return false;
  id_ = uint32_t{id[0]} << 16 | id[1] << 8 | id[2];
  return id_ == kIs25lp064 && EnableQuad();
}

bool Flash::Read(uint32_t address, void* to, size_t size) {
  if (!InRange(address, size)) return false;
  return size == 0 || Receive(kFastReadQuadOutput, address, to, size);
}

bool Flash::EraseSector(uint32_t address) {
  return InRange(address, 1) && EnableWrite() && Command(kSectorErase, address & ~(kSectorSize - 1)) &&
         WaitWhileBusy(kEraseTimeoutUs, 500);
}

bool Flash::Program(uint32_t address, const void* data, size_t size) {
  if (!InRange(address, size)) return false;
  const auto* bytes = static_cast<const uint8_t*>(data);
  while (size > 0) {
    const size_t part = std::min<size_t>(size, kPageSize - address % kPageSize);
    if (!EnableWrite() || !Send(kPageProgram, address, bytes, part) || !WaitWhileBusy(kProgramTimeoutUs, 20))
      return false;
    address += part;
    bytes += part;
    size -= part;
  }
  return true;
}

}  // namespace oddity
