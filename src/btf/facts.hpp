// What the kernel learns of map values from BTF (kernel/bpf/btf.c btf_parse_fields()).
#pragma once
#include "btf/btf.hpp"

namespace skep::btf {

/// Byte offsets of fields that programs and bpf(2) treat specially; -1: the value has none.
struct SpecialFields {
  s32 spin_lock = -1;
  s32 timer = -1;
  s32 workqueue = -1;
};
/// Looks into a struct value, its nested structs and arrays, or a datasec. EEXIST-like rules as the kernel's:
/// E2BIG where one of them occurs twice, EINVAL where it is misaligned or of the wrong size.
Result<SpecialFields> special_fields(const Btf& btf, u32 value_type);

/// Of a DATASEC, the variable that holds byte `offset`: its VAR id, or 0.
[[nodiscard]] u32 variable_at(const Btf& btf, u32 datasec, u32 offset);
/// Of a DATASEC, the entry of the variable called `name`, or nullptr.
[[nodiscard]] const Entry* find_variable(const Btf& btf, u32 datasec, std::string_view name);

}  // namespace skep::btf
