#include "boards/daisy/reset.h"

#include "boards/daisy/backup.h"
#include "boards/daisy/cycle_counter.h"
#include "boards/daisy/registers.h"

namespace oddity {
namespace {

constexpr uint32_t kBootRequest = 0xB007B007;
constexpr uint32_t kFaultNoted = 0xFA170000;              // and the exception's number in the lower half
constexpr uintptr_t kRomBootloader = 0x1FF09800;          // AN2606, STM32H74xxx/75xxx
constexpr uint32_t kCfsrAddressValid = Bit(7) | Bit(15);  // MMARVALID, BFARVALID

// At the next frame; the codec then holds silence while the chip restarts.
void MuteAudio() {
  if (!(RCC->APB2ENR & RCC_APB2ENR_SAI1EN)) return;
  SaiBlockRegisters& transmitter = SAI1->A.CR1 & SAI_CR1_MODE_RECEIVE ? SAI1->B : SAI1->A;
  SetBits(transmitter.CR2, SAI_CR2_MUTE);
  WaitCycles(kCoreHz / 10'000, [] { return false; });
}

}  // namespace

void SystemReset() {
  DataBarrier();
  SCB->AIRCR = SCB_AIRCR_VECTKEY | SCB_AIRCR_SYSRESETREQ;
  DataBarrier();
  for (;;) {
  }
}

void RebootToBootloader() {
  WriteBackup(Backup::kBootRequest, kBootRequest);
  SystemReset();
}

void EnterBootloaderIfAsked() {
  if (ReadBackup(Backup::kBootRequest) != kBootRequest) return;
  WriteBackup(Backup::kBootRequest, 0);
  SCB->VTOR = kRomBootloader;
  DataBarrier();
  const auto* const vectors = reinterpret_cast<const uint32_t*>(kRomBootloader);
  __asm volatile("msr msp, %0\n bx %1" ::"r"(vectors[0]), "r"(vectors[1]) : "memory");
  __builtin_unreachable();
}

ResetCause TakeResetCause() {
  const uint32_t flags = RCC->RSR;
  SetBits(RCC->RSR, RCC_RSR_RMVF);
  ClearBits(RCC->RSR, RCC_RSR_RMVF);
  if (flags & RCC_RSR_PORRSTF) return ResetCause::kPower;
  if (flags & RCC_RSR_IWDG1RSTF) return ResetCause::kWatchdog;
  return flags & RCC_RSR_SFTRSTF ? ResetCause::kSoftware : ResetCause::kPin;
}

bool TakeFault(Fault* fault) {
  const uint32_t noted = ReadBackup(Backup::kFault);
  if ((noted & 0xFFFF0000) != kFaultNoted) return false;
  *fault = {noted & 0xFFFF, ReadBackup(Backup::kFaultPc), ReadBackup(Backup::kFaultLr),
            ReadBackup(Backup::kFaultStatus), ReadBackup(Backup::kFaultAddress)};
  WriteBackup(Backup::kFault, 0);
  return true;
}

}  // namespace oddity

extern "C" {

[[noreturn, gnu::used]] void NoteFault(uint32_t pc, uint32_t lr) {
  using namespace oddity;
  if (*DHCSR & DHCSR_C_DEBUGEN) __asm volatile("bkpt 0");
  MuteAudio();
  uint32_t exception;
  __asm volatile("mrs %0, ipsr" : "=r"(exception));
  const uint32_t status = SCB->CFSR;
  WriteBackup(Backup::kFaultPc, pc);
  WriteBackup(Backup::kFaultLr, lr);
  WriteBackup(Backup::kFaultStatus, status);
  WriteBackup(Backup::kFaultAddress, !(status & kCfsrAddressValid) ? 0 : status & Bit(7) ? SCB->MMFAR : SCB->BFAR);
  WriteBackup(Backup::kFault, kFaultNoted | exception);
  SystemReset();
}

// What was stacked is read before the stack, which may be the reason, is begun anew. The MPU is off in here, so that
// the guard below the stack does not fault again (MPU_CTRL.HFNMIENA is 0, and no fault but HardFault is enabled).
[[gnu::naked]] void FaultHandler() {
  __asm volatile(
      "ldr r0, [sp, #24]\n"
      "ldr r1, [sp, #20]\n"
      "ldr r2, =__stack\n"
      "mov sp, r2\n"
      "b NoteFault\n"
      ".ltorg");
}
}
