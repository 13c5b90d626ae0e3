// Writes to a hash map by the thread that has it for itself (writer_gate.hpp), where values are bytes and
// nothing else: nearly all there are. The same steps as in hash.cpp, of which only those are here that such a
// write needs, in one piece: what an operation costs is how many instructions stand between its accesses to
// memory and those of the next one. Part of hash.cpp.
#pragma once
#include "maps/hash.hpp"

namespace skep::maps {

/// The record of a key in the element: both, the value where it belongs.
template <u32 key_size>
[[gnu::always_inline]] inline void HashMap::write_record(u32 element, const std::byte* key,
                                                         const std::byte* value) const {
  const u32 size = key_size != 0 ? key_size : facts_.key_size;
  std::byte* record = key_of(element);
  store_value(record, key, size);
  std::byte* to = record + round_up8(size);
  if (facts_.value_size == 8)
    store_value(to, value, 8);
  else
    store_value(to, value, facts_.value_size);
}

template <u32 key_size>
int HashMap::update_own(const std::byte* key, const std::byte* value, u64 flags, u32 cpu) noexcept {
  const OwnWrites which = own_writes_.load(std::memory_order_relaxed);
  if (which < OwnWrites::plain || flags > uapi::EXIST) return elsewhere;
  const WriterGate::Own own(writers_);
  if (!own) return elsewhere;
  return which == OwnWrites::lru ? update_own_lru<key_size>(key, value, flags, cpu)
                                 : update_own_plain<key_size>(key, value, flags, own.slot());
}

template <u32 key_size>
[[gnu::always_inline]] inline int HashMap::update_own_plain(const std::byte* key, const std::byte* value,
                                                            u64 flags, u32 slot) noexcept {
  ElementPool::Lane* lane = pool_->lane_if_any(slot);
  if (lane == nullptr || lane->free_count == 0) return elsewhere;
  const u32 hash = hash_of<key_size>(key);
  Bucket& first = first_of(hash);
  const Place place = search<key_size, false>(first, hash, key);
  const bool exists = place.element != none;
  if (const int error = check_update(exists, flags); error != 0) return error;
  const u32 free = exists ? 0 : first.tags().match(0);
  if (!exists && (free == 0 || !pool_->take_room(*lane))) return elsewhere;

  const u32 fresh = pool_->allocate(*lane);
  write_record<key_size>(fresh, key, value);
  if (exists) {
    place.bucket->set_element(place.way, fresh);
    pool_->retire(*lane, place.element);
  } else {
    BucketTable::put({&first, static_cast<u32>(std::countr_zero(free))}, fresh, Bucket::tag_of(hash));
  }
  return 0;
}

/// First an element, then the key is looked for: taking unlinks others.
template <u32 key_size>
[[gnu::always_inline]] inline int HashMap::update_own_lru(const std::byte* key, const std::byte* value,
                                                          u64 flags, u32 cpu) noexcept {
  const u32 hash = hash_of<key_size>(key);
  Bucket& first = first_of(hash);
  __builtin_prefetch(&first, 1);
  const u32 fresh = lru_->take(cpu, true);
  if (fresh == none) return -ENOMEM;
  node(fresh).hash.store(hash, std::memory_order_relaxed);
  write_record<key_size>(fresh, key, value);
  const Place place = search<key_size, false>(first, hash, key);
  const bool exists = place.element != none;
  int error = check_update(exists, flags);
  if (error == 0 && !exists) {
    const Way at = table_->free_way(first);
    if (at)
      BucketTable::put(at, fresh, Bucket::tag_of(hash));
    else
      error = -ENOMEM;
  }
  if (error == 0 && exists) {
    place.bucket->set_element(place.way, fresh);
    lru_->give_back(place.element, true);
  }
  if (error != 0) lru_->give_back(fresh, true);
  return error;
}

template <u32 key_size>
int HashMap::remove_own(const std::byte* key) noexcept {
  if (own_writes_.load(std::memory_order_relaxed) != OwnWrites::plain) return elsewhere;
  const WriterGate::Own own(writers_);
  ElementPool::Lane* lane = own ? pool_->lane_if_any(own.slot()) : nullptr;
  if (lane == nullptr) return elsewhere;
  const u32 hash = hash_of<key_size>(key);
  Bucket& first = first_of(hash);
  const Place place = search<key_size, false>(first, hash, key);
  if (place.element == none) return -ENOENT;
  table_->clear(first, {place.bucket, place.way});
  pool_->give_room(*lane);
  pool_->retire(*lane, place.element);
  return 0;
}

}  // namespace skep::maps
