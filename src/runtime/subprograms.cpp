// See subprograms.hpp.
#include "runtime/subprograms.hpp"

#include <algorithm>

#include "helpers/kernel_functions.hpp"
#include "helpers/table.hpp"

namespace skep::runtime {
namespace {

using isa::Insn;

constexpr u8 call_code = isa::op::JMP | isa::op::CALL;

s32 subprog_at(const fixup::Translated& translated, std::size_t insn) {
  const auto& subprogs = translated.subprogs();
  const auto it =
      std::ranges::find(subprogs, insn, [](const verifier::Subprog& s) { return std::size_t{s.start}; });
  return static_cast<s32>(it - subprogs.begin());
}

/// The instructions as jit_subprogs() hashes them: calls name the subprogram by number, helpers by distance.
std::vector<Insn> for_tag(const fixup::Translated& translated) {
  std::vector<Insn> insns = translated.insns();
  for (std::size_t i = 0; i < insns.size(); ++i) {
    Insn& insn = insns[i];
    if (isa::is_ld_imm64(insn)) {
      ++i;
    } else if (insn.code == call_code && insn.src == 0) {
      if (insn.imm > helpers::kernel_function_base) insn.src = uapi::PSEUDO_KFUNC_CALL;
      insn.imm = helpers::symbol_offset(insn.imm);
    } else if (insn.code == call_code && insn.src == uapi::PSEUDO_CALL) {
      const auto target = static_cast<std::size_t>(static_cast<s64>(i) + insn.imm + 1);
      insn.off = static_cast<s16>(subprog_at(translated, target));
      insn.imm = 1;
    }
  }
  return insns;
}

}  // namespace

std::vector<SubprogInfo> subprograms(const fixup::Translated& translated, const Program& program,
                                     TagHash hash) {
  std::vector<SubprogInfo> infos;
  const auto& subprogs = translated.subprogs();
  const std::vector<Insn> insns = for_tag(translated);
  for (std::size_t i = 0; i < subprogs.size(); ++i) {
    const std::size_t start = subprogs[i].start;
    const std::size_t end = i + 1 < subprogs.size() ? subprogs[i + 1].start : insns.size();
    SubprogInfo info;
    info.start = subprogs[i].start;
    info.tag =
        subprogs.size() == 1 ? program.tag : program_tag(std::span(insns).subspan(start, end - start), hash);
    if (program.btf != nullptr && i < program.func_info.size())
      info.name = program.btf->btf.name(program.func_info[i].type_id);
    infos.push_back(std::move(info));
  }
  return infos;
}

}  // namespace skep::runtime
