// Blobs of the smallest models that are of every kind, and what the fuzzer makes of them.
#pragma once

#include <cstdint>
#include <vector>

#include "test/fuzz/input.h"

namespace oddity::fuzz {

constexpr int kModels = 4;
std::vector<uint8_t> MakeModel(int model);  // which the pedal takes

// Some bytes of a blob are others; its checksum is right, or its self-test too where the blob is valid.
void Mutate(std::vector<uint8_t>* blob, Input& input);

}  // namespace oddity::fuzz
