// The whole pedal but its board:
//
//   knobs, footswitches ──┐
//   host ── HostPort ─────┼── Player ── ModelSlots ── flash memory
//                         └── Effect ── two Engines
//
//   guitar ── InputSource ─┬── Effect ─┬── + ── out
//   host's audio ── reamp ─┘  monitor ─│───┘
//                                      └── to the host: what went in, what came out
//
// A board with an audio interrupt calls `BeginBlock`, `Play` for spans of the block, and `EndBlock` from there, and
// `StepControls` every few milliseconds, with the same priority. Its main loop calls `Service` and gives the host's
// bytes to `host`.
#pragma once

#include "pedal/board.h"
#include "pedal/controls.h"
#include "pedal/effect.h"
#include "pedal/host_port.h"
#include "pedal/host_stream.h"
#include "pedal/input_source.h"
#include "pedal/load_meter.h"
#include "pedal/model_slots.h"
#include "pedal/player.h"

namespace oddity {

class Pedal {
 public:
  static constexpr size_t kSpan = Effect<Engine>::kControlInterval;

  void Init();

  void BeginBlock(size_t frames, bool host_plays);

  // At most kSpan frames; samples have 24 bits, sign-extended. `host`: from the host, then to the host; zeros where
  // there is none.
  void Play(const int32_t* guitar, HostFrame* host, int32_t* out, size_t size);
  void EndBlock();

  struct Lights {
    bool on[kLedCount];  // the effect is on; what comes in or goes out clips (a flash), or no time is left (blinks)
  };
  Lights StepControls(const ControlReadings& readings, int ms);  // `ms` after the last time

  void Service();

  InputSource input;
  Effect<Engine> effect;
  ModelSlots slots;
  Player player;
  LoadMeter meter;
  HostPort host;

 private:
  void Apply(int pot, int32_t position_q31);
  void PlayEffect(int32_t* samples, size_t size);  // Q31
  void FadeOut(int32_t* out, size_t size);

  uint32_t block_start_, block_budget_;
  size_t block_frames_;
  Pot pots_[kPotCount];
  Footswitch footswitches_[kFootswitchCount];
  bool pots_read_;
  uint32_t time_ms_;
  int clip_left_ms_;
  bool silent_;  // since the host has the audio
  int32_t last_, fade_left_;
  Ramp share_;  // of the board's audio, Q30
  std::atomic<bool> boot_loader_wanted_;
};

}  // namespace oddity
