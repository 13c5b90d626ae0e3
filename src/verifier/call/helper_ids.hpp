// The helpers that the verifier knows by number (enum bpf_func_id), and what is special about them.
#pragma once
#include "maps/facts.hpp"

namespace skep::verifier::fn_id {

inline constexpr u32 max = 212;  ///< __BPF_FUNC_MAX_ID of 6.18
inline constexpr s32 map_lookup_elem = 1, map_update_elem = 2, map_delete_elem = 3, get_smp_processor_id = 8,
                     tail_call = 12, perf_event_read = 22, perf_event_output = 25, get_stackid = 27,
                     skb_under_cgroup = 33, current_task_under_cgroup = 37, probe_read_str = 45,
                     redirect_map = 51, sk_redirect_map = 52, sock_map_update = 53,
                     perf_event_read_value = 55, msg_redirect_map = 60, get_stack = 67, sock_hash_update = 70,
                     msg_redirect_hash = 71, sk_redirect_hash = 72, get_local_storage = 81,
                     sk_select_reuseport = 82, sk_lookup_tcp = 84, sk_lookup_udp = 85, sk_release = 86,
                     map_push_elem = 87, map_pop_elem = 88, map_peek_elem = 89, spin_lock = 93,
                     spin_unlock = 94, sk_fullsock = 95, tcp_sock = 96, get_listener_sock = 98,
                     skc_lookup_tcp = 99, sk_storage_get = 107, sk_storage_delete = 108, skb_output = 111,
                     probe_read_user_str = 114, probe_read_kernel_str = 115, xdp_output = 121,
                     ringbuf_output = 130, ringbuf_reserve = 131, ringbuf_query = 134, skc_to_tcp6_sock = 136,
                     skc_to_udp6_sock = 140, get_task_stack = 141, for_each_map_elem = 164,
                     timer_set_callback = 170, snprintf = 165, find_vma = 180, loop = 181,
                     map_lookup_percpu_elem = 195, ringbuf_reserve_dynptr = 198, ringbuf_submit_dynptr = 199,
                     ringbuf_discard_dynptr = 200, dynptr_write = 202, dynptr_data = 203,
                     dynptr_from_mem = 197, inode_storage_get = 145, inode_storage_delete = 146,
                     task_storage_get = 156, task_storage_delete = 157, cgrp_storage_get = 210,
                     cgrp_storage_delete = 211, kptr_xchg = 194, skc_to_unix_sock = 178,
                     skc_to_mptcp_sock = 196, user_ringbuf_drain = 209, setsockopt = 49, getsockopt = 57,
                     d_path = 147, ima_inode_hash = 161, get_func_ip = 173, ima_file_hash = 193;

/// The result is a reference that must be released.
inline bool acquires(s32 id, const maps::MapFacts* map) {
  return id == sk_lookup_tcp || id == sk_lookup_udp || id == skc_lookup_tcp || id == ringbuf_reserve ||
         id == kptr_xchg ||
         (id == map_lookup_elem && map != nullptr &&
          (map->type == MapType::sockmap || map->type == MapType::sockhash));
}
/// The result is the argument by another type, and lives as long.
inline bool casts_pointer(s32 id) {
  return id == tcp_sock || id == sk_fullsock || (id >= skc_to_tcp6_sock && id <= skc_to_udp6_sock) ||
         id == skc_to_unix_sock || id == skc_to_mptcp_sock;
}
/// The result is an error or at most the size argument.
inline bool returns_size(s32 id) {
  return id == get_stack || id == get_task_stack || id == probe_read_str || id == probe_read_user_str ||
         id == probe_read_kernel_str;
}
/// Fixups bind these to their map's own functions.
inline bool uses_map_ops(s32 id) {
  switch (id) {
    case tail_call:
    case map_lookup_elem:
    case map_update_elem:
    case map_delete_elem:
    case map_push_elem:
    case map_pop_elem:
    case map_peek_elem:
    case for_each_map_elem:
    case redirect_map:
    case map_lookup_percpu_elem:
      return true;
    default:
      return false;
  }
}

}  // namespace skep::verifier::fn_id
