// Jumps, calls and tail calls.
#include <cstddef>

#include "base/limits.hpp"
#include "jit/emitter.hpp"

namespace skep::jit {

using isa::Form;
namespace x86 = asmjit::x86;
namespace op = isa::op;

bool Emitter::is_short(u32 at, u32 target) const {
  // Backward targets are bound: asmjit knows the distance. Forward ones are at most as far as the plan says.
  return target > at && plan_.bound[target] - plan_.bound[at] <= 127;
}

void Emitter::jump_to(CondCode condition, u32 at, u32 target) {
  const Label to = label_of(target);
  if (is_short(at, target)) a_.short_();
  a_.j(condition, to);
}

void Emitter::conditional(u32 at, bool wide) {
  const isa::Insn& i = insn(at);
  const Gp dst = reg(i.dst, wide);
  const u8 operation = isa::op_of(i.code);
  const bool by_register = isa::is_reg_source(i.code);
  if (operation == op::JSET) {
    if (by_register)
      a_.test(dst, reg(i.src, wide));
    else if (i.imm >= 0)
      a_.test(r32(i.dst), i.imm);
    else
      a_.test(dst, i.imm);
  } else if (by_register) {
    a_.cmp(dst, reg(i.src, wide));
  } else if (i.imm == 0) {
    a_.test(dst, dst);
  } else {
    a_.cmp(dst, i.imm);
  }
  const auto condition = [operation] {
    switch (operation) {
      case op::JEQ:
        return CondCode::kE;
      case op::JGT:
        return CondCode::kA;
      case op::JGE:
        return CondCode::kAE;
      case op::JLT:
        return CondCode::kB;
      case op::JLE:
        return CondCode::kBE;
      case op::JSGT:
        return CondCode::kG;
      case op::JSGE:
        return CondCode::kGE;
      case op::JSLT:
        return CondCode::kL;
      case op::JSLE:
        return CondCode::kLE;
      default:
        return CondCode::kNE;  // JNE, JSET
    }
  }();
  jump_to(condition, at, program_.target(at));
}

void Emitter::jump(u32 at) {
  const u32 target = program_.target(at);
  if (target == at + 1) return;
  const Label to = label_of(target);
  if (is_short(at, target)) a_.short_();
  a_.jmp(to);
}

void Emitter::may_goto(u32 at) {
  const Mem left = x86::dword_ptr(x86::rbp, -static_cast<s32>(current_->stack_bytes) - 8);
  a_.cmp(left, 0);
  jump_to(CondCode::kE, at, program_.target(at));
  a_.dec(left);
}

/// A direct call where the distance fits 32 bits, else through a register.
void Emitter::call_address(u64 address) {
  const u64 here = base_ + a_.offset() + 5;
  const s64 distance = static_cast<s64>(address - here);
  if (distance == static_cast<s32>(distance)) {
    a_.call(asmjit::Imm(address));
    return;
  }
  a_.mov(scratch(0, true), address);
  a_.call(scratch(0, true));
}

/// R1 to R5 stand where the C calling convention wants the first five arguments; the sixth is the run
/// context.
void Emitter::call_helper(u32 at) {
  a_.mov(x86::r9, run_context());
  call_address(reinterpret_cast<u64>(program_.helper[at]));
}

/// Asks the link table for the program in slot R3 of the array R2 and leaves for it as if it had been called
/// in place of this function. Falls through when the limit is reached or the slot is empty.
void Emitter::tail_call(u32) {
  const Mem count = field(offsetof(RunContext, tail_calls), 4);
  const Label out = a_.newLabel();
  a_.cmp(count, limits::max_tail_calls);
  a_.jae(out);
  a_.push(r64(1));
  a_.sub(x86::rsp, 8);
  a_.mov(x86::rdi, r64(2));
  a_.mov(x86::esi, r32(3));
  call_address(reinterpret_cast<u64>(links_.tail_target));  // an Entry: run in rax, self in rdx
  a_.add(x86::rsp, 8);
  a_.pop(x86::rsi);  // the context
  a_.test(x86::rax, x86::rax);
  a_.jz(out);
  a_.inc(count);
  a_.mov(x86::rdi, x86::rdx);
  a_.mov(x86::rdx, run_context());
  epilogue(*current_, in_main_);
  a_.jmp(x86::rax);
  a_.bind(out);
}
static_assert(sizeof(Entry) == 16 && offsetof(Entry, run) == 0);

}  // namespace skep::jit
