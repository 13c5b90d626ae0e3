// Helpers on maps (kernel/bpf/helpers.c). R1 is the map's address; keys and values have the map's sizes.
#include <array>
#include <cerrno>

#include "helpers/families.hpp"
#include "maps/map.hpp"
#include "maps/value_fields.hpp"

namespace skep::helpers {
namespace {

u64 map_lookup_elem(u64 map, u64 key, u64, u64, u64, RunContext* run) {
  return reinterpret_cast<u64>(pointer<maps::Map>(map)->lookup(pointer<std::byte>(key), run->cpu));
}
u64 map_update_elem(u64 map, u64 key, u64 value, u64 flags, u64, RunContext* run) {
  return static_cast<u64>(s64{
      pointer<maps::Map>(map)->update(pointer<std::byte>(key), pointer<std::byte>(value), flags, run->cpu)});
}
u64 map_delete_elem(u64 map, u64 key, u64, u64, u64, RunContext*) {
  return static_cast<u64>(s64{pointer<maps::Map>(map)->remove(pointer<std::byte>(key))});
}

u64 map_push_elem(u64 map, u64 value, u64 flags, u64, u64, RunContext*) {
  return static_cast<u64>(s64{pointer<maps::Map>(map)->push(pointer<std::byte>(value), flags)});
}
u64 map_pop_elem(u64 map, u64 value, u64, u64, u64, RunContext*) {
  return static_cast<u64>(s64{pointer<maps::Map>(map)->pop(pointer<std::byte>(value))});
}
u64 map_peek_elem(u64 map, u64 value, u64, u64, u64, RunContext*) {
  return static_cast<u64>(s64{pointer<maps::Map>(map)->peek(pointer<std::byte>(value))});
}
/// The value as that CPU has it; nullptr for a CPU that is not possible.
u64 map_lookup_percpu_elem(u64 map, u64 key, u64 cpu, u64, u64, RunContext*) {
  auto& of = *pointer<maps::Map>(map);
  const u32 slot = (of.facts().value_size + 7) & ~7u;
  if (static_cast<u32>(cpu) >= of.user_value_size() / slot) return 0;
  return reinterpret_cast<u64>(of.lookup(pointer<std::byte>(key), static_cast<u32>(cpu)));
}

/// bpf_for_each_map_elem(): the callback gets the map, a key, its value and R3.
u64 for_each_map_elem(u64 map, u64 callback, u64 argument, u64 flags, u64, RunContext* run) {
  struct Call {
    const Callback* callback;
    u64 map, argument;
    RunContext* run;
  } call{pointer<const Callback>(callback), map, argument, run};
  if (flags != 0) return error_result(EINVAL);
  const auto visit = [](void* of, const std::byte* key, std::byte* value) {
    auto& c = *static_cast<Call*>(of);
    return (*c.callback)(c.map, reinterpret_cast<u64>(key), reinterpret_cast<u64>(value), c.argument, 0,
                         c.run);
  };
  return static_cast<u64>(pointer<maps::Map>(map)->for_each(visit, &call, run->cpu));
}

u64 spin_lock(u64 lock, u64, u64, u64, u64, RunContext*) {
  maps::lock_word(pointer<std::byte>(lock));
  return 0;
}
u64 spin_unlock(u64 lock, u64, u64, u64, u64, RunContext*) {
  maps::unlock_word(pointer<std::byte>(lock));
  return 0;
}

/// (CPU 0's address, cpu): that CPU's; nullptr for one that is not possible.
u64 per_cpu_ptr(u64 address, u64 cpu, u64, u64, u64, RunContext* run) {
  const auto index = static_cast<u32>(cpu);
  if (run->percpu == nullptr || index >= run->percpu->cpus()) return 0;
  return address + run->percpu->offset_of(index);
}
u64 this_cpu_ptr(u64 address, u64, u64, u64, u64, RunContext* run) { return address + run->percpu_offset; }

/// (where, pointer): what stood there before; what fixups make of the call does the same.
u64 kptr_xchg(u64 where, u64 to, u64, u64, u64, RunContext*) {
  return std::atomic_ref<u64>(*pointer<u64>(where)).exchange(to, std::memory_order_acq_rel);
}

constexpr HelperRow rows[] = {
    {1, map_lookup_elem},
    {2, map_update_elem},
    {3, map_delete_elem},
    {87, map_push_elem},
    {88, map_pop_elem},
    {89, map_peek_elem},
    {93, spin_lock},
    {94, spin_unlock},
    {164, for_each_map_elem},
    {153, per_cpu_ptr},
    {154, this_cpu_ptr},
    {194, kptr_xchg},
    {195, map_lookup_percpu_elem},
};

}  // namespace

std::span<const HelperRow> map_family() { return rows; }

}  // namespace skep::helpers
