// Map operations whose map is known: the lookup in a hash map as machine code, and the key's bytes brought
// together before any of them.
//
// A key is written to the stack field by field and read again eight bytes wide, which waits until the narrow
// stores have left the store buffer (about 10 ns). So words are put together from the pieces as they were
// stored, wherever this function stores into them.
#include <algorithm>
#include <bit>
#include <bitset>

#include "helpers/internal.hpp"
#include "jit/emitter.hpp"
#include "jit/inline_map.hpp"
#include "jit/registers.hpp"
#include "maps/hash_probe.hpp"
#include "maps/map.hpp"

namespace skep::jit {

using isa::Family;
using isa::Form;

namespace {

constexpr s32 frame_size = 512;
enum HelperId : s32 { map_lookup_elem = 1, map_update_elem = 2, map_delete_elem = 3 };

bool ends_run(const vm::Checked& program, const Plan& plan, u32 at) {
  switch (family_of(program.forms[at])) {
    case Family::call:
    case Family::tail_call:
    case Family::exit:
    case Family::ja:
    case Family::jcond64:
    case Family::jcond32:
    case Family::may_goto:
      return true;
    default:
      return plan.nodes[at + 1].is_target();
  }
}

constexpr u32 far_enough = 48;  ///< instructions that are looked back at

/// The instruction before `at`, in the same run, that writes the register; nothing if there is none.
std::optional<u32> writer_of(const vm::Checked& program, const Plan& plan, u32 at, u8 reg) {
  if (plan.nodes[at].is_target()) return {};
  for (u32 back = 1; back <= far_enough && back <= at; ++back) {
    const u32 i = at - back;
    if (program.forms[i] == Form::invalid) continue;  // second slot
    if (ends_run(program, plan, i)) return {};
    if ((operands_of(program.insns[i], program.forms[i]).writes & bit(reg)) != 0) return i;
    if (plan.nodes[i].is_target()) return {};
  }
  return {};
}

/// What R10 must be added to give the register's value at `at`.
std::optional<s32> stack_offset(const vm::Checked& program, const Plan& plan, u32 at, u8 reg) {
  s32 sum = 0;
  for (u32 steps = 0; steps < 4; ++steps) {
    if (reg == 10) return sum;
    const auto writer = writer_of(program, plan, at, reg);
    if (!writer) return {};
    const isa::Insn& insn = program.insns[*writer];
    if (program.forms[*writer] == Form::ADD64_K)
      sum += insn.imm;
    else if (program.forms[*writer] == Form::MOV64_X)
      reg = insn.src;
    else
      return {};
    at = *writer;
  }
  return reg == 10 ? std::optional(sum) : std::nullopt;
}

/// Which bytes of [offset, offset + size) from R10 begin a store of the function. Stores through other
/// registers are not known.
std::bitset<longest_key> store_bounds(const vm::Checked& program, const Function& function, s32 offset,
                                      u32 size) {
  std::bitset<longest_key> bounds;
  for (u32 i = function.first; i < function.end; ++i) {
    const Family family = family_of(program.forms[i]);
    if (family != Family::st && family != Family::stx) continue;
    const isa::Insn& insn = program.insns[i];
    if (insn.dst != 10) continue;
    for (const s32 edge : {s32{insn.off}, insn.off + static_cast<s32>(isa::bytes_of_size(insn.code))})
      if (edge > offset && edge < offset + static_cast<s32>(size))
        bounds.set(static_cast<std::size_t>(edge - offset));
  }
  return bounds;
}

/// What a store at `at` puts into memory, where it is a constant.
std::optional<u64> stored_constant(const vm::Checked& program, const Plan& plan, u32 at) {
  if (family_of(program.forms[at]) == Family::st) return static_cast<u64>(s64{program.insns[at].imm});
  const auto writer = writer_of(program, plan, at, program.insns[at].src);
  return writer ? moved_constant(program, plan, *writer) : std::nullopt;
}

/// Constants that are stored into [offset, offset + size) from R10 in the run that leads to `at`.
KnownBytes known_bytes(const vm::Checked& program, const Plan& plan, u32 at, s32 offset, u32 size) {
  KnownBytes known;
  std::bitset<longest_key> decided;
  for (u32 back = 1; back <= far_enough && back <= at && !plan.nodes[at - back + 1].is_target(); ++back) {
    const u32 i = at - back;
    if (program.forms[i] == Form::invalid) continue;  // second slot
    if (ends_run(program, plan, i)) break;
    const Family family = family_of(program.forms[i]);
    if (family == Family::atomic || family == Family::store_release) break;
    if (family != Family::st && family != Family::stx) continue;
    const isa::Insn& insn = program.insns[i];
    const auto base = stack_offset(program, plan, i, insn.dst);
    if (!base) break;  // it may be the key
    const s32 first = *base + insn.off - offset, bytes = static_cast<s32>(isa::bytes_of_size(insn.code));
    if (first >= static_cast<s32>(size) || first + bytes <= 0) continue;
    const auto constant = stored_constant(program, plan, i);
    for (s32 b = 0; b < bytes; ++b) {
      const s32 to = first + b;
      if (to < 0 || to >= static_cast<s32>(size) || decided.test(static_cast<u32>(to))) continue;
      decided.set(static_cast<u32>(to));
      if (!constant) continue;
      known.which.set(static_cast<u32>(to));
      known.bytes[static_cast<u32>(to)] = static_cast<std::byte>(*constant >> 8 * b);
    }
  }
  return known;
}

/// What is called with a map in R1 and a key in R2.
bool is_map_call(s32 id) {
  switch (id) {
    case map_lookup_elem:
    case map_update_elem:
    case map_delete_elem:
    case helpers::fn_htab_map_lookup_elem:
    case helpers::fn_htab_map_update_elem:
    case helpers::fn_htab_map_delete_elem:
    case helpers::fn_htab_percpu_map_update_elem:
    case helpers::fn_htab_lru_map_update_elem:
    case helpers::fn_htab_lru_map_delete_elem:
    case helpers::fn_htab_lru_percpu_map_lookup_elem:
    case helpers::fn_htab_lru_percpu_map_update_elem:
      return true;
    default:
      return false;
  }
}

/// The map that R1 is at a call, where it is a constant.
const maps::Map* known_map(const vm::Checked& program, const Plan& plan, u32 at) {
  u8 reg = 1;
  for (u32 steps = 0; steps < 4; ++steps) {
    const auto writer = writer_of(program, plan, at, reg);
    if (!writer) return nullptr;
    if (program.forms[*writer] == Form::LD_IMM64_MAP_FD)
      return reinterpret_cast<const maps::Map*>(program.imm64[*writer]);
    if (program.forms[*writer] != Form::MOV64_X) return nullptr;
    reg = program.insns[*writer].src;
    at = *writer;
  }
  return nullptr;
}

}  // namespace

u32 map_call_bound(const vm::Checked& program, const Plan& plan, u32 at) {
  const s32 id = program.insns[at].imm;
  if (!is_map_call(id)) return 0;
  const maps::Map* map = known_map(program, plan, at);
  if (map == nullptr || map->facts().key_size > longest_key) return 0;
  // A byte of a key takes a load, a shift and an or (16 bytes) at most, twice in a lookup.
  const u32 size = (map->facts().key_size + 7) & ~7u;
  return id == helpers::fn_htab_map_lookup_elem ? 256 + 36 * size : 18 * size;
}

/// Bytes [at, at + size) of the key, size up to 8, zeros above: those that are not known are loaded, in
/// pieces that no store divides.
void Emitter::key_word(const KeyPlace& key, u32 at, u32 size, Gp to, Gp with) {
  u64 constant = 0;
  bool loaded = false;
  for (u32 done = 0; done < size;) {
    u32 piece = 1;
    while (piece * 2 <= size - done && (at + done) % (piece * 2) == 0) piece *= 2;
    const bool known = key.known.which.test(at + done);
    const auto divided = [&] {
      for (u32 i = 1; i < piece; ++i)
        if (key.bounds.test(at + done + i) || key.known.which.test(at + done + i) != known) return true;
      return false;
    };
    while (divided()) piece /= 2;
    if (known) {
      for (u32 i = 0; i < piece; ++i)
        constant |= std::to_integer<u64>(key.known.bytes[at + done + i]) << 8 * (done + i);
    } else {
      key_piece(x86::ptr(key.base, static_cast<s32>(at + done) + key.offset, piece), loaded ? with : to);
      if (done != 0) a_.shl(loaded ? with : to, done * 8);
      if (loaded) a_.or_(to, with);
      loaded = true;
    }
    done += piece;
  }
  if (!loaded) {
    a_.mov(to, constant);
  } else if (constant != 0) {
    a_.mov(with, constant);
    a_.or_(to, with);
  }
}

void Emitter::key_piece(Mem from, Gp to) {
  if (from.size < 4)
    a_.movzx(to.r32(), from);
  else
    a_.mov(from.size == 4 ? to.r32() : to, from);
}

Emitter::KeyPlace Emitter::key_place(u32 at, u32 key_size) const {
  KeyPlace key{r64(2), 0, {}, {}};
  const auto offset = stack_offset(program_, plan_, at, 2);
  if (!offset || *offset < -frame_size || *offset + static_cast<s32>(key_size) > 0) return key;
  key.bounds = store_bounds(program_, *current_, *offset, key_size);
  key.known = known_bytes(program_, plan_, at, *offset, key_size);
  return key;
}

/// The words of a key that are stored in pieces are stored again whole: what is called reads them so.
void Emitter::merge_key(u32 at, u32 key_size) {
  const KeyPlace key = key_place(at, key_size);
  for (u32 word = 0; word + 8 <= key_size; word += 8) {
    bool divided = false;
    for (u32 i = 1; i < 8; ++i) divided |= key.bounds.test(word + i);
    if (!divided) continue;
    key_word(key, word, 8, x86::r10, x86::r11);
    a_.mov(x86::ptr(key.base, static_cast<s32>(word) + key.offset, 8), x86::r10);
  }
}

/// hash_key() of the key into rax, its upper half of no meaning; what of it is one or two words stays in r10
/// and r11.
void Emitter::hash_key(const maps::HashProbe& probe, const KeyPlace& key) {
  const u32 size = probe.key_size;
  a_.mov(x86::r9, probe.seed.a);
  for (u32 at = 0; at < size; at += 16) {
    const u32 left = size - at;
    key_word(key, at, std::min(left, 8u), x86::r10, x86::rax);
    if (left > 8) key_word(key, at + 8, std::min(left - 8, 8u), x86::r11, x86::rax);
    a_.mov(x86::rax, probe.seed.b);
    if (left > 8) a_.xor_(x86::rax, x86::r11);
    a_.xor_(x86::r9, x86::r10);
    a_.mul(x86::r9);  // rdx:rax
    a_.xor_(x86::rax, x86::rdx);
    if (left > 16) a_.mov(x86::r9, x86::rax);
  }
}

/// Compares the key with that of the element at rax.
void Emitter::compare_key(const maps::HashProbe& probe, const KeyPlace& key, Label& differs) {
  const u32 size = probe.key_size;
  for (u32 at = 0; at < size; at += 8) {
    const u32 bytes = std::min(size - at, 8u);
    const Gp word = at == 0 ? x86::r10 : x86::r11;
    if (size > 16) key_word(key, at, bytes, word, x86::rdx);
    const s32 off = static_cast<s32>(maps::hash_elem_header + at);
    // Whole words of the element: behind a short key stand zeros up to the next eight bytes, or its value.
    if (bytes == 8) {
      a_.cmp(word, x86::qword_ptr(x86::rax, off));
    } else if (bytes == 4) {
      a_.cmp(word.r32(), x86::dword_ptr(x86::rax, off));
    } else {
      KeyPlace element{x86::rax, static_cast<s32>(maps::hash_elem_header), {}, {}};
      key_word(element, at, bytes, x86::rdx, x86::r9);
      a_.cmp(word, x86::rdx);
    }
    a_.j(Cond::ne, differs);
  }
}

/// The address of the hash's bucket into r9, the ways that have its tag into rdx, zero flag set where there
/// is none; the hash in rax, or the known one, goes to rcx. Vector instructions, which nothing else here
/// uses, are spelled out.
void Emitter::match_tags(const maps::HashProbe& probe, std::optional<u32> known_hash) {
  static_assert(maps::bucket_high == 8);
  if (known_hash) {
    a_.mov(x86::ecx, *known_hash);
    a_.mov(x86::r9, probe.buckets + (u64{*known_hash} * probe.count >> 32) * sizeof(maps::Bucket));
  } else {
    a_.mov(x86::ecx, x86::eax);
    a_.mov(x86::r9, u64{probe.count});
    a_.imul(x86::r9, x86::rcx);
    a_.shr(x86::r9, 26);
    a_.and_(x86::r9, -64);
    a_.mov(x86::rdx, probe.buckets);
    a_.add(x86::r9, x86::rdx);
  }
  // Two loads, as the words may just have been stored.
  a_.bytes(0x09'7e'0f'41'f3, 5);  // movq xmm1, [r9]
  a_.bytes(0x08'49'16'0f'41, 5);  // movhps xmm1, [r9 + 8]
  if (known_hash) {
    a_.mov(x86::edx, u32{maps::Bucket::tag_of(*known_hash)} * 0x01010101u);
  } else {
    a_.bytes(0xd1'b6'0f, 3);  // movzx edx, cl
    a_.cmp(x86::edx, 1);      // a tag of 0 is 1
    a_.bytes(0x00'd2'83, 3);  // adc edx, 0
    a_.imul(x86::edx, x86::edx, 0x01010101);
  }
  a_.bytes(0xc2'6e'0f'66, 4);     // movd xmm0, edx
  a_.bytes(0x00'c0'70'0f'66, 5);  // pshufd xmm0, xmm0, 0
  a_.bytes(0xc1'74'0f'66, 4);     // pcmpeqb xmm0, xmm1
  a_.bytes(0xd0'd7'0f'66, 4);     // pmovmskb edx, xmm0
  a_.and_(x86::edx, static_cast<s32>(maps::Bucket::all_ways));
}

/// fn_htab_map_lookup_elem of a known map: R0 = the element or 0. Only the first element with the tag is
/// looked at here.
void Emitter::inline_hash_lookup(u32 at, const maps::HashProbe& probe) {
  const KeyPlace key = key_place(at, probe.key_size);
  // rsi keeps the key's address (R2), rdi the map's (R1) for the call.
  Label missing, other, done;
  if (key.known.all(probe.key_size)) {
    const u32 hash = maps::hash_key(key.known.bytes.data(), probe.key_size, probe.seed);
    key_word(key, 0, std::min(probe.key_size, 8u), x86::r10, x86::rax);
    if (probe.key_size > 8) key_word(key, 8, std::min(probe.key_size - 8, 8u), x86::r11, x86::rax);
    match_tags(probe, hash);
  } else {
    hash_key(probe, key);
    match_tags(probe, {});
  }
  a_.j(Cond::e, missing);
  a_.bytes(0xd2'bc'0f'f3, 4);  // tzcnt edx, edx; bsf where there is none: the same, as it is not 0
  static_assert(maps::bucket_elements == 16);
  a_.bytes(0x10'91'44'8b'41, 5);  // mov eax, [r9 + 4 * rdx + 16]
  if (std::has_single_bit(probe.stride))
    a_.shl(x86::rax, static_cast<u32>(std::countr_zero(probe.stride)));
  else
    a_.imul(x86::rax, x86::rax, static_cast<s32>(probe.stride));
  a_.mov(x86::r9, probe.elements);
  a_.add(x86::rax, x86::r9);
  if (probe.reused) {  // half a key may be another one's; its hash was changed first
    a_.cmp(x86::ecx, x86::dword_ptr(x86::rax, maps::hash_elem_hash));
    a_.j(Cond::ne, other);
  }
  compare_key(probe, key, other);
  a_.bind(done);
  cold_.push_back({missing, other, done, reinterpret_cast<u64>(program_.helper(at))});
}

/// What stands behind the function's code: keys that are not where their tag is first.
void Emitter::emit_cold_lookups() {
  static_assert(maps::bucket_state == 12);
  for (Cold& cold : cold_) {
    a_.reserve(64);
    a_.bind(cold.missing);
    a_.xor_(x86::eax, x86::eax);
    a_.bytes(0xff'ff'fe'0c'41'f7'41,
             7);  // test dword [r9 + 12], ~1: but for the lock, where the bucket goes on
    a_.bytes(0xff, 1);
    a_.j(Cond::e, cold.done);
    a_.bind(cold.other);
    call_with_context(cold.helper);
    a_.jmp(cold.done);
  }
  cold_.clear();
}

bool Emitter::inline_map_call(u32 at) {
  const s32 id = insn(at).imm;
  if (!options_.combine || !is_map_call(id)) return false;
  const maps::Map* map = known_map(program_, plan_, at);
  if (map == nullptr || map->facts().key_size > longest_key) return false;
  if (id == helpers::fn_htab_map_lookup_elem) {
    inline_hash_lookup(at, maps::hash_probe(map));
    return true;
  }
  merge_key(at, map->facts().key_size);
  const HelperFn own = helpers::function_of_map(id, *map);
  if (own == nullptr) return false;
  call_with_context(reinterpret_cast<u64>(own));
  return true;
}

}  // namespace skep::jit
