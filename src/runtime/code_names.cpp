// See code_names.hpp.
#include "runtime/code_names.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "base/fd.hpp"
#include "jit/fault.hpp"

namespace skep::runtime {
namespace {

/// Inside a signal handler: reads only.
std::size_t source_of(const void* owner, u32 insn, char* text, std::size_t size) {
  const auto& program = *static_cast<const Program*>(owner);
  const auto& lines = program.line_info;
  const auto after = std::upper_bound(lines.begin(), lines.end(), insn,
                                      [](u32 at, const verifier::LineInfo& l) { return at < l.insn_off; });
  if (program.btf == nullptr || after == lines.begin()) return 0;
  const verifier::LineInfo& line = *std::prev(after);
  constexpr u32 column_bits = 10;  // BPF_LINE_INFO_LINE_NUM
  std::string_view source = program.btf->btf.string(line.line_off);
  source.remove_prefix(std::min(source.find_first_not_of(" \t"), source.size()));
  const auto written =
      fmt::format_to_n(text, size, FMT_STRING("{}:{}: {}"), program.btf->btf.string(line.file_name_off),
                       line.line_col >> column_bits, source);
  return std::min(written.size, size);
}

}  // namespace

void name_in_fault_reports(Program& program) {
  if (!program.compiled) return;
  program.compiled->identify({.program = fmt::format("program {} '{}'", program.id, program.name),
                              .owner = &program,
                              .source = source_of});
}

Result<void> write_perf_map(const Program& program) {
  if (!program.compiled) return {};
  std::string text;
  const auto subprogs = program.compiled->subprogs();
  for (std::size_t i = 0; i < program.subprogs.size() && i < subprogs.size(); ++i)
    text += fmt::format("{:x} {:x} {}\n", symbol_address(program, i), subprogs[i].length,
                        symbol_name(program, program.subprogs[i]));
  const std::string path = fmt::format("/tmp/perf-{}.map", ::getpid());
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file) return fail_errno(path);
  if (::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    return fail_errno(path);
  return {};
}

}  // namespace skep::runtime
