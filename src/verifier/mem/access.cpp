// Loads and stores through a register: which kind of memory, and may this program touch it (kernel:
// check_mem_access(), check_load_mem(), check_store_reg(), check_atomic()).
#include "progs/prog_type.hpp"
#include "verifier/walk/walk.hpp"

namespace skep::verifier {

using namespace isa;

namespace {

/// The kernel structure a map pointer points to.
std::string_view map_structure(MapType type) {
  switch (type) {
    case MapType::hash:
    case MapType::percpu_hash:
    case MapType::lru_hash:
    case MapType::lru_percpu_hash:
    case MapType::hash_of_maps:
      return "bpf_htab";
    case MapType::lpm_trie:
      return "lpm_trie";
    case MapType::stack_trace:
      return "bpf_stack_map";
    case MapType::devmap:
    case MapType::devmap_hash:
      return "bpf_dtab";
    case MapType::cpumap:
      return "bpf_cpu_map";
    case MapType::xskmap:
      return "xsk_map";
    case MapType::queue:
    case MapType::stack:
      return "bpf_queue_stack";
    case MapType::ringbuf:
      return "bpf_ringbuf_map";
    case MapType::bloom_filter:
      return "bpf_bloom_filter";
    case MapType::sockmap:
      return "bpf_stab";
    case MapType::sockhash:
      return "bpf_shtab";
    default:
      return "bpf_array";
  }
}

/// struct bpf_sock and its relatives, as far as this kind of socket has them.
bool sock_field_ok(Base base, s32 off, u32 size) {
  switch (base) {
    case Base::tcp_sock:
      return progs::tcp_sock_access(off, size);
    case Base::xdp_sock:
      return progs::xdp_sock_access(off, size);
    default:
      return progs::sock_access(base == Base::sock_common, off, size);
  }
}

}  // namespace

/// The buffer of a writable tracepoint: at a constant place; how much of it there is, attaching checks.
Status Walk::check_tp_buffer(const RegState& reg, u32 regno, s32 off, u32 size) {
  if (off < 0)
    return e.reject(EACCES, "R{} invalid tracepoint buffer access: off={}, size={}\n", regno, off, size);
  if (!reg.num.is_const() || reg.num.var_off.value != 0)
    return e.reject(EACCES, "R{} invalid variable buffer offset: off={}, var_off={}\n", regno, off,
                    tnum_text(reg.num.var_off));
  return passed;
}

Status Walk::check_load(const Insn& insn, bool sign_extend, bool strict_once, std::string_view where) {
  CHECK(check_reg(insn.src, Use::source));
  CHECK(check_reg(insn.dst, Use::dest_keep));
  const RegType type = regs()[insn.src].type;
  CHECK(check_mem_access(insn.src, insn.off, bytes_of_size(insn.code), Access::read, insn.dst, strict_once,
                         sign_extend));
  CHECK(record_pointer_type(type, true));
  return check_bounds_sane(regs()[insn.dst], where);
}

Status Walk::check_store(const Insn& insn, bool strict_once) {
  CHECK(check_reg(insn.src, Use::source));
  CHECK(check_reg(insn.dst, Use::source));
  const RegType type = regs()[insn.dst].type;
  CHECK(check_mem_access(insn.dst, insn.off, bytes_of_size(insn.code), Access::write, insn.src, strict_once,
                         false));
  return record_pointer_type(type, false);
}

Status Walk::check_store_imm(const Insn& insn) {
  if (mode_of(insn.code) != op::MEM || insn.src != 0)
    return e.reject(EINVAL, "BPF_ST uses reserved fields\n");
  CHECK(check_reg(insn.dst, Use::source));
  const RegType type = regs()[insn.dst].type;
  CHECK(check_mem_access(insn.dst, insn.off, bytes_of_size(insn.code), Access::write, -1, false, false));
  return record_pointer_type(type, false);
}

bool Walk::atomic_pointer_ok(const RegState& reg) {
  return reg.type.base != Base::ctx && !reg.type.is_packet() && reg.type.base != Base::flow_keys &&
         !reg.type.is_sock();
}

Status Walk::check_atomic(const Insn& insn) {
  switch (insn.imm) {
    case op::ADD:
    case op::ADD | op::FETCH:
    case op::AND:
    case op::AND | op::FETCH:
    case op::OR:
    case op::OR | op::FETCH:
    case op::XOR:
    case op::XOR | op::FETCH:
    case op::XCHG:
    case op::CMPXCHG:
      return check_atomic_rmw(insn);
    case op::LOAD_ACQ:
      CHECK(check_load(insn, false, true, "atomic_load"));
      if (!atomic_pointer_ok(regs()[insn.src]))
        return e.reject(EACCES, "BPF_ATOMIC loads from R{} {} is not allowed\n", u32{insn.src},
                        type_text(regs()[insn.src].type));
      return passed;
    case op::STORE_REL:
      CHECK(check_store(insn, true));
      if (!atomic_pointer_ok(regs()[insn.dst]))
        return e.reject(EACCES, "BPF_ATOMIC stores into R{} {} is not allowed\n", u32{insn.dst},
                        type_text(regs()[insn.dst].type));
      return passed;
    default:
      return e.reject(EINVAL, "BPF_ATOMIC uses invalid atomic opcode {:02x}\n", static_cast<u32>(insn.imm));
  }
}

Status Walk::check_atomic_rmw(const Insn& insn) {
  if (size_of(insn.code) != op::W && size_of(insn.code) != op::DW)
    return e.reject(EINVAL, "invalid atomic operand size\n");
  CHECK(check_reg(insn.src, Use::source));
  CHECK(check_reg(insn.dst, Use::source));
  if (insn.imm == op::CMPXCHG) CHECK(check_reg(0, Use::source));
  if (!atomic_pointer_ok(regs()[insn.dst]))
    return e.reject(EACCES, "BPF_ATOMIC stores into R{} {} is not allowed\n", u32{insn.dst},
                    type_text(regs()[insn.dst].type));
  s32 load_reg = -1;
  if ((insn.imm & op::FETCH) != 0) {
    load_reg = insn.imm == op::CMPXCHG ? 0 : s32{insn.src};
    CHECK(check_reg(static_cast<u32>(load_reg), Use::dest));
  }
  const u32 size = bytes_of_size(insn.code);
  CHECK(check_mem_access(insn.dst, insn.off, size, Access::read, -1, true, false));
  if (load_reg >= 0) CHECK(check_mem_access(insn.dst, insn.off, size, Access::read, load_reg, true, false));
  CHECK(record_pointer_type(regs()[insn.dst].type, false));
  return check_mem_access(insn.dst, insn.off, size, Access::write, -1, true, false);
}

/// An instruction is rewritten by the kind of its pointer, which therefore must be one on all paths
/// (kernel: save_aux_ptr_type(), reg_type_mismatch()).
Status Walk::record_pointer_type(RegType type, bool allow_trust_mismatch) {
  InsnAux& at = aux();
  auto rewritten = [](RegType t) {
    return t.base == Base::ctx || t.is_sock() || t.base == Base::btf_id || t.base == Base::arena ||
           (t.base == Base::mem && (t.flags & tf::untrusted) != 0);
  };
  auto mem_or_btf_id = [](RegType t) { return t.base == Base::mem || t.base == Base::btf_id; };
  if (at.pointer_type.base == Base::not_init) {
    at.pointer_type = type;
    return passed;
  }
  if (at.pointer_type != type && allow_trust_mismatch && mem_or_btf_id(type) &&
      mem_or_btf_id(at.pointer_type)) {
    // Trusted on one path and not on another: read as if it never were.
    if (rewritten(type) || rewritten(at.pointer_type)) at.pointer_type = {Base::btf_id, tf::untrusted};
    return passed;
  }
  if (at.pointer_type != type && (rewritten(type) || rewritten(at.pointer_type)))
    return e.reject(EINVAL, "same insn cannot be used with different pointers\n");
  return passed;
}

Status Walk::check_mem_access(u32 regno, s32 insn_off, u32 size, Access access, s32 value_regno,
                              bool strict_once, bool sign_extend) {
  RegState& reg = regs()[regno];
  CHECK(check_alignment(reg, insn_off, size, strict_once));
  const s32 off = insn_off + reg.off;
  const bool fills = value_regno >= 0 && access == Access::read;
  RegState* value = fills ? &regs()[value_regno] : nullptr;
  const RegType type = reg.type;
  const bool null_possible = type.maybe_null();
  if (type == Base::map_key) {
    if (access == Access::write) return e.reject(EACCES, "write to change key R{} not allowed\n", regno);
    CHECK(check_region(regno, off, static_cast<s32>(size), reg.map->key_size, false));
    if (value != nullptr) mark_unknown(*value);
  } else if (type == Base::map_value) {
    CHECK(check_map_value_access(regno, off, size, access, value_regno, sign_extend));
  } else if (type.base == Base::mem && !null_possible) {
    if (access == Access::write && type.rdonly())
      return e.reject(EACCES, "R{} cannot write into {}\n", regno, type_text(type));
    // Memory of which nothing is known is read as by bpf_probe_read_kernel().
    if ((type.flags & tf::untrusted) == 0)
      CHECK(check_region(regno, off, static_cast<s32>(size), reg.mem_size, false));
    if (value != nullptr) mark_unknown(*value);
  } else if (type.base == Base::btf_id && !null_possible) {
    CHECK(check_btf_access(regno, off, size, access, value_regno));
  } else if (type.base == Base::buf && !null_possible) {
    CHECK(check_buffer_access(regno, off, size, access, value_regno));
  } else if (type == Base::ctx) {
    CHECK(check_ctx_access(regno, off, size, access, value_regno, sign_extend));
  } else if (type == Base::stack) {
    CHECK(check_stack_access(regno, off, size, access, value_regno));
  } else if (type == Base::packet || type == Base::packet_meta) {
    CHECK(check_packet_mem(regno, off, size, access, value_regno));
  } else if (type.is_sock() && !null_possible) {
    if (access == Access::write)
      return e.reject(EACCES, "R{} cannot write into {}\n", regno, type_text(type));
    if (reg.num.smin < 0)
      return e.reject(EACCES,
                      "R{} min value is negative, either use unsigned index or do a if (index >=0) check.\n",
                      regno);
    if (!sock_field_ok(type.base, off, size))
      return e.reject(EACCES, "R{} invalid {} access off={} size={}\n", regno, type_text(type), off, size);
    if (value != nullptr) mark_unknown(*value);
  } else if (type == Base::flow_keys) {
    if (access == Access::write && value_regno >= 0 && regs()[value_regno].type.is_pointer())
      return e.reject(EACCES, "R{} leaks addr into flow keys\n", value_regno);
    if (off < 0 || static_cast<u64>(off) + size > progs::flow_keys_bytes)
      return e.reject(EACCES, "invalid access to flow keys off={} size={}\n", off, size);
    if (value != nullptr) mark_unknown(*value);
  } else if (type == Base::tp_buffer) {
    CHECK(check_tp_buffer(reg, regno, off, size));
    if (value != nullptr) mark_unknown(*value);
  } else if (type == Base::arena) {
    if (value != nullptr) mark_unknown(*value);
  } else if (type == Base::map_ptr) {
    CHECK(check_map_struct_access(regno, map_structure(reg.map->type), off, size, access, value_regno));
  } else {
    return e.reject(EACCES, "R{} invalid mem access '{}'\n", regno, type_text(type));
  }
  if (value != nullptr && size < 8 && value->is_scalar()) {
    if (sign_extend) {
      // Linux 6.18 goes on to take a filled number for its source where the sign makes another one of it.
      const s64 limit = s64{1} << (8 * size - 1);
      if (value->num.smin < -limit || value->num.smax >= limit) {
        value->id = 0;
        value->off = 0;
      }
      coerce_to_size_sx(value->num, size);
    } else {
      coerce_to_size(value->num, size);
    }
  }
  return passed;
}

Status Walk::check_ctx_access(u32 regno, s32 off, u32 size, Access access, s32 value_regno,
                              bool sign_extend) {
  CHECK(check_pointer_unmodified(regs()[regno], regno, false));
  if (e.program.attach.btf != nullptr) return check_attach_context(off, size, access, value_regno);
  const auto found = progs::ctx_access(e.input.type, e.input.expected_attach_type, off, size,
                                       access == Access::write, sign_extend);
  if (!found) {
    (void)e.reject(EACCES, "invalid bpf_context access off={} size={}\n", off, size);
    print_source_line(e.insn_idx);
    return Status(EACCES);
  }
  aux().ctx_field_size = found->field_size;
  e.max_ctx_offset = std::max(e.max_ctx_offset, static_cast<u32>(off) + size);
  if (access == Access::write || value_regno < 0) return passed;
  return fill_from_ctx(regs()[value_regno], found->kind);
}

/// What a load of a context field leaves in the register.
Status Walk::fill_from_ctx(RegState& value, progs::CtxKind kind) {
  switch (kind) {
    case progs::CtxKind::scalar:
      mark_unknown(value);
      return passed;
    case progs::CtxKind::packet:
      mark_known_zero_pointer(value, Base::packet);
      return passed;
    case progs::CtxKind::packet_end:
      mark_known_zero_pointer(value, Base::packet_end);
      return passed;
    case progs::CtxKind::packet_meta:
      mark_known_zero_pointer(value, Base::packet_meta);
      return passed;
    case progs::CtxKind::sock:
      mark_known_zero_pointer(value, Base::sock);
      return passed;
    case progs::CtxKind::flow_keys:
      mark_known_zero_pointer(value, Base::flow_keys);
      return passed;
    case progs::CtxKind::tp_buffer:
      mark_known_zero_pointer(value, Base::tp_buffer);
      return passed;
    case progs::CtxKind::sock_or_null:
    case progs::CtxKind::sock_common_or_null:
      mark_known_zero_pointer(
          value, {kind == progs::CtxKind::sock_or_null ? Base::sock : Base::sock_common, tf::maybe_null});
      value.id = ++e.id_gen;
      return passed;
    case progs::CtxKind::nf_hook_state:
    case progs::CtxKind::sk_buff:
      break;
  }
  const std::string_view name = kind == progs::CtxKind::sk_buff ? "sk_buff" : "nf_hook_state";
  const u32 id = kernel_struct(name);
  if (id == 0) return unsupported("pointers to structures of the kernel without its BTF");
  mark_btf_load(value, Base::btf_id, kernel_btf(), id, tf::trusted);
  return passed;
}

/// An unchanged pointer, but for a constant positive offset where allowed (kernel: __check_ptr_off_reg()).
Status Walk::check_pointer_unmodified(const RegState& reg, u32 regno, bool fixed_off_ok) {
  if (reg.off < 0)
    return e.reject(EACCES, "negative offset {} ptr R{} off={} disallowed\n", type_text(reg.type), regno,
                    reg.off);
  if (!fixed_off_ok && reg.off != 0)
    return e.reject(EACCES, "dereference of modified {} ptr R{} off={} disallowed\n", type_text(reg.type),
                    regno, reg.off);
  if (!reg.num.is_const() || reg.num.var_off.value != 0)
    return e.reject(EACCES, "variable {} access var_off={} disallowed\n", type_text(reg.type),
                    tnum_text(reg.num.var_off));
  return passed;
}

}  // namespace skep::verifier
