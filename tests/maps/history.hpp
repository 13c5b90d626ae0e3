// Histories of operations on one key by several threads, and whether they are linearizable: whether each
// operation may have happened at one moment between its call and its return, in an order in which an ordinary
// variable would have given the same answers (Wing and Gong's search; what was tried is remembered).
#pragma once
#include <algorithm>
#include <atomic>
#include <chrono>
#include <optional>
#include <set>
#include <vector>

#include "kernel/uapi.hpp"
#include "maps/map.hpp"

namespace skep::maps {

struct Operation {
  enum class Kind : u8 { lookup, update, remove };
  Kind kind = Kind::lookup;
  u64 flags = 0;       ///< update
  u64 value = 0;       ///< written, or found
  int result = 0;      ///< negative errno; a lookup that finds nothing: -ENOENT
  bool vague = false;  ///< lookup: what was found is not known
  s64 called = 0, returned = 0;
};
/// One thread's, in its order.
using History = std::vector<Operation>;

/// The time, after all that this thread stored can be seen by others, and before it loads anything more: else
/// an operation would seem to be over while its store still waits in the processor.
inline s64 history_clock() {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  volatile s64 now = std::chrono::steady_clock::now().time_since_epoch().count();
  std::atomic_thread_fence(std::memory_order_seq_cst);
  return now;
}

class LinearizabilityCheck {
 public:
  explicit LinearizabilityCheck(std::vector<History> threads) : threads_(std::move(threads)) {}
  /// From a key that is not there.
  bool passes() {
    State start{std::vector<u32>(threads_.size()), {}};
    std::vector<State> open{start};
    seen_.insert(start);
    while (!open.empty()) {
      const State state = open.back();
      open.pop_back();
      bool all = true;
      s64 first_return = INT64_MAX;
      for (std::size_t t = 0; t < threads_.size(); ++t)
        if (state.done[t] < threads_[t].size()) {
          all = false;
          first_return = std::min(first_return, threads_[t][state.done[t]].returned);
        }
      if (all) return true;
      for (std::size_t t = 0; t < threads_.size(); ++t) {
        if (state.done[t] == threads_[t].size()) continue;
        const Operation& next = threads_[t][state.done[t]];
        if (next.called > first_return) continue;  // another one was over before
        State then = state;
        ++then.done[t];
        if (apply(next, then.value) && seen_.insert(then).second) open.push_back(std::move(then));
      }
    }
    return false;
  }

 private:
  struct State {
    std::vector<u32> done;
    std::optional<u64> value;
    auto operator<=>(const State&) const = default;
  };
  /// Whether the variable would have answered so; it changes.
  static bool apply(const Operation& of, std::optional<u64>& value) {
    switch (of.kind) {
      case Operation::Kind::lookup:
        return value ? of.result == 0 && (of.vague || of.value == *value) : of.result == -ENOENT;
      case Operation::Kind::remove:
        if (of.result != (value ? 0 : -ENOENT)) return false;
        value.reset();
        return true;
      default: {
        const int expected =
            value ? (of.flags == uapi::NOEXIST ? -EEXIST : 0) : (of.flags == uapi::EXIST ? -ENOENT : 0);
        if (of.result != expected) return false;
        if (expected == 0) value = of.value;
        return true;
      }
    }
  }
  std::vector<History> threads_;
  std::set<State> seen_;
};

}  // namespace skep::maps
