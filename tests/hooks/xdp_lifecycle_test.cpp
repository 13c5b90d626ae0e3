// Attaching and detaching: no packet lost, nothing left behind, whatever happens to the process or the
// interface.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "hooks/fixture.hpp"

namespace skep::testing {
namespace {

using XdpLifecycle = OnVeth;

/// What an attachment makes in a namespace and must not leave there: the TAP, and nftables tables if nft is
/// installed to list them.
std::string leftovers(const Namespace& ns) {
  return ns.run("ip -br link | grep skep-in; command -v nft >/dev/null && nft list tables").text;
}

/// Pings every 10 ms while `what` runs; how many of how many were not answered, duplicates apart.
std::string losses_during(const Namespace& from, const std::string& address,
                          const std::function<void()>& what) {
  const std::string file = ::testing::TempDir() + "/skep_ping_" + std::to_string(::getpid());
  const int pid = from.start("ping -n -q -i 0.01 -c 120 -W 1 " + address + " >" + file + " 2>&1");
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  what();
  finish(pid, 0);
  const std::string text = from.run("cat " + file + "; rm " + file).text;
  return std::to_string(120 - received(text)) + " of 120 lost";
}

TEST_F(XdpLifecycle, AttachReplaceAndDetachLoseNothing) {
  const u64 before = bed->b.counter("Icmp", "InEchos");
  EXPECT_EQ(losses_during(bed->a, "10.9.0.2",
                          [&] {
                            auto attachment = attach(bed->b, "vb", program(always, &kPass));
                            std::this_thread::sleep_for(std::chrono::milliseconds(200));
                            attachment->set_program(program(always, &kPass));
                            std::this_thread::sleep_for(std::chrono::milliseconds(200));
                          }),
            "0 of 120 lost");
  EXPECT_LE(bed->b.counter("Icmp", "InEchos") - before, 122U) << "at most one doubled at each edge";
  EXPECT_EQ(leftovers(bed->b), "");
}

TEST_F(XdpLifecycle, ManyAttachmentsLoseNothing) {
  EXPECT_EQ(losses_during(bed->a, "10.9.0.2",
                          [&] {
                            for (int i = 0; i < 20; i++) attach(bed->b, "vb", program(always, &kPass));
                          }),
            "0 of 120 lost");
  EXPECT_EQ(leftovers(bed->b), "");
}

/// Run by KilledProcess below in a process of its own: attaches and waits to be killed.
TEST(XdpVictim, DISABLED_AttachesAndWaits) {
  const char* verdict = std::getenv("SKEP_TEST_VICTIM");
  ASSERT_NE(verdict, nullptr);
  const u32 value = static_cast<u32>(std::atoi(verdict));
  hooks::InterfaceHookConfig config;
  config.program = program(always, &value);
  auto attachment = hooks::InterfaceHook::open(::if_nametoindex("vb"), config);
  ASSERT_TRUE(attachment) << attachment.error().what;
  std::ofstream(std::getenv("SKEP_TEST_READY")) << "ready";
  ::pause();
}

class Victim {
 public:
  Victim(const Namespace& ns, u32 verdict)
      : ready_(::testing::TempDir() + "/skep_ready_" + std::to_string(::getpid())) {
    ::unlink(ready_.c_str());
    const std::string self = std::filesystem::read_symlink("/proc/self/exe");
    pid_ = ns.start("env SKEP_TEST_VICTIM=" + std::to_string(verdict) + " SKEP_TEST_READY=" + ready_ + " " +
                    self + " --gtest_also_run_disabled_tests --gtest_filter=XdpVictim.* >/dev/null 2>&1");
    EXPECT_TRUE(eventually([&] { return ::access(ready_.c_str(), F_OK) == 0; }, 5000));
  }
  ~Victim() { kill(), ::unlink(ready_.c_str()); }
  void kill() {
    if (pid_ > 0) finish(pid_, SIGKILL);
    pid_ = -1;
  }

 private:
  std::string ready_;
  int pid_ = -1;
};

TEST_F(XdpLifecycle, AKilledProcessLeavesTheInterfaceAsItWas) {
  Victim victim(bed->b, uapi::XDP_DROP);
  EXPECT_EQ(ping(bed->a, "10.9.0.2", 2, "-W 0.2"), 0);
  EXPECT_NE(leftovers(bed->b), "");
  victim.kill();
  EXPECT_EQ(ping(bed->a, "10.9.0.2", 5), 5);
  EXPECT_TRUE(eventually([&] { return leftovers(bed->b).empty(); })) << leftovers(bed->b);
  EXPECT_THAT(bed->b.must("tc qdisc show dev vb"), ::testing::Not(::testing::HasSubstr("clsact")));
}

TEST_F(XdpLifecycle, AKilledProcessLosesAtMostWhatItHeld) {
  Victim victim(bed->b, uapi::XDP_PASS);
  // The packet in the ring at that moment dies with the process.
  EXPECT_THAT(losses_during(bed->a, "10.9.0.2", [&] { victim.kill(); }),
              ::testing::AnyOf("0 of 120 lost", "1 of 120 lost", "2 of 120 lost"));
}

TEST_F(XdpLifecycle, AnotherProcessCannotTakeTheSameInterface) {
  Victim victim(bed->b, uapi::XDP_PASS);
  const auto refused = try_attach(bed->b, bed->b.ifindex("vb"), program(always, &kPass));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, EBUSY);
  EXPECT_EQ(refused.error().what, "vb: another skep has this interface");
  EXPECT_EQ(ping(bed->a, "10.9.0.2", 3), 3) << "the first one works on";
}

TEST_F(XdpLifecycle, NoSuchInterfaceIsRefused) {
  const auto refused = try_attach(bed->b, 4711, program(always, &kPass));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ENODEV);
  EXPECT_EQ(refused.error().what, "no interface with index 4711");
  EXPECT_EQ(leftovers(bed->b), "");
}

TEST_F(XdpLifecycle, AnInterfaceThatIsNotEthernetIsRefused) {
  const Namespace own;
  if (own.run("ip tuntap add dev tun0 mode tun").status != 0) GTEST_SKIP() << "cannot make a TUN device";
  const auto refused = try_attach(own, own.ifindex("tun0"), program(always, &kPass));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, EOPNOTSUPP);
  EXPECT_EQ(refused.error().what, "tun0: not an Ethernet interface (type 65534)");
}

TEST_F(XdpLifecycle, WithoutCapabilitiesTheErrorSaysWhichAreMissing) {
  const auto refused = [&] {
    Result<Attachment> made = fail(0);
    bed->b.inside([&] {
      const u32 index = ::if_nametoindex("vb");
      // Only this thread gives them up.
      struct {
        u32 version;
        int pid;
      } header{0x20080522, 0};
      struct {
        u32 effective, permitted, inheritable;
      } none[2]{};
      ASSERT_EQ(::syscall(SYS_capset, &header, &none), 0);
      hooks::InterfaceHookConfig config;
      config.program = program(always, &kPass);
      made = hooks::InterfaceHook::open(index, config);
    });
    return made;
  }();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, EPERM);
  EXPECT_EQ(refused.error().what,
            "vb: attaching needs CAP_NET_RAW and CAP_NET_ADMIN in the network namespace");
}

TEST_F(XdpLifecycle, DownAndUpAgainGoesOn) {
  const auto attachment = attach(bed->b, "vb", program(always, &kPass));
  EXPECT_EQ(ping(bed->a, "10.9.0.2", 2), 2);
  bed->b.must("ip link set vb down");
  bed->b.must("ip link set vb up && ip addr replace fd09::2/64 dev vb nodad");
  EXPECT_TRUE(eventually([&] { return ping(bed->a, "10.9.0.2", 1) == 1; }));
  EXPECT_FALSE(attachment->gone());
  const u64 before = attachment->stats().pass;
  EXPECT_EQ(ping(bed->a, "10.9.0.2", 3), 3);
  EXPECT_GE(attachment->stats().pass, before + 3) << "still through the program";
}

TEST_F(XdpLifecycle, AnInterfaceThatIsDownCanBeAttachedTo) {
  const Namespace own, far;
  own.must("ip link add e0 type veth peer name e1 netns /proc/" + std::to_string(::getpid()) + "/fd/" +
           std::to_string(far.fd()) + " && ip addr add 10.8.0.1/24 dev e0");
  far.must("ip addr add 10.8.0.2/24 dev e1 && ip link set e1 up");
  const auto attachment = attach(own, "e0", program(always, &kPass));
  ASSERT_TRUE(attachment);
  own.must("ip link set e0 up");
  EXPECT_TRUE(eventually([&] { return ping(far, "10.8.0.1", 1) == 1; }));
  EXPECT_FALSE(attachment->gone());
  EXPECT_GE(attachment->stats().pass, 1U);
}

TEST_F(XdpLifecycle, ADeletedInterfaceIsGoneAndLeavesNothing) {
  const Namespace own, far;
  const std::string at = "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(far.fd());
  for (const bool down_first : {false, true}) {
    own.must("ip link add e0 type veth peer name e1 netns " + at + " && ip link set e0 up");
    far.must("ip link set e1 up");
    auto attachment = attach(own, "e0", program(always, &kPass));
    EXPECT_FALSE(attachment->gone());
    if (down_first) own.must("ip link set e0 down");
    own.must("ip link del e0");
    EXPECT_TRUE(eventually([&] { return attachment->gone(); }, 3000));
    attachment.reset();
    EXPECT_EQ(leftovers(own), "");
  }
}

TEST_F(XdpLifecycle, ARenamedInterfaceKeepsItsProgram) {
  const auto attachment = attach(bed->b, "vb", program(always, &kDrop));
  const auto rename = [](const std::string& from, const std::string& to) {
    bed->b.must("ip link set " + from + " down && ip link set " + from + " name " + to + " && ip link set " +
                to + " up && ip addr replace fd09::2/64 dev " + to + " nodad");
  };
  rename("vb", "other");
  EXPECT_TRUE(
      eventually([&] { return leftovers(bed->b) != "" && ping(bed->a, "10.9.0.2", 1, "-W 0.1") == 0; }));
  EXPECT_EQ(ping(bed->a, "10.9.0.2", 3, "-W 0.2"), 0) << "dropped as before";
  attachment->set_program(program(always, &kPass));
  EXPECT_TRUE(eventually([&] { return ping(bed->a, "10.9.0.2", 1) == 1; }));
  const u64 before = bed->b.counter("Icmp", "InEchos");
  EXPECT_EQ(ping(bed->a, "10.9.0.2", 5), 5);
  EXPECT_EQ(bed->b.counter("Icmp", "InEchos") - before, 5U) << "once each";
  rename("other", "vb");
  EXPECT_FALSE(attachment->gone());
}

TEST_F(XdpLifecycle, ANewInterfaceOfADeletedOnesNameIsFree) {
  const Namespace own, far;
  const std::string at = "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(far.fd());
  const auto make = [&] {
    own.must("ip link add e0 type veth peer name e1 netns " + at +
             " && ip addr add 10.8.0.1/24 dev e0 && ip link set e0 up");
    far.must("ip addr add 10.8.0.2/24 dev e1 && ip link set e1 up");
  };
  make();
  const auto attachment = attach(own, "e0", program(always, &kDrop));
  EXPECT_EQ(ping(far, "10.8.0.1", 1, "-W 0.2"), 0);
  own.must("ip link del e0");
  make();
  EXPECT_TRUE(eventually([&] { return ping(far, "10.8.0.1", 1) == 1; }));
  EXPECT_TRUE(attachment->gone());
}

}  // namespace
}  // namespace skep::testing
