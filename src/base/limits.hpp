// Every bound of the system, with the kernel's name where it has one.
#pragma once
#include "base/types.hpp"

namespace skep::limits {
inline constexpr u32 max_insns = 1'000'000;           ///< BPF_COMPLEXITY_LIMIT_INSNS
inline constexpr u32 max_pending_branches = 8192;     ///< BPF_COMPLEXITY_LIMIT_JMP_SEQ
inline constexpr u32 max_states = 64;                 ///< BPF_COMPLEXITY_LIMIT_STATES
inline constexpr u32 stack_bytes = 512;               ///< MAX_BPF_STACK
inline constexpr u32 max_call_frames = 8;             ///< MAX_CALL_FRAMES (6.18)
inline constexpr u32 max_subprogs = 256;              ///< BPF_MAX_SUBPROGS
inline constexpr u32 max_used_maps = 64;              ///< MAX_USED_MAPS
inline constexpr u32 max_tail_calls = 33;             ///< MAX_TAIL_CALL_CNT
inline constexpr u32 obj_name_len = 16;               ///< BPF_OBJ_NAME_LEN, NUL included
inline constexpr s64 max_var_offset = 1LL << 29;      ///< BPF_MAX_VAR_OFF
inline constexpr u32 max_packet_offset = 0xffff;      ///< MAX_PACKET_OFF
inline constexpr u32 btf_max_size = 16u << 20;        ///< BTF_MAX_SIZE
inline constexpr u32 btf_max_types = 0xfffff;         ///< BTF_MAX_TYPE
inline constexpr u32 btf_max_depth = 32;              ///< MAX_RESOLVE_DEPTH
inline constexpr u32 max_log_size = UINT32_MAX >> 2;  ///< bpf_verifier_log_attr_valid()
inline constexpr u32 max_object_bytes = 256u << 20;   ///< an object file
inline constexpr u32 max_request_bytes = 64u << 20;   ///< one message to the daemon
inline constexpr u32 packet_burst = 64;               ///< packets in one burst
inline constexpr u32 xdp_headroom = 256;              ///< XDP_PACKET_HEADROOM
}  // namespace skep::limits
