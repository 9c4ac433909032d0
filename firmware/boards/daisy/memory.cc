#include "boards/daisy/memory.h"

#include "boards/daisy/registers.h"

extern "C" char __stack_guard[], __dma_region[];  // by the linker script

namespace oddity {
namespace {

enum Access : uint32_t {
  kNoAccess = MPU_RASR_AP_NONE | MPU_RASR_XN | MPU_RASR_S,                    // strongly ordered
  kNotCached = MPU_RASR_AP_FULL | MPU_RASR_XN | MPU_RASR_S | MPU_RASR_TEX_1,  // normal memory
};

// The size is 2 to the `size_log2` bytes, the address a multiple of it. Of eight equal parts, those whose bit is set in
// `parts_off` are not of the region. Of two regions, the one of the higher number holds.
void InitRegion(uint32_t number, uint32_t address, int size_log2, Access access, uint32_t parts_off = 0) {
  MPU->RNR = number;
  MPU->RBAR = address;
  MPU->RASR = access | parts_off << MPU_RASR_SRD | (size_log2 - 1) << MPU_RASR_SIZE | MPU_RASR_ENABLE;
}

// Flash, AXI SRAM, SRAM1 and SRAM2 are cached as in the architecture's default map (Armv7-M B3.1), which holds where no
// region does.
void InitMpu() {
  DataBarrier();
  MPU->CTRL = 0;
  // External memories (0x60000000 to 0xDFFFFFFF): none is mapped, and the core would read ahead into them (AN4838).
  InitRegion(0, 0, 32, kNoAccess, 0x87);
  InitRegion(1, reinterpret_cast<uint32_t>(__dma_region), 15, kNotCached);
  InitRegion(2, reinterpret_cast<uint32_t>(__stack_guard), 8, kNoAccess);
  InitRegion(3, 0, 5, kNoAccess);  // what a null pointer points at
  MPU->CTRL = MPU_CTRL_ENABLE | MPU_CTRL_PRIVDEFENA;
  DataBarrier();
  InstructionBarrier();
}

void EnableInstructionCache() {
  *SCB_ICIALLU = 0;
  DataBarrier();
  InstructionBarrier();
  SetBits(SCB->CCR, SCB_CCR_IC);
  DataBarrier();
  InstructionBarrier();
}

// After a reset the lines hold anything.
void EnableDataCache() {
  if (SCB->CCR & SCB_CCR_DC) return;
  CACHE->CSSELR = 0;  // level 1, data
  DataBarrier();
  const uint32_t geometry = CACHE->CCSIDR;
  const uint32_t last_set = geometry >> 13 & 0x7FFF, last_way = geometry >> 3 & 0x3FF;
  for (uint32_t set = 0; set <= last_set; ++set) {
    for (uint32_t way = 0; way <= last_way; ++way) *SCB_DCISW = way << 30 | set << 5;  // 4 ways, lines of 32 bytes
  }
  DataBarrier();
  SetBits(SCB->CCR, SCB_CCR_DC);
  DataBarrier();
  InstructionBarrier();
}

}  // namespace

void InitMemory() {
  EnableClock(RCC->AHB2ENR, RCC_AHB2ENR_SRAM1EN | RCC_AHB2ENR_SRAM2EN | RCC_AHB2ENR_SRAM3EN);
  InitMpu();
  EnableInstructionCache();
  EnableDataCache();
}

}  // namespace oddity
