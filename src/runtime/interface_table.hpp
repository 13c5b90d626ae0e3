// Which programs run at which interface: the hooks are opened when the first program comes, get their
// programs anew when one is added or taken away, and are closed with the last. Who may attach what, where and
// in which order is for XdpTable and TcTable to decide. TAP interfaces of our own live here too. Not
// thread-safe: UserKernel's lock guards it.
#pragma once
#include <functional>
#include <map>
#include <memory>

#include "hooks/interface_hook.hpp"
#include "net/tap_port.hpp"
#include "runtime/objects.hpp"

namespace skep::runtime {

/// An interface: indexes are unique within a network namespace only.
struct Place {
  u64 netns = 0;
  u32 ifindex = 0;
  auto operator<=>(const Place&) const = default;
};

class InterfaceTable {
 public:
  using Programs = std::vector<std::shared_ptr<Program>>;
  struct XdpStep {
    std::shared_ptr<Program> program;
    u32 chain_call = 0;  ///< bits 1 << XDP_*: results with which the next one runs
  };
  using XdpSteps = std::vector<XdpStep>;
  struct Environment {
    std::function<RunContext()> run_context;  ///< for another worker
    std::function<hooks::XdpProgram(const Program&)> hook_program;
    net::SettingsJournal journal{};
  };
  explicit InterfaceTable(Environment environment) : environment_(std::move(environment)) {}

  /// In the calling thread's network namespace.
  static Place here(u32 ifindex);
  /// "" if there is none in the calling thread's network namespace.
  static std::string name(u32 ifindex);

  /// The XDP programs of an interface, in order; none: it has none. If this opens a hook, the calling thread
  /// is in the interface's network namespace. Errors are InterfaceHook::open()'s, and leave all as it was.
  Result<void> set_xdp(Place place, XdpSteps steps);
  /// The tcx programs of one side of an interface, in order; EOPNOTSUPP: egress of a TAP of our own.
  Result<void> set_tc(Place place, hooks::TcDirection direction, Programs programs);

  [[nodiscard]] Result<hooks::XdpStats> xdp_stats(Place place) const;
  [[nodiscard]] Result<hooks::TcStats> tc_stats(Place place, hooks::TcDirection direction) const;
  /// The interface was deleted, or left its namespace: nothing runs there any more.
  [[nodiscard]] bool gone(Place place) const;
  /// Gives every worker its Entries anew: statistics were switched on or off.
  void refresh();

  /// A TAP interface in the calling thread's network namespace, kept here.
  Result<u32> add_tap(const std::string& name);
  /// The TAP of that name; ENODEV: none of ours has it here. Its programs are taken away first by the caller.
  Result<Place> find_tap(const std::string& name) const;
  void delete_tap(Place place) { taps_.erase(place); }
  /// Those that somebody deleted underneath.
  [[nodiscard]] std::vector<Place> gone_taps() const;

 private:
  struct Side {
    XdpSteps xdp;
    Programs tc;
    std::unique_ptr<hooks::InterfaceHook> hook;
    [[nodiscard]] bool empty() const { return xdp.empty() && tc.empty(); }
  };
  struct Key {
    Place place;
    hooks::TcDirection direction = hooks::TcDirection::ingress;
    auto operator<=>(const Key&) const = default;
  };
  Result<void> put(const Key& key, XdpSteps xdp, Programs tc);
  Result<std::unique_ptr<hooks::InterfaceHook>> open(const Key& key,
                                                     const hooks::InterfaceHookConfig& config) const;
  [[nodiscard]] hooks::XdpProgram xdp_of(const Side& side) const;
  [[nodiscard]] hooks::TcChain chain_of(const Programs& programs) const;

  Environment environment_;
  std::map<Place, net::TapDevice> taps_;  ///< outlive the hooks on them
  std::map<Key, Side> sides_;
};

}  // namespace skep::runtime
