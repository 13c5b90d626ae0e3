// Values with special fields as running code needs them: which fields there are, and how what they own is let
// go (kernel: struct btf_struct_meta, struct btf_field with its dtor).
#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "btf/record.hpp"

namespace skep::btf {

/// A struct or a map's value. Immutable; lives as long as the ObjectTypes that made it.
class ObjectTypes;

struct ObjectType {
  u32 size = 0;
  Record record;
  /// For each of record.fields: what lets go of an object of the kernel; nullptr for the program's own.
  using Destructor = void (*)(void* object);
  std::vector<Destructor> destructors;
  const ObjectTypes* owner = nullptr;
};

/// The object types of one BTF. Not thread-safe while it makes types; those it made may be read by anybody.
class ObjectTypes : public std::enable_shared_from_this<ObjectTypes> {
 public:
  /// What lets go of an object of the kernel's type of that kind and name; nullptr if it is not the kernel's.
  using FindDestructor = std::function<ObjectType::Destructor(Kind kind, std::string_view name)>;

  /// Shared: objects keep their types. `btf` outlives the making of types.
  static std::shared_ptr<ObjectTypes> create(const Btf& btf, FindDestructor destructor) {
    return std::shared_ptr<ObjectTypes>(new ObjectTypes(btf, std::move(destructor)));
  }

  /// The struct of that id, or nullptr if it has no special fields (btf_find_struct_meta()).
  const ObjectType* of_struct(u32 id);
  /// A map's value with the special fields that were found in it; nullptr if none of them owns anything.
  const ObjectType* of_value(const Record& record, u32 size);
  [[nodiscard]] const Btf& btf() const { return *btf_; }

 private:
  ObjectTypes(const Btf& btf, FindDestructor destructor) : btf_(&btf), destructor_(std::move(destructor)) {}
  struct Known {
    u32 id = 0;
    std::unique_ptr<ObjectType> type;  ///< nullptr: no special fields
  };
  void resolve(ObjectType& type);

  const Btf* btf_;
  FindDestructor destructor_;
  std::vector<Known> structs_;
  std::vector<std::unique_ptr<ObjectType>> values_;
};

}  // namespace skep::btf
