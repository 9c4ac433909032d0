// The models that the pedal holds, and the way of an uploaded blob into one of them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/fixed_engine.h"
#include "engine/model_view.h"

namespace oddity {

class ModelSlots {
 public:
  static constexpr int kCount = 4;
  static constexpr size_t kCapacity = 128 * 1024;  // bytes of a blob

  void Init();

  // An upload: begin, bytes in order, commit. Each returns nullptr or the reason why not; until a commit succeeds, the
  // slot keeps what it has.
  const char* Begin(int slot, size_t size);
  const char* Append(size_t offset, const uint8_t* data, size_t size);
  const char* Commit(int* slot);

  // Puts a model that is compiled into the image into `slot`.
  const char* Install(int slot, const ModelView& model);

  // nullptr when the slot is empty or there is no such slot.
  const ModelView* Get(int slot) const;

 private:
  const char* SelfTest(const ModelView& model);

  alignas(8) uint8_t staging_[kCapacity];
  alignas(8) uint8_t blobs_[kCount][kCapacity];
  ModelView views_[kCount];
  bool filled_[kCount];
  int slot_;  // being uploaded, -1: none
  size_t size_, received_;
  FixedEngine test_engine_;
};

}  // namespace oddity
