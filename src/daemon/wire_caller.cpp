// See wire_caller.hpp.
#include "daemon/wire_caller.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "client/bpf_call.hpp"
#include "daemon/netns.hpp"
#include "kernel/machine_descriptor.hpp"

namespace skep::daemon {

namespace {

using Memory = client::wire::Request::Memory;

/// The part of `memory` from `address` on, if that lies in it.
u64 left_from(const Memory& memory, u64 address) {
  return address >= memory.address && address - memory.address <= memory.size
             ? memory.size - (address - memory.address)
             : 0;
}

}  // namespace

Result<ByteView> WireCaller::read(u64 address, u64 size) {
  if (size == 0) return ByteView{};
  for (const Memory& memory : request_.memory) {
    if ((memory.direction & client::Segment::in) != 0 && left_from(memory, address) >= size)
      return memory.bytes.subspan(address - memory.address, size);
  }
  return fail(EFAULT, fmt::format("{} bytes that the request does not carry", size));
}

u64 WireCaller::readable(u64 address) {
  u64 most = 0;
  for (const Memory& memory : request_.memory)
    if ((memory.direction & client::Segment::in) != 0) most = std::max(most, left_from(memory, address));
  return most;
}

Result<void> WireCaller::write(u64 address, ByteView bytes) {
  if (bytes.empty()) return {};
  const bool room = std::ranges::any_of(request_.memory, [&](const Memory& memory) {
    return (memory.direction & client::Segment::out) != 0 && left_from(memory, address) >= bytes.size();
  });
  if (!room) return fail(EFAULT, fmt::format("no room for {} bytes in the request", bytes.size()));
  writes_.push_back({address, {bytes.begin(), bytes.end()}});
  return {};
}

Result<ObjectTable::Entry*> WireCaller::entry(u32 fd) {
  for (std::size_t i = 0; i < request_.labels.size(); ++i) {
    if (static_cast<u32>(request_.labels[i]) != fd) continue;
    if (auto* found = objects_.find(request_.fds[i].get())) return found;
    return fail(EINVAL, fmt::format("descriptor {} is no object of this kernel", fd));
  }
  return fail(EBADF, fmt::format("{} is not an open descriptor", static_cast<s32>(fd)));
}

Result<Caller::Object> WireCaller::object(u32 fd) {
  const auto* found = TRY(entry(fd));
  return Object{found->handle.kind(), found->handle.fd()};
}

int WireCaller::machine_descriptor(s32 fd) {
  for (std::size_t i = 0; i < request_.labels.size(); ++i)
    if (request_.labels[i] == fd) return request_.fds[i].get();
  return INT32_MAX;
}

Result<ElementSizes> WireCaller::element_sizes(Kernel& kernel, u32 fd) {
  auto* found = TRY(entry(fd));
  if (found->handle.kind() != ObjectKind::map)
    return fail(EINVAL, fmt::format("descriptor {} is no map", fd));
  if (!found->sizes) {
    const MapInfo info = TRY(kernel.map_info(found->handle.fd()));
    ElementSizes sizes{info.key_size, info.value_size, descriptor_in_value(info.type, info.value_size),
                       machine_descriptor_in_value(info.type)};
    if (info.type == MapType::percpu_hash || info.type == MapType::percpu_array ||
        info.type == MapType::lru_percpu_hash || info.type == MapType::percpu_cgroup_storage)
      sizes.value = ((u64{info.value_size} + 7) & ~u64{7}) * TRY(kernel.possible_cpus());
    found->sizes = sizes;
  }
  return *found->sizes;
}

Result<void> WireCaller::hand_out(Handle handle) {
  fds_.push_back(TRY(objects_.hand_out(std::move(handle))));
  return {};
}

Result<void> WireCaller::in_network_namespace(const std::function<Result<void>()>& body) {
  if (!request_.netns) return body();
  return run_in_network_namespace(request_.netns.get(), body);
}

std::pair<std::string, int> WireCaller::task() {
  auto comm = read_file(fmt::format("/proc/{}/comm", pid_), 64);
  if (!comm) return {"<...>", pid_};
  while (!comm->empty() && comm->back() == '\n') comm->pop_back();
  return {std::move(*comm), pid_};
}

}  // namespace skep::daemon
