// The pedal's side of the host protocol.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "engine/engine.h"
#include "pedal/effect.h"
#include "pedal/frame.h"
#include "pedal/host_stream.h"
#include "pedal/input_source.h"
#include "pedal/load_meter.h"
#include "pedal/model_slots.h"
#include "pedal/player.h"

namespace oddity {

class HostPort {
 public:
  void Init(InputSource* input, Effect<Engine>* effect, ModelSlots* slots, Player* player, LoadMeter* meter);

  void Receive(uint8_t byte);  // answers when a request is complete
  void Quiet();                // nothing has been received for a while

  // Of a board that has audio to and from the host; else there are none.
  void ReportStream(HostStreamStats* stats) { stream_ = stats; }

  // While it has, `Process` plays what the host sends, and the board's own audio is silent.
  bool has_the_audio() const { return has_the_audio_; }

  // Whether the host has set or chosen something since this was last asked.
  bool TakeHasSet() { return has_set_.exchange(false); }

 private:
  class Reader;
  class Writer;

  void AnswerAll();
  void Answer(const Frame& request);
  Status Dispatch(Message message, Reader& request, Writer& reply);
  Status Hello(Writer& reply) const;
  Status Read(Reader& request, Writer& reply) const;
  Status Process(Reader& request, Writer& reply);
  Status Stats(Writer& reply) const;
  Status StreamStats(Writer& reply) const;
  void Settle();
  Status Set(Parameter parameter, int32_t value);

  InputSource* input_;
  Effect<Engine>* effect_;
  ModelSlots* slots_;
  Player* player_;
  LoadMeter* meter_;
  HostStreamStats* stream_;
  FrameParser parser_;
  std::atomic<bool> has_the_audio_, has_set_;
  bool boot_loader_wanted_;
  uint8_t reply_[kMaxPayload + kFrameOverheadBytes];
};

}  // namespace oddity
