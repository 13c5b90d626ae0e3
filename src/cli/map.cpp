// The verbs of `map`: the table, create, pin and freeze.
#include <net/if.h>

#include <array>
#include <cerrno>

#include "cli/map_view.hpp"
#include "cli/tables.hpp"

namespace skep::cli {

namespace {

Outcome<void> map_pin(Cli& cli, Args args) {
  TRY(args.require(3, status_of_errno(EINVAL)));
  const MapRef map = TRY(take_map(cli, args));
  TRY(pin_object(cli, map.handle, TRY(args.take())));
  cli.nothing_to_show();
  return {};
}

Outcome<void> map_freeze(Cli& cli, Args args) {
  TRY(args.require(2));
  const MapRef map = TRY(take_map(cli, args));
  TRY(args.finished());
  const auto frozen = TRY(cli.kernel())->map_freeze(map.handle.fd());
  if (!frozen) return kernel_refused_errno("failed to freeze map", frozen.error());
  cli.nothing_to_show();
  return {};
}

constexpr std::array kVerbs{
    Verb{"show", map_show, "{ show | list }   [MAP]"},
    Verb{"list", map_show, ""},
    Verb{"create", map_create,
         "create     FILE type TYPE key KEY_SIZE value VALUE_SIZE \\\n"
         "                                  entries MAX_ENTRIES name NAME [flags FLAGS] \\\n"
         "                                  [inner_map MAP] [offload_dev NAME]"},
    Verb{"dump", map_dump, "dump       MAP"},
    Verb{"update", map_update, "update     MAP [key DATA] [value VALUE] [UPDATE_FLAGS]"},
    Verb{"lookup", map_lookup, "lookup     MAP [key DATA]"},
    Verb{"getnext", map_getnext, "getnext    MAP [key DATA]"},
    Verb{"delete", map_delete, "delete     MAP  key DATA"},
    Verb{"pin", map_pin, "pin        MAP  FILE"},
    Verb{"event_pipe", map_event_pipe, "event_pipe MAP [cpu N index M]"},
    Verb{"peek", map_lookup, "peek       MAP"},
    Verb{"push", map_update, "push       MAP value VALUE"},
    Verb{"pop", map_pop, "pop        MAP"},
    Verb{"enqueue", map_update, "enqueue    MAP value VALUE"},
    Verb{"dequeue", map_pop, "dequeue    MAP"},
    Verb{"freeze", map_freeze, "freeze     MAP"},
    Verb{"help", nullptr, "help"},
};

Outcome<MapType> map_type(const std::string& word) {
  for (u32 i = 0; i < map_type_count; ++i)
    if (map_type_name(static_cast<MapType>(i)) == word) return static_cast<MapType>(i);
  return refuse(fmt::format("unrecognized map type: {}", word));
}

Outcome<void> take_size(Args& args, u32& size, std::string_view what) {
  args.skip();
  if (size != 0) return refuse(fmt::format("{} already specified", what));
  size = TRY(parse_u32(TRY(args.take()), what));
  return {};
}

struct CreateRequest {
  MapSpec spec;
  bool named = false;
  MapRef inner;
};

Outcome<void> take_create_option(Cli& cli, Args& args, CreateRequest& request) {
  MapSpec& spec = request.spec;
  if (args.take_if("type")) {
    if (spec.type != MapType::unspec) return refuse("map type already specified");
    spec.type = TRY(map_type(TRY(args.take())));
    return {};
  }
  if (args.take_if("name")) {
    spec.name = TRY(args.take());
    request.named = true;
    return {};
  }
  if (args.next_is("key")) return take_size(args, spec.key_size, "key size");
  if (args.next_is("value")) return take_size(args, spec.value_size, "value size");
  if (args.next_is("entries")) return take_size(args, spec.max_entries, "max entries");
  if (args.next_is("flags")) return take_size(args, spec.flags, "flags");
  const bool old_name = args.next_is("dev");
  if (args.take_if("dev") || args.take_if("offload_dev")) {
    if (old_name)
      cli.info(fmt::format(
          "Warning: '{} map create [...] dev <ifname>' syntax is deprecated.\n"
          "Going further, please use 'offload_dev <ifname>' to request hardware offload for the map.",
          cli.program()));
    if (spec.ifindex != 0) return refuse("offload device already specified");
    const std::string name = TRY(args.take());
    spec.ifindex = if_nametoindex(name.c_str());
    if (spec.ifindex == 0)
      return refuse(fmt::format("unrecognized netdevice '{}': {}", name, errno_text(errno)));
    return {};
  }
  if (args.take_if("inner_map")) {
    if (args.left() < 2) return wrong_usage();
    request.inner = TRY(take_map(cli, args));
    spec.inner_map_fd = request.inner.handle.fd();
    return {};
  }
  return refuse(fmt::format("unknown arg {}", args.peek()));
}

}  // namespace

constinit const Noun kMap{
    .name = "map",
    .summary = "maps: create, list, show, dump, look up, update, pin, freeze",
    .verbs = kVerbs,
    .footer =
        "       MAP := { id MAP_ID | pinned FILE | name MAP_NAME }\n"
        "       DATA := { [hex] BYTES }\n"
        "       PROG := { id PROG_ID | pinned FILE | tag PROG_TAG | name PROG_NAME }\n"
        "       VALUE := { DATA | MAP | PROG }\n"
        "       UPDATE_FLAGS := { any | exist | noexist }\n"
        "       TYPE := { hash | array | prog_array | perf_event_array | percpu_hash |\n"
        "                 percpu_array | stack_trace | cgroup_array | lru_hash |\n"
        "                 lru_percpu_hash | lpm_trie | array_of_maps | hash_of_maps |\n"
        "                 devmap | devmap_hash | sockmap | cpumap | xskmap | sockhash |\n"
        "                 cgroup_storage | reuseport_sockarray | percpu_cgroup_storage |\n"
        "                 queue | stack | sk_storage | struct_ops | ringbuf | inode_storage |\n"
        "                 task_storage | bloom_filter | user_ringbuf | cgrp_storage | arena |\n"
        "                 insn_array }\n"
        "       OPTIONS := { {-j|--json} [{-p|--pretty}] | {-d|--debug} |\n"
        "                    {-f|--bpffs} | {-n|--nomount} }\n",
};

Outcome<void> map_create(Cli& cli, Args args) {
  TRY(args.require(7));
  const std::string path = TRY(args.take());
  CreateRequest request;
  while (!args.empty()) {
    TRY(args.require(2));
    TRY(take_create_option(cli, args, request));
  }
  if (!request.named) return refuse("map name not specified");
  Kernel& kernel = *TRY(cli.kernel());
  if (request.spec.name.size() > 15) request.spec.name.resize(15);  // as libbpf does
  const auto map = kernel.map_create(request.spec);
  if (!map) return kernel_refused("map create failed", map.error());
  TRY(pin_object(cli, *map, path));
  cli.nothing_to_show();
  return {};
}

}  // namespace skep::cli
