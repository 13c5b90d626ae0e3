// From a verified program to the program that runs, as `dump xlated` shows it: context accesses rewritten
// to the kernel's real structures, division guards, dead code removed, map operations inlined or bound to
// their map's own function (kernel: convert_ctx_accesses(), do_misc_fixups(), opt_*_dead_code()).
#pragma once
#include <memory>
#include <vector>

#include "base/result.hpp"
#include "helpers/internal.hpp"
#include "isa/insn.hpp"
#include "verifier/verify.hpp"

namespace skep::fixup {

/// Functions that only rewritten code calls; implemented in helpers/internal.cpp.
using helpers::internal_fn_name;
using helpers::InternalFn;

/// The per-CPU address of the number of the CPU (kernel: &cpu_number, a 32-bit constant there): engines
/// translate `rD = percpu_cpu_number; rD = &(void __percpu *)(rD)` to the address of RunContext::cpu. That
/// pair stands only where bpf_get_smp_processor_id() was called; nothing jumps between the two.
inline constexpr s32 percpu_cpu_number = -0x7c4f1fcc;

/// What runs. Only translate() makes one; vm::prepare and jit::compile take nothing else.
/// In `insns`: ld_imm64 src=1/2 hold an index into `maps` (and an offset) in imm (and the next imm);
/// calls with src=0 hold a helper id, an InternalFn or the number of a kernel function; src=1 calls are
/// relative; all else is plain RFC 9669 plus the kernel's internal forms (tail call 0xf5, mov off=-1 per-CPU
/// address) and the hidden register R11.
class Translated {
 public:
  [[nodiscard]] const std::vector<isa::Insn>& insns() const { return insns_; }
  [[nodiscard]] const std::vector<verifier::Subprog>& subprogs() const { return subprogs_; }
  [[nodiscard]] const std::vector<const maps::MapFacts*>& maps() const { return maps_; }
  /// For each of insns(): the instruction of the original program it comes from.
  [[nodiscard]] const std::vector<u32>& origin() const { return origin_; }
  [[nodiscard]] const std::vector<verifier::LineInfo>& line_info() const { return line_info_; }
  [[nodiscard]] const std::vector<verifier::FuncInfo>& func_info() const { return func_info_; }
  /// What immediates of the instructions point to; lives as long as the program's code.
  [[nodiscard]] const std::shared_ptr<const void>& object_types() const { return object_types_; }
  /// The function that bpf_throw() ends in, by its first instruction; 0: the program does not throw.
  [[nodiscard]] u32 exception_callback() const { return exception_callback_; }
  [[nodiscard]] ProgType type() const { return type_; }

 private:
  friend class Translator;  // inside the room
  Translated() = default;
  std::vector<isa::Insn> insns_;
  std::vector<verifier::Subprog> subprogs_;
  std::vector<const maps::MapFacts*> maps_;
  std::vector<u32> origin_;
  std::vector<verifier::LineInfo> line_info_;
  std::vector<verifier::FuncInfo> func_info_;
  std::shared_ptr<const void> object_types_;
  u32 exception_callback_ = 0;
  ProgType type_{};
};

/// EOPNOTSUPP naming the instruction for what skep has no rewriting for; ENOMEM if a jump grows too long.
/// `program`: what callbacks that run later keep (ProgramKeeper of helpers/async.hpp).
[[nodiscard]] Result<Translated> translate(const verifier::Verified& verified, const void* program = nullptr);

/// The instructions as BPF_OBJ_GET_INFO_BY_FD shows them (kernel: bpf_insn_prepare_dump()): maps by their
/// ids, tail calls as calls of helper 12, functions of the kernel by their distance from a base address
/// (helpers::symbol_offset()), local calls with their distance in `off` and the
/// subprogram's number in imm.
[[nodiscard]] std::vector<isa::Insn> dump_insns(const Translated& program);

}  // namespace skep::fixup
