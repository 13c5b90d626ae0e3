// See printk_format.hpp.
#include "helpers/printk_format.hpp"

#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string_view>

namespace skep::helpers {
namespace {

constexpr std::size_t string_max = 512;  ///< MAX_BPRINTF_BIN_ARGS: room for the arguments
constexpr u32 width_max = 1u << 20;

bool is_ascii(char c) { return (c & 0x80) == 0; }
bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_alnum(char c) { return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z'); }
bool is_print(char c) { return c >= 0x20 && c < 0x7f; }
bool is_punct(char c) { return is_print(c) && c != ' ' && !is_alnum(c); }
bool ends_pointer(char c) { return c == 0 || is_space(c) || is_punct(c); }

/// Copies memory that may not be mapped; returns how much was.
std::size_t read_safely(u64 from, std::span<char> to) {
  iovec local{to.data(), to.size()};
  iovec remote{reinterpret_cast<void*>(from), to.size()};  // NOLINT: any number a program has
  const ssize_t got = ::process_vm_readv(::getpid(), &local, 1, &remote, 1, 0);
  return got > 0 ? static_cast<std::size_t>(got) : 0;
}

/// A NUL-terminated string; empty if nothing is there. Reads to the end of a page at a time, so that a string
/// just before an unmapped page is seen whole.
std::string_view read_string(u64 from, std::span<char, string_max> buffer) {
  std::size_t have = 0;
  while (have < buffer.size()) {
    const u64 to_page_end = 4096 - ((from + have) & 4095);
    const std::size_t want = std::min<u64>(buffer.size() - have, to_page_end);
    const std::size_t got = read_safely(from + have, buffer.subspan(have, want));
    if (const void* nul = std::memchr(buffer.data() + have, 0, got); nul != nullptr)
      return {buffer.data(), static_cast<std::size_t>(static_cast<const char*>(nul) - buffer.data())};
    have += got;
    if (got < want) return {};  // a fault before the NUL: the kernel prints nothing
  }
  return {buffer.data(), buffer.size() - 1};
}

/// Text into a buffer that may be too small: counts on.
class Out {
 public:
  explicit Out(std::span<char> buffer) : buffer_(buffer) {}
  void put(char c) {
    if (length_ + 1 < buffer_.size()) buffer_[length_] = c;
    ++length_;
  }
  void put(std::string_view text) {
    for (const char c : text) put(c);
  }
  void pad(std::size_t count) {
    for (; count != 0; --count) put(' ');
  }
  s64 finish() {
    if (!buffer_.empty()) buffer_[std::min(length_, buffer_.size() - 1)] = 0;
    return static_cast<s64>(length_);
  }

 private:
  std::span<char> buffer_;
  std::size_t length_ = 0;
};

struct Spec {
  bool zero = false, plus = false, left = false, space = false;
  u32 width = 0;
};

void put_padded(Out& out, const Spec& spec, std::string_view text) {
  const std::size_t fill = spec.width > text.size() ? spec.width - text.size() : 0;
  if (!spec.left) out.pad(fill);
  out.put(text);
  if (spec.left) out.pad(fill);
}

/// number() of lib/vsprintf.c for bases 10 and 16.
void put_number(Out& out, const Spec& spec, u64 value, bool is_signed, u32 base, bool upper) {
  char sign = 0;
  if (is_signed) {
    if (static_cast<s64>(value) < 0) {
      sign = '-';
      value = u64{0} - value;
    } else if (spec.plus) {
      sign = '+';
    } else if (spec.space) {
      sign = ' ';
    }
  }
  std::array<char, 24> digits{};
  std::size_t count = 0;
  do {
    const char c = "0123456789abcdef"[value % base];
    digits[count++] = upper && c >= 'a' ? static_cast<char>(c - 0x20) : c;
    value /= base;
  } while (value != 0);
  const std::size_t length = count + (sign != 0 ? 1 : 0);
  const std::size_t fill = spec.width > length ? spec.width - length : 0;
  const bool zeros = spec.zero && !spec.left;
  if (!spec.left && !zeros) out.pad(fill);
  if (sign != 0) out.put(sign);
  for (std::size_t i = 0; zeros && i < fill; ++i) out.put('0');
  while (count != 0) out.put(digits[--count]);
  if (spec.left) out.pad(fill);
}

/// All 16 digits, unless the format has a width of its own.
void put_address(Out& out, Spec spec, u64 value) {
  if (spec.width == 0) {
    spec.zero = true;
    spec.width = 16;
  }
  put_number(out, spec, value, false, 16, false);
}

/// %p: a number that tells pointers apart and does not tell where they point.
u64 hashed(u64 address) {
  if (address == 0) return 0;
  u64 x = address ^ static_cast<u64>(::getpid()) * 0x9e3779b97f4a7c15;
  x = (x ^ x >> 33) * 0xff51afd7ed558ccd;
  x = (x ^ x >> 33) * 0xc4ceb9fe1a85ec53;
  return x >> 32;
}

/// %pI4 %pi4 %pI6 %pi6: an address in network byte order in memory.
void put_ip(Out& out, char how, char version, u64 from) {
  std::array<char, 16> bytes{};
  const std::size_t size = version == '4' ? 4 : 16;
  if (read_safely(from, std::span(bytes).first(size)) != size) bytes = {};
  std::array<char, 8> text{};
  for (std::size_t i = 0; i < size; ++i) {
    const unsigned byte = static_cast<unsigned char>(bytes[i]);
    if (version == '4') {
      if (i != 0) out.put('.');
      std::snprintf(text.data(), text.size(), how == 'i' ? "%03u" : "%u", byte);
    } else {
      if (how == 'I' && i != 0 && i % 2 == 0) out.put(':');
      std::snprintf(text.data(), text.size(), "%02x", byte);
    }
    out.put(text.data());
  }
}

/// Walks the format. `at(i)` is 0 behind the end.
class Formatter {
 public:
  Formatter(Out& out, std::string_view format, std::span<const u64> args)
      : out_(out), format_(format), args_(args) {}

  s64 run() {
    while (at_ < format_.size()) {
      const char c = format_[at_];
      if (is_ascii(c) && !is_print(c) && !is_space(c)) return -EINVAL;
      if (c != '%') {
        out_.put(c);
        ++at_;
      } else if (at(1) == '%') {
        out_.put('%');
        at_ += 2;
      } else if (!conversion()) {
        return -EINVAL;
      }
    }
    return 0;
  }

 private:
  char at(std::size_t ahead) const { return at_ + ahead < format_.size() ? format_[at_ + ahead] : '\0'; }

  bool conversion() {
    if (next_arg_ >= args_.size()) return false;
    const u64 arg = args_[next_arg_++];
    ++at_;
    const Spec spec = flags_and_width();
    if (at(0) == 'p') return pointer(spec, arg);
    if (at(0) == 's') {
      if (!ends_pointer(at(1))) return false;
      ++at_;
      std::array<char, string_max> buffer{};
      put_padded(out_, spec, read_string(arg, buffer));
      return true;
    }
    if (at(0) == 'c') {
      ++at_;
      const char c = static_cast<char>(arg);
      put_padded(out_, spec, {&c, 1});
      return true;
    }
    return integer(spec, arg);
  }

  Spec flags_and_width() {
    Spec spec;
    for (;; ++at_) {
      if (at(0) == '0')
        spec.zero = true;
      else if (at(0) == '+')
        spec.plus = true;
      else if (at(0) == '-')
        spec.left = true;
      else if (at(0) == ' ')
        spec.space = true;
      else
        break;
    }
    for (; is_digit(at(0)); ++at_)
      spec.width = std::min(spec.width * 10 + static_cast<u32>(at(0) - '0'), width_max);
    return spec;
  }

  bool integer(const Spec& spec, u64 arg) {
    u32 longs = 0;
    for (; at(0) == 'l' && longs < 2; ++longs) ++at_;
    const char c = at(0);
    if (c != 'i' && c != 'd' && c != 'u' && c != 'x' && c != 'X') return false;
    ++at_;
    const bool is_signed = c == 'i' || c == 'd';
    if (longs == 0) arg = is_signed ? static_cast<u64>(s64{static_cast<s32>(arg)}) : static_cast<u32>(arg);
    put_number(out_, spec, arg, is_signed, c == 'x' || c == 'X' ? 16 : 10, c == 'X');
    return true;
  }

  bool pointer(const Spec& spec, u64 arg) {
    const char kind = at(1);
    if (ends_pointer(kind)) {
      ++at_;
      put_address(out_, spec, hashed(arg));
      return true;
    }
    if ((kind == 'k' || kind == 'u') && at(2) == 's') {
      if (!ends_pointer(at(3))) return false;
      std::array<char, string_max> buffer{};
      out_.put(read_string(arg, buffer));
    } else if (kind == 'x' || kind == 'K') {
      put_address(out_, spec, kind == 'x' ? arg : hashed(arg));
    } else if (kind == 's' || kind == 'S' || kind == 'B') {
      // There are no symbols in a user-space kernel: the number, as kallsyms prints an unknown one.
      std::array<char, 24> text{};
      std::snprintf(text.data(), text.size(), "0x%llx", static_cast<unsigned long long>(arg));
      put_padded(out_, spec, text.data());
    } else if ((kind == 'i' || kind == 'I') && (at(2) == '4' || at(2) == '6')) {
      put_ip(out_, kind, at(2), arg);
    } else {
      return false;
    }
    ++at_;
    while (is_alnum(at(0))) ++at_;  // bstr_printf() passes over the letters behind a %p
    return true;
  }

  Out& out_;
  std::string_view format_;
  std::span<const u64> args_;
  std::size_t at_ = 0;
  std::size_t next_arg_ = 0;
};

}  // namespace

s64 format_printk(std::span<char> out, std::span<const char> format, std::span<const u64> args) {
  const auto nul = std::find(format.begin(), format.end(), '\0');
  if (nul == format.end()) return -EINVAL;
  Out text(out);
  const s64 error =
      Formatter(text, {format.data(), static_cast<std::size_t>(nul - format.begin())}, args).run();
  if (error != 0) return error;
  return text.finish();
}

}  // namespace skep::helpers
