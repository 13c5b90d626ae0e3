// Making one of types that say the same. Two types are the same if their own words are (kind, name, size,
// members' names and places) and what they refer to is the same in turn, so types are sorted into classes by
// their own words first, and classes are split as long as members of one refer to different classes. Whenever
// a class is split its largest part keeps the class's number, so that a type is looked at again only when
// what it refers to lands in a part at most half as large: about references x log(types) steps in all.
#include <algorithm>
#include <map>

#include "btf/builder.hpp"

namespace skep::btf {

namespace {

void put(std::string& key, u64 word) { key.append(reinterpret_cast<const char*>(&word), sizeof word); }

/// A type without what it refers to.
std::string own_words(const BuiltType& built) {
  const Type& t = built.type;
  std::string key;
  put(key, u64{static_cast<u8>(t.kind)} | u64{t.kind_flag} << 8 | u64{t.int_encoding} << 16 |
               u64{t.int_offset} << 24 | u64{t.int_bits} << 32);
  put(key, u64{t.name_off} | u64{t.size} << 32);
  put(key, u64{t.nelems} | u64{t.linkage} << 32);
  put(key, static_cast<u32>(t.component));
  for (const Entry& entry : built.entries) {
    put(key, u64{entry.name_off} | u64{entry.bit_offset} << 32);
    put(key, u64{entry.bitfield_size});
    put(key, static_cast<u64>(entry.value));
  }
  return key;
}

bool stays_apart(Kind kind) { return kind == Kind::var || kind == Kind::datasec; }

/// A declaration, or an enum that says nothing of its values: it stands for the type of that name.
bool is_forward(const BuiltType& built) {
  return built.type.name_off != 0 &&
         (built.type.kind == Kind::fwd || (is_any_enum(built.type.kind) && built.entries.empty()));
}

/// The classes of types, and which types have to be looked at again.
class Partition {
 public:
  explicit Partition(const Builder& builder) : builder_(builder) {
    const u32 count = builder.type_count() + 1;
    class_of_.resize(count);
    place_.resize(count);
    users_.resize(count);
    queued_.resize(count);
    members_.push_back({});  // of void
    std::map<std::string, u32> by_words;
    for (u32 id = 1; id < count; ++id) {
      if (builder.current(id) != id) continue;
      const BuiltType& built = builder.type(id);
      auto number = static_cast<u32>(members_.size());
      if (!stays_apart(built.type.kind))
        number = by_words.try_emplace(own_words(built), number).first->second;
      if (number == members_.size()) members_.emplace_back();
      enter(id, number);
      each_reference(built, [&](const u32& reference) {
        if (const u32 to = builder.current(reference); to != 0) users_[to].push_back(id);
      });
      queue(id);
    }
  }

  std::vector<u32> refined() && {
    while (!queue_.empty()) {
      std::map<u32, std::vector<u32>> changed;
      for (const u32 id : queue_) {
        queued_[id] = false;
        changed[class_of_[id]].push_back(id);
      }
      queue_.clear();
      for (const auto& [number, ids] : changed) split(number, ids);
    }
    return std::move(class_of_);
  }

 private:
  void queue(u32 id) {
    if (queued_[id]) return;
    queued_[id] = true;
    queue_.push_back(id);
  }
  void enter(u32 id, u32 number) {
    class_of_[id] = number;
    place_[id] = static_cast<u32>(members_[number].size());
    members_[number].push_back(id);
  }
  void leave(u32 id) {
    std::vector<u32>& from = members_[class_of_[id]];
    from[place_[id]] = from.back();
    place_[from.back()] = place_[id];
    from.pop_back();
  }

  /// Splits a class by what its members `changed` refer to. The others refer to the classes they referred to
  /// before, and each of `changed` to one that has been split off since, so these differ from those.
  void split(u32 number, const std::vector<u32>& changed) {
    if (members_[number].size() == 1) return;
    std::map<std::vector<u32>, std::vector<u32>> by_signature;
    for (const u32 id : changed) {
      std::vector<u32> signature;
      each_reference(builder_.type(id), [&](const u32& reference) {
        signature.push_back(class_of_[builder_.current(reference)]);
      });
      by_signature[std::move(signature)].push_back(id);
    }
    std::vector<std::vector<u32>> parts;
    for (auto& [signature, ids] : by_signature) parts.push_back(std::move(ids));
    const auto larger = [](const auto& a, const auto& b) { return a.size() < b.size(); };
    const auto largest = std::ranges::max_element(parts, larger);
    const std::size_t rest = members_[number].size() - changed.size();
    if (rest >= largest->size()) {
      for (const auto& part : parts) move(part);
      return;
    }
    const std::vector<u32> stays = std::move(*largest);
    parts.erase(largest);
    for (const auto& part : parts) move(part);
    if (rest != 0) move(others(number, stays));
  }
  /// The members of a class but for some.
  [[nodiscard]] std::vector<u32> others(u32 number, const std::vector<u32>& but) const {
    std::vector<u32> all = members_[number], without = but, out;
    std::ranges::sort(all);
    std::ranges::sort(without);
    std::ranges::set_difference(all, without, std::back_inserter(out));
    return out;
  }
  void move(const std::vector<u32>& ids) {
    const auto number = static_cast<u32>(members_.size());
    members_.emplace_back();
    for (const u32 id : ids) {
      leave(id);
      enter(id, number);
    }
    for (const u32 id : ids)
      for (const u32 user : users_[id]) queue(user);
  }

  const Builder& builder_;
  std::vector<u32> class_of_, place_;  ///< of types: their class, and where they stand in it
  std::vector<std::vector<u32>> members_, users_;
  std::vector<bool> queued_;
  std::vector<u32> queue_;
};

}  // namespace

std::vector<u32> Builder::classes() const { return Partition(*this).refined(); }

bool Builder::resolve_forwards() {
  const std::vector<u32> class_of = classes();
  struct Found {
    u32 id = 0;
    bool several = false;
  };
  // struct, union and enum have names of their own each; widths of enums do not matter.
  const auto key_of = [](const BuiltType& built, bool is_union) {
    return std::pair(built.type.name_off, is_any_enum(built.type.kind) ? 2 : is_union ? 1 : 0);
  };
  std::map<std::pair<u32, int>, Found> complete;
  for (u32 id = 1; id <= type_count(); ++id) {
    const BuiltType& built = type(id);
    const bool named = is_composite(built.type.kind) || is_any_enum(built.type.kind);
    if (current(id) != id || !named || built.type.name_off == 0 || is_forward(built)) continue;
    Found& found = complete[key_of(built, built.type.kind == Kind::union_)];
    if (found.id == 0) found.id = id;
    if (class_of[found.id] != class_of[id]) found.several = true;
  }
  bool any = false;
  for (u32 id = 1; id <= type_count(); ++id) {
    if (current(id) != id || !is_forward(type(id))) continue;
    const auto found = complete.find(key_of(type(id), type(id).type.kind_flag));
    if (found == complete.end() || found->second.several) continue;
    replace(id, found->second.id);
    any = true;
  }
  return any;
}

std::vector<u32> Builder::renumber(const std::vector<u32>& class_of) {
  std::vector<u32> now(type_count() + 1), number_of_class(type_count() + 2);
  std::vector<BuiltType> kept;
  for (u32 id = 1; id <= type_count(); ++id) {
    if (current(id) != id) continue;
    u32& number = number_of_class[class_of[id]];
    if (number == 0) {
      kept.push_back(std::move(types_[id - 1]));
      number = static_cast<u32>(kept.size());
    }
    now[id] = number;
  }
  for (u32 id = 1; id <= type_count(); ++id) now[id] = now[current(id)];
  for (BuiltType& built : kept) each_reference(built, [&](u32& reference) { reference = now[reference]; });
  types_ = std::move(kept);
  replaced_.assign(types_.size(), 0);
  return now;
}

std::vector<u32> Builder::deduplicate() {
  while (resolve_forwards()) {
  }
  return renumber(classes());
}

}  // namespace skep::btf
