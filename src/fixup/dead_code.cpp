// What of a program never runs, and goes. Works on the original numbering; nothing moves yet.
#include "fixup/rewrite.hpp"

namespace skep::fixup {
namespace {

constexpr isa::Insn nop{.code = isa::op::JMP | isa::op::JA};

bool is_conditional(const isa::Insn& insn) {
  const u8 cls = isa::class_of(insn.code);
  const u8 op = isa::op_of(insn.code);
  return (cls == isa::op::JMP || cls == isa::op::JMP32) && op != isa::op::JA && op != isa::op::CALL &&
         op != isa::op::EXIT;
}

/// The spill and fill pairs round a fastcall helper become no-operations.
void drop_fastcall_spills(const Source& source, std::vector<isa::Insn>& insns) {
  for (u32 i = 0; i < insns.size(); ++i) {
    for (u32 k = 1; k <= source.facts[i].fastcall_spills && k <= i && i + k < insns.size(); ++k) {
      insns[i - k] = nop;
      insns[i + k] = nop;
    }
  }
}

/// A branch of which the walk saw only one side always goes there.
void hard_wire_branches(const std::vector<bool>& seen, std::vector<isa::Insn>& insns) {
  const auto was_seen = [&](s64 at) {
    return at >= 0 && at < static_cast<s64>(seen.size()) && seen[static_cast<std::size_t>(at)];
  };
  for (u32 i = 0; i < insns.size(); ++i) {
    if (!seen[i] || !is_conditional(insns[i])) continue;
    isa::Insn always = nop;
    if (!was_seen(s64{i} + 1)) {
      always.off = insns[i].off;
    } else if (was_seen(s64{i} + 1 + insns[i].off)) {
      continue;
    }
    insns[i] = always;
  }
}

/// A `goto` over nothing but dead instructions does nothing. Those removed later on the way still count: the
/// kernel goes through the program once, forwards.
bool leads_to_next(const std::vector<isa::Insn>& insns, const std::vector<bool>& seen, u32 at) {
  const isa::Insn& insn = insns[at];
  if (insn.code != nop.code || insn.off < 0) return false;
  if (insn.dst != 0 || insn.src != 0 || insn.imm != 0) return false;
  const std::size_t target = at + 1u + static_cast<u32>(insn.off);
  if (target > insns.size()) return false;
  for (std::size_t i = at + 1; i < target; ++i) {
    if (seen[i]) return false;
  }
  return true;
}

}  // namespace

Kept remove_dead_code(const Source& source) {
  Kept kept;
  kept.insns.assign(source.insns.begin(), source.insns.end());
  drop_fastcall_spills(source, kept.insns);
  std::vector<bool> seen(kept.insns.size());
  for (u32 i = 0; i < kept.insns.size(); ++i) {
    seen[i] = source.facts[i].seen;
    if (isa::is_ld_imm64(kept.insns[i]) && i + 1 < kept.insns.size()) {
      seen[i + 1] = seen[i];
      ++i;
    }
  }
  hard_wire_branches(seen, kept.insns);
  kept.live = seen;
  for (u32 i = 0; i < kept.insns.size(); ++i) {
    if (seen[i] && leads_to_next(kept.insns, seen, i)) kept.live[i] = false;
  }
  return kept;
}

}  // namespace skep::fixup
