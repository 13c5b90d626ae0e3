// `prog load` and `prog loadall`: an object file to the kernel, its programs (and maps) pinned. All or
// nothing: where any step fails, nothing stays loaded or pinned.
#include <net/if.h>
#include <unistd.h>

#include <cerrno>

#include "cli/prog_view.hpp"
#include "cli/tables.hpp"
#include "loader/loader.hpp"
#include "loader/sections.hpp"

namespace skep::cli {

namespace {

/// What libbpf would print goes to stderr, all of it with -d, else only warnings.
class LibbpfMessages final : public loader::Diagnostics {
 public:
  explicit LibbpfMessages(Cli& cli) : cli_(cli) {}
  void message(loader::Level level, const std::string& text) override {
    if (level == loader::Level::warning || cli_.options().debug) cli_.libbpf(fmt::format("libbpf: {}", text));
  }

 private:
  Cli& cli_;
};

struct NamedReuse {
  std::string name;  ///< empty: by index
  u32 index = 0;
  MapRef map;
};

struct LoadRequest {
  std::string object, pin, pin_maps, kernel_btf;
  loader::LoadOptions options;
  std::vector<NamedReuse> reuse;
  bool autoattach = false;
};

Outcome<void> take_type(Cli& cli, Args& args, LoadRequest& request) {
  if (request.options.type) return refuse("program type already specified");
  TRY(args.require(1));
  const std::string type = TRY(args.take());
  const loader::SectionType* row = loader::find_section_type(type);
  if (row == nullptr) row = loader::find_section_type(type + "/");
  if (row == nullptr) {
    cli.libbpf(fmt::format("libbpf: failed to guess program type from ELF section '{}/'", type));
    cli.libbpf(
        fmt::format("libbpf: supported section(type) names are:{}", loader::supported_section_names()));
    return refuse("");
  }
  request.options.type = row->type;
  request.options.attach = row->attach;
  return {};
}

Outcome<void> take_reuse(Cli& cli, Args& args, LoadRequest& request) {
  TRY(args.require(4));
  NamedReuse reuse;
  if (args.take_if("idx")) {
    reuse.index = TRY(parse_u32(TRY(args.take()), "IDX"));
  } else if (args.take_if("name")) {
    reuse.name = TRY(args.take());
  } else {
    return refuse(fmt::format("expected 'idx' or 'name', got: '{}'?", args.peek()));
  }
  reuse.map = TRY(take_map(cli, args));
  request.reuse.push_back(std::move(reuse));
  return {};
}

Outcome<u32> take_device(Args& args) {
  TRY(args.require(1));
  const std::string name = TRY(args.take());
  const u32 ifindex = if_nametoindex(name.c_str());
  if (ifindex == 0) return refuse(fmt::format("unrecognized netdevice '{}': {}", name, errno_text(errno)));
  return ifindex;
}

Outcome<void> take_load_option(Cli& cli, Args& args, LoadRequest& request) {
  loader::LoadOptions& options = request.options;
  if (args.take_if("type")) return take_type(cli, args, request);
  if (args.take_if("map")) return take_reuse(cli, args, request);
  const bool old_name = args.next_is("dev");
  if (args.take_if("dev") || args.take_if("offload_dev")) {
    if (old_name)
      cli.info(
          fmt::format("Warning: '{} prog load [...] dev <ifname>' syntax is deprecated.\n"
                      "Going further, please use 'offload_dev <ifname>' to offload program to device.\n"
                      "For applications using XDP hints only, use 'xdpmeta_dev <ifname>'.",
                      cli.program()));
    if (options.ifindex != 0) return refuse("offload_dev already specified");
    if (options.xdp_meta_ifindex != 0) return refuse("xdpmeta_dev and offload_dev are mutually exclusive");
    options.ifindex = TRY(take_device(args));
    return {};
  }
  if (args.take_if("xdpmeta_dev")) {
    if (options.xdp_meta_ifindex != 0) return refuse("xdpmeta_dev already specified");
    if (options.ifindex != 0) return refuse("xdpmeta_dev and offload_dev are mutually exclusive");
    options.xdp_meta_ifindex = TRY(take_device(args));
    return {};
  }
  if (args.take_if("pinmaps")) {
    TRY(args.require(1));
    request.pin_maps = TRY(args.take());
    return {};
  }
  if (args.take_if("autoattach")) {
    request.autoattach = true;
    return {};
  }
  if (args.take_if("kernel_btf")) {
    TRY(args.require(1));
    request.kernel_btf = TRY(args.take());
    return {};
  }
  return refuse(
      fmt::format("expected no more arguments, 'type', 'map', 'offload_dev', 'xdpmeta_dev', 'pinmaps', "
                  "'autoattach', or 'kernel_btf', got: '{}'?",
                  args.peek()));
}

/// Map names of the command line to the object's indices; none twice, none beyond the object's.
Outcome<void> resolve_reuse(const loader::ObjectSpec& spec, LoadRequest& request) {
  for (NamedReuse& reuse : request.reuse) {
    if (!reuse.name.empty()) {
      const loader::MapDef* map = spec.map(reuse.name);
      if (map == nullptr) return refuse(fmt::format("unable to find map '{}'", reuse.name));
      reuse.index = static_cast<u32>(map - spec.maps.data());
    }
    if (reuse.index >= spec.maps.size()) return refuse(fmt::format("map idx '{}' not used", reuse.index));
    for (const loader::MapReuse& before : request.options.reuse)
      if (before.index == reuse.index)
        return refuse(fmt::format("replacement for map idx {} specified more than once", reuse.index));
    request.options.reuse.push_back({reuse.index, reuse.map.handle.fd()});
  }
  return {};
}

/// Attaches what attaches by itself and pins the link; the rest is pinned as a program, with a word about it.
Outcome<void> attach_or_pin(Cli& cli,
                            const std::vector<std::pair<const loader::LoadedProgram*, std::string>>& wanted) {
  std::vector<std::string> done;
  for (const auto& [program, path] : wanted) {
    cli.info(fmt::format("Program {} does not support autoattach, falling back to pinning", program->name));
    const auto pinned = TRY(cli.kernel())->obj_pin(program->handle.fd(), ObjectKind::prog, path);
    if (!pinned) {
      const Error error = pinned.error();
      for (const std::string& real : done) (void)remove(real.c_str());
      return kernel_refused(fmt::format("failed to pin program {}", program->section), error);
    }
    done.push_back(TRY(find_pin_path(cli, path)).real);
  }
  return {};
}

/// A directory made for pins: without any in it at the end, because the load failed, it goes again.
class MadeDirectory {
 public:
  explicit MadeDirectory(const PinPath& pin) : path_(pin.made ? pin.real : "") {}
  ~MadeDirectory() {
    if (!path_.empty()) (void)rmdir(path_.c_str());  // refuses one that is not empty
  }
  MadeDirectory(const MadeDirectory&) = delete;
  MadeDirectory& operator=(const MadeDirectory&) = delete;

 private:
  std::string path_;
};

Outcome<void> load_object(Cli& cli, Args args, bool all) {
  TRY(args.require(2));
  LoadRequest request;
  request.object = TRY(args.take());
  request.pin = TRY(args.take());
  while (!args.empty()) TRY(take_load_option(cli, args, request));
  if (cli.options().use_loader) return not_supported("prog load --use-loader");

  LibbpfMessages messages(cli);
  const auto spec = loader::open_object(request.object, &messages);
  if (!spec) return refuse("failed to open object file");  // the messages say why
  TRY(resolve_reuse(*spec, request));
  std::optional<btf::Btf> core_btf;
  if (!request.kernel_btf.empty()) {
    auto read = loader::read_btf_file(request.kernel_btf);
    if (!read)
      return refuse(
          fmt::format("failed to parse kernel BTF '{}': {}", request.kernel_btf, read.error().what));
    core_btf = std::move(*read);
  }
  const PinPath pin = all ? TRY(make_pin_directory(cli, request.pin)) : TRY(check_new_pin(cli, request.pin));
  const MadeDirectory programs_directory(pin);
  loader::LoadOptions& options = request.options;
  options.diagnostics = &messages;
  options.log_level = cli.options().debug ? 1 + 2 + 4 : 0;
  options.core_btf = core_btf ? &*core_btf : nullptr;
  if (!request.autoattach) (all ? options.pin_programs_dir : options.pin_first_program) = pin.path;
  PinPath maps_pin;
  if (!request.pin_maps.empty()) maps_pin = TRY(make_pin_directory(cli, request.pin_maps));
  const MadeDirectory maps_directory(maps_pin);
  options.pin_maps_dir = maps_pin.path;

  const auto loaded = loader::load(*spec, *TRY(cli.kernel()), options);
  if (!loaded) {
    const std::string& what = loaded.error().what;
    return refuse(what.empty() ? "failed to load object file" : what);
  }
  if (request.autoattach) {
    if (loaded->programs.empty()) return refuse("object file doesn't contain any bpf program");
    std::vector<std::pair<const loader::LoadedProgram*, std::string>> wanted;
    for (const loader::LoadedProgram& program : loaded->programs) {
      wanted.emplace_back(&program, all ? pin.path + "/" + program.name : pin.path);
      if (!all) break;
    }
    TRY(attach_or_pin(cli, wanted));
  }
  cli.nothing_to_show();
  return {};
}

}  // namespace

Outcome<void> prog_load(Cli& cli, Args args) { return load_object(cli, std::move(args), false); }
Outcome<void> prog_loadall(Cli& cli, Args args) { return load_object(cli, std::move(args), true); }

}  // namespace skep::cli
