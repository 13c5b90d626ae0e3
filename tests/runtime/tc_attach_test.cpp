// tcx programs on interfaces through UserKernel: attachments and links in one chain, and that packets see
// them. Needs namespaces of its own.
#include "kernel_contract/contract.hpp"
#include "net/testbed.hpp"
#include "runtime/user_kernel.hpp"

namespace skep::runtime {
namespace {

using contract::error_of;
using skep::testing::ping;

constexpr s32 tcx_next = -1, tcx_pass = 0, tcx_drop = 2;

class TcAttachments : public ::testing::Test {
 protected:
  void SetUp() override {
    SKIP_WITHOUT_NAMESPACES();
    bed_ = std::make_unique<skep::testing::Testbed>();
    kernel_ = *UserKernel::create({});
    index_ = bed_->b.ifindex("vb");
    next_ = load(tcx_next, "next");
    pass_ = load(tcx_pass, "pass");
    drop_ = load(tcx_drop, "drop");
    if (!next_) GTEST_SKIP() << "sched_cls programs cannot be loaded: " << why_;
  }
  Handle load(s32 result, const std::string& name, ProgType type = ProgType::sched_cls) {
    ProgramSpec spec;
    spec.type = type;
    spec.name = name;
    spec.license = "GPL";
    spec.insns = contract::code::program(contract::code::mov(0, result), contract::code::exit());
    auto loaded = kernel_->prog_load(spec);
    if (!loaded) why_ = loaded.error().what;
    return loaded ? std::move(*loaded) : Handle{};
  }
  int attach(const Handle& prog, u32 flags = 0, AttachType side = AttachType::tcx_ingress) {
    int code = 0;
    bed_->b.inside([&] {
      ProgAttach attach;
      attach.prog_fd = prog.fd();
      attach.target_ifindex = index_;
      attach.attach_type = side;
      attach.flags = flags;
      code = error_of(kernel_->prog_attach(attach));
    });
    return code;
  }
  int detach(const Handle* prog = nullptr, AttachType side = AttachType::tcx_ingress) {
    int code = 0;
    bed_->b.inside([&] {
      ProgAttach detach;
      if (prog != nullptr) detach.prog_fd = prog->fd();
      detach.target_ifindex = index_;
      detach.attach_type = side;
      code = error_of(kernel_->prog_detach(detach));
    });
    return code;
  }
  Result<Handle> link(const Handle& prog, u32 flags = 0, int relative = -1) {
    Result<Handle> made = fail(EINVAL, "not run");
    bed_->b.inside([&] {
      LinkSpec spec;
      spec.prog_fd = prog.fd();
      spec.target_ifindex = index_;
      spec.attach_type = AttachType::tcx_ingress;
      spec.flags = flags;
      spec.relative_fd = relative;
      made = kernel_->link_create(spec);
    });
    return made;
  }
  /// The names of the chain, in order.
  std::string chain(AttachType side = AttachType::tcx_ingress) {
    std::string names;
    bed_->b.inside([&] {
      const auto found = kernel_->prog_query({.target_ifindex = index_, .attach_type = side});
      ASSERT_TRUE(found) << found.error().what;
      for (const u32 id : found->prog_ids) {
        const auto prog = kernel_->get_fd_by_id(ObjectKind::prog, id);
        names += kernel_->prog_info(prog->fd())->name + " ";
      }
    });
    return names;
  }
  bool reachable() { return ping(bed_->a, "10.9.0.2", 3) > 0; }

  std::unique_ptr<skep::testing::Testbed> bed_;
  std::unique_ptr<UserKernel> kernel_;
  Handle next_, pass_, drop_;
  u32 index_ = 0;
  std::string why_;
};

TEST_F(TcAttachments, PacketsGoThroughTheChain) {
  EXPECT_EQ(attach(next_), 0);
  EXPECT_TRUE(reachable());
  EXPECT_EQ(attach(drop_), 0);
  EXPECT_FALSE(reachable());
  EXPECT_EQ(attach(pass_, uapi::F_BEFORE), 0);
  EXPECT_EQ(chain(), "pass next drop ");
  EXPECT_TRUE(reachable());
  EXPECT_EQ(detach(&pass_), 0);
  EXPECT_FALSE(reachable());
  EXPECT_EQ(detach(), 0);
  EXPECT_EQ(chain(), "next ");
  EXPECT_TRUE(reachable());
  EXPECT_EQ(detach(), 0);
  EXPECT_EQ(detach(), ENOENT);
  EXPECT_EQ(bed_->b.run("nft list tables").text, "");
}

TEST_F(TcAttachments, EgressIsASideOfItsOwn) {
  EXPECT_EQ(attach(drop_, 0, AttachType::tcx_egress), 0);
  EXPECT_FALSE(reachable());
  EXPECT_EQ(chain(), "");
  EXPECT_EQ(chain(AttachType::tcx_egress), "drop ");
  std::vector<TcAttachment> list;
  bed_->b.inside([&] { list = *kernel_->tc_query(); });
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0].kind, "tcx/egress");
  EXPECT_EQ(list[0].ifname, "vb");
  EXPECT_EQ(list[0].link_id, 0u);
  EXPECT_EQ(detach(nullptr, AttachType::tcx_egress), 0);
  EXPECT_TRUE(reachable());
}

TEST_F(TcAttachments, LinksStandInTheChainWhileTheyLive) {
  auto first = link(drop_);
  ASSERT_TRUE(first) << first.error().what;
  EXPECT_FALSE(reachable());
  EXPECT_EQ(detach(), EBUSY) << "what a link attached, the link detaches";
  auto before = link(pass_, uapi::F_BEFORE | uapi::F_LINK, first->fd());
  ASSERT_TRUE(before) << before.error().what;
  EXPECT_EQ(chain(), "pass drop ");
  EXPECT_TRUE(reachable());
  const auto info = kernel_->link_info(before->fd());
  ASSERT_TRUE(info);
  EXPECT_EQ(info->type, LinkType::tcx);
  EXPECT_EQ(info->attach_type, AttachType::tcx_ingress);
  EXPECT_EQ(info->ifindex, index_);
  ASSERT_TRUE(kernel_->link_update(before->fd(), {.new_prog_fd = next_.fd()}));
  EXPECT_EQ(chain(), "next drop ");
  EXPECT_FALSE(reachable());
  first->reset();
  EXPECT_EQ(chain(), "next ");
  EXPECT_TRUE(reachable());
  ASSERT_TRUE(kernel_->link_detach(before->fd()));
  EXPECT_EQ(chain(), "");
  EXPECT_EQ(kernel_->link_info(before->fd())->ifindex, 0u) << "an empty shell";
  EXPECT_EQ(error_of(kernel_->link_update(before->fd(), {.new_prog_fd = pass_.fd()})), ENOLINK);
}

TEST_F(TcAttachments, WhatDoesNotFitIsRefused) {
  const Handle xdp = load(2, "xdp", ProgType::xdp);
  EXPECT_EQ(attach(xdp), EINVAL);
  EXPECT_EQ(attach(next_, 64), EINVAL);
  EXPECT_EQ(attach(next_, 0, AttachType::cgroup_inet_ingress), EOPNOTSUPP);
  const u32 real = std::exchange(index_, 4711);
  EXPECT_EQ(attach(next_), ENODEV);
  EXPECT_EQ(error_of(link(next_)), ENODEV);
  index_ = real;
  EXPECT_EQ(chain(), "");
}

TEST_F(TcAttachments, DeletedInterfacesAreForgotten) {
  auto held = link(next_);
  ASSERT_TRUE(held);
  EXPECT_EQ(attach(drop_, 0, AttachType::tcx_egress), 0);
  bed_->b.must("ip link delete vb");
  EXPECT_TRUE(skep::testing::eventually([&] { return kernel_->link_info(held->fd())->ifindex == 0; }));
  std::vector<TcAttachment> list;
  bed_->b.inside([&] { list = *kernel_->tc_query(); });
  EXPECT_TRUE(list.empty());
}

}  // namespace
}  // namespace skep::runtime
