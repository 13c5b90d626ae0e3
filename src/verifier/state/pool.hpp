// Memory for states, frames, stacks, references and histories of one verification: chunks cut into
// free lists by size, all released together. Copying a state copies only what it uses.
#pragma once
#include <memory>
#include <vector>

#include "verifier/state/state.hpp"

namespace skep::verifier {

class StatePool {
 public:
  StatePool() = default;
  StatePool(const StatePool&) = delete;
  StatePool& operator=(const StatePool&) = delete;

  /// A state without frames.
  [[nodiscard]] State* new_state();
  /// A frame with no stack slots and default registers.
  [[nodiscard]] Frame* new_frame();
  /// Gives back the state and all that it owns.
  void release(State* state);
  void release_frame(Frame* frame);
  /// Makes `to` equal to `from`: frames, references and history are copied; parent and branches, too.
  void copy(State& to, const State& from);
  void copy_frame(Frame& to, const Frame& from);
  /// At least `count` slots; new ones are invalid.
  void grow_stack(Frame& frame, u32 count);
  void push_reference(State& state, const Reference& reference);
  void push_history(State& state, const JumpEntry& entry);
  void clear_history(State& state) { state.history_count = 0; }

 private:
  [[nodiscard]] void* take(u32 size_class);
  void give(void* memory, u32 size_class);
  template <class T>
  void reserve(T*& array, u32& capacity, u32 used, u32 wanted);

  static constexpr u32 class_count = 32;  ///< class n: 64 << n bytes
  std::vector<std::unique_ptr<std::byte[]>> chunks_;
  std::byte* next_ = nullptr;
  std::size_t left_ = 0;
  void* free_[class_count] = {};
};

}  // namespace skep::verifier
