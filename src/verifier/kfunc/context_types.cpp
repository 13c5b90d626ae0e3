// See context_types.hpp (kernel: struct bpf_ctx_convert).
#include "verifier/kfunc/context_types.hpp"

#include <fmt/format.h>

namespace skep::verifier::kfunc {

namespace {

struct Row {
  ProgType type;
  std::string_view program, kernel;
};
constexpr Row rows[] = {
    {ProgType::socket_filter, "__sk_buff", "sk_buff"},
    {ProgType::sched_cls, "__sk_buff", "sk_buff"},
    {ProgType::sched_act, "__sk_buff", "sk_buff"},
    {ProgType::xdp, "xdp_md", "xdp_buff"},
    {ProgType::cgroup_skb, "__sk_buff", "sk_buff"},
    {ProgType::cgroup_sock, "bpf_sock", "sock"},
    {ProgType::cgroup_sock_addr, "bpf_sock_addr", "bpf_sock_addr_kern"},
    {ProgType::lwt_in, "__sk_buff", "sk_buff"},
    {ProgType::lwt_out, "__sk_buff", "sk_buff"},
    {ProgType::lwt_xmit, "__sk_buff", "sk_buff"},
    {ProgType::lwt_seg6local, "__sk_buff", "sk_buff"},
    {ProgType::sock_ops, "bpf_sock_ops", "bpf_sock_ops_kern"},
    {ProgType::sk_skb, "__sk_buff", "sk_buff"},
    {ProgType::sk_msg, "sk_msg_md", "sk_msg"},
    {ProgType::flow_dissector, "__sk_buff", "bpf_flow_dissector"},
    {ProgType::kprobe, "pt_regs", "pt_regs"},
    {ProgType::perf_event, "bpf_perf_event_data", "bpf_perf_event_data_kern"},
    {ProgType::raw_tracepoint, "bpf_raw_tracepoint_args", ""},
    {ProgType::raw_tracepoint_writable, "bpf_raw_tracepoint_args", ""},
    {ProgType::cgroup_device, "bpf_cgroup_dev_ctx", "bpf_cgroup_dev_ctx"},
    {ProgType::cgroup_sysctl, "bpf_sysctl", "bpf_sysctl_kern"},
    {ProgType::cgroup_sockopt, "bpf_sockopt", "bpf_sockopt_kern"},
    {ProgType::sk_reuseport, "sk_reuseport_md", "sk_reuseport_kern"},
    {ProgType::sk_lookup, "bpf_sk_lookup", "bpf_sk_lookup_kern"},
    {ProgType::netfilter, "bpf_nf_ctx", "bpf_nf_ctx"},
};

}  // namespace

std::string_view program_context(ProgType type) {
  for (const Row& row : rows)
    if (row.type == type) return row.program;
  return {};
}

std::string_view kernel_context(ProgType type) {
  for (const Row& row : rows)
    if (row.type == type) return row.kernel;
  return {};
}

bool is_projection(std::string_view program_name, std::string_view kernel_name) {
  return (program_name == "__sk_buff" && kernel_name == "sk_buff") ||
         (program_name == "xdp_md" && kernel_name == "xdp_buff");
}

bool is_context_type(const btf::Btf& types, const btf::Type& pointer, ProgType type) {
  u32 id = pointer.type;
  if (type == ProgType::kprobe) {
    while (btf::is_modifier(types.type(id).kind) && types.type(id).kind != btf::Kind::typedef_)
      id = types.type(id).type;
    if (types.type(id).kind == btf::Kind::typedef_ && types.name(id) == "bpf_user_pt_regs_t") return true;
  }
  id = types.skip_modifiers(id);
  if (!btf::is_composite(types.type(id).kind)) return false;
  const std::string_view wanted = program_context(type);
  const std::string_view name = types.name(id);
  // The kernel's own context of kprobes is a typedef, whose name a program's struct may have.
  if (type == ProgType::kprobe && name == "bpf_user_pt_regs_t") return true;
  return !wanted.empty() && !name.empty() && (name == wanted || is_projection(wanted, name));
}

namespace {

bool is_user_registers(const btf::Btf& types, u32 id) {
  while (btf::is_modifier(types.type(id).kind) && types.type(id).kind != btf::Kind::typedef_)
    id = types.type(id).type;
  return types.type(id).kind == btf::Kind::typedef_ && types.name(id) == "bpf_user_pt_regs_t";
}

/// What programs of a type may have for a context besides the struct of `rows`.
bool is_special_context(const btf::Type& t, std::string_view name, ProgType type, AttachType attach) {
  const bool structure = t.kind == btf::Kind::struct_;
  const bool number = t.kind == btf::Kind::int_ && t.size == 8;
  switch (type) {
    case ProgType::kprobe:
    case ProgType::perf_event:
      return structure && name == "pt_regs";
    case ProgType::raw_tracepoint:
    case ProgType::raw_tracepoint_writable:
    case ProgType::lsm:
    case ProgType::struct_ops:
      return number;
    case ProgType::tracing:
      if (attach == AttachType::trace_raw_tp)
        return number || (structure && name == "bpf_raw_tracepoint_args");
      if (attach == AttachType::trace_iter) return structure && name.starts_with("bpf_iter__");
      return number && (attach == AttachType::trace_fentry || attach == AttachType::trace_fexit ||
                        attach == AttachType::modify_return);
    case ProgType::tracepoint:
    case ProgType::syscall:
    case ProgType::ext:
      return true;
    default:
      return false;
  }
}

}  // namespace

std::string wrong_context_type(const btf::Btf& types, const btf::Type& pointer, ProgType type,
                               AttachType attach) {
  if ((type == ProgType::kprobe || type == ProgType::perf_event) && is_user_registers(types, pointer.type))
    return {};
  const u32 id = types.skip_modifiers(pointer.type);
  const btf::Type& t = types.type(id);
  if (t.kind == btf::Kind::void_) return {};
  const std::string_view name = types.string(t.name_off);
  if (name.empty()) return "type doesn't have a name";
  if (is_special_context(t, name, type, attach)) return {};
  const std::string_view wanted = program_context(type);
  if (wanted.empty()) return "should be void pointer";
  if (t.kind == btf::Kind::struct_ && name == wanted) return {};
  return fmt::format("should be `struct {} *`", wanted);
}

}  // namespace skep::verifier::kfunc
