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
  u32 flags = 0;  ///< hist:: bits
  u32 unused = 0;
  u64 linked_regs = 0;  ///< up to six linked registers, prune/linked.hpp
};
namespace hist {
inline constexpr u32 frame_mask = 0x7, spi_mask = 0x3f, spi_shift = 3, stack_access = 1u << 9,
                     dst_reg_stack = 1u << 10, src_reg_stack = 1u << 11;
}

struct State {
  Frame* frame[limits::max_call_frames] = {};
  State* parent = nullptr;  ///< the checkpoint this path continues
  u32 branches = 0;         ///< paths from here that are not finished
  u32 insn_idx = 0;
  u32 curframe = 0;
  u32 first_insn_idx = 0;
  u32 last_insn_idx = 0;
  u32 dfs_depth = 0;
  u32 callback_unroll_depth = 0;
  u32 may_goto_depth = 0;
  bool speculative = false;
  bool in_sleepable = false;
  bool evicted = false;  ///< no longer compared with; kept for the paths that go on from it
  bool cleaned = false;  ///< dead registers and slots are already dropped
  u32 active_locks = 0;
  bool active_rcu_lock = false;
  u32 active_preempt_locks = 0;
  u32 active_irq_id = 0;  ///< the innermost bpf_local_irq_save()
  u32 active_lock_id = 0;
  const void* active_lock_ptr = nullptr;
  u32 ref_count = 0;
  u32 ref_capacity = 0;
  Reference* refs = nullptr;
  u32 history_count = 0;
  u32 history_capacity = 0;
  JumpEntry* history = nullptr;
  State* equal_state = nullptr;  ///< of a loop's back edge: what it was found equal to

  [[nodiscard]] Frame& cur() { return *frame[curframe]; }
  [[nodiscard]] const Frame& cur() const { return *frame[curframe]; }
  [[nodiscard]] RegState* regs() { return frame[curframe]->regs; }
};

}  // namespace skep::verifier
