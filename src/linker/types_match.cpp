// The rules are libbpf's, so are the words. Cycles of hostile types end by a budget of steps.
#include "linker/types_match.hpp"

#include <fmt/format.h>

#include <map>

#include "base/limits.hpp"

namespace skep::linker {

namespace {

using btf::BuiltType;
using btf::is_modifier;
using btf::Kind;

std::string kind_word(Kind kind) {
  if (kind == Kind::void_) return "unknown";
  std::string word(btf::kind_name(kind));
  for (char& c : word)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  return word;
}

class Match {
 public:
  Match(std::string_view name, const btf::Builder& types) : name_(name), types_(types) {}

  Result<void> types(u32 a, u32 b, bool exact, u32 depth = 0);

 private:
  Result<void> forward(const BuiltType& a, const BuiltType& b) const;
  Result<void> members(const BuiltType& a, const BuiltType& b, bool exact, u32 depth);
  Result<void> parameters(const BuiltType& a, const BuiltType& b, bool exact, u32 depth);
  Result<void> linkage(const BuiltType& a, const BuiltType& b) const;

  template <class... A>
  [[nodiscard]] std::unexpected<Error> differs(fmt::format_string<A...> format, A&&... values) const {
    return fail(EINVAL,
                fmt::format("global '{}': {}", name_, fmt::format(format, std::forward<A>(values)...)));
  }
  [[nodiscard]] std::string_view name_of(const BuiltType& built) const {
    return types_.string(built.type.name_off);
  }
  [[nodiscard]] const BuiltType& at(u32 id) const {
    static const BuiltType nothing;
    return id == 0 ? nothing : types_.type(id);
  }
  Result<u32> bare(u32 id);

  std::string_view name_;
  const btf::Builder& types_;
  u32 budget_ = 1'000'000;
};

/// The type without qualifiers and typedefs.
Result<u32> Match::bare(u32 id) {
  while (true) {
    if (budget_-- == 0) return differs("types are too large to compare");
    id = types_.current(id);
    if (!is_modifier(at(id).type.kind)) return id;
    id = at(id).type.type;
  }
}

/// One is a declaration only.
Result<void> Match::forward(const BuiltType& a, const BuiltType& b) const {
  if (name_of(a) != name_of(b))
    return differs("incompatible forward declaration names '{}' and '{}'", name_of(a), name_of(b));
  const BuiltType& declared = a.type.kind == Kind::fwd ? a : b;
  const BuiltType& concrete = a.type.kind == Kind::fwd ? b : a;
  if (concrete.type.kind == (declared.type.kind_flag ? Kind::union_ : Kind::struct_)) return {};
  return differs("incompatible {} forward declaration and concrete kind {}",
                 declared.type.kind_flag ? "union" : "struct", kind_word(concrete.type.kind));
}

Result<void> Match::members(const BuiltType& a, const BuiltType& b, bool exact, u32 depth) {
  if (a.entries.size() != b.entries.size())
    return differs("incompatible number of {} fields {} and {}", kind_word(a.type.kind), a.entries.size(),
                   b.entries.size());
  for (std::size_t i = 0; i < a.entries.size(); ++i) {
    const btf::Entry &m = a.entries[i], &n = b.entries[i];
    if (m.name_off != n.name_off)
      return differs("incompatible field #{} names '{}' and '{}'", i, types_.string(m.name_off),
                     types_.string(n.name_off));
    if (m.bit_offset != n.bit_offset || m.bitfield_size != n.bitfield_size)
      return differs("incompatible field #{} ('{}') offsets", i, types_.string(m.name_off));
    TRY(types(m.type, n.type, exact, depth + 1));
  }
  return {};
}

Result<void> Match::parameters(const BuiltType& a, const BuiltType& b, bool exact, u32 depth) {
  if (a.entries.size() != b.entries.size())
    return differs("incompatible number of {} params {} and {}", kind_word(a.type.kind), a.entries.size(),
                   b.entries.size());
  for (std::size_t i = 0; i < a.entries.size(); ++i)
    TRY(types(a.entries[i].type, b.entries[i].type, exact, depth + 1));
  return {};
}

/// Extern and global go together, static with neither.
Result<void> Match::linkage(const BuiltType& a, const BuiltType& b) const {
  const bool same = (a.type.linkage == btf::linkage_static) == (b.type.linkage == btf::linkage_static);
  if (same) return {};
  return differs("incompatible {} '{}' linkage", kind_word(a.type.kind), name_of(a));
}

Result<void> Match::types(u32 a, u32 b, bool exact, u32 depth) {
  if (depth > limits::btf_max_depth) return differs("types nest too deep");
  while (true) {
    const BuiltType &left = at(TRY(bare(a))), &right = at(TRY(bare(b)));
    const Kind kind = left.type.kind;
    if (!exact && (kind == Kind::fwd) != (right.type.kind == Kind::fwd)) return forward(left, right);
    if (kind != right.type.kind)
      return differs("incompatible BTF kinds {} and {}", kind_word(kind), kind_word(right.type.kind));
    const bool named = btf::is_composite(kind) || btf::is_any_enum(kind) || kind == Kind::fwd ||
                       kind == Kind::func || kind == Kind::var;
    if (named && left.type.name_off != right.type.name_off)
      return differs("incompatible {} names '{}' and '{}'", kind_word(kind), name_of(left), name_of(right));
    switch (kind) {
      case Kind::void_:
      case Kind::fwd:
        return {};
      case Kind::int_:
      case Kind::float_:
      case Kind::enum_:
      case Kind::enum64:
        if (left.type.size == right.type.size) return {};
        return differs("incompatible {} '{}' size {} and {}", kind_word(kind), name_of(left), left.type.size,
                       right.type.size);
      case Kind::struct_:
      case Kind::union_:
        return exact ? members(left, right, exact, depth) : Result<void>();
      case Kind::ptr:
        exact = false;
        break;
      case Kind::array:
        break;
      case Kind::func:
      case Kind::var:
        TRY(linkage(left, right));
        break;
      case Kind::func_proto:
        TRY(parameters(left, right, exact, depth));
        break;
      default:
        return differs("unsupported BTF kind {}", kind_word(kind));
    }
    a = left.type.type;
    b = right.type.type;
  }
}

/// What the members of a map's definition say. Numbers are the lengths of the arrays that they point to.
struct MapFacts {
  std::map<std::string_view, u32> numbers;
  u32 key = 0, value = 0, inner = 0;  ///< types

  [[nodiscard]] u32 number(std::string_view name) const {
    const auto found = numbers.find(name);
    return found == numbers.end() ? 0 : found->second;
  }
};

class MapReader {
 public:
  explicit MapReader(const btf::Builder& types) : types_(types) {}

  /// `id`: the struct, or the VAR of one. EINVAL without a sentence for what is no definition of a map.
  Result<MapFacts> read(u32 id) {
    if (kind_of(id) == Kind::var) id = types_.type(id).type.type;
    id = TRY(bare(id));
    MapFacts facts;
    if (kind_of(id) != Kind::struct_) return fail(EINVAL);
    for (const btf::Entry& member : types_.type(id).entries) {
      const std::string_view name = types_.string(member.name_off);
      const u32 type = TRY(bare(member.type));
      const u32 pointee = kind_of(type) == Kind::ptr ? types_.current(types_.type(type).type.type) : 0;
      if (name == "key" || name == "value") {
        (name == "key" ? facts.key : facts.value) = pointee;
        facts.numbers[name] = 1;
      } else if (name == "values") {
        if (kind_of(type) != Kind::array) return fail(EINVAL);
        const u32 element = TRY(bare(types_.type(type).type.type));
        if (kind_of(element) == Kind::ptr) facts.inner = types_.current(types_.type(element).type.type);
      } else {
        if (kind_of(pointee) != Kind::array) return fail(EINVAL);
        facts.numbers[name] = types_.type(pointee).type.nelems;
      }
    }
    return facts;
  }
  [[nodiscard]] bool is_map(u32 id) {
    const auto found = bare(id);
    return found && kind_of(*found) == Kind::struct_;
  }

 private:
  [[nodiscard]] Kind kind_of(u32 id) const { return id == 0 ? Kind::void_ : types_.type(id).type.kind; }
  Result<u32> bare(u32 id) {
    for (u32 steps = 0; steps <= types_.type_count(); ++steps) {
      id = types_.current(id);
      if (!is_modifier(kind_of(id))) return id;
      id = types_.type(id).type.type;
    }
    return fail(EINVAL);
  }

  const btf::Builder& types_;
};

Result<void> map_facts_match(const std::string& name, const btf::Builder& types, u32 ours, u32 theirs) {
  MapReader reader(types);
  const auto mine = reader.read(ours), other = reader.read(theirs);
  if (!mine || !other) return fail(EINVAL, fmt::format("global '{}': invalid map definition", name));
  const auto mismatch = [&](std::string_view what) {
    return fail(EINVAL, fmt::format("global '{}': map {} mismatch", name, what));
  };
  for (const std::string_view what :
       {"type", "key_size", "value_size", "max_entries", "map_flags", "numa_node", "pinning", "map_extra"})
    if (mine->number(what) != other->number(what)) return mismatch(what);
  for (const std::string_view what : {"key", "value"}) {
    if (mine->number(what) != other->number(what)) return mismatch(fmt::format("{} type", what));
    const bool key = what == "key";
    const u32 a = key ? mine->key : mine->value, b = key ? other->key : other->value;
    const auto same = Match(name, types).types(a, b, true);
    if (!same) return fail(EINVAL, fmt::format("{}; map {} type mismatch", same.error().what, what));
  }
  const bool nested = mine->inner != 0 && reader.is_map(mine->inner);
  if (nested != (other->inner != 0 && reader.is_map(other->inner))) return mismatch("inner map");
  if (nested && !name.ends_with(".inner"))  // maps nest only once
    return map_facts_match(name + ".inner", types, mine->inner, other->inner);
  return {};
}

}  // namespace

Result<void> types_match(std::string_view name, const btf::Builder& types, u32 ours, u32 theirs) {
  return Match(name, types).types(ours, theirs, true);
}

Result<void> maps_match(std::string_view name, const btf::Builder& types, u32 ours, u32 theirs) {
  return map_facts_match(std::string(name), types, ours, theirs);
}

}  // namespace skep::linker
