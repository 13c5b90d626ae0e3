// bpf_trace_printk() and its relatives (kernel/trace/bpf_trace.c).
#include <array>
#include <cerrno>
#include <string_view>

#include "helpers/families.hpp"
#include "helpers/printk_format.hpp"

namespace skep::helpers {
namespace {

constexpr std::size_t text_max = 1024;  ///< MAX_BPRINTF_BUF
constexpr u64 args_max = 12;            ///< MAX_BPRINTF_VARARGS

u64 print(std::span<const char> format, std::span<const u64> args, RunContext* run) {
  std::array<char, text_max> text;  // NOLINT: filled by format_printk
  const s64 length = format_printk(text, format, args);
  // A line ends at a NUL, which %c may print.
  if (length >= 0 && run->trace != nullptr) run->trace->trace_printk(text.data(), *run);
  return static_cast<u64>(length);
}

u64 trace_printk(u64 format, u64 size, u64 a, u64 b, u64 c, RunContext* run) {
  const std::array<u64, 3> args = {a, b, c};
  return print({pointer<const char>(format), static_cast<u32>(size)}, args, run);
}

u64 trace_vprintk(u64 format, u64 size, u64 data, u64 data_size, u64, RunContext* run) {
  const u64 bytes = static_cast<u32>(data_size);
  if (bytes % 8 != 0 || bytes > args_max * 8 || (bytes != 0 && data == 0)) return error_result(EINVAL);
  return print({pointer<const char>(format), static_cast<u32>(size)}, {pointer<const u64>(data), bytes / 8},
               run);
}

/// bpf_snprintf(): the length of the whole text and its NUL.
u64 snprintf_(u64 to, u64 size, u64 format, u64 data, u64 data_size, RunContext*) {
  const u64 bytes = static_cast<u32>(data_size);
  if (bytes % 8 != 0 || bytes > args_max * 8 || (bytes != 0 && data == 0)) return error_result(EINVAL);
  const std::string_view text(
      pointer<const char>(format));  // a constant string, which the verifier saw to end
  const s64 length = format_printk({pointer<char>(to), static_cast<u32>(size)},
                                   {text.data(), text.size() + 1}, {pointer<const u64>(data), bytes / 8});
  return static_cast<u64>(length < 0 ? length : length + 1);
}

constexpr HelperRow rows[] = {
    {6, trace_printk},
    {165, snprintf_},
    {177, trace_vprintk},
};

}  // namespace

std::span<const HelperRow> trace_family() { return rows; }

}  // namespace skep::helpers
