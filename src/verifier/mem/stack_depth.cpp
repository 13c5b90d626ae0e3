// The stack of every chain of calls fits into 512 bytes (kernel: check_max_stack_depth()).
#include "verifier/walk/walk.hpp"

namespace skep::verifier {

namespace {

/// Types whose frames may each have a stack of their own (kernel: bpf_enable_priv_stack()).
bool private_stack_type(ProgType type) {
  return type == ProgType::kprobe || type == ProgType::tracepoint || type == ProgType::perf_event ||
         type == ProgType::raw_tracepoint;
}

constexpr u32 min_private_stack = 64;

}  // namespace

u32 Walk::rounded_depth(u32 subprog) const { return (e.subprog_aux[subprog].stack_depth + 15) / 16 * 16; }

Status Walk::check_max_stack_depth() {
  bool private_stack = private_stack_type(e.input.type);
  for (u32 i = 0; i < e.program.subprog_count(); ++i)
    if (e.program.subprogs[i].has_tail_call) private_stack = false;
  for (u32 i = 0; i < e.program.subprog_count(); ++i)
    if (i == 0 || e.subprog_aux[i].is_async_callback || i == e.program.exception_callback)
      CHECK(depth_of_chain(i, private_stack));
  return passed;
}

/// Follows every call from `subprog` on, depth first; recursion was refused before.
Status Walk::depth_of_chain(u32 subprog, bool private_stack) {
  struct Level {
    u32 subprog, next_insn, own;
  };
  std::vector<Level> chain;
  u32 depth = 0;
  u32 at = subprog;
  for (;;) {
    if (at != 0 && e.program.subprogs[at].has_tail_call && depth >= 256)
      return e.reject(
          EACCES, "tail_calls are not allowed when call stack of previous frames is {} bytes. Too large\n",
          depth);
    const u32 rounded = rounded_depth(at);
    u32 own = rounded;
    if (private_stack && rounded >= min_private_stack) {
      if (rounded > limits::stack_bytes)
        return e.reject(EACCES, "stack size of subprog {} is {}. Too large\n", at, rounded);
      own = 0;
    } else if ((depth += rounded) > limits::stack_bytes) {
      return e.reject(EACCES, "combined stack size of {} calls is {}. Too large\n", chain.size() + 1, depth);
    }
    chain.push_back({at, e.program.subprogs[at].start, own});
    // The next callee of the innermost function that still has one.
    bool entered = false;
    while (!chain.empty() && !entered) {
      Level& level = chain.back();
      const u32 end = e.program.subprogs[level.subprog + 1].start;
      for (; level.next_insn < end; ++level.next_insn) {
        const isa::Insn& insn = insns[level.next_insn];
        if (throws(insn)) {
          bool callback = false;
          for (const Level& frame : chain)
            callback = callback || e.program.subprogs[frame.subprog].is_callback ||
                       (frame.subprog != 0 && frame.subprog == e.program.exception_callback);
          if (callback)
            return e.reject(EINVAL, "bpf_throw kfunc (insn {}) cannot be called from callback subprog {}\n",
                            level.next_insn, level.subprog);
        }
        const bool calls = insn.code == (isa::op::JMP | isa::op::CALL) && insn.src == uapi::PSEUDO_CALL;
        const bool names = isa::is_ld_imm64(insn) && insn.src == uapi::PSEUDO_FUNC;
        if (!calls && !names) continue;
        const s32 callee = e.program.find_subprog(level.next_insn + static_cast<u32>(insn.imm) + 1);
        if (calls && callee > 0 && static_cast<u32>(callee) == e.program.exception_callback)
          return e.reject(EINVAL, "insn {} cannot call exception cb directly\n", level.next_insn);
        ++level.next_insn;
        if (callee < 0) continue;
        if (names && e.subprog_aux[static_cast<u32>(callee)].is_async_callback) continue;
        if (chain.size() >= limits::max_call_frames)
          return e.reject(E2BIG, "the call stack of {} frames is too deep !\n", chain.size());
        at = static_cast<u32>(callee);
        entered = true;
        break;
      }
      if (!entered) {
        depth -= level.own;
        chain.pop_back();
      }
    }
    if (!entered) return passed;
  }
}

}  // namespace skep::verifier
