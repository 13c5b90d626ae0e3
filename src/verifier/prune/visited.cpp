// At a prune point: has a state like this been here, and led to nothing bad? Else it is kept for others to
// compare with (kernel: is_state_visited()).
#include <algorithm>
#include <bit>

#include "verifier/walk/walk.hpp"

namespace skep::verifier {

namespace {

bool same_callsites(const State& a, const State& b) {
  if (a.curframe != b.curframe) return false;
  for (u32 f = 0; f <= a.curframe; ++f)
    if (a.frame[f]->callsite != b.frame[f]->callsite) return false;
  return true;
}

/// All of a register but its frame number and precision.
bool bitwise_same(const RegState& a, const RegState& b) {
  return a.type == b.type && a.off == b.off && a.raw == b.raw && a.map_uid == b.map_uid && a.num == b.num &&
         a.id == b.id && a.ref_obj_id == b.ref_obj_id;
}

/// Begins with the register that differed last time: it is most often the loop's counter.
bool maybe_looping(ExploredState& kept, const State& cur) {
  if (kept.curframe != cur.curframe) return false;
  const RegState* const was = std::as_const(*kept.state).cur().regs;
  const RegState* const now = cur.cur().regs;
  if (!bitwise_same(was[kept.changing_reg], now[kept.changing_reg])) return false;
  for (u32 i = 0; i < reg_count; ++i) {
    if (bitwise_same(was[i], now[i])) continue;
    kept.changing_reg = static_cast<u8>(i);
    return false;
  }
  return true;
}

}  // namespace

void Walk::update_peak_states() {
  e.peak_states = std::max(e.peak_states, explored.count + explored.evicted_count() + backedge_count);
}

Status Walk::is_state_visited(bool& seen) {
  seen = false;
  State& cur = *e.cur;
  const u32 here = e.insn_idx;
  const InsnNotes& notes = e.program.notes[here];
  const bool may_goto = insns[here].code == (isa::op::JMP | isa::op::JCOND);
  const bool force = e.test_state_freq || notes.force_checkpoint || cur.history_count > 40;
  const u32 jumps = e.jmps_processed - e.prev_jmps_processed;
  const u32 steps = e.insn_processed - e.prev_insn_processed;
  bool add = force || (jumps >= 2 && steps >= 8);
  auto& bucket = explored.at(here, cur.cur().callsite);
  clean_live_states(bucket, here);
  u32 compared = 0;
  for (std::size_t i = bucket.size(); i-- > 0;) {
    ++compared;
    ExploredState& kept = bucket[i];
    if (kept.insn_idx != here) continue;
    State& old = *kept.state;
    bool hit = false;
    bool loop = false;
    if (!kept.cleaned && old.branches != 0) {  // on the current path: a loop
      // Another entry into an asynchronous callback is no loop, but it is not finished either.
      bool check_infinite =
          !old.cur().in_async_callback || old.cur().async_entry_count == cur.cur().async_entry_count;
      const bool same_entry = check_infinite;
      if (same_entry && notes.iter_next) {
        hit = loop = states_equal(old, cur, Exactness::range_within) && iter_is_active(cur);
        check_infinite = false;
      } else if (same_entry && may_goto && old.may_goto_depth != cur.may_goto_depth &&
                 states_equal(old, cur, Exactness::range_within)) {
        hit = loop = true;
      } else if (same_entry && notes.calls_callback) {
        hit = loop = states_equal(old, cur, Exactness::range_within);
        check_infinite = false;
      }
      if (!hit) {
        if (check_infinite && maybe_looping(kept, cur) && states_equal(old, cur, Exactness::exact) &&
            old.may_goto_depth == cur.may_goto_depth &&
            old.callback_unroll_depth == cur.callback_unroll_depth && !iter_depths_differ(old, cur))
          return reject_infinite_loop(old);
        if (!force && jumps < 20 && steps < 100) add = false;
      }
    } else {
      // What makes it differ for the plainest comparison does for the others.
      if (kept.curframe == cur.curframe && !kept.differs_plainly(cur)) {
        loop = incomplete_marks(old);
        hit = equals_finished(kept, cur, loop ? Exactness::range_within : Exactness::not_exact);
      }
    }
    if (hit) {
      ++kept.hits;
      if (notes.jump_point) CHECK(push_history(cur, 0, 0));
      CHECK(propagate_precision(old, cur, nullptr));
      if (loop) add_backedge(old, here);
      seen = true;
      return passed;
    }
    if (add) ++kept.misses;
    const u32 patience = notes.force_checkpoint && !kept.cleaned && old.branches > 0 ? 64 : 3;
    if (kept.misses > kept.hits * patience + patience) {
      bucket.erase(bucket.begin() + static_cast<std::ptrdiff_t>(i));
      explored.evict(e.pool, &old, old.branches == 0 && !incomplete_marks(old));
    }
  }
  e.max_states_per_insn = std::max(e.max_states_per_insn, compared);
  if (add) remember_state();
  return passed;
}

Status Walk::reject_infinite_loop(const State& old) {
  print_source_line(e.insn_idx);
  const Status status = e.reject(EINVAL, "infinite loop detected at insn {}\n", e.insn_idx);
  e.log.trace("cur state:");
  print_frame(e.log, *e.cur, e.cur->cur(), nullptr);
  e.log.trace("old state:");
  print_frame(e.log, old, old.cur(), nullptr);
  return status;
}

/// The current state becomes a checkpoint; the path goes on as its child.
void Walk::remember_state() {
  State& cur = *e.cur;
  ++e.total_states;
  ++explored.count;
  update_peak_states();
  e.prev_jmps_processed = e.jmps_processed;
  e.prev_insn_processed = e.insn_processed;
  State* kept = e.pool.copy(cur);
  kept->insn_idx = e.insn_idx;
  maybe_enter_scc(*kept);
  cur.parent = kept;
  cur.first_insn_idx = e.insn_idx;
  cur.dfs_depth = kept->dfs_depth + 1;
  e.pool.clear_history(cur);
  explored.at(e.insn_idx, cur.cur().callsite)
      .push_back({.state = kept, .insn_idx = e.insn_idx, .curframe = static_cast<u8>(cur.curframe)});
  // The state that was current is now `kept`; `branches` stays 1 in both: one path leads on.
}

// --- dead registers and slots ----------------------------------------------------------------------------

/// Finished states forget what can no longer matter, so that more states equal them.
void Walk::clean_live_states(std::vector<ExploredState>& bucket, u32 insn_idx) {
  for (ExploredState& kept : bucket) {
    if (kept.cleaned || kept.insn_idx != insn_idx) continue;
    State& state = *kept.state;
    if (state.branches != 0 || !same_callsites(state, *e.cur) || incomplete_marks(state)) continue;
    kept.cleaned = true;
    clean_state(state);
    kept.differing_reg = reg_count;
  }
}

void Walk::clean_state(State& state) {
  for (u32 f = 0; f <= state.curframe; ++f) {
    Frame& frame = *state.frame[f];
    const u32 live_regs = e.program.notes[frame_insn_idx(state, f)].live_regs_before;
    for (u32 i = 0; i < frame_pointer; ++i)
      if ((live_regs >> i & 1) == 0) frame.regs[i].type = Base::not_init;  // nothing else of it counts then
    frame.precise_regs &= static_cast<u16>(live_regs);
    const u64 live_slots = live.live_slots(state, state.insn_idx, f);
    frame.precise_slots &= live_slots;
    if ((frame.slots.present() & ~live_slots) != 0) e.pool.drop_slots(frame, ~live_slots);
  }
}

// --- loops of iterations ---------------------------------------------------------------------------------

/// The newest checkpoint of this path at `insn_idx`, or nullptr.
State* Walk::find_prev_entry(State* state, u32 insn_idx) {
  if (state == nullptr) return nullptr;
  auto& bucket = explored.at(insn_idx, e.cur->cur().callsite);
  for (std::size_t i = bucket.size(); i-- > 0;) {
    State* old = bucket[i].state;
    if (old->insn_idx == insn_idx && old->branches != 0 && same_callsites(*old, *state) &&
        old->dfs_depth < state->dfs_depth)
      return old;
  }
  return nullptr;
}

/// Imprecise scalars that changed from one iteration to the next become unknown.
void Walk::widen_imprecise(const State& old, State& cur) {
  auto changed = [&](const RegState& before, const RegState& now) {
    if (!before.is_scalar() || !now.is_scalar()) return false;
    return before.off != now.off || before.raw != now.raw || before.num != now.num ||
           !idmap.check(before.id, now.id) || !idmap.check(before.ref_obj_id, now.ref_obj_id);
  };
  idmap.reset(e.id_gen);
  for (u32 f = old.curframe + 1; f-- > 0;) {
    const Frame& before = *old.frame[f];
    Frame& now = *cur.frame[f];
    const u32 precise_regs = before.precise_regs | now.precise_regs;
    for (u32 i = 0; i < reg_count; ++i)
      if ((precise_regs >> i & 1) == 0 && changed(before.regs[i], now.regs[i])) mark_unknown(now.regs[i]);
    const Stack& stack = now.slots;
    const u64 imprecise = ~(before.precise_slots | now.precise_slots);
    for (u64 left = before.slots.present() & stack.present() & imprecise; left != 0; left &= left - 1) {
      const u32 i = static_cast<u32>(std::countr_zero(left));
      if (before.slots[i].is_spilled() && stack[i].is_spilled() &&
          changed(before.slots[i].spilled, stack[i].spilled))
        mark_unknown(now.slots[i].spilled);
    }
  }
}

}  // namespace skep::verifier
