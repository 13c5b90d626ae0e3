// UAPI names and numbers of bpf(2) as of Linux 6.18. Facts only; no behaviour.
#pragma once
#include <string_view>

#include "base/types.hpp"

namespace skep {

/// enum bpf_cmd
enum class Cmd : u32 {
  map_create = 0,
  map_lookup_elem = 1,
  map_update_elem = 2,
  map_delete_elem = 3,
  map_get_next_key = 4,
  prog_load = 5,
  obj_pin = 6,
  obj_get = 7,
  prog_attach = 8,
  prog_detach = 9,
  prog_test_run = 10,
  prog_get_next_id = 11,
  map_get_next_id = 12,
  prog_get_fd_by_id = 13,
  map_get_fd_by_id = 14,
  obj_get_info_by_fd = 15,
  prog_query = 16,
  raw_tracepoint_open = 17,
  btf_load = 18,
  btf_get_fd_by_id = 19,
  task_fd_query = 20,
  map_lookup_and_delete_elem = 21,
  map_freeze = 22,
  btf_get_next_id = 23,
  map_lookup_batch = 24,
  map_lookup_and_delete_batch = 25,
  map_update_batch = 26,
  map_delete_batch = 27,
  link_create = 28,
  link_update = 29,
  link_get_fd_by_id = 30,
  link_get_next_id = 31,
  enable_stats = 32,
  iter_create = 33,
  link_detach = 34,
  prog_bind_map = 35,
  token_create = 36,
  prog_stream_read_by_fd = 37,
};

/// enum bpf_map_type
enum class MapType : u32 {
  unspec = 0,
  hash = 1,
  array = 2,
  prog_array = 3,
  perf_event_array = 4,
  percpu_hash = 5,
  percpu_array = 6,
  stack_trace = 7,
  cgroup_array = 8,
  lru_hash = 9,
  lru_percpu_hash = 10,
  lpm_trie = 11,
  array_of_maps = 12,
  hash_of_maps = 13,
  devmap = 14,
  sockmap = 15,
  cpumap = 16,
  xskmap = 17,
  sockhash = 18,
  cgroup_storage = 19,
  reuseport_sockarray = 20,
  percpu_cgroup_storage = 21,
  queue = 22,
  stack = 23,
  sk_storage = 24,
  devmap_hash = 25,
  struct_ops = 26,
  ringbuf = 27,
  inode_storage = 28,
  task_storage = 29,
  bloom_filter = 30,
  user_ringbuf = 31,
  cgrp_storage = 32,
  arena = 33,
};

/// enum bpf_prog_type
enum class ProgType : u32 {
  unspec = 0,
  socket_filter = 1,
  kprobe = 2,
  sched_cls = 3,
  sched_act = 4,
  tracepoint = 5,
  xdp = 6,
  perf_event = 7,
  cgroup_skb = 8,
  cgroup_sock = 9,
  lwt_in = 10,
  lwt_out = 11,
  lwt_xmit = 12,
  sock_ops = 13,
  sk_skb = 14,
  cgroup_device = 15,
  sk_msg = 16,
  raw_tracepoint = 17,
  cgroup_sock_addr = 18,
  lwt_seg6local = 19,
  lirc_mode2 = 20,
  sk_reuseport = 21,
  flow_dissector = 22,
  cgroup_sysctl = 23,
  raw_tracepoint_writable = 24,
  cgroup_sockopt = 25,
  tracing = 26,
  struct_ops = 27,
  ext = 28,
  lsm = 29,
  sk_lookup = 30,
  syscall = 31,
  netfilter = 32,
};
inline constexpr u32 prog_type_count = 33;
inline constexpr u32 map_type_count = 34;

/// enum bpf_attach_type; values as in the uapi header.
enum class AttachType : u32 {
  cgroup_inet_ingress = 0,
  cgroup_inet_egress = 1,
  cgroup_inet_sock_create = 2,
  cgroup_sock_ops = 3,
  sk_skb_stream_parser = 4,
  sk_skb_stream_verdict = 5,
  cgroup_device = 6,
  sk_msg_verdict = 7,
  cgroup_inet4_bind = 8,
  cgroup_inet6_bind = 9,
  cgroup_inet4_connect = 10,
  cgroup_inet6_connect = 11,
  cgroup_inet4_post_bind = 12,
  cgroup_inet6_post_bind = 13,
  cgroup_udp4_sendmsg = 14,
  cgroup_udp6_sendmsg = 15,
  lirc_mode2 = 16,
  flow_dissector = 17,
  cgroup_sysctl = 18,
  cgroup_udp4_recvmsg = 19,
  cgroup_udp6_recvmsg = 20,
  cgroup_getsockopt = 21,
  cgroup_setsockopt = 22,
  trace_raw_tp = 23,
  trace_fentry = 24,
  trace_fexit = 25,
  modify_return = 26,
  lsm_mac = 27,
  trace_iter = 28,
  cgroup_inet4_getpeername = 29,
  cgroup_inet6_getpeername = 30,
  cgroup_inet4_getsockname = 31,
  cgroup_inet6_getsockname = 32,
  xdp_devmap = 33,
  cgroup_inet_sock_release = 34,
  xdp_cpumap = 35,
  sk_lookup = 36,
  xdp = 37,
  sk_skb_verdict = 38,
  sk_reuseport_select = 39,
  sk_reuseport_select_or_migrate = 40,
  perf_event = 41,
  trace_kprobe_multi = 42,
  lsm_cgroup = 43,
  struct_ops = 44,
  netfilter = 45,
  tcx_ingress = 46,
  tcx_egress = 47,
  trace_uprobe_multi = 48,
  cgroup_unix_connect = 49,
  cgroup_unix_sendmsg = 50,
  cgroup_unix_recvmsg = 51,
  cgroup_unix_getpeername = 52,
  cgroup_unix_getsockname = 53,
  netkit_primary = 54,
  netkit_peer = 55,
  trace_kprobe_session = 56,
  trace_uprobe_session = 57,
};

/// enum bpf_link_type
enum class LinkType : u32 {
  unspec = 0,
  raw_tracepoint = 1,
  tracing = 2,
  cgroup = 3,
  iter = 4,
  netns = 5,
  xdp = 6,
  perf_event = 7,
  kprobe_multi = 8,
  struct_ops = 9,
  netfilter = 10,
  tcx = 11,
  uprobe_multi = 12,
  netkit = 13,
  sockmap = 14,
};

/// The words bpftool prints: "hash", "percpu_array", "xdp", "sched_cls", ... Empty for an unknown number.
[[nodiscard]] std::string_view map_type_name(MapType type);
[[nodiscard]] std::string_view prog_type_name(ProgType type);
[[nodiscard]] std::string_view attach_type_name(AttachType type);
[[nodiscard]] std::string_view link_type_name(LinkType type);
/// One above the greatest helper id (__BPF_FUNC_MAX_ID).
inline constexpr u32 helper_ids = 212;
/// "bpf_map_lookup_elem", ...; "bpf_unspec" for 0. Empty for an unknown number.
[[nodiscard]] std::string_view helper_name(u32 id);

namespace uapi {
// map element flags
// where in a chain of programs (F_LINK, below, too)
inline constexpr u32 F_REPLACE = 1u << 2, F_BEFORE = 1u << 3, F_AFTER = 1u << 4, F_ID = 1u << 5;
inline constexpr u64 ANY = 0, NOEXIST = 1, EXIST = 2, LOCK = 4;
// map_flags of BPF_MAP_CREATE
inline constexpr u32 F_NO_PREALLOC = 1u << 0, F_NO_COMMON_LRU = 1u << 1, F_NUMA_NODE = 1u << 2,
                     F_RDONLY = 1u << 3, F_WRONLY = 1u << 4, F_STACK_BUILD_ID = 1u << 5,
                     F_ZERO_SEED = 1u << 6, F_RDONLY_PROG = 1u << 7, F_WRONLY_PROG = 1u << 8,
                     F_CLONE = 1u << 9, F_MMAPABLE = 1u << 10, F_PRESERVE_ELEMS = 1u << 11,
                     F_INNER_MAP = 1u << 12, F_LINK = 1u << 13, F_PATH_FD = 1u << 14,
                     F_VTYPE_BTF_OBJ_FD = 1u << 15, F_TOKEN_FD = 1u << 16, F_SEGV_ON_FAULT = 1u << 17,
                     F_NO_USER_CONV = 1u << 18, F_RB_OVERWRITE = 1u << 19;
// prog_flags of BPF_PROG_LOAD
inline constexpr u32 F_STRICT_ALIGNMENT = 1u << 0, F_ANY_ALIGNMENT = 1u << 1, F_TEST_RND_HI32 = 1u << 2,
                     F_TEST_STATE_FREQ = 1u << 3, F_SLEEPABLE = 1u << 4, F_XDP_HAS_FRAGS = 1u << 5,
                     F_XDP_DEV_BOUND_ONLY = 1u << 6, F_TEST_REG_INVARIANTS = 1u << 7;
// src_reg of ld_imm64 and call
inline constexpr u8 PSEUDO_MAP_FD = 1, PSEUDO_MAP_VALUE = 2, PSEUDO_BTF_ID = 3, PSEUDO_FUNC = 4,
                    PSEUDO_MAP_IDX = 5, PSEUDO_MAP_IDX_VALUE = 6;
inline constexpr u8 PSEUDO_CALL = 1, PSEUDO_KFUNC_CALL = 2;
// XDP verdicts
inline constexpr u32 XDP_ABORTED = 0, XDP_DROP = 1, XDP_PASS = 2, XDP_TX = 3, XDP_REDIRECT = 4;
// netlink attach flags (linux/if_link.h)
inline constexpr u32 XDP_FLAGS_UPDATE_IF_NOEXIST = 1u << 0, XDP_FLAGS_SKB_MODE = 1u << 1,
                     XDP_FLAGS_DRV_MODE = 1u << 2, XDP_FLAGS_HW_MODE = 1u << 3, XDP_FLAGS_REPLACE = 1u << 4;
}  // namespace uapi

}  // namespace skep
