#include "pedal/pedal.h"

#include <cstring>

#include "pedal/built_in_model.h"
#include "pedal/knob_law.h"

namespace oddity {
namespace {

[[gnu::section(".bss.dtcm")]] Engine playing_engine;
Engine next_engine;

constexpr int32_t kUnity = Effect<Engine>::kUnityLevel;
enum PotUse { kInputPot, kDrivePot, kMorphPot, kTonePot, kGatePot, kLevelPot };
constexpr int kClipMs = 100, kBlinkMs = 128;
constexpr int kBootLoaderMs = 3000;  // both footswitches held

}  // namespace

void Pedal::Init() {
  effect.Init(&playing_engine, &next_engine);
  slots.Init();
  if (const ModelView* model = BuiltInModel()) slots.Install(0, model);
  meter.Clear();
  player.Init(&effect, &slots);
  host.Init(&effect, &slots, &player, &meter);
  for (Footswitch& footswitch : footswitches_) footswitch.Init();
  pots_read_ = false;
  input_gain_ = drive_gain_ = kUnity;
  time_ms_ = clip_left_ms_ = 0;
  boot_loader_wanted_ = false;
  player.Settle();
}

void Pedal::BeginBlock(size_t frames) {
  block_start_ = BoardCounter();
  block_frames_ = frames;
  block_budget_ = BoardBudgetPerFrame(player.engine()) * static_cast<uint32_t>(frames);
}

void Pedal::Play(const int32_t* in, int32_t* out, size_t size) {
  if (host.has_the_audio()) {
    std::memset(out, 0, size * sizeof *out);
    return;
  }
  effect.Process(in, out, size);
  if (kBoard.real_time && BoardCounter() - block_start_ > block_budget_) effect.Overload();
}

void Pedal::EndBlock() {
  if (host.has_the_audio()) return;
  meter.Record(BoardCounter() - block_start_, block_frames_, BoardBudgetPerFrame(player.engine()));
}

Pedal::Lights Pedal::StepControls(const ControlReadings& readings) {
  ++time_ms_;
  bool held = true;
  for (int index = 0; index < kFootswitchCount; ++index) {
    if (footswitches_[index].Read(readings.pressed[index])) {
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

  const bool host_has_spoken = host.TakeHasSet();
  if (!host.has_the_audio()) {
    if (drive_gain_ != kUnity && player.knobs().count > 0 && !player.knobs().morph) {
      drive_gain_ = kUnity;  // the knob has become the model's
      SetInputLevel();
    }
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
  if (clip_left_ms_ > 0) --clip_left_ms_;
  const bool blinks = effect.overloaded() && time_ms_ / kBlinkMs % 2 == 0;
  return {{!effect.bypass() && player.slot() != Player::kNone, clip_left_ms_ > 0 || blinks}};
}

void Pedal::Apply(int pot, int32_t position_q31) {
  const Player::Knobs knobs = player.knobs();
  switch (pot) {
    case kInputPot:
      input_gain_ = GainQ28(position_q31, -12, 0, 12);
      return SetInputLevel();
    case kDrivePot:
      if (knobs.count > 0 && !knobs.morph) return effect.SetKnob(0, position_q31);
      drive_gain_ = GainQ28(position_q31, 0, 9, 18);
      return SetInputLevel();
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

void Pedal::SetInputLevel() {
  effect.SetInputLevel(SaturateToInt32((int64_t{input_gain_} * drive_gain_) >> kLevelFracBits));
}

void Pedal::Service() {
  player.Service();
  if (boot_loader_wanted_) BoardEnterBootLoader();
}

}  // namespace oddity
