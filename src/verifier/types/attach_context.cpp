// The context of programs that are attached by BTF: what the eight bytes for each argument hold (kernel:
// btf_ctx_access()).
#include "btf/kernel_btf.hpp"
#include "verifier/kfunc/context_types.hpp"
#include "verifier/types/attach.hpp"
#include "verifier/types/function_table.hpp"
#include "verifier/walk/walk.hpp"

namespace skep::verifier {

using btf::Btf;
using btf::Kind;

namespace {

constexpr u32 max_number_args = 5;  // MAX_BPF_FUNC_REG_ARGS

/// Programs at this place find the function's result behind its arguments.
bool sees_result(AttachType attach) {
  return attach == AttachType::trace_fexit || attach == AttachType::modify_return ||
         attach == AttachType::lsm_mac || attach == AttachType::lsm_cgroup;
}

bool is_small_int(const btf::Type& type) {
  return type.kind == Kind::int_ && type.int_bits % 8 == 0 && type.int_offset == 0 &&
         (type.size == 1 || type.size == 2 || type.size == 4 || type.size == 8);
}

bool is_scalar_like(const btf::Type& type) {
  return is_small_int(type) || btf::is_any_enum(type.kind) || btf::is_composite(type.kind);
}

/// The number of the parameter at `off` of the context, where each takes as many words as it needs; behind
/// the last comes the result, and behind that nothing, which is number count + 1. A tracepoint's first
/// parameter counts, though the context does not hold it (kernel: get_ctx_arg_idx()).
u32 parameter_at(const Btf& types, const btf::Type& proto, s32 off) {
  s64 end = 0;
  const auto ends_behind = [&](u32 id) {
    const btf::Type& type = types.type(types.skip_modifiers(id));
    end += type.kind == Kind::ptr ? 8 : (s64{type.size} + 7) / 8 * 8;
    return off < end;
  };
  const auto params = types.entries(proto);
  for (u32 i = 0; i < params.size(); ++i)
    if (ends_behind(params[i].type)) return i;
  const u32 count = static_cast<u32>(params.size());
  return ends_behind(proto.type) ? count : count + 1;
}

}  // namespace

/// Fills `value` with what argument `off / 8` is, or says why it cannot be read; `ok` is false then.
void Walk::attach_argument(s32 off, u32 size, RegState& value, bool& ok) {
  const AttachTarget& target = e.program.attach;
  const Btf& types = *target.btf;
  ok = false;
  if (off % 8 != 0) {
    (void)e.reject(EACCES, "func '{}' offset {} is not multiple of 8\n", target.name, off);
    return;
  }
  const auto params = target.proto != nullptr ? types.entries(*target.proto).subspan(target.skipped_args)
                                              : std::span<const btf::Entry>();
  const u32 count = target.proto != nullptr ? static_cast<u32>(params.size()) : max_number_args;
  const u32 arg =
      target.proto != nullptr ? parameter_at(types, *target.proto, off) : static_cast<u32>(off) / 8;
  const bool result = arg == count && target.table == nullptr && sees_result(e.input.expected_attach_type);
  if (arg >= count && !result) {
    (void)e.reject(EACCES, "func '{}' doesn't have {}-th argument\n", target.name, arg + 1);
    return;
  }
  mark_unknown(value);
  if (target.proto == nullptr) {
    ok = !result || e.input.expected_attach_type != AttachType::modify_return;
    return;
  }
  const u32 id = types.skip_modifiers(result ? target.proto->type : params[arg].type);
  const btf::Type& type = types.type(id);
  if (result && e.input.expected_attach_type == AttachType::modify_return && !is_small_int(type)) {
    (void)e.reject(EACCES, "ret type {} not allowed for fmod_ret\n", btf::kind_name(type.kind));
    return;
  }
  if (is_scalar_like(type)) {
    if (result && target.result) {
      value.num = Scalar::in_range(target.result->min, target.result->max);
      value.num.smin32 = target.result->min;
      value.num.smax32 = target.result->max;
      sync_bounds(value.num);
    }
    ok = true;
    return;
  }
  if (type.kind != Kind::ptr) {
    const std::string_view name = types.string(type.name_off);
    (void)e.reject(EACCES, "func '{}' arg{} '{}' has type {}. Only pointer access is allowed\n", target.name,
                   arg, name.empty() ? "(anon)" : name, btf::kind_name(type.kind));
    return;
  }
  if (size != 8) {
    (void)e.reject(EACCES, "func '{}' size {} must be 8\n", target.name, size);
    return;
  }
  attach_pointer({arg, result ? 0 : params[arg].name_off}, type, value, ok);
}

/// A pointer to the context of the program whose function the argument is of (kernel:
/// btf_translate_to_vmlinux()).
void Walk::attach_context_pointer(const btf::Type& pointer, u16 flags, RegState& value, bool& ok) {
  const TargetProgram& program = *e.input.target;
  const ProgType type = program.type == ProgType::ext ? program.extended_type : program.type;
  if (!kfunc::is_context_type(*e.program.attach.btf, pointer, type)) return;
  const std::string_view name = kfunc::kernel_context(type);
  const u32 id = name.empty() ? 0 : kernel_struct(name);
  if (id == 0) return;
  mark_btf_load(value, Base::btf_id, kernel_btf(), id, flags);
  ok = true;
}

void Walk::attach_pointer(AttachArg arg, const btf::Type& pointer, RegState& value, bool& ok) {
  const AttachTarget& target = e.program.attach;
  const Btf& types = *target.btf;
  const FunctionTable* table = target.table;
  const AttachType attach = e.input.expected_attach_type;
  const bool iter = table == nullptr && attach == AttachType::trace_iter;
  const bool raw_tp = table == nullptr && attach == AttachType::trace_raw_tp;
  const IterArg* passed_arg = iter ? iter_arg(target.name, arg.index) : nullptr;
  auto set = [&](RegType type) {
    mark_known_zero_pointer(value, type);
    if (type.maybe_null()) value.id = ++e.id_gen;
    ok = true;
  };
  if (passed_arg != nullptr && passed_arg->base == Base::buf) return set({Base::buf, passed_arg->flags});
  const u32 pointee = types.skip_modifiers(pointer.type);
  const btf::Type& type = types.type(pointee);
  if (pointee == 0 || type.kind == Kind::int_) {  // a mere number
    ok = true;
    return;
  }
  u16 flags = target.args_trusted ? tf::trusted : tf::none;
  if (passed_arg == nullptr && types.string(arg.name_off).ends_with("__nullable")) flags |= tf::maybe_null;
  if (e.input.target != nullptr) return attach_context_pointer(pointer, flags, value, ok);
  if (!btf::is_composite(type.kind)) {
    (void)e.reject(EACCES, "func '{}' arg{} type {} is not a struct\n", target.name, arg.index,
                   btf::kind_name(type.kind));
    return;
  }
  if (passed_arg != nullptr) {
    flags = passed_arg->flags;
  } else if (table != nullptr && arg.index == 0 && target.name == table->nullable_member) {
    flags |= tf::maybe_null;
  } else {
    if (raw_tp && tracepoint_arg_nullable(target.name, arg.index)) flags |= tf::maybe_null;
    const btf::Type& tag = types.type(pointer.type);
    if (tag.kind == Kind::type_tag && types.string(tag.name_off) == "user") flags |= tf::user;
    if (tag.kind == Kind::type_tag && types.string(tag.name_off) == "percpu") flags |= tf::percpu;
    e.log.trace("func '{}' arg{} has btf_id {} type {} '{}'\n", target.name, arg.index, pointee,
                btf::kind_name(type.kind), types.string(type.name_off));
  }
  set({Base::btf_id, flags});
  value.btf = &types;
  value.btf_id = pointee;
  if (table != nullptr && table->socks_are_tcp && types.string(type.name_off) == "sock")
    value.btf_id = kernel_struct("tcp_sock");
}

/// The context of a program attached by BTF: an array of arguments, read only.
Status Walk::check_attach_context(s32 off, u32 size, Access access, s32 value_regno) {
  constexpr s32 max_args = 12;
  RegState value;
  bool ok = off >= 0 && off < 8 * max_args && access == Access::read && off % static_cast<s32>(size) == 0;
  if (ok) attach_argument(off, size, value, ok);
  if (!ok) {
    (void)e.reject(EACCES, "invalid bpf_context access off={} size={}\n", off, size);
    print_source_line(e.insn_idx);
    return Status(EACCES);
  }
  if (value_regno >= 0) regs()[value_regno] = value;
  return passed;
}

}  // namespace skep::verifier
