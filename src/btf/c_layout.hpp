// Layout questions of C output: alignment, packed structs, padding.
#pragma once
#include <string>
#include <vector>

#include "btf/btf.hpp"

namespace skep::btf {

class CLayout {
 public:
  explicit CLayout(const Btf& btf) : btf_(btf), align_(btf.type_count() + 1, kUnknown) {}
  /// What a type must be aligned to; 1 for packed structs, 0 for what has no size.
  u32 align_of(u32 id) { return align_of(id, 0); }
  /// Whether a struct's members or size break their natural alignment.
  bool is_packed(u32 id);
  /// The unnamed bit-fields that a struct needs between bit `at` and bit `next`, each on a line of its own
  /// after `indent`; `next_align` is the alignment of what follows, in bytes.
  static std::string padding(u64 at, u64 next, u32 next_align, bool in_bitfield, const std::string& indent);

 private:
  static constexpr u8 kUnknown = 0xff;
  u32 align_of(u32 id, u32 depth);
  const Btf& btf_;
  std::vector<u8> align_;
};

}  // namespace skep::btf
