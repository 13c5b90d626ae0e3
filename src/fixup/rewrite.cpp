// Lays out the program that runs: dead code left out, each remaining instruction replaced by its patch, every
// jump, call and record moved along. Jumps always lead to the first instruction of what replaced their
// target.
#include "fixup/rewrite.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

namespace skep::fixup {
namespace {

using namespace isa::op;

bool is_call(const isa::Insn& insn) { return insn.code == (JMP | CALL); }
bool is_local_call(const isa::Insn& insn) { return is_call(insn) && insn.src == uapi::PSEUDO_CALL; }
bool is_func_reference(const isa::Insn& insn) {
  return isa::is_ld_imm64(insn) && insn.src == uapi::PSEUDO_FUNC;
}
bool is_jump(const isa::Insn& insn) {
  const u8 cls = isa::class_of(insn.code);
  const u8 op = isa::op_of(insn.code);
  return (cls == JMP || cls == JMP32) && op != CALL && op != EXIT;
}
bool is_gotol(const isa::Insn& insn) { return insn.code == (JMP32 | JA); }

class Layout {
 public:
  explicit Layout(const Source& source)
      : source_(source),
        rules_{source.type, reads_tstamp_type(source)},
        kept_(remove_dead_code(source)),
        start_(source.insns.size() + 1) {}

  Result<Rewritten> run() {
    if (source_.direct_write)
      for (const isa::Insn& p : unclone_prologue(source_.type)) push(p, 0);
    entry_ = size();
    for (u32 i = 0; i < source_.insns.size(); ++i) {
      start_[i] = size();
      if (!kept_.live[i]) continue;
      TRY(emit(i));
      if (isa::is_ld_imm64(kept_.insns[i])) start_[++i] = size();
    }
    start_[source_.insns.size()] = size();
    TRY(retarget());
    move_records();
    if (source_.throws) place_exception_callback();
    return std::move(out_);
  }

 private:
  [[nodiscard]] u32 size() const { return static_cast<u32>(out_.insns.size()); }
  [[nodiscard]] std::unexpected<Error> refuse(u32 at, std::string_view what) const {
    return fail(EOPNOTSUPP, fmt::format("instruction {}: {}", at, what));
  }

  void push(const isa::Insn& insn, u32 from) {
    out_.insns.push_back(insn);
    out_.origin.push_back(from);
  }

  Result<void> emit(u32 at) {
    const isa::Insn& insn = kept_.insns[at];
    if (isa::is_ld_imm64(insn)) return emit_imm64(at);
    const Patch patch = TRY(replacement(at));
    if (patch.empty()) {
      push(insn, at);
    } else {
      for (const isa::Insn& p : patch) push(p, at);
    }
    return {};
  }

  /// Empty: the instruction stays.
  Result<Patch> replacement(u32 at) {
    const isa::Insn& insn = kept_.insns[at];
    const verifier::InsnFacts& facts = source_.facts[at];
    switch (isa::class_of(insn.code)) {
      case LD:
        return packet_load(insn);
      case LDX:
      case ST:
      case STX:
        if (is_converted(facts))
          return with_context(convert_access(rules_, insn, facts), fmt::format("instruction {}", at));
        if (facts.kernel_type != 0)
          if (const Patch patch = kernel_load(source_, insn, facts); !patch.empty())
            return facts.may_fault ? probed(*patch.begin()) : patch;
        if (facts.may_fault) return probed(insn);
        return zero_extended(insn, facts);
      case ALU:
      case ALU64:
        return guard_division(insn);
      default:
        break;
    }
    if (!is_call(insn) || insn.src == uapi::PSEUDO_CALL) return Patch{};
    if (insn.src == uapi::PSEUDO_KFUNC_CALL) return kernel_call(source_, insn, facts);
    return inline_call(insn, map_of_call(facts), source_.program);
  }

  static bool is_converted(const verifier::InsnFacts& facts) {
    using verifier::PtrKind;
    const auto kind = static_cast<PtrKind>(facts.pointer_kind);
    return kind == PtrKind::ctx || kind == PtrKind::sock || kind == PtrKind::tcp_sock ||
           kind == PtrKind::xdp_sock;
  }
  /// prog->tstamp_type_access
  static bool reads_tstamp_type(const Source& source) {
    constexpr s16 tstamp_type = 180;  // of struct __sk_buff
    for (std::size_t i = 0; i < source.insns.size(); ++i)
      if (source.facts[i].seen && source.insns[i].off == tstamp_type &&
          isa::class_of(source.insns[i].code) == LDX &&
          source.facts[i].pointer_kind == static_cast<u8>(verifier::PtrKind::ctx))
        return true;
    return false;
  }

  /// A load that may fault gives 0 then (kernel: BPF_PROBE_MEM); all else is as it is.
  static Patch probed(const isa::Insn& insn) {
    const u8 mode = isa::mode_of(insn.code);
    if (isa::class_of(insn.code) != LDX || (mode != MEM && mode != MEMSX)) return {insn};
    isa::Insn probe = insn;
    probe.code = static_cast<u8>(LDX | isa::size_of(insn.code) | (mode == MEM ? PROBE_MEM : PROBE_MEMSX));
    return {probe};
  }

  /// A 32-bit compare-and-exchange leaves R0's upper half to the machine where it did not exchange.
  static Patch zero_extended(const isa::Insn& insn, const verifier::InsnFacts& facts) {
    const bool is_cmpxchg32 = insn.code == (STX | ATOMIC | W) && insn.imm == CMPXCHG;
    if (!is_cmpxchg32 || !facts.zext_dst) return {};
    return {insn, isa::encode(isa::Form::ZEXT, 0, 0)};
  }

  [[nodiscard]] const maps::MapFacts* map_of_call(const verifier::InsnFacts& facts) const {
    if (!facts.call_map_known || facts.map_index < 0) return nullptr;
    const maps::MapFacts* map = source_.maps[static_cast<u32>(facts.map_index)];
    if (!facts.call_map_inner) return map;
    // All that are inside are like their template, but for how many elements a per-CPU array has.
    return map->inner->type == MapType::percpu_array ? nullptr : map->inner;
  }

  /// References to maps hold an index into the program's maps from here on.
  Result<void> emit_imm64(u32 at) {
    isa::Insn first = kept_.insns[at];
    isa::Insn second = kept_.insns[at + 1];
    const verifier::InsnFacts& facts = source_.facts[at];
    switch (first.src) {
      case 0:
      case uapi::PSEUDO_FUNC:
        break;
      case uapi::PSEUDO_MAP_FD:
      case uapi::PSEUDO_MAP_IDX:
        first.src = uapi::PSEUDO_MAP_FD;
        first.imm = facts.map_index;
        second.imm = 0;
        break;
      case uapi::PSEUDO_MAP_VALUE:
      case uapi::PSEUDO_MAP_IDX_VALUE:
        first.src = uapi::PSEUDO_MAP_VALUE;
        first.imm = facts.map_index;
        second.imm = static_cast<s32>(facts.map_off);
        break;
      default:
        return refuse(at, "64-bit immediates of this kind have no rewriting");
    }
    push(first, at);
    push(second, at);
    return {};
  }

  /// Jumps and calls that stand in the original program; those inside patches are right already.
  Result<void> retarget() {
    for (u32 i = 0; i < out_.insns.size(); ++i) {
      isa::Insn& insn = out_.insns[i];
      const u32 from = out_.origin[i];
      if (start_[from] != i || !same_instruction(insn, kept_.insns[from])) continue;
      const bool by_imm = is_gotol(insn) || is_local_call(insn) || is_func_reference(insn);
      if (!by_imm && !is_jump(insn)) continue;
      const s64 target = s64{from} + 1 + (by_imm ? insn.imm : insn.off);
      const s64 distance = s64{start_[static_cast<std::size_t>(target)]} - i - 1;
      if (by_imm) {
        insn.imm = static_cast<s32>(distance);
      } else if (distance >= INT16_MIN && distance <= INT16_MAX) {
        insn.off = static_cast<s16>(distance);
      } else {
        return fail(ENOMEM, fmt::format("insn {} cannot be patched due to 16-bit range", from));
      }
    }
    return {};
  }
  static bool same_instruction(const isa::Insn& now, const isa::Insn& before) {
    return now.code == before.code && now.src == before.src;
  }

  /// Without one of its own the program returns what was thrown: a function that is shown, but is none of the
  /// program's (kernel: add_hidden_subprog()).
  void place_exception_callback() {
    const auto last = static_cast<u32>(source_.insns.size()) - 1;
    if (source_.exception_callback != 0) {
      out_.exception_callback = start_[source_.exception_callback];
      // What follows a bpf_throw() at the very end is never reached, but engines want it to end.
      if (is_call(out_.insns.back())) push(isa::encode(isa::Form::EXIT), last);
      return;
    }
    out_.exception_callback = size();
    push(isa::encode(isa::Form::MOV64_X, 0, 1), last);
    push(isa::encode(isa::Form::EXIT), last);
  }

  /// Functions of which nothing is left are gone, and their records with them. A line record whose
  /// instructions are gone goes to the next one that is left, unless that has its own.
  void move_records() {
    for (u32 i = 0; i < source_.subprogs.size(); ++i) {
      const u32 begin = source_.subprogs[i].start;
      const u32 end = i + 1 < source_.subprogs.size() ? source_.subprogs[i + 1].start
                                                      : static_cast<u32>(source_.insns.size());
      if (start_[begin] == start_[end]) continue;
      out_.subprogs.push_back(source_.subprogs[i]);
      out_.subprogs.back().start = entry_of(begin);
      if (i < source_.func_info.size()) {
        out_.func_info.push_back(source_.func_info[i]);
        out_.func_info.back().insn_off = entry_of(begin);
      }
    }
    for (const verifier::LineInfo& line : source_.line_info) {
      verifier::LineInfo moved = line;
      moved.insn_off = entry_of(line.insn_off);
      if (moved.insn_off == size()) continue;
      if (!out_.line_info.empty() && out_.line_info.back().insn_off == moved.insn_off)
        out_.line_info.pop_back();
      out_.line_info.push_back(moved);
    }
  }

  /// The first instruction's records cover the prologue, too; jumps to it do not go there.
  [[nodiscard]] u32 entry_of(u32 insn) const { return start_[insn] == entry_ ? 0 : start_[insn]; }

  const Source& source_;
  AccessRules rules_;
  u32 entry_ = 0;  ///< behind the prologue
  Kept kept_;
  std::vector<u32> start_;  ///< original instruction -> first of what it became
  Rewritten out_;
};

}  // namespace

Result<Rewritten> rewrite(const Source& source) { return Layout(source).run(); }

}  // namespace skep::fixup
