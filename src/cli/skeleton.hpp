// What `gen skeleton` and `gen subskeleton` are made of: an object as a C header, in bpftool's form, for
// libbpf to open, load and attach, or to find the parts of in an object that contains them.
#pragma once
#include <string>

#include "cli/gen.hpp"
#include "loader/loader.hpp"

namespace skep::cli {

/// Letters, digits and '_'; everything else becomes '_'.
[[nodiscard]] std::string identifier(std::string_view text);
/// The member by which a program of the user refers to the map; empty: none.
[[nodiscard]] std::string member_of(const loader::MapDef& map);
/// User space gets at its variables.
[[nodiscard]] bool has_variables(const loader::MapDef& map);
/// A declaration without const, volatile and restrict: initial values are written.
[[nodiscard]] std::string without_qualifiers(std::string text);

class Skeleton {
 public:
  Skeleton(const loader::ObjectSpec& spec, std::string name, ByteView file)
      : spec_(spec), name_(std::move(name)), file_(file) {}

  /// The header of `gen skeleton`.
  Outcome<std::string> text();
  /// The header of `gen subskeleton`.
  Outcome<std::string> sub_text();

 private:
  /// Appends the lines; every "@" is the object's name.
  void add(std::string_view lines) {
    for (const char c : lines) c == '@' ? text_ += name_ : text_ += c;
  }
  [[nodiscard]] std::string guard(std::string_view what) const;
  /// Its global variables in their order; none if BTF does not describe it.
  template <class Visit>
  Outcome<void> each_variable(const loader::MapDef& map, Visit visit) const;

  // Of both.
  void add_members(bool links);
  void add_maps(bool mapped);
  void add_programs(bool links);

  // gen_skeleton.cpp
  void add_preamble();
  Outcome<void> add_struct();
  Outcome<void> add_variables(const loader::MapDef& map);
  void add_functions();
  void add_create();
  void add_bytes();
  void add_asserts();

  // gen_subskeleton.cpp
  void add_sub_preamble();
  Outcome<void> add_sub_struct();
  Outcome<void> add_sub_variables(const loader::MapDef& map);
  Outcome<void> add_sub_open();

  const loader::ObjectSpec& spec_;
  std::string name_;
  ByteView file_;
  std::string text_;
};

template <class Visit>
Outcome<void> Skeleton::each_variable(const loader::MapDef& map, Visit visit) const {
  if (!spec_.btf || map.spec.btf_value_type_id == 0) return {};
  const btf::Btf& types = *spec_.btf;
  for (const btf::Entry& entry : types.entries(types.type(map.spec.btf_value_type_id))) {
    const btf::Type& variable = types.type(entry.type);
    if (variable.kind != btf::Kind::var || variable.linkage == btf::linkage_static) continue;
    TRY(visit(entry, variable, identifier(types.name(entry.type))));
  }
  return {};
}

/// FILE [name OBJECT_NAME] of both verbs.
struct SkeletonRequest {
  std::string path, name;
  std::string file;  ///< its bytes
  loader::ObjectSpec spec;
};
Outcome<SkeletonRequest> take_skeleton(Cli& cli, Args& args);

}  // namespace skep::cli
