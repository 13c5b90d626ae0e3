// Alignment and padding as libbpf's C output has them, so that a compiler lays the structs out as they were.
#include "btf/c_layout.hpp"

#include <algorithm>

#include "base/limits.hpp"

namespace skep::btf {

u32 CLayout::align_of(u32 id, u32 depth) {
  if (align_[id] != kUnknown) return align_[id];
  if (depth > 2 * limits::btf_max_depth) return 0;
  const Type& t = btf_.type(id);
  u32 align = 0;
  switch (t.kind) {
    case Kind::int_:
    case Kind::enum_:
    case Kind::enum64:
    case Kind::float_:
      align = std::min(8u, t.size);
      break;
    case Kind::ptr:
      align = 8;
      break;
    case Kind::typedef_:
    case Kind::volatile_:
    case Kind::const_:
    case Kind::restrict_:
    case Kind::type_tag:
    case Kind::array:
      align = align_of(t.type, depth + 1);
      break;
    case Kind::struct_:
    case Kind::union_: {
      align_[id] = 1;  // a struct that contains itself ends here
      u32 most = 1;
      bool packed = false;
      for (const Entry& m : btf_.entries(t)) {
        u32 one = align_of(m.type, depth + 1);
        most = std::max(most, one);
        packed = packed || (one != 0 && m.bitfield_size == 0 && m.bit_offset % (8 * one) != 0);
      }
      align = packed || t.size % most != 0 ? 1 : most;
      break;
    }
    default:
      break;
  }
  align_[id] = static_cast<u8>(align);
  return align;
}

bool CLayout::is_packed(u32 id) {
  const Type& t = btf_.type(id);
  u32 most = 1;
  for (const Entry& m : btf_.entries(t)) {
    u32 align = align_of(m.type);
    if (align != 0 && m.bitfield_size == 0 && m.bit_offset % (8 * align) != 0) return true;
    most = std::max(most, align);
  }
  return t.size % most != 0;
}

namespace {

struct Unit {
  const char* name;
  u64 bits;
};
constexpr Unit kUnits[] = {{"long", 64}, {"int", 32}, {"short", 16}, {"char", 8}};

u64 round_up(u64 value, u64 to) { return to == 0 ? value : (value + to - 1) / to * to; }

}  // namespace

std::string CLayout::padding(u64 at, u64 next, u32 next_align, bool in_bitfield, const std::string& indent) {
  std::string text;
  auto emit = [&](const char* type, u64 bits) {
    text += "\n" + indent + type + ": " + std::to_string(bits) + ";";
  };
  if (at >= next) return text;
  // The widest unit whose next boundary is not beyond the gap.
  const Unit* unit = std::begin(kUnits);
  while (unit + 1 != std::end(kUnits) && round_up(at, unit->bits) > next) ++unit;
  u64 boundary = round_up(at, unit->bits);
  if (boundary > at && boundary <= next) {
    // A compiler goes to that boundary by itself unless a bit-field stands before, what follows needs less,
    // or what remains would fit before it.
    bool forced = in_bitfield || (boundary == next && round_up(at, u64{next_align} * 8) != boundary) ||
                  (boundary != next && next - boundary <= boundary - at);
    if (forced) emit(unit->name, in_bitfield ? boundary - at : 0);
    at = boundary;
  }
  // A gap of gigabytes is a hostile file's; nobody reads as many lines.
  for (u32 lines = 0; at != next && lines < 4096; ++lines) {
    u64 bits = std::min(next - at, unit->bits);
    if (bits < unit->bits) {
      unit = std::end(kUnits) - 1;
      while (unit->bits < bits) --unit;
    }
    emit(unit->name, bits);
    at += bits;
  }
  return text;
}

}  // namespace skep::btf
