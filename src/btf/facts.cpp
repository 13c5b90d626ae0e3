// The variables of data sections.
#include "btf/facts.hpp"

namespace skep::btf {

u32 variable_at(const Btf& btf, u32 datasec, u32 offset) {
  const Type& t = btf.type(datasec);
  if (t.kind != Kind::datasec) return 0;
  for (const Entry& v : btf.entries(t)) {
    if (offset >= v.offset && offset - v.offset < v.size) return v.type;
  }
  return 0;
}

const Entry* find_variable(const Btf& btf, u32 datasec, std::string_view name) {
  const Type& t = btf.type(datasec);
  if (t.kind != Kind::datasec) return nullptr;
  for (const Entry& v : btf.entries(t)) {
    if (btf.name(v.type) == name) return &v;
  }
  return nullptr;
}

}  // namespace skep::btf
