// Spin locks, timers and constant strings as arguments of helpers (kernel: process_spin_lock(),
// process_timer_func(), check_reg_const_str()).
#include <algorithm>

#include "verifier/walk/walk.hpp"

namespace skep::verifier {

namespace {

/// Where the special field lies in the map's value; -1: it has none.
s32 special_field(const maps::MapFacts& map, btf::FieldKind kind) {
  return kind == btf::FieldKind::timer ? map.record.timer_off : map.record.spin_lock_off;
}

}  // namespace

/// The argument points to the map value's field of this kind. `what`: "bpf_timer", ...
Status Walk::check_field_pointer(const RegState& reg, u32 regno, btf::FieldKind kind, std::string_view what) {
  if (!reg.num.is_const())
    return e.reject(EINVAL, "R{} doesn't have constant offset. {} has to be at the constant offset\n", regno,
                    what);
  const maps::MapFacts& map = *reg.map;
  if (!map.has_btf) return e.reject(EINVAL, "map '{}' has to have BTF in order to use {}\n", map.name, what);
  const s32 at = special_field(map, kind);
  if (at < 0) return e.reject(EINVAL, "map '{}' has no valid {}\n", map.name, what);
  const s64 off = static_cast<s64>(reg.num.var_off.value) + reg.off;
  if (off != at)
    return e.reject(EINVAL, "off {} doesn't point to 'struct {}' that is at {}\n", off, what, at);
  return passed;
}

/// The lock in an object that the program allocated.
Status Walk::check_object_lock(const RegState& reg, u32 regno) {
  if (!reg.num.is_const())
    return e.reject(
        EINVAL, "R{} doesn't have constant offset. bpf_spin_lock has to be at the constant offset\n", regno);
  const btf::Record* record = record_of(reg);
  if (record == nullptr || record->spin_lock_off < 0)
    return e.reject(EINVAL, "local 'kptr' has no valid bpf_spin_lock\n");
  const s64 off = static_cast<s64>(reg.num.var_off.value) + reg.off;
  if (off != record->spin_lock_off)
    return e.reject(EINVAL, "off {} doesn't point to 'struct bpf_spin_lock' that is at {}\n", off,
                    record->spin_lock_off);
  return passed;
}

Status Walk::check_spin_lock(u32 regno, bool lock) {
  const RegState reg = regs()[regno];
  if (in_rbtree_callback()) return e.reject(EACCES, "can't spin_{{lock,unlock}} in rbtree cb\n");
  const void* holder = reg.map;
  if (reg.type.base == Base::btf_id) {
    holder = reg.btf;
    CHECK(check_object_lock(reg, regno));
  } else {
    CHECK(check_field_pointer(reg, regno, btf::FieldKind::spin_lock, "bpf_spin_lock"));
  }
  State& state = *e.cur;
  if (lock) {
    if (state.active_locks != 0) return e.reject(EINVAL, "Locking two bpf_spin_locks are not allowed\n");
    e.pool.push_reference(state, {reg.id, static_cast<s32>(e.insn_idx), RefKind::lock, holder});
    ++state.active_locks;
    state.active_lock_id = reg.id;
    state.active_lock_ptr = holder;
    return passed;
  }
  if (state.active_locks == 0) return e.reject(EINVAL, "bpf_spin_unlock without taking a lock\n");
  for (u32 i = 0; i < state.ref_count; ++i) {
    const Reference& held = state.refs[i];
    if (held.kind != RefKind::lock || held.id != reg.id || held.ptr != holder) continue;
    for (u32 k = i + 1; k < state.ref_count; ++k) state.refs[k - 1] = state.refs[k];
    --state.ref_count;
    --state.active_locks;
    state.active_lock_id = 0;
    state.active_lock_ptr = nullptr;
    invalidate_non_owning();
    return passed;
  }
  return e.reject(EINVAL, "bpf_spin_unlock of different lock\n");
}

Status Walk::check_timer(u32 regno, CallMeta& meta) {
  const RegState& reg = regs()[regno];
  CHECK(check_field_pointer(reg, regno, btf::FieldKind::timer, "bpf_timer"));
  meta.map = reg.map;
  meta.map_uid = reg.map_uid;
  return passed;
}

/// A string in a frozen map that programs may only read.
Status Walk::check_const_string(u32 regno) {
  const RegState& reg = regs()[regno];
  if (reg.type != Base::map_value) return Status(EINVAL);
  const maps::MapFacts& map = *reg.map;
  if (map.rodata.empty()) return e.reject(EACCES, "R{} does not point to a readonly map'\n", regno);
  if (!reg.num.is_const()) return e.reject(EACCES, "R{} is not a constant address'\n", regno);
  if (map.type != MapType::array)
    return e.reject(EACCES, "no direct value access support for this map type\n");
  CHECK(check_map_permission(reg, reg.off, static_cast<s32>(map.value_size) - reg.off, Access::read));
  CHECK(check_map_range(regno, reg.off, static_cast<s32>(map.value_size) - reg.off, false, true));
  const std::size_t off = static_cast<std::size_t>(reg.off) + reg.num.var_off.value;
  if (map.max_entries != 1 || off >= map.rodata.size())
    return e.reject(map.max_entries != 1 ? kENOTSUPP : EINVAL, "direct value access on string failed\n");
  const auto text = map.rodata.subspan(off);
  if (std::ranges::find(text, std::byte{0}) == text.end())
    return e.reject(EINVAL, "string is not zero-terminated\n");
  return passed;
}

}  // namespace skep::verifier
