// bpf(2)'s commands on links and attachments. Those that name an interface run in the caller's network
// namespace.
#include "daemon/attr_io.hpp"

namespace skep::daemon {

namespace {

bool is_interface_hook(u32 attach_type) {
  switch (static_cast<AttachType>(attach_type)) {
    case AttachType::xdp:
    case AttachType::tcx_ingress:
    case AttachType::tcx_egress:
    case AttachType::netkit_primary:
    case AttachType::netkit_peer:
      return true;
    default:
      return false;
  }
}

Result<void> create(Kernel& kernel, Caller& caller, attr::LinkCreate& a) {
  constexpr u32 by_id = 1u << 5;  // BPF_F_ID
  LinkSpec spec;
  spec.prog_fd = TRY(object_of(caller, a.prog_fd, ObjectKind::prog));
  spec.attach_type = static_cast<AttachType>(a.attach_type);
  spec.flags = a.flags;
  if (is_interface_hook(a.attach_type))
    spec.target_ifindex = a.target;
  else if (a.target != 0)
    spec.target_fd = TRY(caller.object(a.target)).fd;
  if ((a.flags & by_id) != 0)
    spec.relative_id = a.relative;
  else if (a.relative != 0)
    spec.relative_fd = TRY(caller.object(a.relative)).fd;
  spec.expected_revision = a.expected_revision;
  Handle link;
  TRY(caller.in_network_namespace([&]() -> Result<void> {
    link = TRY(kernel.link_create(spec));
    return {};
  }));
  return caller.hand_out(std::move(link));
}

Result<void> update(Kernel& kernel, Caller& caller, attr::LinkUpdate& a) {
  LinkUpdate spec;
  const int link = TRY(object_of(caller, a.link_fd, ObjectKind::link));
  spec.new_prog_fd = TRY(object_of(caller, a.new_prog_fd, ObjectKind::prog));
  spec.flags = a.flags;
  spec.old_prog_fd = TRY(optional_object(caller, a.old_prog_fd, ObjectKind::prog));
  return kernel.link_update(link, spec);
}

Result<void> attach_or_detach(Kernel& kernel, Caller& caller, attr::ProgAttach& a, bool attaching) {
  if (!is_interface_hook(a.attach_type))
    return fail(EINVAL, "BPF_PROG_ATTACH and BPF_PROG_DETACH are for interfaces (tcx) here");
  ProgAttach spec;
  spec.target_ifindex = a.target;
  spec.attach_type = static_cast<AttachType>(a.attach_type);
  spec.flags = a.flags;
  spec.prog_fd = TRY(optional_object(caller, a.prog_fd, ObjectKind::prog));
  spec.replace_fd = TRY(optional_object(caller, a.replace_fd, ObjectKind::prog));
  if ((a.flags & uapi::F_ID) != 0)
    spec.relative_id = a.relative;
  else if (a.relative != 0)
    spec.relative_fd = TRY(caller.object(a.relative)).fd;
  spec.expected_revision = a.expected_revision;
  return caller.in_network_namespace(
      [&] { return attaching ? kernel.prog_attach(spec) : kernel.prog_detach(spec); });
}

Result<void> query(Kernel& kernel, Caller& caller, attr::ProgQuery& a) {
  ProgQuery spec;
  // Elsewhere `target` is the caller's descriptor of a cgroup or namespace, which means nothing here.
  if (is_interface_hook(a.attach_type)) spec.target_ifindex = a.target;
  spec.attach_type = static_cast<AttachType>(a.attach_type);
  spec.query_flags = a.query_flags;
  ProgQueryResult found;
  TRY(caller.in_network_namespace([&]() -> Result<void> {
    found = TRY(kernel.prog_query(spec));
    return {};
  }));
  a.attach_flags = found.attach_flags;
  a.revision = found.revision;
  const u32 room = a.count;
  if (a.prog_ids != 0) {
    TRY(give(caller, a.prog_ids, a.count, found.prog_ids));
  }
  a.count = static_cast<u32>(found.prog_ids.size());
  if (a.link_ids != 0) {
    u32 links = room;
    TRY(give(caller, a.link_ids, links, found.link_ids));
  }
  if (a.prog_ids != 0 && room < a.count) return fail(ENOSPC, "more programs than there is room for");
  return {};
}

}  // namespace

Result<void> serve_link_command(Kernel& kernel, Caller& caller, Cmd cmd, MutBytes bytes) {
  switch (cmd) {
    case Cmd::link_create:
      return with_attr<attr::LinkCreate>(bytes, [&](auto& a) { return create(kernel, caller, a); });
    case Cmd::link_update:
      return with_attr<attr::LinkUpdate>(bytes, [&](auto& a) { return update(kernel, caller, a); });
    case Cmd::prog_attach:
    case Cmd::prog_detach:
      return with_attr<attr::ProgAttach>(
          bytes, [&](auto& a) { return attach_or_detach(kernel, caller, a, cmd == Cmd::prog_attach); });
    case Cmd::link_detach:
      return with_attr<attr::LinkDetach>(bytes, [&](auto& a) -> Result<void> {
        return kernel.link_detach(TRY(object_of(caller, a.link_fd, ObjectKind::link)));
      });
    default:
      return with_attr<attr::ProgQuery>(bytes, [&](auto& a) { return query(kernel, caller, a); });
  }
}

}  // namespace skep::daemon
