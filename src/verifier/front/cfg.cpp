// The control-flow walk: every instruction is reachable, none is entered in its middle; on the way it marks
// where states are compared (prune points), where the path taken must be remembered (jump points), and where
// a state is always kept (kernel: check_cfg(), visit_insn()). Depth-first with an explicit stack; edges are
// followed in the kernel's order.
#include <cerrno>

#include "verifier/front/insns.hpp"
#include "verifier/front/program.hpp"
#include "verifier/kfunc/kfunc.hpp"

namespace skep::verifier {
namespace {

enum class Edge : u8 { fallthrough = 1, branch = 2 };
enum class Visit : u8 { done, again, failed };

class CfgWalk {
 public:
  CfgWalk(const Input& input, Program& program, Log& log)
      : input_(input), program_(program), log_(log), state_(program.insns.size(), unseen) {}

  int run() {
    if (const int err = explore(0); err != 0) return err;
    // Nothing calls the exception callback.
    const u32 handler = program_.subprogs[program_.exception_callback].start;
    if (handler != 0 && state_[handler] == unseen)
      if (const int err = explore(handler); err != 0) return err;
    return check_all_explored();
  }

 private:
  int explore(u32 start) {
    discover(start);
    while (!stack_.empty()) {
      const u32 at = stack_.back();
      switch (visit(at)) {
        case Visit::done:
          state_[at] = explored;
          stack_.pop_back();
          break;
        case Visit::again:
          break;
        case Visit::failed:
          return EINVAL;
      }
    }
    return 0;
  }

  // State of an instruction: 0, discovered plus the last edge taken from it, explored.
  static constexpr u8 unseen = 0, discovered = 0x10, explored = 0x20;

  void discover(u32 insn) {
    state_[insn] = discovered;
    stack_.push_back(insn);
  }
  InsnNotes& notes(u32 insn) { return program_.notes[insn]; }

  /// Follows an edge. `again`: its end was new and is on the stack; the caller is visited again later.
  Visit push(u32 from, s64 to, Edge edge) {
    if (state_[from] >= (discovered | static_cast<u8>(edge))) return Visit::done;
    if (to < 0 || to >= static_cast<s64>(program_.insns.size())) {
      log_.say("jump out of range from insn {} to {}\n", from, to);
      return Visit::failed;
    }
    const auto target = static_cast<u32>(to);
    if (edge == Edge::branch) {
      notes(target).prune_point = true;
      notes(target).jump_point = true;
      notes(target).jump_target = true;
    }
    if (state_[target] == unseen) {
      state_[from] = discovered | static_cast<u8>(edge);
      discover(target);
      return Visit::again;
    }
    // A loop (the target is still open) is for the walk to judge.
    if (state_[target] == explored) state_[from] = discovered | static_cast<u8>(edge);
    return Visit::done;
  }

  /// A call, or a reference to a function, which counts as one.
  Visit visit_call(u32 at, bool into_callee) {
    const isa::Insn& insn = program_.insns[at];
    const u32 next = at + slots(insn);
    if (const Visit v = push(at, next, Edge::fallthrough); v != Visit::done) return v;
    notes(next).prune_point = true;
    notes(next).jump_point = true;
    if (!into_callee) return Visit::done;
    notes(at).prune_point = true;
    const s64 callee = s64{at} + insn.imm + 1;
    merge_effects(at, static_cast<u32>(callee));
    return push(at, callee, Edge::branch);
  }

  /// What the callee does to packets and sleep, its caller does.
  void merge_effects(u32 caller_insn, u32 callee_insn) {
    SubprogNotes& caller = program_.subprogs[program_.containing_subprog(caller_insn)];
    const SubprogNotes& callee = program_.subprogs[program_.containing_subprog(callee_insn)];
    caller.changes_pkt_data |= callee.changes_pkt_data;
    caller.might_sleep |= callee.might_sleep;
  }

  void note_helper(u32 at) {
    const isa::Insn& insn = program_.insns[at];
    if (calls_async_callback(insn)) notes(at).prune_point = true;
    if (calls_sync_callback(insn)) note_sync_callback(at);
    if (is_kfunc_call(insn)) return note_kfunc(at);
    if (!is_helper_call(insn) || input_.helper == nullptr) return;
    const helpers::Contract* contract =
        input_.helper(input_.type, input_.expected_attach_type, static_cast<u32>(insn.imm));
    if (contract == nullptr) return;
    SubprogNotes& subprog = program_.subprogs[program_.containing_subprog(at)];
    subprog.changes_pkt_data |= contract->changes_packet;
    subprog.might_sleep |= contract->might_sleep;
  }

  void note_sync_callback(u32 at) {
    notes(at).calls_callback = true;
    notes(at).force_checkpoint = true;
    notes(at).prune_point = true;
    notes(at).jump_point = true;
  }

  void note_kfunc(u32 at) {
    const kfunc::Row* row = kfunc::callable(input_, program_.insns[at]);
    if (row == nullptr) return;
    const kfunc::Special special = kfunc::special(row->name);
    if (kfunc::calls_async_callback(special)) notes(at).prune_point = true;
    if (special == kfunc::Special::rbtree_add) note_sync_callback(at);
    if ((row->flags & kfunc::iter_next) != 0) {
      notes(at).iter_next = true;
      notes(at).prune_point = true;
      notes(at).force_checkpoint = true;
    }
    SubprogNotes& subprog = program_.subprogs[program_.containing_subprog(at)];
    subprog.might_sleep |= (row->flags & kfunc::sleepable) != 0;
    subprog.changes_pkt_data |= special == kfunc::Special::xdp_pull_data;
  }

  Visit visit(u32 at) {
    const isa::Insn& insn = program_.insns[at];
    if (is_func_reference(insn)) return visit_call(at, true);
    if (!is_jump_class(insn)) return push(at, s64{at} + slots(insn), Edge::fallthrough);
    switch (isa::op_of(insn.code)) {
      case isa::op::EXIT:
        return Visit::done;
      case isa::op::CALL:
        note_helper(at);
        return visit_call(at, insn.src == uapi::PSEUDO_CALL);
      case isa::op::JA: {
        if (isa::is_reg_source(insn.code)) return Visit::failed;
        const s64 target = s64{at} + jump_offset(insn) + 1;
        if (const Visit v = push(at, target, Edge::fallthrough); v != Visit::done) return v;
        InsnNotes& there = notes(static_cast<u32>(target));
        there.prune_point = there.jump_point = there.jump_target = true;
        return Visit::done;
      }
      default: {  // conditional jumps and may_goto
        notes(at).prune_point = true;
        if (is_may_goto(insn)) notes(at).force_checkpoint = true;
        if (const Visit v = push(at, s64{at} + 1, Edge::fallthrough); v != Visit::done) return v;
        return push(at, s64{at} + insn.off + 1, Edge::branch);
      }
    }
  }

  int check_all_explored() {
    for (u32 i = 0; i < program_.insns.size(); ++i) {
      if (state_[i] != explored) {
        log_.say("unreachable insn {}\n", i);
        return EINVAL;
      }
      if (isa::is_ld_imm64(program_.insns[i])) {
        if (state_[i + 1] != unseen) {
          log_.say("jump into the middle of ldimm64 insn {}\n", i);
          return EINVAL;
        }
        ++i;
      }
    }
    return 0;
  }

  const Input& input_;
  Program& program_;
  Log& log_;
  std::vector<u8> state_;
  std::vector<u32> stack_;
};

}  // namespace

int check_cfg(const Input& input, Program& program, Log& log) { return CfgWalk(input, program, log).run(); }

}  // namespace skep::verifier
