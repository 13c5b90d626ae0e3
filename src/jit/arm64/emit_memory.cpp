// Loads, stores and atomic operations. Addresses that no instruction can say go through scratch(0).
#include <bit>

#include "isa/semantics.hpp"
#include "jit/arm64/emitter.hpp"

namespace skep::jit::arm64 {

namespace a64 = asmjit::a64;
namespace op = isa::op;

namespace {
/// 12 bits counted in the access's size.
bool fits_scaled(s32 off, u32 bytes) {
  const s32 size = static_cast<s32>(bytes);
  return off >= 0 && off % size == 0 && off / size < 0x1000;
}
constexpr u32 word_stlr = 0x089ffc00, word_stlxr = 0x0800fc00;
u32 size_bits(u32 bytes) { return static_cast<u32>(std::countr_zero(bytes)) << 30; }
bool fits(s32 off, u32 bytes) { return (off >= -256 && off < 256) || fits_scaled(off, bytes); }
}  // namespace

/// [base + off]. What lies deep in the stack is nearer to sp than to R10.
Emitter::Mem Emitter::memory(u8 base, s32 off, u32 bytes) {
  const s32 above_sp = off + static_cast<s32>(frame_bytes_);
  if (base == 10 && off < 0 && fits_scaled(above_sp, bytes)) return a64::ptr(a64::sp, above_sp);
  if (fits(off, bytes)) return a64::ptr(r64(base), off);
  add_imm(scratch(0, true), r64(base), off);
  return a64::ptr(scratch(0, true));
}

/// What the load or store at `at` accesses: base and offset, or, where combined, a sum.
Emitter::Mem Emitter::accessed(u32 at, u8 base, u32 bytes) {
  const Detail& node = plan_.details[at];
  if (plan_.nodes[at].shape != Shape::indexed) return memory(base, insn(at).off, bytes);
  if (node.operand == 0) return a64::ptr(r64(node.base), r64(node.other));
  const Gp sum = scratch(0, true);
  if (fits(node.operand, bytes)) {
    a_.add(sum, r64(node.base), r64(node.other));
    return a64::ptr(sum, node.operand);
  }
  add_imm(sum, r64(node.base), node.operand);
  return a64::ptr(sum, r64(node.other));
}

/// A register with base + off, for instructions that take no offset; `copied`: not the base's own.
Emitter::Gp Emitter::exact_address(u8 base, s16 off, bool copied) {
  if (off == 0 && !copied) return r64(base);
  add_imm(scratch(0, true), r64(base), off);
  return scratch(0, true);
}

void Emitter::load_bytes(Gp to, const Mem& from, u32 bytes) {
  if (bytes == 1)
    a_.ldrb(to.w(), from);
  else if (bytes == 2)
    a_.ldrh(to.w(), from);
  else
    a_.ldr(sized(to, bytes), from);
}
void Emitter::store_bytes(Gp value, const Mem& to, u32 bytes) {
  if (bytes == 1)
    a_.strb(value.w(), to);
  else if (bytes == 2)
    a_.strh(value.w(), to);
  else
    a_.str(sized(value, bytes), to);
}
/// The low `bytes` bytes reversed. Of two, what is above them is swapped as well.
void Emitter::reverse_bytes(Gp dst, Gp src, u32 bytes) {
  if (bytes == 2)
    a_.rev16(dst.w(), src.w());
  else
    a_.rev(sized(dst, bytes), sized(src, bytes));
}

void Emitter::load(u32 at) {
  const isa::Insn& i = insn(at);
  const u32 bytes = isa::bytes_of_size(i.code);
  load_bytes(r64(i.dst), accessed(at, i.src, bytes), bytes);
}

void Emitter::load_signed(u32 at) {
  const isa::Insn& i = insn(at);
  const u32 bytes = isa::bytes_of_size(i.code);
  const Mem from = accessed(at, i.src, bytes);
  if (bytes == 1)
    a_.ldrsb(r64(i.dst), from);
  else if (bytes == 2)
    a_.ldrsh(r64(i.dst), from);
  else
    a_.ldrsw(r64(i.dst), from);
}

/// The load itself is the last word of what it becomes.
void Emitter::probe(u32 at) {
  constexpr u32 word = 4;
  if (isa::mode_of(insn(at).code) == op::PROBE_MEMSX)
    load_signed(at);
  else
    load(at);
  out_.probes.push_back({here() - word, here(), static_cast<u8>(r64(insn(at).dst).id())});
}

void Emitter::load_acquire(u32 at) {
  const isa::Insn& i = insn(at);
  const u32 bytes = isa::bytes_of_size(i.code);
  const Mem from = a64::ptr(exact_address(i.src, i.off, false));
  if (bytes == 1)
    a_.ldarb(r32(i.dst), from);
  else if (bytes == 2)
    a_.ldarh(r32(i.dst), from);
  else
    a_.ldar(sized(r64(i.dst), bytes), from);
}

void Emitter::load_swapped(u32 at) {
  const isa::Insn& i = insn(at);
  const u32 bytes = isa::bytes_of_size(i.code);
  load_bytes(r64(i.dst), memory(i.src, i.off, bytes), bytes);
  reverse_bytes(r64(i.dst), r64(i.dst), bytes);
}

void Emitter::wide_load(const Detail& node) {
  const Gp to = r64(node.other);
  load_bytes(to, memory(node.base, node.off, node.bytes), node.bytes);
  if (node.swapped) reverse_bytes(to, to, node.bytes);
}

void Emitter::wide_store(const Detail& node) {
  Gp value = r64(node.other);
  const Gp copy = scratch(1, true);
  if (node.first_byte != 0) {
    a_.lsr(copy, value, node.first_byte * 8);
    value = copy;
  }
  if (node.swapped) {
    reverse_bytes(copy, value, node.bytes);
    value = copy;
  }
  store_bytes(value, memory(node.base, node.off, node.bytes), node.bytes);
}

void Emitter::wide_constant(const Detail& node) {
  const u32 value = static_cast<u32>(node.operand);
  store_constant(memory(node.base, node.off, node.bytes), node.bytes == 2 ? value & 0xffff : value,
                 node.bytes);
}

void Emitter::wide_copy(const Detail& node) {
  const Gp through = r64(node.other);
  load_bytes(through, memory(node.base, node.from, node.bytes), node.bytes);
  store_bytes(through, memory(node.base, node.off, node.bytes), node.bytes);
}

void Emitter::store_constant(const Mem& to, u64 value, u32 bytes) {
  if (value == 0) return store_bytes(zero(true), to, bytes);
  move_imm(scratch(1, true), value);
  store_bytes(scratch(1, true), to, bytes);
}

void Emitter::store_imm(u32 at) {
  const isa::Insn& i = insn(at);
  const u32 bytes = isa::bytes_of_size(i.code);
  const u64 value = static_cast<u64>(s64{i.imm});
  store_constant(accessed(at, i.dst, bytes), isa::truncate(value, bytes * 8), bytes);
}

void Emitter::store_reg(u32 at) {
  const isa::Insn& i = insn(at);
  const u32 bytes = isa::bytes_of_size(i.code);
  store_bytes(r64(i.src), accessed(at, i.dst, bytes), bytes);
}

void Emitter::store_release(u32 at) {
  const isa::Insn& i = insn(at);
  const u32 bytes = isa::bytes_of_size(i.code);
  const Gp address = exact_address(i.dst, i.off, false);
  // asmjit of 2022 says stllr (o0 = 0) for stlr.
  word(word_stlr | size_bits(bytes) | address.id() << 5 | r64(i.src).id());
}

/// asmjit of 2022 refuses it for 64 bits.
void Emitter::store_exclusive_release(Gp failed, Gp value, Gp address, bool wide) {
  word(word_stlxr | size_bits(wide ? 8 : 4) | failed.id() << 16 | address.id() << 5 | value.id());
}

/// As the kernel orders them: what returns the old value is a full barrier, what does not is none.
void Emitter::atomic(u32 at) {
  const bool wide = isa::size_of(insn(at).code) == op::DW;
  if (options_.cpu.lse)
    atomic_lse(at, wide);
  else
    atomic_loop(at, wide);
}

void Emitter::atomic_lse(u32 at, bool wide) {
  const isa::Insn& i = insn(at);
  const Gp src = reg(i.src, wide), complement = scratch(1, wide);
  const Mem cell = a64::ptr(exact_address(i.dst, i.off, i.dst == i.src || i.dst == 0));
  if ((i.imm & ~op::FETCH) == op::AND) a_.mvn(complement, src);
  switch (i.imm) {
    case op::ADD:
      a_.stadd(src, cell);
      return;
    case op::OR:
      a_.stset(src, cell);
      return;
    case op::AND:
      a_.stclr(complement, cell);
      return;
    case op::XOR:
      a_.steor(src, cell);
      return;
    case op::ADD | op::FETCH:
      a_.ldaddal(src, src, cell);
      return;
    case op::OR | op::FETCH:
      a_.ldsetal(src, src, cell);
      return;
    case op::AND | op::FETCH:
      a_.ldclral(complement, src, cell);
      return;
    case op::XOR | op::FETCH:
      a_.ldeoral(src, src, cell);
      return;
    case op::XCHG:
      a_.swpal(src, src, cell);
      return;
    default:
      a_.casal(reg(0, wide), src, cell);
      return;
  }
}

/// Without the atomic instructions: load exclusive, compute, store exclusive, until nobody came between.
void Emitter::atomic_loop(u32 at, bool wide) {
  const isa::Insn& i = insn(at);
  const Gp address = exact_address(i.dst, i.off, false);
  if (i.imm == op::CMPXCHG) return compare_exchange_loop(address, i, wide);
  const Gp src = reg(i.src, wide), old = scratch(1, wide), failed = scratch(3, false);
  const bool fetches = i.imm == op::XCHG || (i.imm & op::FETCH) != 0;
  Gp fresh = scratch(2, wide);
  const Label again = a_.newLabel();
  a_.bind(again);
  a_.ldxr(old, a64::ptr(address));
  if (i.imm == op::XCHG)
    fresh = src;
  else if ((i.imm & ~op::FETCH) == op::ADD)
    a_.add(fresh, old, src);
  else if ((i.imm & ~op::FETCH) == op::OR)
    a_.orr(fresh, old, src);
  else if ((i.imm & ~op::FETCH) == op::AND)
    a_.and_(fresh, old, src);
  else
    a_.eor(fresh, old, src);
  if (fetches)
    store_exclusive_release(failed, fresh, address, wide);
  else
    a_.stxr(failed, fresh, a64::ptr(address));
  a_.cbnz(failed, again);
  if (!fetches) return;
  a_.dmb(a64::Predicate::DB::kISH);
  a_.mov(src, old);
}

void Emitter::compare_exchange_loop(Gp address, const isa::Insn& i, bool wide) {
  const Gp old = scratch(1, wide), failed = scratch(3, false);
  const Label again = a_.newLabel(), out = a_.newLabel();
  a_.bind(again);
  a_.ldxr(old, a64::ptr(address));
  a_.cmp(old, reg(0, wide));
  a_.b_ne(out);
  store_exclusive_release(failed, reg(i.src, wide), address, wide);
  a_.cbnz(failed, again);
  a_.dmb(a64::Predicate::DB::kISH);
  a_.bind(out);
  a_.mov(reg(0, wide), old);
}

}  // namespace skep::jit::arm64
