// What a register holds, apart from its number: a base type and flags (kernel: enum bpf_reg_type and enum
// bpf_type_flag, which are one number there).
#pragma once
#include <bit>
#include <string_view>

#include "base/types.hpp"

namespace skep::verifier {

enum class Base : u8 {
  not_init,
  scalar,
  ctx,
  map_ptr,
  map_value,
  map_key,
  stack,
  packet_meta,
  packet,
  packet_end,
  flow_keys,
  sock,
  sock_common,
  tcp_sock,
  tp_buffer,
  xdp_sock,
  btf_id,
  mem,
  arena,
  buf,
  func,
  dynptr,
};
inline constexpr u32 base_count = static_cast<u32>(Base::dynptr) + 1;

namespace tf {  // type flags
inline constexpr u16 none = 0, maybe_null = 1, rdonly = 2, ringbuf = 4, user = 8, percpu = 16, rcu = 32,
                     untrusted = 64, trusted = 128, alloc = 256, non_owning = 512,
                     packet_slice = 1024;  // of mem: part of a packet, through a dynptr
}  // namespace tf

struct RegType {
  Base base = Base::not_init;
  u8 unused = 0;
  u16 flags = tf::none;

  constexpr RegType() = default;
  constexpr RegType(Base b, u16 f = tf::none) : base(b), flags(f) {}  // NOLINT: a Base is a RegType
  /// As one number: types are compared for every register of every state.
  constexpr bool operator==(const RegType& other) const {
    return std::bit_cast<u32>(*this) == std::bit_cast<u32>(other);
  }
  [[nodiscard]] constexpr bool maybe_null() const { return (flags & tf::maybe_null) != 0; }
  [[nodiscard]] constexpr bool rdonly() const { return (flags & tf::rdonly) != 0; }
  /// Anything but a number or nothing.
  [[nodiscard]] constexpr bool is_pointer() const { return base != Base::not_init && base != Base::scalar; }
  [[nodiscard]] constexpr bool is_packet() const { return base == Base::packet || base == Base::packet_meta; }
  [[nodiscard]] constexpr bool is_packet_any() const { return is_packet() || base == Base::packet_end; }
  /// Socket pointers, which share most rules.
  [[nodiscard]] constexpr bool is_sock() const {
    return base == Base::sock || base == Base::sock_common || base == Base::tcp_sock ||
           base == Base::xdp_sock;
  }
};
static_assert(sizeof(RegType) == 4);

/// The base's name as the log prints it: "scalar", "ctx", "map_value", "fp", "pkt", ... ("?" for not_init).
[[nodiscard]] std::string_view base_name(Base base);

}  // namespace skep::verifier
