// Batch operations of bpf(2) (generic_map_lookup_batch() and its siblings of kernel/bpf/syscall.c). Hashes
// bring their own walk, by buckets.
#include <fmt/format.h>

#include "maps/map.hpp"

namespace skep::maps {
namespace {

std::unexpected<Error> no_batch(const MapFacts& facts, std::string_view operation) {
  return fail(kENOTSUPP,
              fmt::format("map {}: {} maps have no {}", facts.id, map_type_name(facts.type), operation));
}

bool holds(std::size_t bytes, u32 count, u64 element) { return u64{bytes} >= u64{count} * element; }

}  // namespace

Result<BatchResult> Map::user_lookup_batch(ByteView in_batch, MutBytes out_batch, MutBytes keys,
                                           MutBytes values, u32 max_count, u64 elem_flags, bool and_delete) {
  std::unique_lock<std::mutex> writing(control_->freeze_mutex, std::defer_lock);
  if (and_delete) writing.lock();
  if (!may_read() || (and_delete && !may_write()))
    return fail(EPERM, "batch lookup is not permitted by the map");
  if (!has_batch(and_delete ? Batch::lookup_and_delete : Batch::lookup))
    return no_batch(facts_, and_delete ? "lookup_and_delete batch" : "lookup batch");
  if ((elem_flags & ~uapi::LOCK) != 0) return fail(EINVAL, "batch lookup: unknown elem_flags");
  if (auto ok = check_lock_flag(elem_flags); !ok) return std::unexpected(std::move(ok).error());
  if (!holds(keys.size(), max_count, facts_.key_size) || !holds(values.size(), max_count, user_value_size()))
    return fail(EFAULT, "batch lookup: the key or value buffer is too small for the count");
  if (max_count == 0) return BatchResult{};
  return walk_batch(in_batch, out_batch, keys, values, max_count, and_delete);
}

Result<BatchResult> Map::walk_batch(ByteView in_batch, MutBytes out_batch, MutBytes keys, MutBytes values,
                                    u32 max_count, bool) {
  const u32 key_size = facts_.key_size;
  const u32 value_size = user_value_size();
  if ((!in_batch.empty() && in_batch.size() < key_size) || out_batch.size() < key_size)
    return fail(EFAULT, "batch lookup: the position has the key's size");
  std::vector<std::byte> previous(in_batch.begin(), in_batch.begin() + (in_batch.empty() ? 0 : key_size));
  std::vector<std::byte> key(key_size);
  BatchResult result;
  while (result.count < max_count) {
    if (next_key(previous.empty() ? nullptr : previous.data(), key.data()) != 0) {
      result.end = true;
      break;
    }
    previous = key;
    const int error = copy_out(key.data(), values.data() + u64{result.count} * value_size);
    if (error == -ENOENT) continue;  // gone since
    if (error != 0) return failed(error, "batch lookup");
    std::memcpy(keys.data() + u64{result.count} * key_size, key.data(), key_size);
    ++result.count;
  }
  if (!previous.empty()) std::memcpy(out_batch.data(), previous.data(), key_size);
  return result;
}

Result<void> Map::user_update_batch(ByteView keys, ByteView values, u32 count, u64 elem_flags, u32& done) {
  done = 0;
  const std::lock_guard writing(control_->freeze_mutex);
  if (!may_write()) return fail(EPERM, "batch update is not permitted: the map's flags, or it is frozen");
  if (!has_batch(Batch::update)) return no_batch(facts_, "update batch");
  if ((elem_flags & ~uapi::LOCK) != 0) return fail(EINVAL, "batch update: unknown elem_flags");
  if (auto ok = check_lock_flag(elem_flags); !ok) return std::unexpected(std::move(ok).error());
  const u32 value_size = user_value_size();
  if (!holds(keys.size(), count, facts_.key_size) || !holds(values.size(), count, value_size))
    return fail(EFAULT, "batch update: the key or value buffer is too small for the count");
  for (u32 i = 0; i < count; ++i, ++done) {
    const int error =
        copy_in(keys.data() + u64{i} * facts_.key_size, values.data() + u64{i} * value_size, elem_flags);
    if (error != 0) return failed(error, fmt::format("batch update, element {}", i));
  }
  return {};
}

Result<void> Map::user_delete_batch(ByteView keys, u32 count, u32& done) {
  done = 0;
  const std::lock_guard writing(control_->freeze_mutex);
  if (!may_write()) return fail(EPERM, "batch delete is not permitted: the map's flags, or it is frozen");
  if (!has_batch(Batch::remove)) return no_batch(facts_, "delete batch");
  if (!holds(keys.size(), count, facts_.key_size))
    return fail(EFAULT, "batch delete: the key buffer is too small for the count");
  for (u32 i = 0; i < count; ++i, ++done)
    if (const int error = remove(keys.data() + u64{i} * facts_.key_size); error != 0)
      return failed(error, fmt::format("batch delete, element {}", i));
  return {};
}

}  // namespace skep::maps
