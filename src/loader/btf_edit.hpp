// Changing BTF before it goes to a kernel: the loader knows section sizes, variable offsets and symbol
// visibility, which the compiler leaves open. Works on the bytes; Btf itself stays immutable.
#pragma once
#include <string_view>
#include <vector>

#include "btf/btf.hpp"

namespace skep::loader {

class BtfEdit {
 public:
  explicit BtfEdit(const btf::Btf& btf) : btf_(btf), bytes_(btf.bytes()) {}

  /// Word 2 of struct btf_type: its size or the type it refers to.
  void set_size_or_type(u32 id, u32 value) { put(id, 8, value); }
  /// The count of a FUNC, which is its linkage.
  void set_func_linkage(u32 id, u32 linkage);
  void set_var_linkage(u32 id, u32 linkage) { put(id, 12, linkage); }
  void set_param_name(u32 proto, u32 index, u32 name_off) { put(proto, 12 + 8 * index, name_off); }
  struct Variable {
    u32 type = 0, offset = 0, size = 0;
  };
  /// Replaces all variables of a DATASEC, which must have that many, and orders them by offset.
  void set_variables(u32 datasec, std::vector<Variable> variables);
  /// Adds a VAR after all types; returns its id. Its name goes after all strings.
  Result<u32> add_var(std::string_view name, u32 type, u32 linkage);
  [[nodiscard]] u32 added_name() const { return added_name_; }  ///< of the last add_var()

  /// The changed bytes, parsed anew.
  Result<btf::Btf> finish() &&;

 private:
  void put(u32 id, u32 at, u32 value) { store(bytes_.data() + btf_.type(id).byte_off + at, value); }

  const btf::Btf& btf_;
  std::vector<std::byte> bytes_;
  u32 added_types_ = 0, added_name_ = 0;
};

}  // namespace skep::loader
