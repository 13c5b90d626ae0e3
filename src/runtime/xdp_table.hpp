// Who has XDP programs on which interface: netlink attachments and bpf_links, modes, the rules and messages
// of dev_xdp_attach() (net/core/dev.c). The hooks move the packets; this table decides and remembers. Not
// thread-safe: UserKernel's lock guards it.
#pragma once
#include "runtime/interface_table.hpp"

namespace skep::runtime {

class XdpTable final : public LinkOwner {
 public:
  explicit XdpTable(InterfaceTable& interfaces) : interfaces_(interfaces) {}

  /// IFLA_XDP: attaches `program`, or detaches if it is null; `expected` with XDP_FLAGS_REPLACE.
  Result<void> attach(u32 ifindex, const std::shared_ptr<Program>& program,
                      const std::shared_ptr<Program>& expected, u32 flags);
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
  struct Slot {
    XdpMode mode = XdpMode::none;
    std::shared_ptr<Program> program;
    Link* link = nullptr;
  };
  Result<void> check(Place place, XdpMode mode, bool is_link, const Program* next, const Program* expected,
                     u32 flags) const;
  Result<void> install(Place place, XdpMode mode, const std::shared_ptr<Program>& program, Link* link);
  void remove(Place place);

  InterfaceTable& interfaces_;
  std::map<Place, Slot> slots_;
};

}  // namespace skep::runtime
