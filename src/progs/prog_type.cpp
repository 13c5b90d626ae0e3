// The rules behind prog_type.hpp.
#include "progs/prog_type.hpp"

#include "progs/ctx_fields.hpp"

namespace skep::progs {
namespace {

/// Whether the field has the right for this access, which lies inside its run.
bool right_for(const Field& f, u32 off, u32 size, bool write) {
  if (size > f.size) {  // two words at once
    return size == 2 * f.size && (f.rights & (write ? write_pair : read_pair)) != 0;
  }
  if (size == f.size) return (f.rights & (write ? write_whole : read_whole)) != 0;
  if (write) return (f.rights & write_part) != 0;
  if ((f.rights & read_start) != 0 && (off - f.off) % f.size == 0) return true;
  return (f.rights & read_part) != 0;
}

std::optional<CtxAccess> in_fields(std::span<const Field> fields, u32 off, u32 size, bool write,
                                   bool sign_extend) {
  if (off % size != 0) return std::nullopt;
  for (const Field& f : fields) {
    const u32 end = u32{f.off} + u32{f.size} * f.count;
    if (off < f.off || off + size > end || !right_for(f, off, size, write)) continue;
    if (sign_extend && f.kind != CtxKind::scalar) return std::nullopt;
    const bool partial = (f.rights & (read_part | read_start)) != 0 && (f.rights & as_is) == 0;
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
    case ProgType::raw_tracepoint:
      return in_bytes(0, raw_tracepoint_bytes, at, size, write, false);
    case ProgType::raw_tracepoint_writable:
      if (at == 0) {
        if (size != 8 || write) return std::nullopt;
        return CtxAccess{CtxKind::tp_buffer, 0};
      }
      return in_bytes(0, raw_tracepoint_bytes, at, size, write, false);
    case ProgType::kprobe:
      return in_bytes(0, pt_regs_bytes, at, size, write, false);
    case ProgType::tracepoint:
      return in_bytes(8, tracepoint_bytes, at, size, write, false);
    case ProgType::syscall:
      return in_bytes(0, syscall_ctx_bytes, at, size, write, true);
    case ProgType::sk_reuseport:
      if (at >= 20 && at < 24 && size == 1) return std::nullopt;
      break;
    default:
      break;
  }
  return in_fields(ctx_fields(type, attach), at, size, write, sign_extend);
}

bool sock_access(bool common_only, s32 off, u32 size) {
  if (off < 0) return false;
  if (common_only && off >= 8 && off < 24) return false;  // type, protocol, mark, priority
  return in_fields(sock_fields(), static_cast<u32>(off), size, false, false).has_value();
}

bool tcp_sock_access(s32 off, u32 size) {
  constexpr s32 bytes_received = 80, bytes_acked = 88, end = 112;
  if (off < 0 || off >= end || static_cast<u32>(off) % size != 0) return false;
  return size == (off == bytes_received || off == bytes_acked ? 8u : 4u);
}

bool xdp_sock_access(s32 off, u32 size) { return off >= 0 && off < 4 && off % 4 == 0 && size == 4; }

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
    case ProgType::cgroup_sockopt:
      return PacketAccess::read_write;
    default:
      return PacketAccess::none;
  }
}

namespace {

ValueRange sock_addr_range(AttachType attach) {
  switch (attach) {
    case AttachType::cgroup_udp4_recvmsg:
    case AttachType::cgroup_udp6_recvmsg:
    case AttachType::cgroup_unix_recvmsg:
    case AttachType::cgroup_inet4_getpeername:
    case AttachType::cgroup_inet6_getpeername:
    case AttachType::cgroup_unix_getpeername:
    case AttachType::cgroup_inet4_getsockname:
    case AttachType::cgroup_inet6_getsockname:
    case AttachType::cgroup_unix_getsockname:
      return {1, 1};
    case AttachType::cgroup_inet4_bind:
    case AttachType::cgroup_inet6_bind:
      return {0, 3};
    default:
      return {0, 1};
  }
}

std::optional<ValueRange> tracing_range(AttachType attach) {
  switch (attach) {
    case AttachType::trace_fentry:
    case AttachType::trace_fexit:
      return ValueRange{0, 0};
    case AttachType::trace_iter:
      return ValueRange{0, 1};
    default:
      return std::nullopt;
  }
}

}  // namespace

std::optional<ValueRange> return_range(ProgType type, AttachType attach) {
  switch (type) {
    case ProgType::cgroup_sock_addr:
      return sock_addr_range(attach);
    case ProgType::cgroup_skb:
      return ValueRange{0, attach == AttachType::cgroup_inet_egress ? 3 : 1};
    case ProgType::tracing:
      return tracing_range(attach);
    case ProgType::kprobe:
      if (attach == AttachType::trace_kprobe_session || attach == AttachType::trace_uprobe_session)
        return ValueRange{0, 1};
      return std::nullopt;
    case ProgType::cgroup_sock:
    case ProgType::sock_ops:
    case ProgType::cgroup_device:
    case ProgType::cgroup_sysctl:
    case ProgType::cgroup_sockopt:
    case ProgType::sk_lookup:
    case ProgType::netfilter:
      return ValueRange{0, 1};
    default:
      return std::nullopt;
  }
}

AttachType default_attach_type(ProgType type, AttachType attach) {
  if (attach != AttachType{}) return attach;
  if (type == ProgType::cgroup_sock) return AttachType::cgroup_inet_sock_create;
  if (type == ProgType::sk_reuseport) return AttachType::sk_reuseport_select;
  return attach;
}

bool attach_type_fits(ProgType type, AttachType attach) {
  switch (type) {
    case ProgType::cgroup_sock:
      return attach == AttachType::cgroup_inet_sock_create ||
             attach == AttachType::cgroup_inet_sock_release || attach == AttachType::cgroup_inet4_post_bind ||
             attach == AttachType::cgroup_inet6_post_bind;
    case ProgType::cgroup_sock_addr:
      switch (attach) {
        case AttachType::cgroup_inet4_bind:
        case AttachType::cgroup_inet6_bind:
        case AttachType::cgroup_inet4_connect:
        case AttachType::cgroup_inet6_connect:
        case AttachType::cgroup_unix_connect:
        case AttachType::cgroup_udp4_sendmsg:
        case AttachType::cgroup_udp6_sendmsg:
        case AttachType::cgroup_unix_sendmsg:
          return true;
        default:
          return sock_addr_range(attach).min == 1;
      }
    case ProgType::cgroup_skb:
      return attach == AttachType::cgroup_inet_ingress || attach == AttachType::cgroup_inet_egress;
    case ProgType::cgroup_sockopt:
      return attach == AttachType::cgroup_setsockopt || attach == AttachType::cgroup_getsockopt;
    case ProgType::sk_lookup:
      return attach == AttachType::sk_lookup;
    case ProgType::sk_reuseport:
      return attach == AttachType::sk_reuseport_select ||
             attach == AttachType::sk_reuseport_select_or_migrate;
    case ProgType::netfilter:
      return attach == AttachType::netfilter;
    case ProgType::syscall:
    case ProgType::ext:
      return attach == AttachType{};
    default:
      return true;
  }
}

bool supported(ProgType type) {
  switch (type) {
    case ProgType::unspec:
    case ProgType::lirc_mode2:
      return false;
    default:
      return true;
  }
}

}  // namespace skep::progs
