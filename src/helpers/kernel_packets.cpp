// Kernel functions on packets and what they are for (kernel: net/core/filter.c, net/bpf/test_run.c).
#include <cerrno>
#include <cstring>

#include "helpers/families.hpp"
#include "helpers/kernel_functions.hpp"
#include "helpers/packet_bytes.hpp"

namespace skep::helpers {
namespace {

/// (xdp, how many bytes are wanted in the linear part)
u64 pull_data(u64 context, u64 length, u64, u64, u64, RunContext*) {
  return xdp_pull(*pointer<progs::XdpBuff>(context), static_cast<u32>(length));
}

/// struct bpf_tcp_req_attrs
struct RequestAttributes {
  u32 rcv_tsval, rcv_tsecr;
  u16 mss;
  u8 rcv_wscale, snd_wscale;
  u8 ecn_ok, wscale_ok, sack_ok, tstamp_ok, usec_ts_ok;
  std::array<u8, 3> reserved;
};
static_assert(sizeof(RequestAttributes) == 20);

/// (skb, listening socket, attributes, their size): a request socket is the host's to make, and it lets
/// nobody else make one: a kernel without CONFIG_SYN_COOKIES says the same.
u64 assign_request(u64, u64, u64 attributes64, u64 size, u64, RunContext*) {
  const auto& attributes = *pointer<const RequestAttributes>(attributes64);
  if (static_cast<u32>(size) != sizeof attributes || attributes.reserved != std::array<u8, 3>{})
    return error_result(EINVAL);
  return error_result(EOPNOTSUPP);
}

/// The kernel's objects for its own tests: modules make them, which are not here, so that none can be let go.
u64 release_none(u64, u64, u64, u64, u64, RunContext*) { return 0; }

constexpr KernelFunctionRow rows[] = {
    {"bpf_xdp_pull_data", pull_data},
    {"bpf_sk_assign_tcp_reqsk", assign_request},
    {"bpf_kfunc_call_test_release", release_none},
    {"bpf_kfunc_call_memb_release", release_none},
};

}  // namespace

std::span<const KernelFunctionRow> packet_kernel_functions() { return rows; }

}  // namespace skep::helpers
