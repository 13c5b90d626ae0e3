// The states kept at prune points, by instruction, newest first, and the visits of loops that are being
// explored (kernel: explored_states, struct bpf_scc_visit).
#pragma once
#include <array>
#include <vector>

#include "verifier/state/pool.hpp"

namespace skep::verifier {

/// A checkpoint, with what most comparisons need of it, so that they look at nothing else: where it stands,
/// and something of the register that made the last comparison with it fail, which for states at one place is
/// often the same.
struct ExploredState {
  State* state = nullptr;
  u32 insn_idx = 0;
  u32 hits = 0;
  u32 misses = 0;
  u8 curframe = 0;
  bool cleaned = false;    ///< its paths are done, dead registers and slots are dropped: it stays as it is
  u8 differing_frame = 0;  ///< the register's
  u8 differing_reg = reg_count;  ///< reg_count: none
  RegType type{};                ///< the register's
  u8 changing_reg = 0;           ///< of the innermost frame: what changed when a path last came back here
  u64 umin = 0, umax = 0;        ///< an equal register's numbers lie within; 0 and ~0 where they do not count

  /// By that register alone `cur` does not equal it, whatever else holds.
  [[nodiscard]] bool differs_plainly(const State& cur) const {
    if (differing_reg == reg_count) return false;
    const RegState& now = cur.frame[differing_frame]->regs[differing_reg];
    return now.type != type || now.num.umin < umin || now.num.umax > umax;
  }
};

/// States by (instruction, call site), as the kernel hashes them: a list per bucket.
class ExploredStates {
 public:
  explicit ExploredStates(std::size_t insn_count) : buckets_(insn_count) {}
  [[nodiscard]] std::vector<ExploredState>& at(u32 insn_idx, s32 callsite) {
    return buckets_[(insn_idx ^ static_cast<u32>(callsite)) % static_cast<u32>(buckets_.size())];
  }
  /// Without giving the states back: their pool forgets them all.
  void forget_all() {
    for (auto& bucket : buckets_) bucket.clear();
    evicted_.clear();
    count = 0;
  }
  /// Out of its list; kept while paths from it are open, because they refer to it.
  void evict(StatePool& pool, State* state, bool unused) {
    --count;
    if (unused) {
      pool.release(state);
    } else {
      state->evicted = true;
      state->evicted_at = static_cast<u32>(evicted_.size());
      evicted_.push_back(state);
    }
  }
  void release_evicted(StatePool& pool, State* state) {
    evicted_.back()->evicted_at = state->evicted_at;
    evicted_[state->evicted_at] = evicted_.back();
    evicted_.pop_back();
    pool.release(state);
  }
  [[nodiscard]] u32 evicted_count() const { return static_cast<u32>(evicted_.size()); }
  u32 count = 0;

 private:
  std::vector<State*> evicted_;
  std::vector<std::vector<ExploredState>> buckets_;  ///< newest last
};

/// The call sites that lead to the outermost loop a state is in, and that loop's component.
struct SccChain {
  std::array<u32, limits::max_call_frames> callsites{};
  u32 scc = 0;
  bool operator==(const SccChain&) const = default;
};
struct SccVisit {
  SccChain chain;
  State* entry = nullptr;         ///< first checkpoint inside; nullptr: not being explored
  std::vector<State*> backedges;  ///< newest last; equal_state says what each was found equal to
};

}  // namespace skep::verifier
