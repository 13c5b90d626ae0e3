// See object_types.hpp.
#include "fixup/object_types.hpp"

#include "helpers/kernel_functions.hpp"

namespace skep::fixup {

btf::ObjectTypes& ObjectTypeSet::types_of(const btf::Btf& btf) {
  for (const auto& types : types_)
    if (&types->btf() == &btf) return *types;
  auto lookup = [vmlinux = vmlinux_](btf::Kind kind, std::string_view name) {
    const bool of_kernel = vmlinux != nullptr && vmlinux->find(kind, name) != 0;
    return of_kernel ? helpers::kernel_object_destructor(name) : nullptr;
  };
  types_.push_back(btf::ObjectTypes::create(btf, std::move(lookup)));
  return *types_.back();
}

}  // namespace skep::fixup
