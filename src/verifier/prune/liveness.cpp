// Liveness of stack slots; see liveness.hpp. The order of updates shows in level-2 logs and follows the
// kernel's.
#include "verifier/prune/liveness.hpp"

#include <bit>

#include "verifier/state/print.hpp"

namespace skep::verifier {

StackLiveness::StackLiveness(const Program& program, Log& log) : program_(program), log_(log) {
  const auto count = static_cast<u32>(program.insns.size());
  next_.reserve(count);
  preceding_start_.assign(count + 1, 0);
  for (u32 i = 0; i < count; ++i) {
    next_.push_back(successors(program, i));
    for (u32 k = 0; k < next_[i].count; ++k) ++preceding_start_[next_[i].at[k]];
  }
  for (u32 i = 1; i <= count; ++i) preceding_start_[i] += preceding_start_[i - 1];
  preceding_.resize(preceding_start_[count]);
  for (u32 i = 0; i < count; ++i)  // each start goes down from its end to where it belongs
    for (u32 k = 0; k < next_[i].count; ++k) preceding_[--preceding_start_[next_[i].at[k]]] = i;
  position_.assign(count, none);
  for (u32 s = 0; s < program.subprog_count(); ++s) {
    const u32 first = program.subprogs[s].postorder_start;
    for (u32 i = first; i < program.subprogs[s + 1].postorder_start; ++i)
      position_[program.postorder[i]] = i - first;
  }
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
  if (in.frames[frame].empty()) {
    in.frames[frame].resize(in.insn_count);
    in.again[frame].resize(in.insn_count / 64 + 1);
  }
  return *masks(in, frame, insn_idx);
}

/// What update_insn() makes of the instruction may have become another.
void StackLiveness::look_again(Instance& in, u32 frame, u32 insn_idx) {
  const u32 at = position_[insn_idx];
  if (at != none && at < in.insn_count) in.again[frame][at / 64] |= u64{1} << (at % 64);
}

void StackLiveness::forget_writes() {
  written_.fill(0);
  wrote_ = false;
}

void StackLiveness::mark_read_in(Instance& in, u32 frame, u32 insn_idx, u64 slots) {
  Masks& m = make_masks(in, frame, insn_idx);
  const u64 reads = m.may_read | slots;
  if (reads == m.may_read) return;
  if ((reads & ~m.live_before) != 0) set_updated(in);
  m.may_read = reads;
  look_again(in, frame, insn_idx);
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
      set_updated(in);
      look_again(in, frame, write_insn_);
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

/// Once over the function, in postorder. Only over instructions that have changed, or one after which has,
/// since they were looked at: update_insn() would find the others as it left them, so that all is as if none
/// were left out, to the number of rounds.
bool StackLiveness::update_frame(Instance& in, u32 frame) {
  const u32 subprog = program_.containing_subprog(in.chain.starts[in.chain.depth]);
  const u32* const order = program_.postorder.data() + program_.subprogs[subprog].postorder_start;
  std::vector<u64>& again = in.again[frame];
  bool changed = false;
  for (u32 word = 0; word < again.size(); ++word) {
    // What is put down on the way is for this round where it lies ahead, for the next where it lies behind.
    for (u64 ahead = ~u64{0}; (again[word] & ahead) != 0;) {
      const u32 bit = static_cast<u32>(std::countr_zero(again[word] & ahead));
      ahead = bit == 63 ? 0 : ~u64{0} << (bit + 1);
      again[word] &= ~(u64{1} << bit);
      const u32 insn_idx = order[word * 64 + bit];
      if (!update_insn(in, in.frames[frame].data(), frame, insn_idx)) continue;
      changed = true;
      for (u32 i = preceding_start_[insn_idx]; i < preceding_start_[insn_idx + 1]; ++i)
        look_again(in, frame, preceding_[i]);
    }
  }
  return changed;
}

void StackLiveness::update_instance(Instance& in) {
  if (in.must_write_dropped) {
    for (u32 frame = 0; frame <= in.chain.depth; ++frame) {
      for (Masks& m : in.frames[frame]) m.must_write_acc = 0;
      for (u32 i = 0; i < in.frames[frame].size(); ++i)
        look_again(in, frame, in.chain.starts[in.chain.depth] + i);
    }
  }
  u32 rounds = 0;
  bool changed = true;
  while (changed) {
    changed = false;
    ++rounds;
    for (u32 frame = 0; frame <= in.chain.depth; ++frame)
      if (!in.frames[frame].empty() && update_frame(in, frame)) changed = true;
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
  for (u32 frame = state.curframe + 1; frame-- > 0 && updated_count_ != 0;) {
    Instance& in = instance(chain_of(state, frame));
    if (!in.updated) continue;
    update_instance(in);
    in.updated = false;
    --updated_count_;
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
