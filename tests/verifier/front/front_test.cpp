// The phases before the walk against the kernel's logs: every structural refusal, and the beginning of every
// level-2 log (functions, live registers, loops, disassembly).
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "isa/asm.hpp"
#include "verifier/cases.hpp"
#include "verifier/front/program.hpp"
#include "verifier/log/insn_text.hpp"

namespace skep::verifier {
namespace {

using namespace testing;

int errno_of(const std::string& name) {
  return name == "EINVAL" ? EINVAL : name == "ENOTSUPP" ? kENOTSUPP : name == "E2BIG" ? E2BIG : -1;
}

/// Calls of helpers that no kernel has count as known: everything treats them alike.
bool has_all_helpers(const Input& input) {
  return std::ranges::all_of(input.insns, [&](const isa::Insn& i) {
    if (i.code != 0x85 || i.src != 0 || !helpers::allowed(input.type, static_cast<u32>(i.imm))) return true;
    return input.helper(input.type, {}, static_cast<u32>(i.imm)) != nullptr;
  });
}

TEST(Front, RefusesAndPrintsWhatTheKernelDoesBeforeTheWalk) {
  CaseMaps maps;
  int refused = 0, walked = 0, compared = 0;
  for (const Case& c : load_cases(maps)) {
    SCOPED_TRACE(c.name);
    const std::string golden = c.golden["log2"];
    Log log({.level = 2, .size = 1 << 20});
    Program program;
    const Input input = c.input();
    const int err = run_front(input, program, log);
    const size_t walk = golden.find("0: R1=");
    const bool reaches_walk = walk != std::string::npos;
    const size_t end = reaches_walk ? walk : golden.rfind("processed ");
    if (has_all_helpers(input)) {
      EXPECT_EQ(without_addresses(log.finish().text), without_addresses(golden.substr(0, end)));
      ++compared;
    }
    if (reaches_walk) {
      EXPECT_EQ(err, 0);
      ++walked;
    } else {
      EXPECT_EQ(err, errno_of(c.golden["err"])) << log.last_message();
      ++refused;
    }
  }
  // Without a helper's contract the table cannot know which registers its call reads.
  RecordProperty("logs compared", compared);
  EXPECT_GE(compared, 180);
  EXPECT_EQ(refused, 17);
  EXPECT_EQ(walked, 229);
}

/// The prologue of a captured log: "func#..." lines and the table.
std::vector<std::string> prologue(const std::filesystem::path& log) {
  std::ifstream in(log);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) {
    if (line.rfind("0: R1=", 0) == 0) return lines;
    if (line.rfind("func#", 0) == 0 || line.rfind("Live regs", 0) == 0 || !lines.empty())
      lines.push_back(line);
  }
  return {};
}

TEST(Front, PrintsTheTablesOfCompiledPrograms) {
  // The table's own disassembly is the program.
  int compared = 0;
  for (const auto& entry : std::filesystem::directory_iterator(SKEP_GOLDEN_DIR "/verifier_c")) {
    if (entry.path().extension() != ".log") continue;
    SCOPED_TRACE(entry.path().filename());
    const auto lines = prologue(entry.path());
    std::string source, expected;
    for (const std::string& line : lines) {
      expected += line + "\n";
      std::smatch m;
      static const std::regex row(R"(^(?: {4}|[ \d]{3} )[ \d]+: [.\d]{10} (\(..\) .*)$)"),
          call(R"(call \w+#(\d+))");
      if (std::regex_match(line, m, row)) source += std::regex_replace(m[1].str(), call, "call $1") + "\n";
    }
    // What calls back does so through function references, which the table's text does not have; calls of
    // kernel functions have their numbers replaced.
    static const std::regex unsupported(
        "kernel-function|call bpf_(iter|dynptr|task|rdonly|cast|rcu|loop|for_each|timer|user_ringbuf)\\w*#");
    const auto insns = isa::assemble(source);
    if (lines.empty() || !insns || std::regex_search(expected, unsupported)) continue;
    Input input;
    input.type = ProgType::xdp;
    input.insns = *insns;
    input.helper = helpers::lookup;
    input.helper_name = helpers::name;
    const bool known = std::ranges::all_of(input.insns, [&](const isa::Insn& i) {
      return i.code != 0x85 || i.src != 0 || input.helper(input.type, {}, static_cast<u32>(i.imm)) != nullptr;
    });
    if (!known) continue;
    Log log({.level = 2, .size = 1 << 20});
    Program program;
    program.insns = *insns;
    program.notes.resize(insns->size());
    ASSERT_EQ(add_subprogs(input, program, log), 0);
    ASSERT_EQ(check_subprogs(input, program, log), 0);
    ASSERT_EQ(check_cfg(input, program, log), 0);
    ASSERT_EQ(compute_postorder(program), 0);
    ASSERT_EQ(compute_scc(program), 0);
    ASSERT_EQ(compute_live_registers(input, program, log), 0);
    EXPECT_EQ(log.finish().text, expected);
    ++compared;
  }
  EXPECT_GE(compared, 5);
}

struct Fixture {
  Fixture(std::string_view text, std::vector<FuncInfo> funcs = {}, std::vector<LineInfo> lines = {})
      : insns(isa::assemble(text).value()), func_info(std::move(funcs)), line_info(std::move(lines)) {
    input.type = ProgType::xdp;
    input.insns = insns;
    input.func_info = func_info;
    input.line_info = line_info;
    input.helper = helpers::lookup;
    input.helper_name = helpers::name;
  }
  int run() { return run_front(input, program, log); }
  std::vector<isa::Insn> insns;
  std::vector<FuncInfo> func_info;
  std::vector<LineInfo> line_info;
  Input input;
  Log log{{}};
  Program program;
};

TEST(Front, MarksPruneAndJumpPointsWhereTheKernelDoes) {
  Fixture f("r0 = 0; if r0 > 5 goto l; call 5; r0 = 1; l:; callf g; exit; g:; goto e; e:; r0 = 0; exit");
  ASSERT_EQ(f.run(), 0);
  const auto marks = [&](bool InsnNotes::* what) {
    std::string out;
    for (const InsnNotes& n : f.program.notes) out += n.*what ? 'x' : '.';
    return out;
  };
  //                                                0123456789
  EXPECT_EQ(marks(&InsnNotes::prune_point), ".x.xxxxx.");
  EXPECT_EQ(marks(&InsnNotes::jump_point), "...xxxxx.");
  EXPECT_EQ(marks(&InsnNotes::jump_target), "....x.xx.");
}

TEST(Front, LoopsAreStronglyConnectedComponents) {
  Fixture f(
      "r1 = 0; l:; r1 += 1; if r1 < 9 goto l; m:; r2 = 0; n:; r2 += 1; if r2 < 5 goto n; if r1 < 7 goto m;"
      "r0 = 0; exit");
  ASSERT_EQ(f.run(), 0);
  std::string sccs;
  for (const InsnNotes& n : f.program.notes) sccs += static_cast<char>('0' + n.scc);
  EXPECT_EQ(sccs, "022111100");
  EXPECT_EQ(f.program.scc_count, 2u);
}

TEST(Front, FindsFastcallPatterns) {
  Fixture f(
      "*(u64 *)(r10 -16) = r2; *(u64 *)(r10 -24) = r1; call 8; r1 = *(u64 *)(r10 -24); r2 = *(u64 *)(r10 "
      "-16);"
      "r0 = r1; exit");
  ASSERT_EQ(f.run(), 0);
  EXPECT_EQ(f.program.notes[2].fastcall_spills, 2);
  EXPECT_TRUE(f.program.notes[0].fastcall_pattern && f.program.notes[4].fastcall_pattern);
  EXPECT_EQ(f.program.subprogs[0].fastcall_stack_off, -8);
}

TEST(Front, RefusesMapsItDoesNotKnow) {
  Fixture f("r1 = map 9; r0 = 0; exit");
  EXPECT_EQ(f.run(), EBADF);
  EXPECT_EQ(f.log.last_message(), "fd 9 is not pointing to valid bpf_map");

  Fixture indexed("r1 = map_idx 1; r0 = 0; exit");
  EXPECT_EQ(indexed.run(), EPROTO);
  EXPECT_EQ(indexed.log.last_message(), "fd_idx without fd_array is invalid");
  const int fds[] = {7};
  indexed.input.fd_array = fds;
  EXPECT_EQ(indexed.run(), EFAULT);
}

TEST(Front, UsesAtMostSixtyFourMaps) {
  std::string text;
  std::vector<maps::MapFacts> facts(65);
  std::vector<MapBinding> bindings;
  for (int i = 0; i < 65; ++i) {
    facts[static_cast<size_t>(i)].type = MapType::array;
    bindings.push_back({100 + i, &facts[static_cast<size_t>(i)]});
    text += "r1 = map " + std::to_string(100 + i) + ";";
  }
  Fixture f(text + "r0 = 0; exit");
  f.input.maps = bindings;
  EXPECT_EQ(f.run(), E2BIG);
  EXPECT_EQ(f.log.last_message(), "The total number of maps per program has reached the limit of 64");
}

TEST(Front, RefusesWhatOnlyAKernelHas) {
  Fixture kfunc("kfunc 5; r0 = 0; exit");
  EXPECT_EQ(kfunc.run(), kENOTSUPP);
  Fixture variable("r1 = btf 5; r0 = 0; exit");
  EXPECT_EQ(variable.run(), EINVAL);
  EXPECT_NE(variable.log.last_message().find("kernel is missing BTF"), std::string::npos);
}

/// A raw BTF with: 1 int, 2 func_proto(void) -> int, 3 static func "main", 4 global func "sub".
btf::Btf small_btf() {
  const std::string strings = std::string("\0int\0main\0sub\0  x = 1;\0/src/a.c\0", 32);
  std::vector<u32> types = {1,  1u << 24,      4, 0x01000020,  // int "int" 32 bits signed
                            0,  13u << 24,     1,              // func_proto -> 1
                            5,  12u << 24,     2,              // func "main" static
                            10, 12u << 24 | 1, 2};             // func "sub" global
  std::vector<u32> header = {0x0001eb9f,
                             24,
                             0,
                             static_cast<u32>(types.size() * 4),
                             static_cast<u32>(types.size() * 4),
                             static_cast<u32>(strings.size())};
  std::vector<std::byte> bytes;
  for (const auto& part : {std::as_bytes(std::span(header)), std::as_bytes(std::span(types)),
                           std::as_bytes(std::span(strings))}) {
    bytes.insert(bytes.end(), part.begin(), part.end());
  }
  return btf::Btf::parse(std::move(bytes)).value();
}

TEST(Front, ChecksFunctionRecords) {
  const btf::Btf btf = small_btf();
  const auto message = [&](std::vector<FuncInfo> funcs, std::vector<LineInfo> lines = {}) {
    Fixture f("callf g; exit; g:; r0 = 0; exit", std::move(funcs), std::move(lines));
    f.input.btf = &btf;
    const int err = f.run();
    return err == 0 ? "ok" : f.log.last_message();
  };
  EXPECT_EQ(message({{0, 3}, {2, 4}}), "ok");
  EXPECT_EQ(message({{1, 3}}), "nonzero insn_off 1 for the first func info record");
  EXPECT_EQ(message({{0, 3}, {0, 4}}), "same or smaller insn offset (0) than previous func info record (0)");
  EXPECT_EQ(message({{0, 1}}), "invalid type id 1 in func info");
  EXPECT_EQ(message({{0, 3}}), "number of funcs in func_info doesn't match number of subprogs");
  EXPECT_EQ(message({{0, 3}, {3, 4}}), "func_info BTF section doesn't match subprog layout in BPF program");
  EXPECT_EQ(message({{0, 3}, {2, 4}}, {{0, 24, 14, 1 << 10}, {2, 24, 14, 2 << 10}}), "ok");
  EXPECT_EQ(message({{0, 3}, {2, 4}}, {{0, 24, 14, 1 << 10}}),
            "missing bpf_line_info for 1 funcs starting from func#1");
  EXPECT_EQ(message({{0, 3}, {2, 4}}, {{0, 24, 14, 1 << 10}, {3, 24, 14, 2 << 10}}),
            "missing bpf_line_info for func#1");
  EXPECT_EQ(message({{0, 3}, {2, 4}}, {{0, 24, 14, 1 << 10}, {9, 24, 14, 2 << 10}}),
            "Invalid line_info[1].insn_off:9 (prev_offset:0 prog->len:4)");
  EXPECT_EQ(message({{0, 3}, {2, 4}}, {{0, 999, 14, 1 << 10}}),
            "Invalid line_info[0].line_off or .file_name_off");
}

TEST(Front, NamesFunctionsAndTheirLinkageFromBtf) {
  const btf::Btf btf = small_btf();
  Fixture f("callf g; exit; g:; r0 = 0; exit", {{0, 3}, {2, 4}});
  f.input.btf = &btf;
  ASSERT_EQ(f.run(), 0);
  EXPECT_EQ(f.program.subprogs[1].name, "sub");
  EXPECT_TRUE(f.program.subprogs[1].is_global);
  EXPECT_FALSE(f.program.subprogs[0].is_global);
}

TEST(SourceLines, AreShownWhenTheyChange) {
  const btf::Btf btf = small_btf();
  Fixture f("r0 = 0; r0 = 1; r0 = 2; exit", {{0, 3}},
            {{0, 24, 14, 1 << 10}, {1, 24, 14, (1 << 10) + 7}, {2, 24, 14, 2 << 10}});
  f.input.btf = &btf;
  ASSERT_EQ(f.run(), 0);
  Log log({.level = 2, .size = 1000});
  SourceLines lines;
  for (u32 i = 0; i < 4; ++i) lines.show(f.input, f.program, i, "; ", log);
  EXPECT_EQ(log.finish().text, "; x = 1; @ a.c:1\n; x = 1; @ a.c:2\n");
}

}  // namespace
}  // namespace skep::verifier
