// Nouns of what skep has none of: perf events of programs, struct_ops maps, iterators, tokens. Lists of them
// are empty; what would make one says that it cannot.
#include <array>
#include <cerrno>

#include "cli/objects.hpp"
#include "cli/tables.hpp"

namespace skep::cli {

namespace {

/// The machine's own kernel may have what skep does not: an empty list would not be true of it.
Outcome<void> refuse_linux(Cli& cli, std::string_view what) {
  if (TRY(cli.kernel())->kernel_name() == "linux")
    return refuse(fmt::format("'{}' is not supported with --kernel linux", what));
  return {};
}

Outcome<void> empty_list(Cli& cli) {
  if (!cli.json_output()) return {};
  cli.json().begin_array();
  cli.json().end_array();
  return {};
}

Outcome<void> perf_show(Cli& cli, Args) {
  TRY(refuse_linux(cli, "perf show"));
  return empty_list(cli);
}

/// `id N` or `name NAME`: there is no such map. Nothing: all of them.
Outcome<void> take_struct_ops(Cli& cli, Args& args) {
  if (args.left() < 2) return wrong_usage();
  if (args.next_is("id")) {
    args.skip();
    const std::string word = TRY(args.take());
    const auto id = parse_unsigned(word);
    if (!id || *id > UINT32_MAX) return refuse(fmt::format("can't parse {} as ID", word));
    const auto map = TRY(cli.kernel())->get_fd_by_id(ObjectKind::map, static_cast<u32>(*id));
    if (!map) return refuse(fmt::format("can't get map by id ({}): {}", *id, errno_text(map.error().code)));
    return refuse(fmt::format("no struct_ops found for {}", word));
  }
  if (!args.take_if("name")) return wrong_usage();
  return refuse(fmt::format("no struct_ops found for {}", TRY(args.take())));
}

Outcome<void> struct_ops_show(Cli& cli, Args args) {
  TRY(refuse_linux(cli, "struct_ops show"));
  if (!args.empty()) return take_struct_ops(cli, args);
  return empty_list(cli);
}
Outcome<void> struct_ops_dump(Cli& cli, Args args) {
  TRY(refuse_linux(cli, "struct_ops dump"));
  if (!args.empty()) return take_struct_ops(cli, args);
  if (cli.json_output()) return empty_list(cli);
  cli.print("[]\n");  // a dump is JSON in any case
  return {};
}
Outcome<void> struct_ops_unregister(Cli& cli, Args args) {
  TRY(refuse_linux(cli, "struct_ops unregister"));
  return take_struct_ops(cli, args);
}
Outcome<void> struct_ops_register(Cli&, Args args) {
  if (args.empty()) return wrong_usage();
  return refuse("'struct_ops register' is not supported by skep: there are no struct_ops in user space");
}

Outcome<void> token_show(Cli& cli, Args) {
  TRY(refuse_linux(cli, "token show"));
  return empty_list(cli);
}

Outcome<void> iter_pin(Cli&, Args args) {
  TRY(args.require_or_usage(2));
  return refuse("'iter pin' is not supported by skep: it runs no iterators (SEC(\"iter/...\"))");
}

constexpr std::string_view kOptions = "       OPTIONS := { {-j|--json} [{-p|--pretty}] | {-d|--debug} }\n";

constexpr std::array kPerfVerbs{
    Verb{"show", perf_show, "{ show | list }"},
    Verb{"list", perf_show, ""},
    Verb{"help", nullptr, "help"},
};
constexpr std::array kStructOpsVerbs{
    Verb{"show", struct_ops_show, "{ show | list } [STRUCT_OPS_MAP]\ndump [STRUCT_OPS_MAP]"},
    Verb{"list", struct_ops_show, ""},
    Verb{"register", struct_ops_register, "register OBJ [LINK_DIR]"},
    Verb{"unregister", struct_ops_unregister, "unregister STRUCT_OPS_MAP"},
    Verb{"dump", struct_ops_dump, ""},
    Verb{"help", nullptr, "help"},
};
constexpr std::array kTokenVerbs{
    Verb{"show", token_show, "{ show | list }"},
    Verb{"list", token_show, ""},
    Verb{"help", nullptr, "help"},
};
constexpr std::array kIterVerbs{
    Verb{"help", nullptr, "help"},
    Verb{"pin", iter_pin, "pin OBJ PATH [map MAP]"},
};

}  // namespace

constinit const Noun kPerf{.name = "perf",
                           .summary = "programs attached to perf events: none",
                           .verbs = kPerfVerbs,
                           .footer = kOptions};

constinit const Noun kStructOps{
    .name = "struct_ops",
    .summary = "struct_ops maps: none",
    .verbs = kStructOpsVerbs,
    .footer =
        "       STRUCT_OPS_MAP := [ id STRUCT_OPS_MAP_ID | name STRUCT_OPS_MAP_NAME ]\n"
        "       OPTIONS := { {-j|--json} [{-p|--pretty}] | {-d|--debug} }\n"};

constinit const Noun kToken{.name = "token",
                            .summary = "BPF tokens: none",
                            .verbs = kTokenVerbs,
                            .footer = "       OPTIONS := { {-j|--json} [{-p|--pretty}] | {-d|--debug} }\n"};

constinit const Noun kIter{.name = "iter",
                           .summary = "iterator programs: skep runs none",
                           .verbs = kIterVerbs,
                           .footer =
                               "       MAP := { id MAP_ID | pinned FILE | name MAP_NAME }\n"
                               "       OPTIONS := { {-j|--json} [{-p|--pretty}] | {-d|--debug} }\n"};

}  // namespace skep::cli
