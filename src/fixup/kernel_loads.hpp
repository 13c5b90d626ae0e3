// Loads through pointers to structs of the kernel: which of them find the same here, and where.
#pragma once
#include <optional>

#include "btf/btf.hpp"

namespace skep::fixup {

/// What a load of a kernel struct's field becomes.
struct KernelField {
  enum class How : u8 {
    as_it_stands,  ///< what the pointer leads to has the kernel's layout here
    moved,         ///< the same number stands at `offset`
    zero,          ///< a field that the kernel leaves 0
  };
  How how = How::as_it_stands;
  s16 offset = 0;
};

/// The field of `size` bytes at `off` of struct `type` of `types`, or nothing if it is not here: what
/// progs::kernel_field_rows lists, struct
/// bpf_map's numbers, struct sk_buff where the kernel that `types` is of has it laid out as ours.
[[nodiscard]] std::optional<KernelField> kernel_field(const btf::Btf& types, u32 type, s32 off, u32 size);

}  // namespace skep::fixup
