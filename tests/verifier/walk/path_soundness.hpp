// What verify() believes of registers beside what happens: its log of level 2 read, programs of numbers run,
// and a run followed through the log. `Source` gives numbers: std::mt19937_64, or a fuzzer's bytes.
#pragma once
#include <fmt/format.h>

#include <array>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "isa/semantics.hpp"
#include "verifier/verify.hpp"

namespace skep::verifier::testing {

using isa::Insn;
using namespace isa::op;

// --- what the log says ---------------------------------------------------------------------------------

using Texts = std::map<u32, std::string>;  ///< by register

inline u64 number(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  const u64 value = std::strtoull(std::string(text).c_str(), nullptr, 0);
  return negative ? 0 - value : value;
}

inline bool bound_holds(std::string_view name, u64 bound, u64 value) {
  if (name == "smin") return static_cast<s64>(value) >= static_cast<s64>(bound);
  if (name == "smax") return static_cast<s64>(value) <= static_cast<s64>(bound);
  if (name == "umin") return value >= bound;
  if (name == "umax") return value <= bound;
  if (name == "smin32") return static_cast<s32>(value) >= static_cast<s32>(bound);
  if (name == "smax32") return static_cast<s32>(value) <= static_cast<s32>(bound);
  if (name == "umin32") return static_cast<u32>(value) >= static_cast<u32>(bound);
  if (name == "umax32") return static_cast<u32>(value) <= static_cast<u32>(bound);
  return true;  // an id
}

/// "5", "scalar(smin=0,smax=umax=255,var_off=(0x0; 0xff))"; what is no number holds anything.
inline bool holds(std::string_view text, u64 value) {
  if (text.starts_with('P')) text.remove_prefix(1);
  if (text.starts_with('-') || (!text.empty() && std::isdigit(static_cast<unsigned char>(text[0])) != 0))
    return number(text) == value;
  if (!text.starts_with("scalar(")) return true;
  text.remove_prefix(7);
  if (const auto at = text.find("var_off=("); at != std::string_view::npos) {
    const auto middle = text.find("; ", at);
    const u64 known = number(text.substr(at + 9, middle - at - 9)), mask = number(text.substr(middle + 2));
    if ((value & ~mask) != known) return false;
    text = text.substr(0, at);
  }
  std::vector<std::string_view> names;
  while (!text.empty() && text[0] != ')') {  // name=name=value,
    const auto end = text.find_first_of("=,)");
    const std::string_view word = text.substr(0, end);
    if (end != std::string_view::npos && text[end] == '=') {
      names.push_back(word);
    } else {
      for (const std::string_view name : names)
        if (!bound_holds(name, number(word), value)) return false;
      names.clear();
    }
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return true;
}

struct Step {
  u32 insn = 0;
  Texts after;
};
/// From an entry, or a pushed branch, to an exit or a state seen before.
struct Segment {
  s64 from = -1;  ///< the jump; -1: the program's beginning
  u32 start = 0;
  Texts entry;
  std::vector<Step> steps;
  s64 safe_at = -1;
};

/// "R2=scalar(id=1,...) R3=5 fp-8=..." Texts hold blanks only behind a semicolon.
inline Texts registers(const std::string& text) {
  Texts out;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = at;
    while (end < text.size() && (text[end] != ' ' || text[end - 1] == ';')) ++end;
    const std::string word = text.substr(at, end - at);
    const auto equals = word.find('=');
    if (word.starts_with('R') && equals != std::string::npos)
      out[static_cast<u32>(std::stoul(word.substr(1)))] = word.substr(equals + 1);
    at = end + 1;
  }
  return out;
}

inline std::vector<Segment> read_log(const std::string& log) {
  std::vector<Segment> segments;
  std::istringstream in(log);
  for (std::string line; std::getline(in, line);) {
    u32 a = 0, b = 0;
    int used = 0;
    if (std::sscanf(line.c_str(), "from %u to %u: %n", &a, &b, &used) == 2 && used > 0) {
      Segment& s = segments.emplace_back();
      s.from = a;
      s.start = b;
      std::string rest = line.substr(static_cast<std::size_t>(used));
      if (rest == "safe") s.safe_at = b;
      s.entry = registers(rest);
    } else if (line.starts_with("0: R")) {
      segments.emplace_back().entry = registers(line.substr(3));
    } else if (!segments.empty() && std::sscanf(line.c_str(), "%u: %n", &a, &used) == 1 && used > 0) {
      const std::string rest = line.substr(static_cast<std::size_t>(used));
      if (rest == "safe") {
        segments.back().safe_at = a;
      } else if (rest.starts_with('(')) {
        const auto comment = rest.find("; R");
        segments.back().steps.push_back(
            {a, comment == std::string::npos ? Texts{} : registers(rest.substr(comment + 2))});
      } else if (rest.starts_with('R') && !segments.back().steps.empty()) {  // the state behind a jump
        for (auto& [reg, text] : registers(rest)) segments.back().steps.back().after[reg] = text;
      }
    }
  }
  return segments;
}

// --- what happens --------------------------------------------------------------------------------------

struct Moment {
  u32 insn = 0;
  std::array<u64, 11> after{};
};

/// Runs a program of numbers, a stack and two context fields; no loops.
template <class Source>
std::vector<Moment> run(const std::vector<Insn>& insns, Source& rng) {
  std::vector<Moment> trace;
  std::array<u64, 11> regs{};
  std::array<u8, 64> stack{};
  constexpr u32 interesting[] = {0, 1, 7, 8, 255, 256, 0x7fffffff, 0x80000000, 0xffffffff, 0xfffffffe};
  for (u32 pc = 0; pc < insns.size();) {
    const Insn& i = insns[pc];
    const u32 at = pc++;
    const bool wide = isa::class_of(i.code) == ALU64 || isa::class_of(i.code) == JMP;
    const u64 src = (i.code & X) != 0 ? regs[i.src] : static_cast<u64>(static_cast<s64>(i.imm));
    switch (isa::class_of(i.code)) {
      case ALU:
      case ALU64: {
        u64& dst = regs[i.dst];
        if (isa::op_of(i.code) == MOV) {
          const u64 value = i.off != 0 ? isa::sign_extend(src, static_cast<u32>(i.off)) : src;
          dst = wide ? value : static_cast<u32>(value);
        } else if (isa::op_of(i.code) == NEG) {
          dst = wide ? 0 - dst : static_cast<u32>(0 - dst);
        } else if (isa::op_of(i.code) == END) {
          const bool swap = wide || (i.code & X) != 0;
          dst = swap ? isa::byte_swap(dst, static_cast<u32>(i.imm))
                     : isa::truncate(dst, static_cast<u32>(i.imm));
        } else {
          dst = wide ? isa::alu<u64>(isa::op_of(i.code), dst, src)
                     : isa::alu<u32>(isa::op_of(i.code), static_cast<u32>(dst), static_cast<u32>(src));
        }
        break;
      }
      case LDX: {
        const u32 bytes = isa::bytes_of_size(i.code);
        if (i.src == 1) {
          regs[i.dst] =
              (rng() & 1) != 0 ? interesting[rng() % std::size(interesting)] : static_cast<u32>(rng());
          break;
        }
        u64 value = 0;
        std::memcpy(&value, &stack[static_cast<std::size_t>(64 + i.off)], bytes);
        regs[i.dst] = isa::mode_of(i.code) == MEMSX ? isa::sign_extend(value, bytes * 8) : value;
        break;
      }
      case STX:
        std::memcpy(&stack[static_cast<std::size_t>(64 + i.off)], &regs[i.src], isa::bytes_of_size(i.code));
        break;
      default:
        if (i.code == (JMP | EXIT)) {
          trace.push_back({at, regs});
          return trace;
        }
        if (wide ? isa::cond<u64>(isa::op_of(i.code), regs[i.dst], src)
                 : isa::cond<u32>(isa::op_of(i.code), static_cast<u32>(regs[i.dst]), static_cast<u32>(src)))
          pc = static_cast<u32>(static_cast<s32>(pc) + i.off);
        break;
    }
    trace.push_back({at, regs});
  }
  return trace;
}

// --- the two together ----------------------------------------------------------------------------------

struct Follower {
  const std::vector<Segment>& segments;
  const std::vector<Moment>& trace;
  std::string complaint{};  ///< of the path that came furthest
  std::size_t furthest = 0;

  bool all_hold(const Texts& texts, const std::array<u64, 11>& regs, std::size_t moment) {
    for (const auto& [reg, text] : texts) {
      if (reg > 10 || holds(text, regs[reg])) continue;
      if (moment >= furthest) {
        furthest = moment;
        complaint = fmt::format("insn {}: R{} is {:#x}, but {}", trace[moment].insn, reg, regs[reg], text);
      }
      return false;
    }
    return true;
  }

  bool follow(const Segment& segment, std::size_t step, std::size_t moment) {
    for (;; ++step, ++moment) {
      if (moment >= trace.size()) return true;
      if (step >= segment.steps.size()) return segment.safe_at == s64{trace[moment].insn};
      if (segment.steps[step].insn != trace[moment].insn) return false;
      // An instruction that forks its operand is walked again with the other value.
      for (const Segment& fork : segments)
        if (moment > 0 && &fork != &segment && fork.from == s64{fork.start} &&
            fork.start == trace[moment].insn && all_hold(fork.entry, trace[moment - 1].after, moment) &&
            follow(fork, 0, moment))
          return true;
      if (moment + 1 < trace.size()) {
        const u32 here = trace[moment].insn, next = trace[moment + 1].insn;
        for (const Segment& branch : segments)
          if (branch.from == s64{here} && branch.start == next &&
              all_hold(branch.entry, trace[moment].after, moment) && follow(branch, 0, moment + 1))
            return true;
        const bool goes_on = step + 1 < segment.steps.size() ? segment.steps[step + 1].insn == next
                                                             : segment.safe_at == s64{next};
        if (!goes_on) return false;
      }
      if (!all_hold(segment.steps[step].after, trace[moment].after, moment)) return false;
    }
  }
};

/// Two numbers that the context gives, then anything with registers 0 and 2 to 5 and the stack.
template <class Source>
std::vector<Insn> random_program(Source& rng) {
  const auto below = [&](u32 n) { return static_cast<u32>(rng() % n); };
  const auto reg = [&] { return static_cast<u8>(std::array{0, 2, 3, 4, 5}[below(5)]); };
  constexpr s32 numbers[] = {0, 1, -1, 2, 7, 8, 15, 31, 63, 255, 256, 0xffff, 0x7fffffff, INT32_MIN, -8, -16};
  const auto imm = [&] {
    return below(4) != 0 ? numbers[below(std::size(numbers))] : static_cast<s32>(rng());
  };
  std::vector<Insn> out{
      {LDX | MEM | W, 2, 1, 12, 0}, {LDX | MEM | W, 3, 1, 16, 0},   {LDX | MEM | W, 4, 1, 12, 0},
      {ALU64 | LSH, 4, 0, 0, 32},   {ALU64 | OR | X, 4, 3, 0, 0},   {ALU64 | MOV | X, 5, 2, 0, 0},
      {ALU64 | MOV, 0, 0, 0, 1},    {STX | MEM | DW, 10, 2, -8, 0}, {STX | MEM | DW, 10, 4, -16, 0}};
  const u32 body = 4 + below(24);
  for (u32 n = 0; n < body; ++n) {
    const u8 wide = below(3) != 0 ? ALU64 : ALU;
    switch (below(8)) {
      case 0:
      case 1:
      case 2: {
        const u8 o = std::array{ADD, SUB, MUL, AND, OR, XOR, LSH, RSH, ARSH, DIV, MOD, MOV}[below(12)];
        const bool shift = o == LSH || o == RSH || o == ARSH;
        if (below(2) != 0) {
          out.push_back({static_cast<u8>(wide | o | X), reg(), reg(), 0, 0});
          break;
        }
        s32 value = shift ? static_cast<s32>(below(wide == ALU64 ? 64 : 32)) : imm();
        if ((o == DIV || o == MOD) && value == 0) value = 3;
        out.push_back({static_cast<u8>(wide | o), reg(), 0, 0, value});
        break;
      }
      case 3:
        if (below(3) == 0) {
          out.push_back({static_cast<u8>(wide | NEG), reg(), 0, 0, 0});
        } else if (below(2) == 0) {
          out.push_back({static_cast<u8>(wide | END | (wide == ALU && below(2) != 0 ? X : K)), reg(), 0, 0,
                         std::array{16, 32, 64}[below(3)]});
        } else {
          const s16 from = std::array<s16, 3>{8, 16, 32}[below(wide == ALU64 ? 3 : 2)];
          out.push_back({static_cast<u8>(wide | MOV | X), reg(), reg(), from, 0});
        }
        break;
      case 4:
      case 5: {
        const u8 o = std::array{JEQ, JNE, JGT, JGE, JLT, JLE, JSGT, JSGE, JSLT, JSLE, JSET}[below(11)];
        const u8 cls = below(3) != 0 ? JMP : JMP32;
        const s16 off = static_cast<s16>(below(body - n));
        if (below(2) != 0)
          out.push_back({static_cast<u8>(cls | o | X), reg(), reg(), off, 0});
        else
          out.push_back({static_cast<u8>(cls | o), reg(), 0, off, imm()});
        break;
      }
      case 6: {
        const u8 size = std::array{B, H, W, DW, DW}[below(5)];
        const u32 bytes = isa::bytes_of_size(size);
        const s16 off = static_cast<s16>(-static_cast<s32>(bytes * (1 + below(16 / bytes))));
        out.push_back({static_cast<u8>(STX | MEM | size), 10, reg(), off, 0});
        break;
      }
      default: {
        const u8 size = std::array{B, H, W, DW, DW}[below(5)];
        const u32 bytes = isa::bytes_of_size(size);
        const s16 off = static_cast<s16>(-static_cast<s32>(bytes * (1 + below(16 / bytes))));
        out.push_back(
            {static_cast<u8>(LDX | (size != DW && below(3) == 0 ? MEMSX : MEM) | size), reg(), 10, off, 0});
        break;
      }
    }
  }
  out.push_back({ALU64 | MOV, 0, 0, 0, 0});
  out.push_back({JMP | EXIT, 0, 0, 0, 0});
  return out;
}

}  // namespace skep::verifier::testing
