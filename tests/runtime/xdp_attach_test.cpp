// XDP programs on interfaces through UserKernel: the rules of netlink attachments and links, and that packets
// see the program. Needs namespaces of its own.
#include "kernel_contract/contract.hpp"
#include "net/testbed.hpp"
#include "runtime/user_kernel.hpp"

namespace skep::runtime {
namespace {

using contract::error_of;
using skep::testing::ping;

class XdpAttachments : public ::testing::Test {
 protected:
  void SetUp() override {
    SKIP_WITHOUT_NAMESPACES();
    bed_ = std::make_unique<skep::testing::Testbed>();
    kernel_ = *UserKernel::create({});
    pass_ = load(2);
    drop_ = load(1);
    index_ = bed_->b.ifindex("vb");
  }
  Handle load(s32 verdict) {
    ProgramSpec spec;
    spec.type = ProgType::xdp;
    spec.name = verdict == 2 ? "pass" : "drop";
    spec.license = "GPL";
    spec.insns = contract::code::program(contract::code::mov(0, verdict), contract::code::exit());
    return *kernel_->prog_load(spec);
  }
  int attach(const Handle* prog, u32 flags = 0, const Handle* expected = nullptr, u32 ifindex = 0) {
    int code = 0;
    bed_->b.inside([&] {
      const auto done =
          kernel_->xdp_attach({ifindex != 0 ? ifindex : index_, prog != nullptr ? prog->fd() : -1, flags,
                               expected != nullptr ? expected->fd() : -1});
      code = error_of(done);
      if (!done) why_ = done.error().what;
    });
    return code;
  }
  Result<Handle> link(const Handle& prog, u32 flags = 0) {
    Result<Handle> made = fail(EINVAL, "not run");
    bed_->b.inside([&] {
      LinkSpec spec;
      spec.prog_fd = prog.fd();
      spec.target_ifindex = index_;
      spec.attach_type = AttachType::xdp;
      spec.flags = flags;
      made = kernel_->link_create(spec);
    });
    return made;
  }
  std::vector<XdpAttachment> query() {
    std::vector<XdpAttachment> all;
    bed_->b.inside([&] { all = *kernel_->xdp_query(); });
    return all;
  }
  u32 id_of(const Handle& prog) { return kernel_->prog_info(prog.fd())->id; }
  bool reachable() { return ping(bed_->a, "10.9.0.2", 3) > 0; }

  std::unique_ptr<skep::testing::Testbed> bed_;
  std::unique_ptr<UserKernel> kernel_;
  Handle pass_, drop_;
  u32 index_ = 0;
  std::string why_;
};

TEST_F(XdpAttachments, PacketsSeeTheProgramUntilItIsDetached) {
  ASSERT_EQ(attach(&pass_), 0) << why_;
  const auto seen = query();
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].ifname, "vb");
  EXPECT_EQ(seen[0].mode, XdpMode::driver);
  EXPECT_EQ(seen[0].prog_id, id_of(pass_));
  EXPECT_TRUE(reachable());
  ASSERT_EQ(attach(&drop_), 0) << why_;
  EXPECT_EQ(query()[0].prog_id, id_of(drop_));
  EXPECT_FALSE(reachable());
  ASSERT_EQ(attach(nullptr), 0) << why_;
  EXPECT_TRUE(query().empty());
  EXPECT_TRUE(reachable());
  EXPECT_EQ(attach(nullptr), 0) << "detaching nothing";
}

TEST_F(XdpAttachments, FlagsAndModesAreRefusedAsTheKernelDoes) {
  using namespace uapi;
  EXPECT_EQ(attach(&pass_, XDP_FLAGS_SKB_MODE | XDP_FLAGS_DRV_MODE), EINVAL);
  EXPECT_EQ(attach(&pass_, XDP_FLAGS_HW_MODE), EINVAL);
  EXPECT_EQ(attach(&pass_, 1u << 9), EINVAL);
  EXPECT_EQ(attach(&pass_, 0, nullptr, 999999), ENODEV);
  ASSERT_EQ(attach(&pass_, XDP_FLAGS_UPDATE_IF_NOEXIST), 0) << why_;
  EXPECT_EQ(attach(&drop_, XDP_FLAGS_UPDATE_IF_NOEXIST), EBUSY);
  EXPECT_EQ(why_, "XDP program already attached");
  EXPECT_EQ(attach(&drop_, XDP_FLAGS_SKB_MODE), EEXIST);
  EXPECT_EQ(why_, "Native and generic XDP can't be active at the same time");
  EXPECT_EQ(attach(nullptr, XDP_FLAGS_SKB_MODE), 0) << "nothing in that mode";
  EXPECT_EQ(query().size(), 1u);
  EXPECT_EQ(attach(&drop_, 0, &pass_), EINVAL) << "expected without REPLACE";
  EXPECT_EQ(attach(&drop_, XDP_FLAGS_REPLACE, &drop_), EEXIST);
  EXPECT_EQ(attach(&drop_, XDP_FLAGS_REPLACE, &pass_), 0) << why_;
  EXPECT_EQ(attach(nullptr), 0);
  ASSERT_EQ(attach(&pass_, XDP_FLAGS_SKB_MODE), 0) << why_;
  EXPECT_EQ(query()[0].mode, XdpMode::generic);
  EXPECT_EQ(attach(&pass_, XDP_FLAGS_DRV_MODE), EEXIST);
}

TEST_F(XdpAttachments, LinksHoldTheInterfaceUntilTheyGo) {
  auto held = link(pass_);
  ASSERT_TRUE(held.has_value()) << held.error().what;
  const auto info = kernel_->link_info(held->fd());
  ASSERT_TRUE(info.has_value());
  EXPECT_EQ(info->type, LinkType::xdp);
  EXPECT_EQ(info->prog_id, id_of(pass_));
  EXPECT_EQ(info->ifindex, index_);
  EXPECT_EQ(*kernel_->get_next_id(ObjectKind::link, 0), info->id);
  EXPECT_EQ(attach(&drop_), EBUSY);
  EXPECT_EQ(attach(nullptr), EBUSY);
  EXPECT_EQ(error_of(link(drop_)), EBUSY);
  EXPECT_EQ(error_of(kernel_->link_update(held->fd(), {drop_.fd(), 4, drop_.fd()})), EPERM);
  ASSERT_EQ(error_of(kernel_->link_update(held->fd(), {drop_.fd(), 4, pass_.fd()})), 0);
  EXPECT_FALSE(reachable());
  held->reset();
  EXPECT_TRUE(query().empty());
  EXPECT_EQ(error_of(kernel_->get_next_id(ObjectKind::link, 0)), ENOENT);
  EXPECT_TRUE(reachable());
}

TEST_F(XdpAttachments, DetachedLinksStayAsEmptyShells) {
  auto held = link(pass_, uapi::XDP_FLAGS_SKB_MODE);
  ASSERT_TRUE(held.has_value()) << held.error().what;
  EXPECT_EQ(query()[0].mode, XdpMode::generic);
  ASSERT_EQ(error_of(kernel_->link_detach(held->fd())), 0);
  EXPECT_TRUE(query().empty());
  EXPECT_EQ(kernel_->link_info(held->fd())->ifindex, 0u);
  EXPECT_EQ(error_of(kernel_->link_update(held->fd(), {drop_.fd(), 0, -1})), ENOLINK);
  EXPECT_EQ(attach(&drop_), 0) << why_;
}

TEST_F(XdpAttachments, ProgramsLiveWhileTheyAreAttached) {
  const u32 id = id_of(pass_);
  ASSERT_EQ(attach(&pass_), 0) << why_;
  pass_.reset();
  EXPECT_EQ(error_of(kernel_->get_fd_by_id(ObjectKind::prog, id)), 0);
  ASSERT_EQ(attach(nullptr), 0);
  EXPECT_EQ(error_of(kernel_->get_fd_by_id(ObjectKind::prog, id)), ENOENT);
}

TEST_F(XdpAttachments, StatisticsCountPackets) {
  ASSERT_EQ(attach(&pass_), 0) << why_;
  ASSERT_EQ(error_of(kernel_->set_stats_enabled(true)), 0);
  EXPECT_TRUE(reachable());
  EXPECT_GT(kernel_->prog_info(pass_.fd())->run_cnt, 0u);
  EXPECT_GT(kernel_->xdp_stats(index_)->pass, 0u);
  EXPECT_EQ(error_of(kernel_->xdp_stats(index_ + 1000)), ENOENT);
}

TEST_F(XdpAttachments, DeletedInterfacesAreForgotten) {
  const auto held = link(pass_);
  ASSERT_TRUE(held.has_value()) << held.error().what;
  bed_->b.must("ip link del vb");
  EXPECT_TRUE(skep::testing::eventually([&] { return query().empty(); }));
  EXPECT_EQ(kernel_->link_info(held->fd())->ifindex, 0u);
}

}  // namespace
}  // namespace skep::runtime
