// Names in C output: C has one name space for tags and one for identifiers, BTF may have several types of one
// name.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "btf/btf.hpp"

namespace skep::btf {

/// Gives each type the name it is printed under: the second `foo` becomes foo___2, as bpftool has it.
class CNames {
 public:
  explicit CNames(const Btf& btf) : btf_(btf), names_(btf.type_count() + 1) {}

  /// Of a struct, union, enum or forward declaration.
  const std::string& tag(u32 id) { return resolve(id, tags_); }
  /// Of a typedef.
  const std::string& identifier(u32 id) { return resolve(id, identifiers_); }
  /// Of an enumerator, which shares its name space with typedefs. Not remembered: ask once for each.
  std::string enumerator(std::string_view name) { return unique(name, identifiers_); }

 private:
  using Space = std::map<std::string, u32, std::less<>>;  // name -> how many had it
  const std::string& resolve(u32 id, Space& space);
  static std::string unique(std::string_view name, Space& space);

  const Btf& btf_;
  std::vector<std::string> names_;  ///< by id; empty: not asked for yet, or anonymous
  Space tags_, identifiers_;
};

/// Ids of all types in the order in which bpftool's sorted C output takes them: by rank of their kind, then
/// by name.
[[nodiscard]] std::vector<u32> c_order(const Btf& btf);

}  // namespace skep::btf
