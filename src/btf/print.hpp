// Printing values by their BTF type, as `map dump` and `map lookup` show them (bpftool's btf_dumper), and the
// prototype line of functions in `dump xlated`.
#pragma once
#include <string>

#include "base/bytes.hpp"
#include "btf/btf.hpp"
#include "btf/writer.hpp"

namespace skep::btf {

struct PrintOptions {
  /// Plain text, where pointers print as "0x..." strings (or "(nil)"), bit-fields and 128-bit integers as
  /// bare hexadecimal and unprintable characters as 0x..; otherwise JSON, where these are quoted or decimal.
  bool plain = false;
};

/// Prints `value`, the bytes of one value of type `id`, as events. EINVAL if the type cannot be printed (void
/// members, forward declarations, functions), E2BIG if it reaches past the value or has more parts than a
/// budget in proportion to the value allows; what was written until then stays written, and closed.
Result<void> print_value(const Btf& btf, u32 id, ByteView value, Writer& writer,
                         const PrintOptions& options = {});

/// "int hello(struct xdp_md * ctx)" of a FUNC, or any type's name that way; empty where it has none.
[[nodiscard]] std::string type_text(const Btf& btf, u32 id);

}  // namespace skep::btf
