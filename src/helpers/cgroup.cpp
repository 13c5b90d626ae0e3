// Helpers about control groups (kernel: kernel/bpf/helpers.c, kernel/trace/bpf_trace.c, net/core/filter.c).
// The current task's is the process's, of version 2: ids are the inodes of its directories.
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>

#include "base/fd.hpp"
#include "helpers/families.hpp"
#include "helpers/skb.hpp"
#include "maps/map.hpp"

namespace skep::helpers {
namespace {

constexpr u64 root_id = 1;  ///< of the hierarchy's root

/// The process's path below the mount, "/" first; empty: there is none.
std::string cgroup_path() {
  const auto text = read_file("/proc/self/cgroup");
  if (!text) return {};
  std::size_t at = text->starts_with("0::") ? 0 : text->find("\n0::");
  if (at == text->npos) return {};
  at = text->find('/', at);
  return at == text->npos ? std::string() : text->substr(at, text->find('\n', at) - at);
}
u64 cgroup_id(const std::string& path) {
  struct stat info{};
  return ::stat(("/sys/fs/cgroup" + path).c_str(), &info) == 0 ? info.st_ino : 0;
}
u64 get_current_cgroup_id(u64, u64, u64, u64, u64, RunContext*) { return cgroup_id(cgroup_path()); }
/// Level 0 is the root; 0 for a level below the process's own.
u64 get_current_ancestor_cgroup_id(u64 level64, u64, u64, u64, u64, RunContext*) {
  const auto level = static_cast<s32>(level64);
  const std::string path = cgroup_path();
  if (level < 0 || path.empty()) return 0;
  std::size_t end = 0;
  for (s32 i = 0; i < level; ++i) {
    if (end + 1 >= path.size()) return 0;
    end = std::min(path.find('/', end + 1), path.size());
  }
  return cgroup_id(path.substr(0, end));
}

/// Whether the process's control group is the one that `directory` is open at, or below it: one of its
/// ancestors has that path below the hierarchy's root.
bool task_is_under(int directory) {
  struct stat info{};
  if (::fstat(directory, &info) != 0) return false;
  if (info.st_ino == root_id) return true;
  std::array<char, 4096> text{};
  const std::string link = "/proc/self/fd/" + std::to_string(directory);
  const ssize_t size = ::readlink(link.c_str(), text.data(), text.size());
  if (size <= 0) return false;
  const std::string_view place(text.data(), static_cast<std::size_t>(size));
  for (std::string group = cgroup_path(); group.size() > 1; group.resize(group.rfind('/'))) {
    if (!place.ends_with(group)) continue;
    const std::string mount(place.substr(0, place.size() - group.size()));
    if (::stat(mount.c_str(), &info) == 0 && info.st_ino == root_id) return true;
  }
  return false;
}

/// The directory's descriptor in a slot of a cgroup_array. E2BIG; EAGAIN: the slot is empty.
int directory_in(u64 map64, u64 index64, const UniqueFd*& found) {
  auto& map = *pointer<maps::Map>(map64);
  const u32 index = static_cast<u32>(index64);
  if (index >= map.facts().max_entries) return E2BIG;
  found =
      reinterpret_cast<const UniqueFd*>(map.lookup(bytes_of(index).data(), 0));  // NOLINT: what slots hold
  return found == nullptr ? EAGAIN : 0;
}
/// (map, index)
u64 current_task_under_cgroup(u64 map, u64 index, u64, u64, u64, RunContext*) {
  const UniqueFd* directory = nullptr;
  if (const int bad = directory_in(map, index, directory); bad != 0) return error_result(bad);
  return task_is_under(directory->get());
}
/// (skb, map, index): sockets of packets here are in the root, as those of test runs are.
u64 skb_under_cgroup(u64 context, u64 map, u64 index, u64, u64, RunContext*) {
  if (skb_of(context).buf.sk == nullptr) return error_result(ENOENT);
  const UniqueFd* directory = nullptr;
  if (const int bad = directory_in(map, index, directory); bad != 0) return error_result(bad);
  struct stat info{};
  return ::fstat(directory->get(), &info) == 0 && info.st_ino == root_id;
}

/// The id in the net_cls hierarchy of version 1: 0, as for tasks and packets that nobody put into one.
u64 get_cgroup_classid(u64, u64, u64, u64, u64, RunContext*) { return 0; }

constexpr HelperRow rows[] = {
    {17, get_cgroup_classid},
    {33, skb_under_cgroup},
    {37, current_task_under_cgroup},
    {80, get_current_cgroup_id},
    {123, get_current_ancestor_cgroup_id},
};

}  // namespace

std::span<const HelperRow> cgroup_family() { return rows; }

}  // namespace skep::helpers
