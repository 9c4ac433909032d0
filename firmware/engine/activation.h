// Sigmoid and tanh by table, coarse and fine, and soft sign; export/activation_tables.py explains the words.
#pragma once

#include <cstdint>

#include "engine/activation_tables.h"
#include "engine/dsp.h"

namespace oddity {

// The pre-activation z of a sigmoid is a Q21 number and spans +-16, that of a tanh Q22 and +-8, so both fill 26 bits.
// Results are Q31. They come closer to +-1.0 than Q15 can, so what is rounded to Q15 must saturate.
constexpr int kSigmoidFracBits = 21;
constexpr int kTanhFracBits = 22;

// Coarse: 11 bits of z choose the piece; the low 16, as a signed number, are the distance from its node.
constexpr const int32_t* kSigmoidCentre = kSigmoidTable + kActivationTableSize / 2;  // the piece from z = 0
constexpr const int32_t* kTanhCentre = kTanhTable + kActivationTableSize / 2;

inline int32_t Activate(const int32_t* table_centre, int32_t z) {
  const int32_t limited = Ssat<26>(z);
  const int32_t word = table_centre[limited >> 15];
  return Smlabb(word & 0x3ff, limited, word);
}

inline int32_t SigmoidQ31(int32_t z_q21) { return Activate(kSigmoidCentre, z_q21); }
inline int32_t TanhQ31(int32_t z_q22) { return Activate(kTanhCentre, z_q22); }

// Fine: tanh(z / 2) of a Q21 number, which is tanh(z) of a Q22 number. It takes 2 z, so that the node is in the high
// half and the distance from it is the low half, a signed number.
constexpr const int32_t* kFineCentre = kFineTable + kFineTableSize / 2 * 2;  // the node at z = 0

inline int32_t FineTanhOfTwice(int32_t twice_z) {
  const int32_t limited = Ssat<27>(twice_z);
  const int32_t* node = kFineCentre + 2 * ((limited + 0x8000) >> 16);
  return Smlawb(node[1], limited, node[0]);
}

inline int32_t FineTanhQ31(int32_t z_q22) { return FineTanhOfTwice(ShiftLeft(z_q22, 1)); }
inline int32_t FineSigmoidQ31(int32_t z_q21) { return (1 << 30) + (FineTanhQ31(z_q21) >> 1); }

// u / (1 + |u|) of a Q20 number of up to 2^31 - 2^20, Q30. The table has 1 / m, Q30, for the mantissa m of 1 + |u|.
inline int32_t SoftSignQ30(int32_t u_q20) {
  const uint32_t divisor = Magnitude(u_q20) + (1u << 20);
  const int zeros = __builtin_clz(divisor);
  const uint32_t mantissa = divisor << zeros;
  const uint32_t node = ((mantissa >> 22) + 1) >> 1;
  const int32_t distance = static_cast<int32_t>(mantissa - (node << 23)) >> 7;
  const int32_t* const words = kSoftSignTable + 2 * (node - (kSoftSignTableSize - 1));
  const int32_t reciprocal = Smlawb(words[1], distance, words[0]);
  return ShiftLeft(Smmulr(ShiftLeft(u_q20, zeros - 1), reciprocal), 2);
}

}  // namespace oddity
