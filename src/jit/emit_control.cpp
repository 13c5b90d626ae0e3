// Jumps, calls and tail calls.
#include <cstddef>
#include <cstring>

#include "base/limits.hpp"
#include "jit/emitter.hpp"
#include "jit/inlined_body.hpp"
#include "jit/registers.hpp"

namespace skep::jit {

using isa::Form;
namespace op = isa::op;

bool Emitter::is_short(u32 at, u32 target) const {
  if (target <= at) return here() + 2 - out_.insn_offsets[target] <= 128;
  // Forward targets are at most as far as the plan says.
  return plan_.bound[target] - plan_.bound[at] <= 127;
}

/// Jumps are so many that they have no Label: patch_forward() fills them in. `short_code`: of the form with
/// 8 bits of displacement.
void Emitter::emit_jump(u8 short_code, u32 at, u32 target) {
  const bool is_short = this->is_short(at, target), forward = target > at;
  const bool always = short_code == 0xeb;
  if (forward) {
    if (is_short)
      a_.bytes(short_code, 2);
    else if (always)
      a_.bytes(0xe9, 5);
    else
      a_.bytes(0x0fu | (short_code + 0x10u) << 8, 6);
    forward_.push_back({is_short ? Forward::short_jump : Forward::near_jump, here(), target});
    return;
  }
  const u32 to = out_.insn_offsets[target];
  if (is_short)
    a_.bytes(short_code | u64{static_cast<u8>(to - here() - 2)} << 8, 2);
  else if (always)
    a_.bytes(0xe9 | u64{to - here() - 5} << 8, 5);
  else
    a_.bytes(0x0fu | (short_code + 0x10u) << 8 | u64{to - here() - 6} << 16, 6);
}

void Emitter::emit_call(u32 function) {
  a_.bytes(0xe8, 5);
  forward_.push_back({Forward::call, here(), function});
}

/// The body of the function that is called at `at`, its jumps patched here: elsewhere its instructions are
/// where they stand by themselves.
void Emitter::inline_function(u32 at) {
  const Function& f = plan_.functions[program_.subprog_at(program_.target(at))];
  inlining_ = &f;
  emit_body(
      f, out_.insn_offsets.data(), forward_, [this] { return here(); }, [this](u32 i) { emit(i); },
      [this](const Forward& jump, u32 target) { patch(jump, target); });
  inlining_ = nullptr;
}

/// Returns; from a body that stands in another function, goes on behind it.
void Emitter::leave(u32 at) {
  if (inlining_ == nullptr) {
    epilogue(*current_, in_main_);
    a_.ret();
  } else if (at + 1 != inlining_->end) {
    emit_jump(0xeb, at, inlining_->end);
  }
}

void Emitter::jump_to(Cond condition, u32 at, u32 target) {
  constexpr u8 jcc_short = 0x70;
  emit_jump(static_cast<u8>(jcc_short | static_cast<u8>(condition)), at, target);
}

/// Compares as the conditional jump at `at` does; the condition under which it jumps.
Emitter::Cond Emitter::compare(u32 at) {
  const isa::Insn& i = insn(at);
  const bool wide = family_of(program_.forms[at]) == isa::Family::jcond64;
  const Gp dst = reg(i.dst, wide);
  const u8 operation = isa::op_of(i.code);
  const bool by_register = isa::is_reg_source(i.code);
  if (options_.harden && !by_register) {
    blinded(scratch(0, wide), i.imm);
    if (operation == op::JSET)
      a_.test(dst, scratch(0, wide));
    else
      a_.cmp(dst, scratch(0, wide));
  } else if (operation == op::JSET) {
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
  switch (operation) {
    case op::JEQ:
      return Cond::e;
    case op::JGT:
      return Cond::a;
    case op::JGE:
      return Cond::ae;
    case op::JLT:
      return Cond::b;
    case op::JLE:
      return Cond::be;
    case op::JSGT:
      return Cond::g;
    case op::JSGE:
      return Cond::ge;
    case op::JSLT:
      return Cond::l;
    case op::JSLE:
      return Cond::le;
    default:
      return Cond::ne;  // JNE, JSET
  }
}

/// Where the jump at `at` goes: threaded through other jumps, but for code that stays one to one.
u32 Emitter::goes_to(u32 at) const {
  return options_.combine && !copying_ ? destination(program_, plan_, at) : program_.target(at);
}

void Emitter::conditional(u32 at) {
  const Cond condition = compare(at);
  jump_to(condition, at, goes_to(at));
}

/// `dst = a; if condition goto over; dst = b; over:`, the jump one instruction on.
void Emitter::select(u32 at) {
  const auto value_of = [&](u32 move) {
    const s32 imm = insn(move).imm;
    return program_.forms[move] == Form::MOV64_K ? static_cast<u64>(s64{imm}) : u64{static_cast<u32>(imm)};
  };
  const u64 a = value_of(at), b = value_of(at + 2);
  const Gp dst = r64(insn(at).dst);
  if ((a == 1 && b == 0) || (a == 0 && b == 1)) {
    a_.xor_(dst.r32(), dst.r32());
    const Cond taken = compare(at + 1);
    a_.set(a == 1 ? taken : x86::negate(taken), dst);
    return;
  }
  move_imm(dst, a);
  move_imm(scratch(0, true), b);
  a_.cmov(x86::negate(compare(at + 1)), dst, scratch(0, true));
}

/// The copies of a loop after its first, and the jump back.
void Emitter::repeat_loop(u32 last) {
  const Node& node = plan_.nodes[last];
  const u32 head = program_.target(last);
  const Detail step = node.steps ? plan_.details[last] : Detail{};
  if (node.steps) stepped_ = step.other;
  copying_ = true;  // distances that is_short() knows are the first copy's
  for (u32 copy = 1; copy < node.unroll; ++copy) {
    if (!node.exact) jump_to(x86::negate(compare(last)), last, last + 1);
    stepped_by_ = static_cast<s32>(copy) * step.operand;
    for (u32 i = head; i < last; ++i) emit(i);
  }
  copying_ = false;
  stepped_ = no_register;
  if (node.steps) a_.add(r64(step.other), node.unroll * step.operand);
}

void Emitter::jump(u32 at) {
  const u32 target = goes_to(at);
  if (target == at + 1) return;
  emit_jump(0xeb, at, target);
}

void Emitter::may_goto(u32 at) {
  const Mem left = x86::dword_ptr(x86::rbp, -static_cast<s32>(current_->stack_bytes) - 8);
  a_.cmp(left, 0);
  jump_to(Cond::e, at, program_.target(at));
  a_.dec(left);
}

/// A call whose distance place() fills in, or, where helpers are out of reach, through a register.
void Emitter::call_address(u64 address) {
  if (far_calls_) {
    a_.mov(scratch(0, true), address);
    if (options_.harden) {
      Label thunk, call;
      a_.short_jmp(call);
      a_.bind(thunk);
      retpoline();
      a_.bind(call);
      a_.call(thunk);
    } else {
      a_.call(scratch(0, true));
    }
    return;
  }
  a_.bytes(0xe8, 5);
  outside_.push_back({here(), address});
}

/// Jumps to where scratch(0) points by a return that the processor predicts to go nowhere.
void Emitter::retpoline() {
  Label capture, there;
  a_.call(there);
  a_.bind(capture);
  a_.pause();
  a_.lfence();
  a_.short_jmp(capture);
  a_.bind(there);
  a_.mov(x86::qword_ptr(x86::rsp), scratch(0, true));
  a_.ret();
}

void Emitter::jump_through(Mem target) {
  if (!options_.harden) {
    a_.jmp(target);
    return;
  }
  a_.mov(scratch(0, true), target);
  retpoline();
}

bool Emitter::place(u64 base) {
  u8* code = a_.data();
  for (const Outside& call : outside_) {
    const s64 distance = static_cast<s64>(call.address - (base + call.end));
    const s32 near = static_cast<s32>(distance);
    if (near != distance) return false;
    std::memcpy(code + call.end - 4, &near, 4);
  }
  return true;
}

/// R1 to R5 stand where the C calling convention wants the first five arguments; the sixth is the run
/// context.
void Emitter::call_helper(u32 at) {
  if (inline_helper(at) || inline_map_call(at)) return;
  call_with_context(reinterpret_cast<u64>(program_.helper(at)));
}
void Emitter::call_with_context(u64 address) {
  a_.mov(x86::r9, run_context());
  call_address(address);
}

/// Leaves for the program in slot R3 of the program array R2 as if that had been called in place of this
/// function; falls through when the limit is reached or the slot is empty. Where array and index are known,
/// the slot's address is part of the code.
void Emitter::tail_call(u32 at) {
  const Mem count = field(offsetof(RunContext, tail_calls), 4);
  const auto known = known_tail_call(program_, plan_, at);
  if (known && known->index >= known->count) return;
  if (known && in_main_ && program_.watches_slots && options_.pool != nullptr && options_.combine &&
      !options_.harden)
    return direct_tail_call(*known);
  Label out;
  if (known) {
    a_.cmp(count, limits::max_tail_calls);
    a_.j(Cond::ae, out);
    a_.mov(x86::rax, known->slot());
    a_.mov(x86::rax, x86::qword_ptr(x86::rax));
  } else {
    a_.mov(x86::eax, r32(3));  // the index has 32 bits
    a_.cmp(x86::rax, x86::qword_ptr(r64(2), maps::prog_array_count_offset));
    a_.j(Cond::ae, out);
    a_.cmp(count, limits::max_tail_calls);
    a_.j(Cond::ae, out);
    a_.mov(x86::rax, x86::qword_ptr(r64(2), x86::rax, 3, maps::prog_array_slots_offset));
  }
  a_.test(x86::rax, x86::rax);
  a_.j(Cond::e, out);
  a_.inc(count);
  enter_program();
  a_.bind(out);
}

/// Leaves for the program whose Entry is at rax.
void Emitter::enter_program() {
  a_.mov(x86::rdx, run_context());
  a_.mov(x86::rsi, r64(1));
  a_.mov(x86::rdi, x86::qword_ptr(x86::rax, offsetof(Entry, self)));
  epilogue(*current_, in_main_);
  jump_through(x86::qword_ptr(x86::rax, offsetof(Entry, run)));
}
static_assert(sizeof(Entry) == 16 && offsetof(Entry, run) == 0);

/// What follows is a jump whose distance begins at a multiple of four, so that it can be replaced in one
/// piece.
void Emitter::align_distance() {
  while ((here() + 1) % 4 != 0) a_.bytes(0x90, 1);
}

/// A jump to the program in the slot, directed there when the slot changes (tail_sites.hpp).
void Emitter::direct_tail_call(const KnownTailCall& known) {
  const Mem count = field(offsetof(RunContext, tail_calls), 4);
  ColdTailCall cold{{}, known.slot(), out_.tail_sites.size()};
  a_.cmp(count, limits::max_tail_calls);
  a_.j(Cond::ae, cold.out);
  a_.inc(count);
  align_distance();
  a_.bytes(0xe9, 5);
  out_.tail_sites.push_back({.map = known.map, .index = known.index, .jump = here() - 4});
  a_.bind(cold.out);
  cold_tail_calls_.push_back(cold);
}

void Emitter::emit_cold_tail_calls() {
  const Mem count = field(offsetof(RunContext, tail_calls), 4);
  for (ColdTailCall& cold : cold_tail_calls_) {
    TailSite& site = out_.tail_sites[cold.site];
    a_.reserve(2 * around_a_function);
    site.leave = here();
    a_.mov(x86::rdx, run_context());
    a_.mov(x86::rsi, r64(1));
    epilogue(*current_, in_main_);
    align_distance();
    a_.bytes(0xe9, 5);
    site.enter = here() - 4;

    site.through_slot = here();
    const u32 distance = site.through_slot - (site.jump + 4);
    std::memcpy(a_.data() + site.jump, &distance, sizeof distance);
    Label empty;
    a_.mov(x86::rax, cold.slot);
    a_.mov(x86::rax, x86::qword_ptr(x86::rax));
    a_.test(x86::rax, x86::rax);
    a_.j(Cond::e, empty);
    enter_program();
    a_.bind(empty);
    a_.dec(count);
    a_.jmp(cold.out);
  }
  cold_tail_calls_.clear();
}

}  // namespace skep::jit
