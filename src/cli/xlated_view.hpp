// A program's translated instructions with their source lines: the view behind `prog dump xlated` in all its
// forms (text, JSON, control-flow graph).
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "btf/btf.hpp"
#include "cli/cli.hpp"
#include "cli/objects.hpp"

namespace skep::cli {

struct SourceLine {
  std::string text;  ///< without its indentation
  std::string file;
  u32 line = 0;
  u32 column = 0;
};

struct XlatedLine {
  u32 index = 0;  ///< of the instruction; ld_imm64 takes two
  isa::Insn insn;
  std::optional<isa::Insn> second;        ///< of ld_imm64
  std::string prototype;                  ///< where a function begins and BTF knows it
  std::optional<SourceLine> source;       ///< where a line begins
  std::optional<SourceLine> source_here;  ///< the line this instruction belongs to, begun or not
  u32 source_number = 0;                  ///< tells apart the lines of source_here
  std::string text;                       ///< "(b7) r0 = 2"
};

struct XlatedView {
  std::vector<isa::Insn> insns;
  std::vector<XlatedLine> lines;
};

/// `program_btf` may be null; `symbols` names call targets.
XlatedView view_xlated(const ProgramInfo& info, const btf::Btf* program_btf, const SymbolTable& symbols);

struct XlatedOptions {
  bool opcodes = false;
  bool linum = false;
};
void print_xlated_plain(Cli& cli, const XlatedView& view, const XlatedOptions& options);
void print_xlated_json(JsonWriter& json, const XlatedView& view, const XlatedOptions& options);
/// The control-flow graph in DOT.
void print_xlated_graph(Cli& cli, const XlatedView& view, const XlatedOptions& options);

/// Bytes as "18 26 00 00 ...", sixteen to a line with two blanks in the middle, as bpftool groups them.
std::string hex_bytes(ByteView bytes, std::string_view separator = " ");
/// ["0x18","0x26",...]
void hex_bytes_json(JsonWriter& json, ByteView bytes);

/// The record of the line that instruction (or address) `at` begins or belongs to, looking at records from
/// `skip` on: the last whose offset is not beyond `at`.
template <class Record, class Offset>
const Record* find_line(const std::vector<Record>& records, std::size_t skip, u64 at, Offset offset_of) {
  if (skip >= records.size() || at < offset_of(records[skip])) return nullptr;
  std::size_t i = skip;
  while (i + 1 < records.size() && offset_of(records[i + 1]) <= at) ++i;
  return &records[i];
}

SourceLine source_line(const LineRecord& record, const btf::Btf& btf);
/// "; int x = 1; [file:a.c line_num:3 line_col:5]\n"
std::string source_text(const SourceLine& source, bool linum, std::string_view prefix = "; ");
void source_json(JsonWriter& json, const SourceLine& source, bool linum);

}  // namespace skep::cli
