// `link`: attachments that are objects of their own.
#include <net/if.h>

#include <array>
#include <cerrno>

#include "cli/objects.hpp"
#include "cli/pins.hpp"
#include "cli/tables.hpp"

namespace skep::cli {

namespace {

struct LinkView {
  LinkInfo info;
  std::string device;     ///< of links on interfaces
  std::string prog_type;  ///< of tracing links
  bool show_pins = false;
  std::vector<std::string> pins;
};

bool on_interface(LinkType type) {
  return type == LinkType::xdp || type == LinkType::tcx || type == LinkType::netkit;
}
bool has_attach_type(LinkType type) {
  return type == LinkType::tcx || type == LinkType::netkit || type == LinkType::cgroup ||
         type == LinkType::netns || type == LinkType::tracing || type == LinkType::sockmap;
}

Outcome<LinkView> view_link(Kernel& kernel, const Handle& handle, const PinTable& pins) {
  auto info = kernel.link_info(handle.fd());
  if (!info) return kernel_refused("can't get link info", info.error());
  LinkView view;
  view.show_pins = !pins.empty();
  view.pins = pins_of(pins, info->id);
  if (on_interface(info->type)) {
    std::array<char, IF_NAMESIZE> name{};
    if (info->ifindex == 0) {
      view.device = "(detached)";
    } else {
      view.device = if_indextoname(info->ifindex, name.data()) != nullptr ? name.data() : "(unknown)";
    }
  }
  if (info->type == LinkType::tracing) {
    if (const auto program = kernel.get_fd_by_id(ObjectKind::prog, info->prog_id))
      if (const auto about = kernel.prog_info(program->fd())) view.prog_type = prog_type_word(about->type);
  }
  view.info = std::move(*info);
  return view;
}

void print_plain(Cli& cli, const LinkView& view) {
  const LinkInfo& info = view.info;
  const std::string_view type = link_type_name(info.type);
  if (type.empty()) {
    cli.print("{}: type {}  prog {}  ", info.id, static_cast<u32>(info.type), info.prog_id);
  } else {
    cli.print("{}: {}  prog {}  ", info.id, type, info.prog_id);
  }
  if (info.type == LinkType::raw_tracepoint) {
    cli.print("\n\ttp '{}'  ", info.tp_name);
    if (info.cookie != 0) cli.print("cookie {}  ", info.cookie);
  }
  if (info.type == LinkType::tracing) cli.print("\n\tprog_type {}  ", view.prog_type);
  if (info.type == LinkType::cgroup) cli.print("\n\tcgroup_id {}  ", info.cgroup_id);
  if (info.type == LinkType::netns) cli.print("\n\tnetns_ino {}  ", info.netns_ino);
  if (on_interface(info.type)) cli.print("\n\tifindex {}({})  ", view.device, info.ifindex);
  if (has_attach_type(info.type)) cli.print("attach_type {}  ", attach_type_word(info.attach_type));
  for (const std::string& pin : view.pins) cli.print("\n\tpinned {}", pin);
  cli.print("\n");
}

void print_json(JsonWriter& json, const LinkView& view) {
  const LinkInfo& info = view.info;
  json.begin_object();
  json.field("id", info.id);
  const std::string_view type = link_type_name(info.type);
  if (type.empty()) {
    json.field("type", static_cast<u32>(info.type));
  } else {
    json.field("type", type);
  }
  json.field("prog_id", info.prog_id);
  if (info.type == LinkType::raw_tracepoint) {
    json.field("tp_name", std::string_view(info.tp_name));
    json.field("cookie", info.cookie);
  }
  if (info.type == LinkType::tracing) json.field("prog_type", std::string_view(view.prog_type));
  if (info.type == LinkType::cgroup) json.field("cgroup_id", info.cgroup_id);
  if (info.type == LinkType::netns) json.field("netns_ino", info.netns_ino);
  if (on_interface(info.type)) {
    json.field("devname", std::string_view(view.device));
    json.field("ifindex", info.ifindex);
  }
  if (has_attach_type(info.type))
    json.field("attach_type", std::string_view(attach_type_word(info.attach_type)));
  if (view.show_pins) write_pins(json, view.pins);
  json.end_object();
}

void print_view(Cli& cli, const LinkView& view) {
  if (cli.json_output()) {
    print_json(cli.json(), view);
  } else {
    print_plain(cli, view);
  }
}

Outcome<void> link_show(Cli& cli, Args args) {
  PinTable pins;
  if (args.left() == 2) {
    const Handle link = TRY(take_link(cli, args));
    if (cli.options().bpffs) pins = TRY(pinned_objects(cli, ObjectKind::link));
    print_view(cli, TRY(view_link(*TRY(cli.kernel()), link, pins)));
    return {};
  }
  TRY(args.finished());
  Kernel& kernel = *TRY(cli.kernel());
  if (cli.options().bpffs) pins = TRY(pinned_objects(cli, ObjectKind::link));
  std::vector<LinkView> views;
  TRY(each_object(kernel, ObjectKind::link, "link", [&](u32, const Handle& link) -> Outcome<void> {
    views.push_back(TRY(view_link(kernel, link, pins)));
    return {};
  }));
  if (cli.json_output()) cli.json().begin_array();
  for (const LinkView& view : views) print_view(cli, view);
  if (cli.json_output()) cli.json().end_array();
  return {};
}

Outcome<void> link_pin(Cli& cli, Args args) {
  TRY(args.require(3, status_of_errno(EINVAL)));
  const Handle link = TRY(take_link(cli, args));
  TRY(pin_object(cli, link, TRY(args.take())));
  cli.nothing_to_show();
  return {};
}

Outcome<void> link_detach(Cli& cli, Args args) {
  if (args.left() != 2) return refuse("link specifier is invalid or missing", 1);
  auto link = take_link(cli, args);
  if (!link) {
    Failure failure = std::move(link.error());
    failure.status = 1;
    return std::unexpected<Failure>(std::move(failure));
  }
  const auto detached = TRY(cli.kernel())->link_detach(link->fd());
  if (!detached) return kernel_refused("failed link detach", detached.error(), 1);
  cli.nothing_to_show();
  return {};
}

Outcome<void> link_add(Cli& cli, Args args) {
  TRY(args.require(1));
  const std::string name = TRY(args.take());
  TRY(args.finished());
  const auto ifindex = TRY(cli.kernel())->tap_add(name);
  if (!ifindex) return refuse(fmt::format("can't add {}: {}", name, ifindex.error().what));
  cli.nothing_to_show();
  return {};
}

Outcome<void> link_delete(Cli& cli, Args args) {
  TRY(args.require(1));
  const std::string name = TRY(args.take());
  TRY(args.finished());
  const auto deleted = TRY(cli.kernel())->tap_delete(name);
  if (!deleted) return refuse(fmt::format("can't delete {}: {}", name, deleted.error().what));
  cli.nothing_to_show();
  return {};
}

constexpr std::array kVerbs{
    Verb{"show", link_show, "{ show | list }   [LINK]"},
    Verb{"list", link_show, ""},
    Verb{"help", nullptr, "help"},
    Verb{"pin", link_pin, "pin        LINK  FILE"},
    Verb{"detach", link_detach, "detach     LINK"},
    Verb{"add", link_add, "add        NAME    (a TAP interface of skep's own)", true},
    Verb{"delete", link_delete, "delete     NAME", true},
};

}  // namespace

constinit const Noun kLink{
    .name = "link",
    .summary = "links: list, show, pin, detach",
    .verbs = kVerbs,
    .footer =
        "       LINK := { id LINK_ID | pinned FILE }\n"
        "       OPTIONS := { {-j|--json} [{-p|--pretty}] | {-d|--debug} |\n"
        "                    {-f|--bpffs} | {-n|--nomount} }\n",
};

}  // namespace skep::cli
