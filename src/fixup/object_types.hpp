// The types of objects that a program's calls or a map's values are about, each made once.
#pragma once
#include <memory>
#include <vector>

#include "btf/kernel_btf.hpp"
#include "btf/object_type.hpp"

namespace skep::fixup {

/// Types of several BTFs (the program's, its maps'), which outlive the making of types. `vmlinux`: which
/// types are the kernel's; may be nullptr.
class ObjectTypeSet {
 public:
  explicit ObjectTypeSet(const btf::KernelBtf* vmlinux) : vmlinux_(vmlinux) {}
  /// nullptr: the struct has no special fields.
  const btf::ObjectType* of_struct(const btf::Btf& btf, u32 id) { return types_of(btf).of_struct(id); }
  const btf::ObjectType* of_value(const btf::Btf& btf, const btf::Record& record, u32 size) {
    return types_of(btf).of_value(record, size);
  }

 private:
  btf::ObjectTypes& types_of(const btf::Btf& btf);
  const btf::KernelBtf* vmlinux_;
  std::vector<std::shared_ptr<btf::ObjectTypes>> types_;
};

}  // namespace skep::fixup
