// What the packet loads of classic BPF, ld_abs and ld_ind, become (kernel: bpf_skb_load_helper_8_no_cache()
// and the like of net/core/filter.c): the bytes in host order, or a negative errno.
#include <cerrno>

#include "helpers/families.hpp"
#include "helpers/internal.hpp"
#include "helpers/skb.hpp"

namespace skep::helpers {
namespace {

using progs::SkBuff;

constexpr s32 net_off = -0x100000, ll_off = -0x200000;  // SKF_NET_OFF, SKF_LL_OFF

/// bpf_internal_load_pointer_neg_helper() and skb_header_pointer(): `size` bytes at `offset`, or nullptr.
const std::byte* load_pointer(const SkBuff& skb, s32 offset, u32 size) {
  s64 at = offset;  // from skb->data
  if (offset < 0) {
    const s64 headroom = skb_headroom(skb);
    if (offset >= net_off)
      at = s64{skb.network_header} - headroom + (offset - net_off);
    else if (offset >= ll_off && skb_mac_header_set(skb))
      at = s64{skb.mac_header} - headroom + (offset - ll_off);
    else
      return nullptr;
    if (at < -headroom) return nullptr;
  }
  return at + size <= s64{skb.len} ? skb.data + at : nullptr;
}

}  // namespace

u64 skb_load_8(u64 context, u64 offset, u64, u64, u64, RunContext*) {
  const std::byte* at = load_pointer(skb_of(context).buf, static_cast<s32>(offset), 1);
  return at != nullptr ? static_cast<u64>(*at) : error_result(EFAULT);
}
u64 skb_load_16(u64 context, u64 offset, u64, u64, u64, RunContext*) {
  const std::byte* at = load_pointer(skb_of(context).buf, static_cast<s32>(offset), 2);
  return at != nullptr ? u64{__builtin_bswap16(load<u16>(at))} : error_result(EFAULT);
}
u64 skb_load_32(u64 context, u64 offset, u64, u64, u64, RunContext*) {
  const std::byte* at = load_pointer(skb_of(context).buf, static_cast<s32>(offset), 4);
  return at != nullptr ? u64{__builtin_bswap32(load<u32>(at))} : error_result(EFAULT);
}

}  // namespace skep::helpers
