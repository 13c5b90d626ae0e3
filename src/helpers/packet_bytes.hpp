// Bytes of a packet by offset and length, as helpers and dynptrs read and write them. Results are the
// helpers': 0 or a negative errno.
#pragma once
#include "helpers/skb.hpp"
#include "progs/xdp_buff.hpp"

namespace skep::helpers {

/// __bpf_skb_load_bytes(): EFAULT, and zeroes, for bytes that are not there.
u64 skb_read(const Skb& skb, u32 offset, std::byte* to, u32 len);
/// __bpf_skb_store_bytes(); `flags`: BPF_F_RECOMPUTE_CSUM, BPF_F_INVALIDATE_HASH. EINVAL, EFAULT.
u64 skb_write(Skb& skb, u32 offset, const std::byte* from, u32 len, u64 flags);

/// xdp_get_buff_len(): the linear part and the fragments.
[[nodiscard]] u32 xdp_len(const progs::XdpBuff& xdp);
/// __bpf_xdp_load_bytes(), __bpf_xdp_store_bytes(): EFAULT for numbers over 65535, EINVAL beyond the packet.
u64 xdp_read(const progs::XdpBuff& xdp, u32 offset, std::byte* to, u32 len);
u64 xdp_write(const progs::XdpBuff& xdp, u32 offset, std::byte* from, u32 len);
/// bpf_xdp_pull_data(): the first `len` bytes become one piece, of the fragments' bytes and the room around
/// the linear part. EINVAL: the packet or the room is too small.
u64 xdp_pull(progs::XdpBuff& xdp, u32 len);
/// bpf_xdp_pointer(): where the bytes are if they are in one piece; else nullptr.
[[nodiscard]] std::byte* xdp_pointer(const progs::XdpBuff& xdp, u32 offset, u32 len);

}  // namespace skep::helpers
