// Checks a program and resolves its symbols for an engine.
#include "vm/link.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

#include "base/limits.hpp"
#include "vm/probe.hpp"

namespace skep::vm {

using isa::Family;
using isa::Form;

u32 Checked::subprog_at(u32 insn) const {
  const auto it = std::upper_bound(entries.begin(), entries.end(), insn);
  return static_cast<u32>(it - entries.begin()) - 1;
}

namespace {

class Checker {
 public:
  Checker(std::span<const isa::Insn> insns, const LinkTable& links, u32 registers)
      : links_(links), registers_(registers) {
    out_.insns = insns;
  }

  Result<Checked> run() {
    isa::Decoded decoded = TRY(isa::decode_program(out_.insns, registers_));
    out_.forms = std::move(decoded.forms);
    out_.jumps = std::move(decoded.jumps);
    out_.symbols = std::move(decoded.symbols);
    if (!out_.symbols.empty()) out_.imm64.resize(out_.insns.size());
    for (const u32 i : out_.symbols) TRY(symbols_of(i));
    TRY(find_subprogs());
    TRY(jumps_stay_inside());
    TRY(calls_are_bounded());
    return std::move(out_);
  }

 private:
  static std::unexpected<Error> at(u32 i, int code, std::string_view text) {
    return fail(code, fmt::format("instruction {}: {}", i, text));
  }

  Result<void> symbols_of(u32 i) {
    switch (isa::info(out_.forms[i]).family) {
      case Family::ld_abs:
      case Family::ld_ind:
        return at(i, EOPNOTSUPP, "packet loads run only after they are rewritten for an skb");
      case Family::addr_space_cast:
        return at(i, EOPNOTSUPP, "address space casts need an arena, which is not there yet");
      case Family::tail_call:
        out_.has_tail_call = true;
        return {};
      case Family::probe:
        if (!out_.has_probe) TRY(survive_probes());
        out_.has_probe = true;
        return {};
      case Family::call:
        return call(i);
      case Family::ld_imm64:
        return immediate(i);
      default:
        return {};
    }
  }

  Result<void> call(u32 i) {
    if (out_.forms[i] == Form::CALL_KFUNC) return at(i, EOPNOTSUPP, "kernel functions cannot be called");
    if (out_.forms[i] != Form::CALL_HELPER) return {};
    const s32 id = out_.insns[i].imm;
    const HelperFn helper = links_.helper == nullptr ? nullptr : links_.helper(links_.type, id);
    out_.imm64[i] = reinterpret_cast<u64>(helper);
    if (helper == nullptr) return at(i, ENOENT, fmt::format("helper {} has no implementation", id));
    return {};
  }

  Result<void> immediate(u32 i) {
    const u32 low = static_cast<u32>(out_.insns[i].imm);
    switch (out_.forms[i]) {
      case Form::LD_IMM64_IMM:
        out_.imm64[i] = isa::imm64(out_.insns[i], out_.insns[i + 1]);
        return {};
      case Form::LD_IMM64_MAP_FD:
        if (low >= links_.map_addresses.size())
          return at(i, EINVAL, fmt::format("map {} is not linked", low));
        out_.imm64[i] = reinterpret_cast<u64>(links_.map_addresses[low]);
        return {};
      case Form::LD_IMM64_MAP_VALUE:
        if (low >= links_.values_addresses.size() || links_.values_addresses[low] == nullptr)
          return at(i, EINVAL, fmt::format("map {} has no values to point into", low));
        out_.imm64[i] =
            reinterpret_cast<u64>(links_.values_addresses[low]) + static_cast<u32>(out_.insns[i + 1].imm);
        return {};
      case Form::LD_IMM64_FUNC: {
        const s64 target = static_cast<s64>(i) + 1 + out_.insns[i].imm;
        if (target < 0 || target >= static_cast<s64>(out_.insns.size()) ||
            out_.forms[static_cast<std::size_t>(target)] == Form::invalid)
          return at(i, EINVAL, "a function reference that points at no instruction");
        return {};
      }
      default:
        return at(i, EOPNOTSUPP, "an immediate that should have been resolved before it runs");
    }
  }

  Result<void> find_subprogs() {
    out_.entries.push_back(0);
    const auto note = [&](const std::vector<u32>& list, Form form) -> Result<void> {
      for (const u32 i : list) {
        if (out_.forms[i] != form) continue;
        if (out_.target(i) == 0) return at(i, EINVAL, "a reference to the main program as a subprogram");
        out_.entries.push_back(out_.target(i));
      }
      return {};
    };
    TRY(note(out_.jumps, Form::CALL_LOCAL));
    TRY(note(out_.symbols, Form::LD_IMM64_FUNC));
    out_.exception_callback = links_.exception_callback;
    out_.watches_slots = links_.watches_slots;
    if (links_.exception_callback != 0) out_.entries.push_back(links_.exception_callback);
    std::sort(out_.entries.begin(), out_.entries.end());
    out_.entries.erase(std::unique(out_.entries.begin(), out_.entries.end()), out_.entries.end());
    for (const u32 entry : out_.entries) {
      if (entry == 0) continue;
      const u32 last = entry >= 2 && out_.forms[entry - 1] == Form::invalid ? entry - 2 : entry - 1;
      const Form form = out_.forms[last];
      // bpf_throw(), or a function that always throws: what stood behind was dead.
      const bool throws =
          links_.exception_callback != 0 && (form == Form::CALL_HELPER || form == Form::CALL_LOCAL);
      if (!throws && form != Form::EXIT && form != Form::JA && form != Form::GOTOL)
        return at(last, EINVAL, "a subprogram's last instruction is neither exit nor a jump");
    }
    return {};
  }

  Result<void> jumps_stay_inside() {
    if (out_.entries.size() == 1) return {};
    for (const u32 i : out_.jumps) {
      if (out_.forms[i] == Form::CALL_LOCAL) continue;
      if (out_.subprog_at(i) != out_.subprog_at(out_.target(i)))
        return at(i, EINVAL, "jump from one subprogram into another");
    }
    return {};
  }

  /// Longest chain of local calls, by relaxation over the call edges: more than 8 rounds of change mean
  /// that the chain is too long or recursive.
  Result<void> calls_are_bounded() {
    if (out_.entries.size() == 1) return {};
    std::vector<u32> depth(out_.entries.size(), 1);
    for (bool changed = true; changed;) {
      changed = false;
      for (const u32 i : out_.jumps) {
        if (out_.forms[i] != Form::CALL_LOCAL) continue;
        const u32 caller = out_.subprog_at(i), callee = out_.subprog_at(out_.target(i));
        if (depth[callee] > depth[caller]) continue;
        depth[callee] = depth[caller] + 1;
        changed = true;
        if (depth[callee] > limits::max_call_frames)
          return at(i, E2BIG,
                    fmt::format("calls nest deeper than {} frames or recurse", limits::max_call_frames));
      }
    }
    return {};
  }

  const LinkTable& links_;
  u32 registers_;
  Checked out_;
};

}  // namespace

Result<Checked> check(std::span<const isa::Insn> insns, const LinkTable& links, u32 registers) {
  return Checker(insns, links, registers).run();
}

}  // namespace skep::vm
