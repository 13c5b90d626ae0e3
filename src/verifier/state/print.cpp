// The texts of print.hpp. Relies on domain/scalar.hpp for ranges. Formats were taken from logs of Linux 6.18.
#include "verifier/state/print.hpp"

#include <bit>

namespace skep::verifier {

std::string_view base_name(Base base) {
  constexpr std::string_view names[base_count] = {
      "?",    "scalar",  "ctx",       "map_ptr", "map_value",   "map_key",   "fp",        "pkt_meta",
      "pkt",  "pkt_end", "flow_keys", "sock",    "sock_common", "tcp_sock",  "tp_buffer", "xdp_sock",
      "ptr_", "mem",     "arena",     "buf",     "func",        "dynptr_ptr"};
  return names[static_cast<u32>(base)];
}

std::string type_text(RegType type) {
  std::string text;
  if ((type.flags & tf::rdonly) != 0) text += "rdonly_";
  if ((type.flags & tf::ringbuf) != 0) text += "ringbuf_";
  if ((type.flags & tf::user) != 0) text += "user_";
  if ((type.flags & tf::percpu) != 0) text += "percpu_";
  if ((type.flags & tf::rcu) != 0) text += "rcu_";
  if ((type.flags & tf::untrusted) != 0) text += "untrusted_";
  if ((type.flags & tf::trusted) != 0) text += "trusted_";
  text += base_name(type.base);
  if (type.maybe_null()) text += type.base == Base::btf_id ? "or_null_" : "_or_null";
  return text;
}

namespace {

bool names_a_map(Base base) {
  return base == Base::map_ptr || base == Base::map_value || base == Base::map_key;
}

/// Appends "NAME" after a comma if something stands before it.
void attribute(std::string& out, bool& comma, std::string_view text) {
  if (comma) out += ',';
  comma = true;
  out += text;
}

void append_pointer_facts(std::string& out, const RegState& reg, bool& comma) {
  if (reg.ref_obj_id != 0)
    attribute(out, comma, fmt::format("ref_obj_id={}", static_cast<s32>(reg.ref_obj_id)));
  if (reg.type.base == Base::btf_id && (reg.type.flags & tf::non_owning) != 0)
    attribute(out, comma, "non_own_ref");
  if (names_a_map(reg.type.base) && reg.map != nullptr) {
    if (!reg.map->name.empty()) attribute(out, comma, "map=" + reg.map->name);
    attribute(out, comma, fmt::format("ks={},vs={}", reg.map->key_size, reg.map->value_size));
  }
  if (reg.type.base != Base::scalar && reg.off != 0) {
    attribute(out, comma, "off=");
    append_signed(out, reg.off);
  }
  if (reg.type.is_packet()) {
    attribute(out, comma, "r=");
    append_unsigned(out, static_cast<u64>(static_cast<s64>(reg.range)));
  }
  if (reg.type.base == Base::mem) {
    attribute(out, comma, "sz=");
    append_unsigned(out, reg.mem_size);
  }
}

}  // namespace

std::string reg_text(const RegState& reg, u32 frameno, bool precise) {
  std::string out;
  if (reg.is_scalar() && precise) out += 'P';
  if (reg.is_const()) {
    append_signed(out, static_cast<s64>(reg.num.var_off.value));
    return out;
  }
  out += type_text(reg.type);
  if (reg.type.base == Base::btf_id && reg.btf != nullptr) out += reg.btf->name(reg.btf_id);
  if (reg.type.base == Base::arena) return out;
  if (reg.type.base == Base::stack) {
    if (frameno != reg.frameno) out += fmt::format("[{}]", reg.frameno);
    if (reg.num.is_const()) {
      append_signed(out, static_cast<s64>(reg.num.var_off.value) + reg.off);
      return out;
    }
  }
  out += '(';
  bool comma = false;
  if (reg.id != 0) attribute(out, comma, fmt::format("id={}", reg.base_id()));
  if ((reg.id & id_add_const) != 0) out += fmt::format("{:+}", reg.off);
  append_pointer_facts(out, reg, comma);
  if (reg.num.is_const()) {
    if (reg.num.var_off.value != 0) {
      attribute(out, comma, "imm=");
      append_signed(out, static_cast<s64>(reg.num.var_off.value));
    }
  } else {
    append_ranges(out, reg.num, comma);
  }
  out += ')';
  return out;
}

namespace {

constexpr char byte_letter[] = {'?', 'r', 'm', '0', 'd', 'i', 'f'};

/// "=????scalar()" or "=mmmmmmmm" for one slot; empty if nothing is known of it.
std::string slot_text(const StackSlot& slot, u32 frameno, bool precise) {
  std::string letters;
  bool valid = false;
  for (const SlotByte byte : slot.bytes) {
    valid = valid || byte != SlotByte::invalid;
    letters += byte_letter[static_cast<u32>(byte)];
  }
  if (!valid) return {};
  if (!slot.is_spilled()) return letters;
  letters.resize(letters.find('r'));
  return letters + reg_text(slot.spilled, frameno, precise);
}

/// Only the first slot of a dynptr is shown.
void print_dynptr(Log& log, const RegState& dynptr, u32 slot) {
  std::string text;
  bool comma = false;
  if (dynptr.id != 0) attribute(text, comma, fmt::format("id={}", dynptr.id));
  if (dynptr.ref_obj_id != 0) attribute(text, comma, fmt::format("ref_id={}", dynptr.ref_obj_id));
  attribute(text, comma, "dynptr_id=1");  // the mark of the first slot, which lies where that id would
  log.write(fmt::format(" fp{}=dynptr_{}({})", -8 * (static_cast<s32>(slot) + 1),
                        dynptr_kind_name(dynptr_kind(dynptr)), text));
}

}  // namespace

namespace {

/// Only the first slot of an iterator is shown.
void print_iter(Log& log, const RegState& iter, u32 slot) {
  if (iter.ref_obj_id == 0) return;
  constexpr std::string_view prefix = "bpf_iter_";
  std::string_view name = iter.btf->name(iter.btf_id);
  if (name.starts_with(prefix)) name.remove_prefix(prefix.size());
  log.write(fmt::format(" fp{}=iter_{}(ref_id={},state={},depth={})", -8 * (static_cast<s32>(slot) + 1), name,
                        iter.ref_obj_id, iter_state_of(iter.iter) == IterState::active ? "active" : "drained",
                        iter_depth_of(iter.iter)));
}

}  // namespace

void print_frame(Log& log, const State& state, const Frame& frame, const Scratched* scratched) {
  if (!log.enabled()) return;
  if (frame.frameno != 0) log.write(fmt::format(" frame{}:", frame.frameno));
  for (u32 i = 0; i < reg_count; ++i) {
    if (frame.regs[i].type.base == Base::not_init) continue;
    if (scratched != nullptr && (scratched->regs >> i & 1) == 0) continue;
    log.write(fmt::format(" R{}={}", i,
                          reg_text(frame.regs[i], frame.frameno, (frame.precise_regs >> i & 1) != 0)));
  }
  for (u32 i = 0; i < frame.slot_count; ++i) {
    if (scratched != nullptr && (scratched->slots >> i & 1) == 0) continue;
    if (frame.slots[i].bytes[7] == SlotByte::iter) {
      print_iter(log, frame.slots[i].spilled, i);
      continue;
    }
    if (frame.slots[i].bytes[7] == SlotByte::dynptr) {
      i += dynptr_slots - 1;
      print_dynptr(log, frame.slots[i].spilled, i);
      continue;
    }
    const std::string text = slot_text(frame.slots[i], frame.frameno, (frame.precise_slots >> i & 1) != 0);
    if (!text.empty()) log.write(fmt::format(" fp{}={}", -8 * (static_cast<s32>(i) + 1), text));
  }
  // Locks of maps have no id: where one is the first, nothing is shown.
  const u32 shown = state.ref_count != 0 && state.refs[0].id != 0 ? state.ref_count : 0;
  for (u32 i = 0; i < shown; ++i)
    if (state.refs[i].id != 0) log.write(fmt::format("{}{}", i == 0 ? " refs=" : ",", state.refs[i].id));
  if (frame.in_callback) log.write(" cb");
  if (frame.in_async_callback) log.write(" async_cb");
  log.write("\n");
}

std::string reg_mask_text(u32 mask) {
  std::string text;
  for (; mask != 0; mask &= mask - 1)
    text += fmt::format("{}r{}", text.empty() ? "" : ",", std::countr_zero(mask));
  return text;
}

std::string slot_mask_text(u64 mask) {
  std::string text;
  for (; mask != 0; mask &= mask - 1)
    text += fmt::format("{}-{}", text.empty() ? "" : ",", (std::countr_zero(mask) + 1) * 8);
  return text;
}

}  // namespace skep::verifier
