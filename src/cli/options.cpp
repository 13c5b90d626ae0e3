// One table of options; a parser that permutes, bundles short options and takes unambiguous abbreviations of
// long ones, as getopt_long(3) does.
#include "cli/options.hpp"

#include <fmt/format.h>

#include <array>

namespace skep::cli {

namespace {

struct Row {
  char letter;  ///< 0: none
  std::string_view name;
  bool takes_value;
  void (*apply)(Options&, const std::string& value);
};

void set_pretty(Options& o, const std::string&) { o.json = o.pretty = true; }

constexpr std::array kRows{
    Row{'j', "json", false, [](Options& o, const std::string&) { o.json = true; }},
    Row{'h', "help", false, [](Options& o, const std::string&) { o.help = true; }},
    Row{'p', "pretty", false, set_pretty},
    Row{'V', "version", false, [](Options& o, const std::string&) { o.version = true; }},
    Row{'f', "bpffs", false, [](Options& o, const std::string&) { o.bpffs = true; }},
    Row{'m', "mapcompat", false, [](Options& o, const std::string&) { o.mapcompat = true; }},
    Row{'n', "nomount", false, [](Options& o, const std::string&) { o.nomount = true; }},
    Row{'d', "debug", false, [](Options& o, const std::string&) { o.debug = true; }},
    Row{'L', "use-loader", false, [](Options& o, const std::string&) { o.use_loader = true; }},
    Row{'B', "base-btf", true, [](Options& o, const std::string& v) { o.base_btf = v; }},
    Row{0, "kernel", true, [](Options& o, const std::string& v) { o.kernel = v; }},
};

bool known_kernel(std::string_view name) { return name == "user" || name == "linux" || name == "inproc"; }

class Parser {
 public:
  Parser(const std::vector<std::string>& arguments,
         const std::function<WordStyle(std::string_view)>& style_of)
      : arguments_(arguments), style_of_(style_of) {}

  CommandLine run() {
    while (at_ < arguments_.size() && line_.error.empty()) {
      const std::string& word = arguments_[at_++];
      if (style_ == WordStyle::verbatim) {
        line_.words.push_back(word);
      } else if (word == "--") {
        while (at_ < arguments_.size()) line_.words.push_back(arguments_[at_++]);
      } else if (word.starts_with("--")) {
        long_option(word);
      } else if (word.size() > 1 && word[0] == '-') {
        short_options(word);
      } else {
        if (line_.words.empty()) style_ = style_of_(word);
        line_.words.push_back(word);
      }
    }
    if (line_.error.empty() && !known_kernel(line_.options.kernel))
      line_.error =
          fmt::format("unknown kernel '{}': it is 'user', 'linux' or 'inproc'", line_.options.kernel);
    return std::move(line_);
  }

 private:
  static bool taken_among_own(const Row& row) {
    return row.name == "json" || row.name == "pretty" || row.name == "debug";
  }

  void long_option(const std::string& word) {
    const auto equals = word.find('=');
    const std::string name = word.substr(2, equals == std::string::npos ? std::string::npos : equals - 2);
    const Row* row = find_long(name);
    const bool own = style_ == WordStyle::own_options && !line_.words.empty();
    if (own && (row == nullptr || row->name != name || !taken_among_own(*row))) {
      line_.words.push_back(word);
      return;
    }
    if (row == nullptr || (!row->takes_value && equals != std::string::npos)) return unrecognized(word);
    std::string value;
    if (row->takes_value) {
      if (equals != std::string::npos) {
        value = word.substr(equals + 1);
      } else if (at_ < arguments_.size()) {
        value = arguments_[at_++];
      } else {
        return unrecognized(word);
      }
    }
    row->apply(line_.options, value);
  }

  void short_options(const std::string& word) {
    if (style_ == WordStyle::own_options && !line_.words.empty() && word != "-j" && word != "-p" &&
        word != "-d") {
      line_.words.push_back(word);
      return;
    }
    for (std::size_t i = 1; i < word.size(); ++i) {
      const Row* row = nullptr;
      for (const Row& candidate : kRows)
        if (candidate.letter == word[i]) row = &candidate;
      if (row == nullptr) return unrecognized(word);
      if (!row->takes_value) {
        row->apply(line_.options, {});
        continue;
      }
      if (i + 1 < word.size()) {
        row->apply(line_.options, word.substr(i + 1));
      } else if (at_ < arguments_.size()) {
        row->apply(line_.options, arguments_[at_++]);
      } else {
        unrecognized(word);
      }
      return;
    }
  }

  static const Row* find_long(std::string_view name) {
    const Row* found = nullptr;
    for (const Row& row : kRows) {
      if (row.name == name) return &row;
      if (!name.empty() && row.name.starts_with(name)) {
        if (found != nullptr) return nullptr;
        found = &row;
      }
    }
    return found;
  }

  void unrecognized(const std::string& word) { line_.error = fmt::format("unrecognized option '{}'", word); }

  const std::vector<std::string>& arguments_;
  const std::function<WordStyle(std::string_view)>& style_of_;
  CommandLine line_;
  std::size_t at_ = 0;
  WordStyle style_ = WordStyle::permuted;
};

}  // namespace

CommandLine parse_command_line(const std::vector<std::string>& arguments,
                               const std::function<WordStyle(std::string_view)>& style_of) {
  return Parser(arguments, style_of).run();
}

std::vector<std::string> option_words() {
  std::vector<std::string> words;
  for (const Row& row : kRows) {
    if (row.letter != 0) words.push_back(fmt::format("-{}", row.letter));
    words.push_back(fmt::format("--{}", row.name));
  }
  return words;
}

}  // namespace skep::cli
