#include "net/rig.hpp"

#include <net/if.h>
#include <poll.h>
#include <unistd.h>

#include <cstring>
#include <fstream>

#include "net/memory_port.hpp"
#include "net/packet_port.hpp"
#include "net/packet_socket.hpp"
#include "net/pcap_port.hpp"
#include "net/tap_port.hpp"
#include "net/testbed.hpp"

namespace skep::testing {
namespace {

constexpr u16 kTestType = 0x88b5;

/// A packet socket that receives the test's EtherType after nftables and the port's own tap: what the host's
/// protocols would get. Without PACKET_VNET_HDR.
struct Listener {
  UniqueFd fd;

  Listener(const Namespace& ns, const std::string& name) {
    ns.inside([&] {
      fd.reset(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
      int on = 1;
      ::setsockopt(fd.get(), SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on);
      ASSERT_TRUE(net::bind_packet_socket(fd, ::if_nametoindex(name.c_str()), kTestType));
    });
  }
  void send(const std::vector<Frame>& frames) const {
    for (const Frame& frame : frames)
      ASSERT_EQ(::send(fd.get(), frame.data(), frame.size(), 0), ssize_t(frame.size()));
  }
  [[nodiscard]] std::vector<Frame> receive(std::size_t count) const {
    std::vector<Frame> frames;
    pollfd readable{fd.get(), POLLIN, 0};
    while (frames.size() < count && ::poll(&readable, 1, 2000) == 1) frames.push_back(next());
    while (::poll(&readable, 1, 30) == 1) frames.push_back(next());
    return frames;
  }
  [[nodiscard]] Frame next() const {
    Frame frame(70000);
    const ssize_t got = ::recv(fd.get(), frame.data(), frame.size(), 0);
    frame.resize(got > 0 ? std::size_t(got) : 0);
    return frame;
  }
};

class MemoryRig final : public Rig {
 public:
  MemoryRig() {
    auto made = net::MemoryPort::open(3);
    memory_ = made->get();
    port = std::move(*made);
  }
  void send(const std::vector<Frame>& frames) override {
    for (const Frame& frame : frames) ASSERT_TRUE(memory_->push(frame));
  }
  std::vector<Frame> delivered(net::Disposition how, std::size_t) override {
    std::vector<Frame> frames;
    for (auto& outcome : memory_->take())
      if (outcome.disposition == how) frames.push_back(std::move(outcome.bytes));
    return frames;
  }

 private:
  net::MemoryPort* memory_;
};

/// The input file is written, and the port opened, by send(): a capture is there before it is read.
class PcapRig final : public Rig {
 public:
  PcapRig() : in_(name("in")), out_(name("out")) { write_input({}), open(); }
  ~PcapRig() override { ::unlink(in_.c_str()), ::unlink(out_.c_str()); }
  void send(const std::vector<Frame>& frames) override { write_input(frames), open(); }
  std::vector<Frame> delivered(net::Disposition, std::size_t) override {
    EXPECT_TRUE(static_cast<net::PcapPort&>(*port).finish());
    std::vector<Frame> frames;
    auto again = net::PcapPort::open(out_, "", 1);
    EXPECT_TRUE(again) << again.error().what;
    std::array<net::Packet, limits::packet_burst> packets{};
    while (const u32 count = (*again)->rx_burst(packets))
      for (u32 i = 0; i < count; i++) frames.emplace_back(packets[i].data, packets[i].data_end);
    return frames;
  }

 private:
  static std::string name(const std::string& what) {
    return ::testing::TempDir() + "/skep_rig_" + std::to_string(::getpid()) + "_" + what + ".pcap";
  }
  void write_input(const std::vector<Frame>& frames) const {
    std::ofstream file(in_, std::ios::binary);
    const auto put = [&](u32 value) { file.write(reinterpret_cast<const char*>(&value), 4); };
    for (const u32 word : {0xa1b2c3d4U, 0x00040002U, 0U, 0U, 262144U, 1U}) put(word);
    for (const Frame& frame : frames) {
      for (const u32 word : {1700000000U, 123456U, u32(frame.size()), u32(frame.size())}) put(word);
      file.write(reinterpret_cast<const char*>(frame.data()), std::streamsize(frame.size()));
    }
  }
  void open() {
    port.reset();
    auto made = net::PcapPort::open(in_, out_, 3);
    ASSERT_TRUE(made) << made.error().what;
    port = std::move(*made);
  }
  std::string in_, out_;
};

class TapRig final : public Rig {
 public:
  TapRig() {
    if (!(missing = why_no_namespaces()).empty()) return;
    ns_ = std::make_unique<Namespace>();
    ns_->inside([&] {
      auto made = net::TapDevice::create("skep0");
      ASSERT_TRUE(made) << made.error().what;
      device_ = std::make_unique<net::TapDevice>(std::move(*made));
    });
    ns_->must("sysctl -qw net.ipv6.conf.skep0.disable_ipv6=1; ip link set skep0 up");
    host_ = std::make_unique<Listener>(*ns_, "skep0");
    ns_->inside([&] {
      auto opened = device_->open_port();
      ASSERT_TRUE(opened) << opened.error().what;
      port = std::move(*opened);
    });
  }
  void send(const std::vector<Frame>& frames) override { host_->send(frames); }
  std::vector<Frame> delivered(net::Disposition, std::size_t count) override { return host_->receive(count); }

 private:
  std::unique_ptr<Namespace> ns_;
  std::unique_ptr<net::TapDevice> device_;
  std::unique_ptr<Listener> host_;
};

class PacketRig final : public Rig {
 public:
  PacketRig() {
    if (!(missing = why_no_namespaces()).empty()) return;
    outside_ = std::make_unique<Namespace>();
    inside_ = std::make_unique<Namespace>();
    const std::string at = "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(inside_->fd());
    outside_->must("ip link add vo type veth peer name vi netns " + at);
    for (const auto& [ns, name] : {std::pair{outside_.get(), "vo"}, std::pair{inside_.get(), "vi"}})
      ns->must(std::string("sysctl -qw net.ipv6.conf.") + name + ".disable_ipv6=1; ip link set " + name +
               " up");
    peer_ = std::make_unique<Listener>(*outside_, "vo");
    inside_->inside([&] {
      auto opened = net::open_packet_port(::if_nametoindex("vi"));
      ASSERT_TRUE(opened) << opened.error().what;
      port = std::move(*opened);
    });
    stack_ = std::make_unique<Listener>(*inside_, "vi");
  }
  void send(const std::vector<Frame>& frames) override { peer_->send(frames); }
  std::vector<Frame> delivered(net::Disposition how, std::size_t count) override {
    return (how == net::Disposition::pass ? stack_ : peer_)->receive(count);
  }

 private:
  std::unique_ptr<Namespace> outside_, inside_;
  std::unique_ptr<Listener> peer_, stack_;
};

}  // namespace

std::unique_ptr<Rig> make_rig(const std::string& kind) {
  if (kind == "memory") return std::make_unique<MemoryRig>();
  if (kind == "pcap") return std::make_unique<PcapRig>();
  if (kind == "tap") return std::make_unique<TapRig>();
  return std::make_unique<PacketRig>();
}

Frame test_frame(u32 number, std::size_t size, const std::array<std::byte, 6>& to) {
  Frame frame(size);
  std::memcpy(frame.data(), to.data(), to.size());
  frame[6] = std::byte{2};
  frame[12] = std::byte{kTestType >> 8};
  frame[13] = std::byte{kTestType & 0xff};
  std::memcpy(frame.data() + 14, &number, sizeof number);
  for (std::size_t i = 18; i < size; i++) frame[i] = std::byte(i * 7 + number);
  return frame;
}

}  // namespace skep::testing
