// Liveness of stack slots; see liveness.hpp. The order of updates shows in level-2 logs and follows the
// kernel's.
#include "verifier/prune/liveness.hpp"

#include "verifier/state/print.hpp"

namespace skep::verifier {

StackLiveness::StackLiveness(const Program& program, Log& log) : program_(program), log_(log) {
  next_.reserve(program.insns.size());
  for (u32 i = 0; i < program.insns.size(); ++i) next_.push_back(successors(program, i));
}

StackLiveness::Chain StackLiveness::chain_of(const State& state, u32 frame) const {
  Chain chain;
  for (u32 i = 0; i <= frame; ++i) {
    chain.starts[i] = program_.subprogs[state.frame[i]->subprogno].start;
    if (i < state.curframe) chain.callsites[i] = static_cast<u32>(state.frame[i + 1]->callsite);
  }
  chain.depth = frame;
  chain.callsites[frame] = chain.starts[frame];
  return chain;
}

StackLiveness::Instance& StackLiveness::instance(const Chain& chain) {
  for (const auto& known : instances_) {
    if (known->chain.depth != chain.depth) continue;
    bool same = true;
    for (u32 i = 0; i <= chain.depth && same; ++i) same = known->chain.callsites[i] == chain.callsites[i];
    if (same) return *known;
  }
  auto made = std::make_unique<Instance>();
  made->chain = chain;
  const u32 subprog = program_.containing_subprog(chain.starts[chain.depth]);
  made->insn_count = program_.subprogs[subprog + 1].start - program_.subprogs[subprog].start;
  made->visits.resize(made->insn_count);
  instances_.push_back(std::move(made));
  return *instances_.back();
}

StackLiveness::Instance& StackLiveness::current(const State& state) {
  if (current_ == nullptr) current_ = &instance(chain_of(state, state.curframe));
  return *current_;
}

StackLiveness::Masks* StackLiveness::masks(Instance& in, u32 frame, u32 insn_idx) {
  if (in.frames[frame].empty()) return nullptr;
  return &in.frames[frame][insn_idx - in.chain.starts[in.chain.depth]];
}

StackLiveness::Masks& StackLiveness::make_masks(Instance& in, u32 frame, u32 insn_idx) {
  if (in.frames[frame].empty()) in.frames[frame].resize(in.insn_count);
  return *masks(in, frame, insn_idx);
}

void StackLiveness::forget_writes() {
  written_.fill(0);
  wrote_ = false;
}

void StackLiveness::mark_read_in(Instance& in, u32 frame, u32 insn_idx, u64 slots) {
  Masks& m = make_masks(in, frame, insn_idx);
  const u64 reads = m.may_read | slots;
  if (reads != m.may_read && (reads & ~m.live_before) != 0) in.updated = true;
  m.may_read = reads;
}

void StackLiveness::mark_read(const State& state, u32 frame, u32 insn_idx, u64 slots) {
  mark_read_in(current(state), frame, insn_idx, slots);
}

void StackLiveness::commit(Instance& in) {
  const u32 relative = write_insn_ - in.chain.starts[in.chain.depth];
  const bool known = in.visits[relative] != Visit::none;
  for (u32 frame = 0; frame <= in.chain.depth; ++frame) {
    u64 writes = written_[frame];
    if (writes == 0 && !known) continue;
    Masks& m = make_masks(in, frame, write_insn_);
    const u64 before = m.must_write;
    if (known) writes &= before;
    if (before != writes) {
      m.must_write = writes;
      in.updated = true;
    }
    if ((before & ~writes) != 0) in.must_write_dropped = true;
  }
  if (wrote_ || !known) in.visits[relative] = wrote_ ? Visit::may_write : Visit::writes_nothing;
  write_insn_ = 0;
}

void StackLiveness::log_change(const Instance& in, std::string_view what, u32 frame, u32 insn_idx, u64 before,
                               u64 after) {
  if (before == after) return;
  std::string text = "(";
  for (u32 i = 0; i <= in.chain.depth; ++i)
    text += fmt::format("{}{}", i != 0 ? "," : "", in.chain.callsites[i]);
  text += fmt::format(") frame {} insn {} ", frame, insn_idx);
  if ((after & ~before) != 0) text += fmt::format("+{} {} ", what, slot_mask_text(after & ~before));
  if ((before & ~after) != 0) text += fmt::format("-{} {}", what, slot_mask_text(before & ~after));
  text += '\n';
  log_.write(text);
}

/// `all`: the frame's masks, of the function's first instruction on.
bool StackLiveness::update_insn(const Instance& in, Masks* all, u32 frame, u32 insn_idx) {
  const Successors& next = next_[insn_idx];
  if (next.count == 0) return false;
  const u32 start = in.chain.starts[in.chain.depth];
  Masks& m = all[insn_idx - start];
  u64 live_after = 0, written_after = ~u64{0};
  for (u32 i = 0; i < next.count; ++i) {
    const Masks& s = all[next.at[i] - start];
    live_after |= s.live_before;
    written_after &= s.must_write_acc;
  }
  const u64 written = written_after | m.must_write;
  const u64 live = (live_after & ~m.must_write) | m.may_read;
  const bool changed = live != m.live_before || written != m.must_write_acc;
  if (changed && log_.level2() &&
      (m.may_read != 0 || m.must_write != 0 || insn_idx == in.chain.starts[in.chain.depth] ||
       program_.notes[insn_idx].prune_point)) {
    log_change(in, "live", frame, insn_idx, m.live_before, live);
    log_change(in, "written", frame, insn_idx, m.must_write_acc, written);
  }
  m.live_before = live;
  m.must_write_acc = written;
  return changed;
}

void StackLiveness::propagate_to_caller(Instance& in) {
  Chain outer = in.chain;
  outer.callsites[outer.depth] = 0;
  outer.starts[outer.depth] = 0;
  --outer.depth;
  const u32 callsite = outer.callsites[outer.depth];
  outer.callsites[outer.depth] = outer.starts[outer.depth];
  Instance& caller = instance(outer);
  write_insn_ = callsite;
  forget_writes();
  for (u32 frame = 0; frame < in.chain.depth; ++frame) {
    const Masks* entry = masks(in, frame, in.chain.starts[in.chain.depth]);
    if (entry == nullptr) continue;
    mark_write(frame, entry->must_write_acc);
    mark_read_in(caller, frame, callsite, entry->live_before);
  }
  commit(caller);
}

void StackLiveness::update_instance(Instance& in) {
  if (in.must_write_dropped) {
    for (auto& frame : in.frames)
      for (Masks& m : frame) m.must_write_acc = 0;
  }
  const u32 subprog = program_.containing_subprog(in.chain.starts[in.chain.depth]);
  u32 rounds = 0;
  bool changed = true;
  while (changed) {
    changed = false;
    ++rounds;
    for (u32 frame = 0; frame <= in.chain.depth; ++frame) {
      if (in.frames[frame].empty()) continue;
      for (u32 i = program_.subprogs[subprog].postorder_start;
           i < program_.subprogs[subprog + 1].postorder_start; ++i)
        if (update_insn(in, in.frames[frame].data(), frame, program_.postorder[i])) changed = true;
    }
  }
  if (log_.level2()) {
    std::string text = "(";
    for (u32 i = 0; i <= in.chain.depth; ++i)
      text += fmt::format("{}{}", i != 0 ? "," : "", in.chain.callsites[i]);
    log_.write(text + fmt::format(") live stack update done in {} iterations\n", rounds));
  }
  if (in.chain.depth > 0) propagate_to_caller(in);
}

void StackLiveness::update(const State& state) {
  forget_current();
  for (u32 frame = state.curframe + 1; frame-- > 0;) {
    Instance& in = instance(chain_of(state, frame));
    if (!in.updated) continue;
    update_instance(in);
    in.updated = false;
    in.must_write_dropped = false;
  }
}

u64 StackLiveness::live_slots(const State& state, u32 insn_idx, u32 frame) {
  u64 slots = 0;
  for (u32 i = frame; i <= state.curframe; ++i) {
    Instance& in = instance(chain_of(state, i));
    u32 at = insn_idx;
    if (i < state.curframe) {
      const u32 callsite = static_cast<u32>(state.frame[i + 1]->callsite);
      at = program_.notes[callsite].calls_callback ? callsite : callsite + 1;
    }
    if (const Masks* m = masks(in, frame, at)) slots |= m->live_before;
  }
  return slots;
}

}  // namespace skep::verifier
