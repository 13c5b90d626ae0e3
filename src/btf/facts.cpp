// Special fields of map values and the variables of data sections.
#include "btf/facts.hpp"

#include <fmt/format.h>

#include "base/limits.hpp"

namespace skep::btf {

namespace {

struct Special {
  std::string_view name;
  u32 size, align;
  s32 SpecialFields::* offset;
};
constexpr Special kSpecials[] = {
    {"bpf_spin_lock", 4, 4, &SpecialFields::spin_lock},
    {"bpf_timer", 16, 8, &SpecialFields::timer},
    {"bpf_wq", 16, 8, &SpecialFields::workqueue},
};

class Finder {
 public:
  Finder(const Btf& btf, SpecialFields& found) : btf_(btf), found_(found) {}

  Result<void> look(u32 id, u64 at, u32 depth) {
    // The kernel follows nested structs and arrays to the same depth of 4; each type is visited a bounded
    // number of times.
    if (depth > 4) return {};
    if (++visited_ > 100'000) return fail(E2BIG, "BTF value type is too large to look for special fields");
    u32 end = btf_.skip_modifiers(id);
    const Type& t = btf_.type(end);
    if (t.kind == Kind::struct_) {
      for (const Special& special : kSpecials) {
        if (btf_.string(t.name_off) == special.name) return record(special, t, at);
      }
    }
    if (t.kind == Kind::datasec) {
      for (const Entry& v : btf_.entries(t)) TRY(look(btf_.type(v.type).type, at + v.offset, depth + 1));
    } else if (is_composite(t.kind)) {
      for (const Entry& m : btf_.entries(t)) {
        if (m.bitfield_size == 0) TRY(look(m.type, at + m.bit_offset / 8, depth + 1));
      }
    } else if (t.kind == Kind::array && t.nelems == 1) {
      TRY(look(t.type, at, depth + 1));
    } else if (t.kind == Kind::array && t.nelems > 1) {
      SpecialFields inside;
      TRY(Finder(btf_, inside).look(t.type, 0, depth + 1));
      for (const Special& special : kSpecials) {
        if (inside.*special.offset >= 0)
          return fail(E2BIG, fmt::format("more than one {} in the value", special.name));
      }
    }
    return {};
  }

 private:
  Result<void> record(const Special& special, const Type& t, u64 at) {
    if (t.size != special.size || at % special.align != 0)
      return fail(EINVAL, fmt::format("{} at byte {} has the wrong size or alignment", special.name, at));
    if (found_.*special.offset >= 0)
      return fail(E2BIG, fmt::format("more than one {} in the value", special.name));
    found_.*special.offset = static_cast<s32>(at);
    return {};
  }

  const Btf& btf_;
  SpecialFields& found_;
  u32 visited_ = 0;
};

}  // namespace

Result<SpecialFields> special_fields(const Btf& btf, u32 value_type) {
  SpecialFields found;
  TRY(Finder(btf, found).look(value_type, 0, 0));
  return found;
}

u32 variable_at(const Btf& btf, u32 datasec, u32 offset) {
  const Type& t = btf.type(datasec);
  if (t.kind != Kind::datasec) return 0;
  for (const Entry& v : btf.entries(t)) {
    if (offset >= v.offset && offset - v.offset < v.size) return v.type;
  }
  return 0;
}

const Entry* find_variable(const Btf& btf, u32 datasec, std::string_view name) {
  const Type& t = btf.type(datasec);
  if (t.kind != Kind::datasec) return nullptr;
  for (const Entry& v : btf.entries(t)) {
    if (btf.name(v.type) == name) return &v;
  }
  return nullptr;
}

}  // namespace skep::btf
