// `btf`: the type information that the kernel holds, or that files contain.
#include "btf/btf.hpp"

#include <array>
#include <cerrno>
#include <map>

#include "btf/dump.hpp"
#include "cli/objects.hpp"
#include "cli/tables.hpp"
#include "loader/object.hpp"

namespace skep::cli {

namespace {

constexpr std::string_view kKernelBtf = "/sys/kernel/btf/";
constexpr std::string_view kVmlinux = "/sys/kernel/btf/vmlinux";

struct BtfView {
  BtfInfo info;
  std::vector<u32> prog_ids;
  std::vector<u32> map_ids;
};

/// BTF id -> ids of the programs or maps that use it, the newest first as bpftool's table has them.
using UsersOf = std::multimap<u32, u32>;

std::vector<u32> users_of(const UsersOf& table, u32 btf_id) {
  std::vector<u32> ids;
  for (auto [it, end] = table.equal_range(btf_id); it != end; ++it) ids.insert(ids.begin(), it->second);
  return ids;
}

Outcome<UsersOf> users(Kernel& kernel, ObjectKind kind) {
  UsersOf table;
  const std::string_view what = object_kind_name(kind);
  TRY(each_object(kernel, kind, what, [&](u32 id, const Handle& handle) -> Outcome<void> {
    u32 btf_id = 0;
    if (kind == ObjectKind::prog) {
      btf_id = TRY(info_of_program(kernel, handle)).btf_id;
    } else {
      btf_id = TRY(info_of_map(kernel, handle)).btf_id;
    }
    if (btf_id != 0) table.emplace(btf_id, id);
    return {};
  }));
  return table;
}

void print_plain(Cli& cli, const BtfView& view) {
  const BtfInfo& info = view.info;
  cli.print("{}: ", info.id);
  if (info.kernel_btf) {
    cli.print("name [{}]  ", info.name);
  } else {
    cli.print("name {}  ", info.name.empty() ? "<anon>" : info.name);
  }
  cli.print("size {}B", info.size);
  for (std::size_t i = 0; i < view.prog_ids.size(); ++i)
    cli.print("{}{}", i == 0 ? "  prog_ids " : ",", view.prog_ids[i]);
  for (std::size_t i = 0; i < view.map_ids.size(); ++i)
    cli.print("{}{}", i == 0 ? "  map_ids " : ",", view.map_ids[i]);
  cli.print("\n");
}

void print_ids(JsonWriter& json, std::string_view name, const std::vector<u32>& ids) {
  json.name(name);
  json.begin_array();
  for (const u32 id : ids) json.number(id);
  json.end_array();
}

void print_json(JsonWriter& json, const BtfView& view) {
  json.begin_object();
  json.field("id", view.info.id);
  json.field("size", view.info.size);
  print_ids(json, "prog_ids", view.prog_ids);
  print_ids(json, "map_ids", view.map_ids);
  json.field("kernel", view.info.kernel_btf);
  if (!view.info.name.empty()) json.field("name", std::string_view(view.info.name));
  json.end_object();
}

Outcome<void> btf_show(Cli& cli, Args args) {
  std::optional<u32> only;
  if (args.left() == 2) {
    if (!args.take_if("id")) return refuse(fmt::format("expected 'id', got: '{}'?", args.peek()));
    only = TRY(parse_u32(TRY(args.take()), "ID"));
  }
  TRY(args.finished());
  Kernel& kernel = *TRY(cli.kernel());
  if (only) {
    const auto handle = kernel.get_fd_by_id(ObjectKind::btf, *only);
    if (!handle) return kernel_refused(fmt::format("can't get BTF object by id ({})", *only), handle.error());
  }
  const UsersOf programs = TRY(users(kernel, ObjectKind::prog));
  const UsersOf maps = TRY(users(kernel, ObjectKind::map));
  std::vector<BtfView> views;
  const auto add = [&](u32 id, const Handle& handle) -> Outcome<void> {
    auto info = kernel.btf_info(handle.fd());
    if (!info) return kernel_refused("can't get BTF object info", info.error());
    info->data.clear();
    views.push_back({std::move(*info), users_of(programs, id), users_of(maps, id)});
    return {};
  };
  if (only) {
    const auto handle = kernel.get_fd_by_id(ObjectKind::btf, *only);
    if (!handle) return kernel_refused(fmt::format("can't get BTF object by id ({})", *only), handle.error());
    TRY(add(*only, *handle));
  } else {
    TRY(each_object(kernel, ObjectKind::btf, "BTF object", add));
  }
  const bool as_list = cli.json_output() && !only;
  if (as_list) cli.json().begin_array();
  for (const BtfView& view : views) {
    if (cli.json_output()) {
      print_json(cli.json(), view);
    } else {
      print_plain(cli, view);
    }
  }
  if (as_list) cli.json().end_array();
  return {};
}

/// What `btf dump` is to show.
struct DumpSource {
  std::unique_ptr<LoadedBtf> loaded;
  std::vector<u32> roots;  ///< types of a map; none: all
};

Outcome<std::unique_ptr<btf::Btf>> read_base(const std::string& path) {
  auto base = loader::read_btf_file(path);
  if (!base)
    return refuse(fmt::format("failed to parse base BTF at '{}': {}", path, errno_text(base.error().code)));
  return std::make_unique<btf::Btf>(std::move(*base));
}

Outcome<DumpSource> from_file(Cli& cli, Args& args) {
  const std::string path = TRY(args.take());
  DumpSource source{std::make_unique<LoadedBtf>(), {}};
  if (!cli.options().base_btf.empty()) {
    source.loaded->base = TRY(read_base(cli.options().base_btf));
  } else if (path.starts_with(kKernelBtf) && path != kVmlinux) {
    source.loaded->base = TRY(read_base(std::string(kVmlinux)));
  }
  auto types = loader::read_btf_file(path, source.loaded->base.get());
  if (!types) {
    cli.debug(types.error().what);
    return kernel_refused_errno(fmt::format("failed to load BTF from {}", path), types.error());
  }
  source.loaded->btf = std::move(*types);
  return source;
}

std::vector<u32> take_roots(Args& args, const MapInfo& info) {
  if (args.take_if("key")) return {info.btf_key_type_id};
  if (args.take_if("value")) return {info.btf_value_type_id};
  if (args.take_if("all")) return {};
  (void)args.take_if("kv");
  return {info.btf_key_type_id, info.btf_value_type_id};
}

Outcome<DumpSource> take_source(Cli& cli, Args& args) {
  TRY(args.require_or_usage(2));
  const std::string word = TRY(args.take());
  u32 id = 0;
  std::vector<u32> roots;
  if (is_prefix(word, "map")) {
    TRY(args.require(2));
    const MapRef map = TRY(take_map(cli, args));
    id = map.info.btf_id;
    // a word that begins the options, not what to show of the map
    if (!args.next_is("format") && !args.next_is("unsorted") && !args.next_is("root_id")) {
      roots = take_roots(args, map.info);
    } else {
      roots = {map.info.btf_key_type_id, map.info.btf_value_type_id};
    }
  } else if (is_prefix(word, "prog")) {
    TRY(args.require(2));
    id = TRY(take_program(cli, args)).info.btf_id;
  } else if (is_prefix(word, "id")) {
    id = TRY(parse_u32(TRY(args.take()), "ID"));
  } else if (is_prefix(word, "file")) {
    return from_file(cli, args);
  } else {
    return refuse(fmt::format("unrecognized BTF source specifier: '{}'", word));
  }
  return DumpSource{TRY(load_btf(*TRY(cli.kernel()), id)), std::move(roots)};
}

Outcome<void> btf_dump(Cli& cli, Args args) {
  constexpr int invalid = status_of_errno(EINVAL);
  const DumpSource source = TRY(take_source(cli, args));
  std::vector<u32> roots = source.roots;
  bool as_c = false;
  bool sorted = true;
  while (!args.empty()) {
    if (args.take_if("format")) {
      if (args.empty()) return refuse("expecting value for 'format' option", invalid);
      const std::string format = TRY(args.take());
      if (format != "c" && format != "raw")
        return refuse(fmt::format("unrecognized format specifier: '{}', possible values: raw, c", format),
                      invalid);
      as_c = format == "c";
    } else if (args.take_if("root_id")) {
      if (args.empty()) return refuse("expecting value for 'root_id' option", invalid);
      roots.push_back(TRY(parse_u32(TRY(args.take()), "root_id")));
      if (roots.back() > source.loaded->btf.type_count())
        return refuse(fmt::format("invalid root ID: {}", roots.back()), invalid);
    } else if (args.take_if("unsorted")) {
      sorted = false;
    } else {
      return refuse(fmt::format("unrecognized option: '{}'", args.peek()), invalid);
    }
  }
  const btf::Btf& types = source.loaded->btf;
  if (!as_c) {
    if (cli.json_output()) {
      btf::raw_json(types, cli.json(), roots);
    } else {
      cli.out().write(btf::raw_text(types, roots));
    }
    return {};
  }
  if (cli.json_output())
    return refuse("JSON output for C-syntax dump is not supported", status_of_errno(EOPNOTSUPP));
  const auto header = btf::c_header(types, roots, {.sorted = sorted});
  if (!header)
    return refuse(fmt::format("failed to dump BTF as C: {}", header.error().what),
                  status_of_errno(header.error().code));
  cli.out().write(*header);
  return {};
}

constexpr std::array kVerbs{
    Verb{"show", btf_show, "{ show | list } [id BTF_ID]"},
    Verb{"list", btf_show, ""},
    Verb{"help", nullptr, "help"},
    Verb{"dump", btf_dump, "dump BTF_SRC [format FORMAT] [root_id ROOT_ID]"},
};

}  // namespace

constinit const Noun kBtf{
    .name = "btf",
    .summary = "type information: list, dump",
    .verbs = kVerbs,
    .footer =
        "       BTF_SRC := { id BTF_ID | prog PROG | map MAP [{key | value | kv | all}] |\n"
        "                    file FILE [file FILE]... }\n"
        "       FORMAT  := { raw | c [unsorted] }\n"
        "       MAP := { id MAP_ID | pinned FILE | name MAP_NAME }\n"
        "       PROG := { id PROG_ID | pinned FILE | tag PROG_TAG | name PROG_NAME }\n"
        "       OPTIONS := { {-j|--json} [{-p|--pretty}] | {-d|--debug} |\n"
        "                    {-B|--base-btf} }\n",
};

}  // namespace skep::cli
