// Pin paths, in bpftool's words.
#include "cli/pins.hpp"

#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

namespace skep::cli {

namespace {

namespace fs = std::filesystem;
constexpr std::string_view kRoot = "/sys/fs/bpf";

bool is_bpf_file_system(const std::string& directory) {
  struct statfs about{};
  return statfs(directory.c_str(), &about) == 0 && static_cast<u64>(about.f_type) == BPF_FS_MAGIC;
}

bool exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

std::string parent_of(const std::string& path) {
  const auto slash = path.find_last_not_of('/') == std::string::npos ? std::string::npos : path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

/// What follows `root` in `path`, if it is `root` or below it.
bool below(const std::string& path, std::string_view root, std::string& rest) {
  if (!path.starts_with(root)) return false;
  rest = path.substr(root.size());
  return rest.empty() || rest.starts_with('/');
}

/// The machine's own kernel has no pin directory but file systems; its obj_pin() mounts one where there is
/// none.
bool mounts_where_asked(const Cli& cli, const PinPath& pin) {
  return pin.mountable && !cli.options().nomount;
}

std::unexpected<Failure> outside(const Cli& cli, const std::string& directory) {
  if (cli.options().nomount)
    return refuse("no BPF file system found, not mounting it due to --nomount option");
  return refuse(fmt::format(
      "can't pin BPF object: '{}' is not in a BPF file system, and skep mounts none: pins go under {}",
      directory, kRoot));
}

}  // namespace

Outcome<PinPath> find_pin_path(Cli& cli, const std::string& path) {
  Kernel& kernel = *TRY(cli.kernel());
  std::error_code error;
  std::string absolute = fs::absolute(path, error).lexically_normal().string();
  if (error) return refuse(fmt::format("{}: {}", path, errno_text(error.value())));
  if (absolute.size() > 1 && absolute.ends_with('/')) absolute.pop_back();
  auto directory = kernel.pin_directory();
  if (!directory) return kernel_refused("can't find the BPF file system", directory.error());
  std::string rest;
  if (*directory == kRoot) {
    const bool inside = is_bpf_file_system(absolute) || is_bpf_file_system(parent_of(absolute));
    return PinPath{absolute, absolute, inside, true};
  }
  if (below(absolute, kRoot, rest) || below(absolute, *directory, rest))
    return PinPath{std::string(kRoot) + rest, *directory + rest, true, false};
  return PinPath{absolute, absolute, false, false};
}

Outcome<Handle> open_pinned(Cli& cli, const std::string& path, ObjectKind kind) {
  const PinPath pin = TRY(find_pin_path(cli, path));
  if (!pin.inside) {
    if (!exists(pin.real)) return kernel_refused(fmt::format("bpf obj get ({})", path), Error{ENOENT, {}});
    return refuse(fmt::format("bpf obj get ({}): directory not in bpf file system (bpffs)", parent_of(path)));
  }
  auto handle = TRY(cli.kernel())->obj_get(pin.path);
  if (!handle) return kernel_refused(fmt::format("bpf obj get ({})", path), handle.error());
  if (handle->kind() != kind)
    return refuse(fmt::format("incorrect object type: {}", object_kind_name(handle->kind())));
  return std::move(*handle);
}

Outcome<PinPath> check_new_pin(Cli& cli, const std::string& path) {
  PinPath pin = TRY(find_pin_path(cli, path));
  if (exists(pin.real)) return refuse(fmt::format("can't pin BPF object: path '{}' already exists", path));
  const std::string directory = parent_of(path);
  if (!exists(parent_of(pin.real)))
    return refuse(fmt::format("can't pin BPF object: dir '{}' doesn't exist", directory));
  if (!pin.inside && !mounts_where_asked(cli, pin)) return outside(cli, directory);
  return pin;
}

Outcome<PinPath> make_pin_directory(Cli& cli, const std::string& path) {
  PinPath pin = TRY(find_pin_path(cli, path));
  const bool there = exists(pin.real);
  if (!there && !exists(parent_of(pin.real)))
    return refuse(fmt::format("can't create dir '{}' to pin BPF object: parent dir '{}' doesn't exist", path,
                              parent_of(path)));
  if (!pin.inside && !mounts_where_asked(cli, pin)) return outside(cli, path);
  if (!there && mkdir(pin.real.c_str(), 0700) != 0)
    return refuse(fmt::format("failed to create dir '{}': {}", path, errno_text(errno)));
  pin.made = !there;
  return pin;
}

Outcome<void> pin_object(Cli& cli, const Handle& object, const std::string& path) {
  const PinPath pin = TRY(check_new_pin(cli, path));
  const auto pinned = TRY(cli.kernel())->obj_pin(object.fd(), object.kind(), pin.path);
  if (!pinned) return kernel_refused(fmt::format("can't pin the object ({})", path), pinned.error());
  return {};
}

Outcome<PinTable> pinned_objects(Cli& cli, ObjectKind kind) {
  Kernel& kernel = *TRY(cli.kernel());
  PinTable table;
  const auto directory = kernel.pin_directory();
  if (!directory) return kernel_refused("can't find the BPF file system", directory.error());
  std::vector<std::string> files;
  std::error_code error;
  for (fs::recursive_directory_iterator it(*directory, fs::directory_options::skip_permission_denied, error),
       end;
       !error && it != end; it.increment(error))
    files.push_back(std::string(kRoot) + it->path().string().substr(directory->size()));
  std::sort(files.begin(), files.end());
  for (const std::string& path : files) {
    auto handle = kernel.obj_get(path);  // directories and stray files are no pins
    if (!handle || handle->kind() != kind) continue;
    Result<u32> id = fail(EINVAL);
    if (kind == ObjectKind::prog) {
      if (const auto info = kernel.prog_info(handle->fd())) id = info->id;
    } else if (kind == ObjectKind::map) {
      if (const auto info = kernel.map_info(handle->fd())) id = info->id;
    } else if (kind == ObjectKind::link) {
      if (const auto info = kernel.link_info(handle->fd())) id = info->id;
    }
    if (id) table.emplace(*id, path);
  }
  return table;
}

std::vector<std::string> pins_of(const PinTable& table, u32 id) {
  std::vector<std::string> paths;
  for (auto [it, end] = table.equal_range(id); it != end; ++it) paths.push_back(it->second);
  return paths;
}

void write_pins(JsonWriter& json, const std::vector<std::string>& pins) {
  json.name("pinned");
  json.begin_array();
  for (const std::string& pin : pins) json.string(pin);
  json.end_array();
}

}  // namespace skep::cli
