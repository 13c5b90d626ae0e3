// `gen`: code and BTF made from objects.
#include "cli/gen.hpp"

namespace skep::cli {

namespace {

Outcome<void> no_object(Cli&, Args args) {
  TRY(args.require_or_usage(2));
  return not_supported("gen object");
}
Outcome<void> no_subskeleton(Cli&, Args args) {
  TRY(args.require_or_usage(1));
  return not_supported("gen subskeleton");
}
Outcome<void> no_min_core_btf(Cli&, Args args) {
  TRY(args.require_or_usage(3));
  return not_supported("gen min_core_btf");
}

constexpr std::array kVerbs{
    Verb{"object", no_object, "object OUTPUT_FILE INPUT_FILE [INPUT_FILE...]"},
    Verb{"skeleton", gen_skeleton, "skeleton FILE [name OBJECT_NAME]"},
    Verb{"subskeleton", no_subskeleton, "subskeleton FILE [name OBJECT_NAME]"},
    Verb{"min_core_btf", no_min_core_btf, "min_core_btf INPUT OUTPUT OBJECT [OBJECT...]"},
    Verb{"help", nullptr, "help"},
};

}  // namespace

constinit const Noun kGen{
    .name = "gen",
    .summary = "C headers made from objects: skeleton",
    .verbs = kVerbs,
    .footer =
        "       OPTIONS := { {-j|--json} [{-p|--pretty}] | {-d|--debug} |\n"
        "                    {-L|--use-loader} }\n",
};

}  // namespace skep::cli
