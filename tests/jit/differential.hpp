// Runs one program on the interpreter and on every variant of the JIT and compares result and memory.
#pragma once
#include <array>
#include <cstring>
#include <string>

#include "isa/disasm.hpp"
#include "jit/compile.hpp"
#include "vm/interpreter.hpp"

namespace skep::jit::testing {

struct Outcome {
  u64 result = 0;
  std::array<u8, 256> memory{};
  bool operator==(const Outcome&) const = default;
};

inline u64 mixing_helper(u64 a, u64 b, u64 c, u64 d, u64 e, RunContext* rc) {
  return (a ^ (b << 1) ^ (c << 2) ^ (d << 3) ^ (e << 4)) * 0x9e3779b97f4a7c15 + rc->cpu;
}

inline Outcome run_on(const Entry& entry) {
  Outcome outcome;
  for (std::size_t i = 0; i < outcome.memory.size(); ++i) outcome.memory[i] = static_cast<u8>(i * 73 + 11);
  alignas(16) static std::array<u8, 256> memory;  // one address for all runs: programs compute with it
  memory = outcome.memory;
  RunContext rc;
  rc.cpu = 3;
  outcome.result = entry(memory.data() + 128, &rc);
  outcome.memory = memory;
  return outcome;
}

/// Empty if all engines agree, else what differs and the program.
inline std::string difference(std::span<const isa::Insn> insns) {
  const vm::LinkTable links{
      .helper = [](ProgType, s32 id) -> HelperFn { return id == 1 ? mixing_helper : nullptr; }};
  const auto interpreted = vm::prepare_unverified(insns, links);
  if (!interpreted) return "refused: " + interpreted.error().what;
  const Outcome want = run_on(interpreted->entry());
  const std::pair<const char*, Options> variants[] = {
      {"jit", {}},
      {"jit without bmi2 and movbe", {.cpu = {}, .combine = true}},
#if defined(__x86_64__)  // the only machine with hardened code
      {"jit hardened", {.harden = true}},
#endif
      {"jit one to one", {.cpu = {}, .combine = false}}};
  for (const auto& [name, options] : variants) {
    const auto compiled = compile_unverified(insns, links, options);
    if (!compiled) return std::string(name) + " refused: " + compiled.error().what;
    const Outcome got = run_on(compiled->entry());
    if (got == want) continue;
    std::string text = std::string(name) + " gives " + std::to_string(got.result) + ", the interpreter " +
                       std::to_string(want.result);
    for (std::size_t i = 0; i < want.memory.size(); ++i)
      if (got.memory[i] != want.memory[i])
        text += "; memory differs from byte " + std::to_string(i), i = want.memory.size();
    for (std::size_t i = 0; i < insns.size(); ++i) {
      text += "\n" + std::to_string(i) + ": " + isa::disassemble(insns.subspan(i));
      if (isa::is_ld_imm64(insns[i])) ++i;
    }
    return text;
  }
  return {};
}

}  // namespace skep::jit::testing
