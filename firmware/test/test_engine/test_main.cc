// The DSP instructions against arithmetic written another way, and the activation tables against <cmath>.
// On the emulated chip this runs the instructions themselves, on the host the portable code.
#include <cmath>
#include <cstdint>
#include <initializer_list>

#include "../minitest.h"
#include "engine/activation.h"
#include "engine/dsp.h"
#include "engine/model_blob.h"

using namespace oddity;

namespace {

// Values that matter, and pseudo-random ones between them.
uint32_t Draw() {
  static uint32_t state = 1;
  state = state * 1664525u + 1013904223u;
  static const uint32_t kEdges[] = {0,          1,          0xffffffff, 0x7fffffff, 0x80000000,
                                    0x80008000, 0x7fff8000, 0x8000,     0xffff0000};
  return (state >> 28) < 4 ? kEdges[(state >> 8) % 9] : state ^ (state << 13);
}

// floor((a * b + addend) / 2^32), by halves, so that it shares no code with the functions under test.
int64_t HighWord(int32_t a, int32_t b, int64_t addend) {
  const int64_t high = int64_t{a >> 16} * b;
  const int64_t low = int64_t{a & 0xffff} * b + addend;
  return (high + (low >> 16)) >> 16;
}

int32_t Wrap(int64_t value) { return static_cast<int32_t>(static_cast<uint32_t>(static_cast<uint64_t>(value))); }

void dual_multiplies_match_halfword_products() {
  for (int i = 0; i < 20000; ++i) {
    const uint32_t a = Draw(), b = Draw();
    const auto c = static_cast<int32_t>(Draw());
    const int64_t low = int64_t{static_cast<int16_t>(a & 0xffff)} * static_cast<int16_t>(b & 0xffff);
    const int64_t high = int64_t{static_cast<int16_t>(a >> 16)} * static_cast<int16_t>(b >> 16);
    CHECK(Smlad(a, b, c) == Wrap(low + high + c));
    CHECK(Smlabb(int32_t(a), int32_t(b), c) == Wrap(low + c));
    CHECK(Smlawb(c, int32_t(b), int32_t(a)) ==
          Wrap(((int64_t{c} * static_cast<int16_t>(b & 0xffff)) >> 16) + static_cast<int32_t>(a)));
  }
}

void high_word_multiplies_floor_and_round() {
  for (int i = 0; i < 20000; ++i) {
    const auto a = static_cast<int32_t>(Draw()), b = static_cast<int32_t>(Draw()), c = static_cast<int32_t>(Draw());
    CHECK(Smmla(a, b, c) == Wrap(c + HighWord(a, b, 0)));
    CHECK(Smmulr(a, b) == Wrap(HighWord(a, b, int64_t{1} << 31)));
    CHECK(Smmlar(a, b, c) == Wrap(c + HighWord(a, b, int64_t{1} << 31)));
  }
}

void saturation_stops_at_its_ends() {
  CHECK(Ssat<26>(INT32_MAX) == (1 << 25) - 1);
  CHECK(Ssat<26>(INT32_MIN) == -(1 << 25));
  CHECK(Ssat<26>(12345) == 12345);
  CHECK(SaturateToInt32(int64_t{1} << 40) == INT32_MAX);
  CHECK(SaturateToInt32(-(int64_t{1} << 40)) == INT32_MIN);
}

void activations_are_close_to_the_functions() {
  for (int z = -(1 << 26); z < (1 << 26); z += 997) {
    const double sigmoid = 1 / (1 + std::exp(-std::ldexp(double(z), -kSigmoidFracBits)));
    const double tangent = std::tanh(std::ldexp(double(z), -kTanhFracBits));
    CHECK(std::fabs(std::ldexp(double(SigmoidQ31(z)), -31) - sigmoid) < 5e-6);
    CHECK(std::fabs(std::ldexp(double(TanhQ31(z)), -31) - tangent) < 6e-6);
    CHECK(std::fabs(std::ldexp(double(FineSigmoidQ31(z)), -31) - sigmoid) < 2e-6);
    CHECK(std::fabs(std::ldexp(double(FineTanhQ31(z)), -31) - tangent) < 4e-6);
  }
}

void fine_sigmoid_tells_how_far_it_is_from_one() {
  for (int z = 0; z < 14 << kSigmoidFracBits; z += 9973) {
    const double left = 1 / (1 + std::exp(std::ldexp(double(z), -kSigmoidFracBits)));
    CHECK(std::fabs((1 - std::ldexp(double(FineSigmoidQ31(z)), -31)) / left - 1) < 2e-5 + 1e-9 / left);
  }
}

void activations_do_not_wrap_at_their_ends() {
  for (const int32_t z : std::initializer_list<int32_t>{(1 << 30) - 1, (1 << 25) - 1, 1 << 25, 1 << 29}) {
    CHECK(TanhQ31(z) > 0x7ff00000 && FineTanhQ31(z) > 0x7ff00000);
    CHECK(TanhQ31(-z) < -0x7ff00000 && FineTanhQ31(-z) < -0x7ff00000);
    CHECK(SigmoidQ31(z) > 0x7ff00000 && SigmoidQ31(-z) >= 0 && SigmoidQ31(-z) < 0x100000);
    CHECK(FineSigmoidQ31(z) > 0x7ff00000 && FineSigmoidQ31(-z) >= 0 && FineSigmoidQ31(-z) < 0x100000);
  }
  CHECK(FineTanhQ31(0) == 0);
  CHECK(FineSigmoidQ31(0) == 1 << 30);
}

void crc_is_the_standard_one() {
  const uint8_t digits[] = {'1', '2', '3', '4', '5', '6', '7', '8', '9'};
  CHECK(Crc32(digits, sizeof digits) == 0xcbf43926u);
}

}  // namespace

int main() {
  RUN_TEST(dual_multiplies_match_halfword_products);
  RUN_TEST(high_word_multiplies_floor_and_round);
  RUN_TEST(saturation_stops_at_its_ends);
  RUN_TEST(activations_are_close_to_the_functions);
  RUN_TEST(fine_sigmoid_tells_how_far_it_is_from_one);
  RUN_TEST(activations_do_not_wrap_at_their_ends);
  RUN_TEST(crc_is_the_standard_one);
  return FinishTests();
}
