// The audio codec, which depends on the board's revision. All three take and give left-justified 24-bit samples.
#pragma once

#include <cstdint>

namespace oddity {

enum class BoardRevision : uint8_t {
  kSeed,      // rev 4, AK4556
  kSeed1_1,   // rev 5, WM8731
  kSeed2Dfm,  // PCM3060
};

// Two pins are tied low, or not.
BoardRevision FindBoardRevision();

// False: the codec does not answer. Only the WM8731 can; the others have no way to.
bool InitCodec(BoardRevision revision);

}  // namespace oddity
