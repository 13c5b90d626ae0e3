// libbpf 1.7's section table (its SEC() conventions are documented in
// Documentation/bpf/libbpf/program_types.rst).
#include "loader/sections.hpp"

namespace skep::loader {

namespace {

using enum ProgType;
using A = AttachType;
constexpr u32 sleepable = uapi::F_SLEEPABLE, frags = uapi::F_XDP_HAS_FRAGS;
constexpr A none{};

constexpr SectionType kSections[] = {
    {"socket", socket_filter, none},
    {"sk_reuseport/migrate", sk_reuseport, A::sk_reuseport_select_or_migrate},
    {"sk_reuseport", sk_reuseport, A::sk_reuseport_select},
    {"kprobe+", kprobe, none},
    {"uprobe+", kprobe, none},
    {"uprobe.s+", kprobe, none, sleepable},
    {"kretprobe+", kprobe, none},
    {"uretprobe+", kprobe, none},
    {"uretprobe.s+", kprobe, none, sleepable},
    {"kprobe.multi+", kprobe, A::trace_kprobe_multi},
    {"kretprobe.multi+", kprobe, A::trace_kprobe_multi},
    {"kprobe.session+", kprobe, A::trace_kprobe_session},
    {"uprobe.multi+", kprobe, A::trace_uprobe_multi},
    {"uretprobe.multi+", kprobe, A::trace_uprobe_multi},
    {"uprobe.session+", kprobe, A::trace_uprobe_session},
    {"uprobe.multi.s+", kprobe, A::trace_uprobe_multi, sleepable},
    {"uretprobe.multi.s+", kprobe, A::trace_uprobe_multi, sleepable},
    {"uprobe.session.s+", kprobe, A::trace_uprobe_session, sleepable},
    {"ksyscall+", kprobe, none},
    {"kretsyscall+", kprobe, none},
    {"usdt+", kprobe, none},
    {"usdt.s+", kprobe, none, sleepable},
    {"tc/ingress", sched_cls, A::tcx_ingress},
    {"tc/egress", sched_cls, A::tcx_egress},
    {"tcx/ingress", sched_cls, A::tcx_ingress},
    {"tcx/egress", sched_cls, A::tcx_egress},
    {"tc", sched_cls, none},
    {"classifier", sched_cls, none},
    {"action", sched_act, none},
    {"netkit/primary", sched_cls, A::netkit_primary},
    {"netkit/peer", sched_cls, A::netkit_peer},
    {"tracepoint+", tracepoint, none},
    {"tp+", tracepoint, none},
    {"raw_tracepoint+", raw_tracepoint, none},
    {"raw_tp+", raw_tracepoint, none},
    {"raw_tracepoint.w+", raw_tracepoint_writable, none},
    {"raw_tp.w+", raw_tracepoint_writable, none},
    {"tp_btf+", tracing, A::trace_raw_tp, 0, true},
    {"fentry+", tracing, A::trace_fentry, 0, true},
    {"fmod_ret+", tracing, A::modify_return, 0, true},
    {"fexit+", tracing, A::trace_fexit, 0, true},
    {"fentry.s+", tracing, A::trace_fentry, sleepable, true},
    {"fmod_ret.s+", tracing, A::modify_return, sleepable, true},
    {"fexit.s+", tracing, A::trace_fexit, sleepable, true},
    {"fsession+", tracing, A{58}, 0, true},  // BPF_TRACE_FSESSION, newer than Linux 6.18
    {"fsession.s+", tracing, A{58}, sleepable, true},
    {"freplace+", ext, none, 0, true},
    {"lsm+", lsm, A::lsm_mac, 0, true},
    {"lsm.s+", lsm, A::lsm_mac, sleepable, true},
    {"lsm_cgroup+", lsm, A::lsm_cgroup, 0, true},
    {"iter+", tracing, A::trace_iter, 0, true},
    {"iter.s+", tracing, A::trace_iter, sleepable, true},
    {"syscall", ProgType::syscall, none, sleepable},
    {"xdp.frags/devmap", xdp, A::xdp_devmap, frags},
    {"xdp/devmap", xdp, A::xdp_devmap},
    {"xdp.frags/cpumap", xdp, A::xdp_cpumap, frags},
    {"xdp/cpumap", xdp, A::xdp_cpumap},
    {"xdp.frags", xdp, A::xdp, frags},
    {"xdp", xdp, A::xdp},
    {"perf_event", perf_event, none},
    {"lwt_in", lwt_in, none},
    {"lwt_out", lwt_out, none},
    {"lwt_xmit", lwt_xmit, none},
    {"lwt_seg6local", lwt_seg6local, none},
    {"sockops", sock_ops, A::cgroup_sock_ops},
    {"sk_skb/stream_parser", sk_skb, A::sk_skb_stream_parser},
    {"sk_skb/stream_verdict", sk_skb, A::sk_skb_stream_verdict},
    {"sk_skb/verdict", sk_skb, A::sk_skb_verdict},
    {"sk_skb", sk_skb, none},
    {"sk_msg", sk_msg, A::sk_msg_verdict},
    {"lirc_mode2", lirc_mode2, A::lirc_mode2},
    {"flow_dissector", flow_dissector, A::flow_dissector},
    {"cgroup_skb/ingress", cgroup_skb, A::cgroup_inet_ingress},
    {"cgroup_skb/egress", cgroup_skb, A::cgroup_inet_egress},
    {"cgroup/skb", cgroup_skb, none},
    {"cgroup/sock_create", cgroup_sock, A::cgroup_inet_sock_create},
    {"cgroup/sock_release", cgroup_sock, A::cgroup_inet_sock_release},
    {"cgroup/sock", cgroup_sock, A::cgroup_inet_sock_create},
    {"cgroup/post_bind4", cgroup_sock, A::cgroup_inet4_post_bind},
    {"cgroup/post_bind6", cgroup_sock, A::cgroup_inet6_post_bind},
    {"cgroup/bind4", cgroup_sock_addr, A::cgroup_inet4_bind},
    {"cgroup/bind6", cgroup_sock_addr, A::cgroup_inet6_bind},
    {"cgroup/connect4", cgroup_sock_addr, A::cgroup_inet4_connect},
    {"cgroup/connect6", cgroup_sock_addr, A::cgroup_inet6_connect},
    {"cgroup/connect_unix", cgroup_sock_addr, A::cgroup_unix_connect},
    {"cgroup/sendmsg4", cgroup_sock_addr, A::cgroup_udp4_sendmsg},
    {"cgroup/sendmsg6", cgroup_sock_addr, A::cgroup_udp6_sendmsg},
    {"cgroup/sendmsg_unix", cgroup_sock_addr, A::cgroup_unix_sendmsg},
    {"cgroup/recvmsg4", cgroup_sock_addr, A::cgroup_udp4_recvmsg},
    {"cgroup/recvmsg6", cgroup_sock_addr, A::cgroup_udp6_recvmsg},
    {"cgroup/recvmsg_unix", cgroup_sock_addr, A::cgroup_unix_recvmsg},
    {"cgroup/getpeername4", cgroup_sock_addr, A::cgroup_inet4_getpeername},
    {"cgroup/getpeername6", cgroup_sock_addr, A::cgroup_inet6_getpeername},
    {"cgroup/getpeername_unix", cgroup_sock_addr, A::cgroup_unix_getpeername},
    {"cgroup/getsockname4", cgroup_sock_addr, A::cgroup_inet4_getsockname},
    {"cgroup/getsockname6", cgroup_sock_addr, A::cgroup_inet6_getsockname},
    {"cgroup/getsockname_unix", cgroup_sock_addr, A::cgroup_unix_getsockname},
    {"cgroup/sysctl", ProgType::cgroup_sysctl, A::cgroup_sysctl},
    {"cgroup/getsockopt", cgroup_sockopt, A::cgroup_getsockopt},
    {"cgroup/setsockopt", cgroup_sockopt, A::cgroup_setsockopt},
    {"cgroup/dev", ProgType::cgroup_device, A::cgroup_device},
    {"struct_ops+", struct_ops, none},
    {"struct_ops.s+", struct_ops, none, sleepable},
    {"sk_lookup", sk_lookup, A::sk_lookup},
    {"netfilter", netfilter, A::netfilter},
};

bool matches(std::string_view row, std::string_view section) {
  if (!row.ends_with('+')) return row == section;
  row.remove_suffix(1);
  return section.starts_with(row) && (section.size() == row.size() || section[row.size()] == '/');
}

}  // namespace

std::span<const SectionType> section_types() { return kSections; }

const SectionType* find_section_type(std::string_view section) {
  for (const SectionType& row : kSections) {
    if (matches(row.name, section)) return &row;
  }
  return nullptr;
}

std::string supported_section_names() {
  std::string text;
  for (const SectionType& row : kSections) {
    text += ' ';
    text += row.name;
  }
  return text;
}

}  // namespace skep::loader
