#include "usb/audio.h"

#include <algorithm>
#include <cstring>

#include "pedal/knob_law.h"

namespace oddity {
namespace {

// Audio 2.0, appendix A.14 and A.17
constexpr uint8_t kCurrent = 1, kRange = 2;
constexpr uint8_t kClockFrequency = 1, kClockValid = 2;
constexpr uint8_t kMute = 1, kVolume = 2;
constexpr uint8_t kMaster = 0;

constexpr int kRateFracBits = 16;
constexpr int32_t kNominalRate = static_cast<int32_t>(kNominalFrames) << kRateFracBits;  // frames a ms
constexpr int32_t kLargestCorrection = 1 << (kRateFracBits - 1);

// A frame too many in the buffer makes the host send 1/256 frame a ms less. So the level settles in a quarter of a
// second, and a difference of 1,000 ppm between the clocks moves it by 12 frames.
constexpr int kLevelGainBits = 8;

// Beside the block that is being played: what comes in 1 ms, and what the feedback lets the level swing.
constexpr uint32_t kPlaybackMargin = kNominalFrames + 24;
constexpr uint32_t kCaptureMargin = 8;  // what one block may take longer than another to work out

constexpr int32_t kLongestCapture = 256;  // frames that may lie ready; behind them are two blocks that are not

constexpr int32_t kUnity = 1 << 28;
constexpr int32_t kMonitorRampFrames = kUsbRateHz / 200;

void PutSample(uint8_t* bytes, int32_t sample) {
  for (size_t i = 0; i < kUsbSampleBytes; ++i)
    bytes[i] = static_cast<uint8_t>(static_cast<uint32_t>(sample) >> (8 * i));
}

int32_t GetSample(const uint8_t* bytes) {
  const uint32_t high = uint32_t{bytes[0]} << 8 | uint32_t{bytes[1]} << 16 | uint32_t{bytes[2]} << 24;
  return static_cast<int32_t>(high) >> 8;
}

template <typename T>
uint8_t* Put(uint8_t* at, T value) {
  std::memcpy(at, &value, sizeof value);
  return at + sizeof value;
}

}  // namespace

void UsbAudio::Init(UsbController* controller, uint32_t (*position)()) {
  controller_ = controller;
  position_ = position;
  playback_open_ = false;
  openings_ = first_received_ = received_ = 0;
  sent_ = 0;
  monitor_volume_ = kVolumeMax;
  monitor_muted_ = false;
  monitor_gain_ = kUnity;
  marks_[0] = {};
  mark_ = 0;
  taken_ = given_ = 0;
  plays_ = block_has_frames_ = false;
  monitor_share_.Init(kUnity, kMonitorRampFrames);
  stats.Clear();
}

int32_t UsbAudio::TargetLevel(const Mark& mark) const { return static_cast<int32_t>(mark.frames + kPlaybackMargin); }

void UsbAudio::BeginBlock(size_t frames) {
  const Mark& last = marks_[mark_];
  const int next = 1 - mark_;
  Mark& mark = marks_[next];
  mark.position = position_();
  mark.frames = static_cast<uint32_t>(frames);
  mark.opening = openings_;
  const uint32_t first_received = first_received_;  // before `received_`, which is never less
  const uint32_t received = received_;

  if (mark.opening != last.opening || mark.frames != last.frames) plays_ = false;
  if (mark.opening != last.opening) taken_ = first_received;
  const auto target = static_cast<uint32_t>(TargetLevel(mark));
  const bool was_playing = plays_;
  if (plays_) {
    plays_ = received - taken_ >= mark.frames;
    if (!plays_ && playback_open_) ++stats.underruns;
  }
  if (!was_playing && playback_open_ && received - taken_ >= target) {
    taken_ = received - target;
    plays_ = true;
  }
  block_has_frames_ = plays_;

  mark.taken = taken_;
  mark.given = given_;
  mark.plays = plays_;
  mark_ = next;
  monitor_share_.SetTarget(monitor_gain_);
}

void UsbAudio::Take(HostFrame* frames, size_t count) {
  if (!block_has_frames_) {
    for (size_t i = 0; i < count; ++i) frames[i] = {0, 0};
    return;
  }
  const uint32_t taken = taken_;
  for (size_t i = 0; i < count; ++i) {
    frames[i] = playback_[(taken + i) % kRingFrames];
    frames[i].second = static_cast<int32_t>((int64_t{frames[i].second} * monitor_share_.Next()) >> 28);
  }
  taken_ = taken + static_cast<uint32_t>(count);
}

void UsbAudio::Give(const HostFrame* frames, size_t count) {
  const uint32_t given = given_;
  for (size_t i = 0; i < count; ++i) capture_[(given + i) % kRingFrames] = frames[i];
  given_ = given + static_cast<uint32_t>(count);
}

void UsbAudio::Open(uint8_t interface) {
  if (interface == kPlaybackInterface) {
    first_received_ = received_.load();
    ++openings_;
    playback_open_ = true;
    controller_->Receive(kPlaybackEndpoint, playback_packet_, sizeof playback_packet_);
    SendFeedback();
  } else {
    sent_ = CaptureEnd();
    SendCapture();
  }
}

void UsbAudio::Close(uint8_t interface) {
  if (interface == kPlaybackInterface) playback_open_ = false;
}

void UsbAudio::OnReceived(size_t size) {
  const auto frames = static_cast<uint32_t>(size / kUsbFrameBytes);
  const uint32_t received = received_;
  if (received + frames - taken_ <= kRingFrames) {
    for (uint32_t i = 0; i < frames; ++i) {
      const uint8_t* bytes = playback_packet_ + i * kUsbFrameBytes;
      playback_[(received + i) % kRingFrames] = {GetSample(bytes), GetSample(bytes + kUsbSampleBytes)};
    }
    received_ = received + frames;
    stats.frames_from_host += frames;
  } else {
    ++stats.overruns;
  }
  controller_->Receive(kPlaybackEndpoint, playback_packet_, sizeof playback_packet_);
}

void UsbAudio::OnSent(uint8_t endpoint) { endpoint == kFeedbackEndpoint ? SendFeedback() : SendCapture(); }

void UsbAudio::OnStartOfFrame() {
  int32_t level;
  if (!FindLevel(&level)) return;
  const auto frames = static_cast<uint32_t>(std::max<int32_t>(level, 0));
  stats.level_min = std::min(stats.level_min.load(), frames);
  stats.level_max = std::max(stats.level_max.load(), frames);
}

// Frames that have come and that the codec has not played, without steps where a block begins. False: it plays none.
// Blocks that fail to come would let it fall for ever.
bool UsbAudio::FindLevel(int32_t* level) const {
  const Mark& mark = marks_[mark_];
  if (!mark.plays || mark.opening != openings_) return false;
  constexpr auto kBound = static_cast<int32_t>(kRingFrames);
  *level = std::clamp(static_cast<int32_t>(received_ - mark.taken - Elapsed(mark)), -kBound, kBound);
  return true;
}

void UsbAudio::SendFeedback() {
  int32_t level, correction = 0;
  if (FindLevel(&level)) {
    const int32_t missing = TargetLevel(marks_[mark_]) - level;
    correction = std::clamp(missing * (1 << (kRateFracBits - kLevelGainBits)), -kLargestCorrection, kLargestCorrection);
  }
  const auto rate = static_cast<uint32_t>(kNominalRate + correction);
  stats.feedback = rate;
  Put(feedback_packet_, rate);
  controller_->Send(kFeedbackEndpoint, feedback_packet_, sizeof feedback_packet_);
}

// To where the codec has played by now, but for a block that is being worked out.
uint32_t UsbAudio::CaptureEnd() const {
  const Mark& mark = marks_[mark_];
  const uint32_t given = given_;
  const uint32_t due = mark.given + Elapsed(mark) - mark.frames - kCaptureMargin;
  return static_cast<int32_t>(due - given) < 0 ? due : given;
}

void UsbAudio::SendCapture() {
  const uint32_t end = CaptureEnd();
  auto ready = static_cast<int32_t>(end - sent_);
  if (ready > kLongestCapture || ready < -static_cast<int32_t>(kRingFrames)) {  // the host has slept, maybe for long
    ++stats.overruns;
    sent_ = end;
    ready = 0;
  }
  const auto frames = static_cast<size_t>(std::clamp<int32_t>(ready, 0, kMaxPacketFrames));
  for (size_t i = 0; i < frames; ++i) {
    const HostFrame& frame = capture_[(sent_ + i) % kRingFrames];
    uint8_t* bytes = capture_packet_ + i * kUsbFrameBytes;
    PutSample(bytes, frame.first);
    PutSample(bytes + kUsbSampleBytes, frame.second);
  }
  sent_ += static_cast<uint32_t>(frames);
  stats.frames_to_host += static_cast<uint32_t>(frames);
  controller_->Send(kCaptureEndpoint, capture_packet_, frames * kUsbFrameBytes);
}

int UsbAudio::Answer(const UsbSetup& setup, uint8_t* answer) {
  const uint8_t entity = setup.index >> 8, control = setup.value >> 8, channel = setup.value & 0xFF;
  const auto size = [answer](const uint8_t* end) { return static_cast<int>(end - answer); };
  if (entity == kClockEntity && channel == 0) {
    if (control == kClockValid && setup.request == kCurrent) return size(Put(answer, uint8_t{1}));
    if (control != kClockFrequency) return -1;
    if (setup.request == kCurrent) return size(Put(answer, kUsbRateHz));
    if (setup.request != kRange) return -1;
    uint8_t* at = Put(answer, uint16_t{1});
    for (const uint32_t hz : {kUsbRateHz, kUsbRateHz, uint32_t{0}}) at = Put(at, hz);
    return size(at);
  }
  if (entity == kMonitorVolumeEntity && channel == kMaster) {
    if (control == kMute && setup.request == kCurrent) return size(Put(answer, uint8_t{monitor_muted_}));
    if (control != kVolume) return -1;
    if (setup.request == kCurrent) return size(Put(answer, monitor_volume_));
    if (setup.request != kRange) return -1;
    uint8_t* at = Put(answer, uint16_t{1});
    for (const int16_t decibels : {kVolumeMin, kVolumeMax, kVolumeStep}) at = Put(at, decibels);
    return size(at);
  }
  return -1;
}

bool UsbAudio::Act(const UsbSetup& setup, const uint8_t* data) {
  const uint8_t entity = setup.index >> 8, control = setup.value >> 8, channel = setup.value & 0xFF;
  if (setup.request != kCurrent) return false;
  if (entity == kClockEntity && channel == 0 && control == kClockFrequency && setup.length == sizeof(uint32_t)) {
    uint32_t hz;  // some hosts set it though it cannot be set
    std::memcpy(&hz, data, sizeof hz);
    return hz == kUsbRateHz;
  }
  if (entity != kMonitorVolumeEntity || channel != kMaster) return false;
  if (control == kMute && setup.length == sizeof(uint8_t)) {
    monitor_muted_ = data[0] != 0;
  } else if (control == kVolume && setup.length == sizeof(int16_t)) {
    int16_t decibels;
    std::memcpy(&decibels, data, sizeof decibels);
    monitor_volume_ = std::clamp(decibels, kVolumeMin, kVolumeMax);
  } else {
    return false;
  }
  SetMonitorGain();
  return true;
}

void UsbAudio::SetMonitorGain() {
  const int64_t log2_q24 = (int64_t{monitor_volume_} * kDecibelQ24) >> 8;
  monitor_gain_ = monitor_muted_ ? 0 : PowerOfTwoQ28(static_cast<int32_t>(log2_q24));
}

}  // namespace oddity
