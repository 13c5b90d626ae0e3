// The interpreter. prepare() turns each instruction slot into an Op that holds the address of the code that
// executes it and its operands; each piece of code ends with a jump to the next Op's. The list of labels
// comes from the instruction table, so that a form without code does not compile.
#include "vm/interpreter.hpp"

#include <atomic>

#include "base/bytes.hpp"
#include "base/limits.hpp"
#include "isa/semantics.hpp"
#include "vm/probe.hpp"

// Labels as values and computed goto are GNU extensions that g++ and clang share; without them dispatch
// costs a bounds check and a shared indirect branch.
#pragma GCC diagnostic ignored "-Wpedantic"

namespace skep::vm {
namespace {

namespace op = isa::op;

/// One instruction slot. ld_imm64 keeps its two: the value stands in the second's `wide`.
struct Op {
  const void* code = nullptr;
  union {
    struct {
      u8 dst, src;
      s16 off;
      s32 imm;
    };
    u64 wide;
    HelperFn helper;
  };
};
static_assert(sizeof(Op) == 16);

struct InterpreterCallback : Callback {
  const Op* start = nullptr;
};

constexpr u32 frame_bytes = limits::stack_bytes + frame_slack;

/// A caller that waits for a local call to return.
struct Frame {
  const Op* resume;
  u64 saved[5];  ///< R6..R10
  u32 may_goto_left;
};

struct Arguments {
  u64 r1 = 0, r2 = 0, r3 = 0, r4 = 0, r5 = 0;
};

u64 imm_u64(s32 imm) { return static_cast<u64>(static_cast<s64>(imm)); }
std::byte* address(u64 base, s16 off) { return reinterpret_cast<std::byte*>(base + imm_u64(off)); }

template <class U>
U fetch_and(s32 operation, u64 where, U operand) {
  U* memory = reinterpret_cast<U*>(where);
  switch (operation & 0xf0) {
    case op::ADD:
      return __atomic_fetch_add(memory, operand, __ATOMIC_SEQ_CST);
    case op::OR:
      return __atomic_fetch_or(memory, operand, __ATOMIC_SEQ_CST);
    case op::AND:
      return __atomic_fetch_and(memory, operand, __ATOMIC_SEQ_CST);
    case op::XOR:
      return __atomic_fetch_xor(memory, operand, __ATOMIC_SEQ_CST);
    default:
      return __atomic_exchange_n(memory, operand, __ATOMIC_SEQ_CST);
  }
}
template <class U>
U compare_exchange(u64 where, u64 expected, u64 operand) {
  U old = static_cast<U>(expected);
  __atomic_compare_exchange_n(reinterpret_cast<U*>(where), &old, static_cast<U>(operand), false,
                              __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  return old;
}

using LabelTable = std::array<const void*, isa::form_count>;

// NOLINTBEGIN: the macros below are the instruction set, one line an operation.
#define NEXT goto * (++pc)->code
#define JUMP(by)     \
  do {               \
    pc += 1 + (by);  \
    goto * pc->code; \
  } while (0)
#define DST R[pc->dst]
#define SRC R[pc->src]

#define ALU(name, OPERATION)                                                                     \
  name##64_K : DST = isa::alu<u64>(OPERATION, DST, imm_u64(pc->imm));                            \
  NEXT;                                                                                          \
  name##64_X : DST = isa::alu<u64>(OPERATION, DST, SRC);                                         \
  NEXT;                                                                                          \
  name##32_K : DST = isa::alu<u32>(OPERATION, static_cast<u32>(DST), static_cast<u32>(pc->imm)); \
  NEXT;                                                                                          \
  name##32_X : DST = isa::alu<u32>(OPERATION, static_cast<u32>(DST), static_cast<u32>(SRC));     \
  NEXT;
#define SIGNED_ALU(name, function)                                                         \
  name##64_K : DST = isa::function<u64>(DST, imm_u64(pc->imm));                            \
  NEXT;                                                                                    \
  name##64_X : DST = isa::function<u64>(DST, SRC);                                         \
  NEXT;                                                                                    \
  name##32_K : DST = isa::function<u32>(static_cast<u32>(DST), static_cast<u32>(pc->imm)); \
  NEXT;                                                                                    \
  name##32_X : DST = isa::function<u32>(static_cast<u32>(DST), static_cast<u32>(SRC));     \
  NEXT;
#define CONDITION(name, OPERATION)                                                                         \
  name##64_K : if (isa::cond<u64>(OPERATION, DST, imm_u64(pc->imm))) JUMP(pc->off);                        \
  NEXT;                                                                                                    \
  name##64_X : if (isa::cond<u64>(OPERATION, DST, SRC)) JUMP(pc->off);                                     \
  NEXT;                                                                                                    \
  name##32_K : if (isa::cond<u32>(OPERATION, static_cast<u32>(DST), static_cast<u32>(pc->imm)))            \
                   JUMP(pc->off);                                                                          \
  NEXT;                                                                                                    \
  name##32_X : if (isa::cond<u32>(OPERATION, static_cast<u32>(DST), static_cast<u32>(SRC))) JUMP(pc->off); \
  NEXT;
#define MEMORY(size, type)                                                                             \
  LDX_##size : DST = load<type>(address(SRC, pc->off));                                                \
  NEXT;                                                                                                \
  ST_##size : store<type>(address(DST, pc->off), static_cast<type>(imm_u64(pc->imm)));                 \
  NEXT;                                                                                                \
  STX_##size : store<type>(address(DST, pc->off), static_cast<type>(SRC));                             \
  NEXT;                                                                                                \
  LOAD_ACQ_##size                                                                                      \
      : DST = __atomic_load_n(reinterpret_cast<const type*>(address(SRC, pc->off)), __ATOMIC_ACQUIRE); \
  NEXT;                                                                                                \
  STORE_REL_##size : __atomic_store_n(reinterpret_cast<type*>(address(DST, pc->off)),                  \
                                      static_cast<type>(SRC), __ATOMIC_RELEASE);                       \
  NEXT;
#define SIGNED_LOAD(size, type)                                                               \
  LDXSX_##size : DST = static_cast<u64>(static_cast<s64>(load<type>(address(SRC, pc->off)))); \
  NEXT;
#define PROBE(size, type)                                  \
  PROBE_##size : DST = probe<type>(address(SRC, pc->off)); \
  NEXT;
#define ATOMIC(name, bits, OPERATION)                                                                     \
  ATOMIC_##name##bits : fetch_and<u##bits>(OPERATION, DST + imm_u64(pc->off), static_cast<u##bits>(SRC)); \
  NEXT;                                                                                                   \
  ATOMIC_FETCH_##name##bits                                                                               \
      : SRC = fetch_and<u##bits>(OPERATION, DST + imm_u64(pc->off), static_cast<u##bits>(SRC));           \
  NEXT;
#define EXCHANGE(bits)                                                                                       \
  ATOMIC_XCHG##bits : SRC = fetch_and<u##bits>(op::XCHG, DST + imm_u64(pc->off), static_cast<u##bits>(SRC)); \
  NEXT;                                                                                                      \
  ATOMIC_CMPXCHG##bits : R[0] = compare_exchange<u##bits>(DST + imm_u64(pc->off), R[0], SRC);                \
  NEXT;
#define WIDE(kind)                    \
  LD_IMM64_##kind : DST = pc[1].wide; \
  ++pc;                               \
  NEXT;
#define BYTES(width)                               \
  LE##width : DST = isa::truncate(DST, width);     \
  NEXT;                                            \
  BE##width : DST = isa::byte_swap(DST, width);    \
  NEXT;                                            \
  BSWAP##width : DST = isa::byte_swap(DST, width); \
  NEXT;

/// Runs from `pc` to the exit of that function; with a null `pc` only hands out the labels.
u64 interpret(const Op* pc, const Arguments& arguments, RunContext* rc, const LabelTable** labels_out) {
  static const LabelTable labels = {
#define FORM(name, ...) &&name,
#include "isa/ops.def"
  };
  if (pc == nullptr) {
    *labels_out = &labels;
    return 0;
  }
  alignas(16) std::byte stack[limits::max_call_frames * frame_bytes];
  Frame frames[limits::max_call_frames];
  u32 depth = 0;
  u32 may_goto_left = may_goto_budget;
  u64 R[12];  // R11 is the hidden register of rewritten code
  R[0] = 0;
  R[1] = arguments.r1;
  R[2] = arguments.r2;
  R[3] = arguments.r3;
  R[4] = arguments.r4;
  R[5] = arguments.r5;
  R[6] = R[7] = R[8] = R[9] = 0;
  R[10] = reinterpret_cast<u64>(stack + sizeof stack);
  goto * pc->code;

  ALU(ADD, op::ADD)
  ALU(SUB, op::SUB)
  ALU(MUL, op::MUL)
  ALU(DIV, op::DIV)
  ALU(OR, op::OR)
  ALU(AND, op::AND)
  ALU(LSH, op::LSH)
  ALU(RSH, op::RSH)
  ALU(MOD, op::MOD)
  ALU(XOR, op::XOR)
  ALU(MOV, op::MOV)
  ALU(ARSH, op::ARSH)
  SIGNED_ALU(SDIV, sdiv)
  SIGNED_ALU(SMOD, smod)
NEG64:
  DST = isa::alu<u64>(op::NEG, DST, 0);
  NEXT;
NEG32:
  DST = isa::alu<u32>(op::NEG, static_cast<u32>(DST), 0);
  NEXT;
MOVSX64_8:
  DST = isa::sign_extend(SRC, 8);
  NEXT;
MOVSX64_16:
  DST = isa::sign_extend(SRC, 16);
  NEXT;
MOVSX64_32:
  DST = isa::sign_extend(SRC, 32);
  NEXT;
MOVSX32_8:
  DST = static_cast<u32>(isa::sign_extend(SRC, 8));
  NEXT;
MOVSX32_16:
  DST = static_cast<u32>(isa::sign_extend(SRC, 16));
  NEXT;
ZEXT:
  DST = static_cast<u32>(SRC);
  NEXT;
MOV_PERCPU:
  // The one per-CPU object that lies elsewhere: the CPU's number.
  DST = SRC == imm_u64(fixup::percpu_cpu_number) ? reinterpret_cast<u64>(&rc->cpu) : SRC + rc->percpu_offset;
  NEXT;
  BYTES(16)
  BYTES(32)
  BYTES(64)

  MEMORY(B, u8)
  MEMORY(H, u16)
  MEMORY(W, u32)
  MEMORY(DW, u64)
  SIGNED_LOAD(B, s8)
  SIGNED_LOAD(H, s16)
  SIGNED_LOAD(W, s32)
  PROBE(B, u8)
  PROBE(H, u16)
  PROBE(W, u32)
  PROBE(DW, u64)
PROBESX_B:
  DST = isa::sign_extend(probe<u8>(address(SRC, pc->off)), 8);
  NEXT;
PROBESX_H:
  DST = isa::sign_extend(probe<u16>(address(SRC, pc->off)), 16);
  NEXT;
PROBESX_W:
  DST = isa::sign_extend(probe<u32>(address(SRC, pc->off)), 32);
  NEXT;
  ATOMIC(ADD, 32, op::ADD)
  ATOMIC(OR, 32, op::OR)
  ATOMIC(AND, 32, op::AND)
  ATOMIC(XOR, 32, op::XOR)
  EXCHANGE(32)
  ATOMIC(ADD, 64, op::ADD)
  ATOMIC(OR, 64, op::OR)
  ATOMIC(AND, 64, op::AND)
  ATOMIC(XOR, 64, op::XOR)
  EXCHANGE(64)
  WIDE(IMM)
  WIDE(MAP_FD)
  WIDE(MAP_VALUE)
  WIDE(BTF_ID)
  WIDE(FUNC)
  WIDE(MAP_IDX)
  WIDE(MAP_IDX_VALUE)

  CONDITION(JEQ, op::JEQ)
  CONDITION(JGT, op::JGT)
  CONDITION(JGE, op::JGE)
  CONDITION(JSET, op::JSET)
  CONDITION(JNE, op::JNE)
  CONDITION(JSGT, op::JSGT)
  CONDITION(JSGE, op::JSGE)
  CONDITION(JLT, op::JLT)
  CONDITION(JLE, op::JLE)
  CONDITION(JSLT, op::JSLT)
  CONDITION(JSLE, op::JSLE)
JA:
  JUMP(pc->off);
GOTOL:
  JUMP(pc->imm);
MAY_GOTO:
  if (may_goto_left == 0) JUMP(pc->off);
  --may_goto_left;
  NEXT;

CALL_HELPER:
  R[0] = pc->helper(R[1], R[2], R[3], R[4], R[5], rc);
  NEXT;
CALL_LOCAL:
  frames[depth] = {pc, {R[6], R[7], R[8], R[9], R[10]}, may_goto_left};
  ++depth;  // check() saw to it that the chain is no longer than the frames
  R[10] -= frame_bytes;
  may_goto_left = may_goto_budget;
  JUMP(pc->imm);
TAIL_CALL:
  if (rc->tail_calls < limits::max_tail_calls) {
    const Entry* next = tail_target(reinterpret_cast<const void*>(R[2]), static_cast<u32>(R[3]));
    if (next != nullptr) {
      ++rc->tail_calls;
      R[0] = (*next)(reinterpret_cast<void*>(R[1]), rc);
      goto EXIT;
    }
  }
  NEXT;
EXIT:
  if (depth == 0) return R[0];
  --depth;
  for (u32 i = 0; i < 5; ++i) R[6 + i] = frames[depth].saved[i];
  may_goto_left = frames[depth].may_goto_left;
  pc = frames[depth].resume;
  NEXT;

// check() lets none of these through: they exist before the fixups only.
ADDR_SPACE_CAST:
LD_ABS_B:
LD_ABS_H:
LD_ABS_W:
LD_IND_B:
LD_IND_H:
LD_IND_W:
CALL_KFUNC:
  SKEP_ASSERT(false && "a form that check() refuses");
  return 0;
}
// NOLINTEND

const LabelTable& label_table() {
  const LabelTable* table = nullptr;
  interpret(nullptr, {}, nullptr, &table);
  return *table;
}

u64 call_back(const Callback* self, u64 r1, u64 r2, u64 r3, u64 r4, u64 r5, RunContext* rc) {
  const auto* callback = static_cast<const InterpreterCallback*>(self);
  return interpret(callback->start, {r1, r2, r3, r4, r5}, rc, nullptr);
}

}  // namespace

struct Code::Impl {
  std::vector<Op> ops;
  std::vector<InterpreterCallback> callbacks;  ///< one a subprogram that is taken as a value

  const Callback* exception_callback = nullptr;

  explicit Impl(const Checked& program) : ops(program.insns.size()) {
    callbacks.resize(program.entries.size());
    for (u32 i = 0; i < program.entries.size(); ++i) {
      callbacks[i].call = call_back;
      callbacks[i].start = &ops[program.entries[i]];
    }
    if (program.exception_callback != 0)
      exception_callback = &callbacks[program.subprog_at(program.exception_callback)];
    const LabelTable& labels = label_table();
    for (u32 i = 0; i < ops.size(); ++i) {
      const isa::Form form = program.forms[i];
      if (form == isa::Form::invalid) continue;  // filled with its first half
      const isa::Insn& insn = program.insns[i];
      Op& op = ops[i];
      op.code = labels[isa::index_of(form)];
      op.dst = insn.dst;
      op.src = insn.src;
      op.off = insn.off;
      op.imm = insn.imm;
      if (form == isa::Form::CALL_HELPER) op.helper = program.helper(i);
      if (form == isa::Form::LD_IMM64_FUNC)
        ops[i + 1].wide = reinterpret_cast<u64>(
            static_cast<const Callback*>(&callbacks[program.subprog_at(program.target(i))]));
      else if (isa::info(form).family == isa::Family::ld_imm64)
        ops[i + 1].wide = program.imm64[i];
    }
  }
};

Code::Code() = default;
Code::Code(Code&&) noexcept = default;
Code& Code::operator=(Code&&) noexcept = default;
Code::~Code() = default;

u64 Code::enter_by_tail_call(const void* self, void* ctx, RunContext* rc) {
  const auto* impl = static_cast<const Impl*>(self);
  return interpret(impl->ops.data(), {.r1 = reinterpret_cast<u64>(ctx)}, rc, nullptr);
}
u64 Code::enter(const void* self, void* ctx, RunContext* rc) {
  rc->tail_calls = 0;
  return enter_by_tail_call(self, ctx, rc);
}
Entry Code::entry() const { return {&Code::enter, impl_.get()}; }
Entry Code::tail_entry() const { return {&Code::enter_by_tail_call, impl_.get()}; }

const Callback* Code::exception_callback() const { return impl_->exception_callback; }

Result<Code> prepare_unverified(std::span<const isa::Insn> insns, const LinkTable& links) {
  Code code;
  code.impl_ = std::make_unique<Code::Impl>(TRY(check(insns, links, rewritten_registers)));
  return code;
}

Result<Code> prepare(const fixup::Translated& program, const LinkTable& links) {
  LinkTable with = links;
  with.exception_callback = program.exception_callback();
  return prepare_unverified(program.insns(), with);
}

u64 run(const Code& code, void* ctx, RunContext* rc) { return Code::enter(code.impl_.get(), ctx, rc); }

}  // namespace skep::vm
