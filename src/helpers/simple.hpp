// Helpers that are a few instructions on the run context: machine code has them inline, found by the function
// that a program's call was linked with.
#pragma once
#include "helpers/run_context.hpp"

namespace skep::helpers {

enum class Simple : u8 {
  none,
  prandom_u32,   ///< bpf_get_prandom_u32(): Prandom
  processor_id,  ///< bpf_get_smp_processor_id(): RunContext::cpu
  xdp_redirect,  ///< bpf_redirect() of XDP: xdp_redirect_rule
  tc_redirect,   ///< and of tc
};
/// Which of these a function is.
[[nodiscard]] Simple simple(HelperFn fn);

/// wyrand (Wang Yi's, public domain): fast and well spread, as little fit for secrets as the kernel's. From
/// one number to the next the state only grows by `step`; both halves of state * (state ^ mask) make the
/// number.
struct Prandom {
  static constexpr u64 step = 0xa0761d6478bd642f, mask = 0xe7037ed1a0b428db;
};

/// bpf_redirect(ifindex, flags): what it returns, and which flags it refuses.
struct RedirectRule {
  u32 allowed_flags = 0;
  u32 done = 0, refused = 0;
};
inline constexpr RedirectRule xdp_redirect_rule{0, 4, 0};  ///< XDP_REDIRECT, XDP_ABORTED
inline constexpr RedirectRule tc_redirect_rule{1, 7, 2};   ///< BPF_F_INGRESS; TC_ACT_REDIRECT, TC_ACT_SHOT

}  // namespace skep::helpers
