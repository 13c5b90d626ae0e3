// Values with special fields (bpf_spin_lock, bpf_timer, kptr): copies leave those alone, and BPF_F_LOCK takes
// the value's lock (copy_map_value(), copy_map_value_locked() of include/linux/bpf.h).
#pragma once
#include <algorithm>

#include "btf/record.hpp"
#include "kernel/uapi.hpp"
#include "maps/spin.hpp"
#include "maps/value_copy.hpp"

namespace skep::maps {

/// bpf_spin_lock(): the lock that stands in a value.
inline void lock_word(std::byte* word) noexcept {
  const std::atomic_ref<u32> lock(*reinterpret_cast<u32*>(word));
  for (Backoff backoff; lock.exchange(1, std::memory_order_acquire) != 0;) backoff.wait();
}
inline void unlock_word(std::byte* word) noexcept {
  std::atomic_ref<u32>(*reinterpret_cast<u32*>(word)).store(0, std::memory_order_release);
}

/// Holds a value's lock where the flags ask for it.
class ValueLock {
 public:
  ValueLock(const btf::Record& record, std::byte* value, u64 flags)
      : word_((flags & uapi::LOCK) != 0 && record.spin_lock_off >= 0 ? value + record.spin_lock_off
                                                                     : nullptr) {
    if (word_ != nullptr) lock_word(word_);
  }
  ~ValueLock() {
    if (word_ != nullptr) unlock_word(word_);
  }
  ValueLock(const ValueLock&) = delete;
  ValueLock& operator=(const ValueLock&) = delete;

 private:
  std::byte* word_;
};

/// Into a shared value, all but its special fields.
inline void store_plain_fields(const btf::Record& record, std::byte* to, const std::byte* from, u64 size) {
  if (record.fields.empty()) return store_value(to, from, size);
  u64 at = 0;
  const auto copy_to = [&](u64 end) {
    for (; at < end; ++at) std::atomic_ref<std::byte>(to[at]).store(from[at], std::memory_order_relaxed);
  };
  for (const btf::Field& field : record.fields) {
    copy_to(std::min<u64>(field.offset, size));
    at = std::max<u64>(at, field.offset + field.size);
  }
  copy_to(size);
}

/// What user space sees of special fields: zeros.
inline void clear_special_fields(const btf::Record& record, std::byte* value, u64 size) {
  for (const btf::Field& field : record.fields)
    if (u64{field.offset} + field.size <= size) std::memset(value + field.offset, 0, field.size);
}

}  // namespace skep::maps
