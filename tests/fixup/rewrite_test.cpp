// Each rewriting on its own, with facts made by hand; expected programs in the kernel's syntax.
#include "fixup/rewrite.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <fstream>
#include <nlohmann/json.hpp>

#include "fixup/translate.hpp"
#include "isa/asm.hpp"
#include "isa/disasm.hpp"
#include "isa/form.hpp"
#include "verifier/cases.hpp"

namespace skep::fixup {
namespace {

using verifier::InsnFacts;
using verifier::PtrKind;

/// A program whose instructions are all seen, until a test says otherwise.
struct Program {
  explicit Program(std::string_view text, ProgType program_type = ProgType::xdp)
      : insns(isa::assemble(text).value()), facts(insns.size()), type(program_type) {
    for (InsnFacts& f : facts) f.seen = true;
    subprogs.push_back({.start = 0, .name = "main"});
  }
  [[nodiscard]] Result<Rewritten> rewrite() const {
    return fixup::rewrite({type, insns, facts, subprogs, maps, func_info, line_info});
  }
  /// The text of the rewritten program, one instruction a line, without opcodes.
  [[nodiscard]] std::vector<std::string> text() const {
    const Rewritten done = rewrite().value();
    std::vector<std::string> out;
    for (size_t i = 0; i < done.insns.size(); ++i) {
      out.push_back(isa::disassemble(std::span(done.insns).subspan(i)).substr(5));
      if (isa::is_ld_imm64(done.insns[i])) ++i;
    }
    return out;
  }
  void load_from_ctx(u32 insn) { facts[insn].pointer_kind = static_cast<u8>(PtrKind::ctx); }
  void map_call(u32 insn, const maps::MapFacts& map) {
    maps.push_back(&map);
    facts[insn].map_index = static_cast<s32>(maps.size()) - 1;
  }

  std::vector<isa::Insn> insns;
  std::vector<InsnFacts> facts;
  ProgType type;
  std::vector<verifier::Subprog> subprogs;
  std::vector<const maps::MapFacts*> maps;
  std::vector<verifier::FuncInfo> func_info;
  std::vector<verifier::LineInfo> line_info;
};

using Text = std::vector<std::string>;

TEST(Context, XdpFieldsBecomeTheKernelsLoads) {
  std::ifstream file(SKEP_GOLDEN_DIR "/ctx_xlated.json");
  const auto golden = nlohmann::json::parse(file)["xdp"];
  ASSERT_EQ(golden.size(), 5u);
  for (const auto& [access, hex] : golden.items()) {  // "r12/w": r3 = *(u32 *)(r1 +12)
    const std::string off = access.substr(1, access.find('/') - 1);
    Program p("r3 = *(u32 *)(r1 +" + off + "); r0 = 0; exit");
    p.load_from_ctx(0);
    EXPECT_EQ(p.rewrite().value().insns, verifier::testing::insns_of_hex(hex)) << access;
  }
}

TEST(Context, EgressIfindexGoesThroughTheTransmitQueue) {
  Program p("r3 = *(u32 *)(r1 +20); exit");
  p.load_from_ctx(0);
  EXPECT_EQ(p.text(),
            (Text{"r3 = *(u64 *)(r1 +40)", "r3 = *(u64 *)(r3 +0)", "r3 = *(u32 *)(r3 +224)", "exit"}));
}

TEST(Context, TracingContextsAreWhatTheySeem) {
  Program p("r0 = *(u64 *)(r1 +8); exit", ProgType::raw_tracepoint);
  p.load_from_ctx(0);
  EXPECT_EQ(p.text(), (Text{"r0 = *(u64 *)(r1 +8)", "exit"}));
}

TEST(Division, UnsignedByARegisterIsGuarded) {
  EXPECT_EQ(Program("r2 /= r1; exit").text(),
            (Text{"if r1 != 0x0 goto pc+2", "w2 ^= w2", "goto pc+1", "r2 /= r1", "exit"}));
  EXPECT_EQ(Program("w2 /= w1; exit").text(),
            (Text{"if w1 != 0x0 goto pc+2", "w2 ^= w2", "goto pc+1", "w2 /= w1", "exit"}));
  EXPECT_EQ(Program("r2 %= r1; exit").text(), (Text{"if r1 == 0x0 goto pc+1", "r2 %= r1", "exit"}));
  EXPECT_EQ(Program("w2 %= w1; exit").text(),
            (Text{"if w1 == 0x0 goto pc+2", "w2 %= w1", "goto pc+1", "w2 = w2", "exit"}));
}

TEST(Division, SignedByARegisterKnowsZeroAndMinusOne) {
  EXPECT_EQ(Program("r2 s/= r1; exit").text(),
            (Text{"r11 = r1", "r11 += 1", "if r11 > 0x1 goto pc+4", "if r11 == 0x0 goto pc+1", "r2 = 0",
                  "r2 = -r2", "goto pc+1", "r2 s/= r1", "exit"}));
  EXPECT_EQ(Program("w2 s%= w1; exit").text(),
            (Text{"r11 = r1", "w11 += 1", "if w11 > 0x1 goto pc+3", "if w11 == 0x1 goto pc+4", "w2 = 0",
                  "goto pc+1", "w2 s%= w1", "goto pc+1", "w2 = w2", "exit"}));
}

TEST(Division, ByAConstantStaysExceptSignedByMinusOne) {
  EXPECT_EQ(Program("r2 /= 3; r2 s/= 3; exit").text(), (Text{"r2 /= 3", "r2 s/= 3", "exit"}));
  EXPECT_EQ(Program("r2 s/= -1; w2 s/= -1; r2 s%= -1; exit").text(),
            (Text{"r2 = -r2", "w2 = -w2", "w2 = 0", "exit"}));
}

TEST(Calls, ArrayLookupIsInlined) {
  const maps::MapFacts map{.type = MapType::array, .key_size = 4, .value_size = 48, .max_entries = 4};
  Program p("call 1; exit");
  p.map_call(0, map);
  EXPECT_EQ(p.text(), (Text{"r1 += 312", "r0 = *(u32 *)(r2 +0)", "if r0 >= 0x4 goto pc+3", "r0 *= 48",
                            "r0 += r1", "goto pc+1", "r0 = 0", "exit"}));
}

TEST(Calls, PercpuArrayLookupAddsTheCpusOffset) {
  const maps::MapFacts map{.type = MapType::percpu_array, .key_size = 4, .value_size = 8, .max_entries = 2};
  Program p("call 1; exit");
  p.map_call(0, map);
  EXPECT_EQ(p.text(),
            (Text{"r1 += 312", "r0 = *(u32 *)(r2 +0)", "if r0 >= 0x2 goto pc+5", "r0 <<= 3", "r0 += r1",
                  "r0 = *(u64 *)(r0 +0)", "r0 = &(void __percpu *)(r0)", "goto pc+1", "r0 = 0", "exit"}));
}

TEST(Calls, HashLookupCallsForTheElement) {
  const maps::MapFacts map{.type = MapType::hash, .key_size = 5, .value_size = 8, .max_entries = 2};
  Program p("call 1; exit");
  p.map_call(0, map);
  const auto done = p.rewrite().value();
  EXPECT_EQ(done.insns[0].imm, helpers::fn_htab_map_lookup_elem);
  EXPECT_EQ(p.text()[1], "if r0 == 0x0 goto pc+1");
  EXPECT_EQ(p.text()[2], "r0 += 56");
}

TEST(Calls, LookupsInInnerMapsAreInlinedByTheirTemplate) {
  const maps::MapFacts inner{.type = MapType::array, .key_size = 4, .value_size = 8, .max_entries = 16};
  const maps::MapFacts outer{
      .type = MapType::array_of_maps, .key_size = 4, .value_size = 4, .max_entries = 4, .inner = &inner};
  Program p("call 1; exit");
  p.map_call(0, outer);
  p.facts[0].call_map_inner = true;
  EXPECT_EQ(p.text(), (Text{"r1 += 312", "r0 = *(u32 *)(r2 +0)", "if r0 >= 0x10 goto pc+3", "r0 <<= 3",
                            "r0 += r1", "goto pc+1", "r0 = 0", "exit"}));
}

TEST(Calls, UnknownMapsKeepTheHelper) {
  const maps::MapFacts map{.type = MapType::array, .key_size = 4, .value_size = 8, .max_entries = 4};
  Program p("call 1; call 2; exit");
  p.map_call(0, map);
  p.facts[0].call_map_known = false;
  const auto done = p.rewrite().value();
  EXPECT_EQ(done.insns, p.insns);
}

TEST(Calls, TailCallsAndCpuNumbersHaveTheirOwnForms) {
  Program p("call 8; call 12; exit");
  const auto done = p.rewrite().value();
  ASSERT_EQ(done.insns.size(), 5u);
  EXPECT_EQ(done.insns[0].imm, percpu_cpu_number);
  EXPECT_EQ(p.text()[1], "r0 = &(void __percpu *)(r0)");
  EXPECT_EQ(isa::decode(done.insns[3]), isa::Form::TAIL_CALL);
}

TEST(DeadCode, BranchesWithOneLiveSideAreTaken) {
  Program p("r1 = 5; if r1 > 10 goto l; r0 = 0; exit; l:; r0 = 1; exit");
  p.facts[4].seen = p.facts[5].seen = false;
  EXPECT_EQ(p.text(), (Text{"r1 = 5", "r0 = 0", "exit"}));
}

TEST(DeadCode, OnlyTheTakenSideLeavesAJumpOverNothing) {
  Program p("r1 = 5; if r1 < 10 goto l; r0 = 0; exit; l:; r0 = 1; exit");
  p.facts[2].seen = p.facts[3].seen = false;
  EXPECT_EQ(p.text(), (Text{"r1 = 5", "r0 = 1", "exit"}));
}

TEST(DeadCode, JumpsToTheNextInstructionGoButNotInASecondRound) {
  EXPECT_EQ(Program("goto 0; r0 = 0; exit").text(), (Text{"r0 = 0", "exit"}));
  // The first jump skips the second, which goes; what is left of the first stays, as in the kernel.
  EXPECT_EQ(Program("goto 1; goto 0; r0 = 0; exit").text(), (Text{"goto pc+0", "r0 = 0", "exit"}));
}

TEST(DeadCode, FastcallSpillsGoWithTheirCall) {
  Program p("*(u64 *)(r10 -8) = r1; call 8; r1 = *(u64 *)(r10 -8); exit");
  p.facts[1].fastcall_spills = 1;
  EXPECT_EQ(p.text(),
            (Text{"r0 = -2085560268", "r0 = &(void __percpu *)(r0)", "r0 = *(u32 *)(r0 +0)", "exit"}));
}

TEST(Layout, JumpsCrossPatchesInBothDirections) {
  Program p("l:; r2 /= r1; if r2 > 5 goto l; if r2 > 3 goto e; r3 /= r1; e:; exit");
  EXPECT_EQ(p.text(), (Text{"if r1 != 0x0 goto pc+2", "w2 ^= w2", "goto pc+1", "r2 /= r1",
                            "if r2 > 0x5 goto pc-5", "if r2 > 0x3 goto pc+4", "if r1 != 0x0 goto pc+2",
                            "w3 ^= w3", "goto pc+1", "r3 /= r1", "exit"}));
}

TEST(Layout, AJumpThatNoLongerFitsIsRefused) {
  std::string text = "if r1 > 5 goto e;";
  for (int i = 0; i < 20000; ++i) text += "r2 /= r1;";
  const auto done = Program(text + "e:; exit").rewrite();
  ASSERT_FALSE(done.has_value());
  EXPECT_EQ(done.error().code, ENOMEM);
  EXPECT_EQ(done.error().what, "insn 0 cannot be patched due to 16-bit range");
}

TEST(Layout, CallsRecordsAndOriginsFollow) {
  Program p("r2 /= r1; callf f; exit; g:; r0 = 1; exit; f:; r0 = 2; exit");
  p.subprogs = {{.start = 0}, {.start = 3}, {.start = 5}};
  p.func_info = {{0, 1}, {3, 2}, {5, 3}};
  p.line_info = {{0, 1, 1, 0}, {2, 1, 2, 0}, {3, 1, 3, 0}, {5, 1, 4, 0}, {6, 1, 5, 0}};
  p.facts[3].seen = p.facts[4].seen = false;  // g is never called
  const Rewritten done = p.rewrite().value();
  EXPECT_EQ(done.origin, (std::vector<u32>{0, 0, 0, 0, 1, 2, 5, 6}));
  EXPECT_EQ(done.insns[4].imm, 1);
  ASSERT_EQ(done.subprogs.size(), 2u);
  EXPECT_EQ(done.subprogs[1].start, 6u);
  ASSERT_EQ(done.func_info.size(), 2u);
  EXPECT_EQ(done.func_info[1].insn_off, 6u);
  EXPECT_EQ(done.func_info[1].type_id, 3u);
  ASSERT_EQ(done.line_info.size(), 4u);
  EXPECT_EQ(done.line_info[1].insn_off, 5u);
  EXPECT_EQ(done.line_info[2].insn_off, 6u);
  EXPECT_EQ(done.line_info[2].line_off, 4u);
}

TEST(Layout, ALineOfRemovedCodeGoesToTheNextInstructionWithoutOne) {
  Program p("r1 = 5; goto 0; r0 = 0; exit");
  p.line_info = {{0, 1, 1, 0}, {1, 1, 2, 0}};
  const Rewritten done = p.rewrite().value();
  ASSERT_EQ(done.line_info.size(), 2u);
  EXPECT_EQ(done.line_info[1].insn_off, 1u);
  EXPECT_EQ(done.line_info[1].line_off, 2u);
}

TEST(Layout, MapReferencesHoldTheMapsIndex) {
  Program p("r1 = map 7; r2 = mapval 9 + 4; exit");
  p.facts[0].map_index = 0;
  p.facts[2].map_index = 1;
  p.facts[2].map_off = 4;
  const Rewritten done = p.rewrite().value();
  EXPECT_EQ(done.insns[0].imm, 0);
  EXPECT_EQ(done.insns[2].imm, 1);
  EXPECT_EQ(done.insns[3].imm, 4);
}

}  // namespace
}  // namespace skep::fixup
