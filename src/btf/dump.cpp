// Raw listings of BTF, line for line and field for field as bpftool's `btf dump` gives them.
#include "btf/dump.hpp"

#include <fmt/format.h>

namespace skep::btf {

namespace {

std::string_view shown(const Btf& btf, u32 name_off) {
  return name_off == 0 ? std::string_view("(anon)") : btf.string(name_off);
}

std::string_view encoding_name(u8 encoding) {
  switch (encoding) {
    case 0:
      return "(none)";
    case int_signed:
      return "SIGNED";
    case int_char:
      return "CHAR";
    case int_bool:
      return "BOOL";
    default:
      return "UNKN";
  }
}

std::string_view linkage_name(u32 linkage) {
  switch (linkage) {
    case linkage_static:
      return "static";
    case linkage_global:
      return "global";
    case linkage_extern:
      return "extern";
    default:
      return "(unknown)";
  }
}

std::string entry_text(const Btf& btf, const Type& t, const Entry& e) {
  std::string_view name = shown(btf, e.name_off);
  switch (t.kind) {
    case Kind::struct_:
    case Kind::union_: {
      std::string text = fmt::format("\n\t'{}' type_id={} bits_offset={}", name, e.type, e.bit_offset);
      if (e.bitfield_size != 0) text += fmt::format(" bitfield_size={}", e.bitfield_size);
      return text;
    }
    case Kind::enum_:
      if (t.kind_flag) return fmt::format("\n\t'{}' val={}", name, e.value);
      return fmt::format("\n\t'{}' val={}", name, static_cast<u32>(e.value));
    case Kind::enum64:
      if (t.kind_flag) return fmt::format("\n\t'{}' val={}LL", name, e.value);
      return fmt::format("\n\t'{}' val={}ULL", name, static_cast<u64>(e.value));
    case Kind::func_proto:
      return fmt::format("\n\t'{}' type_id={}", name, e.type);
    case Kind::datasec:
      return fmt::format("\n\ttype_id={} offset={} size={} ({} '{}')", e.type, e.offset, e.size,
                         kind_name(btf.type(e.type).kind), shown(btf, btf.type(e.type).name_off));
    default:
      return {};
  }
}

std::string details_text(const Type& t) {
  switch (t.kind) {
    case Kind::int_:
      return fmt::format(" size={} bits_offset={} nr_bits={} encoding={}", t.size, t.int_offset, t.int_bits,
                         encoding_name(t.int_encoding));
    case Kind::array:
      return fmt::format(" type_id={} index_type_id={} nr_elems={}", t.type, t.index_type, t.nelems);
    case Kind::struct_:
    case Kind::union_:
    case Kind::datasec:
      return fmt::format(" size={} vlen={}", t.size, t.entry_count);
    case Kind::enum_:
    case Kind::enum64:
      return fmt::format(" encoding={} size={} vlen={}", t.kind_flag ? "SIGNED" : "UNSIGNED", t.size,
                         t.entry_count);
    case Kind::fwd:
      return fmt::format(" fwd_kind={}", t.kind_flag ? "union" : "struct");
    case Kind::func:
      return fmt::format(" type_id={} linkage={}", t.type, linkage_name(t.linkage));
    case Kind::func_proto:
      return fmt::format(" ret_type_id={} vlen={}", t.type, t.entry_count);
    case Kind::var:
      return fmt::format(" type_id={}, linkage={}", t.type, linkage_name(t.linkage));
    case Kind::float_:
      return fmt::format(" size={}", t.size);
    case Kind::decl_tag:
      return fmt::format(" type_id={} component_idx={}", t.type, t.component);
    case Kind::void_:
      return {};
    default:
      return fmt::format(" type_id={}", t.type);
  }
}

void entry_json(const Btf& btf, const Type& t, const Entry& e, Writer& out) {
  out.begin_object();
  if (t.kind != Kind::datasec) out.field("name", shown(btf, e.name_off));
  switch (t.kind) {
    case Kind::struct_:
    case Kind::union_:
      out.number_field("type_id", e.type);
      out.number_field("bits_offset", e.bit_offset);
      if (e.bitfield_size != 0) out.number_field("bitfield_size", e.bitfield_size);
      break;
    case Kind::enum_:
    case Kind::enum64:
      if (t.kind_flag)
        out.signed_field("val", e.value);
      else
        out.number_field("val", static_cast<u64>(e.value));
      break;
    case Kind::datasec:
      out.number_field("type_id", e.type);
      out.number_field("offset", e.offset);
      out.number_field("size", e.size);
      break;
    default:
      out.number_field("type_id", e.type);
      break;
  }
  out.end_object();
}

/// Size, count and the entries under their name.
void entries_json(const Btf& btf, const Type& t, std::string_view name, Writer& out) {
  out.number_field("vlen", t.entry_count);
  out.name(name);
  out.begin_array();
  for (const Entry& e : btf.entries(t)) entry_json(btf, t, e, out);
  out.end_array();
}

void type_json(const Btf& btf, u32 id, Writer& out) {
  const Type& t = btf.type(id);
  out.begin_object();
  out.number_field("id", id);
  out.field("kind", kind_name(t.kind));
  out.field("name", shown(btf, t.name_off));
  switch (t.kind) {
    case Kind::int_:
      out.number_field("size", t.size);
      out.number_field("bits_offset", t.int_offset);
      out.number_field("nr_bits", t.int_bits);
      out.field("encoding", encoding_name(t.int_encoding));
      break;
    case Kind::array:
      out.number_field("type_id", t.type);
      out.number_field("index_type_id", t.index_type);
      out.number_field("nr_elems", t.nelems);
      break;
    case Kind::struct_:
    case Kind::union_:
      out.number_field("size", t.size);
      entries_json(btf, t, "members", out);
      break;
    case Kind::datasec:
      out.number_field("size", t.size);
      entries_json(btf, t, "vars", out);
      break;
    case Kind::enum_:
    case Kind::enum64:
      out.field("encoding", t.kind_flag ? "SIGNED" : "UNSIGNED");
      out.number_field("size", t.size);
      entries_json(btf, t, "values", out);
      break;
    case Kind::fwd:
      out.field("fwd_kind", t.kind_flag ? "union" : "struct");
      break;
    case Kind::func:
    case Kind::var:
      out.number_field("type_id", t.type);
      out.field("linkage", linkage_name(t.linkage));
      break;
    case Kind::func_proto:
      out.number_field("ret_type_id", t.type);
      entries_json(btf, t, "params", out);
      break;
    case Kind::float_:
      out.number_field("size", t.size);
      break;
    case Kind::decl_tag:
      out.number_field("type_id", t.type);
      out.signed_field("component_idx", t.component);
      break;
    case Kind::void_:
      break;
    default:
      out.number_field("type_id", t.type);
      break;
  }
  out.end_object();
}

template <class Each>
void for_each_id(const Btf& btf, std::span<const u32> ids, Each each) {
  for (u32 id : ids) each(id);
  if (!ids.empty()) return;
  for (u32 id = btf.first_id(); id <= btf.type_count(); ++id) each(id);
}

}  // namespace

std::string raw_text(const Btf& btf, u32 id) {
  const Type& t = btf.type(id);
  std::string text = fmt::format("[{}] {} '{}'", id, kind_name(t.kind), shown(btf, t.name_off));
  text += details_text(t);
  for (const Entry& e : btf.entries(t)) text += entry_text(btf, t, e);
  text += '\n';
  return text;
}

std::string raw_text(const Btf& btf, std::span<const u32> ids) {
  std::string text;
  for_each_id(btf, ids, [&](u32 id) { text += raw_text(btf, id); });
  return text;
}

void raw_json(const Btf& btf, Writer& writer, std::span<const u32> ids) {
  writer.begin_object();
  writer.name("types");
  writer.begin_array();
  for_each_id(btf, ids, [&](u32 id) { type_json(btf, id, writer); });
  writer.end_array();
  writer.end_object();
}

}  // namespace skep::btf
