// See xdp_table.hpp.
#include "runtime/xdp_table.hpp"

#include <fmt/format.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>

#include "base/fd.hpp"

namespace skep::runtime {
namespace {

constexpr u32 mode_flags = uapi::XDP_FLAGS_SKB_MODE | uapi::XDP_FLAGS_DRV_MODE | uapi::XDP_FLAGS_HW_MODE;
constexpr u32 known_flags = mode_flags | uapi::XDP_FLAGS_UPDATE_IF_NOEXIST | uapi::XDP_FLAGS_REPLACE;

/// Whether the kernel's driver of the interface runs XDP itself. skep's hook is the same for all, but modes
/// are shown and refused as the kernel would. Asked by ioctl: sysfs shows the interfaces of whoever mounted
/// it.
bool has_native_xdp(u32 ifindex) {
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const std::string name = InterfaceTable::name(ifindex);
  ifreq request{};
  std::memcpy(request.ifr_name, name.data(), std::min(name.size(), sizeof request.ifr_name - 1));
  if (::ioctl(socket.get(), SIOCGIFHWADDR, &request) == 0 && request.ifr_hwaddr.sa_family == ARPHRD_LOOPBACK)
    return false;
  ethtool_drvinfo driver{};
  driver.cmd = ETHTOOL_GDRVINFO;
  request.ifr_data = reinterpret_cast<char*>(&driver);
  if (::ioctl(socket.get(), SIOCETHTOOL, &request) != 0) return false;  // no driver worth a name
  for (const std::string_view without :
       {"bridge", "dummy", "vxlan", "macvlan", "ipvlan", "802.1Q VLAN Support"})
    if (without == driver.driver) return false;
  return true;
}

/// dev_xdp_mode()
XdpMode mode_of(u32 ifindex, u32 flags) {
  if ((flags & uapi::XDP_FLAGS_HW_MODE) != 0) return XdpMode::offload;
  if ((flags & uapi::XDP_FLAGS_DRV_MODE) != 0) return XdpMode::driver;
  if ((flags & uapi::XDP_FLAGS_SKB_MODE) != 0) return XdpMode::generic;
  return has_native_xdp(ifindex) ? XdpMode::driver : XdpMode::generic;
}

}  // namespace

Result<void> XdpTable::check(Place place, XdpMode mode, bool is_link, const Program* next,
                             const Program* expected, u32 flags) const {
  if (std::popcount(flags & mode_flags) > 1) return fail(EINVAL, "Only one XDP mode flag can be set");
  if (expected != nullptr && (flags & uapi::XDP_FLAGS_REPLACE) == 0)
    return fail(EINVAL, "XDP_FLAGS_REPLACE is not specified");
  const auto it = slots_.find(place);
  const Slot* slot = it != slots_.end() ? &it->second : nullptr;
  const bool same_mode = slot != nullptr && slot->mode == mode;
  if (same_mode && slot->link != nullptr) return fail(EBUSY, "Can't replace active BPF XDP link");
  const Program* current = same_mode ? slot->members.front().program.get() : nullptr;
  if (is_link && current != nullptr) return fail(EBUSY, "Can't replace active XDP program with BPF link");
  if ((flags & uapi::XDP_FLAGS_REPLACE) != 0 && current != expected)
    return fail(EEXIST, "Active program does not match expected");
  if (next == nullptr) return {};
  if ((flags & uapi::XDP_FLAGS_UPDATE_IF_NOEXIST) != 0 && current != nullptr)
    return fail(EBUSY, "XDP program already attached");
  if (mode == XdpMode::offload) return fail(EINVAL, "Programs are not offloaded to devices by skep");
  if (slot != nullptr && !same_mode)
    return fail(EEXIST, "Native and generic XDP can't be active at the same time");
  if (next->expected_attach_type == AttachType::xdp_devmap)
    return fail(EINVAL, "BPF_XDP_DEVMAP programs can not be attached to a device");
  if (next->expected_attach_type == AttachType::xdp_cpumap)
    return fail(EINVAL, "BPF_XDP_CPUMAP programs can not be attached to a device");
  if (mode == XdpMode::driver && !has_native_xdp(place.ifindex))
    return fail(EOPNOTSUPP, "Underlying driver does not support XDP in native mode");
  return {};
}

Result<void> XdpTable::install(Place place, Slot slot) {
  InterfaceTable::XdpSteps steps;
  for (const Member& member : slot.members)
    steps.push_back({member.program, slot.chained ? member.chain_call : 0});
  TRY(interfaces_.set_xdp(place, std::move(steps)));
  slots_.insert_or_assign(place, std::move(slot));
  return {};
}

/// libxdp's xdp_program__attach_multi(), without a dispatcher: the order is by priority, then by name
/// (cmp_xdp_programs()), then by age.
Result<void> XdpTable::attach_chained(Place place, XdpMode mode, const Request& request) {
  const auto it = slots_.find(place);
  const bool there = it != slots_.end() && it->second.mode == mode;
  Slot changed = there && it->second.chained ? it->second : Slot{mode, {}, nullptr, true};
  auto& members = changed.members;
  const auto same = [&](const Member& member) {
    return member.program == (request.program != nullptr ? request.program : request.expected);
  };
  const auto found = std::ranges::find_if(members, same);
  if (request.program == nullptr) {
    if (request.expected == nullptr) return fail(EINVAL, "which of the programs is to be detached?");
    if (found == members.end())
      return fail(ENOENT, fmt::format("Program {} is not one of the interface's", request.expected->id));
    members.erase(found);
    if (!members.empty()) return install(place, std::move(changed));
    remove(place);
    return {};
  }
  // One that was attached alone stays alone.
  const u32 alone = there && !it->second.chained ? uapi::XDP_FLAGS_UPDATE_IF_NOEXIST : 0u;
  TRY(check(place, mode, false, request.program.get(), nullptr, alone));
  if (found != members.end()) return fail(EEXIST, "Program is already one of the interface's");
  if (members.size() == most) return fail(E2BIG, fmt::format("An interface has at most {} programs", most));
  const auto later = [&](const Member& member) {
    return std::pair(member.priority, std::string_view(member.program->name)) >
           std::pair(request.priority, std::string_view(request.program->name));
  };
  members.insert(std::ranges::find_if(members, later),
                 {request.program, request.priority, request.chain_call});
  return install(place, std::move(changed));
}

void XdpTable::remove(Place place) {
  const auto it = slots_.find(place);
  if (it == slots_.end()) return;
  (void)interfaces_.set_xdp(place, {});
  if (it->second.link != nullptr) it->second.link->ifindex = 0;
  slots_.erase(it);
}

Result<void> XdpTable::attach(const Request& request) {
  const auto& [ifindex, flags, program, expected, chained, priority, chain_call] = request;
  sweep();
  if (InterfaceTable::name(ifindex).empty())
    return fail(ENODEV, fmt::format("there is no interface {}", ifindex));
  if ((flags & ~known_flags) != 0) return fail(EINVAL, fmt::format("XDP flags {:#x}", flags));
  const XdpMode mode = mode_of(ifindex, flags);
  if (chained) return attach_chained(InterfaceTable::here(ifindex), mode, request);
  if (auto ok = check(InterfaceTable::here(ifindex), mode, false, program.get(), expected.get(), flags); !ok)
    return ok;
  if (program != nullptr) return install(InterfaceTable::here(ifindex), {mode, {{program}}, nullptr, false});
  const auto it = slots_.find(InterfaceTable::here(ifindex));
  if (it != slots_.end() && it->second.mode == mode) remove(it->first);
  return {};
}

Result<void> XdpTable::attach_link(Link& link) {
  sweep();
  if (InterfaceTable::name(link.ifindex).empty())
    return fail(EINVAL, fmt::format("there is no interface {}", link.ifindex));
  if ((link.flags & ~mode_flags) != 0) return fail(EINVAL, "Invalid XDP flags for BPF link attachment");
  const XdpMode mode = mode_of(link.ifindex, link.flags);
  const Place place = InterfaceTable::here(link.ifindex);
  link.netns = place.netns;
  if (auto ok = check(place, mode, true, link.program.get(), nullptr, link.flags); !ok) return ok;
  return install(place, {mode, {{link.program}}, &link, false});
}

Result<void> XdpTable::update_link(Link& link, const std::shared_ptr<Program>& program) {
  sweep();
  const auto it = slots_.find(Place{link.netns, link.ifindex});
  if (it == slots_.end() || it->second.link != &link) return fail(ENOLINK, "the link is detached");
  return install(it->first, {it->second.mode, {{program}}, &link, false});
}

void XdpTable::link_gone(Link& link) noexcept {
  const auto it = slots_.find(Place{link.netns, link.ifindex});
  if (it != slots_.end() && it->second.link == &link) remove(it->first);
}

std::vector<XdpAttachment> XdpTable::query() {
  sweep();
  std::vector<XdpAttachment> attachments;
  const u64 netns = InterfaceTable::here(0).netns;
  for (const auto& [place, slot] : slots_) {
    if (place.netns != netns) continue;
    XdpAttachment attachment;
    attachment.ifindex = place.ifindex;
    attachment.ifname = InterfaceTable::name(place.ifindex);
    attachment.mode = slot.mode;
    attachment.prog_id = slot.members.front().program->id;
    (slot.mode == XdpMode::driver ? attachment.drv_prog_id : attachment.skb_prog_id) = attachment.prog_id;
    for (const Member& member : slot.chained ? slot.members : std::vector<Member>())
      attachment.chain.push_back({member.program->id, member.priority, member.chain_call});
    attachments.push_back(std::move(attachment));
  }
  return attachments;
}

void XdpTable::detach_all() {
  while (!slots_.empty()) remove(slots_.begin()->first);
}

void XdpTable::sweep() {
  std::vector<Place> gone;
  for (const auto& [place, slot] : slots_)
    if (interfaces_.gone(place)) gone.push_back(place);
  for (const Place place : gone) remove(place);
}

}  // namespace skep::runtime
