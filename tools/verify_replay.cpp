// Compares the verifier with what Linux said of many programs without objects around them, such as mutated
// ones:
//   verify_replay [-v] TABLE...
// A table has the columns id, base, type, eat, flags, license, maps, verdict, errno, last_log, processed,
// program; `maps` is a JSON list of [type, key, value, entries, flags], to which ld_imm64 of the program
// refers by index. With a column attach ("func bpf_iter_task", "typedef btf_trace_sched_switch", "struct
// tcp_congestion_ops") programs are attached to that type of the machine's kernel. Prints the share that is
// equal (verdict, errno, last message of refused, processed instructions of accepted), with -v every
// difference. Exits with 1 if a program is accepted that Linux refuses.
#include <fmt/format.h>

#include <cstring>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/fd.hpp"
#include "btf/kernel_btf.hpp"
#include "helpers/table.hpp"
#include "verifier/verify.hpp"

namespace {

using namespace skep;

std::vector<std::string> split(const std::string& line) {
  std::vector<std::string> fields;
  std::size_t at = 0;
  for (;;) {
    const std::size_t tab = line.find('\t', at);
    fields.push_back(line.substr(at, tab - at));
    if (tab == std::string::npos) return fields;
    at = tab + 1;
  }
}

std::vector<isa::Insn> from_hex(const std::string& hex) {
  std::vector<isa::Insn> insns(hex.size() / 16);
  std::vector<u8> bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes.push_back(static_cast<u8>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  std::memcpy(insns.data(), bytes.data(), insns.size() * sizeof(isa::Insn));
  return insns;
}

/// Maps as the kernel made them: empty, without BTF and name.
std::vector<std::unique_ptr<maps::MapFacts>> make_maps(const std::string& text) {
  std::vector<std::unique_ptr<maps::MapFacts>> made;
  for (const auto& spec : nlohmann::json::parse(text)) {
    auto facts = std::make_unique<maps::MapFacts>();
    facts->id = static_cast<u32>(made.size()) + 1;
    facts->type = static_cast<MapType>(spec[0].get<u32>());
    facts->key_size = spec[1];
    facts->value_size = spec[2];
    facts->max_entries = spec[3];
    facts->flags = spec[4];
    facts->map_address = 0xffff888100000000 + facts->id * 0x400;
    facts->values_address = facts->map_address + maps::array_values_offset;
    made.push_back(std::move(facts));
  }
  return made;
}

struct Counts {
  u64 all = 0, verdict = 0, code = 0, refused = 0, message = 0, accepted = 0, processed = 0,
      false_accepts = 0;
};

std::string last_message(const std::string& text) {
  std::string message = text.substr(0, text.find('\t'));
  while (!message.empty() && message.back() == '\n') message.pop_back();
  return message;
}

const btf::KernelBtf& machine_types() {
  static const btf::KernelBtf types([]() -> Result<std::vector<std::byte>> {
    const std::string text = TRY(read_file("/sys/kernel/btf/vmlinux"));
    const ByteView bytes = bytes_of(text);
    return std::vector<std::byte>(bytes.begin(), bytes.end());
  });
  return types;
}

u32 attach_id(const std::string& target) {
  const std::size_t space = target.find(' ');
  const std::string kind = target.substr(0, space);
  return machine_types().find(kind == "func"     ? btf::Kind::func
                              : kind == "struct" ? btf::Kind::struct_
                                                 : btf::Kind::typedef_,
                              target.substr(space + 1));
}

void judge(const std::map<std::string, std::string>& row, Counts& counts, bool show) {
  auto insns = from_hex(row.at("program"));
  const auto maps = make_maps(row.at("maps"));
  std::vector<verifier::MapBinding> bindings;
  for (std::size_t i = 0; i < maps.size(); ++i) bindings.push_back({static_cast<int>(i), maps[i].get()});
  verifier::Input input;
  input.type = static_cast<ProgType>(std::stoul(row.at("type")));
  input.expected_attach_type = static_cast<AttachType>(std::stoul(row.at("eat")));
  input.prog_flags = static_cast<u32>(std::stoul(row.at("flags")));
  input.gpl_compatible = row.at("license").starts_with("GPL") || row.at("license").starts_with("Dual");
  input.insns = insns;
  input.maps = bindings;
  input.helper = helpers::lookup;
  input.helper_name = helpers::name;
  input.cpu_count = 2;
  input.vmlinux = &machine_types();
  if (row.contains("attach") && !row.at("attach").empty()) input.attach_btf_id = attach_id(row.at("attach"));
  const auto found = verifier::verify(input);
  const int code = found ? 0 : found.error().code;
  const u64 processed = found ? found->processed_insns() : found.error().processed_insns;
  std::string message;
  if (!found) {  // the last line at level 1 may say more
    const auto again = verifier::verify(input, {.level = 1, .size = 16u << 20});
    message = last_message((again ? found : again).error().message);
  }
  const std::string wanted = row.at("last_log");
  const bool linux_accepts = row.at("verdict") == "ACCEPT";
  std::string differs;
  ++counts.all;
  if (linux_accepts == (code == 0))
    ++counts.verdict;
  else
    differs += " verdict";
  if (code == std::stoi(row.at("errno")))
    ++counts.code;
  else
    differs += " errno";
  if (code == 0 && !linux_accepts) ++counts.false_accepts, differs += " ACCEPTED";
  if (code != 0 && !linux_accepts) {
    ++counts.refused;
    if (message.substr(0, 250) == wanted)
      ++counts.message;
    else
      differs += " message";
  }
  if (code == 0 && linux_accepts) {
    ++counts.accepted;
    if (std::to_string(processed) == row.at("processed"))
      ++counts.processed;
    else
      differs += " processed";
  }
  if (show && !differs.empty())
    fmt::print("{} {} type {}:{}\n  linux {} {} processed {}\n  skep  {} {} processed {}\n", row.at("id"),
               row.at("base"), row.at("type"), differs, row.at("errno"), wanted, row.at("processed"), code,
               message, processed);
}

}  // namespace

int main(int argc, char** argv) {
  Counts counts;
  bool show = false;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "-v") == 0) {
      show = true;
      continue;
    }
    std::ifstream file(argv[i]);
    std::string line;
    if (!std::getline(file, line)) {
      std::cerr << argv[i] << ": no table\n";
      return 2;
    }
    const auto names = split(line);
    while (std::getline(file, line)) {
      const auto fields = split(line);
      std::map<std::string, std::string> row;
      for (std::size_t k = 0; k < names.size() && k < fields.size(); ++k) row[names[k]] = fields[k];
      if (row.contains("program")) judge(row, counts, show);
    }
  }
  fmt::print(
      "programs {}: verdict {}, errno {}, message {} of {} refused, processed {} of {} accepted; accepted "
      "but refused "
      "by Linux: {}\n",
      counts.all, counts.verdict, counts.code, counts.message, counts.refused, counts.processed,
      counts.accepted, counts.false_accepts);
  return counts.false_accepts == 0 ? 0 : 1;
}
