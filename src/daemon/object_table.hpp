// The objects that clients hold. What a client gets for one is an end of a socket pair; while any copy of
// that end is open anywhere (duplicates, forks, descriptors in flight) the object lives, and the kernel tells
// when the last is closed, on kill -9 as well, by a hang-up on the other end. A descriptor that a client
// sends is recognised by its socket cookie, which nobody can forge or reuse.
#pragma once
#include <memory>
#include <optional>
#include <unordered_map>

#include "base/fd.hpp"
#include "daemon/caller.hpp"

namespace skep::daemon {

class ObjectTable {
 public:
  static Result<std::unique_ptr<ObjectTable>> create();

  struct Entry {
    Handle handle;
    UniqueFd hang_up;  ///< our end
    std::optional<ElementSizes> sizes;
  };

  /// A descriptor that stands for the object.
  Result<UniqueFd> hand_out(Handle handle);
  /// The object that a received descriptor stands for; null if none. Valid until the next call here.
  [[nodiscard]] Entry* find(int fd);
  /// Drops the objects whose descriptors are all closed. Before each answer, so that none is stale.
  void drop_closed();
  /// Readable when there is something to drop.
  [[nodiscard]] int wake_fd() const { return epoll_.get(); }
  [[nodiscard]] std::size_t size() const { return entries_.size(); }
  void clear() { entries_.clear(); }

 private:
  UniqueFd epoll_;
  std::unordered_map<u64, Entry> entries_;  ///< by the cookie of the client's end
};

}  // namespace skep::daemon
