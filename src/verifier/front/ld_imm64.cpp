// 64-bit immediates that stand for something (a map, a map's value, a function), and the check that every
// opcode exists (kernel: resolve_pseudo_ldimm64()). The instructions are not changed: what a reference
// resolved to is in the notes.
#include <algorithm>
#include <cerrno>

#include "base/limits.hpp"
#include "isa/form.hpp"
#include "verifier/front/insns.hpp"
#include "verifier/front/program.hpp"

namespace skep::verifier {
namespace {

bool is_tracing(ProgType type) {
  switch (type) {
    case ProgType::kprobe:
    case ProgType::tracepoint:
    case ProgType::perf_event:
    case ProgType::raw_tracepoint:
    case ProgType::raw_tracepoint_writable:
      return true;
    default:
      return false;
  }
}

bool sleepable_may_use(MapType type) {
  switch (type) {
    case MapType::hash:
    case MapType::lru_hash:
    case MapType::array:
    case MapType::percpu_hash:
    case MapType::percpu_array:
    case MapType::lru_percpu_hash:
    case MapType::array_of_maps:
    case MapType::hash_of_maps:
    case MapType::ringbuf:
    case MapType::user_ringbuf:
    case MapType::inode_storage:
    case MapType::sk_storage:
    case MapType::task_storage:
    case MapType::cgrp_storage:
    case MapType::queue:
    case MapType::stack:
    case MapType::arena:
      return true;
    default:
      return false;
  }
}

int check_compatibility(const Input& input, const maps::MapFacts& map, Log& log) {
  const char* refusal = nullptr;
  constexpr u32 graph_roots =
      btf::field_bit(btf::FieldKind::list_head) | btf::field_bit(btf::FieldKind::rb_root);
  const bool locked = map.record.spin_lock_off >= 0 || map.record.res_spin_lock_off >= 0;
  if ((map.record.kinds & graph_roots) != 0 && is_tracing(input.type)) {
    refusal = "tracing progs cannot use bpf_{list_head,rb_root} yet\n";
  } else if (locked && input.type == ProgType::socket_filter) {
    refusal = "socket filter progs cannot use bpf_spin_lock yet\n";
  } else if (locked && is_tracing(input.type)) {
    refusal = "tracing progs cannot use bpf_spin_lock yet\n";
  } else if (map.record.timer_off >= 0 && is_tracing(input.type)) {
    refusal = "tracing progs cannot use bpf_timer yet\n";
  } else if (map.record.workqueue_off >= 0 && is_tracing(input.type)) {
    refusal = "tracing progs cannot use bpf_wq yet\n";
  } else if (map.type == MapType::struct_ops) {
    refusal = "bpf_struct_ops map cannot be used in prog\n";
  } else if ((input.prog_flags & uapi::F_SLEEPABLE) != 0 && !sleepable_may_use(map.type)) {
    refusal = "Sleepable programs can only use array, hash, ringbuf and local storage maps\n";
  }
  if (refusal == nullptr) return 0;
  log.say("{}", refusal);
  return EINVAL;
}

/// Finds the map behind a descriptor and lists it as used. `index` is its place in used_maps.
int use_map(const Input& input, int fd, Program& program, s32& index, Log& log) {
  const auto binding =
      std::find_if(input.maps.begin(), input.maps.end(), [fd](const MapBinding& b) { return b.fd == fd; });
  if (binding == input.maps.end() || binding->facts == nullptr) {
    log.say("fd {} is not pointing to valid bpf_map\n", fd);
    return binding == input.maps.end() ? EBADF : EINVAL;
  }
  auto& used = program.used_maps;
  const auto known = std::find(used.begin(), used.end(), binding->facts);
  index = static_cast<s32>(known - used.begin());
  if (known != used.end()) return 0;
  if (used.size() >= limits::max_used_maps) {
    log.say("The total number of maps per program has reached the limit of {}\n", limits::max_used_maps);
    return E2BIG;
  }
  if (const int err = check_compatibility(input, *binding->facts, log); err != 0) return err;
  used.push_back(binding->facts);
  return 0;
}

/// What is asked of a map when it is named for the first time: one arena a program. That its address in user
/// space is set is taken for granted, as libbpf maps every arena that it makes.
int note_arena(const maps::MapFacts& map, Program& program, Log& log) {
  if (map.type != MapType::arena || program.arena == &map) return 0;
  if (program.arena != nullptr) {
    log.say("Only one arena per program\n");
    return EBUSY;
  }
  program.arena = &map;
  return 0;
}

/// `ld_imm64 src=2`: the address of byte `off` of the only value of an array.
int check_direct_value(const maps::MapFacts& map, u32 off, Log& log) {
  if (off >= static_cast<u32>(limits::max_var_offset)) {
    log.say("direct value offset of {} is not allowed\n", off);
    return EINVAL;
  }
  if (map.type == MapType::arena) {
    constexpr u64 page_bytes = 4096;
    if (off <= map.max_entries * page_bytes) return 0;
    log.say("invalid access to map value pointer, value_size={} off={}\n", map.value_size, off);
    return ERANGE;
  }
  if (map.type != MapType::array) {
    log.say("no direct value access support for this map type\n");
    return EINVAL;
  }
  if (map.max_entries == 1 && off < map.value_size) return 0;
  log.say("invalid access to map value pointer, value_size={} off={}\n", map.value_size, off);
  return map.max_entries != 1 ? kENOTSUPP : EINVAL;
}

int resolve_map(const Input& input, const isa::Insn& first, const isa::Insn& second, InsnNotes& notes,
                Program& program, Log& log) {
  const bool by_index = first.src == uapi::PSEUDO_MAP_IDX || first.src == uapi::PSEUDO_MAP_IDX_VALUE;
  const bool value = first.src == uapi::PSEUDO_MAP_VALUE || first.src == uapi::PSEUDO_MAP_IDX_VALUE;
  const bool known = value || first.src == uapi::PSEUDO_MAP_FD || first.src == uapi::PSEUDO_MAP_IDX;
  if (!known || (!value && second.imm != 0)) {
    log.say("unrecognized bpf_ld_imm64 insn\n");
    return EINVAL;
  }
  int fd = first.imm;
  if (by_index) {
    if (input.fd_array.empty()) {
      log.say("fd_idx without fd_array is invalid\n");
      return EPROTO;
    }
    if (first.imm < 0 || static_cast<std::size_t>(first.imm) >= input.fd_array.size()) return EFAULT;
    fd = input.fd_array[static_cast<std::size_t>(first.imm)];
  }
  if (const int err = use_map(input, fd, program, notes.map_index, log); err != 0) return err;
  const maps::MapFacts& map = *program.used_maps[static_cast<u32>(notes.map_index)];
  if (value) {
    const auto off = static_cast<u32>(second.imm);
    notes.map_off = off;
    if (const int err = check_direct_value(map, off, log); err != 0) return err;
  }
  return note_arena(map, program, log);
}

/// A variable or function of the kernel (kernel: check_pseudo_btf_id()).
int check_kernel_symbol(const Input& input, const isa::Insn& first, const isa::Insn& second, Log& log) {
  const btf::Btf* types = input.vmlinux != nullptr ? input.vmlinux->types() : nullptr;
  if (second.imm != 0) {
    log.say("invalid module BTF object FD specified.\n");
    return EINVAL;
  }
  if (types == nullptr) {
    log.say("kernel is missing BTF, make sure CONFIG_DEBUG_INFO_BTF=y is specified in Kconfig.\n");
    return EINVAL;
  }
  if (first.imm < 0 || static_cast<u32>(first.imm) > types->type_count()) {
    log.say("ldimm64 insn specifies invalid btf_id {}.\n", first.imm);
    return ENOENT;
  }
  const btf::Kind kind = types->type(static_cast<u32>(first.imm)).kind;
  if (kind != btf::Kind::var && kind != btf::Kind::func) {
    log.say("pseudo btf_id {} in ldimm64 isn't KIND_VAR or KIND_FUNC\n", first.imm);
    return EINVAL;
  }
  const std::string_view name = types->name(static_cast<u32>(first.imm));
  if (input.vmlinux->has_symbol(name)) return 0;
  log.say("ldimm64 failed to find the address for kernel symbol '{}'.\n", name);
  return ENOENT;
}

int resolve_ld_imm64(const Input& input, Program& program, u32 at, Log& log) {
  const isa::Insn first = program.insns[at];
  if (at + 1 == program.insns.size()) {
    log.say("invalid bpf_ld_imm64 insn\n");
    return EINVAL;
  }
  const isa::Insn second = program.insns[at + 1];
  if (second.code != 0 || second.dst != 0 || second.src != 0 || second.off != 0) {
    log.say("invalid bpf_ld_imm64 insn\n");
    return EINVAL;
  }
  switch (first.src) {
    case 0:
    case uapi::PSEUDO_FUNC:
      return 0;
    case uapi::PSEUDO_BTF_ID:
      return check_kernel_symbol(input, first, second, log);
    default:
      return resolve_map(input, first, second, program.notes[at], program, log);
  }
}

}  // namespace

int resolve_pseudo_ldimm64(const Input& input, Program& program, Log& log) {
  for (u32 i = 0; i < program.insns.size(); ++i) {
    const isa::Insn& insn = program.insns[i];
    if (isa::class_of(insn.code) == isa::op::LDX) {
      const u8 mode = isa::mode_of(insn.code);
      if ((mode != isa::op::MEM && mode != isa::op::MEMSX) || insn.imm != 0) {
        log.say("BPF_LDX uses reserved fields\n");
        return EINVAL;
      }
    }
    if (isa::is_ld_imm64(insn)) {
      if (const int err = resolve_ld_imm64(input, program, i, log); err != 0) return err;
      ++i;
      continue;
    }
    if (!isa::known_opcode(insn.code)) {
      log.say("unknown opcode {:02x}\n", insn.code);
      return EINVAL;
    }
  }
  return 0;
}

}  // namespace skep::verifier
