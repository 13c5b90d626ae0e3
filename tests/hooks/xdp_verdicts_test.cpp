// XDP verdicts on a real interface, with real traffic against the kernel's own stack.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hooks/fixture.hpp"
#include "hooks/sockets.hpp"

namespace skep::testing {
namespace {

using XdpVerdicts = OnVeth;

TEST_F(XdpVerdicts, PassReachesTheStackOnce) {
  const auto attachment = attach(bed->b, "vb", program(always, &kPass));
  ASSERT_TRUE(attachment);
  const u64 before = bed->b.counter("Icmp", "InEchos");
  EXPECT_EQ(ping(bed->a, "10.9.0.2", 10), 10);
  EXPECT_EQ(bed->b.counter("Icmp", "InEchos") - before, 10);
  const u64 before6 = bed->b.counter("Icmp6", "Icmp6InEchos");
  EXPECT_EQ(ping(bed->a, "fd09::2", 5), 5);
  EXPECT_EQ(bed->b.counter("Icmp6", "Icmp6InEchos") - before6, 5);
  const auto stats = attachment->stats();
  EXPECT_GE(stats.pass, 15U);
  EXPECT_EQ(stats.rx, stats.pass);
  EXPECT_EQ(stats.pass_errors + stats.rx_dropped, 0U);
}

TEST_F(XdpVerdicts, PassLetsAddressesBeResolvedAnew) {
  const auto attachment = attach(bed->b, "vb", program(always, &kPass));
  bed->a.must("ip neigh flush dev va");
  bed->b.must("ip neigh flush dev vb");
  EXPECT_EQ(ping(bed->a, "10.9.0.2", 2), 2) << "ARP: broadcast";
  EXPECT_EQ(ping(bed->a, "fd09::2", 2), 2) << "neighbour discovery: multicast";
}

TEST_F(XdpVerdicts, DropNeverReachesTheStack) {
  const auto attachment = attach(bed->b, "vb", program(always, &kDrop));
  ASSERT_TRUE(attachment);
  const u64 before = bed->b.counter("Icmp", "InEchos");
  EXPECT_EQ(ping(bed->a, "10.9.0.2", 5, "-W 0.2"), 0);
  EXPECT_EQ(bed->b.counter("Icmp", "InEchos"), before);
  EXPECT_GE(attachment->stats().drop, 5U);
}

TEST_F(XdpVerdicts, AbortedIsDroppedCountedAndTraced) {
  Traces traces;
  const auto attachment = attach(bed->b, "vb", program(always, &kAborted), &traces);
  ASSERT_TRUE(attachment);
  const u64 before = bed->b.counter("Icmp", "InEchos");
  EXPECT_EQ(ping(bed->a, "10.9.0.2", 3, "-W 0.2"), 0);
  EXPECT_EQ(bed->b.counter("Icmp", "InEchos"), before);
  EXPECT_GE(attachment->stats().aborted, 3U);
  const std::string line =
      "xdp_exception: prog_id=7 action=ABORTED ifindex=" + std::to_string(bed->b.ifindex("vb"));
  EXPECT_THAT(traces.lines(), ::testing::Contains(line));
}

TEST_F(XdpVerdicts, TxAnswersFromUserSpace) {
  const auto attachment = attach(bed->b, "vb", program(answer_echo));
  ASSERT_TRUE(attachment);
  const u64 before = bed->b.counter("Icmp", "InEchos");
  EXPECT_EQ(ping(bed->a, "10.9.0.2", 10), 10);
  EXPECT_EQ(bed->b.counter("Icmp", "InEchos"), before) << "the stack saw none of it";
  EXPECT_EQ(attachment->stats().tx, 10U);
  EXPECT_EQ(attachment->stats().tx_errors, 0U);
}

TEST_F(XdpVerdicts, RedirectGoesOutOfAnotherInterface) {
  Exit exit{bed->b.ifindex("vb2"), mac_of(bed->b, "vb2"), mac_of(bed->c, "vc")};
  bed->a.must("ip route replace 10.9.1.0/24 via 10.9.0.2");
  bed->c.must("ip route replace 10.9.0.0/24 via 10.9.1.2");
  bed->b.must("sysctl -qw net.ipv4.ip_forward=1");
  const auto attachment = attach(bed->b, "vb", program(forward_ipv4, &exit));
  ASSERT_TRUE(attachment);
  const u64 before = bed->c.counter("Icmp", "InEchos");
  EXPECT_EQ(ping(bed->a, "10.9.1.1", 10), 10) << "there by the program, back through b's stack";
  EXPECT_EQ(bed->c.counter("Icmp", "InEchos") - before, 10U);
  EXPECT_EQ(attachment->stats().redirect, 10U);
  EXPECT_EQ(attachment->stats().redirect_errors, 0U);

  // And back by a second program: redirects between two interfaces that both have one.
  Exit back{bed->b.ifindex("vb"), mac_of(bed->b, "vb"), mac_of(bed->a, "va")};
  const auto other = attach(bed->b, "vb2", program(forward_ipv4, &back));
  bed->b.must("sysctl -qw net.ipv4.ip_forward=0");
  EXPECT_EQ(ping(bed->a, "10.9.1.1", 10), 10);
  EXPECT_EQ(other->stats().redirect, 10U);
}

TEST_F(XdpVerdicts, RedirectToNoInterfaceOrADownOneIsAnErrorAndDropped) {
  Exit exit{4711, {}, {}};
  const auto attachment = attach(bed->b, "vb", program(forward_ipv4, &exit));
  EXPECT_EQ(ping(bed->a, "10.9.0.2", 2, "-W 0.2"), 0);
  EXPECT_TRUE(eventually([&] { return attachment->stats().redirect_errors == 2; }));
  bed->b.must("ip link set vb2 down");
  Exit down{bed->b.ifindex("vb2"), {}, {}};
  attachment->set_program(program(forward_ipv4, &down));
  EXPECT_EQ(ping(bed->a, "10.9.0.2", 3, "-W 0.2"), 0);
  EXPECT_TRUE(eventually([&] { return attachment->stats().redirect_errors == 5; }));
  bed->b.must("ip link set vb2 up");
}

TEST_F(XdpVerdicts, ModifiedPacketsAreWhatTheStackReceives) {
  const auto attachment = attach(bed->b, "vb", program(rewrite_udp_port));
  EXPECT_EQ(udp_through(bed->a, bed->b, "10.9.0.2", 7777, 7778, "hello"), "hello");
}

TEST_F(XdpVerdicts, AChangedDestinationAddressChangesWhomThePacketIsFor) {
  const u64 before = bed->b.counter("Icmp", "InEchos");
  const auto attachment = attach(bed->b, "vb", program(to_a_stranger));
  EXPECT_EQ(ping(bed->a, "10.9.0.2", 3, "-W 0.2"), 0);
  EXPECT_GE(attachment->stats().pass, 3U);
  EXPECT_EQ(bed->b.counter("Icmp", "InEchos"), before) << "a frame for another host is not ours";
}

TEST_F(XdpVerdicts, TcpWithOffloadsComesThroughWhole) {
  const auto attachment = attach(bed->b, "vb", program(always, &kPass));
  ASSERT_TRUE(attachment);
  EXPECT_EQ(tcp_through(bed->a, bed->b, "10.9.0.2", 32 << 20), 32 << 20);
  EXPECT_EQ(tcp_through(bed->b, bed->a, "10.9.0.1", 8 << 20), 8 << 20);
  EXPECT_EQ(tcp_through(bed->a, bed->b, "fd09::2", 8 << 20), 8 << 20);
}

}  // namespace
}  // namespace skep::testing
