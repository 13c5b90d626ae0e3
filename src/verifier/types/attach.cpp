// Programs that are attached to a place in the kernel by its BTF: is the place one to attach to, and what do
// the eight bytes of context for each argument hold (kernel: check_attach_btf_id(),
// bpf_check_attach_target(), btf_ctx_access()).
#include "verifier/types/attach.hpp"

#include "btf/kernel_btf.hpp"
#include "verifier/front/program.hpp"
#include "verifier/types/function_table.hpp"
#include "verifier/walk/walk.hpp"

namespace skep::verifier {

using btf::Btf;
using btf::Kind;

namespace {

constexpr std::string_view tracepoint_prefix = "btf_trace_";
constexpr std::string_view iter_prefix = "bpf_iter_";

bool sleepable_allowed(const Input& input) {
  switch (input.type) {
    case ProgType::tracing:
      return input.expected_attach_type == AttachType::trace_fentry ||
             input.expected_attach_type == AttachType::trace_fexit ||
             input.expected_attach_type == AttachType::modify_return ||
             input.expected_attach_type == AttachType::trace_iter;
    case ProgType::lsm:
    case ProgType::kprobe:
    case ProgType::struct_ops:
    case ProgType::syscall:
      return true;
    default:
      return false;
  }
}

int find_tracepoint(const Input& input, const Btf& types, AttachTarget& target, Log& log) {
  const btf::Type& type = types.type(input.attach_btf_id);
  const std::string_view name = types.string(type.name_off);
  if (type.kind != Kind::typedef_) {
    log.say("attach_btf_id {} is not a typedef\n", input.attach_btf_id);
    return EINVAL;
  }
  if (!name.starts_with(tracepoint_prefix)) {
    log.say("attach_btf_id {} points to wrong type name {}\n", input.attach_btf_id, name);
    return EINVAL;
  }
  const btf::Type& pointer = types.type(type.type);
  if (pointer.kind != Kind::ptr || types.type(pointer.type).kind != Kind::func_proto) return EINVAL;
  target = {&types, &types.type(pointer.type), name.substr(tracepoint_prefix.size()), 1};
  return 0;
}

int find_function(const Input& input, const Btf& types, AttachTarget& target, Log& log) {
  const btf::Type& type = types.type(input.attach_btf_id);
  if (type.kind != Kind::func) {
    log.say("attach_btf_id {} is not a function\n", input.attach_btf_id);
    return EINVAL;
  }
  if (types.type(type.type).kind != Kind::func_proto) return EINVAL;
  target = {&types, &types.type(type.type), types.string(type.name_off), 0};
  if (input.expected_attach_type != AttachType::trace_iter) return 0;
  if (target.name.starts_with(iter_prefix) && iter_target_known(target.name.substr(iter_prefix.size())))
    return 0;
  return EINVAL;  // bpf_iter_prog_supported() says nothing
}

}  // namespace

int check_attach_target(const Input& input, Program& program, Log& log) {
  const bool sleepable = (input.prog_flags & uapi::F_SLEEPABLE) != 0;
  if (input.type == ProgType::syscall && !sleepable) {
    log.say("Syscall programs can only be sleepable\n");
    return EINVAL;
  }
  if (sleepable && !sleepable_allowed(input)) {
    log.say("Only fentry/fexit/fmod_ret, lsm, iter, uprobe, and struct_ops programs can be sleepable\n");
    return EINVAL;
  }
  if (input.type == ProgType::struct_ops) return find_table_function(input, program, log);
  if (input.type != ProgType::tracing) return 0;
  if (input.attach_btf_id == 0) {
    log.say("Tracing programs must provide btf_id\n");
    return EINVAL;
  }
  const Btf* types = input.vmlinux != nullptr ? input.vmlinux->types() : nullptr;
  if (types == nullptr) {
    log.say("FENTRY/FEXIT program can only be attached to another program annotated with BTF\n");
    return EINVAL;
  }
  if (input.attach_btf_id > types->type_count()) {
    log.say("attach_btf_id {} is invalid\n", input.attach_btf_id);
    return EINVAL;
  }
  switch (input.expected_attach_type) {
    case AttachType::trace_raw_tp:
      return find_tracepoint(input, *types, program.attach, log);
    case AttachType::trace_iter:
    case AttachType::trace_fentry:
    case AttachType::trace_fexit:
    case AttachType::modify_return:
      return find_function(input, *types, program.attach, log);
    default:
      return EINVAL;
  }
}

namespace {

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
  const auto params = types.entries(*target.proto).subspan(target.skipped_args);
  const u32 arg = parameter_at(types, *target.proto, off);
  const bool result = arg == params.size() && e.input.type == ProgType::tracing &&
                      (e.input.expected_attach_type == AttachType::trace_fexit ||
                       e.input.expected_attach_type == AttachType::modify_return);
  if (arg >= params.size() && !result) {
    (void)e.reject(EACCES, "func '{}' doesn't have {}-th argument\n", target.name, arg + 1);
    return;
  }
  const u32 id = types.skip_modifiers(result ? target.proto->type : params[arg].type);
  const btf::Type& type = types.type(id);
  mark_unknown(value);
  if (is_scalar_like(type)) {
    ok = true;
    return;
  }
  if (type.kind != Kind::ptr) {
    (void)e.reject(EACCES, "func '{}' arg{} '{}' has type {}. Only pointer access is allowed\n", target.name,
                   arg, types.string(type.name_off), btf::kind_name(type.kind));
    return;
  }
  if (size != 8) {
    (void)e.reject(EACCES, "func '{}' size {} must be 8\n", target.name, size);
    return;
  }
  attach_pointer(arg, type, result, value, ok);
}

void Walk::attach_pointer(u32 arg, const btf::Type& pointer, bool result, RegState& value, bool& ok) {
  const AttachTarget& target = e.program.attach;
  const Btf& types = *target.btf;
  const FunctionTable* table = target.table;
  const bool iter = table == nullptr && e.input.expected_attach_type == AttachType::trace_iter;
  const bool raw_tp = table == nullptr && e.input.expected_attach_type == AttachType::trace_raw_tp;
  const IterArg* passed_arg = iter ? iter_arg(target.name.substr(iter_prefix.size()), arg) : nullptr;
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
  if (!btf::is_composite(type.kind)) {
    (void)e.reject(EACCES, "func '{}' arg{} type {} is not a struct\n", target.name, arg,
                   btf::kind_name(type.kind));
    return;
  }
  u16 flags = iter || raw_tp || table != nullptr ? tf::trusted : tf::none;
  if (passed_arg != nullptr) {
    flags = passed_arg->flags;
  } else if (table != nullptr && arg == 0 && target.name == table->nullable_member) {
    flags |= tf::maybe_null;
  } else {
    if (raw_tp && tracepoint_arg_nullable(target.name, arg)) flags |= tf::maybe_null;
    const btf::Type& tag = types.type(pointer.type);
    if (tag.kind == Kind::type_tag && types.string(tag.name_off) == "user") flags |= tf::user;
    if (tag.kind == Kind::type_tag && types.string(tag.name_off) == "percpu") flags |= tf::percpu;
    (void)result;
    e.log.trace("func '{}' arg{} has btf_id {} type {} '{}'\n", target.name, arg, pointee,
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
