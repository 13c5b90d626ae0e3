// Arguments and results of helpers that are pointers with a BTF type: kernel structs, kptrs, per-CPU
// variables (kernel: the end of check_reg_type(), process_kptr_func(), the RET_PTR_TO_BTF_ID cases of
// check_helper_call()).
#include "btf/kernel_btf.hpp"
#include "verifier/call/helper_ids.hpp"
#include "verifier/walk/walk.hpp"

namespace skep::verifier {

using helpers::Arg;
using helpers::ArgSpec;

/// The register's base type fits the argument; now its struct must.
Status Walk::check_btf_arg(u32 regno, const ArgSpec& spec, const CallMeta& meta) {
  const RegState& reg = regs()[regno];
  const u16 flags = reg.type.flags;
  const bool exchange = meta.func_id == fn_id::kptr_xchg;
  if (spec.kind == Arg::mem || spec.kind == Arg::map_key || spec.kind == Arg::map_value) {
    if ((spec.flags & helpers::rdonly) != 0) return passed;
    return e.reject(EACCES, "{}() may write into memory pointed by R{} type={}\n",
                    e.input.helper_name(static_cast<u32>(meta.func_id)), regno, type_text(reg.type));
  }
  if ((flags & tf::alloc) != 0) {
    if (exchange && regno == 2)
      return check_kptr_match(*meta.kptr, kptr_target(meta.kptr_btf, *meta.kptr), reg, regno).ok()
                 ? passed
                 : Status(EACCES);
    if (exchange || meta.func_id == fn_id::spin_lock || meta.func_id == fn_id::spin_unlock) return passed;
    return e.reject(EFAULT, "verifier internal error: unimplemented handling of MEM_ALLOC\n");
  }
  if ((flags & tf::percpu) != 0) return passed;
  if ((flags & ~(tf::trusted | tf::rcu | tf::maybe_null)) != 0)
    return e.reject(EFAULT, "verifier internal error: invalid PTR_TO_BTF_ID register for type match\n");
  const bool release = (spec.flags & helpers::release) != 0;
  if (reg.type.maybe_null() && ((spec.flags & helpers::maybe_null) == 0 || release))
    return e.reject(EACCES, "Possibly NULL pointer passed to helper arg{}\n", regno);
  if (exchange)
    return check_kptr_match(*meta.kptr, kptr_target(meta.kptr_btf, *meta.kptr), reg, regno).ok()
               ? passed
               : Status(EACCES);
  std::string_view wanted = helpers::kernel_type_name(spec.type);
  if (wanted.empty() && spec.kind == Arg::btf_id_sock_common) wanted = "sock_common";
  const bool strict = release && meta.func_id != fn_id::sk_release;
  u32 want_id = meta.want_btf_id;
  if (want_id != 0)
    wanted = kernel_btf()->name(want_id);
  else
    want_id = kernel_struct(wanted);
  if (struct_ids_match(reg.btf, reg.btf_id, reg.off, kernel_btf(), want_id, strict, true)) return passed;
  return e.reject(EACCES, "R{} is of type {} but {} is expected\n", regno, reg.btf->name(reg.btf_id), wanted);
}

/// The kptr field that bpf_kptr_xchg() is to change.
Status Walk::check_kptr_arg(u32 regno, CallMeta& meta) {
  const RegState& reg = regs()[regno];
  const btf::Record* record = record_of(reg);
  if (reg.type.base == Base::map_value) {
    if (!reg.map->has_btf)
      return e.reject(EINVAL, "map '{}' has to have BTF in order to use bpf_kptr_xchg\n", reg.map->name);
    meta.map = reg.map;
  }
  if (!reg.num.is_const())
    return e.reject(EINVAL, "R{} doesn't have constant offset. kptr has to be at the constant offset\n",
                    regno);
  if (record == nullptr || !record->has_any(btf::kptr_fields))
    return e.reject(EINVAL, "R{} has no valid kptr\n", regno);
  const u32 off = static_cast<u32>(reg.off) + static_cast<u32>(reg.num.var_off.value);
  const btf::Field* field = record->find(off, btf::kptr_fields);
  if (field == nullptr) return e.reject(EACCES, "off={} doesn't point to kptr\n", static_cast<s32>(off));
  if (field->kind != btf::FieldKind::kptr && field->kind != btf::FieldKind::percpu_kptr)
    return e.reject(EACCES, "off={} kptr isn't referenced kptr\n", static_cast<s32>(off));
  meta.kptr = field;
  meta.kptr_btf = reg.type.base == Base::map_value ? reg.map->btf : reg.btf;
  return passed;
}

/// What was stored is the map's now; a per-CPU object can still be read inside the RCU section.
Status Walk::release_to_kptr(u32 ref_obj_id) {
  if (!release_reference_id(*e.cur, ref_obj_id)) return Status(EINVAL);
  const bool rcu = in_rcu_section();
  const auto which = [&](const RegState& reg) { return reg.ref_obj_id == ref_obj_id; };
  for_each_reg(*e.cur, which, [&](RegState& reg) {
    constexpr u16 percpu_object = tf::alloc | tf::percpu;
    if (rcu && (reg.type.flags & percpu_object) == percpu_object) {
      reg.ref_obj_id = 0;
      reg.type.flags = static_cast<u16>((reg.type.flags & ~tf::alloc) | tf::rcu);
    } else {
      mark_invalid(reg);
    }
  });
  return passed;
}

Status Walk::set_btf_result(const helpers::Contract& contract, const CallMeta& meta) {
  RegState& r0 = regs()[0];
  u16 flags = (contract.ret_flags & helpers::maybe_null) != 0 ? tf::maybe_null : tf::none;
  if ((contract.ret_flags & helpers::trusted) != 0) flags = static_cast<u16>(flags | tf::trusted);
  if ((contract.ret_flags & helpers::rcu) != 0) flags = static_cast<u16>(flags | tf::rcu);
  const btf::Btf* types = kernel_btf();
  u32 id = 0;
  if (contract.ret == helpers::Ret::mem_or_btf_id) {
    types = meta.ret_btf;
    id = meta.ret_btf_id;
    const u32 target = types->skip_modifiers(id);
    if (!btf::is_composite(types->type(target).kind)) {
      const Result<u64> size = types->size_of(target);
      if (!size)
        return e.reject(EINVAL, "unable to resolve the size of type '{}': -22\n", types->name(target));
      if ((contract.ret_flags & helpers::rdonly) != 0) flags = static_cast<u16>(flags | tf::rdonly);
      mark_known_zero_pointer(r0, {Base::mem, flags});
      r0.mem_size = static_cast<u32>(*size);
      return passed;
    }
    if (meta.percpu_object) flags = tf::alloc | tf::rcu;
  } else if (meta.func_id == fn_id::kptr_xchg) {
    const KptrTarget target = kptr_target(meta.kptr_btf, *meta.kptr);
    types = target.btf;
    id = target.id;
    if (types != kernel_btf()) flags = static_cast<u16>(flags | tf::alloc);
    if (types != kernel_btf() && meta.kptr->kind == btf::FieldKind::percpu_kptr)
      flags = static_cast<u16>(flags | tf::percpu);
  } else {
    id = kernel_struct(helpers::kernel_type_name(contract.ret_type));
    if (id == 0)
      return e.reject(kENOTSUPP, "skep needs the kernel's BTF for {}\n", helper_text(meta.func_id));
  }
  mark_known_zero_pointer(r0, {Base::btf_id, flags});
  r0.btf = types;
  r0.btf_id = id;
  return passed;
}

}  // namespace skep::verifier
