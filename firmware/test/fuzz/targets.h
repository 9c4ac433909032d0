// What is fuzzed. Each run begins with the pedal as it is when the power comes.
#pragma once

#include <cstddef>
#include <cstdint>

namespace oddity::fuzz {

void FuzzUsb(const uint8_t* data, size_t size);       // the device alone: control transfers, streams, the serial port
void FuzzProtocol(const uint8_t* data, size_t size);  // the whole pedal, mostly through the host protocol

using Target = void (*)(const uint8_t* data, size_t size);
Target FindTarget(const char* name);  // nullptr: there is none

}  // namespace oddity::fuzz
