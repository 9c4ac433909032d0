#include "test/fuzz/models.h"

#include <cstring>

#include "engine/engine.h"
#include "engine/model_blob.h"
#include "engine/resampler.h"

namespace oddity::fuzz {
namespace {

using Blob = std::vector<uint8_t>;

constexpr size_t kHeaderBytes = 16, kTotalOffset = 8, kCrcOffset = 12, kCountOffset = 6;
constexpr uint16_t kSelfTestFrames = 8;

class BlobWriter {
 public:
  explicit BlobWriter(const ModelDescription& description) : blob_{'P', 'E', 'D', 'L', 4, 0, 0, 0} {
    blob_.resize(kHeaderBytes);
    Section("DESC", &description, sizeof description);
  }

  void Section(const char* tag, const void* data, size_t size) {
    const auto length = static_cast<uint32_t>(size);
    Append(tag, 4);
    Append(&length, sizeof length);
    Append(data, size);
    blob_.resize((blob_.size() + 7) / 8 * 8);
    ++blob_[kCountOffset];
  }

  // Numbers of any kind, within +-`most`.
  template <typename T>
  void Numbers(const char* tag, size_t count, int32_t most) {
    std::vector<T> numbers(count);
    for (T& number : numbers) {
      seed_ = seed_ * 1664525 + 1013904223;
      number = static_cast<T>((int64_t{static_cast<int32_t>(seed_)} * most) >> 31);
    }
    Section(tag, numbers.data(), count * sizeof(T));
  }

  template <typename T>
  void Same(const char* tag, size_t count, T number) {
    const std::vector<T> numbers(count, number);
    Section(tag, numbers.data(), count * sizeof(T));
  }

  Blob Finish() {
    Numbers<int32_t>("TSTI", kSelfTestFrames, 1 << 30);
    Same<int32_t>("TSTO", kSelfTestFrames, 0);
    const auto total = static_cast<uint32_t>(blob_.size());
    std::memcpy(&blob_[kTotalOffset], &total, sizeof total);
    return blob_;
  }

 private:
  void Append(const void* data, size_t size) {
    const auto* bytes = static_cast<const uint8_t*>(data);
    blob_.insert(blob_.end(), bytes, bytes + size);
  }

  Blob blob_;
  uint32_t seed_ = 1;
};

ModelDescription Describe(Architecture architecture, int hidden, int layers, int knobs, uint8_t flags) {
  ModelDescription description{};
  description.architecture = architecture;
  description.hidden_size = static_cast<uint8_t>(hidden);
  description.layer_count = static_cast<uint8_t>(layers);
  description.knob_count = static_cast<uint8_t>(knobs);
  description.flags = flags;
  description.self_test_frames = kSelfTestFrames;
  description.sample_rate_hz = kPedalRateHz;
  std::strcpy(description.name, "fuzz");
  for (KnobDescription& knob : description.knobs) knob = {"knob", 0, 1, 0.5f};
  if (architecture == Architecture::kEq) return description;
  description.head_frac_bits = 24;
  for (uint8_t& bits : description.cell_frac_bits) bits = 27;
  return description;
}

Blob MakeRecurrent(const ModelDescription& description) {
  BlobWriter writer(description);
  const size_t hidden = description.hidden_size, units = hidden * description.layer_count;
  size_t weights = 0;
  for (int layer = 0; layer < description.layer_count; ++layer) {
    weights += WeightCount(description.architecture, description.hidden_size, layer);
  }
  writer.Numbers<int32_t>("BIAS", units * kMaxGates, 1 << 20);
  writer.Same<int32_t>("SCAL", units * kMaxGates, 1 << 24);
  writer.Numbers<int32_t>("INPW", hidden * kMaxGates * (1 + description.knob_count), 1 << 21);
  if (description.flags & kInt8Weights) {
    writer.Numbers<int8_t>("RECB", weights, 127);
    writer.Same<int16_t>("STEP", units * kMaxGates, 100);
  } else {
    writer.Numbers<int16_t>("RECW", weights, 20000);
  }
  writer.Numbers<int32_t>("HEAD", hidden, 1 << 23);
  writer.Numbers<int32_t>("REST", units * 2, 1 << 10);
  if (description.sample_rate_hz != kPedalRateHz) {
    const ResamplingSteps steps(static_cast<int32_t>(description.sample_rate_hz));
    writer.Numbers<int32_t>("RSMP", steps.reach + 1, 1 << 28);
  }
  if (description.flags & kLowWeights) {
    writer.Numbers<int16_t>("RECL", weights, 2000);
    writer.Numbers<int32_t>("BIAL", units * kMaxGates, 1000);
  }
  if (description.cabinet_partitions > 0) {
    writer.Same<int32_t>("CABS", description.cabinet_partitions, 4);
    writer.Numbers<int16_t>("CABT", description.cabinet_partitions * kCabinetPartition, 1000);
  }
  return writer.Finish();
}

Blob MakeEq() {
  BlobWriter writer(Describe(Architecture::kEq, 0, 0, 1, kFine));
  const EqShape shape = {2, 2, 6, 1, 1};
  writer.Section("EQSH", &shape, sizeof shape);
  writer.Same<int32_t>("EQFB", shape.blocks, 28);
  writer.Numbers<int32_t>("EQFI", shape.fir_count() * shape.blocks * shape.taps, 1 << 26);
  writer.Numbers<int32_t>("EQBI", shape.amps * shape.blocks, 1 << 18);
  writer.Numbers<int32_t>("EQGA", shape.amps * shape.blocks, 1 << 20);
  writer.Same<int32_t>("EQLV", shape.last_place() + 1, 1 << 28);
  return writer.Finish();
}

Blob Make(int model) {
  switch (model) {
    case 0:
      return MakeRecurrent(Describe(Architecture::kLstm, 2, 1, 1, kFine | kFinest));
    case 1:
      return MakeRecurrent(Describe(Architecture::kGru, 3, 2, 0, kInt8Weights | kFine));
    case 2: {
      ModelDescription description = Describe(Architecture::kLstm, 1, 1, 0, kLowWeights);
      description.sample_rate_hz = 44100;  // whose table is longer than a frame of the host protocol
      description.cabinet_partitions = 1;
      return MakeRecurrent(description);
    }
    default:
      return MakeEq();
  }
}

// A blob that says how long it is.
void SealChecksum(Blob* blob) {
  const uint32_t crc = Crc32(blob->data() + kHeaderBytes, blob->size() - kHeaderBytes);
  std::memcpy(&(*blob)[kCrcOffset], &crc, sizeof crc);
}

// What the engine makes of it is what it is to make.
void SealSelfTest(Blob* blob) {
  static FixedEngine engine;
  ModelView view;
  if (ReadModelBlob(blob->data(), blob->size(), &view) != nullptr) return;
  auto* output = const_cast<int32_t*>(view.self_test_output);
  engine.Load(view);
  engine.Process(view.self_test_input, output, view.description->self_test_frames);
  SealChecksum(blob);
}

}  // namespace

std::vector<uint8_t> MakeModel(int model) {
  Blob blob = Make(model);
  SealChecksum(&blob);
  SealSelfTest(&blob);
  ModelView view;
  REQUIRE(ReadModelBlob(blob.data(), blob.size(), &view) == nullptr, "the models of the fuzzer are not valid");
  return blob;
}

void Mutate(std::vector<uint8_t>* blob, Input& input) {
  const uint8_t kind = input.Byte();
  for (int changes = kind % 8; changes > 0; --changes) {
    const size_t at = input.Word() % blob->size();
    (*blob)[at] = input.Byte();
  }
  if (kind & 64) blob->resize(input.Word() % blob->size());
  if (kind & 8 || blob->size() < kHeaderBytes) return;
  SealChecksum(blob);
  if (kind & 16) SealSelfTest(blob);
}

}  // namespace oddity::fuzz
