// Which BPF registers an instruction reads and writes, as bit sets.
#pragma once
#include "isa/form.hpp"

namespace skep::jit {

constexpr u16 bit(u32 r) { return static_cast<u16>(1u << r); }

struct Operands {
  u16 reads = 0, writes = 0;
};

/// Calls read R1 to R5 and write R0 to R5; exit reads R0.
constexpr Operands operands_of(const isa::Insn& insn, isa::Form form) {
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

}  // namespace skep::jit
