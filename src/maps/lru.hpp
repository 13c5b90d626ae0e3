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

struct LruNode {
  LruNode* previous = nullptr;
  LruNode* next = nullptr;
  u16 cpu = 0;
  enum class On : u8 { active, inactive, free, local_pending, local_free };
  std::atomic<On> on{On::free};
  u8 ref = 0;  ///< read and set by rewritten code, at +35 of an element
};

class Lru {
 public:
  /// Unlinks a node's element from its bucket; false: it was not in one. Called with list locks held, takes
  /// the bucket's: nobody may call Lru with a bucket's lock held.
  using Unlink = bool (*)(void* map, LruNode* node);

  /// `separate`: lists for each CPU, none in common (BPF_F_NO_COMMON_LRU).
  Lru(void* map, Unlink unlink, u32 cpus, u32 entries, bool separate);
  /// Before anybody uses it: a free node.
  void add(LruNode* node, u32 number);

  /// A node of no bucket, or nullptr when every one is being inserted by somebody.
  LruNode* take(u32 cpu);
  /// Gives back a node that is in no bucket (any more).
  void give_back(LruNode* node);

 private:
  /// Doubly linked; the head is the newest.
  class List {
   public:
    [[nodiscard]] bool empty() const { return size_ == 0; }
    [[nodiscard]] u32 size() const { return size_; }
    [[nodiscard]] LruNode* oldest() const { return end_.previous; }
    [[nodiscard]] bool is_end(const LruNode* node) const { return node == &end_; }
    void push(LruNode* node);
    void erase(LruNode* node);
    List() { end_.previous = end_.next = &end_; }
    List(const List&) = delete;
    List& operator=(const List&) = delete;

   private:
    LruNode end_;
    u32 size_ = 0;
  };
  struct Common {
    alignas(64) SpinLock lock;
    List active, inactive, free;
  };
  struct Local {
    alignas(64) SpinLock lock;
    List free, pending;
  };

  Common& common(u32 cpu) { return *common_[separate_ ? cpu : 0]; }
  void move_marked(List& from, Common& list);
  void rotate(Common& list);
  u32 shrink_inactive(Common& list, u32 wanted, List& to, LruNode::On on);
  u32 shrink_any(Common& list, List& to, LruNode::On on);
  u32 refill(Common& list, u32 wanted, List& to, LruNode::On on);
  LruNode* take_common(u32 cpu);
  LruNode* take_local(Local& local, u32 cpu);
  LruNode* steal(Local& local);

  void* map_;
  Unlink unlink_;
  bool separate_;
  u32 target_;  ///< how many a CPU takes from the common list at once
  std::vector<std::unique_ptr<Common>> common_;
  std::vector<std::unique_ptr<Local>> local_;
};

}  // namespace skep::maps
