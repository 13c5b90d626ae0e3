// Attachments of UserKernel: bpf_links and netlink's XDP (link_create() and its siblings of
// kernel/bpf/syscall.c, dev_change_xdp_fd()).
#include <fmt/format.h>

#include "runtime/user_kernel.hpp"

namespace skep::runtime {
namespace {

constexpr u32 chain_flags = uapi::F_REPLACE | uapi::F_BEFORE | uapi::F_AFTER | uapi::F_ID | uapi::F_LINK;

bool is_tcx(AttachType type) { return type == AttachType::tcx_ingress || type == AttachType::tcx_egress; }

std::unexpected<Error> no_such_attachment(std::string_view what, AttachType type) {
  return fail(EOPNOTSUPP, fmt::format("{} {} is not supported by skep", what, attach_type_name(type)));
}

}  // namespace

Result<Handle> UserKernel::link_create(const LinkSpec& spec) {
  const Lock lock(mutex_);
  sweep();
  auto held = TRY(fds_.get<Program>(spec.prog_fd, ObjectKind::prog));
  if (is_tcx(spec.attach_type)) return tcx_link_create(spec, std::move(held));
  if (spec.attach_type != AttachType::xdp) return no_such_attachment("a link of type", spec.attach_type);
  if (held->type != ProgType::xdp) return fail(EINVAL, "the program is not an XDP program");
  auto link = std::make_shared<Link>(xdp_);
  link->type = LinkType::xdp;
  link->attach_type = AttachType::xdp;
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

Result<Handle> UserKernel::tcx_link_create(const LinkSpec& spec, std::shared_ptr<Program> program) {
  if (program->type != ProgType::sched_cls) return fail(EINVAL, "the program is not a sched_cls program");
  std::shared_ptr<Link> relative;
  const ChainPlace where = TRY(chain_place({.flags = spec.flags,
                                            .relative_fd = spec.relative_fd,
                                            .relative_id = spec.relative_id,
                                            .expected_revision = spec.expected_revision},
                                           relative));
  auto link = std::make_shared<Link>(tc_);
  link->type = LinkType::tcx;
  link->attach_type = spec.attach_type;
  link->program = std::move(program);
  link->ifindex = spec.target_ifindex;
  link->flags = spec.flags;
  if (auto ok = tc_.attach_link(*link, where); !ok) {
    link->ifindex = 0;  // it never was there
    return std::unexpected(std::move(ok).error());
  }
  link->id = links_.add(link);
  return open(ObjectKind::link, std::move(link));
}

/// bpf_mprog_tuple_relative(). `held` keeps the link that the place refers to.
Result<ChainPlace> UserKernel::chain_place(const ProgAttach& attach, std::shared_ptr<Link>& held) {
  ChainPlace where;
  where.flags = attach.flags;
  where.revision = attach.expected_revision;
  const bool by_id = (attach.flags & uapi::F_ID) != 0;
  if ((attach.flags & uapi::F_LINK) != 0) {
    if (by_id) {
      held = links_.find(attach.relative_id);
      if (held == nullptr)
        return fail(ENOENT, fmt::format("there is no link with id {}", attach.relative_id));
    } else {
      if (attach.relative_fd < 0) return fail(EINVAL, "BPF_F_LINK without a link");
      held = TRY(fds_.get<Link>(attach.relative_fd, ObjectKind::link));
    }
    where.relative_link = held.get();
    where.relative = held->program;
  } else if (by_id) {
    where.relative = programs_.find(attach.relative_id);
    if (where.relative == nullptr)
      return fail(ENOENT, fmt::format("there is no program with id {}", attach.relative_id));
  } else if (attach.relative_fd >= 0) {
    where.relative = TRY(fds_.get<Program>(attach.relative_fd, ObjectKind::prog));
  }
  if (where.relative != nullptr && where.relative->type != ProgType::sched_cls)
    return fail(EINVAL, "the place refers to a program of another type");
  return where;
}

Result<void> UserKernel::prog_attach(const ProgAttach& attach) {
  const Lock lock(mutex_);
  sweep();
  if (!is_tcx(attach.attach_type)) return no_such_attachment("attaching to", attach.attach_type);
  if ((attach.flags & ~chain_flags) != 0)
    return fail(EINVAL, fmt::format("attach flags {:#x}", attach.flags));
  auto program = TRY(fds_.get<Program>(attach.prog_fd, ObjectKind::prog));
  if (program->type != ProgType::sched_cls) return fail(EINVAL, "the program is not a sched_cls program");
  std::shared_ptr<Program> replaced;
  if ((attach.flags & uapi::F_REPLACE) != 0)
    replaced = TRY(fds_.get<Program>(attach.replace_fd, ObjectKind::prog));
  std::shared_ptr<Link> relative;
  const ChainPlace where = TRY(chain_place(attach, relative));
  return tc_.attach(attach.target_ifindex, attach.attach_type, program, replaced.get(), where);
}

Result<void> UserKernel::prog_detach(const ProgAttach& detach) {
  const Lock lock(mutex_);
  sweep();
  if (!is_tcx(detach.attach_type)) return no_such_attachment("detaching from", detach.attach_type);
  if ((detach.flags & ~chain_flags) != 0)
    return fail(EINVAL, fmt::format("detach flags {:#x}", detach.flags));
  std::shared_ptr<Program> program;
  if (detach.prog_fd >= 0) program = TRY(fds_.get<Program>(detach.prog_fd, ObjectKind::prog));
  std::shared_ptr<Link> relative;
  const ChainPlace where = TRY(chain_place(detach, relative));
  return tc_.detach(detach.target_ifindex, detach.attach_type, program.get(), where);
}

Result<std::vector<TcAttachment>> UserKernel::tc_query() {
  const Lock lock(mutex_);
  sweep();
  return tc_.list();
}

Result<void> UserKernel::link_update(int link_fd, const LinkUpdate& update) {
  const Lock lock(mutex_);
  sweep();
  if ((update.flags & ~uapi::F_REPLACE) != 0)
    return fail(EINVAL, fmt::format("link update flags {:#x}", update.flags));
  const auto link = TRY(fds_.get<Link>(link_fd, ObjectKind::link));
  auto next = TRY(fds_.get<Program>(update.new_prog_fd, ObjectKind::prog));
  std::shared_ptr<Program> old;
  if ((update.flags & uapi::F_REPLACE) != 0)
    old = TRY(fds_.get<Program>(update.old_prog_fd, ObjectKind::prog));
  else if (update.old_prog_fd > 0)
    return fail(EINVAL, "an old program without BPF_F_REPLACE");
  if (link->ifindex == 0) return fail(ENOLINK, "the link is detached");
  if (old != nullptr && link->program != old)
    return fail(EPERM, "the link has another program than expected");
  if (link->program->type != next->type || link->program->expected_attach_type != next->expected_attach_type)
    return fail(EINVAL, "the new program is of another type");
  if (link->program == next) return {};
  TRY(link->type == LinkType::tcx ? tc_.update_link(*link, next) : xdp_.update_link(*link, next));
  link->program = std::move(next);
  return {};
}

Result<void> UserKernel::link_detach(int link_fd) {
  const Lock lock(mutex_);
  sweep();
  const auto link = TRY(fds_.get<Link>(link_fd, ObjectKind::link));
  if (link->type == LinkType::tcx)
    tc_.link_gone(*link);
  else
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
  info.attach_type = link->attach_type;
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
  return xdp_.attach({.ifindex = attach.ifindex,
                      .flags = attach.flags,
                      .program = std::move(next),
                      .expected = std::move(expected),
                      .chained = attach.chained,
                      .priority = attach.priority,
                      .chain_call = attach.chain_call});
}

Result<std::vector<XdpAttachment>> UserKernel::xdp_query() {
  const Lock lock(mutex_);
  sweep();
  return xdp_.query();
}

Result<u32> UserKernel::tap_add(const std::string& name) {
  const Lock lock(mutex_);
  sweep();
  return interfaces_.add_tap(name);
}

Result<void> UserKernel::tap_delete(const std::string& name) {
  const Lock lock(mutex_);
  const Place place = TRY(interfaces_.find_tap(name));
  xdp_.detach_all_at(place);
  tc_.detach_all_at(place);
  interfaces_.delete_tap(place);
  return {};
}

Result<hooks::XdpStats> UserKernel::xdp_stats(u32 ifindex) {
  const Lock lock(mutex_);
  return interfaces_.xdp_stats(InterfaceTable::here(ifindex));
}

Result<hooks::TcStats> UserKernel::tc_stats(u32 ifindex, hooks::TcDirection direction) {
  const Lock lock(mutex_);
  return interfaces_.tc_stats(InterfaceTable::here(ifindex), direction);
}

Result<ProgQueryResult> UserKernel::prog_query(const ProgQuery& query) {
  const Lock lock(mutex_);
  sweep();
  switch (query.attach_type) {
    case AttachType::tcx_ingress:
    case AttachType::tcx_egress:
      if (query.query_flags != 0) return fail(EINVAL, fmt::format("query flags {:#x}", query.query_flags));
      return tc_.query(query.target_ifindex, query.attach_type);
    case AttachType::netkit_primary:
    case AttachType::netkit_peer:
      return ProgQueryResult{};  // skep makes no netkit devices: an interface has none
    default:
      // Nothing can be attached to a control group: it has none.
      if (attach_type_name(query.attach_type).starts_with("cgroup_")) return ProgQueryResult{};
      return fail(EINVAL,
                  fmt::format("querying {} is not supported by skep", attach_type_name(query.attach_type)));
  }
}

}  // namespace skep::runtime
