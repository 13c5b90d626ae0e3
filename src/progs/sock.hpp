// A socket as rewritten code sees it: struct sock and struct tcp_sock with the fields that struct bpf_sock
// and bpf_tcp_sock show, at the kernel's offsets (Linux 6.18, x86-64). Addresses and dport are in network
// order.
#pragma once
#include <array>
#include <cstddef>
#include <cstring>

#include "base/types.hpp"

namespace skep::progs {

inline constexpr u16 no_queue_mapping = 0xffff;  ///< NO_QUEUE_MAPPING

struct Sock {
  u32 daddr = 0;  // struct sock_common
  u32 rcv_saddr = 0;
  u32 hash = 0;
  u16 dport = 0;
  u16 num = 0;  ///< the local port, host order
  u16 family = 0;
  u8 state = 0;
  u8 reuse = 0;
  u32 bound_dev_if = 0;
  u8 pad24[32] = {};
  std::array<u32, 4> v6_daddr{};
  std::array<u32, 4> v6_rcv_saddr{};
  u64 cookie = 0;
  u8 pad96[26] = {};
  u16 rx_queue_mapping = no_queue_mapping;
  u8 pad124[4] = {};
  u32 refcount = 1;
  u8 pad132[388] = {};
  u32 priority = 0;  // struct sock
  u32 mark = 0;
  u32 uid = 0;
  u16 protocol = 0;
  u16 type = 0;
  u8 pad536[200] = {};
  void* bpf_storage = nullptr;  ///< what programs have stored with it: helpers::SocketStorage
  u8 pad744[40] = {};
};
static_assert(offsetof(Sock, family) == 16 && offsetof(Sock, state) == 18 &&
              offsetof(Sock, bound_dev_if) == 20);
static_assert(offsetof(Sock, v6_daddr) == 56 && offsetof(Sock, v6_rcv_saddr) == 72);
static_assert(offsetof(Sock, cookie) == 88 && offsetof(Sock, rx_queue_mapping) == 122);
static_assert(offsetof(Sock, refcount) == 128 && offsetof(Sock, priority) == 520);
static_assert(offsetof(Sock, bpf_storage) == 736);
static_assert(offsetof(Sock, protocol) == 532 && offsetof(Sock, type) == 534 && sizeof(Sock) == 784);

/// struct tcp_sock: what struct bpf_tcp_sock shows stands somewhere in `rest` (tcp_sock_fields).
struct TcpSock {
  static constexpr u16 lsndtime_offset = 1584;
  Sock sock{};
  std::array<u8, 2304 - sizeof(Sock)> rest{};
  /// The field at that offset of the kernel's struct.
  template <class T>
  void set(u16 offset, T value) {
    std::memcpy(rest.data() + offset - sizeof(Sock), &value, sizeof value);
  }
};
static_assert(sizeof(TcpSock) == 2304);

/// Where a field of struct bpf_tcp_sock is in struct tcp_sock, and its size there.
struct TcpSockField {
  u16 user_off;
  u16 kernel_off;
  u8 kernel_size;
};
inline constexpr TcpSockField tcp_sock_fields[] = {
    {0, 1444, 4},    // snd_cwnd
    {4, 1680, 4},    // srtt_us
    {8, 1500, 4},    // rtt_min: the newest sample's value
    {12, 1492, 4},   // snd_ssthresh
    {16, 1664, 4},   // rcv_nxt
    {20, 1668, 4},   // snd_nxt
    {24, 1672, 4},   // snd_una
    {28, 1440, 4},   // mss_cache
    {32, 1640, 1},   // ecn_flags
    {36, 1780, 4},   // rate_delivered
    {40, 1784, 4},   // rate_interval_us
    {44, 1684, 4},   // packets_out
    {48, 1480, 4},   // retrans_out
    {52, 2200, 4},   // total_retrans
    {56, 1760, 4},   // segs_in
    {60, 1764, 4},   // data_segs_in
    {64, 1536, 4},   // segs_out
    {68, 1540, 4},   // data_segs_out
    {72, 1452, 4},   // lost_out
    {76, 1456, 4},   // sacked_out
    {80, 1752, 8},   // bytes_received
    {88, 1824, 8},   // bytes_acked
    {96, 1864, 4},   // dsack_dups
    {100, 1692, 4},  // delivered
    {104, 1696, 4},  // delivered_ce
    {108, 1249, 1},  // icsk_retransmits
};

/// Of the field of struct bpf_tcp_sock that begins there.
constexpr u16 tcp_kernel_offset(u16 user_offset) {
  for (const TcpSockField& field : tcp_sock_fields)
    if (field.user_off == user_offset) return field.kernel_off;
  return 0;
}

}  // namespace skep::progs
