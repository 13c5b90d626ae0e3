// Memory at any address, as the kernel's probe_read family reads it: a bad address is an error, not a signal.
// Inside the room.
#pragma once
#include <cstddef>

#include "base/types.hpp"

namespace skep::helpers {

/// Copies `size` bytes from `from`; false if any of them cannot be read.
[[nodiscard]] bool read_memory(void* to, u64 from, std::size_t size);

/// What the kernel says of an address that it cannot read: ERANGE for one that is no kernel address and not
/// even tried (copy_from_kernel_nofault_allowed()), else EFAULT.
[[nodiscard]] int kernel_read_error(u64 address);

/// strncpy_from_kernel_nofault(): the length with its NUL; cut to `size` (not 0), NUL last. 0: it cannot be
/// read, and `to` is zeroes.
[[nodiscard]] u32 read_string(char* to, u32 size, u64 from);

}  // namespace skep::helpers
