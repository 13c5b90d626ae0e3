// Which program types may call which helpers of Linux 6.18: facts of
// the kernel, checked against tests/golden/helpers_by_progtype.json, whether or not skep has the helper.
#include <array>

#include "helpers/families.hpp"
#include "helpers/table.hpp"

namespace skep::helpers {
namespace {

/// Bit i of the words: helper i.
struct Permission {
  ProgType type;
  std::array<u64, 4> helpers;
};

/// Of the types that the goldens do not have, tracing, lsm and struct_ops: what their hooks may call at most.
constexpr std::array<Permission, 30> permissions = {{
    {ProgType::socket_filter,
     {0x0080c4280643d1ee, 0x2d6f260063810010, 0x80779e3176303f7c, 0x00000000000f0ffc}},
    {ProgType::kprobe, {0x008024280a43d1fe, 0x296f260063810008, 0x8073fe307630207c, 0x00000000000f0fec}},
    {ProgType::sched_cls, {0x0085cfeff7ffffee, 0x3d6f7e1fe3f98034, 0x80779e397fb03ffc, 0x00000000000ffffd}},
    {ProgType::sched_act, {0x0085cfeff7ffffee, 0x3d6f7e1fe3f98034, 0x80779e397fb03ffc, 0x00000000000ffffd}},
    {ProgType::tracepoint, {0x008024280a43d1fe, 0x296f260063810008, 0x8073fe307630207c, 0x00000000000f0fec}},
    {ProgType::xdp, {0x00c8142812c3d1ee, 0x296f661863f10022, 0xf0779e3976303f7c, 0x00000000000ffffc}},
    {ProgType::perf_event, {0x018024280a43d1fe, 0x29ef260063810008, 0x8073fe307630207c, 0x00000000000f0fec}},
    {ProgType::cgroup_skb, {0x0080c4280643d1ee, 0x2d6f3e0fe3fb8010, 0x80779e3176303f7f, 0x00000000000f0ffc}},
    {ProgType::cgroup_sock, {0x008044280243d1ee, 0x2d6f2e0063830000, 0x8c739e317630207c, 0x00000000000f0fec}},
    {ProgType::lwt_in, {0x008004ae1743d1ee, 0x296f260063810200, 0x80779e3176303f7c, 0x00000000000f0ffc}},
    {ProgType::lwt_out, {0x008004ae1743d1ee, 0x296f260063810000, 0x80779e3176303f7c, 0x00000000000f0ffc}},
    {ProgType::lwt_xmit, {0x00800fee77f3ffee, 0x296f260063810200, 0x80779e3176303ffc, 0x00000000000f0ffc}},
    {ProgType::sock_ops, {0x0aa244280243d1ee, 0x2d6f3e0163830040, 0x80779e317631ff7c, 0x00000000000f0ffc}},
    {ProgType::sk_skb, {0x0094cce80643d3ee, 0x296f260863f10100, 0x80779e3176303f7c, 0x00000000000f0ffc}},
    {ProgType::cgroup_device,
     {0x008004280243d1ee, 0x296f260063830000, 0x8c739e307630207c, 0x00000000000f0fec}},
    {ProgType::sk_msg, {0xf08004280243d1ee, 0x2d6f3e006f810080, 0x80779e3176303f7c, 0x00000000000f0ffc}},
    {ProgType::raw_tracepoint,
     {0x008024280a43d1fe, 0x296f260063810008, 0x8073fe307630207c, 0x00000000000f0fec}},
    {ProgType::cgroup_sock_addr,
     {0x028244280243d1ee, 0x2d6f3e0863f30001, 0x8c779e3176303f7c, 0x00000000000f0ffc}},
    {ProgType::lwt_seg6local,
     {0x008004ae1743d1ee, 0x296f260063811c00, 0x80779e3176303f7c, 0x00000000000f0ffc}},
    {ProgType::sk_reuseport,
     {0x008044280443d1ee, 0x296f260063850010, 0x80739e317630207c, 0x00000000000f0fec}},
    {ProgType::flow_dissector,
     {0x008004280443d1ee, 0x296f260063810000, 0x80779e3176303f7c, 0x00000000000f0ffc}},
    {ProgType::cgroup_sysctl,
     {0x008004280243d1ee, 0x296f27e063830000, 0x8c739e317630207c, 0x00000000000f0fec}},
    {ProgType::raw_tracepoint_writable,
     {0x008024280a43d1fe, 0x296f260063810008, 0x8073fe307630207c, 0x00000000000f0fec}},
    {ProgType::cgroup_sockopt,
     {0x028204280243d1ee, 0x2d6f3e0163830000, 0x8c739e307630207c, 0x00000000000f0fec}},
    {ProgType::sk_lookup, {0x008004280243d1ee, 0x396f260063c10000, 0x80779e3176303f7c, 0x00000000000f0ffc}},
    {ProgType::syscall, {0x008064280a43d1fe, 0x2b6fbe0063810008, 0x907fbff476383f7c, 0x00000000000f0ffc}},
    {ProgType::tracing, {0x028264280a43d1fe, 0xeb6fbe0063810008, 0x93f7fe3476783f7c, 0x00000000000f0ffc}},
    {ProgType::lsm, {0x028264280a43d1fe, 0x2b6fbe0063830008, 0x9ff7fe36f63e3f7c, 0x00000000000f0ffe}},
    {ProgType::struct_ops, {0x028204280043d1ee, 0x297f3e0063810000, 0x80739e317630207c, 0x00000000000f0fec}},
    {ProgType::netfilter, {0x008004280043d1ee, 0x296f260063810000, 0x80739e307630207c, 0x00000000000f0fec}},
}};

constexpr u32 fn_setsockopt = 49, fn_getsockopt = 57, fn_bind = 64, fn_get_local_storage = 81,
              fn_seq_printf = 126, fn_seq_write = 127, fn_seq_printf_btf = 150, fn_get_attach_cookie = 174,
              fn_get_func_arg = 183, fn_get_func_arg_cnt = 185, fn_get_retval = 186, fn_set_retval = 187;

/// Control group hooks whose result the caller does not see.
bool without_retval(AttachType attach) {
  switch (attach) {
    case AttachType::cgroup_inet_ingress:
    case AttachType::cgroup_inet_egress:
    case AttachType::cgroup_sock_ops:
    case AttachType::cgroup_udp4_recvmsg:
    case AttachType::cgroup_udp6_recvmsg:
    case AttachType::cgroup_unix_recvmsg:
    case AttachType::cgroup_inet4_getpeername:
    case AttachType::cgroup_inet6_getpeername:
    case AttachType::cgroup_unix_getpeername:
    case AttachType::cgroup_inet4_getsockname:
    case AttachType::cgroup_inet6_getsockname:
    case AttachType::cgroup_unix_getsockname:
      return true;
    default:
      return false;
  }
}

bool barred_from_tracing(AttachType attach, u32 id) {
  const bool iterator = attach == AttachType::trace_iter;
  const bool trampoline = !iterator && attach != AttachType::trace_raw_tp;
  switch (id) {
    case fn_seq_printf:
    case fn_seq_write:
    case fn_seq_printf_btf:
    case fn_setsockopt:
    case fn_getsockopt:
      return !iterator;
    case fn_get_attach_cookie:
      return iterator;
    default:
      return id >= fn_get_func_arg && id <= fn_get_func_arg_cnt && !trampoline;
  }
}

/// What the type may call, but not at this hook.
bool barred_at(ProgType type, AttachType attach, u32 id) {
  const bool retval = id == fn_get_retval || id == fn_set_retval;
  const bool sockopt = id == fn_setsockopt || id == fn_getsockopt;
  switch (type) {
    case ProgType::cgroup_sock_addr:
      if (id == fn_bind)
        return attach != AttachType::cgroup_inet4_connect && attach != AttachType::cgroup_inet6_connect;
      return retval && without_retval(attach);
    case ProgType::cgroup_sockopt:
      return (sockopt && attach != AttachType::cgroup_setsockopt) || (retval && without_retval(attach));
    case ProgType::cgroup_device:
    case ProgType::cgroup_sysctl:
    case ProgType::cgroup_sock:
      return retval && without_retval(attach);
    case ProgType::tracing:
      return barred_from_tracing(attach, id);
    case ProgType::lsm:
      if (id == fn_get_attach_cookie || (id >= fn_get_func_arg && id <= fn_get_func_arg_cnt))
        return attach != AttachType::lsm_mac;  // what a trampoline knows
      return (retval || sockopt || id == fn_get_local_storage) && attach != AttachType::lsm_cgroup;
    default:
      return false;
  }
}

}  // namespace

std::string_view name(u32 id) { return id != 0 && id < helper_ids ? helper_name(id) : "unknown"; }

bool allowed(ProgType type, u32 id) {
  if (id >= helper_ids) return false;
  for (const Permission& permission : permissions)
    if (permission.type == type) return (permission.helpers[id / 64] >> (id % 64) & 1) != 0;
  return false;
}

bool allowed(ProgType type, AttachType attach, u32 id) {
  return allowed(type, id) && !barred_at(type, attach, id);
}

}  // namespace skep::helpers
