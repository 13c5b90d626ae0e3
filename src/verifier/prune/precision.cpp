// Precision: from where a scalar's exact value decided something, back along the path, every register and
// slot that it came from is marked, in all checkpoints on the way (kernel: __mark_chain_precision()).
#include <bit>

#include "verifier/walk/walk.hpp"

namespace skep::verifier {

namespace {
constexpr u32 argument_regs = 0x3e;
constexpr s32 none_before = -2;

/// The instruction before `idx` on the path of `state`, whose history ends at `end` (kernel:
/// get_prev_insn_idx()).
s32 previous_insn(const State& state, s32 idx, u32& end) {
  const JumpEntry* const entries = state.history != nullptr ? state.history->entries() : nullptr;
  if (idx == static_cast<s32>(state.first_insn_idx)) {
    if (end == 0) return none_before;
    if (end == 1 && static_cast<s32>(entries[0].idx) == idx) return none_before;
  }
  if (end != 0 && static_cast<s32>(entries[end - 1].idx) == idx) {
    --end;
    return static_cast<s32>(entries[end].prev_idx);
  }
  return idx - 1;
}

const JumpEntry* entry_at(const State& state, s32 idx, u32 end) {
  if (end == 0) return nullptr;
  const JumpEntry& entry = state.history->entries()[end - 1];
  return static_cast<s32>(entry.idx) == idx ? &entry : nullptr;
}

}  // namespace

Status Walk::push_history(State& state, u32 flags, u64 linked) {
  if (history_open && state.history_count > 0) {
    JumpEntry& entry = e.pool.last_history(state);
    entry.flags |= flags;
    entry.linked_regs = linked;
    return passed;
  }
  e.pool.push_history(state, {.idx = e.insn_idx,
                              .prev_idx = static_cast<u32>(e.prev_insn_idx),
                              .flags = flags,
                              .asked = 0,
                              .linked_regs = linked});
  history_open = true;
  return passed;
}

/// Back from `i` over instructions in a row that neither have a history entry nor say anything of what is
/// asked for; `subseq_idx` becomes the last one that was passed over.
s32 Walk::skip_unconcerned(const State& state, s32 i, u32 end, s32& subseq_idx) const {
  const s32 with_entry = end != 0 ? static_cast<s32>(state.history->entries()[end - 1].idx) : -1;
  const s32 first = static_cast<s32>(state.first_insn_idx);
  const u32 asked = bt.regs[bt.frame] | always_concerned;
  const u32* const concerned = concerned_by_precision.data();
  for (; i > 0 && i != with_entry && i != first && (concerned[i] & asked) == 0; --i) subseq_idx = i;
  return i;
}

/// Asks for the exact value of `regno` (or, with -1, of what is set in `bt`) as it is in `start`.
///
/// Each history entry remembers what was asked for in front of its instruction. What comes of a register or
/// slot there depends on the path up to there alone, not on what else is asked for, and marks in the
/// checkpoints on that path stay: to follow it a second time would change nothing. (States that share entries
/// share the path up to them. At log level 2 each search is printed, so there all are made.) Only where a
/// search gives up it would, for the checkpoints made since: mark_all_precise() lets all be asked again.
Status Walk::mark_chain_precise(State& start, s32 regno, bool* changed) {
  bool ignored = false;
  if (changed == nullptr) changed = &ignored;
  State* state = &start;
  bt.frame = start.curframe;
  if (regno >= 0) {
    if (!state->cur().regs[regno].is_scalar()) {
      bt.reset();
      return e.reject(EFAULT, "backtracking a register that holds no number (R{})\n", regno);
    }
    bt.set_reg(static_cast<u32>(regno));
  }
  s32 first_idx = static_cast<s32>(state->first_insn_idx);
  s32 last_idx = static_cast<s32>(start.insn_idx);
  s32 subseq_idx = -1;
  bool skip_first = true;
  const bool trace = e.log.level2();
  while (!bt.empty()) {
    if (trace)
      e.log.write(fmt::format("mark_precise: frame{}: last_idx {} first_idx {} subseq_idx {} \n", bt.frame,
                              last_idx, first_idx, subseq_idx));
    if (last_idx < 0) return backtrack_entry(*state);
    u32 end = state->history_count;
    for (s32 i = last_idx;;) {
      if (!skip_first && !trace) i = skip_unconcerned(*state, i, end, subseq_idx);
      const JumpEntry* const entry = entry_at(*state, i, end);
      // Most instructions say nothing of what is asked for; nor does that one came here by a jump.
      const bool concerned =
          (entry != nullptr && (entry->flags | entry->linked_regs) != 0) || trace ||
          (concerned_by_precision[static_cast<u32>(i)] & (bt.regs[bt.frame] | always_concerned)) != 0;
      if (concerned && !skip_first) {
        if (const int found = backtrack_insn(i, subseq_idx, entry); found != 0) {
          if (found != kENOTSUPP) {
            bt.reset();
            return e.reject(found, "backtracking failed at insn {}\n", i);
          }
          mark_all_precise(start);
          bt.reset();
          return passed;
        }
        if (bt.empty()) return passed;
      }
      skip_first = false;
      subseq_idx = i;
      const u32 end_here = end;
      i = previous_insn(*state, i, end);
      if (end != end_here && !trace) {
        bt.take_off_asked(state->history->entries()[end].asked);
        if (bt.empty()) return passed;
      }
      if (i == none_before) break;
      if (i < 0 || static_cast<u32>(i) >= insns.size()) {
        bt.reset();
        return e.reject(EFAULT, "backtracking idx {}\n", i);
      }
    }
    state = state->parent;
    if (state == nullptr) break;
    CHECK(backtrack_parent(*state, *changed));
    subseq_idx = first_idx;
    last_idx = static_cast<s32>(state->last_insn_idx);
    first_idx = static_cast<s32>(state->first_insn_idx);
  }
  if (!bt.empty()) {  // something was missed, as a slot reached through another pointer
    mark_all_precise(start);
    bt.reset();
  }
  return passed;
}

/// The beginning of a global function: what is still asked for are its arguments.
Status Walk::backtrack_entry(State& state) {
  const u32 mask = bt.regs[bt.frame];
  const bool ours = state.curframe == 0 && state.frame[0]->subprogno > 0 && state.frame[0]->callsite == -1 &&
                    bt.slots[bt.frame] == 0 && (mask & ~argument_regs) == 0;
  if (!ours) {
    const u64 slots = bt.slots[bt.frame];
    bt.reset();
    return e.reject(EFAULT, "backtracking func entry subprog {} reg_mask {:x} stack_mask {:x}\n",
                    state.frame[0]->subprogno, mask, slots);
  }
  Frame& frame = *state.frame[0];
  for (u32 i = 1; i <= 5; ++i)
    if ((mask >> i & 1) != 0 && frame.regs[i].is_scalar()) frame.precise_regs |= static_cast<u16>(1u << i);
  bt.reset();
  return passed;
}

/// Marks what is asked for in a checkpoint; what is marked already needs no further search.
Status Walk::backtrack_parent(State& state, bool& changed) {
  for (u32 f = bt.frame + 1; f-- > 0;) {
    const Frame& frame = *std::as_const(state).frame[f];
    for (u32 mask = bt.regs[f]; mask != 0; mask &= mask - 1) {
      const u32 i = static_cast<u32>(std::countr_zero(mask));
      if (!frame.regs[i].is_scalar() || (frame.precise_regs >> i & 1) != 0) bt.clear_reg(f, i);
    }
    for (u64 mask = bt.slots[f]; mask != 0; mask &= mask - 1) {
      const u32 i = static_cast<u32>(std::countr_zero(mask));
      if (i >= frame.slot_count) {
        bt.reset();
        return e.reject(EFAULT, "backtracking (stack slot {}, total slots {})\n", i, frame.slot_count);
      }
      if (!frame.slots[i].is_spilled_scalar() || (frame.precise_slots >> i & 1) != 0) bt.clear_slot(f, i);
    }
    if (bt.regs[f] != 0 || bt.slots[f] != 0) {
      Frame& marked = *state.frame[f];
      marked.precise_regs |= static_cast<u16>(bt.regs[f]);
      marked.precise_slots |= bt.slots[f];
      changed = true;
    }
    if (e.log.level2()) {
      e.log.write(fmt::format("mark_precise: frame{}: parent state regs={} stack={}: ", f,
                              reg_mask_text(bt.regs[f]), slot_mask_text(bt.slots[f])));
      print_frame(e.log, state, *std::as_const(state).frame[f], nullptr);
    }
  }
  return passed;
}

void Walk::mark_all_precise(State& start) {
  if (e.log.level2())
    e.log.write(
        fmt::format("mark_precise: frame{}: falling back to forcing all scalars precise\n", start.curframe));
  for (const State* state = &start; state != nullptr; state = state->parent)
    for (u32 i = 0; i < state->history_count; ++i) state->history->entries()[i].asked = 0;
  for (State* state = start.parent; state != nullptr; state = state->parent) {
    for (u32 f = 0; f <= state->curframe; ++f) {
      Frame& frame = *state->frame[f];
      for (u32 i = 0; i < frame_pointer; ++i) {
        const u32 bit = 1u << i;
        if (!frame.regs[i].is_scalar() || (frame.precise_regs & bit) != 0) continue;
        frame.precise_regs |= static_cast<u16>(bit);
        if (e.log.level2())
          e.log.write(fmt::format("force_precise: frame{}: forcing r{} to be precise\n", f, i));
      }
      const Stack& stack = frame.slots;
      for (u64 left = stack.present() & ~frame.precise_slots; left != 0; left &= left - 1) {
        const u32 i = static_cast<u32>(std::countr_zero(left));
        if (!stack[i].is_spilled_scalar()) continue;
        frame.precise_slots |= u64{1} << i;
        if (e.log.level2())
          e.log.write(fmt::format("force_precise: frame{}: forcing fp{} to be precise\n", f,
                                  -8 * (static_cast<s32>(i) + 1)));
      }
    }
  }
}

/// What was precise in the state found equal must be precise in how the current one came about.
Status Walk::propagate_precision(const State& old, State& cur, bool* changed) {
  for (u32 f = old.curframe + 1; f-- > 0;) {
    const Frame& frame = *old.frame[f];
    std::string text;  // at log level 2 only
    for (u32 left = frame.precise_regs; left != 0; left &= left - 1) {
      const u32 i = static_cast<u32>(std::countr_zero(left));
      if (e.log.level2())
        text += text.empty() ? fmt::format("frame {}: propagating r{}", f, i) : fmt::format(",r{}", i);
      bt.set_reg(f, i);
    }
    for (u64 left = frame.precise_slots; left != 0; left &= left - 1) {
      const u32 i = static_cast<u32>(std::countr_zero(left));
      const s32 off = -8 * (static_cast<s32>(i) + 1);
      if (e.log.level2())
        text += text.empty() ? fmt::format("frame {}: propagating fp{}", f, off) : fmt::format(",fp{}", off);
      bt.set_slot(f, i);
    }
    if (!text.empty()) e.log.write(text + "\n");
  }
  return mark_chain_precise(cur, -1, changed);
}

}  // namespace skep::verifier
