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

/// htab_map_mem_usage()
u64 HashMap::memlock() const {
  constexpr u64 kernels_bucket = 16;
  const u64 cpus = area_.cpus();
  const u64 n = facts_.max_entries;
  const u64 percpu_values = percpu() ? cpus * round_up8(facts_.value_size) : 0;
  const u64 element = value_offset() + (percpu() ? sizeof(void*) : round_up8(facts_.value_size));
  u64 bytes = sizeof_bpf_htab + kernels_bucket * std::bit_ceil(n);
  if ((facts_.flags & uapi::F_NO_PREALLOC) != 0)
    return bytes + count_.load(std::memory_order_relaxed) * (element + percpu_values);
  bytes += n * (element + percpu_values);
  if (percpu() || lru_ != nullptr) return bytes;
  if (!of_maps()) bytes += cpus * element;  // the spare element of each CPU
  return bytes + cpus * sizeof(void*);
}

void HashMap::read_value(Element* element, std::byte* value) const {
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
  const u32 hash = hash_of(key);
  Element* element = find(bucket(hash), hash, key).element;
  if (element == nullptr) return -ENOENT;
  read_value(element, value);
  return 0;
}

int HashMap::copy_in(const std::byte* key, const std::byte* value, u64 flags) noexcept {
  const int here = lru_ != nullptr ? ::sched_getcpu() : 0;
  const rcu::Reader reader;  // for its lane of free elements
  return insert_or_replace<0>(key, value, flags, {true, static_cast<u32>(std::max(0, here)) % area_.cpus()});
}

int HashMap::next_key(const std::byte* key, std::byte* next) noexcept {
  const rcu::Reader reader;
  u32 index = 0;
  Element* element = nullptr;
  if (key != nullptr) {
    const u32 hash = hash_of(key);
    element = find(bucket(hash), hash, key).element;
    if (element != nullptr) {  // an unknown key asks for the first one
      index = (hash & (bucket_count_ - 1)) + 1;
      element = element->next.load(std::memory_order_acquire);
    }
  }
  for (; element == nullptr && index < bucket_count_; ++index) element = buckets()[index].first();
  if (element == nullptr) return -ENOENT;
  std::memcpy(next, key_of(element), facts_.key_size);
  return 0;
}

/// Copies one bucket whole, from element `at` of the caller's buffers on. ENOSPC: it does not fit.
Result<u32> HashMap::copy_bucket(u32 index, MutBytes keys, MutBytes values, u32 at, u32 max_count,
                                 bool and_delete) {
  Bucket& in = buckets()[index];
  const rcu::Reader reader;
  u32 in_bucket = 0;
  for (const Element* e = in.first(); e != nullptr; e = e->next.load(std::memory_order_acquire)) ++in_bucket;
  if (in_bucket > max_count - at)
    return fail(ENOSPC, fmt::format("bucket {} has {} elements", index, in_bucket));
  u32 done = 0;
  Element* next = nullptr;
  for (Element* e = in.first(); e != nullptr && at + done < max_count; e = next) {
    if (&bucket(e->hash.load(std::memory_order_relaxed)) != &in) break;  // an LRU's, gone elsewhere
    next = e->next.load(std::memory_order_acquire);
    std::byte* key = keys.data() + u64{at + done} * facts_.key_size;
    std::byte* value = values.data() + u64{at + done} * user_value_size();
    std::memcpy(key, key_of(e), facts_.key_size);
    read_value(e, value);
    if (and_delete && take(key, value) != 0) continue;  // somebody else was faster
    ++done;
  }
  return done;
}

Result<BatchResult> HashMap::walk_batch(ByteView in_batch, MutBytes out_batch, MutBytes keys, MutBytes values,
                                        u32 max_count, bool and_delete) {
  if ((!in_batch.empty() && in_batch.size() < 4) || out_batch.size() < 4)
    return fail(EFAULT, "batch lookup: the position takes 4 bytes");
  u32 index = in_batch.empty() ? 0 : load<u32>(in_batch.data());
  if (index >= bucket_count_) return fail(ENOENT, "batch lookup: the position is past the end");
  BatchResult result;
  for (; index < bucket_count_; ++index) {
    auto done = copy_bucket(index, keys, values, result.count, max_count, and_delete);
    if (!done && result.count == 0) return std::unexpected(std::move(done).error());
    if (!done) break;
    result.count += *done;
  }
  result.end = index == bucket_count_;
  store(out_batch.data(), index);
  return result;
}

}  // namespace skep::maps
