// Which BPF registers an instruction reads and writes, as bit sets.
#pragma once
#include <array>

#include "isa/form.hpp"

namespace skep::jit {

namespace detail {
consteval std::array<isa::Family, isa::form_count + 1> make_families() {
  std::array<isa::Family, isa::form_count + 1> families{};
  for (u32 i = 0; i < isa::form_count; ++i) families[i] = isa::forms[i].family;
  return families;
}
inline constexpr auto families = make_families();
}  // namespace detail
/// isa::info(form).family out of a table that stays in the cache; every pass asks it of every instruction.
constexpr isa::Family family_of(isa::Form form) { return detail::families[isa::index_of(form)]; }

constexpr bool is_conditional(isa::Family family) {
  return family == isa::Family::jcond64 || family == isa::Family::jcond32;
}

/// Where control goes after an instruction.
enum class Flow : u8 { on, ends, jumps, may_jump };
namespace detail {
consteval std::array<Flow, isa::form_count + 1> make_flows() {
  using isa::Family;
  std::array<Flow, isa::form_count + 1> flows{};
  for (u32 i = 0; i < isa::form_count; ++i) {
    const Family family = isa::forms[i].family;
    const bool may = is_conditional(family) || family == Family::may_goto;
    flows[i] = family == Family::ja     ? Flow::jumps
               : family == Family::exit ? Flow::ends
               : may                    ? Flow::may_jump
                                        : Flow::on;
  }
  return flows;
}
inline constexpr auto flows = make_flows();
}  // namespace detail

constexpr u16 bit(u32 r) { return static_cast<u16>(1u << r); }

struct Operands {
  u16 reads = 0, writes = 0;
};

namespace detail {
consteval Operands operands_by_family(const isa::Insn& insn, isa::Form form) {
  using isa::Family;
  const isa::FormInfo& f = isa::info(form);
  const u16 dst = bit(insn.dst), src = bit(insn.src);
  constexpr u16 arguments = 0x3e, caller_saved = 0x3f;
  switch (f.family) {
    case Family::alu64:
    case Family::alu32: {
      const bool is_move = isa::op_of(f.code) == isa::op::MOV;
      return {static_cast<u16>((is_move ? 0 : dst) | (f.src.any ? src : 0)), dst};
    }
    case Family::movsx:
    case Family::zext:
    case Family::addr_space_cast:
    case Family::mov_percpu:
    case Family::ldx:
    case Family::ldxsx:
    case Family::probe:
    case Family::load_acquire:
      return {src, dst};
    case Family::end:
      return {dst, dst};
    case Family::st:
      return {dst, 0};
    case Family::stx:
    case Family::store_release:
      return {static_cast<u16>(dst | src), 0};
    case Family::atomic:
      if (f.imm.value == isa::op::CMPXCHG) return {static_cast<u16>(dst | src | bit(0)), bit(0)};
      return {static_cast<u16>(dst | src),
              f.imm.value == isa::op::XCHG || (f.imm.value & isa::op::FETCH) != 0 ? src : u16{0}};
    case Family::ld_imm64:
      return {0, dst};
    case Family::ld_abs:
    case Family::ld_ind:
      return {static_cast<u16>(src | bit(6)), caller_saved};
    case Family::jcond64:
    case Family::jcond32:
      return {static_cast<u16>(dst | (f.src.any ? src : 0)), 0};
    case Family::ja:
    case Family::may_goto:
      return {};
    case Family::call:
      return {arguments, caller_saved};
    case Family::tail_call:
      return {0x0e, caller_saved};
    case Family::exit:
      return {bit(0), 0};
  }
  return {};
}

/// Registers that a form uses whatever its fields say; and where dst (low half of the mask) and src (high
/// half) are read or written.
struct OperandRule {
  u32 reads_mask = 0, writes_mask = 0;
  u16 reads = 0, writes = 0;
  Flow flow = Flow::on;
};
consteval std::array<OperandRule, isa::form_count + 1> make_operand_rules() {
  constexpr u8 as_dst = 14, as_src = 15;  // no register has these numbers
  std::array<OperandRule, isa::form_count + 1> rules{};
  for (u32 i = 0; i < isa::form_count; ++i) {
    isa::Insn insn;
    insn.dst = as_dst & 0xf;
    insn.src = as_src & 0xf;
    const Operands operands = operands_by_family(insn, static_cast<isa::Form>(i));
    constexpr u16 fixed = 0x3fff;
    const auto mask = [](u16 set) {
      return ((set >> as_dst & 1) != 0 ? 0xffffu : 0u) | ((set >> as_src & 1) != 0 ? 0xffff0000u : 0u);
    };
    rules[i] = {mask(operands.reads), mask(operands.writes), static_cast<u16>(operands.reads & fixed),
                static_cast<u16>(operands.writes & fixed), flows[i]};
  }
  return rules;
}
inline constexpr auto operand_rules = make_operand_rules();

/// For the byte of both registers: dst's bit, and src's in the upper half.
consteval std::array<u32, 256> make_register_bits() {
  std::array<u32, 256> bits{};
  for (u32 i = 0; i < 256; ++i) bits[i] = 1u << (i & 15) | 1u << (i >> 4) << 16;
  return bits;
}
inline constexpr auto register_bits = make_register_bits();
}  // namespace detail

/// Calls read R1 to R5 and write R0 to R5; exit reads R0; the second slot of ld_imm64 does nothing.
inline Operands operands_of(const isa::Insn& insn, const detail::OperandRule& rule) {
  const u32 bits = detail::register_bits[isa::registers_of(insn)];
  const u32 reads = bits & rule.reads_mask, writes = bits & rule.writes_mask;
  return {static_cast<u16>(rule.reads | reads | reads >> 16),
          static_cast<u16>(rule.writes | writes | writes >> 16)};
}
inline Operands operands_of(const isa::Insn& insn, isa::Form form) {
  return operands_of(insn, detail::operand_rules[isa::index_of(form)]);
}

}  // namespace skep::jit
