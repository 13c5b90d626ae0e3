// Kernel functions on strings anywhere (kernel: kernel/bpf/helpers.c, bpf_strcmp() and what follows). No
// string is read further than string_max; a byte that cannot be read ends the search with an error.
#include <algorithm>
#include <array>
#include <cerrno>

#include "helpers/any_memory.hpp"
#include "helpers/dynptr.hpp"
#include "helpers/families.hpp"
#include "helpers/kernel_functions.hpp"

namespace skep::helpers {
namespace {

constexpr u64 string_max = 65536;  // XATTR_SIZE_MAX

/// Characters (unsigned, as the kernel is compiled) at an address, fetched by pieces that never reach into a
/// page behind the one asked for.
class Text {
 public:
  explicit Text(u64 begin) : begin_(begin) {}
  /// 0, or the errno: the character at `index` goes to `c`.
  int at(u64 index, u8& c) {
    const u64 address = begin_ + index;
    if (!known_ || address - piece_ >= pieces_.size()) {
      piece_ = address & ~(u64{pieces_.size()} - 1);
      known_ = read_memory(pieces_.data(), piece_, pieces_.size());
      if (!known_) return kernel_read_error(address);
    }
    c = pieces_[address - piece_];
    return 0;
  }

 private:
  u64 begin_;
  u64 piece_ = 0;  ///< where `pieces_` is from
  bool known_ = false;
  std::array<u8, 256> pieces_;  // NOLINT: filled by at()
};

u64 result(s64 value) { return static_cast<u64>(value); }
/// The kernel's tolower(), which knows Latin-1.
u8 lower(u8 c) {
  const bool upper = (c >= 'A' && c <= 'Z') || (c >= 0xc0 && c <= 0xde && c != 0xd7);
  return upper ? static_cast<u8>(c + 0x20) : c;
}

template <bool ignore_case>
u64 compare(u64 one, u64 other, u64, u64, u64, RunContext*) {
  Text first(one), second(other);
  for (u64 i = 0; i < string_max; ++i) {
    u8 a = 0, b = 0;
    if (const int bad = first.at(i, a); bad != 0) return error_result(bad);
    if (const int bad = second.at(i, b); bad != 0) return error_result(bad);
    if (ignore_case) a = lower(a), b = lower(b);
    if (a != b) return result(a < b ? -1 : 1);
    if (a == 0) return 0;
  }
  return error_result(E2BIG);
}

/// Where `c` is among the first `count` characters; ENOENT.
u64 find(u64 text, u64 count, u8 wanted) {
  Text in(text);
  for (u64 i = 0; i < std::min(count, string_max); ++i) {
    u8 c = 0;
    if (const int bad = in.at(i, c); bad != 0) return error_result(bad);
    if (c == wanted) return i;
    if (c == 0) return error_result(ENOENT);
  }
  return error_result(count < string_max ? ENOENT : E2BIG);
}
u64 strnchr(u64 text, u64 count, u64 c, u64, u64, RunContext*) {
  return find(text, count, static_cast<u8>(c));
}
u64 strchr(u64 text, u64 c, u64, u64, u64, RunContext*) { return find(text, string_max, static_cast<u8>(c)); }
u64 strchrnul(u64 text, u64 wanted, u64, u64, u64, RunContext*) {
  Text in(text);
  for (u64 i = 0; i < string_max; ++i) {
    u8 c = 0;
    if (const int bad = in.at(i, c); bad != 0) return error_result(bad);
    if (c == 0 || c == static_cast<u8>(wanted)) return i;
  }
  return error_result(E2BIG);
}
/// The last place; the character is an int here.
u64 strrchr(u64 text, u64 wanted, u64, u64, u64, RunContext*) {
  Text in(text);
  s64 last = -ENOENT;
  for (u64 i = 0; i < string_max; ++i) {
    u8 c = 0;
    if (const int bad = in.at(i, c); bad != 0) return error_result(bad);
    if (c == static_cast<s32>(wanted)) last = static_cast<s64>(i);
    if (c == 0) return result(last);
  }
  return error_result(E2BIG);
}

u64 strnlen(u64 text, u64 count, u64, u64, u64, RunContext*) {
  Text in(text);
  u64 i = 0;
  for (; i < std::min(count, string_max); ++i) {
    u8 c = 0;
    if (const int bad = in.at(i, c); bad != 0) return error_result(bad);
    if (c == 0) return i;
  }
  return i == string_max ? error_result(E2BIG) : i;
}
u64 strlen(u64 text, u64, u64, u64, u64, RunContext* run) { return strnlen(text, string_max, 0, 0, 0, run); }

/// How many characters from the beginning on are (`inside`) or are not among `set`.
template <bool inside>
u64 span(u64 text, u64 set, u64, u64, u64, RunContext*) {
  Text in(text), of(set);
  for (u64 i = 0; i < string_max; ++i) {
    u8 c = 0;
    if (const int bad = in.at(i, c); bad != 0) return error_result(bad);
    if (c == 0) return i;
    u8 member = 0;
    u64 j = 0;
    for (; j < string_max; ++j) {
      if (const int bad = of.at(j, member); bad != 0) return error_result(bad);
      if (member == 0 || member == c) break;
    }
    if (j == string_max) return error_result(E2BIG);
    if ((member != 0) != inside) return i;
  }
  return error_result(E2BIG);
}

/// (text, part, how much of the text counts)
u64 strnstr(u64 text, u64 part, u64 length, u64, u64, RunContext*) {
  Text in(text), of(part);
  for (u64 i = 0; i < string_max; ++i) {
    u64 j = 0;
    for (; i + j <= length && j < string_max; ++j) {
      u8 wanted = 0, c = 0;
      if (const int bad = of.at(j, wanted); bad != 0) return error_result(bad);
      if (wanted == 0) return i;
      if (i + j == length) break;
      if (const int bad = in.at(i + j, c); bad != 0) return error_result(bad);
      if (c == 0) return error_result(ENOENT);
      if (c != wanted) break;
    }
    if (j == string_max) return error_result(E2BIG);
    if (i + j == length) return error_result(ENOENT);
  }
  return error_result(E2BIG);
}
u64 strstr(u64 text, u64 part, u64, u64, u64, RunContext* run) {
  return strnstr(text, part, string_max, 0, 0, run);
}

constexpr KernelFunctionRow rows[] = {
    {"bpf_strcmp", compare<false>}, {"bpf_strcasecmp", compare<true>},
    {"bpf_strnchr", strnchr},       {"bpf_strchr", strchr},
    {"bpf_strchrnul", strchrnul},   {"bpf_strrchr", strrchr},
    {"bpf_strnlen", strnlen},       {"bpf_strlen", strlen},
    {"bpf_strspn", span<true>},     {"bpf_strcspn", span<false>},
    {"bpf_strnstr", strnstr},       {"bpf_strstr", strstr},
};

}  // namespace

std::span<const KernelFunctionRow> string_kernel_functions() { return rows; }

}  // namespace skep::helpers
