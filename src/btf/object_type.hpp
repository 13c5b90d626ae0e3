// Values with special fields as running code needs them: which fields there are, and what those lead to, so
// that whatever a value owns can be let go (kernel: struct btf_struct_meta, struct btf_field with its
// value_rec, dtor and pointee_struct_meta).
#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "btf/record.hpp"

namespace skep::btf {

/// A struct or a map's value. Immutable; lives as long as the ObjectTypes that made it.
struct ObjectType {
  u32 size = 0;
  Record record;
  /// For each of record.fields: the type of the objects that it owns, if they are of the program's own types
  /// and have special fields themselves; else nullptr.
  std::vector<const ObjectType*> targets;
  /// For each of record.fields: what lets go of an object of the kernel; nullptr for the program's own.
  using Destructor = void (*)(void* object);
  std::vector<Destructor> destructors;
};

/// The object types of one BTF. Not thread-safe while it makes types; those it made may be read by anybody.
class ObjectTypes {
 public:
  /// How an object of the kernel's type of that kind and name is let go; `kernel` stays false if there is no
  /// such type.
  struct OfKernel {
    bool kernel = false;
    ObjectType::Destructor destructor = nullptr;
  };
  using KernelLookup = std::function<OfKernel(Kind kind, std::string_view name)>;

  /// `btf` outlives this.
  ObjectTypes(const Btf& btf, KernelLookup kernel) : btf_(&btf), kernel_(std::move(kernel)) {}

  /// The struct of that id, or nullptr if it has no special fields (btf_find_struct_meta()).
  const ObjectType* of_struct(u32 id);
  /// A map's value with the special fields that were found in it.
  const ObjectType* of_value(const Record& record, u32 size);
  [[nodiscard]] const Btf& btf() const { return *btf_; }

 private:
  struct Known {
    u32 id = 0;
    std::unique_ptr<ObjectType> type;  ///< nullptr: no special fields
  };
  void resolve(ObjectType& type);

  const Btf* btf_;
  KernelLookup kernel_;
  std::vector<Known> structs_;
  std::vector<std::unique_ptr<ObjectType>> values_;
};

}  // namespace skep::btf
