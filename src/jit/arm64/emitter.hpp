// Emits arm64 code for a planned program: one function a family of instructions, in emit_alu.cpp,
// emit_memory.cpp and emit_control.cpp. It is compiled on every machine, so that a form of the table without
// arm64 code fails each build; it is run on arm64.
//
// BPF registers: R0 is x7, R1..R5 are x0..x4 (where C passes arguments), R6..R9 x19..x22, R10 x25, the hidden
// R11 of rewritten code x12; the run context stands in x23. x9 x10 x11 x13 are scratch, x16 is for calls.
// Every function returns its R0 in x0, as C does.
#pragma once
#include <asmjit/arm/a64assembler.h>
#include <asmjit/arm/a64utils.h>

#include "fixup/translate.hpp"
#include "jit/emitted.hpp"
#include "jit/plan.hpp"

namespace skep::jit::arm64 {

class Emitter : private asmjit::ErrorHandler {
 public:
  /// `callbacks`: one a subprogram, whose addresses the code loads. `far_calls`: helpers may be anywhere.
  Emitter(const vm::Checked& program, const Plan& plan, const Options& options,
          std::span<const Callback> callbacks, bool far_calls);
  /// ENOMEM; E2BIG for code beyond 128 MiB, which no jump spans. Another asmjit error is a bug of ours.
  Result<Emitted> run();
  /// Fills in the distances of calls out of the code for where it will stand; false: one is out of reach.
  [[nodiscard]] bool place(u64 base);
  [[nodiscard]] ByteView code() const;

 private:
  using Gp = asmjit::a64::Gp;
  using Mem = asmjit::a64::Mem;
  using Label = asmjit::Label;
  using CondCode = asmjit::a64::CondCode;

  static Gp r64(u8 r);
  static Gp r32(u8 r) { return r64(r).w(); }
  static Gp reg(u8 r, bool wide) { return wide ? r64(r) : r32(r); }
  static Gp sized(Gp reg, u32 bytes) { return bytes == 8 ? Gp(reg.x()) : Gp(reg.w()); }
  static Gp scratch(u32 which, bool wide);
  static Gp zero(bool wide);
  static Gp run_context() { return asmjit::a64::x23; }
  static Mem field(std::size_t offset);

  void handleError(asmjit::Error code, const char* message, asmjit::BaseEmitter* origin) override;

  void start();
  void emit_all();
  void function(u32 index);
  void prologue(const Function& function, bool is_main);
  void epilogue(const Function& function, bool is_main);
  void thunk(u32 index);
  void burst();
  void instruction(u32 at);
  void emit(u32 at);
  void shaped(u32 at);
  void one(u32 at);

  // emit_alu.cpp
  void move_imm(Gp dst64, u64 value);
  void add_imm(Gp dst, Gp src, s64 value);
  void alu_imm(u32 at, bool wide);
  void logical_imm(u8 operation, Gp dst, s32 imm);
  void multiply_imm(Gp dst, s32 imm);
  void shift_imm(u8 operation, Gp dst, u32 count);
  void alu_reg(u32 at, bool wide);
  void divide(u32 at, bool wide, bool is_signed);
  bool divide_imm(const isa::Insn& insn, bool wide);
  void per_cpu(u32 at);
  void byte_swap(u32 at);
  void sign_extend(u8 dst, u8 src, u32 from, bool wide);
  void add_registers(u32 at);
  void extend(u32 at);
  void rotate(u32 at);

  // emit_memory.cpp
  Mem memory(u8 base, s32 off, u32 bytes);
  Mem accessed(u32 at, u8 base, u32 bytes);
  Gp exact_address(u8 base, s16 off, bool copied);
  void load_bytes(Gp to64, const Mem& from, u32 bytes);
  void store_bytes(Gp value, const Mem& to, u32 bytes);
  void reverse_bytes(Gp dst64, Gp src64, u32 bytes);
  void load(u32 at);
  void load_signed(u32 at);
  void probe(u32 at);
  void load_acquire(u32 at);
  void load_swapped(u32 at);
  void wide_load(const Detail& node);
  void wide_store(const Detail& node);
  void wide_constant(const Detail& node);
  void wide_copy(const Detail& node);
  void store_constant(const Mem& to, u64 value, u32 bytes);
  void store_imm(u32 at);
  void store_reg(u32 at);
  void store_release(u32 at);
  void store_exclusive_release(Gp failed, Gp value, Gp address, bool wide);
  void atomic(u32 at);
  void atomic_lse(u32 at, bool wide);
  void atomic_loop(u32 at, bool wide);
  void compare_exchange_loop(Gp address, const isa::Insn& insn, bool wide);

  // emit_control.cpp
  CondCode compare(u32 at);
  void conditional(u32 at);
  void select(u32 at);
  void repeat_loop(u32 last);
  void jump(u32 at);
  void may_goto(u32 at);
  void call_address(u64 address);
  void call_helper(u32 at);
  void call_local(u32 at);
  void tail_call(u32 at);
  /// A jump on a condition, whose word has no distance yet; flipping its bit `inverts` turns the condition
  /// round.
  void jump_to(u32 at, u32 target, u32 word, u32 inverts);
  void jump_always(u32 at, u32 target);
  void jump_if(CondCode condition, u32 at, u32 target);
  void call_function(u32 function);
  void inline_function(u32 at);
  void leave(u32 at);
  void call_main();
  [[nodiscard]] bool patch_forward();

  [[nodiscard]] const isa::Insn& insn(u32 at) const { return program_.insns[at]; }
  [[nodiscard]] u32 here() const { return static_cast<u32>(a_.offset()); }
  void word(u32 bits) { a_.embed(&bits, 4); }

  const vm::Checked& program_;
  const Plan& plan_;
  const Options& options_;
  std::span<const Callback> callbacks_;
  bool far_calls_;
  /// Conditional jumps forward go over an unconditional one: the code is larger than the 1 MiB they span.
  bool far_jumps_ = false;
  asmjit::CodeHolder holder_;
  asmjit::a64::Assembler a_;
  /// A jump or call, the word at `at`, whose target had no address yet.
  struct Forward {
    enum Kind : u8 { conditional, always, call, main } kind;
    u32 at, target;  ///< target: an instruction slot; of calls the index of a function
  };
  std::vector<Forward> forward_;
  [[nodiscard]] bool patch(const Forward& jump, u32 target);
  /// A call out of the code: the word at `at`.
  struct Outside {
    u32 at;
    u64 address;
  };
  std::vector<Outside> outside_;
  const Function* current_ = nullptr;
  const Function* inlining_ = nullptr;  ///< whose body stands in the current one
  bool in_main_ = false;
  u32 frame_bytes_ = 0;  ///< R10 - sp
  Emitted out_;
  asmjit::Error error_ = asmjit::kErrorOk;
};

/// Bytes between sp and R10 of a function; a may_goto's count stands right below the BPF stack.
constexpr u32 frame_of(const Function& f) {
  constexpr u32 may_goto_slot = 8;
  return (f.stack_bytes + (f.has_may_goto ? may_goto_slot : 0) + 15) & ~u32{15};
}

}  // namespace skep::jit::arm64
