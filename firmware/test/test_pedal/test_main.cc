// The effect around the engine, and the framing of the host protocol.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

#include "../minitest.h"
#include "boards/flash_in_ram.h"
#include "pedal/board.h"
#include "pedal/controls.h"
#include "pedal/effect.h"
#include "pedal/frame.h"
#include "pedal/knob_law.h"
#include "pedal/load_meter.h"

namespace oddity {

// The linker wants a board; these tests have none.
const BoardDescription kBoard = {"test", CounterUnit::kNanoseconds, false, false};
static uint32_t counter, counts_a_call, budget;
static bool overload_in_counter;
static void OverloadOnce();
uint32_t BoardBudgetPerFrame(EngineKind) { return budget; }
uint32_t BoardCounter() {
  if (overload_in_counter) OverloadOnce();
  return counter += counts_a_call;
}
void BoardSend(const uint8_t*, size_t) {}
uint32_t BoardLockAudio() { return 0; }
void BoardUnlockAudio(uint32_t) {}
void BoardSetBlock(size_t) {}
void BoardEnterBootLoader() {}

}  // namespace oddity

using namespace oddity;

namespace {

constexpr int32_t kHalf = 1 << 30;

// Inverts the signal and divides it by what the model says, and fails on demand.
struct InvertingEngine {
  void Load(EngineKind, const ModelView& model) { divisor = model.description->hidden_size; }
  void SetKnob(int knob, int32_t position) { knobs[knob] = position; }
  void Reset() { ++resets; }
  void Continue(const InvertingEngine&) { ++continued; }
  bool Process(const int32_t* in, int32_t* out, size_t size) {
    for (size_t i = 0; i < size; ++i) out[i] = -in[i] / divisor;
    return !broken;
  }
  int divisor = 1;
  static inline int resets, continued;
  static inline bool broken;
  static inline int32_t knobs[kMaxKnobs];
};

ModelDescription description{}, other_description{};
ModelView model, other_model;
InvertingEngine playing, next_engine;
Effect<InvertingEngine> effect;

}  // namespace
static void oddity::OverloadOnce() { effect.Overload(); }
namespace {

void Prepare() {
  description.knob_count = 1;
  description.knobs[0] = {"drive", 0.0f, 10.0f, 5.0f};
  description.hidden_size = 1;
  model.description = &description;
  other_description.hidden_size = 2;
  other_model.description = &other_description;
  budget = counts_a_call = 0;
  InvertingEngine::broken = false;
  effect.Init(&playing, &next_engine);
  effect.ChangeModel(EngineKind::kFixed, &model);
  effect.Settle();
}

int32_t Play(int32_t sample, size_t count) {
  int32_t last = 0;
  for (size_t i = 0; i < count; ++i) effect.Process(&sample, &last, 1);
  return last;
}

void without_a_model_the_guitar_passes() {
  effect.Init(&playing, &next_engine);
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

int32_t LargestStep(int32_t before, int samples) {
  int32_t largest = 0;
  for (int i = 0; i < samples; ++i) {
    const int32_t now = Play(kHalf, 1);
    largest = std::max(largest, std::abs(now - before));
    before = now;
    effect.Service();
  }
  return largest;
}

void the_next_model_runs_in_and_is_faded_to() {
  Prepare();
  InvertingEngine::continued = 0;
  effect.ChangeModel(EngineKind::kFixed, &other_model);
  CHECK(Play(kHalf, 500) == -kHalf);
  effect.Service();
  CHECK(Play(kHalf, 4700) == -kHalf);
  CHECK(LargestStep(-kHalf, 2000) <= kHalf / 2 / 950);  // 20 ms for the way
  CHECK(Play(kHalf, 1) == -kHalf / 2);
  CHECK(!effect.changing() && InvertingEngine::continued == 1);
}

// Two engines would take more than the budget.
void BeginChangeByDry() {
  Prepare();
  counts_a_call = 160;
  budget = 10;
  effect.ChangeModel(EngineKind::kFixed, &model);
  effect.Settle();
  effect.ChangeModel(EngineKind::kFixed, &other_model);
  effect.Service();
}

void where_there_is_no_time_for_two_the_change_goes_by_dry() {
  BeginChangeByDry();
  CHECK(Play(kHalf, 500) == kHalf);
  CHECK(Play(kHalf, 500) == kHalf);
  CHECK(LargestStep(kHalf, 500) < INT32_MAX / 200);
  CHECK(Play(kHalf, 1) == -kHalf / 2);
}

void an_overload_falls_silent_and_comes_back() {
  Prepare();
  const int32_t before = Play(kHalf, 100);
  effect.Overload();
  CHECK(effect.overloaded() && effect.overload_count() == 1);
  CHECK(LargestStep(before, 48) <= kHalf / 47);
  CHECK(Play(kHalf, 1) == 0);
  CHECK(Play(kHalf, 47000) == 0);
  CHECK(LargestStep(0, 2000) <= kHalf / 239);
  CHECK(Play(kHalf, 1) == -kHalf && !effect.overloaded());
  effect.Overload();
  Play(kHalf, 100);
  effect.Service();
  CHECK(Play(kHalf, 94900) == 0);  // the second time it lasts twice as long
  CHECK(Play(kHalf, 2000) == -kHalf);
  Play(kHalf, 480'000);  // it has gone well for 10 s
  effect.Overload();
  Play(kHalf, 100);
  effect.Service();
  CHECK(Play(kHalf, 49'000) == -kHalf);
}

void an_overload_by_two_models_leaves_the_next_one() {
  Prepare();
  effect.ChangeModel(EngineKind::kFixed, &other_model);
  effect.Service();
  const int32_t before = Play(kHalf, 100);
  effect.Overload();
  CHECK(LargestStep(before, 2000) <= kHalf / 47);
  CHECK(Play(kHalf, 1) == -kHalf / 2 && !effect.overloaded() && !effect.changing());
}

void bypass_while_the_next_model_is_loaded_does_not_click() {
  BeginChangeByDry();
  Play(kHalf, 500);
  effect.SetBypass(true);
  CHECK(Play(kHalf, 500) == kHalf);
  effect.SetBypass(false);
  CHECK(Play(kHalf, 500) == kHalf);
  CHECK(LargestStep(kHalf, 500) < INT32_MAX / 200);
}

// The audio interrupt comes while the main loop measures.
void an_overload_while_the_next_model_is_loaded_is_not_for_ever() {
  Prepare();
  overload_in_counter = true;
  effect.ChangeModel(EngineKind::kFixed, &other_model);
  LargestStep(-kHalf, 100);
  overload_in_counter = false;
  CHECK(effect.overload_count() == 1);
  LargestStep(0, 60'000);
  CHECK(Play(kHalf, 1) == -kHalf / 2 && !effect.changing());
}

void each_model_has_its_own_drive() {
  Prepare();
  effect.SetDrive(1 << 27);
  CHECK(Play(kHalf, 500) == -kHalf / 2);
  effect.ChangeModel(EngineKind::kFixed, &other_model);
  effect.SetDrive(1 << 26);
  effect.Service();
  CHECK(Play(kHalf, 4700) == -kHalf / 2);
  LargestStep(0, 2000);
  CHECK(Play(kHalf, 1) == -kHalf / 8);
}

void a_change_of_model_ends_an_overload() {
  Prepare();
  effect.Overload();
  Play(kHalf, 100);
  effect.ChangeModel(EngineKind::kFixed, &other_model);
  CHECK(LargestStep(0, 2000) <= kHalf / 119);
  CHECK(Play(kHalf, 1) == -kHalf / 2);
}

void the_tone_knob_tilts() {
  Prepare();
  effect.SetTone(INT32_MAX);
  CHECK(std::abs(Play(kHalf / 4, 48000) + kHalf / 4 * 0.3548) < kHalf / 1000);  // DC: 9 dB less
  effect.SetTone(Tone::kFlat);
  Play(kHalf / 4, 48000);
  CHECK(Play(kHalf / 4, 1) == -kHalf / 4);
}

void the_gate_closes_on_hum_and_opens_at_once() {
  Prepare();
  effect.SetGate(kHalf);  // -55 dBFS
  constexpr int32_t kHum = INT32_MAX / 3000, kNote = INT32_MAX / 20;
  CHECK(Play(kHum, 48000) == 0);
  CHECK(Play(kNote, 48) == -kNote);
  CHECK(Play(kHum, 2400) == -kHum);  // held
  CHECK(Play(kHum, 12000) == 0);
  effect.SetGate(0);
  CHECK(Play(kHum, 48) == -kHum);
}

void knob_laws_are_even_in_decibels() {
  CHECK(GainQ28(1 << 30, -12, 0, 12) == 1 << 28);
  for (int position = 0; position <= 100; ++position) {
    const double along = position / 100.0;
    const double decibels = along < 0.5 ? -40 + 80 * along : 24 * (along - 0.5);
    const double gain = GainQ28(static_cast<int32_t>(along * INT32_MAX), -40, 0, 12) / 268435456.0;
    CHECK(std::abs(20 * std::log10(gain) - decibels) < 0.01);
  }
}

void pots_are_quiet_and_reach_their_ends() {
  Pot pot;
  pot.Init(20000);
  int turns = 0;
  for (int i = 0; i < 1000; ++i) turns += pot.Read(static_cast<uint16_t>(20000 + i * 7919 % 61 - 30));
  CHECK(turns == 0);
  for (int i = 0; i < 1000; ++i) pot.Read(65535);
  CHECK(pot.position_q31() == INT32_MAX);
  for (int i = 0; i < 1000; ++i) pot.Read(0);
  CHECK(pot.position_q31() == 0);
  for (int i = 0; i < 1000; ++i) pot.Read(32500);
  CHECK(pot.position_q31() == 1 << 30);
}

void a_pot_counts_again_when_it_is_turned() {
  Pot pot;
  pot.Init(20000);
  CHECK(pot.Holds());
  pot.LetGo();
  for (int i = 0; i < 100; ++i) pot.Read(20500);
  CHECK(!pot.Holds());
  for (int i = 0; i < 100; ++i) pot.Read(22000);
  CHECK(pot.Holds());
}

void a_bouncing_footswitch_counts_once() {
  Footswitch footswitch;
  footswitch.Init();
  int presses = 0;
  for (int ms = 0; ms < 200; ++ms) {
    const bool bounces = ms % 100 < 8 && ms * 7 % 3 == 0;
    presses += footswitch.Read((ms >= 50 && ms < 150) != bounces, 1);
  }
  CHECK(presses == 1);
  for (const bool pressed : {true, false, true, false, false}) CHECK(!footswitch.Read(pressed, 5));  // large blocks
  CHECK(!footswitch.Read(true, 5));
  CHECK(footswitch.Read(true, 5));
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
  RUN_TEST(the_next_model_runs_in_and_is_faded_to);
  RUN_TEST(where_there_is_no_time_for_two_the_change_goes_by_dry);
  RUN_TEST(an_overload_falls_silent_and_comes_back);
  RUN_TEST(an_overload_by_two_models_leaves_the_next_one);
  RUN_TEST(a_change_of_model_ends_an_overload);
  RUN_TEST(bypass_while_the_next_model_is_loaded_does_not_click);
  RUN_TEST(an_overload_while_the_next_model_is_loaded_is_not_for_ever);
  RUN_TEST(each_model_has_its_own_drive);
  RUN_TEST(the_tone_knob_tilts);
  RUN_TEST(the_gate_closes_on_hum_and_opens_at_once);
  RUN_TEST(knob_laws_are_even_in_decibels);
  RUN_TEST(pots_are_quiet_and_reach_their_ends);
  RUN_TEST(a_pot_counts_again_when_it_is_turned);
  RUN_TEST(a_bouncing_footswitch_counts_once);
  RUN_TEST(a_fault_mutes_resets_and_counts);
  RUN_TEST(knobs_move_in_steps_and_arrive);
  RUN_TEST(knobs_that_are_read_regularly_move_in_straight_lines);
  RUN_TEST(any_split_into_blocks_gives_the_same_output);
  RUN_TEST(the_meter_counts_overruns);
  RUN_TEST(frames_survive_the_way);
  RUN_TEST(a_damaged_frame_does_not_take_the_next_with_it);
  return FinishTests();
}
