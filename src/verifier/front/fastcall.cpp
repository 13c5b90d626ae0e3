// Spills and fills that clang puts round calls of "fastcall" helpers, which clobber only the registers they
// use: found here by their shape, removed by the fixups if the walk finds no other use of their stack slots
// (kernel: mark_fastcall_patterns()).
#include <algorithm>

#include "verifier/front/insns.hpp"
#include "verifier/front/program.hpp"

namespace skep::verifier {
namespace {

constexpr u32 frame_register = 10;
constexpr u32 caller_saved_count = 6;
constexpr u32 helper_get_smp_processor_id = 8;

/// Helpers whose calls the fixups replace by code that keeps to the fastcall contract.
constexpr bool is_inlined(u32 helper) { return helper == helper_get_smp_processor_id; }

u32 clobbered_registers(const helpers::Contract& contract) {
  u32 mask = contract.ret == helpers::Ret::void_ ? 0 : 1;
  for (u32 i = 0; i < contract.args.size(); ++i) {
    if (contract.args[i].kind != helpers::Arg::none) mask |= 2u << i;
  }
  return mask;
}

bool is_spill(const isa::Insn& i) {
  return i.code == (isa::op::STX | isa::op::MEM | isa::op::DW) && i.dst == frame_register;
}
bool is_fill(const isa::Insn& i) {
  return i.code == (isa::op::LDX | isa::op::MEM | isa::op::DW) && i.src == frame_register;
}

void mark_call(const helpers::Contract& contract, Program& program, SubprogNotes& subprog, u32 call,
               s32 lowest) {
  u32 expected = ~clobbered_registers(contract) & ((1u << caller_saved_count) - 1);
  if (expected == 0) return;
  s32 off = lowest;
  u32 pairs = 0;
  // Outwards from the call: spill before, fill after, of the same register at the next offset.
  for (u32 i = 1; i <= caller_saved_count; ++i, off += 8) {
    if (call < i || call + i >= program.insns.size()) break;
    // The pattern runs as a unit: nothing jumps into it, except to its first spill.
    if (program.notes[call - i + 1].jump_target || program.notes[call + i].jump_target) break;
    const isa::Insn& spill = program.insns[call - i];
    const isa::Insn& fill = program.insns[call + i];
    if (!is_spill(spill) || !is_fill(fill) || spill.src != fill.dst) break;
    if ((expected & (1u << spill.src)) == 0 || spill.off != off || fill.off != off) break;
    expected &= ~(1u << spill.src);
    program.notes[call - i].fastcall_pattern = true;
    program.notes[call + i].fastcall_pattern = true;
    pairs = i;
  }
  if (pairs == 0) return;
  if (contract.fastcall && is_inlined(contract.id)) {
    program.notes[call].fastcall_spills = static_cast<u8>(pairs);
  } else {
    subprog.keep_fastcall_stack = true;
  }
  subprog.fastcall_stack_off = static_cast<s16>(std::min<s32>(subprog.fastcall_stack_off, off));
}

}  // namespace

void mark_fastcall_patterns(const Input& input, Program& program) {
  if (input.helper == nullptr) return;
  for (u32 s = 0; s < program.subprog_count(); ++s) {
    SubprogNotes& subprog = program.subprogs[s];
    const u32 end = program.subprogs[s + 1].start;
    s32 lowest = 0;
    for (u32 i = subprog.start; i < end; ++i) {
      if (is_spill(program.insns[i])) lowest = std::min<s32>(lowest, program.insns[i].off);
    }
    for (u32 i = subprog.start; i < end; ++i) {
      if (!is_helper_call(program.insns[i])) continue;
      const helpers::Contract* contract =
          input.helper(input.type, input.expected_attach_type, static_cast<u32>(program.insns[i].imm));
      if (contract != nullptr) mark_call(*contract, program, subprog, i, lowest);
    }
  }
}

}  // namespace skep::verifier
