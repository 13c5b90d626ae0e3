// What every port promises (net/port.hpp), asked of every port that can run here.
#include <gtest/gtest.h>
#include <poll.h>

#include <functional>

#include "net/rig.hpp"
#include "net/testbed.hpp"

namespace skep::testing {
namespace {

using net::Disposition;
using net::Packet;

class PortContract : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    rig = make_rig(GetParam());
    if (!rig->missing.empty()) GTEST_SKIP() << rig->missing;
    ASSERT_TRUE(rig->port);
  }

  /// Receives until `count` packets came, giving each to `decide` before it is completed.
  void serve(std::size_t count, const std::function<void(Packet&)>& decide) {
    std::size_t seen = 0;
    for (int idle = 0; seen < count && idle < 100;) {
      const u32 got = rig->port->rx_burst(burst);
      if (got == 0) {
        if (rig->port->poll_fd() < 0) break;
        pollfd readable{rig->port->poll_fd(), POLLIN, 0};
        ::poll(&readable, 1, 20);
        idle++;
        continue;
      }
      for (u32 i = 0; i < got; i++) decide(burst[i]);
      rig->port->complete({burst.data(), got});
      seen += got;
    }
    EXPECT_EQ(seen, count);
  }

  void expect_no_losses() const {
    const auto stats = rig->port->stats();
    EXPECT_EQ(stats.rx_dropped + stats.pass_errors + stats.tx_errors + stats.redirect_errors, 0U);
  }

  static std::vector<Frame> frames(u32 count, std::size_t size = 100) {
    std::vector<Frame> made;
    for (u32 i = 0; i < count; i++) made.push_back(test_frame(i, size, kEverybody));
    return made;
  }
  static constexpr std::array<std::byte, 6> kEverybody{std::byte{0xff}, std::byte{0xff}, std::byte{0xff},
                                                       std::byte{0xff}, std::byte{0xff}, std::byte{0xff}};

  std::unique_ptr<Rig> rig;
  std::array<Packet, limits::packet_burst> burst{};
};

TEST_P(PortContract, PacketsArriveAsSentWithRoomAroundThem) {
  const auto sent = frames(5, 333);
  rig->send(sent);
  std::vector<Frame> got;
  serve(5, [&](Packet& packet) {
    got.emplace_back(packet.data, packet.data_end);
    EXPECT_GE(packet.data - packet.hard_start, s64{limits::xdp_headroom});
    EXPECT_GE(packet.hard_start + packet.buffer_size - packet.data_end, 128 + 320);
    EXPECT_EQ(packet.disposition, Disposition::drop);
    EXPECT_EQ(packet.received_at, packet.data);
  });
  EXPECT_EQ(got, sent);
  expect_no_losses();
}

TEST_P(PortContract, DroppedPacketsGoNowhere) {
  rig->send(frames(20));
  serve(20, [](Packet& packet) { packet.disposition = Disposition::drop; });
  EXPECT_TRUE(rig->delivered(Disposition::pass, 0).empty());
  EXPECT_TRUE(rig->delivered(Disposition::tx, 0).empty());
}

TEST_P(PortContract, PassedPacketsArriveInOrderWhenThereAreMoreThanABurst) {
  const auto sent = frames(200);
  rig->send(sent);
  serve(200, [](Packet& packet) { packet.disposition = Disposition::pass; });
  EXPECT_EQ(rig->delivered(Disposition::pass, 200), sent);
  expect_no_losses();
}

TEST_P(PortContract, TransmittedPacketsGoBackOut) {
  const auto sent = frames(10);
  rig->send(sent);
  serve(10, [](Packet& packet) { packet.disposition = Disposition::tx; });
  EXPECT_EQ(rig->delivered(Disposition::tx, 10), sent);
  expect_no_losses();
}

TEST_P(PortContract, WhatTheProgramWroteIsWhatGoesOn) {
  rig->send(frames(3));
  serve(3, [](Packet& packet) {
    std::memset(packet.data + 20, 0x5a, 10);
    packet.disposition = Disposition::pass;
  });
  auto expected = frames(3);
  for (auto& frame : expected) std::memset(frame.data() + 20, 0x5a, 10);
  EXPECT_EQ(rig->delivered(Disposition::pass, 3), expected);
}

TEST_P(PortContract, PacketsMayGrowAndShrinkAtBothEnds) {
  rig->send(frames(2, 200));
  std::vector<Frame> expected;
  serve(2, [&](Packet& packet) {
    if (expected.empty()) {  // a header of 32 bytes in front, 100 bytes behind
      std::memmove(packet.data - 32, packet.data, 14);
      packet.data -= 32;
      std::memset(packet.data_end, 0x11, 100);
      packet.data_end += 100;
    } else {
      std::memmove(packet.data + 32, packet.data, 14);
      packet.data += 32;
      packet.data_end -= 50;
    }
    packet.disposition = Disposition::pass;
    expected.emplace_back(packet.data, packet.data_end);
  });
  ASSERT_EQ(expected[0].size(), 332U);
  ASSERT_EQ(expected[1].size(), 118U);
  EXPECT_EQ(rig->delivered(Disposition::pass, 2), expected);
}

TEST_P(PortContract, StoppedPortsEnd) {
  rig->port->stop_rx();
  EXPECT_EQ(rig->port->rx_burst(burst), 0U);
  EXPECT_EQ(rig->port->check(), net::PortState::ended);
}

TEST_P(PortContract, AnIdlePortHasNothingAndStaysOpenOrEnds) {
  EXPECT_EQ(rig->port->rx_burst(burst), 0U);
  const bool waits = rig->port->poll_fd() >= 0;
  EXPECT_EQ(rig->port->check(), waits ? net::PortState::open : net::PortState::ended);
  EXPECT_NE(rig->port->ifindex(), 0U);
}

INSTANTIATE_TEST_SUITE_P(Ports, PortContract, ::testing::Values("memory", "pcap", "tap", "packet"),
                         [](const auto& row) { return std::string(row.param); });

}  // namespace
}  // namespace skep::testing
