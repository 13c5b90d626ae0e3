// Helpers on XDP packets (net/core/filter.c). Packets are in one piece: skep has no fragments yet.
#include <array>
#include <cerrno>
#include <cstring>

#include "helpers/families.hpp"
#include "helpers/interfaces.hpp"
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

u64 xdp_adjust_tail(u64 context, u64 offset, u64, u64, u64, RunContext*) {
  auto& xdp = *pointer<XdpBuff>(context);
  const s64 by = as_offset(offset);
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
  const auto& xdp = *pointer<XdpBuff>(context);
  return static_cast<u64>(xdp.data_end - xdp.data);
}

/// bpf_xdp_pointer(): where `offset` is, or a negative errno in `error`.
std::byte* packet_at(const XdpBuff& xdp, u64 offset64, u64 length64, u64& error) {
  const u32 offset = static_cast<u32>(offset64);
  const u32 length = static_cast<u32>(length64);
  error = error_result(offset > 0xffff || length > 0xffff ? EFAULT : EINVAL);
  if (offset > 0xffff || length > 0xffff || u64{offset} + length > static_cast<u64>(xdp.data_end - xdp.data))
    return nullptr;
  return xdp.data + offset;
}

u64 xdp_load_bytes(u64 context, u64 offset, u64 to, u64 length, u64, RunContext*) {
  u64 error = 0;
  const std::byte* from = packet_at(*pointer<XdpBuff>(context), offset, length, error);
  if (from == nullptr) return error;
  std::memcpy(pointer<std::byte>(to), from, static_cast<u32>(length));
  return 0;
}

u64 xdp_store_bytes(u64 context, u64 offset, u64 from, u64 length, u64, RunContext*) {
  u64 error = 0;
  std::byte* to = packet_at(*pointer<XdpBuff>(context), offset, length, error);
  if (to == nullptr) return error;
  std::memcpy(to, pointer<const std::byte>(from), static_cast<u32>(length));
  return 0;
}

/// bpf_xdp_redirect(): the hook finds the interface; a wrong one is an error there.
u64 redirect(u64 ifindex, u64 flags, u64, u64, u64, RunContext* run) {
  if (flags != 0) return uapi::XDP_ABORTED;
  run->redirect = {static_cast<u32>(ifindex), 0, nullptr, 0};
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
  s64 length = in_out != 0 ? s64{in_out} + device.hard_header_len : xdp.data_end - xdp.data;
  length += as_offset(diff);
  in_out = device.mtu;
  return length > s64{device.mtu} + device.hard_header_len ? frag_needed : success;
}

constexpr HelperRow rows[] = {
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

std::span<const HelperRow> xdp_family() { return rows; }

}  // namespace skep::helpers
