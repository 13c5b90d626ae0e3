// struct bpf_sock, bpf_tcp_sock, bpf_xdp_sock and bpf_sk_lookup to the kernel's structures
// (kernel: bpf_sock_convert_ctx_access(), bpf_tcp_sock_convert_ctx_access(), sk_lookup_convert_ctx_access()).
#include "fixup/access.hpp"
#include "progs/sk_buff.hpp"

namespace skep::fixup {
namespace {

using namespace isa::op;
using progs::SkLookup;
using progs::Sock;

Converted load(u8 size, const isa::Insn& insn, std::size_t off, u32 bytes) {
  return {Patch{load_of(size, insn, off)}, bytes};
}

/// A word of an address that the structure points to, or 0.
Converted address_word(const isa::Insn& insn, std::size_t pointer, s32 word) {
  return {Patch{load_of(DW, insn, pointer), jump_if(JEQ, true, insn.dst, 0, 1),
                load_through(W, insn, static_cast<std::size_t>(word))},
          4};
}

}  // namespace

Converted convert_sock(const isa::Insn& insn) {
  const s16 off = insn.off;
  const u8 size = insn.code & DW;
  const bool store = is_store(insn);
  const auto word = [&](std::size_t at) -> Converted {
    return {Patch{store ? store_of(W, insn, at) : load_of(W, insn, at)}, 4};
  };
  if (off >= 28 && off < 44)
    return load(size, insn, offsetof(Sock, v6_rcv_saddr) + static_cast<u32>(off - 28), 4);
  if (off >= 56 && off < 72)
    return load(size, insn, offsetof(Sock, v6_daddr) + static_cast<u32>(off - 56), 4);
  switch (off) {
    case 0:
      return word(offsetof(Sock, bound_dev_if));
    case 4:
      return load(H, insn, offsetof(Sock, family), 2);
    case 8:
      return load(H, insn, offsetof(Sock, type), 2);
    case 12:
      return load(H, insn, offsetof(Sock, protocol), 2);
    case 16:
      return word(offsetof(Sock, mark));
    case 20:
      return word(offsetof(Sock, priority));
    case 24:
      return load(size, insn, offsetof(Sock, rcv_saddr), 4);
    case 44:
      return load(H, insn, offsetof(Sock, num), 2);
    case 48:
      return load(H, insn, offsetof(Sock, dport), 2);
    case 52:
      return load(size, insn, offsetof(Sock, daddr), 4);
    case 72:
      return load(B, insn, offsetof(Sock, state), 1);
    case 76:
      return {
          Patch{load_of(H, insn, offsetof(Sock, rx_queue_mapping)),
                jump_if(JNE, true, insn.dst, progs::no_queue_mapping, 1), alu_imm(MOV, false, insn.dst, -1)},
          4};
    default:
      return {};
  }
}

Converted convert_tcp_sock(const isa::Insn& insn) {
  for (const progs::TcpSockField& field : progs::tcp_sock_fields) {
    if (field.user_off != insn.off) continue;
    const u8 size = field.kernel_size == 8 ? DW : field.kernel_size == 4 ? W : B;
    return load(size, insn, field.kernel_off, field.kernel_size);
  }
  return {};
}

Converted convert_xdp_sock(const isa::Insn& insn) {
  constexpr std::size_t queue_id = 880;  // struct xdp_sock
  return insn.off == 0 ? load(H, insn, queue_id, 2) : Converted{};
}

Converted convert_sk_lookup(const isa::Insn& insn) {
  const s16 off = insn.off;
  if (off >= 20 && off < 36) return address_word(insn, offsetof(SkLookup, saddr6), off - 20);
  if (off >= 44 && off < 60) return address_word(insn, offsetof(SkLookup, daddr6), off - 44);
  switch (off) {
    case 0:
      return load(DW, insn, offsetof(SkLookup, selected_sk), 8);
    case 8:
      return load(H, insn, offsetof(SkLookup, family), 2);
    case 12:
      return load(H, insn, offsetof(SkLookup, protocol), 2);
    case 16:
      return load(W, insn, offsetof(SkLookup, saddr4), 4);
    case 36:
      return load(H, insn, offsetof(SkLookup, sport), 2);
    case 38:  // the upper half of remote_port
      return {Patch{alu_imm(MOV, false, insn.dst, 0)}, 2};
    case 40:
      return load(W, insn, offsetof(SkLookup, daddr4), 4);
    case 60:
      return load(H, insn, offsetof(SkLookup, dport), 2);
    case 64:
      return load(W, insn, offsetof(SkLookup, ingress_ifindex), 4);
    default:
      return {};
  }
}

}  // namespace skep::fixup
