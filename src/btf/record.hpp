// The fields of a value that only the kernel may touch: locks, timers, kernel pointers, nodes and roots of
// graphs (kernel: struct btf_record, btf_parse_fields()). Of map values, and of objects that programs
// allocate.
#pragma once
#include "btf/btf.hpp"

namespace skep::btf {

/// One bit each, so that sets of kinds are masks (kernel: enum btf_field_type).
enum class FieldKind : u16 {
  spin_lock = 1 << 0,
  timer = 1 << 1,
  kptr_untrusted = 1 << 2,
  kptr = 1 << 3,
  percpu_kptr = 1 << 4,
  list_head = 1 << 5,
  list_node = 1 << 6,
  rb_root = 1 << 7,
  rb_node = 1 << 8,
  refcount = 1 << 9,
  workqueue = 1 << 10,
  uptr = 1 << 11,
  res_spin_lock = 1 << 12,
  task_work = 1 << 13,
};
constexpr u32 field_bit(FieldKind kind) { return static_cast<u32>(kind); }
inline constexpr u32 kptr_fields = field_bit(FieldKind::kptr_untrusted) | field_bit(FieldKind::kptr) |
                                   field_bit(FieldKind::percpu_kptr) | field_bit(FieldKind::uptr);
inline constexpr u32 graph_roots = field_bit(FieldKind::list_head) | field_bit(FieldKind::rb_root);
inline constexpr u32 graph_nodes = field_bit(FieldKind::list_node) | field_bit(FieldKind::rb_node);
/// What map_check_btf() looks for in a map's value.
inline constexpr u32 map_value_fields = field_bit(FieldKind::spin_lock) |
                                        field_bit(FieldKind::res_spin_lock) | field_bit(FieldKind::timer) |
                                        kptr_fields | graph_roots | field_bit(FieldKind::refcount) |
                                        field_bit(FieldKind::workqueue) | field_bit(FieldKind::task_work);
/// What btf_parse_struct_metas() looks for in a struct that bpf_obj_new() can allocate.
inline constexpr u32 object_fields = field_bit(FieldKind::spin_lock) | field_bit(FieldKind::res_spin_lock) |
                                     graph_roots | graph_nodes | field_bit(FieldKind::refcount) |
                                     (kptr_fields & ~field_bit(FieldKind::uptr));

/// The field's name as messages have it: "bpf_spin_lock", "kptr" (kernel: btf_field_type_name()).
[[nodiscard]] std::string_view field_name(FieldKind kind);

struct Field {
  FieldKind kind{};
  u32 offset = 0;
  u32 size = 0;
  u32 target = 0;       ///< kptr: the struct pointed to; list_head, rb_root: the struct of its nodes
  u32 node_offset = 0;  ///< list_head, rb_root: where the node stands in that struct
};

struct Record {
  std::vector<Field> fields;  ///< by offset
  u32 kinds = 0;              ///< mask
  s32 spin_lock_off = -1, res_spin_lock_off = -1, timer_off = -1, workqueue_off = -1, refcount_off = -1,
      task_work_off = -1;

  [[nodiscard]] bool has(FieldKind kind) const { return (kinds & field_bit(kind)) != 0; }
  [[nodiscard]] bool has_any(u32 mask) const { return (kinds & mask) != 0; }
  /// The field of one of `kinds_wanted` that starts at `offset`, or nullptr.
  [[nodiscard]] const Field* find(u32 offset, u32 kinds_wanted) const;
};

/// The fields of the kinds `mask` in a value of `size` bytes whose type is a struct or a datasec; any other
/// type has none. E2BIG: one that may occur once occurs twice, or there are more than 11; EINVAL: a tag that
/// means nothing, a root without lock, a list node and a tree node without reference count; EEXIST: overlap.
Result<Record> find_fields(const Btf& btf, u32 type, u32 mask, u32 size);

}  // namespace skep::btf
