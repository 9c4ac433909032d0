#include <deque>

#include "test/fuzz/bus.h"
#include "test/fuzz/targets.h"

namespace oddity::fuzz {
namespace {

constexpr int32_t kSampleMax = (1 << 23) - 1, kSampleMin = -(1 << 23);

// Without a pedal: the serial port says what it hears, and the audio is sent back.
class Echo final : public Bus {
 public:
  void Restart() {
    sent_.clear();
    Bus::Restart();
  }

  void Check() {
    Enumerate();
    const Packet sent = {0xA5, 0, 0xFF, 1};
    Packet heard;
    SendSerial(sent.data(), sent.size(), &heard);
    REQUIRE(heard == sent, "the serial port does not work any more");
  }

 private:
  void PlaySpan(HostFrame* host, size_t size) override {
    for (size_t i = 0; i < size; ++i) {
      for (const int32_t sample : {host[i].first, host[i].second}) {
        REQUIRE(sample >= kSampleMin && sample <= kSampleMax, "a sample of more than 24 bits");
      }
    }
  }

  void RunMainLoop() override {
    if (device.host_lost()) device.TakeHostLost();
    for (uint8_t byte; device.serial.room() > 0 && device.serial.Read(&byte);) {
      REQUIRE(!sent_.empty() && sent_.front() == byte, "a byte was lost, or came from nowhere");
      sent_.pop_front();
      device.serial.Write(&byte, 1);
    }
    REQUIRE(device.serial.Readable() || sent_.empty(), "a byte was lost");
  }

  void OnHostLost() override { sent_.clear(); }
  void OnSerialBytes(const Packet& bytes) override { sent_.insert(sent_.end(), bytes.begin(), bytes.end()); }

  std::deque<uint8_t> sent_;
};

}  // namespace

void FuzzUsb(const uint8_t* data, size_t size) {
  static Echo echo;
  echo.Restart();
  Input input(data, size);
  while (!input.empty()) echo.Do(input.Byte() % Bus::kOperations, input);
  echo.Check();
}

}  // namespace oddity::fuzz
