// The stack of every chain of calls fits into 512 bytes, where the functions of the chain do not have stacks
// of their own (kernel: check_max_stack_depth()).
#include "verifier/walk/walk.hpp"

namespace skep::verifier {

namespace {

/// Programs whose frames may each have a stack of their own (kernel: bpf_enable_priv_stack()).
bool private_stack_type(const Input& input) {
  switch (input.type) {
    case ProgType::kprobe:
    case ProgType::tracepoint:
    case ProgType::perf_event:
    case ProgType::raw_tracepoint:
      return !input.is_extension;
    case ProgType::tracing:
      return !input.is_extension && input.expected_attach_type != AttachType::trace_iter;
    default:
      return false;
  }
}

constexpr u32 min_private_stack = 64;
constexpr u32 max_depth_before_tail_call = 256;

/// Where a function's frame is (kernel: enum priv_stack_mode).
enum Mode : u8 { undecided, shared, own };

}  // namespace

/// The functions being gone through, outermost first.
struct Walk::ChainOfCalls {
  struct Level {
    u32 subprog, next_insn;
  };
  std::vector<Level> levels;
  std::vector<u8>& modes;  ///< of each subprogram
  bool private_stack;
  bool tail_call = false;  ///< some function of it, but for the first, makes one
  u32 depth = 0;
};

u32 Walk::rounded_depth(u32 subprog) const { return (e.subprog_aux[subprog].stack_depth + 15) / 16 * 16; }

/// Functions that run by themselves later use the kernel's stack, and so do all that they call: these are
/// gone through first.
Status Walk::check_max_stack_depth() {
  bool private_stack = private_stack_type(e.input);
  const u32 count = e.program.subprog_count();
  for (u32 i = 0; i < count; ++i)
    if (e.program.subprogs[i].has_tail_call) private_stack = false;
  std::vector<u8> modes(count, undecided);
  for (u32 i = count; i-- > 0;) {
    const bool apart = i != 0 && (e.subprog_aux[i].is_async_callback || i == e.program.exception_callback);
    if (i == 0 || apart) CHECK(depth_of_chain(i, private_stack && i == 0, modes));
  }
  return passed;
}

/// Adds the function to the chain, and its frame to the depth.
Status Walk::enter_frame(ChainOfCalls& chain, u32 subprog) {
  u8& mode = chain.modes[subprog];
  if (!chain.private_stack) mode = shared;
  const bool first = chain.levels.empty();
  const bool has_tail_call = e.program.subprogs[subprog].has_tail_call;
  if (!first && has_tail_call) chain.tail_call = true;
  if (subprog != 0 && has_tail_call && chain.depth >= max_depth_before_tail_call)
    return e.reject(EACCES,
                    "tail_calls are not allowed when call stack of previous frames is {} bytes. Too large\n",
                    chain.depth);
  const u32 rounded = rounded_depth(subprog);
  if (chain.private_stack && mode == undecided && rounded >= min_private_stack) mode = own;
  if (mode == own) {
    if (rounded > limits::stack_bytes)
      return e.reject(EACCES, "stack size of subprog {} is {}. Too large\n", subprog, rounded);
  } else {
    chain.depth += rounded;
    if (chain.depth > limits::stack_bytes)
      return e.reject(EACCES, "combined stack size of {} calls is {}. Too large\n", chain.levels.size() + 1,
                      chain.depth);
  }
  chain.levels.push_back({subprog, e.program.subprogs[subprog].start});
  return passed;
}

Status Walk::check_throw(const ChainOfCalls& chain, u32 insn_idx) {
  for (const auto& level : chain.levels) {
    const bool callback = e.program.subprogs[level.subprog].is_callback ||
                          (level.subprog != 0 && level.subprog == e.program.exception_callback);
    if (callback)
      return e.reject(EINVAL, "bpf_throw kfunc (insn {}) cannot be called from callback subprog {}\n",
                      insn_idx, chain.levels.back().subprog);
  }
  return passed;
}

/// The next function that the innermost one calls or names, or -1: it has no more.
Status Walk::next_callee(ChainOfCalls& chain, s32& callee) {
  auto& level = chain.levels.back();
  const u32 end = e.program.subprogs[level.subprog + 1].start;
  for (; level.next_insn < end; ++level.next_insn) {
    const isa::Insn& insn = insns[level.next_insn];
    if (throws(insn)) CHECK(check_throw(chain, level.next_insn));
    const bool calls = insn.code == (isa::op::JMP | isa::op::CALL) && insn.src == uapi::PSEUDO_CALL;
    const bool names = isa::is_ld_imm64(insn) && insn.src == uapi::PSEUDO_FUNC;
    if (!calls && !names) continue;
    callee = e.program.find_subprog(level.next_insn + static_cast<u32>(insn.imm) + 1);
    if (calls && callee > 0 && static_cast<u32>(callee) == e.program.exception_callback)
      return e.reject(EINVAL, "insn {} cannot call exception cb directly\n", level.next_insn);
    if (callee < 0 || (names && e.subprog_aux[static_cast<u32>(callee)].is_async_callback)) continue;
    ++level.next_insn;
    return passed;
  }
  callee = -1;
  return passed;
}

/// Follows every call from `subprog` on, depth first; recursion was refused before.
Status Walk::depth_of_chain(u32 subprog, bool private_stack, std::vector<u8>& modes) {
  ChainOfCalls chain{{}, modes, private_stack};
  CHECK(enter_frame(chain, subprog));
  while (!chain.levels.empty()) {
    s32 callee = -1;
    CHECK(next_callee(chain, callee));
    if (callee >= 0) {
      if (chain.levels.size() >= limits::max_call_frames)
        return e.reject(E2BIG, "the call stack of {} frames is too deep !\n", chain.levels.size());
      CHECK(enter_frame(chain, static_cast<u32>(callee)));
      continue;
    }
    const u32 left = chain.levels.back().subprog;
    chain.levels.pop_back();
    if (modes[left] != own) chain.depth -= rounded_depth(left);
    for (const auto& level : chain.levels)
      if (chain.tail_call && level.subprog != 0 && level.subprog == e.program.exception_callback)
        return e.reject(EINVAL, "cannot tail call within exception cb\n");
  }
  return passed;
}

}  // namespace skep::verifier
