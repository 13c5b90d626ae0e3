// What kind of instruction is this: predicates the front phases share. They look at the opcode and, where
// that selects the meaning, at src; reserved fields may still be set.
#pragma once
#include "isa/insn.hpp"
#include "kernel/uapi.hpp"

namespace skep::verifier {

/// enum bpf_func_id of the helpers that control flow depends on.
inline constexpr s32 helper_tail_call = 12, helper_for_each_map_elem = 164, helper_timer_set_callback = 170,
                     helper_find_vma = 180, helper_loop = 181, helper_user_ringbuf_drain = 209;

constexpr bool is_jump_class(const isa::Insn& i) {
  return isa::class_of(i.code) == isa::op::JMP || isa::class_of(i.code) == isa::op::JMP32;
}
constexpr bool is_call(const isa::Insn& i) { return i.code == (isa::op::JMP | isa::op::CALL); }
constexpr bool is_helper_call(const isa::Insn& i) { return is_call(i) && i.src == 0; }
constexpr bool is_local_call(const isa::Insn& i) { return is_call(i) && i.src == uapi::PSEUDO_CALL; }
constexpr bool is_kfunc_call(const isa::Insn& i) { return is_call(i) && i.src == uapi::PSEUDO_KFUNC_CALL; }
constexpr bool is_exit(const isa::Insn& i) { return i.code == (isa::op::JMP | isa::op::EXIT); }
/// ld_imm64 of a function's address (a callback).
constexpr bool is_func_reference(const isa::Insn& i) {
  return isa::is_ld_imm64(i) && i.src == uapi::PSEUDO_FUNC;
}
constexpr bool is_ld_abs(const isa::Insn& i) {
  return isa::class_of(i.code) == isa::op::LD &&
         (isa::mode_of(i.code) == isa::op::ABS || isa::mode_of(i.code) == isa::op::IND);
}
/// `goto` in both widths, as the kernel matches it: source bit clear.
constexpr bool is_unconditional_jump(const isa::Insn& i) {
  return i.code == (isa::op::JMP | isa::op::JA) || i.code == (isa::op::JMP32 | isa::op::JA);
}
/// Anything of the jump classes with a target: neither call nor exit.
constexpr bool is_jump(const isa::Insn& i) {
  const u8 op = isa::op_of(i.code);
  return is_jump_class(i) && op != isa::op::CALL && op != isa::op::EXIT;
}
constexpr bool is_may_goto(const isa::Insn& i) {
  return i.code == (isa::op::JMP | isa::op::JCOND) && i.src == 0;
}
/// Distance to the target from the next instruction, for is_jump().
constexpr s32 jump_offset(const isa::Insn& i) {
  return i.code == (isa::op::JMP32 | isa::op::JA) ? i.imm : i.off;
}
constexpr u32 slots(const isa::Insn& i) { return isa::is_ld_imm64(i) ? 2 : 1; }

constexpr bool calls_sync_callback(const isa::Insn& i) {
  return is_helper_call(i) && (i.imm == helper_for_each_map_elem || i.imm == helper_find_vma ||
                               i.imm == helper_loop || i.imm == helper_user_ringbuf_drain);
}
constexpr bool calls_async_callback(const isa::Insn& i) {
  return is_helper_call(i) && i.imm == helper_timer_set_callback;
}

}  // namespace skep::verifier
