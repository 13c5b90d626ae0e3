// Byte-wise memory accesses that are one wide access. Compilers take packed structures apart byte by byte:
// loads with shifts and ors, stores with shifts, copies. Each finder walks over a run of such instructions,
// keeping for every register what its eight bytes are, and takes the longest part whose effect is one access
// and whose other results nobody reads.
#include <algorithm>
#include <array>
#include <bit>
#include <optional>

#include "jit/combine.hpp"
#include "jit/registers.hpp"
#include "vm/link.hpp"

namespace skep::jit {

using isa::Form;
using isa::Insn;

namespace {

constexpr u32 longest_run = 40;

/// What the eight bytes of a register are, a code for each: 0 is zero, the others are each finder's own.
using Lanes = u64;
constexpr Lanes every = 0x0101010101010101, ascending = 0x0706050403020100;

/// The highest bit of every byte that is not zero.
constexpr u64 taken(Lanes lanes) {
  constexpr u64 low = 0x7f7f7f7f7f7f7f7f;
  return (((lanes & low) + low) | lanes) & ~low;
}
constexpr Lanes low_half(Lanes lanes) { return lanes & 0xffffffff; }
constexpr Lanes low_bytes(Lanes lanes, u32 bytes) {
  return bytes == 8 ? lanes : lanes & ((u64{1} << 8 * bytes) - 1);
}

/// Codes that follow one another, upwards or (`swapped`) downwards.
struct Row {
  u32 bytes = 0, lowest = 0;
  bool swapped = false;
};
/// What `lanes` are if they are 2, 4 or 8 such codes and nothing beyond; else none.
std::optional<Row> row_of(Lanes lanes) {
  const u32 bytes = static_cast<u32>(71 - std::countl_zero(lanes)) / 8;
  if (bytes != 2 && bytes != 4 && bytes != 8) return std::nullopt;
  const u32 first = lanes & 0xff, second = lanes >> 8 & 0xff;
  Row row{bytes, first, second < first};
  if (row.swapped) row.lowest = static_cast<u32>(lanes >> 8 * (bytes - 1));
  const Lanes up = low_bytes(ascending + row.lowest * every, bytes);
  // Beyond 255 a code would be 0, which none of a row is.
  const bool matches = lanes == (row.swapped ? __builtin_bswap64(up) >> 8 * (8 - bytes) : up);
  return matches && taken(lanes) == low_bytes(0x8080808080808080, bytes) ? std::optional(row) : std::nullopt;
}

/// A run of instructions from `at` on, without jump targets or what other patterns took.
class Walk {
 public:
  Walk(const vm::Checked& program, Plan& plan, u32 at) : program_(program), plan_(plan), start_(at) {}

  [[nodiscard]] bool has(u32 at) const {
    return at < plan_.nodes.size() && at - start_ < longest_run && plan_.nodes[at].shape == Shape::plain &&
           (at == start_ || !plan_.nodes[at].is_target());
  }
  [[nodiscard]] const Insn& insn(u32 at) const { return program_.insns[at]; }
  [[nodiscard]] Form form(u32 at) const { return program_.forms[at]; }
  /// No register of `written` but `result` is read after `at`.
  [[nodiscard]] bool only_result_lives(u32 at, u16 written, u16 result) const {
    return (written & ~result & ~plan_.nodes[at].dead_after) == 0;
  }
  void take(u32 last, Shape shape, const Detail& detail) {
    plan_.nodes[start_].shape = shape;
    plan_.details[start_] = detail;
    for (u32 i = start_ + 1; i <= last; ++i) plan_.nodes[i].shape = Shape::absorbed;
  }
  [[nodiscard]] u32 start() const { return start_; }

 private:
  const vm::Checked& program_;
  Plan& plan_;
  u32 start_;
};

bool is_byte_shift(Form form, s32 imm) {
  const bool wide = form == Form::LSH64_K || form == Form::RSH64_K;
  const bool narrow = form == Form::LSH32_K || form == Form::RSH32_K;
  return (wide && imm > 0 && imm < 64 && imm % 8 == 0) || (narrow && imm > 0 && imm < 32 && imm % 8 == 0);
}
bool is_byte_count(u32 bytes) { return bytes == 2 || bytes == 4 || bytes == 8; }

/// rA = p[n]; rB = p[n+1]; rB <<= 8; rA |= rB and longer ones, in any order, either byte order.
class LoadFinder {
 public:
  explicit LoadFinder(Walk& walk)
      : walk_(walk), base_(walk.insn(walk.start()).src), first_(walk.insn(walk.start()).off) {}
  bool run() {
    if (walk_.form(walk_.start()) != Form::LDX_B) return false;
    for (u32 at = walk_.start(); walk_.has(at) && (written_ & bit(base_)) == 0 && step(at); ++at)
      if (joins(walk_.form(at))) consider(at);
    if (last_ == 0) return false;
    walk_.take(last_, Shape::wide_load, best_);
    return true;
  }

 private:
  /// The code of the byte at offset first_; others stand as far from it as their offsets.
  static constexpr s32 middle = 128;

  /// What may be the last of a load's instructions.
  static bool joins(Form form) {
    return form == Form::OR64_X || form == Form::OR32_X || form == Form::MOV64_X || form == Form::MOV32_X;
  }
  [[nodiscard]] bool known(u8 r) const { return (written_ & bit(r)) != 0; }
  bool set(u8 r, Lanes lanes) {
    lanes_[r] = lanes;
    written_ |= bit(r);
    return true;
  }
  bool loaded(const Insn& i) {
    const s32 code = i.off - first_ + middle;
    if (i.src != base_ || code < 1 || code >= 255) return false;
    const u64 low = static_cast<u64>(code);
    return set(i.dst, isa::bytes_of_size(i.code) == 1 ? low : low | (low + 1) << 8);
  }
  bool step(u32 at) {
    const Insn& i = walk_.insn(at);
    const Form form = walk_.form(at);
    switch (form) {
      case Form::LDX_B:
      case Form::LDX_H:
        return loaded(i);
      case Form::LSH64_K:
      case Form::LSH32_K: {
        if (!known(i.dst) || !is_byte_shift(form, i.imm)) return false;
        const Lanes lanes = lanes_[i.dst] << i.imm;
        return set(i.dst, form == Form::LSH32_K ? low_half(lanes) : lanes);
      }
      case Form::OR64_X:
      case Form::OR32_X: {
        if (!known(i.dst) || !known(i.src) || (taken(lanes_[i.dst]) & taken(lanes_[i.src])) != 0)
          return false;
        const Lanes lanes = lanes_[i.dst] | lanes_[i.src];
        return set(i.dst, form == Form::OR32_X ? low_half(lanes) : lanes);
      }
      case Form::MOV64_X:
      case Form::MOV32_X:
        if (!known(i.src)) return false;
        return set(i.dst, form == Form::MOV32_X ? low_half(lanes_[i.src]) : lanes_[i.src]);
      default:
        return false;
    }
  }
  /// Whether all that happened so far is one load into the register just written.
  void consider(u32 at) {
    const u8 result = walk_.insn(at).dst;
    if (!walk_.only_result_lives(at, written_, bit(result))) return;
    const auto row = row_of(lanes_[result]);
    if (!row) return;
    last_ = at;
    best_ = {.other = result,
             .base = base_,
             .bytes = static_cast<u8>(row->bytes),
             .swapped = row->swapped,
             .off = static_cast<s16>(static_cast<s32>(row->lowest) - middle + first_)};
  }

  Walk& walk_;
  u8 base_;
  s32 first_;
  std::array<Lanes, vm::rewritten_registers> lanes_;  ///< of what is known()
  u16 written_ = 0;
  u32 last_ = 0;
  Detail best_;
};

/// p[n] = rA; rA >>= 8; p[n+1] = rA and longer ones, in any order, either byte order.
class StoreFinder {
 public:
  explicit StoreFinder(Walk& walk) : walk_(walk) {}
  bool run() {
    const Form first = walk_.form(walk_.start());
    if (first != Form::STX_B && first != Form::MOV64_X && first != Form::MOV32_X) return false;
    for (u32 at = walk_.start(); walk_.has(at) && step(at); ++at)
      if (walk_.form(at) == Form::STX_B) consider(at);
    if (last_ == 0) return false;
    walk_.take(last_, Shape::wide_store, best_);
    return true;
  }

 private:
  /// The code of byte b of register r, as it was when the walk began, is 1 + 8 * r + b.
  struct Stored {
    s32 off;
    u8 code;
  };
  [[nodiscard]] Lanes lanes_of(u8 r) const {
    return (written_ & bit(r)) != 0 ? lanes_[r] : every * (1u + 8u * r) + ascending;
  }
  bool set(u8 r, Lanes lanes) {
    if (count_ != 0 && r == base_) return false;
    lanes_[r] = lanes;
    written_ |= bit(r);
    return true;
  }
  bool step(u32 at) {
    const Insn& i = walk_.insn(at);
    const Form form = walk_.form(at);
    switch (form) {
      case Form::STX_B:
        return store(i);
      case Form::MOV64_X:
        return set(i.dst, lanes_of(i.src));
      case Form::MOV32_X:
        return set(i.dst, low_half(lanes_of(i.src)));
      case Form::RSH64_K:
        return is_byte_shift(form, i.imm) && set(i.dst, lanes_of(i.dst) >> i.imm);
      case Form::RSH32_K:
        return is_byte_shift(form, i.imm) && set(i.dst, low_half(lanes_of(i.dst)) >> i.imm);
      default:
        return false;
    }
  }
  bool store(const Insn& i) {
    if (count_ == stored_.size()) return false;
    if (count_ == 0) {
      if ((written_ & bit(i.dst)) != 0) return false;
      base_ = i.dst;
    }
    const u8 code = static_cast<u8>(lanes_of(i.src));
    if (i.dst != base_ || code == 0 ||
        (count_ != 0 && !(i.off - stored_[0].off < 8 && stored_[0].off - i.off < 8)))
      return false;
    u32 place = count_++;  // in the order of addresses
    for (; place > 0 && stored_[place - 1].off > i.off; --place) stored_[place] = stored_[place - 1];
    stored_[place] = {i.off, code};
    return true;
  }
  /// Whether the stores so far are one store of adjacent bytes of one register.
  void consider(u32 at) {
    if (!is_byte_count(count_) || !walk_.only_result_lives(at, written_, 0)) return;
    Lanes lanes = 0;
    for (u32 i = 0; i < count_; ++i) {
      if (stored_[i].off != stored_[0].off + static_cast<s32>(i)) return;
      lanes |= u64{stored_[i].code} << 8 * i;
    }
    const auto row = row_of(lanes);
    if (!row || (row->lowest - 1) / 8 != (row->lowest + count_ - 2) / 8) return;
    last_ = at;
    best_ = {.other = static_cast<u8>((row->lowest - 1) / 8),
             .base = base_,
             .bytes = static_cast<u8>(count_),
             .first_byte = static_cast<u8>((row->lowest - 1) % 8),
             .swapped = row->swapped,
             .off = static_cast<s16>(stored_[0].off)};
  }

  Walk& walk_;
  std::array<Lanes, vm::rewritten_registers> lanes_;  ///< of what was written
  std::array<Stored, 8> stored_;
  u32 count_ = 0;
  u8 base_ = 0;
  u16 written_ = 0;
  u32 last_ = 0;
  Detail best_;
};

/// p[n] = c0; p[n+1] = c1; ... upwards: two or four constants at once.
bool merge_constants(Walk& walk) {
  const u32 start = walk.start();
  if (walk.form(start) != Form::ST_B) return false;
  u32 count = 1, value = static_cast<u8>(walk.insn(start).imm);
  while (count < 4 && walk.has(start + count) && walk.form(start + count) == Form::ST_B &&
         walk.insn(start + count).dst == walk.insn(start).dst &&
         walk.insn(start + count).off == walk.insn(start).off + static_cast<s32>(count)) {
    value |= static_cast<u32>(static_cast<u8>(walk.insn(start + count).imm)) << (8 * count);
    ++count;
  }
  if (count < 2) return false;
  const u32 bytes = count == 4 ? 4 : 2;
  walk.take(start + bytes - 1, Shape::wide_constant,
            {.base = walk.insn(start).dst,
             .bytes = static_cast<u8>(bytes),
             .off = walk.insn(start).off,
             .operand = static_cast<s32>(value)});
  return true;
}

/// rT = p[n]; p[m] = rT; rT = p[n+1]; p[m+1] = rT; ... The same base, so that apart offsets are apart bytes.
bool merge_copies(Walk& walk) {
  const u32 start = walk.start();
  if (walk.form(start) != Form::LDX_B) return false;
  const u8 through = walk.insn(start).dst, base = walk.insn(start).src;
  if (through == base) return false;
  const s32 from = walk.insn(start).off;
  s32 to = 0;
  u32 pairs = 0, good = 0;
  for (; pairs < 8; ++pairs) {
    const u32 at = start + 2 * pairs;
    if (!walk.has(at) || !walk.has(at + 1) || walk.form(at) != Form::LDX_B ||
        walk.form(at + 1) != Form::STX_B)
      break;
    const Insn &load = walk.insn(at), &store = walk.insn(at + 1);
    if (pairs == 0) to = store.off;
    const s32 k = static_cast<s32>(pairs);
    if (load.dst != through || load.src != base || store.src != through || store.dst != base) break;
    if (load.off != from + k || store.off != to + k) break;
    const u32 count = pairs + 1;
    const bool apart = from + static_cast<s32>(count) <= to || to + static_cast<s32>(count) <= from;
    if (apart && is_byte_count(count) && walk.only_result_lives(at + 1, bit(through), 0)) good = count;
  }
  if (good == 0) return false;
  walk.take(start + 2 * good - 1, Shape::wide_copy,
            {.other = through,
             .base = base,
             .bytes = static_cast<u8>(good),
             .off = static_cast<s16>(to),
             .from = static_cast<s16>(from)});
  return true;
}

/// Whether both bytes may be of one access.
bool are_near(s32 a, s32 b) { return a - b < 8 && b - a < 8; }

/// Whether the finders may find anything: they are much work to begin in vain.
bool looks_like_bytes(const vm::Checked& program, u32 at) {
  const Form* const forms = program.forms.data();
  const u32 left = static_cast<u32>(program.insns.size()) - at;
  const auto within = [&](u32 count, auto wanted) {
    for (u32 i = 1; i <= count && i < left; ++i)
      if (wanted(i)) return true;
    return false;
  };
  switch (forms[at]) {
    case Form::LDX_B:  // copied on, or the first of two loads that are joined
      return (left > 1 && forms[at + 1] == Form::STX_B) ||
             (within(3,
                     [&](u32 i) { return forms[at + i] == Form::LDX_B || forms[at + i] == Form::LDX_H; }) &&
              within(12,
                     [&](u32 i) { return forms[at + i] == Form::OR64_X || forms[at + i] == Form::OR32_X; }));
    case Form::ST_B:
      return left > 1 && forms[at + 1] == Form::ST_B;
    case Form::STX_B:
      return within(3, [&](u32 i) {
        return forms[at + i] == Form::STX_B && program.insns[at + i].dst == program.insns[at].dst &&
               are_near(program.insns[at + i].off, program.insns[at].off);
      });
    case Form::MOV64_X:
    case Form::MOV32_X:
      return within(3, [&](u32 i) { return forms[at + i] == Form::STX_B; });
    default:
      return false;
  }
}
}  // namespace

bool combine_bytes(const vm::Checked& program, Plan& plan, u32 at) {
  if (!looks_like_bytes(program, at)) return false;
  Walk walk(program, plan, at);
  if (!walk.has(at)) return false;
  return LoadFinder(walk).run() || merge_copies(walk) || merge_constants(walk) || StoreFinder(walk).run();
}

}  // namespace skep::jit
