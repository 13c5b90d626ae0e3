// See object_table.hpp.
#include "daemon/object_table.hpp"

#include <sys/epoll.h>
#include <sys/socket.h>

namespace skep::daemon {

namespace {

Result<u64> cookie_of(int fd) {
  u64 cookie = 0;
  socklen_t size = sizeof cookie;
  if (::getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) < 0)
    return fail_errno("a descriptor's identity");
  return cookie;
}

}  // namespace

Result<std::unique_ptr<ObjectTable>> ObjectTable::create() {
  auto table = std::make_unique<ObjectTable>();
  table->epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!table->epoll_) return fail_errno("epoll");
  return table;
}

Result<UniqueFd> ObjectTable::hand_out(Handle handle) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) < 0)
    return fail_errno("a descriptor for the client");
  UniqueFd ours(ends[0]);
  UniqueFd theirs(ends[1]);
  ::shutdown(ours.get(), SHUT_RD);  // nothing that a client writes is kept
  const u64 cookie = TRY(cookie_of(theirs.get()));
  epoll_event event{};  // no events: a hang-up is always told
  event.data.u64 = cookie;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, ours.get(), &event) < 0) return fail_errno("epoll");
  const std::lock_guard lock(mutex_);
  entries_.insert_or_assign(cookie, Entry{std::move(handle), std::move(ours), {}});
  return theirs;
}

ObjectTable::Entry* ObjectTable::find(int fd) {
  const auto cookie = cookie_of(fd);
  if (!cookie) return nullptr;
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(*cookie);
  return found == entries_.end() ? nullptr : &found->second;
}

std::unordered_map<u64, ObjectTable::Entry>::node_type ObjectTable::extract(u64 cookie) {
  const std::lock_guard lock(mutex_);
  return entries_.extract(cookie);
}

std::size_t ObjectTable::size() const {
  const std::lock_guard lock(mutex_);
  return entries_.size();
}

void ObjectTable::clear() {
  std::unordered_map<u64, Entry> all;
  const std::lock_guard lock(mutex_);
  all.swap(entries_);
}

void ObjectTable::drop_closed() {
  std::array<epoll_event, 64> events;  // NOLINT: filled by epoll_wait
  for (;;) {
    const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), 0);
    for (int i = 0; i < count; ++i) {
      const u64 cookie = events[static_cast<std::size_t>(i)].data.u64;  // epoll_event is packed
      const auto gone = extract(cookie);  // goes with no lock held: the last reference detaches, say
    }
    if (count < static_cast<int>(events.size())) return;
  }
}

}  // namespace skep::daemon
