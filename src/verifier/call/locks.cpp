// Spin locks, timers and constant strings as arguments of helpers and kernel functions (kernel:
// process_spin_lock(), process_timer_func(), check_reg_const_str()).
#include <algorithm>

#include "verifier/walk/walk.hpp"

namespace skep::verifier {

namespace {

/// Where the special field lies in the map's value; -1: it has none.
s32 special_field(const maps::MapFacts& map, btf::FieldKind kind) {
  switch (kind) {
    case btf::FieldKind::timer:
      return map.record.timer_off;
    case btf::FieldKind::workqueue:
      return map.record.workqueue_off;
    case btf::FieldKind::task_work:
      return map.record.task_work_off;
    default:
      return -1;
  }
}

/// A lock is known by the map or the type that holds it, and the register's id.
const void* lock_holder(const RegState& reg) {
  return reg.type.base == Base::btf_id ? static_cast<const void*>(reg.btf) : reg.map;
}

/// The lock before it, if there is one, is the innermost again.
void release_lock(State& state, u32 id, const void* holder, RefKind kind) {
  u32 before_id = 0;
  const void* before = nullptr;
  for (u32 i = 0; i < state.ref_count; ++i) {
    const Reference& held = state.refs[i];
    if (held.kind == kind && held.id == id && held.ptr == holder) {
      for (u32 k = i + 1; k < state.ref_count; ++k) state.refs[k - 1] = state.refs[k];
      --state.ref_count;
      --state.active_locks;
      state.active_lock_id = before_id;
      state.active_lock_ptr = before;
      return;
    }
    if (!is_lock(held.kind)) continue;
    before_id = held.id;
    before = held.ptr;
  }
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

/// The lock beside what `reg` points to: a map's value or an object that the program allocated. `name`:
/// "bpf_spin" or "bpf_res_spin".
Status Walk::check_lock_field(const RegState& reg, u32 regno, std::string_view name, bool resilient) {
  if (!reg.num.is_const())
    return e.reject(EINVAL, "R{} doesn't have constant offset. {}_lock has to be at the constant offset\n",
                    regno, name);
  const bool of_map = reg.type.base == Base::map_value;
  if (of_map && !reg.map->has_btf)
    return e.reject(EINVAL, "map '{}' has to have BTF in order to use {}_lock\n", reg.map->name, name);
  const btf::Record* record = record_of(reg);
  const s32 at = record == nullptr ? -1 : resilient ? record->res_spin_lock_off : record->spin_lock_off;
  if (at < 0)
    return e.reject(EINVAL, "{} '{}' has no valid {}_lock\n", of_map ? "map" : "local",
                    of_map ? std::string_view(reg.map->name) : "kptr", name);
  const s64 off = static_cast<s64>(reg.num.var_off.value) + reg.off;
  if (off != at)
    return e.reject(EINVAL, "off {} doesn't point to 'struct {}_lock' that is at {}\n", off, name, at);
  return passed;
}

/// kernel: process_spin_lock(). Locks are given back in the opposite order.
Status Walk::check_spin_lock(u32 regno, LockCall call) {
  const RegState reg = regs()[regno];
  const bool resilient = call.kind != RefKind::lock;
  const std::string_view name = resilient ? "bpf_res_spin" : "bpf_spin";
  CHECK(check_lock_field(reg, regno, name, resilient));
  const void* holder = lock_holder(reg);
  State& state = *e.cur;
  if (call.lock) {
    if (!resilient && state.active_locks != 0)
      return e.reject(EINVAL, "Locking two bpf_spin_locks are not allowed\n");
    if (resilient && (held_lock(holder, reg.id, RefKind::res_lock) != nullptr ||
                      held_lock(holder, reg.id, RefKind::res_lock_irq) != nullptr))
      return e.reject(EINVAL, "Acquiring the same lock again, AA deadlock detected\n");
    e.pool.push_reference(state, {reg.id, static_cast<s32>(e.insn_idx), call.kind, holder});
    ++state.active_locks;
    state.active_lock_id = reg.id;
    state.active_lock_ptr = holder;
    return passed;
  }
  if (state.active_locks == 0) return e.reject(EINVAL, "{}_unlock without taking a lock\n", name);
  if (held_lock(holder, reg.id, call.kind) == nullptr)
    return e.reject(EINVAL, "{}_unlock of different lock\n", name);
  if (reg.id != state.active_lock_id || holder != state.active_lock_ptr)
    return e.reject(EINVAL, "{}_unlock cannot be out of order\n", name);
  release_lock(state, reg.id, holder, call.kind);
  invalidate_non_owning();
  return passed;
}

/// The state's reference of this lock, or nullptr.
const Reference* Walk::held_lock(const void* holder, u32 id, RefKind kind) const {
  for (u32 i = 0; i < e.cur->ref_count; ++i) {
    const Reference& held = e.cur->refs[i];
    if (held.kind == kind && held.id == id && held.ptr == holder) return &held;
  }
  return nullptr;
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
