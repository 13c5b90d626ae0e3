// The order of instructions for dataflow, and their loops: postorder inside each function, strongly connected
// components inside each function (kernel: compute_postorder(), compute_scc()). Calls fall through: callees
// are not followed. Both walks use explicit stacks; programs may have a million instructions.
#include <algorithm>

#include "verifier/front/insns.hpp"
#include "verifier/front/program.hpp"

namespace skep::verifier {
namespace {

constexpr u32 not_on_stack = UINT32_MAX;

/// Tarjan's algorithm with its recursion unrolled; components get numbers in the order they are completed.
class SccWalk {
 public:
  explicit SccWalk(Program& program)
      : program_(program), order_(program.insns.size()), low_(program.insns.size()) {}

  u32 run() {
    for (u32 i = 0; i < program_.insns.size(); ++i) {
      if (order_[i] != 0) continue;
      path_.assign(1, i);
      while (!path_.empty()) step();
    }
    return next_scc_ - 1;
  }

 private:
  void step() {
    const u32 at = path_.back();
    if (order_[at] == 0) {
      order_[at] = low_[at] = next_order_++;
      component_.push_back(at);
    }
    const Successors next = successors(program_, at);
    for (u32 k = 0; k < next.count; ++k) {
      if (order_[next.at[k]] == 0) {
        path_.push_back(next.at[k]);
        return;
      }
      low_[at] = std::min(low_[at], low_[next.at[k]]);
    }
    if (low_[at] == order_[at]) complete(at, next);
    path_.pop_back();
  }

  /// `root` is the first of a component, whose members stand above it on the stack. One instruction alone is
  /// a loop only if it leads to itself.
  void complete(u32 root, const Successors& next) {
    bool is_loop = component_.back() != root;
    for (u32 k = 0; k < next.count; ++k) is_loop |= next.at[k] == root;
    u32 member = 0;
    do {
      member = component_.back();
      component_.pop_back();
      low_[member] = not_on_stack;
      if (is_loop) program_.notes[member].scc = next_scc_;
    } while (member != root);
    if (is_loop) ++next_scc_;
  }

  Program& program_;
  std::vector<u32> order_;  ///< preorder number, 0: not visited
  std::vector<u32> low_;    ///< smallest preorder number known to be reachable
  std::vector<u32> path_;
  std::vector<u32> component_;
  u32 next_order_ = 1;
  u32 next_scc_ = 1;
};

}  // namespace

Successors successors(const Program& program, u32 at) {
  const isa::Insn& insn = program.insns[at];
  Successors out;
  const auto add = [&](s64 to) {
    if (to >= 0 && to < static_cast<s64>(program.insns.size())) out.at[out.count++] = static_cast<u32>(to);
  };
  if (!is_exit(insn) && !is_unconditional_jump(insn)) add(s64{at} + slots(insn));
  if (is_jump(insn)) add(s64{at} + jump_offset(insn) + 1);
  return out;
}

int compute_postorder(Program& program) {
  enum : u8 { unseen, on_stack, expanded };
  std::vector<u8> state(program.insns.size(), unseen);
  std::vector<u32> stack;
  program.postorder.clear();
  program.postorder.reserve(program.insns.size());
  for (u32 s = 0; s < program.subprog_count(); ++s) {
    program.subprogs[s].postorder_start = static_cast<u32>(program.postorder.size());
    stack.assign(1, program.subprogs[s].start);
    while (!stack.empty()) {
      const u32 top = stack.back();
      if (state[top] == expanded) {
        program.postorder.push_back(top);
        stack.pop_back();
        continue;
      }
      state[top] = expanded;
      const Successors next = successors(program, top);
      for (u32 k = 0; k < next.count; ++k) {
        if (state[next.at[k]] != unseen) continue;
        state[next.at[k]] = on_stack;
        stack.push_back(next.at[k]);
      }
    }
  }
  program.subprogs.back().postorder_start = static_cast<u32>(program.postorder.size());
  return 0;
}

int compute_scc(Program& program) {
  program.scc_count = SccWalk(program).run();
  return 0;
}

}  // namespace skep::verifier
