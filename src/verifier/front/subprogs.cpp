// Which functions a program consists of, and that no jump leaves its function
// (kernel: add_subprog_and_kfunc(), check_subprogs()).
#include <algorithm>
#include <cerrno>

#include "base/limits.hpp"
#include "verifier/front/insns.hpp"
#include "verifier/front/program.hpp"

namespace skep::verifier {
namespace {

/// Keeps the list sorted by start; a known start is not added again.
int add_subprog(Program& program, s64 start, Log& log) {
  if (start < 0 || start >= static_cast<s64>(program.insns.size())) {
    log.say("call to invalid destination\n");
    return EINVAL;
  }
  auto& list = program.subprogs;
  const auto at = std::lower_bound(list.begin(), list.end(), start,
                                   [](const SubprogNotes& s, s64 want) { return s.start < want; });
  if (at != list.end() && at->start == start) return 0;
  if (list.size() >= limits::max_subprogs) {
    log.say("too many subprograms\n");
    return E2BIG;
  }
  SubprogNotes fresh;
  fresh.start = static_cast<u32>(start);
  list.insert(at, fresh);
  return 0;
}

}  // namespace

s32 Program::find_subprog(u32 insn) const {
  const u32 at = containing_subprog(insn);
  return subprogs[at].start == insn && insn < insns.size() ? static_cast<s32>(at) : -1;
}

u32 Program::containing_subprog(u32 insn) const {
  const auto end = subprogs.end() - 1;  // the end marker is no function
  const auto after = std::upper_bound(subprogs.begin(), end, insn,
                                      [](u32 want, const SubprogNotes& s) { return want < s.start; });
  return static_cast<u32>(after - subprogs.begin()) - 1;
}

int add_subprogs(const Input& input, Program& program, Log& log) {
  program.subprogs.clear();
  if (const int err = add_subprog(program, 0, log); err != 0) return err;
  std::vector<u32> callbacks, kfuncs;
  for (u32 i = 0; i < program.insns.size(); ++i) {
    const isa::Insn& insn = program.insns[i];
    if (is_kfunc_call(insn)) {
      if (const int err = add_kfunc_call(input, insn, kfuncs, log); err != 0) return err;
      continue;
    }
    if (!is_func_reference(insn) && !is_local_call(insn)) continue;
    const s64 target = s64{i} + insn.imm + 1;
    if (const int err = add_subprog(program, target, log); err != 0) return err;
    if (is_func_reference(insn)) callbacks.push_back(static_cast<u32>(target));
  }
  s64 exception_callback = -1;
  if (const int err = find_exception_callback(input, exception_callback, log); err != 0) return err;
  if (exception_callback > 0)
    if (const int err = add_subprog(program, exception_callback, log); err != 0) return err;
  SubprogNotes end;
  end.start = static_cast<u32>(program.insns.size());
  program.subprogs.push_back(end);
  for (const u32 start : callbacks) {
    program.subprogs[static_cast<u32>(program.find_subprog(start))].is_callback = true;
  }
  if (exception_callback > 0)
    program.exception_callback = static_cast<u32>(program.find_subprog(static_cast<u32>(exception_callback)));
  if (log.level2()) {
    for (u32 i = 0; i < program.subprog_count(); ++i) {
      log.trace("func#{} @{}\n", i, program.subprogs[i].start);
    }
  }
  return 0;
}

int check_subprogs(const Input&, Program& program, Log& log) {
  u32 current = 0;
  for (u32 i = 0; i < program.insns.size(); ++i) {
    const isa::Insn& insn = program.insns[i];
    SubprogNotes& subprog = program.subprogs[current];
    const u32 end = program.subprogs[current + 1].start;
    if (is_helper_call(insn) && insn.imm == helper_tail_call) {
      subprog.has_tail_call = true;
      subprog.tail_call_reachable = true;
    }
    if (is_ld_abs(insn)) subprog.has_ld_abs = true;
    if (is_jump(insn)) {
      const s64 target = s64{i} + jump_offset(insn) + 1;
      if (target < subprog.start || target >= end) {
        log.say("jump out of range from insn {} to {}\n", i, static_cast<s32>(target));
        return EINVAL;
      }
    }
    if (i + 1 == end) {
      // Control must not fall from one function into the next.
      if (!is_exit(insn) && !is_unconditional_jump(insn)) {
        log.say("last insn is not an exit or jmp\n");
        return EINVAL;
      }
      ++current;
    }
  }
  return 0;
}

}  // namespace skep::verifier
