// The table of nouns, in matching order: bpftool's first and in its order, so that every abbreviation means
// what it means there; then ours. Those of bpftool's that skep does not have yet are rows too: they keep
// their place in the matching and say so.
#include <array>

#include "cli/tables.hpp"

namespace skep::cli {

std::span<const Noun> nouns() {
  static const std::array table{
      Noun{.name = "help", .summary = "print the usage", .run = run_help, .forms = ""},
      Noun{.name = "batch", .summary = "run the commands of a file", .run = run_batch, .forms = "file FILE"},
      kProg,
      kMap,
      kLink,
      kCgroup,
      kPerf,
      kNet,
      kFeature,
      kBtf,
      kGen,
      kStructOps,
      kIter,
      kToken,
      Noun{.name = "version", .summary = "print the version", .run = run_version, .forms = ""},
      Noun{.name = "stats",
           .summary = "count and time the runs of programs (kernel.bpf_stats_enabled)",
           .run = run_stats,
           .forms = "{ on | off }",
           .ours = true},
      kDaemon,
      Noun{.name = "shell",
           .summary = "a shell in which /sys/fs/bpf, trace_pipe and bpftool are skep's",
           .run = run_shell,
           .forms = "[COMMAND...]",
           .style = WordStyle::verbatim,
           .ours = true},
      Noun{.name = "run",
           .summary = "run an XDP program over a capture, or bare instructions, without a daemon",
           .run = run_capture,
           .forms =
               "OBJECT --port pcap:IN[,OUT] [--program NAME] [--ifindex N] [--no-jit] [--harden] "
               "[--perf-map]\n"
               "--raw FILE|- [--mem HEX|file:PATH] [--engine interpreter|jit] [--unverified [--type TYPE]]",
           .style = WordStyle::own_options,
           .ours = true},
      Noun{.name = "verify",
           .summary = "verify programs as Linux would, without loading them",
           .run = run_verify,
           .forms = "[--program NAME] [--log-level N] [--against linux] [--btf FILE] [--explain] OBJ...\n"
                    "--raw TYPE FILE",
           .style = WordStyle::own_options,
           .ours = true},
      Noun{.name = "completion",
           .summary = "print a completion script for the shell",
           .run = run_completion,
           .forms = "bash",
           .ours = true},
  };
  return table;
}

const Noun* find_noun(std::string_view word) {
  for (const Noun& noun : nouns())
    if (is_prefix(word, noun.name)) return &noun;
  return nullptr;
}

std::unexpected<Failure> not_supported(std::string_view what) {
  return refuse(fmt::format("'{}' is not supported by skep", what));
}

}  // namespace skep::cli
