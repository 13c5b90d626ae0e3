// See chain.hpp. Each flag names a position on its own; a request is carried out if they agree.
#include "runtime/chain.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace skep::runtime {

namespace {

Result<void> agree(std::optional<int>& position, int found) {
  if (position && *position != found) return fail(ERANGE, "the flags mean different places in the chain");
  position = found;
  return {};
}

}  // namespace

/// The entry that is exactly this program, attached as `link` says.
Result<int> Chain::find(const Program* program, const Link* link) const {
  const auto found =
      std::ranges::find_if(entries_, [&](const ChainEntry& e) { return e.program.get() == program; });
  if (found == entries_.end()) return fail(ENOENT, "the program is not in the chain");
  if (found->link != link) return fail(EBUSY, "the program in the chain belongs to a link");
  return static_cast<int>(found - entries_.begin());
}

/// What F_BEFORE and F_AFTER say: one before the entry they refer to, or one behind it.
Result<void> Chain::narrow(Position& position, const ChainPlace& where) const {
  const int size = static_cast<int>(entries_.size());
  Position at;
  if (where.relative != nullptr && (where.flags & (uapi::F_BEFORE | uapi::F_AFTER)) != 0) {
    const auto found = std::ranges::find_if(entries_, [&](const ChainEntry& e) {
      return e.program == where.relative && (where.relative_link == nullptr || e.link == where.relative_link);
    });
    if (found == entries_.end()) return fail(ENOENT, "what the place refers to is not in the chain");
    at = static_cast<int>(found - entries_.begin());
  }
  if ((where.flags & uapi::F_BEFORE) != 0) TRY(agree(position, at ? *at - 1 : -1));
  if ((where.flags & uapi::F_AFTER) != 0) TRY(agree(position, at ? *at + 1 : size));
  return {};
}

Result<void> Chain::attach(ChainEntry fresh, const Program* replaced, const ChainPlace& where) {
  if (where.revision != 0 && where.revision != revision_)
    return fail(ESTALE, fmt::format("the chain is at revision {}", revision_));
  if (std::ranges::any_of(entries_, [&](const ChainEntry& e) { return e.program == fresh.program; }))
    return fail(EEXIST, "the program is in the chain already");
  const int size = static_cast<int>(entries_.size());
  Position position;
  const bool replacing = (where.flags & uapi::F_REPLACE) != 0;
  if (replacing)
    position = TRY(find(replaced, fresh.link));
  else if (size == max)
    return fail(ERANGE, fmt::format("the chain has {} programs, as many as it may", max));
  TRY(narrow(position, where));
  if (!position && (where.relative != nullptr || where.flags != 0))
    return fail(EINVAL, "flags that say no place in the chain");
  if (replacing) {
    entries_[static_cast<std::size_t>(*position)] = std::move(fresh);
  } else {
    int at = position.value_or(size);
    if (at != size && (where.flags & uapi::F_BEFORE) != 0) ++at;
    entries_.insert(entries_.begin() + at, std::move(fresh));
  }
  ++revision_;
  return {};
}

Result<void> Chain::detach(const Program* program, const Link* link, const ChainPlace& where) {
  if ((where.flags & uapi::F_REPLACE) != 0) return fail(EINVAL, "detaching with BPF_F_REPLACE");
  if (where.revision != 0 && where.revision != revision_)
    return fail(ESTALE, fmt::format("the chain is at revision {}", revision_));
  if (entries_.empty()) return fail(ENOENT, "there is no program");
  Position position;
  if (program != nullptr) position = TRY(find(program, link));
  TRY(narrow(position, where));
  if (!position && (where.relative != nullptr || where.flags != 0))
    return fail(EINVAL, "flags that say no place in the chain");
  const int last = static_cast<int>(entries_.size()) - 1;
  const int at = std::clamp(position.value_or(last), 0, last);
  if (entries_[static_cast<std::size_t>(at)].link != nullptr && link == nullptr)
    return fail(EBUSY, "the program in the chain belongs to a link");
  entries_.erase(entries_.begin() + at);
  ++revision_;
  return {};
}

}  // namespace skep::runtime
