// Contracts of helpers that the goldens call and the helpers room may not have yet: the verifier needs only
// the contract. lookup() prefers the room's own row.
#pragma once
#include "helpers/table.hpp"

namespace skep::verifier::testing {

inline const helpers::Contract* lookup_with_extras(ProgType type, AttachType attach, u32 id) {
  using namespace helpers;
  using helpers::Arg;
  if (const Contract* own = helpers::lookup(type, attach, id)) return own;
  if (!allowed(type, id)) return nullptr;
  static const Contract extras[] = {
      {.id = 9,
       .name = "skb_store_bytes",
       .args = {{{Arg::ctx}, {Arg::anything}, {Arg::mem, rdonly}, {Arg::const_size}, {Arg::anything}}},
       .changes_packet = true},
      {.id = 12,
       .name = "tail_call",
       .args = {{{Arg::ctx}, {Arg::const_map_ptr}, {Arg::anything}}},
       .ret = Ret::void_,
       .changes_packet = true},
      {.id = 25,
       .name = "perf_event_output",
       .args = {{{Arg::ctx},
                 {Arg::const_map_ptr},
                 {Arg::anything},
                 {Arg::mem, rdonly},
                 {Arg::const_size_or_zero}}},
       .gpl_only = true},
      {.id = 26,
       .name = "skb_load_bytes",
       .args = {{{Arg::ctx}, {Arg::anything}, {Arg::mem, uninit | mem_write}, {Arg::const_size}}}},
      {.id = 28,
       .name = "csum_diff",
       .args = {{{Arg::mem, maybe_null | rdonly},
                 {Arg::const_size_or_zero},
                 {Arg::mem, maybe_null | rdonly},
                 {Arg::const_size_or_zero},
                 {Arg::anything}}},
       .pkt_access = true},
      {.id = 51, .name = "redirect_map", .args = {{{Arg::const_map_ptr}, {Arg::anything}, {Arg::anything}}}},
      {.id = 69,
       .name = "fib_lookup",
       .args = {{{Arg::ctx}, {Arg::mem, mem_write}, {Arg::const_size}, {Arg::anything}}},
       .gpl_only = true},
      {.id = 84,
       .name = "sk_lookup_tcp",
       .args =
           {{{Arg::ctx}, {Arg::mem, rdonly}, {Arg::const_size_or_zero}, {Arg::anything}, {Arg::anything}}},
       .ret = Ret::socket,
       .ret_flags = maybe_null,
       .pkt_access = true},
      {.id = 86, .name = "sk_release", .args = {{{Arg::btf_id_sock_common, release}}}},
      {.id = 87,
       .name = "map_push_elem",
       .args = {{{Arg::const_map_ptr}, {Arg::map_value, rdonly}, {Arg::anything}}},
       .pkt_access = true},
      {.id = 88,
       .name = "map_pop_elem",
       .args = {{{Arg::const_map_ptr}, {Arg::map_value, uninit | mem_write}}}},
      {.id = 89,
       .name = "map_peek_elem",
       .args = {{{Arg::const_map_ptr}, {Arg::map_value, uninit | mem_write}}}},
      {.id = 113,
       .name = "probe_read_kernel",
       .args = {{{Arg::mem, uninit | mem_write}, {Arg::const_size_or_zero}, {Arg::anything}}},
       .gpl_only = true},
      {.id = 130,
       .name = "ringbuf_output",
       .args = {{{Arg::const_map_ptr}, {Arg::mem, rdonly}, {Arg::const_size_or_zero}, {Arg::anything}}}},
      {.id = 131,
       .name = "ringbuf_reserve",
       .args = {{{Arg::const_map_ptr}, {Arg::const_alloc_size}, {Arg::anything}}},
       .ret = Ret::ringbuf_mem,
       .ret_flags = maybe_null},
      {.id = 132,
       .name = "ringbuf_submit",
       .args = {{{Arg::ringbuf_mem, release}, {Arg::anything}}},
       .ret = Ret::void_},
      {.id = 133,
       .name = "ringbuf_discard",
       .args = {{{Arg::ringbuf_mem, release}, {Arg::anything}}},
       .ret = Ret::void_},
      {.id = 164,
       .name = "for_each_map_elem",
       .args = {{{Arg::const_map_ptr}, {Arg::func}, {Arg::stack, maybe_null}, {Arg::anything}}}},
      {.id = 181,
       .name = "loop",
       .args = {{{Arg::anything}, {Arg::func}, {Arg::stack, maybe_null}, {Arg::anything}}}},
      {.id = 14, .name = "get_current_pid_tgid"},
  };
  for (const Contract& c : extras)
    if (c.id == id) return &c;
  return nullptr;
}

}  // namespace skep::verifier::testing
