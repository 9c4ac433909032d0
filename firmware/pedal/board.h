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
  bool real_time;        // audio that comes too late is lost
  bool has_boot_loader;  // one that takes a new image
};

extern const BoardDescription kBoard;

uint32_t BoardCounter();  // counts up and wraps

// What the counter may count for a frame at 48 kHz while `engine` plays; 0: this board has no deadline.
uint32_t BoardBudgetPerFrame(EngineKind engine);

void BoardSend(const uint8_t* data, size_t size);  // to the host

// While locked, the audio interrupt waits. To be unlocked with what locking gave.
uint32_t BoardLockAudio();
void BoardUnlockAudio(uint32_t before);

class AudioLock {
 public:
  AudioLock() : before_(BoardLockAudio()) {}
  ~AudioLock() { BoardUnlockAudio(before_); }
  AudioLock(const AudioLock&) = delete;

 private:
  uint32_t before_;
};

// NOR flash for models: erasing makes all bits of a sector 1, programming makes some of them 0. False when it fails.
constexpr uint32_t kFlashSectorBytes = 4096;
bool BoardFlashRead(uint32_t address, void* data, size_t size);
bool BoardFlashErase(uint32_t address);  // the sector that begins there
bool BoardFlashProgram(uint32_t address, const void* data, size_t size);

// Frames a block of audio, 1 to kMaxBlock, where the board makes the blocks.
void BoardSetBlock(size_t frames);

void BoardEnterBootLoader();  // where there is one

}  // namespace oddity
