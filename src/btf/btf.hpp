// BTF, the type information of programs and maps (Documentation/bpf/btf.rst): a parsed, immutable table of
// types. Hostile input: parse() checks every offset, name and id, so that whatever it returns can be walked
// without further checks of bounds; depth is bounded by whoever walks. The kernel's own rules for
// BPF_BTF_LOAD (names, sizes, cycles) are Checks::kernel; an object file's BTF, which libbpf still has to
// complete, and vmlinux's take Checks::structure.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"
#include "base/result.hpp"

namespace skep::btf {

enum class Kind : u8 {
  void_ = 0,
  int_ = 1,
  ptr = 2,
  array = 3,
  struct_ = 4,
  union_ = 5,
  enum_ = 6,
  fwd = 7,
  typedef_ = 8,
  volatile_ = 9,
  const_ = 10,
  restrict_ = 11,
  func = 12,
  func_proto = 13,
  var = 14,
  datasec = 15,
  float_ = 16,
  decl_tag = 17,
  type_tag = 18,
  enum64 = 19,
};
inline constexpr u8 kind_max = 19;

/// int_encoding bits.
inline constexpr u8 int_signed = 1, int_char = 2, int_bool = 4;
/// linkage of func and var.
inline constexpr u32 linkage_static = 0, linkage_global = 1, linkage_extern = 2;

/// A member of a struct or union, a parameter (name, type), a variable of a datasec (type, offset, size) or
/// an enumerator (name, value).
struct Entry {
  u32 name_off = 0;
  u32 type = 0;
  u32 bit_offset = 0;     ///< members
  u32 bitfield_size = 0;  ///< members of a struct with kind_flag; 0: not a bit-field
  u32 offset = 0;         ///< datasec
  u32 size = 0;           ///< datasec
  s64 value = 0;  ///< enumerators: sign-extended with kind_flag, else zero-extended (enum64: the pattern)
};

struct Type {
  Kind kind = Kind::void_;
  bool kind_flag = false;
  u32 name_off = 0;
  u32 size = 0;  ///< bytes: int, struct, union, enum, datasec, float, enum64
  u32 type = 0;  ///< the referred type: ptr, typedef, func, var, array element, func_proto's return, ...
  u32 index_type = 0;   ///< array
  u32 nelems = 0;       ///< array
  u32 linkage = 0;      ///< func: 0 static, 1 global, 2 extern; var likewise
  s32 component = -1;   ///< decl_tag
  u8 int_encoding = 0;  ///< 1 signed, 2 char, 4 bool
  u8 int_offset = 0;
  u8 int_bits = 0;
  u32 first_entry = 0, entry_count = 0;  ///< see Btf::entries()
  u32 byte_off = 0;                      ///< of its struct btf_type in bytes() of the Btf that defines it
};

/// typedef, volatile, const, restrict, type_tag.
[[nodiscard]] bool is_modifier(Kind kind);
/// struct or union.
[[nodiscard]] inline bool is_composite(Kind kind) { return kind == Kind::struct_ || kind == Kind::union_; }
[[nodiscard]] inline bool is_any_enum(Kind kind) { return kind == Kind::enum_ || kind == Kind::enum64; }
/// "INT", "PTR", ... as btf.rst and bpftool write them; "UNKNOWN" for void.
[[nodiscard]] std::string_view kind_name(Kind kind);

enum class Checks : u8 {
  structure,  ///< every offset, name and id is in range; enough to walk the types safely
  kernel,     ///< and all that BPF_BTF_LOAD demands, with its errno
};

class Btf {
 public:
  Btf() = default;
  Btf(Btf&&) = default;
  Btf& operator=(Btf&&) = default;

  /// Takes the bytes of a .BTF section or a raw BTF file. `base`: the split BTF's base, which must outlive
  /// it. Errors name the type id and what is wrong with it, in the kernel's words.
  static Result<Btf> parse(std::vector<std::byte> bytes, const Btf* base = nullptr,
                           Checks checks = Checks::kernel);

  [[nodiscard]] u32 type_count() const { return first_id() - 1 + static_cast<u32>(types_.size()); }
  ///< ids run from 1 to type_count() inclusive
  [[nodiscard]] u32 first_id() const { return base_ == nullptr ? 1 : base_->type_count() + 1; }
  ///< of the types this Btf itself defines (1, or what follows its base)
  [[nodiscard]] const Type& type(u32 id) const;  ///< void for 0 and for ids that do not exist
  [[nodiscard]] std::span<const Entry> entries(const Type& type) const;
  [[nodiscard]] std::string_view string(u32 offset) const;  ///< empty if there is none
  [[nodiscard]] bool has_string(u32 offset) const;
  [[nodiscard]] std::string_view name(u32 id) const { return string(type(id).name_off); }
  /// Through typedef, const, volatile, restrict, type_tag; 0 where such a chain has no end.
  [[nodiscard]] u32 skip_modifiers(u32 id) const;
  /// Bytes a value of the type takes; EINVAL for void, functions, incomplete types, endless chains.
  [[nodiscard]] Result<u64> size_of(u32 id) const;
  /// The id of the first type of that kind and name, or 0.
  [[nodiscard]] u32 find(Kind kind, std::string_view name) const;
  [[nodiscard]] const std::vector<std::byte>& bytes() const { return bytes_; }
  [[nodiscard]] const Btf* base() const { return base_; }

 private:
  friend class Parser;
  std::vector<std::byte> bytes_;
  std::vector<Type> types_;
  std::vector<Entry> entries_;
  std::string_view strings_;
  const Btf* base_ = nullptr;
  u32 first_entry_ = 0;   ///< entries of the bases come first
  u32 first_string_ = 0;  ///< likewise strings
};

/// The rules of BPF_BTF_LOAD that need the whole table: kernel/bpf/btf.c's check_meta and resolve steps.
/// EINVAL, E2BIG (too deep), EEXIST (a loop), ELOOP, ENOTSUPP as the kernel returns them.
Result<void> check_as_kernel(const Btf& btf);

}  // namespace skep::btf
