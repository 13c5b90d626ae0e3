// The objects that clients hold. What a client gets for one is an end of a socket pair; while any copy of
// that end is open anywhere (duplicates, forks, descriptors in flight) the object lives, and the kernel tells
// when the last is closed, on kill -9 as well, by a hang-up on the other end. A descriptor that a client
// sends is recognised by its socket cookie, which nobody can forge or reuse. Any thread may ask.
#pragma once
#include <memory>
#include <mutex>
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
  /// The object that a received descriptor stands for; null if none. Valid as long as that descriptor is
  /// open.
  [[nodiscard]] Entry* find(int fd);
  /// Drops the objects whose descriptors are all closed. Before each answer, so that none is stale.
  void drop_closed();
  /// Readable when there is something to drop.
  [[nodiscard]] int wake_fd() const { return epoll_.get(); }
  [[nodiscard]] std::size_t size() const;
  void clear();

 private:
  std::unordered_map<u64, Entry>::node_type extract(u64 cookie);

  UniqueFd epoll_;
  mutable std::mutex mutex_;
  std::unordered_map<u64, Entry> entries_;  ///< by the cookie of the client's end
};

}  // namespace skep::daemon
