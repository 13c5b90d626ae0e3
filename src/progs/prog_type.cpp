// The tables behind prog_type.hpp.
#include "progs/prog_type.hpp"

#include <array>
#include <span>

namespace skep::progs {
namespace {

/// How a field may be accessed: whole or in part, read or written.
enum Right : u8 { read_whole = 1, read_part = 2, write_whole = 4, write_part = 8, dwords = 16 };

struct Field {
  u16 off;
  u16 size;  ///< of one field; a run of `count` of them
  u16 count;
  u8 rights;
  CtxKind kind = CtxKind::scalar;
};

constexpr u8 r_part = read_whole | read_part;
constexpr u8 rw_word = r_part | write_whole;
constexpr u8 rw_all = r_part | write_whole | write_part | dwords;

constexpr Field xdp_md[] = {
    {0, 4, 1, read_whole, CtxKind::packet},
    {4, 4, 1, read_whole, CtxKind::packet_end},
    {8, 4, 1, read_whole, CtxKind::packet_meta},
    {12, 4, 2, read_whole},  // ingress_ifindex, rx_queue_index
    {20, 4, 1, read_whole},  // egress_ifindex: programs of devmap entries only
};

// struct __sk_buff
constexpr Field skb_socket_filter[] = {
    {0, 4, 12, r_part},  {48, 4, 5, rw_all},  {68, 4, 1, r_part},
    {84, 4, 1, r_part},  {164, 4, 1, r_part}, {168, 8, 1, read_whole, CtxKind::sock_common_or_null},
    {176, 4, 1, r_part},
};
constexpr Field skb_sched_cls[] = {
    {0, 4, 2, r_part},    // len, pkt_type
    {8, 4, 1, rw_word},   // mark
    {12, 4, 1, rw_word},  // queue_mapping
    {16, 4, 4, r_part},   // protocol, vlan_present, vlan_tci, vlan_proto
    {32, 4, 1, rw_word},  // priority
    {36, 4, 2, r_part},   // ingress_ifindex, ifindex
    {44, 4, 1, rw_word},  // tc_index
    {48, 4, 5, rw_all},   // cb
    {68, 4, 1, r_part},   // hash
    {72, 4, 1, rw_word},  // tc_classid
    {76, 4, 1, read_whole, CtxKind::packet},
    {80, 4, 1, read_whole, CtxKind::packet_end},
    {84, 4, 1, r_part},  // napi_id
    {140, 4, 1, read_whole, CtxKind::packet_meta},
    {152, 8, 1, read_whole | write_whole},  // tstamp
    {160, 4, 2, r_part},                    // wire_len, gso_segs
    {168, 8, 1, read_whole, CtxKind::sock_common_or_null},
    {176, 4, 1, r_part},      // gso_size
    {180, 1, 1, read_whole},  // tstamp_type
    {184, 8, 1, read_whole},  // hwtstamp
};
constexpr Field skb_cgroup[] = {
    {0, 4, 2, r_part},
    {8, 4, 1, rw_word},
    {12, 4, 5, r_part},
    {32, 4, 1, rw_word},
    {36, 4, 3, r_part},
    {48, 4, 5, rw_all},
    {68, 4, 1, r_part},
    {76, 4, 1, read_whole, CtxKind::packet},
    {80, 4, 1, read_whole, CtxKind::packet_end},
    {84, 4, 2, r_part},       // napi_id, family
    {92, 4, 10, read_whole},  // addresses
    {132, 4, 2, r_part},      // ports
    {152, 8, 1, read_whole | write_whole},
    {164, 4, 1, r_part},
    {168, 8, 1, read_whole, CtxKind::sock_common_or_null},
    {176, 4, 1, r_part},
    {184, 8, 1, read_whole},
};

std::optional<CtxAccess> in_fields(std::span<const Field> fields, u32 off, u32 size, bool write,
                                   bool sign_extend) {
  for (const Field& f : fields) {
    const u32 end = u32{f.off} + u32{f.size} * f.count;
    if (off < f.off || off + size > end) continue;
    if (off % size != 0) return std::nullopt;
    u8 right;
    if (size == 8 && f.size == 4) {  // two words at once
      right = dwords;
      if (off % 8 != 0) return std::nullopt;
    } else if (size == f.size) {
      right = write ? write_whole : read_whole;
    } else {
      right = write ? write_part : read_part;
    }
    if ((f.rights & right) == 0 || (sign_extend && f.kind != CtxKind::scalar)) return std::nullopt;
    const bool partial = (f.rights & read_part) != 0 && (f.rights & write_part) == 0;
    return CtxAccess{f.kind, partial ? u32{f.size} : 0};
  }
  return std::nullopt;
}

/// A context that is an array of bytes: any aligned access below `end`.
std::optional<CtxAccess> in_bytes(u32 begin, u32 end, u32 off, u32 size, bool write, bool writable) {
  if (off < begin || off + size > end || off % size != 0 || (write && !writable)) return std::nullopt;
  return CtxAccess{};
}

constexpr u32 raw_tracepoint_bytes = 12 * 8;  // MAX_BPF_FUNC_ARGS words
constexpr u32 pt_regs_bytes = 168;
constexpr u32 tracepoint_bytes = 2048;  // PERF_MAX_TRACE_SIZE
constexpr u32 syscall_ctx_bytes = 65535;

}  // namespace

std::optional<CtxAccess> ctx_access(ProgType type, AttachType attach, s32 off, u32 size, bool write,
                                    bool sign_extend) {
  if (off < 0) return std::nullopt;
  const u32 at = static_cast<u32>(off);
  switch (type) {
    case ProgType::xdp:
      if (at >= 20 && attach != AttachType::xdp_devmap) return std::nullopt;
      return in_fields(xdp_md, at, size, write, sign_extend);
    case ProgType::socket_filter:
      return in_fields(skb_socket_filter, at, size, write, sign_extend);
    case ProgType::sched_cls:
    case ProgType::sched_act:
      return in_fields(skb_sched_cls, at, size, write, sign_extend);
    case ProgType::cgroup_skb:
      return in_fields(skb_cgroup, at, size, write, sign_extend);
    case ProgType::raw_tracepoint:
      return in_bytes(0, raw_tracepoint_bytes, at, size, write, false);
    case ProgType::kprobe:
      return in_bytes(0, pt_regs_bytes, at, size, write, false);
    case ProgType::tracepoint:
      return in_bytes(8, tracepoint_bytes, at, size, write, false);
    case ProgType::syscall:
      return in_bytes(0, syscall_ctx_bytes, at, size, write, true);
    default:
      return std::nullopt;
  }
}

bool sock_access(bool common_only, s32 off, u32 size) {
  constexpr Field bpf_sock[] = {
      {0, 4, 1, read_whole},   // bound_dev_if
      {4, 4, 3, r_part},       // family, type, protocol
      {16, 4, 2, read_whole},  // mark, priority
      {24, 4, 5, r_part},      // src_ip4, src_ip6
      {44, 4, 1, r_part},      // src_port
      {48, 4, 1, r_part},      // dst_port and padding
      {52, 4, 7, r_part},      // dst_ip4, dst_ip6, state, rx_queue_mapping
  };
  if (off < 0) return false;
  if (common_only && off >= 8 && off < 24) return false;  // type, protocol, mark, priority
  return in_fields(bpf_sock, static_cast<u32>(off), size, false, false).has_value();
}

PacketAccess packet_access(ProgType type) {
  switch (type) {
    case ProgType::lwt_in:
    case ProgType::lwt_out:
    case ProgType::lwt_seg6local:
    case ProgType::sk_reuseport:
    case ProgType::flow_dissector:
    case ProgType::cgroup_skb:
      return PacketAccess::read;
    case ProgType::sched_cls:
    case ProgType::sched_act:
    case ProgType::xdp:
    case ProgType::lwt_xmit:
    case ProgType::sk_skb:
    case ProgType::sk_msg:
      return PacketAccess::read_write;
    default:
      return PacketAccess::none;
  }
}

std::optional<ValueRange> return_range(ProgType type, AttachType attach) {
  switch (type) {
    case ProgType::cgroup_skb:
      return ValueRange{0, attach == AttachType::cgroup_inet_egress ? 3 : 1};
    case ProgType::cgroup_sock:
    case ProgType::sock_ops:
    case ProgType::cgroup_device:
    case ProgType::cgroup_sysctl:
    case ProgType::cgroup_sockopt:
    case ProgType::cgroup_sock_addr:
    case ProgType::sk_lookup:
    case ProgType::netfilter:
      return ValueRange{0, 1};
    default:
      return std::nullopt;
  }
}

bool supported(ProgType type) {
  switch (type) {
    case ProgType::xdp:
    case ProgType::socket_filter:
    case ProgType::sched_cls:
    case ProgType::sched_act:
    case ProgType::cgroup_skb:
    case ProgType::raw_tracepoint:
    case ProgType::kprobe:
    case ProgType::tracepoint:
    case ProgType::syscall:
      return true;
    default:
      return false;
  }
}

}  // namespace skep::progs
