// Context accesses of every program type against what the kernel makes of them
// (tests/golden/ctx_xlated.json), and what is rewritten with them: sockets, the unclone prologue, the packet
// loads of classic BPF.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "fixup/rewrite.hpp"
#include "isa/asm.hpp"
#include "isa/disasm.hpp"
#include "progs/prog_type.hpp"
#include "verifier/cases.hpp"

namespace skep::fixup {
namespace {

using verifier::InsnFacts;
using verifier::PtrKind;

struct Program {
  Program(std::string_view text, ProgType program_type, PtrKind kind = PtrKind::ctx)
      : insns(isa::assemble(text).value()), facts(insns.size()), type(program_type) {
    for (std::size_t i = 0; i < facts.size(); ++i) {
      facts[i].seen = true;
      const u8 cls = isa::class_of(insns[i].code);
      if (cls == isa::op::LDX || cls == isa::op::ST || cls == isa::op::STX)
        facts[i].pointer_kind = static_cast<u8>(kind);
    }
    subprogs.push_back({.start = 0, .name = "main"});
  }
  [[nodiscard]] Result<Rewritten> rewrite(bool direct_write = false) const {
    return fixup::rewrite(
        {.type = type, .insns = insns, .facts = facts, .subprogs = subprogs, .direct_write = direct_write});
  }
  [[nodiscard]] std::vector<std::string> text(bool direct_write = false) const {
    const Rewritten done = rewrite(direct_write).value();
    std::vector<std::string> out;
    for (std::size_t i = 0; i < done.insns.size(); ++i)
      out.push_back(isa::disassemble(std::span(done.insns).subspan(i)).substr(5));
    return out;
  }
  std::vector<isa::Insn> insns;
  std::vector<InsnFacts> facts;
  ProgType type;
  std::vector<verifier::Subprog> subprogs;
};
using Text = std::vector<std::string>;

ProgType type_of(const std::string& name) {
  for (u32 t = 1; t < 33; ++t)
    if (prog_type_name(static_cast<ProgType>(t)) == name) return static_cast<ProgType>(t);
  return ProgType::unspec;
}

/// "r12/w" is r3 = *(u32 *)(r1 +12), "w12/w" *(u32 *)(r1 +12) = r3.
struct Access {
  bool write = false;
  s32 off = 0;
  u32 size = 0;
  [[nodiscard]] std::string program() const {
    const std::string place = "*(u" + std::to_string(size * 8) + " *)(r1 +" + std::to_string(off) + ")";
    return write ? "r3 = 0; " + place + " = r3; r0 = 0; exit" : "r3 = " + place + "; r0 = 0; exit";
  }
};
Access parse(const std::string& key) {
  const auto slash = key.find('/');
  const std::string size = key.substr(slash + 1);
  return {key[0] == 'w', std::stoi(key.substr(1, slash - 1)),
          size == "b"   ? 1u
          : size == "h" ? 2u
          : size == "w" ? 4u
                        : 8u};
}

TEST(Access, EveryContextFieldOfEveryTypeBecomesWhatTheKernelMakesOfIt) {
  std::ifstream file(SKEP_GOLDEN_DIR "/ctx_xlated.json");
  const auto golden = nlohmann::json::parse(file);
  std::size_t compared = 0;
  for (const auto& [name, accesses] : golden.items()) {
    const ProgType type = type_of(name);
    ASSERT_NE(type, ProgType::unspec) << name;
    for (const auto& [key, hex] : accesses.items()) {
      const Access access = parse(key);
      Program p(access.program(), type);
      // Control blocks and pointers are never read in part; all else is as wide as tc's.
      auto allowed = progs::ctx_access(type, {}, access.off, access.size, access.write, false);
      if (!allowed)
        allowed = progs::ctx_access(ProgType::cgroup_skb, {}, access.off, access.size, access.write, false);
      if (!allowed)
        allowed = progs::ctx_access(ProgType::sched_cls, {}, access.off, access.size, access.write, false);
      ASSERT_TRUE(allowed.has_value()) << name << " " << key;
      p.facts[access.write ? 1 : 0].ctx_field_size = allowed->field_size;
      const auto done = p.rewrite();
      ASSERT_TRUE(done.has_value()) << name << " " << key << ": " << done.error().what;
      EXPECT_EQ(done->insns, verifier::testing::insns_of_hex(hex)) << name << " " << key;
      ++compared;
    }
  }
  EXPECT_GE(compared, 981u);
}

TEST(Access, TstampIsGivenAsItIsToProgramsThatReadItsType) {
  EXPECT_EQ(Program("r2 = *(u8 *)(r1 +180); r3 = *(u64 *)(r1 +152); exit", ProgType::sched_cls).text(),
            (Text{"r2 = *(u8 *)(r1 +129)", "w2 &= 3", "r3 = *(u64 *)(r1 +32)", "exit"}));
}

TEST(Access, SocketsAreReadAtTheKernelsOffsets) {
  EXPECT_EQ(
      Program(
          "r2 = *(u32 *)(r1 +4); r3 = *(u8 *)(r1 +25); r4 = *(u16 *)(r1 +48); r5 = *(u32 *)(r1 +76); exit",
          ProgType::sched_cls, PtrKind::sock)
          .text(),
      (Text{"r2 = *(u16 *)(r1 +16)", "r3 = *(u32 *)(r1 +4)", "w3 >>= 8", "w3 &= 255", "r4 = *(u16 *)(r1 +12)",
            "r5 = *(u16 *)(r1 +122)", "if r5 != 0xffff goto pc+1", "w5 = -1", "exit"}));
  EXPECT_EQ(
      Program("r2 = *(u32 *)(r1 +0); r3 = *(u64 *)(r1 +88); exit", ProgType::sched_cls, PtrKind::tcp_sock)
          .text(),
      (Text{"r2 = *(u32 *)(r1 +1444)", "r3 = *(u64 *)(r1 +1824)", "exit"}));
}

TEST(Access, SignExtendingLoadsExtendWhatWasLoaded) {
  EXPECT_EQ(Program("r2 = *(s32 *)(r1 +8); exit", ProgType::sched_cls).text(),
            (Text{"r2 = *(u32 *)(r1 +164)", "r2 = (s32)r2", "exit"}));
}

TEST(Access, WhatHasNoRewritingIsRefusedByName) {
  const auto done = Program("r0 = *(u32 *)(r1 +3); exit", ProgType::sched_cls).rewrite();
  ASSERT_FALSE(done.has_value());
  EXPECT_EQ(done.error().code, EOPNOTSUPP);
  EXPECT_NE(done.error().what.find("sched_cls"), std::string::npos) << done.error().what;
}

TEST(Prologue, AProgramThatWritesIntoItsPacketMakesItItsOwn) {
  Program p("r0 = 0; if r1 != 0 goto -2; exit", ProgType::sched_cls);
  EXPECT_EQ(p.text(true), (Text{"r6 = *(u8 *)(r1 +126)", "w6 &= 1", "if r6 == 0x0 goto pc+7", "r6 = r1",
                                "r2 ^= r2", "call unknown#39", "if r0 == 0x0 goto pc+2", "w0 = 2", "exit",
                                "r1 = r6", "r0 = 0", "if r1 != 0x0 goto pc-2", "exit"}));
  EXPECT_EQ(p.rewrite(true)->subprogs.at(0).start, 0u);
  EXPECT_EQ(Program("r0 = 0; exit", ProgType::xdp).text(true), (Text{"r0 = 0", "exit"}));
}

TEST(PacketLoads, BecomeCallsThatEndTheProgramBeyondThePacket) {
  const Rewritten done =
      Program("r6 = r1; r0 = *(u8 *)skb[3]; exit", ProgType::socket_filter).rewrite().value();
  ASSERT_EQ(done.insns.size(), 8u);
  EXPECT_EQ(done.insns[1], mov_imm(2, 3));
  EXPECT_EQ(done.insns[3], call(helpers::fn_skb_load_8));
  EXPECT_EQ(done.insns[4], jump_if(isa::op::JSGE, true, 0, 0, 2));
  EXPECT_EQ(done.insns[6].code, isa::op::JMP | isa::op::EXIT);
}

}  // namespace
}  // namespace skep::fixup
