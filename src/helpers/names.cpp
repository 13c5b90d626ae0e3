// The names of all helpers of Linux 6.18 (enum bpf_func_id), and which program types may call which: facts of
// the kernel, checked against tests/golden/helpers_by_progtype.json, whether or not skep has the helper.
#include <array>

#include "helpers/families.hpp"
#include "helpers/table.hpp"

namespace skep::helpers {
namespace {

constexpr std::array<std::string_view, max_id> names = {
    "bpf_unspec",
    "bpf_map_lookup_elem",
    "bpf_map_update_elem",
    "bpf_map_delete_elem",
    "bpf_probe_read",
    "bpf_ktime_get_ns",
    "bpf_trace_printk",
    "bpf_get_prandom_u32",
    "bpf_get_smp_processor_id",
    "bpf_skb_store_bytes",
    "bpf_l3_csum_replace",
    "bpf_l4_csum_replace",
    "bpf_tail_call",
    "bpf_clone_redirect",
    "bpf_get_current_pid_tgid",
    "bpf_get_current_uid_gid",
    "bpf_get_current_comm",
    "bpf_get_cgroup_classid",
    "bpf_skb_vlan_push",
    "bpf_skb_vlan_pop",
    "bpf_skb_get_tunnel_key",
    "bpf_skb_set_tunnel_key",
    "bpf_perf_event_read",
    "bpf_redirect",
    "bpf_get_route_realm",
    "bpf_perf_event_output",
    "bpf_skb_load_bytes",
    "bpf_get_stackid",
    "bpf_csum_diff",
    "bpf_skb_get_tunnel_opt",
    "bpf_skb_set_tunnel_opt",
    "bpf_skb_change_proto",
    "bpf_skb_change_type",
    "bpf_skb_under_cgroup",
    "bpf_get_hash_recalc",
    "bpf_get_current_task",
    "bpf_probe_write_user",
    "bpf_current_task_under_cgroup",
    "bpf_skb_change_tail",
    "bpf_skb_pull_data",
    "bpf_csum_update",
    "bpf_set_hash_invalid",
    "bpf_get_numa_node_id",
    "bpf_skb_change_head",
    "bpf_xdp_adjust_head",
    "bpf_probe_read_str",
    "bpf_get_socket_cookie",
    "bpf_get_socket_uid",
    "bpf_set_hash",
    "bpf_setsockopt",
    "bpf_skb_adjust_room",
    "bpf_redirect_map",
    "bpf_sk_redirect_map",
    "bpf_sock_map_update",
    "bpf_xdp_adjust_meta",
    "bpf_perf_event_read_value",
    "bpf_perf_prog_read_value",
    "bpf_getsockopt",
    "bpf_override_return",
    "bpf_sock_ops_cb_flags_set",
    "bpf_msg_redirect_map",
    "bpf_msg_apply_bytes",
    "bpf_msg_cork_bytes",
    "bpf_msg_pull_data",
    "bpf_bind",
    "bpf_xdp_adjust_tail",
    "bpf_skb_get_xfrm_state",
    "bpf_get_stack",
    "bpf_skb_load_bytes_relative",
    "bpf_fib_lookup",
    "bpf_sock_hash_update",
    "bpf_msg_redirect_hash",
    "bpf_sk_redirect_hash",
    "bpf_lwt_push_encap",
    "bpf_lwt_seg6_store_bytes",
    "bpf_lwt_seg6_adjust_srh",
    "bpf_lwt_seg6_action",
    "bpf_rc_repeat",
    "bpf_rc_keydown",
    "bpf_skb_cgroup_id",
    "bpf_get_current_cgroup_id",
    "bpf_get_local_storage",
    "bpf_sk_select_reuseport",
    "bpf_skb_ancestor_cgroup_id",
    "bpf_sk_lookup_tcp",
    "bpf_sk_lookup_udp",
    "bpf_sk_release",
    "bpf_map_push_elem",
    "bpf_map_pop_elem",
    "bpf_map_peek_elem",
    "bpf_msg_push_data",
    "bpf_msg_pop_data",
    "bpf_rc_pointer_rel",
    "bpf_spin_lock",
    "bpf_spin_unlock",
    "bpf_sk_fullsock",
    "bpf_tcp_sock",
    "bpf_skb_ecn_set_ce",
    "bpf_get_listener_sock",
    "bpf_skc_lookup_tcp",
    "bpf_tcp_check_syncookie",
    "bpf_sysctl_get_name",
    "bpf_sysctl_get_current_value",
    "bpf_sysctl_get_new_value",
    "bpf_sysctl_set_new_value",
    "bpf_strtol",
    "bpf_strtoul",
    "bpf_sk_storage_get",
    "bpf_sk_storage_delete",
    "bpf_send_signal",
    "bpf_tcp_gen_syncookie",
    "bpf_skb_output",
    "bpf_probe_read_user",
    "bpf_probe_read_kernel",
    "bpf_probe_read_user_str",
    "bpf_probe_read_kernel_str",
    "bpf_tcp_send_ack",
    "bpf_send_signal_thread",
    "bpf_jiffies64",
    "bpf_read_branch_records",
    "bpf_get_ns_current_pid_tgid",
    "bpf_xdp_output",
    "bpf_get_netns_cookie",
    "bpf_get_current_ancestor_cgroup_id",
    "bpf_sk_assign",
    "bpf_ktime_get_boot_ns",
    "bpf_seq_printf",
    "bpf_seq_write",
    "bpf_sk_cgroup_id",
    "bpf_sk_ancestor_cgroup_id",
    "bpf_ringbuf_output",
    "bpf_ringbuf_reserve",
    "bpf_ringbuf_submit",
    "bpf_ringbuf_discard",
    "bpf_ringbuf_query",
    "bpf_csum_level",
    "bpf_skc_to_tcp6_sock",
    "bpf_skc_to_tcp_sock",
    "bpf_skc_to_tcp_timewait_sock",
    "bpf_skc_to_tcp_request_sock",
    "bpf_skc_to_udp6_sock",
    "bpf_get_task_stack",
    "bpf_load_hdr_opt",
    "bpf_store_hdr_opt",
    "bpf_reserve_hdr_opt",
    "bpf_inode_storage_get",
    "bpf_inode_storage_delete",
    "bpf_d_path",
    "bpf_copy_from_user",
    "bpf_snprintf_btf",
    "bpf_seq_printf_btf",
    "bpf_skb_cgroup_classid",
    "bpf_redirect_neigh",
    "bpf_per_cpu_ptr",
    "bpf_this_cpu_ptr",
    "bpf_redirect_peer",
    "bpf_task_storage_get",
    "bpf_task_storage_delete",
    "bpf_get_current_task_btf",
    "bpf_bprm_opts_set",
    "bpf_ktime_get_coarse_ns",
    "bpf_ima_inode_hash",
    "bpf_sock_from_file",
    "bpf_check_mtu",
    "bpf_for_each_map_elem",
    "bpf_snprintf",
    "bpf_sys_bpf",
    "bpf_btf_find_by_name_kind",
    "bpf_sys_close",
    "bpf_timer_init",
    "bpf_timer_set_callback",
    "bpf_timer_start",
    "bpf_timer_cancel",
    "bpf_get_func_ip",
    "bpf_get_attach_cookie",
    "bpf_task_pt_regs",
    "bpf_get_branch_snapshot",
    "bpf_trace_vprintk",
    "bpf_skc_to_unix_sock",
    "bpf_kallsyms_lookup_name",
    "bpf_find_vma",
    "bpf_loop",
    "bpf_strncmp",
    "bpf_get_func_arg",
    "bpf_get_func_ret",
    "bpf_get_func_arg_cnt",
    "bpf_get_retval",
    "bpf_set_retval",
    "bpf_xdp_get_buff_len",
    "bpf_xdp_load_bytes",
    "bpf_xdp_store_bytes",
    "bpf_copy_from_user_task",
    "bpf_skb_set_tstamp",
    "bpf_ima_file_hash",
    "bpf_kptr_xchg",
    "bpf_map_lookup_percpu_elem",
    "bpf_skc_to_mptcp_sock",
    "bpf_dynptr_from_mem",
    "bpf_ringbuf_reserve_dynptr",
    "bpf_ringbuf_submit_dynptr",
    "bpf_ringbuf_discard_dynptr",
    "bpf_dynptr_read",
    "bpf_dynptr_write",
    "bpf_dynptr_data",
    "bpf_tcp_raw_gen_syncookie_ipv4",
    "bpf_tcp_raw_gen_syncookie_ipv6",
    "bpf_tcp_raw_check_syncookie_ipv4",
    "bpf_tcp_raw_check_syncookie_ipv6",
    "bpf_ktime_get_tai_ns",
    "bpf_user_ringbuf_drain",
    "bpf_cgrp_storage_get",
    "bpf_cgrp_storage_delete",
};

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
    {ProgType::struct_ops, {0x028204280043d1ee, 0x296f3e0063810000, 0x80739e307630207c, 0x00000000000f0fec}},
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
      return (retval || sockopt || id == fn_get_local_storage) && attach != AttachType::lsm_cgroup;
    default:
      return false;
  }
}

}  // namespace

std::string_view name(u32 id) { return id != 0 && id < names.size() ? names[id] : "unknown"; }

bool allowed(ProgType type, u32 id) {
  if (id >= names.size()) return false;
  for (const Permission& permission : permissions)
    if (permission.type == type) return (permission.helpers[id / 64] >> (id % 64) & 1) != 0;
  return false;
}

bool allowed(ProgType type, AttachType attach, u32 id) {
  return allowed(type, id) && !barred_at(type, attach, id);
}

}  // namespace skep::helpers
