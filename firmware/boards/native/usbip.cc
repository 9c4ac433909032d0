#include "boards/native/usbip.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace oddity {
namespace {

constexpr uint16_t kVersion = 0x0111;
constexpr uint16_t kListRequest = 0x8005, kListReply = 5, kImportRequest = 0x8003, kImportReply = 3;
constexpr uint32_t kSubmit = 1, kUnlink = 2, kSubmitReply = 3, kUnlinkReply = 4;
constexpr uint32_t kNotAvailable = 1;  // the status of an operation
constexpr size_t kOperationBytes = 8, kCommandBytes = 48, kPacketBytes = 16;
constexpr size_t kPathBytes = 256, kBusIdBytes = 32;
constexpr char kBusId[kBusIdBytes] = "1-1";
constexpr uint32_t kFullSpeed = 2;
constexpr uint32_t kShortNotOk = 0x01, kZeroPacket = 0x40;  // of a request's flags

// The status of a request is an error number of Linux's.
constexpr int32_t kStalled = -32, kProtocolError = -71, kOverflow = -75, kUnlinked = -104, kShutDown = -108;
constexpr int32_t kInvalid = -22, kTooShort = -121;

// Beyond these it is no driver's request.
constexpr uint32_t kMaxRequestBytes = 1 << 18, kMaxPackets = 1024;
constexpr size_t kMaxRequests = 256, kMaxUnsentBytes = 1 << 22;
constexpr size_t kRememberedSequences = 64;

constexpr uint8_t kGetDescriptor = 6, kDeviceDescriptor = 1, kConfigurationDescriptor = 2, kInterfaceDescriptor = 4;
constexpr size_t kDeviceDescriptorBytes = 18, kConfigurationDescriptorBytes = 9;

void Require(bool kept, const char* what) {
  if (kept) return;
  std::fprintf(stderr, "the USB stack broke its contract: %s\n", what);
  std::abort();
}

uint16_t Read16(const uint8_t* bytes) { return static_cast<uint16_t>(bytes[0] << 8 | bytes[1]); }
uint32_t Read32(const uint8_t* bytes) { return uint32_t{Read16(bytes)} << 16 | Read16(bytes + 2); }
uint16_t ReadLittle16(const uint8_t* bytes) { return static_cast<uint16_t>(bytes[0] | bytes[1] << 8); }

void Put16(std::vector<uint8_t>* out, uint16_t value) {
  out->push_back(static_cast<uint8_t>(value >> 8));
  out->push_back(static_cast<uint8_t>(value));
}

void Put32(std::vector<uint8_t>* out, uint32_t value) {
  Put16(out, static_cast<uint16_t>(value >> 16));
  Put16(out, static_cast<uint16_t>(value));
}

void PutText(std::vector<uint8_t>* out, const char* text, size_t size) {
  out->insert(out->end(), text, text + std::strlen(text));
  out->resize(out->size() + size - std::strlen(text));
}

// A hub's request to reset its port: what a host of USB/IP has in place of a bus reset.
bool IsPortReset(const UsbSetup& setup) { return setup.request_type == 0x23 && setup.request == 3 && setup.value == 4; }

}  // namespace

bool UsbIp::Init(uint16_t port, double speed) {
  speed_ = speed;
  due_ = Clock::now();
  listener_ = socket(AF_INET, SOCK_STREAM, 0);
  const int on = 1;
  setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
         listen(listener_, SOMAXCONN) == 0;
}

bool UsbIp::Serve() {
  Move();  // what the stack has queued since
  if (!Flush()) Disconnect();
  pollfd waiting = {connection_ < 0 ? listener_ : connection_, POLLIN, 0};
  if (!out_.empty()) waiting.events = out_.size() > kMaxUnsentBytes ? POLLOUT : POLLIN | POLLOUT;
  const auto left = std::chrono::nanoseconds(std::max(due_ - Clock::now(), Clock::duration::zero())).count();
  const timespec timeout = {left / 1'000'000'000, left % 1'000'000'000};
  if (ppoll(&waiting, 1, Fed() ? &timeout : nullptr, nullptr) > 0) {
    if (connection_ < 0) {
      Accept();
    } else if (waiting.revents & ~POLLOUT && !Read()) {
      Disconnect();
    }
  }
  Move();
  if (!Flush()) Disconnect();
  return Fed() && Clock::now() >= due_;
}

void UsbIp::Frame() {
  due_ = std::max(due_ + Period(), Clock::now());
  if (!imported_) return;
  ++frame_;
  events_->OnStartOfFrame();
  for (const uint8_t direction : {uint8_t{0}, kUsbIn}) {
    for (uint8_t number = 1; number < 16; ++number) MoveIsochronous(direction | number);
  }
}

bool UsbIp::Fed() const {
  for (const auto& direction : endpoints_) {
    for (const Endpoint& endpoint : direction) {
      if (endpoint.streams && endpoint.requests.empty()) return false;
    }
  }
  return true;
}

bool UsbIp::Streaming() const {
  for (const auto& direction : endpoints_) {
    for (const Endpoint& endpoint : direction) {
      if (endpoint.streams) return true;
    }
  }
  return false;
}

UsbIp::Clock::duration UsbIp::Period() const {
  const std::chrono::duration<double, std::milli> frame(1);
  if (speed_ == 0) return Streaming() ? Clock::duration::zero() : std::chrono::duration_cast<Clock::duration>(frame);
  return std::chrono::duration_cast<Clock::duration>(frame / speed_);
}

void UsbIp::Accept() {
  connection_ = accept(listener_, nullptr, nullptr);
  if (connection_ < 0) return;
  const int on = 1;
  setsockopt(connection_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  fcntl(connection_, F_SETFL, O_NONBLOCK);
}

void UsbIp::Disconnect() {
  if (connection_ < 0) return;
  close(connection_);
  connection_ = -1;
  in_.clear();
  out_.clear();
  if (imported_) Reset();
  imported_ = false;
}

void UsbIp::Reset() {
  for (uint8_t number = 0; number < 16; ++number) {
    for (const uint8_t direction : {uint8_t{0}, kUsbIn}) {
      FinishAll(direction | number, kShutDown);
      Of(direction | number) = {};
    }
  }
  for (auto& direction : endpoints_) {
    direction[0].open = true;
    direction[0].max_packet_bytes = kControlPacketBytes;
  }
  events_->OnReset();
}

// False when the host is gone, or speaks something else.
bool UsbIp::Read() {
  uint8_t bytes[1 << 16];
  const ssize_t count = recv(connection_, bytes, sizeof bytes, 0);
  if (count < 0) return errno == EAGAIN || errno == EINTR;
  if (count == 0) return false;
  in_.insert(in_.end(), bytes, bytes + count);
  size_t done = 0;
  for (;;) {
    const uint8_t* next = in_.data() + done;
    const size_t left = in_.size() - done;
    const size_t taken = imported_ ? Command(next, left) : Handshake(next, left);
    if (taken == kGarbage) return false;
    if (taken == 0) break;
    done += taken;
  }
  in_.erase(in_.begin(), in_.begin() + static_cast<ptrdiff_t>(done));
  return true;
}

size_t UsbIp::Handshake(const uint8_t* bytes, size_t size) {
  if (size < kOperationBytes) return 0;
  const uint16_t code = Read16(bytes + 2);
  if (Read16(bytes) != kVersion || (code != kListRequest && code != kImportRequest)) return kGarbage;
  const bool import = code == kImportRequest;
  const size_t taken = kOperationBytes + (import ? kBusIdBytes : 0);
  if (size < taken) return 0;

  Reset();
  const bool known = !import || std::memcmp(bytes + kOperationBytes, kBusId, sizeof "1-1") == 0;
  const bool available = known && Ask(kDeviceDescriptor, kDeviceDescriptorBytes, &device_) &&
                         Ask(kConfigurationDescriptor, UINT16_MAX, &configuration_) &&
                         device_.size() == kDeviceDescriptorBytes &&
                         configuration_.size() >= kConfigurationDescriptorBytes;
  Put16(&out_, kVersion);
  Put16(&out_, import ? kImportReply : kListReply);
  Put32(&out_, available ? 0 : kNotAvailable);
  if (!available) return taken;
  if (!import) Put32(&out_, 1);
  PutDevice();
  if (!import) PutInterfaces();
  imported_ = import;
  return taken;
}

void UsbIp::PutDevice() {
  PutText(&out_, "/oddity", kPathBytes);
  PutText(&out_, kBusId, kBusIdBytes);
  for (const uint32_t number : {1u, 2u, kFullSpeed}) Put32(&out_, number);       // the bus's, the device's
  for (const size_t at : {8, 10, 12}) Put16(&out_, ReadLittle16(&device_[at]));  // vendor, product, release
  for (const size_t at : {4, 5, 6}) out_.push_back(device_[at]);                 // class, subclass, protocol
  for (const uint8_t byte : {configuration_[5], device_[17], configuration_[4]}) out_.push_back(byte);
}

void UsbIp::PutInterfaces() {
  for (size_t at = 0; at + 8 < configuration_.size() && configuration_[at] >= 2; at += configuration_[at]) {
    const uint8_t* descriptor = &configuration_[at];
    if (descriptor[1] != kInterfaceDescriptor || descriptor[3] != 0) continue;
    out_.insert(out_.end(), {descriptor[5], descriptor[6], descriptor[7], 0});
  }
}

bool UsbIp::Ask(uint8_t type, uint16_t length, std::vector<uint8_t>* answer) {
  Request request{};
  request.setup = {kUsbIn, kGetDescriptor, static_cast<uint16_t>(type << 8), 0, length};
  request.length = length;
  request.to_host = true;
  int32_t status = 0;
  if (!MoveControl(&request, &status) || status != 0) return false;
  *answer = std::move(request.data);
  return true;
}

size_t UsbIp::Command(const uint8_t* bytes, size_t size) {
  if (size < kCommandBytes) return 0;
  const uint32_t command = Read32(bytes);
  if (command == kSubmit) return Submit(bytes, size);
  if (command != kUnlink) return kGarbage;
  Unlink(Read32(bytes + 4), Read32(bytes + 20));
  return kCommandBytes;
}

size_t UsbIp::Submit(const uint8_t* bytes, size_t size) {
  Request request{};
  request.sequence = Read32(bytes + 4);
  const uint32_t direction = Read32(bytes + 12), number = Read32(bytes + 16);
  request.flags = Read32(bytes + 20);
  request.length = Read32(bytes + 24);
  const uint32_t packets = Read32(bytes + 32) == UINT32_MAX ? 0 : Read32(bytes + 32);
  if (direction > 1 || number > 15 || request.length > kMaxRequestBytes || packets > kMaxPackets) return kGarbage;
  const size_t data_bytes = direction == 0 ? request.length : 0;
  const size_t taken = kCommandBytes + data_bytes + packets * kPacketBytes;
  if (size < taken) return 0;

  request.to_host = direction == 1;
  request.data.assign(bytes + kCommandBytes, bytes + kCommandBytes + data_bytes);
  const uint8_t* setup = bytes + 40;
  request.setup = {setup[0], setup[1], ReadLittle16(setup + 2), ReadLittle16(setup + 4), ReadLittle16(setup + 6)};
  uint32_t room = request.length;
  for (const uint8_t* at = bytes + taken - packets * kPacketBytes; at < bytes + taken; at += kPacketBytes) {
    const uint32_t offset = Read32(at), length = Read32(at + 4);
    if (length > room || offset > request.length - length) return kGarbage;
    room -= length;
    request.packets.push_back({offset, length, 0, 0});
  }
  size_t waiting = 0;
  for (const auto& side : endpoints_) {
    for (const Endpoint& endpoint : side) waiting += endpoint.requests.size();
  }
  if (waiting >= kMaxRequests) return kGarbage;
  Begin(static_cast<uint8_t>(number | (request.to_host && number > 0 ? kUsbIn : 0)), std::move(request));
  return taken;
}

void UsbIp::Begin(uint8_t address, Request&& request) {
  Endpoint& endpoint = Of(address);
  if (!endpoint.open) return Answer(request, kShutDown);
  if ((endpoint.type == EndpointType::kIsochronous) == request.packets.empty()) return Answer(request, kInvalid);
  if (endpoint.type == EndpointType::kControl) {
    if (IsPortReset(request.setup)) {
      Reset();
      return Answer(request, 0);
    }
    const bool reads = request.setup.request_type & kUsbIn;
    if (request.length != request.setup.length || (request.length > 0 && reads != request.to_host)) {
      return Answer(request, kInvalid);
    }
    request.to_host = reads && request.length > 0;
  }
  endpoint.streams = endpoint.type == EndpointType::kIsochronous;
  endpoint.requests.push_back(std::move(request));
  Move();  // before the next command
}

void UsbIp::Unlink(uint32_t sequence, uint32_t victim) {
  int32_t status = 0;
  for (auto& direction : endpoints_) {
    for (Endpoint& endpoint : direction) {
      const auto is_it = [&](const Request& request) { return request.sequence == victim; };
      const auto found = std::find_if(endpoint.requests.begin(), endpoint.requests.end(), is_it);
      if (found != endpoint.requests.end()) {
        endpoint.requests.erase(found);
        endpoint.streams = false;
        status = kUnlinked;
      } else if (std::count(endpoint.answered.begin(), endpoint.answered.end(), victim) > 0) {
        endpoint.streams = false;  // the answer and this crossed
      }
    }
  }
  for (const uint32_t field : {kUnlinkReply, sequence, 0u, 0u, 0u, static_cast<uint32_t>(status)}) Put32(&out_, field);
  out_.resize(out_.size() + kCommandBytes - 24);
}

// All that can be moved now; what an event queues may let more move.
void UsbIp::Move() {
  for (bool moved = true; moved;) {
    moved = false;
    int32_t status = 0;
    if (!Of(0).requests.empty() && MoveControl(&Of(0).requests.front(), &status)) {
      Finish(0, status);
      moved = true;
    }
    for (uint8_t number = 1; number < 16; ++number) {
      for (const uint8_t direction : {uint8_t{0}, kUsbIn}) moved = MovePacket(direction | number) || moved;
    }
  }
}

// True when the transfer is over.
bool UsbIp::MoveControl(Request* request, int32_t* status) {
  Endpoint& from_host = Of(0);
  Endpoint& to_host = Of(kUsbIn);
  if (request->stage == Stage::kSetup) {
    for (Endpoint* side : {&from_host, &to_host}) side->queued = side->stalled = false;
    request->stage = request->length > 0 ? Stage::kData : Stage::kStatus;
    events_->OnSetup(request->setup);
  }
  for (;;) {
    if (to_host.stalled) {
      *status = kStalled;
      return true;
    }
    const bool last = request->stage == Stage::kStatus;  // an empty packet the other way
    const bool sends = request->to_host != last;
    Endpoint& side = sends ? to_host : from_host;
    if (!side.queued) return false;
    side.queued = false;
    const size_t left = last ? 0 : request->length - request->moved;
    const size_t size = sends ? side.size : std::min(left, kControlPacketBytes);
    if (size > left) {
      *status = kOverflow;
      return true;
    }
    request->moved += size;
    if (request->moved == request->length || size < kControlPacketBytes) request->stage = Stage::kStatus;
    if (sends) {
      if (size > 0) request->data.insert(request->data.end(), side.to_host, side.to_host + size);
      events_->OnSent(kUsbIn);
    } else {
      const size_t kept = std::min(size, side.size);
      if (kept > 0) std::memcpy(side.from_host, request->data.data() + request->moved - size, kept);
      events_->OnReceived(0, kept);
    }
    if (last) return true;
  }
}

// Of a bulk or interrupt endpoint; true when there was one.
bool UsbIp::MovePacket(uint8_t address) {
  Endpoint& endpoint = Of(address);
  if (endpoint.type == EndpointType::kIsochronous || endpoint.requests.empty()) return false;
  if (endpoint.stalled) {
    FinishAll(address, kStalled);
    return false;
  }
  if (!endpoint.queued) return false;
  endpoint.queued = false;
  Request& request = endpoint.requests.front();
  const size_t left = request.length - request.moved;
  if (address & kUsbIn) {
    const size_t size = endpoint.size;
    const bool is_short = size < endpoint.max_packet_bytes && size < left;
    if (size <= left) {
      request.data.insert(request.data.end(), endpoint.to_host, endpoint.to_host + size);
      request.moved += size;
    }
    if (size > left) {
      Finish(address, kOverflow);
    } else if (is_short || size == left) {
      Finish(address, is_short && request.flags & kShortNotOk ? kTooShort : 0);
    }
    events_->OnSent(address);
  } else {
    const size_t size = std::min(left, endpoint.max_packet_bytes);
    const size_t kept = std::min(size, endpoint.size);
    if (kept > 0) std::memcpy(endpoint.from_host, request.data.data() + request.moved, kept);
    request.moved += size;
    const bool one_more = size == endpoint.max_packet_bytes && request.flags & kZeroPacket;
    if (size == left && !one_more) Finish(address, 0);
    events_->OnReceived(address, kept);
  }
  return true;
}

// This frame's packet.
void UsbIp::MoveIsochronous(uint8_t address) {
  Endpoint& endpoint = Of(address);
  if (endpoint.type != EndpointType::kIsochronous || endpoint.requests.empty()) return;
  Request& request = endpoint.requests.front();
  IsochronousPacket& packet = request.packets[request.moved];
  if (request.moved == 0) request.start_frame = frame_;
  const bool to_host = address & kUsbIn;
  const size_t size = to_host ? endpoint.size : packet.length, kept = std::min(size, endpoint.size);
  bool moved = endpoint.queued;
  if (to_host && moved) {
    if (size > packet.length) {
      packet.status = kOverflow;
    } else {
      packet.actual = static_cast<uint32_t>(size);
      request.data.insert(request.data.end(), endpoint.to_host, endpoint.to_host + size);
      constexpr uint8_t kFortyEight[4] = {0, 0, 48, 0};  // 16.16
      if (address == frozen_) std::copy_n(kFortyEight, std::min(size, sizeof kFortyEight), request.data.end() - size);
    }
  } else if (!to_host && size > endpoint.max_packet_bytes) {
    packet.status = kOverflow;
    moved = false;
  } else if (!to_host) {
    packet.actual = packet.length;
    if (moved && kept > 0) std::memcpy(endpoint.from_host, request.data.data() + packet.offset, kept);
  }
  if (moved) endpoint.queued = false;
  if (++request.moved == request.packets.size()) Finish(address, 0);
  if (!moved) return;
  if (to_host) return events_->OnSent(address);
  events_->OnReceived(address, kept);
}

void UsbIp::Finish(uint8_t address, int32_t status) {
  Endpoint& endpoint = Of(address);
  endpoint.answered.push_back(endpoint.requests.front().sequence);
  if (endpoint.answered.size() > kRememberedSequences) endpoint.answered.pop_front();
  Answer(endpoint.requests.front(), status);
  endpoint.requests.pop_front();
}

void UsbIp::FinishAll(uint8_t address, int32_t status) {
  while (!Of(address).requests.empty()) Finish(address, status);
}

void UsbIp::Answer(const Request& request, int32_t status) {
  if (connection_ < 0) return;
  uint32_t moved = static_cast<uint32_t>(request.moved), errors = 0;
  if (!request.packets.empty()) {
    moved = 0;
    for (const IsochronousPacket& packet : request.packets) {
      moved += packet.actual;
      errors += packet.status != 0;
    }
  }
  for (const uint32_t field : {kSubmitReply, request.sequence, 0u, 0u, 0u, static_cast<uint32_t>(status), moved,
                               request.start_frame, static_cast<uint32_t>(request.packets.size()), errors, 0u, 0u}) {
    Put32(&out_, field);
  }
  if (request.to_host) out_.insert(out_.end(), request.data.begin(), request.data.end());
  for (const IsochronousPacket& packet : request.packets) {
    for (const uint32_t field : {packet.offset, packet.length, packet.actual, static_cast<uint32_t>(packet.status)}) {
      Put32(&out_, field);
    }
  }
}

// False when the host is gone.
bool UsbIp::Flush() {
  if (connection_ < 0 || out_.empty()) return true;
  const ssize_t sent = send(connection_, out_.data(), out_.size(), MSG_NOSIGNAL);
  if (sent < 0) return errno == EAGAIN || errno == EINTR;
  out_.erase(out_.begin(), out_.begin() + sent);
  return true;
}

void UsbIp::Open(uint8_t endpoint, EndpointType type, size_t max_packet_bytes) {
  Require((endpoint & 15) != 0, "it opens endpoint 0");
  Close(endpoint);
  Endpoint& opened = Of(endpoint);
  opened.open = true;
  opened.type = type;
  opened.max_packet_bytes = max_packet_bytes;
}

void UsbIp::Close(uint8_t endpoint) {
  Require((endpoint & 15) != 0, "it closes endpoint 0");
  FinishAll(endpoint, kShutDown);
  Of(endpoint) = {};
}

void UsbIp::Send(uint8_t endpoint, const void* data, size_t size) {
  Endpoint& queue = Of(endpoint);
  Require(endpoint & kUsbIn && queue.open, "it sends on no open endpoint");
  Require(!queue.queued, "it sends while a packet is queued");
  Require(size <= queue.max_packet_bytes, "it sends more than a packet");
  queue.queued = true;
  queue.to_host = static_cast<const uint8_t*>(data);
  queue.size = size;
}

void UsbIp::Receive(uint8_t endpoint, void* data, size_t room) {
  Endpoint& queue = Of(endpoint);
  Require(!(endpoint & kUsbIn) && queue.open, "it receives on no open endpoint");
  Require(!queue.queued, "it receives while a packet is awaited");
  queue.queued = true;
  queue.from_host = static_cast<uint8_t*>(data);
  queue.size = room;
}

void UsbIp::Stall(uint8_t endpoint) {
  Require(Of(endpoint).open, "it stalls a closed endpoint");
  if ((endpoint & 15) == 0) endpoints_[0][0].stalled = endpoints_[1][0].stalled = true;
  Of(endpoint).stalled = true;
}

void UsbIp::ClearStall(uint8_t endpoint) {
  Require(Of(endpoint).open, "it clears a closed endpoint");
  Of(endpoint).stalled = false;
}

}  // namespace oddity
