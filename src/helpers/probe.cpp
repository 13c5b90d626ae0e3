// Helpers that read memory at any address (kernel: kernel/trace/bpf_trace.c). Kernel memory and the current
// task's are this process's own: what the kernel itself has is unreadable here, as a bad address is there.
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "helpers/any_memory.hpp"
#include "helpers/families.hpp"

namespace skep::helpers {

/// process_vm_readv(2) of ourselves.
bool read_memory(void* to, u64 from, std::size_t size) {
  if (size == 0) return true;
  const iovec local{to, size};
  const iovec remote{pointer<void>(from), size};
  return ::process_vm_readv(::getpid(), &local, 1, &remote, 1, 0) == static_cast<ssize_t>(size);
}

int kernel_read_error(u64 address) {
  constexpr u64 kernel_begin = u64{0xffff8} << 44;
  return address < kernel_begin ? ERANGE : EFAULT;
}

u32 read_string(char* to, u32 size, u64 from) {
  constexpr u32 part_max = 64;
  for (u32 done = 0; done < size;) {
    // to the end of an aligned piece: never into a page behind the string's
    const u32 part = std::min(size - done, part_max - static_cast<u32>((from + done) % part_max));
    if (!read_memory(to + done, from + done, part)) {
      std::memset(to, 0, size);
      return 0;
    }
    if (const void* end = std::memchr(to + done, 0, part); end != nullptr) {
      const auto length = static_cast<u32>(static_cast<const char*>(end) - to) + 1;
      std::memset(to + length, 0, done + part - length);
      return length;
    }
    done += part;
  }
  to[size - 1] = 0;
  return size;
}

namespace {

u64 probe_read(u64 to, u64 size64, u64 from, u64, u64, RunContext*) {
  const u32 size = static_cast<u32>(size64);
  if (read_memory(pointer<void>(to), from, size)) return 0;
  std::memset(pointer<void>(to), 0, size);
  return error_result(EFAULT);
}

u64 probe_read_kernel(u64 to, u64 size, u64 from, u64, u64, RunContext* run) {
  return probe_read(to, size, from, 0, 0, run) == 0 ? 0 : error_result(kernel_read_error(from));
}

u64 probe_read_str(u64 to, u64 size64, u64 from, u64, u64, RunContext*) {
  const u32 size = static_cast<u32>(size64);
  if (size == 0) return 0;
  const u32 length = read_string(pointer<char>(to), size, from);
  return length != 0 ? length : error_result(EFAULT);
}
u64 probe_read_kernel_str(u64 to, u64 size64, u64 from, u64, u64, RunContext*) {
  const u32 size = static_cast<u32>(size64);
  if (size == 0) return 0;
  const u32 length = read_string(pointer<char>(to), size, from);
  return length != 0 ? length : error_result(kernel_read_error(from));
}

/// A sleepable program's, in full or not at all.
u64 copy_from_user(u64 to, u64 size, u64 from, u64, u64, RunContext* run) {
  return probe_read(to, size, from, 0, 0, run);
}

constexpr HelperRow rows[] = {{4, probe_read},          {45, probe_read_str},  {112, probe_read},
                              {113, probe_read_kernel}, {114, probe_read_str}, {115, probe_read_kernel_str},
                              {148, copy_from_user}};

}  // namespace

std::span<const HelperRow> probe_family() { return rows; }

}  // namespace skep::helpers
