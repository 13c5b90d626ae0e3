// Which stack slots may still be read, per chain of call sites and instruction (kernel:
// kernel/bpf/liveness.c). While paths are walked, reads and certain writes of slots are recorded; update()
// turns them into live sets by backward data flow; a state whose paths are all done then drops the slots that
// are dead.
#pragma once
#include <array>
#include <memory>
#include <vector>

#include "verifier/front/program.hpp"
#include "verifier/log/log.hpp"
#include "verifier/state/state.hpp"

namespace skep::verifier {

class StackLiveness {
 public:
  StackLiveness(const Program& program, Log& log);

  /// The current path changed its call chain: the next mark looks its function up again.
  void forget_current() { current_ = nullptr; }
  /// Before each instruction: no slot is known to be written by it yet.
  void begin_insn(const State& state, u32 insn_idx) {
    if (current_ == nullptr) [[unlikely]]
      current(state);
    write_insn_ = insn_idx;
    if (wrote_) forget_writes();
  }
  void mark_write(u32 frame, u64 slots) {
    written_[frame] |= slots;
    wrote_ = true;
  }
  void mark_read(const State& state, u32 frame, u32 insn_idx, u64 slots);
  /// After each instruction: what it writes on every path is what all visits wrote.
  void end_insn() {
    if (current_ == nullptr) return;
    // Most instructions write no slot, and did not the last time.
    const Visit before = current_->visits[write_insn_ - current_->chain.starts[current_->chain.depth]];
    if (!wrote_ && before == Visit::writes_nothing) return;
    commit(*current_);
  }
  /// Brings the live sets of the state's call chain up to date. To be called after each end of a path and
  /// before each return from a subprogram.
  void update(const State& state);

  /// Live slots of frame `frame` for a state that stands at `insn_idx`.
  [[nodiscard]] u64 live_slots(const State& state, u32 insn_idx, u32 frame);

 private:
  struct Chain {
    std::array<u32, limits::max_call_frames> callsites{};
    std::array<u32, limits::max_call_frames> starts{};
    u32 depth = 0;
  };
  struct Masks {
    u64 may_read = 0;        ///< by this instruction
    u64 must_write = 0;      ///< by this instruction, always
    u64 must_write_acc = 0;  ///< by it or those after it, always
    u64 live_before = 0;     ///< by it or those after it
  };
  /// Has an instruction been walked, and does it write a slot, as far as is known.
  enum class Visit : u8 { none, writes_nothing, may_write };
  /// A function reached through one chain of call sites.
  struct Instance {
    Chain chain;
    u32 insn_count = 0;
    bool updated = false;
    bool must_write_dropped = false;
    std::vector<Masks> frames[limits::max_call_frames];
    /// Of each frame the instructions to be looked at again by update_instance(), as bits in the function's
    /// postorder.
    std::vector<u64> again[limits::max_call_frames];
    std::vector<Visit> visits;  ///< per instruction
  };

  [[nodiscard]] Chain chain_of(const State& state, u32 frame) const;
  Instance& instance(const Chain& chain);
  Instance& current(const State& state);
  Masks* masks(Instance& in, u32 frame, u32 insn_idx);
  Masks& make_masks(Instance& in, u32 frame, u32 insn_idx);
  void mark_read_in(Instance& in, u32 frame, u32 insn_idx, u64 slots);
  void forget_writes();
  void set_updated(Instance& in) {
    updated_count_ += in.updated ? 0 : 1;
    in.updated = true;
  }
  void commit(Instance& in);
  void update_instance(Instance& in);
  void look_again(Instance& in, u32 frame, u32 insn_idx);
  bool update_frame(Instance& in, u32 frame);
  bool update_insn(const Instance& in, Masks* all, u32 frame, u32 insn_idx);
  void propagate_to_caller(Instance& in);
  void log_change(const Instance& in, std::string_view what, u32 frame, u32 insn_idx, u64 before, u64 after);

  const Program& program_;
  std::vector<Successors> next_;  ///< per instruction
  /// Who comes before instruction i: from preceding_[preceding_start_[i]] up to where i + 1's start.
  std::vector<u32> preceding_start_, preceding_;
  std::vector<u32>
      position_;  ///< per instruction: where it stands in its function's postorder; none: not reached
  static constexpr u32 none = ~u32{0};
  Log& log_;
  std::vector<std::unique_ptr<Instance>> instances_;
  u32 updated_count_ = 0;  ///< instances whose `updated` is set
  Instance* current_ = nullptr;
  std::array<u64, limits::max_call_frames> written_{};
  u32 write_insn_ = 0;
  bool wrote_ = false;  ///< written_ is not all zeros
};

}  // namespace skep::verifier
