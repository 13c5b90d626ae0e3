// The options before, between and after a command's words, as getopt_long(3) permutes them, without its
// globals.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace skep::cli {

struct Options {
  bool json = false;
  bool pretty = false;
  bool debug = false;
  bool bpffs = false;      ///< show pinned paths
  bool mapcompat = false;  ///< relaxed map definitions; accepted, they are always taken
  bool nomount = false;
  bool use_loader = false;
  bool version = false;
  bool help = false;
  std::string base_btf;
  std::string kernel =
      "user";  ///< "user" (the daemon's), "linux" (this machine's), "inproc" (this process's)
};

/// How the words after a noun are read.
enum class WordStyle {
  permuted,     ///< options anywhere; an unknown one is an error
  own_options,  ///< -j -p -d --json --pretty --debug are taken, what else starts with - is the verb's
  verbatim,     ///< everything after the noun is the verb's
};

struct CommandLine {
  Options options;
  std::vector<std::string> words;
  std::string error;  ///< "unrecognized option '--nosuch'"; empty if all is well
};

/// `arguments` without the program's name. `style_of` says how to read on once the noun is known.
[[nodiscard]] CommandLine parse_command_line(const std::vector<std::string>& arguments,
                                             const std::function<WordStyle(std::string_view noun)>& style_of);

/// The options of bpftool and ours, for usage, completion and the manual: "-j", "--json", ...
[[nodiscard]] std::vector<std::string> option_words();

}  // namespace skep::cli
