// See wire.hpp.
#include "client/wire.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.hpp"

namespace skep::client::wire {

namespace {

constexpr std::size_t kMaxMessage = max_inline + 1024;

/// Builds a body by appending.
class Writer {
 public:
  template <class T>
  void put(const T& value) {
    bytes(bytes_of(value));
  }
  void bytes(ByteView view) { out_.insert(out_.end(), view.begin(), view.end()); }
  [[nodiscard]] std::vector<std::byte>& take() { return out_; }

 private:
  std::vector<std::byte> out_;
};

/// Takes a body apart from its start; each step is checked.
class Cursor {
 public:
  explicit Cursor(ByteView bytes) : bytes_(bytes) {}
  Result<ByteView> bytes(u64 size) {
    if (size > bytes_.size()) return fail(EPROTO, "a message is shorter than it says");
    const ByteView part = bytes_.first(size);
    bytes_ = bytes_.subspan(size);
    return part;
  }
  template <class T>
  Result<T> get() {
    return load<T>(TRY(bytes(sizeof(T))).data());
  }
  [[nodiscard]] bool at_end() const { return bytes_.empty(); }

 private:
  ByteView bytes_;
};

std::vector<std::byte> copy(ByteView view) { return {view.begin(), view.end()}; }

Result<UniqueFd> memfd_with(ByteView bytes) {
  UniqueFd fd(::memfd_create("skep-message", MFD_CLOEXEC));
  if (!fd) return fail_errno("memfd");
  while (!bytes.empty()) {
    const ssize_t done = ::write(fd.get(), bytes.data(), bytes.size());
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return fail_errno("memfd");
    bytes = bytes.subspan(static_cast<std::size_t>(done));
  }
  return fd;
}

/// The body out of a memfd. Only shared memory is read (F_GET_SEALS knows nothing else): a descriptor that
/// blocks, such as a pipe or a FUSE file, must not get the reader to wait.
Result<std::vector<std::byte>> body_of(int fd, u64 size) {
  struct stat info{};
  if (::fstat(fd, &info) < 0 || !S_ISREG(info.st_mode) || ::fcntl(fd, F_GET_SEALS) < 0)
    return fail(EPROTO, "a message's body is not in a memfd");
  if (info.st_size < 0 || static_cast<u64>(info.st_size) != size)
    return fail(EPROTO, "a message's body has another size than it says");
  std::vector<std::byte> body(size);
  std::size_t have = 0;
  while (have < size) {
    const ssize_t got = ::pread(fd, body.data() + have, size - have, static_cast<off_t>(have));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return fail(EPROTO, "a message's body cannot be read");
    have += static_cast<std::size_t>(got);
  }
  return body;
}

/// Header and body as one message, the body in a memfd where it is large.
template <class Header>
Result<Message> pack(Header header, std::vector<std::byte> body) {
  Message message;
  header.magic = magic;
  header.body_size = body.size();
  const bool spill = body.size() > max_inline;
  if (spill) {
    header.flags |= Header::in_memfd;
    message.fds.push_back(TRY(memfd_with(body)));
  }
  message.bytes = copy(bytes_of(header));
  if (!spill) message.bytes.insert(message.bytes.end(), body.begin(), body.end());
  return message;
}

/// The header, and the body from wherever it is; takes the memfd off the message.
template <class Header>
Result<std::pair<Header, std::vector<std::byte>>> unpack(Message& message, u64 max_body) {
  Cursor cursor(message.bytes);
  const auto header = TRY(cursor.get<Header>());
  if (header.magic != magic)
    return fail(
        EPROTO,
        "the other side is of another version of skep (a daemon stops with the skep that started it)");
  if (header.body_size > max_body) return fail(E2BIG, fmt::format("a message of {} bytes", header.body_size));
  if ((header.flags & Header::in_memfd) == 0) {
    auto body = copy(TRY(cursor.bytes(header.body_size)));
    if (!cursor.at_end()) return fail(EPROTO, "a message is longer than it says");
    return std::pair(header, std::move(body));
  }
  if (message.fds.empty() || !cursor.at_end()) return fail(EPROTO, "a message without its memfd");
  const UniqueFd memfd = std::move(message.fds.back());
  message.fds.pop_back();
  return std::pair(header, TRY(body_of(memfd.get(), header.body_size)));
}

}  // namespace

Result<void> send(int socket, const Message& message, std::span<const int> borrowed_first, int flags) {
  std::vector<int> fds(borrowed_first.begin(), borrowed_first.end());
  for (const UniqueFd& fd : message.fds) fds.push_back(fd.get());
  iovec data{const_cast<std::byte*>(message.bytes.data()), message.bytes.size()};  // NOLINT: read only
  msghdr header{};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  std::vector<char> control(fds.empty() ? 0 : CMSG_SPACE(fds.size() * sizeof(int)));
  if (!fds.empty()) {
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    std::memcpy(CMSG_DATA(rights), fds.data(), fds.size() * sizeof(int));
  }
  for (;;) {
    if (::sendmsg(socket, &header, MSG_NOSIGNAL | flags) >= 0) return {};
    if (errno != EINTR) return fail_errno("the daemon's socket");
  }
}

Result<Message> receive(int socket, int flags) {
  Message message;
  message.bytes.resize(kMaxMessage);
  iovec data{message.bytes.data(), message.bytes.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE((max_fds + 3) * sizeof(int))> control{};
  msghdr header{};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  ssize_t got = -1;
  do {
    got = ::recvmsg(socket, &header, MSG_CMSG_CLOEXEC | flags);
  } while (got < 0 && errno == EINTR);
  if (got < 0) return fail_errno("the daemon's socket");
  for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    for (std::size_t at = 0; at + sizeof(int) <= part->cmsg_len - CMSG_LEN(0); at += sizeof(int))
      message.fds.emplace_back(load<int>(CMSG_DATA(part) + at));
  }
  message.bytes.resize(static_cast<std::size_t>(got));
  if ((header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0)
    return fail(EPROTO, "a message larger than any of ours");
  return message;
}

Result<Message> encode_request(const BpfCall& call, const std::vector<int>& labels, bool has_netns) {
  RequestHeader header{};
  header.cmd = call.cmd();
  header.attr_size = static_cast<u32>(call.attr().size());
  header.segment_count = static_cast<u32>(call.segments().size());
  header.fd_count = static_cast<u32>(labels.size());
  if (has_netns) header.flags |= RequestHeader::has_netns;
  Writer body;
  body.bytes(call.attr());
  u64 size = 0;
  for (const Segment& segment : call.segments()) {
    body.put(SegmentHeader{reinterpret_cast<u64>(segment.address), segment.size, segment.direction, 0});
    if ((segment.direction & Segment::in) != 0) size += segment.size;
  }
  if (size > limits::max_request_bytes) return fail(E2BIG, fmt::format("a request of {} bytes", size));
  for (const int label : labels) body.put(label);
  for (const Segment& segment : call.segments())
    if ((segment.direction & Segment::in) != 0) body.bytes({segment.address, segment.size});
  return pack(header, std::move(body.take()));
}

Result<Request> decode_request(Message message) {
  // The labels, segments and attr ride on top of the memory itself.
  auto [header, body] = TRY(unpack<RequestHeader>(message, limits::max_request_bytes + (64u << 10)));
  if (header.attr_size > max_attr || header.segment_count > max_segments || header.fd_count > max_fds)
    return fail(EPROTO, "a request beyond the protocol's limits");
  Request request;
  request.cmd = header.cmd;
  request.body = std::move(body);
  Cursor cursor(request.body);
  request.attr = copy(TRY(cursor.bytes(header.attr_size)));
  for (u32 i = 0; i < header.segment_count; ++i) {
    const auto segment = TRY(cursor.get<SegmentHeader>());
    if (segment.address + segment.size < segment.address)
      return fail(EPROTO, "a segment beyond the address space");
    request.memory.push_back({segment.address, segment.size, segment.direction, {}});
  }
  for (u32 i = 0; i < header.fd_count; ++i) request.labels.push_back(TRY(cursor.get<s32>()));
  for (Request::Memory& memory : request.memory)
    if ((memory.direction & Segment::in) != 0) memory.bytes = TRY(cursor.bytes(memory.size));
  if (!cursor.at_end()) return fail(EPROTO, "a request is longer than it says");
  const bool has_netns = (header.flags & RequestHeader::has_netns) != 0;
  if (message.fds.size() != header.fd_count + (has_netns ? 1u : 0u))
    return fail(EPROTO, "a request with other descriptors than it says");
  if (has_netns) {
    request.netns = std::move(message.fds.back());
    message.fds.pop_back();
  }
  request.fds = std::move(message.fds);
  return request;
}

Result<Message> encode_reply(Reply reply) {
  ReplyHeader header{};
  header.error = reply.error;
  header.attr_size = static_cast<u32>(reply.attr.size());
  header.write_count = static_cast<u32>(reply.writes.size());
  header.what_size = static_cast<u32>(reply.what.size());
  header.blob_size = reply.blob.size();
  Writer body;
  body.bytes(reply.attr);
  for (const auto& write : reply.writes) body.put(WriteHeader{write.address, write.bytes.size()});
  body.bytes(bytes_of(std::string_view(reply.what)));
  body.bytes(reply.blob);
  for (const auto& write : reply.writes) body.bytes(write.bytes);
  header.fd_count = static_cast<u32>(reply.fds.size());
  Message message = TRY(pack(header, std::move(body.take())));
  message.fds.insert(message.fds.begin(), std::make_move_iterator(reply.fds.begin()),
                     std::make_move_iterator(reply.fds.end()));
  return message;
}

Result<Reply> decode_reply(Message message) {
  // As much as the client gave room for may come back: a log, the values of a batch. The daemon is the
  // client's own.
  auto [header, body] = TRY(unpack<ReplyHeader>(message, u64{2} << 30));
  if (header.attr_size > max_attr || header.write_count > max_segments * 4)
    return fail(EPROTO, "a reply beyond the protocol's limits");
  Reply reply;
  reply.error = header.error;
  Cursor cursor(body);
  reply.attr = copy(TRY(cursor.bytes(header.attr_size)));
  std::vector<WriteHeader> writes;
  for (u32 i = 0; i < header.write_count; ++i) writes.push_back(TRY(cursor.get<WriteHeader>()));
  reply.what = chars_of(TRY(cursor.bytes(header.what_size)));
  reply.blob = copy(TRY(cursor.bytes(header.blob_size)));
  for (const WriteHeader& write : writes)
    reply.writes.push_back({write.address, copy(TRY(cursor.bytes(write.size)))});
  if (!cursor.at_end()) return fail(EPROTO, "a reply is longer than it says");
  if (message.fds.size() != header.fd_count)
    return fail(EPROTO, "a reply with other descriptors than it says");
  reply.fds = std::move(message.fds);
  return reply;
}

}  // namespace skep::client::wire
