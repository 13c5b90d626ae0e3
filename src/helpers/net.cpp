// Helpers on network data that several program types share (net/core/filter.c).
#include <array>
#include <cerrno>

#include "helpers/checksum.hpp"
#include "helpers/families.hpp"

namespace skep::helpers {
namespace {

/// bpf_csum_diff(): what to add to a checksum when `from` becomes `to`, folded to 16 bits as since 6.13.
u64 csum_diff(u64 from, u64 from_size, u64 to, u64 to_size, u64 seed64, RunContext*) {
  const u32 removed = static_cast<u32>(from_size);
  const u32 added = static_cast<u32>(to_size);
  u32 sum = static_cast<u32>(seed64);
  if (((removed | added) & 3) != 0) return error_result(EINVAL);
  const ByteView old_bytes(pointer<const std::byte>(from), removed);
  const ByteView new_bytes(pointer<const std::byte>(to), added);
  if (removed != 0 && added != 0)
    sum = csum_add(csum_partial(new_bytes, sum), ~csum_partial(old_bytes, 0));
  else if (added != 0)
    sum = csum_partial(new_bytes, sum);
  else if (removed != 0)
    sum = ~csum_partial(old_bytes, ~sum);
  return csum_fold_to_16(sum);
}

constexpr HelperRow rows[] = {
    {28, csum_diff},
};

}  // namespace

std::span<const HelperRow> net_family() { return rows; }

}  // namespace skep::helpers
