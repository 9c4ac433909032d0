// The whole pedal but its board:
//
//   host ── HostPort ──┬── ModelSlots
//                      └── Effect ── Engine
#pragma once

#include "pedal/board.h"
#include "pedal/built_in_model.h"
#include "pedal/effect.h"
#include "pedal/host_port.h"
#include "pedal/load_meter.h"
#include "pedal/model_slots.h"

namespace oddity {

struct Pedal {
  Effect<Engine> effect;
  ModelSlots slots;
  LoadMeter meter;
  HostPort host;

  void Init() {
    effect.Init();
    slots.Init();
    meter.Clear();
    host.Init(&effect, &slots, &meter);
    if (const ModelView* model = BuiltInModel(); model != nullptr && slots.Install(0, *model) == nullptr) {
      host.Select(0, EngineKind::kFixed);
    }
  }
};

}  // namespace oddity
