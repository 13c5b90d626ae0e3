// ld_imm64 in all its forms, and the packet loads of classic BPF (kernel: check_ld_imm(), check_ld_abs()).
#include "verifier/walk/walk.hpp"

namespace skep::verifier {

using namespace isa;

Status Walk::check_ld_imm(const Insn& insn) {
  if (size_of(insn.code) != op::DW) return e.reject(EINVAL, "invalid BPF_LD_IMM insn\n");
  if (insn.off != 0) return e.reject(EINVAL, "BPF_LD_IMM64 uses reserved fields\n");
  CHECK(check_reg(insn.dst, Use::dest));
  RegState& dst = regs()[insn.dst];
  const InsnNotes& notes = e.program.notes[e.insn_idx];
  const Insn& second = insns[e.insn_idx + 1];
  const u32 here = e.insn_idx;
  ++e.insn_idx;  // two slots
  e.aux[e.insn_idx].seen = true;
  switch (insn.src) {
    case 0:
      mark_known(dst, u64{static_cast<u32>(second.imm)} << 32 | static_cast<u32>(insn.imm));
      return passed;
    case uapi::PSEUDO_FUNC: {
      const s32 subprog = e.program.find_subprog(here + static_cast<u32>(insn.imm) + 1);
      if (e.input.func_info.empty()) return e.reject(EINVAL, "missing btf func_info\n");
      if (subprog < 0 || is_global(static_cast<u32>(subprog)))
        return e.reject(EINVAL, "callback function not static\n");
      if (subprog == 0) return e.reject(EINVAL, "callback function cannot be the main program\n");
      mark_known_zero_pointer(dst, Base::func);
      dst.subprog = static_cast<u32>(subprog);
      return passed;
    }
    case uapi::PSEUDO_BTF_ID:
      return load_kernel_symbol(static_cast<u32>(insn.imm), dst);
    default:
      break;
  }
  if (notes.map_index < 0) return e.reject(EINVAL, "bpf verifier is misconfigured\n");
  const maps::MapFacts* map = e.program.used_maps[static_cast<u32>(notes.map_index)];
  if (insn.src == uapi::PSEUDO_MAP_VALUE || insn.src == uapi::PSEUDO_MAP_IDX_VALUE) {
    if (map->type == MapType::arena) {  // an address of user space, of which nothing is known
      mark_unknown(dst);
      return passed;
    }
    mark_known_zero_pointer(dst, Base::map_value);
    dst.off = static_cast<s32>(notes.map_off);
  } else {
    mark_known_zero_pointer(dst, Base::map_ptr);
  }
  dst.map = map;
  return passed;
}

/// The address of a variable or function of the kernel (kernel: __check_pseudo_btf_id()).
Status Walk::load_kernel_symbol(u32 id, RegState& dst) {
  const btf::Btf& types = *kernel_btf();
  const btf::Type& symbol = types.type(id);
  if (symbol.kind == btf::Kind::func) {
    mark_known_zero_pointer(dst, {Base::mem, tf::rdonly});
    return passed;
  }
  bool percpu = false;
  const u32 section = e.input.vmlinux->find(btf::Kind::datasec, ".data..percpu");
  for (const btf::Entry& variable : types.entries(types.type(section)))
    percpu = percpu || variable.type == id;
  const u32 target = types.skip_modifiers(symbol.type);
  if (percpu || btf::is_composite(types.type(target).kind)) {
    mark_known_zero_pointer(dst, {Base::btf_id, percpu ? tf::percpu : tf::none});
    dst.btf = &types;
    dst.btf_id = symbol.type;
    return passed;
  }
  const Result<u64> size = types.size_of(target);
  if (!size)
    return e.reject(EINVAL, "ldimm64 unable to resolve the size of type '{}': -22\n", types.name(target));
  mark_known_zero_pointer(dst, {Base::mem, tf::rdonly});
  dst.mem_size = static_cast<u32>(*size);
  return passed;
}

Status Walk::check_ld_abs(const Insn& insn) {
  constexpr u32 ctx_reg = 6;
  const ProgType type = e.input.type;
  if (type != ProgType::socket_filter && type != ProgType::sched_cls && type != ProgType::sched_act)
    return e.reject(EINVAL, "BPF_LD_[ABS|IND] instructions not allowed for this program type\n");
  const bool indirect = mode_of(insn.code) == op::IND;
  for (u32 f = e.cur->curframe; f > 0; --f)
    if (e.cur->frame[f]->in_callback)
      return e.reject(EINVAL, "cannot use BPF_LD_[ABS|IND] within callback\n");
  if (insn.dst != 0 || insn.off != 0 || size_of(insn.code) == op::DW || (!indirect && insn.src != 0))
    return e.reject(EINVAL, "BPF_LD_[ABS|IND] uses reserved fields\n");
  CHECK(check_reg(ctx_reg, Use::source));
  CHECK(check_resource_leak("BPF_LD_[ABS|IND]", true));
  if (regs()[ctx_reg].type != Base::ctx)
    return e.reject(EINVAL, "at the time of BPF_LD_ABS|IND R6 != pointer to skb\n");
  if (indirect) CHECK(check_reg(insn.src, Use::source));
  CHECK(check_pointer_unmodified(regs()[ctx_reg], ctx_reg, false));
  clear_caller_saved(e.cur->cur());
  mark_unknown(regs()[0]);
  if (e.cur->curframe == 0) return passed;
  // Beyond the packet's end the subprogram returns 0 by itself: a path of its own.
  scratch_reg(0);
  State* on = nullptr;
  CHECK(push_path(e.insn_idx + 1, e.insn_idx, on));
  mark_known(regs()[0], 0);
  CHECK(return_from_subprog());
  insn_idx_set = true;
  return passed;
}

}  // namespace skep::verifier
