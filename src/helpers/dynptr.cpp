// Helpers on dynptrs: memory of the program's or a packet's bytes, checked when it is used (kernel:
// kernel/bpf/helpers.c). Ring buffers' are in ringbuf.cpp.
#include "helpers/dynptr.hpp"

#include <cerrno>
#include <cstring>

#include "helpers/families.hpp"
#include "helpers/packet_bytes.hpp"

namespace skep::helpers {
namespace {

u32 low(u64 value) { return static_cast<u32>(value); }
std::byte* memory_of(const Dynptr& of) { return static_cast<std::byte*>(of.data) + of.offset; }
Skb& skb_behind(const Dynptr& of) { return *static_cast<Skb*>(of.data); }
progs::XdpBuff& xdp_behind(const Dynptr& of) { return *static_cast<progs::XdpBuff*>(of.data); }
/// bpf_skb_meta_pointer(): what an XDP program left in front of the packet.
std::byte* meta_of(const Dynptr& of) {
  progs::SkBuff& skb = skb_behind(of).buf;
  return skb.head + skb.mac_header - skb_shared_info(skb).meta_len + of.offset;
}

u64 dynptr_from_mem(u64 memory, u64 size, u64 flags, u64 dynptr, u64, RunContext*) {
  auto& to = *pointer<Dynptr>(dynptr);
  to.clear();
  if (low(size) > Dynptr::max_size) return error_result(E2BIG);
  if (flags != 0) return error_result(EINVAL);
  to.set(pointer<void>(memory), Dynptr::Type::local, 0, low(size));
  return 0;
}
u64 read(u64 to, u64 len, u64 from, u64 offset, u64 flags, RunContext*) {
  if (flags != 0) return error_result(EINVAL);
  return dynptr_read(*pointer<const Dynptr>(from), low(offset), pointer<void>(to), low(len));
}
u64 write(u64 to, u64 offset, u64 from, u64 len, u64 flags, RunContext*) {
  return dynptr_write(*pointer<const Dynptr>(to), low(offset), pointer<const void>(from), low(len), flags);
}
u64 data(u64 dynptr, u64 offset, u64 len, u64, u64, RunContext*) {
  const auto& of = *pointer<const Dynptr>(dynptr);
  const bool memory = of.type() == Dynptr::Type::local || of.type() == Dynptr::Type::ringbuf;
  if (of.data == nullptr || !of.has(low(offset), low(len)) || of.is_rdonly() || !memory) return 0;
  return reinterpret_cast<u64>(memory_of(of) + low(offset));
}

constexpr HelperRow rows[] = {{197, dynptr_from_mem}, {201, read}, {202, write}, {203, data}};

}  // namespace

u64 dynptr_read(const Dynptr& from, u32 offset, void* to, u32 len) {
  if (from.data == nullptr) return error_result(EINVAL);
  if (!from.has(offset, len)) return error_result(E2BIG);
  switch (from.type()) {
    case Dynptr::Type::local:
    case Dynptr::Type::ringbuf:
      std::memmove(to, memory_of(from) + offset, len);
      return 0;
    case Dynptr::Type::skb:
      return skb_read(skb_behind(from), from.offset + offset, static_cast<std::byte*>(to), len);
    case Dynptr::Type::xdp:
      return xdp_read(xdp_behind(from), from.offset + offset, static_cast<std::byte*>(to), len);
    case Dynptr::Type::skb_meta:
      std::memmove(to, meta_of(from) + offset, len);
      return 0;
    default:
      return error_result(EFAULT);
  }
}

u64 dynptr_write(const Dynptr& to, u32 offset, const void* from, u32 len, u64 flags) {
  if (to.data == nullptr || to.is_rdonly()) return error_result(EINVAL);
  if (!to.has(offset, len)) return error_result(E2BIG);
  if (flags != 0 && to.type() != Dynptr::Type::skb) return error_result(EINVAL);
  switch (to.type()) {
    case Dynptr::Type::local:
    case Dynptr::Type::ringbuf:
      // Source and destination may overlap, for example in the program's stack.
      std::memmove(memory_of(to) + offset, from, len);
      return 0;
    case Dynptr::Type::skb:
      return skb_write(skb_behind(to), to.offset + offset, static_cast<const std::byte*>(from), len, flags);
    case Dynptr::Type::xdp:
      return xdp_write(xdp_behind(to), to.offset + offset,
                       static_cast<std::byte*>(const_cast<void*>(from)),  // NOLINT: read only
                       len);
    case Dynptr::Type::skb_meta:
      std::memmove(meta_of(to) + offset, from, len);
      return 0;
    default:
      return error_result(EFAULT);
  }
}

void* dynptr_slice(const Dynptr& of, u32 offset, void* buffer, u32 len) {
  if (of.data == nullptr || !of.has(offset, len)) return nullptr;
  switch (of.type()) {
    case Dynptr::Type::local:
    case Dynptr::Type::ringbuf:
      return memory_of(of) + offset;
    case Dynptr::Type::skb: {
      const progs::SkBuff& skb = skb_behind(of).buf;
      const u64 at = u64{of.offset} + offset;
      return at + len <= skb_headlen(skb) ? skb.data + at : nullptr;  // packets are in one piece
    }
    case Dynptr::Type::xdp: {
      std::byte* there = xdp_pointer(xdp_behind(of), of.offset + offset, len);
      if (there != nullptr || buffer == nullptr) return there;
      return xdp_read(xdp_behind(of), of.offset + offset, static_cast<std::byte*>(buffer), len) == 0
                 ? buffer
                 : nullptr;
    }
    case Dynptr::Type::skb_meta:
      return meta_of(of) + offset;
    default:
      return nullptr;
  }
}

std::span<const HelperRow> dynptr_family() { return rows; }

}  // namespace skep::helpers
