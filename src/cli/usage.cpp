// Usage texts, composed from the tables in bpftool's form.
#include "cli/tables.hpp"

namespace skep::cli {

namespace {

/// Appends one form after another, each on a line of its own behind `lead`; a line of `forms` that begins
/// with a blank continues the form before it and stands as it is.
void append_forms(std::string& text, std::string_view forms, std::string_view lead, bool& first) {
  while (!forms.empty()) {
    const auto end = forms.find('\n');
    const std::string_view line = forms.substr(0, end);
    forms = end == std::string_view::npos ? std::string_view() : forms.substr(end + 1);
    if (line.starts_with(' ')) {
      text += fmt::format("{}\n", line);
      continue;
    }
    text += fmt::format("{}{} {}\n", first ? "Usage: " : "       ", lead, line);
    first = false;
  }
}

}  // namespace

std::string usage_of(std::string_view program, const Noun& noun) {
  std::string text;
  bool first = true;
  const std::string lead = fmt::format("{} {}", program, noun.name);
  if (noun.run != nullptr) {
    if (noun.forms.empty()) text += fmt::format("Usage: {}\n", lead);
    append_forms(text, noun.forms, lead, first);
  }
  for (const Verb& verb : noun.verbs)
    if (verb.name != "help" && !(verb.ours && program == "bpftool"))
      append_forms(text, verb.synopsis, lead, first);
  // The help row stands last, wherever it is in the matching order.
  for (const Verb& verb : noun.verbs)
    if (verb.name == "help") append_forms(text, verb.synopsis, lead, first);
  if (!noun.footer.empty()) text += fmt::format("\n{}", noun.footer);
  return text;
}

std::string general_usage(std::string_view program) {
  const bool as_bpftool = program == "bpftool";
  std::string objects;
  std::string own;
  for (const Noun& noun : nouns()) {
    if (noun.name == "help" || noun.name == "batch" || noun.name == "version") continue;
    if (noun.ours) {
      if (!as_bpftool)
        own += fmt::format("       {} {}{}{}\n", program, noun.name, noun.forms.empty() ? "" : " ",
                           noun.forms.substr(0, noun.forms.find('\n')));
      continue;
    }
    objects += fmt::format("{}{}", objects.empty() ? "" : " | ", noun.name);
  }
  return fmt::format(
      "Usage: {0} [OPTIONS] OBJECT {{ COMMAND | help }}\n"
      "       {0} batch file FILE\n"
      "       {0} version\n"
      "{1}"
      "\n"
      "       OBJECT := {{ {2} }}\n"
      "       OPTIONS := {{ {{-j|--json}} [{{-p|--pretty}}] | {{-d|--debug}} |\n"
      "                    {{-V|--version}}{3} }}\n",
      program, own, objects, as_bpftool ? "" : " | --kernel { user | linux | inproc }");
}

Outcome<void> show_usage(Cli& cli, const Noun& noun) {
  if (cli.json_output()) {
    cli.json().null();
  } else {
    cli.out().flush();
    cli.err().write(usage_of(cli.program(), noun));
  }
  return {};
}

}  // namespace skep::cli
