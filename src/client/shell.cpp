// See shell.hpp. Directories such as /sys/kernel/tracing may be missing, empty or closed to this user: where
// a mount point cannot be made, its parent is covered by a tmpfs in which everything else of it is bound
// again.
#include "client/shell.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "base/fd.hpp"

namespace skep::client {

namespace {

Result<void> write_file(const std::string& path, const std::string& text) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd || ::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    return fail_errno(path);
  return {};
}

Result<void> own_namespaces() {
  if (::unshare(CLONE_NEWNS) < 0) {
    const uid_t uid = ::geteuid();
    const gid_t gid = ::getegid();
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
      return fail(
          EPERM,
          fmt::format("a shell needs a mount namespace, and this machine allows user {} neither that nor "
                      "a user namespace ({})",
                      uid, errno_text(errno)));
    // The same user inside: files keep their owners, and the daemon knows us.
    TRY(write_file("/proc/self/setgroups", "deny"));
    TRY(write_file("/proc/self/uid_map", fmt::format("{0} {0} 1", uid)));
    TRY(write_file("/proc/self/gid_map", fmt::format("{0} {0} 1", gid)));
  }
  if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0)
    return fail_errno("a private mount namespace");
  return {};
}

Result<void> bind_mount(const std::string& from, const std::string& to) {
  if (::mount(from.c_str(), to.c_str(), nullptr, MS_BIND, nullptr) < 0)
    return fail_errno(fmt::format("binding {} to {}", from, to));
  return {};
}

/// Covers `directory` with a tmpfs that shows what was there.
Result<void> cover(const std::string& directory) {
  const UniqueFd old(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!old) return fail_errno(directory);
  DIR* const entries =
      ::opendir(directory.c_str());  // null where this user may not list it: then nothing is shown
  if (::mount("skep", directory.c_str(), "tmpfs", 0, "mode=0755") < 0) {
    if (entries != nullptr) ::closedir(entries);
    return fail_errno(fmt::format("a tmpfs on {}", directory));
  }
  while (const dirent* entry = entries == nullptr ? nullptr : ::readdir(entries)) {  // NOLINT: one thread
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    const std::string from = fmt::format("/proc/self/fd/{}/{}", old.get(), name);
    const std::string to = directory + "/" + name;
    struct stat info{};
    if (::stat(from.c_str(), &info) < 0) continue;
    if (S_ISDIR(info.st_mode))
      ::mkdir(to.c_str(), 0755);
    else
      UniqueFd(::open(to.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644)).reset();
    ::mount(from.c_str(), to.c_str(), nullptr, MS_BIND | MS_REC, nullptr);
  }
  if (entries != nullptr) ::closedir(entries);
  return {};
}

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

Result<void> provide_directory(const std::string& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) return {};
  const std::string parent = path.substr(0, path.rfind('/'));
  TRY(provide_directory(parent.empty() ? "/" : parent));
  if (::mkdir(path.c_str(), 0755) == 0) return {};
  TRY(cover(parent));
  if (::mkdir(path.c_str(), 0755) < 0 && errno != EEXIST) return fail_errno(path);
  return {};
}

/// An existing file at `path`, or an empty one to bind something to.
Result<void> provide_file(const std::string& path) {
  if (exists(path)) return {};
  const std::string parent = path.substr(0, path.rfind('/'));
  TRY(provide_directory(parent));
  constexpr int flags = O_CREAT | O_WRONLY | O_CLOEXEC;
  if (UniqueFd(::open(path.c_str(), flags, 0644))) return {};
  TRY(cover(parent));
  if (!UniqueFd(::open(path.c_str(), flags, 0644))) return fail_errno(path);
  return {};
}

bool same_file(const std::string& one, const std::string& other) {
  struct stat a{};
  struct stat b{};
  return ::stat(one.c_str(), &a) == 0 && ::stat(other.c_str(), &b) == 0 && a.st_dev == b.st_dev &&
         a.st_ino == b.st_ino;
}

/// `bpftool`, by name and by its usual paths.
Result<void> be_bpftool(const ShellPlan& plan) {
  const std::string bin = plan.directory + "/bin";
  if (::mkdir(bin.c_str(), 0700) < 0 && errno != EEXIST) return fail_errno(bin);
  const std::string link = bin + "/bpftool";
  if (!same_file(link, plan.program)) {
    ::unlink(link.c_str());
    if (::symlink(plan.program.c_str(), link.c_str()) < 0) return fail_errno(link);
  }
  for (const char* path : {"/usr/sbin/bpftool", "/usr/local/sbin/bpftool", "/usr/bin/bpftool"})
    if (exists(path) && !same_file(path, plan.program)) TRY(bind_mount(plan.program, path));
  const char* path = ::getenv("PATH");  // NOLINT(concurrency-mt-unsafe): one thread
  const std::string rest =
      path == nullptr ? "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" : path;
  ::setenv("PATH", fmt::format("{}:{}", bin, rest).c_str(), 1);  // NOLINT(concurrency-mt-unsafe)
  ::setenv("SKEP_DIR", plan.directory.c_str(), 1);               // NOLINT(concurrency-mt-unsafe)
  return {};
}

}  // namespace

Result<void> enter_shell_namespace(const ShellPlan& plan) {
  TRY(own_namespaces());
  TRY(provide_directory("/sys/fs/bpf"));
  TRY(bind_mount(plan.pins, "/sys/fs/bpf"));
  for (const std::string path : {"/sys/kernel/debug/tracing/trace_pipe", "/sys/kernel/tracing/trace_pipe"}) {
    TRY(provide_file(path));
    TRY(bind_mount(plan.trace_pipe, path));
  }
  return be_bpftool(plan);
}

}  // namespace skep::client
