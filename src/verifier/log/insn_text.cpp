// See insn_text.hpp. The words come from the instruction table; names of helpers and addresses of maps from
// the verifier's input.
#include "verifier/log/insn_text.hpp"

#include <algorithm>

#include "btf/kernel_btf.hpp"
#include "isa/disasm.hpp"
#include "verifier/front/insns.hpp"

namespace skep::verifier {
namespace {

struct Names {
  const Input& input;
  const Program& program;
  u32 insn;
};

std::string call_name(const void* self, const isa::Insn& insn) {
  const auto& names = *static_cast<const Names*>(self);
  const btf::Btf* types = names.input.vmlinux != nullptr ? names.input.vmlinux->types() : nullptr;
  if (is_kfunc_call(insn) && types != nullptr)
    return fmt::format("{}#{}", types->name(static_cast<u32>(insn.imm)), insn.imm);
  if (!is_helper_call(insn) || names.input.helper_name == nullptr) return {};
  if (insn.imm == 0) return "bpf_unspec#0";  // has a name, is no helper
  return fmt::format("{}#{}", names.input.helper_name(static_cast<u32>(insn.imm)), insn.imm);
}

std::string immediate(const void* self, const isa::Insn&, u64) {
  const auto& names = *static_cast<const Names*>(self);
  const InsnNotes& notes = names.program.notes[names.insn];
  if (notes.map_index < 0) return {};
  const maps::MapFacts& map = *names.program.used_maps[static_cast<u32>(notes.map_index)];
  const u8 kind = names.program.insns[names.insn].src;
  const bool value = kind == uapi::PSEUDO_MAP_VALUE || kind == uapi::PSEUDO_MAP_IDX_VALUE;
  return fmt::format("{:#x}", value ? map.values_address + notes.map_off : map.map_address);
}

/// The record that covers the instruction: the last one at or before it, in its function.
const LineInfo* find_line(const Input& input, const Program& program, u32 insn) {
  if (input.line_info.empty() || insn >= program.insns.size()) return nullptr;
  const auto after = std::upper_bound(input.line_info.begin(), input.line_info.end(), insn,
                                      [](u32 want, const LineInfo& l) { return want < l.insn_off; });
  return after == input.line_info.begin() ? nullptr : &*(after - 1);
}

constexpr u32 line_number(const LineInfo& line) { return line.line_col >> 10; }

}  // namespace

std::string insn_text(const Input& input, const Program& program, u32 insn) {
  const Names names{input, program, insn};
  const isa::Symbols symbols{.self = &names, .call = call_name, .imm64 = immediate};
  return isa::disassemble(std::span(program.insns).subspan(insn), symbols);
}

void SourceLines::show(const Input& input, const Program& program, u32 insn, std::string_view prefix,
                       Log& log) {
  if (!log.enabled() || input.btf == nullptr) return;
  const LineInfo* line = find_line(input, program, insn);
  if (line == nullptr || line == last_) return;
  if (last_ != nullptr && line->file_name_off == last_->file_name_off &&
      line_number(*line) == line_number(*last_)) {
    return;
  }
  std::string_view text = input.btf->string(line->line_off);
  const std::size_t first = text.find_first_not_of(" \t\n\v\f\r");
  text.remove_prefix(first == std::string_view::npos ? text.size() : first);
  std::string_view file = input.btf->string(line->file_name_off);
  if (const std::size_t slash = file.rfind('/'); slash != std::string_view::npos)
    file.remove_prefix(slash + 1);
  log.write(prefix);
  log.write(text);
  log.write(fmt::format(" @ {}:{}\n", file, line_number(*line)));
  last_ = line;
}

}  // namespace skep::verifier
