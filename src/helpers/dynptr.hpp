// struct bpf_dynptr_kern: what the verifier's 16 bytes of a dynptr on a program's stack hold, and what
// helpers and kernel functions do with one (kernel: kernel/bpf/helpers.c). Results are the helpers': 0 or a
// negative errno.
#pragma once
#include "base/types.hpp"

namespace skep::helpers {

struct Dynptr {
  void* data = nullptr;  ///< memory, or the context (Skb, XdpBuff) whose bytes it means
  u32 size = 0;          ///< and, in the bits above, its type and whether it is read-only
  u32 offset = 0;

  enum class Type : u32 { invalid, local, ringbuf, skb, xdp, skb_meta };
  static constexpr u32 size_mask = 0xffffff, type_shift = 28, read_only = 1u << 31;

  static constexpr u64 max_size = size_mask;
  void set(void* memory, Type type, u32 offset_in, u32 bytes) {
    data = memory;
    size = bytes | static_cast<u32>(type) << type_shift;
    offset = offset_in;
  }
  void set_bytes(u32 bytes) { size = (size & ~size_mask) | bytes; }
  void clear() { *this = {}; }
  [[nodiscard]] u32 bytes() const { return size & size_mask; }
  [[nodiscard]] Type type() const { return static_cast<Type>(size >> type_shift & 7); }
  [[nodiscard]] bool is_rdonly() const { return (size & read_only) != 0; }
  /// bpf_dynptr_check_off_len(): E2BIG otherwise.
  [[nodiscard]] bool has(u32 at, u32 len) const { return len <= bytes() && at <= bytes() - len; }
};
static_assert(sizeof(Dynptr) == 16);

/// bpf_dynptr_read(): EINVAL for none, E2BIG beyond its end.
u64 dynptr_read(const Dynptr& from, u32 offset, void* to, u32 len);
/// bpf_dynptr_write(): EINVAL for none, for what is read-only and for flags that its type does not take;
/// E2BIG.
u64 dynptr_write(const Dynptr& to, u32 offset, const void* from, u32 len, u64 flags);
/// bpf_dynptr_slice(): where the bytes are; `buffer` (or nullptr) takes them where they are not in one piece.
/// nullptr: they are not there.
void* dynptr_slice(const Dynptr& of, u32 offset, void* buffer, u32 len);

}  // namespace skep::helpers
