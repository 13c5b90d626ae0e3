// `version`, `help`: called as bpftool we say what bpftool 7.7 says, since scripts look at it; as skep our
// own.
#include "cli/tables.hpp"

#ifndef SKEP_VERSION
#define SKEP_VERSION "0.0.0"
#endif

namespace skep::cli {

namespace {

struct Feature {
  std::string_view name;
  bool present;
};

/// What the version describes: the program's, and that of bpftool and libbpf whose behaviour it has.
struct VersionView {
  std::string program;
  std::string_view version;
  std::string_view libbpf = "1.7";
  // "llvm": jited code can be disassembled. "skeletons": `prog profile` and process names of objects.
  std::array<Feature, 4> features;
};

VersionView view_of(const Cli& cli) {
  const bool as_bpftool = cli.program() == "bpftool";
  return {.program = cli.program(),
          .version = as_bpftool ? "7.7.0" : SKEP_VERSION,
          .features = {{{"libbfd", false}, {"llvm", true}, {"skeletons", as_bpftool}, {"bootstrap", false}}}};
}

void print_json(JsonWriter& json, const VersionView& view) {
  json.begin_object();
  json.field("version", view.version);
  json.field("libbpf_version", view.libbpf);
  json.name("features");
  json.begin_object();
  for (const Feature& feature : view.features) json.field(feature.name, feature.present);
  json.end_object();
  json.end_object();
}

void print_plain(Cli& cli, const VersionView& view) {
  cli.print("{} v{}\nusing libbpf v{}\nfeatures:", view.program, view.version, view.libbpf);
  bool first = true;
  for (const Feature& feature : view.features) {
    if (!feature.present) continue;
    cli.print("{} {}", first ? "" : ",", feature.name);
    first = false;
  }
  cli.print("\n");
}

}  // namespace

Outcome<void> run_version(Cli& cli, Args) {
  const VersionView view = view_of(cli);
  if (cli.json_output()) {
    print_json(cli.json(), view);
  } else {
    print_plain(cli, view);
  }
  return {};
}

Outcome<void> run_help(Cli& cli, Args) {
  if (cli.json_output()) {
    cli.json().null();
  } else {
    cli.err().write(general_usage(cli.program()));
  }
  return {};
}

}  // namespace skep::cli
