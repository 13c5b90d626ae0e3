// The pool behind states; see pool.hpp. A freed block's first word links to the next free one of its size:
// the last one freed, which is still in the cache, is the first to be used again.
#include "verifier/state/pool.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>

namespace skep::verifier {
namespace {

constexpr std::size_t first_chunk = 64 * 1024;
constexpr std::size_t huge_page = 2 * 1024 * 1024;
constexpr std::size_t small_total = 7 * first_chunk;  ///< what has fitted into the first three chunks
constexpr u32 first_history = 16;
constexpr std::size_t cache_line = 64;

std::size_t history_bytes(u32 capacity) { return sizeof(History) + capacity * sizeof(JumpEntry); }

/// Blocks of the slots that the frame has, so that no others need be looked at.
u32 blocks_of(const Frame& frame) {
  return (frame.slot_count + SlotBlock::slot_count - 1) / SlotBlock::slot_count;
}

}  // namespace

const StackSlot Stack::empty_slot{};

u32 StatePool::class_of(std::size_t bytes) {
  if (bytes <= small_bytes) return static_cast<u32>((bytes + step - 1) / step);
  return static_cast<u32>(small_bytes / step) + static_cast<u32>(std::bit_width((bytes - 1) / small_bytes));
}

std::size_t StatePool::bytes_of(u32 size_class) {
  constexpr u32 smalls = small_bytes / step;
  return size_class <= smalls ? size_class * step : small_bytes << (size_class - smalls);
}

/// A fault for each small page costs more than the verifier has time for what it keeps there: small programs
/// get chunks that double, larger ones huge pages, where the machine has them.
void StatePool::add_chunk(std::size_t bytes) {
  const bool huge = bytes_ >= small_total || bytes > first_chunk;
  Chunk chunk{nullptr, huge ? (bytes + huge_page - 1) / huge_page * huge_page : first_chunk + bytes_};
  chunk.memory = ::operator new(chunk.bytes, std::align_val_t{huge ? huge_page : cache_line});
  if (huge)
    (void)::madvise(chunk.memory, chunk.bytes, MADV_HUGEPAGE);  // a hint: without it all works the same
  chunks_.push_back(chunk);
  bytes_ += chunk.bytes;
}

/// The next chunk that has room for so much: one of before forget_all(), or a new one.
void StatePool::next_chunk(std::size_t bytes) {
  while (chunks_used_ < chunks_.size() && chunks_[chunks_used_].bytes < bytes) ++chunks_used_;
  if (chunks_used_ == chunks_.size()) add_chunk(bytes);
  const Chunk& chunk = chunks_[chunks_used_++];
  next_ = static_cast<std::byte*>(chunk.memory);
  left_ = chunk.bytes;
}

void StatePool::forget_all() {
  std::ranges::fill(free_, nullptr);
  chunks_used_ = 0;
  next_ = nullptr;
  left_ = 0;
}

StatePool::~StatePool() {
  for (const Chunk& chunk : chunks_) {
    const bool huge = chunk.bytes >= huge_page;
    ::operator delete(chunk.memory, std::align_val_t{huge ? huge_page : cache_line});
  }
}

void* StatePool::take(std::size_t bytes) {
  const u32 size_class = class_of(bytes);
  SKEP_ASSERT(size_class < class_count);
  if (void* block = free_[size_class]) {
    std::memcpy(&free_[size_class], block, sizeof(void*));
    return block;
  }
  bytes = bytes_of(size_class);
  if (left_ < bytes) next_chunk(bytes);
  void* block = next_;
  next_ += bytes;
  left_ -= bytes;
  return block;
}

void StatePool::give(void* memory, std::size_t bytes) {
  const u32 size_class = class_of(bytes);
  std::memcpy(memory, &free_[size_class], sizeof(void*));
  free_[size_class] = memory;
}

// --- frames and their stacks -----------------------------------------------------------------------------

State* StatePool::new_state() { return new (take(sizeof(State))) State; }

Frame* StatePool::new_frame() {
  auto* frame = new (take(sizeof(Frame))) Frame;
  frame->slots.pool_ = this;
  return frame;
}

Frame* StatePool::copy_frame(const Frame& from) {
  auto* frame = new (take(sizeof(Frame))) Frame(from);
  frame->refs = 1;
  for (u32 i = 0; i < blocks_of(from); ++i)
    if (SlotBlock* const block = frame->slots.blocks_[i]; block != nullptr) ++block->refs;
  return frame;
}

void StatePool::release_frame(Frame* frame) {
  if (--frame->refs != 0) return;
  for (u32 i = 0; i < blocks_of(*frame); ++i)
    if (SlotBlock* const block = frame->slots.blocks_[i]; block != nullptr && --block->refs == 0)
      give(block, sizeof(SlotBlock));
  give(frame, sizeof(Frame));
}

void StatePool::make_block_own(Stack& stack, u32 index) {
  auto* own = static_cast<SlotBlock*>(take(sizeof(SlotBlock)));
  own->refs = 1;
  if (SlotBlock* const shared = stack.blocks_[index]; shared != nullptr) {
    const u64 present = stack.present_ >> (index * SlotBlock::slot_count);
    for (u32 i = 0; i < SlotBlock::slot_count; ++i)
      if ((present >> i & 1) != 0) own->slots[i] = shared->slots[i];
    --shared->refs;
  }
  stack.blocks_[index] = own;
}

void Stack::make_own(u32 block) { pool_->make_block_own(*this, block); }

void StatePool::drop_slots(Frame& frame, u64 slots) {
  Stack& stack = frame.slots;
  stack.present_ &= ~slots;
  constexpr u64 whole = (u64{1} << SlotBlock::slot_count) - 1;
  for (u32 i = 0; i < blocks_of(frame); ++i) {
    SlotBlock*& block = stack.blocks_[i];
    if (block == nullptr || (stack.present_ >> (i * SlotBlock::slot_count) & whole) != 0) continue;
    if (--block->refs == 0) give(block, sizeof(SlotBlock));
    block = nullptr;
  }
}

void Frames::make_own(u32 i) {
  Frame* const shared = at_[i];
  at_[i] = shared->slots.pool_->copy_frame(*shared);
  --shared->refs;
}

// --- states ----------------------------------------------------------------------------------------------

void StatePool::release(State* state) {
  for (Frame* frame : state->frame.at_)
    if (frame != nullptr) release_frame(frame);
  if (state->ref_capacity != 0) give(state->refs, state->ref_capacity * sizeof(Reference));
  if (state->history != nullptr) release_history(state->history);
  give(state, sizeof(State));
}

State* StatePool::copy(const State& from) {
  auto* state = new (take(sizeof(State))) State(from);
  for (u32 i = 0; i < from.curframe; ++i) ++state->frame.at_[i]->refs;
  state->frame.at_[from.curframe] = copy_frame(*from.frame[from.curframe]);
  if (state->history != nullptr) ++state->history->refs;
  state->ref_capacity = state->ref_count;
  state->refs = nullptr;
  if (from.ref_count != 0) {
    state->refs = static_cast<Reference*>(take(from.ref_count * sizeof(Reference)));
    std::memcpy(state->refs, from.refs, from.ref_count * sizeof(Reference));
  }
  return state;
}

void StatePool::push_reference(State& state, const Reference& reference) {
  if (state.ref_count == state.ref_capacity) {
    const u32 capacity = state.ref_capacity * 2 + 2;
    auto* bigger = static_cast<Reference*>(take(capacity * sizeof(Reference)));
    if (state.ref_count != 0) std::memcpy(bigger, state.refs, state.ref_count * sizeof(Reference));
    if (state.ref_capacity != 0) give(state.refs, state.ref_capacity * sizeof(Reference));
    state.refs = bigger;
    state.ref_capacity = capacity;
  }
  state.refs[state.ref_count++] = reference;
}

// --- histories -------------------------------------------------------------------------------------------

void StatePool::release_history(History* history) {
  if (--history->refs == 0) give(history, history_bytes(history->capacity));
}

/// A history of the state's own, with room for `wanted` entries.
void StatePool::own_history(State& state, u32 wanted) {
  const u32 capacity = std::max(first_history, std::bit_ceil(wanted));
  auto* own = new (take(history_bytes(capacity))) History;
  own->capacity = capacity;
  own->used = state.history_count;
  if (state.history_count != 0)
    std::memcpy(own->entries(), state.history->entries(), state.history_count * sizeof(JumpEntry));
  if (state.history != nullptr) release_history(state.history);
  state.history = own;
}

void StatePool::push_history(State& state, const JumpEntry& entry) {
  History* history = state.history;
  const u32 count = state.history_count;
  const bool taken = history != nullptr && history->refs != 1 && history->used != count;
  if (history == nullptr || taken || count == history->capacity) {
    own_history(state, count + 1);
    history = state.history;
  }
  history->entries()[count] = entry;
  history->used = state.history_count = count + 1;
}

JumpEntry& StatePool::last_history(State& state) {
  if (state.history->refs != 1) own_history(state, state.history_count);
  return state.history->entries()[state.history_count - 1];
}

void StatePool::clear_history(State& state) {
  if (state.history != nullptr) release_history(state.history);
  state.history = nullptr;
  state.history_count = 0;
}

}  // namespace skep::verifier
