// What both headers share: names, the members for maps and programs, and the code that fills libbpf's tables
// of them.
#include <algorithm>
#include <cctype>

#include "cli/skeleton.hpp"

namespace skep::cli {

namespace {

using loader::MapDef;
using loader::MapOrigin;

constexpr std::array<std::string_view, 4> kSections{".data", ".rodata", ".bss", ".kconfig"};

/// The base name of the file without its ".o".
std::string object_name(const std::string& path) {
  std::string_view name = path;
  name = name.substr(name.rfind('/') + 1);
  if (name.ends_with(".o")) name.remove_suffix(2);
  return identifier(name);
}

/// bpf_map__name() of an object of that name.
std::string map_name(const MapDef& map, const std::string& object) {
  if (!loader::is_internal(map.origin) || std::ranges::find(kSections, map.section) == kSections.end())
    return loader::is_internal(map.origin) ? map.section : map.name;
  constexpr std::size_t longest = 15, suffix = 7;
  return object.substr(0, longest - std::max(suffix, map.section.size())) + map.section;
}

}  // namespace

std::string identifier(std::string_view text) {
  std::string name(text);
  for (char& c : name)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '_') c = '_';
  return name;
}

std::string member_of(const MapDef& map) {
  if (!loader::is_internal(map.origin)) return map.name;
  for (const std::string_view prefix : kSections)
    if (map.section.starts_with(prefix)) return identifier(std::string_view(map.section).substr(1));
  return {};
}

bool has_variables(const MapDef& map) {
  return loader::is_internal(map.origin) && (map.spec.flags & uapi::F_MMAPABLE) != 0 &&
         !member_of(map).empty();
}

std::string without_qualifiers(std::string text) {
  for (const std::string_view word : {"const ", "volatile ", "restrict "})
    for (std::size_t at; (at = text.find(word)) != std::string::npos;) text.erase(at, word.size());
  return text;
}

std::string Skeleton::guard(std::string_view what) const {
  std::string upper = name_;
  std::ranges::transform(upper, upper.begin(),
                         [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return fmt::format("__{}_{}_H__", upper, what);
}

void Skeleton::add_members(bool links) {
  if (!spec_.maps.empty()) {
    text_ += "\tstruct {\n";
    for (const MapDef& map : spec_.maps)
      if (!member_of(map).empty()) text_ += fmt::format("\t\tstruct bpf_map *{};\n", member_of(map));
    text_ += "\t} maps;\n";
  }
  if (spec_.programs.empty()) return;
  for (const std::string_view what : {"program", "link"}) {
    if (what == "link" && !links) break;
    text_ += "\tstruct {\n";
    for (const auto& program : spec_.programs)
      text_ += fmt::format("\t\tstruct bpf_{} *{};\n", what, program.name);
    text_ += fmt::format("\t}} {}s;\n", what == "link" ? "link" : "prog");
  }
}

void Skeleton::add_maps(bool mapped) {
  if (spec_.maps.empty()) return;
  constexpr int entry = 24;  // sizeof(struct bpf_map_skeleton) without a link
  text_ += fmt::format(
      "\t/* maps */\n\ts->map_cnt = {0};\n\ts->map_skel_sz = {1};\n"
      "\ts->maps = (struct bpf_map_skeleton *)calloc(s->map_cnt,\n"
      "\t\t\tsizeof(*s->maps) > {1} ? sizeof(*s->maps) : {1});\n"
      "\tif (!s->maps) {{\n\t\terr = -ENOMEM;\n\t\tgoto err;\n\t}}\n",
      std::ranges::count_if(spec_.maps, [](const MapDef& map) { return !member_of(map).empty(); }), entry);
  int number = 0;
  for (const MapDef& map : spec_.maps) {
    const std::string member = member_of(map);
    if (member.empty()) continue;
    text_ += fmt::format(
        "\n\tmap = (struct bpf_map_skeleton *)((char *)s->maps + {} * s->map_skel_sz);\n"
        "\tmap->name = \"{}\";\n\tmap->map = &obj->maps.{};\n",
        number++,
        mapped                            ? map_name(map, name_)
        : loader::is_internal(map.origin) ? map.section
                                          : map.name,
        member);
    if (mapped && has_variables(map)) text_ += fmt::format("\tmap->mmaped = (void **)&obj->{};\n", member);
  }
  text_ += "\n";
}

void Skeleton::add_programs(bool links) {
  if (spec_.programs.empty()) return;
  text_ += fmt::format(
      "\t/* programs */\n\ts->prog_cnt = {};\n\ts->prog_skel_sz = sizeof(*s->progs);\n"
      "\ts->progs = (struct bpf_prog_skeleton *)calloc(s->prog_cnt, s->prog_skel_sz);\n"
      "\tif (!s->progs) {{\n\t\terr = -ENOMEM;\n\t\tgoto err;\n\t}}\n",
      spec_.programs.size());
  for (std::size_t i = 0; i < spec_.programs.size(); ++i) {
    const std::string& name = spec_.programs[i].name;
    text_ +=
        fmt::format("\n\ts->progs[{0}].name = \"{1}\";\n\ts->progs[{0}].prog = &obj->progs.{1};\n", i, name);
    if (links) text_ += fmt::format("\ts->progs[{0}].link = &obj->links.{1};\n", i, name);
  }
  text_ += "\n";
}

Outcome<SkeletonRequest> take_skeleton(Cli& cli, Args& args) {
  TRY(args.require_or_usage(1));
  SkeletonRequest request;
  request.path = TRY(args.take());
  while (!args.empty()) {
    TRY(args.require(2));
    if (!args.take_if("name")) return refuse(fmt::format("unknown arg {}", args.peek()));
    if (!request.name.empty()) return refuse("object name already specified");
    request.name = TRY(args.take());
  }
  const std::string& path = request.path;
  if (request.name.empty()) request.name = object_name(path);
  auto file = read_file(path);
  if (!file) return refuse(fmt::format("failed to stat() {}: {}", path, errno_text(file.error().code)));
  request.file = std::move(*file);
  // libbpf opens bytes here, not a file: messages have the name alone.
  auto spec = loader::read_object(bytes_of(std::string_view(request.file)), path.substr(path.rfind('/') + 1));
  if (!spec) {
    cli.libbpf(fmt::format("libbpf: {}", spec.error().what));
    const bool not_elf = spec.error().what.find("is not a proper ELF object") != std::string::npos;
    constexpr int format_invalid = 4001;  // LIBBPF_ERRNO__FORMAT
    return refuse(fmt::format("failed to open BPF object file: {}",
                              not_elf ? "BPF object format invalid" : errno_text(spec.error().code)),
                  status_of_errno(not_elf ? format_invalid : spec.error().code));
  }
  request.spec = std::move(*spec);
  return request;
}

}  // namespace skep::cli
