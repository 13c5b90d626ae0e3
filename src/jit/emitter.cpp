// Functions: prologues, epilogues, callback thunks, and the walk over the instructions. The switch in one()
// has no default: a form of the table without code does not compile (-Werror=switch).
#include "jit/emitter.hpp"

#include <sys/random.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "helpers/burst.hpp"

namespace skep::jit {

using isa::Family;
using isa::Form;

Emitter::Emitter(const vm::Checked& program, const Plan& plan, const Options& options,
                 std::span<const Callback> callbacks, bool far_calls, Buffer<u8>& code)
    : program_(program),
      plan_(plan),
      options_(options),
      callbacks_(callbacks),
      far_calls_(far_calls),
      a_(code) {
  if (options.harden) unseeded_ = getrandom(&blind_, sizeof blind_, 0) != sizeof blind_;
  a_.reserve(plan.bound.back() + around_a_program + around_a_function * plan.functions.size());
  out_.insn_offsets.resize(program.insns.size());
  out_.callback_offsets.resize(program.entries.size());
  forward_.reserve(program.jumps.size() + 8);
}

void Emitter::patch(const Forward& jump, u32 target) {
  u8* code = a_.data();
  const s32 distance = static_cast<s32>(target - jump.end);
  if (jump.kind == Forward::short_jump) {
    SKEP_ASSERT(distance == static_cast<s8>(distance));
    code[jump.end - 1] = static_cast<u8>(distance);
  } else {
    std::memcpy(code + jump.end - 4, &distance, 4);
  }
}

void Emitter::patch_forward() {
  for (const Forward& jump : forward_)
    patch(jump, jump.kind == Forward::main   ? out_.entry
                : jump.kind == Forward::call ? out_.subprogs[jump.target].offset
                                             : out_.insn_offsets[jump.target]);
}

Result<Emitted> Emitter::run() {
  if (unseeded_) return fail(EAGAIN, "no random numbers to blind constants with");
  for (u32 f = 0; f < plan_.functions.size(); ++f) function(f);
  a_.reserve(around_a_program + around_a_function * plan_.functions.size());
  for (u32 f = 0; f < plan_.functions.size(); ++f)
    if (plan_.functions[f].is_callback) thunk(f);
  if (options_.burst) burst();
  patch_forward();
  return std::move(out_);
}

void Emitter::function(u32 index) {
  const Function& f = plan_.functions[index];
  current_ = &f;
  in_main_ = index == 0;
  const u32 start = here();
  a_.reserve(around_a_function);
  prologue(f, in_main_);
  const Node* const nodes = plan_.nodes.data();
  const u32* const bound = plan_.bound.data();
  u32* const offsets = out_.insn_offsets.data();
  for (u32 i = f.first; i < f.end; ++i) {
    a_.reserve(bound[i + 1] - bound[i] + loop_alignment);
    const Node node = nodes[i];
    if (node.aligned) a_.align(loop_alignment);
    offsets[i] = here();
    if (node.unroll > 1) repeat_loop(i);
    if (node.shape == Shape::plain)
      one(i);
    else if (node.shape != Shape::absorbed)
      shaped(i);
  }
  emit_cold_lookups();
  emit_wide_divisions();
  emit_cold_tail_calls();
  out_.subprogs.push_back({f.first, start, here() - start});
}

namespace {
/// Callee-saved registers of the C calling convention that a function pushes, in order.
struct SavedRegisters {
  u8 list[6];
  u32 count = 0;
  SavedRegisters(const Function& f, bool is_main, bool needs_run_context) {
    const auto add = [&](x86::Gp reg) { list[count++] = static_cast<u8>(reg.id()); };
    if (f.uses_frame) add(x86::rbp);
    const x86::Gp callee_saved[] = {x86::rbx, x86::r13, x86::r14, x86::r15};
    for (u32 i = 0; i < 4; ++i)
      if ((f.saved >> (6 + i) & 1) != 0) add(callee_saved[i]);
    if (is_main && needs_run_context) add(x86::r12);
  }
};

/// Bytes below the pushes. A leaf may use the 128 bytes below the stack pointer without moving it.
u32 frame_of(const Function& f, u32 pushes) {
  constexpr u32 red_zone = 128, may_goto_slot = 8;
  const u32 bytes = f.stack_bytes + (f.has_may_goto ? may_goto_slot : 0);
  if (!f.makes_calls) return bytes <= red_zone ? 0 : bytes;
  const u32 above = 8 + 8 * pushes;  // return address and pushes: keep 16-byte alignment at calls
  return ((bytes + above + 15) & ~u32{15}) - above;
}
}  // namespace

/// The main program is called as run(self, ctx, rc); subprograms find R1 to R5 and r12 in place.
void Emitter::prologue(const Function& f, bool is_main) {
  if (is_main) {
    out_.entry = here();
    if (program_.has_tail_call) a_.mov(x86::dword_ptr(x86::rdx, offsetof(RunContext, tail_calls)), 0);
    out_.tail_entry = here();
  }
  const SavedRegisters saved(f, is_main, plan_.needs_run_context);
  for (u32 i = 0; i < saved.count; ++i) a_.push(x86::gpq(saved.list[i]));
  if (f.uses_frame) a_.mov(x86::rbp, x86::rsp);
  const u32 frame = frame_of(f, saved.count);
  if (frame != 0) a_.sub(x86::rsp, static_cast<s32>(frame));
  if (is_main) {
    if (plan_.needs_run_context) a_.mov(run_context(), x86::rdx);
    a_.mov(r64(1), x86::rsi);
    out_.body = here();
    constexpr u32 comparable = 1 << 8;
    if (plan_.needs_run_context)
      out_.frame = frame << 9 | comparable | (f.saved >> 6 & 0xfu) << 1 | f.uses_frame;
  }
  if (f.has_may_goto)
    a_.mov(x86::dword_ptr(x86::rbp, -static_cast<s32>(f.stack_bytes) - 8), vm::may_goto_budget);
}

void Emitter::epilogue(const Function& f, bool is_main) {
  const SavedRegisters saved(f, is_main, plan_.needs_run_context);
  if (const u32 frame = frame_of(f, saved.count); frame != 0) a_.add(x86::rsp, static_cast<s32>(frame));
  for (u32 i = saved.count; i-- > 0;) a_.pop(x86::gpq(saved.list[i]));
}

/// Callback::call(self, r1, r2, r3, r4, r5, rc): moves the arguments one register on; rc is on the stack.
void Emitter::thunk(u32 index) {
  a_.align(16);
  out_.callback_offsets[index] = here();
  a_.push(run_context());
  a_.mov(run_context(), x86::qword_ptr(x86::rsp, 16));
  a_.mov(r64(1), x86::rsi);
  a_.mov(r64(2), x86::rdx);
  a_.mov(r64(3), x86::rcx);
  a_.mov(r64(4), x86::r8);
  a_.mov(r64(5), x86::r9);
  emit_call(index);
  a_.pop(run_context());
  a_.ret();
}

/// Redirection of the run context cleared, by vector instructions that nothing around here uses.
void Emitter::clear_redirect() {
  constexpr std::size_t at = offsetof(RunContext, redirect);
  static_assert(sizeof(RedirectInfo) == 24 && at < 128 - sizeof(RedirectInfo));
  a_.bytes(0xc0'57'0f, 3);                                         // xorps xmm0, xmm0
  a_.bytes(0x24'44'11'0f'41 | u64{static_cast<u8>(at)} << 40, 6);  // movups [r12 + at], xmm0
  a_.mov(field(at + 16, 8), 0);
}

/// BurstEntry::run(self, burst, rc): calls the main program for one context after the other. What a program
/// that calls nobody leaves in the run context is written once, as nobody looks at it in between.
void Emitter::burst() {
  const Gp ctx = x86::r13, results = x86::r14, done = x86::r15, rc = run_context(), burst = x86::rbx;
  const auto part = [&](std::size_t offset, u32 bytes) {
    return x86::ptr(burst, static_cast<s32>(offset), bytes);
  };
  const bool each_run = plan_.calls_out;
  const Gp saved[] = {burst, rc, ctx, results, done};  // an odd number: the stack is aligned at the call
  a_.align(16);
  out_.burst = here();
  for (const Gp& reg : saved) a_.push(reg);
  a_.mov(burst, x86::rsi);
  a_.mov(rc, x86::rdx);
  a_.mov(ctx, part(offsetof(Burst, contexts), 8));
  a_.mov(results, part(offsetof(Burst, results), 8));
  a_.xor_(done.r32(), done.r32());
  if (!each_run) clear_redirect();
  Label next, first, out;
  a_.short_jmp(first);
  a_.align(16);
  a_.bind(next);
  a_.add(ctx, part(offsetof(Burst, stride), 8));
  a_.bind(first);
  if (each_run) {
    clear_redirect();
    a_.mov(field(offsetof(RunContext, ctx), 8), ctx);
  }
  a_.mov(x86::rsi, ctx);
  if (each_run || plan_.needs_run_context) a_.mov(x86::rdx, rc);
  a_.bytes(0xe8, 5);
  forward_.push_back({Forward::main, here(), 0});
  a_.mov(x86::dword_ptr(results, done, 2), x86::eax);
  a_.inc(done.r32());
  a_.sub(x86::eax, part(offsetof(Burst, ordinary), 4));
  a_.cmp(x86::eax, part(offsetof(Burst, ordinary_count), 4));
  a_.short_j(Cond::ae, out);
  a_.cmp(done.r32(), part(offsetof(Burst, count), 4));
  a_.j(Cond::b, next);
  a_.bind(out);
  if (!each_run) a_.mov(field(offsetof(RunContext, ctx), 8), ctx);
  a_.mov(x86::eax, done.r32());
  for (u32 i = std::size(saved); i-- > 0;) a_.pop(saved[i]);
  a_.ret();
}

void Emitter::shaped(u32 at) {
  const isa::Insn& i = insn(at);
  switch (plan_.nodes[at].shape) {
    case Shape::plain:
    case Shape::nothing:
    case Shape::absorbed:
      return;
    case Shape::select:
      return select(at);
    case Shape::indexed:
      return one(at);
    case Shape::lea:
      if (program_.forms[at] == Form::MOV64_X)
        a_.lea(r64(i.dst), x86::ptr(r64(i.src), plan_.details[at].operand));
      else
        a_.lea(r32(i.dst), x86::ptr(r64(i.src), plan_.details[at].operand));
      return;
    case Shape::lea_index:
      a_.lea(r64(i.dst), sum_of(plan_.details[at], 0));
      return;
    case Shape::unless:
      jump_to(x86::negate(compare(at)), at, goes_to(at + 1));
      return;
    case Shape::rotate:
      return rotate(at);
    case Shape::extend:
      return extend(at);
    case Shape::load_swapped:
      return load_swapped(at);
    case Shape::wide_load:
      return wide_load(plan_.details[at]);
    case Shape::wide_store:
      return wide_store(plan_.details[at]);
    case Shape::wide_constant:
      return wide_constant(plan_.details[at]);
    case Shape::wide_copy:
      return wide_copy(plan_.details[at]);
    case Shape::current_cpu:
      a_.mov(r32(i.dst), field(offsetof(RunContext, cpu), 4));
      return;
    case Shape::inlined:
      return inline_function(at);
  }
}

// clang-format off
#define EVERY_ALU(name, wide)                                      \
  case Form::name##_K: return alu_imm(at, wide);                   \
  case Form::name##_X: return alu_reg(at, wide);
#define EVERY_SIMPLE(name, operation, wide)                        \
  case Form::name##_K: return alu_imm(at, wide);                   \
  case Form::name##_X: a_.operation(reg(i.dst, wide), reg(i.src, wide)); return;
#define EVERY_DIV(name, wide, is_signed)                           \
  case Form::name##_K: case Form::name##_X: return divide(at, wide, is_signed);
#define EVERY_JUMP(name)                                           \
  case Form::name##64_K: case Form::name##64_X: return conditional(at); \
  case Form::name##32_K: case Form::name##32_X: return conditional(at);

void Emitter::one(u32 at) {
  const isa::Insn& i = insn(at);
  switch (program_.forms[at]) {
    EVERY_SIMPLE(ADD64, add, true) EVERY_SIMPLE(SUB64, sub, true) EVERY_SIMPLE(MUL64, imul, true)
    EVERY_SIMPLE(OR64, or_, true) EVERY_SIMPLE(AND64, and_, true) EVERY_SIMPLE(MOV64, mov, true)
    EVERY_ALU(LSH64, true) EVERY_ALU(RSH64, true) EVERY_ALU(XOR64, true) EVERY_ALU(ARSH64, true)
    EVERY_SIMPLE(ADD32, add, false) EVERY_SIMPLE(SUB32, sub, false) EVERY_SIMPLE(MUL32, imul, false)
    EVERY_SIMPLE(OR32, or_, false) EVERY_SIMPLE(AND32, and_, false) EVERY_SIMPLE(MOV32, mov, false)
    EVERY_ALU(LSH32, false) EVERY_ALU(RSH32, false) EVERY_ALU(XOR32, false) EVERY_ALU(ARSH32, false)
    EVERY_DIV(DIV64, true, false) EVERY_DIV(MOD64, true, false) EVERY_DIV(SDIV64, true, true) EVERY_DIV(SMOD64, true, true)
    EVERY_DIV(DIV32, false, false) EVERY_DIV(MOD32, false, false) EVERY_DIV(SDIV32, false, true) EVERY_DIV(SMOD32, false, true)
    case Form::NEG64: a_.neg(r64(i.dst)); return;
    case Form::NEG32: a_.neg(r32(i.dst)); return;
    case Form::MOVSX64_8: return sign_extend(i.dst, i.src, 1, true);
    case Form::MOVSX64_16: return sign_extend(i.dst, i.src, 2, true);
    case Form::MOVSX64_32: return sign_extend(i.dst, i.src, 4, true);
    case Form::MOVSX32_8: return sign_extend(i.dst, i.src, 1, false);
    case Form::MOVSX32_16: return sign_extend(i.dst, i.src, 2, false);
    case Form::ZEXT: a_.mov(r32(i.dst), r32(i.src)); return;
    case Form::MOV_PERCPU:
      if (loads_cpu_number(at)) {
        a_.lea(r64(i.dst), field(offsetof(RunContext, cpu), 8));
        return;
      }
      if (i.dst != i.src) a_.mov(r64(i.dst), r64(i.src));
      a_.add(r64(i.dst), field(offsetof(RunContext, percpu_offset), 8));
      return;
    case Form::LE16: case Form::LE32: case Form::LE64:
    case Form::BE16: case Form::BE32: case Form::BE64:
    case Form::BSWAP16: case Form::BSWAP32: case Form::BSWAP64: return byte_swap(at);

    case Form::LDX_B: case Form::LDX_H: case Form::LDX_W: case Form::LDX_DW:
    case Form::LOAD_ACQ_B: case Form::LOAD_ACQ_H: case Form::LOAD_ACQ_W: case Form::LOAD_ACQ_DW: return load(at);
    case Form::LDXSX_B: case Form::LDXSX_H: case Form::LDXSX_W: return load_signed(at);
    case Form::PROBE_B: case Form::PROBE_H: case Form::PROBE_W: case Form::PROBE_DW:
    case Form::PROBESX_B: case Form::PROBESX_H: case Form::PROBESX_W: return probe(at);
    case Form::ST_B: case Form::ST_H: case Form::ST_W: case Form::ST_DW: return store_imm(at);
    case Form::STX_B: case Form::STX_H: case Form::STX_W: case Form::STX_DW:
    case Form::STORE_REL_B: case Form::STORE_REL_H: case Form::STORE_REL_W: case Form::STORE_REL_DW: return store_reg(at);
    case Form::ATOMIC_ADD64: case Form::ATOMIC_OR64: case Form::ATOMIC_AND64: case Form::ATOMIC_XOR64:
    case Form::ATOMIC_FETCH_ADD64: case Form::ATOMIC_FETCH_OR64: case Form::ATOMIC_FETCH_AND64: case Form::ATOMIC_FETCH_XOR64:
    case Form::ATOMIC_XCHG64: case Form::ATOMIC_CMPXCHG64:
    case Form::ATOMIC_ADD32: case Form::ATOMIC_OR32: case Form::ATOMIC_AND32: case Form::ATOMIC_XOR32:
    case Form::ATOMIC_FETCH_ADD32: case Form::ATOMIC_FETCH_OR32: case Form::ATOMIC_FETCH_AND32: case Form::ATOMIC_FETCH_XOR32:
    case Form::ATOMIC_XCHG32: case Form::ATOMIC_CMPXCHG32: return atomic(at);
    case Form::LD_IMM64_IMM: case Form::LD_IMM64_MAP_FD: case Form::LD_IMM64_MAP_VALUE:
      if (options_.harden && program_.forms[at] == Form::LD_IMM64_IMM)
        return blinded64(r64(i.dst), program_.imm64[at]);
      return move_imm(r64(i.dst), program_.imm64[at]);
    case Form::LD_IMM64_FUNC:
      return move_imm(r64(i.dst), reinterpret_cast<u64>(&callbacks_[program_.subprog_at(program_.target(at))]));

    EVERY_JUMP(JEQ) EVERY_JUMP(JNE) EVERY_JUMP(JGT) EVERY_JUMP(JGE) EVERY_JUMP(JLT) EVERY_JUMP(JLE)
    EVERY_JUMP(JSGT) EVERY_JUMP(JSGE) EVERY_JUMP(JSLT) EVERY_JUMP(JSLE) EVERY_JUMP(JSET)
    case Form::JA: case Form::GOTOL: return jump(at);
    case Form::MAY_GOTO: return may_goto(at);
    case Form::CALL_HELPER: return call_helper(at);
    case Form::CALL_LOCAL: emit_call(program_.subprog_at(program_.target(at))); return;
    case Form::TAIL_CALL: return tail_call(at);
    case Form::EXIT: return leave(at);

    // vm::check() refuses these: they exist before the fixups only.
    case Form::ADDR_SPACE_CAST: case Form::CALL_KFUNC: case Form::LD_IMM64_BTF_ID: case Form::LD_IMM64_MAP_IDX:
    case Form::LD_IMM64_MAP_IDX_VALUE: case Form::LD_ABS_B: case Form::LD_ABS_H: case Form::LD_ABS_W:
    case Form::LD_IND_B: case Form::LD_IND_H: case Form::LD_IND_W: case Form::invalid: break;
  }
  SKEP_ASSERT(false && "a form that check() refuses");
}
// clang-format on

}  // namespace skep::jit
