// The state of one path: call frames, references, and the links that pruning and precision tracking walk
// (kernel: struct bpf_verifier_state). States live in a StatePool, which copies and recycles them.
#pragma once
#include "base/limits.hpp"
#include "verifier/state/frame.hpp"

namespace skep::verifier {

enum class RefKind : u8 { pointer, lock, irq, res_lock, res_lock_irq };
constexpr bool is_lock(RefKind kind) {
  return kind == RefKind::lock || kind == RefKind::res_lock || kind == RefKind::res_lock_irq;
}
/// Something acquired that must be released (kernel: struct bpf_reference_state).
struct Reference {
  u32 id = 0;
  s32 insn_idx = 0;  ///< where it was acquired
  RefKind kind = RefKind::pointer;
  const void* ptr = nullptr;  ///< lock: the map (or the type) whose lock it is
};
inline constexpr u32 max_references = 64;

/// One step back on a path: instruction `idx` was reached from `prev_idx` (kernel: bpf_jmp_history_entry).
struct JumpEntry {
  u32 idx = 0;
  u32 prev_idx = 0;
  u32 flags = 0;        ///< hist:: bits
  u32 asked = 0;        ///< what precision was followed back from here for before, see prune/backtrack.hpp
  u64 linked_regs = 0;  ///< up to six linked registers, prune/linked.hpp
};
namespace hist {
inline constexpr u32 frame_mask = 0x7, spi_mask = 0x3f, spi_shift = 3, stack_access = 1u << 9,
                     dst_reg_stack = 1u << 10, src_reg_stack = 1u << 11;
}

/// A path's steps since its last checkpoint. Paths that go different ways from one place share the entries up
/// to there: each sees the first `count` of them, and whoever adds where another has gone on makes a copy.
struct History {
  u32 refs = 1;
  u32 used = 0;
  u32 capacity = 0;
  u32 unused = 0;
  [[nodiscard]] JumpEntry* entries() { return reinterpret_cast<JumpEntry*>(this + 1); }  // behind it
};
static_assert(sizeof(History) % alignof(JumpEntry) == 0);

/// The frames of a state, outermost first. Callers are shared between states until one of them writes (any
/// access that is not const): a reference into a caller must not be kept across a copy of the state. The
/// innermost frame is always the state's own.
class Frames {
 public:
  Frames() = default;
  Frames& operator=(const Frames&) = delete;

  [[nodiscard]] const Frame* operator[](u32 i) const { return at_[i]; }
  [[nodiscard]] Frame* operator[](u32 i) {
    if (at_[i]->refs != 1) [[unlikely]]
      make_own(i);
    return at_[i];
  }
  /// For a frame known to be this state's own.
  [[nodiscard]] Frame& own(u32 i) { return *at_[i]; }
  void set(u32 i, Frame* frame) { at_[i] = frame; }

 private:
  friend class StatePool;
  friend struct State;
  Frames(const Frames&) = default;
  void make_own(u32 i);
  Frame* at_[limits::max_call_frames] = {};
};

struct State {
  State() = default;
  State& operator=(const State&) = delete;

  // What comparing looks at first, in one cache line.
  u32 branches = 0;  ///< paths from here that are not finished
  u32 insn_idx = 0;
  u32 curframe = 0;
  u32 ref_count = 0;
  bool speculative = false;
  bool in_sleepable = false;
  bool active_rcu_lock = false;
  bool evicted = false;  ///< no longer compared with; kept for the paths that go on from it
  u32 active_locks = 0;
  u32 active_preempt_locks = 0;
  u32 active_irq_id = 0;    ///< the innermost bpf_local_irq_save()
  State* parent = nullptr;  ///< the checkpoint this path continues
  Frames frame;
  const void* active_lock_ptr = nullptr;
  u32 active_lock_id = 0;
  u32 first_insn_idx = 0;
  u32 last_insn_idx = 0;
  u32 dfs_depth = 0;
  u32 callback_unroll_depth = 0;
  u32 may_goto_depth = 0;
  u32 evicted_at = 0;  ///< where it stands among those
  u32 ref_capacity = 0;
  Reference* refs = nullptr;
  u32 history_count = 0;
  History* history = nullptr;
  State* equal_state = nullptr;  ///< of a loop's back edge: what it was found equal to

  [[nodiscard]] Frame& cur() { return frame.own(curframe); }
  [[nodiscard]] const Frame& cur() const { return *frame[curframe]; }
  [[nodiscard]] RegState* regs() { return frame.own(curframe).regs; }

 private:
  friend class StatePool;
  State(const State&) = default;
};

}  // namespace skep::verifier
