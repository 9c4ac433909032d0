// The pedal as a program of the host, the same code as on a chip.
//
//   program PORT           speaks the host protocol alone, over TCP, with one host, and ends with it
//
//     host ── TcpLine ── pedal.host
//
//   program --usb PORT     is a USB device, over USB/IP, for one host after another
//     --ppm N              the codec's clock is so much faster than the host's
//     --guitar FILE        24-bit samples in little-endian int32, heard once from when the host first records
//     --speed X            so many times as fast as the wall clock; 0: as fast as the host's streams
//     --freeze-feedback    tells the host 48 frames a millisecond always
//
//     guitar ── Codec ──► PlayBlock ── pedal ──► nobody
//     host ── UsbIp ── UsbDevice ──┬── audio ── PlayBlock
//                                  └── serial ── pedal.host
#if defined(__SSE__)
#include <xmmintrin.h>
#endif

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "boards/flash_in_ram.h"
#include "boards/native/codec.h"
#include "boards/native/tcp_line.h"
#include "boards/native/usbip.h"
#include "pedal/pedal.h"
#include "usb/device.h"

namespace oddity {
namespace {

constexpr int kQuietMilliseconds = 500;
constexpr size_t kQuietFrames = kSampleRateHz / 1000 * kQuietMilliseconds;
constexpr size_t kBlockFrames = 48;

struct Options {
  bool usb = false, freeze_feedback = false;
  uint16_t port = 0;
  int ppm = 0;
  double speed = 1;
  const char* guitar = nullptr;
};

Pedal pedal;
TcpLine line;
Codec codec;
UsbIp usbip;
UsbDevice usb;
bool on_usb;
size_t frames_since_quiet;  // and since the host's last byte

int Refuse(const char* what) {
  std::fprintf(stderr, "%s\n", what);
  return 2;
}

bool ReadNumber(const char* text, double least, double most, double* number) {
  char* end;
  *number = std::strtod(text, &end);
  return end != text && *end == 0 && *number >= least && *number <= most;
}

bool ReadOptions(int argc, char** argv, Options* options) {
  double port = 0;
  for (int i = 1; i < argc; ++i) {
    const char* next = i + 1 < argc ? argv[i + 1] : "";
    double number;
    if (std::strcmp(argv[i], "--usb") == 0) {
      options->usb = true;
    } else if (std::strcmp(argv[i], "--freeze-feedback") == 0) {
      options->freeze_feedback = true;
    } else if (std::strcmp(argv[i], "--guitar") == 0 && *next != 0) {
      options->guitar = argv[++i];
    } else if (std::strcmp(argv[i], "--ppm") == 0 && ReadNumber(next, -100'000, 100'000, &number)) {
      options->ppm = static_cast<int>(number);
      ++i;
    } else if (std::strcmp(argv[i], "--speed") == 0 && ReadNumber(next, 0, 1000, &number)) {
      options->speed = number;
      ++i;
    } else if (port != 0 || !ReadNumber(argv[i], 1, UINT16_MAX, &port)) {
      return false;
    }
  }
  options->port = static_cast<uint16_t>(port);
  const Options none;
  const bool usb_only =
      options->freeze_feedback || options->guitar || options->ppm != 0 || options->speed != none.speed;
  return port != 0 && (options->usb || !usb_only);
}

bool ReadGuitar(const char* path, std::vector<int32_t>* samples) {
  std::FILE* file = std::fopen(path, "rb");
  if (file == nullptr) return false;
  uint8_t bytes[4];
  while (std::fread(bytes, sizeof bytes, 1, file) == 1) {
    samples->push_back(static_cast<int32_t>(uint32_t{bytes[0]} | uint32_t{bytes[1]} << 8 | uint32_t{bytes[2]} << 16 |
                                            uint32_t{bytes[3]} << 24));
  }
  std::fclose(file);
  return true;
}

uint32_t CodecPosition() { return codec.position(); }

void PlayBlock(const int32_t* in, int32_t* out, size_t frames) {
  usb.audio.BeginBlock(frames);
  pedal.BeginBlock(frames, usb.audio.host_plays());
  for (size_t start = 0; start < frames; start += Pedal::kSpan) {
    const size_t size = std::min(frames - start, Pedal::kSpan);
    HostFrame host[Pedal::kSpan];
    usb.audio.Take(host, size);
    pedal.Play(in + start, host, out + start, size);
    usb.audio.Give(host, size);
  }
  pedal.EndBlock();
  frames_since_quiet += frames;
}

int PlayOnLine(uint16_t port) {
  if (!line.Accept(port)) {
    std::perror("cannot listen");
    return 1;
  }
  for (;;) {
    uint8_t bytes[4096];
    const size_t count = line.Read(bytes, sizeof bytes, kQuietMilliseconds);
    if (count == 0) pedal.host.Quiet();
    for (size_t i = 0; i < count; ++i) pedal.host.Receive(bytes[i]);
    pedal.Service();
  }
}

int PlayOnUsb(const Options& options) {
  std::vector<int32_t> guitar;
  if (options.guitar != nullptr && !ReadGuitar(options.guitar, &guitar)) return Refuse("cannot read the guitar's file");
  codec.Init(PlayBlock, kBlockFrames, options.ppm);
  codec.SetGuitar(std::move(guitar));
  char serial_number[16];
  std::snprintf(serial_number, sizeof serial_number, "native-%u", options.port);
  usb.Init(&usbip, CodecPosition, serial_number);
  pedal.host.ReportStream(&usb.audio.stats);
  if (!usbip.Init(options.port, options.speed)) {
    std::perror("cannot listen");
    return 1;
  }
  if (options.freeze_feedback) usbip.FreezeFeedback(kFeedbackEndpoint);
  usbip.Connect(&usb);

  for (;;) {
    if (usbip.Serve()) {
      if (usbip.Streams(kCaptureEndpoint)) codec.StartGuitar();
      codec.Advance();
      usbip.Frame();
    }
    if (usb.host_lost()) {
      pedal.host.Quiet();  // before: what it still answers goes nowhere
      usb.TakeHostLost();
      pedal.input.SetReamp(false);
    }
    for (uint8_t byte; usb.serial.room() >= kMaxPayload + kFrameOverheadBytes && usb.serial.Read(&byte);) {
      pedal.host.Receive(byte);
      frames_since_quiet = 0;
    }
    if (frames_since_quiet >= kQuietFrames) {
      pedal.host.Quiet();
      frames_since_quiet = 0;
    }
    pedal.Service();
  }
}

}  // namespace

const BoardDescription kBoard = {"native", CounterUnit::kNanoseconds, false, false};

uint32_t BoardBudgetPerFrame(EngineKind) { return 0; }

uint32_t BoardCounter() {
  return static_cast<uint32_t>(std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1));
}

void BoardSend(const uint8_t* data, size_t size) {
  if (on_usb && usb.host_lost()) return;  // who asked has gone
  if (on_usb) return usb.serial.Write(data, size);
  line.Write(data, size);
}

// Nothing interrupts the main loop, and on the line the host makes the blocks.
uint32_t BoardLockAudio() { return 0; }
void BoardUnlockAudio(uint32_t) {}
void BoardSetBlock(size_t frames) { codec.SetBlock(frames); }
void BoardEnterBootLoader() {}

}  // namespace oddity

int main(int argc, char** argv) {
  using namespace oddity;
  Options options;
  if (!ReadOptions(argc, argv, &options)) {
    return Refuse("usage: program PORT | --usb PORT [--ppm N] [--guitar FILE] [--speed X] [--freeze-feedback]");
  }
#if defined(__SSE__)
  _mm_setcsr(_mm_getcsr() | 0x8000);  // denormals are flushed to zero, as on the chip
#endif
  on_usb = options.usb;
  pedal.Init();
  return on_usb ? PlayOnUsb(options) : PlayOnLine(options.port);
}
