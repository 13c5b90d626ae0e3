// See object_types.hpp.
#include "fixup/object_types.hpp"

#include "helpers/kernel_functions.hpp"

namespace skep::fixup {

btf::ObjectTypes& ObjectTypeSet::types_of(const btf::Btf& btf) {
  for (const auto& types : types_)
    if (&types->btf() == &btf) return *types;
  auto lookup = [vmlinux = vmlinux_](btf::Kind kind, std::string_view name) {
    btf::ObjectTypes::OfKernel found;
    found.kernel = vmlinux != nullptr && vmlinux->find(kind, name) != 0;
    if (found.kernel) found.destructor = helpers::kernel_object_destructor(name);
    return found;
  };
  types_.push_back(std::make_unique<btf::ObjectTypes>(btf, std::move(lookup)));
  return *types_.back();
}

}  // namespace skep::fixup
