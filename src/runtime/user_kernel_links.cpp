// Attachments of UserKernel: bpf_links and netlink's XDP (link_create() and its siblings of
// kernel/bpf/syscall.c, dev_change_xdp_fd()).
#include <fmt/format.h>

#include "runtime/user_kernel.hpp"

namespace skep::runtime {
namespace {

constexpr u32 replace_flag = 4;  ///< BPF_F_REPLACE

}  // namespace

Result<Handle> UserKernel::link_create(const LinkSpec& spec) {
  const Lock lock(mutex_);
  sweep();
  auto held = TRY(fds_.get<Program>(spec.prog_fd, ObjectKind::prog));
  if (spec.attach_type != AttachType::xdp)
    return fail(EOPNOTSUPP, fmt::format("links of type {} are not supported by skep",
                                        attach_type_name(spec.attach_type)));
  if (held->type != ProgType::xdp) return fail(EINVAL, "the program is not an XDP program");
  auto link = std::make_shared<Link>(xdp_);
  link->type = LinkType::xdp;
  link->program = std::move(held);
  link->ifindex = spec.target_ifindex;
  link->flags = spec.flags;
  if (auto ok = xdp_.attach_link(*link); !ok) {
    link->ifindex = 0;  // it never was there
    return std::unexpected(std::move(ok).error());
  }
  link->id = links_.add(link);
  return open(ObjectKind::link, std::move(link));
}

Result<void> UserKernel::link_update(int link_fd, const LinkUpdate& update) {
  const Lock lock(mutex_);
  sweep();
  if ((update.flags & ~replace_flag) != 0)
    return fail(EINVAL, fmt::format("link update flags {:#x}", update.flags));
  const auto link = TRY(fds_.get<Link>(link_fd, ObjectKind::link));
  auto next = TRY(fds_.get<Program>(update.new_prog_fd, ObjectKind::prog));
  std::shared_ptr<Program> old;
  if ((update.flags & replace_flag) != 0)
    old = TRY(fds_.get<Program>(update.old_prog_fd, ObjectKind::prog));
  else if (update.old_prog_fd > 0)
    return fail(EINVAL, "an old program without BPF_F_REPLACE");
  if (link->ifindex == 0) return fail(ENOLINK, "the link is detached");
  if (old != nullptr && link->program != old)
    return fail(EPERM, "the link has another program than expected");
  if (link->program->type != next->type || link->program->expected_attach_type != next->expected_attach_type)
    return fail(EINVAL, "the new program is of another type");
  if (link->program == next) return {};
  if (auto ok = xdp_.update_link(*link, next); !ok) return ok;
  link->program = std::move(next);
  return {};
}

Result<void> UserKernel::link_detach(int link_fd) {
  const Lock lock(mutex_);
  sweep();
  const auto link = TRY(fds_.get<Link>(link_fd, ObjectKind::link));
  xdp_.link_gone(*link);
  return {};
}

Result<LinkInfo> UserKernel::link_info(int link_fd) {
  const Lock lock(mutex_);
  sweep();
  const auto link = TRY(described<Link>(link_fd, ObjectKind::link));
  LinkInfo info;
  info.type = link->type;
  info.id = link->id;
  info.prog_id = link->program->id;
  info.ifindex = link->ifindex;
  info.attach_type = AttachType::xdp;
  return info;
}

Result<void> UserKernel::xdp_attach(const XdpAttach& attach) {
  const Lock lock(mutex_);
  sweep();
  std::shared_ptr<Program> next;
  std::shared_ptr<Program> expected;
  if (attach.prog_fd >= 0) next = TRY(fds_.get<Program>(attach.prog_fd, ObjectKind::prog));
  if (attach.expected_fd >= 0) expected = TRY(fds_.get<Program>(attach.expected_fd, ObjectKind::prog));
  for (const auto& program : {next, expected})
    if (program != nullptr && program->type != ProgType::xdp)
      return fail(EINVAL, fmt::format("program {} is not an XDP program", program->id));
  return xdp_.attach(attach.ifindex, next, expected, attach.flags);
}

Result<std::vector<XdpAttachment>> UserKernel::xdp_query() {
  const Lock lock(mutex_);
  sweep();
  return xdp_.query();
}

Result<u32> UserKernel::tap_add(const std::string& name) {
  const Lock lock(mutex_);
  return xdp_.add_tap(name);
}

Result<void> UserKernel::tap_delete(const std::string& name) {
  const Lock lock(mutex_);
  return xdp_.delete_tap(name);
}

Result<hooks::XdpStats> UserKernel::xdp_stats(u32 ifindex) {
  const Lock lock(mutex_);
  return xdp_.stats(ifindex);
}

/// There are no tc programs yet: an interface has none, which is an answer and not an error.
Result<ProgQueryResult> UserKernel::prog_query(const ProgQuery& query) {
  switch (query.attach_type) {
    case AttachType::tcx_ingress:
    case AttachType::tcx_egress:
    case AttachType::netkit_primary:
    case AttachType::netkit_peer:
      return ProgQueryResult{};
    default:
      return fail(EINVAL,
                  fmt::format("querying {} is not supported by skep", attach_type_name(query.attach_type)));
  }
}

}  // namespace skep::runtime
