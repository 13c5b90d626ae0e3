// Bounds and alignment of accesses to memory of known size: map values, packets, buffers (kernel:
// check_mem_region_access(), check_map_access(), check_packet_access(), check_ptr_alignment()).
#include "progs/prog_type.hpp"
#include "verifier/walk/walk.hpp"

namespace skep::verifier {

Status Walk::check_region_fixed(u32 regno, s64 off, s32 size, u32 mem_size, bool zero_size_allowed) {
  const bool size_ok = size > 0 || (size == 0 && zero_size_allowed);
  if (off >= 0 && size_ok && static_cast<u64>(off) + static_cast<u64>(size) <= mem_size) return passed;
  const RegState& reg = regs()[regno];
  switch (reg.type.base) {
    case Base::map_key:
      return e.reject(EACCES, "invalid access to map key, key_size={} off={} size={}\n", mem_size, off, size);
    case Base::map_value:
      if (reg.type.flags != 0) break;
      return e.reject(EACCES, "invalid access to map value, value_size={} off={} size={}\n", mem_size, off,
                      size);
    case Base::packet:
    case Base::packet_meta:
    case Base::packet_end:
      return e.reject(EACCES, "invalid access to packet, off={} size={}, R{}(id={},off={},r={})\n", off, size,
                      regno, reg.id, off, mem_size);
    default:
      break;
  }
  return e.reject(EACCES, "invalid access to memory, mem_size={} off={} size={}\n", mem_size, off, size);
}

/// The smallest and the largest address that the pointer may have.
Status Walk::check_region(u32 regno, s32 off, s32 size, u32 mem_size, bool zero_size_allowed) {
  const Scalar n = regs()[regno].num;
  if (n.smin < 0 && (n.smin == INT64_MIN ||
                     off + n.smin != static_cast<s64>(static_cast<s32>(off + n.smin)) || n.smin + off < 0))
    return e.reject(EACCES,
                    "R{} min value is negative, either use unsigned index or do a if (index >=0) check.\n",
                    regno);
  if (const Status low =
          check_region_fixed(regno, static_cast<s32>(n.smin + off), size, mem_size, zero_size_allowed);
      !low.ok()) {
    (void)e.reject(EACCES, "R{} min value is outside of the allowed memory range\n", regno);
    return low;
  }
  if (n.umax >= static_cast<u64>(limits::max_var_offset))
    return e.reject(EACCES, "R{} unbounded memory access, make sure to bounds check any such access\n",
                    regno);
  if (const Status high = check_region_fixed(regno, static_cast<s32>(n.umax + static_cast<u64>(s64{off})),
                                             size, mem_size, zero_size_allowed);
      !high.ok()) {
    (void)e.reject(EACCES, "R{} max value is outside of the allowed memory range\n", regno);
    return high;
  }
  return passed;
}

Status Walk::check_map_permission(const RegState& reg, s32 off, s32 size, Access access) {
  const maps::MapFacts& map = *reg.map;
  if (access == Access::write && (map.flags & uapi::F_RDONLY_PROG) != 0)
    return e.reject(EACCES, "write into map forbidden, value_size={} off={} size={}\n", map.value_size, off,
                    size);
  if (access == Access::read && (map.flags & uapi::F_WRONLY_PROG) != 0)
    return e.reject(EACCES, "read from map forbidden, value_size={} off={} size={}\n", map.value_size, off,
                    size);
  return passed;
}

/// An access that reaches a special field: only a kptr may be loaded and stored, alone and by the program
/// itself (kernel: check_map_access()).
Status Walk::check_map_field(const RegState& reg, const btf::Field& field, s32 off, s32 size,
                             bool by_helper) {
  const std::string_view name = btf::field_name(field.kind);
  if ((btf::field_bit(field.kind) & btf::kptr_fields) == 0)
    return e.reject(EACCES, "{} cannot be accessed directly by load/store\n", name);
  if (by_helper) return e.reject(EACCES, "{} cannot be accessed indirectly by helper\n", name);
  if (!reg.num.is_const()) return e.reject(EACCES, "{} access cannot have variable offset\n", name);
  const u64 at = static_cast<u64>(s64{off}) + reg.num.var_off.value;
  if (field.offset != at)
    return e.reject(EACCES, "{} access misaligned expected={} off={}\n", name, field.offset, at);
  if (size != 8) return e.reject(EACCES, "{} access size must be BPF_DW\n", name);
  return passed;
}

/// Inside the value, and not on a field that only helpers may touch.
Status Walk::check_map_range(u32 regno, s32 off, s32 size, bool zero_size_allowed, bool by_helper) {
  const RegState& reg = regs()[regno];
  const maps::MapFacts& map = *reg.map;
  CHECK(check_region(regno, off, size, map.value_size, zero_size_allowed));
  for (const btf::Field& field : map.record.fields)
    if (reg.num.smin + off < s64{field.offset} + field.size &&
        field.offset < reg.num.umax + static_cast<u64>(s64{off}) + static_cast<u64>(s64{size}))
      CHECK(check_map_field(reg, field, off, size, by_helper));
  return passed;
}

Status Walk::check_map_value_access(u32 regno, s32 off, u32 size, Access access, s32 value_regno,
                                    bool sign_extend) {
  const RegState reg = regs()[regno];
  CHECK(check_map_permission(reg, off, static_cast<s32>(size), access));
  CHECK(check_map_range(regno, off, static_cast<s32>(size), false, false));
  if (reg.num.is_const() && reg.map->record.has_any(btf::kptr_fields)) {
    const u32 field_at = static_cast<u32>(off) + static_cast<u32>(reg.num.var_off.value);
    if (const btf::Field* field = reg.map->record.find(field_at, btf::kptr_fields))
      return check_kptr_access(*reg.map, *field, value_regno);
  }
  if (access == Access::write || value_regno < 0) return passed;
  RegState& value = regs()[value_regno];
  const maps::MapFacts& map = *reg.map;
  const u64 at = static_cast<u64>(s64{off}) + reg.num.var_off.value;
  // A frozen map that programs cannot write never changes: what it holds is known.
  const bool constant = reg.num.is_const() && map.frozen && (map.flags & uapi::F_RDONLY_PROG) != 0 &&
                        map.type == MapType::array;
  // Which element it is, is not known: bpf_map_direct_read() fails, and says nothing.
  if (constant && map.max_entries != 1) return e.reject(kENOTSUPP, "");
  if (constant && at + size <= map.rodata.size()) {
    u64 known = 0;
    std::memcpy(&known, map.rodata.data() + at, size);
    if (sign_extend && size < 8) {
      const u32 shift = 64 - 8 * size;
      known = static_cast<u64>(static_cast<s64>(known << shift) >> shift);
    }
    mark_known(value, known);
    return passed;
  }
  mark_unknown(value);
  return passed;
}

bool Walk::may_access_packet(const CallMeta* meta, Access access) {
  const progs::PacketAccess allowed = progs::packet_access(e.input.type);
  if (allowed == progs::PacketAccess::none) return false;
  if (allowed == progs::PacketAccess::read && access == Access::write) return false;
  if (meta != nullptr) return meta->pkt_access;
  e.seen_direct_write = true;
  return true;
}

Status Walk::check_packet_range(u32 regno, s32 off, s32 size, bool zero_size_allowed) {
  const RegState& reg = regs()[regno];
  if (reg.num.smin < 0)
    return e.reject(EACCES,
                    "R{} min value is negative, either use unsigned index or do a if (index >=0) check.\n",
                    regno);
  const Status status =
      reg.range < 0 ? Status(EINVAL)
                    : check_region_fixed(regno, off, size, static_cast<u32>(reg.range), zero_size_allowed);
  if (!status.ok()) (void)e.reject(EACCES, "R{} offset is outside of the packet\n", regno);
  return status;
}

Status Walk::check_packet_mem(u32 regno, s32 off, u32 size, Access access, s32 value_regno) {
  if (access == Access::write && !may_access_packet(nullptr, access))
    return e.reject(EACCES, "cannot write into packet\n");
  CHECK(check_packet_range(regno, off, static_cast<s32>(size), false));
  if (access == Access::read && value_regno >= 0) mark_unknown(regs()[value_regno]);
  return passed;
}

Status Walk::check_alignment(const RegState& reg, s32 off, u32 size, bool strict_once) {
  bool strict = e.strict_alignment || strict_once;
  std::string_view what;
  switch (reg.type.flags == 0 ? reg.type.base : Base::not_init) {
    case Base::packet:
    case Base::packet_meta: {
      if (!strict || size == 1) return passed;
      constexpr s32 ip_align = 2;  // as if frames began two bytes off
      if (tnum_is_aligned(
              tnum_add(reg.num.var_off, tnum_const(static_cast<u64>(s64{ip_align + reg.off + off}))), size))
        return passed;
      return e.reject(EACCES, "misaligned packet access off {}+{}+{}+{} size {}\n", ip_align,
                      tnum_text(reg.num.var_off), reg.off, off, size);
    }
    case Base::flow_keys:
      what = "flow keys ";
      break;
    case Base::map_key:
      what = "key ";
      break;
    case Base::map_value:
      what = "value ";
      break;
    case Base::ctx:
      what = "context ";
      break;
    case Base::stack:
      what = "stack ";
      strict = true;  // spills are tracked by aligned slots
      break;
    case Base::sock:
      what = "sock ";
      break;
    case Base::sock_common:
      what = "sock_common ";
      break;
    case Base::tcp_sock:
      what = "tcp_sock ";
      break;
    case Base::xdp_sock:
      what = "xdp_sock ";
      break;
    case Base::arena:
      return passed;
    default:
      break;
  }
  if (!strict || size == 1) return passed;
  if (tnum_is_aligned(tnum_add(reg.num.var_off, tnum_const(static_cast<u64>(s64{reg.off + off}))), size))
    return passed;
  return e.reject(EACCES, "misaligned {}access off {}+{}+{} size {}\n", what, tnum_text(reg.num.var_off),
                  reg.off, off, size);
}

}  // namespace skep::verifier
