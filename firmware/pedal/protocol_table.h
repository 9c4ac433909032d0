// Made by `python -m hardware.protocol`, which describes the protocol. Do not edit.
#pragma once

#include <cstddef>
#include <cstdint>

namespace oddity {

constexpr uint16_t kProtocolVersion = 3;
constexpr uint8_t kSync = 0xa5;
constexpr uint8_t kReply = 0x80;
constexpr size_t kMaxPayload = 4096;
constexpr uint32_t kBaud = 1000000;
constexpr uint8_t kNoSlot = 255;
constexpr int kLevelFracBits = 28;

enum class Message : uint8_t {
  kHello = 1,
  kSlot = 2,
  kLoadBegin = 3,
  kLoadData = 4,
  kLoadCommit = 5,
  kSelect = 6,
  kSet = 7,
  kProcess = 8,
  kStats = 9,
  kClearStats = 10,
  kReset = 11,
  kRead = 12,
  kBootLoader = 13,
  kUsbStats = 14,
};

enum class Status : uint8_t {
  kOk = 0,
  kUnknownMessage = 1,
  kBadArgument = 2,
  kRejected = 3,
};

enum class Parameter : uint8_t {
  kInputLevel = 0,
  kOutputLevel = 1,
  kBypass = 2,
  kKnob1 = 3,
  kKnob2 = 4,
  kKnob3 = 5,
  kKnob4 = 6,
  kTone = 7,
  kGate = 8,
  kBlockFrames = 9,
  kReamp = 10,
};

enum class CounterUnit : uint8_t {
  kCycles = 0,
  kInstructions = 1,
  kNanoseconds = 2,
};

}  // namespace oddity
