// The rewriting itself, on plain values: translate() takes them from a Verified, tests make their own.
// Inside the room.
#pragma once
#include <span>
#include <vector>

#include "fixup/access.hpp"
#include "fixup/object_types.hpp"
#include "fixup/translate.hpp"
#include "verifier/verify.hpp"

namespace skep::fixup {

struct Source {
  ProgType type = ProgType::unspec;
  std::span<const isa::Insn> insns;
  std::span<const verifier::InsnFacts> facts;
  std::span<const verifier::Subprog> subprogs;
  std::span<const maps::MapFacts* const> maps;
  std::span<const verifier::FuncInfo> func_info;
  std::span<const verifier::LineInfo> line_info;
  bool direct_write = false;  ///< it stores into its packet
  bool throws = false;
  const void* program = nullptr;           ///< what callbacks keep (ProgramKeeper)
  u32 exception_callback = 0;              ///< first instruction; 0: the default one
  const btf::Btf* kernel_types = nullptr;  ///< that calls of kernel functions refer to
  ObjectTypeSet* object_types = nullptr;   ///< of the objects that it allocates
};

struct Rewritten {
  std::vector<isa::Insn> insns;
  std::vector<u32> origin;
  std::vector<verifier::Subprog> subprogs;
  std::vector<verifier::FuncInfo> func_info;
  std::vector<verifier::LineInfo> line_info;
  u32 exception_callback = 0;  ///< 0: it does not throw
};

/// EOPNOTSUPP naming the instruction for what no rewriting exists for; ENOMEM when a jump no longer fits its
/// 16 bits (what the kernel answers to that).
[[nodiscard]] Result<Rewritten> rewrite(const Source& source);

/// What is left of the original program, before single instructions are replaced.
struct Kept {
  std::vector<isa::Insn> insns;  ///< branches with one live side have become `goto`
  std::vector<bool> live;        ///< false: not emitted. Both slots of an ld_imm64 alike
};
/// Spills of fastcall patterns, unseen instructions and jumps to the next one go
/// (kernel: remove_fastcall_spills_fills(), opt_hard_wire_dead_code_branches(), opt_remove_dead_code(),
/// opt_remove_nops()).
[[nodiscard]] Kept remove_dead_code(const Source& source);

/// A load or store through a context or socket pointer, on the kernel's real structures; EOPNOTSUPP if skep
/// cannot (kernel: convert_ctx_accesses() and each program type's convert_ctx_access).
[[nodiscard]] Result<Patch> convert_access(const AccessRules& rules, const isa::Insn& insn,
                                           const verifier::InsnFacts& facts);

/// What goes before the first instruction of a program that writes into its packet: a packet that others
/// share is made its own, or dropped (kernel: bpf_unclone_prologue()). Empty for types whose packets are
/// never shared.
[[nodiscard]] Patch unclone_prologue(ProgType type);

/// A packet load of classic BPF: R0 = the bytes in host order; beyond the packet the program ends with 0
/// (kernel: bpf_gen_ld_abs()).
[[nodiscard]] Patch packet_load(const isa::Insn& insn);

/// Division and modulo that cannot trap: by 0 gives 0, modulo 0 leaves the dividend, signed by -1 negates.
/// Empty if the instruction needs nothing.
[[nodiscard]] Patch guard_division(const isa::Insn& insn);

/// A helper call as inline code or as a call of the map's own operation; empty if it stays as it is.
/// `map`: the one map that R1 holds on every path, or nullptr (kernel: do_misc_fixups()).
[[nodiscard]] Patch inline_call(const isa::Insn& insn, const maps::MapFacts* map, const void* program);

/// What a load through a pointer to a struct of the kernel becomes (kernel_loads.hpp); empty: it stays.
[[nodiscard]] Patch kernel_load(const Source& source, const isa::Insn& insn,
                                const verifier::InsnFacts& facts);

/// What the call of a kernel function becomes: its arguments that no program fills in, and the call by its
/// number here (helpers::kernel_function_id()), or code in place of it. EOPNOTSUPP by name if it does not run
/// here (kernel: fixup_kfunc_call()).
[[nodiscard]] Result<Patch> kernel_call(const Source& source, const isa::Insn& insn,
                                        const verifier::InsnFacts& facts);

}  // namespace skep::fixup
