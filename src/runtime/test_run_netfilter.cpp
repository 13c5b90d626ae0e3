// Test runs of netfilter programs (kernel: bpf_prog_test_run_nf()): a packet at a hook, which ctx_in names;
// an output hook of IPv4 without one. No packet comes back.
#include <linux/netfilter.h>

#include "helpers/interfaces.hpp"
#include "helpers/skb.hpp"
#include "progs/nf_hook.hpp"
#include "runtime/test_run_parts.hpp"

namespace skep::runtime {
namespace {

using progs::NfHookState;

constexpr u32 headroom = 64;  ///< NET_SKB_PAD + NET_IP_ALIGN
constexpr u32 ip4_header = 20, ip6_header = 40;
constexpr u16 ip4 = 0x0008, ip6 = 0xdd86;  // network order

/// verify_and_copy_hook_state(): the caller names the hook and the family, nothing else.
Result<void> take_hook(const NfHookState& user, progs::NetDevice& device, NfHookState& state) {
  if (user.in != nullptr || user.out != nullptr || user.sk != nullptr || user.net != nullptr ||
      user.okfn != 0)
    return fail(EINVAL, "ctx_in: only hook and pf may be given");
  if (user.pf != NFPROTO_IPV4 && user.pf != NFPROTO_IPV6)
    return fail(EINVAL, fmt::format("ctx_in: pf {}", user.pf));
  state.pf = user.pf;
  state.hook = user.hook;
  if (user.hook <= NF_INET_FORWARD) state.in = &device;
  if (user.hook >= NF_INET_FORWARD && user.hook <= NF_INET_POST_ROUTING) state.out = &device;
  return {};
}

/// Away from the output hook a packet has its link layer's header, and is of the hook's family.
Result<void> check_frame(const progs::SkBuff& skb, u32 size, u8 pf) {
  const u32 at_least = eth_header + (skb.protocol == ip6 ? ip6_header : ip4_header);
  if (skb.protocol != ip4 && skb.protocol != ip6) return fail(EPROTO, "the frame is not of IP");
  if (size < at_least) return fail(EINVAL, fmt::format("data_in of {} bytes, needs {}", size, at_least));
  if ((skb.protocol == ip4) != (pf == NFPROTO_IPV4))
    return fail(EINVAL, "the frame is not of the hook's family");
  return {};
}

}  // namespace

Result<TestRunResult> run_netfilter(TestRun run) {
  const TestRunSpec& spec = run.spec;
  if (spec.flags != 0 || spec.cpu != 0 || spec.batch_size != 0)
    return fail(EINVAL, "netfilter programs take no flags, cpu and batch_size");
  const auto size = static_cast<u32>(spec.data_in.size());
  constexpr u32 size_max = test_page - headroom - helpers::skb_tailroom_reserved;
  if (size < ip4_header || size > size_max)  // of IPv6, too
    return fail(EINVAL, fmt::format("data_in of {} bytes, must be {} to {}", size, ip4_header, size_max));
  progs::NetDevice device;
  progs::Net net;
  device.ifindex = loopback_ifindex;
  if (run.program.reads_kernel_structs) helpers::describe_device(device, net);
  NfHookState state{.hook = NF_INET_LOCAL_OUT, .pf = NFPROTO_IPV4};
  const std::optional<NfHookState> user = TRY(read_context<NfHookState>(spec));
  if (user) TRY(take_hook(*user, device, state));
  std::vector<std::byte> buffer(test_page);
  std::memcpy(buffer.data() + headroom, spec.data_in.data(), size);
  helpers::Skb skb;
  helpers::skb_build(skb, buffer.data(), test_page, headroom, size, nullptr);
  if (state.hook != NF_INET_LOCAL_OUT) {
    if (size < eth_header + ip4_header)
      return fail(EINVAL, fmt::format("data_in of {} bytes holds no IP header", size));
    skb.buf.dev = &device;
    helpers::skb_eth_type_trans(skb);
    TRY(check_frame(skb.buf, size, state.pf));
    skb.buf.network_header = static_cast<u16>(helpers::skb_headroom(skb.buf));
  }
  progs::NfContext context{&state, &skb.buf};
  run.context.ctx = &context;
  const Entry entry = run.entry();
  TestRunResult result;
  result.duration = TRY(repeated(spec, std::max(spec.repeat, 1u), [&] {
    run.context.tail_calls = 0;
    result.retval = static_cast<u32>(entry(&context, &run.context));
  }));
  return result;
}

}  // namespace skep::runtime
