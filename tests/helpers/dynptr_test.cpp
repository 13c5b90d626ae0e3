// Dynptrs of packets and bpf_loop(), called as programs call them. Results as Linux 6.18 gives them: the same
// calls from programs were compared there.
#include "helpers/dynptr.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>

#include "helpers/kernel_functions.hpp"
#include "helpers/skb.hpp"
#include "helpers/table.hpp"
#include "progs/xdp_buff.hpp"

namespace skep::helpers {
namespace {

template <class T>
u64 at(T* where) {
  return reinterpret_cast<u64>(where);
}

/// A packet of 3000 bytes in the buffer and 2000 in a fragment; byte i is i / 16.
struct Dynptrs : ::testing::Test {
  Dynptrs() {
    for (u32 i = 0; i < linear; ++i) buffer[256 + i] = byte(i);
    for (u32 i = 0; i < rest; ++i) fragment[i] = byte(linear + i);
    xdp.data_hard_start = buffer.data();
    xdp.data = xdp.data_meta = buffer.data() + 256;
    xdp.data_end = xdp.data + linear;
    xdp.frame_sz = static_cast<u32>(buffer.size());
    xdp.flags = progs::xdp_has_frags;
    auto& info = *new (buffer.data() + buffer.size() - 320) progs::SkbSharedInfo{};
    info.nr_frags = 1;
    info.frags[0] = {fragment.data(), rest, 0};
    info.xdp_frags_size = rest;
  }
  static std::byte byte(u32 i) { return static_cast<std::byte>(i / 16); }
  s64 call(std::string_view name, u64 r1 = 0, u64 r2 = 0, u64 r3 = 0, u64 r4 = 0, u64 r5 = 0) {
    const s32 id = kernel_function_id(name);
    EXPECT_NE(id, 0) << name;
    return static_cast<s64>(kernel_function(id)(r1, r2, r3, r4, r5, &run));
  }
  Dynptr of_packet() {
    Dynptr dynptr;
    EXPECT_EQ(call("bpf_dynptr_from_xdp", at(&xdp), 0, at(&dynptr)), 0);
    return dynptr;
  }

  static constexpr u32 linear = 3000, rest = 2000;
  RunContext run;
  alignas(64) std::array<std::byte, 4096> buffer{};
  std::array<std::byte, 4096> fragment{};
  progs::XdpBuff xdp;
};

TEST_F(Dynptrs, OfAPacketHaveItsLength) {
  Dynptr dynptr = of_packet();
  EXPECT_EQ(call("bpf_dynptr_size", at(&dynptr)), linear + rest);
  EXPECT_EQ(call("bpf_dynptr_is_null", at(&dynptr)), 0);
  EXPECT_EQ(call("bpf_dynptr_from_xdp", at(&xdp), 1, at(&dynptr)), -EINVAL);
  EXPECT_EQ(call("bpf_dynptr_is_null", at(&dynptr)), 1);
  EXPECT_EQ(call("bpf_dynptr_size", at(&dynptr)), -EINVAL);
}

TEST_F(Dynptrs, SlicesPointIntoThePacketOrAreCopiedAcrossItsPieces) {
  Dynptr dynptr = of_packet();
  std::array<std::byte, 64> copy{};
  const auto slice = [&](u32 offset, u32 size) {
    return call("bpf_dynptr_slice", at(&dynptr), offset, at(copy.data()), size);
  };
  EXPECT_EQ(slice(100, 64), static_cast<s64>(at(xdp.data + 100)));
  EXPECT_EQ(slice(linear + 10, 64), static_cast<s64>(at(fragment.data() + 10)));
  EXPECT_EQ(slice(linear - 20, 64), static_cast<s64>(at(copy.data()))) << "in both pieces";
  EXPECT_EQ(copy[0], byte(linear - 20));
  EXPECT_EQ(copy[63], byte(linear + 43));
  EXPECT_EQ(slice(linear + rest - 63, 64), 0) << "beyond the packet";
  EXPECT_EQ(call("bpf_dynptr_slice", at(&dynptr), linear - 20, 0, 64), 0) << "no buffer to copy to";
}

TEST_F(Dynptrs, AreNarrowedAndCloned) {
  Dynptr dynptr = of_packet(), clone;
  EXPECT_EQ(call("bpf_dynptr_clone", at(&dynptr), at(&clone)), 0);
  EXPECT_EQ(call("bpf_dynptr_adjust", at(&clone), 14, 34), 0);
  EXPECT_EQ(call("bpf_dynptr_size", at(&clone)), 20);
  EXPECT_EQ(call("bpf_dynptr_size", at(&dynptr)), linear + rest);
  EXPECT_EQ(call("bpf_dynptr_adjust", at(&clone), 10, 5), -EINVAL);
  EXPECT_EQ(call("bpf_dynptr_adjust", at(&clone), 0, 21), -ERANGE);
  EXPECT_EQ(call("bpf_dynptr_slice", at(&clone), 2, 0, 4), static_cast<s64>(at(xdp.data + 16)));
}

TEST_F(Dynptrs, AreFilledAndCopiedAcrossPieces) {
  Dynptr packet = of_packet(), memory;
  std::array<std::byte, 1000> bytes{};
  memory.set(bytes.data(), Dynptr::Type::local, 0, bytes.size());
  EXPECT_EQ(call("bpf_dynptr_memset", at(&packet), linear - 300, 600, 0x5a), 0);
  EXPECT_EQ(xdp.data[linear - 301], byte(linear - 301));
  EXPECT_EQ(xdp.data[linear - 1], std::byte{0x5a});
  EXPECT_EQ(fragment[299], std::byte{0x5a});
  EXPECT_EQ(fragment[300], byte(linear + 300));
  EXPECT_EQ(call("bpf_dynptr_copy", at(&memory), 1, at(&packet), linear - 301, 602), 0);
  EXPECT_EQ(bytes[0], std::byte{0});
  EXPECT_EQ(bytes[1], byte(linear - 301));
  EXPECT_EQ(bytes[2], std::byte{0x5a});
  EXPECT_EQ(bytes[602], byte(linear + 300));
  EXPECT_EQ(call("bpf_dynptr_copy", at(&memory), 999, at(&packet), 0, 2), -E2BIG);
  memory.size |= Dynptr::read_only;
  EXPECT_EQ(call("bpf_dynptr_is_rdonly", at(&memory)), 1);
  EXPECT_EQ(call("bpf_dynptr_memset", at(&memory), 0, 1, 0), -EINVAL);
  EXPECT_EQ(call("bpf_dynptr_slice_rdwr", at(&memory), 0, 0, 1), 0);
}

TEST(Loop, CallsBackUntilItIsEnough) {
  struct Counter : Callback {
    u64 sum = 0, end = 0;
  } counter;
  counter.call = [](const Callback*, u64 index, u64 context, u64, u64, u64, RunContext*) -> u64 {
    auto& c = *reinterpret_cast<Counter*>(context);
    c.sum += index;
    return index == c.end;
  };
  RunContext run;
  const auto loop = [&](u64 count, u64 end, u64 flags) {
    counter.sum = 0;
    counter.end = end;
    const Callback* callback = &counter;
    return static_cast<s64>(function(ProgType::xdp, 181)(count, at(callback), at(&counter), flags, 0, &run));
  };
  EXPECT_EQ(loop(10, 99, 0), 10);
  EXPECT_EQ(counter.sum, 45u);
  EXPECT_EQ(loop(10, 3, 0), 4);
  EXPECT_EQ(counter.sum, 6u);
  EXPECT_EQ(loop(0, 0, 0), 0);
  EXPECT_EQ(loop(8 << 20, 0, 0), 1);
  EXPECT_EQ(loop((8 << 20) + 1, 0, 0), -E2BIG);
  EXPECT_EQ(loop(1, 0, 1), -EINVAL);
}

}  // namespace
}  // namespace skep::helpers
