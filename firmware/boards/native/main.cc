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

#include "boards/flash_in_ram.h"
#include "pedal/pedal.h"

namespace oddity {
namespace {

constexpr int kQuietMilliseconds = 500;

Pedal pedal;
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

const BoardDescription kBoard = {"native", CounterUnit::kNanoseconds, false, false};

uint32_t BoardBudgetPerFrame(EngineKind) { return 0; }

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

// There is no audio interrupt, and the host makes the blocks.
uint32_t BoardLockAudio() { return 0; }
void BoardUnlockAudio(uint32_t) {}
void BoardSetBlock(size_t) {}
void BoardEnterBootLoader() {}

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
  pedal.Init();
  connection = Accept(static_cast<uint16_t>(std::atoi(argv[1])));

  for (;;) {
    pollfd waiting = {connection, POLLIN, 0};
    if (poll(&waiting, 1, kQuietMilliseconds) == 0) {
      pedal.host.Quiet();
      continue;
    }
    uint8_t bytes[4096];
    const ssize_t count = recv(connection, bytes, sizeof bytes, 0);
    if (count <= 0) return 0;
    for (ssize_t i = 0; i < count; ++i) pedal.host.Receive(bytes[i]);
    pedal.Service();
  }
}
