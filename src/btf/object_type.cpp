// See object_type.hpp.
#include "btf/object_type.hpp"

namespace skep::btf {

const ObjectType* ObjectTypes::of_struct(u32 id) {
  id = btf_->skip_modifiers(id);
  for (const Known& known : structs_)
    if (known.id == id) return known.type.get();
  structs_.push_back({id, nullptr});
  const std::size_t at = structs_.size() - 1;
  const Type& type = btf_->type(id);
  if (type.kind != Kind::struct_) return nullptr;
  auto record = find_fields(*btf_, id, object_fields, type.size);
  if (!record || record->kinds == 0) return nullptr;
  auto made = std::make_unique<ObjectType>(type.size, *std::move(record));
  resolve(*made);
  structs_[at].type = std::move(made);
  return structs_[at].type.get();
}

const ObjectType* ObjectTypes::of_value(const Record& record, u32 size) {
  constexpr u32 owning = field_bit(FieldKind::kptr) | field_bit(FieldKind::percpu_kptr) |
                         field_bit(FieldKind::kptr_untrusted) | field_bit(FieldKind::timer) |
                         field_bit(FieldKind::workqueue) | graph_roots;
  if (!record.has_any(owning)) return nullptr;
  values_.push_back(std::make_unique<ObjectType>());
  ObjectType& value = *values_.back();
  value.size = size;
  value.record = record;
  resolve(value);
  return &value;
}

void ObjectTypes::resolve(ObjectType& type) {
  type.owner = this;
  type.destructors.assign(type.record.fields.size(), nullptr);
  for (std::size_t i = 0; i < type.record.fields.size(); ++i) {
    const Field& field = type.record.fields[i];
    if (field.kind != FieldKind::kptr || !destructor_) continue;
    const Type& target = btf_->type(field.target);
    type.destructors[i] = destructor_(target.kind, btf_->string(target.name_off));
  }
}

}  // namespace skep::btf
