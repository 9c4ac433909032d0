// The model blob (.pedal): what is uploaded to a pedal. Written by export/blob.py, which describes the layout.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/model_view.h"

namespace oddity {

// CRC-32 as in zlib and Ethernet.
uint32_t Crc32(const uint8_t* data, size_t size);

// Points `model` into the blob at `data` (8-byte aligned, must outlive the view).
// Returns nullptr, or the reason why these bytes are not a model; `model` is then untouched.
const char* ReadModelBlob(const uint8_t* data, size_t size, ModelView* model);

}  // namespace oddity
