// See serve_own.hpp.
#include "daemon/serve_own.hpp"

#include <fmt/format.h>

#include "daemon/attr_io.hpp"

namespace skep::daemon {

namespace {

namespace wire = client::wire;

template <class T>
void append(std::vector<std::byte>& blob, const T& value) {
  const ByteView bytes = bytes_of(value);
  blob.insert(blob.end(), bytes.begin(), bytes.end());
}

template <std::size_t N>
void set_text(char (&to)[N], std::string_view text) {
  std::memcpy(to, text.data(), std::min(text.size(), N - 1));
}

Result<void> attach_xdp(Kernel& kernel, Caller& caller, wire::XdpAttach& a) {
  const auto optional = [&](u32 fd) -> Result<int> {
    if (static_cast<s32>(fd) < 0) return -1;
    return object_of(caller, fd, ObjectKind::prog);
  };
  XdpAttach attach;
  attach.ifindex = a.ifindex;
  attach.prog_fd = TRY(optional(a.prog_fd));
  attach.flags = a.flags;
  attach.expected_fd = TRY(optional(a.expected_fd));
  attach.chained = a.chained != 0;
  attach.priority = a.priority;
  attach.chain_call = a.chain_call;
  return caller.in_network_namespace([&] { return kernel.xdp_attach(attach); });
}

Result<void> query_xdp(Kernel& kernel, Caller& caller, std::vector<std::byte>& blob) {
  std::vector<XdpAttachment> found;
  TRY(caller.in_network_namespace([&]() -> Result<void> {
    found = TRY(kernel.xdp_query());
    return {};
  }));
  for (const XdpAttachment& each : found) {
    wire::XdpRecord record{each.ifindex,
                           static_cast<u32>(each.mode),
                           each.prog_id,
                           each.drv_prog_id,
                           each.skb_prog_id,
                           each.hw_prog_id,
                           each.chain.empty() ? 0u : 1u,
                           0,
                           0,
                           {}};
    set_text(record.ifname, each.ifname);
    if (each.chain.empty()) append(blob, record);
    for (const XdpChainEntry& entry : each.chain) {
      record.prog_id = entry.prog_id;
      record.priority = entry.priority;
      record.chain_call = entry.chain_call;
      append(blob, record);
    }
  }
  return {};
}

Result<void> query_tc(Kernel& kernel, Caller& caller, std::vector<std::byte>& blob) {
  std::vector<TcAttachment> found;
  TRY(caller.in_network_namespace([&]() -> Result<void> {
    found = TRY(kernel.tc_query());
    return {};
  }));
  for (const TcAttachment& each : found) {
    wire::TcRecord record{each.ifindex, each.prog_id, each.link_id, 0, {}, {}, {}};
    set_text(record.ifname, each.ifname);
    set_text(record.kind, each.kind);
    set_text(record.name, each.name);
    append(blob, record);
  }
  return {};
}

Result<void> change_tap(Kernel& kernel, Caller& caller, wire::Tap& a, bool add) {
  if (std::memchr(a.name, 0, sizeof a.name) == nullptr) return fail(EINVAL, "the name is not terminated");
  return caller.in_network_namespace([&]() -> Result<void> {
    if (!add) return kernel.tap_delete(a.name);
    a.ifindex = TRY(kernel.tap_add(a.name));
    return {};
  });
}

Result<void> give_symbols(Kernel& kernel, std::vector<std::byte>& blob) {
  const SymbolTable table = TRY(kernel.symbols());
  append(blob, table.call_base);
  for (const Symbol& symbol : table.symbols) {
    append(blob, symbol.address);
    append(blob, static_cast<u32>(symbol.name.size()));
    const ByteView name = bytes_of(std::string_view(symbol.name));
    blob.insert(blob.end(), name.begin(), name.end());
  }
  return {};
}

Result<void> give_memory(Kernel& kernel, Caller& caller, wire::MapMemory& a) {
  auto memory = TRY(kernel.map_memory(TRY(object_of(caller, a.map_fd, ObjectKind::map))));
  a.offset = memory.offset;
  a.size = memory.size;
  a.stride = memory.stride;
  caller.hand_out(std::move(memory.fd));
  if (!memory.consumer) return {};
  caller.hand_out(std::move(memory.consumer));
  caller.hand_out(std::move(memory.wake));
  return {};
}

Result<void> give_events(Kernel& kernel, Caller& caller, wire::MapEvents& a) {
  auto ring = TRY(kernel.map_events(TRY(object_of(caller, a.map_fd, ObjectKind::map)),
                                    {.cpu = a.cpu, .index = a.index, .pages = a.pages}));
  a.size = ring.size;
  caller.hand_out(std::move(ring.memory));
  caller.hand_out(std::move(ring.wake));
  return {};
}

Result<void> tell_fd(Kernel& kernel, Caller& caller, wire::FdInfo& a) {
  const auto object = TRY(caller.object(a.fd));
  a.kind = static_cast<u32>(object.kind);
  if (object.kind == ObjectKind::prog) a.memlock = TRY(kernel.prog_info(object.fd)).bytes_memlock;
  if (object.kind != ObjectKind::map) return {};
  const MapInfo info = TRY(kernel.map_info(object.fd));
  a.memlock = info.bytes_memlock;
  a.frozen = info.frozen ? 1 : 0;
  a.has_owner = info.owner_prog_type ? 1 : 0;
  a.owner_prog_type = static_cast<u32>(info.owner_prog_type.value_or(ProgType::unspec));
  a.owner_jited = info.owner_jited ? 1 : 0;
  return {};
}

}  // namespace

Result<void> serve_own(Kernel& kernel, Caller& caller, wire::Own command, MutBytes attr,
                       std::vector<std::byte>& blob) {
  switch (command) {
    case wire::Own::xdp_attach:
      return with_attr<wire::XdpAttach>(attr, [&](auto& a) { return attach_xdp(kernel, caller, a); });
    case wire::Own::xdp_query:
      return query_xdp(kernel, caller, blob);
    case wire::Own::tc_query:
      return query_tc(kernel, caller, blob);
    case wire::Own::pin_directory: {
      const std::string path = TRY(kernel.pin_directory());
      const ByteView bytes = bytes_of(std::string_view(path));
      blob.assign(bytes.begin(), bytes.end());
      return {};
    }
    case wire::Own::trace_pipe:
      caller.hand_out(TRY(kernel.trace_pipe()));
      return {};
    case wire::Own::symbols:
      return give_symbols(kernel, blob);
    case wire::Own::set_stats:
      return with_attr<wire::Value>(attr, [&](auto& a) { return kernel.set_stats_enabled(a.value != 0); });
    case wire::Own::possible_cpus:
      return with_attr<wire::Value>(attr, [&](auto& a) -> Result<void> {
        a.value = TRY(kernel.possible_cpus());
        return {};
      });
    case wire::Own::map_memory:
      return with_attr<wire::MapMemory>(attr, [&](auto& a) { return give_memory(kernel, caller, a); });
    case wire::Own::map_events:
      return with_attr<wire::MapEvents>(attr, [&](auto& a) { return give_events(kernel, caller, a); });
    case wire::Own::tap_add:
    case wire::Own::tap_delete:
      return with_attr<wire::Tap>(
          attr, [&](auto& a) { return change_tap(kernel, caller, a, command == wire::Own::tap_add); });
    case wire::Own::helpers:
      return with_attr<wire::Value>(attr, [&](auto& a) -> Result<void> {
        for (const u32 id : TRY(kernel.helpers(static_cast<ProgType>(a.value)))) append(blob, id);
        return {};
      });
    case wire::Own::fd_info:
      return with_attr<wire::FdInfo>(attr, [&](auto& a) { return tell_fd(kernel, caller, a); });
    default:
      return fail(EINVAL, fmt::format("command {:#x} is not supported", static_cast<u32>(command)));
  }
}

}  // namespace skep::daemon
