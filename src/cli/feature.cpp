// `feature`: what the kernel offers, asked by trying: each program type is loaded, each map type made.
#include <algorithm>
#include <array>

#include "cli/tables.hpp"

namespace skep::cli {

namespace {

/// What a type needs to be loaded at all.
ProgramSpec smallest_program(ProgType type) {
  ProgramSpec spec;
  spec.type = type;
  spec.license = "GPL";
  spec.insns = {{.code = 0xb7}, {.code = 0x95}};
  switch (type) {
    case ProgType::cgroup_sock_addr:
      spec.expected_attach_type = AttachType::cgroup_inet4_connect;
      break;
    case ProgType::cgroup_sockopt:
      spec.expected_attach_type = AttachType::cgroup_getsockopt;
      break;
    case ProgType::sk_lookup:
      spec.expected_attach_type = AttachType::sk_lookup;
      break;
    case ProgType::netfilter:
      spec.expected_attach_type = AttachType::netfilter;
      break;
    case ProgType::syscall:
      spec.flags = uapi::F_SLEEPABLE;
      break;
    case ProgType::tracing:
      spec.expected_attach_type = AttachType::trace_fentry;
      spec.attach_btf_id = 1;
      break;
    case ProgType::lsm:
    case ProgType::ext:
      spec.attach_btf_id = 1;
      break;
    default:
      break;
  }
  return spec;
}

/// Some types cannot be loaded without a target; what the kernel says of a wrong one tells that it knows
/// them.
bool has_prog_type(Kernel& kernel, ProgType type) {
  Log log;
  const auto loaded = kernel.prog_load(smallest_program(type), {.level = 1, .size = 4096}, &log);
  if (loaded) return true;
  const auto says = [&log](std::string_view words) { return log.text.find(words) != std::string::npos; };
  switch (type) {
    case ProgType::tracing:
    case ProgType::lsm:
      return loaded.error().code == EINVAL && says("attach_btf_id 1 is not a function");
    case ProgType::ext:
      return loaded.error().code == EINVAL && says("Cannot replace kernel functions");
    case ProgType::struct_ops:
      return loaded.error().code == kENOTSUPP && loaded.error().what.find("skep") == std::string::npos;
    default:
      return false;
  }
}

/// BTF of one type, int: what the local storages want of their keys.
std::vector<std::byte> int_btf() {
  struct {
    u16 magic = 0xeb9f;
    u8 version = 1, flags = 0;
    u32 hdr_len = 24, type_off = 0, type_len = 16, str_off = 16, str_len = 5;
    u32 name_off = 1, info = 1u << 24, size = 4, encoding = 1u << 24 | 32;
    char strings[5] = {0, 'i', 'n', 't', 0};
  } bytes;
  const ByteView view = bytes_of(bytes);
  return {view.begin(), view.begin() + 24 + 16 + 5};
}

bool has_map_type(Kernel& kernel, MapType type) {
  MapSpec spec{.type = type, .key_size = 4, .value_size = 4, .max_entries = 1};
  Handle inner;
  Handle btf;
  switch (type) {
    case MapType::stack_trace:
      spec.value_size = 8;
      break;
    case MapType::lpm_trie:
      spec.key_size = spec.value_size = 8;
      spec.flags = uapi::F_NO_PREALLOC;
      break;
    case MapType::cgroup_storage:
    case MapType::percpu_cgroup_storage:
      spec.key_size = 16;
      spec.value_size = 8;
      spec.max_entries = 0;
      break;
    case MapType::queue:
    case MapType::stack:
    case MapType::bloom_filter:
      spec.key_size = 0;
      break;
    case MapType::sk_storage:
    case MapType::inode_storage:
    case MapType::task_storage:
    case MapType::cgrp_storage: {
      auto loaded = kernel.btf_load(int_btf());
      if (!loaded) return false;
      btf = std::move(*loaded);
      spec.btf_fd = btf.fd();
      spec.btf_key_type_id = spec.btf_value_type_id = 1;
      spec.max_entries = 0;
      spec.flags = uapi::F_NO_PREALLOC;
      break;
    }
    case MapType::ringbuf:
    case MapType::user_ringbuf:
      spec.key_size = spec.value_size = 0;
      spec.max_entries = 4096;
      break;
    case MapType::array_of_maps:
    case MapType::hash_of_maps: {
      auto made =
          kernel.map_create({.type = MapType::hash, .key_size = 4, .value_size = 4, .max_entries = 1});
      if (!made) return false;
      inner = std::move(*made);
      spec.inner_map_fd = inner.fd();
      break;
    }
    case MapType::struct_ops:
      spec.btf_vmlinux_value_type_id = 1;
      break;
    case MapType::arena:
      spec.key_size = spec.value_size = 0;
      spec.flags = uapi::F_MMAPABLE;
      break;
    default:
      break;
  }
  const auto made = kernel.map_create(spec);
  if (made) return true;
  return type == MapType::struct_ops && made.error().code == kENOTSUPP &&
         made.error().what.find("skep") == std::string::npos;
}

/// Whether a program of `count` instructions loads, made of `insns` over and over.
bool loads(Kernel& kernel, std::vector<isa::Insn> insns) {
  ProgramSpec spec;
  spec.type = ProgType::socket_filter;
  spec.license = "GPL";
  spec.insns = std::move(insns);
  return kernel.prog_load(spec).has_value();
}

struct Feature {
  std::string name;  ///< the word in JSON, without "have_"
  std::string text;  ///< what stands before "is available"
  bool there = false;
};

struct HelperList {
  std::string type;
  bool supported = false;
  std::vector<std::string_view> helpers;
};

struct FeatureView {
  bool jit = false;
  std::vector<Feature> prog_types, map_types, misc;
  std::vector<HelperList> helpers;
};

std::vector<Feature> probe_misc(Kernel& kernel) {
  std::vector<isa::Insn> large(4096 + 1, isa::Insn{.code = 0xb7});
  large.push_back({.code = 0x95});
  const std::vector<isa::Insn> loop{
      {.code = 0xb7, .imm = 10}, {.code = 0x17, .imm = 1}, {.code = 0x55, .off = -2}, {.code = 0x95}};
  const std::vector<isa::Insn> v2{
      {.code = 0xb7}, {.code = 0xa5, .off = 1}, {.code = 0xb7, .imm = 1}, {.code = 0x95}};
  const std::vector<isa::Insn> v3{
      {.code = 0xb7}, {.code = 0xa6, .off = 1}, {.code = 0xb7, .imm = 1}, {.code = 0x95}};
  const std::vector<isa::Insn> v4{{.code = 0xb7},
                                  {.code = 0x16, .off = 1, .imm = 1},
                                  {.code = 0x06, .imm = 1},
                                  {.code = 0xb7, .imm = 1},
                                  {.code = 0x95}};
  return {{"large_insn_limit", "Large program size limit", loads(kernel, std::move(large))},
          {"bounded_loops", "Bounded loop support", loads(kernel, loop)},
          {"v2_isa_extension", "ISA extension v2", loads(kernel, v2)},
          {"v3_isa_extension", "ISA extension v3", loads(kernel, v3)},
          {"v4_isa_extension", "ISA extension v4", loads(kernel, v4)}};
}

/// Helpers whose probing prints to the kernel's log are left out, unless all are asked for.
bool is_loud(std::string_view helper) {
  return helper == "bpf_trace_printk" || helper == "bpf_trace_vprintk" || helper == "bpf_probe_write_user";
}

Outcome<FeatureView> view_features(Kernel& kernel, bool full) {
  FeatureView view;
  // Anybody may load this one: what refuses it is no kernel to probe.
  const auto smallest = kernel.prog_load(smallest_program(ProgType::socket_filter));
  if (!smallest) return kernel_refused_errno("can't probe", smallest.error());
  for (u32 number = 1; !prog_type_name(static_cast<ProgType>(number)).empty(); ++number) {
    const auto type = static_cast<ProgType>(number);
    const std::string name(prog_type_name(type));
    const bool there = has_prog_type(kernel, type);
    view.prog_types.push_back({name + "_prog_type", "eBPF program_type " + name, there});
    HelperList list{name, there, {}};
    const auto ids = there ? kernel.helpers(type) : Result<std::vector<u32>>(std::vector<u32>{});
    if (!ids && ids.error().code != EOPNOTSUPP)
      return kernel_refused_errno("can't list helpers", ids.error());
    if (ids)
      for (const u32 id : *ids)
        if (full || !is_loud(helper_name(id))) list.helpers.push_back(helper_name(id));
    view.helpers.push_back(std::move(list));
  }
  for (u32 number = 1; !map_type_name(static_cast<MapType>(number)).empty(); ++number) {
    const auto type = static_cast<MapType>(number);
    const std::string name(map_type_name(type));
    view.map_types.push_back({name + "_map_type", "eBPF map_type " + name, has_map_type(kernel, type)});
  }
  view.misc = probe_misc(kernel);
  if (const auto info = kernel.prog_info(smallest->fd())) view.jit = info->jited_len != 0;
  return view;
}

void print_plain(Cli& cli, const FeatureView& view) {
  const auto section = [&](std::string_view title, const std::vector<Feature>& features) {
    cli.print("\nScanning {}...\n", title);
    for (const Feature& feature : features)
      cli.print("{} is {}available\n", feature.text, feature.there ? "" : "NOT ");
  };
  cli.print("Scanning system configuration...\nJIT compiler is {}\n", view.jit ? "enabled" : "disabled");
  section("system call availability", {{"bpf_syscall", "bpf() syscall", true}});
  section("eBPF program types", view.prog_types);
  section("eBPF map types", view.map_types);
  cli.print("\nScanning eBPF helper functions...\n");
  for (const HelperList& list : view.helpers) {
    cli.print("eBPF helpers supported for program type {}:", list.type);
    for (const std::string_view helper : list.helpers) cli.print("\n\t- {}", helper);
    cli.print("\n");
    if (!list.supported)
      cli.print("\tProgram type not supported\n");
    else if (list.helpers.empty())
      cli.print("\tCould not determine which helpers are available\n");
  }
  section("miscellaneous eBPF features", view.misc);
  cli.print("\n");
}

void print_json(JsonWriter& json, const FeatureView& view) {
  const auto section = [&](std::string_view name, const std::vector<Feature>& features) {
    json.name(name);
    json.begin_object();
    for (const Feature& feature : features) json.field("have_" + feature.name, feature.there);
    json.end_object();
  };
  json.begin_object();
  json.name("system_config");
  json.begin_object();
  json.field("bpf_jit_enable", u32{view.jit ? 1u : 0u});
  json.end_object();
  section("syscall_config", {{"bpf_syscall", {}, true}});
  section("program_types", view.prog_types);
  section("map_types", view.map_types);
  json.name("helpers");
  json.begin_object();
  for (const HelperList& list : view.helpers) {
    json.name(list.type + "_available_helpers");
    json.begin_array();
    for (const std::string_view helper : list.helpers) json.string(helper);
    json.end_array();
  }
  json.end_object();
  section("misc", view.misc);
  json.end_object();
}

Outcome<void> feature_probe(Cli& cli, Args args) {
  bool full = false;
  while (!args.empty()) {
    if (args.take_if("kernel")) continue;
    if (args.take_if("full")) {
      full = true;
      continue;
    }
    for (const std::string_view word : {"dev", "macros", "unprivileged", "prefix"})
      if (args.next_is(word)) return not_supported(fmt::format("feature probe {}", word));
    return refuse(fmt::format("expected no more arguments, 'kernel', 'dev', 'macros' or 'prefix', got: '{}'?",
                              args.peek()));
  }
  const FeatureView view = TRY(view_features(*TRY(cli.kernel()), full));
  if (cli.json_output())
    print_json(cli.json(), view);
  else
    print_plain(cli, view);
  return {};
}

/// The names of a group by number, from `first` until there is none.
template <class Name>
std::vector<std::string_view> names_from(u32 first, Name name) {
  std::vector<std::string_view> names;
  for (u32 number = first; !name(number).empty(); ++number) names.push_back(name(number));
  return names;
}

Outcome<void> feature_list_builtins(Cli& cli, Args args) {
  const std::string group = TRY(args.take());
  std::vector<std::string_view> names;
  const auto is = [&group](std::string_view word) { return is_prefix(group, word); };
  if (is("prog_types")) {
    names = names_from(0, [](u32 n) { return prog_type_name(static_cast<ProgType>(n)); });
  } else if (is("map_types")) {
    names = names_from(0, [](u32 n) { return map_type_name(static_cast<MapType>(n)); });
  } else if (is("attach_types")) {
    names = names_from(0, [](u32 n) { return attach_type_name(static_cast<AttachType>(n)); });
  } else if (is("link_types")) {
    names = names_from(0, [](u32 n) { return link_type_name(static_cast<LinkType>(n)); });
  } else if (is("helpers")) {
    names = names_from(0, helper_name);
  } else {
    return refuse(fmt::format(
        "expected 'prog_types', 'map_types', 'attach_types', 'link_types' or 'helpers', got: {}", group));
  }
  if (cli.json_output()) cli.json().begin_array();
  for (const std::string_view name : names) {
    if (cli.json_output())
      cli.json().string(name);
    else
      cli.print("{}\n", name);
  }
  if (cli.json_output()) cli.json().end_array();
  return {};
}

constexpr std::array kVerbs{
    Verb{"probe", feature_probe, "probe [COMPONENT] [full]"},
    Verb{"list_builtins", feature_list_builtins, "list_builtins GROUP"},
    Verb{"help", nullptr, "help"},
};

}  // namespace

constinit const Noun kFeature{
    .name = "feature",
    .summary = "what the kernel offers: probe, list_builtins",
    .verbs = kVerbs,
    .footer =
        "\n"
        "       COMPONENT := { kernel }\n"
        "       GROUP := { prog_types | map_types | attach_types | link_types | helpers }\n"
        "       OPTIONS := { {-j|--json} [{-p|--pretty}] | {-d|--debug} }\n",
};

}  // namespace skep::cli
