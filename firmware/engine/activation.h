// Sigmoid and tanh by table, coarse and fine; export/activation_tables.py explains the words.
#pragma once

#include <cstdint>

#include "engine/activation_tables.h"
#include "engine/dsp.h"

namespace oddity {

// The pre-activation z of a sigmoid is a Q21 number and spans +-16, that of a tanh Q22 and +-8, so both fill 26 bits:
// 11 bits choose the piece, 15 say where in it. A table word holds minus the value at the piece's start (Q15, high
// half) and the rise over the piece (Q15, low half).
constexpr int kSigmoidFracBits = 21;
constexpr int kTanhFracBits = 22;
constexpr const int32_t* kSigmoidCentre = kSigmoidTable + kActivationTableSize / 2;  // the piece from z = 0
constexpr const int32_t* kTanhCentre = kTanhTable + kActivationTableSize / 2;

// Q30 in [-1, 1]. tanh never reaches +1.0, which would wrap when a product with it is rounded to Q15.
inline int32_t Activate(const int32_t* table_centre, int32_t z) {
  const int32_t limited = Ssat<26>(z);
  const uint32_t fraction = 0x80000000u | (static_cast<uint32_t>(limited) & 0x7fffu);  // (-1.0, position in the piece)
  return Smuad(fraction, static_cast<uint32_t>(table_centre[limited >> 15]));
}

// Fine: tanh(z / 2) of a Q21 number, which is tanh(z) of a Q22 number; Q31. It comes closer to +-1.0 than Q15 can, so
// what is rounded to Q15 must saturate.
constexpr const int32_t* kFineCentre = kFineTable + kFineTableSize / 2 * 2;  // the node at z = 0

// It takes 2 z, so that the node is in the high half and the distance from it is the low half, a signed number.
inline int32_t FineTanhQ31(int32_t twice_z) {
  const int32_t limited = Ssat<27>(twice_z);
  const int32_t* node = kFineCentre + 2 * ((limited + 0x8000) >> 16);
  return Smlawb(node[1], limited, node[0]);
}

inline int32_t SigmoidQ30(int32_t z_q21) { return Activate(kSigmoidCentre, z_q21); }
inline int32_t TanhQ30(int32_t z_q22) { return Activate(kTanhCentre, z_q22); }

}  // namespace oddity
