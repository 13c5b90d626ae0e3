// From argv to the verb: options, noun row, verb row, and what is printed when any of it fails.
#include "cli/run.hpp"

#include "cli/tables.hpp"

namespace skep::cli {

namespace {

std::string base_name(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

WordStyle style_of(std::string_view word) {
  const Noun* noun = find_noun(word);
  return noun == nullptr ? WordStyle::permuted : noun->style;
}

void print_general_usage(Cli& cli) {
  if (cli.json_output()) {
    cli.json().null();
  } else {
    cli.out().flush();
    cli.err().write(general_usage(cli.program()));
  }
}

/// Reports a failure at the JSON depth at which its verb began.
int conclude(Cli& cli, const Outcome<void>& outcome, const Noun& noun, std::size_t depth) {
  if (outcome) return 0;
  const Failure& failure = outcome.error();
  if (failure.usage) {
    cli.json().close_to(depth);
    if (!failure.message.empty()) cli.report(failure);
    if (failure.message.empty() || !cli.json_output()) (void)show_usage(cli, noun);
    return failure.status;
  }
  // An error inside an open list stands in that list; inside an object there is no place for it.
  while (cli.json().depth() > depth && cli.json().in_object()) cli.json().close_to(cli.json().depth() - 1);
  cli.report(failure);
  cli.json().close_to(depth);
  return failure.status;
}

const Verb* find_verb(const Noun& noun, std::string_view word) {
  for (const Verb& verb : noun.verbs)
    if (is_prefix(word, verb.name)) return &verb;
  return nullptr;
}

}  // namespace

int dispatch(Cli& cli, const std::vector<std::string>& words) {
  if (words.empty()) {
    print_general_usage(cli);
    return 0;
  }
  const Noun* noun = find_noun(words[0]);
  if (noun == nullptr) {
    print_general_usage(cli);
    return kExitFailure;
  }
  const std::size_t depth = cli.json().depth();
  if (noun->run != nullptr) return conclude(cli, noun->run(cli, Args(words, 1)), *noun, depth);
  const bool bare = words.size() == 1;
  const Verb* verb = bare ? &noun->verbs.front() : find_verb(*noun, words[1]);
  if (verb == nullptr) {
    (void)show_usage(cli, *noun);
    return kExitFailure;
  }
  if (verb->run == nullptr) return conclude(cli, show_usage(cli, *noun), *noun, depth);  // the "help" row
  return conclude(cli, verb->run(cli, Args(words, bare ? 1 : 2)), *noun, depth);
}

int run(const std::vector<std::string>& argv, Surroundings& around) {
  const std::string called = argv.empty() ? "skep" : base_name(argv[0]);
  const std::string program = called == "bpftool" ? "bpftool" : "skep";
  const std::vector<std::string> rest(argv.begin() + (argv.empty() ? 0 : 1), argv.end());
  CommandLine line = parse_command_line(rest, style_of);
  Cli cli(around, line.options, program);
  int status = 0;
  if (!line.error.empty()) {
    cli.report(Failure{kExitFailure, line.error, false, {}});
    if (!cli.json_output()) print_general_usage(cli);
    status = kExitFailure;
  } else if (line.options.help) {
    print_general_usage(cli);
  } else if (line.options.version) {
    status = dispatch(cli, {"version"});
  } else {
    status = dispatch(cli, line.words);
  }
  if (cli.json_output()) cli.print("\n");
  around.out.flush();
  if (status == 0 && !around.out.good()) {
    around.err.write("Error: writing the output failed\n");
    status = kExitFailure;
  }
  around.err.flush();
  return status;
}

}  // namespace skep::cli
