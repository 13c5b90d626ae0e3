// Finding kernel objects by the words PROG, MAP and LINK of the command line: id, name, tag or pin.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "btf/btf.hpp"
#include "cli/cli.hpp"

namespace skep::cli {

struct ProgramRef {
  Handle handle;
  ProgramInfo info;
};
struct MapRef {
  Handle handle;
  MapInfo info;
};

/// All ids of a kind with a Handle each, in ascending order; objects that vanish meanwhile are left out.
/// `what`: "program", "map", ... for the message.
Outcome<void> each_object(Kernel& kernel, ObjectKind kind, std::string_view what,
                          const std::function<Outcome<void>(u32 id, Handle handle)>& visit);

/// PROG := { id | tag | name | pinned }: everything that matches. Nothing that matches is a Failure without
/// words.
Outcome<std::vector<ProgramRef>> take_programs(Cli& cli, Args& args);
/// The same where only one may match: "several programs match this handle".
Outcome<ProgramRef> take_program(Cli& cli, Args& args);
Outcome<std::vector<MapRef>> take_maps(Cli& cli, Args& args);
Outcome<MapRef> take_map(Cli& cli, Args& args);
Outcome<Handle> take_link(Cli& cli, Args& args);

Outcome<ProgramInfo> info_of_program(Kernel& kernel, const Handle& handle);
Outcome<MapInfo> info_of_map(Kernel& kernel, const Handle& handle);

/// The BTF with that id; kernel modules' come with vmlinux's as their base.
struct LoadedBtf {
  std::unique_ptr<btf::Btf> base;
  btf::Btf btf;
};
Outcome<std::unique_ptr<LoadedBtf>> load_btf(Kernel& kernel, u32 id);

/// The program's name as its source has it: the kernel cuts at 15 characters, its BTF does not.
std::string full_name(Kernel& kernel, const ProgramInfo& info);
std::string full_name(const ProgramInfo& info, const btf::Btf* program_btf);

/// A program's func_info record.
struct FuncRecord {
  u32 insn_off = 0;
  u32 type_id = 0;
};
/// A program's line_info record; line and column already taken apart.
struct LineRecord {
  u32 insn_off = 0;
  u32 file_name_off = 0;
  u32 line_off = 0;
  u32 line = 0;
  u32 column = 0;
};
std::vector<FuncRecord> func_records(const InfoRecords& records);
std::vector<LineRecord> line_records(const InfoRecords& records);

/// Sixteen hexadecimal digits.
std::string tag_text(u64 tag);
/// The name, or the number where there is none.
std::string prog_type_word(ProgType type);
std::string attach_type_word(AttachType type);

}  // namespace skep::cli
