// Context access of every supported program type, each offset and size, against the kernel's answers.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "progs/prog_type.hpp"

namespace skep::progs {
namespace {

std::string answer(ProgType type, s32 off, u32 size) {
  const auto read = ctx_access(type, {}, off, size, false, false);
  const auto write = ctx_access(type, {}, off, size, true, false);
  if (!read && !write) return "";
  std::string text = read && write ? "rw:" : read ? "r:" : "w:";
  constexpr const char* kinds[] = {"scalar", "pkt", "pkt_end", "pkt_meta", "sock_common_or_null"};
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
                         ::testing::Values("xdp", "socket_filter", "sched_cls", "sched_act", "cgroup_skb",
                                           "raw_tracepoint", "kprobe", "tracepoint", "syscall"));

}  // namespace
}  // namespace skep::progs
