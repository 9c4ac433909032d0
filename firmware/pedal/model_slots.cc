#include "pedal/model_slots.h"

#include <algorithm>
#include <cstring>

#include "engine/fixed_engine.h"
#include "engine/model_blob.h"

namespace oddity {
namespace {

constexpr uint32_t kRegionMagic = 0x4c53444f;  // ODSL
constexpr char kFlashFailed[] = "the flash memory failed";

// The first bytes of a region, written last.
struct RegionHeader {
  uint32_t magic, sequence, size, crc32;  // of the three before
};

// The slot that plays, as it was at the record's time.
struct Record {
  uint32_t sequence;
  uint32_t slot;
  uint32_t crc32;  // of the two before
  uint32_t unused;
};

template <typename T>
uint32_t CrcOf(const T& sealed) {
  return Crc32(reinterpret_cast<const uint8_t*>(&sealed), offsetof(T, crc32));
}

// The region whose header is valid; otherwise false.
bool ReadHeader(uint32_t address, RegionHeader* header) {
  return BoardFlashRead(address, header, sizeof *header) && header->magic == kRegionMagic &&
         header->crc32 == CrcOf(*header) && header->size > 0 && header->size <= ModelSlots::kCapacity;
}

bool IsLater(uint32_t a, uint32_t b) { return static_cast<int32_t>(a - b) > 0; }

// Models as they were read from the flash memory: the one that plays, the next one, and one that is only looked at.
alignas(8) uint8_t opened_blobs[2][ModelSlots::kCapacity];
[[gnu::section(".bss.d2")]] alignas(8) uint8_t checked_blob[ModelSlots::kCapacity];
ModelView opened_views[2], checked_view;
FixedEngine test_engine;

const char* SelfTest(const ModelView& model) {
  test_engine.Load(model);
  for (int frame = 0; frame < model.description->self_test_frames; ++frame) {
    int32_t out;
    test_engine.Process(model.self_test_input + frame, &out, 1);
    if (out != model.self_test_output[frame]) return "self-test failed: the engine computes something else";
  }
  return nullptr;
}

}  // namespace

void ModelSlots::Init() {
  std::fill(built_in_, built_in_ + kCount, nullptr);
  opened_ = 0;
  uploading_ = -1;
  for (int slot = 0; slot < kCount; ++slot) FindModel(slot);
  FindRecord();
}

void ModelSlots::FindModel(int slot) {
  slots_[slot] = {};
  for (int region = 0; region < 2; ++region) {
    RegionHeader header;
    if (!ReadHeader(RegionAddress(slot, region), &header)) continue;
    Slot& found = slots_[slot];
    found.has_other = found.size > 0;
    if (found.size > 0 && !IsLater(header.sequence, found.sequence)) continue;
    found.sequence = header.sequence;
    found.size = header.size;
    found.region = static_cast<uint8_t>(region);
  }
}

void ModelSlots::FindRecord() {
  remembered_ = -1;
  record_sequence_ = 0;
  next_record_ = kRecordsAddress;
  bool found = false;
  Record records[16];
  for (uint32_t address = kRecordsAddress; address < kFlashBytes; address += sizeof records) {
    if (!BoardFlashRead(address, records, sizeof records)) return;
    for (const Record& record : records) {
      if (record.slot >= kCount || record.crc32 != CrcOf(record)) continue;
      if (found && !IsLater(record.sequence, record_sequence_)) continue;
      found = true;
      record_sequence_ = record.sequence;
      remembered_ = static_cast<int>(record.slot);
      next_record_ = address + static_cast<uint32_t>((&record - records + 1) * sizeof record);
    }
  }
}

// A place where the power once failed is not blank, the next one may be.
bool ModelSlots::FindBlankRecord() {
  for (uint32_t tried = 0; tried < kFlashBytes - kRecordsAddress; tried += sizeof(Record)) {
    if (next_record_ == kFlashBytes) next_record_ = kRecordsAddress;
    if (next_record_ % kFlashSectorBytes == 0 && !BoardFlashErase(next_record_)) return false;
    uint8_t there[sizeof(Record)];
    if (!BoardFlashRead(next_record_, there, sizeof there)) return false;
    if (std::all_of(there, there + sizeof there, [](uint8_t byte) { return byte == 0xff; })) return true;
    next_record_ += sizeof(Record);
  }
  return false;
}

void ModelSlots::Remember(int slot) {
  if (slot == remembered_) return;
  Record record = {record_sequence_ + 1, static_cast<uint32_t>(slot), 0, 0xffffffff};
  record.crc32 = CrcOf(record);
  if (!FindBlankRecord()) return;
  if (!BoardFlashProgram(next_record_, &record, sizeof record)) return;
  record_sequence_ = record.sequence;
  remembered_ = slot;
  next_record_ += sizeof record;
}

const char* ModelSlots::Begin(int slot, size_t size) {
  if (slot < 0 || slot >= kCount) return "no such slot";
  if (size > kCapacity) return "blob is larger than a slot";
  uploading_ = slot;
  upload_size_ = size;
  received_ = 0;
  erased_to_ = RegionAddress(slot, SpareRegion(slot));
  slots_[slot].has_other = false;
  return nullptr;
}

const char* ModelSlots::Append(size_t offset, const uint8_t* data, size_t size) {
  if (uploading_ < 0) return "no upload was begun";
  if (offset != received_ || size > upload_size_ - received_) return "bytes out of order or too many";
  const uint32_t address = RegionAddress(uploading_, SpareRegion(uploading_)) + kHeaderBytes + received_;
  for (; erased_to_ < address + size; erased_to_ += kFlashSectorBytes) {
    if (!BoardFlashErase(erased_to_)) return kFlashFailed;
  }
  if (!BoardFlashProgram(address, data, size)) return kFlashFailed;
  received_ += size;
  return nullptr;
}

const char* ModelSlots::Commit(int* slot) {
  if (uploading_ < 0) return "no upload was begun";
  *slot = uploading_;
  uploading_ = -1;
  if (received_ != upload_size_) return "upload is not complete";
  Slot& filled = slots_[*slot];
  const int region = SpareRegion(*slot);
  const char* reason = ReadRegion(*slot, region, upload_size_, checked_blob, &checked_view);
  if (reason == nullptr) reason = SelfTest(checked_view);
  if (reason != nullptr) return reason;

  RegionHeader header = {kRegionMagic, filled.sequence + 1, static_cast<uint32_t>(upload_size_), 0};
  header.crc32 = CrcOf(header);
  const uint32_t address = RegionAddress(*slot, region);
  RegionHeader written;
  if (!BoardFlashProgram(address, &header, sizeof header) || !ReadHeader(address, &written)) return kFlashFailed;
  filled = {header.sequence, header.size, static_cast<uint8_t>(region), filled.size > 0};
  return nullptr;
}

const char* ModelSlots::Install(int slot, const ModelView* model) {
  if (slot >= kCount) return "no such slot";
  if (Filled(slot)) return "the slot has a model";
  const char* reason = SelfTest(*model);
  if (reason != nullptr) return reason;
  built_in_[slot] = model;
  return nullptr;
}

const char* ModelSlots::Describe(int slot, ModelDescription* description) const {
  constexpr size_t kDescriptionOffset = 24;  // behind the blob's header and the section's
  if (!Filled(slot)) return "the slot is empty";
  if (slots_[slot].size > 0) return Read(slot, kDescriptionOffset, description, sizeof *description);
  *description = *built_in_[slot]->description;
  return nullptr;
}

const char* ModelSlots::Read(int slot, size_t offset, void* to, size_t size) const {
  if (this->size(slot) == 0) return "the slot holds no blob";
  if (offset > slots_[slot].size || size > slots_[slot].size - offset) return "beyond the blob's end";
  const uint32_t address = RegionAddress(slot, slots_[slot].region) + kHeaderBytes + static_cast<uint32_t>(offset);
  return BoardFlashRead(address, to, size) ? nullptr : kFlashFailed;
}

const char* ModelSlots::ReadRegion(int slot, int region, size_t size, uint8_t* to, ModelView* view) const {
  if (!BoardFlashRead(RegionAddress(slot, region) + kHeaderBytes, to, size)) return kFlashFailed;
  return ReadModelBlob(to, size, view);
}

const char* ModelSlots::ReadSlot(int slot, uint8_t* to, ModelView* view) {
  Slot& wanted = slots_[slot];
  const char* reason = ReadRegion(slot, wanted.region, wanted.size, to, view);
  RegionHeader older;
  if (reason == nullptr || !wanted.has_other || !ReadHeader(RegionAddress(slot, 1 - wanted.region), &older)) {
    return reason;
  }
  if (ReadRegion(slot, 1 - wanted.region, older.size, to, view) != nullptr) return reason;
  // A page went bad: better the model before. The next upload goes where the damage is.
  wanted = {wanted.sequence, older.size, static_cast<uint8_t>(1 - wanted.region), false};
  return nullptr;
}

const ModelView* ModelSlots::Look(int slot) {
  if (!Filled(slot)) return nullptr;
  if (slots_[slot].size == 0) return built_in_[slot];
  return ReadSlot(slot, checked_blob, &checked_view) == nullptr ? &checked_view : nullptr;
}

const ModelView* ModelSlots::Open(int slot) {
  if (!Filled(slot)) return nullptr;
  if (slots_[slot].size == 0) return built_in_[slot];
  const int buffer = 1 - opened_;
  if (ReadSlot(slot, opened_blobs[buffer], &opened_views[buffer]) != nullptr) return nullptr;
  opened_ = buffer;
  return &opened_views[buffer];
}

}  // namespace oddity
