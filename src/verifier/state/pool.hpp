// Memory for states, frames, stacks, references and histories of one verification: chunks cut into
// free lists by size, all released together. Copying a state copies its registers; stacks, callers and
// histories are shared (stack.hpp, state.hpp).
#pragma once
#include <vector>

#include "verifier/state/state.hpp"

namespace skep::verifier {

class StatePool {
 public:
  StatePool() = default;
  ~StatePool();
  StatePool(const StatePool&) = delete;
  StatePool& operator=(const StatePool&) = delete;

  /// A state without frames.
  [[nodiscard]] State* new_state();
  /// A frame with no stack slots and default registers.
  [[nodiscard]] Frame* new_frame();
  /// Gives back the state and all that it alone refers to.
  void release(State* state);
  void release_frame(Frame* frame);
  /// A new state equal to `from`; parent and branches, too.
  [[nodiscard]] State* copy(const State& from);
  /// At least `count` slots; new ones are empty.
  void grow_stack(Frame& frame, u32 count) {
    if (count > frame.slot_count) frame.slot_count = static_cast<u16>(count);
  }
  /// The slots of the mask become empty.
  void drop_slots(Frame& frame, u64 slots);
  void push_reference(State& state, const Reference& reference);
  void push_history(State& state, const JumpEntry& entry);
  /// The last entry, for this state to change.
  [[nodiscard]] JumpEntry& last_history(State& state);
  void clear_history(State& state);

  /// Everything that was taken is given back at once, without a look at it.
  void forget_all();

  /// Bytes taken from the system so far: none is given back before the end, so this is the peak.
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  friend class Stack;
  friend class Frames;
  [[nodiscard]] Frame* copy_frame(const Frame& from);
  void make_block_own(Stack& stack, u32 block);
  void own_history(State& state, u32 wanted);
  void release_history(History* history);
  [[nodiscard]] void* take(std::size_t bytes);
  void give(void* memory, std::size_t bytes);

  static constexpr std::size_t step = 64;           ///< small sizes are multiples of it
  static constexpr std::size_t small_bytes = 4096;  ///< larger ones are powers of two
  static constexpr u32 class_count = small_bytes / step + 1 + 20;
  [[nodiscard]] static u32 class_of(std::size_t bytes);
  [[nodiscard]] static std::size_t bytes_of(u32 size_class);

  void next_chunk(std::size_t bytes);
  void add_chunk(std::size_t bytes);

  struct Chunk {
    void* memory;
    std::size_t bytes;
  };
  std::vector<Chunk> chunks_;
  std::size_t chunks_used_ = 0;
  std::byte* next_ = nullptr;
  std::size_t left_ = 0;
  std::size_t bytes_ = 0;
  void* free_[class_count] = {};
};

}  // namespace skep::verifier
