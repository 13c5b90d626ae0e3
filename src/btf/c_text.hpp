// Types as C text: declarations of things of a type, and definitions of structs, unions, enums and typedefs.
#pragma once
#include <string>

#include "btf/btf.hpp"
#include "btf/c_layout.hpp"
#include "btf/c_names.hpp"

namespace skep::btf {

/// Turns types into text. Never fails: where nesting is deeper or text is longer than sane, overflow() turns
/// true and the text is useless.
class CText {
 public:
  explicit CText(const Btf& btf) : btf_(btf), names_(btf), layout_(btf) {}

  /// "int (*name[4])(void)": `name` declared to be of type `id`. `level` indents inline struct bodies.
  std::string declare(u32 id, std::string_view name, u32 level);
  std::string struct_definition(u32 id, u32 level);
  std::string enum_definition(u32 id, u32 level);
  /// "struct foo", "enum foo", also of FWD.
  std::string tagged(u32 id);
  std::string typedef_definition(u32 id);
  [[nodiscard]] bool overflow() const { return overflow_; }

 private:
  std::string declare(u32 id, std::string inner, u32 level, u32 depth);
  std::string base(u32 id, u32 level, u32 depth);
  std::string parameters(const Type& proto, u32 level, u32 depth);
  std::string struct_body(u32 id, u32 level, u32 depth);
  bool too_much(std::size_t size, u32 depth);

  const Btf& btf_;
  CNames names_;
  CLayout layout_;
  u64 produced_ = 0;
  bool overflow_ = false;
};

}  // namespace skep::btf
