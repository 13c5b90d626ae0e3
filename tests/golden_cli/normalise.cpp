// The rules of comparison. Those for run-to-run differences are the recording's own (see its README).
#include "golden_cli/normalise.hpp"

#include <nlohmann/json.hpp>
#include <regex>
#include <sstream>
#include <vector>

namespace skep::test {

namespace {

using Json = nlohmann::ordered_json;

struct Rule {
  std::regex pattern;
  std::string replacement;
};

const std::vector<Rule>& run_rules() {
  static const std::vector<Rule> rules = [] {
    const auto flags = std::regex::ECMAScript | std::regex::multiline;
    std::vector<Rule> list;
    const auto add = [&](const char* pattern, const char* replacement) {
      list.push_back({std::regex(pattern, flags), replacement});
    };
    add(R"(map\[id:\d+\])", "map[id:N]");
    add(R"((call [A-Za-z_]\w*)#-?\d+)", "$1#N");
    add(R"(call 0x[0-9a-f]+#-?\d+)", "call ADDRESS#N");
    add(R"((18 [12][0-9a-f] 00 00)( [0-9a-f]{2}){4})", "$1 ID");
    add(R"((85 00 00 00)( [0-9a-f]{2}){4})", "$1 HELPER");
    add(R"(^[0-9a-f]{8}: ((?:[0-9a-f]{2,4} ?)+) .*$)", "$1");  // xxd: bytes only
    add(R"((18[12][0-9a-f] 0000) [0-9a-f]{4} [0-9a-f]{4})", "$1 ID");
    add(R"((8500 0000) [0-9a-f]{4} [0-9a-f]{4})", "$1 HELPER");
    add(R"(^\d+: (?=[a-z_]+  ))", "N: ");
    add(R"(^\d+: (?=name ))", "N: ");
    add(R"((map_ids|prog_ids) \d+)", "$1 N");
    add(R"((N)((?:,\d+)+))", "$1$2");
    add(R"(,\d+(?=[,\n]|$))", ",N");
    add(R"(btf_id \d+)", "btf_id N");
    add(R"(loaded_at \S+)", "loaded_at T");
    add(R"(run_time_ns \d+)", "run_time_ns T");
    add(R"((duration(?: \(average\))?): \d+ns)", "$1: Tns");
    add(R"((eth0)\(\d+\))", "$1(N)");
    add(R"( id \d+( ?)$)", " id N$1");
    add(R"((prog_id|link_id) \d+)", "$1 N");
    add(R"((  prog) \d+  )", "$1 N  ");
    add(R"(verification time \d+ usec)", "verification time T usec");
    add(R"(0xffff[0-9a-f]{12}|0x[5-7][0-9a-f]{11}\b)", "ADDRESS");
    add(R"(ADDRESS +;)", "ADDRESS ;");
    add(R"(\$-\d{14,15})", "ADDRESS");
    add(R"((48 b[bf])( [0-9a-f]{2}){8})", "$1 ADDRESS");
    add(R"((e[89])( [0-9a-f]{2}){4})", "$1 ADDRESS");
    add(R"(\[file:\S*/)", "[file:");
    add(R"((created successfully, fd)=\d+)", "$1=N");
    add(R"((\[vmlinux\]  size) \d+B)", "$1 SB");
    return list;
  }();
  return rules;
}

bool is_volatile_number(const std::string& key) {
  for (const char* name :
       {"id", "btf_id", "prog_id", "link_id", "loaded_at", "ifindex", "run_time_ns", "duration"})
    if (key == name) return true;
  return false;
}

/// Ids and times of JSON by their keys; `in_btf`: below "types", where ids are type ids and stay.
void normalise_json(Json& value, bool in_btf = false) {
  if (value.is_array()) {
    for (Json& element : value) normalise_json(element, in_btf);
    return;
  }
  if (!value.is_object()) return;
  const bool vmlinux = value.contains("name") && value["name"] == "vmlinux";
  for (auto& [key, member] : value.items()) {
    if (!in_btf && is_volatile_number(key) && member.is_number()) {
      member = 0;
    } else if ((key == "map_ids" || key == "prog_ids") && member.is_array()) {
      for (Json& id : member) id = 0;
    } else if (key == "size" && vmlinux) {
      member = 0;
    } else if (key == "disasm" && member.is_string()) {
      member = normalised(member.get<std::string>());
    } else if (key == "file" && member.is_string()) {
      const std::string path = member.get<std::string>();
      member = path.substr(path.rfind('/') + 1);
    } else if (key == "operands" && member.is_array()) {
      for (Json& operand : member)
        if (operand.is_string()) operand = normalised(operand.get<std::string>());
    } else if (key == "opcodes" && member.is_object()) {
      const std::string code = member.value("code", "");
      const std::string source = member.value("src_reg", "");
      if ((code == "0x18" && source != "0x0") || (code == "0x85" && source == "0x0"))
        for (std::size_t i = 0; i < 4; ++i) member["imm"][i] = "ID";
    } else {
      normalise_json(member, in_btf || key == "types");
    }
  }
}

/// What tells of the engine leaves.
void drop_engine(Json& value) {
  if (value.is_array())
    for (Json& element : value) drop_engine(element);
  if (!value.is_object()) return;
  value.erase("jited");
  value.erase("bytes_jited");
  for (auto& [key, member] : value.items()) drop_engine(member);
}

std::string without_engine(const std::string& text) {
  static const std::regex words(R"(  (jited \d+B|not jited))");
  return std::regex_replace(text, words, "");
}

std::string without_libbpf(const std::string& text) {
  std::istringstream lines(text);
  std::string kept;
  for (std::string line; std::getline(lines, line);)
    if (!line.starts_with("libbpf: ")) kept += line + "\n";
  return kept;
}

/// The documents of a text: it may hold lines that are JSON among others that are not.
bool looks_like_json(const std::string& text) { return !text.empty() && (text[0] == '{' || text[0] == '['); }

}  // namespace

std::string name_of(Likeness likeness) {
  switch (likeness) {
    case Likeness::equal:
      return "equal";
    case Likeness::engine:
      return "engine";
    case Likeness::wording:
      return "wording";
    case Likeness::differs:
      break;
  }
  return "differs";
}

std::string normalised(std::string text) {
  for (const Rule& rule : run_rules()) text = std::regex_replace(text, rule.pattern, rule.replacement);
  return text;
}

Likeness compare_output(const std::string& recorded, const std::string& now) {
  if (looks_like_json(recorded)) {
    Json a = Json::parse(recorded, nullptr, false);
    Json b = Json::parse(now, nullptr, false);
    if (!a.is_discarded()) {
      if (b.is_discarded()) return Likeness::differs;
      normalise_json(a);
      normalise_json(b);
      if (a == b) return Likeness::equal;
      drop_engine(a);
      drop_engine(b);
      return a == b ? Likeness::engine : Likeness::differs;
    }
  }
  // Mixed output: lines that are JSON documents one by one, the others as text.
  std::istringstream left(recorded);
  std::istringstream right(now);
  Likeness worst = Likeness::equal;
  for (;;) {
    std::string a;
    std::string b;
    const bool more_a = static_cast<bool>(std::getline(left, a));
    const bool more_b = static_cast<bool>(std::getline(right, b));
    if (!more_a && !more_b) return worst;
    if (more_a != more_b) return Likeness::differs;
    if (a.starts_with("{\"") || a.starts_with("[{\"")) {
      if (!Json::parse(a, nullptr, false).is_discarded()) {
        worst = std::max(worst, compare_output(a, b));
        continue;
      }
    }
    const std::string x = normalised(a);
    const std::string y = normalised(b);
    if (x == y) continue;
    if (without_engine(x) != without_engine(y)) return Likeness::differs;
    worst = std::max(worst, Likeness::engine);
  }
}

Likeness compare_errors(const std::string& recorded, const std::string& now) {
  const std::string a = normalised(recorded);
  const std::string b = normalised(now);
  if (a == b) return Likeness::equal;
  const bool both_speak =
      (a.find("libbpf: ") == std::string::npos) == (b.find("libbpf: ") == std::string::npos);
  return both_speak && without_libbpf(a) == without_libbpf(b) ? Likeness::wording : Likeness::differs;
}

}  // namespace skep::test
