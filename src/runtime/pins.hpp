// The pin directory: what bpffs is for the kernel. A pin is an ordinary file below one directory; removing it
// in any way (rm, rm -r, a rename over it) drops the reference that it held. The truth is the link count of
// an O_PATH descriptor kept for each pin: 0 means unpinned, whatever happened to the name, so mv, mv of a
// parent, hard links and copies behave (a copy is another inode, hence no pin). inotify only says when to
// look again. Not thread-safe: one thread, or the owner's lock. Relies on base and kernel names only.
#pragma once
#include <memory>
#include <string>
#include <unordered_map>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "kernel/kernel.hpp"

namespace skep::runtime {

/// What a pin stands for. `object` is the reference the pin holds: destroyed when the pin goes away.
struct Pinned {
  ObjectKind kind = ObjectKind::prog;
  u32 id = 0;
  std::shared_ptr<void> object;
};

class PinDirectory {
 public:
  /// Opens (making it, mode 0700, where missing) the directory that stands for /sys/fs/bpf. Takes a lock on
  /// it for the lifetime of this object: EBUSY while another instance has it. As a boot does, removes the
  /// pins that a dead instance left behind; files that are not pins stay.
  static Result<std::unique_ptr<PinDirectory>> open(const std::string& directory);
  ~PinDirectory();
  PinDirectory(const PinDirectory&) = delete;
  PinDirectory& operator=(const PinDirectory&) = delete;

  [[nodiscard]] const std::string& directory() const { return directory_; }

  /// The real path for `path`: "/sys/fs/bpf/x" and "DIRECTORY/x" both mean DIRECTORY/x. Everything else,
  /// "..", is EPERM, which is what bpf(2) gives for pinning outside a bpffs.
  [[nodiscard]] Result<std::string> resolve(const std::string& path) const;

  /// BPF_OBJ_PIN: a new file at `path` holding `what.object`. EEXIST if there is a file, ENOENT without the
  /// parent directory, ENOSPC on a full disk; nothing is left behind by a failure.
  Result<void> pin(const std::string& path, Pinned what);
  /// BPF_OBJ_GET: what is pinned at `path`. ENOENT without a file; EACCES for a file that is no pin of ours
  /// (forged, copied); it is identified by inode, never by what is written in it.
  [[nodiscard]] Result<Pinned> get(const std::string& path) const;

  /// Drops every pin whose last name is gone. Call before each answer that could depend on it: unlink(2) has
  /// returned before the next request can arrive, so `rm pin; prog list` is never stale. One fstat(2) a pin.
  void sweep();
  /// Readable when names below the directory may have changed: then call sweep(). -1 if inotify is not to be
  /// had.
  [[nodiscard]] int wake_fd() const { return inotify_.get(); }
  [[nodiscard]] std::size_t size() const { return pins_.size(); }

  /// Removes the files of all pins and drops what they hold (a stop in good order).
  void remove_all();

 private:
  struct Pin {
    UniqueFd fd;  ///< keeps the inode, so its number means this file and no other
    Pinned what;
  };
  struct Inode {
    u64 dev = 0;
    u64 ino = 0;
    bool operator==(const Inode&) const = default;
  };
  struct InodeHash {
    std::size_t operator()(const Inode& inode) const { return inode.ino * 0x9e3779b97f4a7c15u ^ inode.dev; }
  };

  PinDirectory() = default;

  std::string directory_;
  std::string instance_;   ///< uuid written into our pins
  UniqueFd directory_fd_;  ///< and the lock on it
  UniqueFd inotify_;
  std::unordered_map<Inode, Pin, InodeHash> pins_;
};

}  // namespace skep::runtime
