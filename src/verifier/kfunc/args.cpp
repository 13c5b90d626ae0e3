// The arguments of a kernel function against its BTF and the suffixes of its parameters' names (kernel:
// check_kfunc_args(), get_kfunc_ptr_arg_type()).
#include "verifier/kfunc/context_types.hpp"
#include "verifier/walk/walk.hpp"

namespace skep::verifier {

using btf::Btf;
using btf::Kind;
using kfunc::Call;
using kfunc::Special;

namespace {

bool is_null(const RegState& reg) { return reg.is_const() && reg.num.var_off.value == 0; }

bool is_scalar_kind(Kind kind) { return kind == Kind::int_ || btf::is_any_enum(kind); }

std::string_view kind_text(const btf::Type& type) { return btf::kind_name(type.kind); }

/// Composed of numbers, four levels deep at most.
bool scalars_only(const Btf& types, u32 id, u32 depth, bool& too_deep) {
  const btf::Type& type = types.type(id);
  if (!btf::is_composite(type.kind)) return false;
  for (const btf::Entry& member : types.entries(type)) {
    u32 inner = types.skip_modifiers(member.type);
    if (btf::is_composite(types.type(inner).kind)) {
      if (depth >= 3) {
        too_deep = true;
        return false;
      }
      if (!scalars_only(types, inner, depth + 1, too_deep)) return false;
      continue;
    }
    if (types.type(inner).kind == Kind::array) {
      if (types.type(inner).nelems == 0) return false;
      inner = types.skip_modifiers(types.type(inner).type);
    }
    if (!is_scalar_kind(types.type(inner).kind)) return false;
  }
  return true;
}

/// What stands for the context of programs that have no struct of it: numbers for some, a bare pointer for
/// the others.
u32 context_id(const Btf& types, ProgType type) {
  const bool numbers = type == ProgType::tracepoint || type == ProgType::raw_tracepoint ||
                       type == ProgType::raw_tracepoint_writable;
  if (numbers) return types.find(Kind::typedef_, "u64");
  for (u32 id = 1; id <= types.type_count(); ++id)
    if (types.type(id).kind == Kind::ptr && types.type(id).type == 0) return id;
  return 0;
}

}  // namespace

bool Walk::is_scalar_struct(const Btf& types, u32 id) {
  bool too_deep = false;
  const bool yes = scalars_only(types, id, 0, too_deep);
  if (too_deep) e.log.say("max struct nesting depth exceeded\n");
  return yes;
}

/// What a pointer parameter wants, by its type, its name and, for the last ones, what the register holds.
Status Walk::kfunc_arg_kind(const Call& call, u32 arg, KfuncArg& kind) {
  using K = KfuncArg;
  const Btf& types = *call.btf;
  const auto params = types.entries(*call.proto);
  const std::string_view name = types.string(params[arg].name_off);
  const RegState& reg = regs()[arg + 1];
  const btf::Type& pointer = types.type(types.skip_modifiers(params[arg].type));
  const u32 target = types.skip_modifiers(pointer.type);
  const btf::Type& pointee = types.type(target);
  const std::string_view pointee_name = types.string(pointee.name_off);
  auto is = [&](K k) {
    kind = k;
    return passed;
  };
  if (call.special == Special::cast_to_kern_ctx) return is(K::ctx);
  if (kfunc::is_context_type(types, pointer, e.input.type)) return is(K::ctx);
  if (name.ends_with("__nullable") && is_null(reg)) return is(K::null);
  if (name.ends_with("__alloc")) return is(K::alloc);
  if (name.ends_with("__refcounted_kptr")) return is(K::refcounted);
  if (pointee.kind == Kind::struct_) {
    if (pointee_name == "bpf_dynptr") return is(K::dynptr);
  }
  if (call.has(kfunc::any_iter) ? arg == 0 : name.ends_with("__iter")) return is(K::iter);
  if (pointee.kind == Kind::struct_) {
    if (pointee_name == "bpf_list_head") return is(K::list_head);
    if (pointee_name == "bpf_list_node") return is(K::list_node);
    if (pointee_name == "bpf_rb_root") return is(K::rb_root);
    if (pointee_name == "bpf_rb_node") return is(K::rb_node);
  }
  if (name.ends_with("__str")) return is(K::const_str);
  if (name.ends_with("__map")) return is(K::map);
  if (pointee.kind == Kind::struct_) {
    if (pointee_name == "bpf_wq") return is(K::workqueue);
    if (pointee_name == "bpf_task_work") return is(K::task_work);
  }
  if (name.ends_with("__irq_flag")) return is(K::irq_flag);
  if (pointee.kind == Kind::struct_ && pointee_name == "bpf_res_spin_lock") return is(K::res_spin_lock);
  if (reg.type.base == Base::btf_id || !struct_of_base(reg.type.base).empty()) {
    if (!btf::is_composite(pointee.kind))
      return e.reject(EINVAL, "kernel function {} args#{} pointer type {} {} is not supported\n", call.name,
                      arg, kind_text(pointee), pointee_name);
    return is(K::btf_id);
  }
  if (pointee.kind == Kind::func_proto) return is(K::callback);
  bool sized = false;
  if (arg + 1 < params.size() && regs()[arg + 2].is_scalar()) {
    const std::string_view next = types.string(params[arg + 1].name_off);
    const Kind next_kind = types.type(types.skip_modifiers(params[arg + 1].type)).kind;
    sized = is_scalar_kind(next_kind) && (next.ends_with("__sz") || next.ends_with("__szk"));
  }
  if (!is_scalar_kind(pointee.kind) && !is_scalar_struct(types, target) && (!sized || target != 0))
    return e.reject(EINVAL, "arg#{} pointer type {} {} must point to {}scalar, or struct with scalar\n", arg,
                    kind_text(pointee), pointee_name, sized ? "void, " : "");
  return is(sized ? K::mem_size : K::mem);
}

Status Walk::check_kfunc_scalar(Call& call, u32 arg) {
  const u32 regno = arg + 1;
  const RegState& reg = regs()[regno];
  const std::string_view name = call.btf->string(call.btf->entries(*call.proto)[arg].name_off);
  if (!reg.is_scalar()) return e.reject(EINVAL, "R{} is not a scalar\n", regno);
  if (name.ends_with("__k")) {
    if (!reg.num.is_const()) return e.reject(EINVAL, "R{} must be a known constant\n", regno);
    CHECK(mark_precise(regno));
    call.has_constant = true;
    call.constant = regs()[regno].num.var_off.value;
    return passed;
  }
  const bool rdonly = name == "rdonly_buf_size";
  if (!rdonly && name != "rdwr_buf_size") return passed;
  if (rdonly) call.r0_rdonly = true;
  if (call.r0_size != 0) return e.reject(EINVAL, "2 or more rdonly/rdwr_buf_size parameters for kfunc");
  if (!reg.num.is_const()) return e.reject(EINVAL, "R{} is not a const\n", regno);
  call.r0_size = reg.num.var_off.value;
  if (call.r0_size > UINT32_MAX) return e.reject(EINVAL, "R{} rdonly/rdwr_buf_size exceeds u32 max\n", regno);
  return mark_precise(regno);
}

Status Walk::check_kfunc_args(Call& call) {
  const Btf& types = *call.btf;
  const auto params = types.entries(*call.proto);
  if (params.size() > 5)
    return e.reject(EINVAL, "Function {} has {} > {} args\n", call.name, params.size(), 5);
  for (u32 i = 0; i < params.size(); ++i) {
    const std::string_view name = types.string(params[i].name_off);
    if (name.ends_with("__ign") || name.ends_with("__prog")) continue;
    const btf::Type& type = types.type(types.skip_modifiers(params[i].type));
    if (is_scalar_kind(type.kind)) {
      CHECK(check_kfunc_scalar(call, i));
      continue;
    }
    if (type.kind != Kind::ptr) return e.reject(EINVAL, "Unrecognized arg#{} type {}\n", i, kind_text(type));
    bool skip_next = false;
    CHECK(check_kfunc_pointer(call, i, skip_next));
    if (skip_next) ++i;
  }
  if (call.has(kfunc::release) && call.release_regno == 0)
    return e.reject(EINVAL, "release kernel function {} expects refcounted PTR_TO_BTF_ID\n", call.name);
  return passed;
}

Status Walk::check_kfunc_pointer(Call& call, u32 arg, bool& skip_next) {
  const u32 regno = arg + 1;
  RegState& reg = regs()[regno];
  const std::string_view name = call.btf->string(call.btf->entries(*call.proto)[arg].name_off);
  const bool strict = call.wants_trusted() || call.has(kfunc::rcu);
  if (strict && (is_null(reg) || reg.type.maybe_null()) && !name.ends_with("__nullable"))
    return e.reject(EACCES, "Possibly NULL pointer passed to trusted arg{}\n", arg);
  if (reg.ref_obj_id != 0) {
    if (call.has(kfunc::release) && call.ref_obj_id != 0)
      return e.reject(EFAULT, "more than one arg with ref_obj_id R{} {} {}\n", regno, reg.ref_obj_id,
                      call.ref_obj_id);
    call.ref_obj_id = reg.ref_obj_id;
    if (call.has(kfunc::release)) call.release_regno = regno;
  }
  KfuncArg kind{};
  CHECK(kfunc_arg_kind(call, arg, kind));
  if (kind == KfuncArg::null) return passed;
  if (kind == KfuncArg::map) CHECK(check_kfunc_map(call, regno));
  if (strict && (kind == KfuncArg::map || kind == KfuncArg::alloc || kind == KfuncArg::btf_id) &&
      !is_trusted(reg)) {
    if (!call.has(kfunc::rcu)) return e.reject(EINVAL, "R{} must be referenced or trusted\n", regno);
    if ((reg.type.flags & tf::rcu) == 0) return e.reject(EINVAL, "R{} must be a rcu pointer\n", regno);
  }
  const bool releases = call.has(kfunc::release) && reg.ref_obj_id != 0;
  CHECK(check_arg_offset(reg, regno, {.flags = releases ? u32{helpers::release} : 0}));
  return check_kfunc_arg_value(call, arg, kind, skip_next);
}

Status Walk::check_kfunc_map(Call& call, u32 regno) {
  const RegState& reg = regs()[regno];
  // The kernel looks at the word that for maps is the map: other pointers fail the checks that follow.
  const bool has_map =
      reg.type.base == Base::map_ptr || reg.type.base == Base::map_value || reg.type.base == Base::map_key;
  if (reg.type.base == Base::btf_id) return passed;
  if (!has_map || reg.map == nullptr) return e.reject(EINVAL, "pointer in R{} isn't map pointer\n", regno);
  const btf::Record& record = reg.map->record;
  if (call.map != nullptr && (record.workqueue_off >= 0 || record.task_work_off >= 0) &&
      (call.map != reg.map || call.map_uid != reg.map_uid)) {
    if (record.task_work_off >= 0)
      return e.reject(EINVAL,
                      "bpf_task_work pointer in R2 map_uid={} doesn't match map pointer in R3 map_uid={}\n",
                      call.map_uid, reg.map_uid);
    return e.reject(EINVAL, "workqueue pointer in R1 map_uid={} doesn't match map pointer in R2 map_uid={}\n",
                    call.map_uid, reg.map_uid);
  }
  call.map = reg.map;
  call.map_uid = reg.map_uid;
  return passed;
}

Status Walk::check_kfunc_arg_value(Call& call, u32 arg, KfuncArg kind, bool& skip_next) {
  using K = KfuncArg;
  const u32 regno = arg + 1;
  RegState& reg = regs()[regno];
  const Btf& types = *call.btf;
  const btf::Type& pointer = types.type(types.skip_modifiers(types.entries(*call.proto)[arg].type));
  switch (kind) {
    case K::null:
      return passed;
    case K::ctx:
      if (reg.type != Base::ctx)
        return e.reject(EINVAL, "arg#{} expected pointer to ctx, but got {}\n", arg, type_text(reg.type));
      if (call.special == Special::cast_to_kern_ctx) {
        call.arg_btf_id = kernel_struct(kfunc::kernel_context(e.input.type));
        if (call.arg_btf_id == 0)
          return e.reject(EINVAL, "kern ctx type id {} is not a struct\n", context_id(types, e.input.type));
      }
      return passed;
    case K::map:
      return check_kfunc_btf_id(call, arg, kernel_struct("bpf_map"));
    case K::btf_id:
      return check_kfunc_btf_id(call, arg, types.skip_modifiers(pointer.type));
    case K::mem: {
      const u32 target = types.skip_modifiers(pointer.type);
      const Result<u64> size = types.size_of(target);
      if (!size)
        return e.reject(EINVAL, "arg#{} reference type('{} {}') size cannot be determined: -22\n", arg,
                        kind_text(types.type(target)), types.name(target));
      return check_mem_of_size(regno, static_cast<u32>(*size));
    }
    case K::mem_size:
      skip_next = true;
      return check_kfunc_sized_mem(call, arg);
    case K::callback:
      if (reg.type != Base::func) return e.reject(EINVAL, "arg{} expected pointer to func\n", arg);
      call.subprogno = reg.subprog;
      return passed;
    case K::iter:
      if (call.special == Special::iter_css_task_new && !e.cur->in_sleepable &&
          e.input.expected_attach_type != AttachType::trace_iter && e.input.type != ProgType::lsm)
        return e.reject(EINVAL, "css_task_iter is only allowed in bpf_lsm, bpf_iter and sleepable progs\n");
      return check_iter_arg(call, regno);
    case K::irq_flag:
      return check_irq_flag(call, regno);
    case K::dynptr:
      return check_kfunc_dynptr(call, regno);
    case K::const_str:
      if (reg.type != Base::map_value)
        return e.reject(EINVAL, "arg#{} doesn't point to a const string\n", arg);
      return check_const_string(regno);
    default:
      return check_kfunc_object(call, arg, kind);
  }
}

/// A whole object of known size, or NULL (kernel: check_mem_reg()).
Status Walk::check_mem_of_size(u32 regno, u32 size) {
  RegState& reg = regs()[regno];
  if (is_null(reg)) return passed;
  const RegState before = reg;
  const bool nullable = reg.type.maybe_null();
  if (nullable) mark_not_null(reg);
  Status status = check_helper_mem(regno, static_cast<s32>(size), Access::read, true, nullptr);
  if (status.ok()) status = check_helper_mem(regno, static_cast<s32>(size), Access::write, true, nullptr);
  if (nullable) regs()[regno] = before;
  return status;
}

Status Walk::check_kfunc_sized_mem(Call& call, u32 arg) {
  const u32 regno = arg + 1;
  const auto params = call.btf->entries(*call.proto);
  const bool optional = call.btf->string(params[arg].name_off).ends_with("__opt");
  if (!is_null(regs()[regno]) || !optional) {
    RegState& mem = regs()[regno];
    const RegState before = mem;
    const bool nullable = mem.type.maybe_null();
    if (nullable) mark_not_null(mem);
    CallMeta meta;
    Status status = check_size_arg(regno + 1, Access::read, true, meta);
    if (status.ok()) status = check_size_arg(regno + 1, Access::write, true, meta);
    if (nullable) regs()[regno] = before;
    if (!status.ok()) {
      (void)e.reject(status.code(), "arg#{} arg#{} memory, len pair leads to invalid memory access\n", arg,
                     arg + 1);
      return status;
    }
  }
  if (!call.btf->string(params[arg + 1].name_off).ends_with("__szk")) return passed;
  const RegState& size = regs()[regno + 1];
  if (!size.num.is_const()) return e.reject(EINVAL, "R{} must be a known constant\n", regno + 1);
  call.has_constant = true;
  call.constant = size.num.var_off.value;
  return passed;
}

namespace {

/// Two types that only differ by "___init" must not be mistaken for each other.
bool nocast_alias(std::string_view a, std::string_view b) {
  constexpr std::string_view suffix = "___init";
  if (a.size() == b.size()) return false;
  const std::string_view longer = a.size() > b.size() ? a : b;
  const std::string_view shorter = a.size() > b.size() ? b : a;
  return longer.size() == shorter.size() + suffix.size() && longer.ends_with(suffix) &&
         longer.starts_with(shorter);
}

}  // namespace

/// kernel: KF_ARG_PTR_TO_BTF_ID, process_kf_arg_ptr_to_btf_id()
Status Walk::check_kfunc_btf_id(Call& call, u32 arg, u32 wanted) {
  const RegState& reg = regs()[arg + 1];
  const std::string_view other = struct_of_base(reg.type.base);
  const bool is_rcu = (reg.type.flags & tf::rcu) != 0;
  if ((reg.type.base != Base::btf_id || (has_unsafe_modifiers(reg.type) && !is_rcu)) && other.empty()) {
    const RegType kept{reg.type.base,
                       static_cast<u16>(reg.type.flags & (tf::alloc | tf::trusted | tf::non_owning))};
    return e.reject(EINVAL, "arg#{} is {} expected {} or socket\n", arg, type_text(reg.type),
                    type_text(kept));
  }
  const bool btf_reg = reg.type.base == Base::btf_id;
  const Btf* reg_btf = btf_reg ? reg.btf : call.btf;
  const u32 reg_id = reg_btf->skip_modifiers(btf_reg ? reg.btf_id : kernel_struct(other));
  const std::string_view reg_name = reg_btf->name(reg_id);
  const std::string_view want_name = call.btf->name(wanted);
  const bool strict = (call.has(kfunc::release) && reg.ref_obj_id != 0) || nocast_alias(reg_name, want_name);
  const bool same =
      struct_ids_match(reg_btf, reg_id, reg.off, call.btf, wanted, strict, (reg.type.flags & tf::alloc) == 0);
  if (same || kfunc::is_projection(want_name, reg_name)) return passed;
  return e.reject(EINVAL,
                  "kernel function {} args#{} expected pointer to {} {} but R{} has a pointer to {} {}\n",
                  call.name, arg, kind_text(call.btf->type(wanted)), want_name, arg + 1,
                  kind_text(reg_btf->type(reg_id)), reg_name);
}

}  // namespace skep::verifier
