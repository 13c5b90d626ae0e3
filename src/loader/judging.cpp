// See judging.hpp.
#include "loader/judging.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace skep::loader {

namespace {

/// Types that cannot be made with max_entries 0, but for ring buffers.
bool needs_size(MapType type) {
  using enum MapType;
  constexpr std::array types{
      hash,     array,           prog_array, percpu_hash,   percpu_array, stack_trace, cgroup_array,
      lru_hash, lru_percpu_hash, lpm_trie,   array_of_maps, hash_of_maps, devmap,      sockmap,
      cpumap,   xskmap,          sockhash,   queue,         stack,        devmap_hash, reuseport_sockarray};
  return std::ranges::find(types, type) != types.end();
}

void complete_map(MapSpec& map) {
  constexpr u32 entries = 128, cpus = 2, page = 4096, trace_bytes = 127 * 8;
  const bool ring = map.type == MapType::ringbuf || map.type == MapType::user_ringbuf;
  if (map.max_entries == 0 && ring) map.max_entries = page;
  if (map.max_entries == 0 && needs_size(map.type)) map.max_entries = entries;
  if (map.type == MapType::cpumap) map.max_entries = std::min(map.max_entries, cpus);
  if (ring) map.key_size = map.value_size = 0;
  if (map.type == MapType::perf_event_array) map.key_size = map.value_size = 4;
  if (map.type == MapType::stack_trace && map.value_size == 0) map.value_size = trace_bytes;
}

u32 flag_of(std::string_view name) {
  constexpr std::pair<std::string_view, u32> flags[] = {
      {"BPF_F_STRICT_ALIGNMENT", 1u << 0},   {"BPF_F_ANY_ALIGNMENT", 1u << 1},
      {"BPF_F_TEST_RND_HI32", 1u << 2},      {"BPF_F_TEST_STATE_FREQ", 1u << 3},
      {"BPF_F_SLEEPABLE", 1u << 4},          {"BPF_F_XDP_HAS_FRAGS", 1u << 5},
      {"BPF_F_TEST_REG_INVARIANTS", 1u << 7}};
  for (const auto& [known, value] : flags)
    if (name == known) return value;
  const bool hex = name.starts_with("0x");
  u32 value = 0;
  std::from_chars(name.data() + (hex ? 2 : 0), name.data() + name.size(), value, hex ? 16 : 10);
  return value;
}

/// What follows `prefix` in each declaration tag of the program's function.
template <class Use>
void for_each_tag(const btf::Btf& types, std::string_view function, std::string_view prefix, Use&& use) {
  const u32 func = types.find(btf::Kind::func, function);
  for (u32 id = 1; func != 0 && id <= types.type_count(); ++id) {
    const btf::Type& tag = types.type(id);
    if (tag.kind != btf::Kind::decl_tag || tag.type != func || tag.component != -1) continue;
    const std::string_view text = types.string(tag.name_off);
    if (text.starts_with(prefix)) use(text.substr(prefix.size()));
  }
}

void apply_flag_tags(const btf::Btf& types, ProgramDef& program) {
  for_each_tag(types, program.name, "comment:test_prog_flags=", [&](std::string_view text) {
    if (text.starts_with('!'))
      program.flags &= ~flag_of(text.substr(1));
    else
      program.flags |= flag_of(text);
  });
}

ProgType type_by_words(std::string_view section, std::string_view file) {
  const auto has = [&](std::string_view word) { return section.find(word) != std::string_view::npos; };
  if (has("xdp")) return ProgType::xdp;
  if (has("socket")) return ProgType::socket_filter;
  if (file.find("xdp") != std::string_view::npos) return ProgType::xdp;
  constexpr std::string_view traffic[] = {"classifier", "from-",  "to-",      "tc",
                                          "ingress",    "egress", "redirect", "tail-"};
  if (std::ranges::any_of(traffic, has) || (section.size() > 2 && section[0] >= '0' && section[0] <= '9'))
    return ProgType::sched_cls;
  if (has("kprobe")) return ProgType::kprobe;
  return has("trace") ? ProgType::tracepoint : ProgType::unspec;
}

}  // namespace

void prepare_to_judge(ObjectSpec& spec) {
  for (MapDef& map : spec.maps) {
    complete_map(map.spec);
    if (map.inner) complete_map(map.inner->spec);
  }
  for (Extern& ext : spec.externs)
    if (ext.kind != ExternKind::kconfig) ext.weak = true;
  const std::string_view file = std::string_view(spec.file).substr(spec.file.rfind('/') + 1);
  for (ProgramDef& program : spec.programs) {
    if (spec.btf) apply_flag_tags(*spec.btf, program);
    if (program.type != ProgType::unspec) continue;
    program.type = type_by_words(program.section, file);
    if (program.type == ProgType::xdp) program.expected_attach_type = AttachType::xdp;
  }
}

std::string_view core_btf_of(const ObjectSpec& spec, const ProgramDef& program) {
  std::string_view file;
  if (spec.btf)
    for_each_tag(*spec.btf, program.name,
                 "comment:test_btf_path=", [&](std::string_view name) { file = name; });
  return file;
}

}  // namespace skep::loader
