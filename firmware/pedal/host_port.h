// The pedal's side of the host protocol.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/engine.h"
#include "pedal/effect.h"
#include "pedal/frame.h"
#include "pedal/load_meter.h"
#include "pedal/model_slots.h"

namespace oddity {

class HostPort {
 public:
  void Init(Effect<Engine>* effect, ModelSlots* slots, LoadMeter* meter);

  void Receive(uint8_t byte);  // answers when a request is complete
  void Quiet() { parser_.GiveUp(); }

  // Makes a filled slot the one that plays.
  void Select(int slot, EngineKind engine);

 private:
  class Reader;
  class Writer;

  void Answer(const Frame& request);
  Status Dispatch(Message message, Reader& request, Writer& reply);
  Status Hello(Writer& reply) const;
  Status Process(Reader& request, Writer& reply);
  Status Set(Parameter parameter, int32_t value);

  Effect<Engine>* effect_;
  ModelSlots* slots_;
  LoadMeter* meter_;
  FrameParser parser_;
  uint8_t active_slot_;
  EngineKind active_engine_;
  uint8_t reply_[kMaxPayload + kFrameOverheadBytes];
};

}  // namespace oddity
