// See xdp_chain.hpp.
#include "cli/xdp_chain.hpp"

#include <algorithm>
#include <array>
#include <cctype>

namespace skep::cli {

namespace {

constexpr std::array<std::string_view, 5> kActions{"XDP_ABORTED", "XDP_DROP", "XDP_PASS", "XDP_TX",
                                                   "XDP_REDIRECT"};

/// The bit of "XDP_PASS", "pass", ...; 0 if it is none.
u32 action_bit(std::string_view word) {
  std::string name(word);
  std::ranges::transform(name, name.begin(),
                         [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  for (u32 i = 0; i < kActions.size(); ++i)
    if (name == kActions[i] || name == kActions[i].substr(4)) return 1u << i;
  return 0;
}

/// __uint(name, value): a pointer to an array of as many elements.
std::optional<u32> number_of(const btf::Btf& types, u32 id) {
  const btf::Type& pointer = types.type(types.skip_modifiers(id));
  if (pointer.kind != btf::Kind::ptr) return std::nullopt;
  const btf::Type& array = types.type(types.skip_modifiers(pointer.type));
  if (array.kind != btf::Kind::array) return std::nullopt;
  return array.nelems;
}

}  // namespace

Outcome<XdpRunConfig> run_config_of(Kernel& kernel, const ProgramInfo& info) {
  XdpRunConfig config;
  if (info.btf_id == 0) return config;
  const auto loaded = TRY(load_btf(kernel, info.btf_id));
  const btf::Btf& types = loaded->btf;
  const u32 section = types.find(btf::Kind::datasec, ".xdp_run_config");
  const std::string name = "_" + full_name(info, &types);
  for (const btf::Entry& variable : types.entries(types.type(section))) {
    if (section == 0 || types.name(variable.type) != name) continue;
    const btf::Type& body = types.type(types.skip_modifiers(types.type(variable.type).type));
    if (body.kind != btf::Kind::struct_) return refuse(fmt::format("run config of '{}' is no struct", name));
    for (const btf::Entry& member : types.entries(body)) {
      const std::string_view field = types.string(member.name_off);
      const auto value = number_of(types, member.type);
      const u32 bit = action_bit(field);
      if (!value || (field != "priority" && bit == 0))
        return refuse(fmt::format("run config of '{}': unknown field '{}'", name, field));
      if (bit == 0)
        config.priority = *value;
      else
        config.chain_call = *value != 0 ? config.chain_call | bit : config.chain_call & ~bit;
    }
  }
  return config;
}

Outcome<XdpChainWords> take_chain_words(Args& args) {
  XdpChainWords words;
  while (!args.empty()) {
    // Whole words: they stand where bpftool has abbreviations of its own ("overwrite").
    const std::string word = args.peek();
    if (word != "multi" && word != "priority" && word != "chain_call") break;
    args.skip();
    words.chained = true;
    if (word == "multi") continue;
    TRY(args.require(1));
    const std::string value = TRY(args.take());
    if (word == "priority") {
      words.priority = TRY(parse_u32(value, "priority"));
      continue;
    }
    u32 bits = 0;
    for (std::size_t at = 0; value != "none" && at <= value.size();) {
      const std::size_t end = std::min(value.find(',', at), value.size());
      const u32 bit = action_bit(std::string_view(value).substr(at, end - at));
      if (bit == 0)
        return refuse(fmt::format("'{}' is no XDP action: aborted, drop, pass, tx, redirect or none",
                                  value.substr(at, end - at)));
      bits |= bit;
      at = end + 1;
    }
    words.chain_call = bits;
  }
  return words;
}

std::vector<std::string_view> chain_call_names(u32 chain_call) {
  std::vector<std::string_view> names;
  for (u32 i = 0; i < kActions.size(); ++i)
    if ((chain_call & (1u << i)) != 0) names.push_back(kActions[i]);
  return names;
}

std::string chain_call_text(u32 chain_call) {
  const auto names = chain_call_names(chain_call);
  return names.empty() ? "none" : fmt::format("{}", fmt::join(names, ","));
}

}  // namespace skep::cli
