// See remote_kernel.hpp.
#include "client/remote_kernel.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "client/daemon_directory.hpp"

namespace skep::client {

namespace {

/// A whole number of T out of a blob.
template <class T>
Result<std::vector<T>> records_of(ByteView blob) {
  if (blob.size() % sizeof(T) != 0) return fail(EPROTO, "the daemon's answer is cut off");
  std::vector<T> records(blob.size() / sizeof(T));
  if (!blob.empty()) std::memcpy(records.data(), blob.data(), blob.size());
  return records;
}

template <std::size_t N>
std::string text_of(const char (&text)[N]) {
  return {text, ::strnlen(text, N)};
}

std::unexpected<Error> unexpected_descriptors() {
  return fail(EPROTO, "the daemon's answer has other descriptors than the question is for");
}

/// bpf(2) takes a path relative to the caller's directory, which the daemon does not share.
Result<std::string> absolute(const std::string& path) {
  if (path.starts_with('/')) return path;
  std::array<char, 4096> cwd{};
  if (::getcwd(cwd.data(), cwd.size()) == nullptr) return fail_errno(path);
  return fmt::format("{}/{}", cwd.data(), path);
}

/// What the reply wrote, to where the call has room: never outside its `out` segments.
Result<void> scatter(const wire::Reply& reply, const BpfCall& call) {
  for (const auto& write : reply.writes) {
    const auto room = std::ranges::find_if(call.segments(), [&](const Segment& segment) {
      const u64 start = reinterpret_cast<u64>(segment.address);
      return (segment.direction & Segment::out) != 0 && write.address >= start &&
             write.address - start <= segment.size &&
             write.bytes.size() <= segment.size - (write.address - start);
    });
    if (room == call.segments().end()) return fail(EPROTO, "the daemon's answer does not fit the question");
    std::memcpy(room->address + (write.address - reinterpret_cast<u64>(room->address)), write.bytes.data(),
                write.bytes.size());
  }
  if (reply.attr.size() > call.attr().size())
    return fail(EPROTO, "the daemon's answer does not fit the question");
  std::memcpy(call.attr().data(), reply.attr.data(), reply.attr.size());
  return {};
}

}  // namespace

Result<std::unique_ptr<RemoteKernel>> RemoteKernel::connect(RemoteOptions options) {
  std::unique_ptr<RemoteKernel> kernel(new RemoteKernel);
  kernel->directory_ = options.directory.empty() ? daemon_directory() : options.directory;
  kernel->socket_ = TRY(connect_or_start(kernel->directory_, options.start_command));
  return kernel;
}

Result<wire::Reply> RemoteKernel::round_trip(const BpfCall& call) {
  if (!socket_) return fail(ECONNRESET, "the daemon has been stopped");
  // Numbers that are no descriptors are not sent: the daemon finds no label for them and says EBADF itself.
  std::vector<int> labels = call.fds();
  std::ranges::sort(labels);
  labels.erase(std::ranges::unique(labels).begin(), labels.end());
  std::erase_if(labels, [](int fd) { return ::fcntl(fd, F_GETFD) < 0; });
  if (labels.size() > wire::max_fds)
    return fail(E2BIG, fmt::format("{} descriptors in one request", labels.size()));
  UniqueFd netns;
  if (call.netns()) netns.reset(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  const wire::Message message = TRY(wire::encode_request(call, labels, static_cast<bool>(netns)));
  std::vector<int> borrowed = labels;
  if (netns) borrowed.push_back(netns.get());
  const auto gone = [this] {
    return fail(ECONNRESET, fmt::format("the daemon in {} has gone away", directory_));
  };
  if (const auto sent = wire::send(socket_.get(), message, borrowed, 0); !sent)
    return sent.error().code == EPIPE || sent.error().code == ECONNRESET ? Result<wire::Reply>(gone())
                                                                         : std::unexpected(sent.error());
  auto answer = wire::receive(socket_.get(), 0);
  if (answer ? answer->bytes.empty() : answer.error().code == ECONNRESET) return gone();
  if (!answer) return std::unexpected(answer.error());
  auto reply = TRY(wire::decode_reply(std::move(*answer)));
  TRY(scatter(reply, call));
  if (reply.error != 0) return fail(reply.error, std::move(reply.what));
  return reply;
}

Result<int> RemoteKernel::bpf(const BpfCall& call) {
  auto reply = TRY(round_trip(call));
  if (reply.fds.size() > 1) return unexpected_descriptors();
  return reply.fds.empty() ? -1 : reply.fds.front().release();
}

Result<wire::Reply> RemoteKernel::ask(wire::Own command, bool on_interfaces) {
  wire::Value none{};
  BpfCall call(static_cast<u32>(command), none);
  if (on_interfaces) call.acts_on_interfaces();
  return round_trip(call);
}

Result<void> RemoteKernel::obj_pin(int object, ObjectKind kind, const std::string& path) {
  return AttrKernel::obj_pin(object, kind, TRY(absolute(path)));
}

Result<Handle> RemoteKernel::obj_get(const std::string& path) {
  return AttrKernel::obj_get(TRY(absolute(path)));
}

Result<wire::FdInfo> RemoteKernel::about(int fd) {
  wire::FdInfo a{};
  BpfCall call(static_cast<u32>(wire::Own::fd_info), a);
  a.fd = call.fd(fd);
  TRY(round_trip(call));
  return a;
}

Result<FdInfo> RemoteKernel::fd_info(ObjectKind, int fd) {
  const auto got = TRY(about(fd));
  FdInfo info;
  info.memlock = got.memlock;
  info.frozen = got.frozen != 0;
  if (got.has_owner != 0) info.owner_prog_type = static_cast<ProgType>(got.owner_prog_type);
  info.owner_jited = got.owner_jited != 0;
  return info;
}

Result<ObjectKind> RemoteKernel::kind_of(int fd) {
  const auto got = TRY(about(fd));
  if (got.kind > static_cast<u32>(ObjectKind::link))
    return fail(EPROTO, "the daemon names an unknown kind of object");
  return static_cast<ObjectKind>(got.kind);
}

Result<MapMemory> RemoteKernel::map_memory(int map) {
  wire::MapMemory a{};
  BpfCall call(static_cast<u32>(wire::Own::map_memory), a);
  a.map_fd = call.fd(map);
  auto reply = TRY(round_trip(call));
  if (reply.fds.size() != 1 && reply.fds.size() != 3) return unexpected_descriptors();
  MapMemory memory{std::move(reply.fds[0]), a.offset, a.size, a.stride};
  if (reply.fds.size() == 3) {
    memory.consumer = std::move(reply.fds[1]);
    memory.wake = std::move(reply.fds[2]);
  }
  return memory;
}

Result<EventRing> RemoteKernel::map_events(int map, const EventSpec& spec) {
  wire::MapEvents a{};
  BpfCall call(static_cast<u32>(wire::Own::map_events), a);
  a.map_fd = call.fd(map);
  a.cpu = spec.cpu;
  a.index = spec.index;
  a.pages = spec.pages;
  auto reply = TRY(round_trip(call));
  if (reply.fds.size() != 2) return unexpected_descriptors();
  return EventRing{std::move(reply.fds[0]), a.size, std::move(reply.fds[1])};
}

Result<u32> RemoteKernel::possible_cpus() {
  if (!possible_cpus_) {
    wire::Value a{};
    TRY(round_trip(BpfCall(static_cast<u32>(wire::Own::possible_cpus), a)));
    possible_cpus_ = a.value;
  }
  return *possible_cpus_;
}

Result<std::string> RemoteKernel::pin_directory() {
  return std::string(chars_of(TRY(ask(wire::Own::pin_directory)).blob));
}

Result<void> RemoteKernel::xdp_attach(const XdpAttach& attach) {
  wire::XdpAttach a{};
  BpfCall call(static_cast<u32>(wire::Own::xdp_attach), a);
  a.ifindex = attach.ifindex;
  a.prog_fd = call.fd(attach.prog_fd);
  a.flags = attach.flags;
  a.expected_fd = call.fd(attach.expected_fd);
  a.chained = attach.chained ? 1 : 0;
  a.priority = attach.priority;
  a.chain_call = attach.chain_call;
  call.acts_on_interfaces();
  TRY(round_trip(call));
  return {};
}

Result<std::vector<u32>> RemoteKernel::helpers(ProgType type) {
  wire::Value a{static_cast<u32>(type)};
  BpfCall call(static_cast<u32>(wire::Own::helpers), a);
  return records_of<u32>(TRY(round_trip(call)).blob);
}

Result<std::vector<XdpAttachment>> RemoteKernel::xdp_query() {
  const auto reply = TRY(ask(wire::Own::xdp_query, true));
  std::vector<XdpAttachment> result;
  for (const auto& record : TRY(records_of<wire::XdpRecord>(reply.blob))) {
    if (record.chained == 0 || result.empty() || result.back().ifindex != record.ifindex)
      result.push_back({record.ifindex, text_of(record.ifname), static_cast<XdpMode>(record.mode),
                        record.prog_id, record.drv_prog_id, record.skb_prog_id, record.hw_prog_id});
    if (record.chained != 0)
      result.back().chain.push_back({record.prog_id, record.priority, record.chain_call});
  }
  return result;
}

Result<u32> RemoteKernel::tap(wire::Own command, const std::string& name) {
  wire::Tap a{};
  if (name.empty() || name.size() >= sizeof a.name)
    return fail(EINVAL, fmt::format("'{}' is not the name of an interface", name));
  name.copy(a.name, sizeof a.name - 1);
  BpfCall call(static_cast<u32>(command), a);
  call.acts_on_interfaces();
  TRY(round_trip(call));
  return a.ifindex;
}

Result<u32> RemoteKernel::tap_add(const std::string& name) { return tap(wire::Own::tap_add, name); }

Result<void> RemoteKernel::tap_delete(const std::string& name) {
  TRY(tap(wire::Own::tap_delete, name));
  return {};
}

Result<std::vector<TcAttachment>> RemoteKernel::tc_query() {
  const auto reply = TRY(ask(wire::Own::tc_query, true));
  std::vector<TcAttachment> result;
  for (const auto& record : TRY(records_of<wire::TcRecord>(reply.blob))) {
    result.push_back({record.ifindex, text_of(record.ifname), text_of(record.kind), text_of(record.name),
                      record.prog_id, record.link_id});
  }
  return result;
}

Result<UniqueFd> RemoteKernel::trace_pipe() {
  auto reply = TRY(ask(wire::Own::trace_pipe));
  if (reply.fds.size() != 1) return unexpected_descriptors();
  return std::move(reply.fds.front());
}

Result<void> RemoteKernel::set_stats_enabled(bool on) {
  wire::Value a{on ? 1u : 0u};
  TRY(round_trip(BpfCall(static_cast<u32>(wire::Own::set_stats), a)));
  return {};
}

Result<SymbolTable> RemoteKernel::symbols() {
  const auto reply = TRY(ask(wire::Own::symbols));
  const ByteReader reader(reply.blob, "the daemon's symbols");
  SymbolTable table;
  table.call_base = TRY(reader.read<u64>(0));
  for (u64 at = 8; at < reader.size();) {
    const auto address = TRY(reader.read<u64>(at));
    const auto size = TRY(reader.read<u32>(at + 8));
    table.symbols.push_back({address, std::string(chars_of(TRY(reader.sub(at + 12, size))))});
    at += 12 + u64{size};
  }
  return table;
}

Result<std::string> RemoteKernel::status() { return std::string(chars_of(TRY(ask(wire::Own::status)).blob)); }

Result<void> RemoteKernel::stop() {
  TRY(ask(wire::Own::stop));
  while (true) {  // the daemon closes the connection by ending
    const auto more = wire::receive(socket_.get(), 0);
    if (!more || more->bytes.empty()) break;
  }
  socket_.reset();
  return {};
}

}  // namespace skep::client
