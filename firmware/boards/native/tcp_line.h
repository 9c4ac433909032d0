// A line of bytes to one host, over TCP on the loopback interface.
#pragma once

#include <cstddef>
#include <cstdint>

namespace oddity {

class TcpLine {
 public:
  bool Accept(uint16_t port);  // waits for the host; false when nobody can listen on the port

  // What came, or 0 when nothing has for so long. The program ends when the host is gone.
  size_t Read(uint8_t* data, size_t room, int milliseconds);
  void Write(const uint8_t* data, size_t size);

 private:
  int connection_ = -1;
};

}  // namespace oddity
