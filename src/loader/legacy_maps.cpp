// Maps of SEC("maps"): struct bpf_map_def {type, key_size, value_size, max_entries, map_flags}, as loaders
// before libbpf 1.0 had them, and longer ones. What such a longer struct adds (iproute2's bpf_elf_map: id,
// pinning, inner_id, inner_idx) is refused unless it is 0, since it means something that this loader would
// not do; whoever only wants a verdict may ask for it to be ignored.
#include <elf.h>
#include <fmt/format.h>

#include <algorithm>

#include "loader/map_names.hpp"
#include "loader/reader.hpp"

namespace skep::loader {

namespace {
constexpr u64 kBaseBytes = 5 * sizeof(u32);
}

Result<void> Reader::collect_legacy_maps() {
  if (legacy_maps_section_ == nullptr) return {};
  const Section& section = *legacy_maps_section_;
  std::vector<const Symbol*> found;
  for (const Symbol& symbol : elf_.symbols()) {
    if (symbol.section == section.index && (symbol.type == STT_OBJECT || symbol.type == STT_NOTYPE) &&
        symbol.binding != STB_LOCAL)
      found.push_back(&symbol);
  }
  if (found.empty()) return section.size == 0 ? Result<void>{} : fail(EINVAL, "sec 'maps': no map symbols");
  std::sort(found.begin(), found.end(), [](const Symbol* a, const Symbol* b) { return a->value < b->value; });
  if (section.size % found.size() != 0 || section.size / found.size() < kBaseBytes)
    return fail(EINVAL, fmt::format("sec 'maps': {} bytes do not hold {} map definitions of equal size",
                                    section.size, found.size()));
  u64 stride = section.size / found.size();
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (found[i]->value != i * stride)
      return fail(EINVAL, fmt::format("sec 'maps': map '{}' at offset {} is not where definition #{} starts",
                                      found[i]->name, found[i]->value, i));
    ByteView bytes = section.data.subspan(i * stride, stride);
    bool plain =
        std::all_of(bytes.begin() + kBaseBytes, bytes.end(), [](std::byte b) { return b == std::byte{0}; });
    if (!plain && !relaxed_maps_)
      return fail(
          ENOTSUP,
          fmt::format("map '{}' (legacy): has unrecognized, non-zero options after its first {} bytes",
                      found[i]->name, kBaseBytes));
    MapDef map;
    map.name = found[i]->name;
    map.section = section.name;
    map.origin = MapOrigin::legacy;
    map.section_index = section.index;
    map.section_offset = found[i]->value;
    auto word = [&](u64 n) { return load<u32>(bytes.data() + n * sizeof(u32)); };
    map.spec = {.type = static_cast<MapType>(word(0)),
                .key_size = word(1),
                .value_size = word(2),
                .max_entries = word(3),
                .flags = word(4),
                .name = kernel_name(map.name)};
    say(Level::debug, fmt::format("map '{}' (legacy): at sec_idx {}, offset {}.", map.name, section.index,
                                  found[i]->value));
    spec_.maps.push_back(std::move(map));
  }
  return {};
}

}  // namespace skep::loader
