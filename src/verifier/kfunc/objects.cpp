// Objects that programs allocate, and the lists and trees that own them (kernel: the graph cases of
// check_kfunc_args(), ref_set_non_owning(), ref_convert_owning_non_owning()).
#include "btf/kernel_btf.hpp"
#include "verifier/walk/walk.hpp"

namespace skep::verifier {

using btf::FieldKind;
using kfunc::Call;
using kfunc::Special;

namespace {

bool is_owned_type(const RegState& reg) { return reg.type == RegType{Base::btf_id, tf::alloc}; }
bool is_non_owning(const RegState& reg) { return (reg.type.flags & tf::non_owning) != 0; }
bool is_allocated(const RegState& reg) {
  return reg.type.base == Base::btf_id && (reg.type.flags & tf::alloc) != 0;
}

}  // namespace

/// What the fixups need to know of the object of this call.
void Walk::note_object(const btf::Btf* types, u32 id, u32 size, u32 node_offset) {
  InsnAux& at = aux();
  const bool same = at.object_btf == types && at.object_type == id && at.node_offset == node_offset;
  if (at.object_btf != nullptr && !same) at.objects_differ = true;
  at.object_btf = types;
  at.object_type = id;
  at.object_size = size;
  at.node_offset = node_offset;
}

Status Walk::check_kfunc_object(Call& call, u32 arg, KfuncArg kind) {
  using K = KfuncArg;
  const u32 regno = arg + 1;
  const RegState& reg = regs()[regno];
  switch (kind) {
    case K::alloc:
      return check_dropped_object(call, arg);
    case K::refcounted:
      return check_refcounted(call, arg);
    case K::list_head:
    case K::rb_root:
      if (reg.type != Base::map_value && !is_owned_type(reg))
        return e.reject(EINVAL, "arg#{} expected pointer to map value or allocated object\n", arg);
      if (is_owned_type(reg) && reg.ref_obj_id == 0)
        return e.reject(EINVAL, "allocated object must be referenced\n");
      return check_graph_root(call, regno, kind == K::list_head ? FieldKind::list_head : FieldKind::rb_root);
    case K::list_node:
      if (!is_owned_type(reg)) return e.reject(EINVAL, "arg#{} expected pointer to allocated object\n", arg);
      if (reg.ref_obj_id == 0) return e.reject(EINVAL, "allocated object must be referenced\n");
      return check_graph_node(call, regno, FieldKind::list_node);
    case K::rb_node:
      if (call.special == Special::rbtree_add) {
        if (!is_owned_type(reg))
          return e.reject(EINVAL, "arg#{} expected pointer to allocated object\n", arg);
        if (reg.ref_obj_id == 0) return e.reject(EINVAL, "allocated object must be referenced\n");
      } else {
        if (!is_non_owning(reg) && reg.ref_obj_id == 0)
          return e.reject(EINVAL, "{} can only take non-owning or refcounted bpf_rb_node pointer\n",
                          call.name);
        if (in_rbtree_callback()) return e.reject(EINVAL, "{} not allowed in rbtree cb\n", call.name);
      }
      return check_graph_node(call, regno, FieldKind::rb_node);
    case K::workqueue:
    case K::task_work: {
      if (reg.type != Base::map_value) return e.reject(EINVAL, "arg#{} doesn't point to a map value\n", arg);
      const FieldKind field = kind == K::workqueue ? FieldKind::workqueue : FieldKind::task_work;
      CHECK(check_field_pointer(reg, regno, field, btf::field_name(field)));
      call.map = reg.map;
      call.map_uid = reg.map_uid;
      return passed;
    }
    case K::res_spin_lock:
      if (reg.type != Base::map_value && !is_owned_type(reg))
        return e.reject(EINVAL, "arg#{} doesn't point to map value or allocated object\n", arg);
      return check_res_spin_lock(call, regno);
    default:
      return unsupported(fmt::format("argument {} of kernel function {}", regno, call.name));
  }
}

Status Walk::check_dropped_object(Call& call, u32 arg) {
  const RegState& reg = regs()[arg + 1];
  if (is_owned_type(reg)) {
    if (call.special != Special::obj_drop)
      return e.reject(EINVAL, "arg#{} expected for bpf_obj_drop_impl()\n", arg);
  } else if (reg.type == RegType{Base::btf_id, tf::alloc | tf::percpu}) {
    if (call.special != Special::percpu_obj_drop)
      return e.reject(EINVAL, "arg#{} expected for bpf_percpu_obj_drop_impl()\n", arg);
  } else {
    return e.reject(EINVAL, "arg#{} expected pointer to allocated object\n", arg);
  }
  if (reg.ref_obj_id == 0) return e.reject(EINVAL, "allocated object must be referenced\n");
  call.arg_btf = reg.btf;
  call.arg_btf_id = reg.btf_id;
  note_object(reg.btf, reg.btf_id, 0, 0);
  return passed;
}

Status Walk::check_refcounted(Call& call, u32 arg) {
  const RegState& reg = regs()[arg + 1];
  if (!is_allocated(reg)) return e.reject(EINVAL, "arg#{} is neither owning or non-owning ref\n", arg);
  if (!is_non_owning(reg) && reg.ref_obj_id != 0) call.owning_ref = true;
  const btf::Record* record = record_of(reg);
  if (record == nullptr) return e.reject(EFAULT, "verifier internal error: Couldn't find btf_record\n");
  if (record->refcount_off < 0)
    return e.reject(EINVAL, "arg#{} doesn't point to a type with bpf_refcount field\n", arg);
  call.arg_btf = reg.btf;
  call.arg_btf_id = reg.btf_id;
  note_object(reg.btf, reg.btf_id, 0, 0);
  return passed;
}

/// The lock beside the root must be held, the one of this very object (kernel:
/// check_reg_allocation_locked()).
Status Walk::check_root_locked(const RegState& reg) {
  const void* holder = reg.type.base == Base::map_value ? static_cast<const void*>(reg.map)
                                                        : static_cast<const void*>(reg.btf);
  if (e.cur->active_locks == 0) return Status(EINVAL);
  if (held_lock(holder, reg.id, RefKind::lock) == nullptr &&
      held_lock(holder, reg.id, RefKind::res_lock) == nullptr &&
      held_lock(holder, reg.id, RefKind::res_lock_irq) == nullptr)
    return e.reject(EINVAL, "held lock and object are not in the same allocation\n");
  return passed;
}

Status Walk::check_graph_root(Call& call, u32 regno, FieldKind kind) {
  const RegState& reg = regs()[regno];
  const std::string_view name = btf::field_name(kind);
  if (!reg.num.is_const())
    return e.reject(EINVAL, "R{} doesn't have constant offset. {} has to be at the constant offset\n", regno,
                    name);
  const btf::Record* record = record_of(reg);
  const u32 off = static_cast<u32>(reg.off) + static_cast<u32>(reg.num.var_off.value);
  const btf::Field* field = record != nullptr ? record->find(off, btf::field_bit(kind)) : nullptr;
  if (field == nullptr) return e.reject(EINVAL, "{} not found at offset={}\n", name, off);
  if (!check_root_locked(reg).ok()) {
    const s32 lock = record->spin_lock_off >= 0 ? record->spin_lock_off : record->res_spin_lock_off;
    return e.reject(EINVAL, "bpf_spin_lock at off={} must be held for {}\n", lock, name);
  }
  call.root = field;
  call.root_btf = reg.type.base == Base::map_value ? reg.map->btf : reg.btf;
  return passed;
}

Status Walk::check_graph_node(Call& call, u32 regno, FieldKind kind) {
  const RegState& reg = regs()[regno];
  const std::string_view name = btf::field_name(kind);
  if (!reg.num.is_const())
    return e.reject(EINVAL, "R{} doesn't have constant offset. {} has to be at the constant offset\n", regno,
                    name);
  const btf::Record* record = record_of(reg);
  const u32 off = static_cast<u32>(reg.off) + static_cast<u32>(reg.num.var_off.value);
  if (record == nullptr || record->find(off, btf::field_bit(kind)) == nullptr)
    return e.reject(EINVAL, "{} not found at offset={}\n", name, off);
  if (call.root == nullptr) return e.reject(EFAULT, "verifier bug: graph node without root\n");
  const btf::Field& root = *call.root;
  const std::string_view wanted = call.root_btf->name(root.target);
  if (!struct_ids_match(reg.btf, reg.btf_id, 0, call.root_btf, root.target, true, false))
    return e.reject(
        EINVAL,
        "operation on {} expects arg#1 {} at offset={} in struct {}, but arg is at offset={} in struct {}\n",
        btf::field_name(root.kind), name, root.node_offset, wanted, off, reg.btf->name(reg.btf_id));
  call.arg_btf = reg.btf;
  call.arg_btf_id = reg.btf_id;
  if (off != root.node_offset)
    return e.reject(EINVAL, "arg#1 offset={}, but expected {} at offset={} in struct {}\n", off, name,
                    root.node_offset, wanted);
  return passed;
}

Status Walk::check_res_spin_lock(const Call& call, u32 regno) {
  switch (call.special) {
    case Special::res_spin_lock:
      return check_spin_lock(regno, {true, RefKind::res_lock});
    case Special::res_spin_lock_irqsave:
      return check_spin_lock(regno, {true, RefKind::res_lock_irq});
    case Special::res_spin_unlock:
      return check_spin_lock(regno, {false, RefKind::res_lock});
    case Special::res_spin_unlock_irqrestore:
      return check_spin_lock(regno, {false, RefKind::res_lock_irq});
    default:
      return Status(EFAULT);
  }
}

/// A resilient lock may not be had: the path on which it is not goes on with an error in R0.
Status Walk::fork_failed_lock() {
  State* failed = nullptr;
  CHECK(push_path(e.insn_idx + 1, e.insn_idx, failed));
  Frame& frame = failed->cur();
  clear_caller_saved(frame);
  mark_unknown(frame.regs[0]);
  frame.regs[0].num = Scalar::in_range(-4095, -1);
  return passed;
}

/// The list or tree owns the node now; the program keeps a pointer that is good while the lock is held.
Status Walk::hand_over_node(const Call& call) {
  if (call.special != Special::list_push_front && call.special != Special::list_push_back &&
      call.special != Special::rbtree_add)
    return passed;
  const u32 id = regs()[2].ref_obj_id;
  note_object(call.arg_btf, call.arg_btf_id, 0, static_cast<u32>(regs()[2].off));
  Status status = passed;
  const auto which = [&](const RegState& reg) { return id != 0 && reg.ref_obj_id == id; };
  for_each_reg(*e.cur, which, [&](RegState& reg) {
    reg.ref_obj_id = 0;
    if (status.ok()) status = set_non_owning(reg);
  });
  CHECK(status);
  if (id == 0 || !release_reference_id(*e.cur, id))
    return e.reject(EFAULT, "kfunc {}#{} conversion of owning ref to non-owning failed\n", call.name,
                    call.func_id);
  return passed;
}

Status Walk::set_non_owning(RegState& reg) {
  if (e.cur->active_locks == 0)
    return e.reject(EFAULT, "verifier internal error: ref_set_non_owning w/o active lock\n");
  reg.type.flags = static_cast<u16>(reg.type.flags | tf::non_owning);
  const btf::Record* record = record_of(reg);
  if (record != nullptr && record->refcount_off >= 0)
    reg.type.flags = static_cast<u16>(reg.type.flags | tf::rcu);
  return passed;
}

/// In the comparison that bpf_rbtree_add() calls: the tree's lock is held there (kernel:
/// in_rbtree_lock_required_cb()).
bool Walk::in_rbtree_callback() const {
  const Frame& frame = e.cur->cur();
  if (e.cur->curframe == 0 || !frame.in_callback) return false;
  const kfunc::Row* row = kfunc::callable(e.input, insns[static_cast<u32>(frame.callsite)]);
  return row != nullptr && kfunc::special(row->name) == Special::rbtree_add;
}

/// The lock is given up: nodes may be gone.
void Walk::invalidate_non_owning() {
  const auto which = [](const RegState& reg) { return reg.type.base == Base::btf_id && is_non_owning(reg); };
  for_each_reg(*e.cur, which, [&](RegState& reg) { mark_invalid(reg); });
}

}  // namespace skep::verifier
