// Kernel functions that read memory anywhere into dynptrs and buffers (kernel: kernel/trace/bpf_trace.c,
// kernel/bpf/helpers.c), and what counts a map's elements. As for helpers (probe.cpp), kernel memory and the
// task's are this process's own.
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "helpers/any_memory.hpp"
#include "helpers/dynptr.hpp"
#include "helpers/families.hpp"
#include "helpers/kernel_functions.hpp"
#include "maps/map.hpp"

namespace skep::helpers {
namespace {

enum class From : u8 { user, kernel };

u64 read_failed(From source, u64 address) {
  return error_result(source == From::kernel ? kernel_read_error(address) : EFAULT);
}

/// `to` holds `size` bytes. 0 or an error.
template <From source>
u64 bytes_from(char* to, u32 size, u64 from) {
  if (read_memory(to, from, size)) return 0;
  std::memset(to, 0, size);
  return read_failed(source, from);
}
/// The length with its NUL, or an error.
template <From source>
u64 string_from(char* to, u32 size, u64 from) {
  if (size == 0) return 0;
  const u32 length = read_string(to, size, from);
  return length != 0 ? length : read_failed(source, from);
}

constexpr u32 part_max = 256;  ///< bytes copied at a time where the dynptr is not in one piece
bool is_error(u64 result) { return static_cast<s64>(result) < 0; }

/// (dynptr, offset, size, address)
template <From source>
u64 dynptr_bytes(u64 dynptr, u64 offset64, u64 size64, u64 from, u64, RunContext*) {
  const auto& to = *pointer<const Dynptr>(dynptr);
  const u32 offset = static_cast<u32>(offset64), size = static_cast<u32>(size64);
  void* memory = to.is_rdonly() ? nullptr : dynptr_slice(to, offset, nullptr, size);
  if (memory != nullptr) return bytes_from<source>(static_cast<char*>(memory), size, from);
  if (!to.has(offset, size)) return error_result(E2BIG);
  std::array<char, part_max> bytes;  // NOLINT: filled below
  for (u32 at = 0; at < size; at += part_max) {
    const u32 part = std::min(part_max, size - at);
    if (const u64 error = bytes_from<source>(bytes.data(), part, from + at); error != 0) return error;
    if (const u64 error = dynptr_write(to, offset + at, bytes.data(), part, 0); error != 0) return error;
  }
  return 0;
}

/// The same for a string: its length with its NUL, which stands at the end of what was cut, too.
template <From source>
u64 dynptr_string(u64 dynptr, u64 offset64, u64 size64, u64 from, u64, RunContext*) {
  const auto& to = *pointer<const Dynptr>(dynptr);
  const u32 offset = static_cast<u32>(offset64), size = static_cast<u32>(size64);
  void* memory = to.is_rdonly() ? nullptr : dynptr_slice(to, offset, nullptr, size);
  if (memory != nullptr) return string_from<source>(static_cast<char*>(memory), size, from);
  if (!to.has(offset, size)) return error_result(E2BIG);
  std::array<char, part_max> bytes;  // NOLINT: filled below
  u32 at = 0;
  for (u32 part = 0; at < size; at += part - 1) {  // the next part overwrites this one's NUL
    part = std::min(part_max, size - at);
    const u64 got = string_from<source>(bytes.data(), part, from + at);
    if (is_error(got)) return got;
    if (const u64 error = dynptr_write(to, offset + at, bytes.data(), static_cast<u32>(got), 0); error != 0)
      return error;
    if (got < part || part == 1) return at + got;
  }
  return at;
}

/// (to, its size, address, flags): the length with its NUL.
u64 copy_from_user_str(u64 to64, u64 size64, u64 from, u64 flags, u64, RunContext*) {
  constexpr u64 pad_zeros = 1;
  auto* to = pointer<char>(to64);
  const u32 size = static_cast<u32>(size64);
  if ((flags & ~pad_zeros) != 0) return error_result(EINVAL);
  if (size == 0) return 0;
  const u32 length = read_string(to, size, from);
  if (length == 0) return error_result(EFAULT);
  if (flags != 0) std::memset(to + length, 0, size - length);
  return length;
}

/// (map): of types that do not count, 0.
u64 sum_elem_count(u64 map, u64, u64, u64, u64, RunContext*) {
  return static_cast<u64>(pointer<const maps::Map>(map)->element_count());
}

constexpr KernelFunctionRow rows[] = {
    {"bpf_probe_read_user_dynptr", dynptr_bytes<From::user>},
    {"bpf_probe_read_kernel_dynptr", dynptr_bytes<From::kernel>},
    {"bpf_probe_read_user_str_dynptr", dynptr_string<From::user>},
    {"bpf_probe_read_kernel_str_dynptr", dynptr_string<From::kernel>},
    {"bpf_copy_from_user_dynptr", dynptr_bytes<From::user>},
    {"bpf_copy_from_user_str_dynptr", dynptr_string<From::user>},
    {"bpf_copy_from_user_str", copy_from_user_str},
    {"bpf_map_sum_elem_count", sum_elem_count},
};

}  // namespace

std::span<const KernelFunctionRow> memory_kernel_functions() { return rows; }

}  // namespace skep::helpers
