// The tc hook over a port in memory: what a chain of programs sees of a packet, and what becomes of it.
#include "hooks/tc.hpp"

#include <gtest/gtest.h>

#include "base/rcu.hpp"
#include "helpers/skb.hpp"
#include "hooks/fixture.hpp"
#include "net/memory_port.hpp"

namespace skep::testing {
namespace {

using hooks::TcChain;
using hooks::TcDirection;
using net::Disposition;
using progs::SkBuff;

constexpr u64 next = ~u64{0};

SkBuff& skb(void* ctx) { return *static_cast<SkBuff*>(ctx); }

class TcHookInMemory : public ::testing::Test {
 protected:
  void SetUp() override { port_ = std::move(*net::MemoryPort::open(5)); }
  net::MemoryPort::Outcome run(const TcChain& chain, const std::vector<std::byte>& packet,
                               const net::Offload& offload = {},
                               TcDirection direction = TcDirection::ingress) {
    const rcu::Reader reader;
    hooks::TcHook hook(5, direction, RunContext{});
    EXPECT_TRUE(port_->push(packet, offload));
    std::array<net::Packet, limits::packet_burst> packets{};
    const u32 count = port_->rx_burst(packets);
    EXPECT_EQ(count, 1u);
    const std::span burst(packets.data(), count);
    burst[0].disposition = Disposition::pass;
    hook.run_burst(chain, burst);
    port_->complete(burst);
    hook.release();
    stats_ = hook.stats();
    return port_->take().at(0);
  }
  static std::vector<std::byte> packet(u16 ethertype = 0x0800, std::size_t size = 60) {
    std::vector<std::byte> made(size);
    for (std::size_t i = 0; i < size; i++) made[i] = std::byte(i);
    made[12] = std::byte(ethertype >> 8);
    made[13] = std::byte(ethertype & 0xff);
    return made;
  }
  std::unique_ptr<net::MemoryPort> port_;
  hooks::TcStats stats_;
};

u64 returns(const void* self, void*, RunContext*) { return *static_cast<const u64*>(self); }
Entry returning(const u64& result) { return {returns, &result}; }

u64 counts(const void* self, void*, RunContext*) {
  ++*static_cast<int*>(const_cast<void*>(self));
  return next;
}

// tcx_action_code(): results that are no verdicts of tcx's end the chain, and the packet goes on.
TEST_F(TcHookInMemory, TheFirstResultThatIsNotNextDecides) {
  for (const u64 result : {u64{0}, u64{1}, u64{2}, u64{3}, u64{4}, u64{5}, u64{6}, u64{8}, u64{1000}}) {
    int before = 0;
    int after = 0;
    const auto outcome =
        run({{counts, &before}, returning(result), {counts, &after}, {counts, &after}}, packet());
    EXPECT_EQ(before, 1) << result;
    EXPECT_EQ(after, 0) << result;
    EXPECT_EQ(outcome.disposition, result == 2 ? Disposition::drop : Disposition::pass) << result;
    EXPECT_EQ(outcome.bytes, packet()) << result;
  }
  int both = 0;
  const auto outcome = run({{counts, &both}, {counts, &both}}, packet());
  EXPECT_EQ(both, 2);
  EXPECT_EQ(outcome.disposition, Disposition::pass);
  EXPECT_EQ(stats_.pass, 1u);
}

u64 redirects(const void* self, void*, RunContext* run) {
  run->redirect = *static_cast<const RedirectInfo*>(self);
  return 7;
}

TEST_F(TcHookInMemory, RedirectsGoOutOrIn) {
  const RedirectInfo out{.ifindex = 9}, in{.ifindex = 9, .flags = 1}, nowhere{},
      strange{.ifindex = 9, .flags = 64};
  auto outcome = run({{redirects, &out}}, packet());
  EXPECT_EQ(outcome.disposition, Disposition::forward);
  EXPECT_EQ(outcome.out_ifindex, 9u);
  outcome = run({{redirects, &in}}, packet());
  EXPECT_EQ(outcome.disposition, Disposition::receive);
  EXPECT_EQ(stats_.redirect, 1u);
  for (const RedirectInfo* wrong : {&nowhere, &strange}) {
    outcome = run({{redirects, wrong}}, packet());
    EXPECT_EQ(outcome.disposition, Disposition::drop);
    EXPECT_EQ(stats_.redirect_errors, 1u);
  }
}

struct Seen {
  SkBuff buf;
  std::byte first{};
  u32 device = 0;  ///< of buf.dev, which is the hook's and goes with it
};
u64 looks(const void* self, void* ctx, RunContext*) {
  auto& seen = *static_cast<Seen*>(const_cast<void*>(self));
  seen.buf = skb(ctx);
  seen.first = skb(ctx).data[0];
  seen.device = static_cast<u32>(skb(ctx).dev->ifindex);
  return next;
}

TEST_F(TcHookInMemory, ProgramsSeeThePacketAsTheKernelShowsIt) {
  Seen seen;
  auto bytes = packet(0x8100, 64);
  bytes[14] = std::byte{0x20};
  bytes[15] = std::byte{5};  // priority 1, VLAN 5
  bytes[16] = std::byte{8};
  bytes[17] = std::byte{0};
  const auto outcome = run({{looks, &seen}}, bytes);
  EXPECT_EQ(outcome.bytes, bytes) << "the tag is back in its place";
  EXPECT_EQ(seen.buf.len, 60u) << "the tag stands beside the frame";
  EXPECT_EQ(seen.first, std::byte{0}) << "data is at the Ethernet header";
  EXPECT_EQ(seen.buf.vlan_tci, 0x2005);
  EXPECT_EQ(seen.buf.vlan_proto, 0x0081);
  EXPECT_EQ(seen.buf.protocol, 0x0008) << "network order";
  EXPECT_EQ(seen.buf.mac_len, 14);
  EXPECT_EQ(seen.device, 5u);
  EXPECT_EQ(seen.buf.skb_iif, 5u);
  EXPECT_EQ(seen.buf.cb.data_end - seen.buf.data, 60);
  EXPECT_NE(seen.buf.time_bits & progs::skb_tc_at_ingress, 0);
  (void)run({{looks, &seen}}, packet(), {}, TcDirection::egress);
  EXPECT_EQ(seen.buf.skb_iif, 0u);
  EXPECT_EQ(seen.buf.time_bits & progs::skb_tc_at_ingress, 0);
}

u64 grows_by_sixteen(const void*, void* ctx, RunContext*) {
  helpers::Skb& packet = helpers::skb_of(reinterpret_cast<u64>(ctx));
  if (!helpers::skb_expand_head(packet, 1024, 0)) return 2;  // memory of its own
  std::memmove(packet.buf.data - 16, packet.buf.data, 14);
  helpers::skb_push(packet.buf, 16);
  return next;
}

TEST_F(TcHookInMemory, ChecksumAndSegmentationWorkMovesWithTheHeaders) {
  const net::Offload offload{.flags = net::Offload::needs_csum,
                             .gso_type = net::Offload::gso_tcpv4,
                             .hdr_len = 54,
                             .gso_size = 100,
                             .csum_start = 34,
                             .csum_offset = 16};
  Seen seen;
  auto outcome = run({{looks, &seen}}, packet(0x0800, 400), offload);
  EXPECT_EQ(outcome.offload, offload);
  EXPECT_EQ(helpers::skb_ip_summed(seen.buf), helpers::checksum_partial);
  outcome = run({{grows_by_sixteen, nullptr}, {looks, &seen}}, packet(0x0800, 400), offload);
  EXPECT_EQ(outcome.bytes.size(), 416u);
  EXPECT_EQ(outcome.offload.csum_offset, 16);
  EXPECT_EQ(outcome.offload.hdr_len, 70);
  EXPECT_EQ(outcome.offload.gso_size, 100);
  EXPECT_EQ(outcome.bytes[0], std::byte{0});
}

}  // namespace
}  // namespace skep::testing
