// Loads, stores and atomic operations.
#include "jit/emitter.hpp"

namespace skep::jit {

namespace op = isa::op;

Emitter::Mem Emitter::accessed(u32 at, u8 base, u32 bytes) const {
  const Detail& node = plan_.details[at];
  if (plan_.nodes[at].shape == Shape::indexed) return sum_of(node, bytes);
  return x86::ptr(r64(base), insn(at).off + (base == stepped_ ? stepped_by_ : 0), bytes);
}

Emitter::Mem Emitter::sum_of(const Detail& node, u32 bytes) const {
  const bool steps = node.base == stepped_ || node.other == stepped_;
  return x86::ptr(r64(node.base), r64(node.other), 0, node.operand + (steps ? stepped_by_ : 0), bytes);
}

/// Ordinary loads; on x86-64 they acquire.
void Emitter::load(u32 at) {
  const isa::Insn& i = insn(at);
  const u32 bytes = isa::bytes_of_size(i.code);
  const Mem from = accessed(at, i.src, bytes);
  if (bytes == 8)
    a_.mov(r64(i.dst), from);
  else if (bytes == 4)
    a_.mov(r32(i.dst), from);
  else
    a_.movzx(r32(i.dst), from);
}

void Emitter::load_signed(u32 at) {
  const isa::Insn& i = insn(at);
  const u32 bytes = isa::bytes_of_size(i.code);
  const Mem from = accessed(at, i.src, bytes);
  if (bytes == 4)
    a_.movsxd(r64(i.dst), from);
  else
    a_.movsx(r64(i.dst), from);
}

void Emitter::probe(u32 at) {
  const u32 load_at = here();
  if (isa::mode_of(insn(at).code) == op::PROBE_MEMSX)
    load_signed(at);
  else
    load(at);
  out_.probes.push_back({load_at, here(), static_cast<u8>(r64(insn(at).dst).id())});
}

/// A load and the byte swap of what it loaded (movbe); 16 bits need their upper part cleared.
void Emitter::load_swapped(u32 at) {
  const isa::Insn& i = insn(at);
  const u32 bytes = isa::bytes_of_size(i.code);
  const Mem from = memory(i.src, i.off, bytes);
  if (bytes == 2) {
    a_.movzx(r32(i.dst), from);
    a_.rol(r32(i.dst).r16(), 8);
    return;
  }
  a_.movbe(sized(r64(i.dst), bytes), from);
}

/// The low `bytes` bytes of a register reversed; of two, the rest becomes zero.
void Emitter::reverse_bytes(Gp reg, u32 bytes) {
  if (bytes == 2) {
    a_.rol(reg.r16(), 8);
    a_.movzx(reg.r32(), reg.r16());
  } else {
    a_.bswap(sized(reg, bytes));
  }
}

void Emitter::wide_load(const Detail& node) {
  const Gp to = r64(node.other);
  const Mem from = memory(node.base, node.off, node.bytes);
  if (node.bytes == 2) {
    a_.movzx(to.r32(), from);
  } else if (node.swapped && options_.cpu.movbe) {
    a_.movbe(sized(to, node.bytes), from);
    return;
  } else {
    a_.mov(sized(to, node.bytes), from);
  }
  if (node.swapped) reverse_bytes(to, node.bytes);
}

void Emitter::wide_store(const Detail& node) {
  Gp value = r64(node.other);
  const Gp copy = scratch(0, true);
  if (node.first_byte != 0 || node.swapped) {
    a_.mov(copy, value);
    if (node.first_byte != 0) a_.shr(copy, node.first_byte * 8);
    if (node.swapped) reverse_bytes(copy, node.bytes);
    value = copy;
  }
  a_.mov(memory(node.base, node.off, node.bytes), sized(value, node.bytes));
}

void Emitter::wide_constant(const Detail& node) {
  const s32 value = node.bytes == 2 ? static_cast<s16>(node.operand) : node.operand;
  a_.mov(memory(node.base, node.off, node.bytes), value);
}

void Emitter::wide_copy(const Detail& node) {
  const Gp through = r64(node.other);
  const Mem from = memory(node.base, node.from, node.bytes);
  if (node.bytes == 2)
    a_.movzx(through.r32(), from);
  else
    a_.mov(sized(through, node.bytes), from);
  a_.mov(memory(node.base, node.off, node.bytes), sized(through, node.bytes));
}

void Emitter::store_imm(u32 at) {
  const isa::Insn& i = insn(at);
  const u32 bytes = isa::bytes_of_size(i.code);
  if (options_.harden) {
    blinded(scratch(0, bytes == 8), i.imm);
    a_.mov(accessed(at, i.dst, bytes), sized(scratch(0, true), bytes));
    return;
  }
  const s32 value = bytes == 1 ? static_cast<s8>(i.imm) : bytes == 2 ? static_cast<s16>(i.imm) : i.imm;
  a_.mov(accessed(at, i.dst, bytes), value);
}

/// Ordinary stores; on x86-64 they release.
void Emitter::store_reg(u32 at) {
  const isa::Insn& i = insn(at);
  const u32 bytes = isa::bytes_of_size(i.code);
  a_.mov(accessed(at, i.dst, bytes), sized(r64(i.src), bytes));
}

void Emitter::atomic(u32 at) {
  const isa::Insn& i = insn(at);
  const bool wide = isa::size_of(i.code) == op::DW;
  const Mem cell = memory(i.dst, i.off, wide ? 8 : 4);
  const Gp src = reg(i.src, wide);
  switch (i.imm) {
    case op::ADD:
      a_.lock_add(cell, src);
      return;
    case op::OR:
      a_.lock_or(cell, src);
      return;
    case op::AND:
      a_.lock_and(cell, src);
      return;
    case op::XOR:
      a_.lock_xor(cell, src);
      return;
    case op::ADD | op::FETCH:
      a_.lock_xadd(cell, src);
      return;
    case op::XCHG:
      a_.xchg(cell, src);
      return;
    case op::CMPXCHG:
      a_.lock_cmpxchg(cell, src);
      if (!wide) a_.mov(x86::eax, x86::eax);  // when equal, the processor leaves eax and its upper half alone
      return;
    default:
      return atomic_loop(at, wide);
  }
}

/// fetch_or, fetch_and, fetch_xor: no single instruction returns the old value.
void Emitter::atomic_loop(u32 at, bool wide) {
  const isa::Insn& i = insn(at);
  const Gp address = scratch(0, true), kept_rax = scratch(1, true), fresh = scratch(2, wide);
  const Gp rax = reg(0, wide);
  const Gp operand = i.src == 0 ? (wide ? kept_rax : kept_rax.r32()) : reg(i.src, wide);
  const Mem cell = x86::ptr(address, 0, wide ? 8 : 4);
  a_.lea(address, x86::ptr(r64(i.dst), i.off));
  a_.mov(kept_rax, x86::rax);
  a_.mov(rax, cell);
  Label again;
  a_.bind(again);
  a_.mov(fresh, rax);
  switch (i.imm & ~op::FETCH) {
    case op::OR:
      a_.or_(fresh, operand);
      break;
    case op::AND:
      a_.and_(fresh, operand);
      break;
    default:
      a_.xor_(fresh, operand);
      break;
  }
  a_.lock_cmpxchg(cell, fresh);
  a_.j(Cond::ne, again);
  if (i.src == 0) {
    if (!wide) a_.mov(x86::eax, x86::eax);
    return;
  }
  a_.mov(reg(i.src, wide), rax);
  a_.mov(x86::rax, kept_rax);
}

}  // namespace skep::jit
