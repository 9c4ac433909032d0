#include <bitset>
#include <cstring>
#include <vector>

#include "pedal/pedal.h"
#include "test/fuzz/bus.h"
#include "test/fuzz/models.h"
#include "test/fuzz/targets.h"

namespace oddity {
namespace fuzz {
namespace {

constexpr int32_t kSampleMax = (1 << 23) - 1, kSampleMin = -(1 << 23);
constexpr size_t kFlashSectors = ModelSlots::kFlashBytes / kFlashSectorBytes;

// Blank after Clear; erased again is only what was written to.
struct Flash {
  void Clear() {
    for (size_t sector = 0; sector < kFlashSectors; ++sector) {
      if (written[sector]) std::memset(bytes + sector * kFlashSectorBytes, 0xFF, kFlashSectorBytes);
    }
    written.reset();
    works = UINT32_MAX;
  }

  bool Use(uint32_t address, size_t size) {
    REQUIRE(address <= sizeof bytes && size <= sizeof bytes - address, "beyond the flash memory's end");
    if (works == UINT32_MAX) return true;
    if (works == 0) return false;
    --works;
    return true;
  }

  std::bitset<kFlashSectors> written = std::bitset<kFlashSectors>().set();
  uint32_t works;  // times, before it fails
  uint8_t bytes[ModelSlots::kFlashBytes];
};

Flash flash;
uint32_t counter, counter_step;

class PedalOnBus final : public Bus {
 public:
  static constexpr int kOperations = Bus::kOperations + 9;

  void Restart() {
    flash.Clear();
    counter = counter_step = 0;
    guitar_ = loaded_ = 0;
    PowerUp();
  }

  void Do(int operation, Input& input) {
    switch (operation - Bus::kOperations) {
      case 0:
        return SendFrame(input);
      case 1: {
        uint8_t payload[5] = {input.Byte()};
        Put(payload + 1, input.Long());
        return Request(Message::kSet, payload, sizeof payload);
      }
      case 2:
        return Process(input);
      case 3:
        return Upload(input);
      case 4: {
        const uint8_t payload[2] = {input.Byte(), static_cast<uint8_t>(input.Byte() % 2)};
        return Request(Message::kSelect, payload, sizeof payload);
      }
      case 5: {
        ControlReadings readings;
        for (uint16_t& pot : readings.pots) pot = static_cast<uint16_t>(input.Byte() << 8);
        const uint8_t switches = input.Byte();
        for (int i = 0; i < kFootswitchCount; ++i) readings.pressed[i] = switches >> i & 1;
        pedal.StepControls(readings, 1 + (switches >> 2) * 16);
        break;
      }
      case 6:
        pedal.host.Quiet();
        break;
      case 7:
        PowerUp();
        break;
      case 8: {
        const uint8_t kind = input.Byte();
        if (kind < 128) {
          counter_step = kind * kind;
        } else {
          flash.works = kind == 255 ? UINT32_MAX : kind - 128;
        }
        break;
      }
      default:
        return Bus::Do(operation, input);
    }
    REQUIRE(controller.faults == 0, controller.fault);
  }

  // After a bus reset the pedal says who it is, and it has every model that it took.
  void Check() {
    flash.works = UINT32_MAX;
    for (int slot = 0; slot < ModelSlots::kCount; ++slot) {
      REQUIRE(!pedal.slots.Filled(slot) || pedal.slots.Look(slot) != nullptr, "a model was lost");
    }
    Enumerate();
    RunMainLoop();
    uint8_t request[kFrameOverheadBytes];
    Packet reply;
    SendSerial(request, CloseFrame(static_cast<uint8_t>(Message::kHello), request, 0), &reply);
    const size_t size = reply.size();
    REQUIRE(size > kFrameOverheadBytes + 3 && reply[0] == kSync, "no answer");
    REQUIRE(reply[1] == (static_cast<uint8_t>(Message::kHello) | kReply), "another answer");
    REQUIRE((reply[2] | reply[3] << 8) + kFrameOverheadBytes == size, "more than an answer, or less");
    REQUIRE(Crc16(&reply[1], size - 3) == (reply[size - 2] | reply[size - 1] << 8), "a damaged answer");
    REQUIRE(reply[4] == 0 && (reply[5] | reply[6] << 8) == kProtocolVersion, "another pedal");
  }

  Pedal pedal;

 private:
  void PowerUp() {
    Bus::Restart();
    pedal.Init();
    pedal.host.ReportStream(&device.audio.stats);
  }

  void PlaySpan(HostFrame* host, size_t size) override {
    int32_t guitar[Pedal::kSpan] = {}, out[Pedal::kSpan];
    for (size_t i = 0; i < size; ++i) {
      guitar_ += 0x345678;
      guitar[i] = static_cast<int32_t>(guitar_ << 8) >> 8;
    }
    pedal.Play(guitar, host, out, size);
    for (size_t i = 0; i < size; ++i) {
      for (const int32_t sample : {host[i].first, host[i].second, out[i]}) {
        REQUIRE(sample >= kSampleMin && sample <= kSampleMax, "a sample of more than 24 bits");
      }
    }
  }
  void BeginBlock(size_t frames) override { pedal.BeginBlock(frames, device.audio.host_plays()); }
  void EndBlock() override { pedal.EndBlock(); }

  void RunMainLoop() override {
    if (device.host_lost()) {
      pedal.host.Quiet();
      device.TakeHostLost();
      pedal.input.SetReamp(false);
    }
    for (uint8_t byte; device.serial.room() >= kMaxPayload + kFrameOverheadBytes && device.serial.Read(&byte);) {
      pedal.host.Receive(byte);
    }
    pedal.Service();
  }

  void Request(Message message, const uint8_t* payload, size_t size) {
    if (size > 0) std::memcpy(frame_ + kFrameHeaderBytes, payload, size);
    SendSerial(frame_, CloseFrame(static_cast<uint8_t>(message), frame_, size));
  }

  // Its fields are those of the message; then it may be longer or shorter.
  void SendFrame(Input& input) {
    const uint8_t type = input.Byte(), kind = input.Byte();
    Packet payload;
    const auto put = [&payload](uint32_t value, size_t bytes) {
      for (size_t i = 0; i < bytes; ++i) payload.push_back(static_cast<uint8_t>(value >> (8 * i)));
    };
    const auto message = static_cast<Message>(type < 240 ? type % 16 : type);
    switch (message) {
      case Message::kSlot:
        put(kind, 1);
        break;
      case Message::kLoadBegin:
        put(kind % 32, 1);
        put(kind < 224 ? input.Word() : input.Long(), 4);
        break;
      case Message::kLoadData:
        input.Fill(&payload, input.Word() % (kMaxPayload - 4));
        for (const int bytes : {0, 8, 16, 24}) payload.insert(payload.begin() + bytes / 8, loaded_ >> bytes & 0xFF);
        loaded_ += static_cast<uint32_t>(payload.size() - 4);
        break;
      case Message::kRead:
        put(kind % 32, 1);
        put(kind < 224 ? input.Byte() : input.Long(), 4);
        put(input.Word(), 2);
        break;
      default:
        input.Fill(&payload, kind < 128 ? 0 : kind % 32);
    }
    if (message == Message::kLoadBegin) loaded_ = 0;
    const uint8_t length = input.Byte();
    if (length > 240) payload.resize(std::min<size_t>(payload.size() + length % 8, kMaxPayload));
    if (length > 224 && length <= 240) payload.resize(payload.size() / 2);
    Request(message, payload.data(), payload.size());
  }

  void Process(Input& input) {
    const uint16_t block = input.Word();
    const size_t frames = input.Byte();
    std::vector<uint8_t> payload;
    input.Fill(&payload, 2 + 3 * frames);
    std::memcpy(payload.data(), &block, sizeof block);
    Request(Message::kProcess, payload.data(), payload.size());
  }

  void Upload(Input& input) {
    static const std::vector<uint8_t> models[kModels] = {MakeModel(0), MakeModel(1), MakeModel(2), MakeModel(3)};
    const uint8_t which = input.Byte();
    const uint8_t slot = which >> 2 & 0x1F;
    std::vector<uint8_t> blob = models[which % kModels];
    if (which & 128) Mutate(&blob, input);

    uint8_t payload[kMaxPayload] = {slot};
    Put(payload + 1, static_cast<uint32_t>(blob.size()));
    Request(Message::kLoadBegin, payload, 5);
    for (size_t at = 0; at < blob.size();) {
      const size_t part = std::min(blob.size() - at, sizeof payload - sizeof(uint32_t));
      Put(payload, static_cast<uint32_t>(at));
      std::memcpy(payload + sizeof(uint32_t), blob.data() + at, part);
      Request(Message::kLoadData, payload, sizeof(uint32_t) + part);
      at += part;
    }
    Request(Message::kLoadCommit, payload, 0);
  }

  static void Put(uint8_t* at, uint32_t value) { std::memcpy(at, &value, sizeof value); }

  uint32_t guitar_ = 0, loaded_ = 0;
  uint8_t frame_[kMaxPayload + kFrameOverheadBytes];
};

PedalOnBus pedal_on_bus;

}  // namespace

void FuzzProtocol(const uint8_t* data, size_t size) {
  pedal_on_bus.Restart();
  Input input(data, size);
  while (!input.empty()) pedal_on_bus.Do(input.Byte() % PedalOnBus::kOperations, input);
  pedal_on_bus.Check();
}

Target FindTarget(const char* name) {
  if (std::strcmp(name, "usb") == 0) return FuzzUsb;
  if (std::strcmp(name, "protocol") == 0) return FuzzProtocol;
  return nullptr;
}

}  // namespace fuzz

// A board whose time passes as the fuzzer says.
const BoardDescription kBoard = {"fuzz", CounterUnit::kCycles, true, false};
uint32_t BoardBudgetPerFrame(EngineKind) { return 1000; }
uint32_t BoardCounter() { return fuzz::counter += fuzz::counter_step; }
void BoardSend(const uint8_t* data, size_t size) { fuzz::pedal_on_bus.device.serial.Write(data, size); }
uint32_t BoardLockAudio() { return 0; }
void BoardUnlockAudio(uint32_t) {}
void BoardSetBlock(size_t frames) { REQUIRE(frames >= 1 && frames <= kMaxBlock, "a block of no or too many frames"); }
void BoardEnterBootLoader() {}

bool BoardFlashRead(uint32_t address, void* data, size_t size) {
  if (!fuzz::flash.Use(address, size)) return false;
  std::memcpy(data, fuzz::flash.bytes + address, size);
  return true;
}

bool BoardFlashErase(uint32_t address) {
  REQUIRE(address % kFlashSectorBytes == 0, "not a sector of the flash memory");
  if (!fuzz::flash.Use(address, kFlashSectorBytes)) return false;
  std::memset(fuzz::flash.bytes + address, 0xFF, kFlashSectorBytes);
  fuzz::flash.written.set(address / kFlashSectorBytes);
  return true;
}

bool BoardFlashProgram(uint32_t address, const void* data, size_t size) {
  if (!fuzz::flash.Use(address, size)) return false;
  const auto* bytes = static_cast<const uint8_t*>(data);
  for (size_t i = 0; i < size; ++i) {
    REQUIRE((fuzz::flash.bytes[address + i] & bytes[i]) == bytes[i], "flash memory is not erased where it is written");
    fuzz::flash.bytes[address + i] &= bytes[i];
    fuzz::flash.written.set((address + i) / kFlashSectorBytes);
  }
  return true;
}

}  // namespace oddity
