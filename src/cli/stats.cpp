// `stats on|off`: what sysctl kernel.bpf_stats_enabled is for the kernel. Runs of programs are counted and
// timed only while it is on, as that costs two readings of the clock a run.
#include "cli/tables.hpp"

namespace skep::cli {

Outcome<void> run_stats(Cli& cli, Args args) {
  if (args.left() != 1 || (args.peek() != "on" && args.peek() != "off")) return wrong_usage();
  const auto set = TRY(cli.kernel())->set_stats_enabled(args.peek() == "on");
  if (!set) return kernel_refused_errno("can't set statistics", set.error());
  cli.nothing_to_show();
  return {};
}

}  // namespace skep::cli
