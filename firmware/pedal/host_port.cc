#include "pedal/host_port.h"

#include <algorithm>
#include <cstring>

#include "pedal/board.h"

namespace oddity {
namespace {

constexpr char kFirmwareVersion[] = "0.1.0";
constexpr size_t kBytesPerSample = 3;

}  // namespace

// Little-endian fields of a request, in order. After a field that is not there, `ok` is false and fields are zero.
class HostPort::Reader {
 public:
  Reader(const uint8_t* data, size_t size) : data_(data), left_(size) {}

  template <typename T>
  T Take() {
    T value{};
    if (left_ < sizeof value) {
      ok_ = false;
      left_ = 0;
      return value;
    }
    std::memcpy(&value, data_, sizeof value);
    data_ += sizeof value;
    left_ -= sizeof value;
    return value;
  }

  const uint8_t* data() const { return data_; }
  size_t left() const { return left_; }
  bool ok() const { return ok_; }
  bool AtEnd() const { return ok_ && left_ == 0; }

 private:
  const uint8_t* data_;
  size_t left_;
  bool ok_ = true;
};

class HostPort::Writer {
 public:
  explicit Writer(uint8_t* data) : data_(data) {}

  template <typename T>
  void Put(T value) {
    PutBytes(&value, sizeof value);
  }

  void PutBytes(const void* data, size_t size) {
    std::memcpy(data_ + size_, data, size);
    size_ += size;
  }

  // Says why; for a reply that is not OK.
  Status Refuse(Status status, const char* reason) {
    size_ = 0;
    PutBytes(reason, std::strlen(reason));
    return status;
  }

  // Room that the caller fills.
  uint8_t* Reserve(size_t size) {
    size_ += size;
    return data_ + size_ - size;
  }

  size_t size() const { return size_; }

 private:
  uint8_t* data_;
  size_t size_ = 0;
};

void HostPort::Init(InputSource* input, Effect<Engine>* effect, ModelSlots* slots, Player* player, LoadMeter* meter) {
  input_ = input;
  effect_ = effect;
  slots_ = slots;
  player_ = player;
  meter_ = meter;
  stream_ = nullptr;
  parser_.Init();
  has_the_audio_ = has_set_ = boot_loader_wanted_ = false;
}

void HostPort::Receive(uint8_t byte) {
  parser_.Push(byte);
  AnswerAll();
}

void HostPort::AnswerAll() {
  Frame request;
  while (parser_.Next(&request)) Answer(request);
}

void HostPort::Quiet() {
  for (; !parser_.empty(); AnswerAll()) parser_.GiveUp();
  has_the_audio_ = false;
}

void HostPort::Answer(const Frame& request) {
  Reader reader(request.payload, request.size);
  Writer writer(reply_ + kFrameHeaderBytes + 1);
  const Status status = Dispatch(static_cast<Message>(request.type), reader, writer);
  reply_[kFrameHeaderBytes] = static_cast<uint8_t>(status);
  BoardSend(reply_, CloseFrame(request.type | kReply, reply_, 1 + writer.size()));
  if (boot_loader_wanted_) BoardEnterBootLoader();
}

Status HostPort::Dispatch(Message message, Reader& request, Writer& reply) {
  const auto result = [&](const char* reason) {
    return reason ? reply.Refuse(Status::kRejected, reason) : Status::kOk;
  };
  const auto bad = [&](const char* reason) { return reply.Refuse(Status::kBadArgument, reason); };
  switch (message) {
    case Message::kHello:
      return request.AtEnd() ? Hello(reply) : bad("hello takes nothing");
    case Message::kSlot: {
      const auto slot = request.Take<uint8_t>();
      ModelDescription description;
      if (!request.AtEnd() || !slots_->Filled(slot)) return bad("the slot is empty");
      if (const char* reason = slots_->Describe(slot, &description)) return result(reason);
      reply.Put(static_cast<uint32_t>(slots_->size(slot)));
      reply.Put(description);
      return Status::kOk;
    }
    case Message::kLoadBegin: {
      const auto slot = request.Take<uint8_t>();
      const auto size = request.Take<uint32_t>();
      return request.AtEnd() ? result(slots_->Begin(slot, size)) : bad("load begin takes slot and size");
    }
    case Message::kLoadData: {
      const auto offset = request.Take<uint32_t>();
      if (!request.ok()) return bad("load data takes offset and bytes");
      return result(slots_->Append(offset, request.data(), request.left()));
    }
    case Message::kLoadCommit: {
      if (!request.AtEnd()) return bad("load commit takes nothing");
      int slot;
      const char* reason = slots_->Commit(&slot);
      if (reason != nullptr) return result(reason);
      if (player_->slot() == Player::kNone || slot == player_->slot()) player_->Play(slot);
      return Status::kOk;
    }
    case Message::kSelect: {
      const auto slot = request.Take<uint8_t>();
      const auto engine = request.Take<EngineKind>();
      if (!request.AtEnd() || !slots_->Filled(slot)) return bad("the slot is empty");
      if (!Engine::Has(engine)) return bad("this firmware was built without that engine");
      if (slots_->Look(slot) == nullptr) return result("the slot's model is damaged, or for another firmware");
      if (!player_->Select(slot, engine)) return bad("that engine plays LSTMs and GRUs of one layer only");
      slots_->Remember(slot);
      has_set_ = true;
      return Status::kOk;
    }
    case Message::kSet: {
      const auto parameter = request.Take<Parameter>();
      const auto value = request.Take<int32_t>();
      if (parameter == Parameter::kReamp && stream_ == nullptr) return bad("this pedal has no audio on USB");
      if (parameter != Parameter::kBlockFrames && parameter != Parameter::kReamp)
        has_set_ = true;  // before the knobs are looked at again
      if (!request.AtEnd() || Set(parameter, value) != Status::kOk)
        return bad("no such parameter, or value out of range");
      return Status::kOk;
    }
    case Message::kProcess:
      return Process(request, reply);
    case Message::kStats:
      return request.AtEnd() ? Stats(reply) : bad("stats takes nothing");
    case Message::kClearStats: {
      if (!request.AtEnd()) return bad("clear stats takes nothing");
      const AudioLock lock;
      meter_->Clear();
      effect_->ClearFaults();
      if (stream_ != nullptr) stream_->Clear();
      return Status::kOk;
    }
    case Message::kReset:
      if (!request.AtEnd()) return bad("reset takes nothing");
      Settle();
      has_set_ = true;
      return Status::kOk;
    case Message::kUsbStats:
      return request.AtEnd() ? StreamStats(reply) : bad("usb stats takes nothing");
    case Message::kRead:
      return Read(request, reply);
    case Message::kBootLoader:
      if (!request.AtEnd()) return bad("boot loader takes nothing");
      if (!kBoard.has_boot_loader) return result("this board has no boot loader");
      boot_loader_wanted_ = true;
      return Status::kOk;
  }
  return reply.Refuse(Status::kUnknownMessage, "unknown message");
}

Status HostPort::Hello(Writer& reply) const {
  uint8_t engines = 0;
  for (const EngineKind kind : {EngineKind::kFixed, EngineKind::kRtneural}) {
    if (Engine::Has(kind)) engines |= static_cast<uint8_t>(1 << static_cast<int>(kind));
  }
  reply.Put(kProtocolVersion);
  reply.Put(static_cast<uint16_t>(kMaxBlock));
  reply.Put(static_cast<uint32_t>(kSampleRateHz));
  reply.Put(static_cast<uint32_t>(ModelSlots::kCapacity));
  reply.Put(BoardBudgetPerFrame(player_->engine()));
  reply.Put(static_cast<uint8_t>(ModelSlots::kCount));
  reply.Put(player_->slot() == Player::kNone ? kNoSlot : static_cast<uint8_t>(player_->slot()));
  reply.Put(engines);
  reply.Put(player_->engine());
  reply.Put(kBoard.counter_unit);
  uint32_t filled = 0;
  for (int slot = 0; slot < ModelSlots::kCount; ++slot) filled |= uint32_t{slots_->Filled(slot)} << slot;
  reply.Put(filled);
  reply.PutBytes(kBoard.name, std::strlen(kBoard.name) + 1);
  reply.PutBytes(kFirmwareVersion, sizeof kFirmwareVersion);
  return Status::kOk;
}

Status HostPort::Read(Reader& request, Writer& reply) const {
  const auto slot = request.Take<uint8_t>();
  const auto offset = request.Take<uint32_t>();
  const auto size = request.Take<uint16_t>();
  if (!request.AtEnd() || size >= kMaxPayload) {
    return reply.Refuse(Status::kBadArgument, "read takes slot, offset and size");
  }
  if (const char* reason = slots_->Read(slot, offset, reply.Reserve(size), size)) {
    return reply.Refuse(Status::kRejected, reason);
  }
  return Status::kOk;
}

Status HostPort::Stats(Writer& reply) const {
  const AudioLock lock;
  for (const uint32_t count :
       {meter_->blocks(), meter_->frames(), meter_->overruns(), effect_->fault_count(), meter_->last_block(),
        meter_->worst_per_frame(), effect_->overload_count(), uint32_t{effect_->overloaded()}}) {
    reply.Put(count);
  }
  reply.Put(meter_->total());
  return Status::kOk;
}

Status HostPort::StreamStats(Writer& reply) const {
  if (stream_ == nullptr) return reply.Refuse(Status::kRejected, "this pedal has no audio on USB");
  for (const std::atomic<uint32_t>* count :
       {&stream_->frames_from_host, &stream_->frames_to_host, &stream_->underruns, &stream_->overruns,
        &stream_->level_min, &stream_->level_max, &stream_->feedback}) {
    reply.Put(count->load());
  }
  return Status::kOk;
}

void HostPort::Settle() {
  const bool had_it = has_the_audio_.exchange(true);
  player_->Settle();
  input_->WaitForHost();
  has_the_audio_ = had_it;
}

Status HostPort::Process(Reader& request, Writer& reply) {
  const auto block_size = request.Take<uint16_t>();
  if (block_size < 1 || block_size > kMaxBlock || request.left() % kBytesPerSample != 0) {
    return reply.Refuse(Status::kBadArgument, "process takes a block size from 1 to 256 and 24-bit samples");
  }
  if (!has_the_audio_.exchange(true) && kBoard.real_time) player_->Settle();
  const uint8_t* bytes = request.data();
  for (size_t left = request.left() / kBytesPerSample; left > 0;) {
    int32_t samples[kMaxBlock];
    const size_t frames = std::min<size_t>(left, block_size);
    for (size_t i = 0; i < frames; ++i, bytes += kBytesPerSample) {
      samples[i] = static_cast<int32_t>(uint32_t{bytes[0]} << 8 | uint32_t{bytes[1]} << 16 | uint32_t{bytes[2]} << 24);
    }
    const uint32_t start = BoardCounter();
    effect_->Process(samples, samples, frames);
    meter_->Record(BoardCounter() - start, frames, BoardBudgetPerFrame(player_->engine()));
    player_->Service();
    for (size_t i = 0; i < frames; ++i) {
      const auto rounded = static_cast<uint32_t>(samples[i] > INT32_MAX - 128 ? INT32_MAX : samples[i] + 128);
      const uint8_t sample[kBytesPerSample] = {uint8_t(rounded >> 8), uint8_t(rounded >> 16), uint8_t(rounded >> 24)};
      reply.PutBytes(sample, sizeof sample);
    }
    left -= frames;
  }
  return Status::kOk;
}

Status HostPort::Set(Parameter parameter, int32_t value) {
  if (value < 0) return Status::kBadArgument;
  const AudioLock lock;
  switch (parameter) {
    case Parameter::kInputLevel:
      effect_->SetInputLevel(value);
      return Status::kOk;
    case Parameter::kOutputLevel:
      effect_->SetOutputLevel(value);
      return Status::kOk;
    case Parameter::kBypass:
      effect_->SetBypass(value != 0);
      return Status::kOk;
    case Parameter::kTone:
      effect_->SetTone(value);
      return Status::kOk;
    case Parameter::kGate:
      effect_->SetGate(value);
      return Status::kOk;
    case Parameter::kReamp:
      input_->SetReamp(value != 0);
      return Status::kOk;
    case Parameter::kBlockFrames:
      if (value < 1 || value > static_cast<int32_t>(kMaxBlock)) return Status::kBadArgument;
      BoardSetBlock(static_cast<size_t>(value));
      return Status::kOk;
    case Parameter::kKnob1:
    case Parameter::kKnob2:
    case Parameter::kKnob3:
    case Parameter::kKnob4:
      player_->SetKnob(static_cast<int>(parameter) - static_cast<int>(Parameter::kKnob1), value);
      return Status::kOk;
  }
  return Status::kBadArgument;
}

}  // namespace oddity
