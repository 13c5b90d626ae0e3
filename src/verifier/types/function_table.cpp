// See function_table.hpp: Linux 6.18's tables, as it answers when each function of them is loaded, and how a
// program finds its own (kernel: check_struct_ops_btf_id(), net/ipv4/bpf_tcp_ca.c,
// net/bpf/bpf_dummy_struct_ops.c).
#include "verifier/types/function_table.hpp"

#include <algorithm>

#include "verifier/call/helper_ids.hpp"
#include "verifier/front/program.hpp"
#include "verifier/walk/walk.hpp"

namespace skep::verifier {

using btf::Btf;
using btf::Kind;

namespace {

constexpr FunctionTable tables[] = {
    {.name = "bpf_dummy_ops",
     .without_stub = {},
     .only_sleepable = "test_sleepable",
     .nullable_member = "test_1",
     .without_sockopt = {},
     .writable = "bpf_dummy_ops_state"},
    {.name = "tcp_congestion_ops",
     .without_stub = "get_info",
     .only_sleepable = {},
     .nullable_member = {},
     .without_sockopt = "release",
     .helpers = true,
     .socks_are_tcp = true,
     .writable = "tcp_sock"},
};

struct FieldName {
  std::string_view structure, member, inner;
  bool inside = false;
};
/// kernel: bpf_tcp_ca_btf_struct_access()
constexpr FieldName writable_tcp_fields[] = {
    {"sock", "sk_pacing_rate", {}},
    {"sock", "sk_pacing_status", {}},
    {"inet_connection_sock", "icsk_ca_priv", {}, true},
    {"inet_connection_sock", "icsk_ack", "pending"},
    {"tcp_sock", "snd_cwnd", {}},
    {"tcp_sock", "snd_cwnd_cnt", {}},
    {"tcp_sock", "snd_cwnd_stamp", {}},
    {"tcp_sock", "snd_ssthresh", {}},
    {"tcp_sock", "ecn_flags", {}},
    {"tcp_sock", "app_limited", {}},
};

const btf::Entry* find_member(const Btf& types, const btf::Type& structure, std::string_view name) {
  const auto members = types.entries(structure);
  const auto found =
      std::ranges::find_if(members, [&](const btf::Entry& m) { return types.string(m.name_off) == name; });
  return found == members.end() ? nullptr : &*found;
}

std::optional<WritableField> place_of(const btf::KernelBtf& kernel, const FieldName& field) {
  const Btf& types = *kernel.types();
  const u32 id = kernel.find(Kind::struct_, field.structure);
  if (id == 0) return std::nullopt;
  const btf::Entry* member = find_member(types, types.type(id), field.member);
  if (member == nullptr) return std::nullopt;
  u32 bit = member->bit_offset;
  if (!field.inner.empty()) {
    member = find_member(types, types.type(types.skip_modifiers(member->type)), field.inner);
    if (member == nullptr) return std::nullopt;
    bit += member->bit_offset;
  }
  const auto size = types.size_of(member->type);
  if (!size) return std::nullopt;
  const s32 begin = static_cast<s32>(bit / 8);
  return WritableField{begin, begin + static_cast<s32>(*size), field.inside};
}

/// The prototype of a member that is a pointer to a function, else nullptr.
const btf::Type* function_of(const Btf& types, const btf::Entry& member) {
  const btf::Type& pointer = types.type(types.skip_modifiers(member.type));
  if (pointer.kind != Kind::ptr) return nullptr;
  const btf::Type& proto = types.type(types.skip_modifiers(pointer.type));
  return proto.kind == Kind::func_proto ? &proto : nullptr;
}

}  // namespace

const FunctionTable* find_function_table(std::string_view name) {
  const auto found = std::ranges::find(tables, name, &FunctionTable::name);
  return found == std::end(tables) ? nullptr : &*found;
}

std::optional<WritableField> writable_tcp_field(const btf::KernelBtf& kernel, s32 off) {
  for (const FieldName& name : writable_tcp_fields) {
    const auto field = place_of(kernel, name);
    if (field && (field->inside ? off >= field->begin && off < field->end : off == field->begin))
      return field;
  }
  return std::nullopt;
}

int find_table_function(const Input& input, Program& program, Log& log) {
  if (!input.gpl_compatible) {
    log.say("struct ops programs must have a GPL compatible license\n");
    return EINVAL;
  }
  if (input.attach_btf_id == 0) return kENOTSUPP;
  const Btf* types = input.vmlinux != nullptr ? input.vmlinux->types() : nullptr;
  if (types == nullptr || input.attach_btf_id > types->type_count()) return EINVAL;
  const btf::Type& structure = types->type(input.attach_btf_id);
  const std::string_view name = types->string(structure.name_off);
  const FunctionTable* table = structure.kind == Kind::struct_ ? find_function_table(name) : nullptr;
  if (table == nullptr) {
    // The kernel has a struct of that name for each table that it lets programs fill.
    if (structure.kind == Kind::struct_ &&
        input.vmlinux->find(Kind::struct_, fmt::format("bpf_struct_ops_{}", name)) != 0) {
      log.say("skep does not verify programs of struct {} yet\n", name);
      return EOPNOTSUPP;
    }
    log.say("attach_btf_id {} is not a supported struct\n", input.attach_btf_id);
    return kENOTSUPP;
  }
  const auto members = types->entries(structure);
  const u32 index = static_cast<u32>(input.expected_attach_type);
  if (index >= members.size()) {
    log.say("attach to invalid member idx {} of struct {}\n", index, name);
    return EINVAL;
  }
  const std::string_view member = types->string(members[index].name_off);
  const btf::Type* proto = function_of(*types, members[index]);
  if (proto == nullptr) {
    log.say("attach to invalid member {}(@idx {}) of struct {}\n", member, index, name);
    return EINVAL;
  }
  const bool sleepable = (input.prog_flags & uapi::F_SLEEPABLE) != 0;
  const bool stub = member != table->without_stub;
  if (!stub || (sleepable && !table->only_sleepable.empty() && member != table->only_sleepable)) {
    log.say("attach to unsupported member {} of struct {}\n", member, name);
    return stub ? EINVAL : kENOTSUPP;
  }
  program.attach = {types, proto, member};
  program.attach.table = table;
  program.attach.args_trusted = true;
  return 0;
}

/// A program of a table may call only what the table says.
bool Walk::table_lacks(s32 func_id) const {
  const FunctionTable* table = e.program.attach.table;
  if (table == nullptr) return false;
  const bool sockopt = func_id == fn_id::setsockopt || func_id == fn_id::getsockopt;
  return !table->helpers || (sockopt && e.program.attach.name == table->without_sockopt);
}

Status Walk::check_table_write(const RegState& reg, s32 off, u32 size) {
  const FunctionTable& table = *e.program.attach.table;
  const Btf& types = *reg.btf;
  const bool fits = types.name(reg.btf_id) == table.writable;
  if (!table.socks_are_tcp) {
    if (!fits) return e.reject(EACCES, "only access to {} is supported\n", table.writable);
    if (static_cast<u64>(off) + size > types.type(reg.btf_id).size)
      return e.reject(EACCES, "write access at off {} with size {}\n", off, size);
    return passed;
  }
  if (!fits) return e.reject(EACCES, "only read is supported\n");
  const auto field = writable_tcp_field(*e.input.vmlinux, off);
  if (!field) return e.reject(EACCES, "no write support to tcp_sock at off {}\n", off);
  if (off + static_cast<s32>(size) > field->end)
    return e.reject(EACCES, "write access at off {} with size {} beyond the member of tcp_sock ended at {}\n",
                    off, size, field->end);
  return passed;
}

}  // namespace skep::verifier
