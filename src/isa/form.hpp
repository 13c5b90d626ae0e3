// The instruction table (ops.def) as C++ values: an enumerator a form, what each form demands of the fields
// of an Insn, its family and its text; decoding an Insn to its form and encoding a form to an Insn.
// A form is opcode plus those field values that select a meaning: DIV64_X and SDIV64_X share opcode 0x3f.
#pragma once
#include <array>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "isa/insn.hpp"

namespace skep::isa {

enum class Form : u8 {
#define FORM(name, ...) name,
#include "isa/ops.def"
  invalid,  ///< no form of the table
};
inline constexpr u32 form_count = static_cast<u32>(Form::invalid);
constexpr u32 index_of(Form form) { return static_cast<u32>(form); }

enum class Family : u8 {
  alu64,
  alu32,
  movsx,
  zext,
  addr_space_cast,
  mov_percpu,
  end,
  ldx,
  ldxsx,
  probe,
  st,
  stx,
  atomic,
  load_acquire,
  store_release,
  ld_imm64,
  ld_abs,
  ld_ind,
  jcond64,
  jcond32,
  ja,
  may_goto,
  call,
  tail_call,
  exit,
};

/// What a form demands of one field.
struct Operand {
  bool any = false;  ///< every value; otherwise exactly `value`
  s32 value = 0;
  constexpr bool takes(s32 given) const { return any || given == value; }
};

struct FormInfo {
  std::string_view name;
  u8 code;
  Operand dst, src, off, imm;
  Family family;
  std::string_view text;  ///< the kernel's syntax with placeholders, see ops.def
};

namespace detail {
consteval std::array<FormInfo, form_count> make_forms() {
  using namespace op;
  constexpr Operand reg{true, 0}, any{true, 0}, zero{false, 0};
  constexpr auto is = [](s32 value) { return Operand{false, value}; };
  return {{
#define FORM(name, code, dst, src, off, imm, family, text) \
  FormInfo{#name, static_cast<u8>(code), dst, src, off, imm, Family::family, text},
#include "isa/ops.def"
  }};
}
}  // namespace detail

inline constexpr std::array<FormInfo, form_count> forms = detail::make_forms();
constexpr const FormInfo& info(Form form) { return forms[index_of(form)]; }

constexpr bool matches(const FormInfo& f, const Insn& insn) {
  return f.code == insn.code && f.dst.takes(insn.dst) && f.src.takes(insn.src) && f.off.takes(insn.off) &&
         f.imm.takes(insn.imm);
}

/// The form of one instruction, or Form::invalid: opcode unknown, or a reserved field set. Register numbers
/// are not looked at (0..15 fit the field). The second slot of ld_imm64 is not an instruction.
Form decode(const Insn& insn);
/// Whether the table has this opcode at all, whatever the other fields hold, among the opcodes that a user
/// may submit (kernel: bpf_opcode_in_insntable()).
bool known_opcode(u8 code);
/// An instruction of this form. Fields that the form fixes are set from the table; the rest are given.
constexpr Insn encode(Form form, u8 dst = 0, u8 src = 0, s16 off = 0, s32 imm = 0) {
  const FormInfo& f = info(form);
  Insn insn{.code = f.code};
  insn.dst = (f.dst.any ? dst : static_cast<u8>(f.dst.value)) & 0xf;
  insn.src = (f.src.any ? src : static_cast<u8>(f.src.value)) & 0xf;
  insn.off = f.off.any ? off : static_cast<s16>(f.off.value);
  insn.imm = f.imm.any ? imm : f.imm.value;
  return insn;
}
/// Both slots of an ld_imm64.
constexpr std::array<Insn, 2> encode_imm64(Form form, u8 dst, u64 value) {
  Insn second;
  second.imm = static_cast<s32>(value >> 32);
  return {encode(form, dst, 0, 0, static_cast<s32>(value)), second};
}
constexpr u64 imm64(const Insn& first, const Insn& second) {
  return static_cast<u64>(static_cast<u32>(second.imm)) << 32 | static_cast<u32>(first.imm);
}

/// Where a jump, conditional jump, may_goto or local call goes, relative to the next instruction.
constexpr s32 displacement(Form form, const Insn& insn) {
  return form == Form::GOTOL || form == Form::CALL_LOCAL ? insn.imm : insn.off;
}
constexpr bool has_target(Form form) {
  const Family family = info(form).family;
  return family == Family::ja || family == Family::jcond32 || family == Family::jcond64 ||
         family == Family::may_goto || form == Form::CALL_LOCAL;
}

/// What an instruction does with registers beyond dst and src of its family: used by liveness and engines.
constexpr bool writes_dst(Form form) {
  switch (info(form).family) {
    case Family::st:
    case Family::stx:
    case Family::atomic:
    case Family::store_release:
    case Family::ld_abs:
    case Family::ld_ind:
    case Family::jcond32:
    case Family::jcond64:
    case Family::ja:
    case Family::may_goto:
    case Family::call:
    case Family::tail_call:
    case Family::exit:
      return false;
    default:
      return true;
  }
}

/// A program's forms, and where those instructions stand that need more than their own fields.
struct Decoded {
  std::vector<Form> forms;   ///< invalid for the second slots of ld_imm64
  std::vector<u32> jumps;    ///< what has_target(): ascending
  std::vector<u32> symbols;  ///< ld_imm64, calls and whatever else stands for something outside: ascending
};

/// The forms of a whole program, checked so that an engine can run it: every instruction has a form, both
/// slots of each ld_imm64 are there, registers are below `registers` (12 admits R11, which only rewritten
/// code uses), jumps and calls land on instructions, the program does not run off its end. EINVAL naming the
/// instruction.
Result<Decoded> decode_program(std::span<const Insn> insns, u32 registers = 11);

}  // namespace skep::isa
