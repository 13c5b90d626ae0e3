// The context structures of program types as tables of fields. Offsets and rules are Linux 6.18's uapi
// (struct __sk_buff, bpf_sock, bpf_sock_ops, ...) and its is_valid_access() functions.
#pragma once
#include <span>

#include "progs/prog_type.hpp"

namespace skep::progs {

/// How a field may be accessed. `read_part`: aligned parts anywhere in it; `read_start`: parts that start
/// where it starts; `read_pair`, `write_pair`: two neighbouring words at once; `as_is`: parts are read with
/// their own size from where the field really stands (__sk_buff::cb), not cut out of the whole field.
enum Right : u8 {
  read_whole = 1,
  read_part = 2,
  read_start = 4,
  write_whole = 8,
  write_part = 16,
  read_pair = 32,
  write_pair = 64,
  as_is = 128,
};

/// A run of `count` fields of `size` bytes each.
struct Field {
  u16 off;
  u16 size;
  u16 count;
  u8 rights;
  CtxKind kind = CtxKind::scalar;
};

inline constexpr u8 r_part = read_whole | read_part;
inline constexpr u8 r_start = read_whole | read_start;
inline constexpr u8 rw_word = r_part | write_whole;
inline constexpr u8 rw_whole = read_whole | write_whole;
inline constexpr u8 rw_all = r_part | write_whole | write_part | read_pair | write_pair | as_is;

/// The fields of the type's context at this hook; empty for contexts that are plain bytes.
[[nodiscard]] std::span<const Field> ctx_fields(ProgType type, AttachType attach);
/// struct bpf_sock, for reading through a socket pointer.
[[nodiscard]] std::span<const Field> sock_fields();

}  // namespace skep::progs
