// bpf(2)'s commands on ids and the info structures.
#include "daemon/attr_io.hpp"

namespace skep::daemon {

namespace {

std::optional<ObjectKind> next_id_kind(Cmd cmd) {
  switch (cmd) {
    case Cmd::prog_get_next_id:
      return ObjectKind::prog;
    case Cmd::map_get_next_id:
      return ObjectKind::map;
    case Cmd::btf_get_next_id:
      return ObjectKind::btf;
    case Cmd::link_get_next_id:
      return ObjectKind::link;
    default:
      return {};
  }
}

ObjectKind by_id_kind(Cmd cmd) {
  switch (cmd) {
    case Cmd::map_get_fd_by_id:
      return ObjectKind::map;
    case Cmd::btf_get_fd_by_id:
      return ObjectKind::btf;
    case Cmd::link_get_fd_by_id:
      return ObjectKind::link;
    default:
      return ObjectKind::prog;
  }
}

/// Bytes of an array whose field in the structure counts bytes or instructions' bytes, not elements.
template <class T>
Result<void> give_bytes(Caller& caller, u64& address, u32& room, u32 true_size,
                        const std::vector<T>& values) {
  const ByteView bytes = std::as_bytes(std::span(values));
  const std::size_t size = std::min<std::size_t>(room, bytes.size());
  room = true_size;
  if (bytes.empty()) address = 0;  // not to be seen
  if (size == 0) return {};
  return caller.write(address, bytes.first(size));
}

Result<void> give_records(Caller& caller, u64 address, u32& record_size, u32& count,
                          const InfoRecords& records) {
  const std::size_t room = std::min<std::size_t>(count, records.count());
  count = records.count();
  record_size = records.record_size;
  if (room == 0) return {};
  return caller.write(address, ByteView(records.bytes).first(room * records.record_size));
}

u64 tag_bytes(u64 tag) { return __builtin_bswap64(tag); }

Result<void> fill(Kernel& kernel, Caller& caller, int prog, attr::ProgInfo& to) {
  ProgramInfo info = TRY(kernel.prog_info(prog));
  to.type = static_cast<u32>(info.type);
  to.id = info.id;
  store(to.tag, tag_bytes(info.tag));
  TRY(give_bytes(caller, to.jited_prog_insns, to.jited_prog_len, info.jited_len, info.jited));
  TRY(give_bytes(caller, to.xlated_prog_insns, to.xlated_prog_len, info.xlated_len, info.xlated));
  to.load_time = info.load_time_ns;
  to.created_by_uid = info.created_by_uid;
  TRY(give(caller, to.map_ids, to.nr_map_ids, info.map_ids));
  set_name(to.name, info.name);
  to.ifindex = info.ifindex;
  to.gpl_compatible = info.gpl_compatible ? 1 : 0;
  to.netns_dev = info.netns_dev;
  to.netns_ino = info.netns_ino;
  TRY(give(caller, to.jited_ksyms, to.nr_jited_ksyms, info.jited_ksyms));
  TRY(give(caller, to.jited_func_lens, to.nr_jited_func_lens, info.jited_func_lens));
  to.btf_id = info.btf_id;
  TRY(give_records(caller, to.func_info, to.func_info_rec_size, to.nr_func_info, info.func_info));
  TRY(give_records(caller, to.line_info, to.line_info_rec_size, to.nr_line_info, info.line_info));
  to.jited_line_info_rec_size = sizeof(u64);
  TRY(give(caller, to.jited_line_info, to.nr_jited_line_info, info.jited_line_info));
  std::ranges::transform(info.prog_tags, info.prog_tags.begin(), tag_bytes);
  TRY(give(caller, to.prog_tags, to.nr_prog_tags, info.prog_tags));
  to.run_time_ns = info.run_time_ns;
  to.run_cnt = info.run_cnt;
  to.recursion_misses = info.recursion_misses;
  to.verified_insns = info.verified_insns;
  to.attach_btf_obj_id = info.attach_btf_obj_id;
  to.attach_btf_id = info.attach_btf_id;
  return {};
}

Result<void> fill(Kernel& kernel, Caller&, int map, attr::MapInfo& to) {
  const MapInfo info = TRY(kernel.map_info(map));
  to = {};
  to.type = static_cast<u32>(info.type);
  to.id = info.id;
  to.key_size = info.key_size;
  to.value_size = info.value_size;
  to.max_entries = info.max_entries;
  to.map_flags = info.flags;
  set_name(to.name, info.name);
  to.ifindex = info.ifindex;
  to.btf_vmlinux_value_type_id = info.btf_vmlinux_value_type_id;
  to.netns_dev = info.netns_dev;
  to.netns_ino = info.netns_ino;
  to.btf_id = info.btf_id;
  to.btf_key_type_id = info.btf_key_type_id;
  to.btf_value_type_id = info.btf_value_type_id;
  to.map_extra = info.map_extra;
  return {};
}

Result<void> fill(Kernel& kernel, Caller& caller, int btf, attr::BtfInfo& to) {
  const BtfInfo info = TRY(kernel.btf_info(btf));
  TRY(give_bytes(caller, to.btf, to.btf_size, info.size, info.data));
  to.id = info.id;
  to.kernel_btf = info.kernel_btf ? 1 : 0;
  const u32 room = to.name_len;
  to.name_len = static_cast<u32>(info.name.size());
  if (room == 0) return {};
  std::string name = info.name.substr(0, room - 1);
  name.push_back('\0');
  TRY(caller.write(to.name, bytes_of(std::string_view(name))));
  if (room <= info.name.size()) return fail(ENOSPC, "the BTF's name is longer than the buffer");
  return {};
}

Result<void> fill(Kernel& kernel, Caller& caller, int link, attr::LinkInfo& to) {
  const LinkInfo info = TRY(kernel.link_info(link));
  const attr::LinkInfo asked = to;
  to = {};
  to.type = static_cast<u32>(info.type);
  to.id = info.id;
  to.prog_id = info.prog_id;
  switch (info.type) {
    case LinkType::xdp:
      to.xdp.ifindex = info.ifindex;
      return {};
    case LinkType::tcx:
    case LinkType::netkit:
      to.tcx = {info.ifindex, static_cast<u32>(info.attach_type)};
      return {};
    case LinkType::tracing:
      to.tracing.attach_type = static_cast<u32>(info.attach_type);
      to.tracing.cookie = info.cookie;
      return {};
    case LinkType::cgroup:
      to.cgroup = {info.cgroup_id, static_cast<u32>(info.attach_type)};
      return {};
    case LinkType::netns:
      to.netns = {info.netns_ino, static_cast<u32>(info.attach_type)};
      return {};
    case LinkType::raw_tracepoint: {
      to.raw_tracepoint.tp_name = asked.raw_tracepoint.tp_name;
      to.raw_tracepoint.tp_name_len = static_cast<u32>(info.tp_name.size() + 1);
      to.raw_tracepoint.cookie = info.cookie;
      const u32 room = asked.raw_tracepoint.tp_name_len;
      if (room == 0) return {};
      std::string name = info.tp_name.substr(0, room - 1);
      name.push_back('\0');
      return caller.write(to.raw_tracepoint.tp_name, bytes_of(std::string_view(name)));
    }
    default:
      return {};
  }
}

/// The structure of the caller's length in, filled, and out again.
template <class Info>
Result<void> info_of(Kernel& kernel, Caller& caller, int fd, attr::GetInfo& a) {
  Info info{};
  const u32 known = std::min<u32>(a.info_len, sizeof info);
  const ByteView given = TRY(caller.read(a.info, a.info_len));
  std::memcpy(&info, given.data(), known);
  if (std::ranges::any_of(given.subspan(known), [](std::byte b) { return b != std::byte{0}; }))
    return fail(E2BIG, "the info structure has fields that are not known");
  TRY(fill(kernel, caller, fd, info));
  a.info_len = known;
  return caller.write(a.info, bytes_of(info).first(known));
}

Result<void> get_info(Kernel& kernel, Caller& caller, attr::GetInfo& a) {
  const auto found = caller.object(a.bpf_fd);
  // This command alone says EBADFD of a number that is no descriptor.
  if (!found) return fail(found.error().code == EBADF ? EBADFD : found.error().code, found.error().what);
  const Caller::Object& object = *found;
  if (a.info_len == 0) return fail(EINVAL, "an info structure of no size");
  switch (object.kind) {
    case ObjectKind::prog:
      return info_of<attr::ProgInfo>(kernel, caller, object.fd, a);
    case ObjectKind::map:
      return info_of<attr::MapInfo>(kernel, caller, object.fd, a);
    case ObjectKind::btf:
      return info_of<attr::BtfInfo>(kernel, caller, object.fd, a);
    case ObjectKind::link:
      return info_of<attr::LinkInfo>(kernel, caller, object.fd, a);
  }
  return fail(EINVAL);
}

}  // namespace

Result<void> serve_info_command(Kernel& kernel, Caller& caller, Cmd cmd, MutBytes bytes) {
  if (cmd == Cmd::obj_get_info_by_fd)
    return with_attr<attr::GetInfo>(bytes, [&](auto& a) { return get_info(kernel, caller, a); });
  return with_attr<attr::GetId>(bytes, [&](attr::GetId& a) -> Result<void> {
    if (const auto kind = next_id_kind(cmd)) {
      if (a.open_flags != 0) return fail(EINVAL, "open_flags of a request for the next id");
      a.next_id = TRY(kernel.get_next_id(*kind, a.id));
      return {};
    }
    if (a.open_flags != 0) return fail(EINVAL, "open_flags are not supported");
    return caller.hand_out(TRY(kernel.get_fd_by_id(by_id_kind(cmd), a.id)));
  });
}

}  // namespace skep::daemon
