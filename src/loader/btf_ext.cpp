// Reading .BTF.ext with every length checked.
#include "loader/btf_ext.hpp"

#include <fmt/format.h>

namespace skep::loader {

namespace {

constexpr std::string_view kName = ".BTF.ext";

Result<ExtInfo> read_info(ByteView all, u32 hdr_len, u32 off, u32 len, u32 least, const char* what,
                          const btf::Btf& btf) {
  ExtInfo info;
  if (len == 0) return info;
  if (off % 4 != 0)
    return fail(EINVAL, fmt::format("{}: {} section at offset {} is not aligned to 4", kName, what, off));
  ByteReader whole(all, kName);
  std::string name = fmt::format("{} {}", kName, what);
  ByteReader reader(TRY(with_context(whole.sub(u64{hdr_len} + off, len), what)), name);
  info.record_size = TRY(reader.read<u32>(0));
  if (info.record_size < least || info.record_size % 4 != 0)
    return fail(EINVAL,
                fmt::format("{}: {} section has invalid record size {}", kName, what, info.record_size));
  u64 at = 4;
  while (at < len) {
    std::string_view section = btf.string(TRY(reader.read<u32>(at)));
    u32 count = TRY(reader.read<u32>(at + 4));
    if (count == 0)
      return fail(EINVAL, fmt::format("{}: {} section at offset {} has no records", kName, what, at));
    ByteView records = TRY(reader.sub(at + 8, u64{count} * info.record_size));
    at += 8 + records.size();
    info.sections.emplace(section, records);  // libbpf takes the first that names a section
  }
  return info;
}

}  // namespace

Result<BtfExt> BtfExt::parse(ByteView bytes, const btf::Btf& btf) {
  ByteReader reader(bytes, kName);
  if (TRY(reader.read<u16>(0)) != 0xeb9f) return fail(EINVAL, fmt::format("{}: invalid magic", kName));
  if (TRY(reader.read<u8>(2)) != 1) return fail(ENOTSUP, fmt::format("{}: unsupported version", kName));
  if (TRY(reader.read<u8>(3)) != 0) return fail(ENOTSUP, fmt::format("{}: unsupported flags", kName));
  u32 hdr_len = TRY(reader.read<u32>(4));
  if (hdr_len < 24 || hdr_len > bytes.size())
    return fail(EINVAL, fmt::format("{}: header length {} is not possible", kName, hdr_len));
  auto word = [&](u32 at) -> Result<u32> {
    return at + 4 <= hdr_len ? reader.read<u32>(at) : Result<u32>(0);
  };
  BtfExt ext;
  auto info = [&](u32 at, u32 least, const char* what) -> Result<ExtInfo> {
    return read_info(bytes, hdr_len, TRY(word(at)), TRY(word(at + 4)), least, what, btf);
  };
  ext.func_info = TRY(info(8, 8, "func_info"));
  ext.line_info = TRY(info(16, 16, "line_info"));
  ext.core_relos = TRY(info(24, 16, "core_relo"));
  return ext;
}

bool append_records(InfoRecords& out, const ExtInfo& info, std::string_view section, u32 first, u32 count,
                    u32 at) {
  auto found = info.sections.find(section);
  if (found == info.sections.end()) return false;
  ByteView all = found->second;
  auto insn_of = [&](u64 n) { return load<u32>(all.data() + n * info.record_size) / 8; };
  u64 low = 0, high = all.size() / info.record_size, end = high;
  while (low < high) {  // they stand in the order of their instructions
    u64 middle = low + (high - low) / 2;
    if (insn_of(middle) < first)
      low = middle + 1;
    else
      high = middle;
  }
  u32 taken = 0;
  for (u64 n = low; n < end && taken < count; ++n, ++taken) {
    u32 insn = insn_of(n);
    if (insn < first || insn - first >= count) break;
    std::size_t to = out.bytes.size();
    ByteView record = all.subspan(n * info.record_size, info.record_size);
    out.record_size = info.record_size;
    out.bytes.insert(out.bytes.end(), record.begin(), record.end());
    store(out.bytes.data() + to, insn - first + at);
  }
  return taken != 0;
}

}  // namespace skep::loader
