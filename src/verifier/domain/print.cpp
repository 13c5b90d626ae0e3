// Scalars as the verifier's log shows them: small numbers in decimal, others in hex; only what differs from
// "anything"; ranges with the same value share it (kernel: print_scalar_ranges(), tnum_strn()).
#include <fmt/format.h>

#include <array>

#include "verifier/domain/scalar.hpp"

namespace skep::verifier {
namespace {

constexpr bool prints_decimal(s64 v) { return v >= INT16_MIN && v <= INT16_MAX; }

struct Bound {
  std::string_view name;
  u64 value;
  bool shown;
  [[nodiscard]] bool is_signed() const { return name[0] == 's'; }
  [[nodiscard]] bool negative() const { return is_signed() && static_cast<s64>(value) < 0; }
};

/// A signed 32-bit bound as it is compared with the others: sign-extended where it prints in decimal, its 32
/// bits where it prints in hex.
constexpr u64 signed32(s32 v) { return prints_decimal(v) ? static_cast<u64>(s64{v}) : static_cast<u32>(v); }

}  // namespace

void append_unsigned(std::string& out, u64 v) {
  if (v <= UINT16_MAX) {
    fmt::format_to(std::back_inserter(out), "{}", v);
  } else {
    fmt::format_to(std::back_inserter(out), "{:#x}", v);
  }
}

void append_signed(std::string& out, s64 v) {
  if (prints_decimal(v)) {
    fmt::format_to(std::back_inserter(out), "{}", v);
  } else {
    fmt::format_to(std::back_inserter(out), "{:#x}", static_cast<u64>(v));
  }
}

std::string tnum_text(Tnum t) {
  if (!t.is_const()) return fmt::format("({:#x}; {:#x})", t.value, t.mask);
  std::string out;
  append_unsigned(out, t.value);
  return out;
}

void append_ranges(std::string& out, const Scalar& r, bool& comma) {
  std::array<Bound, 8> bounds{{
      {"smin", static_cast<u64>(r.smin), r.smin != INT64_MIN},
      {"smax", static_cast<u64>(r.smax), r.smax != INT64_MAX},
      {"umin", r.umin, r.umin != 0},
      {"umax", r.umax, r.umax != UINT64_MAX},
      {"smin32", signed32(r.smin32), r.smin32 != INT32_MIN},
      {"smax32", signed32(r.smax32), r.smax32 != INT32_MAX},
      {"umin32", r.umin32, r.umin32 != 0},
      {"umax32", r.umax32, r.umax32 != UINT32_MAX},
  }};
  const auto separate = [&] {
    if (comma) out += ',';
    comma = true;
  };
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    const Bound& first = bounds[i];
    if (!first.shown) continue;
    separate();
    out.append(first.name).append("=");
    // minima stand at even places, maxima at odd ones: only like joins like
    for (std::size_t k = i + 2; k < bounds.size(); k += 2) {
      Bound& other = bounds[k];
      if (!other.shown || other.value != first.value || other.negative() != first.negative()) continue;
      other.shown = false;
      out.append(other.name).append("=");
    }
    if (first.is_signed()) {
      append_signed(out, static_cast<s64>(first.value));
    } else {
      append_unsigned(out, first.value);
    }
  }
  if (!r.var_off.is_unknown()) {
    separate();
    out += "var_off=" + tnum_text(r.var_off);
  }
}

std::string scalar_text(const Scalar& r, std::string_view id) {
  std::string out;
  if (r.is_const()) {
    append_signed(out, static_cast<s64>(r.var_off.value));
    return out;
  }
  out.append("scalar(").append(id);
  bool comma = !id.empty();
  append_ranges(out, r, comma);
  out += ')';
  return out;
}

}  // namespace skep::verifier
