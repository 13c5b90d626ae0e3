// Objects that programs allocate (bpf_obj_new()), and what values own: kernel pointers, lists, trees. Their
// memory is zeroed, and given back a grace period after the last owner let go
// (kernel: kernel/bpf/helpers.c, bpf_obj_free_fields()).
#pragma once
#include "btf/object_type.hpp"
#include "maps/percpu.hpp"

namespace skep::maps {

/// A zeroed object of `size` bytes with its fields made ready (counted once, nodes in no list); nullptr: no
/// memory. `type`: nullptr if it has no special fields; it lives as long as the object.
[[nodiscard]] std::byte* new_object(u64 size, const btf::ObjectType* type) noexcept;
/// A word that holds CPU 0's address of `size` zeroed bytes for each CPU; nullptr: no memory. `area` outlives
/// it.
[[nodiscard]] std::byte* new_percpu_object(u64 size, PercpuArea& area) noexcept;
/// One owner less; the last one lets go of what the object owns, and of its memory after a grace period.
void drop_object(std::byte* object) noexcept;
/// One owner more, unless there is none any more: false (refcount_inc_not_zero()).
[[nodiscard]] bool acquire_object(std::byte* object, const btf::ObjectType& type) noexcept;

/// What a bpf_timer or bpf_wq in a value holds, at its start.
class AsyncField {
 public:
  /// The field is empty now: nothing may run any more that has not begun, and the memory goes when it may.
  virtual void release() noexcept = 0;

 protected:
  AsyncField() = default;
  ~AsyncField() = default;
  AsyncField(const AsyncField&) = default;
  AsyncField& operator=(const AsyncField&) = default;
};
/// Of what free_fields() does, timers and work queues alone (bpf_obj_free_timer(), bpf_obj_free_workqueue()).
void free_async_fields(const btf::Record& record, std::byte* value) noexcept;

/// Lets go of everything that a value owns, and leaves its fields empty; locks keep their state
/// (bpf_obj_free_fields()).
void free_fields(const btf::ObjectType& type, std::byte* value) noexcept;

/// How many objects there are, those included that wait for readers. For tests.
[[nodiscard]] u64 live_objects() noexcept;

}  // namespace skep::maps
