// Helpers that read, write and sum the bytes of a packet (kernel: net/core/filter.c).
#include <cerrno>
#include <cstring>
#include <limits>

#include "helpers/checksum.hpp"
#include "helpers/families.hpp"
#include "helpers/packet_bytes.hpp"
#include "helpers/skb.hpp"

namespace skep::helpers {
namespace {

using progs::SkBuff;

constexpr u64 recompute_csum = 1, invalidate_hash = 2;  // BPF_F_RECOMPUTE_CSUM, BPF_F_INVALIDATE_HASH
constexpr u64 field_mask = 0xf, pseudo_hdr = 0x10, mark_mangled_0 = 0x20, mark_enforce = 0x40, f_ipv6 = 0x80;
constexpr u32 offset_max = 0xffff;
constexpr int enotsupp = 524;

u32 low(u64 value) { return static_cast<u32>(value); }

/// bpf_try_make_writable(): the first `len` bytes may be written; data pointers are computed anew either way.
bool make_writable(Skb& skb, u64 len) {
  const bool done = len <= skb.buf.len && skb_ensure_writable(skb, low(len));
  skb_compute_data_pointers(skb.buf);
  return done;
}

u64 skb_load_bytes(u64 context, u64 offset, u64 to, u64 len, u64, RunContext*) {
  return skb_read(skb_of(context), low(offset), pointer<std::byte>(to), low(len));
}

/// Flow dissectors have a packet only where the stack dissects one; test runs give them its bytes alone.
u64 flow_dissector_load_bytes(u64 context, u64 offset64, u64 to, u64 len64, u64, RunContext*) {
  const SkBuff* skb = pointer<progs::FlowDissector>(context)->skb;
  const u32 offset = low(offset64), len = low(len64);
  if (offset > offset_max || skb == nullptr || u64{offset} + len > skb->len) {
    std::memset(pointer<std::byte>(to), 0, len);
    return error_result(EFAULT);
  }
  std::memcpy(pointer<std::byte>(to), skb->data + offset, len);
  return 0;
}

u64 skb_load_bytes_relative(u64 context, u64 offset64, u64 to, u64 len64, u64 start, RunContext*) {
  enum : u32 { from_mac = 0, from_net = 1 };
  const SkBuff& skb = skb_of(context).buf;
  const u32 offset = low(offset64), len = low(len64);
  const bool known = low(start) == from_net || (low(start) == from_mac && skb_mac_header_set(skb));
  const u32 base = low(start) == from_net ? skb.network_header : skb.mac_header;
  if (!known || offset > offset_max || u64{base} + offset + len > skb.tail) {
    std::memset(pointer<std::byte>(to), 0, len);
    return error_result(EFAULT);
  }
  std::memcpy(pointer<std::byte>(to), skb.head + base + offset, len);
  return 0;
}

u64 skb_store_bytes(u64 context, u64 offset, u64 from, u64 len, u64 flags, RunContext*) {
  return skb_write(skb_of(context), low(offset), pointer<const std::byte>(from), low(len), flags);
}

u64 skb_pull_data(u64 context, u64 len64, u64, u64, u64, RunContext*) {
  Skb& skb = skb_of(context);
  const u32 len = low(len64) != 0 ? low(len64) : skb_headlen(skb.buf);
  return make_writable(skb, len) ? 0 : error_result(ENOMEM);
}

// --- checksums: 16-bit fields of the packet, 32-bit sums (include/net/checksum.h) ---

u16 fold(u32 sum) { return static_cast<u16>(~csum_fold_to_16(sum)); }
u32 unfold(u16 sum) { return sum; }
u32 csum_sub(u32 sum, u32 addend) { return csum_add(sum, ~addend); }
u16 csum16_add(u16 sum, u16 addend) {
  const auto result = static_cast<u16>(sum + addend);
  return static_cast<u16>(result + (result < addend ? 1 : 0));
}
u16 complement(u16 value) { return static_cast<u16>(~value); }

u16 replaced_by_diff(u16 sum, u32 diff) { return fold(csum_add(diff, ~unfold(sum))); }
u16 replaced2(u16 sum, u16 from, u16 to) {
  return complement(csum16_add(csum16_add(complement(sum), complement(from)), to));
}
u16 replaced4(u16 sum, u32 from, u32 to) { return fold(csum_add(csum_sub(~unfold(sum), from), to)); }

/// The field at `offset`, or nothing: the helpers' EFAULT.
std::byte* checksum_field(Skb& skb, u32 offset) {
  if (offset > offset_max || (offset & 1) != 0 || !make_writable(skb, offset + 2)) return nullptr;
  return skb.buf.data + offset;
}

u64 l3_csum_replace(u64 context, u64 offset, u64 from, u64 to, u64 flags, RunContext*) {
  if ((flags & ~field_mask) != 0) return error_result(EINVAL);
  std::byte* field = checksum_field(skb_of(context), low(offset));
  if (field == nullptr) return error_result(EFAULT);
  const auto sum = load<u16>(field);
  switch (flags) {
    case 0:
      if (from != 0) return error_result(EINVAL);
      store<u16>(field, replaced_by_diff(sum, low(to)));
      return 0;
    case 2:
      store<u16>(field, replaced2(sum, static_cast<u16>(from), static_cast<u16>(to)));
      return 0;
    case 4:
      store<u16>(field, replaced4(sum, low(from), low(to)));
      return 0;
    default:
      return error_result(EINVAL);
  }
}

/// inet_proto_csum_replace4(): also the whole packet's sum, which covers no pseudo header.
void replace4(SkBuff& skb, std::byte* field, u32 from, u32 to, bool pseudo) {
  const auto sum = load<u16>(field);
  if (skb_ip_summed(skb) != checksum_partial) {
    store<u16>(field, replaced4(sum, from, to));
    if (skb_ip_summed(skb) == checksum_complete && pseudo)
      skb.csum = ~csum_add(csum_sub(~skb.csum, from), to);
  } else if (pseudo) {
    store<u16>(field, complement(fold(csum_add(csum_sub(unfold(sum), from), to))));
  }
}
/// inet_proto_csum_replace_by_diff()
void replace_by_diff(SkBuff& skb, std::byte* field, u32 diff, bool pseudo, bool ipv6) {
  const auto sum = load<u16>(field);
  if (skb_ip_summed(skb) != checksum_partial) {
    store<u16>(field, replaced_by_diff(sum, diff));
    if (skb_ip_summed(skb) == checksum_complete && pseudo && !ipv6) skb.csum = ~csum_sub(diff, skb.csum);
  } else if (pseudo) {
    store<u16>(field, complement(fold(csum_add(diff, unfold(sum)))));
  }
}

u64 l4_csum_replace(u64 context, u64 offset, u64 from, u64 to, u64 flags, RunContext*) {
  constexpr u16 mangled_0 = 0xffff;  // CSUM_MANGLED_0
  Skb& skb = skb_of(context);
  if ((flags & ~(mark_mangled_0 | mark_enforce | pseudo_hdr | f_ipv6 | field_mask)) != 0)
    return error_result(EINVAL);
  std::byte* field = checksum_field(skb, low(offset));
  if (field == nullptr) return error_result(EFAULT);
  const bool pseudo = (flags & pseudo_hdr) != 0;
  const bool none_is_zero = (flags & mark_mangled_0) != 0;
  if (none_is_zero && (flags & mark_enforce) == 0 && load<u16>(field) == 0) return 0;
  switch (flags & field_mask) {
    case 0:
      if (from != 0) return error_result(EINVAL);
      replace_by_diff(skb.buf, field, low(to), pseudo, (flags & f_ipv6) != 0);
      break;
    case 2:
      replace4(skb.buf, field, static_cast<u16>(from), static_cast<u16>(to), pseudo);
      break;
    case 4:
      replace4(skb.buf, field, low(from), low(to), pseudo);
      break;
    default:
      return error_result(EINVAL);
  }
  if (none_is_zero && load<u16>(field) == 0) store<u16>(field, mangled_0);
  return 0;
}

u64 csum_update(u64 context, u64 sum, u64, u64, u64, RunContext*) {
  SkBuff& skb = skb_of(context).buf;
  if (skb_ip_summed(skb) != checksum_complete) return error_result(enotsupp);
  skb.csum = csum_add(skb.csum, low(sum));
  return skb.csum;
}

/// How many checksums the hardware has seen to be right (skb->csum_level).
u64 csum_level(u64 context, u64 level, u64, u64, u64, RunContext*) {
  enum : u64 { query, inc, dec, reset };
  constexpr u8 level_max = 3;
  SkBuff& skb = skb_of(context).buf;
  const bool unnecessary = skb_ip_summed(skb) == checksum_unnecessary;
  const auto have = static_cast<u8>(skb.time_bits >> progs::skb_csum_level_shift);
  const auto set = [&](u8 value) {
    skb.time_bits = static_cast<u8>((skb.time_bits & 0x3f) | (value << progs::skb_csum_level_shift));
  };
  switch (level) {
    case query:
      return unnecessary ? u64{have} : error_result(EACCES);
    case inc:
      if (!unnecessary) {
        if (skb_ip_summed(skb) == checksum_none) {
          skb_set_ip_summed(skb, checksum_unnecessary);
          set(0);
        }
      } else if (have < level_max) {
        set(static_cast<u8>(have + 1));
      }
      return 0;
    case dec:
      if (!unnecessary) return 0;
      if (have == 0)
        skb_set_ip_summed(skb, checksum_none);
      else
        set(static_cast<u8>(have - 1));
      return 0;
    case reset:
      if (unnecessary) {
        skb_set_ip_summed(skb, checksum_none);
        set(0);
      }
      return 0;
    default:
      return error_result(EINVAL);
  }
}

constexpr HelperRow rows[] = {
    {9, skb_store_bytes},
    {10, l3_csum_replace},
    {11, l4_csum_replace},
    {26, skb_load_bytes},
    {26, flow_dissector_load_bytes, ProgType::flow_dissector},
    {39, skb_pull_data},
    {40, csum_update},
    {68, skb_load_bytes_relative},
    {135, csum_level},
};

}  // namespace

u64 skb_read(const Skb& skb, u32 offset, std::byte* to, u32 len) {
  if (u64{offset} + len > skb.buf.len) {
    std::memset(to, 0, len);
    return error_result(EFAULT);
  }
  std::memcpy(to, skb.buf.data + offset, len);
  return 0;
}

u64 skb_write(Skb& skb, u32 offset, const std::byte* from, u32 len, u64 flags) {
  if ((flags & ~(recompute_csum | invalidate_hash)) != 0) return error_result(EINVAL);
  if (offset > u32{std::numeric_limits<s32>::max()}) return error_result(EFAULT);
  if (!make_writable(skb, u64{offset} + len)) return error_result(EFAULT);
  std::byte* at = skb.buf.data + offset;
  if ((flags & recompute_csum) != 0) skb_postpull_rcsum(skb.buf, {at, len});
  std::memmove(at, from, len);
  if ((flags & recompute_csum) != 0) skb_postpush_rcsum(skb.buf, {at, len});
  if ((flags & invalidate_hash) != 0) skb_clear_hash(skb.buf);
  return 0;
}

std::span<const HelperRow> skb_bytes_family() { return rows; }

}  // namespace skep::helpers
