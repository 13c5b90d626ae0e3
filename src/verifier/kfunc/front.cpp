// Before the walk: is there such a kernel function at all, and which of the program's own functions handles
// its exceptions (kernel: add_kfunc_call(), bpf_find_exception_callback_insn_off()).
#include "btf/kernel_btf.hpp"
#include "verifier/front/program.hpp"
#include "verifier/kfunc/kfunc.hpp"

namespace skep::verifier {

int add_kfunc_call(const Input& input, const isa::Insn& insn, std::vector<u32>& known, Log& log) {
  const btf::Btf* types = input.vmlinux != nullptr ? input.vmlinux->types() : nullptr;
  if (types == nullptr) {
    log.say("calling kernel function is not supported without CONFIG_DEBUG_INFO_BTF\n");
    return kENOTSUPP;
  }
  if (!input.gpl_compatible) {
    log.say("cannot call kernel function from non-GPL compatible program\n");
    return EINVAL;
  }
  if (insn.imm == 0 && insn.off == 0) return 0;  // a weak one that was not found
  if (insn.off < 0) {
    log.say("negative offset disallowed for kernel module function call\n");
    return EINVAL;
  }
  if (insn.off > 0) {
    if (input.fd_array.empty()) {
      log.say("kfunc offset > 0 without fd_array is invalid\n");
      return EPROTO;
    }
    log.say("skep has no kernel modules whose functions could be called\n");
    return EOPNOTSUPP;
  }
  const auto id = static_cast<u32>(insn.imm);
  for (const u32 other : known)
    if (other == id) return 0;
  constexpr std::size_t max_descriptions = 256;
  if (known.size() == max_descriptions) {
    log.say("too many different kernel function calls\n");
    return E2BIG;
  }
  const btf::Type& function = types->type(id);
  if (function.kind != btf::Kind::func) {
    log.say("kernel btf_id {} is not a function\n", id);
    return EINVAL;
  }
  if (types->type(function.type).kind != btf::Kind::func_proto) {
    log.say("kernel function btf_id {} does not have a valid func_proto\n", id);
    return EINVAL;
  }
  const std::string_view name = types->string(function.name_off);
  if (name.starts_with("bpf_xdp_metadata_rx_")) {
    log.say("metadata kfuncs require device-bound program\n");
    return EINVAL;
  }
  known.push_back(id);
  return 0;
}

namespace {

int find_exception_function(const Input& input, std::string_view name, s64& insn, Log& log) {
  const btf::Btf& types = *input.btf;
  const u32 id = types.find(btf::Kind::func, name);
  if (id == 0) {
    log.say("exception callback '{}' could not be found in BTF\n", name);
    return ENOENT;
  }
  if (types.type(id).linkage != btf::linkage_global) {
    log.say("exception callback '{}' must have global linkage\n", name);
    return EINVAL;
  }
  for (const FuncInfo& record : input.func_info)
    if (record.type_id == id) insn = record.insn_off;
  if (insn < 0) {
    log.say("exception callback type id not found in func_info\n");
    return EINVAL;
  }
  if (insn == 0) {
    log.say("invalid exception callback insn_off in func_info: 0\n");
    return EINVAL;
  }
  return 0;
}

}  // namespace

int find_exception_callback(const Input& input, s64& insn, Log& log) {
  insn = -1;
  if (input.func_info.empty() || input.btf == nullptr) return 0;
  constexpr std::string_view key = "exception_callback:";
  const btf::Btf& types = *input.btf;
  std::string_view name;
  for (u32 id = 1; id <= types.type_count(); ++id) {
    const btf::Type& tag = types.type(id);
    if (tag.kind != btf::Kind::decl_tag || tag.type != input.func_info[0].type_id || tag.component != -1)
      continue;
    const std::string_view text = types.string(tag.name_off);
    if (!text.starts_with(key)) continue;
    if (!name.empty()) {
      log.say("multiple exception callback tags for main subprog\n");
      return EEXIST;
    }
    name = text.substr(key.size());
  }
  return name.empty() ? 0 : find_exception_function(input, name, insn, log);
}

}  // namespace skep::verifier
