// Taking types over, and writing them: the layout of struct btf_type and what follows it, by kind
// (Documentation/bpf/btf.rst section 2.2).
#include "btf/builder.hpp"

#include <cerrno>

namespace skep::btf {

u32 Builder::add_string(std::string_view text) {
  if (text.empty()) return 0;
  const auto [found, added] = offsets_.try_emplace(std::string(text), static_cast<u32>(strings_.size()));
  if (added) {
    strings_ += text;
    strings_ += '\0';
  }
  return found->second;
}

BuiltType Builder::copy_of(const Btf& from, u32 id) {
  BuiltType built{from.type(id), {}};
  const auto entries = from.entries(built.type);
  built.entries.assign(entries.begin(), entries.end());
  built.type.name_off = add_string(from.string(built.type.name_off));
  if (built.type.kind != Kind::datasec)
    for (Entry& entry : built.entries) entry.name_off = add_string(from.string(entry.name_off));
  return built;
}

u32 Builder::add(BuiltType built) {
  types_.push_back(std::move(built));
  replaced_.push_back(0);
  return type_count();
}

std::vector<u32> Builder::append(const Btf& from) {
  std::vector<u32> ids(from.type_count() + 1);
  const u32 before = type_count();
  for (u32 id = 1; id <= from.type_count(); ++id)
    if (from.type(id).kind != Kind::datasec) ids[id] = add(copy_of(from, id));
  for (u32 id = before + 1; id <= type_count(); ++id)
    each_reference(type(id), [&](u32& reference) { reference = ids[reference]; });
  return ids;
}

void Builder::replace(u32 id, u32 other) {
  id = current(id);
  other = current(other);
  if (id != other) replaced_[id - 1] = other;
}

u32 Builder::current(u32 id) const {
  while (id != 0 && replaced_[id - 1] != 0) id = replaced_[id - 1];
  return id;
}

namespace {

class Words {
 public:
  explicit Words(std::vector<std::byte>& out) : out_(out) {}
  void add(u32 word) {
    const std::size_t at = out_.size();
    out_.resize(at + 4);
    store(out_.data() + at, word);
  }

 private:
  std::vector<std::byte>& out_;
};

/// Word 2 of struct btf_type: a size or a reference.
u32 size_or_type(const Type& type) {
  switch (type.kind) {
    case Kind::int_:
    case Kind::struct_:
    case Kind::union_:
    case Kind::enum_:
    case Kind::datasec:
    case Kind::float_:
    case Kind::enum64:
      return type.size;
    case Kind::array:
    case Kind::fwd:
      return 0;
    default:
      return type.type;
  }
}

u32 vlen_of(const BuiltType& built) {
  if (built.type.kind == Kind::func) return built.type.linkage;
  return static_cast<u32>(built.entries.size());
}

void write_entry(Words& words, const BuiltType& built, const Entry& entry) {
  switch (built.type.kind) {
    case Kind::struct_:
    case Kind::union_:
      words.add(entry.name_off);
      words.add(entry.type);
      words.add(built.type.kind_flag ? entry.bitfield_size << 24 | (entry.bit_offset & 0xffffff)
                                     : entry.bit_offset);
      break;
    case Kind::enum_:
      words.add(entry.name_off);
      words.add(static_cast<u32>(entry.value));
      break;
    case Kind::enum64:
      words.add(entry.name_off);
      words.add(static_cast<u32>(entry.value));
      words.add(static_cast<u32>(static_cast<u64>(entry.value) >> 32));
      break;
    case Kind::func_proto:
      words.add(entry.name_off);
      words.add(entry.type);
      break;
    default:  // datasec
      words.add(entry.type);
      words.add(entry.offset);
      words.add(entry.size);
      break;
  }
}

void write_type(Words& words, const BuiltType& built) {
  const Type& type = built.type;
  words.add(type.name_off);
  words.add(vlen_of(built) | static_cast<u32>(type.kind) << 24 | u32{type.kind_flag} << 31);
  words.add(size_or_type(type));
  switch (type.kind) {
    case Kind::int_:
      words.add(u32{type.int_encoding} << 24 | u32{type.int_offset} << 16 | type.int_bits);
      break;
    case Kind::array:
      words.add(type.type);
      words.add(type.index_type);
      words.add(type.nelems);
      break;
    case Kind::var:
      words.add(type.linkage);
      break;
    case Kind::decl_tag:
      words.add(static_cast<u32>(type.component));
      break;
    default:
      break;
  }
  for (const Entry& entry : built.entries) write_entry(words, built, entry);
}

}  // namespace

Result<std::vector<std::byte>> Builder::bytes() const {
  constexpr u32 magic_and_version = 0xeb9f | 1u << 16, header = 24, most_entries = 0xffff;
  constexpr u64 most_bytes = u64{1} << 31;
  std::vector<std::byte> types;
  Words words(types);
  for (const BuiltType& built : types_) {
    if (built.entries.size() > most_entries) return fail(E2BIG, "BTF: a type has more than 65535 members");
    write_type(words, built);
    if (types.size() + strings_.size() > most_bytes) return fail(E2BIG, "BTF: larger than 2 GiB");
  }
  std::vector<std::byte> out;
  out.reserve(header + types.size() + strings_.size());
  Words head(out);
  const auto type_bytes = static_cast<u32>(types.size());
  for (const u32 word :
       {magic_and_version, header, 0u, type_bytes, type_bytes, static_cast<u32>(strings_.size())})
    head.add(word);
  out.insert(out.end(), types.begin(), types.end());
  const ByteView text = bytes_of(std::string_view(strings_));
  out.insert(out.end(), text.begin(), text.end());
  return out;
}

}  // namespace skep::btf
