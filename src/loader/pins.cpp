// Pins: made through the kernel, taken away as files. Directories are those of the real pin directory.
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/fd.hpp"
#include "loader/loading.hpp"

namespace skep::loader {

namespace {
constexpr std::string_view kRoot = "/sys/fs/bpf";
}

Pins::~Pins() {
  for (const std::string& path : made_) unlink(path.c_str());
  for (auto path = directories_.rbegin(); path != directories_.rend(); ++path) rmdir(path->c_str());
}

Result<std::string> Pins::real_path(const std::string& path) {
  bool inside = path.starts_with(kRoot) && (path.size() == kRoot.size() || path[kRoot.size()] == '/');
  if (!inside) return path;
  return TRY(kernel_.pin_directory()) + path.substr(kRoot.size());
}

Result<void> Pins::pin(const Handle& handle, const std::string& path) {
  return pin(handle.fd(), handle.kind(), path);
}

Result<void> Pins::pin(int fd, ObjectKind kind, const std::string& path) {
  std::string real = TRY(real_path(path));
  std::string directory = real.substr(0, real.rfind('/'));
  if (!directory.empty() && mkdir(directory.c_str(), 0700) == 0)
    directories_.push_back(directory);
  else if (!directory.empty() && errno != EEXIST)
    return fail_errno(fmt::format("failed to mkdir {}", directory));
  TRY(kernel_.obj_pin(fd, kind, path));
  made_.push_back(real);
  return {};
}

Result<void> Loading::pin_everything() {
  if (!options_.pin_first_program.empty()) {
    if (programs_.empty()) return fail(ENOENT, "object file doesn't contain any bpf program");
    if (Result<void> done = pins_.pin(programs_[0].handle, options_.pin_first_program); !done) {
      say(Level::debug, fmt::format("pin {}: {}", options_.pin_first_program, done.error().what));
      return fail(done.error().code, fmt::format("failed to pin program {}: {}", programs_[0].def->section,
                                                 errno_text(done.error().code)));
    }
  }
  for (const Program& program : programs_) {
    if (options_.pin_programs_dir.empty()) break;
    std::string path = options_.pin_programs_dir + "/" + program.def->name;
    if (Result<void> done = pins_.pin(program.handle, path); !done) {
      say(Level::warning, fmt::format("prog '{}': failed to pin at '{}': {}", program.def->name, path,
                                      errno_name(done.error().code)));
      return fail(done.error().code,
                  fmt::format("failed to pin all programs: {}", errno_text(done.error().code)));
    }
  }
  for (u32 i = 0; i < maps_.size() && !options_.pin_maps_dir.empty(); ++i) {
    std::string name = spec_.maps[i].name;
    std::replace(name.begin(), name.end(), '.', '_');  // bpffs takes no dots
    std::string path = options_.pin_maps_dir + "/" + name;
    if (path == maps_[i].pin_path) continue;  // there already
    Result<void> done;
    if (!maps_[i].pin_path.empty())
      done = fail(EINVAL, fmt::format("map '{}' already has pin path '{}' different from '{}'",
                                      spec_.maps[i].name, maps_[i].pin_path, path));
    else
      done = pins_.pin(maps_[i].fd, ObjectKind::map, path);
    if (!done) {
      say(Level::warning, fmt::format("map '{}': failed to pin at '{}': {}", spec_.maps[i].name, path,
                                      errno_name(done.error().code)));
      return fail(done.error().code,
                  fmt::format("failed to pin all maps: {}", errno_text(done.error().code)));
    }
  }
  return {};
}

}  // namespace skep::loader
