// What a kernel function returns (kernel: the second half of check_kfunc_call(), check_special_kfunc()).
#include "btf/kernel_btf.hpp"
#include "verifier/walk/walk.hpp"

namespace skep::verifier {

using btf::Kind;
using kfunc::Call;
using kfunc::Special;

Status Walk::set_kfunc_result(const Call& call) {
  const btf::Btf& types = *call.btf;
  const btf::Type& type = types.type(types.skip_modifiers(call.proto->type));
  RegState& r0 = regs()[0];
  if (type.kind == Kind::int_ || btf::is_any_enum(type.kind)) {
    const bool locked =
        call.special == Special::res_spin_lock || call.special == Special::res_spin_lock_irqsave;
    if (locked) {
      set_const_zero(r0);
    } else {
      mark_unknown(r0);
    }
    return passed;
  }
  if (type.kind != Kind::ptr) return passed;
  bool done = false;
  CHECK(set_special_result(call, done));
  const u32 target = types.skip_modifiers(type.type);
  const Kind kind = types.type(target).kind;
  if (done) {
  } else if (target == 0) {
    mark_unknown(r0);  // void *: a mere number
  } else if (!btf::is_composite(kind)) {
    u64 size = call.r0_size;
    bool rdonly = call.r0_rdonly;
    if (size == 0) {
      const Result<u64> known = types.size_of(target);
      if (!known)
        return e.reject(EINVAL, "kernel function {} returns pointer type {} {} is not supported\n", call.name,
                        btf::kind_name(kind), types.name(target));
      size = *known;
      rdonly = true;
    }
    mark_known_zero_pointer(r0, {Base::mem, rdonly ? tf::rdonly : tf::none});
    r0.mem_size = static_cast<u32>(size);
    r0.ref_obj_id = call.ref_obj_id;
  } else {
    u16 flags = tf::none;
    if (call.special == Special::get_kmem_cache) flags = tf::untrusted;
    if (call.has(kfunc::iter_next)) {
      const RegState& iter = std::as_const(*e.cur).frame[call.iter_frame]->slots[call.iter_spi].spilled;
      flags = (iter.type.flags & tf::rcu) != 0 ? tf::rcu : tf::trusted;
    }
    mark_known_zero_pointer(r0, {Base::btf_id, flags});
    r0.btf = &types;
    r0.btf_id = target;
  }
  const bool nullable = call.may_return_null();
  if (nullable) {
    r0.type.flags = static_cast<u16>(r0.type.flags | tf::maybe_null);
    r0.id = ++e.id_gen;
  }
  if (call.has(kfunc::acquire)) {
    const u32 id = acquire_reference(e.insn_idx);
    if (nullable) r0.id = id;
    r0.ref_obj_id = id;
  } else if (call.root != nullptr && r0.type.base == Base::btf_id) {
    CHECK(set_non_owning(r0));
  }
  if (may_point_to_lock(r0) && r0.id == 0) r0.id = ++e.id_gen;
  return passed;
}

Status Walk::set_special_result(const Call& call, bool& done) {
  RegState& r0 = regs()[0];
  auto object = [&](const btf::Btf* types, u32 id, u16 flags) {
    mark_known_zero_pointer(r0, {Base::btf_id, flags});
    r0.btf = types;
    r0.btf_id = id;
    done = true;
    return passed;
  };
  switch (call.special) {
    case Special::obj_new:
    case Special::percpu_obj_new:
      CHECK(check_new_object(call));
      return object(e.input.btf, static_cast<u32>(call.constant),
                    call.special == Special::obj_new ? tf::alloc : u16{tf::alloc | tf::percpu});
    case Special::refcount_acquire:
      return object(call.arg_btf, call.arg_btf_id, tf::alloc);
    case Special::cast_to_kern_ctx:
      return object(call.btf, call.arg_btf_id, tf::trusted);
    case Special::rdonly_cast: {
      const auto id = static_cast<u32>(call.constant);
      if (call.constant > call.btf->type_count())
        return e.reject(EINVAL, "Unknown type ID {} passed to kfunc bpf_rdonly_cast\n",
                        static_cast<s64>(call.constant));
      if (btf::is_composite(call.btf->type(id).kind)) return object(call.btf, id, tf::untrusted);
      if (id != 0)
        return e.reject(EINVAL, "kfunc bpf_rdonly_cast type ID argument must be of a struct or void\n");
      mark_known_zero_pointer(r0, {Base::mem, tf::rdonly | tf::untrusted});
      done = true;
      return passed;
    }
    case Special::dynptr_slice:
    case Special::dynptr_slice_rdwr:
      done = true;
      return set_slice_result(call);
    default:
      break;
  }
  if (call.root != nullptr) {
    CHECK(object(call.root_btf, call.root->target, tf::alloc));
    r0.off = static_cast<s32>(call.root->node_offset);
  }
  return passed;
}

/// What bpf_obj_new() is asked to allocate.
Status Walk::check_new_object(const Call& call) {
  if (call.constant > UINT32_MAX)
    return e.reject(EINVAL, "local type ID argument must be in range [0, U32_MAX]\n");
  const btf::Btf* types = e.input.btf;
  if (types == nullptr) return e.reject(EINVAL, "bpf_obj_new/bpf_percpu_obj_new requires prog BTF\n");
  const auto id = static_cast<u32>(call.constant);
  const btf::Type& type = types->type(id);
  if (id > types->type_count() || type.kind != Kind::struct_)
    return e.reject(EINVAL, "bpf_obj_new/bpf_percpu_obj_new type ID argument must be of a struct\n");
  note_object(types, id, type.size, 0);
  if (call.special == Special::obj_new) return passed;
  constexpr u32 largest = 512;  // BPF_GLOBAL_PERCPU_MA_MAX_SIZE
  if (type.size > largest)
    return e.reject(EINVAL, "bpf_percpu_obj_new type size ({}) is greater than {}\n", type.size, largest);
  if (!is_scalar_struct(*types, id))
    return e.reject(EINVAL, "bpf_percpu_obj_new type ID argument must be of a struct of scalars\n");
  if (struct_record(types, id) != nullptr)
    return e.reject(EINVAL, "bpf_percpu_obj_new type ID argument must not contain special fields\n");
  return passed;
}

}  // namespace skep::verifier
