// Objects that stand at a fixed distance before their values, in memory that is mapped for them: what the
// layout of struct bpf_array, which inlined lookups rely on, asks for.
#pragma once
#include <new>

#include "maps/map.hpp"

namespace skep::maps {

/// Makes a T at `offset` in `memory`; T's constructor takes the arguments. The object's end of life unmaps.
template <class T, class... Args>
std::shared_ptr<T> place(Mapping memory, u64 offset, Args&&... args) {
  auto owner = std::make_shared<Mapping>(std::move(memory));
  T* object = new (owner->data() + offset) T(std::forward<Args>(args)...);
  return std::shared_ptr<T>(object, [owner](T* gone) mutable {
    gone->~T();
    owner.reset();  // now, and not when the last weak reference goes
  });
}

}  // namespace skep::maps
