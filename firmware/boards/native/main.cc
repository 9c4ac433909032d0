// The pedal as a program of the host: the same code, spoken to over TCP on the loopback interface.
//   program PORT     listens on PORT, serves one connection and ends with it
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#if defined(__SSE__)
#include <xmmintrin.h>
#endif

#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "pedal/board.h"
#include "pedal/built_in_model.h"
#include "pedal/effect.h"
#include "pedal/host_port.h"
#include "pedal/load_meter.h"
#include "pedal/model_slots.h"

namespace oddity {
namespace {

constexpr int kQuietMilliseconds = 500;

Effect<Engine> effect;
ModelSlots slots;
LoadMeter meter;
HostPort host;
int connection = -1;

int Accept(uint16_t port) {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  const int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || listen(listener, 1) != 0) {
    std::perror("cannot listen");
    std::exit(1);
  }
  const int accepted = accept(listener, nullptr, nullptr);
  setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  close(listener);
  return accepted;
}

}  // namespace

const BoardDescription kBoard = {"native", CounterUnit::kNanoseconds, 0};

uint32_t BoardCounter() {
  return static_cast<uint32_t>(std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1));
}

void BoardSend(const uint8_t* data, size_t size) {
  while (size > 0) {
    const ssize_t sent = send(connection, data, size, MSG_NOSIGNAL);
    if (sent <= 0) std::exit(0);
    data += sent;
    size -= static_cast<size_t>(sent);
  }
}

}  // namespace oddity

int main(int argc, char** argv) {
  using namespace oddity;
  if (argc != 2) {
    std::fprintf(stderr, "usage: program PORT\n");
    return 2;
  }
#if defined(__SSE__)
  _mm_setcsr(_mm_getcsr() | 0x8000);  // denormals are flushed to zero, as on the chip
#endif
  effect.Init();
  slots.Init();
  meter.Init(kBoard.budget_per_frame);
  host.Init(&effect, &slots, &meter);
  if (const ModelView* model = BuiltInModel(); model != nullptr && slots.Install(0, *model) == nullptr) {
    host.Select(0, EngineKind::kFixed);
  }
  connection = Accept(static_cast<uint16_t>(std::atoi(argv[1])));

  for (;;) {
    pollfd waiting = {connection, POLLIN, 0};
    if (poll(&waiting, 1, kQuietMilliseconds) == 0) {
      host.Quiet();
      continue;
    }
    uint8_t bytes[4096];
    const ssize_t count = recv(connection, bytes, sizeof bytes, 0);
    if (count <= 0) return 0;
    for (ssize_t i = 0; i < count; ++i) host.Receive(bytes[i]);
    effect.Service();
  }
}
