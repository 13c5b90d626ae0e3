// struct xdp_md to struct xdp_buff (kernel: xdp_convert_ctx_access()).
#include "fixup/access.hpp"
#include "progs/xdp_buff.hpp"

namespace skep::fixup {
namespace {

template <class T>
constexpr s16 offset(T value) {
  return static_cast<s16>(value);
}

/// Offsets in struct xdp_md (uapi/linux/bpf.h).
enum XdpMd : s16 {
  md_data = 0,
  md_data_end = 4,
  md_data_meta = 8,
  md_ingress_ifindex = 12,
  md_rx_queue_index = 16,
  md_egress_ifindex = 20
};

Patch convert(const isa::Insn& insn) {
  using namespace progs;
  const u8 dst = insn.dst;
  const u8 src = insn.src;
  switch (insn.off) {
    case md_data:
      return {load_u64(dst, src, offset(offsetof(XdpBuff, data)))};
    case md_data_end:
      return {load_u64(dst, src, offset(offsetof(XdpBuff, data_end)))};
    case md_data_meta:
      return {load_u64(dst, src, offset(offsetof(XdpBuff, data_meta)))};
    case md_ingress_ifindex:
      return {load_u64(dst, src, offset(offsetof(XdpBuff, rxq))),
              load_u64(dst, dst, offset(offsetof(XdpRxqInfo, dev))),
              load_u32(dst, dst, offset(offsetof(NetDevice, ifindex)))};
    case md_rx_queue_index:
      return {load_u64(dst, src, offset(offsetof(XdpBuff, rxq))),
              load_u32(dst, dst, offset(offsetof(XdpRxqInfo, queue_index)))};
    case md_egress_ifindex:
      return {load_u64(dst, src, offset(offsetof(XdpBuff, txq))),
              load_u64(dst, dst, offset(offsetof(XdpTxqInfo, dev))),
              load_u32(dst, dst, offset(offsetof(NetDevice, ifindex)))};
    default:
      return {};
  }
}

}  // namespace

Converted convert_xdp_md(const isa::Insn& insn) {
  const bool is_load = insn.code == (isa::op::LDX | isa::op::MEM | isa::op::W);
  return {is_load ? convert(insn) : Patch{}, 4};
}

}  // namespace skep::fixup
