// Programs that are attached to a place in the kernel, or to a function of another program, by BTF: is the
// place one to attach to (kernel: check_attach_btf_id(), bpf_check_attach_target()).
#include "verifier/types/attach.hpp"

#include "btf/kernel_btf.hpp"
#include "verifier/front/program.hpp"
#include "verifier/types/function_table.hpp"
#include "verifier/types/lsm_hooks.hpp"

namespace skep::verifier {

using btf::Btf;
using btf::Kind;

namespace {

constexpr std::string_view tracepoint_prefix = "btf_trace_";
constexpr u32 max_function_args = 12;  // MAX_BPF_FUNC_ARGS
constexpr s32 lowest_errno = -4095;

bool is_extension(const Input& input) { return input.is_extension || input.type == ProgType::ext; }

bool sleepable_allowed(const Input& input) {
  switch (input.type) {
    case ProgType::tracing:
      return input.expected_attach_type == AttachType::trace_fentry ||
             input.expected_attach_type == AttachType::trace_fexit ||
             input.expected_attach_type == AttachType::modify_return ||
             input.expected_attach_type == AttachType::trace_iter;
    case ProgType::lsm:
      return input.expected_attach_type != AttachType::lsm_cgroup;
    case ProgType::kprobe:
    case ProgType::struct_ops:
    case ProgType::syscall:
      return true;
    default:
      return false;
  }
}

int find_tracepoint(const Input& input, const Btf& types, AttachTarget& target, Log& log) {
  if (input.target != nullptr) {
    log.say("Only FENTRY/FEXIT progs are attachable to another BPF prog\n");
    return EINVAL;
  }
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
  target = {&types, &types.type(pointer.type), name.substr(tracepoint_prefix.size())};
  target.skipped_args = 1;
  target.args_trusted = true;
  return 0;
}

/// The size of an argument or result, and what it is without modifiers; -1: none that trampolines pass
/// (kernel: __get_type_size()).
s64 passed_size(const Btf& types, u32 id, const btf::Type*& type) {
  type = &types.type(types.skip_modifiers(id));
  if (type->kind == Kind::void_) return id == 0 ? 0 : -1;
  if (type->kind == Kind::ptr) return 8;
  if (type->kind == Kind::int_ || btf::is_any_enum(type->kind) || btf::is_composite(type->kind))
    return type->size;
  return -1;
}

/// The arguments can be handed to a program (kernel: btf_distill_func_proto()).
int check_prototype(const Btf& types, const btf::Type& proto, std::string_view name, Log& log) {
  const auto params = types.entries(proto);
  if (params.size() > max_function_args) {
    log.say("The function {} has {} arguments. Too many.\n", name, params.size());
    return EINVAL;
  }
  const btf::Type* type = nullptr;
  if (passed_size(types, proto.type, type) < 0 || btf::is_composite(type->kind)) {
    log.say("The function {} return type {} is unsupported.\n", name, btf::kind_name(type->kind));
    return EINVAL;
  }
  for (u32 i = 0; i < params.size(); ++i) {
    if (i + 1 == params.size() && params[i].type == 0) {
      log.say("The function {} with variable args is unsupported.\n", name);
      return EINVAL;
    }
    const s64 size = passed_size(types, params[i].type, type);
    if (size < 0 || size > 16) {
      log.say("The function {} arg{} type {} is unsupported.\n", name, i, btf::kind_name(type->kind));
      return EINVAL;
    }
    if (size == 0) {
      log.say("The function {} has malformed void argument.\n", name);
      return EINVAL;
    }
  }
  return 0;
}

/// May a program that sleeps, or changes what the function returns, be attached to it?
int check_behaviour(const Input& input, std::string_view name, Log& log) {
  const bool kernel_function = input.target == nullptr;
  if ((input.prog_flags & uapi::F_SLEEPABLE) != 0) {
    const bool allowed = input.type == ProgType::lsm
                             ? lsm::is_sleepable(name)
                             : input.type == ProgType::tracing && kernel_function && may_sleep_at(name);
    if (allowed) return 0;
    log.say("{} is not sleepable\n", name);
    return EINVAL;
  }
  if (input.expected_attach_type != AttachType::modify_return) return 0;
  if (!kernel_function) {
    log.say("can't modify return codes of BPF programs\n");
    return EINVAL;
  }
  if (may_modify_return_of(name)) return 0;
  log.say("{}() is not modifiable\n", name);
  return EINVAL;
}

int find_function(const Input& input, const Btf& types, AttachTarget& target, Log& log) {
  const btf::Type& type = types.type(input.attach_btf_id);
  if (type.kind != Kind::func) {
    log.say("attach_btf_id {} is not a function\n", input.attach_btf_id);
    return EINVAL;
  }
  if (is_extension(input))
    if (const int err = check_same_signature(input, types, type, log); err != 0) return err;
  const btf::Type& proto = types.type(type.type);
  if (proto.kind != Kind::func_proto) return EINVAL;
  target = {&types, &proto, types.string(type.name_off)};
  // Arguments of a function whose BTF is not to be relied on are five numbers.
  if (input.target != nullptr && target_function(input).unreliable) target.proto = nullptr;
  if (target.proto != nullptr)
    if (const int err = check_prototype(types, proto, target.name, log); err != 0) return err;
  if (is_extension(input)) return 0;
  if (input.expected_attach_type == AttachType::trace_iter) {
    target.args_trusted = true;
    return is_iterator(target.name) ? 0 : EINVAL;  // bpf_iter_prog_supported() says nothing
  }
  return check_behaviour(input, target.name, log);
}

/// kernel: bpf_lsm_verify_prog(), bpf_lsm_get_retval_range()
int check_hook(const Input& input, AttachTarget& target, Log& log) {
  if (!input.gpl_compatible) {
    log.say("LSM programs must have a GPL compatible license\n");
    return EINVAL;
  }
  if (lsm::is_disabled(target.name)) {
    log.say("attach_btf_id {} points to disabled hook {}\n", input.attach_btf_id, target.name);
    return EINVAL;
  }
  if (!lsm::is_hook(target.name)) {
    log.say("attach_btf_id {} points to wrong type name {}\n", input.attach_btf_id, target.name);
    return EINVAL;
  }
  target.args_trusted = lsm::has_trusted_args(target.name);
  if (input.expected_attach_type == AttachType::lsm_mac && target.proto->type != 0)
    target.result = lsm::returns_bool(target.name) ? ReturnRange{0, 1} : ReturnRange{lowest_errno, 0};
  return 0;
}

/// What is not to be traced, whatever its type.
int check_not_denied(const Input& input, const AttachTarget& target, Log& log) {
  if (input.target != nullptr) return 0;  // a program's function may have any name
  if (input.type == ProgType::tracing && is_denied_to_tracing(target.name)) {
    log.say("Attaching tracing programs to function '{}' is rejected.\n", target.name);
    return EINVAL;
  }
  const bool at_exit = input.expected_attach_type == AttachType::trace_fexit ||
                       input.expected_attach_type == AttachType::modify_return;
  if (!at_exit || !never_returns(target.name)) return 0;
  log.say("Attaching fexit/fmod_ret to __noreturn function '{}' is rejected.\n", target.name);
  return EINVAL;
}

/// The place that the attributes name, in `target`.
int find_target(const Input& input, Program& program, Log& log) {
  AttachTarget& target = program.attach;
  if (input.attach_btf_id == 0) {
    log.say("Tracing programs must provide btf_id\n");
    return EINVAL;
  }
  const Btf* types = input.target != nullptr    ? input.target->btf
                     : input.vmlinux != nullptr ? input.vmlinux->types()
                                                : nullptr;
  if (types == nullptr) {
    log.say("FENTRY/FEXIT program can only be attached to another program annotated with BTF\n");
    return EINVAL;
  }
  if (input.attach_btf_id > types->type_count()) {
    log.say("attach_btf_id {} is invalid\n", input.attach_btf_id);
    return EINVAL;
  }
  if (types->type(input.attach_btf_id).name_off == 0) {
    log.say("attach_btf_id {} doesn't have a name\n", input.attach_btf_id);
    return EINVAL;
  }
  if (input.target != nullptr) {
    if (const int err = check_target_program(input, program, log); err != 0) return err;
  } else if (is_extension(input)) {
    log.say("Cannot replace kernel functions\n");
    return EINVAL;
  }
  if (is_extension(input)) return find_function(input, *types, target, log);
  switch (input.expected_attach_type) {
    case AttachType::trace_raw_tp:
      return find_tracepoint(input, *types, target, log);
    case AttachType::trace_iter:
    case AttachType::trace_fentry:
    case AttachType::trace_fexit:
    case AttachType::modify_return:
    case AttachType::lsm_mac:
    case AttachType::lsm_cgroup:
      return find_function(input, *types, target, log);
    default:
      return EINVAL;
  }
}

}  // namespace

int check_attach_target(const Input& input, Program& program, Log& log) {
  const bool sleepable = (input.prog_flags & uapi::F_SLEEPABLE) != 0;
  const bool extension = is_extension(input);
  if (!extension && input.type == ProgType::syscall && !sleepable) {
    log.say("Syscall programs can only be sleepable\n");
    return EINVAL;
  }
  if (sleepable && (extension || !sleepable_allowed(input))) {
    log.say("Only fentry/fexit/fmod_ret, lsm, iter, uprobe, and struct_ops programs can be sleepable\n");
    return EINVAL;
  }
  const bool by_btf = input.type == ProgType::tracing || input.type == ProgType::lsm;
  if (!extension && input.type == ProgType::struct_ops) return find_table_function(input, program, log);
  if (!extension && !by_btf) return 0;
  AttachTarget& target = program.attach;
  if (const int err = find_target(input, program, log); err != 0) return err;
  if (extension) {
    if (!by_btf && input.type != ProgType::struct_ops) target = {};  // its context is the target's
    return 0;
  }
  if (input.expected_attach_type == AttachType::trace_raw_tp ||
      input.expected_attach_type == AttachType::trace_iter)
    return 0;
  if (input.type == ProgType::lsm) return check_hook(input, target, log);
  return check_not_denied(input, target, log);
}

}  // namespace skep::verifier
