// See lru.hpp.
#include "maps/lru.hpp"

#include <algorithm>
#include <atomic>
#include <mutex>

namespace skep::maps {
namespace {

constexpr u32 local_target = 128;   ///< LOCAL_FREE_TARGET
constexpr u32 separate_target = 4;  ///< PERCPU_FREE_TARGET
constexpr u32 scan_limit = 4;       ///< pending elements looked at before one is stolen

/// Marks are set by programs at any time.
bool marked(LruNode* node) { return std::atomic_ref<u8>(node->ref).load(std::memory_order_relaxed) != 0; }
void unmark(LruNode* node) { std::atomic_ref<u8>(node->ref).store(0, std::memory_order_relaxed); }

}  // namespace

void Lru::List::push(LruNode* node) {
  node->previous = &end_;
  node->next = end_.next;
  end_.next->previous = node;
  end_.next = node;
  ++size_;
}

void Lru::List::erase(LruNode* node) {
  node->previous->next = node->next;
  node->next->previous = node->previous;
  --size_;
}

Lru::Lru(void* map, Unlink unlink, u32 cpus, u32 entries, bool separate)
    : map_(map), unlink_(unlink), separate_(separate) {
  target_ = separate ? separate_target : std::clamp(entries / cpus / 2, 1u, local_target);
  for (u32 i = 0; i < (separate ? cpus : 1); ++i) common_.push_back(std::make_unique<Common>());
  if (!separate)
    for (u32 i = 0; i < cpus; ++i) local_.push_back(std::make_unique<Local>());
}

void Lru::add(LruNode* node, u32 number) {
  node->cpu = static_cast<u16>(separate_ ? number % common_.size() : 0);
  node->on = LruNode::On::free;
  common(node->cpu).free.push(node);
}

/// All of a CPU's pending ones to the common lists, by their marks.
void Lru::move_marked(List& from, Common& list) {
  while (!from.empty()) {
    LruNode* node = from.oldest();
    from.erase(node);
    const bool used = marked(node);
    unmark(node);
    node->on = used ? LruNode::On::active : LruNode::On::inactive;
    (used ? list.active : list.inactive).push(node);
  }
}

/// While too few are inactive: the oldest active ones become so, but for those that were used.
void Lru::rotate(Common& list) {
  if (list.inactive.size() >= list.active.size()) return;
  for (u32 i = 0; i < target_ && !list.active.empty(); ++i) {
    LruNode* node = list.active.oldest();
    list.active.erase(node);
    const bool used = marked(node);
    unmark(node);
    node->on = used ? LruNode::On::active : LruNode::On::inactive;
    (used ? list.active : list.inactive).push(node);
  }
}

u32 Lru::shrink_inactive(Common& list, u32 wanted, List& to, LruNode::On on) {
  u32 got = 0;
  for (u32 looked = 0; got < wanted && looked < 2 * target_ && !list.inactive.empty(); ++looked) {
    LruNode* node = list.inactive.oldest();
    list.inactive.erase(node);
    if (marked(node)) {
      unmark(node);
      node->on = LruNode::On::active;
      list.active.push(node);
    } else if (unlink_(map_, node)) {
      node->on = on;
      to.push(node);
      ++got;
    } else {
      list.inactive.push(node);  // being removed by somebody, who will give it back
    }
  }
  return got;
}

/// One, whether it was used or not; of the inactive ones if there are any.
u32 Lru::shrink_any(Common& list, List& to, LruNode::On on) {
  List& from = list.inactive.empty() ? list.active : list.inactive;
  for (LruNode* node = from.oldest(); !from.is_end(node); node = node->previous) {
    if (!unlink_(map_, node)) continue;
    from.erase(node);
    unmark(node);
    node->on = on;
    to.push(node);
    return 1;
  }
  return 0;
}

u32 Lru::refill(Common& list, u32 wanted, List& to, LruNode::On on) {
  rotate(list);
  u32 got = 0;
  for (; got < wanted && !list.free.empty(); ++got) {
    LruNode* node = list.free.oldest();
    list.free.erase(node);
    node->on = on;
    to.push(node);
  }
  if (got < wanted) got += shrink_inactive(list, wanted - got, to, on);
  if (got == 0) got = shrink_any(list, to, on);
  return got;
}

LruNode* Lru::take_common(u32 cpu) {
  Common& list = common(cpu);
  const std::lock_guard lock(list.lock);
  if (list.free.empty()) {
    List taken;
    refill(list, target_, taken, LruNode::On::free);
    while (!taken.empty()) {
      LruNode* node = taken.oldest();
      taken.erase(node);
      list.free.push(node);
    }
  }
  if (list.free.empty()) return nullptr;
  LruNode* node = list.free.oldest();
  list.free.erase(node);
  unmark(node);
  node->on = LruNode::On::inactive;
  list.inactive.push(node);
  return node;
}

LruNode* Lru::take_local(Local& local, u32 cpu) {
  const std::lock_guard lock(local.lock);
  if (local.free.empty()) {
    Common& list = common(cpu);
    const std::lock_guard common_lock(list.lock);
    move_marked(local.pending, list);
    refill(list, target_, local.free, LruNode::On::local_free);
  }
  if (local.free.empty()) return nullptr;
  LruNode* node = local.free.oldest();
  local.free.erase(node);
  std::atomic_ref<u16>(node->cpu).store(static_cast<u16>(cpu), std::memory_order_relaxed);
  unmark(node);
  node->on = LruNode::On::local_pending;
  local.pending.push(node);
  return node;
}

/// A free one of another CPU, or an old one that it took.
LruNode* Lru::steal(Local& local) {
  const std::lock_guard lock(local.lock);
  if (!local.free.empty()) {
    LruNode* node = local.free.oldest();
    local.free.erase(node);
    return node;
  }
  for (const bool also_marked : {false, true}) {
    u32 looked = 0;
    for (LruNode* node = local.pending.oldest(); !local.pending.is_end(node) && looked < local_target;
         node = node->previous, ++looked) {
      if (!also_marked && marked(node)) continue;
      if (!unlink_(map_, node)) continue;
      local.pending.erase(node);
      return node;
    }
  }
  return nullptr;
}

LruNode* Lru::take(u32 cpu) {
  if (separate_) return take_common(cpu);
  Local& mine = *local_[cpu];
  if (LruNode* node = take_local(mine, cpu); node != nullptr) return node;
  for (u32 i = 0; i < local_.size(); ++i) {
    LruNode* node = steal(*local_[(cpu + i) % local_.size()]);
    if (node == nullptr) continue;
    const std::lock_guard lock(mine.lock);
    std::atomic_ref<u16>(node->cpu).store(static_cast<u16>(cpu), std::memory_order_relaxed);
    unmark(node);
    node->on = LruNode::On::local_pending;
    mine.pending.push(node);
    return node;
  }
  return nullptr;
}

void Lru::give_back(LruNode* node) {
  if (!separate_) {
    // Where it is changes only under its CPU's lock while it is pending there.
    Local& local = *local_[std::atomic_ref<u16>(node->cpu).load(std::memory_order_relaxed)];
    const std::lock_guard lock(local.lock);
    if (node->on == LruNode::On::local_pending) {
      local.pending.erase(node);
      unmark(node);
      node->on = LruNode::On::local_free;
      local.free.push(node);
      return;
    }
    Common& list = common(0);
    const std::lock_guard common_lock(list.lock);
    (node->on == LruNode::On::active ? list.active : list.inactive).erase(node);
    unmark(node);
    node->on = LruNode::On::free;
    list.free.push(node);
    return;
  }
  Common& list = common(node->cpu);
  const std::lock_guard lock(list.lock);
  (node->on == LruNode::On::active ? list.active : list.inactive).erase(node);
  unmark(node);
  node->on = LruNode::On::free;
  list.free.push(node);
}

}  // namespace skep::maps
