// Conditional jumps: which way, and what either way teaches (kernel: check_cond_jmp_op()). The refinement of
// numbers is domain/'s.
#include "verifier/walk/walk.hpp"

namespace skep::verifier {

using namespace isa;

namespace {

/// The pointer cannot be NULL whatever its offset (kernel: reg_not_null()).
bool never_null(const RegState& reg) {
  if (reg.type.maybe_null()) return false;
  if (reg.num.smin <= -limits::max_var_offset || reg.num.smax >= limits::max_var_offset) return false;
  switch (reg.type.base) {
    case Base::sock:
    case Base::tcp_sock:
    case Base::xdp_sock:
    case Base::sock_common:
    case Base::buf:
    case Base::map_value:
    case Base::map_key:
    case Base::map_ptr:
      return true;
    case Base::mem:
      return (reg.type.flags & tf::untrusted) == 0;
    case Base::btf_id:
      return Walk::is_trusted(reg);
    default:
      return false;
  }
}

constexpr s32 beyond_packet_end = -2;

int packet_outcome(const RegState& dst, const RegState& src, u8 opcode) {
  const RegState* packet = &dst;
  if (src.type.base != Base::packet_end) {
    if (dst.type.base != Base::packet_end) return -1;
    packet = &src;
    opcode = flip_jump(opcode);
  }
  if (packet->range >= 0) return -1;
  switch (opcode) {
    case op::JLE:
    case op::JGT:
      return packet->range == beyond_packet_end ? opcode == op::JGT : -1;
    case op::JLT:
    case op::JGE:
      return opcode == op::JGE;
    default:
      return -1;
  }
}

}  // namespace

/// 1: taken, 0: not, -1: either (kernel: is_branch_taken()).
int Walk::branch_outcome(const RegState& a, const RegState& b, u8 opcode, bool is32) {
  if (a.type.is_packet_any() && b.type.is_packet_any() && !is32) return packet_outcome(a, b, opcode);
  if (a.is_scalar() && b.is_scalar()) return branch_taken(opcode, a.num, b.num, is32);
  if (is32) return -1;
  const RegState* pointer = &a;
  const RegState* constant = &b;
  if (!constant->is_const()) {
    std::swap(pointer, constant);
    opcode = flip_jump(opcode);
  }
  if (!constant->is_const() || !never_null(*pointer) || constant->num.const_value() != 0) return -1;
  if (opcode == op::JEQ) return 0;
  return opcode == op::JNE ? 1 : -1;
}

Status Walk::check_may_goto(const Insn& insn) {
  if (insn.code != (op::JMP | op::JCOND) || insn.src != 0 || insn.dst != 0 || insn.imm != 0)
    return e.reject(EINVAL, "invalid may_goto imm {}\n", insn.imm);
  State* before = find_prev_entry(e.cur->parent, e.insn_idx);
  State* through = nullptr;
  CHECK(push_path(e.insn_idx + 1, e.insn_idx, through));
  ++through->may_goto_depth;
  if (before != nullptr) widen_imprecise(*before, *through);
  e.insn_idx += static_cast<u32>(s32{insn.off});
  return passed;
}

/// Reads both operands; an immediate becomes a register of its own.
Status Walk::check_jump_operands(const Insn& insn, RegState*& src) {
  CHECK(check_reg(insn.dst, Use::source));
  const RegState& dst = regs()[insn.dst];
  u32 flags = dst.type.base == Base::stack ? hist::dst_reg_stack : 0;
  if (is_reg_source(insn.code)) {
    if (insn.imm != 0) return e.reject(EINVAL, "BPF_JMP/JMP32 uses reserved fields\n");
    CHECK(check_reg(insn.src, Use::source));
    src = &regs()[insn.src];
    if (src->type.base == Base::stack) flags |= hist::src_reg_stack;
  } else {
    if (insn.src != 0) return e.reject(EINVAL, "BPF_JMP/JMP32 uses reserved fields\n");
    mark_known(immediate[0], static_cast<u64>(s64{insn.imm}));
    src = &immediate[0];
  }
  return flags != 0 ? push_history(*e.cur, flags, 0) : passed;
}

Status Walk::check_jump(const Insn& insn) {
  const u8 opcode = op_of(insn.code);
  if (opcode > op::JCOND) return e.reject(EINVAL, "invalid BPF_JMP/JMP32 opcode {:x}\n", opcode);
  if (opcode == op::JCOND) return check_may_goto(insn);
  RegState* src = nullptr;
  CHECK(check_jump_operands(insn, src));
  RegState& dst = regs()[insn.dst];
  const int outcome = branch_outcome(dst, *src, opcode, class_of(insn.code) == op::JMP32);
  if (outcome < 0) return split_paths(insn, dst, src);
  if (dst.is_scalar()) CHECK(mark_precise(insn.dst));
  if (is_reg_source(insn.code) && src->is_scalar()) CHECK(mark_precise(insn.src));
  if (e.log.tracing()) print_insn_state();
  if (outcome == 1) e.insn_idx += static_cast<u32>(s32{insn.off});
  return passed;
}

/// Both ways are possible: the jump is put aside as a path of its own, the walk goes on with the
/// fall-through.
Status Walk::split_paths(const Insn& insn, RegState& dst, RegState* src) {
  const bool reg_source = is_reg_source(insn.code);
  const bool is32 = class_of(insn.code) == op::JMP32;
  LinkedRegs linked;
  if (reg_source && src->is_scalar() && src->id != 0) collect_linked(*e.cur, src->id, linked);
  if (dst.is_scalar() && dst.id != 0) collect_linked(*e.cur, dst.id, linked);
  if (linked.count > 1) CHECK(push_history(*e.cur, 0, linked.pack()));

  State* other = nullptr;
  CHECK(push_path(e.insn_idx + static_cast<u32>(s32{insn.off}) + 1, e.insn_idx, other));
  CHECK(refine_operands(insn, dst, *src, *other));
  RegState* other_regs = other->regs();
  if (reg_source && src->is_scalar() && src->id != 0) {
    sync_linked(*e.cur, *src, linked);
    sync_linked(*other, other_regs[insn.src], linked);
  }
  if (dst.is_scalar() && dst.id != 0) {
    sync_linked(*e.cur, dst, linked);
    sync_linked(*other, other_regs[insn.dst], linked);
  }
  if (!is32 && reg_source && src->type.is_pointer() && dst.type.is_pointer())
    transfer_nullness(insn, dst, *src, *other);

  const u8 opcode = op_of(insn.code);
  if (!is32 && !reg_source && insn.imm == 0 && (opcode == op::JEQ || opcode == op::JNE) &&
      dst.type.maybe_null()) {
    mark_null_outcome(*e.cur, insn.dst, opcode == op::JNE);
    mark_null_outcome(*other, insn.dst, opcode == op::JEQ);
  } else if (reg_source && !is32) {
    match_packet_pointers(insn, dst, *src, *other);
  }
  if (e.log.tracing()) print_insn_state();
  return passed;
}

/// What the comparison says of two numbers, in the jump's path (`other`) and in the fall-through.
Status Walk::refine_operands(const Insn& insn, RegState& dst, RegState& src, State& other) {
  if (!dst.is_scalar() || !src.is_scalar()) return passed;
  RegState& true_dst = other.regs()[insn.dst];
  immediate[1] = immediate[0];
  RegState& true_src = is_reg_source(insn.code) ? other.regs()[insn.src] : immediate[1];
  refine_branch(op_of(insn.code), class_of(insn.code) == op::JMP32, true_dst.num, true_src.num, dst.num,
                src.num);
  CHECK(check_bounds_sane(true_dst, "true_reg1"));
  CHECK(check_bounds_sane(true_src, "true_reg2"));
  CHECK(check_bounds_sane(dst, "false_reg1"));
  return check_bounds_sane(src, "false_reg2");
}

/// Where two pointers are equal and one is known not to be NULL, neither is the other.
void Walk::transfer_nullness(const Insn& insn, const RegState& dst, const RegState& src, State& other) {
  if (src.type.base == Base::btf_id || dst.type.base == Base::btf_id) return;
  State* equal = nullptr;
  if (op_of(insn.code) == op::JEQ) equal = &other;
  if (op_of(insn.code) == op::JNE) equal = e.cur;
  if (equal == nullptr) return;
  const bool src_gains = never_null(dst) && src.type.maybe_null();
  const bool dst_gains = never_null(src) && dst.type.maybe_null();
  if (src_gains) mark_not_null(equal->regs()[insn.src]);
  if (dst_gains) mark_not_null(equal->regs()[insn.dst]);
}

// --- NULL checks -----------------------------------------------------------------------------------------

/// What is known of every map inside `outer`: its template, which has no name.
const maps::MapFacts* Walk::inner_of(const maps::MapFacts* outer) {
  for (const auto& [known, inner] : inner_maps)
    if (known == outer) return inner.get();
  auto inner = std::make_unique<maps::MapFacts>(*outer->inner);
  inner->name.clear();
  inner->frozen = false;
  inner->rodata = {};
  inner_maps.emplace_back(outer, std::move(inner));
  return inner_maps.back().second.get();
}

/// Not NULL after all; a map value may turn out to be a map or a socket (kernel: mark_ptr_not_null_reg()).
void Walk::mark_not_null(RegState& reg) {
  reg.type.flags = static_cast<u16>(reg.type.flags & ~tf::maybe_null);
  if (reg.type.base != Base::map_value || reg.map == nullptr) return;
  if (reg.map->inner != nullptr) {
    reg.type = Base::map_ptr;
    reg.map = inner_of(reg.map);
    if (reg.map->record.timer_off >= 0) reg.map_uid = reg.id;
  } else if (reg.map->type == MapType::xskmap) {
    reg.type = Base::xdp_sock;
  } else if (reg.map->type == MapType::sockmap || reg.map->type == MapType::sockhash) {
    reg.type = Base::sock;
  }
}

/// Every register and slot with the id of `regno` is now NULL or not (kernel: mark_ptr_or_null_regs()).
void Walk::mark_null_outcome(State& state, u32 regno, bool is_null) {
  const RegState tested = state.regs()[regno];
  if (tested.ref_obj_id != 0 && tested.ref_obj_id == tested.id && is_null)
    release_reference_id(state, tested.id);
  const auto which = [&](const RegState& reg) {
    if (!reg.type.maybe_null() || reg.id != tested.id) return false;
    if (reg.num.smin != 0 || reg.num.smax != 0) return false;
    // A node in a list or tree stands somewhere inside its object.
    return reg.off == 0 || (reg.type.base == Base::btf_id && (reg.type.flags & tf::alloc) != 0);
  };
  for_each_reg(state, which, [&](RegState& reg) {
    if (is_null) {
      reg.type = Base::scalar;
      reg.id = 0;
      reg.ref_obj_id = 0;
      return;
    }
    mark_not_null(reg);
    if (!may_point_to_lock(reg)) reg.id = 0;
  });
}

// --- linked scalars --------------------------------------------------------------------------------------

/// The live registers and the spills of id `id`, innermost frame first; those that find no room lose their
/// id.
void Walk::collect_linked(State& state, u32 id, LinkedRegs& linked) {
  id &= ~id_add_const;
  const auto is_one = [&](const RegState& reg) { return reg.is_scalar() && reg.base_id() == id; };
  const auto unlink = [](RegState& reg) {
    reg.id = 0;
    reg.off = 0;
  };
  for (u32 f = state.curframe + 1; f-- > 0;) {
    const auto frame = [&]() -> const Frame& {
      return *std::as_const(state).frame[f];
    };  // may become another
    const u32 live_regs = e.program.notes[frame_insn_idx(state, f)].live_regs_before;
    for (u32 i = 0; i < frame_pointer; ++i)
      if ((live_regs >> i & 1) != 0 && is_one(frame().regs[i]) &&
          !linked.push({static_cast<u8>(f), static_cast<u8>(i), true}))
        unlink(state.frame[f]->regs[i]);
    for (u64 left = frame().slots.present(); left != 0; left &= left - 1) {
      const u32 i = static_cast<u32>(std::countr_zero(left));
      const StackSlot& slot = frame().slots[i];
      if (slot.is_spilled() && is_one(slot.spilled) &&
          !linked.push({static_cast<u8>(f), static_cast<u8>(i), false}))
        unlink(state.frame[f]->slots[i].spilled);
    }
  }
}

/// Gives what is known of `known` to the scalars linked to it (kernel: sync_linked_regs()).
void Walk::sync_linked(State& state, const RegState& known_reg, const LinkedRegs& linked) {
  const RegState* const known_at = &known_reg;
  const RegState known = known_reg;
  for (u32 i = 0; i < linked.count; ++i) {
    const LinkedReg& entry = linked.entries[i];
    Frame& frame = *state.frame[entry.frameno];
    RegState& reg = entry.is_reg ? frame.regs[entry.index] : frame.slots[entry.index].spilled;
    if (!reg.is_scalar() || &reg == known_at || reg.base_id() != known.base_id()) continue;
    if (((reg.id ^ known.id) & id_add_const) == id_add_const)
      continue;  // 32- and 64-bit distances do not mix
    if (((reg.id | known.id) & id_add_const) == 0 || reg.off == known.off) {
      reg = known;
    } else {
      const RegState before = reg;
      reg = known;
      reg.off = before.off;
      reg.id = before.id;
      const s64 distance = s64{before.off} - s64{known.off};
      const bool alu32 = ((before.id | known.id) & id_add_const32) != 0;
      const Insn add{.code = static_cast<u8>((alu32 ? op::ALU : op::ALU64) | op::ADD | op::X)};
      alu(add, reg.num, Scalar::constant(static_cast<u64>(distance)));
    }
  }
}

}  // namespace skep::verifier
