// LinuxKernel: programs at network interfaces. XDP is set and reported by rtnetlink (IFLA_XDP), tcx by
// bpf(2), cls_bpf filters by rtnetlink (RTM_GETTFILTER). All of the calling thread's network namespace.
#include <linux/if_link.h>
#include <linux/pkt_cls.h>
#include <linux/rtnetlink.h>

// Macros of if_link.h whose names kernel/uapi.hpp has as constants.
#undef XDP_FLAGS_UPDATE_IF_NOEXIST
#undef XDP_FLAGS_SKB_MODE
#undef XDP_FLAGS_DRV_MODE
#undef XDP_FLAGS_HW_MODE
#undef XDP_FLAGS_REPLACE

#include "client/linux_kernel.hpp"
#include "client/rtnetlink.hpp"

namespace skep::client {

namespace {

struct Interface {
  u32 ifindex = 0;
  std::string name;
  XdpAttachment xdp;
};

u32 value_u32(const nlattr* attribute) {
  return mnl_attr_validate(attribute, MNL_TYPE_U32) < 0 ? 0 : mnl_attr_get_u32(attribute);
}
std::string value_string(const nlattr* attribute) {
  return mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) < 0 ? std::string() : mnl_attr_get_str(attribute);
}

void read_xdp(const nlattr* nest, XdpAttachment& xdp) {
  each_nested(nest, [&](const nlattr* attribute) {
    switch (mnl_attr_get_type(attribute)) {
      case IFLA_XDP_ATTACHED:
        if (mnl_attr_validate(attribute, MNL_TYPE_U8) >= 0)
          xdp.mode = static_cast<XdpMode>(mnl_attr_get_u8(attribute));
        break;
      case IFLA_XDP_PROG_ID:
        xdp.prog_id = value_u32(attribute);
        break;
      case IFLA_XDP_DRV_PROG_ID:
        xdp.drv_prog_id = value_u32(attribute);
        break;
      case IFLA_XDP_SKB_PROG_ID:
        xdp.skb_prog_id = value_u32(attribute);
        break;
      case IFLA_XDP_HW_PROG_ID:
        xdp.hw_prog_id = value_u32(attribute);
        break;
      default:
        break;
    }
  });
}

Result<std::vector<Interface>> interfaces() {
  RtNetlink netlink = TRY(RtNetlink::open());
  std::array<char, 256> buffer{};
  nlmsghdr* request = mnl_nlmsg_put_header(buffer.data());
  request->nlmsg_type = RTM_GETLINK;
  auto* head = static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(request, sizeof(ifinfomsg)));
  head->ifi_family = AF_UNSPEC;
  std::vector<Interface> result;
  TRY(netlink.dump(request, "listing interfaces", [&](const nlmsghdr* message) {
    if (message->nlmsg_type != RTM_NEWLINK || mnl_nlmsg_get_payload_len(message) < sizeof(ifinfomsg)) return;
    Interface found;
    found.ifindex =
        static_cast<u32>(static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(message))->ifi_index);
    each_attribute(message, sizeof(ifinfomsg), [&](const nlattr* attribute) {
      if (mnl_attr_get_type(attribute) == IFLA_IFNAME) found.name = value_string(attribute);
      if (mnl_attr_get_type(attribute) == IFLA_XDP) read_xdp(attribute, found.xdp);
    });
    found.xdp.ifindex = found.ifindex;
    found.xdp.ifname = found.name;
    result.push_back(std::move(found));
  }));
  return result;
}

void read_cls_bpf(const nlattr* options, TcAttachment& found) {
  each_nested(options, [&](const nlattr* attribute) {
    if (mnl_attr_get_type(attribute) == TCA_BPF_NAME) found.name = value_string(attribute);
    if (mnl_attr_get_type(attribute) == TCA_BPF_ID) found.prog_id = value_u32(attribute);
  });
}

/// The cls_bpf filters of one clsact hook of one interface.
Result<void> clsact_filters(const Interface& on, u32 parent, std::string_view kind,
                            std::vector<TcAttachment>& to) {
  RtNetlink netlink = TRY(RtNetlink::open());
  std::array<char, 256> buffer{};
  nlmsghdr* request = mnl_nlmsg_put_header(buffer.data());
  request->nlmsg_type = RTM_GETTFILTER;
  auto* head = static_cast<tcmsg*>(mnl_nlmsg_put_extra_header(request, sizeof(tcmsg)));
  head->tcm_family = AF_UNSPEC;
  head->tcm_ifindex = static_cast<int>(on.ifindex);
  head->tcm_parent = parent;
  return netlink.dump(request, "listing tc filters", [&](const nlmsghdr* message) {
    if (message->nlmsg_type != RTM_NEWTFILTER || mnl_nlmsg_get_payload_len(message) < sizeof(tcmsg)) return;
    TcAttachment found{on.ifindex, on.name, std::string(kind), {}, 0, 0};
    bool is_bpf = false;
    each_attribute(message, sizeof(tcmsg), [&](const nlattr* attribute) {
      if (mnl_attr_get_type(attribute) == TCA_KIND) is_bpf = value_string(attribute) == "bpf";
      if (mnl_attr_get_type(attribute) == TCA_OPTIONS && is_bpf) read_cls_bpf(attribute, found);
    });
    if (is_bpf && found.prog_id != 0) to.push_back(std::move(found));
  });
}

}  // namespace

Result<void> LinuxKernel::xdp_attach(const XdpAttach& attach) {
  if (attach.chained)
    return fail(EOPNOTSUPP, "Linux runs one XDP program on an interface; several are libxdp's dispatcher");
  RtNetlink netlink = TRY(RtNetlink::open());
  std::array<char, 256> buffer{};
  nlmsghdr* request = mnl_nlmsg_put_header(buffer.data());
  request->nlmsg_type = RTM_SETLINK;
  auto* head = static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(request, sizeof(ifinfomsg)));
  head->ifi_family = AF_UNSPEC;
  head->ifi_index = static_cast<int>(attach.ifindex);
  nlattr* nest = mnl_attr_nest_start(request, IFLA_XDP);
  mnl_attr_put_u32(request, IFLA_XDP_FD, static_cast<u32>(attach.prog_fd));
  if (attach.flags != 0) mnl_attr_put_u32(request, IFLA_XDP_FLAGS, attach.flags);
  if ((attach.flags & uapi::XDP_FLAGS_REPLACE) != 0)
    mnl_attr_put_u32(request, IFLA_XDP_EXPECTED_FD, static_cast<u32>(attach.expected_fd));
  mnl_attr_nest_end(request, nest);
  return netlink.transact(request);
}

Result<std::vector<XdpAttachment>> LinuxKernel::xdp_query() {
  std::vector<XdpAttachment> result;
  for (Interface& each : TRY(interfaces()))
    if (each.xdp.mode != XdpMode::none) result.push_back(std::move(each.xdp));
  return result;
}

Result<std::vector<TcAttachment>> LinuxKernel::tc_query() {
  struct Hook {
    AttachType type;
    std::string_view kind;
  };
  static constexpr std::array hooks{
      Hook{AttachType::tcx_ingress, "tcx/ingress"}, Hook{AttachType::tcx_egress, "tcx/egress"},
      Hook{AttachType::netkit_primary, "netkit/primary"}, Hook{AttachType::netkit_peer, "netkit/peer"}};
  std::vector<TcAttachment> result;
  for (const Interface& each : TRY(interfaces())) {
    for (const Hook& hook : hooks) {
      const auto found = prog_query({.target_ifindex = each.ifindex, .attach_type = hook.type});
      if (!found) continue;  // no such hook on this interface or kernel
      for (std::size_t i = 0; i < found->prog_ids.size(); ++i) {
        TcAttachment entry{each.ifindex, each.name, std::string(hook.kind), {}, found->prog_ids[i], 0};
        if (i < found->link_ids.size()) entry.link_id = found->link_ids[i];
        if (auto prog = get_fd_by_id(ObjectKind::prog, entry.prog_id)) {
          if (const auto info = prog_info(prog->fd())) entry.name = info->name;
        }
        result.push_back(std::move(entry));
      }
    }
    TRY(clsact_filters(each, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS), "clsact/ingress", result));
    TRY(clsact_filters(each, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS), "clsact/egress", result));
  }
  return result;
}

}  // namespace skep::client
