#include "pedal/model_slots.h"

#include <cstring>

#include "engine/model_blob.h"

namespace oddity {

void ModelSlots::Init() {
  std::memset(filled_, 0, sizeof filled_);
  slot_ = -1;
}

const char* ModelSlots::Begin(int slot, size_t size) {
  if (slot < 0 || slot >= kCount) return "no such slot";
  if (size > kCapacity) return "blob is larger than a slot";
  slot_ = slot;
  size_ = size;
  received_ = 0;
  return nullptr;
}

const char* ModelSlots::Append(size_t offset, const uint8_t* data, size_t size) {
  if (slot_ < 0) return "no upload was begun";
  if (offset != received_ || size > size_ - received_) return "bytes out of order or too many";
  std::memcpy(staging_ + offset, data, size);
  received_ += size;
  return nullptr;
}

const char* ModelSlots::Commit(int* slot) {
  if (slot_ < 0) return "no upload was begun";
  *slot = slot_;
  slot_ = -1;
  if (received_ != size_) return "upload is not complete";
  ModelView view;
  const char* reason = ReadModelBlob(staging_, size_, &view);
  if (reason == nullptr) reason = SelfTest(view);
  if (reason != nullptr) return reason;
  std::memcpy(blobs_[*slot], staging_, size_);
  filled_[*slot] = true;
  return ReadModelBlob(blobs_[*slot], size_, &views_[*slot]);
}

const char* ModelSlots::Install(int slot, const ModelView& model) {
  const char* reason = SelfTest(model);
  if (reason != nullptr) return reason;
  views_[slot] = model;
  filled_[slot] = true;
  return nullptr;
}

const ModelView* ModelSlots::Get(int slot) const {
  return slot >= 0 && slot < kCount && filled_[slot] ? &views_[slot] : nullptr;
}

const char* ModelSlots::SelfTest(const ModelView& model) {
  test_engine_.Load(model);
  for (int frame = 0; frame < model.description->self_test_frames; ++frame) {
    int32_t out;
    test_engine_.Process(model.self_test_input + frame, &out, 1);
    if (out != model.self_test_output[frame]) return "self-test failed: the engine computes something else";
  }
  return nullptr;
}

}  // namespace oddity
