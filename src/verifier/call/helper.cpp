// Calls of helpers: may this program call it, do the arguments fit its contract, what comes back (kernel:
// check_helper_call()).
#include <cctype>

#include "verifier/call/helper_ids.hpp"
#include "verifier/walk/walk.hpp"

namespace skep::verifier {

using namespace isa;
using helpers::Arg;
using helpers::Ret;

std::string Walk::helper_text(s32 func_id) const {
  std::string_view name = func_id == 0 ? "bpf_unspec" : "unknown";
  if (func_id > 0 && e.input.helper_name != nullptr) name = e.input.helper_name(static_cast<u32>(func_id));
  return fmt::format("{}#{}", name, func_id);
}

bool Walk::kfunc_under_lock(const Insn& insn) const {
  const btf::Btf* types = kernel_btf();
  if (types == nullptr || insn.off != 0) return false;
  return kfunc::allowed_under_lock(kfunc::special(types->name(static_cast<u32>(insn.imm))));
}

Status Walk::check_call(const Insn& insn) {
  const bool kfunc = insn.src == uapi::PSEUDO_KFUNC_CALL;
  if (is_reg_source(insn.code) || (!kfunc && insn.off != 0) ||
      (insn.src != 0 && insn.src != uapi::PSEUDO_CALL && !kfunc) || insn.dst != 0 ||
      class_of(insn.code) == op::JMP32)
    return e.reject(EINVAL, "BPF_CALL uses reserved fields\n");
  if (e.cur->active_locks != 0 &&
      ((insn.src == 0 && insn.imm != fn_id::spin_unlock) || (kfunc && !kfunc_under_lock(insn))))
    return e.reject(EINVAL, "function calls are not allowed while holding a lock\n");
  if (kfunc) return check_kfunc_call(insn);
  return insn.src == uapi::PSEUDO_CALL ? check_subprog_call(insn) : check_helper_call(insn);
}

/// The helper's contract, or why it cannot be called.
Status Walk::check_helper_known(s32 func_id, const helpers::Contract*& contract) {
  if (func_id < 0 || static_cast<u32>(func_id) >= fn_id::max)
    return e.reject(EINVAL, "invalid func {}\n", helper_text(func_id));
  contract = e.input.helper != nullptr
                 ? e.input.helper(e.input.type, e.input.expected_attach_type, static_cast<u32>(func_id))
                 : nullptr;
  if (contract != nullptr && !target_lacks(func_id) && !table_lacks(func_id)) return passed;
  return e.reject(EINVAL, "program of this type cannot use helper {}\n", helper_text(func_id));
}

/// Inside a section that must not be left (kernel: check_helper_call()).
Status Walk::check_may_sleep_here(std::string_view what) {
  if (e.cur->active_rcu_lock) return e.reject(EINVAL, "{} in rcu_read_lock region\n", what);
  if (e.cur->active_preempt_locks != 0) return e.reject(EINVAL, "{} in non-preemptible region\n", what);
  if (e.cur->active_irq_id != 0) return e.reject(EINVAL, "{} in IRQ-disabled region\n", what);
  return passed;
}

Status Walk::check_helper_call(const Insn& insn) {
  const s32 func_id = insn.imm;
  const helpers::Contract* contract = nullptr;
  CHECK(check_helper_known(func_id, contract));
  if (!e.input.gpl_compatible && contract->gpl_only)
    return e.reject(EINVAL, "cannot call GPL-restricted function from non-GPL compatible program\n");
  if (!target_allows(func_id)) return e.reject(EINVAL, "helper call is not allowed in probe\n");
  if (contract->might_sleep && !e.cur->in_sleepable)
    return e.reject(EINVAL, "helper call might sleep in a non-sleepable prog\n");
  if (contract->might_sleep)
    CHECK(check_may_sleep_here(fmt::format("sleepable helper {}", helper_text(func_id))));
  CallMeta meta;
  meta.func_id = func_id;
  meta.pkt_access = contract->pkt_access;
  for (u32 i = 0; i < 5; ++i) CHECK(check_helper_arg(i, *contract, meta));
  CHECK(record_call_map(meta));
  CHECK(record_tail_call_key(meta));
  if (meta.access_size > 0) CHECK(fill_stack(meta.regno, meta.access_size));
  if (meta.release_regno != 0) CHECK(release_argument(*contract, meta));
  CHECK(check_special_helper(*contract, meta));
  CHECK(enter_callbacks(meta));
  clear_caller_saved(e.cur->cur());
  CHECK(set_call_result(*contract, meta));
  CHECK(check_map_helper_pair(meta.map, func_id));
  if (func_id == fn_id::get_func_ip) CHECK(check_get_func_ip());
  if (func_id == fn_id::tail_call) return e.cur->curframe != 0 ? leave_by_tail_call() : passed;
  if (contract->changes_packet || meta.changes_packet) clear_packet_pointers();
  return passed;
}

namespace {

bool one_of(char c, std::string_view set) { return set.find(c) != std::string_view::npos; }
bool ends_word(char c) {
  return c == 0 || std::isspace(static_cast<unsigned char>(c)) != 0 ||
         std::ispunct(static_cast<unsigned char>(c)) != 0;
}

/// One conversion, `at` behind its percent sign; false if bpf_snprintf() does not have it.
bool skip_conversion(std::string_view format, std::size_t& at) {
  const auto peek = [&](std::size_t i) { return at + i < format.size() ? format[at + i] : '\0'; };
  while (one_of(peek(0), "0+- ") && peek(0) != 0) ++at;
  while (std::isdigit(static_cast<unsigned char>(peek(0))) != 0) ++at;
  if (peek(0) == 'p') {
    if ((peek(1) == 'k' || peek(1) == 'u') && peek(2) == 's') {
      at += 3;
      return ends_word(peek(0));
    }
    if (ends_word(peek(1)) || one_of(peek(1), "KxsSB")) {
      ++at;
      return true;
    }
    if ((peek(1) != 'i' && peek(1) != 'I') || (peek(2) != '4' && peek(2) != '6')) return false;
    at += 3;
    return true;
  }
  if (peek(0) == 's') {
    ++at;
    return ends_word(peek(0));
  }
  if (peek(0) == 'c') {
    ++at;
    return true;
  }
  if (peek(0) == 'l') ++at;
  if (peek(0) == 'l') ++at;
  const bool known = peek(0) != 0 && one_of(peek(0), "iduxX");
  ++at;
  return known;
}

/// A format that bpf_snprintf() prints with so many arguments (kernel: bpf_bprintf_prepare()).
bool format_ok(std::string_view format, u64 args) {
  u64 used = 0;
  for (std::size_t at = 0; at < format.size();) {
    const auto c = static_cast<unsigned char>(format[at]);
    if (c >= 0x80 || (std::isprint(c) == 0 && std::isspace(c) == 0)) return false;
    ++at;
    if (c != '%') continue;
    if (at < format.size() && format[at] == '%') {
      ++at;
      continue;
    }
    if (used++ >= args || !skip_conversion(format, at)) return false;
  }
  return true;
}

}  // namespace

/// What is demanded of single helpers beyond their contracts.
Status Walk::check_special_helper(const helpers::Contract& contract, CallMeta& meta) {
  switch (meta.func_id) {
    case fn_id::tail_call:
      return check_resource_leak("tail_call", true);
    case fn_id::get_local_storage:
      if (!regs()[2].is_const() || regs()[2].num.var_off.value != 0)
        return e.reject(EINVAL, "get_local_storage() doesn't support non-zero flags\n");
      return mark_precise(2);
    case fn_id::snprintf: {
      const RegState& text = regs()[3];
      const u64 bytes = regs()[5].num.var_off.value;
      if (bytes % 8 != 0) return Status(EINVAL);
      const auto rest = text.map->rodata.subspan(static_cast<std::size_t>(text.off) + text.num.var_off.value);
      std::string_view format(reinterpret_cast<const char*>(rest.data()), rest.size());
      format = format.substr(0, format.find('\0'));
      return format_ok(format, bytes / 8) ? passed : e.reject(EINVAL, "Invalid format string\n");
    }
    case fn_id::dynptr_from_mem:
      if (regs()[1].type != Base::map_value)
        return e.reject(EACCES, "Unsupported reg type {} for bpf_dynptr_from_mem data\n",
                        type_text(regs()[1].type));
      return passed;
    case fn_id::dynptr_data: {
      const RegState* dynptr = dynptr_behind(regs()[1]);
      if (dynptr == nullptr) return Status(EFAULT);
      meta.dynptr_id = dynptr->id;
      meta.ref_obj_id = dynptr->ref_obj_id;
      return passed;
    }
    case fn_id::dynptr_write: {
      const RegState* dynptr = dynptr_behind(regs()[1]);
      if (dynptr == nullptr) return Status(EFAULT);
      meta.changes_packet = dynptr_kind(*dynptr) == DynptrKind::skb;
      return passed;
    }
    default:
      meta.changes_packet = contract.changes_packet;
      return passed;
  }
}

/// A tail call that succeeds ends the subprogram with an unknown result; one that fails goes on.
Status Walk::leave_by_tail_call() {
  scratch_reg(0);
  State* on = nullptr;
  CHECK(push_path(e.insn_idx + 1, e.insn_idx, on));
  clear_packet_pointers();
  mark_unknown(regs()[0]);
  CHECK(return_from_subprog());
  insn_idx_set = true;
  return passed;
}

Status Walk::release_argument(const helpers::Contract& contract, const CallMeta& meta) {
  const RegState& reg = regs()[meta.release_regno];
  Status status(EINVAL);
  if (contract.args[meta.release_regno - 1].kind == Arg::dynptr) {
    status = release_dynptr(reg);
  } else if (meta.ref_obj_id != 0) {
    status = meta.func_id == fn_id::kptr_xchg ? release_to_kptr(meta.ref_obj_id)
                                              : release_reference(meta.ref_obj_id);
  } else if (reg.is_const() && reg.num.var_off.value == 0) {
    status = passed;
  }
  if (!status.ok())
    (void)e.reject(EINVAL, "func {} reference has not been acquired before\n", helper_text(meta.func_id));
  return status;
}

Status Walk::set_call_result(const helpers::Contract& contract, const CallMeta& meta) {
  RegState& r0 = regs()[0];
  u16 flags = (contract.ret_flags & helpers::maybe_null) != 0 ? tf::maybe_null : tf::none;
  switch (contract.ret) {
    case Ret::integer:
      mark_unknown(r0);
      break;
    case Ret::void_:
      mark_not_init(r0);
      break;
    case Ret::map_value: {
      if (meta.map == nullptr) return e.reject(EINVAL, "kernel subsystem misconfigured verifier\n");
      // A constant index inside an array always finds its element.
      if (meta.func_id == fn_id::map_lookup_elem && meta.const_map_key >= 0 &&
          meta.const_map_key < s64{meta.map->max_entries})
        flags = tf::none;
      mark_known_zero_pointer(r0, {Base::map_value, flags});
      r0.map = meta.map;
      r0.map_uid = meta.map_uid;
      if (flags == tf::none && may_point_to_lock(r0)) r0.id = ++e.id_gen;
      break;
    }
    case Ret::ringbuf_mem:
    case Ret::dynptr_mem:
    case Ret::mem:
      if (contract.ret == Ret::ringbuf_mem || (contract.ret_flags & helpers::ringbuf) != 0)
        flags = static_cast<u16>(flags | tf::ringbuf);
      if ((contract.ret_flags & helpers::rdonly) != 0) flags = static_cast<u16>(flags | tf::rdonly);
      mark_known_zero_pointer(r0, {Base::mem, flags});
      r0.raw = 0;
      r0.mem_size = static_cast<u32>(meta.mem_size);
      if (contract.ret == Ret::dynptr_mem) {
        r0.map_uid = meta.dynptr_id;
        r0.ref_obj_id = meta.ref_obj_id;
      }
      break;
    case Ret::socket:
      mark_known_zero_pointer(r0, {Base::sock, flags});
      break;
    case Ret::sock_common:
      mark_known_zero_pointer(r0, {Base::sock_common, flags});
      break;
    case Ret::tcp_sock:
      mark_known_zero_pointer(r0, {Base::tcp_sock, flags});
      break;
    case Ret::btf_id:
    case Ret::mem_or_btf_id:
      CHECK(set_btf_result(contract, meta));
      break;
  }
  if (r0.type.maybe_null()) r0.id = ++e.id_gen;
  if (fn_id::casts_pointer(meta.func_id)) {
    r0.ref_obj_id = meta.ref_obj_id;
  } else if (fn_id::acquires(meta.func_id, meta.map)) {
    const u32 id = acquire_reference(e.insn_idx);
    r0.id = id;
    r0.ref_obj_id = id;
  }
  if (contract.ret == Ret::integer) {
    if (meta.func_id == fn_id::get_smp_processor_id) {
      r0.num = Scalar::in_range(0, s64{e.input.cpu_count} - 1);
    } else if (fn_id::returns_size(meta.func_id)) {
      r0.num = Scalar::in_range(-4095, static_cast<s64>(meta.msize_max));
    }
  }
  return passed;
}

// --- references ------------------------------------------------------------------------------------------

u32 Walk::acquire_reference(u32 insn_idx) {
  const u32 id = ++e.id_gen;
  e.pool.push_reference(*e.cur, {id, static_cast<s32>(insn_idx), RefKind::pointer});
  return id;
}

bool Walk::release_reference_id(State& state, u32 id) {
  for (u32 i = 0; i < state.ref_count; ++i) {
    if (state.refs[i].kind != RefKind::pointer || state.refs[i].id != id) continue;
    for (u32 k = i + 1; k < state.ref_count; ++k) state.refs[k - 1] = state.refs[k];
    --state.ref_count;
    return true;
  }
  return false;
}

/// The reference is given back: every pointer that depended on it is a mere number now.
Status Walk::release_reference(u32 id) {
  if (!release_reference_id(*e.cur, id)) return Status(EINVAL);
  const auto which = [&](const RegState& reg) { return reg.ref_obj_id == id; };
  for_each_reg(*e.cur, which, [&](RegState& reg) { mark_invalid(reg); });
  return passed;
}

/// The packet may have moved: no pointer into it holds any longer.
void Walk::clear_packet_pointers() {
  const auto which = [](const RegState& reg) {
    const bool slice = reg.type.base == Base::mem && (reg.type.flags & tf::packet_slice) != 0;
    return reg.type.is_packet_any() || slice;
  };
  for_each_reg(*e.cur, which, [&](RegState& reg) { mark_invalid(reg); });
}

}  // namespace skep::verifier
