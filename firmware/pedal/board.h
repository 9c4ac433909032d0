// What the portable pedal asks of the board that it runs on.
#pragma once

#include <cstddef>
#include <cstdint>

#include "pedal/protocol_table.h"

namespace oddity {

struct BoardDescription {
  const char* name;
  CounterUnit counter_unit;
  uint32_t budget_per_frame;  // of the counter, at 48 kHz; 0: this board has no deadline
};

extern const BoardDescription kBoard;

uint32_t BoardCounter();                           // counts up and wraps
void BoardSend(const uint8_t* data, size_t size);  // to the host

}  // namespace oddity
