// The context of netfilter programs: struct bpf_nf_ctx and the struct nf_hook_state that it leads to, as in
// the kernel (Linux 6.18, x86-64).
#pragma once
#include <cstddef>

#include "progs/net_device.hpp"
#include "progs/sk_buff.hpp"

namespace skep::progs {

struct NfHookState {
  u8 hook = 0;  ///< NF_INET_*
  u8 pf = 0;    ///< NFPROTO_*
  NetDevice* in = nullptr;
  NetDevice* out = nullptr;
  Sock* sk = nullptr;
  Net* net = nullptr;
  u64 okfn = 0;
};
static_assert(offsetof(NfHookState, in) == 8 && sizeof(NfHookState) == 48);

struct NfContext {
  const NfHookState* state = nullptr;
  SkBuff* skb = nullptr;
};
static_assert(offsetof(NfContext, skb) == 8);

}  // namespace skep::progs
