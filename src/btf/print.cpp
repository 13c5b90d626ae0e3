// Values by their BTF type, in the form bpftool gives them. The bytes come from maps and the BTF from
// anywhere, so every access is checked against the value, depth is bounded, and so is the number of events:
// types of no size could otherwise multiply without end.
#include "btf/print.hpp"

#include <fmt/format.h>

#include <optional>

#include "base/limits.hpp"

namespace skep::btf {

void Writer::number_field(std::string_view key, u64 value) {
  name(key);
  raw(fmt::to_string(value));
}
void Writer::signed_field(std::string_view key, s64 value) {
  name(key);
  raw(fmt::to_string(value));
}

namespace {

constexpr u32 kMaxNesting = 2 * limits::btf_max_depth;

bool printable(char c) { return c >= 0x20 && c < 0x7f; }

class Printer {
 public:
  Printer(const Btf& btf, ByteView value, Writer& out, bool plain)
      : btf_(btf), value_(value), out_(out), plain_(plain), budget_(65536 + 64 * value.size()) {}

  /// The value of type `id` that starts at byte `at` and, for integers, `bit` bits further.
  Result<void> print(u32 id, u64 at, u32 bit, u32 depth) {
    if (depth > kMaxNesting) return fail(E2BIG, "BTF types nest too deep");
    if (budget_ == 0) return fail(E2BIG, "BTF type has too many parts to print");
    --budget_;
    const Type& t = btf_.type(id);
    switch (t.kind) {
      case Kind::int_:
        return integer(t, at, bit);
      case Kind::struct_:
      case Kind::union_:
        return structure(t, at, depth);
      case Kind::array:
        return array(t, at, depth);
      case Kind::enum_:
        return enumeration(t, at);
      case Kind::enum64:
        return enumeration64(t, at);
      case Kind::ptr:
        return pointer(at);
      case Kind::typedef_:
      case Kind::volatile_:
      case Kind::const_:
      case Kind::restrict_:
      case Kind::type_tag:
        return modified(id, at, bit, depth);
      case Kind::var:
        return variable(t, at, bit, depth);
      case Kind::datasec:
        return datasec(t, at, depth);
      case Kind::float_:
        return floating(t, at);
      case Kind::void_:
        out_.raw(plain_ ? "(unknown)" : "null");
        return {};
      default:
        out_.raw(plain_ ? "(unsupported-kind)" : "null");
        return fail(EINVAL, "BTF type " + std::to_string(id) + " is a " + std::string(kind_name(t.kind)) +
                                ", which no value has");
    }
  }

 private:
  Result<ByteView> bytes(u64 at, u64 size) const {
    if (at > value_.size() || size > value_.size() - at)
      return fail(EINVAL, fmt::format("BTF type reaches to byte {} of a value of {} bytes", at + size,
                                      value_.size()));
    return value_.subspan(at, size);
  }
  template <class T>
  Result<T> read(u64 at) const {
    return load<T>(TRY(bytes(at, sizeof(T))).data());
  }

  Result<void> modified(u32 id, u64 at, u32 bit, u32 depth) {
    u32 to = btf_.skip_modifiers(id);
    if (to == 0) return fail(EINVAL, "BTF type " + std::to_string(id) + " resolves to void");
    return print(to, at, bit, depth + 1);
  }

  void hex128(u64 high, u64 low) {
    std::string text = high == 0 ? fmt::format("0x{:x}", low) : fmt::format("0x{:x}{:016x}", high, low);
    if (plain_)
      out_.raw(text);
    else
      out_.string(text);
  }

  /// `bits` bits that start `bit` bits after byte `at`, as hexadecimal.
  Result<void> bitfield(u64 at, u32 bit, u32 bits) {
    at += bit / 8;
    bit %= 8;
    u32 size = (bit + bits + 7) / 8;
    if (bits == 0 || size > 17) return fail(EINVAL, "BTF bit-field of " + std::to_string(bits) + " bits");
    ByteView from = TRY(bytes(at, size));
    u64 parts[4] = {};  // 17 bytes at most: 128 bits and what precedes them in the first byte
    std::memcpy(parts, from.data(), size);
    u64 low = bit == 0 ? parts[0] : parts[0] >> bit | parts[1] << (64 - bit);
    u64 high = bit == 0 ? parts[1] : parts[1] >> bit | parts[2] << (64 - bit);
    if (bits < 64) low &= (u64{1} << bits) - 1;
    if (bits <= 64)
      high = 0;
    else if (bits < 128)
      high &= (u64{1} << (bits - 64)) - 1;
    hex128(high, low);
    return {};
  }

  Result<void> integer(const Type& t, u64 at, u32 bit) {
    if (bit != 0 || t.int_offset != 0 || t.int_bits % 8 != 0)
      return bitfield(at, bit + t.int_offset, t.int_bits);
    if (t.int_bits == 128) {
      hex128(TRY(read<u64>(at + 8)), TRY(read<u64>(at)));
      return {};
    }
    if (t.int_encoding == int_char) return character(TRY(read<char>(at)));
    if (t.int_encoding == int_bool) {
      out_.raw(TRY(read<u8>(at)) != 0 ? "true" : "false");
      return {};
    }
    bool is_signed = t.int_encoding == int_signed;
    switch (t.int_bits) {
      case 64:
        return number(is_signed, TRY(read<s64>(at)), TRY(read<u64>(at)));
      case 32:
        return number(is_signed, TRY(read<s32>(at)), TRY(read<u32>(at)));
      case 16:
        return number(is_signed, TRY(read<s16>(at)), TRY(read<u16>(at)));
      case 8:
        return number(is_signed, TRY(read<s8>(at)), TRY(read<u8>(at)));
      default:
        return bitfield(at, bit, t.int_bits);
    }
  }

  Result<void> number(bool is_signed, s64 as_signed, u64 as_unsigned) {
    out_.raw(is_signed ? fmt::to_string(as_signed) : fmt::to_string(as_unsigned));
    return {};
  }

  Result<void> character(char c) {
    auto code = static_cast<u8>(c);
    if (printable(c) && plain_)
      out_.raw(fmt::format("\"{}\"", c));
    else if (printable(c))
      out_.string(std::string_view(&c, 1));
    else
      out_.raw(plain_ ? fmt::format("0x{:x}", code) : fmt::format("\"\\u00{:02x}\"", code));
    return {};
  }

  Result<void> floating(const Type& t, u64 at) {
    // bpftool has no rule for floats in maps; a number says what is there.
    if (t.size == 4) return out_.raw(real(TRY(read<float>(at)))), Result<void>{};
    if (t.size == 8) return out_.raw(real(TRY(read<double>(at)))), Result<void>{};
    out_.raw(plain_ ? "(unsupported-kind)" : "null");
    return fail(EINVAL, fmt::format("BTF float of {} bytes cannot be printed", t.size));
  }
  template <class T>
  std::string real(T value) const {
    bool finite = value - value == 0;
    std::string text = fmt::format("{}", value);
    return finite || plain_ ? text : "\"" + text + "\"";
  }

  Result<void> pointer(u64 at) {
    u64 value = TRY(read<u64>(at));
    if (!plain_)
      out_.raw(fmt::to_string(value));
    else
      out_.string(value == 0 ? "(nil)" : fmt::format("0x{:x}", value));
    return {};
  }

  Result<void> enumeration(const Type& t, u64 at) {
    s64 value = 0;
    switch (t.size) {
      case 8:
        value = TRY(read<s64>(at));
        break;
      case 4:
        value = TRY(read<s32>(at));
        break;
      case 2:
        value = TRY(read<s16>(at));
        break;
      case 1:
        value = TRY(read<s8>(at));
        break;
      default:
        return fail(EINVAL, fmt::format("BTF enum of {} bytes", t.size));
    }
    for (const Entry& e : btf_.entries(t)) {
      if (static_cast<s32>(e.value) == value) return out_.string(btf_.string(e.name_off)), Result<void>{};
    }
    out_.raw(fmt::to_string(value));
    return {};
  }

  Result<void> enumeration64(const Type& t, u64 at) {
    s64 value = TRY(read<s64>(at));
    for (const Entry& e : btf_.entries(t)) {
      if (e.value == value) return out_.string(btf_.string(e.name_off)), Result<void>{};
    }
    out_.raw(fmt::to_string(value));
    return {};
  }

  /// Arrays of char that hold a string: printable up to a NUL. A typedef of char does not count.
  std::optional<std::string_view> as_string(const Type& array, ByteView from) const {
    u32 elem = array.type;
    for (u32 i = 0; i < limits::btf_max_depth; ++i) {
      Kind kind = btf_.type(elem).kind;
      if (!is_modifier(kind) || kind == Kind::typedef_) break;
      elem = btf_.type(elem).type;
    }
    const Type& t = btf_.type(elem);
    if (t.kind != Kind::int_ || t.size != 1) return std::nullopt;
    if (t.int_encoding != int_char && btf_.string(t.name_off) != "char") return std::nullopt;
    std::string_view text = chars_of(from).substr(0, array.nelems);
    std::size_t end = text.find('\0');
    if (end == std::string_view::npos) return std::nullopt;
    text = text.substr(0, end);
    for (char c : text) {
      if (!printable(c)) return std::nullopt;
    }
    return text;
  }

  Result<void> array(const Type& t, u64 at, u32 depth) {
    u64 size = TRY(btf_.size_of(t.type));
    if (t.nelems != 0) {
      ByteView from = TRY(bytes(at, size * t.nelems));
      if (auto text = as_string(t, from)) return out_.string(*text), Result<void>{};
    }
    out_.begin_array();
    Result<void> done;
    for (u32 i = 0; done && i < t.nelems; ++i) done = print(t.type, at + i * size, 0, depth + 1);
    out_.end_array();
    return done;
  }

  Result<void> structure(const Type& t, u64 at, u32 depth) {
    out_.begin_object();
    Result<void> done;
    for (const Entry& m : btf_.entries(t)) {
      out_.name(btf_.string(m.name_off));
      u64 from = at + m.bit_offset / 8;
      done = m.bitfield_size != 0 ? bitfield(from, m.bit_offset % 8, m.bitfield_size)
                                  : print(m.type, from, m.bit_offset % 8, depth + 1);
      if (!done) break;
    }
    out_.end_object();
    return done;
  }

  Result<void> variable(const Type& t, u64 at, u32 bit, u32 depth) {
    out_.begin_object();
    out_.name(btf_.string(t.name_off));
    Result<void> done = print(t.type, at, bit, depth + 1);
    out_.end_object();
    return done;
  }

  Result<void> datasec(const Type& t, u64 at, u32 depth) {
    out_.begin_object();
    out_.name(btf_.string(t.name_off));
    out_.begin_array();
    Result<void> done;
    for (const Entry& v : btf_.entries(t)) {
      done = print(v.type, at + v.offset, 0, depth + 1);
      if (!done) break;
    }
    out_.end_array();
    out_.end_object();
    return done;
  }

  const Btf& btf_;
  ByteView value_;
  Writer& out_;
  bool plain_;
  u64 budget_;
};

}  // namespace

Result<void> print_value(const Btf& btf, u32 id, ByteView value, Writer& writer,
                         const PrintOptions& options) {
  return Printer(btf, value, writer, options.plain).print(id, 0, 0, 0);
}

}  // namespace skep::btf
