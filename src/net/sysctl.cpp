#include "net/sysctl.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <sstream>

namespace skep::net {
namespace {

std::string read_setting(const UniqueFd& file) {
  std::array<char, 256> text{};
  const ssize_t got = ::pread(file.get(), text.data(), text.size(), 0);
  std::string value(text.data(), got > 0 ? static_cast<std::size_t>(got) : 0);
  while (!value.empty() && value.back() == '\n') value.pop_back();
  return value;
}

bool write_setting(const UniqueFd& file, const std::string& value) {
  return ::pwrite(file.get(), value.data(), value.size(), 0) == static_cast<ssize_t>(value.size());
}

/// Settings do not outlive the machine's run; inodes of namespaces mean something else in the next one.
std::string this_boot() {
  auto id = read_file("/proc/sys/kernel/random/boot_id", 64);
  if (!id) return "unknown";
  while (!id->empty() && id->back() == '\n') id->pop_back();
  return std::move(*id);
}

u64 own_netns() {
  struct stat info{};
  return ::stat("/proc/thread-self/ns/net", &info) == 0 ? info.st_ino : 0;
}

}  // namespace

std::vector<SettingsJournal::Entry> SettingsJournal::left_behind() const {
  std::vector<Entry> entries;
  if (path_.empty()) return entries;
  const auto text = read_file(path_, 1u << 20);
  if (!text) return entries;
  const std::string boot = this_boot();
  std::istringstream lines(*text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string of_boot;
    Entry entry;
    if (words >> of_boot >> entry.netns >> entry.setting >> entry.value >> entry.before && of_boot == boot)
      entries.push_back(std::move(entry));
  }
  return entries;
}

Result<void> SettingsJournal::write(const std::vector<Entry>& entries) const {
  if (entries.empty()) {
    ::unlink(path_.c_str());
    return {};
  }
  std::string text;
  for (const Entry& entry : entries)
    text +=
        fmt::format("{} {} {} {} {}\n", this_boot(), entry.netns, entry.setting, entry.value, entry.before);
  const std::string fresh = path_ + ".new";
  UniqueFd file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file || ::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    return fail_errno(fresh);
  if (::rename(fresh.c_str(), path_.c_str()) != 0) return fail_errno(path_);
  return {};
}

Result<void> SettingsJournal::remember(const Entry& entry) const {
  if (path_.empty()) return {};
  auto entries = left_behind();
  entries.push_back(entry);
  return write(entries);
}

void SettingsJournal::forget(u64 netns, const std::string& setting) const {
  if (path_.empty()) return;
  auto entries = left_behind();
  std::erase_if(entries, [&](const Entry& e) { return e.netns == netns && e.setting == setting; });
  (void)write(entries);
}

std::vector<std::string> SettingsJournal::restore() const {
  std::vector<std::string> done;
  const u64 netns = own_netns();
  for (const Entry& entry : left_behind()) {
    if (entry.netns != netns || !entry.setting.starts_with("/proc/sys/net/")) continue;
    const UniqueFd file(::open(entry.setting.c_str(), O_RDWR | O_CLOEXEC));
    if (file && read_setting(file) == entry.value && write_setting(file, entry.before))
      done.push_back(fmt::format("{} is {} again", entry.setting, entry.before));
    forget(netns, entry.setting);
  }
  return done;
}

Result<ScopedSysctl> ScopedSysctl::set(const std::string& path, std::string value,
                                       const SettingsJournal& journal) {
  UniqueFd reading(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!reading) return fail_errno(path);
  SettingsJournal::Entry entry{own_netns(), path, std::move(value), read_setting(reading)};
  if (entry.before == entry.value) {
    // As it should be; but if a killed process made it so, we are the ones to undo that.
    const auto left = journal.left_behind();
    const auto found = std::ranges::find_if(
        left, [&](const auto& e) { return e.netns == entry.netns && e.setting == path; });
    if (found == left.end()) return ScopedSysctl({}, {}, SettingsJournal());
    UniqueFd file(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    if (!file) return fail_errno(path);
    return ScopedSysctl(std::move(file), *found, journal);
  }
  UniqueFd file(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!file) return fail_errno(path);
  TRY(journal.remember(entry));
  if (!write_setting(file, entry.value)) {
    const int code = errno;
    journal.forget(entry.netns, path);
    return fail(code, fmt::format("{}: {}", path, errno_text(code)));
  }
  return ScopedSysctl(std::move(file), std::move(entry), journal);
}

ScopedSysctl::~ScopedSysctl() {
  if (!file_) return;
  if (read_setting(file_) == entry_.value) (void)write_setting(file_, entry_.before);
  journal_.forget(entry_.netns, entry_.setting);
}

Result<std::vector<ScopedSysctl>> admit_loopback(const std::string& ifname, const SettingsJournal& journal) {
  std::vector<ScopedSysctl> settings;
  for (const auto* key : {"route_localnet", "accept_local"})
    settings.push_back(
        TRY(ScopedSysctl::set(fmt::format("/proc/sys/net/ipv4/conf/{}/{}", ifname, key), "1", journal)));
  return settings;
}

}  // namespace skep::net
