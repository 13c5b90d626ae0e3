// See interface_table.hpp.
#include "runtime/interface_table.hpp"

#include <fmt/format.h>
#include <net/if.h>
#include <sys/stat.h>

#include <array>

namespace skep::runtime {

using hooks::TcDirection;

Place InterfaceTable::here(u32 ifindex) {
  struct stat info{};
  if (::stat("/proc/thread-self/ns/net", &info) < 0)
    return {0, ifindex};  // no /proc: one namespace is all we see
  return {info.st_ino, ifindex};
}

std::string InterfaceTable::name(u32 ifindex) {
  std::array<char, IF_NAMESIZE> text{};
  return ::if_indextoname(ifindex, text.data()) != nullptr ? text.data() : "";
}

hooks::XdpProgram InterfaceTable::xdp_of(const Side& side) const {
  if (side.xdp.empty()) return {};
  const auto step = [this](const XdpStep& of) {
    hooks::XdpProgram program = environment_.hook_program(*of.program);
    program.chain_call = of.chain_call;
    return program;
  };
  hooks::XdpProgram first = step(side.xdp.front());
  for (const XdpStep& of : std::span(side.xdp).subspan(1)) first.next.push_back(step(of));
  return first;
}

hooks::TcChain InterfaceTable::chain_of(const Programs& programs) const {
  hooks::TcChain chain;
  for (const auto& program : programs) chain.push_back(environment_.hook_program(*program).entry);
  return chain;
}

Result<std::unique_ptr<hooks::InterfaceHook>> InterfaceTable::open(
    const Key& key, const hooks::InterfaceHookConfig& config) const {
  const auto tap = taps_.find(key.place);
  if (tap == taps_.end()) return hooks::InterfaceHook::open(key.place.ifindex, config);
  if (key.direction == TcDirection::egress)
    return fail(EOPNOTSUPP, fmt::format("{}: what the host sends into a TAP of skep's own is received there: "
                                        "tcx_ingress has it",
                                        tap->second.name()));
  return hooks::InterfaceHook::open(TRY(tap->second.open_port()), config);
}

Result<void> InterfaceTable::put(const Key& key, XdpSteps xdp, Programs tc) {
  Side fresh{std::move(xdp), std::move(tc), nullptr};
  const auto it = sides_.find(key);
  if (fresh.empty()) {
    if (it == sides_.end()) return {};
    it->second.hook.reset();  // before the programs may go
    sides_.erase(it);
    return {};
  }
  if (it == sides_.end()) {
    hooks::InterfaceHookConfig config;
    config.run = environment_.run_context();
    config.program = xdp_of(fresh);
    config.tc = chain_of(fresh.tc);
    config.direction = key.direction;
    config.journal = environment_.journal;
    fresh.hook = TRY(open(key, config));
    sides_.emplace(key, std::move(fresh));
    return {};
  }
  it->second.hook->set_programs(xdp_of(fresh), chain_of(fresh.tc));
  fresh.hook = std::move(it->second.hook);
  it->second = std::move(fresh);  // the old ones run nowhere any more
  return {};
}

Result<void> InterfaceTable::set_xdp(Place place, XdpSteps steps) {
  const Key key{place, TcDirection::ingress};
  const auto it = sides_.find(key);
  return put(key, std::move(steps), it != sides_.end() ? it->second.tc : Programs{});
}

Result<void> InterfaceTable::set_tc(Place place, TcDirection direction, Programs programs) {
  const Key key{place, direction};
  const auto it = sides_.find(key);
  return put(key, it != sides_.end() ? it->second.xdp : XdpSteps{}, std::move(programs));
}

Result<hooks::XdpStats> InterfaceTable::xdp_stats(Place place) const {
  const auto it = sides_.find({place, TcDirection::ingress});
  if (it == sides_.end() || it->second.xdp.empty())
    return fail(ENOENT, fmt::format("no XDP program at interface {}", place.ifindex));
  return it->second.hook->stats();
}

Result<hooks::TcStats> InterfaceTable::tc_stats(Place place, TcDirection direction) const {
  const auto it = sides_.find({place, direction});
  if (it == sides_.end() || it->second.tc.empty())
    return fail(ENOENT, fmt::format("no tc program at interface {}", place.ifindex));
  return it->second.hook->tc_stats();
}

bool InterfaceTable::gone(Place place) const {
  for (const auto direction : {TcDirection::ingress, TcDirection::egress})
    if (const auto it = sides_.find({place, direction}); it != sides_.end() && it->second.hook->gone())
      return true;
  return false;
}

void InterfaceTable::refresh() {
  for (auto& [key, side] : sides_) side.hook->set_programs(xdp_of(side), chain_of(side.tc));
}

Result<u32> InterfaceTable::add_tap(const std::string& name) {
  auto tap = TRY(net::TapDevice::create(name));
  const u32 ifindex = tap.ifindex();
  taps_.insert_or_assign(here(ifindex), std::move(tap));
  return ifindex;
}

Result<Place> InterfaceTable::find_tap(const std::string& name) const {
  const auto tap = taps_.find(here(::if_nametoindex(name.c_str())));
  if (tap == taps_.end()) return fail(ENODEV, fmt::format("{}: skep made no interface of this name", name));
  return tap->first;
}

std::vector<Place> InterfaceTable::gone_taps() const {
  std::vector<Place> gone;
  for (const auto& [place, tap] : taps_)
    if (tap.gone()) gone.push_back(place);
  return gone;
}

}  // namespace skep::runtime
