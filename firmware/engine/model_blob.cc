#include "engine/model_blob.h"

#include <cmath>
#include <cstring>

#include "engine/fir_q15.h"
#include "engine/resampler.h"

namespace oddity {
namespace {

constexpr char kMagic[4] = {'P', 'E', 'D', 'L'};
constexpr uint16_t kVersion = 4;
constexpr int kMaxSelfTestFrames = 4096;  // the pedal plays them at once

struct BlobHeader {
  char magic[4];
  uint16_t version;
  uint16_t section_count;
  uint32_t total_bytes;
  uint32_t crc32;  // of all that follows
};

struct SectionHeader {
  char tag[4];
  uint32_t bytes;  // without the padding to 8
};

bool NamesAndKnobsAreSane(const ModelDescription& description) {
  if (description.knob_count > kMaxKnobs) return false;
  if (std::memchr(description.name, 0, sizeof description.name) == nullptr) return false;
  for (const KnobDescription& knob : description.knobs) {
    if (std::memchr(knob.name, 0, sizeof knob.name) == nullptr) return false;
    if (!std::isfinite(knob.minimum) || !std::isfinite(knob.maximum) || !std::isfinite(knob.default_value))
      return false;
  }
  return true;
}

bool RecurrentIsSane(const ModelDescription& description) {
  if (description.layer_count < 1 || description.layer_count > kMaxLayers) return false;
  if (description.hidden_size < 1 || description.layer_count * description.hidden_size > kMaxUnits) return false;
  if ((description.flags & ~(kLowWeights | kInt8Weights | kFine | kFinest)) != 0) return false;
  if ((description.flags & kFinest) && !(description.flags & kFine)) return false;
  for (const uint8_t frac_bits : description.cell_frac_bits) {
    if (frac_bits < 24 || frac_bits > 28) return false;
  }
  if (description.head_frac_bits < 8 || description.head_frac_bits > 28) return false;
  if (description.sample_rate_hz > INT32_MAX) return false;
  const auto own_hz = static_cast<int32_t>(description.sample_rate_hz);
  return own_hz == kPedalRateHz || ResamplingSteps(own_hz).allowed;
}

bool DescriptionIsSane(const ModelDescription& description) {
  if (!NamesAndKnobsAreSane(description) || description.self_test_frames == 0) return false;
  if (description.self_test_frames > kMaxSelfTestFrames) return false;
  if (description.cabinet_partitions > kMaxCabinetPartitions) return false;
  switch (description.architecture) {
    case Architecture::kLstm:
    case Architecture::kGru:
      return RecurrentIsSane(description);
    case Architecture::kEq:
      return description.sample_rate_hz == kPedalRateHz && (description.flags & ~kFine) == 0;
  }
  return false;
}

bool EqShapeIsSane(const EqShape& shape, int knob_count) {
  if (shape.amps < 1 || shape.amps > kMaxEqAmps || knob_count != (shape.amps > 1 ? 1 : 0)) return false;
  if (shape.beyond > (shape.amps > 1 ? kMaxEqBeyond : 0)) return false;
  if (shape.blocks < 1 || shape.blocks > kMaxEqBlocks || shape.taps < 2 || shape.taps > kMaxEqTaps) return false;
  return shape.blocks * PaddedTaps(shape.taps) <= kEqTapCapacity && shape.dry_delay < shape.taps;
}

bool AllWithin(const int32_t* values, int count, int32_t limit) {
  for (int index = 0; index < count; ++index) {
    if (values[index] < 0 || values[index] > limit) return false;
  }
  return true;
}

// Takes the sections one after the other; each must have the tag and the length that the description implies. What is
// taken after one that is not as it should be is nullptr too.
class SectionReader {
 public:
  SectionReader(const uint8_t* data, size_t size) : next_(data), left_(size) {}

  template <typename T>
  const T* Take(const char* tag, size_t count) {
    const size_t bytes = count * sizeof(T);
    const size_t padded = (bytes + 7) / 8 * 8;
    SectionHeader header;
    failed_ = failed_ || left_ < sizeof header;
    if (failed_) return nullptr;
    std::memcpy(&header, next_, sizeof header);
    failed_ = std::memcmp(header.tag, tag, 4) != 0 || header.bytes != bytes || left_ - sizeof header < padded;
    if (failed_) return nullptr;
    const auto* section = reinterpret_cast<const T*>(next_ + sizeof header);
    ++taken_;
    next_ += sizeof header + padded;
    left_ -= sizeof header + padded;
    return section;
  }

  bool AtEnd() const { return left_ == 0; }
  int taken() const { return taken_; }
  bool failed() const { return failed_; }
  void Fail() { failed_ = true; }

 private:
  const uint8_t* next_;
  size_t left_;
  bool failed_ = false;
  int taken_ = 0;
};

void TakeEq(SectionReader& reader, ModelView& view) {
  EqView& eq = view.eq;
  eq.shape = reader.Take<EqShape>("EQSH", 1);
  if (reader.failed()) return;
  const EqShape& shape = *eq.shape;
  if (!EqShapeIsSane(shape, view.description->knob_count)) return reader.Fail();
  eq.fir_frac_bits = reader.Take<int32_t>("EQFB", shape.blocks);
  eq.firs = reader.Take<int32_t>("EQFI", shape.fir_count() * shape.blocks * shape.taps);
  eq.biases = reader.Take<int32_t>("EQBI", shape.amps * shape.blocks);
  eq.gate_logits = reader.Take<int32_t>("EQGA", shape.amps * shape.blocks);
  eq.levels = reader.Take<int32_t>("EQLV", shape.last_place() + 1);
  if (!reader.failed() && !AllWithin(eq.fir_frac_bits, shape.blocks, kMaxEqFirFracBits)) reader.Fail();
}

void TakeRecurrent(SectionReader& reader, ModelView& view) {
  const ModelDescription& description = *view.description;
  const size_t hidden = description.hidden_size;
  const size_t units = description.layer_count * hidden;
  size_t weights = 0;
  for (int layer = 0; layer < description.layer_count; ++layer) {
    weights += WeightCount(description.architecture, description.hidden_size, layer);
  }
  view.bias = reader.Take<int32_t>("BIAS", units * kMaxGates);
  view.scale = reader.Take<int32_t>("SCAL", units * kMaxGates);
  view.input_weights = reader.Take<int32_t>("INPW", hidden * kMaxGates * (1 + description.knob_count));
  if (description.flags & kInt8Weights) {
    view.int8_weights = reader.Take<int8_t>("RECB", weights);
    view.int8_steps = reader.Take<int16_t>("STEP", units * kMaxGates);
  } else {
    view.recurrent_weights = reader.Take<int16_t>("RECW", weights);
  }
  view.head_weights = reader.Take<int32_t>("HEAD", hidden);
  view.rest = reader.Take<int32_t>("REST", units * 2);
  const auto own_hz = static_cast<int32_t>(description.sample_rate_hz);
  if (own_hz != kPedalRateHz) view.resampling = reader.Take<int32_t>("RSMP", ResamplingSteps(own_hz).reach + 1);
  if (description.flags & kLowWeights) {
    view.low_weights = reader.Take<int16_t>("RECL", weights);
    view.low_bias = reader.Take<int32_t>("BIAL", units * kMaxGates);
  }
}

}  // namespace

uint32_t Crc32(const uint8_t* data, size_t size) {
  uint32_t crc = ~0u;
  for (size_t i = 0; i < size; ++i) {
    crc ^= data[i];
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? 0xedb88320u : 0);
  }
  return ~crc;
}

const char* ReadModelBlob(const uint8_t* data, size_t size, ModelView* model) {
  BlobHeader header;
  if (size < sizeof header) return "shorter than a blob's header";
  std::memcpy(&header, data, sizeof header);
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0) return "not a model blob";
  if (header.version != kVersion) return "made for another version of the firmware";
  if (header.total_bytes != size) return "length does not match: truncated or overlong";
  if (Crc32(data + sizeof header, size - sizeof header) != header.crc32) return "CRC-32 does not match: damaged";

  SectionReader reader(data + sizeof header, size - sizeof header);
  ModelView view;
  view.description = reader.Take<ModelDescription>("DESC", 1);
  if (view.description == nullptr || !DescriptionIsSane(*view.description)) return "description is not valid";
  const ModelDescription& description = *view.description;
  description.architecture == Architecture::kEq ? TakeEq(reader, view) : TakeRecurrent(reader, view);
  if (const size_t partitions = description.cabinet_partitions; partitions > 0) {
    view.cabinet_shifts = reader.Take<int32_t>("CABS", partitions);
    view.cabinet_taps = reader.Take<int16_t>("CABT", partitions * kCabinetPartition);
    if (!reader.failed() && !AllWithin(view.cabinet_shifts, static_cast<int>(partitions), 31)) reader.Fail();
  }
  view.self_test_input = reader.Take<int32_t>("TSTI", description.self_test_frames);
  view.self_test_output = reader.Take<int32_t>("TSTO", description.self_test_frames);
  if (reader.failed() || !reader.AtEnd()) return "shapes do not match the description";
  if (header.section_count != reader.taken()) return "has the wrong sections";
  *model = view;
  return nullptr;
}

}  // namespace oddity
