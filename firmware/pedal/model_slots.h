// The models that the pedal holds, and the way of an uploaded blob into one of them.
//
// A slot is two regions of the flash memory. An upload goes into the one that does not count, and begins to count when
// the last of it is written, which is its region's header; until then the slot has what it had, whenever the power
// fails. Which slot plays is written behind the regions, one record after the other, in two sectors that take turns.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/model_view.h"
#include "pedal/board.h"

namespace oddity {

class ModelSlots {
 public:
  static constexpr int kCount = 16;
  static constexpr size_t kRegionBytes = 128 * 1024;
  static constexpr size_t kHeaderBytes = 256;                       // a page of the flash memory
  static constexpr size_t kCapacity = kRegionBytes - kHeaderBytes;  // bytes of a blob
  static constexpr uint32_t kRecordsAddress = 2 * kCount * kRegionBytes;
  static constexpr uint32_t kFlashBytes = kRecordsAddress + 2 * kFlashSectorBytes;

  // Finds out what the flash memory holds.
  void Init();

  // An upload: begin, bytes in order, commit. Each returns nullptr or the reason why not; until a commit succeeds, the
  // slot keeps what it has.
  const char* Begin(int slot, size_t size);
  const char* Append(size_t offset, const uint8_t* data, size_t size);
  const char* Commit(int* slot);

  // Puts a model that is compiled into the image into `slot`, unless that has one.
  const char* Install(int slot, const ModelView* model);

  bool Filled(int slot) const {
    return slot >= 0 && slot < kCount && (slots_[slot].size > 0 || built_in_[slot] != nullptr);
  }
  // What the model of a filled slot says of itself.
  const char* Describe(int slot, ModelDescription* description) const;
  // Bytes of a slot's blob, 0 where there is none; and some of them.
  size_t size(int slot) const { return slot >= 0 && slot < kCount ? slots_[slot].size : 0; }
  const char* Read(int slot, size_t offset, void* to, size_t size) const;

  // The model of a slot, in memory, to be looked at until anything else is called. nullptr: empty or damaged.
  const ModelView* Look(int slot);
  // The same, to be played: it stays there until the call after the next.
  const ModelView* Open(int slot);

  // -1: none was ever remembered.
  int remembered() const { return remembered_; }
  void Remember(int slot);

 private:
  struct Slot {
    uint32_t sequence;  // of the upload
    uint32_t size;      // of the blob, 0: none
    uint8_t region;     // 0 or 1
    bool has_other;     // the other region holds a model too, an older one
  };

  uint32_t RegionAddress(int slot, int region) const {
    return static_cast<uint32_t>((2 * slot + region) * kRegionBytes);
  }
  // Where an upload goes.
  int SpareRegion(int slot) const { return slots_[slot].size > 0 ? 1 - slots_[slot].region : 0; }
  void FindModel(int slot);
  void FindRecord();
  bool FindBlankRecord();
  const char* ReadSlot(int slot, uint8_t* to, ModelView* view);
  const char* ReadRegion(int slot, int region, size_t size, uint8_t* to, ModelView* view) const;

  Slot slots_[kCount];
  const ModelView* built_in_[kCount];  // where the flash memory has none
  int opened_;                         // which of the two buffers was filled last
  int remembered_;
  uint32_t record_sequence_, next_record_;  // its address
  int uploading_;                           // slot, -1: none
  size_t upload_size_, received_;
  uint32_t erased_to_;  // address
};

}  // namespace oddity
