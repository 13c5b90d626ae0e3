// What every engine needs to know of a program besides its instructions: the addresses its symbols stand
// for, and the checks that an engine makes before it runs instructions it did not see verified.
#pragma once
#include <atomic>
#include <span>
#include <vector>

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "helpers/run_context.hpp"
#include "isa/form.hpp"
#include "kernel/uapi.hpp"
#include "maps/facts.hpp"

namespace skep::vm {

/// Addresses that a program's symbols stand for, given by the runtime; the same for every engine.
struct LinkTable {
  std::span<void* const> map_addresses;     ///< Map*, parallel to Translated::maps()
  std::span<void* const> values_addresses;  ///< first value of an array map, or nullptr
  ProgType type = ProgType::unspec;         ///< whose helpers are called
  /// A helper, as programs of this type call it, or fixup::InternalFn.
  HelperFn (*helper)(ProgType type, s32 id) = nullptr;
  u32 exception_callback = 0;  ///< a function that nothing in the program refers to; 0: none
  /// The addresses of program arrays are maps::ProgArray: machine code may watch their slots.
  bool watches_slots = false;
};

/// Where a tail call through the program array at `map` goes: the tail_entry() of the program in slot
/// `index`, or null for an empty slot or an index beyond the end. Machine code does the same reads.
inline const Entry* tail_target(const void* map, u32 index) {
  const auto* base = static_cast<const std::byte*>(map);
  if (index >= load<u64>(base + maps::prog_array_count_offset)) return nullptr;
  const auto* slots =
      reinterpret_cast<const std::atomic<const Entry*>*>(base + maps::prog_array_slots_offset);
  return slots[index].load(std::memory_order_acquire);
}

/// Iterations that all may_goto of one function call have together (kernel: BPF_MAX_LOOPS), for programs
/// whose may_goto the fixups did not rewrite.
inline constexpr u32 may_goto_budget = 8u << 20;

/// Room below a frame's 512 bytes for what the fixups spill there (bpf_loop: 24, may_goto: 16).
inline constexpr u32 frame_slack = 64;

/// R0..R10 and R11, which only rewritten code uses (kernel: BPF_REG_AX).
inline constexpr u32 rewritten_registers = 12;

/// A program that an engine can run: decoded, every form executable, every symbol known.
struct Checked {
  std::span<const isa::Insn> insns;
  std::vector<isa::Form> forms;     ///< invalid for the second slots of ld_imm64
  std::vector<u32> jumps, symbols;  ///< as isa::Decoded has them
  std::vector<u32> entries;         ///< first instruction of each subprogram, ascending; [0] is 0
  std::vector<u64> imm64;  ///< for ld_imm64 (not of a function): the value to load; for helper(): its address
  bool has_tail_call = false;
  bool has_probe = false;      ///< a load that may fault: survive_probes() was called
  u32 exception_callback = 0;  ///< as LinkTable has it
  bool watches_slots = false;  ///< and this

  /// What the call of a helper at `at` calls.
  [[nodiscard]] HelperFn helper(u32 at) const { return reinterpret_cast<HelperFn>(imm64[at]); }
  /// Absolute target of a jump, local call or function reference at `at`.
  [[nodiscard]] u32 target(u32 at) const {
    const isa::Form form = forms[at];
    const isa::Insn& insn = insns[at];
    return at + 1 +
           static_cast<u32>(form == isa::Form::LD_IMM64_FUNC ? insn.imm : isa::displacement(form, insn));
  }
  /// Index into `entries` of the subprogram that starts at `insn`.
  [[nodiscard]] u32 subprog_at(u32 insn) const;
};

/// EINVAL for what is not a program (see isa::decode_program), an unknown map or jumps between subprograms;
/// E2BIG for calls nested deeper than 8 frames or recursive; ENOENT for a helper without implementation;
/// EOPNOTSUPP for forms that only exist before the fixups (ld_abs, kfunc calls, BTF and fd references).
/// `registers`: rewritten_registers admits R11. `insns` must outlive the result.
[[nodiscard]] Result<Checked> check(std::span<const isa::Insn> insns, const LinkTable& links,
                                    u32 registers = 11);

}  // namespace skep::vm
