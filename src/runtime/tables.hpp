// Ids and descriptors. An id names an object as long as it lives and is not given again; a descriptor is a
// reference that a client holds. Not thread-safe: UserKernel's lock guards them.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "kernel/kernel.hpp"

namespace skep::runtime {

/// Objects of one kind by id, increasing from 1. Holds no references.
template <class T>
class IdTable {
 public:
  u32 add(const std::shared_ptr<T>& object) {
    std::erase_if(objects_, [](const auto& entry) { return entry.second.expired(); });  // their memory, too
    objects_.emplace(next_, object);
    return next_++;
  }
  [[nodiscard]] std::shared_ptr<T> find(u32 id) const {
    const auto it = objects_.find(id);
    return it == objects_.end() ? nullptr : it->second.lock();
  }
  /// The lowest id above `start` that lives, or 0.
  [[nodiscard]] u32 next_after(u32 start) {
    for (auto it = objects_.upper_bound(start); it != objects_.end();) {
      if (!it->second.expired()) return it->first;
      it = objects_.erase(it);
    }
    return 0;
  }
  /// Calls visit(object) for all that live, by id.
  template <class Visit>
  void each(Visit visit) const {
    for (const auto& [id, weak] : objects_)
      if (const auto object = weak.lock()) visit(*object);
  }

 private:
  std::map<u32, std::weak_ptr<T>> objects_;
  u32 next_ = 1;
};

/// Descriptors: the lowest free number is taken, as for files.
class DescriptorTable {
 public:
  struct Entry {
    ObjectKind kind = ObjectKind::prog;
    std::shared_ptr<void> object;
  };

  int add(ObjectKind kind, std::shared_ptr<void> object) {
    std::size_t at = first;
    while (at < entries_.size() && entries_[at].object != nullptr) ++at;
    if (at >= entries_.size()) entries_.resize(at + 1);
    entries_[at] = {kind, std::move(object)};
    return static_cast<int>(at);
  }
  /// EBADF: no such descriptor; EINVAL: it is of another kind.
  template <class T>
  [[nodiscard]] Result<std::shared_ptr<T>> get(int fd, ObjectKind kind) const {
    const Entry* entry = find(fd);
    if (entry == nullptr) return fail(EBADF, "descriptor " + std::to_string(fd) + " is not open");
    if (entry->kind != kind)
      return fail(EINVAL, "descriptor " + std::to_string(fd) + " is a " +
                              std::string(object_kind_name(entry->kind)) + ", not a " +
                              std::string(object_kind_name(kind)));
    return std::static_pointer_cast<T>(entry->object);
  }
  [[nodiscard]] const Entry* find(int fd) const {
    const auto at = static_cast<std::size_t>(fd);
    return fd < 0 || at >= entries_.size() || entries_[at].object == nullptr ? nullptr : &entries_[at];
  }
  /// Takes the reference out; the caller lets it go.
  [[nodiscard]] std::shared_ptr<void> remove(int fd) {
    if (find(fd) == nullptr) return nullptr;
    return std::move(entries_[static_cast<std::size_t>(fd)].object);
  }

 private:
  /// 0 stands for "none" in some fields of bpf(2), 1 and 2 for a process's own files.
  static constexpr std::size_t first = 3;
  std::vector<Entry> entries_;
};

}  // namespace skep::runtime
