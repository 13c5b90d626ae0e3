// One instruction back: where did the registers and slots that are asked for come from (kernel:
// backtrack_insn(), bt_sync_linked_regs()).
#include "verifier/call/helper_ids.hpp"
#include "verifier/walk/walk.hpp"

namespace skep::verifier {

using namespace isa;

namespace {

constexpr u32 argument_regs = 0x3e;

bool is_atomic_fetch(const Insn& insn) {
  return class_of(insn.code) == op::STX && mode_of(insn.code) == op::ATOMIC &&
         ((insn.imm & op::FETCH) != 0 || insn.imm == op::LOAD_ACQ);
}
bool is_subprog_call(const Insn& insn) {
  return insn.code == (op::JMP | op::CALL) && insn.src == uapi::PSEUDO_CALL;
}

/// As backtrack_insn() treats it with no history entry.
u32 concerned_by(const Insn& insn) {
  const u8 operation = op_of(insn.code);
  const u32 dst = 1u << insn.dst;
  switch (class_of(insn.code)) {
    case op::ALU:
    case op::ALU64:
      return operation == op::END || operation == op::NEG ? 0 : dst;
    case op::LDX:
    case op::ST:
      return dst;
    case op::STX:
      if (!is_atomic_fetch(insn) || insn.imm == op::LOAD_ACQ) return dst;
      return insn.imm == op::CMPXCHG ? 1u : 1u << insn.src;
    case op::JMP:
    case op::JMP32:
      if (operation == op::CALL || operation == op::EXIT) return always_concerned;
      return is_reg_source(insn.code) ? dst | 1u << insn.src : 0;
    default:  // LD
      return mode_of(insn.code) == op::IMM ? dst : always_concerned;
  }
}

}  // namespace

std::vector<u32> concerned_regs(std::span<const Insn> insns) {
  std::vector<u32> masks;
  masks.reserve(insns.size());
  for (const Insn& insn : insns) masks.push_back(insn.code == 0 ? 0 : concerned_by(insn));
  return masks;
}

/// If one of a group of linked registers is asked for, all are.
void Walk::backtrack_linked(const JumpEntry* entry) {
  if (entry == nullptr || entry->linked_regs == 0) return;
  const LinkedRegs linked = LinkedRegs::unpack(entry->linked_regs);
  bool some = false;
  for (u32 i = 0; i < linked.count; ++i) {
    const LinkedReg& r = linked.entries[i];
    some = some || (r.is_reg ? bt.has_reg(r.frameno, r.index) : bt.has_slot(r.frameno, r.index));
  }
  if (!some) return;
  for (u32 i = 0; i < linked.count; ++i) {
    const LinkedReg& r = linked.entries[i];
    if (r.is_reg) {
      bt.set_reg(r.frameno, r.index);
    } else {
      bt.set_slot(r.frameno, r.index);
    }
  }
}

void Walk::backtrack_alu(const Insn& insn) {
  const u32 dst = insn.dst, src = insn.src;
  const u8 operation = op_of(insn.code);
  if (!bt.has_reg(dst) || operation == op::END || operation == op::NEG) return;
  if (operation == op::MOV) bt.clear_reg(dst);
  if (is_reg_source(insn.code) && src != frame_pointer) bt.set_reg(src);
}

int Walk::backtrack_memory(const Insn& insn, const JumpEntry* entry) {
  const bool stack = entry != nullptr && (entry->flags & hist::stack_access) != 0;
  const u32 spi = stack ? entry->flags >> hist::spi_shift & hist::spi_mask : 0;
  const u32 frame = stack ? entry->flags & hist::frame_mask : 0;
  if (class_of(insn.code) == op::LDX || is_atomic_fetch(insn)) {
    u32 loaded = insn.dst;
    if (class_of(insn.code) == op::STX && insn.imm != op::LOAD_ACQ)
      loaded = insn.imm == op::CMPXCHG ? 0 : u32{insn.src};
    if (!bt.has_reg(loaded)) return 0;
    bt.clear_reg(loaded);
    if (stack) bt.set_slot(frame, spi);
    return 0;
  }
  if (bt.has_reg(insn.dst)) return kENOTSUPP;  // stored through a difference of pointers
  if (!stack || !bt.has_slot(frame, spi)) return 0;
  bt.clear_slot(frame, spi);
  if (class_of(insn.code) == op::STX) bt.set_reg(insn.src);
  return 0;
}

/// `subseq_idx`: the instruction that came next on the path. 0, ENOTSUPP (give up, mark all), or EFAULT.
int Walk::backtrack_call(s32 idx, s32 subseq_idx) {
  const Insn& insn = insns[static_cast<u32>(idx)];
  if (is_subprog_call(insn)) {
    const s32 subprog = e.program.find_subprog(static_cast<u32>(idx + insn.imm + 1));
    if (subprog < 0) return EFAULT;
    if (is_global(static_cast<u32>(subprog))) {
      if ((bt.regs[bt.frame] & argument_regs) != 0) return EFAULT;
      bt.clear_reg(0);
      return 0;
    }
    // Into the caller: only arguments may still be asked for.
    if ((bt.regs[bt.frame] & ~argument_regs) != 0 || bt.slots[bt.frame] != 0 || bt.frame == 0) return EFAULT;
    for (u32 i = 1; i <= 5; ++i) {
      if (!bt.has_reg(i)) continue;
      bt.clear_reg(i);
      bt.set_reg(bt.frame - 1, i);
    }
    --bt.frame;
    return 0;
  }
  if (e.program.notes[static_cast<u32>(idx)].calls_callback &&
      idx != subseq_idx - 1) {  // out of the callback
    if ((bt.regs[bt.frame] & ~argument_regs) != 0 || bt.slots[bt.frame] != 0 || bt.frame == 0) return EFAULT;
    bt.regs[bt.frame] = 0;
    --bt.frame;
    return 0;
  }
  if (insn.src == uapi::PSEUDO_KFUNC_CALL && insn.imm == 0) return kENOTSUPP;  // refused later
  bt.clear_reg(0);
  return (bt.regs[bt.frame] & argument_regs) != 0 ? EFAULT : 0;
}

int Walk::backtrack_exit(s32 subseq_idx) {
  const bool from_call = subseq_idx >= 1 && is_subprog_call(insns[static_cast<u32>(subseq_idx) - 1]);
  const bool result_asked = from_call && bt.has_reg(0);
  // The arguments of a function that calls back were what they are before it called.
  if (subseq_idx >= 0 && e.program.notes[static_cast<u32>(subseq_idx)].calls_callback)
    bt.regs[bt.frame] &= ~argument_regs;
  if (from_call && (bt.regs[bt.frame] & argument_regs) != 0) return EFAULT;
  bt.clear_reg(0);
  if (bt.frame + 1 >= limits::max_call_frames) return EFAULT;
  ++bt.frame;
  if (result_asked) bt.set_reg(0);
  return 0;
}

int Walk::backtrack_insn(s32 idx, s32 subseq_idx, const JumpEntry* entry) {
  const Insn& insn = insns[static_cast<u32>(idx)];
  if (insn.code == 0) return 0;  // second half of ld_imm64
  if (e.log.level2()) {
    e.log.write(fmt::format("mark_precise: frame{}: regs={} stack={} before ", bt.frame,
                            reg_mask_text(bt.regs[bt.frame]), slot_mask_text(bt.slots[bt.frame])));
    print_insn_text(static_cast<u32>(idx));
  }
  backtrack_linked(entry);
  const u8 operation = op_of(insn.code);
  int result = 0;
  switch (class_of(insn.code)) {
    case op::ALU:
    case op::ALU64:
      backtrack_alu(insn);
      break;
    case op::LDX:
    case op::ST:
    case op::STX:
      result = backtrack_memory(insn, entry);
      break;
    case op::JMP:
    case op::JMP32:
      if (operation == op::CALL) return backtrack_call_or_tail(idx, subseq_idx);
      if (operation == op::EXIT) return backtrack_exit(subseq_idx);
      if (!is_reg_source(insn.code) || (!bt.has_reg(insn.dst) && !bt.has_reg(insn.src))) break;
      if (entry == nullptr || (entry->flags & hist::src_reg_stack) == 0) bt.set_reg(insn.src);
      if (entry == nullptr || (entry->flags & hist::dst_reg_stack) == 0) bt.set_reg(insn.dst);
      break;
    default:  // LD
      if (mode_of(insn.code) == op::IMM) {
        bt.clear_reg(insn.dst);
      } else if (bt.has_reg(insn.dst)) {
        return kENOTSUPP;
      } else if (subseq_idx != idx + 1) {  // it returned from the subprogram
        if (bt.frame + 1 >= limits::max_call_frames) return EFAULT;
        ++bt.frame;
      }
      return 0;
  }
  if (result == 0) backtrack_linked(entry);
  return result;
}

/// A tail call in a subprogram that succeeds is where that subprogram ended.
int Walk::backtrack_call_or_tail(s32 idx, s32 subseq_idx) {
  const Insn& insn = insns[static_cast<u32>(idx)];
  if (insn.src == 0 && insn.imm == fn_id::tail_call && subseq_idx != idx + 1 && subseq_idx >= 0) {
    const bool from_call = subseq_idx >= 1 && is_subprog_call(insns[static_cast<u32>(subseq_idx) - 1]);
    if (from_call && (bt.regs[bt.frame] & argument_regs) != 0) return EFAULT;
    bt.clear_reg(0);
    if (bt.frame + 1 >= limits::max_call_frames) return EFAULT;
    ++bt.frame;
    return 0;
  }
  return backtrack_call(idx, subseq_idx);
}

}  // namespace skep::verifier
