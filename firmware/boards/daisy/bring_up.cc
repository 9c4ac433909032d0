// For the first time on a board, with a scope: every driver in turn, what it finds told on the serial port (D13, 1
// Mbaud). Then audio passes through, the LEDs follow the footswitches, and a line a second has knobs, level, load, and
// what a host on USB did.
//
// What is done before the first line can be told is seen on the Seed's LED: dark, the image does not run; lit, it hangs
// in the clocks; blinking fast, the clocks do not come; blinking once a second, all runs.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "boards/daisy/adc.h"
#include "boards/daisy/audio.h"
#include "boards/daisy/clocks.h"
#include "boards/daisy/cycle_counter.h"
#include "boards/daisy/flash.h"
#include "boards/daisy/interrupts.h"
#include "boards/daisy/pins.h"
#include "boards/daisy/reset.h"
#include "boards/daisy/serial.h"
#include "boards/daisy/usb.h"
#include "boards/daisy/watchdog.h"

namespace oddity {
namespace {

constexpr size_t kBlockFrames = 48;
constexpr uint32_t kBlocksASecond = 48'000 / kBlockFrames;

Serial serial;
Audio audio;
Adc adc;
Flash flash;
Usb usb;
Watchdog watchdog;

// What a host does first: it resets the bus and asks. It is refused, and gives up.
class UsbProbe final : public UsbEvents {
 public:
  volatile uint32_t resets, requests, frames;

  void OnReset() override { resets = resets + 1; }
  void OnSuspend() override {}
  void OnResume() override {}
  void OnStartOfFrame() override { frames = frames + 1; }
  void OnSetup(const UsbSetup&) override {
    requests = requests + 1;
    usb.Stall(0);
  }
  void OnSent(uint8_t) override {}
  void OnReceived(uint8_t, size_t) override {}
} usb_probe;

volatile int32_t peak;          // of the left input, 24 bits, since the last line
volatile uint32_t most_cycles;  // of a block

void Say(const char* text) { serial.Write(reinterpret_cast<const uint8_t*>(text), std::strlen(text)); }

void SayNumber(uint32_t number, uint32_t base = 10) {
  char digits[12];
  char* at = digits + sizeof digits - 1;
  for (*at = 0; number > 0 || !*at; number /= base) *--at = "0123456789ABCDEF"[number % base];
  Say(at);
}

void Say(const char* name, uint32_t number, uint32_t base = 10) {
  Say(name);
  SayNumber(number, base);
}

void PassThrough(const int32_t* in, int32_t* out, size_t frames) {
  const uint32_t start = CycleCount();
  int32_t loudest = peak;
  for (size_t i = 0; i < 2 * frames; ++i) {
    const int32_t sample = in[i];
    out[i] = sample;
    if (i % 2 == 0)
      loudest = std::max(loudest, std::abs(static_cast<int32_t>(static_cast<uint32_t>(sample) << 8) >> 8));
  }
  peak = loudest;
  most_cycles = std::max(uint32_t{most_cycles}, CycleCount() - start);
}

void SayReset() {
  constexpr const char* kCauses[] = {"power", "reset pin", "software", "watchdog"};
  Say("reset by: ");
  Say(kCauses[static_cast<int>(TakeResetCause())]);
  Fault fault;
  if (TakeFault(&fault)) {
    Say("\r\nfault ", fault.exception);
    Say(" at 0x", fault.pc, 16);
    Say(" from 0x", fault.lr, 16);
    Say(" CFSR 0x", fault.status, 16);
    Say(" address 0x", fault.address, 16);
  }
}

void SayRevision() {
  constexpr const char* kRevisions[] = {"Seed (rev 4), AK4556", "Seed 1.1 (rev 5), WM8731", "Seed 2 DFM, PCM3060"};
  Say("\r\nboard: ");
  Say(kRevisions[static_cast<int>(audio.revision())]);
}

// Reads only: what is in the flash is not this program's.
void SayFlash() {
  const bool found = flash.Init();
  Say("\r\nflash: 0x", flash.id(), 16);
  Say(found ? " (IS25LP064A)" : " FAILED: not an IS25LP064A");
  uint8_t first[8];
  if (!found || !flash.Read(0, first, sizeof first)) return;
  Say(", begins with");
  for (uint8_t byte : first) Say(" ", byte, 16);
}

void SayLine() {
  Say("\r\nknobs");
  for (int knob = 0; knob < 6; ++knob) Say(" ", adc.Read(knob));
  const Audio::Counts counts = audio.counts();
  Say(" | peak ", peak);
  Say(" of 8388608 | cycles a block ", most_cycles);
  Say(" of ", kCoreHz / kBlocksASecond);
  Say(" | blocks ", counts.blocks);
  Say(" missed ", counts.missed);
  Say(" errors ", counts.errors);
  Say(" | USB resets ", usb_probe.resets);
  Say(" requests ", usb_probe.requests);
  Say(" frames ", usb_probe.frames);
  peak = 0;
  most_cycles = 0;
}

// Time is counted in blocks of audio: the cycle counter sleeps when the core does.
void Run() {
  uint32_t next_line = kBlocksASecond;
  for (bool lit = false;;) {
    watchdog.Feed();
    for (int i = 0; i < 2; ++i) kLedPins[i].Write(!kFootswitchPins[i].Read());
    if (audio.counts().blocks >= next_line) {
      next_line += kBlocksASecond;
      kSeedLedPin.Write(lit = !lit);
      SayLine();
    }
    WaitForInterrupt();
  }
}

}  // namespace
}  // namespace oddity

int main() {
  using namespace oddity;
  kSeedLedPin.InitOutput(true);
  const ClockSource source = InitClocks();
  serial.Init(1'000'000);
  Say("\r\n\r\nOddity bring-up\r\n");
  SayReset();
  Say(source == ClockSource::kCrystal ? "\r\nclocks: crystal" : "\r\nclocks: FAILED: no crystal, running from HSI");
  for (const Pin& pin : kFootswitchPins) pin.InitInput(Pull::kUp);
  for (const Pin& pin : kLedPins) pin.InitOutput(false);
  Say(adc.Init() ? "\r\nADC: runs" : "\r\nADC: FAILED: does not start");
  SayFlash();
  const bool answers = audio.Init(PassThrough, kBlockFrames);
  SayRevision();
  Say(answers ? "" : " FAILED: does not answer");
  usb.Connect(&usb_probe);
  watchdog.Init();
  UnmaskInterrupts();
  Run();
}
