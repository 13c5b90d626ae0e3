// Kernel settings changed for as long as an object lives, and the file that tells the next process what they
// were if this one is killed.
#pragma once
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "base/types.hpp"

namespace skep::net {

/// What settings were before they were changed: one line a setting, with the boot and the network namespace
/// it belongs to. Without a path nothing is remembered. Not thread-safe.
class SettingsJournal {
 public:
  explicit SettingsJournal(std::string path = {}) : path_(std::move(path)) {}

  struct Entry {
    u64 netns = 0;  ///< inode
    std::string setting, value, before;
  };
  /// Before `setting` is changed. A failure to write is an error: what is not remembered is not changed.
  Result<void> remember(const Entry& entry) const;
  void forget(u64 netns, const std::string& setting) const;
  /// What a killed process left of this boot.
  [[nodiscard]] std::vector<Entry> left_behind() const;
  /// Writes back what a killed process left in the calling thread's network namespace, where it still stands
  /// as that left it, and forgets it. "SETTING is BEFORE again" for each.
  std::vector<std::string> restore() const;

 private:
  Result<void> write(const std::vector<Entry>& entries) const;
  std::string path_;
};

class ScopedSysctl {
 public:
  /// Writes `value` to `path` (under /proc/sys, of the calling thread's network namespace). The destructor,
  /// on any thread, writes back what was there before, unless somebody changed it meanwhile.
  static Result<ScopedSysctl> set(const std::string& path, std::string value, const SettingsJournal& journal);
  ScopedSysctl(ScopedSysctl&&) = default;
  ScopedSysctl& operator=(ScopedSysctl&&) = delete;
  ~ScopedSysctl();

 private:
  ScopedSysctl(UniqueFd file, SettingsJournal::Entry entry, SettingsJournal journal)
      : file_(std::move(file)), entry_(std::move(entry)), journal_(std::move(journal)) {}
  UniqueFd file_;  ///< stays with the namespace it was opened in; none: nothing to restore
  SettingsJournal::Entry entry_;
  SettingsJournal journal_;
};

/// Packets that come back to `lo` have no route attached, as those that the host sent to itself have; the
/// stack takes them for forged unless told otherwise.
[[nodiscard]] Result<std::vector<ScopedSysctl>> admit_loopback(const std::string& ifname,
                                                               const SettingsJournal& journal);

}  // namespace skep::net
