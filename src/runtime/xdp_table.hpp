// Who has XDP programs on which interface: netlink attachments and bpf_links, modes, the rules and messages
// of dev_xdp_attach() (net/core/dev.c). The hooks move the packets; this table decides and remembers. Not
// thread-safe: UserKernel's lock guards it.
#pragma once
#include "runtime/interface_table.hpp"

namespace skep::runtime {

class XdpTable final : public LinkOwner {
 public:
  explicit XdpTable(InterfaceTable& interfaces) : interfaces_(interfaces) {}

  /// What Kernel::xdp_attach() asks for, its descriptors resolved. IFLA_XDP: attaches `program`, or detaches
  /// if it is null; `expected` with XDP_FLAGS_REPLACE. With `chained`, one of several: EEXIST if it is there
  /// already, EBUSY beside one that was attached alone, E2BIG for more than `most`; detaching takes
  /// `expected` out, ENOENT if it is not there.
  struct Request {
    u32 ifindex = 0;
    u32 flags = 0;
    std::shared_ptr<Program> program{}, expected{};
    bool chained = false;
    u32 priority = 0, chain_call = 0;
  };
  static constexpr std::size_t most = 64;
  Result<void> attach(const Request& request);
  /// BPF_LINK_CREATE: hooks up link->program at link->ifindex with link->flags.
  Result<void> attach_link(Link& link);
  Result<void> update_link(Link& link, const std::shared_ptr<Program>& program);
  void link_gone(Link& link) noexcept override;

  /// Those of the calling thread's network namespace.
  [[nodiscard]] std::vector<XdpAttachment> query();
  void detach_all();
  void detach_all_at(Place place) { remove(place); }
  /// Forgets interfaces that were deleted underneath.
  void sweep();

 private:
  struct Member {
    std::shared_ptr<Program> program;
    u32 priority = 0, chain_call = 0;
  };
  struct Slot {
    XdpMode mode = XdpMode::none;
    std::vector<Member> members;  ///< one, or, `chained`, at least one
    Link* link = nullptr;
    bool chained = false;
  };
  Result<void> check(Place place, XdpMode mode, bool is_link, const Program* next, const Program* expected,
                     u32 flags) const;
  Result<void> install(Place place, Slot slot);
  Result<void> attach_chained(Place place, XdpMode mode, const Request& request);
  void remove(Place place);

  InterfaceTable& interfaces_;
  std::map<Place, Slot> slots_;
};

}  // namespace skep::runtime
