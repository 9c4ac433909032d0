// What the portable pedal asks of the board that it runs on.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/engine.h"
#include "pedal/protocol_table.h"

namespace oddity {

struct BoardDescription {
  const char* name;
  CounterUnit counter_unit;
};

extern const BoardDescription kBoard;

uint32_t BoardCounter();  // counts up and wraps

// What the counter may count for a frame at 48 kHz while `engine` plays; 0: this board has no deadline.
uint32_t BoardBudgetPerFrame(EngineKind engine);

void BoardSend(const uint8_t* data, size_t size);  // to the host

}  // namespace oddity
