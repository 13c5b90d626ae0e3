// See tc_table.hpp.
#include "runtime/tc_table.hpp"

#include <fmt/format.h>

namespace skep::runtime {

TcTable::Key TcTable::key(Place place, AttachType type) {
  return {place, type == AttachType::tcx_ingress ? hooks::TcDirection::ingress : hooks::TcDirection::egress};
}

Result<void> TcTable::commit(const Key& key, Chain changed) {
  InterfaceTable::Programs programs;
  for (const ChainEntry& entry : changed.entries()) programs.push_back(entry.program);
  TRY(interfaces_.set_tc(key.place, key.direction, std::move(programs)));
  if (changed.entries().empty())
    chains_.erase(key);
  else
    chains_.insert_or_assign(key, std::move(changed));
  return {};
}

namespace {

Result<void> must_exist(u32 ifindex) {
  if (!InterfaceTable::name(ifindex).empty()) return {};
  return fail(ENODEV, fmt::format("there is no interface {}", ifindex));
}

}  // namespace

Result<void> TcTable::attach(u32 ifindex, AttachType type, const std::shared_ptr<Program>& program,
                             const Program* replaced, const ChainPlace& where) {
  sweep();
  TRY(must_exist(ifindex));
  const Key at = key(InterfaceTable::here(ifindex), type);
  const auto it = chains_.find(at);
  Chain chain = it != chains_.end() ? it->second : Chain{};
  TRY(chain.attach({program, nullptr}, replaced, where));
  return commit(at, std::move(chain));
}

Result<void> TcTable::detach(u32 ifindex, AttachType type, const Program* program, const ChainPlace& where) {
  sweep();
  TRY(must_exist(ifindex));
  const auto it = chains_.find(key(InterfaceTable::here(ifindex), type));
  if (it == chains_.end()) return fail(ENOENT, "there is no program");
  Chain chain = it->second;
  TRY(chain.detach(program, nullptr, where));
  return commit(it->first, std::move(chain));
}

Result<void> TcTable::attach_link(Link& link, const ChainPlace& where) {
  sweep();
  TRY(must_exist(link.ifindex));
  const Place place = InterfaceTable::here(link.ifindex);
  link.netns = place.netns;
  const Key at = key(place, link.attach_type);
  const auto it = chains_.find(at);
  Chain chain = it != chains_.end() ? it->second : Chain{};
  TRY(chain.attach({link.program, &link}, nullptr, where));
  return commit(at, std::move(chain));
}

Result<void> TcTable::update_link(Link& link, const std::shared_ptr<Program>& program) {
  sweep();
  const auto it = chains_.find(key({link.netns, link.ifindex}, link.attach_type));
  if (it == chains_.end()) return fail(ENOLINK, "the link is detached");
  Chain chain = it->second;
  ChainPlace where;
  where.flags = uapi::F_REPLACE;
  TRY(chain.attach({program, &link}, link.program.get(), where));
  return commit(it->first, std::move(chain));
}

void TcTable::link_gone(Link& link) noexcept {
  const auto it = chains_.find(key({link.netns, link.ifindex}, link.attach_type));
  if (it == chains_.end()) return;
  Chain chain = it->second;
  if (chain.detach(link.program.get(), &link, {})) (void)commit(it->first, std::move(chain));
  link.ifindex = 0;
}

Result<ProgQueryResult> TcTable::query(u32 ifindex, AttachType type) const {
  TRY(must_exist(ifindex));
  ProgQueryResult result;
  result.revision = 1;
  const auto it = chains_.find(key(InterfaceTable::here(ifindex), type));
  if (it == chains_.end()) return result;
  result.revision = it->second.revision();
  for (const ChainEntry& entry : it->second.entries()) {
    result.prog_ids.push_back(entry.program->id);
    result.link_ids.push_back(entry.link != nullptr ? entry.link->id : 0);
  }
  return result;
}

std::vector<TcAttachment> TcTable::list() const {
  std::vector<TcAttachment> list;
  const u64 netns = InterfaceTable::here(0).netns;
  for (const auto& [at, chain] : chains_) {
    if (at.place.netns != netns) continue;
    for (const ChainEntry& entry : chain.entries())
      list.push_back({at.place.ifindex, InterfaceTable::name(at.place.ifindex),
                      at.direction == hooks::TcDirection::ingress ? "tcx/ingress" : "tcx/egress",
                      entry.program->name, entry.program->id, entry.link != nullptr ? entry.link->id : 0});
  }
  return list;
}

void TcTable::forget(const Key& key) {
  const auto it = chains_.find(key);
  if (it == chains_.end()) return;
  for (const ChainEntry& entry : it->second.entries())
    if (entry.link != nullptr) entry.link->ifindex = 0;
  (void)interfaces_.set_tc(key.place, key.direction, {});
  chains_.erase(it);
}

void TcTable::detach_all() {
  while (!chains_.empty()) forget(Key(chains_.begin()->first));
}

void TcTable::detach_all_at(Place place) {
  forget({place, hooks::TcDirection::ingress});
  forget({place, hooks::TcDirection::egress});
}

void TcTable::sweep() {
  std::vector<Key> gone;
  for (const auto& [at, chain] : chains_)
    if (interfaces_.gone(at.place)) gone.push_back(at);
  for (const Key& at : gone) forget(at);
}

}  // namespace skep::runtime
