// Kernel functions on security associations (kernel: net/xfrm/xfrm_state_bpf.c). They are the host's, asked
// for over netlink (which wants CAP_NET_ADMIN), in the network namespace of the calling thread; a program has
// a copy.
#include <linux/xfrm.h>

#include <cerrno>
#include <cstring>
#include <new>

#include "helpers/families.hpp"
#include "helpers/kernel_functions.hpp"
#include "helpers/netlink_question.hpp"
#include "progs/xfrm_state.hpp"

namespace skep::helpers {
namespace {

/// struct bpf_xfrm_state_opts
struct Options {
  s32 error;
  s32 netns_id;
  u32 mark;
  std::array<u32, 4> daddr;
  u32 spi;
  u8 proto;
  u16 family;
};
static_assert(sizeof(Options) == 36);

/// What a program's pointer to an association leads to; `state` stands first.
struct Association {
  progs::XfrmState state{};
  progs::XfrmReplayEsn esn{};
};

void take_attribute(u16 type, ByteView bytes, Association& found) {
  const auto take = [&](auto& to) {
    if (bytes.size() >= sizeof to) std::memcpy(&to, bytes.data(), sizeof to);
  };
  switch (type) {
    case XFRMA_MARK:
      if (bytes.size() < sizeof(xfrm_mark)) return;
      found.state.mark_value = load<xfrm_mark>(bytes.data()).v;
      found.state.mark_mask = load<xfrm_mark>(bytes.data()).m;
      return;
    case XFRMA_IF_ID:
      return take(found.state.if_id);
    case XFRMA_REPLAY_VAL:
      if (bytes.size() < sizeof(xfrm_replay_state)) return;
      found.state.oseq = load<xfrm_replay_state>(bytes.data()).oseq;
      found.state.seq = load<xfrm_replay_state>(bytes.data()).seq;
      found.state.bitmap = load<xfrm_replay_state>(bytes.data()).bitmap;
      return;
    case XFRMA_REPLAY_ESN_VAL:
      take(found.esn);
      found.state.replay_esn = &found.esn;
      return;
    default:
      return;
  }
}

/// xfrm_state_lookup(): false where the host has none, or does not tell.
bool look_up(const Options& options, Association& found) {
  xfrm_usersa_id wanted{};
  std::memcpy(&wanted.daddr, options.daddr.data(), sizeof wanted.daddr);
  wanted.spi = options.spi;
  wanted.family = options.family;
  wanted.proto = options.proto;
  Question<xfrm_usersa_id> question(XFRM_MSG_GETSA, wanted);
  if (options.mark != 0) question.put_number(XFRMA_MARK, xfrm_mark{.v = options.mark, .m = ~0u});
  const ByteView answer = question.ask(NETLINK_XFRM);
  if (answer.size() < sizeof(xfrm_usersa_info)) return false;
  const auto info = load<xfrm_usersa_info>(answer.data());
  progs::XfrmState& state = found.state;
  std::memcpy(state.daddr.data(), &info.id.daddr, sizeof state.daddr);
  std::memcpy(state.saddr.data(), &info.saddr, sizeof state.saddr);
  state.spi = info.id.spi;
  state.proto = info.id.proto;
  state.mode = info.mode;
  state.replay_window = info.replay_window;
  state.flags = info.flags;
  state.reqid = info.reqid;
  state.family = info.family;
  state.curlft = {info.curlft.bytes, info.curlft.packets, info.curlft.add_time, info.curlft.use_time};
  state.stats = {info.stats.replay_window, info.stats.replay, info.stats.integrity_failed};
  attributes(answer.subspan(NLMSG_ALIGN(sizeof info)),
             [&](u16 type, ByteView bytes) { take_attribute(type, bytes, found); });
  return true;
}

/// (context, options, their size)
u64 get_state(u64, u64 options64, u64 size64, u64, u64, RunContext*) {
  constexpr s32 current_netns = -1;
  auto* options = pointer<Options>(options64);
  const u32 size = static_cast<u32>(size64);
  if (options == nullptr || size < sizeof options->error) return 0;
  const auto failed = [&](int code) {
    options->error = -code;
    return u64{0};
  };
  if (size != sizeof(Options) || options->netns_id < current_netns) return failed(EINVAL);
  if (options->netns_id >= 0) return failed(ENONET);  // out of reach, as one that does not exist
  auto* found = new (std::nothrow) Association;
  if (found == nullptr) return failed(ENOMEM);
  if (look_up(*options, *found)) return reinterpret_cast<u64>(found);
  delete found;
  return failed(ENOENT);
}
u64 release_state(u64 state, u64, u64, u64, u64, RunContext*) {
  delete pointer<Association>(state);
  return 0;
}

constexpr KernelFunctionRow rows[] = {
    {"bpf_xdp_get_xfrm_state", get_state},
    {"bpf_xdp_xfrm_state_release", release_state},
};

}  // namespace

std::span<const KernelFunctionRow> xfrm_kernel_functions() { return rows; }

}  // namespace skep::helpers
