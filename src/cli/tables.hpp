// The grammar as tables: nouns with rows of verbs. Matching, usage texts, completion and the check of the
// manual all come from them. A verb is one function in one file, and one row here and in its noun's file.
#pragma once
#include <span>
#include <string>
#include <string_view>

#include "cli/args.hpp"
#include "cli/cli.hpp"
#include "cli/options.hpp"

namespace skep::cli {

using VerbFunction = Outcome<void> (*)(Cli&, Args);

struct Verb {
  std::string_view name;
  VerbFunction run;  ///< none: prints the noun's usage (the "help" rows)
  /// What stands after "PROGRAM NOUN " in the usage; several lines if it has several forms, a line that
  /// starts with a blank continues the one before. Empty: shown in another row ("{ show | list }").
  std::string_view synopsis;
  bool ours = false;  ///< not one of bpftool's: not in the usage that bpftool prints
};

struct Noun {
  std::string_view name;
  /// One line for the manual and `help`.
  std::string_view summary;
  /// Rows in matching order: the first whose name starts with the word. Without a word the first row runs.
  std::span<const Verb> verbs = {};
  /// Instead of verbs: a noun that is itself the command. Then `forms` stands after "PROGRAM NOUN".
  VerbFunction run = nullptr;
  std::string_view forms = {};
  /// The lines of the usage below the verbs, as they stand, each with its indentation.
  std::string_view footer = {};
  WordStyle style = WordStyle::permuted;
  bool ours = false;  ///< not one of bpftool's
};

/// All nouns, in matching order.
[[nodiscard]] std::span<const Noun> nouns();
/// The first noun that `word` abbreviates.
[[nodiscard]] const Noun* find_noun(std::string_view word);

// One per file.
extern const Noun kProg, kMap, kLink, kNet, kBtf, kFeature, kDaemon;
extern const Noun kCgroup, kPerf, kStructOps, kIter, kToken, kGen;

[[nodiscard]] std::string usage_of(std::string_view program, const Noun& noun);
/// "PROGRAM NOUN ..." of all; `program` "bpftool" names bpftool's nouns only.
[[nodiscard]] std::string general_usage(std::string_view program);

/// Prints the noun's usage on stderr (JSON: null). The `help` row of every noun.
Outcome<void> show_usage(Cli& cli, const Noun& noun);
/// "NOUN VERB is not supported by skep".
[[nodiscard]] std::unexpected<Failure> not_supported(std::string_view what);

Outcome<void> run_version(Cli& cli, Args args);
Outcome<void> run_help(Cli& cli, Args args);
Outcome<void> run_batch(Cli& cli, Args args);
Outcome<void> run_completion(Cli& cli, Args args);
Outcome<void> run_stats(Cli& cli, Args args);
Outcome<void> run_shell(Cli& cli, Args args);
Outcome<void> run_capture(Cli& cli, Args args);
/// `run --raw`: bare instructions.
Outcome<void> run_bare(Cli& cli, Args args);
Outcome<void> run_verify(Cli& cli, Args args);

/// Finds the noun and the verb, runs it, reports what failed. The exit status.
int dispatch(Cli& cli, const std::vector<std::string>& words);

}  // namespace skep::cli
