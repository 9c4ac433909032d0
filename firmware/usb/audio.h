// The pedal as a sound card: two channels each way between the host, whose frames of 1 ms the bus counts, and the
// codec, whose clock is the pedal's.
//
//   host ── playback packets ──► ring ── Take ──► audio interrupt ── Give ──► ring ── capture packets ──► host
//     ▲                           │
//     └──────── feedback ◄── its level
//
// Either stream is looked at on one time line, the codec's frames, to a fraction of a block: how a block begins falls
// on the bus's frames then does not matter.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "pedal/host_stream.h"
#include "pedal/ramp.h"
#include "usb/controller.h"
#include "usb/descriptors.h"

namespace oddity {

class UsbAudio {
 public:
  void Init(UsbController* controller, uint32_t (*position)());

  // For the audio interrupt: in each block BeginBlock once, then Take and Give for its frames in turn.
  void BeginBlock(size_t frames);                    // 1 to 256
  void Take(HostFrame* frames, size_t count);        // from the host; zeros where nothing came
  void Give(const HostFrame* frames, size_t count);  // to the host

  bool host_plays() const { return playback_open_; }

  HostStreamStats stats;

  // For the device, from events.
  void Open(uint8_t interface);
  void Close(uint8_t interface);
  int Answer(const UsbSetup& setup, uint8_t* answer);
  bool Act(const UsbSetup& setup, const uint8_t* data);
  void OnStartOfFrame();
  void OnSent(uint8_t endpoint);
  void OnReceived(size_t size);

 private:
  static constexpr uint32_t kRingFrames = 1024;  // more than two of the longest blocks and their margins
  static constexpr size_t kPacketBytes = kMaxPacketFrames * kUsbFrameBytes;

  // How things stood at the beginning of a block.
  struct Mark {
    uint32_t position;  // of the codec
    uint32_t taken, given;
    uint32_t frames;   // of the block
    uint32_t opening;  // of the playback stream that is being taken
    bool plays;
  };

  uint32_t Elapsed(const Mark& mark) const { return position_() - mark.position; }
  int32_t TargetLevel(const Mark& mark) const;
  bool FindLevel(int32_t* level) const;
  void SendFeedback();
  uint32_t CaptureEnd() const;
  void SendCapture();
  void SetMonitorGain();

  UsbController* controller_;
  uint32_t (*position_)();

  // Written in events
  std::atomic<bool> playback_open_;
  std::atomic<uint32_t> openings_;        // of the playback stream
  std::atomic<uint32_t> first_received_;  // frame of that stream
  std::atomic<uint32_t> received_;
  uint32_t sent_;
  std::atomic<int32_t> monitor_gain_;
  int16_t monitor_volume_;  // 1/256 dB
  bool monitor_muted_;

  // Written by the audio interrupt
  Mark marks_[2];
  std::atomic<int> mark_;
  std::atomic<uint32_t> taken_, given_;
  bool plays_;  // or waits until enough is there
  bool block_has_frames_;
  Ramp monitor_share_;

  HostFrame playback_[kRingFrames], capture_[kRingFrames];
  uint8_t playback_packet_[kPacketBytes], capture_packet_[kPacketBytes], feedback_packet_[4];
};

}  // namespace oddity
