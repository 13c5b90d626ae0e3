// The fields of the kernel's structs that programs may read by their BTF and that skep keeps: by name, so
// that they are found wherever the kernel whose types a program was loaded with has them.
#pragma once
#include <string_view>

#include "progs/net_device.hpp"
#include "progs/nf_conn.hpp"
#include "progs/nf_hook.hpp"
#include "progs/sk_buff.hpp"
#include "progs/xdp_buff.hpp"
#include "progs/xfrm_state.hpp"

namespace skep::progs {

/// A member of `structure`, through nested ones with dots ("ns.inum"); anonymous ones have no name. It
/// stands at `offset` of the object here, and is as large there.
struct KernelFieldRow {
  std::string_view structure;
  std::string_view path;
  u16 offset;
  u16 size;
};

inline constexpr KernelFieldRow kernel_field_rows[] = {
    {"sock_common", "skc_daddr", offsetof(Sock, daddr), 4},
    {"sock_common", "skc_rcv_saddr", offsetof(Sock, rcv_saddr), 4},
    {"sock_common", "skc_addrpair", offsetof(Sock, daddr), 8},
    {"sock_common", "skc_dport", offsetof(Sock, dport), 2},
    {"sock_common", "skc_num", offsetof(Sock, num), 2},
    {"sock_common", "skc_portpair", offsetof(Sock, dport), 4},
    {"sock_common", "skc_family", offsetof(Sock, family), 2},
    {"sock_common", "skc_state", offsetof(Sock, state), 1},
    {"sock_common", "skc_bound_dev_if", offsetof(Sock, bound_dev_if), 4},
    {"sock_common", "skc_v6_daddr", offsetof(Sock, v6_daddr), 16},
    {"sock_common", "skc_v6_rcv_saddr", offsetof(Sock, v6_rcv_saddr), 16},
    {"sock_common", "skc_cookie", offsetof(Sock, cookie), 8},
    {"sock", "sk_priority", offsetof(Sock, priority), 4},
    {"sock", "sk_mark", offsetof(Sock, mark), 4},
    {"sock", "sk_uid", offsetof(Sock, uid), 4},
    {"sock", "sk_protocol", offsetof(Sock, protocol), 2},
    {"sock", "sk_type", offsetof(Sock, type), 2},
    {"tcp_sock", "snd_cwnd", tcp_kernel_offset(0), 4},
    {"tcp_sock", "srtt_us", tcp_kernel_offset(4), 4},
    {"tcp_sock", "snd_ssthresh", tcp_kernel_offset(12), 4},
    {"tcp_sock", "mss_cache", tcp_kernel_offset(28), 4},
    {"tcp_sock", "packets_out", tcp_kernel_offset(44), 4},
    {"tcp_sock", "retrans_out", tcp_kernel_offset(48), 4},
    {"tcp_sock", "total_retrans", tcp_kernel_offset(52), 4},
    {"tcp_sock", "segs_in", tcp_kernel_offset(56), 4},
    {"tcp_sock", "data_segs_in", tcp_kernel_offset(60), 4},
    {"tcp_sock", "segs_out", tcp_kernel_offset(64), 4},
    {"tcp_sock", "data_segs_out", tcp_kernel_offset(68), 4},
    {"tcp_sock", "lost_out", tcp_kernel_offset(72), 4},
    {"tcp_sock", "sacked_out", tcp_kernel_offset(76), 4},
    {"tcp_sock", "bytes_received", tcp_kernel_offset(80), 8},
    {"tcp_sock", "bytes_acked", tcp_kernel_offset(88), 8},
    {"tcp_sock", "dsack_dups", tcp_kernel_offset(96), 4},
    {"tcp_sock", "delivered", tcp_kernel_offset(100), 4},
    {"tcp_sock", "delivered_ce", tcp_kernel_offset(104), 4},
    {"tcp_sock", "lsndtime", TcpSock::lsndtime_offset, 4},
    {"net_device", "mtu", offsetof(NetDevice, mtu), 4},
    {"net_device", "flags", offsetof(NetDevice, flags), 4},
    {"net_device", "hard_header_len", offsetof(NetDevice, hard_header_len), 2},
    {"net_device", "ifindex", offsetof(NetDevice, ifindex), 4},
    {"net_device", "nd_net", offsetof(NetDevice, net), 8},
    {"net_device", "name", offsetof(NetDevice, name), 16},
    {"net_device", "dev_addr", offsetof(NetDevice, dev_addr), 8},
    {"net", "ns.inum", offsetof(Net, inum), 4},
    {"net", "net_cookie", offsetof(Net, cookie), 8},
    {"xdp_buff", "data", offsetof(XdpBuff, data), 8},
    {"xdp_buff", "data_end", offsetof(XdpBuff, data_end), 8},
    {"xdp_buff", "data_meta", offsetof(XdpBuff, data_meta), 8},
    {"xdp_buff", "data_hard_start", offsetof(XdpBuff, data_hard_start), 8},
    {"xdp_buff", "rxq", offsetof(XdpBuff, rxq), 8},
    {"xdp_buff", "txq", offsetof(XdpBuff, txq), 8},
    {"xdp_buff", "frame_sz", offsetof(XdpBuff, frame_sz), 4},
    {"xdp_buff", "flags", offsetof(XdpBuff, flags), 4},
    {"xdp_rxq_info", "dev", offsetof(XdpRxqInfo, dev), 8},
    {"xdp_rxq_info", "queue_index", offsetof(XdpRxqInfo, queue_index), 4},
    {"xdp_txq_info", "dev", offsetof(XdpTxqInfo, dev), 8},
    {"skb_shared_info", "meta_len", offsetof(SkbSharedInfo, meta_len), 1},
    {"skb_shared_info", "nr_frags", offsetof(SkbSharedInfo, nr_frags), 1},
    {"skb_shared_info", "gso_size", offsetof(SkbSharedInfo, gso_size), 2},
    {"skb_shared_info", "gso_segs", offsetof(SkbSharedInfo, gso_segs), 2},
    {"skb_shared_info", "gso_type", offsetof(SkbSharedInfo, gso_type), 4},
    {"skb_shared_info", "frag_list", offsetof(SkbSharedInfo, frag_list), 8},
    {"nf_conn", "timeout", offsetof(NfConn, timeout), 4},
    {"nf_conn", "zone.id", offsetof(NfConn, zone_id), 2},
    {"nf_conn", "zone.dir", offsetof(NfConn, zone_dir), 1},
    {"nf_conn", "tuplehash", offsetof(NfConn, tuplehash), 112},
    {"nf_conn", "status", offsetof(NfConn, status), 8},
    {"nf_conn", "mark", offsetof(NfConn, mark), 4},
    {"nf_conn", "secmark", offsetof(NfConn, secmark), 4},
    {"nf_conntrack_tuple_hash", "tuple", offsetof(NfTupleHash, tuple), 40},
    {"nf_conntrack_tuple", "src", 0, 20},
    {"nf_conntrack_tuple", "dst", 20, 20},
    {"nf_hook_state", "hook", offsetof(NfHookState, hook), 1},
    {"nf_hook_state", "pf", offsetof(NfHookState, pf), 1},
    {"nf_hook_state", "in", offsetof(NfHookState, in), 8},
    {"nf_hook_state", "out", offsetof(NfHookState, out), 8},
    {"nf_hook_state", "sk", offsetof(NfHookState, sk), 8},
    {"nf_hook_state", "net", offsetof(NfHookState, net), 8},
    {"xfrm_state", "id.daddr", offsetof(XfrmState, daddr), 16},
    {"xfrm_state", "id.spi", offsetof(XfrmState, spi), 4},
    {"xfrm_state", "id.proto", offsetof(XfrmState, proto), 1},
    {"xfrm_state", "props.saddr", offsetof(XfrmState, saddr), 16},
    {"xfrm_state", "props.reqid", offsetof(XfrmState, reqid), 4},
    {"xfrm_state", "props.mode", offsetof(XfrmState, mode), 1},
    {"xfrm_state", "props.replay_window", offsetof(XfrmState, replay_window), 1},
    {"xfrm_state", "props.flags", offsetof(XfrmState, flags), 1},
    {"xfrm_state", "props.family", offsetof(XfrmState, family), 2},
    {"xfrm_state", "mark.v", offsetof(XfrmState, mark_value), 4},
    {"xfrm_state", "mark.m", offsetof(XfrmState, mark_mask), 4},
    {"xfrm_state", "if_id", offsetof(XfrmState, if_id), 4},
    {"xfrm_state", "replay", offsetof(XfrmState, oseq), 12},
    {"xfrm_state", "replay_esn", offsetof(XfrmState, replay_esn), 8},
    {"xfrm_state", "curlft", offsetof(XfrmState, curlft), 32},
    {"xfrm_state", "stats", offsetof(XfrmState, stats), 12},
    {"xfrm_replay_state_esn", "bmp_len", offsetof(XfrmReplayEsn, bmp_len), 4},
    {"xfrm_replay_state_esn", "oseq", offsetof(XfrmReplayEsn, oseq), 4},
    {"xfrm_replay_state_esn", "seq", offsetof(XfrmReplayEsn, seq), 4},
    {"xfrm_replay_state_esn", "oseq_hi", offsetof(XfrmReplayEsn, oseq_hi), 4},
    {"xfrm_replay_state_esn", "seq_hi", offsetof(XfrmReplayEsn, seq_hi), 4},
    {"xfrm_replay_state_esn", "replay_window", offsetof(XfrmReplayEsn, replay_window), 4},
    {"prog_test_ref_kfunc", "a", 0, 4},
    {"prog_test_ref_kfunc", "b", 4, 4},
    {"prog_test_ref_kfunc", "cnt", 24, 4},
};

}  // namespace skep::progs
