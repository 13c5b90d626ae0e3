// `net`: XDP and tc programs of interfaces.
#include <fcntl.h>
#include <net/if.h>

#include <array>
#include <cerrno>

#include "cli/objects.hpp"
#include "cli/tables.hpp"
#include "cli/xdp_chain.hpp"

namespace skep::cli {

namespace {

constexpr int kInvalid = status_of_errno(EINVAL);

struct AttachWord {
  std::string_view name;
  u32 xdp_flags;
  std::optional<AttachType> tcx;
};
constexpr std::array kAttachWords{
    AttachWord{"xdp", 0, std::nullopt},
    AttachWord{"xdpgeneric", uapi::XDP_FLAGS_SKB_MODE, std::nullopt},
    AttachWord{"xdpdrv", uapi::XDP_FLAGS_DRV_MODE, std::nullopt},
    AttachWord{"xdpoffload", uapi::XDP_FLAGS_HW_MODE, std::nullopt},
    AttachWord{"tcx_ingress", 0, AttachType::tcx_ingress},
    AttachWord{"tcx_egress", 0, AttachType::tcx_egress},
};

Outcome<const AttachWord*> take_attach_word(Args& args) {
  const std::string word = TRY(args.take());
  for (const AttachWord& row : kAttachWords)
    if (is_prefix(word, row.name)) return &row;
  return refuse(fmt::format("invalid net attach/detach type: {}", word), kInvalid);
}

Outcome<u32> take_device(Args& args, int status) {
  if (!args.next_is("dev"))
    return refuse(
        args.empty() ? std::string("expected 'dev'") : fmt::format("expected 'dev', got: '{}'?", args.peek()),
        status);
  args.skip();
  const std::string name = TRY(args.take());
  const u32 ifindex = if_nametoindex(name.c_str());
  if (ifindex == 0) return refuse(fmt::format("invalid devname {}", name), status);
  return ifindex;
}

/// rtnetlink's own explanation, where there is one, stands on a line of its own as libbpf prints it.
std::unexpected<Failure> attachment_refused(Cli& cli, const AttachWord& word, std::string_view action,
                                            const Error& error) {
  const bool explained = !error.what.empty() && word.xdp_flags != uapi::XDP_FLAGS_HW_MODE;
  if (explained) cli.libbpf(fmt::format("libbpf: Kernel error message: {}", error.what));
  Error plain = error;
  if (explained) plain.what.clear();
  return kernel_refused_errno(fmt::format("interface {} {} failed", word.name, action), plain);
}

/// bpf(2) explains nothing here; our own sentence is for -d.
std::unexpected<Failure> tcx_refused(const AttachWord& word, std::string_view action, const Error& error) {
  return kernel_refused_errno(fmt::format("interface {} {} failed", word.name, action), error);
}

/// One of several programs of the interface.
Outcome<void> attach_chained(Cli& cli, const AttachWord& word, const ProgramRef& program, u32 ifindex,
                             const XdpChainWords& words) {
  Kernel& kernel = *TRY(cli.kernel());
  const XdpRunConfig config = TRY(run_config_of(kernel, program.info));
  const auto attached = kernel.xdp_attach({.ifindex = ifindex,
                                           .prog_fd = program.handle.fd(),
                                           .flags = word.xdp_flags,
                                           .chained = true,
                                           .priority = words.priority.value_or(config.priority),
                                           .chain_call = words.chain_call.value_or(config.chain_call)});
  if (!attached) return attachment_refused(cli, word, "attach", attached.error());
  cli.nothing_to_show();
  return {};
}

Outcome<void> net_attach(Cli& cli, Args args) {
  TRY(args.require(5, kInvalid));
  const AttachWord& word = *TRY(take_attach_word(args));
  auto program = take_program(cli, args);
  if (!program) {
    Failure failure = std::move(program.error());
    failure.status = kInvalid;
    return std::unexpected<Failure>(std::move(failure));
  }
  const u32 ifindex = TRY(take_device(args, kInvalid));
  bool overwrite = false;
  bool prepend = false;
  const XdpChainWords chain = word.tcx ? XdpChainWords{} : TRY(take_chain_words(args));
  if (chain.chained) {
    TRY(args.finished());
    return attach_chained(cli, word, *program, ifindex, chain);
  }
  if (args.take_if("overwrite")) {
    overwrite = true;
  } else if (word.tcx && args.take_if("prepend")) {
    prepend = true;
  } else if (!args.empty()) {
    return refuse(fmt::format("expected 'overwrite' or 'prepend', got: '{}'?", args.peek()), kInvalid);
  }
  TRY(args.finished());
  if (word.tcx) {
    ProgAttach attach;
    attach.prog_fd = program->handle.fd();
    attach.target_ifindex = ifindex;
    attach.attach_type = *word.tcx;
    attach.flags = prepend ? uapi::F_BEFORE : 0;
    const auto attached = TRY(cli.kernel())->prog_attach(attach);
    if (!attached) return tcx_refused(word, "attach", attached.error());
    cli.nothing_to_show();
    return {};
  }
  const u32 flags = word.xdp_flags | (overwrite ? 0 : uapi::XDP_FLAGS_UPDATE_IF_NOEXIST);
  const auto attached =
      TRY(cli.kernel())->xdp_attach({.ifindex = ifindex, .prog_fd = program->handle.fd(), .flags = flags});
  if (!attached) return attachment_refused(cli, word, "attach", attached.error());
  cli.nothing_to_show();
  return {};
}

Outcome<void> net_detach(Cli& cli, Args args) {
  TRY(args.require(3, kInvalid));
  const AttachWord& word = *TRY(take_attach_word(args));
  const u32 ifindex = TRY(take_device(args, kInvalid));
  std::optional<ProgramRef> one;  // of several
  if (!args.empty() && !word.tcx) one = TRY(take_program(cli, args));
  TRY(args.finished());
  if (word.tcx) {
    ProgAttach detach;
    detach.target_ifindex = ifindex;
    detach.attach_type = *word.tcx;
    const auto detached = TRY(cli.kernel())->prog_detach(detach);
    if (!detached) return tcx_refused(word, "detach", detached.error());
    cli.nothing_to_show();
    return {};
  }
  const u32 flags = word.xdp_flags | (one ? 0 : uapi::XDP_FLAGS_UPDATE_IF_NOEXIST);
  const auto detached = TRY(cli.kernel())
                            ->xdp_attach({.ifindex = ifindex,
                                          .flags = flags,
                                          .expected_fd = one ? one->handle.fd() : -1,
                                          .chained = one.has_value()});
  if (!detached) return attachment_refused(cli, word, "detach", detached.error());
  cli.nothing_to_show();
  return {};
}

/// What hangs on the interfaces.
struct NetView {
  std::vector<XdpAttachment> xdp;
  std::vector<TcAttachment> tc;
  std::vector<u32> flow_dissectors;  ///< of this network namespace
};

struct ModeWord {
  u32 id;
  std::string_view word;
};

/// The programs of an interface with their modes: one, or with `multi` up to three.
std::vector<ModeWord> modes_of(const XdpAttachment& at) {
  switch (at.mode) {
    case XdpMode::driver:
      return {{at.prog_id, "driver"}};
    case XdpMode::generic:
      return {{at.prog_id, "generic"}};
    case XdpMode::offload:
      return {{at.prog_id, "offload"}};
    case XdpMode::multi:
      break;
    case XdpMode::none:
      return {};
  }
  std::vector<ModeWord> modes;
  if (at.skb_prog_id != 0) modes.push_back({at.skb_prog_id, "generic"});
  if (at.drv_prog_id != 0) modes.push_back({at.drv_prog_id, "driver"});
  if (at.hw_prog_id != 0) modes.push_back({at.hw_prog_id, "offload"});
  return modes;
}

Outcome<NetView> view_net(Kernel& kernel, u32 ifindex) {
  NetView view;
  auto xdp = kernel.xdp_query();
  if (!xdp) return kernel_refused_errno("can't query XDP programs", xdp.error());
  auto tc = kernel.tc_query();
  if (!tc) return kernel_refused_errno("can't query tc programs", tc.error());
  view.xdp = std::move(*xdp);
  view.tc = std::move(*tc);
  const auto elsewhere = [ifindex](const auto& at) { return ifindex != 0 && at.ifindex != ifindex; };
  std::erase_if(view.xdp, elsewhere);
  std::erase_if(view.xdp, [](const XdpAttachment& at) { return at.mode == XdpMode::none; });
  std::erase_if(view.tc, elsewhere);
  const UniqueFd netns(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
  const auto dissectors =
      kernel.prog_query({.target_fd = netns.get(), .attach_type = AttachType::flow_dissector});
  if (dissectors) view.flow_dissectors = dissectors->prog_ids;
  return view;
}

void print_plain(Cli& cli, const NetView& view) {
  cli.print("xdp:\n");
  for (const XdpAttachment& at : view.xdp) {
    for (const XdpChainEntry& entry : at.chain)
      cli.print("{}({}) {} id {} priority {} chain_call {}\n", at.ifname, at.ifindex,
                modes_of(at).front().word, entry.prog_id, entry.priority, chain_call_text(entry.chain_call));
    if (!at.chain.empty()) continue;
    cli.print("{}({})", at.ifname, at.ifindex);
    for (const ModeWord& mode : modes_of(at)) cli.print(" {} id {}", mode.word, mode.id);
    cli.print("\n");
  }
  cli.print("\ntc:\n");
  for (const TcAttachment& at : view.tc) {
    if (at.kind.starts_with("clsact") || at.kind == "root") {
      cli.print("{}({}) {} {} id {}\n", at.ifname, at.ifindex, at.kind, at.name, at.prog_id);
      continue;
    }
    cli.print("{}({}) {} {} prog_id {} ", at.ifname, at.ifindex, at.kind, at.name, at.prog_id);
    if (at.link_id != 0) cli.print("link_id {} ", at.link_id);
    cli.print("\n");
  }
  cli.print("\nflow_dissector:\n");
  for (const u32 id : view.flow_dissectors) cli.print("id {}", id);
  cli.print("\nnetfilter:\n\n");
}

void print_tc(JsonWriter& json, const TcAttachment& at) {
  json.begin_object();
  json.field("devname", std::string_view(at.ifname));
  json.field("ifindex", at.ifindex);
  json.field("kind", std::string_view(at.kind));
  json.field("name", std::string_view(at.name));
  if (at.kind.starts_with("clsact") || at.kind == "root") {
    json.field("id", at.prog_id);
  } else {
    json.field("prog_id", at.prog_id);
    json.name("prog_flags");
    json.begin_array();
    json.end_array();
    json.field("link_id", at.link_id);
    json.name("link_flags");
    json.begin_array();
    json.end_array();
  }
  json.end_object();
}

/// One object for each of several programs.
void print_chain(JsonWriter& json, const XdpAttachment& at) {
  for (const XdpChainEntry& entry : at.chain) {
    json.begin_object();
    json.field("devname", std::string_view(at.ifname));
    json.field("ifindex", at.ifindex);
    json.field("mode", modes_of(at).front().word);
    json.field("id", entry.prog_id);
    json.field("priority", entry.priority);
    json.name("chain_call");
    json.begin_array();
    for (const std::string_view action : chain_call_names(entry.chain_call)) json.string(action);
    json.end_array();
    json.end_object();
  }
}

void print_json(JsonWriter& json, const NetView& view) {
  json.begin_array();
  json.begin_object();
  json.name("xdp");
  json.begin_array();
  for (const XdpAttachment& at : view.xdp) {
    print_chain(json, at);
    if (!at.chain.empty()) continue;
    json.begin_object();
    json.field("devname", std::string_view(at.ifname));
    json.field("ifindex", at.ifindex);
    const bool multi = at.mode == XdpMode::multi;
    if (multi) json.name("multi_attachments"), json.begin_array();
    for (const ModeWord& mode : modes_of(at)) {
      if (multi) json.begin_object();
      json.field("mode", mode.word);
      json.field("id", mode.id);
      if (multi) json.end_object();
    }
    if (multi) json.end_array();
    json.end_object();
  }
  json.end_array();
  json.name("tc");
  json.begin_array();
  for (const TcAttachment& at : view.tc) print_tc(json, at);
  json.end_array();
  json.name("flow_dissector");
  json.begin_array();
  for (const u32 id : view.flow_dissectors) json.number(id);
  json.end_array();
  json.name("netfilter");
  json.begin_array();
  json.end_array();
  json.end_object();
  json.end_array();
}

Outcome<void> net_show(Cli& cli, Args args) {
  u32 ifindex = 0;
  if (args.left() == 2) {
    ifindex = TRY(take_device(args, kExitFailure));
  } else if (!args.empty()) {
    return wrong_usage();
  }
  const NetView view = TRY(view_net(*TRY(cli.kernel()), ifindex));
  if (cli.json_output()) {
    print_json(cli.json(), view);
  } else {
    print_plain(cli, view);
  }
  return {};
}

constexpr std::array kVerbs{
    Verb{"show", net_show, "{ show | list } [dev <devname>]"},
    Verb{"list", net_show, ""},
    Verb{"attach", net_attach, "attach ATTACH_TYPE PROG dev <devname> [ overwrite | prepend ]"},
    Verb{"detach", net_detach, "detach ATTACH_TYPE dev <devname>"},
    Verb{"help", nullptr, "help"},
    Verb{"attach", net_attach,
         "attach ATTACH_TYPE PROG dev <devname> [multi] [priority N] [chain_call ACTION[,ACTION...]]\n"
         "detach ATTACH_TYPE dev <devname> PROG    (one of several XDP programs)",
         true},
};

}  // namespace

constinit const Noun kNet{
    .name = "net",
    .summary = "programs attached to interfaces: list, attach, detach",
    .verbs = kVerbs,
    .footer =
        "       PROG := { id PROG_ID | pinned FILE | tag PROG_TAG | name PROG_NAME }\n"
        "       ATTACH_TYPE := { xdp | xdpgeneric | xdpdrv | xdpoffload | tcx_ingress\n"
        "                        | tcx_egress }\n"
        "       OPTIONS := { {-j|--json} [{-p|--pretty}] | {-d|--debug} }\n"
        "\n"
        "Note: Only xdp, tcx, tc, netkit, flow_dissector and netfilter attachments\n"
        "      are currently supported.\n"
        "      For progs attached to cgroups, use \"bpftool cgroup\"\n"
        "      to dump program attachments. For program types\n"
        "      sk_{filter,skb,msg,reuseport} and lwt/seg6, please\n"
        "      consult iproute2.\n",
};

}  // namespace skep::cli
