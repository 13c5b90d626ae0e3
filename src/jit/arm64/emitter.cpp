// Functions: prologues, epilogues, callback thunks, and the walk over the instructions. The switch in one()
// has no default: a form of the table without code does not compile (-Werror=switch).
#include "jit/arm64/emitter.hpp"

#include <cerrno>

#include "helpers/burst.hpp"

namespace skep::jit::arm64 {

using isa::Form;
namespace a64 = asmjit::a64;

Emitter::Gp Emitter::r64(u8 r) {
  static constexpr a64::Gp registers[] = {a64::x7,  a64::x0,  a64::x1,  a64::x2,  a64::x3,  a64::x4,
                                          a64::x19, a64::x20, a64::x21, a64::x22, a64::x25, a64::x12};
  static_assert(std::size(registers) == vm::rewritten_registers);
  SKEP_ASSERT(r < vm::rewritten_registers);
  return registers[r];
}
Emitter::Gp Emitter::scratch(u32 which, bool wide) {
  static constexpr a64::Gp registers[] = {a64::x9, a64::x10, a64::x11, a64::x13};
  SKEP_ASSERT(which < std::size(registers));
  return wide ? registers[which] : registers[which].w();
}
Emitter::Gp Emitter::zero(bool wide) { return wide ? Gp(a64::xzr) : Gp(a64::wzr); }
Emitter::Mem Emitter::field(std::size_t offset) { return a64::ptr(run_context(), static_cast<s32>(offset)); }

Emitter::Emitter(const vm::Checked& program, const Plan& plan, const Options& options,
                 std::span<const Callback> callbacks, bool far_calls)
    : program_(program), plan_(plan), options_(options), callbacks_(callbacks), far_calls_(far_calls) {}

void Emitter::handleError(asmjit::Error code, const char*, asmjit::BaseEmitter*) {
  if (error_ == asmjit::kErrorOk) error_ = code;
}

ByteView Emitter::code() const {
  const asmjit::CodeBuffer& buffer = holder_.textSection()->buffer();
  return {reinterpret_cast<const std::byte*>(buffer.data()), buffer.size()};
}

void Emitter::start() {
  error_ = asmjit::kErrorOk;
  out_ = {};
  forward_.clear();
  outside_.clear();
  holder_.reset();
  holder_.init(asmjit::Environment(asmjit::Arch::kAArch64));
  holder_.setErrorHandler(this);
  holder_.attach(&a_);
  constexpr u32 usual_bytes = 6, around = 512;  // an instruction, and what every program has
  holder_.reserveBuffer(&holder_.textSection()->buffer(), program_.insns.size() * usual_bytes + around);
  out_.insn_offsets.resize(program_.insns.size());
  out_.callback_offsets.resize(program_.entries.size());
}

void Emitter::emit_all() {
  start();
  for (u32 f = 0; f < plan_.functions.size(); ++f) function(f);
  for (u32 f = 0; f < plan_.functions.size(); ++f)
    if (plan_.functions[f].is_callback) thunk(f);
  if (options_.burst) burst();
  if (error_ == asmjit::kErrorOk) error_ = holder_.resolveUnresolvedLinks();
}

Result<Emitted> Emitter::run() {
  emit_all();
  bool reached = error_ != asmjit::kErrorOk || patch_forward();
  if (!reached) {
    far_jumps_ = true;
    emit_all();
    reached = error_ != asmjit::kErrorOk || patch_forward();
  }
  if (error_ == asmjit::kErrorOutOfMemory) return fail(ENOMEM, "not enough memory for the machine code");
  if (!reached || error_ == asmjit::kErrorTooLarge)
    return fail(E2BIG, "the machine code is larger than the 128 MiB that a jump spans");
  SKEP_ASSERT(error_ == asmjit::kErrorOk && !holder_.hasUnresolvedLinks() && holder_.sectionCount() == 1);
  return std::move(out_);
}

void Emitter::function(u32 index) {
  const Function& f = plan_.functions[index];
  current_ = &f;
  in_main_ = index == 0;
  frame_bytes_ = frame_of(f);
  const u32 start = here();
  prologue(f, in_main_);
  for (u32 i = f.first; i < f.end; ++i) instruction(i);
  out_.subprogs.push_back({f.first, start, here() - start});
}

namespace {
/// Registers of the C calling convention that a function keeps, two at a time; the last may stand alone.
struct SavedRegisters {
  a64::Gp list[8];
  u32 count = 0;
  SavedRegisters(const Function& f, bool is_main, bool needs_run_context) {
    if (f.makes_calls) {
      list[count++] = a64::x29;
      list[count++] = a64::x30;
    }
    const a64::Gp callee_saved[] = {a64::x19, a64::x20, a64::x21, a64::x22};
    for (u32 i = 0; i < 4; ++i)
      if ((f.saved >> (6 + i) & 1) != 0) list[count++] = callee_saved[i];
    if (f.uses_frame) list[count++] = a64::x25;
    if (is_main && needs_run_context) list[count++] = a64::x23;
  }
  void push(a64::Assembler& a) const {
    for (u32 i = 0; i < count; i += 2) {
      if (i + 1 < count)
        a.stp(list[i], list[i + 1], a64::ptr_pre(a64::sp, -16));
      else
        a.str(list[i], a64::ptr_pre(a64::sp, -16));
      if (list[i].id() == a64::Gp::kIdFp) a.mov(a64::x29, a64::sp);
    }
  }
  void pop(a64::Assembler& a) const {
    if (count % 2 != 0) a.ldr(list[count - 1], a64::ptr_post(a64::sp, 16));
    for (u32 i = count / 2; i-- > 0;) a.ldp(list[2 * i], list[2 * i + 1], a64::ptr_post(a64::sp, 16));
  }
};
}  // namespace

/// The main program is called as run(self, ctx, rc); subprograms find R1 to R5 and the run context in place.
void Emitter::prologue(const Function& f, bool is_main) {
  if (is_main) {
    out_.entry = here();
    if (program_.has_tail_call) a_.str(zero(false), a64::ptr(a64::x2, offsetof(RunContext, tail_calls)));
    out_.tail_entry = here();
  }
  SavedRegisters(f, is_main, plan_.needs_run_context).push(a_);
  if (f.uses_frame) a_.mov(r64(10), a64::sp);
  if (frame_bytes_ != 0) a_.sub(a64::sp, a64::sp, frame_bytes_);
  if (is_main) {
    if (plan_.needs_run_context) a_.mov(run_context(), a64::x2);
    a_.mov(r64(1), a64::x1);
  }
  if (f.has_may_goto) {
    move_imm(scratch(0, true), vm::may_goto_budget);
    a_.str(scratch(0, false), a64::ptr(a64::sp, static_cast<s32>(frame_bytes_ - f.stack_bytes) - 8));
  }
}

void Emitter::epilogue(const Function& f, bool is_main) {
  if (frame_bytes_ != 0) a_.add(a64::sp, a64::sp, frame_bytes_);
  SavedRegisters(f, is_main, plan_.needs_run_context).pop(a_);
}

/// Callback::call(self, r1, r2, r3, r4, r5, rc): moves the arguments one register back.
void Emitter::thunk(u32 index) {
  a_.align(asmjit::AlignMode::kCode, 16);
  out_.callback_offsets[index] = here();
  a_.stp(a64::x29, a64::x30, a64::ptr_pre(a64::sp, -32));
  a_.mov(a64::x29, a64::sp);
  a_.str(run_context(), a64::ptr(a64::sp, 16));
  a_.mov(run_context(), a64::x6);
  for (u32 r = 1; r <= 5; ++r) a_.mov(r64(static_cast<u8>(r)), a64::x(r));
  call_function(index);
  a_.ldr(run_context(), a64::ptr(a64::sp, 16));
  a_.ldp(a64::x29, a64::x30, a64::ptr_post(a64::sp, 32));
  a_.ret(a64::x30);
}

/// BurstEntry::run(self, burst, rc): calls the main program for one context after the other.
void Emitter::burst() {
  const Gp burst = a64::x19, ctx = a64::x20, results = a64::x21, done = a64::w22, rc = run_context();
  const Gp part = scratch(0, true);
  const auto read = [&](const Gp& to, std::size_t offset) {
    a_.ldr(to, a64::ptr(burst, static_cast<s32>(offset)));
  };
  a_.align(asmjit::AlignMode::kCode, 16);
  out_.burst = here();
  a_.stp(a64::x29, a64::x30, a64::ptr_pre(a64::sp, -64));
  a_.mov(a64::x29, a64::sp);
  a_.stp(burst, ctx, a64::ptr(a64::sp, 16));
  a_.stp(results, done.x(), a64::ptr(a64::sp, 32));
  a_.str(rc, a64::ptr(a64::sp, 48));
  a_.mov(burst, a64::x1);
  a_.mov(rc, a64::x2);
  read(ctx, offsetof(Burst, contexts));
  read(results, offsetof(Burst, results));
  a_.mov(done, a64::wzr);
  const Label next = a_.newLabel(), out = a_.newLabel();
  a_.bind(next);
  static_assert(sizeof(RedirectInfo) % 8 == 0);
  for (std::size_t i = 0; i < sizeof(RedirectInfo); i += 8)
    a_.str(zero(true), field(offsetof(RunContext, redirect) + i));
  a_.str(ctx, field(offsetof(RunContext, ctx)));
  a_.mov(a64::x1, ctx);
  a_.mov(a64::x2, rc);
  call_main();
  a_.str(a64::w0, a64::ptr_post(results, 4));
  a_.add(done, done, 1);
  read(part.w(), offsetof(Burst, ordinary));
  a_.sub(a64::w0, a64::w0, part.w());
  read(part.w(), offsetof(Burst, ordinary_count));
  a_.cmp(a64::w0, part.w());
  a_.b_hs(out);
  read(part, offsetof(Burst, stride));
  a_.add(ctx, ctx, part);
  read(part.w(), offsetof(Burst, count));
  a_.cmp(done, part.w());
  a_.b_lo(next);
  a_.bind(out);
  a_.mov(a64::w0, done);
  a_.ldr(rc, a64::ptr(a64::sp, 48));
  a_.ldp(results, done.x(), a64::ptr(a64::sp, 32));
  a_.ldp(burst, ctx, a64::ptr(a64::sp, 16));
  a_.ldp(a64::x29, a64::x30, a64::ptr_post(a64::sp, 64));
  a_.ret(a64::x30);
}

void Emitter::instruction(u32 at) {
  const Node& node = plan_.nodes[at];
  if (node.aligned) a_.align(asmjit::AlignMode::kCode, loop_alignment);
  out_.insn_offsets[at] = here();
  if (node.unroll > 1) repeat_loop(at);
  emit(at);
}

void Emitter::emit(u32 at) {
  if (plan_.nodes[at].shape == Shape::plain)
    one(at);
  else
    shaped(at);
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
    case Shape::lea: {
      const bool wide = program_.forms[at] == Form::MOV64_X;
      return add_imm(reg(i.dst, wide), reg(i.src, wide), plan_.details[at].operand);
    }
    case Shape::lea_index:
      return add_registers(at);
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
    case Shape::unless:
      return jump_if(a64::negateCond(compare(at)), at, program_.target(at + 1));
    case Shape::inlined:
      return inline_function(at);
    case Shape::current_cpu:
      a_.ldr(r32(i.dst), field(offsetof(RunContext, cpu)));
      return;
  }
}

// clang-format off
#define EVERY_ALU(name, wide)                                      \
  case Form::name##_K: return alu_imm(at, wide);                   \
  case Form::name##_X: return alu_reg(at, wide);
#define EVERY_DIV(name, wide, is_signed)                           \
  case Form::name##_K: case Form::name##_X: return divide(at, wide, is_signed);
#define EVERY_JUMP(name)                                           \
  case Form::name##64_K: case Form::name##64_X: return conditional(at); \
  case Form::name##32_K: case Form::name##32_X: return conditional(at);

void Emitter::one(u32 at) {
  const isa::Insn& i = insn(at);
  switch (program_.forms[at]) {
    EVERY_ALU(ADD64, true) EVERY_ALU(SUB64, true) EVERY_ALU(MUL64, true) EVERY_ALU(OR64, true)
    EVERY_ALU(AND64, true) EVERY_ALU(LSH64, true) EVERY_ALU(RSH64, true) EVERY_ALU(XOR64, true)
    EVERY_ALU(MOV64, true) EVERY_ALU(ARSH64, true)
    EVERY_ALU(ADD32, false) EVERY_ALU(SUB32, false) EVERY_ALU(MUL32, false) EVERY_ALU(OR32, false)
    EVERY_ALU(AND32, false) EVERY_ALU(LSH32, false) EVERY_ALU(RSH32, false) EVERY_ALU(XOR32, false)
    EVERY_ALU(MOV32, false) EVERY_ALU(ARSH32, false)
    EVERY_DIV(DIV64, true, false) EVERY_DIV(MOD64, true, false) EVERY_DIV(SDIV64, true, true) EVERY_DIV(SMOD64, true, true)
    EVERY_DIV(DIV32, false, false) EVERY_DIV(MOD32, false, false) EVERY_DIV(SDIV32, false, true) EVERY_DIV(SMOD32, false, true)
    case Form::NEG64: a_.neg(r64(i.dst), r64(i.dst)); return;
    case Form::NEG32: a_.neg(r32(i.dst), r32(i.dst)); return;
    case Form::MOVSX64_8: return sign_extend(i.dst, i.src, 1, true);
    case Form::MOVSX64_16: return sign_extend(i.dst, i.src, 2, true);
    case Form::MOVSX64_32: return sign_extend(i.dst, i.src, 4, true);
    case Form::MOVSX32_8: return sign_extend(i.dst, i.src, 1, false);
    case Form::MOVSX32_16: return sign_extend(i.dst, i.src, 2, false);
    case Form::ZEXT: a_.mov(r32(i.dst), r32(i.src)); return;
    case Form::MOV_PERCPU: return per_cpu(at);
    case Form::LE16: case Form::LE32: case Form::LE64:
    case Form::BE16: case Form::BE32: case Form::BE64:
    case Form::BSWAP16: case Form::BSWAP32: case Form::BSWAP64: return byte_swap(at);

    case Form::LDX_B: case Form::LDX_H: case Form::LDX_W: case Form::LDX_DW: return load(at);
    case Form::LOAD_ACQ_B: case Form::LOAD_ACQ_H: case Form::LOAD_ACQ_W: case Form::LOAD_ACQ_DW: return load_acquire(at);
    case Form::LDXSX_B: case Form::LDXSX_H: case Form::LDXSX_W: return load_signed(at);
    case Form::PROBE_B: case Form::PROBE_H: case Form::PROBE_W: case Form::PROBE_DW:
    case Form::PROBESX_B: case Form::PROBESX_H: case Form::PROBESX_W: return probe(at);
    case Form::ST_B: case Form::ST_H: case Form::ST_W: case Form::ST_DW: return store_imm(at);
    case Form::STX_B: case Form::STX_H: case Form::STX_W: case Form::STX_DW: return store_reg(at);
    case Form::STORE_REL_B: case Form::STORE_REL_H: case Form::STORE_REL_W: case Form::STORE_REL_DW: return store_release(at);
    case Form::ATOMIC_ADD64: case Form::ATOMIC_OR64: case Form::ATOMIC_AND64: case Form::ATOMIC_XOR64:
    case Form::ATOMIC_FETCH_ADD64: case Form::ATOMIC_FETCH_OR64: case Form::ATOMIC_FETCH_AND64: case Form::ATOMIC_FETCH_XOR64:
    case Form::ATOMIC_XCHG64: case Form::ATOMIC_CMPXCHG64:
    case Form::ATOMIC_ADD32: case Form::ATOMIC_OR32: case Form::ATOMIC_AND32: case Form::ATOMIC_XOR32:
    case Form::ATOMIC_FETCH_ADD32: case Form::ATOMIC_FETCH_OR32: case Form::ATOMIC_FETCH_AND32: case Form::ATOMIC_FETCH_XOR32:
    case Form::ATOMIC_XCHG32: case Form::ATOMIC_CMPXCHG32: return atomic(at);
    case Form::LD_IMM64_IMM: case Form::LD_IMM64_MAP_FD: case Form::LD_IMM64_MAP_VALUE:
      return move_imm(r64(i.dst), program_.imm64[at]);
    case Form::LD_IMM64_FUNC:
      return move_imm(r64(i.dst), reinterpret_cast<u64>(&callbacks_[program_.subprog_at(program_.target(at))]));

    EVERY_JUMP(JEQ) EVERY_JUMP(JNE) EVERY_JUMP(JGT) EVERY_JUMP(JGE) EVERY_JUMP(JLT) EVERY_JUMP(JLE)
    EVERY_JUMP(JSGT) EVERY_JUMP(JSGE) EVERY_JUMP(JSLT) EVERY_JUMP(JSLE) EVERY_JUMP(JSET)
    case Form::JA: case Form::GOTOL: return jump(at);
    case Form::MAY_GOTO: return may_goto(at);
    case Form::CALL_HELPER: return call_helper(at);
    case Form::CALL_LOCAL: return call_local(at);
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

}  // namespace skep::jit::arm64
