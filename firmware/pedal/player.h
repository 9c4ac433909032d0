// Which model plays. What was asked for last is loaded as soon as the change before it is over.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "pedal/effect.h"
#include "pedal/model_slots.h"

namespace oddity {

class Player {
 public:
  // Plays what was played last, or else the first model there is.
  void Init(Effect<Engine>* effect, ModelSlots* slots) {
    effect_ = effect;
    slots_ = slots;
    slot_ = playing_slot_ = first_damaged_ = kNone;
    engine_ = EngineKind::kFixed;
    wanted_ = false;
    steps_ = 0;
    knobs_ = {};
    if (slots->Filled(slots->remembered())) {
      Select(slots->remembered(), EngineKind::kFixed);
    } else {
      SelectNext();
    }
  }

  // A filled slot. False when the engine does not play its model.
  bool Select(int slot, EngineKind engine) {
    if (engine != EngineKind::kFixed) {
      const ModelView* model = slots_->Look(slot);
      if (model == nullptr || !Engine::Plays(engine, *model)) return false;
    }
    slot_ = slot;
    engine_ = engine;
    wanted_ = true;
    std::fill(set_knobs_, set_knobs_ + kMaxKnobs, kUnset);
    return true;
  }

  // A slot that was just filled, with the engine that plays now, where it can.
  void Play(int slot) {
    if (!Select(slot, engine_)) Select(slot, EngineKind::kFixed);
  }

  // Of the model that was chosen last, also while the one before it still plays. Not from the audio interrupt.
  void SetKnob(int knob, int32_t position_q31) {
    if (wanted_) {
      set_knobs_[knob] = position_q31;
    } else {
      const AudioLock lock;
      effect_->SetKnob(knob, position_q31);
    }
  }

  // The next filled slot; from the audio interrupt, or anywhere.
  void StepToNext() { ++steps_; }

  // The main loop's part.
  [[gnu::cold, gnu::noinline]] void Service() {
    TakeSteps();
    if (wanted_ && !effect_->changing()) Change();
    effect_->Service();
  }

  // Everything as if it had been set long ago. Not while the audio plays.
  [[gnu::cold, gnu::noinline]] void Settle() {
    TakeSteps();
    if (effect_->changing()) effect_->Settle();
    if (wanted_) Change();
    effect_->Settle();
  }

  int slot() const { return slot_; }  // kNone: no model
  EngineKind engine() const { return engine_; }

  // How the model that was chosen is turned.
  struct Knobs {
    uint8_t count;
    bool morph;  // the only knob goes from amp to amp
  };
  Knobs knobs() const { return knobs_; }

  static constexpr int kNone = -1;

 private:
  static constexpr int32_t kUnset = -1;

  void TakeSteps() {
    if (steps_ == 0) return;
    for (; steps_ > 0; --steps_) SelectNext();
    slots_->Remember(slot_);
  }

  void SelectNext() {
    for (int step = 1; step <= ModelSlots::kCount; ++step) {
      const int slot = (slot_ + step) % ModelSlots::kCount;
      if (slot == slot_ || !slots_->Filled(slot)) continue;
      Select(slot, EngineKind::kFixed);
      return;
    }
  }

  void Change() {
    wanted_ = false;
    const ModelView* model = slots_->Open(slot_);
    if (model == nullptr) {  // damaged: what plays goes on, or else another is tried
      const int damaged = slot_;
      if (playing_slot_ != kNone || damaged == first_damaged_) {
        slot_ = playing_slot_;
      } else {
        if (first_damaged_ == kNone) first_damaged_ = damaged;
        SelectNext();
      }
      return;
    }
    playing_slot_ = slot_;
    const AudioLock lock;
    knobs_ = {model->description->knob_count, model->description->architecture == Architecture::kEq};
    effect_->ChangeModel(engine_, model);
    for (int knob = 0; knob < kMaxKnobs; ++knob) {
      if (set_knobs_[knob] != kUnset) effect_->SetKnob(knob, set_knobs_[knob]);
    }
  }

  Effect<Engine>* effect_;
  ModelSlots* slots_;
  int slot_, playing_slot_;
  int first_damaged_;  // that was tried since the start
  EngineKind engine_;
  bool wanted_;
  int32_t set_knobs_[kMaxKnobs];  // for the model that is wanted
  std::atomic<int> steps_;
  Knobs knobs_;
};

}  // namespace oddity
