// Kernel functions on dynptrs (kernel: net/core/filter.c, kernel/bpf/helpers.c).
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "helpers/dynptr.hpp"
#include "helpers/families.hpp"
#include "helpers/kernel_functions.hpp"
#include "helpers/packet_bytes.hpp"

namespace skep::helpers {
namespace {

u32 low(u64 value) { return static_cast<u32>(value); }
Dynptr& dynptr_of(u64 address) { return *pointer<Dynptr>(address); }

u64 make(u64 dynptr, u64 context, u64 flags, Dynptr::Type type, u32 size) {
  Dynptr& to = dynptr_of(dynptr);
  to.clear();
  if (flags != 0) return error_result(EINVAL);
  to.set(pointer<void>(context), type, 0, size);
  return 0;
}
/// (skb, flags, dynptr)
u64 from_skb(u64 skb, u64 flags, u64 dynptr, u64, u64, RunContext*) {
  return make(dynptr, skb, flags, Dynptr::Type::skb, skb_of(skb).buf.len);
}
/// For program types that may not write to their packet.
u64 from_skb_rdonly(u64 skb, u64 flags, u64 dynptr, u64, u64, RunContext*) {
  const u64 result = make(dynptr, skb, flags, Dynptr::Type::skb, skb_of(skb).buf.len);
  if (result == 0) dynptr_of(dynptr).size |= Dynptr::read_only;
  return result;
}
u64 from_skb_meta(u64 skb, u64 flags, u64 dynptr, u64, u64, RunContext*) {
  return make(dynptr, skb, flags, Dynptr::Type::skb_meta, skb_shared_info(skb_of(skb).buf).meta_len);
}
u64 from_xdp(u64 xdp, u64 flags, u64 dynptr, u64, u64, RunContext*) {
  return make(dynptr, xdp, flags, Dynptr::Type::xdp, xdp_len(*pointer<progs::XdpBuff>(xdp)));
}

/// (dynptr, offset, buffer or NULL, its size)
u64 slice(u64 dynptr, u64 offset, u64 buffer, u64 size, u64, RunContext*) {
  return reinterpret_cast<u64>(
      dynptr_slice(dynptr_of(dynptr), low(offset), pointer<void>(buffer), low(size)));
}
u64 slice_rdwr(u64 dynptr, u64 offset, u64 buffer, u64 size, u64, RunContext* run) {
  return dynptr_of(dynptr).is_rdonly() ? 0 : slice(dynptr, offset, buffer, size, 0, run);
}

/// (dynptr, start, end): its bytes from `start` up to, not including, `end`.
u64 adjust(u64 dynptr, u64 start64, u64 end64, u64, u64, RunContext*) {
  Dynptr& of = dynptr_of(dynptr);
  const u32 start = low(start64), end = low(end64);
  if (of.data == nullptr || start > end) return error_result(EINVAL);
  if (start > of.bytes() || end > of.bytes()) return error_result(ERANGE);
  of.offset += start;
  of.set_bytes(end - start);
  return 0;
}
u64 is_null(u64 dynptr, u64, u64, u64, u64, RunContext*) { return dynptr_of(dynptr).data == nullptr; }
u64 is_rdonly(u64 dynptr, u64, u64, u64, u64, RunContext*) {
  return dynptr_of(dynptr).data != nullptr && dynptr_of(dynptr).is_rdonly();
}
u64 size(u64 dynptr, u64, u64, u64, u64, RunContext*) {
  return dynptr_of(dynptr).data == nullptr ? error_result(EINVAL) : dynptr_of(dynptr).bytes();
}
u64 clone(u64 dynptr, u64 to, u64, u64, u64, RunContext*) {
  dynptr_of(to) = dynptr_of(dynptr);
  if (dynptr_of(dynptr).data != nullptr) return 0;
  dynptr_of(to).clear();
  return error_result(EINVAL);
}

constexpr u32 part_max = 256;  ///< bytes copied at a time where neither side is in one piece

/// (to, its offset, from, its offset, size)
u64 copy(u64 to64, u64 to_offset64, u64 from64, u64 from_offset64, u64 size64, RunContext*) {
  const Dynptr& to = dynptr_of(to64);
  const Dynptr& from = dynptr_of(from64);
  const u32 to_offset = low(to_offset64), from_offset = low(from_offset64), size = low(size64);
  const void* source = dynptr_slice(from, from_offset, nullptr, size);
  void* target = to.is_rdonly() ? nullptr : dynptr_slice(to, to_offset, nullptr, size);
  if (source != nullptr && target != nullptr) {
    std::memmove(target, source, size);
    return 0;
  }
  if (source != nullptr) return dynptr_write(to, to_offset, source, size, 0);
  if (target != nullptr) return dynptr_read(from, from_offset, target, size);
  if (!to.has(to_offset, size) || !from.has(from_offset, size)) return error_result(E2BIG);
  std::array<std::byte, part_max> bytes;  // NOLINT: filled below
  for (u32 at = 0; at < size; at += part_max) {
    const u32 part = std::min(part_max, size - at);
    if (const u64 error = dynptr_read(from, from_offset + at, bytes.data(), part); error != 0) return error;
    if (const u64 error = dynptr_write(to, to_offset + at, bytes.data(), part, 0); error != 0) return error;
  }
  return 0;
}

/// (dynptr, offset, size, value)
u64 fill(u64 dynptr, u64 offset64, u64 size64, u64 value, u64, RunContext*) {
  const Dynptr& to = dynptr_of(dynptr);
  const u32 offset = low(offset64), size = low(size64);
  void* target = to.is_rdonly() ? nullptr : dynptr_slice(to, offset, nullptr, size);
  if (target != nullptr) {
    std::memset(target, static_cast<u8>(value), size);
    return 0;
  }
  if (to.is_rdonly()) return error_result(EINVAL);
  if (!to.has(offset, size)) return error_result(E2BIG);
  std::array<std::byte, part_max> bytes;  // NOLINT: filled below
  bytes.fill(static_cast<std::byte>(value));
  for (u32 at = 0; at < size; at += part_max) {
    const u32 part = std::min(part_max, size - at);
    if (const u64 error = dynptr_write(to, offset + at, bytes.data(), part, 0); error != 0) return error;
  }
  return 0;
}

constexpr KernelFunctionRow rows[] = {
    {"bpf_dynptr_from_skb", from_skb},
    {"bpf_dynptr_from_skb_rdonly", from_skb_rdonly},
    {"bpf_dynptr_from_skb_meta", from_skb_meta},
    {"bpf_dynptr_from_xdp", from_xdp},
    {"bpf_dynptr_slice", slice},
    {"bpf_dynptr_slice_rdwr", slice_rdwr},
    {"bpf_dynptr_adjust", adjust},
    {"bpf_dynptr_is_null", is_null},
    {"bpf_dynptr_is_rdonly", is_rdonly},
    {"bpf_dynptr_size", size},
    {"bpf_dynptr_clone", clone},
    {"bpf_dynptr_copy", copy},
    {"bpf_dynptr_memset", fill},
};

}  // namespace

std::span<const KernelFunctionRow> dynptr_kernel_functions() { return rows; }

}  // namespace skep::helpers
