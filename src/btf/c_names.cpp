// Names and order of types in C output.
#include "btf/c_names.hpp"

#include <algorithm>
#include <tuple>

#include "base/limits.hpp"

namespace skep::btf {

std::string CNames::unique(std::string_view name, Space& space) {
  u32& count = space.try_emplace(std::string(name), 0).first->second;
  ++count;
  return count == 1 ? std::string(name) : std::string(name) + "___" + std::to_string(count);
}

const std::string& CNames::resolve(u32 id, Space& space) {
  const Type& t = btf_.type(id);
  std::string& name = names_[id];
  if (!name.empty() || t.name_off == 0) return name;
  // Forward declarations mean a type of that name, wherever it is.
  bool forward = t.kind == Kind::fwd || (is_any_enum(t.kind) && t.entry_count == 0);
  name = forward ? std::string(btf_.string(t.name_off)) : unique(btf_.string(t.name_off), space);
  return name;
}

namespace {

constexpr int kLastRank = 10;

bool refers_to_one(Kind kind) {
  return is_modifier(kind) || kind == Kind::ptr || kind == Kind::decl_tag || kind == Kind::array;
}

/// Enumerations first, so that what uses them finds them; then scalars, named structs, function types.
int rank(const Btf& btf, u32 id) {
  bool named = false;
  for (u32 depth = 0; depth <= 2 * limits::btf_max_depth; ++depth) {
    const Type& t = btf.type(id);
    named = named || t.name_off != 0;
    switch (t.kind) {
      case Kind::enum_:
      case Kind::enum64:
        return named ? 1 : 0;
      case Kind::int_:
      case Kind::float_:
        return 2;
      case Kind::struct_:
      case Kind::union_:
        return named ? 3 : kLastRank;
      case Kind::func_proto:
        return named ? 4 : kLastRank;
      default:
        break;
    }
    if (!refers_to_one(t.kind) || !named) return kLastRank;
    id = t.type;
  }
  return kLastRank;
}

/// The name to sort by: that of what a reference leads to in the end; an anonymous enum's first enumerator.
std::string_view sort_name(const Btf& btf, u32 id) {
  u32 at = id;
  for (u32 depth = 0; depth <= 2 * limits::btf_max_depth && refers_to_one(btf.type(at).kind); ++depth)
    at = btf.type(at).type;
  const Type& t = btf.type(at);
  if (at == id && is_any_enum(t.kind) && t.name_off == 0 && t.entry_count != 0)
    return btf.string(btf.entries(t)[0].name_off);
  return btf.string(t.name_off);
}

u64 mix(u64 hash, u64 value) { return hash * 31 + value; }

u64 mix_name(const Btf& btf, u64 hash, u32 name_off) {
  if (name_off == 0) return hash;
  u64 text = 0;
  for (char c : btf.string(name_off)) text = text * 31 + static_cast<u64>(c);
  return mix(hash, text);
}

/// Tells types of the same name apart by what is in them, so that the order is the same from build to build.
u64 content_hash(const Btf& btf, u32 id, bool members, u32 depth) {
  const Type& t = btf.type(id);
  u64 hash = mix_name(btf, 0, t.name_off);
  if (depth > 2 * limits::btf_max_depth) return hash;
  if (is_any_enum(t.kind)) {
    for (const Entry& e : btf.entries(t)) hash = mix_name(btf, hash, e.name_off);
  } else if (is_composite(t.kind) && members) {
    for (const Entry& m : btf.entries(t))
      hash = mix(mix_name(btf, hash, m.name_off), content_hash(btf, m.type, false, depth + 1));
  } else if (t.kind == Kind::array) {
    hash = mix(mix(hash, t.nelems), content_hash(btf, t.type, members, depth + 1));
  } else if (refers_to_one(t.kind)) {
    hash = mix(hash, content_hash(btf, t.type, members, depth + 1));
  }
  return hash;
}

}  // namespace

std::vector<u32> c_order(const Btf& btf) {
  using Key = std::tuple<int, std::string_view, std::string_view, u64, u32>;
  std::vector<Key> keys;
  keys.reserve(btf.type_count());
  for (u32 id = 1; id <= btf.type_count(); ++id)
    keys.emplace_back(rank(btf, id), sort_name(btf, id), btf.name(id), content_hash(btf, id, true, 0), id);
  std::sort(keys.begin(), keys.end());
  std::vector<u32> ids;
  for (const Key& key : keys) ids.push_back(std::get<4>(key));
  return ids;
}

}  // namespace skep::btf
