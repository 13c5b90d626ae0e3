// Who has XDP programs on which interface: netlink attachments and bpf_links, modes, the rules and messages
// of dev_xdp_attach() (net/core/dev.c). The hooks move the packets; this table decides and remembers. Not
// thread-safe: UserKernel's lock guards it.
#pragma once
#include <functional>
#include <map>
#include <memory>

#include "hooks/xdp_attachment.hpp"
#include "net/tap_port.hpp"
#include "runtime/objects.hpp"

namespace skep::runtime {

class XdpTable final : public LinkOwner {
 public:
  /// `config_of` makes what a worker on an interface starts with.
  explicit XdpTable(std::function<hooks::XdpConfig(const Program&)> config_of)
      : config_of_(std::move(config_of)) {}

  /// IFLA_XDP: attaches `program`, or detaches if it is null; `expected` with XDP_FLAGS_REPLACE.
  Result<void> attach(u32 ifindex, const std::shared_ptr<Program>& program,
                      const std::shared_ptr<Program>& expected, u32 flags);
  /// BPF_LINK_CREATE: hooks up link->program at link->ifindex with link->flags.
  Result<void> attach_link(Link& link);
  Result<void> update_link(Link& link, const std::shared_ptr<Program>& program);
  void link_gone(Link& link) noexcept override;

  /// Those of the calling thread's network namespace.
  [[nodiscard]] std::vector<XdpAttachment> query();
  [[nodiscard]] Result<hooks::XdpStats> stats(u32 ifindex) const;
  /// Gives every program's worker its Entry anew: statistics were switched on or off.
  void refresh();
  void detach_all();
  /// A TAP interface in the calling thread's network namespace, kept here; programs attached to it see what
  /// the host sends into it.
  Result<u32> add_tap(const std::string& name);
  /// Detaches its program, and the interface is gone. ENODEV: none of ours has this name here.
  Result<void> delete_tap(const std::string& name);
  /// Forgets interfaces that were deleted underneath.
  void sweep();

 private:
  /// An interface: indexes are unique within a network namespace only.
  struct Place {
    u64 netns = 0;
    u32 ifindex = 0;
    auto operator<=>(const Place&) const = default;
  };
  /// In the calling thread's network namespace.
  static Place here(u32 ifindex);
  struct Slot {
    XdpMode mode = XdpMode::none;
    std::shared_ptr<Program> program;
    Link* link = nullptr;
    std::unique_ptr<hooks::XdpAttachment> hook;
  };
  Result<void> check(Place place, XdpMode mode, bool is_link, const Program* next, const Program* expected,
                     u32 flags) const;
  Result<void> install(Place place, XdpMode mode, const std::shared_ptr<Program>& program, Link* link);
  void remove(Place place);

  std::function<hooks::XdpConfig(const Program&)> config_of_;
  std::map<Place, net::TapDevice> taps_;  ///< outlive the hooks on them
  std::map<Place, Slot> slots_;
};

}  // namespace skep::runtime
