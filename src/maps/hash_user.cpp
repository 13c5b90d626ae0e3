// The hash maps as bpf(2) sees them: values for all CPUs, iteration, batches by bucket, memlock.
#include <fmt/format.h>
#include <sched.h>

#include <bit>

#include "base/rcu.hpp"
#include "maps/hash.hpp"
#include "maps/types.hpp"
#include "maps/value_fields.hpp"

namespace skep::maps {

u32 HashMap::user_value_size() const {
  return percpu() ? static_cast<u32>(area_.cpus() * round_up8(facts_.value_size)) : facts_.value_size;
}

s64 HashMap::element_count() const noexcept {
  if (lru_ == nullptr) return static_cast<s64>(pool_->count());
  const rcu::Reader reader;
  s64 count = 0;
  for (u32 index = 0; index < table_->count(); ++index)
    for (const Bucket* bucket = &table_->at(index);;) {
      const Bucket::Tags tags = bucket->tags();
      count += std::popcount(~tags.match(0) & Bucket::all_ways);
      if (tags.next() == 0) break;
      bucket = &table_->at(tags.next());
    }
  return count;
}

/// htab_map_mem_usage()
u64 HashMap::memlock() const {
  constexpr u64 kernels_bucket = 16;
  const u64 cpus = area_.cpus();
  const u64 n = facts_.max_entries;
  const u64 percpu_values = percpu() ? cpus * round_up8(facts_.value_size) : 0;
  const u64 element =
      hash_elem_header + value_distance() + (percpu() ? sizeof(void*) : round_up8(facts_.value_size));
  u64 bytes = sizeof_bpf_htab + kernels_bucket * std::bit_ceil(n);
  if ((facts_.flags & uapi::F_NO_PREALLOC) != 0) return bytes + pool_->count() * (element + percpu_values);
  bytes += n * (element + percpu_values);
  if (percpu() || lru_ != nullptr) return bytes;
  if (!of_maps()) bytes += cpus * element;  // the spare element of each CPU
  return bytes + cpus * sizeof(void*);
}

void HashMap::read_value(u32 element, std::byte* value) const {
  if (of_maps())
    return store(value, reinterpret_cast<const InnerMap*>(value_of(element))->address->facts().id);
  if (!percpu()) {
    load_value(value, value_of(element), facts_.value_size);
    return clear_special_fields(facts_.record, value, facts_.value_size);
  }
  const u64 slot = round_up8(facts_.value_size);
  for (u32 cpu = 0; cpu < area_.cpus(); ++cpu, value += slot)
    load_value(value, percpu_value(element) + area_.offset_of(cpu), slot);
}

int HashMap::copy_out(const std::byte* key, std::byte* value) noexcept {
  const rcu::Reader reader;
  const u32 element = find(hash_of(key), key).element;
  if (element == none) return -ENOENT;
  read_value(element, value);
  return 0;
}

int HashMap::copy_in(const std::byte* key, const std::byte* value, u64 flags) noexcept {
  const int here = lru_ != nullptr ? ::sched_getcpu() : 0;
  const rcu::Reader reader;  // for its lane of free elements
  return insert_or_replace<0>(key, value, flags, {true, static_cast<u32>(std::max(0, here)) % area_.cpus()});
}

u32 HashMap::first_from(const Bucket* bucket, u32 way) const {
  for (;; way = 0) {
    const Bucket::Tags tags = bucket->tags();
    const u32 ways = ~tags.match(0) & Bucket::all_ways & (~0u << way);
    if (ways != 0) return bucket->element(static_cast<u32>(std::countr_zero(ways)));
    if (tags.next() == 0) return none;
    bucket = &table_->at(tags.next());
  }
}

int HashMap::next_key(const std::byte* key, std::byte* next) noexcept {
  const rcu::Reader reader;
  u32 index = 0;
  u32 element = none;
  if (key != nullptr) {
    const u32 hash = hash_of(key);
    const Place place = find(hash, key);
    if (place.element != none) {  // an unknown key asks for the first one
      index = table_->index_of(hash) + 1;
      element = first_from(place.bucket, place.way + 1);
    }
  }
  for (; element == none && index < table_->count(); ++index) element = first_from(&table_->at(index), 0);
  if (element == none) return -ENOENT;
  load_value(next, key_of(element), facts_.key_size);
  return 0;
}

/// Copies one bucket whole, from element `at` of the caller's buffers on. ENOSPC: it does not fit.
Result<u32> HashMap::copy_bucket(u32 index, MutBytes keys, MutBytes values, u32 at, u32 max_count,
                                 bool and_delete) {
  const rcu::Reader reader;
  u32 in_bucket = 0;
  each_in(index, [&](u32) {
    ++in_bucket;
    return true;
  });
  if (in_bucket > max_count - at)
    return fail(ENOSPC, fmt::format("bucket {} has {} elements", index, in_bucket));
  u32 done = 0;
  each_in(index, [&](u32 element) {
    if (at + done == max_count) return false;
    std::byte* key = keys.data() + u64{at + done} * facts_.key_size;
    std::byte* value = values.data() + u64{at + done} * user_value_size();
    load_value(key, key_of(element), facts_.key_size);
    read_value(element, value);
    if (and_delete && take(key, value) != 0) return true;  // somebody else was faster
    ++done;
    return true;
  });
  return done;
}

Result<BatchResult> HashMap::walk_batch(ByteView in_batch, MutBytes out_batch, MutBytes keys, MutBytes values,
                                        u32 max_count, bool and_delete) {
  if ((!in_batch.empty() && in_batch.size() < 4) || out_batch.size() < 4)
    return fail(EFAULT, "batch lookup: the position takes 4 bytes");
  u32 index = in_batch.empty() ? 0 : load<u32>(in_batch.data());
  if (index >= table_->count()) return fail(ENOENT, "batch lookup: the position is past the end");
  BatchResult result;
  for (; index < table_->count(); ++index) {
    auto done = copy_bucket(index, keys, values, result.count, max_count, and_delete);
    if (!done && result.count == 0) return std::unexpected(std::move(done).error());
    if (!done) break;
    result.count += *done;
  }
  result.end = index == table_->count();
  store(out_batch.data(), index);
  return result;
}

}  // namespace skep::maps
