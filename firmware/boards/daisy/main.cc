// The pedal on the Daisy Seed.
//
//   knobs, footswitches ── StepControls ──► lights
//   guitar ── codec ── SAI ── DMA ──► Play ──► DMA ── SAI ── codec ── amplifier
//   host's audio ◄──► USB ◄───────────►│
//   host ── USB or USART ──► host ── models ──► QSPI flash
//
// The first two run in the audio interrupt, the host protocol in the main loop, and USB in its own interrupt, between
// rings to either.
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
#include "pedal/pedal.h"
#include "usb/device.h"

namespace oddity {
namespace {

constexpr size_t kBlockFrames = 48;
constexpr size_t kFramesAMillisecond = kSampleRateHz / 1000;
constexpr size_t kQuietFrames = kSampleRateHz / 2;
constexpr uint32_t kUsbTimeoutUs = 100'000;  // a host that has opened the port and does not read
// What the interrupt itself takes, and is not counted, must fit too.
constexpr uint32_t kBudgetPerFrame = kCoreHz / kSampleRateHz * 95 / 100;

[[gnu::section(".dtcm")]] Pedal pedal;
Audio audio;
Adc adc;
Flash flash;
Serial serial;
Usb usb_controller;
UsbDevice usb;
Watchdog watchdog;
size_t frames_since_controls;
volatile size_t frames_since_quiet;  // and since the host's last byte

enum class Line : uint8_t { kSerial, kUsb } line;  // that the host's last byte came by, and replies go by

void StepControls(int ms) {
  ControlReadings readings;
  for (int knob = 0; knob < kPotCount; ++knob) readings.pots[knob] = adc.Read(knob);
  for (int index = 0; index < kFootswitchCount; ++index) readings.pressed[index] = !kFootswitchPins[index].Read();
  const Pedal::Lights lights = pedal.StepControls(readings, ms);
  for (int led = 0; led < kLedCount; ++led) kLedPins[led].Write(lights.on[led]);
}

// Each span is written as soon as it is there: what comes late in a block is heard later still.
void PlayBlock(const int32_t* in, int32_t* out, size_t frames) {
  usb.audio.BeginBlock(frames);
  pedal.BeginBlock(frames, usb.audio.host_plays());
  for (size_t start = 0; start < frames; start += Pedal::kSpan) {
    const size_t size = std::min(frames - start, Pedal::kSpan);
    int32_t samples[Pedal::kSpan];
    for (size_t i = 0; i < size; ++i)
      samples[i] = static_cast<int32_t>(static_cast<uint32_t>(in[2 * (start + i)]) << 8) >> 8;
    HostFrame host[Pedal::kSpan];
    usb.audio.Take(host, size);
    pedal.Play(samples, host, samples, size);
    usb.audio.Give(host, size);
    for (size_t i = 0; i < size; ++i) out[2 * (start + i)] = out[2 * (start + i) + 1] = samples[i];
  }
  pedal.EndBlock();
  frames_since_quiet = frames_since_quiet + frames;
  frames_since_controls += frames;
  if (frames_since_controls < kFramesAMillisecond) return;
  StepControls(static_cast<int>(frames_since_controls / kFramesAMillisecond));
  frames_since_controls %= kFramesAMillisecond;
}

// Of USB only while a reply has room: the host has to wait until it has read the last ones.
bool UsbReadable() { return usb.serial.Readable() && usb.serial.room() >= kMaxPayload + kFrameOverheadBytes; }

// What the other line has begun and not ended is given up first, and answered there.
void Use(Line next) {
  if (line == next) return;
  pedal.host.Quiet();
  line = next;
}

void ForgetLostHost() {
  if (!usb.host_lost()) return;
  if (line == Line::kUsb) pedal.host.Quiet();  // before: what it still answers goes nowhere
  usb.TakeHostLost();
  pedal.input.SetReamp(false);
}

bool ReadHost(uint8_t* byte) {
  ForgetLostHost();
  if (UsbReadable() && usb.serial.Read(byte)) {
    Use(Line::kUsb);
    return true;
  }
  if (!serial.Read(byte)) return false;
  Use(Line::kSerial);
  return true;
}

void InitPins() {
  for (const Pin& pin : kFootswitchPins) pin.InitInput(Pull::kUp);
  for (const Pin& pin : kLedPins) pin.InitOutput(false);
  kSeedLedPin.InitOutput(false);
}

}  // namespace

const BoardDescription kBoard = {"daisy", CounterUnit::kCycles, true, true};

uint32_t BoardCounter() { return CycleCount(); }
uint32_t BoardBudgetPerFrame(EngineKind) { return kBudgetPerFrame; }
void BoardSend(const uint8_t* data, size_t size) {
  if (line == Line::kSerial) return serial.Write(data, size);
  if (usb.host_lost()) return;  // who asked has gone
  WaitMicroseconds(kUsbTimeoutUs, [size] { return !usb.serial.open() || usb.serial.room() >= size; });
  usb.serial.Write(data, size);
}
uint32_t BoardLockAudio() { return MaskAudioInterrupt(); }
void BoardUnlockAudio(uint32_t before) { RestoreInterruptMask(before); }
bool BoardFlashRead(uint32_t address, void* data, size_t size) { return flash.Read(address, data, size); }
bool BoardFlashErase(uint32_t address) { return flash.EraseSector(address); }
bool BoardFlashProgram(uint32_t address, const void* data, size_t size) { return flash.Program(address, data, size); }
void BoardSetBlock(size_t frames) { audio.SetBlock(frames); }

void BoardEnterBootLoader() {
  serial.Flush();
  WaitMicroseconds(kUsbTimeoutUs, [] { return usb.serial.Flushed(); });
  usb_controller.Disconnect();
  RebootToBootloader();
}

}  // namespace oddity

int main() {
  using namespace oddity;
  InitClocks();
  InitPins();
  serial.Init(kBaud);
  adc.Init();
  flash.Init();
  pedal.Init();
  watchdog.Init();
  usb.Init(&usb_controller, [] { return audio.Position(); }, UsbSerialNumber());
  pedal.host.ReportStream(&usb.audio.stats);
  usb_controller.Connect(&usb);                            // takes its time, in which no audio is to wait
  kSeedLedPin.Write(audio.Init(PlayBlock, kBlockFrames));  // dark: the codec does not answer
  UnmaskInterrupts();

  for (;;) {
    ForgetLostHost();
    for (uint8_t byte; ReadHost(&byte); frames_since_quiet = 0) {
      pedal.host.Receive(byte);
      watchdog.Feed();
    }
    if (frames_since_quiet >= kQuietFrames) {
      pedal.host.Quiet();
      frames_since_quiet = 0;
    }
    pedal.Service();
    watchdog.Feed();
    MaskInterrupts();  // so that none comes between the look and the sleep; one that is pending ends it all the same
    // Of audio, of USB, or of the serial port after the last of some bytes.
    if (!serial.Readable() && !UsbReadable()) WaitForInterrupt();
    UnmaskInterrupts();
  }
}
