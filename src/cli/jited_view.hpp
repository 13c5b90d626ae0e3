// A program's machine code, disassembled, with its source lines: the view behind `prog dump jited`.
#pragma once
#include "cli/xlated_view.hpp"

namespace skep::cli {

struct JitedInsn {
  u64 offset = 0;  ///< bytes from the beginning of the function
  std::vector<std::byte> bytes;
  std::string operation;
  std::string operands;
  std::optional<SourceLine> source;
};

struct JitedFunction {
  std::string prototype;
  std::string name;  ///< none if the program has no functions listed
  std::vector<JitedInsn> insns;
};

struct JitedView {
  std::vector<JitedFunction> functions;
  bool listed = true;  ///< the kernel told where functions begin
};

/// `program_btf` may be null. A failure says where the bytes are no instructions.
Outcome<JitedView> view_jited(const ProgramInfo& info, const btf::Btf* program_btf,
                              const SymbolTable& symbols);

void print_jited_plain(Cli& cli, const JitedView& view, const XlatedOptions& options);
void print_jited_json(JsonWriter& json, const JitedView& view, const XlatedOptions& options);

}  // namespace skep::cli
