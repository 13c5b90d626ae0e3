// Kernel objects by id, name, tag or pin.
#include "cli/objects.hpp"

#include <cerrno>

#include "cli/pins.hpp"

namespace skep::cli {

namespace {

constexpr std::size_t kFullNameLimit = 128;

template <class T>
std::vector<T> single(T value) {
  std::vector<T> list;
  list.push_back(std::move(value));
  return list;
}

Outcome<u32> take_id(Args& args) { return parse_u32(TRY(args.take()), "ID"); }

Outcome<u64> parse_tag(const std::string& text) {
  u64 tag = 0;
  // sscanf's %02hhx eight times: what follows the sixteenth digit is not looked at.
  if (text.size() < 16) return refuse("can't parse tag");
  const auto value = parse_unsigned(std::string_view(text).substr(0, 16), 16);
  if (!value || text.starts_with("0x")) return refuse("can't parse tag");
  tag = *value;
  return tag;
}

Outcome<std::vector<ProgramRef>> programs_where(Kernel& kernel,
                                                const std::function<bool(const ProgramInfo&)>& wanted) {
  std::vector<ProgramRef> found;
  TRY(each_object(kernel, ObjectKind::prog, "program", [&](u32 id, Handle handle) -> Outcome<void> {
    auto info = kernel.prog_info(handle.fd());
    if (!info) return kernel_refused(fmt::format("can't get prog info ({})", id), info.error());
    if (wanted(*info)) found.push_back({std::move(handle), std::move(*info)});
    return {};
  }));
  if (found.empty()) return refuse("");
  return found;
}

Outcome<std::vector<MapRef>> maps_named(Kernel& kernel, const std::string& name) {
  std::vector<MapRef> found;
  TRY(each_object(kernel, ObjectKind::map, "map", [&](u32 id, Handle handle) -> Outcome<void> {
    auto info = kernel.map_info(handle.fd());
    if (!info) return kernel_refused(fmt::format("can't get map info ({})", id), info.error());
    if (info->name == name) found.push_back({std::move(handle), std::move(*info)});
    return {};
  }));
  if (found.empty()) return refuse("");
  return found;
}

}  // namespace

Outcome<void> each_object(Kernel& kernel, ObjectKind kind, std::string_view what,
                          const std::function<Outcome<void>(u32 id, Handle handle)>& visit) {
  const std::string_view short_name = kind == ObjectKind::btf ? "BTF object" : object_kind_name(kind);
  u32 id = 0;
  for (;;) {
    const auto next = kernel.get_next_id(kind, id);
    if (!next) {
      if (next.error().code == ENOENT) return {};
      return kernel_refused(fmt::format("can't get next {}", what), next.error());
    }
    id = *next;
    auto handle = kernel.get_fd_by_id(kind, id);
    if (!handle) {
      if (handle.error().code == ENOENT) continue;
      return kernel_refused(fmt::format("can't get {} by id ({})", short_name, id), handle.error());
    }
    TRY(visit(id, std::move(*handle)));
  }
}

Outcome<ProgramInfo> info_of_program(Kernel& kernel, const Handle& handle) {
  auto info = kernel.prog_info(handle.fd());
  if (!info) return kernel_refused("can't get prog info", info.error());
  return std::move(*info);
}

Outcome<MapInfo> info_of_map(Kernel& kernel, const Handle& handle) {
  auto info = kernel.map_info(handle.fd());
  if (!info) return kernel_refused("can't get map info", info.error());
  return std::move(*info);
}

Outcome<std::vector<ProgramRef>> take_programs(Cli& cli, Args& args) {
  const std::string how = TRY(args.take());
  if (is_prefix(how, "id")) {
    const u32 id = TRY(take_id(args));
    Kernel& kernel = *TRY(cli.kernel());
    auto handle = kernel.get_fd_by_id(ObjectKind::prog, id);
    if (!handle) return kernel_refused(fmt::format("get by id ({})", id), handle.error());
    ProgramInfo info = TRY(info_of_program(kernel, *handle));
    return single(ProgramRef{std::move(*handle), std::move(info)});
  }
  if (is_prefix(how, "tag")) {
    const u64 tag = TRY(parse_tag(TRY(args.take())));
    return programs_where(*TRY(cli.kernel()), [tag](const ProgramInfo& info) { return info.tag == tag; });
  }
  if (is_prefix(how, "name")) {
    const std::string name = TRY(args.take());
    if (name.size() > kFullNameLimit - 1) return refuse("can't parse name");
    Kernel& kernel = *TRY(cli.kernel());
    return programs_where(kernel, [&](const ProgramInfo& info) { return full_name(kernel, info) == name; });
  }
  if (is_prefix(how, "pinned")) {
    Handle handle = TRY(open_pinned(cli, TRY(args.take()), ObjectKind::prog));
    ProgramInfo info = TRY(info_of_program(*TRY(cli.kernel()), handle));
    return single(ProgramRef{std::move(handle), std::move(info)});
  }
  return refuse(fmt::format("expected 'id', 'tag', 'name' or 'pinned', got: '{}'?", how));
}

Outcome<ProgramRef> take_program(Cli& cli, Args& args) {
  auto found = TRY(take_programs(cli, args));
  if (found.size() > 1) return refuse("several programs match this handle");
  return std::move(found.front());
}

Outcome<std::vector<MapRef>> take_maps(Cli& cli, Args& args) {
  const std::string how = TRY(args.take());
  if (is_prefix(how, "id")) {
    const u32 id = TRY(take_id(args));
    Kernel& kernel = *TRY(cli.kernel());
    auto handle = kernel.get_fd_by_id(ObjectKind::map, id);
    if (!handle) return kernel_refused(fmt::format("get map by id ({})", id), handle.error());
    MapInfo info = TRY(info_of_map(kernel, *handle));
    return single(MapRef{std::move(*handle), std::move(info)});
  }
  if (is_prefix(how, "name")) {
    const std::string name = TRY(args.take());
    if (name.size() > 15) return refuse("can't parse name");
    return maps_named(*TRY(cli.kernel()), name);
  }
  if (is_prefix(how, "pinned")) {
    Handle handle = TRY(open_pinned(cli, TRY(args.take()), ObjectKind::map));
    MapInfo info = TRY(info_of_map(*TRY(cli.kernel()), handle));
    return single(MapRef{std::move(handle), std::move(info)});
  }
  return refuse(fmt::format("expected 'id', 'name' or 'pinned', got: '{}'?", how));
}

Outcome<MapRef> take_map(Cli& cli, Args& args) {
  auto found = TRY(take_maps(cli, args));
  if (found.size() > 1) return refuse("several maps match this handle");
  return std::move(found.front());
}

Outcome<Handle> take_link(Cli& cli, Args& args) {
  const std::string how = TRY(args.take());
  if (is_prefix(how, "id")) {
    const u32 id = TRY(take_id(args));
    auto handle = TRY(cli.kernel())->get_fd_by_id(ObjectKind::link, id);
    if (!handle)
      return kernel_refused_errno(fmt::format("failed to get link with ID {}", id), handle.error());
    return std::move(*handle);
  }
  if (is_prefix(how, "pinned")) return open_pinned(cli, TRY(args.take()), ObjectKind::link);
  return refuse(fmt::format("expected 'id' or 'pinned', got: '{}'?", how));
}

Outcome<std::unique_ptr<LoadedBtf>> load_btf(Kernel& kernel, u32 id) {
  auto handle = kernel.get_fd_by_id(ObjectKind::btf, id);
  if (!handle) return kernel_refused_errno(fmt::format("get btf by id ({})", id), handle.error());
  auto info = kernel.btf_info(handle->fd());
  if (!info) return kernel_refused_errno(fmt::format("get btf by id ({})", id), info.error());
  auto loaded = std::make_unique<LoadedBtf>();
  if (info->kernel_btf && info->name != "vmlinux") {
    auto bytes = read_file("/sys/kernel/btf/vmlinux");
    if (!bytes) return kernel_refused_errno("failed to read vmlinux BTF", bytes.error());
    const ByteView view = bytes_of(std::string_view(*bytes));
    auto base = btf::Btf::parse({view.begin(), view.end()}, nullptr, btf::Checks::structure);
    if (!base) return kernel_refused_errno("failed to parse vmlinux BTF", base.error());
    loaded->base = std::make_unique<btf::Btf>(std::move(*base));
  }
  auto parsed = btf::Btf::parse(std::move(info->data), loaded->base.get(), btf::Checks::structure);
  if (!parsed) return kernel_refused_errno(fmt::format("get btf by id ({})", id), parsed.error());
  loaded->btf = std::move(*parsed);
  return loaded;
}

std::string full_name(const ProgramInfo& info, const btf::Btf* program_btf) {
  if (program_btf == nullptr || info.name.size() < 15) return info.name;
  const auto records = func_records(info.func_info);
  if (records.empty() || program_btf->type(records[0].type_id).kind != btf::Kind::func) return info.name;
  return std::string(program_btf->name(records[0].type_id));
}

std::string full_name(Kernel& kernel, const ProgramInfo& info) {
  if (info.name.size() < 15 || info.btf_id == 0 || info.func_info.count() == 0) return info.name;
  const auto loaded = load_btf(kernel, info.btf_id);
  return full_name(info, loaded ? &(*loaded)->btf : nullptr);
}

std::vector<FuncRecord> func_records(const InfoRecords& records) {
  std::vector<FuncRecord> list;
  if (records.record_size < 8) return list;
  for (u32 i = 0; i < records.count(); ++i) {
    const std::byte* at = records.bytes.data() + std::size_t{i} * records.record_size;
    list.push_back({load<u32>(at), load<u32>(at + 4)});
  }
  return list;
}

std::vector<LineRecord> line_records(const InfoRecords& records) {
  std::vector<LineRecord> list;
  if (records.record_size < 16) return list;
  for (u32 i = 0; i < records.count(); ++i) {
    const std::byte* at = records.bytes.data() + std::size_t{i} * records.record_size;
    const u32 place = load<u32>(at + 12);
    list.push_back({load<u32>(at), load<u32>(at + 4), load<u32>(at + 8), place >> 10, place & 0x3ff});
  }
  return list;
}

std::string tag_text(u64 tag) { return fmt::format("{:016x}", tag); }

std::string prog_type_word(ProgType type) {
  const std::string_view name = prog_type_name(type);
  return name.empty() ? fmt::format("{}", static_cast<u32>(type)) : std::string(name);
}

std::string attach_type_word(AttachType type) {
  const std::string_view name = attach_type_name(type);
  return name.empty() ? fmt::format("{}", static_cast<u32>(type)) : std::string(name);
}

}  // namespace skep::cli
