// Taking attrs and what they point to apart; shared by the serve_*.cpp files.
#pragma once
#include <algorithm>

#include "client/attr.hpp"
#include "daemon/caller.hpp"

namespace skep::daemon {

namespace attr = client::attr;

/// Calls body(A&) on the caller's attr: a shorter one reads as zeros, a longer one must end in zeros (E2BIG,
/// as bpf_check_uarg_tail_zero() has it). What the body leaves in it goes back.
template <class A, class F>
Result<void> with_attr(MutBytes bytes, F&& body) {
  A a{};
  const std::size_t known = std::min(bytes.size(), sizeof a);
  if (known != 0) std::memcpy(&a, bytes.data(), known);
  if (std::ranges::any_of(bytes.subspan(known), [](std::byte b) { return b != std::byte{0}; }))
    return fail(E2BIG, "the attr has fields that this command does not know");
  Result<void> result = body(a);
  if (known != 0) std::memcpy(bytes.data(), &a, known);
  return result;
}

/// A name field: NUL-terminated within its 16 bytes (EINVAL otherwise).
inline Result<std::string> name_of(const attr::Name& name) {
  const std::size_t size = ::strnlen(name, sizeof name);
  if (size == sizeof name) return fail(EINVAL, "a name without its NUL");
  return std::string(name, size);
}
inline void set_name(attr::Name& to, std::string_view name) {
  std::memcpy(to, name.data(), std::min(name.size(), sizeof to - 1));
}

/// A string of at most `max` bytes, cut there as the kernel's strncpy_from_user() callers do.
inline Result<std::string> string_at(Caller& caller, u64 address, u64 max) {
  const std::string_view text = chars_of(TRY(caller.read(address, std::min(caller.readable(address), max))));
  if (text.empty()) return fail(EFAULT, "a string that is not in the caller's memory");
  return std::string(text.substr(0, text.find('\0')));
}

/// The Kernel's number of the caller's descriptor, which must be of that kind.
inline Result<int> object_of(Caller& caller, u32 fd, ObjectKind kind) {
  const Caller::Object object = TRY(caller.object(fd));
  if (object.kind != kind) return fail(EINVAL, "a descriptor of another kind of object");
  return object.fd;
}
/// The same where 0 means none: -1 then.
inline Result<int> optional_object(Caller& caller, u32 fd, ObjectKind kind) {
  if (fd == 0) return -1;
  return object_of(caller, fd, kind);
}

/// Copies as much of `values` as the caller has room for and tells it how many there are.
template <class T>
Result<void> give(Caller& caller, u64 address, u32& count, const std::vector<T>& values) {
  const std::size_t room = std::min<std::size_t>(count, values.size());
  count = static_cast<u32>(values.size());
  if (room == 0) return {};
  return caller.write(address, std::as_bytes(std::span(values).first(room)));
}

// One group of commands each.
Result<void> serve_map_command(Kernel& kernel, Caller& caller, Cmd cmd, MutBytes bytes);
Result<void> serve_program_command(Kernel& kernel, Caller& caller, Cmd cmd, MutBytes bytes);
Result<void> serve_info_command(Kernel& kernel, Caller& caller, Cmd cmd, MutBytes bytes);
Result<void> serve_link_command(Kernel& kernel, Caller& caller, Cmd cmd, MutBytes bytes);

}  // namespace skep::daemon
