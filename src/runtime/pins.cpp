// See pins.hpp. Every path below the directory is walked component by component without following symbolic
// links, so a name never leads outside.
#include "runtime/pins.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <functional>

namespace skep::runtime {

namespace {

constexpr std::string_view kBpfFs = "/sys/fs/bpf";
constexpr std::string_view kMagic = "skep pin ";
constexpr int kMaxDepth = 64;

Result<std::string> new_instance() {
  std::array<u8, 16> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    return fail_errno("getrandom");
  std::string text;
  for (const u8 byte : bytes) text += fmt::format("{:02x}", byte);
  return text;
}

/// `path` after `prefix` if it lies below it: "" or "a/b".
std::optional<std::string_view> below(std::string_view path, std::string_view prefix) {
  if (!path.starts_with(prefix)) return {};
  path.remove_prefix(prefix.size());
  if (path.empty()) return path;
  if (path.front() != '/') return {};
  while (!path.empty() && path.front() == '/') path.remove_prefix(1);
  return path;
}

/// The directory that holds the last component of `relative`, and that component.
struct Place {
  UniqueFd parent;
  std::string name;
};
Result<Place> walk(int root, std::string_view relative, const std::string& path) {
  UniqueFd at(::fcntl(root, F_DUPFD_CLOEXEC, 0));
  if (!at) return fail_errno(path);
  for (;;) {
    while (!relative.empty() && relative.front() == '/') relative.remove_prefix(1);
    const std::size_t slash = relative.find('/');
    std::string name(relative.substr(0, slash));
    if (slash == relative.npos || relative.find_first_not_of('/', slash) == relative.npos)
      return Place{std::move(at), std::move(name)};
    UniqueFd next(::openat(at.get(), name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!next) return fail_errno(path);
    at = std::move(next);
    relative.remove_prefix(slash);
  }
}

/// Calls visit(directory fd, name, stat) for every regular file below `directory`.
void each_file(int directory, int depth,
               const std::function<void(int, const char*, const struct stat&)>& visit) {
  const int copy = ::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* const stream = copy < 0 ? nullptr : ::fdopendir(copy);
  if (stream == nullptr) {
    if (copy >= 0) ::close(copy);
    return;
  }
  while (const dirent* entry = ::readdir(stream)) {  // NOLINT(concurrency-mt-unsafe): a stream of our own
    const std::string_view name = entry->d_name;
    struct stat info{};
    if (name == "." || name == ".." || ::fstatat(copy, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) < 0)
      continue;
    if (S_ISREG(info.st_mode)) visit(copy, entry->d_name, info);
    if (S_ISDIR(info.st_mode) && depth < kMaxDepth) {
      const UniqueFd sub(::openat(copy, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (sub) each_file(sub.get(), depth + 1, visit);
    }
  }
  ::closedir(stream);
}

/// The file says of itself that it is a pin (of whichever instance).
bool looks_like_a_pin(int directory, const char* name) {
  const UniqueFd fd(::openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  std::array<char, 16> head{};
  const ssize_t got = fd ? ::read(fd.get(), head.data(), head.size()) : -1;
  return got > 0 && std::string_view(head.data(), static_cast<std::size_t>(got)).starts_with(kMagic);
}

Result<void> write_all(int fd, std::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t done = ::write(fd, text.data(), text.size());
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return fail_errno(path);
    text.remove_prefix(static_cast<std::size_t>(done));
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<PinDirectory>> PinDirectory::open(const std::string& directory) {
  std::unique_ptr<PinDirectory> pins(new PinDirectory);
  if (::mkdir(directory.c_str(), 0700) < 0 && errno != EEXIST) return fail_errno(directory);
  pins->directory_fd_.reset(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!pins->directory_fd_) return fail_errno(directory);
  struct stat info{};
  if (::fstat(pins->directory_fd_.get(), &info) < 0) return fail_errno(directory);
  if (info.st_uid != ::geteuid()) return fail(EPERM, fmt::format("{}: belongs to another user", directory));
  if (::flock(pins->directory_fd_.get(), LOCK_EX | LOCK_NB) < 0)
    return fail(EBUSY, fmt::format("{}: in use by another instance", directory));
  std::array<char, PATH_MAX> real{};
  if (::realpath(directory.c_str(), real.data()) == nullptr) return fail_errno(directory);
  pins->directory_ = real.data();
  pins->instance_ = TRY(new_instance());
  pins->inotify_.reset(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  each_file(pins->directory_fd_.get(), 0, [](int at, const char* name, const struct stat&) {
    if (looks_like_a_pin(at, name)) ::unlinkat(at, name, 0);
  });
  return pins;
}

PinDirectory::~PinDirectory() { remove_all(); }

Result<std::string> PinDirectory::resolve(const std::string& path) const {
  auto relative = below(path, kBpfFs);
  if (!relative) relative = below(path, directory_);
  if (!relative) return fail(EPERM, fmt::format("{}: not below {} or {}", path, kBpfFs, directory_));
  const std::string bounded = fmt::format("/{}/", *relative);
  if (bounded.find("/../") != bounded.npos || bounded.find("/./") != bounded.npos)
    return fail(EPERM, fmt::format("{}: '.' and '..' have no place in a pin's path", path));
  return fmt::format("{}/{}", directory_, *relative);
}

Result<void> PinDirectory::pin(const std::string& path, Pinned what) {
  const std::string real = TRY(resolve(path));
  const auto place = TRY(walk(directory_fd_.get(), *below(real, directory_), path));
  if (place.name.empty()) return fail(EEXIST, fmt::format("{}: the directory itself", path));
  UniqueFd fd(::openat(place.parent.get(), place.name.c_str(),
                       O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd) return fail_errno(path);
  const std::string text =
      fmt::format("{}{} id {} instance {}\n", kMagic, object_kind_name(what.kind), what.id, instance_);
  struct stat info{};
  Result<void> written = write_all(fd.get(), text, path);
  if (written && ::fstat(fd.get(), &info) < 0) written = fail_errno(path);
  if (!written) {
    ::unlinkat(place.parent.get(), place.name.c_str(), 0);
    return written;
  }
  // A change of the link count is a change of attributes: this wakes for rm by any name of the file.
  if (inotify_)
    ::inotify_add_watch(inotify_.get(), fmt::format("/proc/self/fd/{}", fd.get()).c_str(), IN_ATTRIB);
  pins_.insert_or_assign(Inode{info.st_dev, info.st_ino}, Pin{std::move(fd), std::move(what)});
  return {};
}

Result<Pinned> PinDirectory::get(const std::string& path) const {
  const auto real = resolve(path);
  if (!real) {
    if (::access(path.c_str(), F_OK) < 0) return fail_errno(path);
    return fail(EACCES, real.error().what);
  }
  const auto place = TRY(walk(directory_fd_.get(), *below(*real, directory_), path));
  struct stat info{};
  if (::fstatat(place.parent.get(), place.name.empty() ? "." : place.name.c_str(), &info,
                AT_SYMLINK_NOFOLLOW) < 0)
    return fail_errno(path);
  const auto found = pins_.find(Inode{info.st_dev, info.st_ino});
  if (found == pins_.end()) return fail(EACCES, fmt::format("{}: not a pin", path));
  return found->second.what;
}

void PinDirectory::sweep() {
  alignas(inotify_event) std::array<char, 4096> events;  // NOLINT: filled by read
  while (inotify_ && ::read(inotify_.get(), events.data(), events.size()) > 0) {
  }
  // Dropped only after the walk: what a reference held may come back here.
  std::vector<Pin> gone;
  for (auto it = pins_.begin(); it != pins_.end();) {
    struct stat info{};
    if (::fstat(it->second.fd.get(), &info) == 0 && info.st_nlink > 0) {
      ++it;
      continue;
    }
    gone.push_back(std::move(it->second));
    it = pins_.erase(it);
  }
}

void PinDirectory::remove_all() {
  if (!directory_fd_) return;
  each_file(directory_fd_.get(), 0, [this](int at, const char* name, const struct stat& info) {
    if (pins_.contains(Inode{info.st_dev, info.st_ino})) ::unlinkat(at, name, 0);
  });
  const auto gone = std::exchange(pins_, {});
}

}  // namespace skep::runtime
