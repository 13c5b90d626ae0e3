// Which elements of an LRU hash go when room is needed. The scheme is the kernel's
// (kernel/bpf/bpf_lru_list.c): elements are on an active or an inactive list; looking one up only sets its
// `ref` mark; room is made at the inactive list's end, where marked elements get a second chance. In front of
// the common lists each CPU has a few free elements and those that it took last, so that most insertions
// touch no shared lock.
#pragma once
#include <atomic>
#include <memory>
#include <vector>

#include "base/types.hpp"
#include "maps/spin.hpp"

namespace skep::maps {

/// Stands before the key of an LRU hash's element; neighbours are elements' numbers.
struct LruNode {
  static constexpr u32 none = ~0u;
  u16 cpu = 0;
  enum class On : u8 { active, inactive, free, local_pending, local_free };
  On on = On::free;
  u8 ref = 0;  ///< read and set by rewritten code: hash_elem_ref
  u32 newer = none, older = none;
  std::atomic<u32> hash{0};  ///< of the key
};
static_assert(sizeof(LruNode) == 16);

class Lru {
 public:
  /// What the lists need of the map.
  class Elements {
   public:
    /// Soon unlink() of the element will look for it.
    virtual void expect_unlink(u32 element) = 0;
    /// Unlinks an element from its bucket; false: it was not in one. Called with list locks held, takes the
    /// bucket's: nobody may call Lru with a bucket's lock held.
    virtual bool unlink(u32 element, bool alone) = 0;

   protected:
    ~Elements() = default;
  };

  /// Where elements' nodes stand: that of element 0, and from one to the next.
  struct Nodes {
    std::byte* first;
    u64 stride;
  };
  /// `separate`: lists for each CPU, none in common (BPF_F_NO_COMMON_LRU).
  Lru(Elements& elements, Nodes nodes, u32 cpus, u32 entries, bool separate);
  /// Before anybody uses it: a free element. Its number is one below `entries`.
  void add(u32 element);

  // `alone`: nobody else calls meanwhile.

  /// An element of no bucket, or LruNode::none when every one is being inserted by somebody.
  u32 take(u32 cpu, bool alone);
  /// Gives back an element that is in no bucket (any more).
  void give_back(u32 element, bool alone);

 private:
  using On = LruNode::On;
  /// Doubly linked.
  struct List {
    u32 newest = LruNode::none, oldest = LruNode::none;
    u32 size = 0;
    [[nodiscard]] bool empty() const { return size == 0; }
  };
  struct Common {
    alignas(64) SpinLock lock;
    List active, inactive, free;
  };
  struct Local {
    alignas(64) SpinLock lock;
    List free, pending;
  };

  LruNode& node(u32 element) { return *reinterpret_cast<LruNode*>(nodes_.first + element * nodes_.stride); }
  void push(List& list, u32 element, On on);
  void erase(List& list, u32 element);
  u32 pop(List& list) {
    const u32 element = list.oldest;
    erase(list, element);
    return element;
  }
  Common& common(u32 cpu) { return *common_[separate_ ? cpu : 0]; }
  static List& list_of(Common& list, On on) { return on == On::active ? list.active : list.inactive; }
  void move_by_mark(List& from, Common& list);
  void move_marked(List& from, Common& list);
  void rotate(Common& list);
  u32 shrink_inactive(Common& list, u32 wanted, List& to, On on, bool alone);
  u32 shrink_any(Common& list, List& to, On on, bool alone);
  void refill(Common& list, u32 wanted, List& to, On on, bool alone);
  u32 take_common(u32 cpu, bool alone);
  u32 take_local(Local& local, u32 cpu, bool alone);
  u32 steal(Local& local, bool alone);
  void make_pending(Local& local, u32 element, u32 cpu);

  Elements& elements_;
  Nodes nodes_;
  bool separate_;
  u32 target_;  ///< how many a CPU takes from the common list at once
  std::vector<std::unique_ptr<Common>> common_;
  std::vector<std::unique_ptr<Local>> local_;
};

}  // namespace skep::maps
