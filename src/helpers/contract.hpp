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
  const_alloc_size,  ///< a known constant, 0 too
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
  dynptr_mem,  ///< memory of the dynptr argument
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

/// Types of the kernel that contracts name; `any`: the verifier takes it from elsewhere (a map's value).
enum class KernelType : u8 {
  none,
  any,
  task,
  sock_common,
  tcp_sock,
  tcp6_sock,
  tcp_timewait_sock,
  tcp_request_sock,
  udp6_sock,
  unix_sock,
  mptcp_sock,
  socket,
  file,
  inode,
  path,
  linux_binprm,
  cgroup,
  seq_file,
  sk_buff,
  xdp_buff,
  pt_regs,
};
/// The struct's name in the kernel's BTF: "task_struct", "tcp_sock", ...; empty for none and any.
[[nodiscard]] std::string_view kernel_type_name(KernelType type);

struct ArgSpec {
  Arg kind = Arg::none;
  u32 flags = 0;
  u32 size = 0;                        ///< of a fixed_size mem
  KernelType type = KernelType::none;  ///< of a btf_id argument
  bool operator==(const ArgSpec&) const = default;
};

/// One helper as the verifier sees it.
struct Contract {
  u32 id = 0;             ///< enum bpf_func_id
  std::string_view name;  ///< without "bpf_": "map_lookup_elem"
  std::array<ArgSpec, 5> args{};
  Ret ret = Ret::integer;
  u32 ret_flags = 0;
  KernelType ret_type = KernelType::none;  ///< of a btf_id result
  bool gpl_only = false;
  bool changes_packet = false;  ///< bpf_helper_changes_pkt_data()
  bool might_sleep = false;
  bool fastcall = false;    ///< allow_fastcall
  bool pkt_access = false;  ///< takes packet pointers as map_key, map_value and mem arguments
  u64 only_types = 0;       ///< bit n: programs of type n have this contract; 0: all that have no other
};

}  // namespace skep::helpers
