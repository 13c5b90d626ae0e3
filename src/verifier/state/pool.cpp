// The pool behind states; see pool.hpp. Blocks are powers of two from 64 bytes on; a freed block's first
// word links to the next free one of its class.
#include "verifier/state/pool.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>

namespace skep::verifier {
namespace {

constexpr std::size_t chunk_bytes = 256 * 1024;

u32 class_for(std::size_t bytes) {
  const std::size_t rounded = std::bit_ceil(std::max<std::size_t>(bytes, 64));
  return static_cast<u32>(std::countr_zero(rounded)) - 6;
}

}  // namespace

void* StatePool::take(u32 size_class) {
  SKEP_ASSERT(size_class < class_count);
  if (void* block = free_[size_class]) {
    std::memcpy(&free_[size_class], block, sizeof(void*));
    return block;
  }
  const std::size_t bytes = std::size_t{64} << size_class;
  if (bytes > chunk_bytes / 4) {
    chunks_.push_back(std::make_unique<std::byte[]>(bytes));
    return chunks_.back().get();
  }
  if (left_ < bytes) {
    chunks_.push_back(std::make_unique_for_overwrite<std::byte[]>(chunk_bytes));
    next_ = chunks_.back().get();
    left_ = chunk_bytes;
  }
  void* block = next_;
  next_ += bytes;
  left_ -= bytes;
  return block;
}

void StatePool::give(void* memory, u32 size_class) {
  std::memcpy(memory, &free_[size_class], sizeof(void*));
  free_[size_class] = memory;
}

template <class T>
void StatePool::reserve(T*& array, u32& capacity, u32 used, u32 wanted) {
  if (wanted <= capacity) return;
  const u32 size_class = class_for(wanted * sizeof(T));
  T* bigger = static_cast<T*>(take(size_class));
  if (used != 0) std::memcpy(static_cast<void*>(bigger), array, used * sizeof(T));
  if (capacity != 0) give(array, class_for(capacity * sizeof(T)));
  array = bigger;
  capacity = static_cast<u32>((std::size_t{64} << size_class) / sizeof(T));
}

State* StatePool::new_state() { return new (take(class_for(sizeof(State)))) State; }

Frame* StatePool::new_frame() { return new (take(class_for(sizeof(Frame)))) Frame; }

void StatePool::release_frame(Frame* frame) {
  if (frame->slot_capacity != 0) give(frame->slots, class_for(frame->slot_capacity * sizeof(StackSlot)));
  give(frame, class_for(sizeof(Frame)));
}

void StatePool::release(State* state) {
  for (Frame* frame : state->frame)
    if (frame != nullptr) release_frame(frame);
  if (state->ref_capacity != 0) give(state->refs, class_for(state->ref_capacity * sizeof(Reference)));
  if (state->history_capacity != 0)
    give(state->history, class_for(state->history_capacity * sizeof(JumpEntry)));
  give(state, class_for(sizeof(State)));
}

void StatePool::grow_stack(Frame& frame, u32 count) {
  if (count <= frame.slot_count) return;
  u32 capacity = frame.slot_capacity;
  reserve(frame.slots, capacity, frame.slot_count, count);
  frame.slot_capacity = static_cast<u16>(capacity);
  for (u32 i = frame.slot_count; i < count; ++i) new (&frame.slots[i]) StackSlot;
  frame.slot_count = static_cast<u16>(count);
}

void StatePool::copy_frame(Frame& to, const Frame& from) {
  u32 capacity = to.slot_capacity;
  StackSlot* slots = to.slots;
  reserve(slots, capacity, 0, from.slot_count);
  to = from;
  to.slots = slots;
  to.slot_capacity = static_cast<u16>(capacity);
  if (from.slot_count != 0)
    std::memcpy(static_cast<void*>(slots), from.slots, from.slot_count * sizeof(StackSlot));
}

void StatePool::copy(State& to, const State& from) {
  State old = to;
  reserve(old.refs, old.ref_capacity, 0, from.ref_count);
  reserve(old.history, old.history_capacity, 0, from.history_count);
  to = from;
  to.refs = old.refs;
  to.ref_capacity = old.ref_capacity;
  to.history = old.history;
  to.history_capacity = old.history_capacity;
  if (from.ref_count != 0) std::memcpy(to.refs, from.refs, from.ref_count * sizeof(Reference));
  if (from.history_count != 0) std::memcpy(to.history, from.history, from.history_count * sizeof(JumpEntry));
  for (u32 i = 0; i < limits::max_call_frames; ++i) {
    to.frame[i] = old.frame[i];
    if (i > from.curframe) {
      if (to.frame[i] != nullptr) release_frame(to.frame[i]);
      to.frame[i] = nullptr;
      continue;
    }
    if (to.frame[i] == nullptr) to.frame[i] = new_frame();
    copy_frame(*to.frame[i], *from.frame[i]);
  }
}

void StatePool::push_reference(State& state, const Reference& reference) {
  reserve(state.refs, state.ref_capacity, state.ref_count, state.ref_count + 1);
  state.refs[state.ref_count++] = reference;
}

void StatePool::push_history(State& state, const JumpEntry& entry) {
  reserve(state.history, state.history_capacity, state.history_count, state.history_count + 1);
  state.history[state.history_count++] = entry;
}

}  // namespace skep::verifier
