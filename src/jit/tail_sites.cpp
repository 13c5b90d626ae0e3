// See tail_sites.hpp.
#include "jit/tail_sites.hpp"

namespace skep::jit {

TailSites::TailSites(CodeMemory& memory, std::span<const TailSite> sites, u32 frame)
    : memory_(memory), frame_(frame) {
  for (const TailSite& site : sites) {
    auto& watched = *watched_.emplace_back(std::make_unique<Watched>(*this, site));
    auto& array =
        static_cast<maps::ProgArray&>(*reinterpret_cast<maps::Map*>(site.map));  // NOLINT: so it was linked
    watched.map = array.shared_from_this();
    array.watch(site.index, watched);
  }
}
TailSites::~TailSites() {
  for (const auto& watched : watched_) static_cast<maps::ProgArray&>(*watched->map).unwatch(*watched);
}

bool TailSites::direct(u32 offset, u64 to) noexcept {
  const s64 distance = static_cast<s64>(to - (memory_.base() + offset + 4));
  if (distance != static_cast<s32>(distance)) return false;
  memory_.replace(offset, static_cast<u32>(distance));
  return true;
}

void TailSites::Watched::slot_changed(void* now) noexcept {
  const u64 base = sites.memory_.base();
  const auto* program = static_cast<const maps::ProgramRef*>(now);
  const auto target =
      program == nullptr ? std::nullopt : sites.memory_.pool()->target(reinterpret_cast<u64>(program->run));
  if (target) {
    const bool same_frame = sites.frame_ != 0 && target->frame == sites.frame_;
    if (same_frame && sites.direct(site.jump, target->body)) return;
    if (sites.direct(site.enter, target->tail_entry) && sites.direct(site.jump, base + site.leave)) return;
  }
  const bool near = sites.direct(site.jump, base + site.through_slot);
  SKEP_ASSERT(near);
}

}  // namespace skep::jit
