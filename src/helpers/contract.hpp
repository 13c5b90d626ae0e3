// What a helper demands of its arguments and promises of its result: the verifier's contract, as values
// (kernel: struct bpf_func_proto, enum bpf_arg_type, enum bpf_return_type).
#pragma once
#include <array>
#include <string_view>

#include "base/types.hpp"

namespace skep::helpers {

enum class Arg : u8 {
  none,
  anything,
  const_map_ptr,
  map_key,
  map_value,
  mem,
  const_size,
  const_size_or_zero,
  const_alloc_size,
  ctx,
  spin_lock,
  sock_common,
  socket,
  btf_id,
  ringbuf_mem,
  iter,
  btf_id_sock_common,
  percpu_btf_id,
  func,
  stack,
  const_str,
  timer,
  kptr,
  dynptr,
  int_ptr,
  long_ptr,
};
enum class Ret : u8 {
  integer,
  void_,
  map_value,
  socket,
  tcp_sock,
  sock_common,
  ringbuf_mem,
  mem,
  mem_or_btf_id,
  btf_id,
};
/// Modifiers of Arg and Ret (kernel: enum bpf_type_flag).
enum Flag : u32 {
  maybe_null = 1u << 0,
  uninit = 1u << 1,
  rdonly = 1u << 2,
  release = 1u << 3,
  fixed_size = 1u << 4,
  mem_write = 1u << 5,
  aligned = 1u << 6,
  dynptr_local = 1u << 7,
  dynptr_ringbuf = 1u << 8,
  dynptr_any = 1u << 9,
  trusted = 1u << 10,
  ringbuf = 1u << 11,
  user = 1u << 12,
  percpu = 1u << 13,
  rcu = 1u << 14,
};

struct ArgSpec {
  Arg kind = Arg::none;
  u32 flags = 0;
  u32 size = 0;       ///< of a fixed_size mem
  u32 btf_id_of = 0;  ///< index of a well-known kernel type for btf_id arguments; 0: none
  bool operator==(const ArgSpec&) const = default;
};

/// One helper as the verifier sees it.
struct Contract {
  u32 id = 0;             ///< enum bpf_func_id
  std::string_view name;  ///< without "bpf_": "map_lookup_elem"
  std::array<ArgSpec, 5> args{};
  Ret ret = Ret::integer;
  u32 ret_flags = 0;
  bool gpl_only = false;
  bool changes_packet = false;  ///< bpf_helper_changes_pkt_data()
  bool might_sleep = false;
  bool fastcall = false;    ///< allow_fastcall
  bool pkt_access = false;  ///< takes packet pointers as map_key, map_value and mem arguments
};

}  // namespace skep::helpers
