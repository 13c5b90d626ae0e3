// The tables behind ctx_fields.hpp.
#include "progs/ctx_fields.hpp"

namespace skep::progs {
namespace {

constexpr Field xdp_md[] = {
    {0, 4, 1, read_whole, CtxKind::packet},
    {4, 4, 1, read_whole, CtxKind::packet_end},
    {8, 4, 1, read_whole, CtxKind::packet_meta},
    {12, 4, 2, read_whole},  // ingress_ifindex, rx_queue_index
};
constexpr Field xdp_md_devmap[] = {
    {0, 4, 1, read_whole, CtxKind::packet},
    {4, 4, 1, read_whole, CtxKind::packet_end},
    {8, 4, 1, read_whole, CtxKind::packet_meta},
    {12, 4, 3, read_whole},  // and egress_ifindex: programs of devmap entries only
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
constexpr Field skb_lwt[] = {
    {0, 4, 2, r_part},
    {8, 4, 1, rw_word},
    {12, 4, 5, r_part},
    {32, 4, 1, rw_word},
    {36, 4, 3, r_part},
    {48, 4, 5, rw_all},
    {68, 4, 1, r_part},
    {76, 4, 1, read_whole, CtxKind::packet},
    {80, 4, 1, read_whole, CtxKind::packet_end},
    {84, 4, 1, r_part},
    {164, 4, 1, r_part},
    {168, 8, 1, read_whole, CtxKind::sock_common_or_null},
    {176, 4, 1, r_part},
};
constexpr Field skb_sk_skb[] = {
    {0, 4, 2, r_part},
    {12, 4, 5, r_part},
    {32, 4, 1, rw_word},
    {36, 4, 2, r_part},
    {44, 4, 1, rw_word},
    {48, 4, 5, r_part | read_pair | as_is},
    {68, 4, 1, r_part},
    {76, 4, 1, read_whole, CtxKind::packet},
    {80, 4, 1, read_whole, CtxKind::packet_end},
    {84, 4, 2, r_part},
    {92, 4, 10, read_whole},
    {132, 4, 2, r_part},
    {164, 4, 1, r_part},
    {168, 8, 1, read_whole, CtxKind::sock_common_or_null},
    {176, 4, 1, r_part},
};
constexpr Field skb_flow_dissector[] = {
    {76, 4, 1, read_whole, CtxKind::packet},
    {80, 4, 1, read_whole, CtxKind::packet_end},
    {144, 8, 1, read_whole, CtxKind::flow_keys},
};

// struct bpf_sock
constexpr Field bpf_sock[] = {
    {0, 4, 1, read_whole},   // bound_dev_if
    {4, 4, 3, r_start},      // family, type, protocol
    {16, 4, 2, read_whole},  // mark, priority
    {24, 4, 5, r_part},      // src_ip4, src_ip6
    {44, 4, 1, r_start},     // src_port
    {48, 4, 1, read_whole},  // dst_port and its padding
    {48, 2, 1, r_part},      // dst_port
    {52, 4, 5, r_part},      // dst_ip4, dst_ip6
    {72, 4, 2, r_start},     // state, rx_queue_mapping
};
constexpr Field cgroup_sock_create[] = {
    {0, 4, 1, rw_whole}, {4, 4, 3, r_start}, {16, 4, 2, rw_whole}, {48, 4, 1, read_whole},
    {48, 2, 1, r_part},  {52, 4, 5, r_part}, {72, 4, 2, r_start},
};
constexpr Field cgroup_sock_bind4[] = {
    {4, 4, 3, r_start}, {24, 4, 1, r_part}, {44, 4, 1, r_start}, {48, 4, 1, read_whole},
    {48, 2, 1, r_part}, {52, 4, 5, r_part}, {72, 4, 2, r_start},
};
constexpr Field cgroup_sock_bind6[] = {
    {4, 4, 3, r_start}, {28, 4, 4, r_part}, {44, 4, 1, r_start}, {48, 4, 1, read_whole},
    {48, 2, 1, r_part}, {52, 4, 5, r_part}, {72, 4, 2, r_start},
};

// struct bpf_sock_addr: the addresses of the hook's family only
constexpr u8 address = rw_word;
constexpr u8 address6 = rw_word | read_pair | write_pair;
constexpr Field sock_addr4[] = {
    {0, 4, 1, read_whole},
    {4, 4, 1, address},
    {24, 4, 1, address},
    {28, 4, 3, read_whole},
    {64, 8, 1, read_whole, CtxKind::sock},
};
constexpr Field sock_addr4_send[] = {
    {0, 4, 1, read_whole},  {4, 4, 1, address},  {24, 4, 1, address},
    {28, 4, 3, read_whole}, {40, 4, 1, address}, {64, 8, 1, read_whole, CtxKind::sock},
};
constexpr Field sock_addr6[] = {
    {0, 4, 1, read_whole},
    {8, 4, 4, address6},
    {24, 4, 1, address},
    {28, 4, 3, read_whole},
    {64, 8, 1, read_whole, CtxKind::sock},
};
constexpr Field sock_addr6_send[] = {
    {0, 4, 1, read_whole},  {8, 4, 4, address6},  {24, 4, 1, address},
    {28, 4, 3, read_whole}, {44, 4, 4, address6}, {64, 8, 1, read_whole, CtxKind::sock},
};
constexpr Field sock_addr_unix[] = {
    {0, 4, 1, read_whole},
    {24, 4, 1, address},
    {28, 4, 3, read_whole},
    {64, 8, 1, read_whole, CtxKind::sock},
};

// struct bpf_sock_ops
constexpr Field sock_ops[] = {
    {0, 4, 1, read_whole},
    {4, 4, 1, rw_whole},  // reply
    {8, 4, 39, read_whole},
    {164, 4, 1, rw_whole},  // sk_txhash
    {168, 8, 2, read_whole},
    {184, 8, 1, read_whole, CtxKind::sock_or_null},
    {192, 8, 1, read_whole, CtxKind::packet},
    {200, 8, 1, read_whole, CtxKind::packet_end},
    {208, 4, 1, read_whole},
    {212, 4, 1, r_start},     // skb_tcp_flags
    {216, 8, 1, read_whole},  // skb_hwtstamp
};

// struct sk_msg_md
constexpr Field sk_msg[] = {
    {0, 8, 1, read_whole, CtxKind::packet},
    {8, 8, 1, read_whole, CtxKind::packet_end},
    {16, 4, 14, read_whole},
    {72, 8, 1, read_whole, CtxKind::sock},
};

// struct bpf_sockopt
constexpr Field sockopt_set[] = {
    {0, 8, 1, read_whole, CtxKind::sock},
    {8, 8, 1, read_whole, CtxKind::packet},
    {16, 8, 1, read_whole, CtxKind::packet_end},
    {24, 4, 3, rw_whole},  // level, optname, optlen
};
constexpr Field sockopt_get[] = {
    {0, 8, 1, read_whole, CtxKind::sock},
    {8, 8, 1, read_whole, CtxKind::packet},
    {16, 8, 1, read_whole, CtxKind::packet_end},
    {24, 4, 2, read_whole},  // level, optname
    {32, 4, 2, rw_whole},    // optlen, retval
};

constexpr Field cgroup_device[] = {{0, 4, 1, r_part}, {4, 4, 2, read_whole}};
constexpr Field cgroup_sysctl[] = {{0, 4, 1, r_part}, {4, 4, 1, rw_word}};

// struct sk_reuseport_md
constexpr Field sk_reuseport[] = {
    {0, 8, 1, read_whole, CtxKind::packet},
    {8, 8, 1, read_whole, CtxKind::packet_end},
    {16, 4, 1, r_part},
    {20, 4, 1, r_part},  // eth_protocol: no single bytes
    {24, 4, 2, r_part},
    {32, 4, 1, read_whole},  // hash
    {40, 8, 1, read_whole, CtxKind::sock},
    {48, 8, 1, read_whole, CtxKind::sock_common_or_null},
};

// struct bpf_sk_lookup
constexpr Field sk_lookup[] = {
    {0, 8, 1, read_whole, CtxKind::sock_or_null},
    {8, 4, 7, r_part},
    {36, 4, 1, read_whole},  // remote_port with its padding
    {36, 2, 2, r_part},
    {40, 4, 7, r_part},
};

// struct bpf_perf_event_data
constexpr Field perf_event[] = {{0, 8, 21, read_whole}, {168, 8, 2, r_part}};

// struct bpf_nf_ctx
constexpr Field netfilter[] = {
    {0, 8, 1, read_whole, CtxKind::nf_hook_state},
    {8, 8, 1, read_whole, CtxKind::sk_buff},
};

std::span<const Field> cgroup_sock_fields(AttachType attach) {
  switch (attach) {
    case AttachType::cgroup_inet4_post_bind:
      return cgroup_sock_bind4;
    case AttachType::cgroup_inet6_post_bind:
      return cgroup_sock_bind6;
    default:
      return cgroup_sock_create;
  }
}

std::span<const Field> sock_addr_fields(AttachType attach) {
  switch (attach) {
    case AttachType::cgroup_inet4_bind:
    case AttachType::cgroup_inet4_connect:
    case AttachType::cgroup_inet4_getpeername:
    case AttachType::cgroup_inet4_getsockname:
    case AttachType::cgroup_udp4_recvmsg:
      return sock_addr4;
    case AttachType::cgroup_udp4_sendmsg:
      return sock_addr4_send;
    case AttachType::cgroup_inet6_bind:
    case AttachType::cgroup_inet6_connect:
    case AttachType::cgroup_inet6_getpeername:
    case AttachType::cgroup_inet6_getsockname:
    case AttachType::cgroup_udp6_recvmsg:
      return sock_addr6;
    case AttachType::cgroup_udp6_sendmsg:
      return sock_addr6_send;
    default:
      return sock_addr_unix;
  }
}

}  // namespace

std::span<const Field> ctx_fields(ProgType type, AttachType attach) {
  switch (type) {
    case ProgType::xdp:
      if (attach == AttachType::xdp_devmap) return xdp_md_devmap;
      return xdp_md;
    case ProgType::socket_filter:
      return skb_socket_filter;
    case ProgType::sched_cls:
    case ProgType::sched_act:
      return skb_sched_cls;
    case ProgType::cgroup_skb:
      return skb_cgroup;
    case ProgType::lwt_in:
    case ProgType::lwt_out:
    case ProgType::lwt_xmit:
    case ProgType::lwt_seg6local:
      return skb_lwt;
    case ProgType::sk_skb:
      return skb_sk_skb;
    case ProgType::flow_dissector:
      return skb_flow_dissector;
    case ProgType::cgroup_sock:
      return cgroup_sock_fields(attach);
    case ProgType::cgroup_sock_addr:
      return sock_addr_fields(attach);
    case ProgType::cgroup_sockopt:
      if (attach == AttachType::cgroup_setsockopt) return sockopt_set;
      return sockopt_get;
    case ProgType::cgroup_device:
      return cgroup_device;
    case ProgType::cgroup_sysctl:
      return cgroup_sysctl;
    case ProgType::sock_ops:
      return sock_ops;
    case ProgType::sk_msg:
      return sk_msg;
    case ProgType::sk_reuseport:
      return sk_reuseport;
    case ProgType::sk_lookup:
      return sk_lookup;
    case ProgType::perf_event:
      return perf_event;
    case ProgType::netfilter:
      return netfilter;
    default:
      return {};
  }
}

std::span<const Field> sock_fields() { return bpf_sock; }

}  // namespace skep::progs
