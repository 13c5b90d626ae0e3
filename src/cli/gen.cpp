// `gen`: code and BTF made from objects.
#include "cli/gen.hpp"

namespace skep::cli {

namespace {

constexpr std::array kVerbs{
    Verb{"object", gen_object, "object OUTPUT_FILE INPUT_FILE [INPUT_FILE...]"},
    Verb{"skeleton", gen_skeleton, "skeleton FILE [name OBJECT_NAME]"},
    Verb{"subskeleton", gen_subskeleton, "subskeleton FILE [name OBJECT_NAME]"},
    Verb{"min_core_btf", gen_min_core_btf, "min_core_btf INPUT OUTPUT OBJECT [OBJECT...]"},
    Verb{"help", nullptr, "help"},
};

}  // namespace

constinit const Noun kGen{
    .name = "gen",
    .summary = "linked objects, C headers and BTF made from objects",
    .verbs = kVerbs,
    .footer =
        "       OPTIONS := { {-j|--json} [{-p|--pretty}] | {-d|--debug} |\n"
        "                    {-L|--use-loader} | [ {-S|--sign } {-k} <private_key.pem> {-i} "
        "<certificate.x509> ]}\n",
};

}  // namespace skep::cli
