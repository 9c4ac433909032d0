// What the effect is fed: the guitar or, to reamp, the first channel from the host.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "pedal/effect.h"
#include "pedal/host_stream.h"
#include "pedal/ramp.h"

namespace oddity {

class InputSource {
 public:
  void Init() {
    reamp_ = waits_ = false;
    host_share_.Init(0, kRampSamples);
  }

  // By the main loop. Reamping holds only while the host plays.
  void SetReamp(bool reamp) { reamp_ = reamp; }

  // The next frame from the host that is not all zero is the effect's first; until then it stands still. Only while it
  // reamps; the effect is to be settled before.
  void WaitForHost() { waits_ = reamp_.load(); }
  bool waits() const { return waits_; }

  // By the audio interrupt.
  void BeginBlock(bool host_plays) {
    const bool from_host = reamp_ && host_plays;
    host_share_.SetTarget(from_host ? kFull : 0);
    if (!from_host) waits_ = false;
  }

  // Frames of the span that the effect still has to wait; with it go zeros.
  size_t Wait(const HostFrame* host, size_t size) {
    if (!waits_) return 0;
    size_t frames = 0;
    while (frames < size && host[frames].first == 0 && host[frames].second == 0) ++frames;
    if (frames < size) {
      waits_ = false;
      host_share_.Settle();
    }
    return frames;
  }

  int32_t Next(int32_t guitar, int32_t from_host) {
    const int32_t share = host_share_.Next();
    if (share == 0) return guitar;
    return guitar + static_cast<int32_t>(((int64_t{from_host} - guitar) * share) >> 30);
  }

 private:
  static constexpr int32_t kFull = 1 << 30;
  static constexpr int32_t kRampSamples = kSampleRateHz / 200;

  std::atomic<bool> reamp_, waits_;
  Ramp host_share_;
};

}  // namespace oddity
