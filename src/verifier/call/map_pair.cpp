// Which helpers take which map types: a two-way table (kernel: check_map_func_compatibility()).
#include "verifier/call/helper_ids.hpp"
#include "verifier/walk/walk.hpp"

namespace skep::verifier {

namespace {

using namespace fn_id;

struct Pair {
  MapType map;
  s32 func;
};

/// A map type in this table may be passed only to the helpers named with it ...
constexpr Pair map_takes_only[] = {
    {MapType::prog_array, tail_call},
    {MapType::perf_event_array, perf_event_read},
    {MapType::perf_event_array, perf_event_output},
    {MapType::perf_event_array, skb_output},
    {MapType::perf_event_array, perf_event_read_value},
    {MapType::perf_event_array, xdp_output},
    {MapType::ringbuf, ringbuf_output},
    {MapType::ringbuf, ringbuf_reserve},
    {MapType::ringbuf, ringbuf_query},
    {MapType::ringbuf, ringbuf_reserve_dynptr},
    {MapType::ringbuf, ringbuf_submit_dynptr},
    {MapType::ringbuf, ringbuf_discard_dynptr},
    {MapType::user_ringbuf, user_ringbuf_drain},
    {MapType::stack_trace, get_stackid},
    {MapType::cgroup_array, skb_under_cgroup},
    {MapType::cgroup_array, current_task_under_cgroup},
    {MapType::cgroup_storage, get_local_storage},
    {MapType::percpu_cgroup_storage, get_local_storage},
    {MapType::devmap, redirect_map},
    {MapType::devmap, map_lookup_elem},
    {MapType::devmap_hash, redirect_map},
    {MapType::devmap_hash, map_lookup_elem},
    {MapType::cpumap, redirect_map},
    {MapType::xskmap, redirect_map},
    {MapType::xskmap, map_lookup_elem},
    {MapType::array_of_maps, map_lookup_elem},
    {MapType::hash_of_maps, map_lookup_elem},
    {MapType::sockmap, sk_redirect_map},
    {MapType::sockmap, sock_map_update},
    {MapType::sockmap, msg_redirect_map},
    {MapType::sockmap, sk_select_reuseport},
    {MapType::sockmap, map_lookup_elem},
    {MapType::sockhash, sk_redirect_hash},
    {MapType::sockhash, sock_hash_update},
    {MapType::sockhash, msg_redirect_hash},
    {MapType::sockhash, sk_select_reuseport},
    {MapType::sockhash, map_lookup_elem},
    {MapType::reuseport_sockarray, sk_select_reuseport},
    {MapType::queue, map_peek_elem},
    {MapType::queue, map_pop_elem},
    {MapType::queue, map_push_elem},
    {MapType::stack, map_peek_elem},
    {MapType::stack, map_pop_elem},
    {MapType::stack, map_push_elem},
    {MapType::sk_storage, sk_storage_get},
    {MapType::sk_storage, sk_storage_delete},
    {MapType::bloom_filter, map_peek_elem},
    {MapType::bloom_filter, map_push_elem},
    {MapType::inode_storage, inode_storage_get},
    {MapType::inode_storage, inode_storage_delete},
    {MapType::task_storage, task_storage_get},
    {MapType::task_storage, task_storage_delete},
    {MapType::cgrp_storage, cgrp_storage_get},
    {MapType::cgrp_storage, cgrp_storage_delete},
    {MapType::sk_storage, kptr_xchg},
    {MapType::inode_storage, kptr_xchg},
    {MapType::task_storage, kptr_xchg},
    {MapType::cgrp_storage, kptr_xchg},
};

/// ... and a helper in this one takes only the map types named with it.
constexpr Pair func_takes_only[] = {
    {MapType::prog_array, tail_call},
    {MapType::perf_event_array, perf_event_read},
    {MapType::perf_event_array, perf_event_output},
    {MapType::perf_event_array, perf_event_read_value},
    {MapType::perf_event_array, skb_output},
    {MapType::perf_event_array, xdp_output},
    {MapType::ringbuf, ringbuf_output},
    {MapType::ringbuf, ringbuf_reserve},
    {MapType::ringbuf, ringbuf_query},
    {MapType::ringbuf, ringbuf_reserve_dynptr},
    {MapType::ringbuf, ringbuf_submit_dynptr},
    {MapType::ringbuf, ringbuf_discard_dynptr},
    {MapType::user_ringbuf, user_ringbuf_drain},
    {MapType::stack_trace, get_stackid},
    {MapType::cgroup_array, current_task_under_cgroup},
    {MapType::cgroup_array, skb_under_cgroup},
    {MapType::devmap, redirect_map},
    {MapType::devmap_hash, redirect_map},
    {MapType::cpumap, redirect_map},
    {MapType::xskmap, redirect_map},
    {MapType::sockmap, sk_redirect_map},
    {MapType::sockmap, msg_redirect_map},
    {MapType::sockmap, sock_map_update},
    {MapType::sockhash, sk_redirect_hash},
    {MapType::sockhash, msg_redirect_hash},
    {MapType::sockhash, sock_hash_update},
    {MapType::cgroup_storage, get_local_storage},
    {MapType::percpu_cgroup_storage, get_local_storage},
    {MapType::reuseport_sockarray, sk_select_reuseport},
    {MapType::sockmap, sk_select_reuseport},
    {MapType::sockhash, sk_select_reuseport},
    {MapType::queue, map_pop_elem},
    {MapType::stack, map_pop_elem},
    {MapType::queue, map_peek_elem},
    {MapType::stack, map_peek_elem},
    {MapType::bloom_filter, map_peek_elem},
    {MapType::queue, map_push_elem},
    {MapType::stack, map_push_elem},
    {MapType::bloom_filter, map_push_elem},
    {MapType::percpu_array, map_lookup_percpu_elem},
    {MapType::percpu_hash, map_lookup_percpu_elem},
    {MapType::lru_percpu_hash, map_lookup_percpu_elem},
    {MapType::sk_storage, sk_storage_get},
    {MapType::sk_storage, sk_storage_delete},
    {MapType::inode_storage, inode_storage_get},
    {MapType::inode_storage, inode_storage_delete},
    {MapType::task_storage, task_storage_get},
    {MapType::task_storage, task_storage_delete},
    {MapType::cgrp_storage, cgrp_storage_get},
    {MapType::cgrp_storage, cgrp_storage_delete},
};

}  // namespace

/// Where no socket can be locked, programs may change maps of sockets (kernel: may_update_sockmap()).
bool Walk::may_change_sockets(s32 func_id) const {
  switch (e.input.type) {
    case ProgType::tracing:
      return e.input.expected_attach_type == AttachType::trace_iter;
    case ProgType::sock_ops:
      return func_id == map_delete_elem;
    case ProgType::socket_filter:
    case ProgType::sched_cls:
    case ProgType::sched_act:
    case ProgType::xdp:
    case ProgType::sk_reuseport:
    case ProgType::flow_dissector:
    case ProgType::sk_lookup:
      return true;
    default:
      return false;
  }
}

Status Walk::check_map_helper_pair(const maps::MapFacts* map, s32 func_id) {
  if (map == nullptr || aux().paired_map == map) return passed;  // the function of a call is always the same
  const bool sockets = map->type == MapType::sockmap || map->type == MapType::sockhash;
  if (sockets && (func_id == map_update_elem || func_id == map_delete_elem)) {
    if (may_change_sockets(func_id)) return passed;
    e.log.say("cannot update sockmap in this context\n");
    return e.reject(EINVAL, "cannot pass map_type {} into func {}\n", static_cast<u32>(map->type),
                    helper_text(func_id));
  }
  bool map_listed = false, func_listed = false, map_ok = false, func_ok = false;
  for (const Pair& p : map_takes_only) {
    map_listed = map_listed || p.map == map->type;
    map_ok = map_ok || (p.map == map->type && p.func == func_id);
  }
  for (const Pair& p : func_takes_only) {
    func_listed = func_listed || p.func == func_id;
    func_ok = func_ok || (p.map == map->type && p.func == func_id);
  }
  if ((!map_listed || map_ok) && (!func_listed || func_ok)) {
    aux().paired_map = map;
    return passed;
  }
  return e.reject(EINVAL, "cannot pass map_type {} into func {}\n", static_cast<u32>(map->type),
                  helper_text(func_id));
}

}  // namespace skep::verifier
