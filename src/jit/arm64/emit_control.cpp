// Jumps, calls and tail calls.
#include <cerrno>
#include <cstring>

#include "base/limits.hpp"
#include "jit/arm64/emitter.hpp"
#include "jit/inlined_body.hpp"

namespace skep::jit::arm64 {

using isa::Form;
namespace a64 = asmjit::a64;
namespace op = isa::op;

namespace {
// Words whose distance is still zero: b.cond and cbz hold 19 bits of it from bit 5 on, b and bl 26 from bit
// 0.
constexpr u32 word_b = 0x14000000, word_bl = 0x94000000, word_b_cond = 0x54000000;
constexpr u32 word_cbz = 0x34000000, cbz_wide = 0x80000000, cbz_inverts = 0x01000000;
constexpr u32 cond_inverts = 1;

/// The distance from the word at `from` to `to`, placed into `word`; false: it does not reach.
bool set_distance(u32& word, s64 from, s64 to, bool conditional) {
  const s64 words = (to - from) / 4;
  const s64 limit = s64{1} << (conditional ? 18 : 25);
  if (words < -limit || words >= limit) return false;
  if (conditional)
    word |= (static_cast<u32>(words) & 0x7ffff) << 5;
  else
    word |= static_cast<u32>(words) & 0x3ffffff;
  return true;
}
/// What `cmp` takes: 12 bits, or 12 bits 12 further up.
bool in_12_bits(u64 value) { return value < 0x1000 || ((value & 0xfff) == 0 && value < 0x1000000); }
/// As the instruction encodes it; asmjit counts from "always".
u32 condition_bits(a64::CondCode condition) { return (static_cast<u32>(condition) - 2) & 0xf; }
}  // namespace

void Emitter::jump_always(u32 at, u32 target) {
  u32 bits = word_b;
  if (target > at)
    forward_.push_back({Forward::always, here(), target});
  else if (!set_distance(bits, here(), out_.insn_offsets[target], false))
    error_ = asmjit::kErrorTooLarge;
  word(bits);
}

void Emitter::jump_to(u32 at, u32 target, u32 bits, u32 inverts) {
  const bool forward = target > at;
  u32 placed = bits;
  if (forward ? !far_jumps_ : set_distance(placed, here(), out_.insn_offsets[target], true)) {
    if (forward) forward_.push_back({Forward::conditional, here(), target});
    word(placed);
    return;
  }
  constexpr u32 over_one = 2 << 5;
  word((bits ^ inverts) | over_one);
  jump_always(at, target);
}

void Emitter::jump_if(CondCode condition, u32 at, u32 target) {
  jump_to(at, target, word_b_cond | condition_bits(condition), cond_inverts);
}

void Emitter::call_function(u32 function) {
  forward_.push_back({Forward::call, here(), function});
  word(word_bl);
}

void Emitter::call_main() {
  forward_.push_back({Forward::main, here(), 0});
  word(word_bl);
}

bool Emitter::patch(const Forward& jump, u32 target) {
  u8* code = holder_.textSection()->buffer().data();
  u32 bits = 0;
  std::memcpy(&bits, code + jump.at, 4);
  if (!set_distance(bits, jump.at, target, jump.kind == Forward::conditional)) return false;
  std::memcpy(code + jump.at, &bits, 4);
  return true;
}

bool Emitter::patch_forward() {
  for (const Forward& jump : forward_) {
    const u32 target = jump.kind == Forward::main   ? out_.entry
                       : jump.kind == Forward::call ? out_.subprogs[jump.target].offset
                                                    : out_.insn_offsets[jump.target];
    if (!patch(jump, target)) return false;
  }
  return true;
}

/// As on x86-64: the body of the function that is called at `at`, its jumps patched here.
void Emitter::inline_function(u32 at) {
  const Function& f = plan_.functions[program_.subprog_at(program_.target(at))];
  inlining_ = &f;
  emit_body(
      f, out_.insn_offsets.data(), forward_, [this] { return here(); }, [this](u32 i) { emit(i); },
      [this](const Forward& jump, u32 target) {
        if (!patch(jump, target)) error_ = asmjit::kErrorTooLarge;
      });
  inlining_ = nullptr;
}

/// Returns; from a body that stands in another function, goes on behind it.
void Emitter::leave(u32 at) {
  if (inlining_ == nullptr) {
    a_.mov(a64::x0, r64(0));
    epilogue(*current_, in_main_);
    a_.ret(a64::x30);
  } else if (at + 1 != inlining_->end) {
    jump_always(at, inlining_->end);
  }
}

bool Emitter::place(u64 base) {
  u8* code = holder_.textSection()->buffer().data();
  for (const Outside& call : outside_) {
    u32 bits = word_bl;
    if (!set_distance(bits, static_cast<s64>(base + call.at), static_cast<s64>(call.address), false))
      return false;
    std::memcpy(code + call.at, &bits, 4);
  }
  return true;
}

/// Compares as the conditional jump at `at` does, by scratch(0) at most; the condition under which it jumps.
Emitter::CondCode Emitter::compare(u32 at) {
  const isa::Insn& i = insn(at);
  const bool wide = isa::info(program_.forms[at]).family == isa::Family::jcond64;
  const Gp dst = reg(i.dst, wide);
  const u8 operation = isa::op_of(i.code);
  const u64 value = wide ? static_cast<u64>(s64{i.imm}) : static_cast<u32>(i.imm);
  const auto constant = [&] {
    move_imm(scratch(0, true), value);
    return scratch(0, wide);
  };
  if (operation == op::JSET) {
    if (isa::is_reg_source(i.code))
      a_.tst(dst, reg(i.src, wide));
    else if (a64::Utils::isLogicalImm(value, wide ? 64 : 32))
      a_.tst(dst, value);
    else
      a_.tst(dst, constant());
  } else if (isa::is_reg_source(i.code)) {
    a_.cmp(dst, reg(i.src, wide));
  } else if (i.imm >= 0 && in_12_bits(value)) {
    a_.cmp(dst, value);
  } else if (i.imm < 0 && in_12_bits(static_cast<u64>(-s64{i.imm}))) {
    a_.cmn(dst, static_cast<u64>(-s64{i.imm}));
  } else {
    a_.cmp(dst, constant());
  }
  switch (operation) {
    case op::JEQ:
      return CondCode::kEQ;
    case op::JGT:
      return CondCode::kHI;
    case op::JGE:
      return CondCode::kHS;
    case op::JLT:
      return CondCode::kLO;
    case op::JLE:
      return CondCode::kLS;
    case op::JSGT:
      return CondCode::kGT;
    case op::JSGE:
      return CondCode::kGE;
    case op::JSLT:
      return CondCode::kLT;
    case op::JSLE:
      return CondCode::kLE;
    default:
      return CondCode::kNE;  // JNE, JSET
  }
}

void Emitter::conditional(u32 at) {
  const isa::Insn& i = insn(at);
  const u8 operation = isa::op_of(i.code);
  const u32 target = program_.target(at);
  if (!isa::is_reg_source(i.code) && i.imm == 0 && (operation == op::JEQ || operation == op::JNE)) {
    const bool wide = isa::info(program_.forms[at]).family == isa::Family::jcond64;
    const u32 bits =
        word_cbz | (wide ? cbz_wide : 0) | (operation == op::JNE ? cbz_inverts : 0) | r64(i.dst).id();
    return jump_to(at, target, bits, cbz_inverts);
  }
  jump_if(compare(at), at, target);
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
    const CondCode taken = compare(at + 1);
    a_.cset(dst, a == 1 ? taken : a64::negateCond(taken));
    return;
  }
  const auto in_register = [&](u64 value, Gp where) {
    if (value == 0) return zero(true);
    move_imm(where, value);
    return where;
  };
  const Gp when_taken = in_register(a, scratch(1, true)), otherwise = in_register(b, scratch(2, true));
  const CondCode taken = compare(at + 1);
  a_.csel(dst, when_taken, otherwise, taken);
}

/// The copies of a loop after its first, and the jump back.
void Emitter::repeat_loop(u32 last) {
  const Node& node = plan_.nodes[last];
  const u32 head = program_.target(last);
  for (u32 copy = 1; copy < node.unroll; ++copy) {
    if (node.steps) one(last - 1);
    if (!node.exact) jump_if(a64::negateCond(compare(last)), last, last + 1);
    for (u32 i = head; i < last; ++i) emit(i);
  }
  if (node.steps) one(last - 1);
}

void Emitter::jump(u32 at) {
  const u32 target = program_.target(at);
  if (target != at + 1) jump_always(at, target);
}

void Emitter::may_goto(u32 at) {
  const Gp left = scratch(0, false);
  const Mem slot = a64::ptr(a64::sp, static_cast<s32>(frame_bytes_ - current_->stack_bytes) - 8);
  a_.ldr(left, slot);
  jump_to(at, program_.target(at), word_cbz | left.id(), cbz_inverts);
  a_.sub(left, left, 1);
  a_.str(left, slot);
}

/// A call whose distance place() fills in, or, where helpers are out of reach, through a register.
void Emitter::call_address(u64 address) {
  if (far_calls_) {
    move_imm(a64::x16, address);
    a_.blr(a64::x16);
    return;
  }
  outside_.push_back({here(), address});
  word(word_bl);
}

/// R1 to R5 stand where the C calling convention wants the first five arguments; the sixth is the run
/// context.
void Emitter::call_helper(u32 at) {
  a_.mov(a64::x5, run_context());
  call_address(reinterpret_cast<u64>(program_.helper(at)));
  a_.mov(r64(0), a64::x0);
}

void Emitter::call_local(u32 at) {
  call_function(program_.subprog_at(program_.target(at)));
  a_.mov(r64(0), a64::x0);
}

/// Leaves for the program in slot R3 of the program array R2 as if that had been called in place of this
/// function; falls through when the limit is reached or the slot is empty. Where array and index are known,
/// the slot's address is part of the code. The entry is read through the slot's value, which orders the two.
void Emitter::tail_call(u32 at) {
  const Mem count = field(offsetof(RunContext, tail_calls));
  const Gp entry = a64::x16, slot = scratch(0, true), calls = scratch(1, false), size = scratch(2, true);
  const auto known = known_tail_call(program_, plan_, at);
  const Label out = a_.newLabel();
  if (known && known->index >= known->count) return;
  if (!known) {
    a_.mov(slot.w(), r32(3));  // the index has 32 bits
    a_.ldr(size, a64::ptr(r64(2), maps::prog_array_count_offset));
    a_.cmp(slot, size);
    a_.b_hs(out);
  }
  a_.ldr(calls, count);
  a_.cmp(calls, limits::max_tail_calls);
  a_.b_hs(out);
  if (known) {
    move_imm(slot, known->slot());
    a_.ldr(entry, a64::ptr(slot));
  } else {
    a_.add(slot, r64(2), slot, a64::lsl(3));
    a_.ldr(entry, a64::ptr(slot, maps::prog_array_slots_offset));
  }
  a_.cbz(entry, out);
  a_.add(calls, calls, 1);
  a_.str(calls, count);
  a_.mov(a64::x2, run_context());
  a_.mov(a64::x1, r64(1));
  a_.ldr(a64::x0, a64::ptr(entry, offsetof(Entry, self)));
  a_.ldr(entry, a64::ptr(entry, offsetof(Entry, run)));
  epilogue(*current_, in_main_);
  a_.br(entry);
  a_.bind(out);
}

}  // namespace skep::jit::arm64
