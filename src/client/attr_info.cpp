// AttrKernel: ids and the info structures. Variable parts are asked for twice, as every client of bpf(2)
// does: first their lengths, then with buffers of that length.
#include "client/attr_kernel.hpp"

namespace skep::client {

namespace {

Cmd next_id_command(ObjectKind kind) {
  switch (kind) {
    case ObjectKind::prog:
      return Cmd::prog_get_next_id;
    case ObjectKind::map:
      return Cmd::map_get_next_id;
    case ObjectKind::btf:
      return Cmd::btf_get_next_id;
    case ObjectKind::link:
      return Cmd::link_get_next_id;
  }
  return {};
}

Cmd fd_by_id_command(ObjectKind kind) {
  switch (kind) {
    case ObjectKind::prog:
      return Cmd::prog_get_fd_by_id;
    case ObjectKind::map:
      return Cmd::map_get_fd_by_id;
    case ObjectKind::btf:
      return Cmd::btf_get_fd_by_id;
    case ObjectKind::link:
      return Cmd::link_get_fd_by_id;
  }
  return {};
}

std::string name_of(const attr::Name& name) { return {name, ::strnlen(name, sizeof name)}; }

/// A buffer for what the first pass counted.
template <class T>
u64 room(BpfCall& call, std::vector<T>& to, u32 count) {
  to.resize(count);
  return call.out(std::as_writable_bytes(std::span(to)));
}
u64 room(BpfCall& call, InfoRecords& to, u32 record_size, u32 count) {
  to.record_size = record_size;
  to.bytes.resize(std::size_t{record_size} * count);
  return call.out(to.bytes);
}
/// What the second pass gave: never more than the room it had.
template <class T>
void trim(std::vector<T>& values, u64 count) {
  values.resize(std::min<u64>(values.size(), count));
}

/// The second pass's request: the lengths of the first, with buffers.
attr::ProgInfo ask_for(BpfCall& call, const attr::ProgInfo& first, ProgramInfo& to) {
  attr::ProgInfo ask{};
  ask.jited_prog_len = first.jited_prog_len;
  ask.jited_prog_insns = room(call, to.jited, first.jited_prog_len);
  ask.xlated_prog_len = first.xlated_prog_len;
  ask.xlated_prog_insns = room(call, to.xlated, first.xlated_prog_len / 8);
  ask.nr_map_ids = first.nr_map_ids;
  ask.map_ids = room(call, to.map_ids, first.nr_map_ids);
  ask.nr_jited_ksyms = first.nr_jited_ksyms;
  ask.jited_ksyms = room(call, to.jited_ksyms, first.nr_jited_ksyms);
  ask.nr_jited_func_lens = first.nr_jited_func_lens;
  ask.jited_func_lens = room(call, to.jited_func_lens, first.nr_jited_func_lens);
  ask.nr_func_info = first.nr_func_info;
  ask.func_info_rec_size = first.func_info_rec_size;
  ask.func_info = room(call, to.func_info, first.func_info_rec_size, first.nr_func_info);
  ask.nr_line_info = first.nr_line_info;
  ask.line_info_rec_size = first.line_info_rec_size;
  ask.line_info = room(call, to.line_info, first.line_info_rec_size, first.nr_line_info);
  ask.nr_jited_line_info = first.nr_jited_line_info;
  ask.jited_line_info_rec_size = sizeof(u64);
  ask.jited_line_info = room(call, to.jited_line_info, first.nr_jited_line_info);
  ask.nr_prog_tags = first.nr_prog_tags;
  ask.prog_tags = room(call, to.prog_tags, first.nr_prog_tags);
  return ask;
}

u64 tag_number(const void* bytes) { return __builtin_bswap64(load<u64>(bytes)); }

void take(const attr::ProgInfo& got, ProgramInfo& to) {
  to.type = static_cast<ProgType>(got.type);
  to.id = got.id;
  to.tag = tag_number(got.tag);
  to.name = name_of(got.name);
  to.xlated_len = got.xlated_prog_len;
  to.jited_len = got.jited_prog_len;
  trim(to.xlated, got.xlated_prog_insns == 0 ? 0 : got.xlated_prog_len / 8);  // 0: not allowed to see it
  trim(to.jited, got.jited_prog_insns == 0 ? 0 : got.jited_prog_len);
  to.load_time_ns = got.load_time;
  to.created_by_uid = got.created_by_uid;
  trim(to.map_ids, got.nr_map_ids);
  to.ifindex = got.ifindex;
  to.gpl_compatible = (got.gpl_compatible & 1) != 0;
  to.netns_dev = got.netns_dev;
  to.netns_ino = got.netns_ino;
  trim(to.jited_ksyms, got.nr_jited_ksyms);
  trim(to.jited_func_lens, got.nr_jited_func_lens);
  to.btf_id = got.btf_id;
  trim(to.func_info.bytes, u64{to.func_info.record_size} * got.nr_func_info);
  trim(to.line_info.bytes, u64{to.line_info.record_size} * got.nr_line_info);
  trim(to.jited_line_info, got.nr_jited_line_info);
  trim(to.prog_tags, got.nr_prog_tags);
  for (u64& tag : to.prog_tags) tag = __builtin_bswap64(tag);
  to.run_time_ns = got.run_time_ns;
  to.run_cnt = got.run_cnt;
  to.recursion_misses = got.recursion_misses;
  to.verified_insns = got.verified_insns;
  to.attach_btf_obj_id = got.attach_btf_obj_id;
  to.attach_btf_id = got.attach_btf_id;
}

}  // namespace

Result<u32> AttrKernel::get_next_id(ObjectKind kind, u32 start_id) {
  attr::GetId a{};
  a.id = start_id;
  TRY(bpf(BpfCall(next_id_command(kind), a)));
  return a.next_id;
}

Result<Handle> AttrKernel::get_fd_by_id(ObjectKind kind, u32 id) {
  attr::GetId a{};
  a.id = id;
  return handle(kind, TRY(bpf(BpfCall(fd_by_id_command(kind), a))));
}

Result<void> AttrKernel::get_info(BpfCall& call, attr::GetInfo& a, int fd, MutBytes info) {
  a.bpf_fd = call.fd(fd);
  a.info_len = static_cast<u32>(info.size());
  a.info = call.inout(info);
  TRY(bpf(call));
  return {};
}

Result<ProgramInfo> AttrKernel::prog_info(int prog) {
  attr::GetInfo a{};
  attr::ProgInfo first{};
  BpfCall lengths(Cmd::obj_get_info_by_fd, a);
  TRY(get_info(lengths, a, prog, mut_bytes_of(first)));
  ProgramInfo result;
  BpfCall whole(Cmd::obj_get_info_by_fd, a);
  attr::ProgInfo got = ask_for(whole, first, result);
  TRY(get_info(whole, a, prog, mut_bytes_of(got)));
  take(got, result);
  result.bytes_memlock = static_cast<u32>(TRY(fd_info(ObjectKind::prog, prog)).memlock);
  return result;
}

Result<MapInfo> AttrKernel::map_info(int map) {
  attr::GetInfo a{};
  attr::MapInfo got{};
  BpfCall call(Cmd::obj_get_info_by_fd, a);
  TRY(get_info(call, a, map, mut_bytes_of(got)));
  const FdInfo more = TRY(fd_info(ObjectKind::map, map));
  MapInfo result;
  result.type = static_cast<MapType>(got.type);
  result.id = got.id;
  result.key_size = got.key_size;
  result.value_size = got.value_size;
  result.max_entries = got.max_entries;
  result.flags = got.map_flags;
  result.name = name_of(got.name);
  result.ifindex = got.ifindex;
  result.btf_vmlinux_value_type_id = got.btf_vmlinux_value_type_id;
  result.netns_dev = got.netns_dev;
  result.netns_ino = got.netns_ino;
  result.btf_id = got.btf_id;
  result.btf_key_type_id = got.btf_key_type_id;
  result.btf_value_type_id = got.btf_value_type_id;
  result.map_extra = got.map_extra;
  result.bytes_memlock = more.memlock;
  result.frozen = more.frozen;
  result.owner_prog_type = more.owner_prog_type;
  result.owner_jited = more.owner_jited;
  return result;
}

Result<BtfInfo> AttrKernel::btf_info(int btf) {
  attr::GetInfo a{};
  attr::BtfInfo first{};
  BpfCall lengths(Cmd::obj_get_info_by_fd, a);
  TRY(get_info(lengths, a, btf, mut_bytes_of(first)));
  BtfInfo result;
  std::array<char, 64> name{};
  BpfCall whole(Cmd::obj_get_info_by_fd, a);
  attr::BtfInfo got{};
  got.btf_size = first.btf_size;
  got.btf = room(whole, result.data, first.btf_size);
  got.name_len = name.size();
  got.name = whole.out(std::as_writable_bytes(std::span(name)));
  TRY(get_info(whole, a, btf, mut_bytes_of(got)));
  result.id = got.id;
  result.name.assign(name.data(), ::strnlen(name.data(), name.size()));
  result.kernel_btf = got.kernel_btf != 0;
  result.size = got.btf_size;
  trim(result.data, got.btf_size);
  return result;
}

Result<LinkInfo> AttrKernel::link_info(int link) {
  attr::GetInfo a{};
  attr::LinkInfo first{};
  BpfCall call(Cmd::obj_get_info_by_fd, a);
  TRY(get_info(call, a, link, mut_bytes_of(first)));
  LinkInfo result;
  result.type = static_cast<LinkType>(first.type);
  result.id = first.id;
  result.prog_id = first.prog_id;
  switch (result.type) {
    case LinkType::xdp:
      result.ifindex = first.xdp.ifindex;
      break;
    case LinkType::tcx:
    case LinkType::netkit:
      result.ifindex = first.tcx.ifindex;
      result.attach_type = static_cast<AttachType>(first.tcx.attach_type);
      break;
    case LinkType::tracing:
      result.attach_type = static_cast<AttachType>(first.tracing.attach_type);
      result.cookie = first.tracing.cookie;
      break;
    case LinkType::cgroup:
      result.cgroup_id = first.cgroup.cgroup_id;
      result.attach_type = static_cast<AttachType>(first.cgroup.attach_type);
      break;
    case LinkType::netns:
      result.netns_ino = first.netns.netns_ino;
      result.attach_type = static_cast<AttachType>(first.netns.attach_type);
      break;
    case LinkType::raw_tracepoint: {
      std::array<char, 128> name{};
      attr::LinkInfo named{};
      BpfCall again(Cmd::obj_get_info_by_fd, a);
      named.raw_tracepoint.tp_name_len = name.size();
      named.raw_tracepoint.tp_name = again.out(std::as_writable_bytes(std::span(name)));
      TRY(get_info(again, a, link, mut_bytes_of(named)));
      result.tp_name.assign(name.data(), ::strnlen(name.data(), name.size()));
      result.cookie = named.raw_tracepoint.cookie;
      break;
    }
    default:
      break;
  }
  return result;
}

}  // namespace skep::client
