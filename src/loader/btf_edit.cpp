// BTF edited in place; only add_var() moves anything, and only what follows the types.
#include "loader/btf_edit.hpp"

#include <algorithm>

namespace skep::loader {

namespace {
constexpr u32 kHdrLen = 4, kTypeOff = 8, kTypeLen = 12, kStrOff = 16, kStrLen = 20;  // of struct btf_header
}

void BtfEdit::set_func_linkage(u32 id, u32 linkage) {
  std::byte* info = bytes_.data() + btf_.type(id).byte_off + 4;
  store(info, (load<u32>(info) & ~0xffffu) | linkage);
}

void BtfEdit::set_variables(u32 datasec, std::vector<Variable> variables) {
  std::stable_sort(variables.begin(), variables.end(),
                   [](const Variable& a, const Variable& b) { return a.offset < b.offset; });
  u32 at = 12;
  for (const Variable& v : variables) {
    put(datasec, at, v.type);
    put(datasec, at + 4, v.offset);
    put(datasec, at + 8, v.size);
    at += 12;
  }
}

Result<u32> BtfEdit::add_var(std::string_view name, u32 type, u32 linkage) {
  auto word = [&](u32 at) { return load<u32>(bytes_.data() + at); };
  u32 start = word(kHdrLen);
  if (word(kStrOff) < word(kTypeOff))
    return fail(ENOTSUP, ".BTF: strings before types are not supported here");
  // Types first, strings last: insert from the back so that the offsets in front stay as they are.
  added_name_ = word(kStrLen);
  std::vector<std::byte> text(name.size() + 1);
  std::copy_n(bytes_of(name).begin(), name.size(), text.begin());
  auto strings_end = static_cast<std::ptrdiff_t>(u64{start} + word(kStrOff) + word(kStrLen));
  bytes_.insert(bytes_.begin() + strings_end, text.begin(), text.end());
  store(bytes_.data() + kStrLen, word(kStrLen) + static_cast<u32>(text.size()));

  u32 record[4] = {added_name_, static_cast<u32>(btf::Kind::var) << 24, type, linkage};
  auto types_end = static_cast<std::ptrdiff_t>(u64{start} + word(kTypeOff) + word(kTypeLen));
  ByteView raw = std::as_bytes(std::span(record));
  bytes_.insert(bytes_.begin() + types_end, raw.begin(), raw.end());
  store(bytes_.data() + kTypeLen, word(kTypeLen) + 16);
  store(bytes_.data() + kStrOff, word(kStrOff) + 16);
  return btf_.type_count() + ++added_types_;
}

Result<btf::Btf> BtfEdit::finish() && {
  return btf::Btf::parse(std::move(bytes_), nullptr, btf::Checks::structure);
}

}  // namespace skep::loader
