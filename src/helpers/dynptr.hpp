// struct bpf_dynptr_kern: what the verifier's 16 bytes of a dynptr on a program's stack hold (kernel/bpf/
// helpers.c).
#pragma once
#include "base/types.hpp"

namespace skep::helpers {

struct Dynptr {
  void* data = nullptr;
  u32 size = 0;  ///< and, in the bits above, its type and whether it is read-only
  u32 offset = 0;

  enum class Type : u32 { invalid, local, ringbuf, skb, xdp };
  static constexpr u32 size_mask = 0xffffff, type_shift = 28, read_only = 1u << 31;

  static constexpr u64 max_size = size_mask;
  void set(void* memory, Type type, u32 offset_in, u32 bytes) {
    data = memory;
    size = bytes | static_cast<u32>(type) << type_shift;
    offset = offset_in;
  }
  void clear() { *this = {}; }
  [[nodiscard]] u32 bytes() const { return size & size_mask; }
  [[nodiscard]] Type type() const { return static_cast<Type>(size >> type_shift & 7); }
};
static_assert(sizeof(Dynptr) == 16);

}  // namespace skep::helpers
