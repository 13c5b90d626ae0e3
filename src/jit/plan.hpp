// What the emitter should emit: facts about each function (registers to save, stack, calls), which
// instructions are jump targets, how far jumps can be at most, and which instructions are better said
// together. Pure: no machine code here, and nothing of x86 but upper bounds of lengths.
#pragma once
#include <optional>
#include <vector>

#include "jit/buffer.hpp"
#include "jit/compile.hpp"

namespace skep::jit {

/// How an instruction is to be emitted.
enum class Shape : u8 {
  plain,          ///< by itself
  absorbed,       ///< part of an earlier instruction's Shape: nothing
  nothing,        ///< has no effect (a move onto itself, a zero-extension of what is zero-extended)
  lea,            ///< dst = src + operand: mov and add of the next instruction as one
  lea_index,      ///< dst = `base` + `other` + operand, the same way
  rotate,         ///< t = x; x <<= n; t >>= w-n; x |= t as a rotation of x by `operand`
  extend,         ///< shifts left and right that keep the low `bytes`, zero- or sign-extended
  load_swapped,   ///< load and the byte swap that follows
  wide_load,      ///< byte loads, shifts and ors that are one load of `bytes` bytes, `swapped` or not
  wide_store,     ///< byte stores of the bytes of one register, from its byte `first_byte` on
  wide_constant,  ///< byte stores of constants
  wide_copy,      ///< bytes loaded and stored one by one
  select,         ///< `dst = a; if condition goto over; dst = b; over:` without a jump
  indexed,        ///< a load or store whose address is the sum of `base`, `other` and `operand`
  current_cpu,    ///< the per-CPU load that bpf_get_smp_processor_id() becomes
  unless,         ///< a jump over the next instruction, a jump: goes there if the condition does not hold
  inlined,        ///< the body of the function that it calls (Function::is_inlined)
};

/// Where loops begin whose bodies are short.
inline constexpr u32 loop_alignment = 32;

/// What every pass asks of every instruction: eight bytes.
struct Node {
  Shape shape = Shape::plain;
  u8 jumps_in = 0;                ///< how many jumps come here; 255: that many or more
  u8 unroll = 0;                  ///< of a jump back: so many copies of its loop stand one after the other
  bool is_loop_head : 1 = false;  ///< a jump from here or further on comes back to it
  bool exact : 1 = false;         ///< of a jump back with copies: only the last can be the last round
  bool aligned : 1 = false;       ///< begins a cache line half
  bool steps : 1 = false;  ///< of a jump back with exact copies: `other` grows by `operand` a round, once
  u16 dead_after = 0;      ///< bit r: register r holds nothing that is read later
  u16 live = 0;            ///< describe()'s: registers that are read from here on

  [[nodiscard]] bool is_target() const { return jumps_in != 0; }
};
static_assert(sizeof(Node) == 8);

/// What a Shape needs to know besides. Without value where the shape is plain.
struct Detail {
  u8 other = 0;  ///< a second register: the one that receives, or that is stored; of extend: what is extended
  u8 base = 0;   ///< the address register, of wide_* and sums
  u8 bytes = 0;  ///< of wide_*: 2, 4 or 8; of extend: those that stay
  u8 first_byte = 0;
  bool swapped = false;
  bool is_signed = false;  ///< of extend
  s16 off = 0;             ///< of wide_*: offset from base; of wide_copy: where to
  s16 from = 0;            ///< of wide_copy: where from
  s32 operand = 0;         ///< of extend: 1 to 64 bits, 0 to 32
};

struct Function {
  u32 first = 0, end = 0;   ///< instructions [first, end)
  u16 saved = 0;            ///< bit r of R6..R9: mentioned, so saved on entry
  bool uses_frame = false;  ///< mentions R10
  bool makes_calls = false;
  bool calls_helpers = false;  ///< among them; or makes tail calls
  bool is_inlined = false;     ///< stands wherever it is called, besides by itself
  bool has_may_goto = false;
  bool is_callback = false;
  u32 stack_bytes = 0;  ///< multiple of 8
};

/// Kept from one program to the next for its memory: make_plan() fills all of it anew.
struct Plan {
  Buffer<Node> nodes;               ///< parallel to the instruction slots
  Buffer<Detail> details;           ///< parallel to them
  Buffer<u32> bound;                ///< bytes that the code before slot i takes at most; one more at the end
  Buffer<u32> loop_end;             ///< of loops' heads only: the last jump that comes back
  std::vector<Function> functions;  ///< parallel to Checked::entries
  bool needs_run_context = false;
  bool calls_out = false;  ///< calls helpers or other programs, which use all of the run context
  Buffer<u8> code;         ///< an emitter's: where it writes
};

/// Functions of more instructions are called.
inline constexpr u32 longest_inlined = 16;

/// What the instruction at `at` moves into its register, if that is a constant: one of two (Shape::select) is
/// none.
[[nodiscard]] std::optional<u64> moved_constant(const vm::Checked& program, const Plan& plan, u32 at);

/// A tail call whose array and index are constants.
struct KnownTailCall {
  u64 map = 0;
  u64 count = 0;  ///< slots of the array
  u32 index = 0;
  [[nodiscard]] u64 slot() const { return map + maps::prog_array_slots_offset + u64{index} * 8; }
};
/// Looks for what R2 and R3 hold at the tail call `at`, back to where control may come from elsewhere.
[[nodiscard]] std::optional<KnownTailCall> known_tail_call(const vm::Checked& program, const Plan& plan,
                                                           u32 at);

/// Where the jump at `at` goes in the end: a jump there that surely is, or is not, taken then is followed.
[[nodiscard]] u32 destination(const vm::Checked& program, const Plan& plan, u32 at);

/// `stack_bytes` of each subprogram (parallel to program.entries; 0: not known, 512 are taken where R10 is
/// used for more than direct accesses).
void make_plan(const vm::Checked& program, std::span<const u32> stack_bytes, const Options& options,
               Plan& plan);

}  // namespace skep::jit
