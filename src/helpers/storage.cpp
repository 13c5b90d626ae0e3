// Helpers on storage that belongs to somebody else than the program: a control group's (kernel:
// kernel/bpf/cgroup.c), a socket's (net/core/bpf_sk_storage.c).
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "helpers/families.hpp"
#include "helpers/skb.hpp"
#include "helpers/socket_storage.hpp"
#include "maps/map.hpp"

namespace skep::helpers {

SocketStorage::~SocketStorage() {
  for (const Element& element : elements_) std::free(element.value);
}

std::byte* SocketStorage::find(const void* map) const {
  for (const Element& element : elements_)
    if (element.map == map) return element.value;
  return nullptr;
}

std::byte* SocketStorage::add(const void* map, u32 size) {
  auto* value = static_cast<std::byte*>(std::calloc(1, size));
  if (value != nullptr) elements_.push_back({map, value});
  return value;
}

bool SocketStorage::remove(const void* map) {
  for (auto it = elements_.begin(); it != elements_.end(); ++it) {
    if (it->map != map) continue;
    std::free(it->value);
    elements_.erase(it);
    return true;
  }
  return false;
}

namespace {

/// The storage that the hook has allocated for this run's control group (cgroup_storage,
/// percpu_cgroup_storage).
u64 get_local_storage(u64 map, u64, u64, u64, u64, RunContext* run) {
  const MapType type = pointer<maps::Map>(map)->facts().type;
  return reinterpret_cast<u64>(run->cgroup_storage[type == MapType::percpu_cgroup_storage ? 1 : 0]);
}

bool is_full(const progs::Sock& sock) {
  enum : u8 { time_wait = 6, new_syn_recv = 12 };
  return sock.state != time_wait && sock.state != new_syn_recv;
}

/// Sockets that a program looked up are copies of the host's, and keep nothing: nullptr, as without memory.
u64 sk_storage_get(u64 map64, u64 sock64, u64 value, u64 flags, u64, RunContext*) {
  constexpr u64 create = 1;
  auto* sock = pointer<progs::Sock>(sock64);
  if (sock == nullptr || !is_full(*sock) || flags > create || sock->bpf_storage == nullptr) return 0;
  auto& storage = *static_cast<SocketStorage*>(sock->bpf_storage);
  auto* map = pointer<maps::Map>(map64);
  std::byte* there = storage.find(map);
  if (there != nullptr || flags != create) return reinterpret_cast<u64>(there);
  there = storage.add(map, map->facts().value_size);
  if (there != nullptr && value != 0)
    std::memcpy(there, pointer<const std::byte>(value), map->facts().value_size);
  return reinterpret_cast<u64>(there);
}
u64 sk_storage_delete(u64 map, u64 sock64, u64, u64, u64, RunContext*) {
  auto* sock = pointer<progs::Sock>(sock64);
  if (sock == nullptr || !is_full(*sock)) return error_result(EINVAL);
  auto* storage = static_cast<SocketStorage*>(sock->bpf_storage);
  return storage != nullptr && storage->remove(pointer<maps::Map>(map)) ? 0 : error_result(ENOENT);
}

constexpr HelperRow rows[] = {{81, get_local_storage}, {107, sk_storage_get}, {108, sk_storage_delete}};

}  // namespace

std::span<const HelperRow> storage_family() { return rows; }

}  // namespace skep::helpers
