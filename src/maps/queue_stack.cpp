// queue and stack: a ring of one slot more than max_entries, under one lock (kernel/bpf/queue_stack_maps.c).
#include <sys/mman.h>

#include <mutex>

#include "maps/checks.hpp"

namespace skep::maps {
namespace {

class QueueStackMap final : public Map {
 public:
  QueueStackMap(const MapSpec& spec, Mapping slots)
      : Map(spec), slots_(std::move(slots)), size_(spec.max_entries + 1) {}

  /// BPF_EXIST on a full map drops the oldest.
  int push(const std::byte* value, u64 flags) noexcept override {
    if ((flags & uapi::NOEXIST) != 0 || flags > uapi::EXIST) return -EINVAL;
    const std::lock_guard lock(mutex_);
    if (next(head_) == tail_) {
      if (flags != uapi::EXIST) return -E2BIG;
      tail_ = next(tail_);
    }
    std::memcpy(slot(head_), value, facts_.value_size);
    head_ = next(head_);
    return 0;
  }
  /// What is not there reads as zeros.
  int pop(std::byte* value) noexcept override { return get(value, true); }
  int peek(std::byte* value) noexcept override { return get(value, false); }
  int update(const std::byte*, const std::byte*, u64, u32) noexcept override { return -EINVAL; }
  int remove(const std::byte*) noexcept override { return -EINVAL; }

  /// queue_stack_map_mem_usage()
  u64 memlock() const override { return 312 + u64{size_} * facts_.value_size; }

 protected:
  int copy_out(const std::byte*, std::byte* value) noexcept override { return peek(value); }
  int copy_in(const std::byte*, const std::byte* value, u64 flags) noexcept override {
    return push(value, flags);
  }
  int take(const std::byte*, std::byte* value) noexcept override { return pop(value); }
  int next_key(const std::byte*, std::byte*) noexcept override { return -EINVAL; }

 private:
  u32 next(u32 at) const { return at + 1 == size_ ? 0 : at + 1; }
  std::byte* slot(u32 at) const { return slots_.data() + u64{at} * facts_.value_size; }
  int get(std::byte* value, bool remove) noexcept {
    const std::lock_guard lock(mutex_);
    if (head_ == tail_) {
      std::memset(value, 0, facts_.value_size);
      return -ENOENT;
    }
    const bool stack = facts_.type == MapType::stack;
    const u32 newest = head_ == 0 ? size_ - 1 : head_ - 1;
    std::memcpy(value, slot(stack ? newest : tail_), facts_.value_size);
    if (remove) (stack ? head_ : tail_) = stack ? newest : next(tail_);
    return 0;
  }

  Mapping slots_;
  u32 size_;
  std::mutex mutex_;
  u32 head_ = 0;  ///< where the next one goes
  u32 tail_ = 0;  ///< the oldest; head_ when there is none
};

Result<void> check(const MapSpec& spec) {
  if (spec.max_entries == 0 || spec.value_size == 0 || spec.key_size != 0)
    return fail(EINVAL, fmt::format("key_size {}, value_size {}, max_entries {}: only the key has no size",
                                    spec.key_size, spec.value_size, spec.max_entries));
  if (auto ok = check_flags(spec, uapi::F_NUMA_NODE | access_mask); !ok) return ok;
  if (spec.value_size > kmalloc_max)
    return fail(E2BIG, fmt::format("value_size {} is too big", spec.value_size));
  return check_memory((u64{spec.max_entries} + 1) * spec.value_size);
}

Result<MapRef> make(const MapSpec& spec, const Environment&) {
  const u64 size = (u64{spec.max_entries} + 1) * spec.value_size;
  auto slots = TRY(Mapping::map(size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
                                0, "elements"));
  return MapRef(std::make_shared<QueueStackMap>(spec, std::move(slots)));
}

}  // namespace

constinit const MapTypeRow queue_row = {MapType::queue, check, make, MapTypeRow::Btf::any};
constinit const MapTypeRow stack_row = {MapType::stack, check, make, MapTypeRow::Btf::any};

}  // namespace skep::maps
