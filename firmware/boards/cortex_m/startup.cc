// From reset to main() on a Cortex-M7: what the board needs for its memories, FPU on, code and data copied to where
// they run, the rest cleared, constructors run.
#include <cstdint>
#include <cstdlib>
#include <cstring>

extern "C" {
// by the linker script
extern char __stack;
struct Copy {
  char *to, *from;
  size_t bytes;
};
struct Clear {
  char* at;
  size_t bytes;
};
extern const Copy __copy_table[], __copy_table_end[];
extern const Clear __clear_table[], __clear_table_end[];

void __libc_init_array();
void initialise_monitor_handles() __attribute__((weak));  // newlib's semihosting, where the board links it
// Before any memory but the stack is touched: neither data nor bss is there yet.
void BoardInitEarly() __attribute__((weak));
int main();
constexpr uint32_t kFlushToZero = 1u << 24;  // denormals, in FPSCR and FPDSCR

void _init() {}
void _fini() {}
void* __dso_handle = nullptr;  // static objects are never destroyed
int __aeabi_atexit(void*, void (*)(void*), void*) { return 0; }

void Reset_Handler() {
  if (BoardInitEarly) BoardInitEarly();
  auto& coprocessor_access = *reinterpret_cast<volatile uint32_t*>(0xE000ED88);  // CPACR, Armv7-M B3.2.20
  coprocessor_access = coprocessor_access | 0xFu << 20;
  __asm volatile("dsb\n isb" ::: "memory");
  uint32_t status;
  __asm volatile("vmrs %0, fpscr" : "=r"(status));
  __asm volatile("vmsr fpscr, %0" ::"r"(status | kFlushToZero));
  // From here an interrupt handler's FPSCR comes (FPDSCR, Armv7-M B3.2.24).
  auto& default_status = *reinterpret_cast<volatile uint32_t*>(0xE000EF3C);
  default_status = default_status | kFlushToZero;
  for (const Copy* copy = __copy_table; copy != __copy_table_end; ++copy)
    std::memcpy(copy->to, copy->from, copy->bytes);
  for (const Clear* clear = __clear_table; clear != __clear_table_end; ++clear) std::memset(clear->at, 0, clear->bytes);
  __asm volatile("dsb\n isb" ::: "memory");  // the code that was copied may now be fetched
  if (initialise_monitor_handles) initialise_monitor_handles();
  __libc_init_array();
  std::exit(main());
}

// A board may have its own.
__attribute__((weak)) void FaultHandler() {
  for (;;) __asm volatile("bkpt 0");
}
}

// The board's interrupts follow in the section ".vectors.board".
using Handler = void (*)();
struct Vectors {
  const void* stack;
  Handler reset;
  Handler exceptions[14];
};
__attribute__((section(".vectors"), used)) static const Vectors kVectors = {
    &__stack,
    Reset_Handler,
    {FaultHandler, FaultHandler, FaultHandler, FaultHandler, FaultHandler,  // NMI, Hard, MemManage, Bus, Usage
     nullptr, nullptr, nullptr, nullptr, FaultHandler,                      // SVCall
     FaultHandler, nullptr, FaultHandler, FaultHandler},                    // DebugMonitor, PendSV, SysTick
};
