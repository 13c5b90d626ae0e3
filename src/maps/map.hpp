// A map: what programs and bpf(2) do with it. Programs call lookup/update/remove (no exceptions, no blocking;
// lookups take no lock) under an rcu::Reader; user-side operations have bpf(2)'s rules about lengths, flags,
// access and freezing. One file a type; registry.cpp lists them.
#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "kernel/kernel.hpp"
#include "maps/facts.hpp"
#include "maps/objects.hpp"
#include "maps/percpu.hpp"

namespace skep::maps {

class Map;
/// Shared by handles, pins and the programs that use the map; the map goes with the last one.
using MapRef = std::shared_ptr<Map>;

struct ProgramRef;

/// What the descriptors in specs and values mean. Implemented by the runtime; outlives every map. EBADF: no
/// such descriptor; EINVAL: it is of another kind.
class Objects {
 public:
  virtual Result<MapRef> map(int fd) = 0;
  virtual Result<std::shared_ptr<const ProgramRef>> program(int fd) = 0;

 protected:
  ~Objects() = default;
};

/// What creating a map needs besides its spec.
struct Environment {
  PercpuArea* percpu = nullptr;  ///< outlives every map
  Objects* objects = nullptr;    ///< nullptr: descriptors mean nothing (EBADF)
};

class Map : public std::enable_shared_from_this<Map> {
 public:
  Map(const Map&) = delete;
  Map& operator=(const Map&) = delete;
  virtual ~Map();

  [[nodiscard]] const MapFacts& facts() const { return facts_; }
  /// A copy that a freeze at the same time does not tear.
  [[nodiscard]] MapFacts snapshot() const {
    const std::lock_guard lock(control_->freeze_mutex);
    return facts_;
  }
  /// For the runtime, before anybody else sees the map: its id, what its BTF says.
  [[nodiscard]] MapFacts& mutable_facts() { return facts_; }

  /// For create(): the template that the maps in this one equal.
  void set_inner(const Map& inner);

  /// A reference of user space (a descriptor, a pin). When the last of them goes, though programs still use
  /// the map, it lets go of what could refer to those programs (map_release_uref).
  [[nodiscard]] MapRef user_reference();

  [[nodiscard]] bool has_user_references() const {
    return control_->user_references.load(std::memory_order_acquire) != 0;
  }

  /// Lives as long as the map: where the runtime keeps the BTF that describes it.
  std::shared_ptr<const void> companion;

  /// What values own, if anything: set by the runtime before anybody else sees the map, and what it refers to
  /// kept by `companion`.
  virtual void set_value_type(const btf::ObjectType& type) { value_type_ = &type; }

  // From programs. `key` and `value` hold key_size and value_size bytes; `cpu` is RunContext::cpu.

  /// The value of `key` (of this CPU, in per-CPU maps), or nullptr. Valid until the reader is quiescent.
  virtual std::byte* lookup(const std::byte* key, u32 cpu) noexcept;
  /// 0 or a negative errno; EOPNOTSUPP where the verifier lets no program get.
  virtual int update(const std::byte* key, const std::byte* value, u64 flags, u32 cpu) noexcept;
  virtual int remove(const std::byte* key) noexcept;
  /// bpf_map_push_elem() and its siblings: queue, stack, bloom_filter. 0 or a negative errno.
  virtual int push(const std::byte* value, u64 flags) noexcept;
  virtual int pop(std::byte* value) noexcept;
  virtual int peek(std::byte* value) noexcept;
  /// Calls visit(argument, key, value of `cpu`) for each element until it returns non-zero; returns the
  /// number of calls, or a negative errno (bpf_for_each_map_elem()).
  using Visit = u64 (*)(void* argument, const std::byte* key, std::byte* value);
  virtual s64 for_each(Visit visit, void* argument, u32 cpu) noexcept;

  // From bpf(2). Errors carry the errno the kernel gives and say what was wrong.

  /// Bytes of a value as bpf(2) moves it: per-CPU maps possible CPUs x round_up(value_size, 8).
  [[nodiscard]] virtual u32 user_value_size() const { return facts_.value_size; }
  Result<void> user_lookup(ByteView key, MutBytes value, u64 flags);
  Result<void> user_update(ByteView key, ByteView value, u64 flags);
  Result<void> user_delete(ByteView key);
  /// An empty key asks for the first one.
  Result<void> user_next_key(ByteView key, MutBytes next);
  Result<void> user_take(ByteView key, MutBytes value, u64 flags);
  /// As Kernel::map_lookup_batch and its siblings.
  Result<BatchResult> user_lookup_batch(ByteView in_batch, MutBytes out_batch, MutBytes keys, MutBytes values,
                                        u32 max_count, u64 elem_flags, bool and_delete);
  Result<void> user_update_batch(ByteView keys, ByteView values, u32 count, u64 elem_flags, u32& done);
  Result<void> user_delete_batch(ByteView keys, u32 count, u32& done);
  Result<void> freeze();
  /// The memory of an mmapable map: EINVAL for others, EPERM where its flags forbid it.
  virtual Result<MapMemory> memory();
  /// Puts a perf event in a slot of a perf_event_array, as Kernel::map_events(); `spec.cpu` exists. EINVAL
  /// for other types.
  virtual Result<EventRing> events(const EventSpec& spec);

  /// The elements that there are, of types that count them (kernel: map->elem_count); else 0. Exact while
  /// nobody writes.
  [[nodiscard]] virtual s64 element_count() const noexcept { return 0; }

  /// Bytes charged for the map, by the kernel's formulas (ops->map_mem_usage).
  [[nodiscard]] virtual u64 memlock() const = 0;

 protected:
  explicit Map(const MapSpec& spec);

  enum class Batch : u8 { lookup = 1, lookup_and_delete = 2, update = 4, remove = 8 };

  // What a type does for the user side; lengths, access and BPF_F_LOCK are checked before.
  // All return 0 or a negative errno. `key` is nullptr in next_key for the first one.
  virtual int copy_out(const std::byte* key, std::byte* value) noexcept;
  virtual int copy_in(const std::byte* key, const std::byte* value, u64 flags) noexcept;
  virtual int next_key(const std::byte* key, std::byte* next) noexcept;
  virtual int take(const std::byte* key, std::byte* value) noexcept;
  [[nodiscard]] virtual bool has_batch(Batch) const { return false; }
  /// The walk of a lookup batch. The default goes by next_key(), its position is the last key.
  virtual Result<BatchResult> walk_batch(ByteView in_batch, MutBytes out_batch, MutBytes keys,
                                         MutBytes values, u32 max_count, bool and_delete);
  virtual void on_user_release() noexcept {}
  /// Called once, before the map counts as frozen.
  virtual Result<void> on_freeze() { return {}; }

  /// Programs whose callbacks wait in a value's timer keep the map, and the map keeps the timer.
  [[nodiscard]] bool has_async_fields() const {
    return facts_.record.timer_off >= 0 || facts_.record.workqueue_off >= 0;
  }

  /// Lets go of what a value owns that is removed or overwritten.
  void free_value(std::byte* value) const noexcept {
    if (value_type_ != nullptr) free_fields(*value_type_, value);
  }

  MapFacts facts_;
  const btf::ObjectType* value_type_ = nullptr;

 private:
  [[nodiscard]] bool may_read() const;
  [[nodiscard]] bool may_write() const;
  [[nodiscard]] Result<void> check_lock_flag(u64 flags) const;
  [[nodiscard]] std::unexpected<Error> failed(int negative_errno, std::string_view operation) const;

  /// What is needed rarely stands apart: an array's values follow its map at a fixed distance.
  struct Control {
    std::mutex freeze_mutex;
    std::unique_ptr<MapFacts> inner;  ///< facts().inner
    std::shared_ptr<const void> inner_companion;
    std::atomic<u32> user_references{0};
  };
  std::unique_ptr<Control> control_ = std::make_unique<Control>();
  std::atomic<bool> frozen_{false};
};

/// BPF_MAP_CREATE: checks the spec by its type's rules and makes the map, without an id. EINVAL for numbers
/// that are no map type; ENOTSUPP's neighbour EINVAL, with the type's name, for those skep does not have.
[[nodiscard]] Result<MapRef> create(const MapSpec& spec, const Environment& environment);

}  // namespace skep::maps
