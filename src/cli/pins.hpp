// Pin paths: where /sys/fs/bpf really is, what may be pinned where, which objects are pinned under which
// names.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "cli/cli.hpp"

namespace skep::cli {

struct PinPath {
  std::string path;        ///< as the Kernel takes it: absolute, under /sys/fs/bpf
  std::string real;        ///< the file that stands for it
  bool inside = false;     ///< it is in a BPF file system
  bool made = false;       ///< make_pin_directory() made it: whoever fails later removes it
  bool mountable = false;  ///< if not, pinning can mount one there (the machine's own kernel)
};

/// Any spelling of a path: relative, under /sys/fs/bpf, or under the directory that stands for it.
Outcome<PinPath> find_pin_path(Cli& cli, const std::string& path);

/// The object of that kind behind a pin.
Outcome<Handle> open_pinned(Cli& cli, const std::string& path, ObjectKind kind);

/// That `path` is free, its directory exists and takes pins.
Outcome<PinPath> check_new_pin(Cli& cli, const std::string& path);
/// That `path` is a directory that takes pins, or can be made one.
Outcome<PinPath> make_pin_directory(Cli& cli, const std::string& path);
/// check_new_pin(), then pins.
Outcome<void> pin_object(Cli& cli, const Handle& object, const std::string& path);

/// id -> paths of every pinned object of that kind; the -f option's. Paths are spelled under /sys/fs/bpf.
using PinTable = std::multimap<u32, std::string>;
Outcome<PinTable> pinned_objects(Cli& cli, ObjectKind kind);
std::vector<std::string> pins_of(const PinTable& table, u32 id);
/// The "pinned" field of an object's JSON.
void write_pins(JsonWriter& json, const std::vector<std::string>& pins);

}  // namespace skep::cli
