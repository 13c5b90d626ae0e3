// A program as `prog show` tells of it, and its two forms.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "cli/objects.hpp"
#include "cli/pins.hpp"

namespace skep::cli {

/// A variable `bpf_metadata_NAME` of the program's read-only data.
struct MetadataVariable {
  std::string name;
  u32 type_id = 0;
  std::vector<std::byte> value;
};

struct ProgramView {
  ProgramInfo info;
  std::string name;           ///< in full
  std::string loaded_at;      ///< local time, "2026-11-22T07:15:03+0000"
  s64 loaded_at_seconds = 0;  ///< since 1970
  bool show_pins = false;     ///< something is pinned, and -f asked for it
  std::vector<std::string> pins;
  std::unique_ptr<LoadedBtf> metadata_btf;
  std::vector<MetadataVariable> metadata;
};

/// `pins`: null without -f.
Outcome<ProgramView> view_program(Kernel& kernel, ProgramInfo info, const PinTable* pins);

/// "1: xdp  name hello  tag 490c48c1179970a8  gpl\n", also above each dump where several match.
void print_program_header(Cli& cli, const ProgramInfo& info, const std::string& name);
void print_program_header(JsonWriter& json, const ProgramInfo& info, const std::string& name);

/// The interface `ifindex` of the namespace (dev, ino), if that is ours.
std::string device_name(u32 ifindex, u64 netns_dev, u64 netns_ino);
void print_device(Cli& cli, u32 ifindex, u64 netns_dev, u64 netns_ino);
void print_device(JsonWriter& json, u32 ifindex, u64 netns_dev, u64 netns_ino);

Outcome<void> prog_show(Cli& cli, Args args);
Outcome<void> prog_dump(Cli& cli, Args args);
Outcome<void> prog_load(Cli& cli, Args args);
Outcome<void> prog_loadall(Cli& cli, Args args);
Outcome<void> prog_run(Cli& cli, Args args);
Outcome<void> prog_pin(Cli& cli, Args args);
Outcome<void> prog_tracelog(Cli& cli, Args args);

}  // namespace skep::cli
