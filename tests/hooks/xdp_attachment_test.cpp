// XDP verdicts on a real interface, with real traffic against the kernel's own stack.
#include "hooks/xdp_attachment.hpp"

#include <gtest/gtest.h>

#include "hooks/programs.hpp"
#include "net/testbed.hpp"

namespace skep::testing {
namespace {

class XdpAttachmentOnVeth : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (why_no_namespaces().empty()) bed = std::make_unique<Testbed>();
  }
  static void TearDownTestSuite() { bed.reset(); }
  void SetUp() override { SKIP_WITHOUT_NAMESPACES(); }

  static std::unique_ptr<hooks::XdpAttachment> attach(const Namespace& ns, const std::string& name,
                                                      const hooks::XdpProgram& program,
                                                      TraceSink* trace = nullptr) {
    std::unique_ptr<hooks::XdpAttachment> made;
    const u32 ifindex = ns.ifindex(name);
    ns.inside([&] {
      hooks::XdpConfig config;
      config.program = program;
      config.run.trace = trace;
      auto opened = hooks::XdpAttachment::open(ifindex, config);
      ASSERT_TRUE(opened.has_value()) << opened.error().what;
      made = std::move(*opened);
    });
    return made;
  }
  inline static std::unique_ptr<Testbed> bed;
};

TEST_F(XdpAttachmentOnVeth, PassReachesTheStackOnce) {
  const auto attachment = attach(bed->b, "vb", program(always, &kPass));
  ASSERT_TRUE(attachment);
  const u64 before = bed->b.counter("Icmp", "InEchos");
  EXPECT_EQ(ping(bed->a, "10.9.0.2", 10), 10);
  EXPECT_EQ(bed->b.counter("Icmp", "InEchos") - before, 10);
  EXPECT_EQ(ping(bed->a, "fd09::2", 5), 5);
  const auto stats = attachment->stats();
  EXPECT_GE(stats.pass, 15U);
  EXPECT_EQ(stats.rx, stats.pass);
  EXPECT_EQ(stats.pass_errors + stats.rx_dropped, 0U);
}

}  // namespace
}  // namespace skep::testing
