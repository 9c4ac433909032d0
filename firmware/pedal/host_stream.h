// Audio to and from the host, as the pedal and what carries it (USB) see it.
#pragma once

#include <atomic>
#include <cstdint>

namespace oddity {

// 24-bit samples, sign-extended. From the host: a dry guitar for the effect, and a monitor that is heard with it. To
// the host: what the effect was fed, and what came of it.
struct HostFrame {
  int32_t first, second;
};

struct HostStreamStats {
  std::atomic<uint32_t> frames_from_host{0}, frames_to_host{0};
  std::atomic<uint32_t> underruns{0}, overruns{0};            // gaps: packets too few, or too many for the ring
  std::atomic<uint32_t> level_min{UINT32_MAX}, level_max{0};  // frames in the playback buffer, looked at each ms
  std::atomic<uint32_t> feedback{0};                          // the last, frames a ms in 16.16

  void Clear() {
    frames_from_host = frames_to_host = underruns = overruns = level_max = 0;
    level_min = UINT32_MAX;
  }
};

}  // namespace oddity
