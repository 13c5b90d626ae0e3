// Program types as the verifier sees them: which context bytes may be read and written and what they hold,
// whether packets may be touched, what may be returned. Values only; the rules are Linux 6.18's
// (tests/golden/ctx_access.json has its answers for every offset and size).
#pragma once
#include <optional>

#include "kernel/uapi.hpp"

namespace skep::progs {

/// What a context field holds when it is read; the last two: pointers to structures of the kernel.
enum class CtxKind : u8 {
  scalar,
  packet,
  packet_end,
  packet_meta,
  sock_common_or_null,
  sock,
  sock_or_null,
  flow_keys,
  tp_buffer,
  nf_hook_state,
  sk_buff,
};

struct CtxAccess {
  CtxKind kind = CtxKind::scalar;
  u32 field_size = 0;  ///< of a field that may be read in part: its whole size, for the rewriting; else 0
};

/// The access of `size` bytes at `off` of the context, or nothing if it is not allowed. `sign_extend`: a
/// sign-extending load, which pointers do not allow.
[[nodiscard]] std::optional<CtxAccess> ctx_access(ProgType type, AttachType attach, s32 off, u32 size,
                                                  bool write, bool sign_extend);

/// struct bpf_sock through a socket pointer, for reading (`common_only`: the part that all sockets have).
[[nodiscard]] bool sock_access(bool common_only, s32 off, u32 size);
/// struct bpf_tcp_sock and struct bpf_xdp_sock, for reading.
[[nodiscard]] bool tcp_sock_access(s32 off, u32 size);
[[nodiscard]] bool xdp_sock_access(s32 off, u32 size);
/// Bytes of struct bpf_flow_keys, which flow dissectors read and write.
inline constexpr u32 flow_keys_bytes = 56;

/// Whether BPF_PROG_LOAD takes this hook for the type (kernel: bpf_prog_load_check_attach()).
[[nodiscard]] bool attach_type_fits(ProgType type, AttachType attach);
/// The hook that a program loaded without one gets (kernel: bpf_prog_load_fixup_attach_type()).
[[nodiscard]] AttachType default_attach_type(ProgType type, AttachType attach);

enum class PacketAccess : u8 { none, read, read_write };
[[nodiscard]] PacketAccess packet_access(ProgType type);

struct ValueRange {
  s32 min = 0;
  s32 max = 0;
};
/// What the program must return; nothing if anything goes.
[[nodiscard]] std::optional<ValueRange> return_range(ProgType type, AttachType attach);

/// Programs of this type may set the mark of a connection that they looked up.
[[nodiscard]] constexpr bool writes_conntrack(ProgType type) {
  return type == ProgType::xdp || type == ProgType::sched_cls || type == ProgType::sched_act;
}

/// Programs of this type can be verified.
[[nodiscard]] bool supported(ProgType type);

}  // namespace skep::progs
