// See objects.hpp.
#include "maps/objects.hpp"

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>

#include "base/bytes.hpp"
#include "base/rcu.hpp"
#include "maps/object_graph.hpp"
#include "maps/value_fields.hpp"

namespace skep::maps {
namespace {

std::atomic<u64> live{0};  // NOLINT: a statistic of the process

/// Before each object.
struct Header {
  Header* next = nullptr;                 ///< in a Release
  const btf::ObjectType* type = nullptr;  ///< nullptr: no special fields
  std::shared_ptr<const btf::ObjectTypes> keeps_type;
  PercpuArea* area = nullptr;  ///< of a per-CPU object
  u64 size = 0;
};
static_assert(sizeof(Header) % 16 == 0, "objects are aligned as malloc's memory is");

std::byte* object_of(Header* header) { return reinterpret_cast<std::byte*>(header + 1); }
Header* header_of(std::byte* object) { return reinterpret_cast<Header*>(object) - 1; }

Header* allocate(u64 size) {
  void* memory = std::calloc(1, sizeof(Header) + std::max<u64>(size, 1));
  if (memory == nullptr) return nullptr;
  live.fetch_add(1, std::memory_order_relaxed);
  return new (memory) Header;
}

/// After the grace period.
void free_object(void* what) {
  auto* header = static_cast<Header*>(what);
  if (header->area != nullptr) header->area->release(load<std::byte*>(object_of(header)), header->size);
  live.fetch_sub(1, std::memory_order_relaxed);
  std::destroy_at(header);
  std::free(header);
}

void release_async(std::byte* field) {
  auto* held = std::atomic_ref<AsyncField*>(*reinterpret_cast<AsyncField**>(field))
                   .exchange(nullptr, std::memory_order_acq_rel);
  if (held != nullptr) held->release();
}

template <class T>
T& field_at(std::byte* value, const btf::Field& field) {
  return *reinterpret_cast<T*>(value + field.offset);
}

/// Lets go of values and of what they own in turn: a list in place of recursion, as objects may own each
/// other to any depth.
class Release {
 public:
  Release() = default;
  Release(const Release&) = delete;
  Release& operator=(const Release&) = delete;
  ~Release() {
    while (pending_ != nullptr) {
      Header* header = std::exchange(pending_, pending_->next);
      if (header->type != nullptr) value(*header->type, object_of(header));
      rcu::defer(header, free_object);
    }
  }

  void object(std::byte* object) {
    Header* header = header_of(object);
    const btf::ObjectType* type = header->type;
    if (type != nullptr && type->record.refcount_off >= 0) {
      const std::atomic_ref<u32> count(*reinterpret_cast<u32*>(object + type->record.refcount_off));
      if (count.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    }
    header->next = std::exchange(pending_, header);
  }

  void value(const btf::ObjectType& type, std::byte* value) {
    for (std::size_t i = 0; i < type.record.fields.size(); ++i) field(type, i, value);
  }

 private:
  void field(const btf::ObjectType& type, std::size_t i, std::byte* value) {
    using btf::FieldKind;
    const btf::Field& field = type.record.fields[i];
    switch (field.kind) {
      case FieldKind::kptr_untrusted:
        std::atomic_ref<u64>(field_at<u64>(value, field)).store(0, std::memory_order_relaxed);
        return;
      case FieldKind::kptr:
      case FieldKind::percpu_kptr: {
        auto* held = reinterpret_cast<std::byte*>(  // NOLINT: a pointer stands there
            std::atomic_ref<u64>(field_at<u64>(value, field)).exchange(0, std::memory_order_acq_rel));
        if (held == nullptr) return;
        if (type.destructors[i] != nullptr)
          type.destructors[i](held);
        else
          object(held);
        return;
      }
      case FieldKind::timer:
      case FieldKind::workqueue:
        return release_async(value + field.offset);
      case FieldKind::list_head:
        return list(type, i, value);
      case FieldKind::rb_root:
        return tree(type, i, value);
      default:
        return;
    }
  }

  /// The lock beside the root is held while nodes are taken out: others may be at it.
  void list(const btf::ObjectType& type, std::size_t i, std::byte* value) {
    const btf::Field& field = type.record.fields[i];
    auto& head = field_at<ListHead>(value, field);
    const RootLock lock(type.record, value);
    while (ListNode* node = list_pop(head, false))
      object(reinterpret_cast<std::byte*>(node) - field.node_offset);
  }
  void tree(const btf::ObjectType& type, std::size_t i, std::byte* value) {
    const btf::Field& field = type.record.fields[i];
    auto& root = field_at<TreeRoot>(value, field);
    const RootLock lock(type.record, value);
    while (TreeNode* node = tree_take_leaf(root))
      object(reinterpret_cast<std::byte*>(node) - field.node_offset);
  }

  class RootLock {
   public:
    RootLock(const btf::Record& record, std::byte* value)
        : word_(record.spin_lock_off >= 0 ? value + record.spin_lock_off : nullptr) {
      if (word_ != nullptr) lock_word(word_);
    }
    ~RootLock() {
      if (word_ != nullptr) unlock_word(word_);
    }
    RootLock(const RootLock&) = delete;
    RootLock& operator=(const RootLock&) = delete;

   private:
    std::byte* word_;
  };

  Header* pending_ = nullptr;
};

}  // namespace

std::byte* new_object(u64 size, const btf::ObjectType* type) noexcept {
  Header* header = allocate(size);
  if (header == nullptr) return nullptr;
  std::byte* object = object_of(header);
  if (type == nullptr) return object;
  header->type = type;
  header->keeps_type = type->owner->shared_from_this();
  using btf::FieldKind;
  for (const btf::Field& field : type->record.fields) {
    if (field.kind == FieldKind::refcount) field_at<u32>(object, field) = 1;
    if (field.kind == FieldKind::list_head) list_init(field_at<ListHead>(object, field));
    if (field.kind == FieldKind::list_node) list_init(field_at<ListNode>(object, field));
    if (field.kind == FieldKind::rb_node) tree_init(field_at<TreeNode>(object, field));
  }
  return object;
}

std::byte* new_percpu_object(u64 size, PercpuArea& area) noexcept {
  Header* header = allocate(sizeof(std::byte*));
  if (header == nullptr) return nullptr;
  auto bytes = area.allocate(size);
  if (!bytes) {
    free_object(header);
    return nullptr;
  }
  header->area = &area;
  header->size = size;
  store(object_of(header), *bytes);
  return object_of(header);
}

void drop_object(std::byte* object) noexcept { Release().object(object); }

bool acquire_object(std::byte* object, const btf::ObjectType& type) noexcept {
  const std::atomic_ref<u32> count(*reinterpret_cast<u32*>(object + type.record.refcount_off));
  u32 now = count.load(std::memory_order_relaxed);
  while (now != 0)
    if (count.compare_exchange_weak(now, now + 1, std::memory_order_relaxed)) return true;
  return false;
}

void free_fields(const btf::ObjectType& type, std::byte* value) noexcept { Release().value(type, value); }

void free_async_fields(const btf::Record& record, std::byte* value) noexcept {
  if (record.timer_off >= 0) release_async(value + record.timer_off);
  if (record.workqueue_off >= 0) release_async(value + record.workqueue_off);
}

u64 live_objects() noexcept { return live.load(std::memory_order_relaxed); }

}  // namespace skep::maps
