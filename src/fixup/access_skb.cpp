// struct __sk_buff to struct sk_buff (kernel: bpf_convert_ctx_access() of net/core/filter.c and the variants
// of tc and sk_skb).
#include "fixup/access.hpp"
#include "progs/sk_buff.hpp"

namespace skep::fixup {
namespace {

using namespace isa::op;
using progs::SkbCb;
using progs::SkbSharedInfo;
using progs::SkBuff;
using progs::Sock;

/// Offsets in struct __sk_buff (uapi/linux/bpf.h).
enum User : s16 {
  u_len = 0,
  u_pkt_type = 4,
  u_mark = 8,
  u_queue_mapping = 12,
  u_protocol = 16,
  u_vlan_present = 20,
  u_vlan_tci = 24,
  u_vlan_proto = 28,
  u_priority = 32,
  u_ingress_ifindex = 36,
  u_ifindex = 40,
  u_tc_index = 44,
  u_cb = 48,
  u_hash = 68,
  u_tc_classid = 72,
  u_data = 76,
  u_data_end = 80,
  u_napi_id = 84,
  u_family = 88,
  u_remote_ip4 = 92,
  u_local_ip4 = 96,
  u_remote_ip6 = 100,
  u_local_ip6 = 116,
  u_remote_port = 132,
  u_local_port = 136,
  u_data_meta = 140,
  u_tstamp = 152,
  u_wire_len = 160,
  u_gso_segs = 164,
  u_sk = 168,
  u_gso_size = 176,
  u_tstamp_type = 180,
  u_hwtstamp = 184,
};

constexpr std::size_t cb_at = offsetof(SkBuff, cb);
constexpr s32 min_napi_id = 257;  // MIN_NAPI_ID on a machine of 256 CPU slots: NR_CPUS + 1

/// A field that is loaded and, where the verifier lets it, stored as it is.
struct Plain {
  s16 user;
  u16 kernel;
  u8 size;  ///< opcode's size
};
constexpr Plain plain_fields[] = {
    {u_len, offsetof(SkBuff, len), W},
    {u_mark, offsetof(SkBuff, mark), W},
    {u_protocol, offsetof(SkBuff, protocol), H},
    {u_vlan_tci, offsetof(SkBuff, vlan_tci), H},
    {u_vlan_proto, offsetof(SkBuff, vlan_proto), H},
    {u_priority, offsetof(SkBuff, priority), W},
    {u_ingress_ifindex, offsetof(SkBuff, skb_iif), W},
    {u_tc_index, offsetof(SkBuff, tc_index), H},
    {u_hash, offsetof(SkBuff, hash), W},
    {u_tc_classid, cb_at + offsetof(SkbCb, tc_classid), H},
    {u_data, offsetof(SkBuff, data), DW},
    {u_data_end, cb_at + offsetof(SkbCb, data_end), DW},
    {u_data_meta, cb_at + offsetof(SkbCb, data_meta), DW},
    {u_wire_len, cb_at + offsetof(SkbCb, pkt_len), W},
    {u_sk, offsetof(SkBuff, sk), DW},
};
/// A field of the packet's socket.
constexpr Plain sock_fields[] = {
    {u_family, offsetof(Sock, family), H},
    {u_remote_ip4, offsetof(Sock, daddr), W},
    {u_local_ip4, offsetof(Sock, rcv_saddr), W},
    {u_remote_ip6, offsetof(Sock, v6_daddr), W},
    {u_remote_ip6 + 4, offsetof(Sock, v6_daddr) + 4, W},
    {u_remote_ip6 + 8, offsetof(Sock, v6_daddr) + 8, W},
    {u_remote_ip6 + 12, offsetof(Sock, v6_daddr) + 12, W},
    {u_local_ip6, offsetof(Sock, v6_rcv_saddr), W},
    {u_local_ip6 + 4, offsetof(Sock, v6_rcv_saddr) + 4, W},
    {u_local_ip6 + 8, offsetof(Sock, v6_rcv_saddr) + 8, W},
    {u_local_ip6 + 12, offsetof(Sock, v6_rcv_saddr) + 12, W},
    {u_remote_port, offsetof(Sock, dport), H},
    {u_local_port, offsetof(Sock, num), H},
};
constexpr Plain shared_info_fields[] = {
    {u_gso_segs, offsetof(SkbSharedInfo, gso_segs), H},
    {u_gso_size, offsetof(SkbSharedInfo, gso_size), H},
    {u_hwtstamp, offsetof(SkbSharedInfo, hwtstamp), DW},
};

constexpr u32 bytes_of(u8 size) { return size == DW ? 8 : size == W ? 4 : size == H ? 2 : 1; }

template <std::size_t n>
const Plain* find(const Plain (&fields)[n], s16 off) {
  for (const Plain& field : fields)
    if (field.user == off) return &field;
  return nullptr;
}

/// The receiver's time stamp: at ingress a packet that still has a delivery time shows none, and writing
/// takes the delivery time's mark away, unless the program knows of it.
Converted tstamp(const AccessRules& rules, const isa::Insn& insn) {
  Patch patch;
  const bool store = is_store(insn);
  const auto at = static_cast<s16>(offsetof(SkBuff, time_bits));
  if (!rules.tstamp_type_access) {
    patch.add(isa::encode(isa::Form::LDX_B, r_ax, store ? insn.dst : insn.src, at));
    patch.add(jump_if(JSET, false, r_ax, progs::skb_tc_at_ingress, 1));
    if (store) {
      patch.add(jump(2));
      patch.add(alu_imm(AND, false, r_ax, ~s32{progs::skb_tstamp_type_mask}));
      patch.add(isa::encode(isa::Form::STX_B, insn.dst, r_ax, at));
    } else {
      patch.add(jump(4));
      patch.add(jump_if(JSET, false, r_ax, progs::skb_tstamp_type_mask, 1));
      patch.add(jump(2));
      patch.add(mov_imm(insn.dst, 0));
      patch.add(jump(1));
    }
  }
  constexpr std::size_t field = offsetof(SkBuff, tstamp);
  patch.add(store ? store_of(DW, insn, field) : load_of(DW, insn, field));
  return {patch, 8};
}

/// data_end of sk_skb programs is counted from the packet's linear part; with one register for both pointers
/// another one is put aside in the control block meanwhile.
Converted linear_end(const isa::Insn& insn) {
  const auto temp = static_cast<s16>(cb_at + 24);  // sk_skb_cb.temp_reg
  Patch patch;
  u8 reg = insn.dst;
  if (insn.src == insn.dst) {
    reg = insn.src == 9 ? 8 : 9;
    patch.add(isa::encode(isa::Form::STX_DW, insn.src, reg, temp));
  }
  patch.add(load_u64(reg, insn.src, static_cast<s16>(offsetof(SkBuff, data))));
  patch.add(load_u32(r_ax, insn.src, static_cast<s16>(offsetof(SkBuff, len))));
  patch.add(add_reg(reg, r_ax));
  patch.add(load_u32(r_ax, insn.src, static_cast<s16>(offsetof(SkBuff, data_len))));
  patch.add(isa::encode(isa::Form::SUB64_X, reg, r_ax));
  if (insn.src == insn.dst) {
    patch.add(isa::encode(isa::Form::MOV64_X, r_ax, insn.src));
    patch.add(isa::encode(isa::Form::MOV64_X, insn.dst, reg));
    patch.add(load_u64(reg, r_ax, temp));
  }
  return {patch, 8};
}

Converted control_block(const AccessRules& rules, const isa::Insn& insn) {
  const std::size_t base =
      rules.type == ProgType::sk_skb ? 0 : offsetof(SkbCb, data);  // sk_skb_cb.data is first
  const std::size_t at = cb_at + base + static_cast<std::size_t>(insn.off - u_cb);
  const u8 size = insn.code & DW;
  return {Patch{is_store(insn) ? store_of(size, insn, at) : load_of(size, insn, at)}, 0};
}

Converted device_index(const AccessRules& rules, const isa::Insn& insn) {
  Patch patch{load_of(DW, insn, offsetof(SkBuff, dev))};
  const bool always = rules.type == ProgType::sched_cls || rules.type == ProgType::sched_act;
  if (!always) patch.add(jump_if(JEQ, true, insn.dst, 0, 1));
  patch.add(load_through(W, insn, offsetof(progs::NetDevice, ifindex)));
  return {patch, 4};
}

Converted queue_mapping(const isa::Insn& insn) {
  constexpr std::size_t at = offsetof(SkBuff, queue_mapping);
  constexpr s32 none = progs::no_queue_mapping;
  if (!is_store(insn)) return {Patch{load_of(H, insn, at)}, 2};
  if (isa::class_of(insn.code) == ST && static_cast<u32>(insn.imm) >= static_cast<u32>(none))
    return {Patch{jump(0)}, 2};
  Patch patch;
  if (isa::class_of(insn.code) == STX) patch.add(jump_if(JGE, true, insn.src, none, 1));
  patch.add(store_of(H, insn, at));
  return {patch, 2};
}

Converted of_socket(const Plain& field, const isa::Insn& insn) {
  Patch patch{load_of(DW, insn, offsetof(SkBuff, sk)), load_through(field.size, insn, field.kernel)};
  if (field.user == u_remote_port) patch.add(alu_imm(LSH, false, insn.dst, 16));
  return {patch, bytes_of(field.size)};
}

Converted of_shared_info(const Plain& field, const isa::Insn& insn) {
  return {Patch{load_u32(r_ax, insn.src, static_cast<s16>(offsetof(SkBuff, end))),
                load_of(DW, insn, offsetof(SkBuff, head)), add_reg(insn.dst, r_ax),
                load_through(field.size, insn, field.kernel)},
          bytes_of(field.size)};
}

}  // namespace

Converted convert_sk_buff(const AccessRules& rules, const isa::Insn& insn) {
  const s16 off = insn.off;
  if (off >= u_cb && off < u_cb + 20) return control_block(rules, insn);
  if (off == u_data_end && rules.type == ProgType::sk_skb) return linear_end(insn);
  if (const Plain* field = find(plain_fields, off)) {
    return {Patch{is_store(insn) ? store_of(field->size, insn, field->kernel)
                                 : load_of(field->size, insn, field->kernel)},
            bytes_of(field->size)};
  }
  if (const Plain* field = find(sock_fields, off)) return of_socket(*field, insn);
  if (const Plain* field = find(shared_info_fields, off)) return of_shared_info(*field, insn);
  switch (off) {
    case u_pkt_type:
      return {Patch{load_of(B, insn, offsetof(SkBuff, type_bits)),
                    alu_imm(AND, false, insn.dst, progs::skb_pkt_type_mask)},
              1};
    case u_queue_mapping:
      return queue_mapping(insn);
    case u_vlan_present:
      return {Patch{load_of(W, insn, offsetof(SkBuff, vlan_proto)), jump_if(JEQ, true, insn.dst, 0, 1),
                    alu_imm(MOV, false, insn.dst, 1)},
              4};
    case u_ifindex:
      return device_index(rules, insn);
    case u_napi_id:
      return {Patch{load_of(W, insn, offsetof(SkBuff, napi_id)), jump_if(JGE, true, insn.dst, min_napi_id, 1),
                    mov_imm(insn.dst, 0)},
              4};
    case u_tstamp:
      return tstamp(rules, insn);
    case u_tstamp_type:
      return {Patch{load_of(B, insn, offsetof(SkBuff, time_bits)),
                    alu_imm(AND, false, insn.dst, progs::skb_tstamp_type_mask)},
              1};
    default:
      return {};
  }
}

Converted convert_flow_dissector(const isa::Insn& insn) {
  constexpr s16 flow_keys = 144;
  switch (insn.off) {
    case u_data:
      return {Patch{load_of(DW, insn, offsetof(progs::FlowDissector, data))}, 8};
    case u_data_end:
      return {Patch{load_of(DW, insn, offsetof(progs::FlowDissector, data_end))}, 8};
    case flow_keys:
      return {Patch{load_of(DW, insn, offsetof(progs::FlowDissector, flow_keys))}, 8};
    default:
      return {};
  }
}

}  // namespace skep::fixup
