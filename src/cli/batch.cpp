// `batch file FILE`: one command a line, # begins a comment, a backslash at the end continues the line, words
// may be quoted. The first failure ends it. With JSON every command and its output is an object of one array.
#include <fstream>
#include <iostream>
#include <sstream>

#include "cli/tables.hpp"

namespace skep::cli {

namespace {

constexpr std::size_t kLineLimit = 65536;
constexpr std::size_t kWordLimit = 4096;
constexpr std::size_t kFileLimit = 64u << 20;

Outcome<std::vector<std::string>> split_words(std::string_view line, unsigned number) {
  constexpr std::string_view blank = " \t\r\n";
  std::vector<std::string> words;
  std::size_t at = 0;
  while ((at = line.find_first_not_of(blank, at)) != std::string_view::npos) {
    if (words.size() + 1 >= kWordLimit)
      return refuse(fmt::format("too many arguments to command {}", number));
    std::size_t end;
    if (line[at] == '\'' || line[at] == '"') {
      end = line.find(line[at], at + 1);
      if (end == std::string_view::npos)
        return refuse(fmt::format("unterminated quoted string in command {}", number));
      words.emplace_back(line.substr(at + 1, end - at - 1));
      at = end + 1;
      continue;
    }
    end = std::min(line.find_first_of(blank, at), line.size());
    words.emplace_back(line.substr(at, end - at));
    at = end;
  }
  return words;
}

Outcome<std::string> read_all(const std::string& path) {
  if (path == "-") {
    std::ostringstream text;
    text << std::cin.rdbuf();
    return text.str();
  }
  auto text = read_file(path, kFileLimit);
  if (!text) return refuse(fmt::format("Can't open file ({}): {}", path, errno_text(text.error().code)));
  return std::move(*text);
}

std::string without_comment(std::string line) {
  if (const auto hash = line.find('#'); hash != std::string::npos) line.resize(hash);
  return line;
}

/// Runs one command inside the batch; with JSON as {"command":[...],"output":...}.
int run_command(Cli& cli, const std::vector<std::string>& words) {
  if (!cli.json_output()) return dispatch(cli, words);
  JsonWriter& json = cli.json();
  json.begin_object();
  json.name("command");
  json.begin_array();
  for (const std::string& word : words) json.string(word);
  json.end_array();
  json.name("output");
  const std::size_t depth = json.depth();
  const int status = dispatch(cli, words);
  json.close_to(depth - 1);
  return status;
}

}  // namespace

Outcome<void> run_batch(Cli& cli, Args args) {
  if (args.left() < 2) return refuse("too few parameters for batch");
  if (args.left() > 2) return refuse("too many parameters for batch");
  if (!args.next_is("file")) return refuse(fmt::format("expected 'file', got: {}", args.peek()));
  args.skip();
  std::istringstream lines(TRY(read_all(args.peek())));
  if (cli.json_output()) cli.json().begin_array();
  unsigned number = 0;
  std::string line;
  while (std::getline(lines, line)) {
    line = without_comment(std::move(line));
    while (line.ends_with('\\')) {
      std::string more;
      if (!std::getline(lines, more))
        return refuse(fmt::format("missing continuation line on command {}", number));
      line.pop_back();
      line += without_comment(std::move(more));
      if (line.size() > kLineLimit) return refuse(fmt::format("command {} is too long", number));
    }
    const std::vector<std::string> words = TRY(split_words(line, number));
    if (words.empty()) continue;
    if (const int status = run_command(cli, words); status != 0)
      return std::unexpected<Failure>(Failure{status, {}, false, {}});
    ++number;
  }
  if (cli.json_output()) {
    cli.json().end_array();
  } else {
    cli.print("processed {} commands\n", number);
  }
  return {};
}

}  // namespace skep::cli
