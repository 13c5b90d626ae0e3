// What the helpers do when a program calls them.
#include <gtest/gtest.h>

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/rcu.hpp"
#include "helpers/table.hpp"
#include "maps/hash.hpp"
#include "progs/xdp_buff.hpp"

namespace skep::helpers {
namespace {

s64 call(s32 id, RunContext& run, u64 r1 = 0, u64 r2 = 0, u64 r3 = 0, u64 r4 = 0, u64 r5 = 0) {
  return static_cast<s64>(function(ProgType::xdp, id)(r1, r2, r3, r4, r5, &run));
}
template <class T>
u64 at(T* where) {
  return reinterpret_cast<u64>(where);
}

/// A packet of 64 bytes in a page, as test runs have it.
struct XdpHelpers : ::testing::Test {
  XdpHelpers() {
    xdp.data_hard_start = buffer.data();
    xdp.data = xdp.data_meta = buffer.data() + 256;
    xdp.data_end = xdp.data + 64;
    xdp.frame_sz = 4096;
    std::memset(buffer.data(), 0xee, buffer.size());
    std::memset(xdp.data, 0xaa, 64);
  }
  s64 adjust(s32 id, s64 by) { return call(id, run, at(&xdp), static_cast<u64>(by)); }
  s64 size() const { return xdp.data_end - xdp.data; }

  RunContext run;
  std::array<std::byte, 4096> buffer{};
  progs::XdpBuff xdp;
  static constexpr s32 head = 44, meta = 54, tail = 65;
};

TEST_F(XdpHelpers, HeadGrowsUpToTheFrameHeader) {
  EXPECT_EQ(adjust(head, -217), -EINVAL);
  EXPECT_EQ(size(), 64);
  EXPECT_EQ(adjust(head, -216), 0);
  EXPECT_EQ(size(), 280);
  EXPECT_EQ(adjust(head, -1), -EINVAL);
}

TEST_F(XdpHelpers, HeadShrinksDownToAnEthernetHeader) {
  EXPECT_EQ(adjust(head, 51), -EINVAL);
  EXPECT_EQ(adjust(head, 50), 0);
  EXPECT_EQ(size(), 14);
  for (const s64 absurd : {s64{INT32_MAX}, s64{INT32_MIN}}) EXPECT_EQ(adjust(head, absurd), -EINVAL);
}

TEST_F(XdpHelpers, TailGrowsWithZeroesIntoTheTailroom) {
  EXPECT_EQ(adjust(tail, 20), 0);
  EXPECT_EQ(size(), 84);
  for (int i = 64; i < 84; ++i) EXPECT_EQ(xdp.data[i], std::byte{0});
  EXPECT_EQ(adjust(tail, 4096 - 320 - 256 - 84), 0);
  EXPECT_EQ(adjust(tail, 1), -EINVAL);
  EXPECT_EQ(adjust(tail, 14 - size() - 1), -EINVAL);
  EXPECT_EQ(adjust(tail, 14 - size()), 0);
}

TEST_F(XdpHelpers, MetaStandsBeforeThePacketAndMovesWithTheHead) {
  EXPECT_EQ(adjust(meta, -8), 0);
  EXPECT_EQ(xdp.data - xdp.data_meta, 8);
  std::memcpy(xdp.data_meta, "metadata", 8);
  EXPECT_EQ(adjust(head, -4), 0);
  EXPECT_EQ(std::memcmp(xdp.data_meta, "metadata", 8), 0);
  EXPECT_EQ(xdp.data - xdp.data_meta, 8);
  EXPECT_EQ(adjust(meta, 3), -EACCES) << "a multiple of 4";
  EXPECT_EQ(adjust(meta, 12), -EINVAL) << "behind data";
  EXPECT_EQ(adjust(meta, -300), -EINVAL) << "before the headroom";
  EXPECT_EQ(adjust(meta, 8), 0);
  xdp.data_meta = xdp.data + 1;
  EXPECT_EQ(adjust(meta, -4), -524) << "a driver without metadata";
}

TEST_F(XdpHelpers, BytesAreCopiedWithinThePacketOnly) {
  std::array<char, 8> bytes = {'p', 'a', 'c', 'k', 'e', 't', '!', '!'};
  EXPECT_EQ(call(190, run, at(&xdp), 10, at(bytes.data()), 8), 0);
  std::array<char, 8> back{};
  EXPECT_EQ(call(189, run, at(&xdp), 10, at(back.data()), 8), 0);
  EXPECT_EQ(back, bytes);
  EXPECT_EQ(call(189, run, at(&xdp), 57, at(back.data()), 8), -EINVAL);
  EXPECT_EQ(call(189, run, at(&xdp), 0x10000, at(back.data()), 8), -EFAULT);
  EXPECT_EQ(call(190, run, at(&xdp), UINT32_MAX, at(bytes.data()), 8), -EFAULT);
  EXPECT_EQ(call(188, run, at(&xdp)), 64);
}

TEST_F(XdpHelpers, RedirectLeavesTheTargetForTheHook) {
  EXPECT_EQ(call(23, run, 7, 1), uapi::XDP_ABORTED);
  EXPECT_EQ(call(23, run, 7, 0), uapi::XDP_REDIRECT);
  EXPECT_EQ(run.redirect.ifindex, 7u);
}

TEST(TaskHelpers, ClocksRunAndCpusAreTheWorkers) {
  RunContext run;
  run.cpu = 3;
  for (const s32 clock : {5, 125, 160, 208}) {
    const s64 first = call(clock, run);
    EXPECT_GT(first, 0);
    EXPECT_GE(call(clock, run), first);
  }
  EXPECT_EQ(call(8, run), 3);
}

TEST(TaskHelpers, RandomNumbersHave32BitsAndDiffer) {
  RunContext run;
  u64 together = 0;
  for (int i = 0; i < 100; ++i) {
    const u64 number = static_cast<u64>(call(7, run));
    EXPECT_LE(number, UINT32_MAX);
    together |= number;
  }
  EXPECT_EQ(together, UINT32_MAX);
}

struct Parse {
  const char* text;
  u64 flags;
  s64 result;
  s64 value;
};

TEST(StringHelpers, StrtolIsTheKernels) {
  RunContext run;
  for (const Parse& p : std::vector<Parse>{{"42", 0, 2, 42},
                                           {" \t-17xyz", 10, 5, -17},
                                           {"0x1f", 0, 4, 31},
                                           {"0x1f", 16, 4, 31},
                                           {"1f", 16, 2, 31},
                                           {"017", 0, 3, 15},
                                           {"017", 10, 3, 17},
                                           {"9223372036854775807", 10, 19, INT64_MAX},
                                           {"-9223372036854775808", 10, 20, INT64_MIN},
                                           {"9223372036854775808", 10, -ERANGE, 0},
                                           {"99999999999999999999", 10, -ERANGE, 0},
                                           {"abc", 10, -EINVAL, 0},
                                           {"", 10, -EINVAL, 0},
                                           {"-", 10, -EINVAL, 0},
                                           {"12", 7, -EINVAL, 0},
                                           {"12", 64, -EINVAL, 0}}) {
    s64 value = 99;
    EXPECT_EQ(call(105, run, at(p.text), std::strlen(p.text), p.flags, at(&value)), p.result) << p.text;
    EXPECT_EQ(value, p.value) << p.text;
  }
  u64 value = 0;
  EXPECT_EQ(call(106, run, at("18446744073709551615"), 20, 10, at(&value)), 20);
  EXPECT_EQ(value, UINT64_MAX);
  EXPECT_EQ(call(106, run, at("-1"), 2, 10, at(&value)), -EINVAL);
}

TEST(StringHelpers, StrncmpComparesUpToTheSize) {
  RunContext run;
  EXPECT_EQ(call(182, run, at("abc"), 4, at("abc")), 0);
  EXPECT_EQ(call(182, run, at("abx"), 2, at("aby")), 0);
  EXPECT_EQ(call(182, run, at("abx"), 3, at("aby")), -1);
  EXPECT_EQ(call(182, run, at("b"), 2, at("a")), 1);
}

TEST(MapHelpers, ReachTheMapBehindTheAddress) {
  const auto area = *maps::PercpuArea::create(2);
  MapSpec spec;
  spec.type = MapType::percpu_hash;
  spec.key_size = 4;
  spec.value_size = 8;
  spec.max_entries = 2;
  const auto map = *maps::create(spec, {area.get()});
  const rcu::Reader reader;
  RunContext run;
  run.cpu = 1;
  const u32 key = 5;
  const u64 value = 77;
  EXPECT_EQ(call(1, run, at(map.get()), at(&key)), 0);
  EXPECT_EQ(call(2, run, at(map.get()), at(&key), at(&value), uapi::EXIST), -ENOENT);
  EXPECT_EQ(call(fn_htab_percpu_map_update_elem, run, at(map.get()), at(&key), at(&value), 0), 0);
  EXPECT_EQ(*reinterpret_cast<u64*>(call(1, run, at(map.get()), at(&key))), 77u);
  run.cpu = 0;
  EXPECT_EQ(*reinterpret_cast<u64*>(call(1, run, at(map.get()), at(&key))), 0u) << "each CPU has its own";
  EXPECT_EQ(call(3, run, at(map.get()), at(&key)), 0);
  EXPECT_EQ(call(fn_htab_map_delete_elem, run, at(map.get()), at(&key)), -ENOENT);
}

TEST(MapHelpers, RewrittenCodeGetsTheElementOfAHash) {
  const auto area = *maps::PercpuArea::create(1);
  MapSpec spec;
  spec.type = MapType::hash;
  spec.key_size = 4;
  spec.value_size = 8;
  spec.max_entries = 2;
  const auto map = *maps::create(spec, {area.get()});
  const rcu::Reader reader;
  RunContext run;
  const u32 key = 5;
  const u64 value = 77;
  EXPECT_EQ(call(fn_htab_map_lookup_elem, run, at(map.get()), at(&key)), 0);
  ASSERT_EQ(call(2, run, at(map.get()), at(&key), at(&value), 0), 0);
  const s64 element = call(fn_htab_map_lookup_elem, run, at(map.get()), at(&key));
  ASSERT_NE(element, 0);
  EXPECT_EQ(*reinterpret_cast<u64*>(element + 48 + 8), 77u);
}

std::vector<u8> unhex(std::string_view text) {
  std::vector<u8> bytes;
  for (std::size_t i = 0; i < text.size(); i += 2)
    bytes.push_back(static_cast<u8>(std::stoul(std::string(text.substr(i, 2)), nullptr, 16)));
  return bytes;
}

TEST(NetHelpers, CsumDiffIsTheKernels) {
  struct Case {
    const char* from;
    const char* to;
    u64 seed;
    s64 result;  ///< as Linux 6.18 answered
  };
  RunContext run;
  for (const Case& c : std::vector<Case>{
           {"00000000", "00000000", 0x0, 0xffff},
           {"ffffffff", "", 0x0, 0x0},
           {"", "ffffffff", 0x0, 0xffff},
           {"ffffffff", "ffffffff", 0x0, 0xffff},
           {"", "", 0x12345678, 0x68ac},
           {"", "", 0xffffffff, 0xffff},
           {"01020304", "05060708", 0xffff, 0x808},
           {"6162636465666768", "41424344", 0xdeadbeef, 0x8e90},
           {"61626364", "", 0x1, 0x393c},
           {"", "6162636465666768", 0xfffffffe, 0x9590},
           {"39d8644199c0e5bdbcfbc85b37ce91cb", "efe26c07ff0d21d7db0b33777738a5c6", 0xf17fd374, 0x8d30},
           {"553223a6", "", 0xe6a16a3b, 0x7864},
           {"f610fb1c", "a2e81478007152de", 0x3f1f65a8, 0x26e1},
           {"68e9338b87fe1a1a45cfed92", "99735b03", 0xbb2edb20, 0x1dd2},
           {"6c967c68", "b1829c2e219c95ea", 0xde11cc9d, 0xe3cb},
           {"5ed2db28768b0dc357d311cc", "", 0x238642ea, 0x7d48}}) {
    const auto from = unhex(c.from), to = unhex(c.to);
    EXPECT_EQ(call(28, run, at(from.data()), from.size(), at(to.data()), to.size(), c.seed), c.result)
        << c.from << " -> " << c.to;
  }
  EXPECT_EQ(call(28, run, 0, 3, 0, 0, 0), -EINVAL);
}

TEST(TaskHelpers, TheTaskIsTheThreadThatRuns) {
  RunContext run;
  EXPECT_EQ(static_cast<u64>(call(14, run)) >> 32, static_cast<u64>(::getpid()));
  EXPECT_EQ(static_cast<u32>(call(15, run)), ::getuid());
  std::array<char, 4> name = {'x', 'x', 'x', 'x'};
  EXPECT_EQ(call(16, run, at(name.data()), 4), 0);
  EXPECT_STREQ(name.data(), "tes") << "test_helpers, cut";
}

}  // namespace
}  // namespace skep::helpers
