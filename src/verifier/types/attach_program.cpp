// Programs that are attached to a function of another program, or replace it: may they (kernel: the part of
// bpf_check_attach_target() for a target program, btf_check_func_type_match()).
#include "verifier/front/program.hpp"
#include "verifier/types/attach.hpp"

namespace skep::verifier {

using btf::Btf;
using btf::Kind;

namespace {

/// The number of the target's function that `attach_btf_id` names, or -1.
s32 function_number(const Input& input) {
  const auto records = input.target->func_info;
  for (std::size_t i = 0; i < records.size(); ++i)
    if (records[i].type_id == input.attach_btf_id) return static_cast<s32>(i);
  return -1;
}

int check_extension(const Input& input, const TargetFunction& function, bool changes_packet, bool might_sleep,
                    Log& log) {
  if (function.unreliable) {
    log.say("Cannot replace static functions\n");
    return EINVAL;
  }
  if (changes_packet && !function.changes_pkt_data) {
    log.say("Extension program changes packet data, while original does not\n");
    return EINVAL;
  }
  if (might_sleep && !function.might_sleep) {
    log.say("Extension program may sleep, while original does not\n");
    return EINVAL;
  }
  const TargetProgram& target = *input.target;
  if (target.type == ProgType::ext) {
    log.say("Cannot recursively attach\n");
    return EINVAL;
  }
  if (target.type == ProgType::tracing && (target.expected_attach_type == AttachType::trace_fentry ||
                                           target.expected_attach_type == AttachType::trace_fexit)) {
    log.say("Cannot extend fentry/fexit\n");
    return EINVAL;
  }
  return 0;
}

struct Side {
  const Btf& types;
  std::string_view name;
  const btf::Type& proto;
};

bool same_kind(const Btf& types, const btf::Type& type, const Btf& others, const btf::Type& other) {
  return type.kind == other.kind && type.kind_flag == other.kind_flag &&
         types.entries(type).size() == others.entries(other).size();
}

bool has_size(Kind kind) {
  return kind == Kind::int_ || btf::is_composite(kind) || btf::is_any_enum(kind) || kind == Kind::float_ ||
         kind == Kind::datasec;
}

/// Arguments are numbers, and pointers to structs of the same name.
int check_argument(u32 i, const Side& own, const Side& other, Log& log) {
  const btf::Type* mine = &own.types.type(own.types.skip_modifiers(own.types.entries(own.proto)[i].type));
  const btf::Type* theirs =
      &other.types.type(other.types.skip_modifiers(other.types.entries(other.proto)[i].type));
  if (!same_kind(own.types, *mine, other.types, *theirs)) {
    log.say("arg{} in {}() is {} while {}() has {}\n", i, own.name, btf::kind_name(mine->kind), other.name,
            btf::kind_name(theirs->kind));
    return EINVAL;
  }
  if (has_size(mine->kind) && mine->size != theirs->size) {
    log.say("arg{} in {}() has size {} while {}() has {}\n", i, own.name, mine->size, other.name,
            theirs->size);
    return EINVAL;
  }
  if (mine->kind == Kind::int_ || btf::is_any_enum(mine->kind)) return 0;
  if (mine->kind != Kind::ptr) {
    log.say("arg{} in {}() has unrecognized type\n", i, own.name);
    return EINVAL;
  }
  mine = &own.types.type(own.types.skip_modifiers(mine->type));
  theirs = &other.types.type(other.types.skip_modifiers(theirs->type));
  for (const auto& [type, name] : {std::pair{mine, own.name}, std::pair{theirs, other.name}}) {
    if (btf::is_composite(type->kind)) continue;
    log.say("arg{} in {}() is not a pointer to context\n", i, name);
    return EINVAL;
  }
  const std::string_view my_struct = own.types.string(mine->name_off);
  const std::string_view their_struct = other.types.string(theirs->name_off);
  if (my_struct == their_struct) return 0;
  log.say("arg{} {}(struct {} *) doesn't match {}(struct {} *)\n", i, own.name, my_struct, other.name,
          their_struct);
  return EINVAL;
}

}  // namespace

const TargetFunction& target_function(const Input& input) {
  return input.target->functions[static_cast<u32>(function_number(input))];
}

int check_target_program(const Input& input, Program& program, Log& log) {
  const TargetProgram& target = *input.target;
  const std::string_view name = target.btf->name(input.attach_btf_id);
  const s32 number = function_number(input);
  if (number < 0 || static_cast<u32>(number) >= target.functions.size()) {
    log.say("Subprog {} doesn't exist\n", name);
    return EINVAL;
  }
  const TargetFunction& function = target.functions[static_cast<u32>(number)];
  const bool extension = input.is_extension;
  if (function.exception_callback) {
    log.say("{} programs cannot attach to exception callback\n", extension ? "Extension" : "FENTRY/FEXIT");
    return EINVAL;
  }
  const SubprogNotes& own = program.subprogs[0];
  if (extension) return check_extension(input, function, own.changes_pkt_data, own.might_sleep, log);
  if (input.type == ProgType::tracing && target.attached_to_tracing) {
    log.say("Cannot nest tracing program attach more than once\n");
    return EINVAL;
  }
  return 0;
}

int check_same_signature(const Input& input, const Btf& others, const btf::Type& function, Log& log) {
  if (input.func_info.empty()) {
    log.say("Program extension requires BTF\n");
    return EINVAL;
  }
  const btf::Type& mine = input.btf->type(input.func_info[0].type_id);
  const Side own{*input.btf, input.btf->string(mine.name_off), input.btf->type(mine.type)};
  const Side other{others, others.string(function.name_off), others.type(function.type)};
  for (const auto& [type, name] : {std::pair{&mine, own.name}, std::pair{&function, other.name}}) {
    if (type->linkage == btf::linkage_global) continue;
    log.say("{}() is not a global function\n", name);
    return EINVAL;
  }
  const std::size_t count = own.types.entries(own.proto).size();
  if (const std::size_t wanted = others.entries(other.proto).size(); count != wanted) {
    log.say("{}() has {} args while {}() has {} args\n", own.name, count, other.name, wanted);
    return EINVAL;
  }
  const btf::Type& result = own.types.type(own.types.skip_modifiers(own.proto.type));
  const btf::Type& wanted = others.type(others.skip_modifiers(other.proto.type));
  if (!same_kind(own.types, result, others, wanted)) {
    log.say("Return type {} of {}() doesn't match type {} of {}()\n", btf::kind_name(result.kind), own.name,
            btf::kind_name(wanted.kind), other.name);
    return EINVAL;
  }
  for (u32 i = 0; i < count; ++i)
    if (const int err = check_argument(i, own, other, log); err != 0) return err;
  return 0;
}

}  // namespace skep::verifier
