// Flash memory for boards that have none: it forgets everything at the end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "pedal/board.h"
#include "pedal/model_slots.h"

namespace oddity {
namespace {

[[gnu::section(".bss.flash")]] alignas(8) uint8_t flash_bytes[ModelSlots::kFlashBytes];

}  // namespace

bool BoardFlashRead(uint32_t address, void* data, size_t size) {
  std::memcpy(data, flash_bytes + address, size);
  return true;
}

bool BoardFlashErase(uint32_t address) {
  std::memset(flash_bytes + address, 0xff, kFlashSectorBytes);
  return true;
}

bool BoardFlashProgram(uint32_t address, const void* data, size_t size) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  for (size_t i = 0; i < size; ++i) flash_bytes[address + i] &= bytes[i];
  return true;
}

}  // namespace oddity
