// See lru.hpp.
#include "maps/lru.hpp"

#include <algorithm>
#include <array>
#include <atomic>

namespace skep::maps {
namespace {

constexpr u32 local_target = 128;   ///< LOCAL_FREE_TARGET
constexpr u32 separate_target = 4;  ///< PERCPU_FREE_TARGET

/// Marks are set by programs at any time.
bool marked(LruNode& node) { return std::atomic_ref<u8>(node.ref).load(std::memory_order_relaxed) != 0; }
void unmark(LruNode& node) {
  const std::atomic_ref<u8> ref(node.ref);
  if (ref.load(std::memory_order_relaxed) != 0) ref.store(0, std::memory_order_relaxed);
}
/// Of an element in a common list it may change while it is only looked whether it is pending.
LruNode::On on_of(LruNode& node) {
  return std::atomic_ref<LruNode::On>(node.on).load(std::memory_order_relaxed);
}

}  // namespace

/// As the newest one.
[[gnu::always_inline]] inline void Lru::push(List& list, u32 element, On on) {
  LruNode& n = node(element);
  std::atomic_ref<On>(n.on).store(on, std::memory_order_relaxed);
  n.newer = LruNode::none;
  n.older = list.newest;
  if (list.newest != LruNode::none)
    node(list.newest).newer = element;
  else
    list.oldest = element;
  list.newest = element;
  ++list.size;
}

[[gnu::always_inline]] inline void Lru::erase(List& list, u32 element) {
  const LruNode& n = node(element);
  if (n.newer != LruNode::none)
    node(n.newer).older = n.older;
  else
    list.newest = n.older;
  if (n.older != LruNode::none)
    node(n.older).newer = n.newer;
  else
    list.oldest = n.newer;
  --list.size;
}

Lru::Lru(Elements& elements, Nodes nodes, u32 cpus, u32 entries, bool separate)
    : elements_(elements), nodes_(nodes), separate_(separate) {
  target_ = separate ? separate_target : std::clamp(entries / cpus / 2, 1u, local_target);
  for (u32 i = 0; i < (separate ? cpus : 1); ++i) common_.push_back(std::make_unique<Common>());
  if (!separate)
    for (u32 i = 0; i < cpus; ++i) local_.push_back(std::make_unique<Local>());
}

void Lru::add(u32 element) {
  LruNode& n = node(element);
  n.cpu = static_cast<u16>(separate_ ? element % common_.size() : 0);
  push(common(n.cpu).free, element, On::free);
}

/// The oldest of a list to the common lists, by its mark.
[[gnu::always_inline]] inline void Lru::move_by_mark(List& from, Common& list) {
  const u32 element = pop(from);
  LruNode& n = node(element);
  const On on = marked(n) ? On::active : On::inactive;
  unmark(n);
  push(list_of(list, on), element, on);
}

void Lru::move_marked(List& from, Common& list) {
  while (!from.empty()) move_by_mark(from, list);
}

/// While too few are inactive: the oldest active ones become so, but for those that were used.
void Lru::rotate(Common& list) {
  if (list.inactive.size >= list.active.size) return;
  for (u32 i = 0; i < target_ && !list.active.empty(); ++i) move_by_mark(list.active, list);
}

u32 Lru::shrink_inactive(Common& list, u32 wanted, List& to, On on, bool alone) {
  // First which, then each: their buckets come from memory meanwhile.
  std::array<u32, local_target> going;
  u32 count = 0;
  for (u32 looked = 0; count < wanted && looked < 2 * target_ && !list.inactive.empty(); ++looked) {
    const u32 element = pop(list.inactive);
    LruNode& n = node(element);
    if (marked(n)) {
      unmark(n);
      push(list.active, element, On::active);
      continue;
    }
    elements_.expect_unlink(element);
    going[count++] = element;
  }
  u32 got = 0;
  for (u32 i = 0; i < count; ++i) {
    if (elements_.unlink(going[i], alone)) {
      push(to, going[i], on);
      ++got;
    } else {
      push(list.inactive, going[i], On::inactive);  // being removed by somebody, who will give it back
    }
  }
  return got;
}

/// One, whether it was used or not; of the inactive ones if there are any.
u32 Lru::shrink_any(Common& list, List& to, On on, bool alone) {
  List& from = list.inactive.empty() ? list.active : list.inactive;
  for (u32 element = from.oldest; element != LruNode::none; element = node(element).newer) {
    if (!elements_.unlink(element, alone)) continue;
    erase(from, element);
    unmark(node(element));
    push(to, element, on);
    return 1;
  }
  return 0;
}

void Lru::refill(Common& list, u32 wanted, List& to, On on, bool alone) {
  rotate(list);
  u32 got = 0;
  for (; got < wanted && !list.free.empty(); ++got) push(to, pop(list.free), on);
  if (got < wanted) got += shrink_inactive(list, wanted - got, to, on, alone);
  if (got == 0) shrink_any(list, to, on, alone);
}

u32 Lru::take_common(u32 cpu, bool alone) {
  Common& list = common(cpu);
  const LockUnless lock(alone, list.lock);
  if (list.free.empty()) {
    List taken;
    refill(list, target_, taken, On::free, alone);
    while (!taken.empty()) push(list.free, pop(taken), On::free);
  }
  if (list.free.empty()) return LruNode::none;
  const u32 element = pop(list.free);
  unmark(node(element));
  push(list.inactive, element, On::inactive);
  return element;
}

[[gnu::always_inline]] inline void Lru::make_pending(Local& local, u32 element, u32 cpu) {
  LruNode& n = node(element);
  std::atomic_ref<u16>(n.cpu).store(static_cast<u16>(cpu), std::memory_order_relaxed);
  unmark(n);
  push(local.pending, element, On::local_pending);
}

[[gnu::always_inline]] inline u32 Lru::take_local(Local& local, u32 cpu, bool alone) {
  const LockUnless lock(alone, local.lock);
  if (local.free.empty()) {
    Common& list = common(cpu);
    const LockUnless common_lock(alone, list.lock);
    move_marked(local.pending, list);
    refill(list, target_, local.free, On::local_free, alone);
  }
  if (local.free.empty()) return LruNode::none;
  const u32 element = pop(local.free);
  make_pending(local, element, cpu);
  return element;
}

/// A free one of another CPU, or an old one that it took.
u32 Lru::steal(Local& local, bool alone) {
  const LockUnless lock(alone, local.lock);
  if (!local.free.empty()) return pop(local.free);
  for (const bool also_marked : {false, true}) {
    u32 looked = 0;
    for (u32 element = local.pending.oldest; element != LruNode::none && looked < local_target;
         element = node(element).newer, ++looked) {
      if (!also_marked && marked(node(element))) continue;
      if (!elements_.unlink(element, alone)) continue;
      erase(local.pending, element);
      return element;
    }
  }
  return LruNode::none;
}

u32 Lru::take(u32 cpu, bool alone) {
  if (separate_) return take_common(cpu, alone);
  Local& mine = *local_[cpu];
  if (const u32 element = take_local(mine, cpu, alone); element != LruNode::none) return element;
  for (u32 i = 0; i < local_.size(); ++i) {
    const u32 element = steal(*local_[(cpu + i) % local_.size()], alone);
    if (element == LruNode::none) continue;
    const LockUnless lock(alone, mine.lock);
    make_pending(mine, element, cpu);
    return element;
  }
  return LruNode::none;
}

void Lru::give_back(u32 element, bool alone) {
  LruNode& n = node(element);
  const auto to_common = [&](Common& list) {
    const LockUnless lock(alone, list.lock);
    erase(list_of(list, on_of(n)), element);
    unmark(n);
    push(list.free, element, On::free);
  };
  if (separate_) return to_common(common(n.cpu));
  // Where it is changes only under its CPU's lock while it is pending there.
  Local& local = *local_[std::atomic_ref<u16>(n.cpu).load(std::memory_order_relaxed)];
  const LockUnless lock(alone, local.lock);
  if (on_of(n) != On::local_pending) return to_common(common(0));
  erase(local.pending, element);
  unmark(n);
  push(local.free, element, On::local_free);
}

}  // namespace skep::maps
