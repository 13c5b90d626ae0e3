// Context access of every supported program type, each offset and size, against the kernel's answers.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "progs/prog_type.hpp"

namespace skep::progs {
namespace {

/// The hook that the kernel was asked at.
AttachType hook_asked(ProgType type) {
  switch (type) {
    case ProgType::cgroup_sock:
      return AttachType::cgroup_inet_sock_create;
    case ProgType::cgroup_sock_addr:
      return AttachType::cgroup_inet4_connect;
    case ProgType::cgroup_sockopt:
      return AttachType::cgroup_setsockopt;
    default:
      return {};
  }
}

std::string answer(ProgType type, s32 off, u32 size) {
  const auto read = ctx_access(type, hook_asked(type), off, size, false, false);
  const auto write = ctx_access(type, hook_asked(type), off, size, true, false);
  if (!read && !write) return "";
  std::string text = read && write ? "rw:" : read ? "r:" : "w:";
  constexpr const char* kinds[] = {"scalar",
                                   "pkt",
                                   "pkt_end",
                                   "pkt_meta",
                                   "sock_common_or_null",
                                   "sock",
                                   "sock_or_null",
                                   "flow_keys",
                                   "tp_buffer",
                                   "trusted_ptr_nf_hook_state",
                                   "trusted_ptr_sk_buff"};
  return text + (read ? kinds[static_cast<u32>(read->kind)] : "scalar");
}

class CtxAccess : public ::testing::TestWithParam<const char*> {};

TEST_P(CtxAccess, IsWhatTheKernelAllowsAtEveryOffsetAndSize) {
  std::ifstream file(SKEP_GOLDEN_DIR "/ctx_access.json");
  const auto golden = nlohmann::json::parse(file)[GetParam()];
  ProgType type{};
  for (u32 t = 0; t < prog_type_count; ++t)
    if (prog_type_name(static_cast<ProgType>(t)) == GetParam()) type = static_cast<ProgType>(t);
  s32 last = 0;  // the matrix stops at some offset for contexts that are plain bytes
  for (const auto& [key, value] : golden.items()) last = std::max(last, std::stoi(key));
  constexpr std::pair<const char*, u32> sizes[] = {{"b", 1}, {"h", 2}, {"w", 4}, {"dw", 8}};
  for (s32 off = 0; off <= last; ++off)
    for (const auto& [letter, size] : sizes) {
      const std::string key = std::to_string(off) + "/" + letter;
      EXPECT_EQ(answer(type, off, size), golden.value(key, "")) << GetParam() << " " << key;
    }
}

INSTANTIATE_TEST_SUITE_P(Types, CtxAccess,
                         ::testing::Values("socket_filter", "kprobe", "sched_cls", "sched_act", "tracepoint",
                                           "xdp", "perf_event", "cgroup_skb", "cgroup_sock", "lwt_in",
                                           "lwt_out", "lwt_xmit", "sock_ops", "sk_skb", "cgroup_device",
                                           "sk_msg", "raw_tracepoint", "cgroup_sock_addr", "lwt_seg6local",
                                           "sk_reuseport", "flow_dissector", "cgroup_sysctl",
                                           "raw_tracepoint_writable", "cgroup_sockopt", "sk_lookup",
                                           "syscall", "netfilter"));

}  // namespace
}  // namespace skep::progs
