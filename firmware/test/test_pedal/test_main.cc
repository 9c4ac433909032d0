// The effect around the engine, and the framing of the host protocol.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

#include "../minitest.h"
#include "pedal/board.h"
#include "pedal/effect.h"
#include "pedal/frame.h"
#include "pedal/load_meter.h"

namespace oddity {

// The linker wants a board; these tests have none.
const BoardDescription kBoard = {"test", CounterUnit::kNanoseconds};
uint32_t BoardBudgetPerFrame(EngineKind) { return 0; }
uint32_t BoardCounter() { return 0; }
void BoardSend(const uint8_t*, size_t) {}

}  // namespace oddity

using namespace oddity;

namespace {

constexpr int32_t kHalf = 1 << 30;

// Inverts the signal, and fails on demand.
struct InvertingEngine {
  void Load(EngineKind, const ModelView&) {}
  void SetKnob(int knob, int32_t position) { knobs[knob] = position; }
  void Reset() { ++resets; }
  bool Process(const int32_t* in, int32_t* out, size_t size) {
    for (size_t i = 0; i < size; ++i) out[i] = -in[i];
    return !broken;
  }
  static inline int resets;
  static inline bool broken;
  static inline int32_t knobs[kMaxKnobs];
};

ModelDescription description{};
ModelView model;
Effect<InvertingEngine> effect;

void Prepare() {
  description.knob_count = 1;
  description.knobs[0] = {"drive", 0.0f, 10.0f, 5.0f};
  model.description = &description;
  InvertingEngine::broken = false;
  effect.Init();
  effect.ChangeModel(EngineKind::kFixed, &model);
  effect.Settle();
}

int32_t Play(int32_t sample, size_t count) {
  int32_t last = 0;
  for (size_t i = 0; i < count; ++i) effect.Process(&sample, &last, 1);
  return last;
}

void without_a_model_the_guitar_passes() {
  effect.Init();
  CHECK(Play(kHalf, 1000) == kHalf);
}

void unity_levels_are_exact() {
  Prepare();
  for (const int32_t sample : std::initializer_list<int32_t>{0, 1, -1, 256, kHalf, INT32_MAX})
    CHECK(Play(sample, 1) == -sample);
}

void levels_saturate_and_do_not_wrap() {
  Prepare();
  effect.SetInputLevel(INT32_MAX);
  effect.Settle();
  CHECK(Play(kHalf, 1) == -INT32_MAX);
}

void bypass_fades_without_a_step() {
  Prepare();
  int32_t before = Play(kHalf, 100);
  effect.SetBypass(true);
  int32_t largest = 0;
  for (int i = 0; i < 1000; ++i) {
    const int32_t now = Play(kHalf, 1);
    largest = std::max(largest, std::abs(now - before));
    before = now;
  }
  CHECK(before == kHalf);
  CHECK(largest > 0 && largest < INT32_MAX / 200);  // 5 ms: 240 samples for the whole way
}

void a_model_change_fades_and_waits_for_service() {
  Prepare();
  effect.ChangeModel(EngineKind::kFixed, &model);
  CHECK(Play(kHalf, 500) == kHalf);
  CHECK(Play(kHalf, 500) == kHalf);
  effect.Service();
  CHECK(Play(kHalf, 500) == -kHalf);
}

void a_fault_mutes_resets_and_counts() {
  Prepare();
  const int resets = InvertingEngine::resets;
  InvertingEngine::broken = true;
  CHECK(Play(kHalf, 1) == 0);
  CHECK(effect.fault_count() == 1);
  CHECK(InvertingEngine::resets == resets + 1);
  InvertingEngine::broken = false;
  CHECK(Play(kHalf, 1) == -kHalf);
}

void knobs_move_in_steps_and_arrive() {
  Prepare();
  CHECK(InvertingEngine::knobs[0] == kHalf);
  effect.SetKnob(0, INT32_MAX);
  Play(0, 16);
  CHECK(InvertingEngine::knobs[0] > kHalf && InvertingEngine::knobs[0] < kHalf + INT32_MAX / 32);
  Play(0, 1000);
  CHECK(InvertingEngine::knobs[0] == INT32_MAX);
}

void knobs_that_are_read_regularly_move_in_straight_lines() {
  Prepare();
  constexpr int32_t kReading = 3 << 20;
  Play(0, 48);
  for (int32_t reading = 0; reading < 20; ++reading) {
    effect.SetKnob(0, kHalf + reading * kReading);
    for (int32_t step = 1; step <= 3; ++step) {  // 48 samples
      Play(0, 16);
      if (reading > 0) CHECK(InvertingEngine::knobs[0] == kHalf + (reading - 1) * kReading + step * (kReading / 3));
    }
  }
}

void any_split_into_blocks_gives_the_same_output() {
  static int32_t in[1024], whole[1024], split[1024];
  for (int i = 0; i < 1024; ++i) in[i] = (i * 2654435761u) >> 2;
  for (int32_t* out : {whole, split}) {
    Prepare();
    effect.SetInputLevel(kHalf / 8);
    effect.SetKnob(0, 0);
    effect.SetBypass(true);
    const size_t step = out == whole ? 256 : 7;
    for (size_t done = 0; done < 1024; done += step) effect.Process(in + done, out + done, std::min(step, 1024 - done));
  }
  CHECK(std::memcmp(whole, split, sizeof whole) == 0);
}

void the_meter_counts_overruns() {
  LoadMeter meter;
  meter.Clear();
  meter.Record(4800, 48, 100);
  CHECK(meter.overruns() == 0);
  meter.Record(4801, 48, 100);
  CHECK(meter.overruns() == 1 && meter.worst_per_frame() == 101 && meter.total() == 9601 && meter.frames() == 96);
}

FrameParser parser;
Frame frame;

int Count(const uint8_t* bytes, size_t size) {
  int count = 0;
  for (size_t i = 0; i < size; ++i) {
    parser.Push(bytes[i]);
    while (parser.Next(&frame)) ++count;
  }
  return count;
}

size_t Make(uint8_t* buffer, uint8_t type, size_t payload) {
  for (size_t i = 0; i < payload; ++i) buffer[kFrameHeaderBytes + i] = static_cast<uint8_t>(kSync + i % 3);
  return CloseFrame(type, buffer, payload);
}

void frames_survive_the_way() {
  static uint8_t buffer[kMaxPayload + kFrameOverheadBytes];
  parser.Init();
  for (const size_t payload : {size_t{0}, size_t{1}, size_t{100}, kMaxPayload}) {
    CHECK(Count(buffer, Make(buffer, 7, payload)) == 1);
    CHECK(frame.type == 7 && frame.size == payload);
  }
}

void a_damaged_frame_does_not_take_the_next_with_it() {
  uint8_t buffer[128];
  parser.Init();
  const size_t first = Make(buffer, 1, 40);
  const size_t both = first + Make(buffer + first, 2, 10);
  for (size_t damaged = 0; damaged < first; ++damaged) {
    buffer[damaged] ^= 0x10;
    const int count = Count(buffer, both);
    if (count == 0) {  // a longer length swallowed the second frame: quiet brings it back
      int found = 0;
      for (size_t i = 0; i < 2 * sizeof buffer && found == 0; ++i) {
        parser.GiveUp();
        while (parser.Next(&frame)) ++found;
      }
      CHECK(found == 1);
    } else {
      CHECK(count == 1);
    }
    CHECK(frame.type == 2);
    buffer[damaged] ^= 0x10;
  }
}

}  // namespace

int main() {
  RUN_TEST(without_a_model_the_guitar_passes);
  RUN_TEST(unity_levels_are_exact);
  RUN_TEST(levels_saturate_and_do_not_wrap);
  RUN_TEST(bypass_fades_without_a_step);
  RUN_TEST(a_model_change_fades_and_waits_for_service);
  RUN_TEST(a_fault_mutes_resets_and_counts);
  RUN_TEST(knobs_move_in_steps_and_arrive);
  RUN_TEST(knobs_that_are_read_regularly_move_in_straight_lines);
  RUN_TEST(any_split_into_blocks_gives_the_same_output);
  RUN_TEST(the_meter_counts_overruns);
  RUN_TEST(frames_survive_the_way);
  RUN_TEST(a_damaged_frame_does_not_take_the_next_with_it);
  return FinishTests();
}
