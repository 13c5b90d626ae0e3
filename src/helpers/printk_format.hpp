// The kernel's printf for programs: bpf_bprintf_prepare() (which formats are legal) and bstr_printf() (what
// they print) of kernel/bpf/helpers.c and lib/vsprintf.c.
#pragma once
#include <span>

#include "base/types.hpp"

namespace skep::helpers {

/// Formats `format` (bytes that must contain a NUL; it ends there) with `args` into `out` (NUL-terminated,
/// cut to fit). Returns the length the whole text has without NUL, or -EINVAL for a format that the kernel
/// refuses: no NUL, control characters, unknown conversions, more conversions than arguments.
/// Strings and addresses behind %s, %pI4 and the like are read safely: what is not mapped prints as empty,
/// or as zeroes.
[[nodiscard]] s64 format_printk(std::span<char> out, std::span<const char> format, std::span<const u64> args);

}  // namespace skep::helpers
