// Accesses through the context pointer. Programs see the user API's structures (xdp_md); what runs works on
// the kernel's (xdp_buff), whose layout progs/xdp_buff.hpp keeps.
#include <fmt/format.h>

#include <cerrno>

#include "fixup/rewrite.hpp"
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

Patch convert_xdp(const isa::Insn& insn) {
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

Result<Patch> convert_context_access(ProgType type, const isa::Insn& insn) {
  switch (type) {
    case ProgType::kprobe:
    case ProgType::tracepoint:
    case ProgType::raw_tracepoint:
    case ProgType::raw_tracepoint_writable:
    case ProgType::syscall:
      return Patch{insn};  // these contexts are what they seem
    case ProgType::xdp: {
      const bool is_load = insn.code == (isa::op::LDX | isa::op::MEM | isa::op::W);
      if (Patch patch = is_load ? convert_xdp(insn) : Patch{}; !patch.empty()) return patch;
      break;
    }
    default:
      break;
  }
  return fail(EOPNOTSUPP,
              fmt::format("no rewriting for this context access of {} programs (opcode {:#x}, offset {})",
                          prog_type_name(type), insn.code, insn.off));
}

}  // namespace skep::fixup
