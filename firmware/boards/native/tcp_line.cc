#include "boards/native/tcp_line.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>

namespace oddity {

bool TcpLine::Accept(uint16_t port) {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  const int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || listen(listener, 1) != 0) {
    return false;
  }
  connection_ = accept(listener, nullptr, nullptr);
  setsockopt(connection_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  close(listener);
  return true;
}

size_t TcpLine::Read(uint8_t* data, size_t room, int milliseconds) {
  pollfd waiting = {connection_, POLLIN, 0};
  if (poll(&waiting, 1, milliseconds) == 0) return 0;
  const ssize_t count = recv(connection_, data, room, 0);
  if (count <= 0) std::exit(0);
  return static_cast<size_t>(count);
}

void TcpLine::Write(const uint8_t* data, size_t size) {
  while (size > 0) {
    const ssize_t sent = send(connection_, data, size, MSG_NOSIGNAL);
    if (sent <= 0) std::exit(0);
    data += sent;
    size -= static_cast<size_t>(sent);
  }
}

}  // namespace oddity
