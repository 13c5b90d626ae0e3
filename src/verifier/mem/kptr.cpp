// Kernel pointers in map values: loads, stores, and what may be stored (kernel: check_map_kptr_access(),
// map_kptr_match_type(), btf_ld_kptr_type()).
#include "btf/kernel_btf.hpp"
#include "verifier/walk/walk.hpp"

namespace skep::verifier {

using namespace isa;

namespace {

/// Kernel objects that a grace period protects (kernel: rcu_protected_types).
bool rcu_protected(std::string_view name) {
  return name == "prog_test_ref_kfunc" || name == "cgroup" || name == "bpf_cpumask" ||
         name == "task_struct" || name == "bpf_crypto_ctx";
}

}  // namespace

/// What a kptr points to: the kernel's type of that name, or else the program's own (kernel:
/// btf_parse_kptr()).
Walk::KptrTarget Walk::kptr_target(const btf::Btf* types, const btf::Field& field) {
  const btf::Type& type = types->type(field.target);
  if (e.input.vmlinux != nullptr && field.kind != btf::FieldKind::uptr) {
    const u32 id = e.input.vmlinux->find(type.kind, types->string(type.name_off));
    if (id != 0) return {e.input.vmlinux->types(), id};
  }
  return {types, field.target};
}

u16 Walk::kptr_load_flags(const btf::Field& field, KptrTarget target) {
  using btf::FieldKind;
  if (field.kind == FieldKind::uptr) return tf::maybe_null;
  const bool of_kernel = target.btf == kernel_btf();
  const bool rcu_safe =
      field.kind == FieldKind::percpu_kptr ||
      (field.kind == FieldKind::kptr && (!of_kernel || rcu_protected(target.btf->name(target.id))));
  if (!rcu_safe || !in_rcu_section()) return tf::maybe_null | tf::untrusted;
  u16 flags = tf::maybe_null | tf::rcu;
  if (field.kind == FieldKind::percpu_kptr)
    flags |= tf::percpu;
  else if (!of_kernel)
    flags |= tf::alloc;
  const btf::Record* record = of_kernel ? nullptr : struct_record(target.btf, target.id);
  if (record != nullptr && record->has_any(btf::graph_nodes)) flags |= tf::non_owning;
  return flags;
}

Status Walk::check_kptr_match(const btf::Field& field, KptrTarget target, const RegState& reg, u32 regno) {
  using btf::FieldKind;
  const bool plain = field.kind == FieldKind::kptr_untrusted;
  const bool percpu = field.kind == FieldKind::percpu_kptr;
  std::string_view name;
  auto bad = [&] {
    return e.reject(
        EINVAL, "invalid kptr access, R{} type={}{} expected={}{}{}\n", regno, type_text(reg.type), name,
        type_text(Base::btf_id), target.btf->name(target.id),
        plain ? fmt::format(" or {}{}", type_text({Base::btf_id, tf::untrusted}), target.btf->name(target.id))
              : std::string());
  };
  if (reg.type.base != Base::btf_id) return bad();
  u32 allowed = tf::maybe_null;
  if (reg.btf == kernel_btf()) {
    allowed |= tf::trusted | tf::rcu;
    if (plain) allowed |= tf::untrusted;
  } else {
    allowed |= tf::alloc;
    if (percpu) allowed |= tf::percpu;
  }
  if ((reg.type.flags & ~allowed) != 0 || percpu != ((reg.type.flags & tf::percpu) != 0)) return bad();
  name = reg.btf->name(reg.btf_id);
  if (!check_pointer_unmodified(reg, regno, true).ok()) return Status(EACCES);
  const bool alloc = (reg.type.flags & tf::alloc) != 0;
  if (!struct_ids_match(reg.btf, reg.btf_id, reg.off, target.btf, target.id, !plain, !alloc)) return bad();
  return passed;
}

Status Walk::check_kptr_access(const maps::MapFacts& map, const btf::Field& field, s32 value_regno) {
  using btf::FieldKind;
  const Insn& insn = insns[e.insn_idx];
  if (mode_of(insn.code) != op::MEM)
    return e.reject(EACCES, "kptr in map can only be accessed using BPF_MEM instruction mode\n");
  const u8 cls = class_of(insn.code);
  if (cls != op::LDX && (field.kind == FieldKind::kptr || field.kind == FieldKind::percpu_kptr))
    return e.reject(EACCES, "store to referenced kptr disallowed\n");
  if (cls != op::LDX && field.kind == FieldKind::uptr) return e.reject(EACCES, "store to uptr disallowed\n");
  const KptrTarget target = kptr_target(map.btf, field);
  if (cls == op::LDX) {
    if (field.kind == FieldKind::uptr) {
      RegState& value = regs()[value_regno];
      mark_known_zero_pointer(value, {Base::mem, tf::maybe_null});
      value.mem_size = target.btf->type(target.id).size;
      value.id = ++e.id_gen;
      return passed;
    }
    mark_btf_load(regs()[value_regno], Base::btf_id, target.btf, target.id, kptr_load_flags(field, target));
    return passed;
  }
  if (cls == op::STX) {
    const RegState& value = regs()[value_regno];
    if (value.is_const() && value.num.var_off.value == 0) return mark_precise(static_cast<u32>(value_regno));
    return check_kptr_match(field, target, value, static_cast<u32>(value_regno)).ok() ? passed
                                                                                      : Status(EACCES);
  }
  if (cls == op::ST && insn.imm != 0)
    return e.reject(EACCES, "BPF_ST imm must be 0 when storing to kptr at off={}\n", field.offset);
  return passed;
}

}  // namespace skep::verifier
