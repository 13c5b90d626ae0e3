// From bytes to a Btf: the header, the string section and each struct btf_type with what follows it
// (Documentation/bpf/btf.rst section 2). Everything is read through checked offsets; what is kept is in
// range.
#include "base/limits.hpp"
#include "btf/btf.hpp"

namespace skep::btf {

namespace {

constexpr u16 kMagic = 0xeb9f;
constexpr u32 kHeaderBytes = 24;  // magic, version, flags, hdr_len, type_off, type_len, str_off, str_len
constexpr u32 kTypeBytes = 12;    // name_off, info, size or type

struct Header {
  u32 hdr_len = 0, type_off = 0, type_len = 0, str_off = 0, str_len = 0;
};

Result<Header> read_header(const ByteReader& reader) {
  if (reader.size() < 8) return fail(EINVAL, "BTF: hdr_len not found");
  u16 magic = TRY(reader.read<u16>(0));
  Header header;
  header.hdr_len = TRY(reader.read<u32>(4));
  if (reader.size() < header.hdr_len) return fail(EINVAL, "BTF: btf_header not found");
  for (u64 at = kHeaderBytes; at < header.hdr_len; ++at) {
    if (TRY(reader.read<u8>(at)) != 0) return fail(E2BIG, "BTF: Unsupported btf_header");
  }
  if (magic == 0x9feb) return fail(kENOTSUPP, "BTF: big-endian BTF is not supported");
  if (magic != kMagic) return fail(EINVAL, "BTF: Invalid magic");
  if (TRY(reader.read<u8>(2)) != 1) return fail(kENOTSUPP, "BTF: Unsupported version");
  if (TRY(reader.read<u8>(3)) != 0) return fail(kENOTSUPP, "BTF: Unsupported flags");
  // A shorter header leaves the fields that it does not reach at 0, as the kernel does.
  auto field = [&](u32 at) -> Result<u32> {
    return at + 4 <= header.hdr_len ? reader.read<u32>(at) : Result<u32>(0);
  };
  header.type_off = TRY(field(8));
  header.type_len = TRY(field(12));
  header.str_off = TRY(field(16));
  header.str_len = TRY(field(20));
  return header;
}

/// The two sections must fill what follows the header, in either order, without gap or overlap.
Result<void> check_sections(const Header& h, u64 total) {
  struct Section {
    u32 off, len;
  };
  Section first{h.type_off, h.type_len}, second{h.str_off, h.str_len};
  if (second.off < first.off || (second.off == first.off && second.len < first.len)) std::swap(first, second);
  u64 end = 0;
  for (const Section& section : {first, second}) {
    if (total < section.off) return fail(EINVAL, "BTF: Invalid section offset");
    if (end < section.off) return fail(EINVAL, "BTF: Unsupported section found");
    if (end > section.off) return fail(EINVAL, "BTF: Section overlap found");
    if (total - end < section.len) return fail(EINVAL, "BTF: Total section length too long");
    end += section.len;
  }
  if (end != total) return fail(EINVAL, "BTF: Unsupported section found");
  return {};
}

}  // namespace

/// Fills a Btf; the friend that may.
class Parser {
 public:
  Parser(Btf& btf, const Btf* base, Checks checks) : btf_(btf), kernel_(checks == Checks::kernel) {
    btf_.base_ = base;
    if (base != nullptr) {
      btf_.first_entry_ = base->first_entry_ + static_cast<u32>(base->entries_.size());
      btf_.first_string_ = base->first_string_ + static_cast<u32>(base->strings_.size());
    }
  }

  Result<void> run(std::vector<std::byte> bytes) {
    btf_.bytes_ = std::move(bytes);
    if (btf_.bytes_.size() > limits::btf_max_size) return fail(E2BIG, "BTF: larger than 16 MiB");
    ByteReader all(btf_.bytes_, "BTF");
    Header h = TRY(read_header(all));
    if (btf_.base_ == nullptr && all.size() == h.hdr_len) return fail(EINVAL, "BTF: No data");
    TRY(check_sections(h, all.size() - h.hdr_len));
    TRY(strings(h));
    if ((h.type_off & 3) != 0) return fail(EINVAL, "BTF: Unaligned type_off");
    if (btf_.base_ == nullptr && h.type_len == 0) return fail(EINVAL, "BTF: No type found");
    TRY(types(u64{h.hdr_len} + h.type_off, h.type_len));
    TRY(references());
    if (kernel_) TRY(check_as_kernel(btf_));
    return {};
  }

 private:
  Result<void> strings(const Header& h) {
    std::string_view text = chars_of(btf_.bytes_).substr(h.hdr_len);
    if (kernel_ && u64{h.str_off} + h.str_len != text.size())
      return fail(EINVAL, "BTF: String section is not at the end");
    btf_.strings_ = text.substr(h.str_off, h.str_len);
    if (btf_.base_ != nullptr && btf_.strings_.empty()) return {};
    bool bad = btf_.strings_.empty() || btf_.strings_.size() - 1 > 0xffffff || btf_.strings_.back() != '\0' ||
               (btf_.base_ == nullptr && btf_.strings_.front() != '\0');
    if (bad) return fail(EINVAL, "BTF: Invalid string section");
    return {};
  }

  Result<void> types(u64 start, u32 len) {
    ByteReader section(std::span(btf_.bytes_).subspan(start, len), "BTF type section");
    btf_.types_.reserve(len / 20);
    u64 at = 0;
    while (at < len) {
      u32 id = btf_.first_id() + static_cast<u32>(btf_.types_.size());
      if (id > limits::btf_max_types) return fail(E2BIG, "BTF: too many types");
      Result<u64> next = one(section, at, static_cast<u32>(start));
      if (!next)
        return fail(next.error().code, "BTF type [" + std::to_string(id) + "]: " + next.error().what);
      at = *next;
    }
    return {};
  }

  /// The type at `at`; returns where the next one starts.
  Result<u64> one(const ByteReader& section, u64 at, u32 start) {
    Type t;
    t.byte_off = start + static_cast<u32>(at);
    t.name_off = TRY(section.read<u32>(at));
    u32 info = TRY(section.read<u32>(at + 4));
    u32 size_or_type = TRY(section.read<u32>(at + 8));
    if ((info & ~0x9f00ffffu) != 0) return fail(EINVAL, "Invalid btf_info");
    u32 kind = (info >> 24) & 0x1f;
    if (kind == 0 || kind > kind_max) return fail(EINVAL, "Invalid kind:" + std::to_string(kind));
    t.kind = static_cast<Kind>(kind);
    t.kind_flag = (info >> 31) != 0;
    if (!btf_.has_string(t.name_off))
      return fail(EINVAL, "Invalid name_offset:" + std::to_string(t.name_off));
    u32 vlen = info & 0xffff;
    u64 body = at + kTypeBytes;
    switch (t.kind) {
      case Kind::int_:
        t.size = size_or_type;
        return finish(t, integer(section, body, t), vlen);
      case Kind::array:
        t.size = size_or_type;
        return finish(t, array(section, body, t), vlen);
      case Kind::struct_:
      case Kind::union_:
        t.size = size_or_type;
        return finish(t, members(section, body, vlen, t));
      case Kind::enum_:
      case Kind::enum64:
        t.size = size_or_type;
        return finish(t, enumerators(section, body, vlen, t));
      case Kind::func_proto:
        t.type = size_or_type;
        return finish(t, parameters(section, body, vlen, t));
      case Kind::datasec:
        t.size = size_or_type;
        return finish(t, variables(section, body, vlen, t));
      case Kind::func:
        t.type = size_or_type;
        t.linkage = vlen;  // FUNC keeps its linkage where the others have their count
        return finish(t, body);
      case Kind::var:
        t.type = size_or_type;
        t.linkage = TRY(section.read<u32>(body));
        return finish(t, body + 4, vlen);
      case Kind::decl_tag:
        t.type = size_or_type;
        t.component = TRY(section.read<s32>(body));
        return finish(t, body + 4, vlen);
      case Kind::float_:
        t.size = size_or_type;
        return finish(t, body, vlen);
      default:
        t.type = size_or_type;
        return finish(t, body, vlen);
    }
  }

  Result<u64> finish(const Type& t, Result<u64> next, u32 vlen = 0) {
    if (kernel_ && vlen != 0) return fail(EINVAL, "vlen != 0");
    if (next) btf_.types_.push_back(t);
    return next;
  }

  static Result<u64> integer(const ByteReader& section, u64 at, Type& t) {
    u32 data = TRY(section.read<u32>(at));
    if ((data & ~0x0fff00ffu) != 0) return fail(EINVAL, "Invalid int_data");
    t.int_encoding = static_cast<u8>((data >> 24) & 0x0f);
    t.int_offset = static_cast<u8>((data >> 16) & 0xff);
    t.int_bits = static_cast<u8>(data & 0xff);
    // Value printing copies at most 128 bits and never past the type; both modes rely on it.
    u32 bits = u32{t.int_bits} + t.int_offset;
    if (bits > 128) return fail(EINVAL, "nr_bits exceeds 128");
    if ((bits + 7) / 8 > t.size) return fail(EINVAL, "nr_bits exceeds type_size");
    return at + 4;
  }

  static Result<u64> array(const ByteReader& section, u64 at, Type& t) {
    t.type = TRY(section.read<u32>(at));
    t.index_type = TRY(section.read<u32>(at + 4));
    t.nelems = TRY(section.read<u32>(at + 8));
    return at + 12;
  }

  void begin_entries(Type& t, u32 count) {
    t.first_entry = btf_.first_entry_ + static_cast<u32>(btf_.entries_.size());
    t.entry_count = count;
  }

  Result<u64> members(const ByteReader& section, u64 at, u32 count, Type& t) {
    begin_entries(t, count);
    ByteView bytes = TRY(section.sub(at, u64{count} * 12));
    for (u32 i = 0; i < count; ++i) {
      const std::byte* p = bytes.data() + u64{i} * 12;
      Entry e;
      e.name_off = load<u32>(p);
      e.type = load<u32>(p + 4);
      u32 offset = load<u32>(p + 8);
      e.bit_offset = t.kind_flag ? offset & 0xffffff : offset;
      e.bitfield_size = t.kind_flag ? offset >> 24 : 0;
      TRY(name_exists(e.name_off));
      btf_.entries_.push_back(e);
    }
    return at + bytes.size();
  }

  Result<u64> enumerators(const ByteReader& section, u64 at, u32 count, Type& t) {
    begin_entries(t, count);
    u32 stride = t.kind == Kind::enum64 ? 12 : 8;
    ByteView bytes = TRY(section.sub(at, u64{count} * stride));
    for (u32 i = 0; i < count; ++i) {
      const std::byte* p = bytes.data() + u64{i} * stride;
      Entry e;
      e.name_off = load<u32>(p);
      u32 low = load<u32>(p + 4);
      if (stride == 12)
        e.value = static_cast<s64>(u64{load<u32>(p + 8)} << 32 | low);
      else
        e.value = t.kind_flag ? s64{static_cast<s32>(low)} : s64{low};
      TRY(name_exists(e.name_off));
      btf_.entries_.push_back(e);
    }
    return at + bytes.size();
  }

  Result<u64> parameters(const ByteReader& section, u64 at, u32 count, Type& t) {
    begin_entries(t, count);
    ByteView bytes = TRY(section.sub(at, u64{count} * 8));
    for (u32 i = 0; i < count; ++i) {
      Entry e;
      e.name_off = load<u32>(bytes.data() + u64{i} * 8);
      e.type = load<u32>(bytes.data() + u64{i} * 8 + 4);
      TRY(name_exists(e.name_off));
      btf_.entries_.push_back(e);
    }
    return at + bytes.size();
  }

  Result<u64> variables(const ByteReader& section, u64 at, u32 count, Type& t) {
    begin_entries(t, count);
    ByteView bytes = TRY(section.sub(at, u64{count} * 12));
    for (u32 i = 0; i < count; ++i) {
      const std::byte* p = bytes.data() + u64{i} * 12;
      Entry e;
      e.type = load<u32>(p);
      e.offset = load<u32>(p + 4);
      e.size = load<u32>(p + 8);
      btf_.entries_.push_back(e);
    }
    return at + bytes.size();
  }

  Result<void> name_exists(u32 offset) const {
    if (btf_.has_string(offset)) return {};
    return fail(EINVAL, "Invalid member name_offset:" + std::to_string(offset));
  }

  /// Every id that a type mentions exists. Only possible once all types are known.
  Result<void> references() const {
    u32 last = btf_.type_count();
    for (std::size_t i = 0; i < btf_.types_.size(); ++i) {
      const Type& t = btf_.types_[i];
      bool ok = t.type <= last && t.index_type <= last;
      for (const Entry& e : btf_.entries(t)) ok = ok && e.type <= last;
      if (!ok)
        return fail(EINVAL, "BTF type [" + std::to_string(btf_.first_id() + i) + "] " +
                                std::string(kind_name(t.kind)) + ": Invalid type_id");
    }
    return {};
  }

  Btf& btf_;
  bool kernel_;
};

Result<Btf> Btf::parse(std::vector<std::byte> bytes, const Btf* base, Checks checks) {
  Btf btf;
  TRY(Parser(btf, base, checks).run(std::move(bytes)));
  return btf;
}

}  // namespace skep::btf
