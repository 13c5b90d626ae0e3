// Chooses the converter of a load or store, and makes narrow and sign-extending loads out of whole ones
// (kernel: convert_ctx_accesses()).
#include "fixup/access.hpp"

#include <fmt/format.h>

#include <cerrno>

#include "fixup/rewrite.hpp"
#include "helpers/internal.hpp"
#include "progs/sk_buff.hpp"

namespace skep::fixup {
namespace {

using namespace isa::op;
using verifier::PtrKind;

/// Contexts that programs see as they are.
bool keeps_context(ProgType type) {
  switch (type) {
    case ProgType::kprobe:
    case ProgType::tracepoint:
    case ProgType::raw_tracepoint:
    case ProgType::raw_tracepoint_writable:
    case ProgType::tracing:
    case ProgType::lsm:
    case ProgType::struct_ops:
    case ProgType::cgroup_device:
    case ProgType::netfilter:
    case ProgType::syscall:
      return true;
    default:
      return false;
  }
}

Converted convert_context(const AccessRules& rules, const isa::Insn& insn) {
  switch (rules.type) {
    case ProgType::xdp:
      return convert_xdp_md(insn);
    case ProgType::socket_filter:
    case ProgType::sched_cls:
    case ProgType::sched_act:
    case ProgType::cgroup_skb:
    case ProgType::lwt_in:
    case ProgType::lwt_out:
    case ProgType::lwt_xmit:
    case ProgType::lwt_seg6local:
    case ProgType::sk_skb:
      return convert_sk_buff(rules, insn);
    case ProgType::flow_dissector:
      return convert_flow_dissector(insn);
    case ProgType::sk_lookup:
      return convert_sk_lookup(insn);
    case ProgType::cgroup_sock:
      return convert_sock(insn);
    default:
      return {};
  }
}

/// The whole field that a narrow load of struct bpf_sock is part of.
u32 sock_field_size(s16 off, u32 size) {
  constexpr s16 dst_port = 48;
  if (off >= dst_port && off < dst_port + 2 && size < 4) return 2;
  return 4;
}

}  // namespace

Result<Patch> convert_access(const AccessRules& rules, const isa::Insn& insn,
                             const verifier::InsnFacts& facts) {
  const auto kind = static_cast<PtrKind>(facts.pointer_kind);
  const bool context = kind == PtrKind::ctx;
  const bool socket = kind == PtrKind::sock || (context && rules.type == ProgType::cgroup_sock);
  if (context && keeps_context(rules.type)) return Patch{insn};
  const u8 mode = insn.code & 0xe0;
  const u32 size = isa::bytes_of_size(insn.code);
  const u32 field_size = socket ? sock_field_size(insn.off, size) : facts.ctx_field_size;
  const bool narrow = !is_store(insn) && size < field_size;
  isa::Insn whole = insn;
  if (narrow) {
    whole.off = static_cast<s16>(insn.off & ~static_cast<s32>(field_size - 1));
    whole.code = static_cast<u8>(LDX | MEM | (field_size == 8 ? DW : field_size == 4 ? W : H));
  }
  Converted out;
  if (mode == MEM || mode == MEMSX) {
    if (socket)
      out = convert_sock(whole);
    else if (kind == PtrKind::tcp_sock)
      out = convert_tcp_sock(whole);
    else if (kind == PtrKind::xdp_sock)
      out = convert_xdp_sock(whole);
    else
      out = convert_context(rules, whole);
  }
  if (out.patch.empty())
    return fail(EOPNOTSUPP,
                fmt::format("no rewriting for this {} access of {} programs (opcode {:#x}, offset {})",
                            context ? "context" : "socket", prog_type_name(rules.type), insn.code, insn.off));
  if (narrow && size < out.size) {
    const auto shift = static_cast<s32>(static_cast<u32>(insn.off) % field_size * 8);
    if (shift != 0) out.patch.add(alu_imm(RSH, field_size > 4, insn.dst, shift));
    out.patch.add(alu_imm(AND, false, insn.dst, static_cast<s32>((1u << size * 8) - 1)));
  }
  if (mode == MEMSX)
    out.patch.add(isa::Insn{
        .code = ALU64 | MOV | X, .dst = insn.dst, .src = insn.dst, .off = static_cast<s16>(size * 8)});
  return out.patch;
}

Patch unclone_prologue(ProgType type) {
  constexpr s32 skb_pull_data = 39;
  constexpr u8 r0 = 0, r1 = 1, r2 = 2, r6 = 6;
  s32 drop = 2;  // TC_ACT_SHOT
  switch (type) {
    case ProgType::sched_cls:
    case ProgType::sched_act:
    case ProgType::lwt_xmit:
      break;
    case ProgType::sk_skb:
      drop = 0;  // SK_DROP
      break;
    default:
      return {};
  }
  return {isa::encode(isa::Form::LDX_B, r6, r1, static_cast<s16>(offsetof(progs::SkBuff, clone_bits))),
          alu_imm(AND, false, r6, progs::skb_cloned),
          jump_if(JEQ, true, r6, 0, 7),
          isa::encode(isa::Form::MOV64_X, r6, r1),
          isa::encode(isa::Form::XOR64_X, r2, r2),
          call(skb_pull_data),
          jump_if(JEQ, true, r0, 0, 2),
          alu_imm(MOV, false, r0, drop),
          isa::encode(isa::Form::EXIT),
          isa::encode(isa::Form::MOV64_X, r1, r6)};
}

Patch packet_load(const isa::Insn& insn) {
  constexpr u8 r0 = 0, r1 = 1, r2 = 2, r6 = 6;
  Patch patch;
  if ((insn.code & 0xe0) == ABS) {
    patch.add(mov_imm(r2, insn.imm));
  } else {
    patch.add(isa::encode(isa::Form::MOV64_X, r2, insn.src));
    if (insn.imm != 0) patch.add(add_imm(r2, insn.imm));
  }
  patch.add(isa::encode(isa::Form::MOV64_X, r1, r6));
  switch (isa::bytes_of_size(insn.code)) {
    case 1:
      patch.add(call(helpers::fn_skb_load_8));
      break;
    case 2:
      patch.add(call(helpers::fn_skb_load_16));
      break;
    default:
      patch.add(call(helpers::fn_skb_load_32));
      break;
  }
  patch.add(jump_if(JSGE, true, r0, 0, 2));
  patch.add(isa::encode(isa::Form::XOR32_X, r0, r0));
  patch.add(isa::encode(isa::Form::EXIT));
  return patch;
}

}  // namespace skep::fixup
