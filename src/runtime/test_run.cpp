// The way to the test run of a program's type, and the runs that have no packet. See test_run.hpp.
#include "runtime/test_run.hpp"

#include <fmt/format.h>

#include "progs/sk_buff.hpp"
#include "runtime/test_run_parts.hpp"

namespace skep::runtime {
namespace {

constexpr u32 run_on_cpu = 1;  ///< BPF_F_TEST_RUN_ON_CPU

}  // namespace

/// bpf_prog_test_run_raw_tp(): the context is an array of up to 12 numbers.
Result<TestRunResult> run_raw_tp(TestRun run) {
  const TestRunSpec& spec = run.spec;
  if (!spec.data_in.empty() || spec.data_out_size != 0 || spec.ctx_out_size != 0 || spec.repeat != 0 ||
      spec.batch_size != 0)
    return fail(EINVAL, "raw tracepoints take ctx_in only, and no repeat");
  if (spec.ctx_in.size() < run.program.max_ctx_offset || spec.ctx_in.size() > 12 * sizeof(u64))
    return fail(EINVAL, fmt::format("ctx_in of {} bytes, the program reads {}, at most 96",
                                    spec.ctx_in.size(), run.program.max_ctx_offset));
  if ((spec.flags & ~run_on_cpu) != 0 || ((spec.flags & run_on_cpu) == 0 && spec.cpu != 0))
    return fail(EINVAL, "cpu without BPF_F_TEST_RUN_ON_CPU");
  std::array<u64, 12> ctx{};
  if (!spec.ctx_in.empty()) std::memcpy(ctx.data(), spec.ctx_in.data(), spec.ctx_in.size());
  run.context.ctx = ctx.data();
  const rcu::Reader reader;
  TestRunResult result;
  result.retval = static_cast<u32>(run.entry()(ctx.data(), &run.context));
  return result;
}

/// bpf_prog_test_run_syscall(): ctx_in is the context, and comes back as the program left it.
Result<TestRunResult> run_syscall(TestRun run) {
  const TestRunSpec& spec = run.spec;
  if (!spec.data_in.empty() || spec.data_out_size != 0 || spec.ctx_out_size != 0 || spec.repeat != 0 ||
      spec.flags != 0 || spec.batch_size != 0)
    return fail(EINVAL, "syscall programs take ctx_in only, no repeat and no flags");
  if (spec.ctx_in.size() < run.program.max_ctx_offset || spec.ctx_in.size() > UINT16_MAX)
    return fail(EINVAL, fmt::format("ctx_in of {} bytes, the program reads {}, at most {}",
                                    spec.ctx_in.size(), run.program.max_ctx_offset, UINT16_MAX));
  std::vector<u64> context((spec.ctx_in.size() + 7) / 8);
  if (!spec.ctx_in.empty()) std::memcpy(context.data(), spec.ctx_in.data(), spec.ctx_in.size());
  run.context.ctx = context.data();
  TestRunResult result;
  {
    const rcu::Reader reader;
    result.retval = static_cast<u32>(run.entry()(context.data(), &run.context));
  }
  const ByteView bytes = std::as_bytes(std::span(context)).first(spec.ctx_in.size());
  result.ctx_out.assign(bytes.begin(), bytes.end());
  result.ctx_size_out = static_cast<u32>(bytes.size());
  return result;
}

/// bpf_prog_test_run_flow_dissector(): data_out is struct bpf_flow_keys.
Result<TestRunResult> run_flow_dissector(TestRun run) {
  const TestRunSpec& spec = run.spec;
  const auto size = static_cast<u32>(spec.data_in.size());
  if (spec.flags != 0 || spec.cpu != 0 || spec.batch_size != 0)
    return fail(EINVAL, "flow dissectors take no flags, cpu and batch_size");
  if (size < eth_header || size > test_page)
    return fail(EINVAL, fmt::format("data_in of {} bytes, must be {} to {}", size, eth_header, test_page));
  std::optional<progs::FlowKeys> user = TRY(read_context<progs::FlowKeys>(spec));
  if (user) {
    progs::FlowKeys rest = *user;
    rest.flags = 0;
    const ByteView bytes = bytes_of(rest);
    if (std::ranges::any_of(bytes, [](std::byte b) { return b != std::byte{0}; }))
      return fail(EINVAL, "ctx_in: only flags may be given");
  }
  std::vector<std::byte> data = spec.data_in;
  progs::FlowKeys keys;
  progs::FlowDissector context;
  context.flow_keys = &keys;
  context.data = data.data();
  context.data_end = data.data() + size;
  run.context.ctx = &context;
  const Entry entry = run.entry();
  TestRunResult result;
  result.duration = TRY(repeated(spec, std::max(spec.repeat, 1u), [&] {
    keys = {};
    keys.n_proto = load<u16>(data.data() + 12);
    keys.nhoff = keys.thoff = eth_header;
    keys.flags = user ? user->flags : 0;
    run.context.tail_calls = 0;
    result.retval = static_cast<u32>(entry(&context, &run.context));
    keys.nhoff = static_cast<u16>(std::clamp<u32>(keys.nhoff, eth_header, size));
    keys.thoff = static_cast<u16>(std::clamp<u32>(keys.thoff, keys.nhoff, size));
  }));
  TRY(finish_data(spec, bytes_of(keys), result));
  if (user) TRY(finish_context(spec, *user, result));
  return result;
}

namespace {

/// struct bpf_sk_lookup of the UAPI.
struct UserSkLookup {
  u64 cookie = 0;  ///< or the socket
  u32 family = 0;
  u32 protocol = 0;
  std::array<u32, 1> remote_ip4{};
  std::array<u32, 4> remote_ip6{};
  u16 remote_port = 0;
  u16 zero = 0;
  std::array<u32, 1> local_ip4{};
  std::array<u32, 4> local_ip6{};
  u32 local_port = 0;
  u32 ingress_ifindex = 0;
  u32 end_padding = 0;
};
static_assert(sizeof(UserSkLookup) == 72);

}  // namespace

/// bpf_prog_test_run_sk_lookup(): ctx_in says for whom a socket is looked up; the chosen one's cookie comes
/// back.
Result<TestRunResult> run_sk_lookup(TestRun run) {
  constexpr u32 af_inet = 2, af_inet6 = 10;
  const TestRunSpec& spec = run.spec;
  if (spec.flags != 0 || spec.cpu != 0 || spec.batch_size != 0 || !spec.data_in.empty() ||
      spec.data_out_size != 0)
    return fail(EINVAL, "sk_lookup programs take ctx_in only");
  std::optional<UserSkLookup> user = TRY(read_context<UserSkLookup>(spec));
  if (!user) return fail(EINVAL, "sk_lookup programs need ctx_in");
  if (user->cookie != 0) return fail(EINVAL, "ctx_in: cookie must be 0");
  if (user->local_port > UINT16_MAX) return fail(ERANGE, "ctx_in: local_port is no port");
  progs::SkLookup context;
  context.family = static_cast<u16>(user->family);
  context.protocol = static_cast<u16>(user->protocol);
  context.dport = static_cast<u16>(user->local_port);
  context.sport = user->remote_port;
  context.ingress_ifindex = user->ingress_ifindex;
  if (context.family == af_inet) {
    context.daddr4 = user->local_ip4[0];
    context.saddr4 = user->remote_ip4[0];
  } else if (context.family == af_inet6) {
    context.daddr6 = &user->local_ip6;
    context.saddr6 = &user->remote_ip6;
  } else {
    return fail(EAFNOSUPPORT, fmt::format("ctx_in: family {}", user->family));
  }
  run.context.ctx = &context;
  const Entry entry = run.entry();
  TestRunResult result;
  result.duration = TRY(repeated(spec, std::max(spec.repeat, 1u), [&] {
    context.selected_sk = nullptr;
    run.context.tail_calls = 0;
    result.retval = static_cast<u32>(entry(&context, &run.context));
  }));
  user->cookie = context.selected_sk != nullptr ? context.selected_sk->cookie : 0;
  TRY(finish_context(spec, *user, result));
  return result;
}

Result<TestRunResult> test_run(const Program& program, const TestRunSpec& spec, RunContext context,
                               bool counted) {
  const TestRun run{program, spec, context, counted};
  switch (program.type) {
    case ProgType::xdp:
      return run_xdp(run);
    case ProgType::socket_filter:
    case ProgType::sched_cls:
    case ProgType::sched_act:
    case ProgType::cgroup_skb:
    case ProgType::lwt_in:
    case ProgType::lwt_out:
    case ProgType::lwt_xmit:
      return run_skb(run);
    case ProgType::flow_dissector:
      return run_flow_dissector(run);
    case ProgType::netfilter:
      return run_netfilter(run);
    case ProgType::sk_lookup:
      return run_sk_lookup(run);
    case ProgType::raw_tracepoint:
      return run_raw_tp(run);
    case ProgType::syscall:
      return run_syscall(run);
    case ProgType::tracing:
    case ProgType::lsm:
    case ProgType::struct_ops:
    case ProgType::raw_tracepoint_writable:
      return fail(EOPNOTSUPP, fmt::format("test runs of {} programs are not supported by skep",
                                          prog_type_name(program.type)));
    default:
      return fail(kENOTSUPP, fmt::format("{} programs have no test run", prog_type_name(program.type)));
  }
}

}  // namespace skep::runtime
