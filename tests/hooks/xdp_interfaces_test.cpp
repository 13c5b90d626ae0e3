// XDP on interfaces of every kind: VLANs, jumbo frames, `lo`, several at once, a TAP of our own.
#include <gtest/gtest.h>

#include <atomic>

#include "hooks/fixture.hpp"
#include "hooks/sockets.hpp"
#include "net/tap_port.hpp"

namespace skep::testing {
namespace {

using XdpInterfaces = OnVeth;

/// What programs below saw; `self` of the program.
struct Seen {
  std::atomic<u32> tagged{0};  ///< frames with an 802.1Q tag in their bytes
  std::atomic<u32> last_tci{0};
  std::atomic<u32> longest{0};
};

u64 look(const void* self, void* ctx, RunContext*) {
  auto& seen = *static_cast<Seen*>(const_cast<void*>(self));
  const XdpBuff& xdp = buff(ctx);
  if (be16_at(xdp, 12) == 0x8100) {
    seen.tagged++;
    seen.last_tci = be16_at(xdp, 14);
  }
  seen.longest = std::max(seen.longest.load(), length(xdp));
  return uapi::XDP_PASS;
}

/// Takes an 802.1Q tag out, as bpf_xdp_adjust_head(4) after moving the addresses.
u64 pop_vlan(const void* self, void* ctx, RunContext* rc) {
  XdpBuff& xdp = buff(ctx);
  look(self, ctx, rc);
  if (be16_at(xdp, 12) == 0x8100) {
    std::memmove(xdp.data + 4, xdp.data, 12);
    xdp.data += 4;
  }
  return uapi::XDP_PASS;
}

/// Puts a tag into IPv4, as bpf_xdp_adjust_head(-4), and redirects it.
u64 push_vlan_and_forward(const void* self, void* ctx, RunContext* rc) {
  XdpBuff& xdp = buff(ctx);
  const u64 verdict = forward_ipv4(self, ctx, rc);
  if (verdict != uapi::XDP_REDIRECT) return verdict;
  std::memmove(xdp.data - 4, xdp.data, 12);
  xdp.data -= 4;
  for (u32 i = 0; i < 4; i++)
    xdp.data[12 + i] = std::array{std::byte{0x81}, std::byte{0}, std::byte{0xa0}, std::byte{5}}[i];
  return verdict;
}

TEST_F(XdpInterfaces, VlanTagsAndOffloadsGoThroughEachOther) {
  // From a to c: vb's program puts a tag in and redirects, vc's takes it out and passes; the answers come
  // back through b's stack. TCP sends superframes whose checksums are still to be filled in.
  bed->a.must("ip route replace 10.9.1.0/24 via 10.9.0.2");
  bed->c.must("ip route replace 10.9.0.0/24 via 10.9.1.2");
  bed->b.must("sysctl -qw net.ipv4.ip_forward=1");
  const Exit exit{bed->b.ifindex("vb2"), mac_of(bed->b, "vb2"), mac_of(bed->c, "vc")};
  Seen seen;
  const auto tagging = attach(bed->b, "vb", program(push_vlan_and_forward, &exit));
  const auto untagging = attach(bed->c, "vc", program(pop_vlan, &seen));
  EXPECT_EQ(ping(bed->a, "10.9.1.1", 5), 5);
  EXPECT_EQ(seen.tagged, 5U) << "the tag is in the packet, as on the wire";
  EXPECT_EQ(seen.last_tci, 0xa005U);
  EXPECT_EQ(tcp_through(bed->a, bed->c, "10.9.1.1", 16 << 20), 16 << 20);
  EXPECT_GT(seen.longest, 10000U) << "superframes";
  EXPECT_EQ(tagging->stats().redirect_errors, 0U);
  bed->b.must("sysctl -qw net.ipv4.ip_forward=0");
}

TEST_F(XdpInterfaces, JumboFramesPass) {
  bed->a.must("ip link set va mtu 9000");
  bed->b.must("ip link set vb mtu 9000");
  for (const bool grown : {false, true}) {  // attached with MTU 9000, and attached before it was raised
    if (grown) bed->b.must("ip link set vb mtu 1500");
    Seen seen;
    const auto attachment = attach(bed->b, "vb", program(look, &seen));
    if (grown) bed->b.must("ip link set vb mtu 9000");
    EXPECT_EQ(ping(bed->a, "10.9.0.2", 5, "-s 8900 -M do"), 5);
    EXPECT_EQ(seen.longest, 8900U + 8 + 20 + 14);
    EXPECT_EQ(attachment->stats().rx_dropped, 0U);
  }
  bed->a.must("ip link set va mtu 1500");
  bed->b.must("ip link set vb mtu 1500");
}

TEST_F(XdpInterfaces, LoopbackWorksAndItsSettingsComeBack) {
  const Namespace own;
  const auto settings = [&] {
    return own.must("sysctl -n net.ipv4.conf.lo.route_localnet net.ipv4.conf.lo.accept_local");
  };
  const std::string before = settings();
  {
    const auto attachment = attach(own, "lo", program(always, &kPass));
    EXPECT_EQ(ping(own, "127.0.0.1", 3), 3);
    EXPECT_EQ(ping(own, "::1", 3), 3);
    EXPECT_EQ(tcp_through(own, own, "127.0.0.1", 8 << 20), 8 << 20);
    const std::string longest(65507, 'x');
    EXPECT_EQ(udp_through(own, own, "127.0.0.1", 5002, 5002, longest), longest)
        << "a frame longer than a TAP's MTU";
    EXPECT_GE(attachment->stats().pass, 12U);
    EXPECT_EQ(attachment->stats().pass_errors, 0U);
    attachment->set_program(program(always, &kDrop));
    EXPECT_EQ(ping(own, "127.0.0.1", 2, "-W 0.2"), 0);
  }
  EXPECT_EQ(settings(), before);
  EXPECT_EQ(ping(own, "127.0.0.1", 3), 3);
}

TEST_F(XdpInterfaces, SeveralInterfacesHaveTheirOwnPrograms) {
  const auto first = attach(bed->b, "vb", program(always, &kPass));
  const auto second = attach(bed->b, "vb2", program(always, &kDrop));
  EXPECT_EQ(ping(bed->a, "10.9.0.2", 3), 3);
  EXPECT_EQ(ping(bed->c, "10.9.1.2", 3, "-W 0.2"), 0);
  EXPECT_EQ(first->stats().drop, 0U);
  EXPECT_EQ(second->stats().pass, 0U);
  EXPECT_GE(second->stats().drop, 1U);
}

TEST_F(XdpInterfaces, ATapOfOurOwnRunsThePrograms) {
  const Namespace own;
  std::unique_ptr<net::TapDevice> device;
  Attachment attachment;
  own.inside([&] {
    auto made = net::TapDevice::create("skep0");
    ASSERT_TRUE(made) << made.error().what;
    device = std::make_unique<net::TapDevice>(std::move(*made));
    auto again = net::TapDevice::create("skep0");
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().code, EEXIST);
    auto port = device->open_port();
    ASSERT_TRUE(port) << port.error().what;
    hooks::InterfaceHookConfig config;
    config.program = program(answer_echo);
    attachment = std::move(*hooks::InterfaceHook::open(std::move(*port), config));
  });
  own.must(
      "ip addr add 10.10.0.1/24 dev skep0 && ip link set skep0 up && "
      "ip neigh replace 10.10.0.9 lladdr 02:00:00:00:00:09 dev skep0");
  EXPECT_EQ(ping(own, "10.10.0.9", 5), 5);
  EXPECT_EQ(attachment->stats().tx, 5U);
  EXPECT_EQ(attachment->stats().tx_errors, 0U);
  attachment.reset();
  EXPECT_EQ(ping(own, "10.10.0.9", 1, "-W 0.2"), 0);
  device.reset();
  EXPECT_EQ(own.run("ip link show skep0").status, 1) << "gone with its descriptor";
}

}  // namespace
}  // namespace skep::testing
