// Every transfer function against the kernel's own answers: tests/golden/domain.jsonl.gz has operand states
// as the kernel printed them, the operation, and what it printed afterwards.
#include <gtest/gtest.h>
#include <zlib.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "verifier/domain/scalar.hpp"

namespace skep::verifier {
namespace {

using nlohmann::json;
using namespace isa::op;

std::string read_gz(const std::string& path) {
  gzFile file = gzopen(path.c_str(), "rb");
  std::string all;
  if (file == nullptr) return all;
  char buffer[1 << 16];
  for (int n = 0; (n = gzread(file, buffer, sizeof buffer)) > 0;) all.append(buffer, static_cast<size_t>(n));
  gzclose(file);
  return all;
}

/// A scalar from its printed form. What is printed is what differs from "anything", so this is exact.
Scalar parse(std::string text) {
  if (text[0] == 'P') text.erase(0, 1);
  if (text.rfind("scalar(", 0) != 0) return Scalar::constant(std::strtoull(text.c_str(), nullptr, 0));
  text = text.substr(7, text.size() - 8);
  Scalar r;
  std::vector<std::string> names;
  size_t at = 0;
  while (at < text.size()) {
    const size_t equals = text.find('=', at);
    names.push_back(text.substr(at, equals - at));
    at = equals + 1;
    if (names.back() == "var_off") {
      unsigned long long v = 0;
      unsigned long long m = 0;
      if (text[at] == '(')
        sscanf(text.c_str() + at, "(%llx; %llx)", &v, &m);
      else
        v = std::strtoull(text.c_str() + at, nullptr, 0);
      r.var_off = {v, m};
      break;
    }
    if (!(text[at] == '-' || isdigit(text[at]))) continue;
    const u64 value = std::strtoull(text.c_str() + at, nullptr, 0);
    for (const std::string& name : names) {
      if (name == "smin")
        r.smin = static_cast<s64>(value);
      else if (name == "smax")
        r.smax = static_cast<s64>(value);
      else if (name == "umin")
        r.umin = value;
      else if (name == "umax")
        r.umax = value;
      else if (name == "smin32")
        r.smin32 = static_cast<s32>(value);
      else if (name == "smax32")
        r.smax32 = static_cast<s32>(value);
      else if (name == "umin32")
        r.umin32 = static_cast<u32>(value);
      else if (name == "umax32")
        r.umax32 = static_cast<u32>(value);
    }
    names.clear();
    const size_t comma = text.find(',', at);
    at = comma == std::string::npos ? text.size() : comma + 1;
  }
  return r;
}

/// The printed form without ids and precision mark.
std::string plain(std::string text) {
  if (text[0] == 'P') text.erase(0, 1);
  const size_t id = text.find("id=");
  if (id == std::string::npos) return text;
  size_t end = text.find_first_of(",)", id);
  if (text[end] == ',') ++end;
  return text.erase(id, end - id);
}

u8 opcode(const std::string& op, bool jump) {
  static const std::map<std::string, u8> alu_ops{{"+=", ADD},    {"-=", SUB}, {"*=", MUL},  {"&=", AND},
                                                 {"|=", OR},     {"^=", XOR}, {"<<=", LSH}, {">>=", RSH},
                                                 {"s>>=", ARSH}, {"/=", DIV}, {"%=", MOD},  {"=", MOV}};
  static const std::map<std::string, u8> jumps{{"==", JEQ},  {"!=", JNE},   {">", JGT},   {">=", JGE},
                                               {"<", JLT},   {"<=", JLE},   {"s>", JSGT}, {"s>=", JSGE},
                                               {"s<", JSLT}, {"s<=", JSLE}, {"&", JSET}};
  return jump ? jumps.at(op) : alu_ops.at(op);
}

struct Outcome {
  std::optional<std::pair<Scalar, Scalar>> fall, taken;
};

void settle(Scalar& r) {
  if (bounds_violation(r) != nullptr) forget_ranges(r);
}

Outcome jump(u8 op, bool is32, const Scalar& a, const Scalar& b) {
  const int known = branch_taken(op, a, b, is32);
  if (known == 1) return {{}, {{a, b}}};
  if (known == 0) return {{{a, b}}, {}};
  Scalar ta = a, tb = b, fa = a, fb = b;
  refine_branch(op, is32, ta, tb, fa, fb);
  for (Scalar* r : {&ta, &tb, &fa, &fb}) settle(*r);
  return {{{fa, fb}}, {{ta, tb}}};
}

TEST(Domain, ParsingAPrintedScalarAndPrintingItGivesTheSameText) {
  for (const char* text : {"scalar()", "5", "-1", "0xffffffff", "scalar(smin=smin32=-7,smax=smax32=0)",
                           "scalar(smin=0,smax=umax=0xffffffff,var_off=(0x0; 0xffffffff))"}) {
    EXPECT_EQ(scalar_text(parse(text)), text);
  }
}

TEST(Domain, EqualsTheKernelsAnswersOnAllSamples) {
  const std::string all = read_gz(SKEP_GOLDEN_DIR "/domain.jsonl.gz");
  ASSERT_FALSE(all.empty());
  size_t samples = 0, wrong = 0;
  for (size_t at = 0; at < all.size();) {
    const size_t end = all.find('\n', at);
    const json sample = json::parse(all.substr(at, end - at));
    at = end + 1;
    ++samples;
    const std::string name = sample["op"];
    const bool is32 = name[0] == 'w';
    const bool is_jump = sample["kind"] == "jmp";
    const u8 op = opcode(name.substr(2), is_jump);
    const Scalar a = parse(sample["a"]), b = parse(sample["b"]);
    const auto differ = [&](const char* what, const std::string& ours, const std::string& kernel) {
      if (kernel == "not printed" || plain(ours) == plain(kernel)) return;

      if (++wrong <= 20) {
        ADD_FAILURE() << name << " of " << sample["a"] << " and " << sample["b"] << ", " << what << ": ours "
                      << ours << ", the kernel's " << kernel;
      }
    };
    const auto part = [&](const char* branch, const char* reg) -> std::string {
      if (!sample["res"].contains(branch)) return "never";
      const json& regs = sample["res"][branch];
      return regs.contains(reg) && regs[reg].is_string() ? regs[reg].get<std::string>() : "not printed";
    };
    if (is_jump) {
      const Outcome got = jump(op, is32, a, b);
      const auto text = [](const std::optional<std::pair<Scalar, Scalar>>& o, bool first) {
        return o ? scalar_text(first ? o->first : o->second) : std::string("never");
      };
      for (const char* reg : {"r1", "r2"}) {
        differ("falling through", text(got.fall, reg[1] == '1'), part("fall", reg));
        differ("taken", text(got.taken, reg[1] == '1'), part("taken", reg));
      }
    } else {
      isa::Insn insn{.code = static_cast<u8>(op | X | (is32 ? ALU : ALU64)), .dst = 1, .src = 2};
      Scalar dst = a;
      if (op == MOV)
        dst = mov(insn, b);
      else if (needs_fork(insn, dst, b) != Fork::none)
        continue;  // two results; tested where states fork
      else
        alu(insn, dst, b);
      differ("the result", scalar_text(dst), part("fall", "r1"));
    }
  }
  EXPECT_EQ(samples, 8000u);
  EXPECT_EQ(wrong, 0u);
}

}  // namespace
}  // namespace skep::verifier
