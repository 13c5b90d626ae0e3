// The arguments of a helper against its contract (kernel: check_func_arg(), check_reg_type(),
// check_helper_mem_access(), check_mem_size_reg()).
#include <algorithm>

#include "verifier/call/helper_ids.hpp"
#include "verifier/walk/walk.hpp"

namespace skep::verifier {

using helpers::Arg;
using helpers::ArgSpec;

namespace {

/// The register types an argument takes, in the order in which a refusal lists them.
struct TypeList {
  RegType types[9];
  u32 count = 0;
};
constexpr RegType ptr_(Base base, u16 flags = tf::none) { return {base, flags}; }
constexpr TypeList one(RegType type) { return {{type}, 1}; }
constexpr TypeList mem_types{{ptr_(Base::stack), ptr_(Base::packet), ptr_(Base::packet_meta),
                              ptr_(Base::map_key), ptr_(Base::map_value), ptr_(Base::mem),
                              ptr_(Base::mem, tf::ringbuf), ptr_(Base::buf), ptr_(Base::btf_id, tf::trusted)},
                             9};
constexpr TypeList sock_types{
    {ptr_(Base::sock_common), ptr_(Base::sock), ptr_(Base::tcp_sock), ptr_(Base::xdp_sock)}, 4};
constexpr TypeList btf_sock_types{{ptr_(Base::sock_common), ptr_(Base::sock), ptr_(Base::tcp_sock),
                                   ptr_(Base::xdp_sock), ptr_(Base::btf_id), ptr_(Base::btf_id, tf::trusted)},
                                  6};

constexpr TypeList btf_types{
    {ptr_(Base::btf_id), ptr_(Base::btf_id, tf::trusted), ptr_(Base::btf_id, tf::rcu)}, 3};
constexpr TypeList percpu_btf_types{{ptr_(Base::btf_id, tf::percpu), ptr_(Base::btf_id, tf::percpu | tf::rcu),
                                     ptr_(Base::btf_id, tf::percpu | tf::trusted)},
                                    3};
constexpr TypeList kptr_types{{ptr_(Base::map_value), ptr_(Base::btf_id, tf::alloc)}, 2};

/// Pointers to structs that may point into their middle when they are passed on.
constexpr bool fixed_offset_ok(u16 flags) {
  return flags == tf::none || flags == tf::alloc || flags == tf::trusted || flags == tf::rcu ||
         flags == (tf::alloc | tf::non_owning) || flags == (tf::alloc | tf::non_owning | tf::rcu);
}

/// No types: an argument kind that is not handled yet.
constexpr TypeList types_for(Arg kind) {
  switch (kind) {
    case Arg::map_key:
    case Arg::map_value:
    case Arg::mem:
      return mem_types;
    case Arg::const_size:
    case Arg::const_size_or_zero:
    case Arg::const_alloc_size:
      return one(ptr_(Base::scalar));
    case Arg::const_map_ptr:
      return one(ptr_(Base::map_ptr));
    case Arg::ctx:
      return one(ptr_(Base::ctx));
    case Arg::sock_common:
      return sock_types;
    case Arg::btf_id_sock_common:
      return btf_sock_types;
    case Arg::socket:
      return one(ptr_(Base::sock));
    case Arg::ringbuf_mem:
      return one(ptr_(Base::mem, tf::ringbuf));
    case Arg::btf_id:
      return btf_types;
    case Arg::percpu_btf_id:
      return percpu_btf_types;
    case Arg::kptr:
      return kptr_types;
    case Arg::func:
      return one(ptr_(Base::func));
    case Arg::stack:
      return one(ptr_(Base::stack));
    case Arg::const_str:
    case Arg::timer:
      return one(ptr_(Base::map_value));
    case Arg::spin_lock:
      return kptr_types;
    case Arg::dynptr:
      return {{ptr_(Base::stack), ptr_(Base::dynptr)}, 2};
    default:
      return {};
  }
}

bool is_null(const RegState& reg) { return reg.is_const() && reg.num.var_off.value == 0; }
bool nullable(const ArgSpec& spec) { return (spec.flags & helpers::maybe_null) != 0; }
bool is_size(Arg kind) { return kind == Arg::const_size || kind == Arg::const_size_or_zero; }
Access access_of(const ArgSpec& spec) {
  return (spec.flags & (helpers::mem_write | helpers::uninit)) != 0 ? Access::write : Access::read;
}

/// Programs see the context as the kernel has it (kernel: bpf_verifier_ops without convert_ctx_access).
bool plain_context(ProgType type) {
  switch (type) {
    case ProgType::kprobe:
    case ProgType::tracepoint:
    case ProgType::raw_tracepoint:
    case ProgType::raw_tracepoint_writable:
    case ProgType::tracing:
    case ProgType::lsm:
    case ProgType::struct_ops:
    case ProgType::syscall:
    case ProgType::cgroup_device:
    case ProgType::netfilter:
      return true;
    default:
      return false;
  }
}

/// What a map's value is depends on the map: sockets, or what a filter is asked for (kernel:
/// resolve_map_arg_type()).
ArgSpec spec_for_map(const ArgSpec& spec, const CallMeta& meta) {
  if (spec.kind != Arg::map_value || meta.map == nullptr) return spec;
  if (meta.map->type == MapType::sockmap || meta.map->type == MapType::sockhash)
    return {Arg::btf_id_sock_common};
  if (meta.map->type == MapType::bloom_filter && meta.func_id == fn_id::map_peek_elem)
    return {Arg::map_value};
  return spec;
}

}  // namespace

Status Walk::check_helper_arg(u32 arg, const helpers::Contract& contract, CallMeta& meta) {
  const u32 regno = arg + 1;
  const ArgSpec spec = spec_for_map(contract.args[arg], meta);
  if (spec.kind == Arg::none) return passed;
  CHECK(check_reg(regno, Use::source));
  if (spec.kind == Arg::anything) return passed;
  const RegState& reg = regs()[regno];
  if (reg.type.is_packet() && reg.type.flags == 0 && !may_access_packet(&meta, Access::read))
    return e.reject(EACCES, "helper access to the packet is not allowed\n");
  if (is_null(reg) && nullable(spec)) {
    // Memory of no bytes may be anywhere; its size, made precise, says so.
    if (arg == 4 || !is_size(contract.args[arg + 1].kind)) CHECK(mark_precise(regno));
  } else {
    CHECK(check_arg_type(regno, spec, meta));
    CHECK(check_arg_offset(reg, regno, spec));
  }
  if ((spec.flags & helpers::release) != 0) CHECK(check_release_arg(regno, spec, meta));
  if (reg.ref_obj_id != 0 && spec.kind != Arg::kptr) {
    if (meta.ref_obj_id != 0)
      return e.reject(EACCES, "more than one arg with ref_obj_id R{} {} {}\n", regno, reg.ref_obj_id,
                      meta.ref_obj_id);
    meta.ref_obj_id = reg.ref_obj_id;
  }
  return check_arg_by_kind(arg, contract, spec, meta);
}

/// What the helper releases was acquired.
Status Walk::check_release_arg(u32 regno, const ArgSpec& spec, CallMeta& meta) {
  const RegState& reg = regs()[regno];
  meta.release_regno = regno;
  if (spec.kind == Arg::dynptr) {
    if (reg.type != Base::stack) return e.reject(EINVAL, "cannot release unowned const bpf_dynptr\n");
    u32 spi = 0;
    if (dynptr_place(reg, spi) != DynptrPlace::ok || stack_of(reg).slots[spi].spilled.ref_obj_id == 0)
      return e.reject(EINVAL, "arg {} is an unacquired reference\n", regno);
    return passed;
  }
  if (reg.ref_obj_id == 0 && !is_null(reg))
    return e.reject(EINVAL, "R{} must be referenced when passed to release function\n", regno);
  return passed;
}

Status Walk::check_arg_type(u32 regno, const ArgSpec& spec, CallMeta& meta) {
  const RegState& reg = regs()[regno];
  const TypeList list = types_for(spec.kind);
  if (list.count == 0)
    return unsupported(fmt::format("this kind of argument (R{} of {})", regno, helper_text(meta.func_id)));
  RegType type = reg.type;
  if ((spec.flags & helpers::rdonly) != 0) type.flags = static_cast<u16>(type.flags & ~tf::rdonly);
  if (nullable(spec)) type.flags = static_cast<u16>(type.flags & ~tf::maybe_null);
  if (spec.kind == Arg::mem) type.flags = static_cast<u16>(type.flags & ~tf::packet_slice);
  if (meta.func_id == fn_id::kptr_xchg && regno == 2)
    type.flags = static_cast<u16>(type.flags & ~(tf::alloc | tf::percpu));
  std::string expected;
  for (u32 i = 0; i < list.count; ++i) {
    if (type == list.types[i])
      return reg.type.base == Base::btf_id ? check_btf_arg(regno, spec, meta) : passed;
    if (i != 0) expected += ", ";
    expected += type_text(list.types[i]);
  }
  return e.reject(EACCES, "R{} type={} expected={}\n", regno, type_text(reg.type), expected);
}

Status Walk::check_arg_offset(const RegState& reg, u32 regno, const ArgSpec& spec) {
  if ((spec.flags & helpers::release) != 0) {
    if (spec.kind == Arg::dynptr && reg.type == Base::stack) return passed;
    if (reg.off != 0)
      return e.reject(
          EINVAL, "R{} must have zero offset when passed to release func or trusted arg to kfunc\n", regno);
    return check_pointer_unmodified(reg, regno, false);
  }
  switch (reg.type.base) {
    case Base::stack:
    case Base::packet:
    case Base::packet_meta:
    case Base::map_key:
    case Base::map_value:
    case Base::mem:
    case Base::buf:
    case Base::arena:
    case Base::scalar:
      if (!reg.type.maybe_null()) return passed;
      break;
    case Base::btf_id:
      return check_pointer_unmodified(reg, regno, fixed_offset_ok(reg.type.flags));
    default:
      break;
  }
  return check_pointer_unmodified(reg, regno, false);
}

Status Walk::check_arg_by_kind(u32 arg, const helpers::Contract& contract, const ArgSpec& spec,
                               CallMeta& meta) {
  const u32 regno = arg + 1;
  const RegState& reg = regs()[regno];
  switch (spec.kind) {
    case Arg::const_map_ptr:
      // Two lookups in a map of maps may give two maps: a timer belongs to the one its value is in.
      if (meta.map != nullptr && (meta.map != reg.map || meta.map_uid != reg.map_uid))
        return e.reject(EINVAL, "timer pointer in R1 map_uid={} doesn't match map pointer in R2 map_uid={}\n",
                        meta.map_uid, reg.map_uid);
      meta.map = reg.map;
      meta.map_uid = reg.map_uid;
      return passed;
    case Arg::map_key: {
      if (meta.map == nullptr) return e.reject(EACCES, "invalid map_ptr to access map->key\n");
      CHECK(check_helper_mem(regno, static_cast<s32>(meta.map->key_size), Access::read, false, nullptr));
      // Another array, of another size, may stand at run time where an F_INNER_MAP array stands now.
      if ((meta.map->type == MapType::array || meta.map->type == MapType::percpu_array) &&
          (meta.map->flags & uapi::F_INNER_MAP) == 0)
        CHECK(constant_map_key(regs()[regno], meta.map->key_size, meta.const_map_key));
      // So it is for per-CPU arrays inside maps, whatever their flags (bpf_map_meta_equal()).
      if (meta.map->type == MapType::percpu_array && is_inner(*meta.map)) meta.const_map_key = -1;
      return passed;
    }
    case Arg::map_value:
      if (nullable(spec) && is_null(reg)) return passed;
      if (meta.map == nullptr) return e.reject(EACCES, "invalid map_ptr to access map->value\n");
      meta.raw_mode = (spec.flags & helpers::uninit) != 0;
      return check_helper_mem(regno, static_cast<s32>(meta.map->value_size), access_of(spec), false, &meta);
    case Arg::func:
      meta.subprogno = reg.subprog;
      return passed;
    case Arg::spin_lock:
      if (in_rbtree_callback()) return e.reject(EACCES, "can't spin_{{lock,unlock}} in rbtree cb\n");
      return check_spin_lock(regno, {meta.func_id == fn_id::spin_lock, RefKind::lock});
    case Arg::timer:
      return check_timer(regno, meta);
    case Arg::dynptr:
      return check_dynptr_arg(regno, spec);
    case Arg::mem:
      meta.raw_mode = (spec.flags & helpers::uninit) != 0;
      if ((spec.flags & helpers::fixed_size) == 0) return passed;  // its size is the next argument
      CHECK(check_helper_mem(regno, static_cast<s32>(spec.size), access_of(spec), false, &meta));
      if ((spec.flags & helpers::aligned) != 0) return check_alignment(regs()[regno], 0, spec.size, true);
      return passed;
    case Arg::const_size:
      return check_size_arg(regno, access_of(contract.args[arg - 1]), false, meta);
    case Arg::const_size_or_zero:
      return check_size_arg(regno, access_of(contract.args[arg - 1]), true, meta);
    case Arg::const_alloc_size:
      if (!reg.num.is_const()) return e.reject(EACCES, "R{} is not a known constant'\n", regno);
      meta.mem_size = reg.num.var_off.value;
      return mark_precise(regno);
    case Arg::kptr:
      return check_kptr_arg(regno, meta);
    case Arg::percpu_btf_id:
      meta.percpu_object = (reg.type.flags & tf::rcu) != 0;
      meta.ret_btf = reg.btf;
      meta.ret_btf_id = reg.btf_id;
      return passed;
    case Arg::const_str:
      return check_const_string(regno);
    default:
      return passed;
  }
}

/// The helper reads or fills `size` bytes at the pointer in `regno`.
Status Walk::check_helper_mem(u32 regno, s32 size, Access access, bool zero_size_allowed, CallMeta* meta) {
  const RegState reg = regs()[regno];
  switch (reg.type.base) {
    case Base::packet:
    case Base::packet_meta:
      return check_packet_range(regno, reg.off, size, zero_size_allowed);
    case Base::map_key:
      if (access == Access::write)
        return e.reject(EACCES, "R{} cannot write into {}\n", regno, type_text(reg.type));
      return check_region(regno, reg.off, size, reg.map->key_size, false);
    case Base::map_value:
      CHECK(check_map_permission(reg, reg.off, size, access));
      return check_map_range(regno, reg.off, size, zero_size_allowed, true);
    case Base::buf:
      return check_buffer_access(regno, reg.off, static_cast<u32>(size), access, -1);
    case Base::btf_id:
      if (size <= 0) break;
      return check_btf_access(regno, reg.off, static_cast<u32>(size), Access::read, -1);
    case Base::ctx:  // of the types whose context is plain bytes: as much of it as is asked for
      if (!plain_context(e.input.type)) break;
      if (size == 0) return zero_size_allowed ? passed : Status(EACCES);
      return check_mem_access(regno, size - 1, 1, access, -1, false, false);
    case Base::mem:
      if (reg.type.rdonly() && access == Access::write)
        return e.reject(EACCES, "R{} cannot write into {}\n", regno, type_text(reg.type));
      return check_region(regno, reg.off, size, reg.mem_size, zero_size_allowed);
    case Base::stack:
      return check_stack_range(regno, reg.off, size, zero_size_allowed, access, meta);
    default:
      break;
  }
  if (zero_size_allowed && size == 0 && is_null(reg)) return passed;
  return e.reject(EACCES, "R{} type={} expected=fp\n", regno, type_text(reg.type));
}

/// The size of the memory in the argument before: its largest value must be readable.
Status Walk::check_size_arg(u32 regno, Access access, bool zero_size_allowed, CallMeta& meta) {
  const Scalar n = regs()[regno].num;
  meta.msize_max = n.umax;
  CallMeta* raw = n.is_const() ? &meta : nullptr;  // only a known size is surely filled
  if (n.smin < 0)
    return e.reject(EACCES, "R{} min value is negative, either use unsigned or 'var &= const'\n", regno);
  if (n.umin == 0 && !zero_size_allowed)
    return e.reject(EACCES, "R{} invalid zero-sized read: u64=[{},{}]\n", regno, n.umin, n.umax);
  if (n.umax >= static_cast<u64>(limits::max_var_offset))
    return e.reject(EACCES, "R{} unbounded memory access, use 'var &= const' or 'if (var < const)'\n", regno);
  CHECK(check_helper_mem(regno - 1, static_cast<s32>(n.umax), access, zero_size_allowed, raw));
  return mark_precise(regno);
}

/// The key as a number if it stands on the stack as a known one of exactly the key's size; else `value` stays
/// -1.
Status Walk::constant_map_key(const RegState& key, u32 key_size, s64& value) {
  if (key.type != Base::stack || !key.num.is_const()) return passed;
  const Frame& frame = stack_of(key);
  const u32 byte_idx = static_cast<u32>(-(key.off + static_cast<s32>(key.num.var_off.value)) - 1);
  const u32 spi = byte_idx / 8;
  const StackSlot& slot = frame.slots[spi];
  auto run_of = [&](SlotByte kind) {
    u32 n = 0;
    for (s32 i = static_cast<s32>(byte_idx % 8); i >= 0 && slot.bytes[i] == kind; --i) ++n;
    return n;
  };
  if (run_of(SlotByte::zero) >= key_size) {
    value = 0;
    return passed;
  }
  if (!slot.is_spilled_scalar() || run_of(SlotByte::spill) != key_size || !slot.spilled.num.is_const())
    return passed;
  value = static_cast<s64>(slot.spilled.num.var_off.value);
  bt.set_slot(key.frameno, spi);
  return mark_chain_precise(*e.cur, -1, nullptr);
}

bool Walk::is_inner(const maps::MapFacts& map) const {
  return std::ranges::any_of(inner_maps, [&](const auto& entry) { return entry.second.get() == &map; });
}

/// For the fixups: the map of this call, if it is the same on all paths.
Status Walk::record_call_map(const CallMeta& meta) {
  if (!fn_id::uses_map_ops(meta.func_id)) return passed;
  if (meta.map == nullptr) return e.reject(EINVAL, "kernel subsystem misconfigured verifier\n");
  if ((meta.map->flags & uapi::F_RDONLY_PROG) != 0 &&
      (meta.func_id == fn_id::map_delete_elem || meta.func_id == fn_id::map_update_elem ||
       meta.func_id == fn_id::map_push_elem || meta.func_id == fn_id::map_pop_elem))
    return e.reject(EACCES, "write into map forbidden\n");
  InsnAux& at = aux();
  const maps::MapFacts* outer = nullptr;
  for (const auto& [known, inner] : inner_maps)
    if (inner.get() == meta.map) outer = known;
  s32 index = -1;
  for (u32 i = 0; i < e.program.used_maps.size(); ++i)
    if (e.program.used_maps[i] == (outer != nullptr ? outer : meta.map)) index = static_cast<s32>(i);
  if (!at.call_map_set) {
    at.call_map_set = true;
    at.call_map_index = index;
    at.call_map_inner = outer != nullptr;
    at.call_map_known = index >= 0;
  } else if (at.call_map_index != index || at.call_map_inner != (outer != nullptr)) {
    at.call_map_known = false;
  }
  return passed;
}

/// For the fixups: the index of a tail call, if it is the same constant on all paths.
Status Walk::record_tail_call_key(const CallMeta& meta) {
  if (meta.func_id != fn_id::tail_call) return passed;
  if (meta.map == nullptr || meta.map->type != MapType::prog_array)
    return e.reject(EINVAL, "expected prog array map for tail call");  // without a newline, as there
  const RegState& key = regs()[3];
  InsnAux& at = aux();
  const u64 value = key.num.var_off.value;
  if (!key.is_const() || value >= meta.map->max_entries) {
    at.constant_key_set = true;
    at.constant_key_known = false;
    return passed;
  }
  CHECK(mark_precise(3));
  if (!at.constant_key_set) {
    at.constant_key_set = true;
    at.constant_key = static_cast<s64>(value);
  } else if (at.constant_key != static_cast<s64>(value)) {
    at.constant_key_known = false;
  }
  return passed;
}

}  // namespace skep::verifier
