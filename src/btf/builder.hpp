// Types put together anew: taken over from one or several Btf, changed, merged where they say the same, and
// written out as the bytes of a .BTF section. References are ids of the builder's own; 0 is void.
#pragma once
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "btf/btf.hpp"

namespace skep::btf {

/// One type with all that belongs to it. Names are offsets into the builder's strings; of `type`, the fields
/// that say where its entries stand in some Btf mean nothing here.
struct BuiltType {
  Type type;
  std::vector<Entry> entries;
};

/// Calls visit(u32&) for each id that a type refers to, in the order in which it says them.
template <class Built, class Visit>
void each_reference(Built& built, Visit visit) {
  switch (built.type.kind) {
    case Kind::ptr:
    case Kind::typedef_:
    case Kind::volatile_:
    case Kind::const_:
    case Kind::restrict_:
    case Kind::func:
    case Kind::var:
    case Kind::decl_tag:
    case Kind::type_tag:
      visit(built.type.type);
      break;
    case Kind::array:
      visit(built.type.type);
      visit(built.type.index_type);
      break;
    case Kind::func_proto:
      visit(built.type.type);
      [[fallthrough]];
    case Kind::struct_:
    case Kind::union_:
    case Kind::datasec:
      for (auto& entry : built.entries) visit(entry.type);
      break;
    default:
      break;
  }
}

class Builder {
 public:
  Builder() { strings_.push_back('\0'); }

  /// The offset of a string; the same for the same text.
  u32 add_string(std::string_view text);
  /// A copy of type `id` of `from` with its names; what it refers to is still said in ids of `from`.
  [[nodiscard]] BuiltType copy_of(const Btf& from, u32 id);
  /// The id of the new type.
  u32 add(BuiltType built);
  /// All types of `from` but the sections of data, which say where variables stand. What each of its ids is
  /// here: index 0 to type_count(); 0 for those left out.
  std::vector<u32> append(const Btf& from);

  [[nodiscard]] u32 type_count() const { return static_cast<u32>(types_.size()); }
  [[nodiscard]] const BuiltType& type(u32 id) const { return types_[id - 1]; }
  [[nodiscard]] BuiltType& type(u32 id) { return types_[id - 1]; }
  [[nodiscard]] std::string_view string(u32 offset) const { return strings_.c_str() + offset; }

  /// From now on whatever refers to `id` means `other`; deduplicate() takes `id` away.
  void replace(u32 id, u32 other);
  /// What stands for `id` after the replacements so far.
  [[nodiscard]] u32 current(u32 id) const;

  /// Makes one of all types that are the same in kind, names, sizes and in what they refer to, cycles
  /// included; forward declarations become the type of that name where there is only one. Variables and
  /// sections stay as they are. What each former id is now.
  std::vector<u32> deduplicate();

  /// A .BTF section. E2BIG where types or strings do not fit into one.
  [[nodiscard]] Result<std::vector<std::byte>> bytes() const;

 private:
  /// The class of each type: the same number for the same type; 0 for what is replaced.
  [[nodiscard]] std::vector<u32> classes() const;
  bool resolve_forwards();
  std::vector<u32> renumber(const std::vector<u32>& class_of);

  std::vector<BuiltType> types_;
  std::vector<u32> replaced_;  ///< by id - 1: 0, or what stands for it
  std::string strings_;
  std::unordered_map<std::string, u32> offsets_;
};

}  // namespace skep::btf
