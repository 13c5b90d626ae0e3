// The whole-program goldens (tests/golden/verifier/cases.json) as inputs of the verifier: instructions, the
// maps they were loaded with, and what the kernel said. Also used by the tests of fixup.
#pragma once
#include <array>
#include <cstring>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <regex>
#include <string>
#include <vector>

#include "btf/carried.hpp"
#include "helpers/table.hpp"
#include "verifier/verify.hpp"

namespace skep::verifier::testing {

inline std::vector<isa::Insn> insns_of_hex(const std::string& hex) {
  std::vector<isa::Insn> out(hex.size() / 16);
  std::string bytes(hex.size() / 2, '\0');
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<char>(std::stoi(hex.substr(2 * i, 2), nullptr, 16));
  }
  std::memcpy(static_cast<void*>(out.data()), bytes.data(), out.size() * sizeof(isa::Insn));
  return out;
}

/// The maps of the goldens, as tests/golden/README.md's oracle created them.
class CaseMaps {
 public:
  CaseMaps() {
    add("arr", MapType::array, 4, 48, 4, 0);
    add("hash", MapType::hash, 8, 16, 8, 0);
    add("one", MapType::array, 4, 8, 1, 0);
    add("lpm", MapType::lpm_trie, 8, 4, 8, 1);
    add("pc", MapType::percpu_array, 4, 8, 2, 0);
    add("rb", MapType::ringbuf, 0, 0, 4096, 0);
    add("prog", MapType::prog_array, 4, 4, 4, 0);
    add("q", MapType::queue, 0, 4, 4, 0, "queue");
    add("ro", MapType::array, 4, 8, 1, 0x480);
    add("wo", MapType::array, 4, 8, 1, 0x100);
    add("dev", MapType::devmap, 4, 4, 4, 0, "devm");
    add("perf", MapType::perf_event_array, 4, 4, 4, 0);
    add("lru", MapType::lru_hash, 4, 8, 8, 0);
    add("bloom", MapType::bloom_filter, 0, 4, 16, 0);
    add("stk", MapType::stack, 0, 4, 4, 0, "stack");
    add("froz", MapType::array, 4, 8, 1, 0x480);
    frozen_ = {7, 9};
    facts("froz").frozen = true;
    facts("froz").rodata = std::as_bytes(std::span(frozen_));
    add("inner", MapType::array, 4, 8, 1, 0);
    add("outer", MapType::array_of_maps, 4, 4, 2, 0);
    facts("outer").inner = &facts("inner");
  }
  maps::MapFacts& facts(const std::string& name) { return *maps_.at(name); }

 private:
  void add(const std::string& key, MapType type, u32 key_size, u32 value_size, u32 entries, u32 flags,
           const std::string& name = {}) {
    auto facts = std::make_unique<maps::MapFacts>();
    facts->id = static_cast<u32>(maps_.size()) + 1;
    facts->type = type;
    facts->key_size = key_size;
    facts->value_size = value_size;
    facts->max_entries = entries;
    facts->flags = flags;
    facts->name = name.empty() ? key : name;
    facts->map_address = 0xffff888100000000 + facts->id * 0x400;
    facts->values_address = facts->map_address + maps::array_values_offset;
    maps_[key] = std::move(facts);
  }
  std::map<std::string, std::unique_ptr<maps::MapFacts>> maps_;
  std::array<u32, 2> frozen_{};
};

struct Case {
  std::string name;
  std::string type;
  nlohmann::json golden;
  std::vector<isa::Insn> insns;
  std::vector<MapBinding> bindings;
  u32 prog_flags = 0;

  [[nodiscard]] Input input() const {
    Input in;
    for (u32 t = 0; t < prog_type_count; ++t) {
      if (prog_type_name(static_cast<ProgType>(t)) == type) in.type = static_cast<ProgType>(t);
    }
    if (type == "raw_tp") in.type = ProgType::raw_tracepoint;
    in.prog_flags = prog_flags;
    in.gpl_compatible = golden["license"] == "GPL";
    in.insns = insns;
    in.maps = bindings;
    in.helper = helpers::lookup;
    in.helper_name = helpers::name;
    static const btf::KernelBtf kernel_types(btf::carried_kernel_btf);
    in.vmlinux = &kernel_types;
    in.cpu_count = 2;
    return in;
  }
};

/// All cases; `maps` must outlive them.
inline std::vector<Case> load_cases(CaseMaps& maps) {
  std::ifstream file(SKEP_GOLDEN_DIR "/verifier/cases.json");
  const auto all = nlohmann::json::parse(file);
  std::vector<Case> out;
  for (const auto& golden : all) {
    Case c{golden["name"], golden["type"], golden, insns_of_hex(golden["insns"]), {}, golden["flags"]};
    // Descriptors in the instructions meet names in the text in the same order.
    std::vector<std::string> names;
    static const std::regex reference("= map(val)? (\\w+)");
    for (const std::string line : golden["asm"]) {
      std::smatch m;
      if (std::regex_search(line, m, reference)) names.push_back(m[2]);
    }
    std::size_t next = 0;
    for (std::size_t i = 0; i + 1 < c.insns.size(); ++i) {
      if (!isa::is_ld_imm64(c.insns[i]) || (c.insns[i].src != 1 && c.insns[i].src != 2)) continue;
      c.bindings.push_back({c.insns[i].imm, &maps.facts(names.at(next++))});
      ++i;
    }
    out.push_back(std::move(c));
  }
  return out;
}

/// Kernel addresses become ADDR.
inline std::string without_addresses(const std::string& text) {
  static const std::regex address("0xffff[0-9a-f]{12}");
  return std::regex_replace(text, address, "ADDR");
}

}  // namespace skep::verifier::testing
