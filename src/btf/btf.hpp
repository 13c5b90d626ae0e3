// BTF, the type information of programs and maps (Documentation/bpf/btf.rst): a parsed, validated,
// immutable table of types. Hostile input: parse() checks every offset, id, and cycle.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"
#include "base/result.hpp"

namespace skep::btf {

enum class Kind : u8 {
  void_ = 0, int_ = 1, ptr = 2, array = 3, struct_ = 4, union_ = 5, enum_ = 6, fwd = 7, typedef_ = 8,
  volatile_ = 9, const_ = 10, restrict_ = 11, func = 12, func_proto = 13, var = 14, datasec = 15, float_ = 16,
  decl_tag = 17, type_tag = 18, enum64 = 19,
};

/// A member of a struct or union, a parameter (name, type), a variable of a datasec (type, offset, size) or
/// an enumerator (name, value).
struct Entry {
  u32 name_off = 0;
  u32 type = 0;
  u32 bit_offset = 0;     ///< members
  u32 bitfield_size = 0;  ///< members of a struct with kind_flag; 0: not a bit-field
  u32 offset = 0;         ///< datasec
  u32 size = 0;           ///< datasec
  s64 value = 0;          ///< enumerators (enum64: the 64-bit pattern)
};

struct Type {
  Kind kind = Kind::void_;
  bool kind_flag = false;
  u32 name_off = 0;
  u32 size = 0;       ///< bytes: int, struct, union, enum, datasec, float, enum64
  u32 type = 0;       ///< the referred type: ptr, typedef, func, var, array element, func_proto's return, ...
  u32 index_type = 0; ///< array
  u32 nelems = 0;     ///< array
  u32 linkage = 0;    ///< func: 0 static, 1 global, 2 extern; var likewise
  s32 component = -1; ///< decl_tag
  u8 int_encoding = 0;   ///< 1 signed, 2 char, 4 bool
  u8 int_offset = 0;
  u8 int_bits = 0;
  u32 first_entry = 0, entry_count = 0;  ///< into Btf::entries()
};

class Btf {
 public:
  /// Takes the bytes of a .BTF section or a raw BTF file. `base`: the split BTF's base, which must outlive it.
  static Result<Btf> parse(std::vector<std::byte> bytes, const Btf* base = nullptr);

  [[nodiscard]] u32 type_count() const;              ///< ids run from 1 to type_count() inclusive
  [[nodiscard]] const Type& type(u32 id) const;      ///< void for 0 and for ids that do not exist
  [[nodiscard]] std::span<const Entry> entries(const Type& type) const;
  [[nodiscard]] std::string_view string(u32 offset) const;  ///< empty if there is none
  [[nodiscard]] std::string_view name(u32 id) const { return string(type(id).name_off); }
  /// Through typedef, const, volatile, restrict, type_tag.
  [[nodiscard]] u32 skip_modifiers(u32 id) const;
  /// Bytes a value of the type takes; EINVAL for void, functions, incomplete types.
  [[nodiscard]] Result<u64> size_of(u32 id) const;
  /// The id of the first type of that kind and name, or 0.
  [[nodiscard]] u32 find(Kind kind, std::string_view name) const;
  [[nodiscard]] const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
  std::vector<Type> types_;
  std::vector<Entry> entries_;
  std::string_view strings_;
  const Btf* base_ = nullptr;
};

}  // namespace skep::btf
