// The port behind an interface's egress, on a veth pair: what the host sends arrives here first, and goes on,
// or does not, as the port is told.
#include "net/egress_port.hpp"

#include <gtest/gtest.h>
#include <net/if.h>
#include <poll.h>

#include <atomic>
#include <thread>

#include "net/testbed.hpp"

namespace skep::testing {
namespace {

using net::Disposition;

/// Serves an egress port on a thread until told to stop.
class Server {
 public:
  Server(const Namespace& ns, const std::string& name) {
    ns.inside([&] {
      auto opened = net::open_egress_port(::if_nametoindex(name.c_str()));
      ASSERT_TRUE(opened) << opened.error().what;
      port_ = std::move(*opened);
      thread_ = std::thread([this] { serve(); });  // in the namespace: the first redirect opens its way there
    });
  }
  ~Server() { stop(); }
  void stop() {
    stopping = true;
    if (thread_.joinable()) thread_.join();
    port_.reset();
  }
  std::atomic<Disposition> decision{Disposition::pass};
  std::atomic<u32> out_ifindex{0};
  std::atomic<int> packets{0};
  std::atomic<bool> stopping{false};
  [[nodiscard]] net::PortStats stats() const { return port_->stats(); }

 private:
  void serve() {
    std::array<net::Packet, limits::packet_burst> burst{};
    while (true) {
      const bool last = stopping;
      if (last) port_->stop_rx();
      pollfd readable{port_->poll_fd(), POLLIN, 0};
      ::poll(&readable, 1, last ? 0 : 5);
      const u32 count = port_->rx_burst(burst);
      for (u32 i = 0; i < count; ++i) {
        burst[i].disposition = decision;
        burst[i].out_ifindex = out_ifindex;
      }
      port_->complete({burst.data(), count});
      packets += static_cast<int>(count);
      if (last && count == 0) return;
    }
  }
  std::unique_ptr<net::Port> port_;
  std::thread thread_;
};

class EgressPort : public ::testing::Test {
 protected:
  void SetUp() override {
    SKIP_WITHOUT_NAMESPACES();
    bed_ = std::make_unique<Testbed>();
    ASSERT_GT(ping(bed_->a, "10.9.0.2", 2), 0);
  }
  std::unique_ptr<Testbed> bed_;
};

TEST_F(EgressPort, SentPacketsPassOrAreDroppedAndComeBackAfterwards) {
  {
    Server server(bed_->b, "vb");
    EXPECT_EQ(ping(bed_->a, "10.9.0.2", 20), 20) << "each answer goes through the port once";
    EXPECT_GE(server.packets, 20);
    const int before = server.packets;
    server.decision = Disposition::drop;
    EXPECT_EQ(ping(bed_->a, "10.9.0.2", 5), 0);
    EXPECT_GT(server.packets, before);
    server.decision = Disposition::pass;
    EXPECT_EQ(ping(bed_->a, "10.9.0.2", 5), 5);
    EXPECT_EQ(ping(bed_->b, "10.9.0.1", 5), 5);
    EXPECT_EQ(server.stats().pass_errors, 0u);
  }
  EXPECT_EQ(ping(bed_->a, "10.9.0.2", 5), 5);
  EXPECT_EQ(bed_->b.run("nft list tables").text, "");
  EXPECT_EQ(bed_->b.run("ip -o link show type tun").text, "");
}

TEST_F(EgressPort, LosesNoPacketWhenItComesAndGoes) {
  const int pinging = bed_->a.start("ping -n -q -c 200 -i 0.01 -W 1 10.9.0.2 > /dev/null");
  const u64 before = bed_->b.counter("Icmp", "InEchos");
  for (int i = 0; i < 4; ++i) {
    Server server(bed_->b, "vb");
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  finish(pinging, 0);
  EXPECT_GE(bed_->b.counter("Icmp", "InEchos") - before, 1u);
  EXPECT_EQ(ping(bed_->a, "10.9.0.2", 5), 5);
}

// A redirect goes where the program says: here into the interface itself, as if its own packets had come
// back.
TEST_F(EgressPort, RedirectsToAnotherInterface) {
  Server server(bed_->b, "vb");
  server.out_ifindex = bed_->b.ifindex("vb2");
  server.decision = Disposition::forward;
  const auto count = [this](int column) {
    return std::stoull(
        bed_->b.must("awk '$1 == \"vb2:\" { print $" + std::to_string(column) + " }' /proc/net/dev"));
  };
  const u64 sent = count(11);
  EXPECT_EQ(ping(bed_->a, "10.9.0.2", 5), 0);
  EXPECT_GE(count(11), sent + 5);
  server.decision = Disposition::receive;
  const int before = server.packets;
  EXPECT_EQ(ping(bed_->a, "10.9.0.2", 5), 0);
  EXPECT_GT(server.packets, before);
  EXPECT_EQ(server.stats().redirect_errors, 0u);
}

TEST_F(EgressPort, TcpGoesThrough) {
  Server server(bed_->b, "vb");
  const int listening = bed_->a.start("iperf3 -s -1 > /dev/null");
  ASSERT_TRUE(eventually([&] { return bed_->a.run("ss -ltn").text.find(":5201") != std::string::npos; }));
  const Output ran = bed_->b.run("iperf3 -c 10.9.0.1 -n 20M");
  finish(listening, SIGTERM);
  EXPECT_EQ(ran.status, 0) << ran.text;
}

}  // namespace
}  // namespace skep::testing
