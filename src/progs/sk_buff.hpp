// The context of tc, socket-filter, cgroup_skb and lwt programs as rewritten code sees it: struct sk_buff and
// skb_shared_info with the fields that programs reach, at the kernel's offsets (Linux 6.18, x86-64, from its
// BTF). `head` is the buffer's start; `tail` and `end` are distances from it, and the SkbSharedInfo stands at
// `end`.
#pragma once
#include <array>
#include <cstddef>

#include "base/types.hpp"
#include "progs/net_device.hpp"
#include "progs/sock.hpp"

namespace skep::progs {

/// skb->cb as filters use it: struct bpf_skb_data_end, which begins with struct qdisc_skb_cb.
struct SkbCb {
  u32 pkt_len = 0;
  u16 slave_dev_queue_mapping = 0;
  u16 tc_classid = 0;
  std::array<u32, 5> data{};  ///< __sk_buff.cb
  u32 pad28 = 0;
  std::byte* data_meta = nullptr;
  std::byte* data_end = nullptr;
};
static_assert(offsetof(SkbCb, data) == 8 && offsetof(SkbCb, data_meta) == 32 && sizeof(SkbCb) == 48);

struct SkBuff {
  SkBuff* next = nullptr;
  SkBuff* prev = nullptr;
  NetDevice* dev = nullptr;
  Sock* sk = nullptr;
  u64 tstamp = 0;
  SkbCb cb{};
  u64 refdst = 0;
  u64 destructor = 0;
  u64 nfct = 0;
  u32 len = 0;
  u32 data_len = 0;
  u16 mac_len = 0;
  u16 hdr_len = 0;
  u16 queue_mapping = 0;
  u8 clone_bits = 0;  ///< bit 0: cloned
  u8 active_extensions = 0;
  u8 type_bits = 0;  ///< pkt_type, ip_summed: see below
  u8 time_bits = 0;  ///< tstamp_type, tc_at_ingress, csum_level
  u8 hash_bits = 0;  ///< l4_hash, sw_hash, encapsulation
  u8 redirect_bits = 0;
  u16 tc_index = 0;
  u16 alloc_cpu = 0;
  u32 csum = 0;  ///< or csum_start and csum_offset
  u32 priority = 0;
  u32 skb_iif = 0;
  u32 hash = 0;
  u16 vlan_proto = 0;
  u16 vlan_tci = 0;
  u32 napi_id = 0;
  u32 secmark = 0;
  u32 mark = 0;
  u16 inner_protocol = 0;
  u16 inner_transport_header = 0;
  u16 inner_network_header = 0;
  u16 inner_mac_header = 0;
  u16 protocol = 0;  ///< network order
  u16 transport_header = 0xffff;
  u16 network_header = 0;
  u16 mac_header = 0xffff;
  u32 tail = 0;
  u32 end = 0;
  std::byte* head = nullptr;
  std::byte* data = nullptr;
  u32 truesize = 0;
  u32 users = 1;
  u64 extensions = 0;
};
static_assert(offsetof(SkBuff, dev) == 16 && offsetof(SkBuff, sk) == 24 && offsetof(SkBuff, tstamp) == 32);
static_assert(offsetof(SkBuff, cb) == 40 && offsetof(SkBuff, len) == 112 &&
              offsetof(SkBuff, queue_mapping) == 124);
static_assert(offsetof(SkBuff, clone_bits) == 126 && offsetof(SkBuff, type_bits) == 128);
static_assert(offsetof(SkBuff, time_bits) == 129 && offsetof(SkBuff, tc_index) == 132);
static_assert(offsetof(SkBuff, csum) == 136 && offsetof(SkBuff, priority) == 140 &&
              offsetof(SkBuff, skb_iif) == 144);
static_assert(offsetof(SkBuff, hash) == 148 && offsetof(SkBuff, vlan_proto) == 152 &&
              offsetof(SkBuff, napi_id) == 156);
static_assert(offsetof(SkBuff, mark) == 164 && offsetof(SkBuff, protocol) == 176 &&
              offsetof(SkBuff, mac_header) == 182);
static_assert(offsetof(SkBuff, end) == 188 && offsetof(SkBuff, head) == 192 && offsetof(SkBuff, data) == 200);
static_assert(sizeof(SkBuff) == 224);

// The bit-fields of the four bytes.
inline constexpr u8 skb_cloned = 1;           ///< clone_bits
inline constexpr u8 skb_pkt_type_mask = 7;    ///< type_bits: PACKET_HOST, ...
inline constexpr u8 skb_ip_summed_shift = 5;  ///< type_bits: CHECKSUM_NONE, ...
inline constexpr u8 skb_ip_summed_mask = 3u << skb_ip_summed_shift;
inline constexpr u8 skb_tstamp_type_mask = 3;  ///< time_bits
inline constexpr u8 skb_tc_at_ingress = 4;     ///< time_bits
inline constexpr u8 skb_csum_level_shift = 6;  ///< time_bits
inline constexpr u8 skb_l4_hash = 2;           ///< hash_bits
inline constexpr u8 skb_sw_hash = 4;           ///< hash_bits
inline constexpr u8 skb_encapsulation = 16;    ///< hash_bits

/// skb_frag_t: a piece of a packet that is not in its buffer.
struct SkbFrag {
  std::byte* page = nullptr;
  u32 len = 0;
  u32 offset = 0;
};

/// At the end of a packet's buffer, sk_buff's and xdp_buff's alike.
struct SkbSharedInfo {
  u8 flags = 0;
  u8 meta_len = 0;
  u8 nr_frags = 0;
  u8 tx_flags = 0;
  u16 gso_size = 0;
  u16 gso_segs = 0;
  u64 frag_list = 0;
  u64 hwtstamp = 0;
  u32 gso_type = 0;
  u32 tskey = 0;
  u32 dataref = 0;
  u32 pad36 = 0;
  u32 xdp_frags_size = 0;
  u32 xdp_frags_truesize = 0;
  std::array<SkbFrag, 17> frags{};
};
static_assert(offsetof(SkbSharedInfo, gso_size) == 4 && offsetof(SkbSharedInfo, hwtstamp) == 16);
static_assert(offsetof(SkbSharedInfo, gso_type) == 24 && offsetof(SkbSharedInfo, frags) == 48 &&
              sizeof(SkbSharedInfo) == 320);

/// struct bpf_flow_keys, the same to programs and to the kernel.
struct FlowKeys {
  u16 nhoff = 0;
  u16 thoff = 0;
  u16 addr_proto = 0;
  u8 is_frag = 0;
  u8 is_first_frag = 0;
  u8 is_encap = 0;
  u8 ip_proto = 0;
  u16 n_proto = 0;
  u16 sport = 0;
  u16 dport = 0;
  std::array<u32, 8> addresses{};  ///< IPv4: source, destination; IPv6: four words each
  u32 flags = 0;
  u32 flow_label = 0;
};
static_assert(offsetof(FlowKeys, flags) == 48 && sizeof(FlowKeys) == 56);

/// struct bpf_flow_dissector: the context of flow dissectors.
struct FlowDissector {
  FlowKeys* flow_keys = nullptr;
  SkBuff* skb = nullptr;
  std::byte* data = nullptr;
  std::byte* data_end = nullptr;
};

/// struct bpf_sk_lookup_kern: the context of sk_lookup programs.
struct SkLookup {
  u16 family = 0;
  u16 protocol = 0;
  u16 sport = 0;  ///< network order
  u16 dport = 0;  ///< host order
  u32 saddr4 = 0;
  u32 daddr4 = 0;
  std::array<u32, 4>* saddr6 = nullptr;
  std::array<u32, 4>* daddr6 = nullptr;
  Sock* selected_sk = nullptr;
  u32 ingress_ifindex = 0;
  bool no_reuseport = false;
};
static_assert(offsetof(SkLookup, saddr6) == 16 && offsetof(SkLookup, selected_sk) == 32);
static_assert(offsetof(SkLookup, ingress_ifindex) == 40 && sizeof(SkLookup) == 48);

}  // namespace skep::progs
