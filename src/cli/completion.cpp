// `completion bash`: a completion script made from the tables, so that it never lags behind them.
#include "cli/tables.hpp"

namespace skep::cli {

namespace {

/// The words in small letters that a noun's usage shows, after which something else may follow: what may
/// stand after a verb.
std::vector<std::string> keywords_of(const Noun& noun) {
  std::vector<std::string> words;
  const std::string usage = usage_of("skep", noun);
  std::string word;
  for (const char c : usage + " ") {
    if ((c >= 'a' && c <= 'z') || c == '_' || (!word.empty() && ((c >= '0' && c <= '9') || c == '/'))) {
      word += c;
      continue;
    }
    const bool letters_only = c == ' ' || c == '\n' || c == '|' || c == ']' || c == '}';
    if (word.size() > 1 && letters_only && std::find(words.begin(), words.end(), word) == words.end())
      words.push_back(word);
    word.clear();
  }
  std::erase_if(words, [&noun](const std::string& w) { return w == "skep" || w == noun.name; });
  std::sort(words.begin(), words.end());
  return words;
}

template <class List>
std::string joined(const List& words) {
  std::string text;
  for (const auto& word : words) text += fmt::format("{}{}", text.empty() ? "" : " ", word);
  return text;
}

}  // namespace

Outcome<void> run_completion(Cli& cli, Args args) {
  if (args.left() != 1) return wrong_usage();
  if (args.peek() != "bash")
    return refuse(fmt::format("no completion for '{}': there is one for bash", args.peek()));
  std::vector<std::string_view> names;
  for (const Noun& noun : nouns()) names.push_back(noun.name);
  cli.print(
      "# bash completion for skep and, in its shell, bpftool; printed by `skep completion bash`\n"
      "_skep() {{\n"
      "  local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} noun= verb= word i\n"
      "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
      "    word=${{COMP_WORDS[i]}}\n"
      "    [[ $word == -* ]] && continue\n"
      "    if [[ -z $noun ]]; then noun=$word; elif [[ -z $verb ]]; then verb=$word; fi\n"
      "  done\n"
      "  if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W '{}' -- \"$cur\")); return; fi\n"
      "  case $prev in\n"
      "    dev|offload_dev|xdpmeta_dev)\n"
      "      COMPREPLY=($(compgen -W \"$(command ls /sys/class/net)\" -- \"$cur\")); return ;;\n"
      "    pinned|file|data_in|data_out|ctx_in|ctx_out|load|loadall|pinmaps|kernel_btf)\n"
      "      COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n"
      "    --kernel) COMPREPLY=($(compgen -W 'user linux inproc' -- \"$cur\")); return ;;\n"
      "  esac\n"
      "  if [[ -z $noun ]]; then COMPREPLY=($(compgen -W '{}' -- \"$cur\")); return; fi\n"
      "  case $noun in\n",
      joined(option_words()), joined(names));
  for (const Noun& noun : nouns()) {
    if (noun.verbs.empty()) continue;
    std::vector<std::string_view> verbs;
    for (const Verb& verb : noun.verbs) verbs.push_back(verb.name);
    cli.print(
        "    {})\n"
        "      if [[ -z $verb ]]; then COMPREPLY=($(compgen -W '{}' -- \"$cur\")); return; fi\n"
        "      COMPREPLY=($(compgen -W '{}' -- \"$cur\") $(compgen -f -- \"$cur\")) ;;\n",
        noun.name, joined(verbs), joined(keywords_of(noun)));
  }
  cli.print(
      "    *) COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n"
      "  esac\n"
      "}}\n"
      "complete -F _skep skep bpftool\n");
  return {};
}

}  // namespace skep::cli
