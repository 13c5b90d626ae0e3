// Emits x86-64 code for a planned program: one function a family of instructions, in emit_alu.cpp,
// emit_memory.cpp and emit_control.cpp. Knows the calling convention (compile.hpp) and nothing of patterns.
#pragma once
#include "jit/assembler.hpp"

#include <bitset>
#include <vector>

#include "fixup/translate.hpp"
#include "helpers/simple.hpp"
#include "jit/emitted.hpp"
#include "jit/inline_map.hpp"
#include "jit/plan.hpp"
#include "maps/hash_probe.hpp"

namespace skep::jit {

class Emitter {
 public:
  /// `callbacks`: one a subprogram, whose addresses the code loads. `far_calls`: helpers may be anywhere.
  Emitter(const vm::Checked& program, const Plan& plan, const Options& options,
          std::span<const Callback> callbacks, bool far_calls, Buffer<u8>& code);
  /// EAGAIN: no random numbers for hardened code.
  Result<Emitted> run();
  /// Fills in the distances of calls out of the code for where it will stand; false: one is out of reach.
  [[nodiscard]] bool place(u64 base);
  [[nodiscard]] ByteView code() const { return {reinterpret_cast<const std::byte*>(a_.data()), a_.offset()}; }

 private:
  using Gp = x86::Gp;
  using Mem = x86::Mem;
  using Cond = x86::Cond;

  /// Prologues, epilogues, thunks; the burst entry.
  static constexpr std::size_t around_a_function = 128, around_a_program = 512;

  // The registers of the BPF machine and the scratch ones.
  static Gp r64(u8 r) {
    // R0..R10, and R11 of rewritten code, which is live from guard to jump only, where nothing takes
    // scratch(2).
    static constexpr u8 ids[16] = {0, 7, 6, 2, 1, 8, 3, 13, 14, 15, 5, 9};
    return x86::gpq(ids[r]);
  }
  static Gp r32(u8 r) { return r64(r).r32(); }
  static Gp sized(Gp reg, u32 bytes) { return {static_cast<u8>(reg.id()), static_cast<u8>(bytes)}; }
  static Gp reg(u8 r, bool wide) { return wide ? r64(r) : r32(r); }
  static Gp scratch(u32 which, bool wide) {
    return sized(x86::gpq(static_cast<u8>(11 - which)), wide ? 8 : 4);
  }
  static Mem memory(u8 base, s16 off, u32 bytes) { return x86::ptr(r64(base), off, bytes); }
  /// What the load or store at `at` accesses: base and offset, or, where combined, a sum.
  [[nodiscard]] Mem accessed(u32 at, u8 base, u32 bytes) const;
  [[nodiscard]] Mem sum_of(const Detail& node, u32 bytes) const;
  static Gp run_context() { return x86::r12; }
  static Mem field(std::size_t offset, u32 bytes) {
    return x86::ptr(run_context(), static_cast<s32>(offset), bytes);
  }

  void function(u32 index);
  void prologue(const Function& function, bool is_main);
  void epilogue(const Function& function, bool is_main);
  void thunk(u32 index);
  void clear_redirect();
  void burst();
  void emit(u32 at) {
    if (plan_.nodes[at].shape == Shape::plain)
      one(at);
    else
      shaped(at);
  }
  void shaped(u32 at);
  void one(u32 at);

  // emit_alu.cpp
  void alu_imm(u32 at, bool wide);
  void alu_reg(u32 at, bool wide);
  void shift_imm(u8 operation, Gp dst, u32 count);
  void shift_reg(u8 operation, const isa::Insn& insn, bool wide);
  void multiply_imm(Gp dst, s32 imm);
  void and_imm(const isa::Insn& insn, bool wide);
  void divide(u32 at, bool wide, bool is_signed);
  void divide_core(u32 at, Gp divisor, bool wide, bool is_signed);
  [[nodiscard]] bool divisor_was_tested(u32 at, bool wide) const;
  bool divide_imm(const isa::Insn& insn, bool wide);
  void move_imm(Gp dst64, u64 value);
  void blinded(Gp dst, s32 imm);
  void blinded64(Gp dst64, u64 value);
  [[nodiscard]] u64 next_blind();
  void apply(u8 operation, Gp dst, Gp src);
  void byte_swap(u32 at);
  void sign_extend(u8 dst, u8 src, u32 from, bool wide);
  void extend(u32 at);
  void rotate(u32 at);
  void select(u32 at);

  // emit_memory.cpp
  void load(u32 at);
  void load_signed(u32 at);
  void probe(u32 at);
  void load_swapped(u32 at);
  void wide_load(const Detail& node);
  void wide_store(const Detail& node);
  void wide_constant(const Detail& node);
  void wide_copy(const Detail& node);
  void reverse_bytes(Gp reg64, u32 bytes);
  void store_imm(u32 at);
  void store_reg(u32 at);
  void atomic(u32 at);
  void atomic_loop(u32 at, bool wide);

  // emit_control.cpp
  Cond compare(u32 at);
  [[nodiscard]] u32 goes_to(u32 at) const;
  void conditional(u32 at);
  void repeat_loop(u32 last);
  void jump(u32 at);
  void jump_to(Cond condition, u32 at, u32 target);
  void may_goto(u32 at);
  void call_address(u64 address);
  void retpoline();
  void jump_through(Mem target);
  void call_helper(u32 at);
  void call_with_context(u64 address);
  void tail_call(u32 at);
  void enter_program();
  void direct_tail_call(const KnownTailCall& known);
  void align_distance();
  void emit_cold_tail_calls();

  // inline_helper.cpp
  bool inline_helper(u32 at);
  void inline_prandom();
  void inline_redirect(const helpers::RedirectRule& rule);

  // inline_map.cpp
  /// Where a key is: `base` + `offset`; `bounds`: a store begins or ends before this byte of it; what of it
  /// is known.
  struct KeyPlace {
    Gp base;
    s32 offset = 0;
    std::bitset<longest_key> bounds;
    KnownBytes known;
  };
  [[nodiscard]] KeyPlace key_place(u32 at, u32 key_size) const;
  void key_word(const KeyPlace& key, u32 at, u32 size, Gp to, Gp with);
  void key_piece(Mem from, Gp to);
  void merge_key(u32 at, u32 key_size);
  void hash_key(const maps::HashProbe& probe, const KeyPlace& key);
  void compare_key(const maps::HashProbe& probe, const KeyPlace& key, Label& differs);
  void match_tags(const maps::HashProbe& probe, std::optional<u32> known_hash);
  void inline_hash_lookup(u32 at, const maps::HashProbe& probe);
  bool inline_map_call(u32 at);
  void emit_cold_lookups();
  void emit_wide_divisions();

  [[nodiscard]] const isa::Insn& insn(u32 at) const { return program_.insns[at]; }
  [[nodiscard]] bool is_dead_after(u32 at, u8 r) const { return (plan_.nodes[at].dead_after >> r & 1) != 0; }
  /// `rD = percpu_cpu_number; rD = &(void __percpu *)(rD)`: the pair stands for RunContext::cpu's address.
  [[nodiscard]] bool loads_cpu_number(u32 at) const {
    return at > 0 && program_.forms[at - 1] == isa::Form::MOV64_K && insn(at - 1).dst == insn(at).src &&
           insn(at - 1).imm == fixup::percpu_cpu_number;
  }
  [[nodiscard]] u32 here() const { return static_cast<u32>(a_.offset()); }
  void emit_jump(u8 short_code, u32 at, u32 target);
  void emit_call(u32 function);
  void inline_function(u32 at);
  void leave(u32 at);
  void patch_forward();
  [[nodiscard]] bool is_short(u32 at, u32 target) const;

  const vm::Checked& program_;
  const Plan& plan_;
  const Options& options_;
  std::span<const Callback> callbacks_;
  bool far_calls_;
  u64 blind_ = 0;  ///< state of the numbers that constants are blinded with
  bool unseeded_ = false;
  Assembler a_;
  /// A jump or call whose target had no address yet; its displacement ends at `end`.
  struct Forward {
    enum Kind : u8 { near_jump, short_jump, call, main } kind;
    u32 end, target;  ///< target: an instruction slot; of calls the index of a function
  };
  std::vector<Forward> forward_;
  void patch(const Forward& jump, u32 target);
  /// A call out of the code; its displacement ends at `end`.
  struct Outside {
    u32 end;
    u64 address;
  };
  std::vector<Outside> outside_;
  /// What stands behind its function: the rest of an inline lookup.
  struct Cold {
    Label missing, other, done;
    u64 helper;
  };
  std::vector<Cold> cold_;
  /// And a division of more than 32 bits.
  struct WideDivision {
    Label begin, done;
    u8 divisor;
  };
  std::vector<WideDivision> wide_divisions_;
  /// And what a tail call through a known slot does besides the jump.
  struct ColdTailCall {
    Label out;
    u64 slot;
    std::size_t site;  ///< in out_.tail_sites
  };
  std::vector<ColdTailCall> cold_tail_calls_;
  const Function* current_ = nullptr;
  const Function* inlining_ = nullptr;  ///< whose body stands in the current one
  static constexpr u8 no_register = 0xff;
  u8 stepped_ = no_register;  ///< in copies of a loop (Node::steps): the register that has not grown yet,
  s32 stepped_by_ = 0;        ///< and by how much it should have
  bool copying_ = false;      ///< emits a copy of a loop's body
  bool in_main_ = false;
  Emitted out_;
};

}  // namespace skep::jit
