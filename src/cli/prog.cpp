// The verbs of `prog`: the table, and the small ones.
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "cli/prog_view.hpp"
#include "cli/stop_signals.hpp"
#include "cli/tables.hpp"

namespace skep::cli {

namespace {

Outcome<void> no_attach(Cli&, Args) { return not_supported("prog attach"); }
Outcome<void> no_detach(Cli&, Args) { return not_supported("prog detach"); }
Outcome<void> no_profile(Cli&, Args args) {
  TRY(args.require(3, status_of_errno(EINVAL)));
  return refuse("'prog profile' is not supported by skep: there are no hardware counters of its programs");
}

constexpr std::array kVerbs{
    Verb{"show", prog_show, "{ show | list } [PROG]"},
    Verb{"list", prog_show, ""},
    Verb{"help", nullptr, "help"},
    Verb{"dump", prog_dump,
         "dump xlated PROG [{ file FILE | [opcodes] [linum] [visual] }]\n"
         "dump jited  PROG [{ file FILE | [opcodes] [linum] }]"},
    Verb{"pin", prog_pin, "pin   PROG FILE"},
    Verb{"load", prog_load,
         "{ load | loadall } OBJ  PATH \\\n"
         "                         [type TYPE] [{ offload_dev | xdpmeta_dev } NAME] \\\n"
         "                         [map { idx IDX | name NAME } MAP]\\\n"
         "                         [pinmaps MAP_DIR]\n"
         "                         [autoattach]\n"
         "                         [kernel_btf BTF_FILE]"},
    Verb{"loadall", prog_loadall, ""},
    Verb{"attach", no_attach, "attach PROG ATTACH_TYPE [MAP]"},
    Verb{"detach", no_detach, "detach PROG ATTACH_TYPE [MAP]"},
    Verb{"run", prog_run,
         "run PROG \\\n"
         "                         data_in FILE \\\n"
         "                         [data_out FILE [data_size_out L]] \\\n"
         "                         [ctx_in FILE [ctx_out FILE [ctx_size_out M]]] \\\n"
         "                         [repeat N]"},
    Verb{"profile", no_profile, "profile PROG [duration DURATION] METRICs"},
    Verb{"tracelog", prog_tracelog, "tracelog\ntracelog { stdout | stderr } PROG"},
};

void show_trace_lines(Cli& cli, std::string& partial) {
  std::size_t end;
  while ((end = partial.find('\n')) != std::string::npos) {
    const std::string_view line = std::string_view(partial).substr(0, end + 1);
    if (cli.json_output()) {
      cli.json().string(line);
    } else {
      cli.out().write(line);
    }
    partial.erase(0, end + 1);
  }
  cli.out().flush();
}

}  // namespace

constinit const Noun kProg{
    .name = "prog",
    .summary = "programs: load, list, show, dump, run, pin, trace",
    .verbs = kVerbs,
    .footer =
        "       MAP := { id MAP_ID | pinned FILE | name MAP_NAME }\n"
        "       PROG := { id PROG_ID | pinned FILE | tag PROG_TAG | name PROG_NAME }\n"
        "       TYPE := { socket | kprobe | kretprobe | classifier | action |\n"
        "                 tracepoint | raw_tracepoint | xdp | perf_event | cgroup/skb |\n"
        "                 cgroup/sock | cgroup/dev | lwt_in | lwt_out | lwt_xmit |\n"
        "                 lwt_seg6local | sockops | sk_skb | sk_msg | lirc_mode2 |\n"
        "                 sk_reuseport | flow_dissector | cgroup/sysctl |\n"
        "                 cgroup/bind4 | cgroup/bind6 | cgroup/post_bind4 |\n"
        "                 cgroup/post_bind6 | cgroup/connect4 | cgroup/connect6 |\n"
        "                 cgroup/connect_unix | cgroup/getpeername4 | cgroup/getpeername6 |\n"
        "                 cgroup/getpeername_unix | cgroup/getsockname4 | cgroup/getsockname6 |\n"
        "                 cgroup/getsockname_unix | cgroup/sendmsg4 | cgroup/sendmsg6 |\n"
        "                 cgroup/sendmsg_unix | cgroup/recvmsg4 | cgroup/recvmsg6 | cgroup/recvmsg_unix |\n"
        "                 cgroup/getsockopt | cgroup/setsockopt | cgroup/sock_release |\n"
        "                 struct_ops | fentry | fexit | freplace | sk_lookup }\n"
        "       ATTACH_TYPE := { sk_msg_verdict | sk_skb_verdict | sk_skb_stream_verdict |\n"
        "                        sk_skb_stream_parser | flow_dissector }\n"
        "       METRIC := { cycles | instructions | l1d_loads | llc_misses | itlb_misses | dtlb_misses }\n"
        "       OPTIONS := { {-j|--json} [{-p|--pretty}] | {-d|--debug} |\n"
        "                    {-f|--bpffs} | {-m|--mapcompat} | {-n|--nomount} |\n"
        "                    {-L|--use-loader} | [ {-S|--sign } {-k} <private_key.pem> {-i} "
        "<certificate.x509> ] \n",
};

Outcome<void> prog_pin(Cli& cli, Args args) {
  TRY(args.require(3, status_of_errno(EINVAL)));
  const ProgramRef program = TRY(take_program(cli, args));
  TRY(pin_object(cli, program.handle, TRY(args.take())));
  cli.nothing_to_show();
  return {};
}

Outcome<void> prog_tracelog(Cli& cli, Args args) {
  if (!args.empty()) return not_supported("prog tracelog stdout|stderr");
  const auto pipe = TRY(cli.kernel())->trace_pipe();
  if (!pipe) return kernel_refused("could not open trace pipe", pipe.error());
  const StopSignals stop;
  if (cli.json_output()) cli.json().begin_array();
  std::string partial;
  std::array<char, 65536> buffer{};
  while (cli.out().good()) {
    std::array<pollfd, 2> wait{{{stop.fd(), POLLIN, 0}, {pipe->get(), POLLIN, 0}}};
    if (poll(wait.data(), wait.size(), -1) < 0 && errno != EINTR)
      return refuse(fmt::format("failed to wait for the trace pipe: {}", errno_text(errno)));
    if (wait[0].revents != 0) break;
    if (wait[1].revents == 0) continue;
    const ssize_t n = read(pipe->get(), buffer.data(), buffer.size());
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n < 0) return refuse(fmt::format("failed to read content from trace pipe: {}", errno_text(errno)));
    if (n == 0) return refuse("failed to read content from trace pipe: it was closed");
    partial.append(buffer.data(), static_cast<std::size_t>(n));
    show_trace_lines(cli, partial);
  }
  if (cli.json_output()) cli.json().end_array();
  return {};
}

}  // namespace skep::cli
