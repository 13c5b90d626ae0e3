// Which helpers the machine's kernel has: asked by loading a program that calls each. It need not be
// accepted: what the verifier says of a helper it does not know, or not for this type, is enough.
#include "client/linux_kernel.hpp"

namespace skep::client {

namespace {

/// The hooks of types that cannot be loaded without one.
AttachType hook_of(ProgType type) {
  switch (type) {
    case ProgType::cgroup_sock_addr:
      return AttachType::cgroup_inet4_connect;
    case ProgType::cgroup_sockopt:
      return AttachType::cgroup_getsockopt;
    case ProgType::sk_lookup:
      return AttachType::sk_lookup;
    case ProgType::netfilter:
      return AttachType::netfilter;
    default:
      return {};
  }
}

}  // namespace

Result<std::vector<u32>> LinuxKernel::helpers(ProgType type) {
  if (type == ProgType::tracing || type == ProgType::ext || type == ProgType::lsm ||
      type == ProgType::struct_ops)
    return fail(EOPNOTSUPP, "programs of this type need something to attach to before they are looked at");
  std::vector<u32> ids;
  ProgramSpec spec;
  spec.type = type;
  spec.expected_attach_type = hook_of(type);
  spec.license = "GPL";
  if (type == ProgType::syscall) spec.flags = uapi::F_SLEEPABLE;
  for (u32 id = 1; id < helper_ids; ++id) {
    spec.insns = {{.code = 0x85, .imm = static_cast<s32>(id)}, {.code = 0x95}};
    Log log;
    const auto loaded = prog_load(spec, {.level = 1, .size = 4096}, &log);
    if (!loaded && loaded.error().code == EPERM) return std::unexpected(loaded.error());
    const auto says = [&log](std::string_view words) { return log.text.find(words) != std::string::npos; };
    if (loaded || (!log.text.empty() && !says("invalid func ") && !says("unknown func ") &&
                   !says("program of this type cannot use helper ")))
      ids.push_back(id);
  }
  return ids;
}

}  // namespace skep::client
