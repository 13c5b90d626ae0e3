// Helpers on XDP packets (net/core/filter.c). Those of test runs may have fragments; those of interfaces are
// in one piece.
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "helpers/families.hpp"
#include "helpers/interfaces.hpp"
#include "helpers/packet_bytes.hpp"
#include "helpers/simple.hpp"
#include "maps/map.hpp"
#include "progs/sk_buff.hpp"
#include "progs/xdp_buff.hpp"

namespace skep::helpers {
namespace {

using progs::XdpBuff;

constexpr s64 eth_header = 14;
constexpr s64 frame_bytes = 40;         ///< sizeof(struct xdp_frame), at the start of the headroom
constexpr s64 shared_info_bytes = 320;  ///< struct skb_shared_info, at the end of the buffer
constexpr s64 meta_max = 255;           ///< skb_shared_info::meta_len is a byte

/// A driver without metadata says so by data_meta > data (xdp_set_data_meta_invalid()).
bool has_meta(const XdpBuff& xdp) { return xdp.data_meta <= xdp.data; }
s32 as_offset(u64 value) { return static_cast<s32>(static_cast<u32>(value)); }

// Distances, not pointers, are compared: the offset is any 32-bit number.

u64 xdp_adjust_head(u64 context, u64 offset, u64, u64, u64, RunContext*) {
  auto& xdp = *pointer<XdpBuff>(context);
  const s64 by = as_offset(offset);
  const s64 meta = has_meta(xdp) ? xdp.data - xdp.data_meta : 0;
  const s64 data = xdp.data - xdp.data_hard_start + by;
  if (data < frame_bytes + meta || data > xdp.data_end - xdp.data_hard_start - eth_header)
    return error_result(EINVAL);
  if (meta != 0) std::memmove(xdp.data_meta + by, xdp.data_meta, static_cast<std::size_t>(meta));
  xdp.data_meta += by;
  xdp.data += by;
  return 0;
}

bool has_frags(const XdpBuff& xdp) { return (xdp.flags & progs::xdp_has_frags) != 0; }
progs::SkbSharedInfo& shared_info(const XdpBuff& xdp) {
  return *reinterpret_cast<progs::SkbSharedInfo*>(  // NOLINT: whoever set the flag has put it there
      xdp.data_hard_start + xdp.frame_sz - shared_info_bytes);
}
/// bpf_xdp_frags_increase_tail(): into the rest of the last fragment's page.
u64 frags_increase_tail(XdpBuff& xdp, u32 by) {
  auto& info = shared_info(xdp);
  progs::SkbFrag& last = info.frags[info.nr_frags - 1u];
  if (by > xdp.frame_sz - last.len - last.offset) return error_result(EINVAL);
  std::memset(last.page + last.offset + last.len, 0, by);
  last.len += by;
  info.xdp_frags_size += by;
  return 0;
}
/// bpf_xdp_frags_shrink_tail(): from the last fragment on, then from the linear part.
u64 frags_shrink_tail(XdpBuff& xdp, u32 by) {
  if (s64{by} > s64{xdp_len(xdp)} - eth_header) return error_result(EINVAL);
  auto& info = shared_info(xdp);
  while (info.nr_frags > 0 && by > 0) {
    progs::SkbFrag& last = info.frags[info.nr_frags - 1u];
    const u32 part = std::min(by, last.len);
    by -= part;
    last.len -= part;
    info.xdp_frags_size -= part;
    if (last.len == 0) --info.nr_frags;
  }
  if (info.nr_frags == 0) {
    xdp.flags &= ~progs::xdp_has_frags;
    xdp.data_end -= by;
  }
  return 0;
}

u64 xdp_adjust_tail(u64 context, u64 offset, u64, u64, u64, RunContext*) {
  auto& xdp = *pointer<XdpBuff>(context);
  const s64 by = as_offset(offset);
  if (has_frags(xdp))
    return by < 0 ? frags_shrink_tail(xdp, static_cast<u32>(-by))
                  : frags_increase_tail(xdp, static_cast<u32>(by));
  const s64 end = xdp.data_end - xdp.data_hard_start + by;
  if (end > s64{xdp.frame_sz} - shared_info_bytes || end < xdp.data - xdp.data_hard_start + eth_header)
    return error_result(EINVAL);
  if (by > 0) std::memset(xdp.data_end, 0, static_cast<std::size_t>(by));
  xdp.data_end += by;
  return 0;
}

u64 xdp_adjust_meta(u64 context, u64 offset, u64, u64, u64, RunContext*) {
  auto& xdp = *pointer<XdpBuff>(context);
  constexpr int enotsupp = 524;
  if (!has_meta(xdp)) return error_result(enotsupp);
  const s64 meta = xdp.data_meta - xdp.data_hard_start + as_offset(offset);
  const s64 length = xdp.data - xdp.data_hard_start - meta;
  if (meta < frame_bytes || length < 0) return error_result(EINVAL);
  if (length % 4 != 0 || length > meta_max) return error_result(EACCES);
  xdp.data_meta = xdp.data_hard_start + meta;
  return 0;
}

u64 xdp_get_buff_len(u64 context, u64, u64, u64, u64, RunContext*) {
  return xdp_len(*pointer<XdpBuff>(context));
}

/// bpf_xdp_copy_buf(): between the packet's pieces from `offset` on and `memory`; all of it is there.
void copy(const XdpBuff& xdp, u32 offset, std::byte* memory, u32 length, bool store_it) {
  const auto piece = [&](std::byte* bytes, u32 size) {
    if (offset >= size) {
      offset -= size;
      return;
    }
    const u32 part = std::min(length, size - offset);
    std::memmove(store_it ? bytes + offset : memory, store_it ? memory : bytes + offset, part);
    memory += part;
    length -= part;
    offset = 0;
  };
  piece(xdp.data, static_cast<u32>(xdp.data_end - xdp.data));
  if (!has_frags(xdp)) return;
  const auto& info = shared_info(xdp);
  for (u32 i = 0; i < info.nr_frags && length > 0; ++i)
    piece(info.frags[i].page + info.frags[i].offset, info.frags[i].len);
}

u64 copy_checked(const XdpBuff& xdp, u32 offset, std::byte* memory, u32 length, bool store_it) {
  if (offset > 0xffff || length > 0xffff) return error_result(EFAULT);
  if (offset + length > xdp_len(xdp)) return error_result(EINVAL);
  copy(xdp, offset, memory, length, store_it);
  return 0;
}
u64 xdp_load_bytes(u64 context, u64 offset, u64 to, u64 length, u64, RunContext*) {
  return copy_checked(*pointer<XdpBuff>(context), static_cast<u32>(offset), pointer<std::byte>(to),
                      static_cast<u32>(length), false);
}
u64 xdp_store_bytes(u64 context, u64 offset, u64 from, u64 length, u64, RunContext*) {
  return copy_checked(*pointer<XdpBuff>(context), static_cast<u32>(offset), pointer<std::byte>(from),
                      static_cast<u32>(length), true);
}

/// bpf_xdp_redirect(): the hook finds the interface; a wrong one is an error there.
u64 redirect(u64 ifindex, u64 flags, u64, u64, u64, RunContext* run) {
  constexpr RedirectRule rule = xdp_redirect_rule;
  static_assert(rule.done == uapi::XDP_REDIRECT && rule.refused == uapi::XDP_ABORTED);
  if (flags != 0) return rule.refused;
  run->redirect = {static_cast<u32>(ifindex), 0, nullptr, 0};
  return rule.done;
}

/// __bpf_xdp_redirect_map(): where there is no entry, the flags' low bits are the verdict. The hook finds the
/// entry.
u64 redirect_map(u64 map64, u64 key64, u64 flags, u64, u64, RunContext* run) {
  constexpr u64 action_mask = 3, broadcast = 1 << 3, exclude_ingress = 1 << 4;
  auto* map = pointer<maps::Map>(map64);
  const MapType type = map->facts().type;
  const bool devices = type == MapType::devmap || type == MapType::devmap_hash;
  const u32 key = static_cast<u32>(key64);
  if ((flags & ~(action_mask | (devices ? broadcast | exclude_ingress : 0))) != 0) return uapi::XDP_ABORTED;
  const std::byte* entry = map->lookup(bytes_of(key).data(), run->cpu);
  if (entry == nullptr && (flags & broadcast) == 0) return flags & action_mask;
  run->redirect = {.ifindex = 0, .flags = static_cast<u32>(flags), .map = map, .map_index = key};
  return uapi::XDP_REDIRECT;
}

u64 xdp_check_mtu(u64 context, u64 ifindex64, u64 mtu_len, u64 diff, u64 flags, RunContext*) {
  enum : u64 { success = 0, frag_needed = 1 };
  const auto& xdp = *pointer<XdpBuff>(context);
  if (flags != 0) return error_result(EINVAL);
  const u32 ifindex = static_cast<u32>(ifindex64);
  Interface device;
  if (!find_interface(ifindex != 0 ? ifindex : xdp.rxq->dev->ifindex, device)) return error_result(ENODEV);
  auto& in_out = *pointer<u32>(mtu_len);
  s64 length = in_out != 0 ? s64{in_out} + device.hard_header_len : s64{xdp_len(xdp)};
  length += as_offset(diff);
  in_out = device.mtu;
  return length > s64{device.mtu} + device.hard_header_len ? frag_needed : success;
}

constexpr HelperRow rows[] = {
    {51, redirect_map},
    {163, xdp_check_mtu, ProgType::xdp},
    {23, redirect, ProgType::xdp},
    {44, xdp_adjust_head},
    {54, xdp_adjust_meta},
    {65, xdp_adjust_tail},
    {188, xdp_get_buff_len},
    {189, xdp_load_bytes},
    {190, xdp_store_bytes},
};

}  // namespace

u32 xdp_len(const XdpBuff& xdp) {
  const auto linear = static_cast<u32>(xdp.data_end - xdp.data);
  return has_frags(xdp) ? linear + shared_info(xdp).xdp_frags_size : linear;
}

u64 xdp_read(const XdpBuff& xdp, u32 offset, std::byte* to, u32 len) {
  return copy_checked(xdp, offset, to, len, false);
}
u64 xdp_write(const XdpBuff& xdp, u32 offset, std::byte* from, u32 len) {
  return copy_checked(xdp, offset, from, len, true);
}

u64 xdp_pull(XdpBuff& xdp, u32 len) {
  const auto linear = static_cast<u32>(xdp.data_end - xdp.data);
  if (len <= linear) return 0;
  if (len > xdp_len(xdp)) return error_result(EINVAL);
  std::byte* start = has_meta(xdp) ? xdp.data_meta : xdp.data;
  const s64 headroom = start - xdp.data_hard_start - frame_bytes;
  const s64 tailroom = xdp.data_hard_start + xdp.frame_sz - shared_info_bytes - xdp.data_end;
  u32 wanted = len - linear;
  if (wanted > headroom + tailroom) return error_result(EINVAL);
  if (const s64 shift = wanted - tailroom; shift > 0) {
    std::memmove(start - shift, start, static_cast<std::size_t>(xdp.data_end - start));
    xdp.data_meta -= shift;
    xdp.data -= shift;
    xdp.data_end -= shift;
  }
  auto& info = shared_info(xdp);
  u32 emptied = 0;
  for (u32 i = 0; i < info.nr_frags && wanted != 0; ++i) {
    progs::SkbFrag& fragment = info.frags[i];
    const u32 part = std::min(wanted, fragment.len);
    std::memcpy(xdp.data_end, fragment.page + fragment.offset, part);
    xdp.data_end += part;
    fragment.offset += part;
    fragment.len -= part;
    info.xdp_frags_size -= part;
    wanted -= part;
    if (fragment.len == 0) ++emptied;
  }
  std::move(info.frags.begin() + emptied, info.frags.begin() + info.nr_frags, info.frags.begin());
  info.nr_frags = static_cast<u8>(info.nr_frags - emptied);
  if (info.nr_frags == 0) xdp.flags &= ~progs::xdp_has_frags;
  return 0;
}

std::byte* xdp_pointer(const XdpBuff& xdp, u32 offset, u32 len) {
  if (offset > 0xffff || len > 0xffff || offset + len > xdp_len(xdp)) return nullptr;
  const auto inside = [&](std::byte* bytes, u32 size) -> std::byte* {
    return offset + len <= size ? bytes + offset : nullptr;
  };
  const auto linear = static_cast<u32>(xdp.data_end - xdp.data);
  if (offset < linear) return inside(xdp.data, linear);
  if (!has_frags(xdp)) return len == 0 ? xdp.data_end : nullptr;
  offset -= linear;
  const auto& info = shared_info(xdp);
  for (u32 i = 0; i < info.nr_frags; ++i) {
    const progs::SkbFrag& fragment = info.frags[i];
    if (offset < fragment.len) return inside(fragment.page + fragment.offset, fragment.len);
    offset -= fragment.len;
  }
  return nullptr;
}

std::span<const HelperRow> xdp_family() { return rows; }

}  // namespace skep::helpers
