// Functions: prologues, epilogues, callback thunks, and the walk over the instructions. The switch in one()
// has no default: a form of the table without code does not compile (-Werror=switch).
#include "jit/emitter.hpp"

#include <fmt/format.h>
#include <sys/random.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "helpers/burst.hpp"

namespace skep::jit {

using isa::Family;
using isa::Form;
namespace x86 = asmjit::x86;

Emitter::Gp Emitter::sized(Gp reg, u32 bytes) {
  switch (bytes) {
    case 1:
      return reg.r8();
    case 2:
      return reg.r16();
    case 4:
      return reg.r32();
    default:
      return reg.r64();
  }
}
Emitter::Gp Emitter::scratch(u32 which, bool wide) {
  const Gp reg = which == 0 ? x86::r11 : which == 1 ? x86::r10 : x86::r9;
  return wide ? reg : reg.r32();
}
Emitter::Mem Emitter::memory(u8 base, s16 off, u32 bytes) { return x86::ptr(r64(base), off, bytes); }
Emitter::Mem Emitter::field(std::size_t offset, u32 bytes) {
  return x86::ptr(run_context(), static_cast<s32>(offset), bytes);
}

Emitter::Emitter(const vm::Checked& program, const Plan& plan, const Options& options,
                 std::span<const Callback> callbacks, bool far_calls)
    : program_(program), plan_(plan), options_(options), callbacks_(callbacks), far_calls_(far_calls) {
  if (options.harden && getrandom(&blind_, sizeof blind_, 0) != sizeof blind_)
    error_ = asmjit::kErrorInvalidState;
  holder_.init(asmjit::Environment::host());
  holder_.setErrorHandler(this);
  holder_.attach(&a_);
  const std::size_t around = 512 + 128 * plan.functions.size();  // prologues, thunks, the burst entry
  holder_.reserveBuffer(&holder_.textSection()->buffer(), plan.bound.back() + around);
  out_.insn_offsets.resize(program.insns.size());
  out_.callback_offsets.resize(program.entries.size());
}

void Emitter::handleError(asmjit::Error code, const char*, asmjit::BaseEmitter*) {
  if (error_ == asmjit::kErrorOk) error_ = code;
}

ByteView Emitter::code() const {
  const asmjit::CodeBuffer& buffer = holder_.textSection()->buffer();
  return {reinterpret_cast<const std::byte*>(buffer.data()), buffer.size()};
}

void Emitter::patch_forward() {
  u8* code = holder_.textSection()->buffer().data();
  for (const Forward& jump : forward_) {
    const u32 target = jump.kind == Forward::main   ? out_.entry
                       : jump.kind == Forward::call ? out_.subprogs[jump.target].offset
                                                    : out_.insn_offsets[jump.target];
    const s32 distance = static_cast<s32>(target - jump.end);
    if (jump.kind == Forward::short_jump) {
      SKEP_ASSERT(distance == static_cast<s8>(distance));
      code[jump.end - 1] = static_cast<u8>(distance);
    } else {
      std::memcpy(code + jump.end - 4, &distance, 4);
    }
  }
}

Result<Emitted> Emitter::run() {
  if (error_ == asmjit::kErrorInvalidState) return fail(EAGAIN, "no random numbers to blind constants with");
  for (u32 f = 0; f < plan_.functions.size(); ++f) function(f);
  for (u32 f = 0; f < plan_.functions.size(); ++f)
    if (plan_.functions[f].is_callback) thunk(f);
  if (options_.burst) burst();
  a_.finish();
  if (error_ == asmjit::kErrorOk) patch_forward();
  if (error_ == asmjit::kErrorOk) error_ = holder_.resolveUnresolvedLinks();
  if (error_ == asmjit::kErrorOutOfMemory || error_ == asmjit::kErrorTooLarge)
    return fail(ENOMEM, "not enough memory for the machine code");
  SKEP_ASSERT(error_ == asmjit::kErrorOk && !holder_.hasUnresolvedLinks() && holder_.sectionCount() == 1);
  return std::move(out_);
}

void Emitter::function(u32 index) {
  const Function& f = plan_.functions[index];
  current_ = &f;
  in_main_ = index == 0;
  const u32 start = static_cast<u32>(a_.offset());
  prologue(f, in_main_);
  for (u32 i = f.first; i < f.end; ++i) instruction(i);
  emit_cold();
  out_.subprogs.push_back({f.first, start, static_cast<u32>(a_.offset()) - start});
}

namespace {
/// Callee-saved registers of the C calling convention that a function pushes, in order.
struct SavedRegisters {
  x86::Gp list[6];
  u32 count = 0;
  SavedRegisters(const Function& f, bool is_main, bool needs_run_context) {
    if (f.uses_frame) list[count++] = x86::rbp;
    const x86::Gp callee_saved[] = {x86::rbx, x86::r13, x86::r14, x86::r15};
    for (u32 i = 0; i < 4; ++i)
      if ((f.saved >> (6 + i) & 1) != 0) list[count++] = callee_saved[i];
    if (is_main && needs_run_context) list[count++] = x86::r12;
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
    out_.entry = static_cast<u32>(a_.offset());
    if (program_.has_tail_call) a_.mov(x86::dword_ptr(x86::rdx, offsetof(RunContext, tail_calls)), 0);
    out_.tail_entry = static_cast<u32>(a_.offset());
  }
  const SavedRegisters saved(f, is_main, plan_.needs_run_context);
  for (u32 i = 0; i < saved.count; ++i) a_.push(saved.list[i]);
  if (f.uses_frame) a_.mov(x86::rbp, x86::rsp);
  if (const u32 frame = frame_of(f, saved.count); frame != 0) a_.sub(x86::rsp, static_cast<s32>(frame));
  if (is_main) {
    if (plan_.needs_run_context) a_.mov(run_context(), x86::rdx);
    a_.mov(r64(1), x86::rsi);
  }
  if (f.has_may_goto)
    a_.mov(x86::dword_ptr(x86::rbp, -static_cast<s32>(f.stack_bytes) - 8), vm::may_goto_budget);
}

void Emitter::epilogue(const Function& f, bool is_main) {
  const SavedRegisters saved(f, is_main, plan_.needs_run_context);
  if (const u32 frame = frame_of(f, saved.count); frame != 0) a_.add(x86::rsp, static_cast<s32>(frame));
  for (u32 i = saved.count; i-- > 0;) a_.pop(saved.list[i]);
}

/// Callback::call(self, r1, r2, r3, r4, r5, rc): moves the arguments one register on; rc is on the stack.
void Emitter::thunk(u32 index) {
  a_.align(asmjit::AlignMode::kCode, 16);
  out_.callback_offsets[index] = static_cast<u32>(a_.offset());
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

/// BurstEntry::run(self, burst, rc): calls the main program for one context after the other.
void Emitter::burst() {
  const Gp ctx = x86::r13, results = x86::r14, done = x86::r15, rc = run_context(), burst = x86::rbx;
  const auto part = [&](std::size_t offset, u32 bytes) {
    return x86::ptr(burst, static_cast<s32>(offset), bytes);
  };
  const Gp saved[] = {burst, rc, ctx, results, done};  // an odd number: the stack is aligned at the call
  a_.align(asmjit::AlignMode::kCode, 16);
  out_.burst = here();
  for (const Gp& reg : saved) a_.push(reg);
  a_.mov(burst, x86::rsi);
  a_.mov(rc, x86::rdx);
  a_.mov(ctx, part(offsetof(Burst, contexts), 8));
  a_.mov(results, part(offsetof(Burst, results), 8));
  a_.xor_(done.r32(), done.r32());
  a_.align(asmjit::AlignMode::kCode, 16);
  const Label next = a_.newLabel(), out = a_.newLabel();
  a_.bind(next);
  a_.xor_(x86::eax, x86::eax);
  static_assert(sizeof(RedirectInfo) % 8 == 0);
  for (std::size_t i = 0; i < sizeof(RedirectInfo); i += 8)
    a_.mov(field(offsetof(RunContext, redirect) + i, 8), x86::rax);
  a_.mov(field(offsetof(RunContext, ctx), 8), ctx);
  a_.mov(x86::rsi, ctx);
  a_.mov(x86::rdx, rc);
  const u8 call[5] = {0xe8};
  forward_.push_back({Forward::main, here() + 5, 0});
  a_.raw(call);
  a_.mov(x86::dword_ptr(results, done, 2), x86::eax);
  a_.inc(done.r32());
  a_.sub(x86::eax, part(offsetof(Burst, ordinary), 4));
  a_.cmp(x86::eax, part(offsetof(Burst, ordinary_count), 4));
  a_.jae(out);
  a_.add(ctx, part(offsetof(Burst, stride), 8));
  a_.cmp(done.r32(), part(offsetof(Burst, count), 4));
  a_.jb(next);
  a_.bind(out);
  a_.mov(x86::eax, done.r32());
  for (u32 i = std::size(saved); i-- > 0;) a_.pop(saved[i]);
  a_.ret();
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
    case Shape::lea:
      if (program_.forms[at] == Form::MOV64_X)
        a_.lea(r64(i.dst), x86::ptr(r64(i.src), plan_.nodes[at].operand));
      else
        a_.lea(r32(i.dst), x86::ptr(r64(i.src), plan_.nodes[at].operand));
      return;
    case Shape::lea_index:
      a_.lea(r64(i.dst), x86::ptr(r64(i.src), r64(plan_.nodes[at].other), 0, plan_.nodes[at].operand));
      return;
    case Shape::rotate:
      return rotate(at);
    case Shape::load_swapped:
      return load_swapped(at);
    case Shape::wide_load:
      return wide_load(plan_.nodes[at]);
    case Shape::wide_store:
      return wide_store(plan_.nodes[at]);
    case Shape::wide_constant:
      return wide_constant(plan_.nodes[at]);
    case Shape::wide_copy:
      return wide_copy(plan_.nodes[at]);
    case Shape::current_cpu:
      a_.mov(r32(i.dst), field(offsetof(RunContext, cpu), 4));
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
    case Form::EXIT: epilogue(*current_, in_main_); a_.ret(); return;

    // vm::check() refuses these: they exist before the fixups only.
    case Form::ADDR_SPACE_CAST: case Form::CALL_KFUNC: case Form::LD_IMM64_BTF_ID: case Form::LD_IMM64_MAP_IDX:
    case Form::LD_IMM64_MAP_IDX_VALUE: case Form::LD_ABS_B: case Form::LD_ABS_H: case Form::LD_ABS_W:
    case Form::LD_IND_B: case Form::LD_IND_H: case Form::LD_IND_W: case Form::invalid: break;
  }
  SKEP_ASSERT(false && "a form that check() refuses");
}
// clang-format on

}  // namespace skep::jit
