// Programs that clang made from C, as libbpf loaded them, against what Linux 6.18 said: verdict, errno, the
// counters of the "processed" line and, where it was kept, the whole level-2 log. objects.jsonl has one
// program a line with its maps and BTF; known differences are listed as in cases_test.cpp.
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>

#include "helpers/table.hpp"
#include "verifier/cases.hpp"

namespace skep::verifier {
namespace {

using namespace testing;
using Json = nlohmann::json;

std::vector<std::byte> bytes_of_hex(const std::string& hex) {
  std::vector<std::byte> out(hex.size() / 2);
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = static_cast<std::byte>(std::stoi(hex.substr(2 * i, 2), nullptr, 16));
  return out;
}

u32 word(const std::vector<std::byte>& bytes, std::size_t at) { return load<u32>(bytes.data() + at); }

struct Recorded {
  Json golden;
  std::vector<isa::Insn> insns;
  std::vector<std::unique_ptr<maps::MapFacts>> facts;
  std::vector<std::vector<std::byte>> contents;
  std::vector<MapBinding> bindings;
  std::optional<btf::Btf> types;
  std::vector<FuncInfo> funcs;
  std::vector<LineInfo> lines;

  explicit Recorded(const Json& json) : golden(json), insns(insns_of_hex(json["insns"])) {
    for (const Json& m : golden["maps"]) {
      auto f = std::make_unique<maps::MapFacts>();
      f->type = static_cast<MapType>(m["type"].get<u32>());
      f->key_size = m["key"];
      f->value_size = m["value"];
      f->max_entries = m["entries"];
      f->flags = m["flags"];
      f->name = m["name"];
      f->id = static_cast<u32>(facts.size()) + 1;
      f->map_address = 0xffff888100000000 + f->id * 0x400;
      f->values_address = f->map_address + maps::array_values_offset;
      if (m.contains("frozen")) {
        contents.push_back(bytes_of_hex(m["frozen"]));
        f->frozen = true;
        f->rodata = contents.back();
      }
      bindings.push_back({m["fd"], f.get()});
      facts.push_back(std::move(f));
    }
    if (const std::string btf = golden["btf"]; !btf.empty()) {
      if (auto parsed = btf::Btf::parse(bytes_of_hex(btf))) types = std::move(*parsed);
    }
    const auto func_bytes = bytes_of_hex(golden["func_info"]);
    for (std::size_t i = 0; i < func_bytes.size(); i += golden["func_rec"].get<std::size_t>())
      funcs.push_back({word(func_bytes, i), word(func_bytes, i + 4)});
    const auto line_bytes = bytes_of_hex(golden["line_info"]);
    for (std::size_t i = 0; i < line_bytes.size(); i += golden["line_rec"].get<std::size_t>())
      lines.push_back(
          {word(line_bytes, i), word(line_bytes, i + 4), word(line_bytes, i + 8), word(line_bytes, i + 12)});
  }

  Input input() const {
    Input in;
    in.type = static_cast<ProgType>(golden["type"].get<u32>());
    in.expected_attach_type = static_cast<AttachType>(golden["attach"].get<u32>());
    in.prog_flags = golden["flags"];
    in.gpl_compatible = golden["license"].get<std::string>().find("GPL") != std::string::npos;
    in.insns = insns;
    in.maps = bindings;
    in.btf = types ? &*types : nullptr;
    in.func_info = funcs;
    in.line_info = lines;
    in.helper = helpers::lookup;
    in.helper_name = helpers::name;
    in.cpu_count = 2;
    return in;
  }
};

/// "processed N insns ...": the line with the counters.
std::string counters(const std::string& log) {
  const auto at = log.rfind("processed ");
  return at == std::string::npos ? "" : log.substr(at, log.find('\n', at) - at);
}

TEST(ObjectPrograms, AgreeWithTheKernelExceptTheKnownOnes) {
  const char* path = std::getenv("SKEP_OBJECTS");
  std::ifstream file(path != nullptr ? path : SKEP_TEST_DIR "/verifier/walk/objects.jsonl");
  std::ifstream known_file(SKEP_TEST_DIR "/verifier/walk/objects_known.json");
  const Json known = Json::parse(known_file);
  const char* show = std::getenv("SKEP_SHOW");
  int all = 0, verdicts = 0, counted = 0, logs = 0, kept = 0;
  for (std::string line; std::getline(file, line);) {
    const Recorded r(Json::parse(line));
    const std::string name =
        r.golden["object"].get<std::string>() + "/" + r.golden["name"].get<std::string>();
    const std::string golden_log = r.golden["log2"];
    const bool whole = !golden_log.starts_with("processed ");
    const auto result = verify(r.input(), {.level = whole ? 2u : 4u, .size = 128u << 20});
    const int code = result ? 0 : result.error().code;
    const std::string& log = result ? result->log().text : result.error().log.text;
    std::string found;
    ++all;
    if (code == r.golden["errno"].get<int>())
      ++verdicts;
    else
      found = "errno";
    if (counters(log) == counters(golden_log))
      ++counted;
    else if (found.empty())
      found = "counters";
    if (whole) {
      ++kept;
      if (without_addresses(log) == without_addresses(golden_log))
        ++logs;
      else if (found.empty())
        found = "log level 2";
    }
    const std::string listed = known.contains(name) ? known[name]["differs"].get<std::string>() : "";
    EXPECT_EQ(found, listed) << name << ": " << counters(golden_log) << " [" << r.golden["errno"]
                             << "], ours: " << (result ? "" : result.error().message) << " " << counters(log)
                             << " [" << code << "]";
    if (show != nullptr && name == show)
      std::cout << "--- kernel\n" << without_addresses(golden_log) << "--- skep\n" << without_addresses(log);
  }
  std::cout << "of " << all << " programs: errno " << verdicts << ", counters " << counted << "; of " << kept
            << " logs: " << logs << "\n";
}

}  // namespace
}  // namespace skep::verifier
