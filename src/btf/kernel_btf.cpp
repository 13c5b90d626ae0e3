// See kernel_btf.hpp.
#include "btf/kernel_btf.hpp"

namespace skep::btf {

namespace {

constexpr std::size_t buckets = std::size_t{1} << 17;

std::size_t bucket_of(Kind kind, std::string_view name) {
  return (std::hash<std::string_view>{}(name) ^ static_cast<std::size_t>(kind)) % buckets;
}

}  // namespace

void KernelBtf::load() const {
  auto bytes = source_();
  if (!bytes) return;
  auto parsed = Btf::parse(*std::move(bytes), nullptr, Checks::structure);
  if (!parsed) return;
  btf_ = *std::move(parsed);
  first_.assign(buckets, 0);
  next_.assign(btf_.type_count() + 1, 0);
  for (u32 id = btf_.type_count(); id > 0; --id) {
    const Type& type = btf_.type(id);
    if (type.name_off == 0) continue;
    u32& head = first_[bucket_of(type.kind, btf_.string(type.name_off))];
    next_[id] = head;
    head = id;
  }
  there_ = true;
}

const Btf* KernelBtf::types() const {
  std::call_once(once_, [this] { load(); });
  return there_ ? &btf_ : nullptr;
}

u32 KernelBtf::find(Kind kind, std::string_view name) const {
  if (types() == nullptr) return 0;
  u32 id = first_[bucket_of(kind, name)];
  while (id != 0 && (btf_.type(id).kind != kind || btf_.name(id) != name)) id = next_[id];
  return id;
}

}  // namespace skep::btf
