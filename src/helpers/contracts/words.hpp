// Words for the rows of contracts: arguments as values, and the sets of program types that have a contract of
// their own for a helper.
#pragma once
#include "helpers/contract.hpp"
#include "kernel/uapi.hpp"

namespace skep::helpers {

inline constexpr ArgSpec anything{Arg::anything};
inline constexpr ArgSpec ctx{Arg::ctx};
inline constexpr ArgSpec ctx_or_null{Arg::ctx, maybe_null};
inline constexpr ArgSpec const_map_ptr{Arg::const_map_ptr};
inline constexpr ArgSpec map_key{Arg::map_key};
inline constexpr ArgSpec map_value{Arg::map_value};
inline constexpr ArgSpec map_value_or_null{Arg::map_value, maybe_null};
inline constexpr ArgSpec map_value_out{Arg::map_value, uninit | mem_write};
inline constexpr ArgSpec mem_any{Arg::mem};  ///< checked as if it were only read
inline constexpr ArgSpec mem_or_null{Arg::mem, maybe_null};
inline constexpr ArgSpec mem_rdonly{Arg::mem, rdonly};
inline constexpr ArgSpec mem_rdonly_or_null{Arg::mem, rdonly | maybe_null};
inline constexpr ArgSpec mem_out{Arg::mem, mem_write};  ///< read and written
inline constexpr ArgSpec mem_out_or_null{Arg::mem, mem_write | maybe_null};
inline constexpr ArgSpec mem_uninit{Arg::mem, uninit | mem_write};
inline constexpr ArgSpec const_size{Arg::const_size};
inline constexpr ArgSpec const_size_or_zero{Arg::const_size_or_zero};
inline constexpr ArgSpec const_alloc_size{Arg::const_alloc_size};
inline constexpr ArgSpec const_str{Arg::const_str};
inline constexpr ArgSpec func{Arg::func};
inline constexpr ArgSpec stack_or_null{Arg::stack, maybe_null};
inline constexpr ArgSpec timer{Arg::timer};
inline constexpr ArgSpec spin_lock{Arg::spin_lock};
inline constexpr ArgSpec kptr{Arg::kptr};
inline constexpr ArgSpec kptr_release{Arg::btf_id, maybe_null | release, 0, KernelType::any};
inline constexpr ArgSpec sock{Arg::btf_id_sock_common};
inline constexpr ArgSpec sock_or_null{Arg::btf_id_sock_common, maybe_null};
inline constexpr ArgSpec sock_release{Arg::btf_id_sock_common, release};
inline constexpr ArgSpec sock_common{Arg::sock_common};
inline constexpr ArgSpec socket_or_null{Arg::socket, maybe_null};
inline constexpr ArgSpec ringbuf_release{Arg::ringbuf_mem, release};
inline constexpr ArgSpec percpu_btf_id{Arg::percpu_btf_id};
inline constexpr ArgSpec dynptr{Arg::dynptr, rdonly};
inline constexpr ArgSpec dynptr_new_local{Arg::dynptr, dynptr_local | uninit | mem_write};
inline constexpr ArgSpec dynptr_new_ringbuf{Arg::dynptr, dynptr_ringbuf | uninit | mem_write};
inline constexpr ArgSpec dynptr_release{Arg::dynptr, dynptr_ringbuf | release};
/// Eight bytes that the helper fills: `long *`.
inline constexpr ArgSpec long_out{Arg::mem, fixed_size | uninit | mem_write | aligned, 8};
/// Four bytes that the helper reads and fills.
inline constexpr ArgSpec u32_in_out{Arg::mem, fixed_size | mem_write | aligned, 4};
constexpr ArgSpec mem_of(u32 size) { return {Arg::mem, fixed_size, size}; }
constexpr ArgSpec btf_id(KernelType type) { return {Arg::btf_id, 0, 0, type}; }
constexpr ArgSpec btf_id_or_null(KernelType type) { return {Arg::btf_id, maybe_null, 0, type}; }

constexpr u64 bit(ProgType type) { return u64{1} << static_cast<u32>(type); }
/// Programs with the helpers of tracing_prog_func_proto().
inline constexpr u64 tracing_types = bit(ProgType::tracing) | bit(ProgType::syscall);
inline constexpr u64 raw_tracing_types = tracing_types | bit(ProgType::lsm) | bit(ProgType::raw_tracepoint) |
                                         bit(ProgType::raw_tracepoint_writable);
/// Programs whose bpf_get_smp_processor_id() keeps registers R1..R5; the others call the raw one.
inline constexpr u64 fast_cpu_id_types =
    raw_tracing_types | bit(ProgType::kprobe) | bit(ProgType::tracepoint) | bit(ProgType::perf_event) |
    bit(ProgType::xdp) | bit(ProgType::sched_cls) | bit(ProgType::sched_act) | bit(ProgType::lwt_in) |
    bit(ProgType::lwt_out) | bit(ProgType::lwt_xmit) | bit(ProgType::lwt_seg6local);
/// Programs that ask for the class of their packet's socket; the others ask for the current task's.
inline constexpr u64 packet_class_types = bit(ProgType::sched_cls) | bit(ProgType::sched_act) |
                                          bit(ProgType::lwt_in) | bit(ProgType::lwt_out) |
                                          bit(ProgType::lwt_xmit) | bit(ProgType::lwt_seg6local);
/// Programs that name the socket of bpf_{get,set}sockopt() by a pointer, not by their context.
inline constexpr u64 sockopt_pointer_types =
    bit(ProgType::cgroup_sockopt) | bit(ProgType::lsm) | bit(ProgType::tracing) | bit(ProgType::struct_ops);

}  // namespace skep::helpers
