#include "pedal/pedal.h"

#include <algorithm>

#include "pedal/built_in_model.h"
#include "pedal/knob_law.h"

namespace oddity {
namespace {

[[gnu::section(".bss.dtcm")]] Engine playing_engine;
Engine next_engine;

enum PotUse { kInputPot, kDrivePot, kMorphPot, kTonePot, kGatePot, kLevelPot };
constexpr int kClipMs = 100;
constexpr uint32_t kBlinkMs = 128;
constexpr int32_t kFull = 1 << 30;
constexpr int32_t kSampleMax = (1 << 23) - 1, kSampleMin = -(1 << 23);
constexpr int32_t kFadeOutSamples = kSampleRateHz / 1000, kFadeInSamples = kSampleRateHz / 200;
constexpr int kBootLoaderMs = 3000;  // both footswitches held

}  // namespace

void Pedal::Init() {
  input.Init();
  effect.Init(&playing_engine, &next_engine);
  slots.Init();
  for (int index = 0; const ModelView* model = BuiltInModel(index); ++index) slots.Install(index, model);
  meter.Clear();
  player.Init(&effect, &slots);
  host.Init(&input, &effect, &slots, &player, &meter);
  for (Footswitch& footswitch : footswitches_) footswitch.Init();
  pots_read_ = false;
  time_ms_ = 0;
  clip_left_ms_ = 0;
  silent_ = false;
  last_ = fade_left_ = 0;
  share_.Init(kFull, kFadeInSamples);
  boot_loader_wanted_ = false;
  player.Settle();
}

void Pedal::BeginBlock(size_t frames, bool host_plays) {
  block_start_ = BoardCounter();
  block_frames_ = frames;
  input.BeginBlock(host_plays);
  block_budget_ = BoardBudgetPerFrame(player.engine()) * static_cast<uint32_t>(frames);
}

void Pedal::Play(const int32_t* guitar, HostFrame* host_frames, int32_t* out, size_t size) {
  int32_t samples[kSpan];
  const size_t waits = input.Wait(host_frames, size);
  for (size_t i = 0; i < size; ++i) {
    const int32_t fed = i < waits ? 0 : input.Next(guitar[i], host_frames[i].first);
    host_frames[i].first = fed;
    samples[i] = static_cast<int32_t>(static_cast<uint32_t>(fed) << 8);
  }
  if (waits > 0 && !host.has_the_audio()) {
    silent_ = false;  // and begins at full level
    share_.Init(kFull, kFadeInSamples);
  }
  if (waits < size) PlayEffect(samples + waits, size - waits);
  for (size_t i = 0; i < size; ++i) {
    const int32_t rounded = (samples[i] > INT32_MAX - 128 ? INT32_MAX : samples[i] + 128) >> 8;
    out[i] = std::clamp(rounded + host_frames[i].second, kSampleMin, kSampleMax);
    host_frames[i].second = rounded;
  }
}

void Pedal::PlayEffect(int32_t* samples, size_t size) {
  if (host.has_the_audio()) return FadeOut(samples, size);
  if (silent_) {
    silent_ = false;
    share_.Init(0, kFadeInSamples);
    share_.SetTarget(kFull);
  }
  effect.Process(samples, samples, size);
  for (size_t i = 0; i < size; ++i) samples[i] = static_cast<int32_t>((int64_t{samples[i]} * share_.Next()) >> 30);
  last_ = samples[size - 1];
  if (kBoard.real_time && BoardCounter() - block_start_ > block_budget_) effect.Overload();
}

void Pedal::FadeOut(int32_t* out, size_t size) {
  if (!silent_) fade_left_ = kFadeOutSamples;
  silent_ = true;
  for (size_t i = 0; i < size; ++i) {
    out[i] = fade_left_ > 0 ? static_cast<int32_t>(int64_t{last_} * --fade_left_ / kFadeOutSamples) : 0;
  }
}

void Pedal::EndBlock() {
  if (host.has_the_audio()) return;
  meter.Record(BoardCounter() - block_start_, block_frames_, BoardBudgetPerFrame(player.engine()));
}

Pedal::Lights Pedal::StepControls(const ControlReadings& readings, int ms) {
  time_ms_ += static_cast<uint32_t>(ms);
  bool held = true;
  for (int index = 0; index < kFootswitchCount; ++index) {
    if (footswitches_[index].Read(readings.pressed[index], ms) && !host.has_the_audio()) {
      if (index == 0) {
        effect.SetBypass(!effect.bypass());
      } else {
        player.StepToNext();
        for (Pot& pot : pots_) pot.Catch();
      }
    }
    held = held && footswitches_[index].held_ms() >= kBootLoaderMs;
  }
  if (held && kBoard.has_boot_loader) boot_loader_wanted_ = true;

  if (!host.has_the_audio()) {
    const bool host_has_spoken = host.TakeHasSet();
    for (int index = 0; index < kPotCount; ++index) {
      Pot& pot = pots_[index];
      if (!pots_read_) pot.Init(readings.pots[index]);
      pot.Read(readings.pots[index]);
      if (host_has_spoken) pot.LetGo();
      if (pot.Holds()) Apply(index, pot.position_q31());
    }
    pots_read_ = true;
  }

  if (effect.TakeClipped()) clip_left_ms_ = kClipMs;
  if (clip_left_ms_ > 0) clip_left_ms_ -= ms;
  const bool blinks = effect.overloaded() && time_ms_ / kBlinkMs % 2 == 0;
  return {{!effect.bypass() && player.slot() != Player::kNone, clip_left_ms_ > 0 || blinks}};
}

void Pedal::Apply(int pot, int32_t position_q31) {
  const Player::Knobs knobs = player.knobs();
  switch (pot) {
    case kInputPot:
      return effect.SetInputLevel(GainQ28(position_q31, -12, 0, 12));
    case kDrivePot:
      if (knobs.count > 0 && !knobs.morph) return effect.SetKnob(0, position_q31);
      return effect.SetDrive(GainQ28(position_q31, 0, 9, 18));
    case kMorphPot:
      if (knobs.morph && knobs.count > 0) effect.SetKnob(0, position_q31);
      if (!knobs.morph && knobs.count > 1) effect.SetKnob(1, position_q31);
      return;
    case kTonePot:
      return effect.SetTone(position_q31);
    case kGatePot:
      return effect.SetGate(position_q31);
    case kLevelPot:
      return effect.SetOutputLevel(position_q31 == 0 ? 0 : GainQ28(position_q31, -40, 0, 12));
  }
}

void Pedal::Service() {
  player.Service();
  if (boot_loader_wanted_) BoardEnterBootLoader();
}

}  // namespace oddity
