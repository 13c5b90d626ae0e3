// What only a port on a real interface has: VLAN tags, packet types, the mark, a full ring.
#include "net/packet_port.hpp"

#include <gtest/gtest.h>
#include <net/if.h>
#include <poll.h>

#include "net/packet_socket.hpp"
#include "net/rig.hpp"
#include "net/testbed.hpp"

namespace skep::testing {
namespace {

using net::Disposition;
using net::Packet;

/// A received frame as a packet socket behind the port reports it.
struct Seen {
  Frame bytes;
  int type = -1;      ///< sll_pkttype
  int vlan_tci = -1;  ///< -1: no tag
};

class PacketPortOnVeth : public ::testing::Test {
 protected:
  void SetUp() override {
    SKIP_WITHOUT_NAMESPACES();
    outside = std::make_unique<Namespace>();
    inside = std::make_unique<Namespace>();
    outside->must("ip link add vo type veth peer name vi netns /proc/" + std::to_string(::getpid()) + "/fd/" +
                  std::to_string(inside->fd()));
    outside->must("sysctl -qw net.ipv6.conf.vo.disable_ipv6=1; ip link set vo up");
    inside->must("sysctl -qw net.ipv6.conf.vi.disable_ipv6=1; ip link set vi up address 02:00:00:00:00:0b");
    listener = socket_on(*inside, "vi", 0x88b5);
    sender = socket_on(*outside, "vo", ETH_P_ALL);
    inside->inside([&] {
      auto opened = net::open_packet_port(::if_nametoindex("vi"));
      ASSERT_TRUE(opened) << opened.error().what;
      port = std::move(*opened);
    });
    ASSERT_TRUE(port);
  }
  static UniqueFd socket_on(const Namespace& ns, const char* name, u16 protocol) {
    UniqueFd fd;
    ns.inside([&] {
      fd.reset(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
      int on = 1;
      ::setsockopt(fd.get(), SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on);
      ::setsockopt(fd.get(), SOL_PACKET, PACKET_AUXDATA, &on, sizeof on);
      ASSERT_TRUE(net::bind_packet_socket(fd, ::if_nametoindex(name), protocol));
    });
    return fd;
  }
  void send(const Frame& frame) {
    ASSERT_EQ(::send(sender.get(), frame.data(), frame.size(), 0), ssize_t(frame.size()));
  }
  /// Receives one packet; `decide` says what becomes of it.
  void serve_one(const std::function<void(Packet&)>& decide) {
    pollfd readable{port->poll_fd(), POLLIN, 0};
    ASSERT_EQ(::poll(&readable, 1, 2000), 1);
    ASSERT_EQ(port->rx_burst(burst), 1U);
    decide(burst[0]);
    port->complete({burst.data(), 1});
  }
  static Seen next(const UniqueFd& from) {
    Seen seen;
    pollfd readable{from.get(), POLLIN, 0};
    if (::poll(&readable, 1, 1000) != 1) return seen;
    seen.bytes.resize(2000);
    iovec part{seen.bytes.data(), seen.bytes.size()};
    sockaddr_ll address{};
    alignas(cmsghdr) std::array<char, 256> control{};
    msghdr message{};
    message.msg_name = &address;
    message.msg_namelen = sizeof address;
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t got = ::recvmsg(from.get(), &message, 0);
    seen.bytes.resize(got > 0 ? std::size_t(got) : 0);
    seen.type = address.sll_pkttype;
    for (auto* item = CMSG_FIRSTHDR(&message); item != nullptr; item = CMSG_NXTHDR(&message, item)) {
      const auto aux = load<tpacket_auxdata>(CMSG_DATA(item));
      if ((aux.tp_status & TP_STATUS_VLAN_VALID) != 0) seen.vlan_tci = aux.tp_vlan_tci;
    }
    return seen;
  }
  /// test_frame() with an 802.1Q tag.
  static Frame tagged(u16 tci) {
    Frame frame = test_frame(1, 100, kBroadcast);
    const std::array<std::byte, 4> tag{std::byte{0x81}, std::byte{0}, std::byte(tci >> 8), std::byte(tci)};
    frame.insert(frame.begin() + 12, tag.begin(), tag.end());
    return frame;
  }
  static constexpr std::byte kOnes{0xff};
  static constexpr std::array<std::byte, 6> kBroadcast{kOnes, kOnes, kOnes, kOnes, kOnes, kOnes};

  std::unique_ptr<Namespace> outside, inside;
  UniqueFd listener, sender;
  std::unique_ptr<net::Port> port;
  std::array<Packet, limits::packet_burst> burst{};
};

TEST_F(PacketPortOnVeth, VlanTagsAreInTheBytesAndReachTheStackAsTags) {
  const UniqueFd taps = socket_on(*inside, "vi", ETH_P_ALL);
  const Frame sent = tagged(0xa005), untagged = test_frame(1, 100, kBroadcast);
  send(sent);
  EXPECT_EQ(next(taps).vlan_tci, 0xa005) << "as it comes from the wire, seen beside the port";
  serve_one([&](Packet& packet) {
    EXPECT_EQ(Frame(packet.data, packet.data_end), sent);
    EXPECT_GE(packet.data - packet.hard_start, s64{limits::xdp_headroom});
    packet.disposition = Disposition::pass;
  });
  const Seen again = next(taps);
  EXPECT_EQ(again.vlan_tci, 0xa005) << "as it comes back from the port";
  EXPECT_EQ(again.bytes, untagged);
  const Seen seen = next(listener);
  EXPECT_EQ(seen.bytes, untagged);
  EXPECT_EQ(seen.type, PACKET_OTHERHOST) << "what the stack makes of a VLAN that nobody has";
}

TEST_F(PacketPortOnVeth, VlanTagsGoBackOut) {
  send(tagged(0xa005));
  serve_one([](Packet& packet) { packet.disposition = Disposition::tx; });
  EXPECT_EQ(next(sender).vlan_tci, 0xa005);
}

TEST_F(PacketPortOnVeth, DoubleTagsStayDouble) {
  Frame sent = tagged(7);
  const std::array<std::byte, 4> outer{std::byte{0x88}, std::byte{0xa8}, std::byte{0}, std::byte{9}};
  sent.insert(sent.begin() + 12, outer.begin(), outer.end());
  send(sent);
  serve_one([&](Packet& packet) { EXPECT_EQ(Frame(packet.data, packet.data_end), sent); });
}

TEST_F(PacketPortOnVeth, PassedPacketsKeepTheirType) {
  const std::array<std::byte, 6> own{std::byte{2}, {}, {}, {}, {}, std::byte{0xb}};
  const std::array<std::byte, 6> group{std::byte{1}, {}, std::byte{0x5e}, {}, {}, std::byte{9}};
  const std::array<std::byte, 6> other{std::byte{2}, {}, {}, {}, {}, std::byte{0xc}};
  inside->must("ip link set vi promisc on");
  for (const auto& [to, type] : {std::pair{own, PACKET_HOST}, std::pair{kBroadcast, PACKET_BROADCAST},
                                 std::pair{group, PACKET_MULTICAST}, std::pair{other, PACKET_OTHERHOST}}) {
    send(test_frame(1, 100, to));
    serve_one([&, expected = type](Packet& packet) {
      EXPECT_EQ(int(packet.type), expected);
      packet.disposition = Disposition::pass;
    });
    EXPECT_EQ(next(listener).type, type);
  }
}

TEST_F(PacketPortOnVeth, AChangedDestinationGetsItsOwnType) {
  send(test_frame(1, 100, kBroadcast));
  serve_one([](Packet& packet) {
    packet.data[0] = std::byte{2};
    packet.disposition = Disposition::pass;
  });
  EXPECT_EQ(next(listener).type, PACKET_OTHERHOST);
}

TEST_F(PacketPortOnVeth, AFullRingLosesPacketsAndCountsThem) {
  const Frame frame = test_frame(1, 100, kBroadcast);
  for (int i = 0; i < 5000; i++) send(frame);
  u64 received = 0;
  EXPECT_TRUE(eventually([&] {
    while (const u32 count = port->rx_burst(burst)) {
      received += count;
      port->complete({burst.data(), count});
    }
    return received + port->stats().rx_dropped >= 5000;
  }));
  EXPECT_GE(received, 1000U);
  EXPECT_GE(port->stats().rx_dropped, 1U);
  EXPECT_EQ(received + port->stats().rx_dropped, 5000U);
}

TEST_F(PacketPortOnVeth, StoppingHandsOutWhatWasReceivedAndLetsTheRestPass) {
  for (u32 i = 0; i < 100; i++) send(test_frame(i, 100, kBroadcast));
  port->stop_rx();
  for (u32 i = 100; i < 120; i++) send(test_frame(i, 100, kBroadcast));
  u32 handed_out = 0;
  while (const u32 count = port->rx_burst(burst)) {
    for (u32 i = 0; i < count; i++) burst[i].disposition = Disposition::pass;
    port->complete({burst.data(), count});
    handed_out += count;
  }
  EXPECT_EQ(handed_out, 100U);
  EXPECT_EQ(port->check(), net::PortState::ended);
  u32 arrived = 0;
  while (!next(listener).bytes.empty() && arrived < 200) arrived++;
  EXPECT_EQ(arrived, 120U) << "none lost, none twice";
}

}  // namespace
}  // namespace skep::testing
